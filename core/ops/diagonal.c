/* Diagonals: a view of them, and matrices that have them and are zero elsewhere. Each is the other's adjoint. */
#include "view.h"

typedef struct diagonal_opts {
    tern_shape shape; /* of the matrices */
    int64_t offset;
    int dim0, dim1;
} diagonal_opts;

static const tern_function diagonal_function, place_function;

/* The diagonal of x: all else as x, the diagonal last. */
static tern_tensor *alias(tern_tensor *x, const diagonal_opts *o) {
    tern_shape shape = {.ndim = x->v.ndim - 1};
    int64_t strides[TERN_MAX_DIMS];
    int k = 0;
    for (int d = 0; d < x->v.ndim; d++) {
        if (d == o->dim0 || d == o->dim1) continue;
        shape.dim[k] = x->v.shape[d];
        strides[k++] = x->v.strides[d];
    }
    int64_t rows = x->v.shape[o->dim0], cols = x->v.shape[o->dim1];
    if (o->offset >= 0)
        cols = o->offset < cols ? cols - o->offset : 0;
    else
        rows = o->offset > -rows ? rows + o->offset : 0;
    shape.dim[k] = rows < cols ? rows : cols;
    /* Strides of what is empty may be as large as an i64 is. */
    strides[k] = x->numel ? x->v.strides[o->dim0] + x->v.strides[o->dim1] : 1;
    int64_t first = 0;
    if (shape.dim[k]) first = o->offset >= 0 ? o->offset * x->v.strides[o->dim1] : -o->offset * x->v.strides[o->dim0];
    return terni_alias(x, shape, strides, first);
}

static bool diagonal_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    out[0] = alias(in[0], tern_ctx_opts(ctx));
    return out[0] != NULL;
}
static bool diagonal_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    return tern_apply(&place_function, gout, 1, tern_ctx_opts(ctx), gin);
}

static bool place_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const diagonal_opts *o = tern_ctx_opts(ctx);
    out[0] = tern_zeros(o->shape, (tern_options){terni_dtype(in[0]), in[0]->device});
    tern_tensor *part = out[0] ? alias(out[0], o) : NULL;
    return part && tern_copy_(part, in[0]);
}
static bool place_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    return tern_apply(&diagonal_function, gout, 1, tern_ctx_opts(ctx), gin);
}

static const tern_function diagonal_function = {"diagonal",        1,   sizeof(diagonal_opts), diagonal_forward,
                                                diagonal_backward, NULL};
static const tern_function place_function = {"diag_embed",   1,   sizeof(diagonal_opts), place_forward,
                                             place_backward, NULL};

static bool two_dims(const char *op, int ndim, int dim0, int dim1, diagonal_opts *o) {
    o->dim0 = terni_dim(op, dim0, ndim);
    o->dim1 = o->dim0 < 0 ? -1 : terni_dim(op, dim1, ndim);
    if (o->dim1 < 0) return false;
    return o->dim0 != o->dim1 || terni_fail(TERN_ERR_ARGUMENT, "%s: dimension %d is given twice", op, dim0);
}

static tern_tensor *diagonal(const char *op, tern_tensor *x, int64_t offset, int dim0, int dim1) {
    diagonal_opts o = {.shape = terni_shape(x), .offset = offset};
    tern_tensor *y;
    if (!two_dims(op, x->v.ndim, dim0, dim1, &o)) return NULL;
    if ((!terni_recording() || !terni_wants(x)) && !terni_tracing()) return alias(x, &o);
    return tern_apply(&diagonal_function, &x, 1, &o, &y) ? y : NULL;
}

static tern_tensor *embed(const char *op, tern_tensor *x, int64_t offset, int dim0, int dim1) {
    if (x->v.ndim < 1 || x->v.ndim == TERN_MAX_DIMS)
        return terni_null(TERN_ERR_SHAPE, "%s: x %s; expected 1 to %d dimensions", op, terni_describe(x),
                          TERN_MAX_DIMS - 1);
    diagonal_opts o = {.shape.ndim = x->v.ndim + 1, .offset = offset};
    if (!two_dims(op, o.shape.ndim, dim0, dim1, &o)) return NULL;
    int64_t side;
    if (offset == INT64_MIN || __builtin_add_overflow(x->v.shape[x->v.ndim - 1], offset < 0 ? -offset : offset, &side))
        return terni_null(TERN_ERR_SHAPE, "%s: x %s with offset %lld", op, terni_describe(x), (long long)offset);
    for (int d = 0, k = 0; d < o.shape.ndim; d++) o.shape.dim[d] = d == o.dim0 || d == o.dim1 ? side : x->v.shape[k++];
    tern_tensor *y;
    return terni_shape_check(op, &o.shape, terni_dtype(x)) && tern_apply(&place_function, &x, 1, &o, &y) ? y : NULL;
}

tern_tensor *tern_diagonal(tern_tensor *x, int64_t offset, int dim0, int dim1) {
    return terni_given(x, "diagonal", "x") ? diagonal("diagonal", x, offset, dim0, dim1) : NULL;
}

tern_tensor *tern_diag_embed(tern_tensor *x, int64_t offset, int dim0, int dim1) {
    TERNI_NAMED("diag_embed");
    return terni_given(x, "diag_embed", "x") ? embed("diag_embed", x, offset, dim0, dim1) : NULL;
}

tern_tensor *tern_diag(tern_tensor *x, int64_t k) {
    TERNI_NAMED("diag");
    if (!terni_given(x, "diag", "x")) return NULL;
    if (x->v.ndim == 1) return embed("diag", x, k, 0, 1);
    if (x->v.ndim == 2) return diagonal("diag", x, k, 0, 1);
    return terni_null(TERN_ERR_SHAPE, "diag: x %s; expected 1 or 2 dimensions", terni_describe(x));
}
