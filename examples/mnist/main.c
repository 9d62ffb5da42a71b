/* Trains a classifier of handwritten digits on MNIST: 60,000 images of 28 x 28 to train with, 10,000 to test. */
#include <stdio.h>

#include "../common/example.h"
#include "files.h"
#include "model.h"

/* The digits that come with Tern, as large as MNIST's: 20 pixels high in a frame of 4. */
static tern_dataset *bundled_new(bool train) {
    static const int64_t frame[4] = {4, 4, 4, 4};
    tern_dataset *small = tern_digits_new(train), *d = NULL;
    const int scope = tern_scope_push();
    tern_loader *l = small ? tern_loader_new(small, (tern_loader_opts){.batch = small->length}) : NULL;
    tern_batch b;
    if (l && tern_loader_next(l, &b)) {
        tern_tensor *x = tern_interpolate(b.x, (tern_interpolate_opts){.mode = TERN_LINEAR, .size = {20, 20}});
        const double mean = MNIST_MEAN, std = MNIST_STD;
        d = tern_dataset_tensors_new(tern_batch_normalize(tern_pad(x, frame, 4, (tern_pad_opts){0}), &mean, &std, 1),
                                     b.y);
        if (d) d->classes = small->classes;
    }
    tern_loader_free(l);
    tern_scope_pop(scope);
    tern_dataset_free(small);
    return d;
}

static tern_dataset *data_new(const settings *s, bool train) {
    char images[MNIST_PATH_MAX], labels[MNIST_PATH_MAX];
    if (!mnist_asked_for(s)) {
        if (train) {
            printf(
                "There is no data/mnist: instead of MNIST these are the 1,797 digits that come with Tern, enlarged.\n"
                "--download fetches MNIST; --data or TERN_DATA says where it is.\n\n");
        }
        return bundled_new(train);
    }
    if (!mnist_files(s, train, images, labels)) return NULL;
    return tern_idx_dataset_new(images, labels, (tern_idx_opts){.mean = MNIST_MEAN, .std = MNIST_STD, .classes = 10});
}

int main(int argc, char **argv) {
    static const example mnist = {
        .name = "mnist",
        .about =
            "Trains a classifier of handwritten digits on MNIST: 60,000 images of 28 x 28 pixels to train with and\n"
            "10,000 to test (Y. LeCun, C. Cortes, C. J. C. Burges). Its four IDX files, plain or gzip, are read from\n"
            "--data, else from the folder mnist in $TERN_DATA, else from data/mnist; --download fetches them "
            "from\n" MNIST_URL
            " (or from $TERN_MNIST_URL).\n"
            "Where none of these is, the 1,797 digits that come with Tern stand in for it, enlarged.",
        .recipes = {{"cnn", mnist_cnn_new, .epochs = 5, .batch = 64, .lr = 2e-3},
                    {"mlp", mnist_mlp_new, .epochs = 10, .batch = 64, .lr = 2e-3}},
        .data_new = data_new,
        .mean = MNIST_MEAN,
        .std = MNIST_STD,
        .pixel_max = 255,
        .height = 28,
        .width = 28,
        .has_files = true,
    };
    return example_main(&mnist, argc, argv);
}
