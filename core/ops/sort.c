/* sort, argsort, topk, kthvalue, median, quantile, and these without NaN. Kernels see rows: the dimension goes last.
 * Values carry gradients to where they came from. */
#include <math.h>

#include "casting.h"
#include "internal.h"

typedef struct row_opts {
    terni_sort_opts k;
    int op;
    int64_t count; /* results a row */
} row_opts;

static bool row_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const row_opts *o = tern_ctx_opts(ctx);
    tern_tensor *x = terni_dense(in[0]);
    if (!x) return false;
    const tern_shape s = o->op == TERNI_OP_kth ? TERN_SHAPE(x->v.shape[0]) : TERN_SHAPE(x->v.shape[0], o->count);
    out[0] = terni_new(s, terni_dtype(x), x->device);
    out[1] = terni_new(s, TERN_I64, x->device);
    if (!out[0] || !out[1]) return false;
    if (out[0]->numel && !terni_run(o->op, &x, 1, out, 2, &o->k)) return false;
    return tern_ctx_save(ctx, out[1]);
}

static bool row_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const row_opts *o = tern_ctx_opts(ctx);
    tern_tensor *at = tern_ctx_saved(ctx, 0), *g = gout[0];
    if (!at || !g) return false;
    if (o->op == TERNI_OP_kth) {
        at = tern_unsqueeze(at, 1);
        g = tern_unsqueeze(g, 1);
    }
    tern_tensor *zero = tern_zeros(tern_ctx_shape(ctx, 0), (tern_options){terni_dtype(gout[0]), gout[0]->device});
    gin[0] = zero && at ? tern_scatter_add(zero, 1, at, g) : NULL;
    return gin[0] != NULL;
}

static const tern_function row_function = {"sort", 2, sizeof(row_opts), row_forward, row_backward, NULL};

/* The dimension, counted from 0; a scalar has one of size 1. */
static bool line_of(const char *op, tern_tensor *x, int dim, int *d, int64_t *n) {
    if (!terni_given(x, op, "x")) return false;
    *d = x->v.ndim == 0 && (dim == 0 || dim == -1) ? 0 : terni_dim(op, dim, x->v.ndim);
    if (*d < 0) return false;
    *n = x->v.ndim ? x->v.shape[*d] : 1;
    return true;
}

static tern_tensor *as_rows(tern_tensor *x, int d, int64_t n) {
    int64_t rows = 1;
    for (int i = 0; i < x->v.ndim; i++) rows *= i == d ? 1 : x->v.shape[i];
    return tern_reshape(x->v.ndim ? tern_transpose(x, d, -1) : x, TERN_SHAPE(rows, n));
}

/* rows [R, k] back in x's order of dimensions, of which d has size k. */
static tern_tensor *from_rows(tern_tensor *rows, const tern_tensor *x, int d, int64_t k) {
    if (x->v.ndim == 0) return tern_reshape(rows, tern_shape_scalar());
    tern_shape s = terni_shape(x);
    s.dim[d] = s.dim[s.ndim - 1];
    s.dim[s.ndim - 1] = k;
    return tern_transpose(tern_reshape(rows, s), d, -1);
}

/* Both results, in x's order. */
static bool choose(tern_tensor *x, int d, int64_t n, const row_opts *o, tern_tensor **values, tern_tensor **indices) {
    tern_tensor *r = as_rows(x, d, n), *out[2];
    if (!r || !tern_apply(&row_function, &r, 1, o, out)) return false;
    *values = from_rows(out[0], x, d, o->count);
    *indices = from_rows(out[1], x, d, o->count);
    return *values && *indices;
}

tern_tensor *tern_sort(tern_tensor *x, int dim, bool descending, tern_tensor **indices) {
    TERNI_NAMED("sort");
    int d;
    int64_t n;
    tern_tensor *y, *at;
    if (indices) *indices = NULL;
    if (!line_of("sort", x, dim, &d, &n)) return NULL;
    const row_opts o = {{.descending = descending}, TERNI_OP_sort, n};
    if (!choose(x, d, n, &o, &y, &at)) return NULL;
    if (indices) *indices = at;
    return y;
}

tern_tensor *tern_argsort(tern_tensor *x, int dim, bool descending) {
    TERNI_NAMED("argsort");
    tern_tensor *at;
    if (!terni_given(x, "argsort", "x")) return NULL;
    const int scope = tern_scope_push();
    return tern_scope_return(scope, tern_sort(tern_detach(x), dim, descending, &at) ? at : NULL);
}

tern_tensor *tern_topk(tern_tensor *x, int64_t k, int dim, bool smallest, tern_tensor **indices) {
    TERNI_NAMED("topk");
    int d;
    int64_t n;
    tern_tensor *y, *at;
    if (indices) *indices = NULL;
    if (!line_of("topk", x, dim, &d, &n)) return NULL;
    if (k < 0 || k > n)
        return terni_null(TERN_ERR_ARGUMENT, "topk: %lld of the %lld elements along dimension %d of %s", (long long)k,
                          (long long)n, dim, terni_describe(x));
    if (x->v.ndim == 0 && k == 0) return terni_null(TERN_ERR_ARGUMENT, "topk: none of a scalar");
    const row_opts o = {{.descending = !smallest}, TERNI_OP_topk, k};
    if (!choose(x, d, n, &o, &y, &at)) return NULL;
    if (indices) *indices = at;
    return y;
}

enum { NAN_LAST, NAN_WINS, NAN_SKIPPED };

/* k counts from 0; -1: the lower median. */
static tern_tensor *kth(const char *op, tern_tensor *x, int64_t k, int nan, int dim, bool keepdim,
                        tern_tensor **indices) {
    int d;
    int64_t n;
    if (indices) *indices = NULL;
    if (!line_of(op, x, dim, &d, &n)) return NULL;
    if (n == 0) return terni_null(TERN_ERR_SHAPE, "%s: %s has no elements to choose from", op, terni_describe(x));
    if (k < 0) k = (n - 1) / 2;
    if (k >= n)
        return terni_null(TERN_ERR_ARGUMENT, "%s: number %lld of the %lld elements along dimension %d of %s", op,
                          (long long)k + 1, (long long)n, dim, terni_describe(x));
    const row_opts o = {{.k = k, .nan_wins = nan == NAN_WINS, .skip_nan = nan == NAN_SKIPPED}, TERNI_OP_kth, 1};
    tern_tensor *y, *at;
    if (!choose(x, d, n, &o, &y, &at)) return NULL;
    if (!keepdim && x->v.ndim) {
        y = tern_squeeze(y, d);
        at = tern_squeeze(at, d);
    }
    if (indices && y) *indices = at;
    return y;
}

tern_tensor *tern_kthvalue(tern_tensor *x, int64_t k, int dim, bool keepdim, tern_tensor **indices) {
    TERNI_NAMED("kthvalue");
    if (k < 1) {
        if (indices) *indices = NULL;
        return terni_null(TERN_ERR_ARGUMENT, "kthvalue: k is %lld; the smallest is number 1", (long long)k);
    }
    return kth("kthvalue", x, k - 1, NAN_LAST, dim, keepdim, indices);
}

tern_tensor *tern_median(tern_tensor *x, int dim, bool keepdim, tern_tensor **indices) {
    TERNI_NAMED("median");
    return kth("median", x, -1, NAN_WINS, dim, keepdim, indices);
}

tern_tensor *tern_nanmedian(tern_tensor *x, int dim, bool keepdim, tern_tensor **indices) {
    TERNI_NAMED("nanmedian");
    return kth("nanmedian", x, -1, NAN_SKIPPED, dim, keepdim, indices);
}

/* ---- quantiles: of sorted rows
 * ---------------------------------------------------------------------------------------- */

/* rows [R, n], sorted -> [R]. */
static tern_tensor *one_quantile(tern_tensor *rows, int64_t n, double q, tern_quantile_mode mode) {
    const double at = q * (double)(n - 1), low = floor(at), part = at - low;
    const int64_t i = (int64_t)low, j = i + 1 < n ? i + 1 : i;
    switch (mode) {
        case TERN_QUANTILE_LOWER:
            return tern_select(rows, 1, i);
        case TERN_QUANTILE_HIGHER:
            return tern_select(rows, 1, part > 0 ? j : i);
        case TERN_QUANTILE_NEAREST: /* halves to even, as in PyTorch */
            return tern_select(rows, 1, (int64_t)nearbyint(at));
        default:
            break;
    }
    const double w = mode == TERN_QUANTILE_MIDPOINT ? (part > 0 ? 0.5 : 0) : part;
    tern_tensor *a = tern_select(rows, 1, i);
    if (w == 0) return a;
    return tern_add(a, tern_mul_scalar(tern_sub(tern_select(rows, 1, j), a), w));
}

/* Elements `at` [R], f64 and whole, of rows [R, n]. */
static tern_tensor *elements(tern_tensor *rows, tern_tensor *at) {
    tern_tensor *i = at ? tern_unsqueeze(tern_cast(at, TERN_I64), 1) : NULL;
    return i ? tern_squeeze(tern_gather(rows, 1, i), 1) : NULL;
}

/* The same for rows of which only the first count [R], f64, are there; a row of none gives its first, a NaN. */
static tern_tensor *one_quantile_of(tern_tensor *rows, tern_tensor *count, double q, tern_quantile_mode mode) {
    tern_tensor *last = tern_clamp(tern_sub_scalar(count, 1), 0, (double)INFINITY);
    tern_tensor *at = tern_mul_scalar(last, q), *low = tern_floor(at), *high = tern_ceil(at);
    if (mode == TERN_QUANTILE_LOWER) return elements(rows, low);
    if (mode == TERN_QUANTILE_HIGHER) return elements(rows, high);
    if (mode == TERN_QUANTILE_NEAREST) return elements(rows, tern_round(at));
    tern_tensor *a = elements(rows, low), *part = tern_sub(at, low);
    if (mode == TERN_QUANTILE_MIDPOINT) part = tern_mul_scalar(tern_ceil(part), 0.5);
    if (!a || !part) return NULL;
    return tern_add(a, tern_mul(tern_sub(elements(rows, high), a), tern_cast(part, terni_dtype(rows))));
}

static tern_tensor *quantiles(const char *op, tern_tensor *x, const double *q, int count, int dim, bool keepdim,
                              tern_quantile_mode mode, bool skip_nan) {
    int d;
    int64_t n;
    if (!line_of(op, x, dim, &d, &n) || !terni_given(q, op, "q")) return NULL;
    if (!tern_dtype_is_float(terni_dtype(x)))
        return terni_null(TERN_ERR_DTYPE, "%s: %s is not a float tensor", op, terni_describe(x));
    if (n == 0) return terni_null(TERN_ERR_SHAPE, "%s: %s has no elements to choose from", op, terni_describe(x));
    if ((unsigned)mode > TERN_QUANTILE_NEAREST) return terni_null(TERN_ERR_ARGUMENT, "%s: mode %d", op, (int)mode);
    if (count < 1) return terni_null(TERN_ERR_ARGUMENT, "%s: %d quantiles", op, count);
    tern_tensor **part = terni_malloc((size_t)count * sizeof *part);
    if (!part) return NULL;
    tern_tensor *rows = as_rows(x, d, n), *sorted = rows ? tern_sort(rows, 1, false, NULL) : NULL, *y = NULL;
    if (sorted && tern_dtype_size(terni_dtype(x)) < 4) sorted = tern_cast(sorted, TERN_F32); /* f16, bf16 */
    /* A NaN anywhere is a NaN: it was sorted to the end. */
    tern_tensor *last = tern_select(sorted, 1, n - 1), *bad = skip_nan ? NULL : tern_ne(last, last), *there = NULL;
    if (skip_nan && sorted) {
        const int across = 1;
        there = tern_cast(tern_sum(tern_eq(sorted, sorted), &across, 1, false), TERN_F64);
    }
    bool ok = bad || there;
    for (int i = 0; ok && i < count; i++) {
        if (!(q[i] >= 0 && q[i] <= 1))
            terni_fail(TERN_ERR_ARGUMENT, "%s: q is %g; it lies from 0 to 1", op, q[i]);
        else if (skip_nan)
            part[i] = one_quantile_of(sorted, there, q[i], mode);
        else
            part[i] = tern_where(bad, last, one_quantile(sorted, n, q[i], mode));
        ok = tern_ok() && part[i];
    }
    if (ok) y = tern_stack(part, count, 0);
    terni_mfree(part);
    if (!y) return NULL;
    y = tern_cast(y, terni_dtype(x));
    tern_shape s = {1, {count}};
    for (int i = 0; i < x->v.ndim; i++) {
        const bool moved = i == d; /* the last dimension stands in its place */
        if (moved && i == x->v.ndim - 1) break;
        if (s.ndim < TERN_MAX_DIMS && i < x->v.ndim - 1) s.dim[s.ndim++] = x->v.shape[moved ? x->v.ndim - 1 : i];
    }
    y = tern_reshape(y, s);
    /* The dimension that went to d's place goes back to the end. */
    if (x->v.ndim && d < x->v.ndim - 1) y = tern_movedim(y, d + 1, -1);
    return keepdim && x->v.ndim ? tern_unsqueeze(y, d + 1) : y;
}

tern_tensor *tern_quantile(tern_tensor *x, double q, int dim, bool keepdim, tern_quantile_mode mode) {
    TERNI_NAMED("quantile");
    TERNI_AUTOCAST_NONE;
    const int scope = tern_scope_push();
    tern_tensor *y = quantiles("quantile", x, &q, 1, dim, keepdim, mode, false);
    return tern_scope_return(scope, y ? tern_squeeze(y, 0) : NULL);
}

tern_tensor *tern_quantiles(tern_tensor *x, const double *q, int n, int dim, bool keepdim, tern_quantile_mode mode) {
    TERNI_NAMED("quantiles");
    const int scope = tern_scope_push();
    return tern_scope_return(scope, quantiles("quantiles", x, q, n, dim, keepdim, mode, false));
}

tern_tensor *tern_nanquantile(tern_tensor *x, double q, int dim, bool keepdim, tern_quantile_mode mode) {
    TERNI_NAMED("nanquantile");
    const int scope = tern_scope_push();
    tern_tensor *y = quantiles("nanquantile", x, &q, 1, dim, keepdim, mode, true);
    return tern_scope_return(scope, y ? tern_squeeze(y, 0) : NULL);
}

tern_tensor *tern_nanquantiles(tern_tensor *x, const double *q, int n, int dim, bool keepdim, tern_quantile_mode mode) {
    TERNI_NAMED("nanquantiles");
    const int scope = tern_scope_push();
    return tern_scope_return(scope, quantiles("nanquantiles", x, q, n, dim, keepdim, mode, true));
}
