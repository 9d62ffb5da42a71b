/* How long an epoch of MNIST's size takes: an MLP 784-64-10 with Adam, batches of 64 from 60,000 samples, everything
 * that a training program does included (loader, forward, backward, update, the loss summed up). The samples are
 * random, as time does not depend on them, or MNIST's own where TERN_DATA names the folder that holds mnist/.
 *     bench-mlp_epoch [--quick | EPOCHS [WORKERS]]
 * prints the best and the median of EPOCHS (default 15) epochs, with WORKERS loader threads (default 1). */
#include "bench.h"
#include "tern/tern.h"

enum { SAMPLES = 60000, EPOCHS_MAX = 1000 };

static tern_dataset *random_data(void) {
    const int scope = tern_scope_push();
    tern_tensor *x = tern_rand(TERN_SHAPE(SAMPLES, 1, 28, 28), 0, 1, (tern_options){0});
    tern_tensor *y = tern_cast(tern_rand(TERN_SHAPE(SAMPLES), 0, 10, (tern_options){0}), TERN_I64);
    tern_dataset *d = tern_dataset_tensors_new(x, y);
    tern_scope_pop(scope);
    return d;
}

static tern_dataset *mnist_data(const char *root) {
    char images[4096], labels[4096];
    snprintf(images, sizeof images, "%s/mnist/train-images-idx3-ubyte.gz", root);
    snprintf(labels, sizeof labels, "%s/mnist/train-labels-idx1-ubyte.gz", root);
    return tern_idx_dataset_new(images, labels, (tern_idx_opts){.mean = 0.1307, .std = 0.3081});
}

/* One epoch; returns its mean loss. */
static double epoch(tern_module *net, tern_optim *optim, tern_loader *loader) {
    const int outer = tern_scope_push();
    tern_tensor *sum = tern_scalar(0, (tern_options){0});
    for (bool more = true; more;) {
        const int scope = tern_scope_push();
        tern_batch b;
        more = tern_loader_next(loader, &b);
        if (more) {
            tern_tensor *loss = tern_cross_entropy(tern_forward(net, b.x), b.y, (tern_cross_entropy_opts){0});
            tern_backward(loss);
            tern_optim_step(optim);
            const bool was = tern_grad_mode(false);
            more = tern_add_(sum, loss) != NULL;
            tern_grad_mode(was);
        }
        tern_scope_pop(scope);
    }
    const double loss = tern_item(sum) / (double)tern_loader_batches(loader);
    tern_scope_pop(outer);
    return loss;
}

int main(int argc, char **argv) {
    static double seconds[EPOCHS_MAX];
    const bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    const int epochs = quick ? 2 : argc > 1 ? atoi(argv[1]) : 15, workers = argc > 2 ? atoi(argv[2]) : 1;
    const char *root = getenv("TERN_DATA");
    const bool real = root && *root;
    if (epochs < 1 || epochs > EPOCHS_MAX || workers < 0) {
        fprintf(stderr, "usage: bench-mlp_epoch [--quick | EPOCHS [WORKERS]]: 1 to %d epochs\n", EPOCHS_MAX);
        return 2;
    }
    bench_head("an epoch of 60,000, MLP 784-64-10, batch 64, Adam, f32");
    tern_seed(1);
    tern_dataset *data = real ? mnist_data(root) : random_data();
    tern_module *net = tern_sequential(tern_flatten_new(), tern_linear_new(784, 64, (tern_linear_opts){0}),
                                       tern_relu_new(), tern_linear_new(64, 10, (tern_linear_opts){0}), NULL);
    bench_check();
    tern_optim *optim = tern_adam_new(net, 1e-3, (tern_adam_opts){0});
    tern_loader *loader =
        tern_loader_new(data, (tern_loader_opts){.batch = 64, .shuffle = true, .seed = 1, .workers = workers});
    bench_check();
    double loss = 0;
    for (int i = 0; i < epochs; i++) {
        const double start = bench_now();
        loss = epoch(net, optim, loader);
        seconds[i] = bench_now() - start;
        bench_check();
    }
    const double median = bench_median(seconds, epochs); /* sorts */
    printf("%s, %d threads, %d workers: best %.3f s, median %.3f s of %d epochs, last mean loss %.4f\n",
           real ? "MNIST" : "random data", tern_threads(), workers, seconds[0], median, epochs, loss);
    tern_loader_free(loader);
    tern_optim_free(optim);
    tern_module_free(net);
    tern_dataset_free(data);
    return 0;
}
