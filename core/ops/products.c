/* Products of vectors and matrices in other clothes than matmul's. */
#include "casting.h"
#include "ops/matrices.h"
#include "ops/normalise.h"

/* a and b have na and nb dimensions, and dimension ka of a is as large as kb of b (counted from the end). */
static bool ranks(const char *op, tern_tensor *a, tern_tensor *b, int na, int nb, const char *expected) {
    if (!terni_factors(op, a, b)) return false;
    const bool batched = na == 3;
    if (a->v.ndim == na && b->v.ndim == nb && (!batched || a->v.shape[0] == b->v.shape[0]) &&
        a->v.shape[na - 1] == b->v.shape[nb == 1 ? 0 : nb - 2])
        return true;
    return terni_fail(TERN_ERR_SHAPE, "%s: a %s, b %s: expected %s", op, terni_describe(a), terni_describe(b),
                      expected);
}

tern_tensor *tern_mm(tern_tensor *a, tern_tensor *b) {
    TERNI_AUTOCAST(LOW, &a, &b);
    return ranks("mm", a, b, 2, 2, "[M, K] and [K, N]") ? tern_matmul(a, b) : NULL;
}
tern_tensor *tern_bmm(tern_tensor *a, tern_tensor *b) {
    TERNI_AUTOCAST(LOW, &a, &b);
    return ranks("bmm", a, b, 3, 3, "[B, M, K] and [B, K, N]") ? tern_matmul(a, b) : NULL;
}
tern_tensor *tern_mv(tern_tensor *a, tern_tensor *b) {
    TERNI_AUTOCAST(LOW, &a, &b);
    return ranks("mv", a, b, 2, 1, "[M, K] and [K]") ? tern_matmul(a, b) : NULL;
}
tern_tensor *tern_dot(tern_tensor *a, tern_tensor *b) {
    TERNI_AUTOCAST(WIDEST, &a, &b);
    return ranks("dot", a, b, 1, 1, "[K] and [K]") ? tern_matmul(a, b) : NULL;
}

/* ---- beta c + alpha a b ------------------------------------------------------------------------------------------ */

/* c broadcasts to the product's shape. */
static bool addend(const char *op, tern_tensor *c, tern_tensor *a, tern_tensor *b) {
    tern_tensor *const in[3] = {c, a, b};
    if (!terni_given(c, op, "c") || !terni_same_float(op, in, 3) || !terni_same_device(op, in, 3, NULL)) return false;
    tern_shape s = terni_batch(a, 1), wide = {0};
    if (b->v.ndim > 1) s.dim[s.ndim++] = terni_cols(b);
    bool fits = c->v.ndim <= s.ndim;
    for (int i = 0; fits && i < c->v.ndim; i++) {
        const int64_t size = c->v.shape[c->v.ndim - 1 - i];
        fits = size == 1 || size == s.dim[s.ndim - 1 - i];
    }
    if (fits && terni_broadcast(op, terni_shape(c), s, &wide)) return true;
    return terni_fail(TERN_ERR_SHAPE, "%s: c %s does not broadcast to the product's shape %s", op, terni_describe(c),
                      terni_shape_str(s));
}

static tern_tensor *combine(tern_tensor *c, tern_tensor *a, tern_tensor *b, double beta, double alpha) {
    const bool plain = beta == 1 && alpha == 1;
    if (plain && c->v.ndim == 1 && b->v.ndim == 2 && c->v.shape[0] == terni_cols(b))
        return tern_linear(a, terni_t(b), c);
    tern_tensor *y = tern_matmul(a, b);
    if (alpha != 1) y = tern_mul_scalar(y, alpha);
    return beta == 0 ? y : tern_add(y, beta == 1 ? c : tern_mul_scalar(c, beta));
}

tern_tensor *tern_addmm(tern_tensor *c, tern_tensor *a, tern_tensor *b, double beta, double alpha) {
    TERNI_AUTOCAST(LOW, &c, &a, &b);
    return ranks("addmm", a, b, 2, 2, "[M, K] and [K, N]") && addend("addmm", c, a, b) ? combine(c, a, b, beta, alpha)
                                                                                       : NULL;
}
tern_tensor *tern_baddbmm(tern_tensor *c, tern_tensor *a, tern_tensor *b, double beta, double alpha) {
    TERNI_AUTOCAST(LOW, &c, &a, &b);
    return ranks("baddbmm", a, b, 3, 3, "[B, M, K] and [B, K, N]") && addend("baddbmm", c, a, b)
               ? combine(c, a, b, beta, alpha)
               : NULL;
}
tern_tensor *tern_addmv(tern_tensor *c, tern_tensor *a, tern_tensor *b, double beta, double alpha) {
    TERNI_AUTOCAST(LOW, &c, &a, &b);
    return ranks("addmv", a, b, 2, 1, "[M, K] and [K]") && addend("addmv", c, a, b) ? combine(c, a, b, beta, alpha)
                                                                                    : NULL;
}

/* ---- of vectors -------------------------------------------------------------------------------------------------- */

static bool both(const char *op, tern_tensor *a, tern_tensor *b) {
    tern_tensor *const in[2] = {a, b};
    return terni_given(a, op, "a") && terni_given(b, op, "b") && terni_same_device(op, in, 2, NULL);
}

tern_tensor *tern_outer(tern_tensor *a, tern_tensor *b) {
    if (!both("outer", a, b)) return NULL;
    if (a->v.ndim != 1 || b->v.ndim != 1)
        return terni_null(TERN_ERR_SHAPE, "outer: a %s, b %s: expected [M] and [N]", terni_describe(a),
                          terni_describe(b));
    return tern_mul(tern_unsqueeze(a, 1), b);
}

tern_tensor *tern_inner(tern_tensor *a, tern_tensor *b) {
    TERNI_NAMED("inner");
    TERNI_AUTOCAST(WIDEST, &a, &b);
    if (!terni_factors("inner", a, b)) return NULL;
    if (a->v.ndim == 0 || b->v.ndim == 0) return tern_mul(a, b);
    if (terni_cols(a) != terni_cols(b))
        return terni_null(TERN_ERR_SHAPE, "inner: a %s, b %s: expected [..., K] and [..., K]", terni_describe(a),
                          terni_describe(b));
    return tern_tensordot(a, b, (const int[]){-1}, (const int[]){-1}, 1);
}

tern_tensor *tern_vecdot(tern_tensor *a, tern_tensor *b, int dim) {
    TERNI_AUTOCAST(LOW, &a, &b);
    tern_shape wide;
    if (!terni_factors("vecdot", a, b) || !terni_broadcast("vecdot", terni_shape(a), terni_shape(b), &wide))
        return NULL;
    const int d = terni_dim("vecdot", dim, wide.ndim);
    if (d < 0) return NULL;
    const tern_dtype dtype = terni_dtype(a),
                     wider = terni_acc_dtype(dtype); /* products are not rounded before the sum */
    return tern_cast(tern_sum(tern_mul(tern_cast(a, wider), tern_cast(b, wider)), &d, 1, false), dtype);
}

tern_tensor *tern_cross(tern_tensor *a, tern_tensor *b, int dim) {
    TERNI_AUTOCAST(WIDEST, &a, &b);
    tern_shape wide;
    if (!both("cross", a, b) || !terni_broadcast("cross", terni_shape(a), terni_shape(b), &wide)) return NULL;
    if (terni_dtype(a) == TERN_BOOL || terni_dtype(b) == TERN_BOOL)
        return terni_null(TERN_ERR_DTYPE, "cross: a %s, b %s: not of bools", terni_describe(a), terni_describe(b));
    const int d = terni_dim("cross", dim, wide.ndim);
    if (d < 0) return NULL;
    tern_tensor *in[2] = {a, b}, *x[2][3];
    for (int i = 0; i < 2; i++) {
        const int own = d - (wide.ndim - in[i]->v.ndim);
        if (own < 0 || in[i]->v.shape[own] != 3)
            return terni_null(TERN_ERR_SHAPE, "cross: a %s, b %s: expected 3 as size of dimension %d",
                              terni_describe(a), terni_describe(b), dim);
        for (int k = 0; k < 3; k++) x[i][k] = tern_slice(in[i], own, k, k + 1, 1);
    }
    tern_tensor *y[3];
    for (int k = 0; k < 3; k++) {
        const int p = (k + 1) % 3, q = (k + 2) % 3;
        y[k] = tern_sub(tern_mul(x[0][p], x[1][q]), tern_mul(x[0][q], x[1][p]));
    }
    return tern_cat(y, 3, d);
}

tern_tensor *tern_kron(tern_tensor *a, tern_tensor *b) {
    if (!both("kron", a, b)) return NULL;
    const int n = a->v.ndim > b->v.ndim ? a->v.ndim : b->v.ndim;
    if (n > TERN_MAX_DIMS / 2)
        return terni_null(TERN_ERR_SHAPE, "kron: a %s, b %s: at most %d dimensions", terni_describe(a),
                          terni_describe(b), TERN_MAX_DIMS / 2);
    tern_shape wide_a = {2 * n, {0}}, wide_b = wide_a, result = {n, {0}};
    for (int i = 0; i < n; i++) {
        const int ia = i - (n - a->v.ndim), ib = i - (n - b->v.ndim);
        wide_a.dim[2 * i] = ia >= 0 ? a->v.shape[ia] : 1;
        wide_b.dim[2 * i + 1] = ib >= 0 ? b->v.shape[ib] : 1;
        wide_a.dim[2 * i + 1] = wide_b.dim[2 * i] = 1;
        if (!terni_mul_i64(wide_a.dim[2 * i], wide_b.dim[2 * i + 1], &result.dim[i]))
            return terni_null(TERN_ERR_SHAPE, "kron: a %s, b %s: too large", terni_describe(a), terni_describe(b));
    }
    if (!terni_shape_check("kron", &result, tern_dtype_promote(terni_dtype(a), terni_dtype(b)))) return NULL;
    tern_tensor *y = tern_mul(tern_reshape(a, wide_a), tern_reshape(b, wide_b));
    return y ? tern_reshape(y, result) : NULL;
}

tern_tensor *tern_trace(tern_tensor *x) {
    TERNI_AUTOCAST_NONE;
    if (!terni_given(x, "trace", "x")) return NULL;
    if (x->v.ndim < 2) return terni_null(TERN_ERR_SHAPE, "trace: x %s: expected [..., M, N]", terni_describe(x));
    const int last = -1;
    return tern_sum(terni_diag(x), &last, 1, false);
}

/* ---- of many ----------------------------------------------------------------------------------------------------- */

tern_tensor *tern_matrix_power(tern_tensor *a, int64_t n) {
    TERNI_NAMED("matrix_power");
    TERNI_AUTOCAST(LOW, &a);
    if (!terni_given(a, "matrix_power", "a")) return NULL;
    if (!tern_dtype_is_float(terni_dtype(a)) || (n < 0 && !terni_matrix("matrix_power", "a", a, false)))
        return terni_null(TERN_ERR_DTYPE, "matrix_power: a %s: expected floats", terni_describe(a));
    if (a->v.ndim < 2 || terni_rows(a) != terni_cols(a))
        return terni_null(TERN_ERR_SHAPE, "matrix_power: a %s: expected [..., N, N]", terni_describe(a));
    if (n == 0) return tern_clone(tern_expand(terni_eye(terni_rows(a), a), terni_shape(a)));
    if (n < 0) a = tern_inverse(a);
    uint64_t left = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    tern_tensor *y = NULL;
    for (tern_tensor *square = a; square; left /= 2) {
        if (left % 2) y = y ? tern_matmul(y, square) : square;
        if (left < 2) return y == a ? tern_clone(y) : y;
        square = tern_matmul(square, square);
    }
    return NULL;
}

enum { CHAIN = 64 };

/* The best place to cut the chain i .. j; sizes[i], sizes[i + 1] are matrix i's. */
typedef struct chain {
    int64_t sizes[CHAIN + 1];
    double cost[CHAIN][CHAIN];
    int cut[CHAIN][CHAIN];
} chain;

static void plan(chain *c, int n) {
    for (int i = 0; i < n; i++) c->cost[i][i] = 0;
    for (int length = 1; length < n; length++)
        for (int i = 0; i + length < n; i++) {
            const int j = i + length;
            c->cost[i][j] = -1;
            for (int k = i; k < j; k++) {
                const double cost = c->cost[i][k] + c->cost[k + 1][j] +
                                    (double)c->sizes[i] * (double)c->sizes[k + 1] * (double)c->sizes[j + 1];
                if (c->cost[i][j] >= 0 && cost >= c->cost[i][j]) continue;
                c->cost[i][j] = cost;
                c->cut[i][j] = k;
            }
        }
}

static tern_tensor *multiply(const chain *c, tern_tensor *const *x, int i, int j) {
    if (i == j) return x[i];
    const int k = c->cut[i][j];
    tern_tensor *a = multiply(c, x, i, k), *b = multiply(c, x, k + 1, j);
    return a && b ? tern_matmul(a, b) : NULL;
}

static bool fits_chain(tern_tensor *const *x, int n, chain *c) {
    if (!terni_same_float("multi_dot", x, n) || !terni_same_device("multi_dot", x, n, NULL)) return false;
    for (int i = 0; i < n; i++) {
        const bool end = i == 0 || i == n - 1, row = x[i]->v.ndim == 1 && i == 0;
        if (x[i]->v.ndim != 2 && !(end && x[i]->v.ndim == 1))
            return terni_fail(TERN_ERR_SHAPE, "multi_dot: x[%d] %s: expected a matrix", i, terni_describe(x[i]));
        const int64_t rows = row ? 1 : x[i]->v.shape[0];
        if (i > 0 && rows != c->sizes[i])
            return terni_fail(TERN_ERR_SHAPE, "multi_dot: x[%d] %s and x[%d] %s: inner sizes differ", i - 1,
                              terni_describe(x[i - 1]), i, terni_describe(x[i]));
        c->sizes[i] = rows;
        c->sizes[i + 1] = x[i]->v.ndim == 2 ? x[i]->v.shape[1] : row ? x[i]->v.shape[0] : 1;
    }
    return true;
}

tern_tensor *tern_multi_dot(tern_tensor *const *x, int n) {
    TERNI_AUTOCAST_LIST(LOW, x, n, NULL);
    if (!terni_given(x, "multi_dot", "x")) return NULL;
    if (n < 1 || n > CHAIN) return terni_null(TERN_ERR_ARGUMENT, "multi_dot: %d matrices, expected 1 to %d", n, CHAIN);
    for (int i = 0; i < n; i++)
        if (!terni_given(x[i], "multi_dot", "a matrix")) return NULL;
    chain *c = terni_malloc(sizeof *c);
    tern_tensor *y = NULL;
    if (c && fits_chain(x, n, c)) {
        plan(c, n);
        y = multiply(c, x, 0, n - 1);
    }
    terni_mfree(c);
    return y;
}
