#include "ops/update.h"

bool tern_sgd_update(tern_tensor *const *param, tern_tensor *const *grad, tern_tensor *const *momentum, int n,
                     tern_sgd_update_opts opts) {
    const terni_update u = {.op = "sgd_update",
                            .id = TERNI_OP_sgd_update,
                            .n = n,
                            .n_target = opts.momentum != 0.0 ? 2 : 1,
                            .grad = grad,
                            .target = {param, momentum},
                            .name = {"param", "momentum"},
                            .scale = opts.grad_scale,
                            .rates = opts.rates,
                            .n_rates = 1};
    terni_sgd_opts o = {.lr = opts.lr,
                        .momentum = opts.momentum,
                        .dampening = opts.dampening,
                        .weight_decay = opts.weight_decay,
                        .nesterov = opts.nesterov,
                        .first = opts.first,
                        .skip = opts.skip_not_finite};
    return terni_update_run(&u, &o.n);
}
