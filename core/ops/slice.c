/* slice and select, views whose adjoint places a gradient into zeros; cat and stack, whose adjoint is slices. */
#include <string.h>

#include "casting.h"
#include "view.h"

static bool slice_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin);
static const tern_function slice_function = {"slice",        1,   sizeof(terni_view_opts), terni_alias_forward,
                                             slice_backward, NULL};
TERNI_TRACED(slice, slice_function, TERNI_FIELD(terni_view_opts, "dim", dim),
             TERNI_FIELD(terni_view_opts, "start", start), TERNI_FIELD(terni_view_opts, "step", step));

tern_tensor *terni_slice(tern_tensor *x, int d, int64_t start, int64_t count, int64_t step) {
    terni_view_opts o = {.shape = terni_shape(x), .dim = d, .start = start, .step = step};
    memcpy(o.strides, x->v.strides, (size_t)x->v.ndim * sizeof *o.strides);
    o.shape.dim[d] = count;
    if (count > 1) o.strides[d] *= step;
    o.offset = count ? start * x->v.strides[d] : 0;
    return terni_view_apply(&slice_function, x, &o);
}

/* x placed into zeros of the shape in the options. */
static bool place_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const terni_view_opts *o = tern_ctx_opts(ctx);
    out[0] = tern_zeros(o->shape, (tern_options){terni_dtype(in[0]), in[0]->device});
    tern_tensor *part = out[0] ? terni_slice(out[0], o->dim, o->start, in[0]->v.shape[o->dim], o->step) : NULL;
    return part && tern_copy_(part, in[0]);
}
static bool place_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const terni_view_opts *o = tern_ctx_opts(ctx);
    gin[0] = terni_slice(gout[0], o->dim, o->start, tern_ctx_shape(ctx, 0).dim[o->dim], o->step);
    return gin[0] != NULL;
}
static const tern_function place_function = {"slice_grad",   1,   sizeof(terni_view_opts), place_forward,
                                             place_backward, NULL};

static bool slice_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    terni_view_opts o = *(const terni_view_opts *)tern_ctx_opts(ctx);
    o.shape = tern_ctx_shape(ctx, 0);
    return tern_apply(&place_function, gout, 1, &o, gin);
}

tern_tensor *tern_slice(tern_tensor *x, int dim, int64_t start, int64_t end, int64_t step) {
    if (!terni_given(x, "slice", "x")) return NULL;
    const int d = terni_dim("slice", dim, x->v.ndim);
    if (d < 0) return NULL;
    if (step < 1) return terni_null(TERN_ERR_ARGUMENT, "slice: step %lld; expected 1 or more", (long long)step);
    const int64_t size = x->v.shape[d];
    if (start < 0) start = start < -size ? 0 : start + size;
    if (end < 0) end = end < -size ? 0 : end + size;
    if (start > size) start = size;
    if (end > size) end = size;
    return terni_slice(x, d, start, end > start ? (end - start - 1) / step + 1 : 0, step);
}

tern_tensor *tern_select(tern_tensor *x, int dim, int64_t i) {
    if (!terni_given(x, "select", "x")) return NULL;
    const int d = terni_dim("select", dim, x->v.ndim);
    if (d < 0) return NULL;
    const int64_t size = x->v.shape[d];
    if (i < -size || i >= size)
        return terni_null(TERN_ERR_INDEX, "select: index %lld is outside dimension %d of %s", (long long)i, dim,
                          terni_describe(x));
    tern_tensor *s = terni_slice(x, d, i < 0 ? i + size : i, 1, 1);
    return s ? tern_squeeze(s, d) : NULL;
}

/* ---- cat
 * ----------------------------------------------------------------------------------------------------------------------------
 */

typedef struct cat_opts {
    int dim;
} cat_opts;

static bool cat_check(tern_tensor *const *in, int n, int dim, tern_shape *shape) {
    *shape = terni_shape(in[0]);
    int64_t total = 0;
    for (int i = 0; i < n; i++) {
        bool fits = in[i]->v.ndim == shape->ndim;
        for (int k = 0; fits && k < shape->ndim; k++) fits = k == dim || in[i]->v.shape[k] == shape->dim[k];
        if (!fits)
            return terni_fail(TERN_ERR_SHAPE, "cat: x[%d] %s does not fit x[0] %s along dimension %d", i,
                              terni_describe(in[i]), terni_describe(in[0]), dim);
        if (in[i]->v.dtype != in[0]->v.dtype)
            return terni_fail(TERN_ERR_DTYPE, "cat: x[%d] %s and x[0] %s", i, terni_describe(in[i]),
                              terni_describe(in[0]));
        if (__builtin_add_overflow(total, in[i]->v.shape[dim], &total))
            return terni_fail(TERN_ERR_SHAPE, "cat: the sizes overflow");
    }
    shape->dim[dim] = total;
    return terni_same_device("cat", in, n, NULL) && terni_shape_check("cat", shape, terni_dtype(in[0]));
}

static bool cat_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    const int dim = ((const cat_opts *)tern_ctx_opts(ctx))->dim;
    tern_shape shape;
    if (!cat_check(in, n, dim, &shape)) return false;
    out[0] = terni_new(shape, terni_dtype(in[0]), in[0]->device);
    int64_t at = 0;
    for (int i = 0; out[0] && i < n; i++) {
        const int64_t size = in[i]->v.shape[dim];
        tern_tensor *part = terni_slice(out[0], dim, at, size, 1);
        if (!part || !terni_run(TERNI_OP_copy, &in[i], 1, &part, 1, NULL)) return false;
        at += size;
    }
    return out[0] != NULL;
}

static bool cat_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const int dim = ((const cat_opts *)tern_ctx_opts(ctx))->dim;
    int64_t at = 0;
    for (int i = 0; i < tern_ctx_inputs(ctx); i++) {
        const int64_t size = tern_ctx_shape(ctx, i).dim[dim];
        if (tern_ctx_needs(ctx, i) && !(gin[i] = terni_slice(gout[0], dim, at, size, 1))) return false;
        at += size;
    }
    return true;
}
static const tern_function cat_function = {"cat", 1, sizeof(cat_opts), cat_forward, cat_backward, NULL};
TERNI_TRACED(cat, cat_function, TERNI_FIELD(cat_opts, "dim", dim));

static bool list_given(const char *op, tern_tensor *const *x, int n) {
    if (!terni_given(x, op, "x")) return false;
    if (n < 1) return terni_fail(TERN_ERR_ARGUMENT, "%s: %d tensors; expected 1 or more", op, n);
    for (int i = 0; i < n; i++)
        if (!x[i]) return terni_fail(TERN_ERR_ARGUMENT, "%s: x[%d] is NULL", op, i);
    return true;
}

tern_tensor *tern_cat(tern_tensor *const *x, int n, int dim) {
    TERNI_AUTOCAST_LIST(WIDEST, x, n, NULL);
    if (!list_given("cat", x, n)) return NULL;
    const cat_opts o = {terni_dim("cat", dim, x[0]->v.ndim)};
    tern_tensor *y;
    return o.dim >= 0 && tern_apply(&cat_function, x, n, &o, &y) ? y : NULL;
}

tern_tensor *tern_stack(tern_tensor *const *x, int n, int dim) {
    TERNI_NAMED("stack");
    TERNI_AUTOCAST_LIST(WIDEST, x, n, NULL);
    if (!list_given("stack", x, n)) return NULL;
    const int d = terni_dim("stack", dim, x[0]->v.ndim + 1);
    if (d < 0) return NULL;
    for (int i = 1; i < n; i++)
        if (!tern_shape_equal(terni_shape(x[i]), terni_shape(x[0])))
            return terni_null(TERN_ERR_SHAPE, "stack: x[%d] %s and x[0] %s", i, terni_describe(x[i]),
                              terni_describe(x[0]));
    tern_tensor **rows = terni_malloc((size_t)n * sizeof *rows);
    bool ok = rows != NULL;
    for (int i = 0; ok && i < n; i++) ok = (rows[i] = tern_unsqueeze(x[i], d)) != NULL;
    tern_tensor *y = ok ? tern_cat(rows, n, d) : NULL;
    terni_mfree(rows);
    return y;
}
