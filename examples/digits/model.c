#include "model.h"

tern_module *digits_mlp_new(void) {
    return tern_sequential(tern_flatten_new(), tern_linear_new(8 * 8, 128, (tern_linear_opts){0}), tern_relu_new(),
                           tern_dropout_new(0.2), tern_linear_new(128, 128, (tern_linear_opts){0}), tern_relu_new(),
                           tern_dropout_new(0.2), tern_linear_new(128, 10, (tern_linear_opts){0}), NULL);
}

tern_module *digits_cnn_new(void) {
    const tern_conv2d_opts same = {.pad = {1, 1}, .no_bias = true}; /* batch_norm has a bias of its own */
    return tern_sequential(tern_conv2d_new(1, 32, 3, same), tern_batch_norm_new(32, (tern_norm_opts){0}),
                           tern_relu_new(), tern_conv2d_new(32, 32, 3, same),
                           tern_batch_norm_new(32, (tern_norm_opts){0}), tern_relu_new(),
                           tern_max_pool2d_new(2, (tern_pool2d_opts){0}), tern_flatten_new(), tern_dropout_new(0.3),
                           tern_linear_new(32 * 4 * 4, 64, (tern_linear_opts){0}), tern_relu_new(),
                           tern_linear_new(64, 10, (tern_linear_opts){0}), NULL);
}
