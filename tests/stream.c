/* On the CPU results that are too large for the caches go past them: every element must be the one that the same op
 * gives for half of the rows, whose result is small enough to stay. */
#include "common.h"

enum { ROWS = 4202, WIDE = 1001 }; /* 16.8 MB of f32; no row but the first begins at a cache line */

typedef tern_tensor *(*op)(tern_tensor *x);

static tern_tensor *affine(tern_tensor *x) {
    const tern_options o = {tern_dtype_of(x), tern_cpu()};
    return tern_layer_norm(x, 1, tern_full(TERN_SHAPE(WIDE), 1.5, o), tern_full(TERN_SHAPE(WIDE), 0.25, o), 0);
}
static tern_tensor *softmax(tern_tensor *x) { return tern_softmax(x, -1); }
static tern_tensor *log_softmax(tern_tensor *x) { return tern_log_softmax(x, -1); }
static tern_tensor *add(tern_tensor *x) { return tern_add(x, x); }
static tern_tensor *copy(tern_tensor *x) { return tern_clone(x); }
static tern_tensor *columns(tern_tensor *x) { return tern_exp(tern_narrow(x, 1, 1, WIDE - 2)); }
static tern_tensor *entropy(tern_tensor *x) {
    tern_tensor *class = tern_zeros(TERN_SHAPE(tern_size(x, 0)), (tern_options){TERN_I64, tern_cpu()});
    return tern_cross_entropy(x, class, (tern_cross_entropy_opts){.reduction = TERN_REDUCE_NONE});
}

static const struct {
    const char *name;
    op f;
} ops[] = {{"gelu", tern_gelu},
           {"add", add},
           {"clone", copy},
           {"exp of columns", columns},
           {"softmax", softmax},
           {"layer_norm", affine},
           {"log_softmax", log_softmax},
           {"cross_entropy", entropy},
           {"gelu_tanh", tern_gelu_tanh}};

/* y = f(x) and the gradient of sum(y^2) by x. */
static void both(op f, tern_tensor *from, tern_tensor **y, tern_tensor **g) {
    tern_tensor *x = tern_require_grad(tern_clone(from), true);
    *y = f(x);
    CHECK(tern_grad(tern_sum(tern_square(*y), NULL, 0, false), &x, 1, NULL, (tern_backward_opts){0}, g));
}

static void check_op(int i, tern_dtype dtype, int64_t rows) {
    check_case("%s, %s", ops[i].name, tern_dtype_name(dtype));
    const int s = tern_scope_push();
    tern_tensor *x = tern_rand(TERN_SHAPE(rows, WIDE), -3, 3, (tern_options){dtype, tern_cpu()});
    tern_tensor *y, *g;
    both(ops[i].f, x, &y, &g);
    for (int half = 0; half < 2; half++) {
        tern_tensor *part_y, *part_g;
        both(ops[i].f, tern_narrow(x, 0, half * rows / 2, rows / 2), &part_y, &part_g);
        CHECK_SAME(tern_narrow(y, 0, half * rows / 2, rows / 2), part_y, (tolerance){0});
        CHECK_SAME(tern_narrow(g, 0, half * rows / 2, rows / 2), part_g, (tolerance){0});
    }
    CHECK_OK();
    tern_scope_pop(s);
}

TERN_TEST(stream, as_halves) {
    for (int i = 0; i < (int)(sizeof ops / sizeof *ops); i++) check_op(i, TERN_F32, ROWS);
}
TERN_TEST(stream, other_dtypes) {
    for (int i = 0; i < 6; i++) check_op(i, TERN_F64, ROWS / 2);
    for (int i = 0; i < 3; i++) check_op(i, TERN_BF16, 2 * ROWS);
}

/* layer_norm with all its gradients, which one pass makes: those of weight and bias are sums over the rows. */
static void all_gradients(tern_tensor *from, tern_tensor *w, tern_tensor *b, tern_tensor **g) {
    tern_tensor *x = tern_require_grad(tern_clone(from), true), *in[3] = {x, w, b};
    tern_tensor *y = tern_layer_norm(x, 1, w, b, 0);
    CHECK(tern_grad(tern_sum(tern_square(y), NULL, 0, false), in, 3, NULL, (tern_backward_opts){0}, g));
}

TERN_TEST(stream, layer_norm_and_its_weights) {
    const tern_options o = {TERN_F32, tern_cpu()};
    tern_tensor *x = tern_rand(TERN_SHAPE(ROWS, WIDE), -3, 3, o);
    tern_tensor *w = tern_require_grad(tern_rand(TERN_SHAPE(WIDE), 0.5, 2, o), true);
    tern_tensor *b = tern_require_grad(tern_rand(TERN_SHAPE(WIDE), -1, 1, o), true);
    tern_tensor *g[3], *part[2][3];
    all_gradients(x, w, b, g);
    for (int half = 0; half < 2; half++) {
        all_gradients(tern_narrow(x, 0, half * ROWS / 2, ROWS / 2), w, b, part[half]);
        CHECK_SAME(tern_narrow(g[0], 0, half * ROWS / 2, ROWS / 2), part[half][0], (tolerance){0});
    }
    for (int i = 1; i < 3; i++) CHECK_SAME(g[i], tern_add(part[0][i], part[1][i]), ((tolerance){1e-3, 1e-5}));
    CHECK_OK();
}

/* The same results from one thread and from two, whose rows begin elsewhere. */
TERN_TEST(stream, threads) {
    const int before = tern_threads();
    for (int i = 0; i < (int)(sizeof ops / sizeof *ops); i++) {
        check_case("%s", ops[i].name);
        const int s = tern_scope_push();
        tern_tensor *x = tern_rand(TERN_SHAPE(ROWS, WIDE), -3, 3, (tern_options){TERN_F32, tern_cpu()}), *y[2], *g[2];
        for (int n = 0; n < 2; n++) {
            CHECK(tern_set_threads(n + 1));
            both(ops[i].f, x, &y[n], &g[n]);
        }
        CHECK_SAME(y[1], y[0], (tolerance){0});
        CHECK_SAME(g[1], g[0], (tolerance){0});
        CHECK_OK();
        tern_scope_pop(s);
    }
    tern_set_threads(before);
}

/* gelu's and gelu_tanh's own loops: what is no number, the ends, and every length up to two vectors. */
TERN_TEST(stream, gelu_ends) {
    enum { N = 40 };
    const double inf = (double)INFINITY;
    float x[N], y[N];
    for (int i = 0; i < N; i++) x[i] = (float)(i - N / 2) * 0.37f;
    const op f[2] = {tern_gelu, tern_gelu_tanh};
    for (int k = 0; k < 2; k++) {
        tern_tensor *whole = f[k](tern_from(x, TERN_SHAPE(N), (tern_options){TERN_F32, tern_cpu()}));
        for (int n = 1; n <= N; n++) {
            check_case("%s of %d", k ? "gelu_tanh" : "gelu", n);
            tern_tensor *t = tern_from(x, TERN_SHAPE(n), (tern_options){TERN_F32, tern_cpu()});
            CHECK_SAME(f[k](t), tern_narrow(whole, 0, 0, n), (tolerance){0});
        }
        const float ends[6] = {(float)inf, 1e30f, 0, -0.0f, -1e30f, NAN};
        tern_tensor *t = tern_require_grad(tern_from(ends, TERN_SHAPE(6), (tern_options){TERN_F32, tern_cpu()}), true),
                    *g;
        tern_tensor *out = f[k](t);
        CHECK(tern_to_host(out, y, sizeof y[0] * 6));
        CHECK(y[0] == (float)inf && y[1] == 1e30f && y[2] == 0 && y[3] == 0 && y[4] == 0 && y[5] != y[5],
              "%g %g %g %g %g %g", (double)y[0], (double)y[1], (double)y[2], (double)y[3], (double)y[4], (double)y[5]);
        CHECK(tern_grad(out, &t, 1, tern_ones_like(out), (tern_backward_opts){0}, &g));
        CHECK(tern_to_host(g, y, sizeof y[0] * 6));
        CHECK((k || (y[1] == 1 && y[4] == 0)) && y[2] == 0.5f && y[3] == 0.5f && y[5] != y[5], "slopes %g %g %g %g %g",
              (double)y[1], (double)y[2], (double)y[3], (double)y[4], (double)y[5]);
        CHECK_OK();
    }
}
