/* scatter and its kin: writing by index, or combining by product, maximum, minimum. Sums are scatter_add. */
#include "casting.h"
#include "scatter.h"

#include <math.h>

tern_tensor *terni_index_wide(tern_tensor *index, tern_shape shape, int dim) {
    int64_t strides[TERN_MAX_DIMS] = {0};
    strides[dim] = index->v.strides[0];
    shape.dim[dim] = index->numel;
    return terni_alias(index, shape, strides, 0);
}

/* ---- a constant ---------------------------------------------------------------------------------------------------
 */

typedef struct constant_opts {
    const char *op;
    int dim;
    terni_fill_opts fill;
} constant_opts;

static bool constant_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const constant_opts *o = tern_ctx_opts(ctx);
    const terni_scatter_opts s = {o->dim, TERNI_SCATTER_SET, o->op};
    tern_tensor *one = terni_new(tern_shape_scalar(), terni_dtype(in[0]), in[0]->device), *src;
    if (!one || !terni_run(TERNI_OP_fill, NULL, 0, &one, 1, &o->fill)) return false;
    src = tern_expand(one, terni_shape(in[1]));
    out[0] = src ? terni_new(terni_shape(in[0]), terni_dtype(in[0]), in[0]->device) : NULL;
    return out[0] && terni_run(TERNI_OP_copy, in, 1, out, 1, NULL) && tern_ctx_save(ctx, in[1]) &&
           terni_run(TERNI_OP_scatter, (tern_tensor *const[]){in[1], src}, 2, out, 1, &s);
}
static bool constant_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const constant_opts *o = tern_ctx_opts(ctx);
    gin[0] = terni_scatter_fill(o->op, gout[0], o->dim, tern_ctx_saved(ctx, 0), &(terni_fill_opts){0});
    return gin[0] != NULL;
}
static const tern_function constant_function = {"scatter_value",   1,   sizeof(constant_opts), constant_forward,
                                                constant_backward, NULL};

tern_tensor *terni_scatter_fill(const char *op, tern_tensor *x, int dim, tern_tensor *index,
                                const terni_fill_opts *fill) {
    const constant_opts o = {op, dim, *fill};
    tern_tensor *const in[2] = {x, index}, *y;
    return x && index && terni_same_device(op, in, 2, NULL) && tern_apply(&constant_function, in, 2, &o, &y) ? y : NULL;
}

tern_tensor *tern_scatter_value(tern_tensor *x, int dim, tern_tensor *index, double value) {
    if (!terni_given(x, "scatter_value", "x") || !terni_index_given("scatter_value", index)) return NULL;
    const int d = terni_dim("scatter_value", dim, x->v.ndim);
    terni_fill_opts o;
    if (d < 0 || !terni_gather_fits("scatter_value", x, index, d) ||
        !terni_constant("scatter_value", terni_dtype(x), value, &o))
        return NULL;
    return terni_scatter_fill("scatter_value", x, d, index, &o);
}

/* ---- a tensor: set ------------------------------------------------------------------------------------------------
 */

static bool scatter_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    out[0] = terni_new(terni_shape(in[0]), terni_dtype(in[0]), in[0]->device);
    return out[0] && terni_run(TERNI_OP_copy, in, 1, out, 1, NULL) && tern_ctx_save(ctx, in[1]) &&
           terni_run(TERNI_OP_scatter, in + 1, 2, out, 1, tern_ctx_opts(ctx));
}

/* True for the elements of src that stayed: those whose number is found where they were written to. */
static tern_tensor *stayed(tern_tensor *index, tern_shape shape, int dim) {
    const tern_options o = {TERN_I64, index->device};
    tern_tensor *number = tern_reshape(tern_arange(0, (double)index->numel, o), terni_shape(index));
    tern_tensor *board = tern_scatter(tern_zeros(shape, o), dim, index, number);
    return tern_eq(tern_gather(board, dim, index), number);
}

static bool scatter_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const terni_scatter_opts *o = tern_ctx_opts(ctx);
    tern_tensor *index = tern_ctx_saved(ctx, 0);
    if (!index) return false;
    if (tern_ctx_needs(ctx, 0)) gin[0] = tern_scatter_value(gout[0], o->dim, index, 0);
    if (tern_ctx_needs(ctx, 2)) {
        tern_tensor *zero = tern_scalar(0, (tern_options){terni_dtype(gout[0]), gout[0]->device});
        gin[2] = tern_where(stayed(index, tern_ctx_shape(ctx, 0), o->dim), tern_gather(gout[0], o->dim, index), zero);
    }
    return tern_ok();
}
static const tern_function scatter_function = {"scatter",        1,   sizeof(terni_scatter_opts), scatter_forward,
                                               scatter_backward, NULL};

/* What every op with x, index and src checks. */
bool terni_places_fit(const char *op, tern_tensor *x, int *dim, tern_tensor *index, tern_tensor *src) {
    if (!terni_given(x, op, "x") || !terni_index_given(op, index) || !terni_given(src, op, "src")) return false;
    *dim = terni_dim(op, *dim, x->v.ndim);
    if (*dim < 0 || !terni_gather_fits(op, x, index, *dim)) return false;
    if (!tern_shape_equal(terni_shape(index), terni_shape(src)))
        return terni_fail(TERN_ERR_SHAPE, "%s: index %s and src %s have different shapes", op, terni_describe(index),
                          terni_describe(src));
    if (x->v.dtype != src->v.dtype)
        return terni_fail(TERN_ERR_DTYPE, "%s: x %s and src %s", op, terni_describe(x), terni_describe(src));
    return terni_same_device(op, (tern_tensor *const[]){x, index, src}, 3, NULL);
}

tern_tensor *tern_scatter(tern_tensor *x, int dim, tern_tensor *index, tern_tensor *src) {
    TERNI_AUTOCAST(WIDEST, &x, &src);
    tern_tensor *y;
    if (!terni_places_fit("scatter", x, &dim, index, src)) return NULL;
    const terni_scatter_opts o = {dim, TERNI_SCATTER_SET, "scatter"};
    return tern_apply(&scatter_function, (tern_tensor *const[]){x, index, src}, 3, &o, &y) ? y : NULL;
}

/* ---- product, maximum, minimum ------------------------------------------------------------------------------------
 */

static bool combine_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    return scatter_forward(ctx, in, n, out) && tern_ctx_save(ctx, in[0]) && tern_ctx_save(ctx, in[2]) &&
           tern_ctx_save(ctx, out[0]);
}

static tern_tensor *number_like(tern_tensor *t, double v) {
    return tern_scalar(v, (tern_options){terni_dtype(t), t->device});
}

/* Of each element, the product of the others that came to the same place: the product of all that are not 0, by the
 * element, unless another is 0. zeros and product are seen from the elements. */
static tern_tensor *others(tern_tensor *v, tern_tensor *zeros, tern_tensor *product) {
    tern_tensor *is_zero = tern_eq(v, number_like(v, 0)), *one = number_like(v, 1);
    tern_tensor *more = tern_sub(zeros, tern_cast(is_zero, terni_dtype(v)));
    return tern_where(tern_gt(more, number_like(v, 0.5)), number_like(v, 0),
                      tern_div(product, tern_where(is_zero, one, v)));
}

static bool prod_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const terni_scatter_opts *o = tern_ctx_opts(ctx);
    tern_tensor *index = tern_ctx_saved(ctx, 0), *x = tern_ctx_saved(ctx, 1), *src = tern_ctx_saved(ctx, 2);
    if (!index || !x || !src) return false;
    const tern_dtype dtype = terni_dtype(x);
    tern_tensor *zero = number_like(x, 0), *one = number_like(x, 1);
    tern_tensor *zx = tern_eq(x, zero), *zs = tern_eq(src, zero);
    tern_tensor *zeros = tern_scatter_add(tern_cast(zx, dtype), o->dim, index, tern_cast(zs, dtype));
    tern_tensor *product = tern_scatter_reduce(tern_where(zx, one, x), o->dim, index, tern_where(zs, one, src),
                                               TERN_SCATTER_PROD, (tern_scatter_reduce_opts){0});
    if (tern_ctx_needs(ctx, 0)) gin[0] = tern_mul(gout[0], others(x, zeros, product));
    if (tern_ctx_needs(ctx, 2))
        gin[2] = tern_mul(tern_gather(gout[0], o->dim, index),
                          others(src, tern_gather(zeros, o->dim, index), tern_gather(product, o->dim, index)));
    return tern_ok();
}

static bool extreme_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const terni_scatter_opts *o = tern_ctx_opts(ctx);
    tern_tensor *index = tern_ctx_saved(ctx, 0), *x = tern_ctx_saved(ctx, 1), *src = tern_ctx_saved(ctx, 2);
    tern_tensor *y = tern_ctx_saved(ctx, 3);
    if (!index || !x || !src || !y) return false;
    tern_tensor *from_x = tern_eq(x, y), *from_src = tern_eq(src, tern_gather(y, o->dim, index));
    const tern_dtype dtype = terni_dtype(x);
    tern_tensor *equals = tern_scatter_add(tern_cast(from_x, dtype), o->dim, index, tern_cast(from_src, dtype));
    tern_tensor *share = tern_div(gout[0], equals), *zero = number_like(x, 0);
    if (tern_ctx_needs(ctx, 0)) gin[0] = tern_where(from_x, share, zero);
    if (tern_ctx_needs(ctx, 2)) gin[2] = tern_where(from_src, tern_gather(share, o->dim, index), zero);
    return tern_ok();
}

static const tern_function prod_function = {"scatter_reduce", 1,   sizeof(terni_scatter_opts), combine_forward,
                                            prod_backward,    NULL};
static const tern_function extreme_function = {"scatter_reduce", 1,   sizeof(terni_scatter_opts), combine_forward,
                                               extreme_backward, NULL};

/* What changes nothing when it is combined. */
static terni_fill_opts identity(tern_scatter_reduction how, tern_dtype dtype) {
    const bool is_float = tern_dtype_is_float(dtype);
    switch (how) {
        case TERN_SCATTER_PROD:
            return (terni_fill_opts){1, 1};
        case TERN_SCATTER_AMAX:
            return (terni_fill_opts){is_float ? -(double)INFINITY : 0, dtype == TERN_I64   ? INT64_MIN
                                                                       : dtype == TERN_I32 ? INT32_MIN
                                                                                           : 0};
        case TERN_SCATTER_AMIN:
            return (terni_fill_opts){is_float ? (double)INFINITY : 1, dtype == TERN_I64   ? INT64_MAX
                                                                      : dtype == TERN_I32 ? INT32_MAX
                                                                                          : 255};
        default:
            return (terni_fill_opts){0, 0};
    }
}

/* What came to each place, by their number; 1 where nothing did. */
static tern_tensor *mean_of(tern_tensor *sum, int dim, tern_tensor *index, bool exclude_self) {
    const tern_options o = {terni_dtype(sum), sum->device};
    tern_tensor *own = tern_ones(terni_shape(sum), o), *each = tern_ones(terni_shape(index), o);
    if (exclude_self) own = tern_scatter_value(own, dim, index, 0);
    return tern_div(sum, tern_scatter_add(own, dim, index, each));
}

tern_tensor *tern_scatter_reduce(tern_tensor *x, int dim, tern_tensor *index, tern_tensor *src,
                                 tern_scatter_reduction how, tern_scatter_reduce_opts opts) {
    TERNI_AUTOCAST(WIDEST, &x, &src);
    static const char op[] = "scatter_reduce";
    if (!terni_places_fit(op, x, &dim, index, src)) return NULL;
    if (how < TERN_SCATTER_SUM || how > TERN_SCATTER_AMIN)
        return terni_null(TERN_ERR_ARGUMENT, "%s: %d is no reduction", op, (int)how);
    const tern_dtype dtype = terni_dtype(x);
    if (how == TERN_SCATTER_MEAN && !tern_dtype_is_float(dtype))
        return terni_null(TERN_ERR_DTYPE, "%s: the mean of x %s; expected floats", op, terni_describe(x));
    if (opts.exclude_self) {
        const terni_fill_opts none = identity(how, dtype);
        if (!(x = terni_scatter_fill(op, x, dim, index, &none))) return NULL;
    }
    if (how == TERN_SCATTER_SUM || how == TERN_SCATTER_MEAN) {
        tern_tensor *sum = terni_scatter_add(op, x, dim, index, src);
        return how == TERN_SCATTER_SUM || !sum ? sum : mean_of(sum, dim, index, opts.exclude_self);
    }
    const terni_scatter_opts o = {dim,
                                  how == TERN_SCATTER_PROD   ? TERNI_SCATTER_PROD
                                  : how == TERN_SCATTER_AMAX ? TERNI_SCATTER_MAX
                                                             : TERNI_SCATTER_MIN,
                                  op};
    tern_tensor *const in[3] = {x, index, src}, *y;
    return tern_apply(how == TERN_SCATTER_PROD ? &prod_function : &extreme_function, in, 3, &o, &y) ? y : NULL;
}
