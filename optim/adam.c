/* Adam and AdamW. */
#include "internal.h"

static bool update(tern_optim *o, const terni_group *g, tern_tensor *const *param, tern_tensor *const *grad,
                   tern_tensor *const *const *slot, int n, int64_t step) {
    return tern_adam_update(param, grad, slot[0], slot[1], n,
                            (tern_adam_update_opts){.lr = o->lr * g->lr_scale,
                                                    .beta1 = o->adam.beta1,
                                                    .beta2 = o->adam.beta2,
                                                    .eps = o->adam.eps,
                                                    .weight_decay = g->weight_decay,
                                                    .decoupled = o->decoupled,
                                                    .step = step});
}

static const terni_rule adam = {"adam", {"exp_avg", "exp_avg_sq"}, update};
static const terni_rule adamw = {"adamw", {"exp_avg", "exp_avg_sq"}, update};

static tern_optim *make(const terni_rule *rule, tern_module *m, double lr, tern_adam_opts opts, double usual_decay) {
    if (!tern_ok()) return NULL;
    if (opts.beta1 == 0) opts.beta1 = 0.9;
    if (opts.beta2 == 0) opts.beta2 = 0.999;
    if (opts.eps == 0) opts.eps = 1e-8;
    if (!(opts.beta1 > 0 && opts.beta1 < 1 && opts.beta2 > 0 && opts.beta2 < 1 && opts.eps > 0))
        return terni_null(TERN_ERR_ARGUMENT,
                          "%s: beta1 %g, beta2 %g, eps %g; expected betas between 0 and 1, eps above 0", rule->type,
                          opts.beta1, opts.beta2, opts.eps);
    if (opts.weight_decay == 0) opts.weight_decay = usual_decay;
    if (opts.weight_decay < 0) opts.weight_decay = 0;
    tern_optim *o = terni_optim_new(rule, m, lr, opts.weight_decay);
    if (!o) return NULL;
    o->adam = opts;
    o->decoupled = rule == &adamw;
    return o;
}

tern_optim *tern_adam_new(tern_module *m, double lr, tern_adam_opts opts) { return make(&adam, m, lr, opts, 0); }
tern_optim *tern_adamw_new(tern_module *m, double lr, tern_adamw_opts opts) { return make(&adamw, m, lr, opts, 0.01); }
