/* Index ops. index_select and index_add, gather and scatter_add are each other's adjoints. */
#include "casting.h"
#include "scatter.h"
#include "trace_fields.h"

bool terni_index_given(const char *op, tern_tensor *index) {
    if (!terni_given(index, op, "index")) return false;
    if (terni_dtype(index) == TERN_I64 || terni_dtype(index) == TERN_I32) return true;
    return terni_fail(TERN_ERR_DTYPE, "%s: index %s is not i64 or i32", op, terni_describe(index));
}

static tern_tensor *call(const tern_function *f, tern_tensor *const *in, int n, const terni_dim_opts *o) {
    tern_tensor *y;
    return terni_same_device(f->name, in, n, NULL) && tern_apply(f, in, n, o, &y) ? y : NULL;
}

static tern_tensor *zeros_for(tern_ctx *ctx, tern_tensor *g) {
    return tern_zeros(tern_ctx_shape(ctx, 0), (tern_options){tern_ctx_dtype(ctx, 0), g->device});
}

/* zeros_for with g added by index: by ops where the gradient is recorded, else in place. */
static tern_tensor *spread(tern_ctx *ctx, tern_tensor *g, int kernel,
                           tern_tensor *(*form)(tern_tensor *, int, tern_tensor *, tern_tensor *)) {
    const terni_dim_opts *o = tern_ctx_opts(ctx);
    tern_tensor *index = tern_ctx_saved(ctx, 0), *y = index ? zeros_for(ctx, g) : NULL;
    if (!y || terni_recording()) return form(y, o->dim, index, g);
    return terni_run(kernel, (tern_tensor *const[]){index, g}, 2, &y, 1, o) ? y : NULL;
}

/* ---- index_select
 * ---------------------------------------------------------------------------------------------------------- */

static bool index_select_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    const terni_dim_opts *o = tern_ctx_opts(ctx);
    tern_shape s = terni_shape(in[0]);
    s.dim[o->dim] = in[1]->numel;
    if (!terni_shape_check("index_select", &s, terni_dtype(in[0]))) return false;
    out[0] = terni_new(s, terni_dtype(in[0]), in[0]->device);
    return out[0] && tern_ctx_save(ctx, in[1]) && terni_run(TERNI_OP_index_select, in, n, out, 1, o);
}
static bool index_select_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    gin[0] = spread(ctx, gout[0], TERNI_OP_index_add, tern_index_add);
    return gin[0] != NULL;
}
static const tern_function index_select_function = {
    "index_select", 1, sizeof(terni_dim_opts), index_select_forward, index_select_backward, NULL};
TERNI_TRACED(index_select, index_select_function, TERNI_FIELD(terni_dim_opts, "dim", dim));

tern_tensor *tern_index_select(tern_tensor *x, int dim, tern_tensor *index) {
    if (!terni_given(x, "index_select", "x") || !terni_index_given("index_select", index)) return NULL;
    const terni_dim_opts o = {terni_dim("index_select", dim, x->v.ndim), "index_select"};
    if (o.dim < 0) return NULL;
    if (index->v.ndim != 1)
        return terni_null(TERN_ERR_SHAPE, "index_select: index %s has %d dimensions; expected 1", terni_describe(index),
                          index->v.ndim);
    return call(&index_select_function, (tern_tensor *const[]){x, index}, 2, &o);
}

/* ---- adding: what index_add and scatter_add share
 * ------------------------------------------------------------------------------ */

static bool add_forward(tern_ctx *ctx, tern_tensor *const *in, tern_tensor **out, int op) {
    out[0] = terni_new(terni_shape(in[0]), terni_dtype(in[0]), in[0]->device);
    return out[0] && terni_run(TERNI_OP_copy, in, 1, out, 1, NULL) && tern_ctx_save(ctx, in[1]) &&
           terni_run(op, in + 1, 2, out, 1, tern_ctx_opts(ctx));
}

static bool add_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin,
                         tern_tensor *(*adjoint)(tern_tensor *, int, tern_tensor *)) {
    gin[0] = gout[0];
    if (tern_ctx_needs(ctx, 2))
        gin[2] = adjoint(gout[0], ((const terni_dim_opts *)tern_ctx_opts(ctx))->dim, tern_ctx_saved(ctx, 0));
    return tern_ok();
}

static bool index_add_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    return add_forward(ctx, in, out, TERNI_OP_index_add);
}
static bool index_add_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    return add_backward(ctx, gout, gin, tern_index_select);
}
static const tern_function index_add_function = {"index_add",        1,   sizeof(terni_dim_opts), index_add_forward,
                                                 index_add_backward, NULL};

bool terni_rows_fit(const char *op, tern_tensor *x, int *dim, tern_tensor *index, tern_tensor *src) {
    if (!terni_given(x, op, "x") || !terni_index_given(op, index) || !terni_given(src, op, "src")) return false;
    const int given = *dim;
    *dim = terni_dim(op, given, x->v.ndim);
    if (*dim < 0) return false;
    tern_shape want = terni_shape(x);
    want.dim[*dim] = index->numel;
    if (index->v.ndim != 1 || !tern_shape_equal(want, terni_shape(src)))
        return terni_fail(TERN_ERR_SHAPE, "%s: x %s along dimension %d, index %s, src %s; expected src %s", op,
                          terni_describe(x), given, terni_describe(index), terni_describe(src), terni_shape_str(want));
    if (x->v.dtype != src->v.dtype)
        return terni_fail(TERN_ERR_DTYPE, "%s: x %s and src %s", op, terni_describe(x), terni_describe(src));
    return terni_same_device(op, (tern_tensor *const[]){x, index, src}, 3, NULL);
}

tern_tensor *tern_index_add(tern_tensor *x, int dim, tern_tensor *index, tern_tensor *src) {
    TERNI_AUTOCAST(WIDEST, &x, &src);
    if (!terni_rows_fit("index_add", x, &dim, index, src)) return NULL;
    const terni_dim_opts o = {dim, "index_add"};
    return call(&index_add_function, (tern_tensor *const[]){x, index, src}, 3, &o);
}

/* ---- gather
 * ---------------------------------------------------------------------------------------------------------------------
 */

bool terni_gather_fits(const char *op, const tern_tensor *x, const tern_tensor *index, int dim) {
    bool fits = x->v.ndim == index->v.ndim;
    for (int i = 0; fits && i < x->v.ndim; i++) fits = i == dim || index->v.shape[i] <= x->v.shape[i];
    return fits || terni_fail(TERN_ERR_SHAPE, "%s: index %s does not fit x %s along dimension %d", op,
                              terni_describe(index), terni_describe(x), dim);
}

static bool gather_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    out[0] = terni_new(terni_shape(in[1]), terni_dtype(in[0]), in[0]->device);
    return out[0] && tern_ctx_save(ctx, in[1]) && terni_run(TERNI_OP_gather, in, n, out, 1, tern_ctx_opts(ctx));
}
static bool gather_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    gin[0] = spread(ctx, gout[0], TERNI_OP_scatter_add, tern_scatter_add);
    return gin[0] != NULL;
}
static const tern_function gather_function = {"gather",        1,   sizeof(terni_dim_opts), gather_forward,
                                              gather_backward, NULL};
TERNI_TRACED(gather, gather_function, TERNI_FIELD(terni_dim_opts, "dim", dim));

tern_tensor *terni_gather(const char *op, tern_tensor *x, int dim, tern_tensor *index) {
    const terni_dim_opts o = {dim, op};
    return call(&gather_function, (tern_tensor *const[]){x, index}, 2, &o);
}

tern_tensor *tern_gather(tern_tensor *x, int dim, tern_tensor *index) {
    if (!terni_given(x, "gather", "x") || !terni_index_given("gather", index)) return NULL;
    const int d = terni_dim("gather", dim, x->v.ndim);
    return d >= 0 && terni_gather_fits("gather", x, index, d) ? terni_gather("gather", x, d, index) : NULL;
}

static bool scatter_add_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    return add_forward(ctx, in, out, TERNI_OP_scatter_add);
}
static bool scatter_add_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    return add_backward(ctx, gout, gin, tern_gather);
}
static const tern_function scatter_add_function = {
    "scatter_add", 1, sizeof(terni_dim_opts), scatter_add_forward, scatter_add_backward, NULL};

tern_tensor *terni_scatter_add(const char *op, tern_tensor *x, int dim, tern_tensor *index, tern_tensor *src) {
    const terni_dim_opts o = {dim, op};
    return call(&scatter_add_function, (tern_tensor *const[]){x, index, src}, 3, &o);
}

tern_tensor *tern_scatter_add(tern_tensor *x, int dim, tern_tensor *index, tern_tensor *src) {
    TERNI_AUTOCAST(WIDEST, &x, &src);
    if (!terni_places_fit("scatter_add", x, &dim, index, src)) return NULL;
    return terni_scatter_add("scatter_add", x, dim, index, src);
}
