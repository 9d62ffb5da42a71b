/* avg_pool2d and its gradient are linear and each other's adjoint. */
#include "ops/geometry.h"

typedef struct options {
    terni_pool2d_opts k;
    int64_t size[2];
} options;

static bool run(tern_ctx *ctx, int op, tern_tensor *in, tern_tensor **out) {
    const options *o = tern_ctx_opts(ctx);
    tern_tensor *x = terni_dense(in);
    const tern_shape shape = {4, {in->v.shape[0], in->v.shape[1], o->size[0], o->size[1]}};
    if (!x || !terni_shape_check("avg_pool2d", &shape, terni_dtype(x))) return false;
    out[0] = terni_new(shape, terni_dtype(x), x->device);
    return out[0] && terni_run(op, &x, 1, out, 1, &o->k);
}

static bool pool_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    return run(ctx, TERNI_OP_avg_pool2d, in[0], out);
}
static bool spread_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    return run(ctx, TERNI_OP_avg_pool2d_grad, in[0], out);
}

static bool adjoint(tern_ctx *ctx, const tern_function *f, tern_tensor *g, tern_tensor **grad_in) {
    const tern_shape x = tern_ctx_shape(ctx, 0);
    options o = *(const options *)tern_ctx_opts(ctx);
    o.size[0] = x.dim[2];
    o.size[1] = x.dim[3];
    return tern_apply(f, &g, 1, &o, grad_in);
}

static bool pool_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in);
static bool spread_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in);
static const tern_function pool = {"avg_pool2d", 1, sizeof(options), pool_forward, pool_backward, NULL};
static const tern_function spread = {"avg_pool2d_grad", 1, sizeof(options), spread_forward, spread_backward, NULL};

static bool pool_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    return adjoint(ctx, &spread, grad[0], grad_in);
}
static bool spread_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    return adjoint(ctx, &pool, grad[0], grad_in);
}

tern_tensor *tern_avg_pool2d(tern_tensor *x, const int64_t kernel[2], tern_pool2d_opts opts) {
    static const char op[] = "avg_pool2d";
    terni_window w;
    options o = {.size = {0, 0}};
    if (!terni_given(x, op, "x") || !terni_given(kernel, op, "kernel") || !terni_same_float(op, &x, 1) ||
        !terni_is_image(op, "x", x) || !terni_pool_window(op, kernel, &opts, &w))
        return NULL;
    if (w.dilation[0] != 1 || w.dilation[1] != 1)
        return terni_null(TERN_ERR_ARGUMENT, "avg_pool2d: dilation {%lld, %lld}, but only max_pool2d takes one",
                          (long long)w.dilation[0], (long long)w.dilation[1]);
    if (!terni_window_sizes(op, x, &w, opts.ceil_mode, o.size)) return NULL;
    o.k = terni_pool_opts(&w, opts.exclude_pad);
    tern_tensor *out[1];
    return tern_apply(&pool, &x, 1, &o, out) ? out[0] : NULL;
}
