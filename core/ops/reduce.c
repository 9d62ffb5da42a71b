/* Reductions: sum, mean, max, min, argmax, and sum_to, the adjoint of broadcasting. */
#include "casting.h"
#include "trace_fields.h"

typedef struct reduce_opts {
    terni_reduce_opts kernel;
    bool keepdim;
    int op;
} reduce_opts;

/* s with the reduced dimensions of size 1. */
static tern_shape kept(tern_shape s, uint32_t bits) {
    for (int i = 0; i < s.ndim; i++)
        if (bits >> i & 1) s.dim[i] = 1;
    return s;
}

static tern_shape dropped(tern_shape s, uint32_t bits) {
    tern_shape r = {0};
    for (int i = 0; i < s.ndim; i++)
        if (!(bits >> i & 1)) r.dim[r.ndim++] = s.dim[i];
    return r;
}

static int64_t reduced(tern_shape s, uint32_t bits) {
    int64_t n = 1;
    for (int i = 0; i < s.ndim; i++)
        if (bits >> i & 1) n *= s.dim[i];
    return n;
}

static tern_tensor *run(int op, tern_tensor *x, const terni_reduce_opts *k, bool keepdim, tern_dtype dtype) {
    const tern_shape shape = kept(terni_shape(x), k->dims);
    tern_tensor *y = terni_new(keepdim ? shape : dropped(shape, k->dims), dtype, x->device);
    if (!y) return NULL;
    terni_view all = y->v; /* with the reduced dimensions */
    all.ndim = shape.ndim;
    int64_t dense = 1;
    for (int i = shape.ndim - 1; i >= 0; i--) {
        all.shape[i] = shape.dim[i];
        all.strides[i] = dense;
        dense *= shape.dim[i] ? shape.dim[i] : 1;
    }
    const terni_view *const in = &x->v, *const out = &all;
    return terni_run_views(op, x->device, &in, 1, &out, 1, k) ? y : NULL;
}

/* g, shaped like the result, with x's dimensions again. */
static tern_tensor *undrop(tern_tensor *g, tern_shape x, const reduce_opts *o) {
    return tern_reshape(g, kept(x, o->kernel.dims));
}

/* ---- sum, mean
 * ----------------------------------------------------------------------------------------------------------- */

static tern_tensor *sum(tern_tensor *x, const reduce_opts *o) {
    const tern_dtype d = terni_is_float(terni_dtype(x)) ? terni_dtype(x) : TERN_I64;
    return run(TERNI_OP_sum, x, &o->kernel, o->keepdim, d);
}

static bool sum_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    out[0] = sum(in[0], tern_ctx_opts(ctx));
    return out[0] != NULL;
}
static bool sum_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const reduce_opts *o = tern_ctx_opts(ctx);
    const tern_shape shape = tern_ctx_shape(ctx, 0);
    tern_tensor *g = o->kernel.scale == 1 ? gout[0] : tern_mul_scalar(gout[0], o->kernel.scale);
    gin[0] = tern_expand(undrop(g, shape, o), shape);
    return gin[0] != NULL;
}
static const tern_function sum_function = {"sum", 1, sizeof(reduce_opts), sum_forward, sum_backward, NULL};
static const tern_function mean_function = {"mean", 1, sizeof(reduce_opts), sum_forward, sum_backward, NULL};
TERNI_TRACED(sum, sum_function, TERNI_FIELD(reduce_opts, "dims", kernel.dims),
             TERNI_FIELD(reduce_opts, "keepdim", keepdim));
TERNI_TRACED(mean, mean_function, TERNI_FIELD(reduce_opts, "dims", kernel.dims),
             TERNI_FIELD(reduce_opts, "keepdim", keepdim));

tern_tensor *tern_sum(tern_tensor *x, const int *dims, int n, bool keepdim) {
    TERNI_AUTOCAST(F32, &x);
    reduce_opts o = {.kernel.scale = 1, .keepdim = keepdim};
    tern_tensor *y;
    if (!terni_given(x, "sum", "x") || !terni_dims("sum", dims, n, x->v.ndim, &o.kernel.dims)) return NULL;
    if ((!terni_recording() || !terni_wants(x)) && !terni_listening()) return sum(x, &o);
    return tern_apply(&sum_function, &x, 1, &o, &y) ? y : NULL;
}

tern_tensor *tern_mean(tern_tensor *x, const int *dims, int n, bool keepdim) {
    reduce_opts o = {.keepdim = keepdim};
    tern_tensor *y;
    if (!terni_given(x, "mean", "x") || !terni_dims("mean", dims, n, x->v.ndim, &o.kernel.dims)) return NULL;
    if (!tern_dtype_is_float(terni_dtype(x)))
        return terni_null(TERN_ERR_DTYPE, "mean: %s is not a float tensor", terni_describe(x));
    o.kernel.scale = 1.0 / (double)reduced(terni_shape(x), o.kernel.dims); /* over nothing: 0 x infinity is NaN */
    if ((!terni_recording() || !terni_wants(x)) && !terni_listening()) return sum(x, &o);
    return tern_apply(&mean_function, &x, 1, &o, &y) ? y : NULL;
}

tern_tensor *tern_sum_to(tern_tensor *x, tern_shape shape) {
    TERNI_NAMED("sum_to");
    TERNI_AUTOCAST_NONE;
    if (!terni_given(x, "sum_to", "x")) return NULL;
    if (tern_shape_equal(terni_shape(x), shape)) return x;
    tern_shape wide;
    if (!terni_broadcast("sum_to", terni_shape(x), shape, &wide)) return NULL;
    if (!tern_shape_equal(wide, terni_shape(x)))
        return terni_null(TERN_ERR_SHAPE, "sum_to: %s does not broadcast to %s", terni_shape_str(shape),
                          terni_describe(x));
    const int more = x->v.ndim - shape.ndim;
    int dims[TERN_MAX_DIMS], n = 0;
    for (int i = 0; i < x->v.ndim; i++)
        if (i < more || (shape.dim[i - more] == 1 && x->v.shape[i] != 1)) dims[n++] = i;
    tern_tensor *y = n ? tern_sum(x, dims, n, true) : x;
    return y ? tern_reshape(y, shape) : NULL;
}

/* ---- max, min
 * --------------------------------------------------------------------------------------------------------------- */

static bool extreme_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const reduce_opts *o = tern_ctx_opts(ctx);
    out[0] = run(o->op, in[0], &o->kernel, o->keepdim, terni_dtype(in[0]));
    return out[0] && tern_ctx_save(ctx, in[0]) && tern_ctx_save(ctx, out[0]);
}
/* Equal values share the gradient. */
static bool extreme_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const reduce_opts *o = tern_ctx_opts(ctx);
    tern_tensor *x = tern_ctx_saved(ctx, 0), *y = tern_ctx_saved(ctx, 1);
    if (!x || !y) return false;
    int dims[TERN_MAX_DIMS], n = 0;
    for (int i = 0; i < x->v.ndim; i++)
        if (o->kernel.dims >> i & 1) dims[n++] = i;
    tern_tensor *hit = tern_cast(tern_eq(x, undrop(tern_detach(y), terni_shape(x), o)), terni_dtype(x));
    tern_tensor *count = n ? tern_sum(hit, dims, n, true) : hit;
    gin[0] = tern_mul(hit, tern_div(undrop(gout[0], terni_shape(x), o), count));
    return gin[0] != NULL;
}
static const tern_function max_function = {"max", 1, sizeof(reduce_opts), extreme_forward, extreme_backward, NULL};
static const tern_function min_function = {"min", 1, sizeof(reduce_opts), extreme_forward, extreme_backward, NULL};
TERNI_TRACED(max, max_function, TERNI_FIELD(reduce_opts, "dims", kernel.dims),
             TERNI_FIELD(reduce_opts, "keepdim", keepdim));
TERNI_TRACED(min, min_function, TERNI_FIELD(reduce_opts, "dims", kernel.dims),
             TERNI_FIELD(reduce_opts, "keepdim", keepdim));

static tern_tensor *extreme(const tern_function *f, int op, tern_tensor *x, const int *dims, int n, bool keepdim) {
    reduce_opts o = {.keepdim = keepdim, .op = op};
    tern_tensor *y;
    if (!terni_given(x, f->name, "x") || !terni_dims(f->name, dims, n, x->v.ndim, &o.kernel.dims)) return NULL;
    if (reduced(terni_shape(x), o.kernel.dims) == 0)
        return terni_null(TERN_ERR_SHAPE, "%s: %s has no elements to choose from", f->name, terni_describe(x));
    return tern_apply(f, &x, 1, &o, &y) ? y : NULL;
}

tern_tensor *tern_max(tern_tensor *x, const int *dims, int n, bool keepdim) {
    return extreme(&max_function, TERNI_OP_max, x, dims, n, keepdim);
}
tern_tensor *tern_min(tern_tensor *x, const int *dims, int n, bool keepdim) {
    return extreme(&min_function, TERNI_OP_min, x, dims, n, keepdim);
}

/* On no tape, but traces list them. */
static bool arg_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const reduce_opts *o = tern_ctx_opts(ctx);
    out[0] = run(o->op, in[0], &o->kernel, o->keepdim, TERN_I64);
    return out[0] != NULL;
}
static const tern_function argmax_function = {"argmax", 1, sizeof(reduce_opts), arg_forward, NULL, NULL};
static const tern_function argmin_function = {"argmin", 1, sizeof(reduce_opts), arg_forward, NULL, NULL};
TERNI_TRACED(argmax, argmax_function, TERNI_FIELD(reduce_opts, "dims", kernel.dims),
             TERNI_FIELD(reduce_opts, "keepdim", keepdim));
TERNI_TRACED(argmin, argmin_function, TERNI_FIELD(reduce_opts, "dims", kernel.dims),
             TERNI_FIELD(reduce_opts, "keepdim", keepdim));

static tern_tensor *arg_extreme(const char *op, int kernel, tern_tensor *x, int dim, bool keepdim) {
    reduce_opts o = {.keepdim = keepdim, .op = kernel};
    tern_tensor *y;
    if (!terni_given(x, op, "x")) return NULL;
    if (x->v.ndim == 0 && (dim == 0 || dim == -1))
        return tern_zeros(tern_shape_scalar(), (tern_options){TERN_I64, x->device});
    const int d = terni_dim(op, dim, x->v.ndim);
    if (d < 0) return NULL;
    if (x->v.shape[d] == 0)
        return terni_null(TERN_ERR_SHAPE, "%s: %s has no elements to choose from", op, terni_describe(x));
    o.kernel.dims = 1u << d;
    return tern_apply(kernel == TERNI_OP_argmax ? &argmax_function : &argmin_function, &x, 1, &o, &y) ? y : NULL;
}

tern_tensor *tern_argmax(tern_tensor *x, int dim, bool keepdim) {
    return arg_extreme("argmax", TERNI_OP_argmax, x, dim, keepdim);
}
tern_tensor *tern_argmin(tern_tensor *x, int dim, bool keepdim) {
    return arg_extreme("argmin", TERNI_OP_argmin, x, dim, keepdim);
}

/* The value at index, and the index. */
static tern_tensor *extreme_dim(const char *op, int kernel, tern_tensor *x, int dim, bool keepdim,
                                tern_tensor **indices) {
    if (indices) *indices = NULL;
    tern_tensor *at = arg_extreme(op, kernel, x, dim, true);
    if (!at) return NULL;
    const bool scalar = x->v.ndim == 0;
    tern_tensor *y = scalar ? tern_clone(x) : tern_gather(x, dim, at);
    if (!keepdim && !scalar) {
        y = tern_squeeze(y, dim);
        at = tern_squeeze(at, dim);
    }
    if (indices && y) *indices = at;
    return y;
}

tern_tensor *tern_max_dim(tern_tensor *x, int dim, bool keepdim, tern_tensor **indices) {
    TERNI_NAMED("max_dim");
    return extreme_dim("max_dim", TERNI_OP_argmax, x, dim, keepdim, indices);
}
tern_tensor *tern_min_dim(tern_tensor *x, int dim, bool keepdim, tern_tensor **indices) {
    TERNI_NAMED("min_dim");
    return extreme_dim("min_dim", TERNI_OP_argmin, x, dim, keepdim, indices);
}

/* ---- counting -------------------------------------------------------------------------------------------------------
 */

/* How many elements are zero, or are not: i64. */
static tern_tensor *count(tern_tensor *x, bool zero, const int *dims, int n, bool keepdim) {
    tern_tensor *none = tern_zeros(tern_shape_scalar(), (tern_options){terni_dtype(x), tern_cpu()});
    return tern_sum(zero ? tern_eq(x, none) : tern_ne(x, none), dims, n, keepdim);
}

tern_tensor *tern_count_nonzero(tern_tensor *x, const int *dims, int n, bool keepdim) {
    TERNI_NAMED("count_nonzero");
    if (!terni_given(x, "count_nonzero", "x")) return NULL;
    const int scope = tern_scope_push();
    return tern_scope_return(scope, count(x, false, dims, n, keepdim));
}
tern_tensor *tern_any(tern_tensor *x, const int *dims, int n, bool keepdim) {
    TERNI_NAMED("any");
    if (!terni_given(x, "any", "x")) return NULL;
    const int scope = tern_scope_push();
    return tern_scope_return(scope, tern_cast(count(x, false, dims, n, keepdim), TERN_BOOL));
}
tern_tensor *tern_all(tern_tensor *x, const int *dims, int n, bool keepdim) {
    TERNI_NAMED("all");
    if (!terni_given(x, "all", "x")) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *zeros = count(x, true, dims, n, keepdim);
    return tern_scope_return(scope, zeros ? tern_eq(zeros, tern_zeros_like(zeros)) : NULL);
}
