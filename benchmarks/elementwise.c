/* Times every row of core/elementwise.def: a new row appears here by itself. For each op, f32 on one million elements
 * (in the cache) and forward with backward of the same; `bench-elementwise gelu` measures the rows that contain the
 * word. */
#include "bench.h"
#include "tern/autograd.h"
#include "tern/memory.h"
#include "tern/ops.h"
#include "tern/random.h"

typedef tern_tensor *(*unary_fn)(tern_tensor *);
typedef tern_tensor *(*param_fn)(tern_tensor *, double);
typedef tern_tensor *(*binary_fn)(tern_tensor *, tern_tensor *);

typedef struct row {
    const char *name;
    double lo, hi, p;
    unary_fn unary; /* one of the three */
    param_fn param;
    binary_fn binary;
    bool slope; /* a gradient to time as well */
} row;

/* The comparisons' rows have no interval of their own. */
static const row rows[] = {
#define TERN_UNARY(name, dt, lo, hi, ...)      {#name, lo, hi, 0, tern_##name, NULL, NULL, true},
#define TERN_UNARY_Y(name, dt, lo, hi, ...)    {#name, lo, hi, 0, tern_##name, NULL, NULL, true},
#define TERN_UNARY_P(name, dt, lo, hi, p, ...) {#name, lo, hi, p, NULL, tern_##name, NULL, true},
#define TERN_BINARY(name, dt, lo, hi, ...)     {#name, lo, hi, 0, NULL, NULL, tern_##name, true},
#define TERN_COMPARE(name, ...)                {#name, -3, 3, 0, NULL, NULL, tern_##name, false},
#include "core/elementwise.def"
};

static tern_tensor *call(const row *r, tern_tensor *a, tern_tensor *b) {
    if (r->unary) return r->unary(a);
    if (r->param) return r->param(a, r->p);
    return r->binary(a, b);
}

/* Median milliseconds of one forward pass, or of one forward and backward pass. */
static double measure(const row *r, tern_tensor *a, tern_tensor *b, tern_tensor *seed, bool backward, int rounds) {
    double ms[64];
    for (int i = 0; i < rounds + 1; i++) {
        const int s = tern_scope_push();
        const double t = bench_now();
        tern_tensor *y = call(r, a, b);
        if (backward) tern_backward_from(y, seed, (tern_backward_opts){0});
        if (i > 0) ms[i - 1] = 1e3 * (bench_now() - t); /* the first one warms up */
        tern_grad_set(a, NULL);
        tern_grad_set(b, NULL);
        tern_scope_pop(s);
        bench_check();
    }
    return bench_median(ms, rounds);
}

int main(int argc, char **argv) {
    const bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    const char *word = argc > 1 && !quick ? argv[1] : "";
    const int64_t n = quick ? 10000 : 1000000;
    const int rounds = quick ? 1 : 31;
    bench_head("elementwise, f32");
    printf("%lld elements, median of %d\n\n", (long long)n, rounds);
    printf("%-12s %12s %10s %22s\n", "op", "forward ms", "ns/elem", "forward+backward ms");
    int shown = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const row *r = &rows[i];
        if (!strstr(r->name, word)) continue;
        const int s = tern_scope_push();
        tern_tensor *a = tern_rand(TERN_SHAPE(n), r->lo, r->hi, (tern_options){0});
        tern_tensor *b = tern_rand(TERN_SHAPE(n), r->lo, r->hi, (tern_options){0});
        tern_tensor *seed = tern_ones_like(a);
        const double forward = measure(r, a, b, seed, false, rounds);
        printf("%-12s %12.3f %10.3f", r->name, forward, 1e6 * forward / (double)n);
        if (r->slope) {
            tern_require_grad(a, true);
            tern_require_grad(b, r->binary != NULL);
            printf(" %22.3f", measure(r, a, b, seed, true, rounds));
        }
        printf("\n");
        tern_scope_pop(s);
        shown++;
    }
    if (!shown) fprintf(stderr, "no row of core/elementwise.def contains \"%s\"\n", word);
    return shown ? 0 : 2;
}
