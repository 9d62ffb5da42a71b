#include "model.h"

tern_module *mnist_mlp_new(void) {
    return tern_sequential(tern_flatten_new(), tern_linear_new(28 * 28, 256, (tern_linear_opts){0}), tern_relu_new(),
                           tern_dropout_new(0.2), tern_linear_new(256, 256, (tern_linear_opts){0}), tern_relu_new(),
                           tern_dropout_new(0.2), tern_linear_new(256, 10, (tern_linear_opts){0}), NULL);
}

tern_module *mnist_cnn_new(void) {
    const tern_conv2d_opts same = {.pad = {1, 1}, .no_bias = true}; /* batch_norm has a bias of its own */
    return tern_sequential(
        tern_conv2d_new(1, 16, 3, same), tern_batch_norm_new(16, (tern_norm_opts){0}), tern_relu_new(),
        tern_max_pool2d_new(2, (tern_pool2d_opts){0}), tern_conv2d_new(16, 32, 3, same),
        tern_batch_norm_new(32, (tern_norm_opts){0}), tern_relu_new(), tern_max_pool2d_new(2, (tern_pool2d_opts){0}),
        tern_flatten_new(), tern_dropout_new(0.3), tern_linear_new(32 * 7 * 7, 128, (tern_linear_opts){0}),
        tern_relu_new(), tern_dropout_new(0.3), tern_linear_new(128, 10, (tern_linear_opts){0}), NULL);
}
