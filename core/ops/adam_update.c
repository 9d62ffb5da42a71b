#include <math.h>

#include "ops/update.h"

bool tern_adam_update(tern_tensor *const *param, tern_tensor *const *grad, tern_tensor *const *m, tern_tensor *const *v,
                      int n, tern_adam_update_opts opts) {
    if (tern_ok() && opts.step < 1 && !opts.rates)
        return terni_fail(TERN_ERR_ARGUMENT, "adam_update: step %lld, expected 1 or more", (long long)opts.step);
    const terni_update u = {.op = "adam_update",
                            .id = TERNI_OP_adam_update,
                            .n = n,
                            .n_target = 3,
                            .grad = grad,
                            .target = {param, m, v},
                            .name = {"param", "m", "v"},
                            .scale = opts.grad_scale,
                            .rates = opts.rates,
                            .n_rates = 3};
    terni_adam_opts o = {.lr = opts.lr,
                         .beta1 = opts.beta1,
                         .beta2 = opts.beta2,
                         .eps = opts.eps,
                         .weight_decay = opts.weight_decay,
                         .correction1 = 1 - pow(opts.beta1, (double)opts.step),
                         .correction2 = 1 - pow(opts.beta2, (double)opts.step),
                         .decoupled = opts.decoupled,
                         .skip = opts.skip_not_finite};
    return terni_update_run(&u, &o.n);
}
