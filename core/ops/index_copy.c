/* index_copy, index_fill, one_hot: rows are set by a 1-dim index. */
#include "casting.h"
#include "scatter.h"

typedef struct copy_opts {
    const char *op;
    int dim;
    bool unique;
} copy_opts;

/* The kernel is scatter's, with the index repeated. */
static bool copy_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const copy_opts *o = tern_ctx_opts(ctx);
    const terni_scatter_opts s = {o->dim, TERNI_SCATTER_SET, o->op};
    tern_tensor *wide = terni_index_wide(in[1], terni_shape(in[2]), o->dim);
    out[0] = wide ? terni_new(terni_shape(in[0]), terni_dtype(in[0]), in[0]->device) : NULL;
    return out[0] && terni_run(TERNI_OP_copy, in, 1, out, 1, NULL) && tern_ctx_save(ctx, in[1]) &&
           terni_run(TERNI_OP_scatter, (tern_tensor *const[]){wide, in[2]}, 2, out, 1, &s);
}

/* True, [n], for the rows that stayed, in a shape that broadcasts along dim. */
static tern_tensor *stayed(tern_tensor *index, int64_t size, int ndim, int dim) {
    const tern_options o = {TERN_I64, index->device};
    tern_tensor *number = tern_arange(0, (double)index->numel, o);
    tern_tensor *board = tern_scatter(tern_zeros(TERN_SHAPE(size), o), 0, index, number);
    tern_shape line = {.ndim = ndim};
    for (int d = 0; d < ndim; d++) line.dim[d] = d == dim ? index->numel : 1;
    return tern_reshape(tern_eq(tern_index_select(board, 0, index), number), line);
}

static bool copy_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const copy_opts *o = tern_ctx_opts(ctx);
    tern_tensor *index = tern_ctx_saved(ctx, 0);
    if (!index) return false;
    if (tern_ctx_needs(ctx, 0)) gin[0] = tern_index_fill(gout[0], o->dim, index, 0);
    if (!tern_ctx_needs(ctx, 2)) return tern_ok();
    gin[2] = tern_index_select(gout[0], o->dim, index);
    if (!o->unique) {
        const tern_shape x = tern_ctx_shape(ctx, 0);
        tern_tensor *zero = tern_scalar(0, (tern_options){terni_dtype(gout[0]), gout[0]->device});
        gin[2] = tern_where(stayed(index, x.dim[o->dim], x.ndim, o->dim), gin[2], zero);
    }
    return tern_ok();
}
static const tern_function copy_function = {"index_copy", 1, sizeof(copy_opts), copy_forward, copy_backward, NULL};

tern_tensor *terni_index_copy(const char *op, tern_tensor *x, int dim, tern_tensor *index, tern_tensor *src,
                              bool unique) {
    const copy_opts o = {op, dim, unique};
    tern_tensor *y;
    return tern_apply(&copy_function, (tern_tensor *const[]){x, index, src}, 3, &o, &y) ? y : NULL;
}

tern_tensor *tern_index_copy(tern_tensor *x, int dim, tern_tensor *index, tern_tensor *src) {
    TERNI_AUTOCAST(WIDEST, &x, &src);
    if (!terni_rows_fit("index_copy", x, &dim, index, src)) return NULL;
    return terni_index_copy("index_copy", x, dim, index, src, false);
}

tern_tensor *tern_index_fill(tern_tensor *x, int dim, tern_tensor *index, double value) {
    terni_fill_opts o;
    if (!terni_given(x, "index_fill", "x") || !terni_index_given("index_fill", index)) return NULL;
    const int d = terni_dim("index_fill", dim, x->v.ndim);
    if (d < 0 || !terni_constant("index_fill", terni_dtype(x), value, &o)) return NULL;
    if (index->v.ndim != 1)
        return terni_null(TERN_ERR_SHAPE, "index_fill: index %s has %d dimensions; expected 1", terni_describe(index),
                          index->v.ndim);
    return terni_scatter_fill("index_fill", x, d, terni_index_wide(index, terni_shape(x), d), &o);
}

tern_tensor *tern_one_hot(tern_tensor *index, int64_t classes, tern_dtype dtype) {
    TERNI_NAMED("one_hot");
    if (!terni_index_given("one_hot", index)) return NULL;
    if (index->v.ndim == TERN_MAX_DIMS)
        return terni_null(TERN_ERR_SHAPE, "one_hot: index %s has %d dimensions already", terni_describe(index),
                          TERN_MAX_DIMS);
    if (classes < 1)
        return terni_null(TERN_ERR_ARGUMENT, "one_hot: %lld classes; expected 1 or more", (long long)classes);
    tern_shape s = terni_shape(index);
    s.dim[s.ndim++] = classes;
    if (!terni_shape_check("one_hot", &s, dtype)) return NULL;
    tern_tensor *y = tern_zeros(s, (tern_options){dtype, index->device});
    return y ? terni_scatter_fill("one_hot", y, s.ndim - 1, tern_unsqueeze(index, -1), &(terni_fill_opts){1, 1}) : NULL;
}
