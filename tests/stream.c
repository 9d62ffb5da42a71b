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
           {"cross_entropy", entropy}};

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
