/* Shape ops that are views: reshape and its kin, permute, expand. Their gradients are again shape ops. */
#include "view.h"

bool terni_alias_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const terni_view_opts *o = tern_ctx_opts(ctx);
    out[0] = terni_alias(in[0], o->shape, o->strides, o->offset);
    return out[0] != NULL;
}

tern_tensor *terni_view_apply(const tern_function *f, tern_tensor *x, const terni_view_opts *o) {
    tern_tensor *y;
    if ((!terni_recording() || !terni_wants(x)) && !terni_tracing())
        return terni_alias(x, o->shape, o->strides, o->offset);
    return tern_apply(f, &x, 1, o, &y) ? y : NULL;
}

/* ---- reshape
 * ------------------------------------------------------------------------------------------------------------- */

static bool reshape_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    gin[0] = tern_reshape(gout[0], tern_ctx_shape(ctx, 0));
    return gin[0] != NULL;
}
static const tern_function reshape_function = {"reshape",        1,   sizeof(terni_view_opts), terni_alias_forward,
                                               reshape_backward, NULL};

/* Strides for x seen as `shape`; false if it takes a copy. Sizes of 1 are skipped; runs of dimensions that lie without
 * gaps are split and merged. x has elements. */
static bool reshape_strides(const tern_tensor *x, const tern_shape *shape, int64_t *strides) {
    int64_t dim[TERN_MAX_DIMS], stride[TERN_MAX_DIMS];
    int n = 0, o = 0, w = 0;
    for (int i = 0; i < x->v.ndim; i++) {
        if (x->v.shape[i] == 1) continue;
        dim[n] = x->v.shape[i];
        stride[n++] = x->v.strides[i];
    }
    while (o < n && w < shape->ndim) {
        int o2 = o, w2 = w;
        int64_t a = dim[o2++], b = shape->dim[w2++];
        while (a != b) {
            if (a < b)
                a *= dim[o2++];
            else
                b *= shape->dim[w2++];
        }
        for (int k = o; k < o2 - 1; k++)
            if (stride[k] != dim[k + 1] * stride[k + 1]) return false;
        int64_t s = stride[o2 - 1];
        for (int k = w2 - 1; k >= w; k--) {
            strides[k] = s;
            s *= shape->dim[k];
        }
        o = o2;
        w = w2;
    }
    for (; w < shape->ndim; w++) strides[w] = 1; /* sizes of 1 */
    return true;
}

static bool infer(const tern_tensor *x, tern_shape *shape) {
    int unknown = -1;
    int64_t known = 1;
    if (shape->ndim < 0 || shape->ndim > TERN_MAX_DIMS)
        return terni_fail(TERN_ERR_SHAPE, "reshape: more than %d dimensions", TERN_MAX_DIMS);
    for (int i = 0; i < shape->ndim; i++) {
        if (shape->dim[i] == -1 && unknown < 0)
            unknown = i;
        else if (shape->dim[i] < 0 || !terni_mul_i64(known, shape->dim[i], &known))
            return terni_fail(TERN_ERR_SHAPE, "reshape: %s is no shape", terni_shape_str(*shape));
    }
    if (unknown >= 0 && known > 0 && x->numel % known == 0)
        shape->dim[unknown] = x->numel / known;
    else if (unknown >= 0 || known != x->numel)
        return terni_fail(TERN_ERR_SHAPE, "reshape: %s with %lld elements does not fit %s", terni_describe(x),
                          (long long)x->numel, terni_shape_str(*shape));
    return true;
}

tern_tensor *tern_reshape(tern_tensor *x, tern_shape shape) {
    if (!terni_given(x, "reshape", "x") || !infer(x, &shape) || !terni_shape_check("reshape", &shape, terni_dtype(x)))
        return NULL;
    terni_view_opts o = {.shape = shape};
    if (x->numel == 0 || x->contiguous) {
        int64_t s = 1;
        for (int i = shape.ndim - 1; i >= 0; i--) {
            o.strides[i] = s;
            s *= shape.dim[i] ? shape.dim[i] : 1;
        }
    } else if (!reshape_strides(x, &shape, o.strides)) {
        x = tern_clone(x);
        return x ? tern_reshape(x, shape) : NULL;
    }
    return terni_view_apply(&reshape_function, x, &o);
}

tern_tensor *tern_flatten(tern_tensor *x, int start, int end) {
    if (!terni_given(x, "flatten", "x")) return NULL;
    if (x->v.ndim == 0) return tern_reshape(x, TERN_SHAPE(1));
    const int a = terni_dim("flatten", start, x->v.ndim), b = a < 0 ? -1 : terni_dim("flatten", end, x->v.ndim);
    if (b < 0) return NULL;
    if (a > b) return terni_null(TERN_ERR_ARGUMENT, "flatten: start %d is after end %d", start, end);
    tern_shape s = {.ndim = x->v.ndim - (b - a)};
    for (int i = 0; i < a; i++) s.dim[i] = x->v.shape[i];
    s.dim[a] = 1;
    for (int i = a; i <= b; i++) s.dim[a] *= x->v.shape[i];
    for (int i = b + 1; i < x->v.ndim; i++) s.dim[i - (b - a)] = x->v.shape[i];
    return tern_reshape(x, s);
}

tern_tensor *tern_squeeze(tern_tensor *x, int dim) {
    if (!terni_given(x, "squeeze", "x")) return NULL;
    const int d = terni_dim("squeeze", dim, x->v.ndim);
    if (d < 0) return NULL;
    if (x->v.shape[d] != 1)
        return terni_null(TERN_ERR_SHAPE, "squeeze: dimension %d of %s is not 1", dim, terni_describe(x));
    terni_view_opts o = {.shape.ndim = x->v.ndim - 1};
    for (int i = 0, k = 0; i < x->v.ndim; i++) {
        if (i == d) continue;
        o.shape.dim[k] = x->v.shape[i];
        o.strides[k++] = x->v.strides[i];
    }
    return terni_view_apply(&reshape_function, x, &o);
}

tern_tensor *tern_unsqueeze(tern_tensor *x, int dim) {
    if (!terni_given(x, "unsqueeze", "x")) return NULL;
    const int d = terni_dim("unsqueeze", dim, x->v.ndim + 1);
    if (d < 0) return NULL;
    if (x->v.ndim == TERN_MAX_DIMS)
        return terni_null(TERN_ERR_SHAPE, "unsqueeze: %s has %d dimensions already", terni_describe(x), TERN_MAX_DIMS);
    terni_view_opts o = {.shape.ndim = x->v.ndim + 1};
    for (int i = 0, k = 0; i < o.shape.ndim; i++) {
        o.shape.dim[i] = i == d ? 1 : x->v.shape[k];
        o.strides[i] = i == d ? 1 : x->v.strides[k++];
    }
    return terni_view_apply(&reshape_function, x, &o);
}

/* ---- permute
 * --------------------------------------------------------------------------------------------------------------- */

static bool permute_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const terni_view_opts *o = tern_ctx_opts(ctx);
    int inverse[TERN_MAX_DIMS];
    for (int i = 0; i < o->shape.ndim; i++) inverse[o->dims[i]] = i;
    gin[0] = tern_permute(gout[0], inverse, o->shape.ndim);
    return gin[0] != NULL;
}
static const tern_function permute_function = {"permute",        1,   sizeof(terni_view_opts), terni_alias_forward,
                                               permute_backward, NULL};
TERNI_TRACED(permute, permute_function, TERNI_FIELD(terni_view_opts, "dims", dims));

tern_tensor *tern_permute(tern_tensor *x, const int *dims, int n) {
    if (!terni_given(x, "permute", "x")) return NULL;
    if (n != x->v.ndim || (n > 0 && !dims))
        return terni_null(TERN_ERR_ARGUMENT, "permute: %d dimensions are named for %s", n, terni_describe(x));
    terni_view_opts o = {.shape.ndim = n};
    uint32_t seen = 0;
    for (int i = 0; i < n; i++) {
        const int d = terni_dim("permute", dims[i], n);
        if (d < 0) return NULL;
        if (seen >> d & 1) return terni_null(TERN_ERR_ARGUMENT, "permute: dimension %d is named twice", dims[i]);
        seen |= 1u << d;
        o.dims[i] = d;
        o.shape.dim[i] = x->v.shape[d];
        o.strides[i] = x->v.strides[d];
    }
    return terni_view_apply(&permute_function, x, &o);
}

tern_tensor *tern_transpose(tern_tensor *x, int dim0, int dim1) {
    if (!terni_given(x, "transpose", "x")) return NULL;
    const int a = terni_dim("transpose", dim0, x->v.ndim), b = a < 0 ? -1 : terni_dim("transpose", dim1, x->v.ndim);
    if (b < 0) return NULL;
    int dims[TERN_MAX_DIMS];
    for (int i = 0; i < x->v.ndim; i++) dims[i] = i == a ? b : i == b ? a : i;
    return tern_permute(x, dims, x->v.ndim);
}

/* ---- expand
 * ------------------------------------------------------------------------------------------------------------------ */

static bool expand_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    gin[0] = tern_sum_to(gout[0], tern_ctx_shape(ctx, 0));
    return gin[0] != NULL;
}
static const tern_function expand_function = {"expand",        1,   sizeof(terni_view_opts), terni_alias_forward,
                                              expand_backward, NULL};

tern_tensor *tern_expand(tern_tensor *x, tern_shape shape) {
    if (!terni_given(x, "expand", "x")) return NULL;
    const int more = shape.ndim - x->v.ndim;
    if (shape.ndim > TERN_MAX_DIMS || more < 0)
        return terni_null(TERN_ERR_SHAPE, "expand: %s to %s", terni_describe(x), terni_shape_str(shape));
    terni_view_opts o = {.shape = shape};
    for (int i = 0; i < shape.ndim; i++) {
        const int64_t old = i < more ? 1 : x->v.shape[i - more];
        if (shape.dim[i] == -1 && i >= more) o.shape.dim[i] = old;
        if (o.shape.dim[i] < 0 || (old != 1 && old != o.shape.dim[i]))
            return terni_null(TERN_ERR_SHAPE, "expand: %s does not broadcast to %s", terni_describe(x),
                              terni_shape_str(shape));
        o.strides[i] = i < more || old != o.shape.dim[i] ? 0 : x->v.strides[i - more];
    }
    if (!terni_shape_check("expand", &o.shape, terni_dtype(x))) return NULL;
    if (tern_shape_equal(o.shape, terni_shape(x))) return x;
    return terni_view_apply(&expand_function, x, &o);
}
