#include <math.h>

#include "internal.h"

static bool update(const tern_optim *o, const terni_bucket *b) {
    const tern_sgd_opts *s = &o->opts.sgd;
    return tern_sgd_update(b->param, b->grad, b->slot[0], b->n,
                           (tern_sgd_update_opts){.lr = b->lr,
                                                  .momentum = s->momentum,
                                                  .dampening = s->dampening,
                                                  .weight_decay = b->weight_decay,
                                                  .nesterov = s->nesterov,
                                                  .first = b->step == 1,
                                                  .grad_scale = b->scale,
                                                  .rates = b->rates});
}

static void rates(const tern_optim *o, double lr, int64_t step, double *rate) {
    (void)o, (void)step;
    rate[0] = lr;
}

static const terni_rule rule = {"sgd", {"momentum_buffer"}, update, 1, rates};

tern_optim *tern_sgd_new(tern_module *m, double lr, tern_sgd_opts opts) {
    if (!tern_ok()) return NULL;
    if (!(opts.momentum >= 0 && isfinite(opts.momentum)) || !isfinite(opts.dampening))
        return terni_null(TERN_ERR_ARGUMENT, "sgd: momentum %g and dampening %g; 0 or more and a number expected",
                          opts.momentum, opts.dampening);
    if (opts.nesterov && (!(opts.momentum > 0) || opts.dampening > 0 || opts.dampening < 0))
        return terni_null(TERN_ERR_ARGUMENT,
                          "sgd: nesterov needs momentum above 0 and no dampening; momentum is %g, dampening %g",
                          opts.momentum, opts.dampening);
    tern_optim *o = terni_optim_new(m, "sgd", lr, opts.weight_decay);
    if (!o) return NULL;
    o->rule = &rule;
    o->n_slots = opts.momentum > 0 ? 1 : 0;
    o->opts.sgd = opts;
    return o;
}
