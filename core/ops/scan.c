/* cumsum, cumprod, cummax, cummin, prod. A line is the middle of [outer, n, inner]. Products are differentiated without
 * a division, so zeros do no harm: what stands before an element times a scan from behind,
 *     d cumprod: gx[i] = (x[0] .. x[i - 1]) s[i],  s[i] = g[i] + x[i + 1] s[i + 1]. */
#include "casting.h"
#include "trace_fields.h"

/* x as [outer, n, inner]. */
static tern_tensor *lines(tern_tensor *x, int d) {
    int64_t outer = 1, inner = 1;
    for (int i = 0; i < x->v.ndim; i++) {
        if (i < d) outer *= x->v.shape[i];
        if (i > d) inner *= x->v.shape[i];
    }
    return tern_reshape(x, TERN_SHAPE(outer, x->v.ndim ? x->v.shape[d] : 1, inner));
}

/* ---- linear_scan: a, b -> y -----------------------------------------------------------------------------------------
 */

static tern_tensor *linear_scan(tern_tensor *a, tern_tensor *b, bool reverse);

/* x one place further along the line (or back); what comes in is `value`. */
static tern_tensor *shifted(tern_tensor *x, bool forward, double value) {
    const int64_t n = tern_size(x, 1);
    if (n == 0) return x;
    tern_tensor *part = tern_slice(x, 1, forward ? 0 : 1, forward ? n - 1 : n, 1);
    tern_tensor *edge = tern_expand(tern_full(TERN_SHAPE(1, 1, 1), value, (tern_options){tern_dtype_of(x), x->device}),
                                    TERN_SHAPE(tern_size(x, 0), 1, tern_size(x, 2)));
    tern_tensor *const both[2] = {forward ? edge : part, forward ? part : edge};
    return part && edge ? tern_cat(both, 2, 1) : NULL;
}

static bool linear_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    tern_tensor *const dense[2] = {terni_dense(in[0]), terni_dense(in[1])};
    out[0] = dense[0] && dense[1] ? terni_new(terni_shape(in[0]), terni_dtype(in[0]), in[0]->device) : NULL;
    return out[0] && terni_run(TERNI_OP_linear_scan, dense, 2, out, 1, tern_ctx_opts(ctx)) &&
           tern_ctx_save(ctx, in[0]) && tern_ctx_save(ctx, out[0]);
}
static bool linear_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const terni_scan_opts *o = tern_ctx_opts(ctx);
    tern_tensor *a = tern_ctx_saved(ctx, 0), *y = tern_ctx_saved(ctx, 1);
    if (!a || !y) return false;
    tern_tensor *g = linear_scan(shifted(a, o->reverse, 0), gout[0], !o->reverse);
    gin[1] = g;
    if (tern_ctx_needs(ctx, 0)) gin[0] = tern_mul(g, shifted(y, !o->reverse, 0));
    return g && (!tern_ctx_needs(ctx, 0) || gin[0]);
}
static const tern_function linear_function = {"linear_scan",   1,   sizeof(terni_scan_opts), linear_forward,
                                              linear_backward, NULL};

static tern_tensor *linear_scan(tern_tensor *a, tern_tensor *b, bool reverse) {
    tern_tensor *const in[2] = {a, b};
    const terni_scan_opts o = {.reverse = reverse};
    tern_tensor *y;
    return a && b && tern_apply(&linear_function, in, 2, &o, &y) ? y : NULL;
}

/* ---- running sums and products
 * ---------------------------------------------------------------------------------------- */

static bool scan_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const terni_scan_opts *o = tern_ctx_opts(ctx);
    tern_tensor *x = terni_dense(in[0]);
    const tern_dtype d = tern_dtype_is_float(terni_dtype(in[0])) ? terni_dtype(in[0]) : TERN_I64;
    out[0] = x ? terni_new(terni_shape(x), d, x->device) : NULL;
    return out[0] && terni_run(TERNI_OP_scan, &x, 1, out, 1, o) &&
           (o->kind == TERNI_SCAN_SUM || tern_ctx_save(ctx, in[0]));
}
static tern_tensor *scan(tern_tensor *x, int kind, bool reverse);
static bool sum_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const terni_scan_opts *o = tern_ctx_opts(ctx);
    gin[0] = scan(gout[0], TERNI_SCAN_SUM, !o->reverse);
    return gin[0] != NULL;
}
/* Of the elements before each one; behind it with reverse. */
static tern_tensor *product_before(tern_tensor *x, bool reverse) {
    return shifted(scan(x, TERNI_SCAN_PROD, reverse), !reverse, 1);
}
static bool prod_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const terni_scan_opts *o = tern_ctx_opts(ctx);
    tern_tensor *x = tern_ctx_saved(ctx, 0);
    if (!x) return false;
    gin[0] = tern_mul(product_before(x, o->reverse), linear_scan(shifted(x, o->reverse, 0), gout[0], !o->reverse));
    return gin[0] != NULL;
}
static const tern_function sums = {"cumsum", 1, sizeof(terni_scan_opts), scan_forward, sum_backward, NULL};
static const tern_function products = {"cumprod", 1, sizeof(terni_scan_opts), scan_forward, prod_backward, NULL};
TERNI_TRACED(cumsum, sums, TERNI_FIELD(terni_scan_opts, "reverse", reverse));
TERNI_TRACED(cumprod, products, TERNI_FIELD(terni_scan_opts, "reverse", reverse));

static tern_tensor *scan(tern_tensor *x, int kind, bool reverse) {
    const terni_scan_opts o = {kind, reverse};
    tern_tensor *y;
    return x && tern_apply(kind == TERNI_SCAN_SUM ? &sums : &products, &x, 1, &o, &y) ? y : NULL;
}

static tern_tensor *cumulative(const char *op, tern_tensor *x, int dim, int kind) {
    if (!terni_given(x, op, "x")) return NULL;
    const int d = x->v.ndim == 0 && (dim == 0 || dim == -1) ? 0 : terni_dim(op, dim, x->v.ndim);
    if (d < 0) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *y = scan(lines(x, d), kind, false);
    return tern_scope_return(scope, y ? tern_reshape(y, terni_shape(x)) : NULL);
}

tern_tensor *tern_cumsum(tern_tensor *x, int dim) {
    TERNI_NAMED("cumsum");
    TERNI_AUTOCAST(F32, &x);
    return cumulative("cumsum", x, dim, TERNI_SCAN_SUM);
}
tern_tensor *tern_cumprod(tern_tensor *x, int dim) {
    TERNI_NAMED("cumprod");
    TERNI_AUTOCAST(F32, &x);
    return cumulative("cumprod", x, dim, TERNI_SCAN_PROD);
}

/* ---- running maximum and minimum
 * --------------------------------------------------------------------------------------- */

static bool extreme_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    tern_tensor *x = terni_dense(in[0]);
    if (!x) return false;
    out[0] = terni_new(terni_shape(x), terni_dtype(x), x->device);
    out[1] = terni_new(terni_shape(x), TERN_I64, x->device);
    return out[0] && out[1] && terni_run(TERNI_OP_scan, &x, 1, out, 2, tern_ctx_opts(ctx)) &&
           tern_ctx_save(ctx, out[1]);
}
static bool extreme_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    tern_tensor *at = tern_ctx_saved(ctx, 0);
    gin[0] = at && gout[0] ? tern_scatter_add(tern_zeros_like(tern_detach(gout[0])), 1, at, gout[0]) : NULL;
    return gin[0] != NULL;
}
static const tern_function extremes = {"cummax", 2, sizeof(terni_scan_opts), extreme_forward, extreme_backward, NULL};
TERNI_TRACED(cummax, extremes, TERNI_FIELD(terni_scan_opts, "kind", kind));

static tern_tensor *running(const char *op, tern_tensor *x, int dim, int kind, tern_tensor **indices) {
    if (indices) *indices = NULL;
    if (!terni_given(x, op, "x")) return NULL;
    const int d = x->v.ndim == 0 && (dim == 0 || dim == -1) ? 0 : terni_dim(op, dim, x->v.ndim);
    if (d < 0) return NULL;
    const terni_scan_opts o = {kind, false};
    tern_tensor *out[2], *l = lines(x, d);
    if (!l || !tern_apply(&extremes, &l, 1, &o, out)) return NULL;
    tern_tensor *y = tern_reshape(out[0], terni_shape(x)), *at = tern_reshape(out[1], terni_shape(x));
    if (!y || !at) return NULL;
    if (indices) *indices = at;
    return y;
}

tern_tensor *tern_cummax(tern_tensor *x, int dim, tern_tensor **indices) {
    TERNI_NAMED("cummax");
    return running("cummax", x, dim, TERNI_SCAN_MAX, indices);
}
tern_tensor *tern_cummin(tern_tensor *x, int dim, tern_tensor **indices) {
    TERNI_NAMED("cummin");
    return running("cummin", x, dim, TERNI_SCAN_MIN, indices);
}

/* ---- prod: [r, n] -> [r]
 * ------------------------------------------------------------------------------------------------- */

static bool whole_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    tern_tensor *x = terni_dense(in[0]);
    const tern_dtype d = tern_dtype_is_float(terni_dtype(in[0])) ? terni_dtype(in[0]) : TERN_I64;
    out[0] = x ? terni_new(TERN_SHAPE(x->v.shape[0]), d, x->device) : NULL;
    return out[0] && terni_run(TERNI_OP_prod, &x, 1, out, 1, NULL) && tern_ctx_save(ctx, in[0]);
}
static bool whole_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    tern_tensor *x = tern_ctx_saved(ctx, 0), *l = x ? tern_unsqueeze(x, 2) : NULL;
    tern_tensor *others = l ? tern_mul(product_before(l, false), product_before(l, true)) : NULL;
    gin[0] = others ? tern_mul(tern_unsqueeze(gout[0], 1), tern_squeeze(others, 2)) : NULL;
    return gin[0] != NULL;
}
static const tern_function whole = {"prod", 1, 0, whole_forward, whole_backward, NULL};

tern_tensor *tern_prod(tern_tensor *x, const int *dims, int n, bool keepdim) {
    TERNI_NAMED("prod");
    TERNI_AUTOCAST(F32, &x);
    uint32_t bits;
    if (!terni_given(x, "prod", "x") || !terni_dims("prod", dims, n, x->v.ndim, &bits)) return NULL;
    const int scope = tern_scope_push();
    int order[TERN_MAX_DIMS], k = 0;
    tern_shape left = {0}, kept = terni_shape(x);
    int64_t rows = 1, each = 1;
    for (int i = 0; i < x->v.ndim; i++)
        if (!(bits >> i & 1)) {
            order[k++] = i;
            left.dim[left.ndim++] = x->v.shape[i];
            rows *= x->v.shape[i];
        }
    for (int i = 0; i < x->v.ndim; i++)
        if (bits >> i & 1) {
            order[k++] = i;
            kept.dim[i] = 1;
            each *= x->v.shape[i];
        }
    tern_tensor *y, *r = tern_reshape(x->v.ndim ? tern_permute(x, order, x->v.ndim) : x, TERN_SHAPE(rows, each));
    if (!r || !tern_apply(&whole, &r, 1, NULL, &y)) y = NULL;
    return tern_scope_return(scope, y ? tern_reshape(y, keepdim ? kept : left) : NULL);
}
