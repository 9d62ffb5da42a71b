/* Stochastic gradient descent. */
#include "internal.h"

static bool update(tern_optim *o, const terni_group *g, tern_tensor *const *param, tern_tensor *const *grad,
                   tern_tensor *const *const *slot, int n, int64_t step) {
    return tern_sgd_update(param, grad, slot[0], n,
                           (tern_sgd_update_opts){.lr = o->lr * g->lr_scale,
                                                  .momentum = o->sgd.momentum,
                                                  .dampening = o->sgd.dampening,
                                                  .weight_decay = g->weight_decay,
                                                  .nesterov = o->sgd.nesterov,
                                                  .first = step == 1});
}

static const terni_rule plain = {"sgd", {NULL, NULL}, update};
static const terni_rule with_momentum = {"sgd", {"momentum_buffer", NULL}, update};

tern_optim *tern_sgd_new(tern_module *m, double lr, tern_sgd_opts opts) {
    if (!tern_ok()) return NULL;
    if (!(opts.momentum >= 0 && opts.momentum <= 1) || !(opts.weight_decay >= 0) ||
        !(opts.dampening >= 0 && opts.dampening <= 1))
        return terni_null(TERN_ERR_ARGUMENT,
                          "sgd: momentum %g, dampening %g, weight_decay %g; expected 0 to 1, 0 to 1, 0 or more",
                          opts.momentum, opts.dampening, opts.weight_decay);
    if (opts.nesterov && (opts.momentum == 0 || opts.dampening != 0))
        return terni_null(TERN_ERR_ARGUMENT, "sgd: nesterov needs momentum above 0 and no dampening");
    tern_optim *o = terni_optim_new(opts.momentum > 0 ? &with_momentum : &plain, m, lr, opts.weight_decay);
    if (o) o->sgd = opts;
    return o;
}
