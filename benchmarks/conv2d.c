/* conv2d f32: forward, the gradient of the input and that of the weight, and a training step of a small CNN on images
 * of MNIST's size (conv 32, pool, conv 64, pool, linear 128, linear 10; batch 64; Adam). Medians and best of the
 * rounds. bench-conv2d [--quick] */
#include "bench.h"
#include "tern/tern.h"

enum { ROUNDS = 21, STEPS = 40 };

typedef struct job {
    int64_t n, c, o, size, kernel, pad;
} job;

static const job jobs[] = {{64, 1, 32, 28, 3, 1},    {64, 1, 16, 28, 5, 2},    {64, 16, 32, 14, 3, 1},
                           {64, 32, 64, 14, 3, 1},   {64, 32, 64, 14, 5, 2},   {32, 64, 64, 56, 3, 1},
                           {16, 128, 128, 28, 3, 1}, {16, 256, 256, 14, 3, 1}, {16, 64, 64, 56, 1, 0}};

static void report(const char *what, double *seconds, int rounds, double flops) {
    const double median = bench_median(seconds, rounds);
    printf("  %-8s %8.3f ms (best %8.3f) %6.0f GFLOP/s", what, median * 1e3, seconds[0] * 1e3, flops / median * 1e-9);
}

/* A scalar product with constants, so that only the wanted gradient is computed besides. */
static void run(const job *j, int rounds) {
    double seconds[3][ROUNDS];
    const int outer = tern_scope_push();
    tern_tensor *x = tern_randn(TERN_SHAPE(j->n, j->c, j->size, j->size), 0, 1, (tern_options){0});
    tern_tensor *w = tern_randn(TERN_SHAPE(j->o, j->c, j->kernel, j->kernel), 0, 1, (tern_options){0});
    const tern_conv2d_opts opts = {.pad = {j->pad}};
    tern_tensor *seed = tern_ones_like(tern_conv2d(x, w, NULL, opts));
    for (int r = 0; r < rounds; r++) {
        for (int kind = 0; kind < 3; kind++) {
            const int scope = tern_scope_push();
            tern_tensor *a = kind == 1 ? tern_require_grad(tern_detach(x), true) : x;
            tern_tensor *b = kind == 2 ? tern_require_grad(tern_detach(w), true) : w;
            double t = bench_now();
            tern_tensor *y = tern_conv2d(a, b, NULL, opts), *g, *of = kind == 1 ? a : b;
            if (kind > 0) {
                t = bench_now();
                tern_grad(y, &of, 1, seed, (tern_backward_opts){0}, &g);
            }
            seconds[kind][r] = bench_now() - t;
            tern_scope_pop(scope);
            bench_check();
        }
    }
    const int64_t out = tern_size(seed, 2);
    const double flops = 2.0 * (double)(j->n * j->c * j->o * j->kernel * j->kernel) * (double)(out * out);
    printf("N %lld, %lld -> %lld, %lldx%lld, kernel %lld:\n", (long long)j->n, (long long)j->c, (long long)j->o,
           (long long)j->size, (long long)j->size, (long long)j->kernel);
    report("forward", seconds[0], rounds, flops), putchar('\n');
    report("input", seconds[1], rounds, flops), putchar('\n');
    report("weight", seconds[2], rounds, flops), putchar('\n');
    tern_scope_pop(outer);
}

static void step(int rounds) {
    double seconds[STEPS];
    const int outer = tern_scope_push();
    const tern_conv2d_opts same = {.pad = {1}};
    tern_module *net = tern_sequential(tern_conv2d_new(1, 32, 3, same), tern_relu_new(),
                                       tern_max_pool2d_new(2, (tern_pool2d_opts){0}), tern_conv2d_new(32, 64, 3, same),
                                       tern_relu_new(), tern_max_pool2d_new(2, (tern_pool2d_opts){0}),
                                       tern_flatten_new(), tern_linear_new(3136, 128, (tern_linear_opts){0}),
                                       tern_relu_new(), tern_linear_new(128, 10, (tern_linear_opts){0}), NULL);
    tern_optim *optim = tern_adam_new(net, 1e-3, (tern_adam_opts){0});
    tern_tensor *x = tern_randn(TERN_SHAPE(64, 1, 28, 28), 0, 1, (tern_options){0});
    tern_tensor *y = tern_cast(tern_rand(TERN_SHAPE(64), 0, 10, (tern_options){0}), TERN_I64);
    bench_check();
    for (int r = 0; r < rounds; r++) {
        const int scope = tern_scope_push();
        const double t = bench_now();
        tern_tensor *loss = tern_cross_entropy(tern_forward(net, x), y, (tern_cross_entropy_opts){0});
        tern_backward(loss);
        tern_optim_step(optim);
        tern_item(loss);
        seconds[r] = bench_now() - t;
        tern_scope_pop(scope);
        bench_check();
    }
    const double median = bench_median(seconds, rounds);
    printf("a step of the CNN: %.3f ms (best %.3f), %.0f images/s\n", median * 1e3, seconds[0] * 1e3, 64 / median);
    tern_optim_free(optim);
    tern_module_free(net);
    tern_scope_pop(outer);
}

int main(int argc, char **argv) {
    const bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    if (argc > 1 && !quick) {
        fprintf(stderr, "usage: bench-conv2d [--quick]\n");
        return 2;
    }
    bench_head("conv2d, f32");
    tern_seed(1);
    for (size_t i = 0; i < (quick ? 1 : sizeof jobs / sizeof *jobs); i++) run(&jobs[i], quick ? 3 : ROUNDS);
    step(quick ? 3 : STEPS);
    return 0;
}
