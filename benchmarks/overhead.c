/* What an eager call costs on the CPU beyond its arithmetic: ops on one element, a small linear layer, and training
 * steps of an MLP 784-128-10, from which benchmarks/peers/overhead.py takes the same in PyTorch.
 *     bench-overhead [--quick] [ROW]    nanoseconds a call of each row whose name contains ROW: median and best of runs
 *     bench-overhead --count N ROW      N calls of one row, for a counter of instructions */
#include "bench.h"
#include "tern/tern.h"

enum { RUNS = 15, CHAIN = 10 };

typedef struct setting {
    tern_tensor *a, *b, *w, *bias, *x, *wide, *target;
    tern_module *net;
    tern_optim *optim;
} setting;

/* ---- ops on one element ------------------------------------------------------------------------------------------ */

static void add(setting *s) {
    const int scope = tern_scope_push();
    (void)tern_add(s->a, s->b);
    tern_scope_pop(scope);
}

static void add_scalar(setting *s) {
    const int scope = tern_scope_push();
    (void)tern_add_scalar(s->a, 2);
    tern_scope_pop(scope);
}

static void relu(setting *s) {
    const int scope = tern_scope_push();
    (void)tern_relu(s->a);
    tern_scope_pop(scope);
}

static void add_in_place(setting *s) { (void)tern_add_(s->a, s->b); }

static void sum(setting *s) {
    const int scope = tern_scope_push();
    (void)tern_sum(s->a, NULL, 0, false);
    tern_scope_pop(scope);
}

/* Forward with a tape, which the scope's end drops. */
static void mul_recorded(setting *s) {
    const int scope = tern_scope_push();
    (void)tern_mul(s->w, s->a);
    tern_scope_pop(scope);
}

static void mul_backward(setting *s) {
    const int scope = tern_scope_push();
    tern_backward(tern_mul(s->w, s->a));
    tern_grad_set(s->w, NULL);
    tern_scope_pop(scope);
}

/* CHAIN ops and their backward: a tenth of it is what one more op costs. */
static void chain_backward(setting *s) {
    const int scope = tern_scope_push();
    tern_tensor *y = s->w;
    for (int i = 0; i < CHAIN; i++) y = tern_mul(y, s->a);
    tern_backward(y);
    tern_grad_set(s->w, NULL);
    tern_scope_pop(scope);
}

/* ---- a linear layer, [4, 16] by [16, 16] ---------------------------------------------------------------------------
 */

static void linear(setting *s) {
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    (void)tern_linear(s->x, s->wide, s->bias);
    tern_grad_mode(was);
    tern_scope_pop(scope);
}

static void linear_backward(setting *s) {
    const int scope = tern_scope_push();
    tern_backward(tern_sum(tern_linear(s->x, s->wide, s->bias), NULL, 0, false));
    tern_grad_set(s->wide, NULL);
    tern_grad_set(s->bias, NULL);
    tern_scope_pop(scope);
}

/* ---- training steps ---------------------------------------------------------------------------------------------- */

static void step(setting *s) {
    const int scope = tern_scope_push();
    tern_backward(tern_cross_entropy(tern_forward(s->net, s->x), s->target, (tern_cross_entropy_opts){0}));
    tern_optim_step(s->optim);
    tern_scope_pop(scope);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static void begin_element(setting *s) {
    s->a = tern_full(TERN_SHAPE(1), 1, (tern_options){0});
    s->b = tern_full(TERN_SHAPE(1), 1e-6, (tern_options){0});
    s->w = tern_require_grad(tern_full(TERN_SHAPE(1), 1, (tern_options){0}), true);
}

static void begin_linear(setting *s) {
    s->x = tern_rand(TERN_SHAPE(4, 16), -1, 1, (tern_options){0});
    s->wide = tern_require_grad(tern_rand(TERN_SHAPE(16, 16), -1, 1, (tern_options){0}), true);
    s->bias = tern_require_grad(tern_rand(TERN_SHAPE(16), -1, 1, (tern_options){0}), true);
}

static void begin_mlp(setting *s, int64_t batch, bool adam) {
    s->net = tern_sequential(tern_linear_new(784, 128, (tern_linear_opts){0}), tern_relu_new(),
                             tern_linear_new(128, 10, (tern_linear_opts){0}), NULL);
    s->optim = adam ? tern_adam_new(s->net, 1e-3, (tern_adam_opts){0}) : tern_sgd_new(s->net, 1e-2, (tern_sgd_opts){0});
    s->x = tern_rand(TERN_SHAPE(batch, 784), 0, 1, (tern_options){0});
    s->target = tern_cast(tern_rand(TERN_SHAPE(batch), 0, 10, (tern_options){0}), TERN_I64);
}

static void end(setting *s) {
    tern_optim_free(s->optim);
    tern_module_free(s->net);
}

#define MLP(n)                                                        \
    static void begin_sgd_##n(setting *s) { begin_mlp(s, n, false); } \
    static void begin_adam_##n(setting *s) { begin_mlp(s, n, true); }
MLP(1)
MLP(8)
MLP(64)

static const struct {
    const char *name;
    void (*begin)(setting *s);
    void (*call)(setting *s);
} rows[] = {
    {"add", begin_element, add},
    {"add_scalar", begin_element, add_scalar},
    {"relu", begin_element, relu},
    {"add_", begin_element, add_in_place},
    {"sum", begin_element, sum},
    {"mul recorded", begin_element, mul_recorded},
    {"mul+backward", begin_element, mul_backward},
    {"10 mul+backward", begin_element, chain_backward},
    {"linear 4x16x16", begin_linear, linear},
    {"linear 4x16x16+backward", begin_linear, linear_backward},
    {"mlp sgd 1", begin_sgd_1, step},
    {"mlp sgd 8", begin_sgd_8, step},
    {"mlp sgd 64", begin_sgd_64, step},
    {"mlp adam 1", begin_adam_1, step},
    {"mlp adam 8", begin_adam_8, step},
    {"mlp adam 64", begin_adam_64, step},
};
enum { ROWS = sizeof rows / sizeof *rows };

static void repeat(void (*call)(setting *s), setting *s, long calls) {
    for (long i = 0; i < calls; i++) call(s);
    bench_check();
}

/* Seconds a call: RUNS runs, each of about `seconds`. */
static void measure(int row, setting *s, double seconds) {
    long calls = 1;
    double took = 0, run[RUNS];
    while (took < seconds) { /* warms up too */
        const double start = bench_now();
        repeat(rows[row].call, s, calls);
        took = bench_now() - start;
        if (took < seconds) calls *= 2;
    }
    for (int r = 0; r < RUNS; r++) {
        const double start = bench_now();
        repeat(rows[row].call, s, calls);
        run[r] = (bench_now() - start) / (double)calls;
    }
    const double median = bench_median(run, RUNS); /* sorts */
    printf("%-24s\t%10.1f\t%10.1f\n", rows[row].name, 1e9 * median, 1e9 * run[0]);
    fflush(stdout);
}

int main(int argc, char **argv) {
    const bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    const bool counted = argc > 3 && strcmp(argv[1], "--count") == 0;
    const char *name = counted ? argv[3] : quick ? (argc > 2 ? argv[2] : "") : argc > 1 ? argv[1] : "";
    if (!counted) bench_head("eager overhead: row, median and best, ns a call");
    tern_seed(1);
    for (int i = 0; i < ROWS; i++) {
        if (counted ? strcmp(rows[i].name, name) != 0 : !strstr(rows[i].name, name)) continue;
        const int scope = tern_scope_push();
        setting s = {0};
        rows[i].begin(&s);
        bench_check();
        if (counted)
            repeat(rows[i].call, &s, atol(argv[2]));
        else
            measure(i, &s, quick ? 1e-4 : 5e-3);
        end(&s);
        tern_scope_pop(scope);
    }
    return 0;
}
