/* avg_pool and its gradient are linear and each other's adjoint. The adaptive ones are these with windows that follow
 * from the sizes. */
#include "ops/geometry.h"
#include "trace_fields.h"

static bool run(tern_ctx *ctx, int op, tern_tensor *in, tern_tensor **out) {
    const terni_pool *o = tern_ctx_opts(ctx);
    tern_tensor *x = terni_dense(in);
    const tern_shape shape = terni_pool_shape(in, o->n, o->size);
    if (!x || !terni_shape_check("avg_pool", &shape, terni_dtype(x))) return false;
    out[0] = terni_new(shape, terni_dtype(x), x->device);
    if (!out[0]) return false;
    const terni_view from = terni_view5(x, o->n), to = terni_view5(out[0], o->n);
    const terni_view *vi = &from, *vo = &to;
    return terni_run_views(op, x->device, &vi, 1, &vo, 1, &o->k);
}

static bool pool_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    return run(ctx, TERNI_OP_avg_pool, in[0], out);
}
static bool spread_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    return run(ctx, TERNI_OP_avg_pool_grad, in[0], out);
}

static bool pool_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in);
static bool spread_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in);
static const tern_function pool = {"avg_pool", 1, sizeof(terni_pool), pool_forward, pool_backward, NULL};
TERNI_TRACED(avg_pool, pool, TERNI_FIELD(terni_pool, "kernel", k.kernel), TERNI_FIELD(terni_pool, "stride", k.stride),
             TERNI_FIELD(terni_pool, "pad", k.pad), TERNI_FIELD(terni_pool, "dilation", k.dilation),
             TERNI_FIELD(terni_pool, "divisor", k.divisor), TERNI_FIELD(terni_pool, "exclude_pad", k.exclude_pad),
             TERNI_FIELD(terni_pool, "adaptive", k.adaptive), TERNI_FIELD(terni_pool, "axes", n));
static const tern_function spread = {"avg_pool_grad", 1, sizeof(terni_pool), spread_forward, spread_backward, NULL};

static bool adjoint(tern_ctx *ctx, const tern_function *f, tern_tensor *g, tern_tensor **grad_in) {
    const terni_pool o = terni_pool_back(tern_ctx_opts(ctx), tern_ctx_shape(ctx, 0));
    return tern_apply(f, &g, 1, &o, grad_in);
}
static bool pool_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    return adjoint(ctx, &spread, grad[0], grad_in);
}
static bool spread_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    return adjoint(ctx, &pool, grad[0], grad_in);
}

static tern_tensor *avg_pool(terni_pool_given g, tern_tensor *x) {
    terni_window w;
    int64_t size[3];
    if (!terni_given(x, g.op, "x") || !terni_same_float(g.op, &x, 1) || !terni_has_axes(g.op, "x", x, g.n, true) ||
        !terni_pool_window(&g, &w))
        return NULL;
    for (int d = 0; d < 3; d++)
        if (w.dilation[d] != 1)
            return terni_null(TERN_ERR_ARGUMENT, "%s: a dilation of %lld, but only max_pool takes one", g.op,
                              (long long)w.dilation[d]);
    if (!terni_window_sizes(g.op, x, &w, g.ceil_mode, NULL, size)) return NULL;
    terni_pool o = terni_pool_of(&w, size);
    o.k.exclude_pad = g.exclude_pad;
    o.k.divisor = g.divisor;
    tern_tensor *out[1];
    return tern_apply(&pool, &x, 1, &o, out) ? out[0] : NULL;
}

static tern_tensor *adaptive(const char *op, tern_tensor *x, int n, const int64_t *size) {
    terni_pool o;
    tern_tensor *out[1];
    if (!terni_pool_adaptive(op, x, n, size, &o)) return NULL;
    bool whole = true; /* one window: the sums know faster ways */
    for (int d = 0; d < 3; d++) whole &= o.size[d] == 1;
    if (whole) return tern_mean(x, (const int[]){-1, -2, -3}, n, true);
    return tern_apply(&pool, &x, 1, &o, out) ? out[0] : NULL;
}

tern_tensor *tern_avg_pool1d(tern_tensor *x, int64_t kernel, tern_pool1d_opts opts) {
    return avg_pool(terni_pool1("avg_pool1d", &kernel, &opts), x);
}
tern_tensor *tern_avg_pool2d(tern_tensor *x, const int64_t kernel[2], tern_pool2d_opts opts) {
    return avg_pool(terni_pool2("avg_pool2d", kernel, &opts), x);
}
tern_tensor *tern_avg_pool3d(tern_tensor *x, const int64_t kernel[3], tern_pool3d_opts opts) {
    return avg_pool(terni_pool3("avg_pool3d", kernel, &opts), x);
}
tern_tensor *tern_adaptive_avg_pool1d(tern_tensor *x, int64_t size) {
    TERNI_NAMED("adaptive_avg_pool1d");
    return adaptive("adaptive_avg_pool1d", x, 1, &size);
}
tern_tensor *tern_adaptive_avg_pool2d(tern_tensor *x, const int64_t size[2]) {
    TERNI_NAMED("adaptive_avg_pool2d");
    return adaptive("adaptive_avg_pool2d", x, 2, size);
}
tern_tensor *tern_adaptive_avg_pool3d(tern_tensor *x, const int64_t size[3]) {
    TERNI_NAMED("adaptive_avg_pool3d");
    return adaptive("adaptive_avg_pool3d", x, 3, size);
}
