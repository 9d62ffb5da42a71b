/* unfold: overlapping windows along a dimension, as a view. Its adjoint adds the windows back. */
#include <string.h>

#include "view.h"

static const tern_function unfold_function, fold_function;

static bool unfold_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    terni_view_opts o = *(const terni_view_opts *)tern_ctx_opts(ctx);
    o.shape = tern_ctx_shape(ctx, 0);
    return tern_apply(&fold_function, gout, 1, &o, gin);
}

/* One strided addition for each place in the windows; halves add up in f32. */
static bool fold_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const terni_view_opts *o = tern_ctx_opts(ctx);
    const tern_dtype own = terni_dtype(in[0]), sum = own == TERN_F16 || own == TERN_BF16 ? TERN_F32 : own;
    tern_tensor *g = terni_as(in[0], sum), *x = tern_zeros(o->shape, (tern_options){sum, in[0]->device});
    if (!g || !x) return false;
    const int64_t count = g->v.shape[o->dim], size = g->v.shape[g->v.ndim - 1];
    for (int64_t i = 0; i < size; i++) {
        const int scope = tern_scope_push();
        tern_tensor *part = terni_slice(x, o->dim, i, count, o->step);
        const bool ok = part && tern_add_(part, tern_select(g, -1, i));
        tern_scope_pop(scope);
        if (!ok) return false;
    }
    out[0] = terni_as(x, own);
    return out[0] != NULL;
}
static bool fold_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const terni_view_opts *o = tern_ctx_opts(ctx);
    const tern_shape windows = tern_ctx_shape(ctx, 0);
    gin[0] = tern_unfold(gout[0], o->dim, windows.dim[windows.ndim - 1], o->step);
    return gin[0] != NULL;
}

static const tern_function unfold_function = {"unfold",        1,   sizeof(terni_view_opts), terni_alias_forward,
                                              unfold_backward, NULL};
static const tern_function fold_function = {"unfold_grad", 1,   sizeof(terni_view_opts), fold_forward,
                                            fold_backward, NULL};

tern_tensor *tern_unfold(tern_tensor *x, int dim, int64_t size, int64_t step) {
    if (!terni_given(x, "unfold", "x")) return NULL;
    const int d = terni_dim("unfold", dim, x->v.ndim);
    if (d < 0) return NULL;
    if (x->v.ndim == TERN_MAX_DIMS)
        return terni_null(TERN_ERR_SHAPE, "unfold: %s has %d dimensions already", terni_describe(x), TERN_MAX_DIMS);
    if (size < 1 || step < 1)
        return terni_null(TERN_ERR_ARGUMENT, "unfold: size %lld and step %lld; expected 1 or more", (long long)size,
                          (long long)step);
    if (size > x->v.shape[d])
        return terni_null(TERN_ERR_SHAPE, "unfold: size %lld for dimension %d of %s", (long long)size, dim,
                          terni_describe(x));
    terni_view_opts o = {.shape = terni_shape(x), .dim = d, .step = step};
    memcpy(o.strides, x->v.strides, (size_t)x->v.ndim * sizeof *o.strides);
    o.shape.dim[d] = (x->v.shape[d] - size) / step + 1;
    if (o.shape.dim[d] > 1) o.strides[d] *= step;
    o.shape.dim[x->v.ndim] = size;
    o.strides[x->v.ndim] = x->v.strides[d];
    o.shape.ndim++;
    if (!terni_shape_check("unfold", &o.shape, terni_dtype(x))) return NULL;
    return terni_view_apply(&unfold_function, x, &o);
}
