/* Trains a classifier of handwritten digits on the 1,797 images that come with Tern. What a training program is made
 * of: a network, data, and settings that suit them; common/train.c has the loop. */
#include "common/example.h"

static tern_module *mlp_new(void) {
    return tern_sequential(tern_flatten_new(), tern_linear_new(8 * 8, 128, (tern_linear_opts){0}), tern_relu_new(),
                           tern_dropout_new(0.2), tern_linear_new(128, 128, (tern_linear_opts){0}), tern_relu_new(),
                           tern_dropout_new(0.2), tern_linear_new(128, 10, (tern_linear_opts){0}), NULL);
}

static tern_module *cnn_new(void) {
    const tern_conv2d_opts same = {.pad = {1, 1}, .no_bias = true}; /* batch_norm has a bias of its own */
    return tern_sequential(tern_conv2d_new(1, 32, 3, same), tern_batch_norm_new(32, (tern_norm_opts){0}),
                           tern_relu_new(), tern_conv2d_new(32, 32, 3, same),
                           tern_batch_norm_new(32, (tern_norm_opts){0}), tern_relu_new(),
                           tern_max_pool2d_new(2, (tern_pool2d_opts){0}), tern_flatten_new(), tern_dropout_new(0.3),
                           tern_linear_new(32 * 4 * 4, 64, (tern_linear_opts){0}), tern_relu_new(),
                           tern_linear_new(64, 10, (tern_linear_opts){0}), NULL);
}

static tern_dataset *data_new(const settings *s, bool train) {
    (void)s;
    return tern_digits_new(train);
}

int main(int argc, char **argv) {
    static const example digits = {
        .name = "digits",
        .about =
            "Trains a classifier of handwritten digits: 1,797 real images of 8 x 8 pixels, which are part of Tern\n"
            "(E. Alpaydin and C. Kaynak, 1998, doi:10.24432/C50P49, CC BY 4.0). A fifth of them is for testing.",
        .recipes = {{"cnn", cnn_new, .epochs = 20, .batch = 32, .lr = 3e-3},
                    {"mlp", mlp_new, .epochs = 60, .batch = 32, .lr = 3e-3}},
        .data_new = data_new,
        .mean = 0,
        .std = 1,
        .pixel_max = 16,
        .height = 8,
        .width = 8,
    };
    return example_main(&digits, argc, argv);
}
