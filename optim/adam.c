/* Adam, and AdamW, which decays the parameters themselves. */
#include <math.h>

#include "internal.h"

static bool run(const tern_optim *o, const terni_bucket *b, bool decoupled) {
    const tern_adam_opts *a = &o->opts.adam;
    return tern_adam_update(b->param, b->grad, b->slot[0], b->slot[1], b->n,
                            (tern_adam_update_opts){.lr = b->lr,
                                                    .beta1 = a->beta1,
                                                    .beta2 = a->beta2,
                                                    .eps = a->eps,
                                                    .weight_decay = b->weight_decay,
                                                    .decoupled = decoupled,
                                                    .step = b->step,
                                                    .grad_scale = b->scale,
                                                    .rates = b->rates});
}

static bool adam_update(const tern_optim *o, const terni_bucket *b) { return run(o, b, false); }
static bool adamw_update(const tern_optim *o, const terni_bucket *b) { return run(o, b, true); }

static void rates(const tern_optim *o, double lr, int64_t step, double *rate) {
    rate[0] = lr;
    rate[1] = 1 - pow(o->opts.adam.beta1, (double)step);
    rate[2] = 1 - pow(o->opts.adam.beta2, (double)step);
}

static const terni_rule adam = {"adam", {"exp_avg", "exp_avg_sq"}, adam_update, 3, rates};
static const terni_rule adamw = {"adamw", {"exp_avg", "exp_avg_sq"}, adamw_update, 3, rates};

/* Zero means the default, a negative number zero. */
static double setting(double given, double usual) { return given > 0 ? given : given < 0 ? 0 : usual; }

static tern_optim *adam_new(const terni_rule *rule, tern_module *m, double lr, tern_adam_opts a, double decay) {
    if (!tern_ok()) return NULL;
    if (!(a.beta1 < 1) || !(a.beta2 < 1) || a.eps != a.eps || a.weight_decay != a.weight_decay)
        return terni_null(TERN_ERR_ARGUMENT, "%s: beta1 %g, beta2 %g, eps %g, weight_decay %g; betas below 1 expected",
                          rule->type, a.beta1, a.beta2, a.eps, a.weight_decay);
    a.beta1 = setting(a.beta1, 0.9);
    a.beta2 = setting(a.beta2, 0.999);
    a.eps = setting(a.eps, 1e-8);
    a.weight_decay = setting(a.weight_decay, decay);
    tern_optim *o = terni_optim_new(m, rule->type, lr, a.weight_decay);
    if (!o) return NULL;
    o->rule = rule;
    o->n_slots = 2;
    o->opts.adam = a;
    return o;
}

tern_optim *tern_adam_new(tern_module *m, double lr, tern_adam_opts opts) { return adam_new(&adam, m, lr, opts, 0); }
tern_optim *tern_adamw_new(tern_module *m, double lr, tern_adamw_opts opts) {
    return adam_new(&adamw, m, lr, opts, 0.01);
}
