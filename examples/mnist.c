/* Trains a classifier of handwritten digits on MNIST: 60,000 images of 28 x 28 to train with, 10,000 to test. */
#include "common/example.h"
#include "mnist_files.h"

/* Of the pixels of the training images, from 0 to 1. */
#define PIXEL_MEAN 0.1307
#define PIXEL_STD  0.3081

static tern_module *mlp_new(void) {
    return tern_sequential(tern_flatten_new(), tern_linear_new(28 * 28, 256, (tern_linear_opts){0}), tern_relu_new(),
                           tern_dropout_new(0.2), tern_linear_new(256, 256, (tern_linear_opts){0}), tern_relu_new(),
                           tern_dropout_new(0.2), tern_linear_new(256, 10, (tern_linear_opts){0}), NULL);
}

static tern_module *cnn_new(void) {
    const tern_conv2d_opts same = {.pad = {1, 1}, .no_bias = true}; /* batch_norm has a bias of its own */
    return tern_sequential(
        tern_conv2d_new(1, 16, 3, same), tern_batch_norm_new(16, (tern_norm_opts){0}), tern_relu_new(),
        tern_max_pool2d_new(2, (tern_pool2d_opts){0}), tern_conv2d_new(16, 32, 3, same),
        tern_batch_norm_new(32, (tern_norm_opts){0}), tern_relu_new(), tern_max_pool2d_new(2, (tern_pool2d_opts){0}),
        tern_flatten_new(), tern_dropout_new(0.3), tern_linear_new(32 * 7 * 7, 128, (tern_linear_opts){0}),
        tern_relu_new(), tern_dropout_new(0.3), tern_linear_new(128, 10, (tern_linear_opts){0}), NULL);
}

static tern_dataset *data_new(const settings *s, bool train) {
    char images[MNIST_PATH_MAX], labels[MNIST_PATH_MAX];
    if (!mnist_files(s, train, images, labels)) return NULL;
    return tern_idx_dataset_new(images, labels, (tern_idx_opts){.mean = PIXEL_MEAN, .std = PIXEL_STD, .classes = 10});
}

int main(int argc, char **argv) {
    static const example mnist = {
        .name = "mnist",
        .about =
            "Trains a classifier of handwritten digits on MNIST: 60,000 images of 28 x 28 pixels to train with and\n"
            "10,000 to test (Y. LeCun, C. Cortes, C. J. C. Burges). Its four IDX files, plain or gzip, are read from\n"
            "--data, else from the folder mnist in $TERN_DATA, else from data/mnist; --download fetches them "
            "from\n" MNIST_URL " (or from $TERN_MNIST_URL).",
        .recipes = {{"cnn", cnn_new, .epochs = 5, .batch = 64, .lr = 2e-3},
                    {"mlp", mlp_new, .epochs = 10, .batch = 64, .lr = 2e-3}},
        .data_new = data_new,
        .mean = PIXEL_MEAN,
        .std = PIXEL_STD,
        .pixel_max = 255,
        .height = 28,
        .width = 28,
        .has_files = true,
    };
    return example_main(&mnist, argc, argv);
}
