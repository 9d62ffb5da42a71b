/* Triangles of matrices. */
#include "trace_fields.h"

static bool tri_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    out[0] = terni_new(terni_shape(in[0]), terni_dtype(in[0]), in[0]->device);
    return out[0] && terni_run(TERNI_OP_tri, in, n, out, 1, tern_ctx_opts(ctx));
}
static bool tri_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const terni_tri_opts *o = tern_ctx_opts(ctx);
    gin[0] = o->upper ? tern_triu(gout[0], o->k) : tern_tril(gout[0], o->k);
    return gin[0] != NULL;
}
static const tern_function tri_function = {"tri", 1, sizeof(terni_tri_opts), tri_forward, tri_backward, NULL};
TERNI_TRACED(tri, tri_function, TERNI_FIELD(terni_tri_opts, "k", k), TERNI_FIELD(terni_tri_opts, "upper", upper));

static tern_tensor *tri(const char *op, tern_tensor *x, int64_t k, bool upper) {
    if (!terni_given(x, op, "x")) return NULL;
    if (x->v.ndim < 2)
        return terni_null(TERN_ERR_SHAPE, "%s: x %s; expected 2 dimensions or more", op, terni_describe(x));
    const terni_tri_opts o = {k, upper};
    tern_tensor *y;
    return tern_apply(&tri_function, &x, 1, &o, &y) ? y : NULL;
}

tern_tensor *tern_tril(tern_tensor *x, int64_t k) { return tri("tril", x, k, false); }
tern_tensor *tern_triu(tern_tensor *x, int64_t k) { return tri("triu", x, k, true); }
