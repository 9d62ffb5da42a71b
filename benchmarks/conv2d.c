/* conv2d f32: forward, the gradient of the input and that of the weight over the shapes of ResNets and of small CNNs,
 * and training steps of two small CNNs (batch 64; Adam). Medians and best.
 *   bench-conv2d [--quick]      the table
 *   bench-conv2d --list         shapes, one a line, for peers/conv2d.py
 *   bench-conv2d --serve        answers lines "SHAPE KIND" (numbers of the list; kind 0 forward, 1 input, 2 weight) and
 *                               "step MODEL" with the median in seconds */
#include "bench.h"
#include "tern/tern.h"

enum { ROUNDS = 41, STEPS = 40, KINDS = 3 };

typedef struct shape {
    const char *name;
    int64_t n, c, o, size, kernel, stride, pad, groups;
} shape;

static const shape shapes[] = {
    {"ResNet 7x7 s2 3-64, 224", 16, 3, 64, 224, 7, 2, 3, 1},
    {"ResNet 3x3 64-64, 56", 16, 64, 64, 56, 3, 1, 1, 1},
    {"ResNet 1x1 64-256, 56", 16, 64, 256, 56, 1, 1, 0, 1},
    {"ResNet 1x1 256-64, 56", 16, 256, 64, 56, 1, 1, 0, 1},
    {"ResNet 3x3 s2 128-128, 56", 16, 128, 128, 56, 3, 2, 1, 1},
    {"ResNet 3x3 128-128, 28", 16, 128, 128, 28, 3, 1, 1, 1},
    {"ResNet 1x1 s2 256-512, 56", 16, 256, 512, 56, 1, 2, 0, 1},
    {"ResNet 3x3 256-256, 14", 16, 256, 256, 14, 3, 1, 1, 1},
    {"ResNet 1x1 1024-256, 14", 16, 1024, 256, 14, 1, 1, 0, 1},
    {"ResNet 3x3 512-512, 7", 16, 512, 512, 7, 3, 1, 1, 1},
    {"CNN 3x3 3-32, 32", 64, 3, 32, 32, 3, 1, 1, 1},
    {"CNN 3x3 32-64, 16", 64, 32, 64, 16, 3, 1, 1, 1},
    {"CNN 3x3 1-32, 28", 64, 1, 32, 28, 3, 1, 1, 1},
    {"CNN 3x3 16-32, 14", 64, 16, 32, 14, 3, 1, 1, 1},
    {"CNN 5x5 1-16, 28", 64, 1, 16, 28, 5, 1, 2, 1},
    {"CNN 5x5 32-64, 14", 64, 32, 64, 14, 5, 1, 2, 1},
    {"depthwise 3x3 128, 28", 16, 128, 128, 28, 3, 1, 1, 128},
    {"depthwise 3x3 s2 64, 56", 16, 64, 64, 56, 3, 2, 1, 64},
    {"N 1, 3x3 64-64, 56", 1, 64, 64, 56, 3, 1, 1, 1},
    {"N 1, 1x1 1024-256, 14", 1, 1024, 256, 14, 1, 1, 0, 1},
    {"N 1, 3x3 512-512, 7", 1, 512, 512, 7, 3, 1, 1, 1},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* Seconds of one call; scalar products with constants, so that only the wanted gradient is computed besides. */
static double once(const shape *s, int kind, tern_tensor *x, tern_tensor *w, tern_tensor *seed) {
    const tern_conv2d_opts opts = {.stride = {s->stride}, .pad = {s->pad ? s->pad : -1}, .groups = s->groups};
    const int scope = tern_scope_push();
    tern_tensor *a = kind == 1 ? tern_require_grad(tern_detach(x), true) : x;
    tern_tensor *b = kind == 2 ? tern_require_grad(tern_detach(w), true) : w;
    double t = bench_now();
    tern_tensor *y = tern_conv2d(a, b, NULL, opts), *g, *of = kind == 1 ? a : b;
    if (kind > 0) {
        t = bench_now();
        tern_grad(y, &of, 1, seed, (tern_backward_opts){0}, &g);
    }
    t = bench_now() - t;
    tern_scope_pop(scope);
    bench_check();
    return t;
}

/* The median of calls that take `budget` seconds together, one at least; the best in *best. */
static double measure(const shape *s, int kind, double budget, double *best) {
    double seconds[ROUNDS], spent = 0;
    int rounds = 0;
    const int outer = tern_scope_push();
    tern_tensor *x = tern_randn(TERN_SHAPE(s->n, s->c, s->size, s->size), 0, 1, (tern_options){0});
    tern_tensor *w = tern_randn(TERN_SHAPE(s->o, s->c / s->groups, s->kernel, s->kernel), 0, 1, (tern_options){0});
    const int64_t out = (s->size + 2 * s->pad - s->kernel) / s->stride + 1;
    tern_tensor *seed = tern_randn(TERN_SHAPE(s->n, s->o, out, out), 0, 1, (tern_options){0});
    bench_check();
    once(s, kind, x, w, seed);
    for (; rounds < ROUNDS && (rounds == 0 || spent < budget); rounds++)
        spent += seconds[rounds] = once(s, kind, x, w, seed);
    tern_scope_pop(outer);
    const double median = bench_median(seconds, rounds);
    *best = seconds[0];
    return median;
}

static void report(const shape *s, double budget) {
    static const char *const kinds[KINDS] = {"forward", "input", "weight"};
    const double out = (double)((s->size + 2 * s->pad - s->kernel) / s->stride + 1);
    const double flops = 2.0 * (double)(s->n * s->c / s->groups * s->o * s->kernel * s->kernel) * out * out;
    printf("%s, N %lld:\n", s->name, (long long)s->n);
    for (int kind = 0; kind < KINDS; kind++) {
        double best;
        const double median = measure(s, kind, budget, &best);
        printf("  %-8s %8.3f ms (best %8.3f) %6.0f GFLOP/s\n", kinds[kind], median * 1e3, best * 1e3,
               flops / median * 1e-9);
    }
}

/* conv C -> 32, pool, conv 64, pool, and what the model has after them, on images of `size`. */
typedef struct model {
    const char *name;
    int64_t channels, size, hidden; /* hidden: of a linear layer before the last, 0 none */
} model;
static const model models[] = {{"CNN on 28x28x1: conv 32, conv 64, fc 128, fc 10", 1, 28, 128},
                               {"CNN on 32x32x3: conv 32, conv 64, fc 10", 3, 32, 0}};
enum { MODELS = sizeof models / sizeof *models };

static tern_module *build(const model *m) {
    const tern_conv2d_opts same = {.pad = {1}};
    const int64_t flat = 64 * (m->size / 4) * (m->size / 4);
    tern_module *body = tern_sequential(
        tern_conv2d_new(m->channels, 32, 3, same), tern_relu_new(), tern_max_pool2d_new(2, (tern_pool2d_opts){0}),
        tern_conv2d_new(32, 64, 3, same), tern_relu_new(), tern_max_pool2d_new(2, (tern_pool2d_opts){0}),
        tern_flatten_new(), tern_linear_new(flat, m->hidden ? m->hidden : 10, (tern_linear_opts){0}), NULL);
    if (!m->hidden) return body;
    return tern_sequential(body, tern_relu_new(), tern_linear_new(m->hidden, 10, (tern_linear_opts){0}), NULL);
}

static double step(const model *m, int rounds, double *best) {
    double seconds[STEPS];
    const int outer = tern_scope_push();
    tern_module *net = build(m);
    tern_optim *optim = tern_adam_new(net, 1e-3, (tern_adam_opts){0});
    tern_tensor *x = tern_randn(TERN_SHAPE(64, m->channels, m->size, m->size), 0, 1, (tern_options){0});
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
    *best = seconds[0];
    tern_optim_free(optim);
    tern_module_free(net);
    tern_scope_pop(outer);
    return median;
}

static void list(void) {
    for (int i = 0; i < SHAPES; i++) {
        const shape *s = &shapes[i];
        printf("shape\t%s\t%lld %lld %lld %lld %lld %lld %lld %lld\n", s->name, (long long)s->n, (long long)s->c,
               (long long)s->o, (long long)s->size, (long long)s->kernel, (long long)s->stride, (long long)s->pad,
               (long long)s->groups);
    }
    for (int i = 0; i < MODELS; i++)
        printf("model\t%s\t%lld %lld %lld\n", models[i].name, (long long)models[i].channels, (long long)models[i].size,
               (long long)models[i].hidden);
}

static void serve(void) {
    char line[64];
    int a, kind;
    while (fgets(line, sizeof line, stdin)) {
        double best, median = -1;
        if (sscanf(line, "step %d", &a) == 1 && a >= 0 && a < MODELS)
            median = step(&models[a], STEPS, &best);
        else if (sscanf(line, "%d %d", &a, &kind) == 2 && a >= 0 && a < SHAPES && kind >= 0 && kind < KINDS)
            median = measure(&shapes[a], kind, 0.05, &best);
        printf("%.9g\n", median);
        fflush(stdout);
    }
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    const bool quick = strcmp(how, "--quick") == 0;
    tern_seed(1);
    if (strcmp(how, "--list") == 0) {
        list();
    } else if (strcmp(how, "--serve") == 0) {
        serve();
    } else if (argc > 1 && !quick) {
        fprintf(stderr, "usage: bench-conv2d [--quick | --list | --serve]\n");
        return 2;
    } else {
        bench_head("conv2d, f32");
        for (int i = quick ? 13 : 0; i < (quick ? 14 : SHAPES); i++) report(&shapes[i], quick ? 0 : 0.3);
        for (int i = 0; i < MODELS; i++) {
            double best;
            const double median = step(&models[i], quick ? 3 : STEPS, &best);
            printf("%s: a step %.3f ms (best %.3f), %.0f images/s\n", models[i].name, median * 1e3, best * 1e3,
                   64 / median);
        }
    }
    return 0;
}
