/* conv2d and its two gradients. Each of the three maps is linear in both of its arguments, and the gradients of each
 * are the other two, so derivatives of any order come by themselves. */
#include "ops/geometry.h"

typedef struct options {
    terni_conv2d_opts k; /* first: what the kernels take */
    int64_t size[2];     /* of the output's last two dimensions */
} options;

static tern_tensor *apply(const tern_function *f, tern_tensor *a, tern_tensor *b, const options *o, int64_t h,
                          int64_t w) {
    options p = *o;
    p.size[0] = h;
    p.size[1] = w;
    tern_tensor *in[3] = {a, b, NULL}, *out[1];
    return a && b && tern_apply(f, in, 3, &p, out) ? out[0] : NULL;
}

/* out [d0, d1, size...] from the kernel `op`; saves what the gradients need. */
static bool run(tern_ctx *ctx, int op, tern_tensor *const *in, int64_t d0, int64_t d1, tern_tensor **out) {
    const options *o = tern_ctx_opts(ctx);
    tern_tensor *dense[3] = {terni_dense(in[0]), terni_dense(in[1]), in[2] ? terni_dense(in[2]) : NULL};
    if (!dense[0] || !dense[1] || (in[2] && !dense[2])) return false;
    const tern_shape shape = {4, {d0, d1, o->size[0], o->size[1]}};
    if (!terni_shape_check(terni_op_name(op), &shape, terni_dtype(in[0]))) return false;
    out[0] = terni_new(shape, terni_dtype(in[0]), in[0]->device);
    if (!out[0] || !terni_run(op, dense, op == TERNI_OP_conv2d ? 3 : 2, out, 1, o)) return false;
    return tern_ctx_save(ctx, tern_ctx_needs(ctx, 1) ? in[0] : NULL) &&
           tern_ctx_save(ctx, tern_ctx_needs(ctx, 0) ? in[1] : NULL);
}

static bool conv_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    return run(ctx, TERNI_OP_conv2d, in, in[0]->v.shape[0], in[1]->v.shape[0], out);
}

static bool input_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) { /* gy, w */
    (void)n;
    const options *o = tern_ctx_opts(ctx);
    return run(ctx, TERNI_OP_conv2d_input_grad, in, in[0]->v.shape[0], in[1]->v.shape[1] * o->k.groups, out);
}

static bool weight_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) { /* gy, x */
    (void)n;
    const options *o = tern_ctx_opts(ctx);
    return run(ctx, TERNI_OP_conv2d_weight_grad, in, in[0]->v.shape[1], in[1]->v.shape[1] / o->k.groups, out);
}

static bool conv_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in);
static bool input_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in);
static bool weight_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in);

static const tern_function conv = {"conv2d", 1, sizeof(options), conv_forward, conv_backward, NULL};
static const tern_function input_grad = {"conv2d_input_grad", 1, sizeof(options), input_forward, input_backward, NULL};
static const tern_function weight_grad = {"conv2d_weight_grad", 1,   sizeof(options), weight_forward,
                                          weight_backward,      NULL};

/* One gradient if input i needs it; the result is true unless an error came up. */
static bool wanted(tern_ctx *ctx, int i, const tern_function *f, tern_tensor *a, tern_tensor *b, tern_tensor **out) {
    if (!tern_ctx_needs(ctx, i)) return true;
    const tern_shape s = tern_ctx_shape(ctx, i);
    *out = apply(f, a, b, tern_ctx_opts(ctx), s.dim[2], s.dim[3]);
    return *out != NULL;
}

static bool conv_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    tern_tensor *gy = grad[0];
    if (tern_ctx_needs(ctx, 2)) {
        grad_in[2] = tern_sum(gy, (const int[]){0, 2, 3}, 3, false);
        if (!grad_in[2]) return false;
    }
    return wanted(ctx, 0, &input_grad, gy, tern_ctx_saved(ctx, 1), &grad_in[0]) &&
           wanted(ctx, 1, &weight_grad, gy, tern_ctx_saved(ctx, 0), &grad_in[1]);
}

static bool input_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) { /* of gy, w */
    return wanted(ctx, 0, &conv, grad[0], tern_ctx_saved(ctx, 1), &grad_in[0]) &&
           wanted(ctx, 1, &weight_grad, tern_ctx_saved(ctx, 0), grad[0], &grad_in[1]);
}

static bool weight_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) { /* of gy, x */
    return wanted(ctx, 0, &conv, tern_ctx_saved(ctx, 1), grad[0], &grad_in[0]) &&
           wanted(ctx, 1, &input_grad, tern_ctx_saved(ctx, 0), grad[0], &grad_in[1]);
}

static bool check(tern_tensor *x, tern_tensor *w, tern_tensor *b, int64_t groups) {
    if (!terni_is_image("conv2d", "x", x)) return false;
    if (w->v.ndim != 4)
        return terni_fail(TERN_ERR_SHAPE, "conv2d: w %s has %d dimensions, expected 4 [O, C/groups, kh, kw]",
                          terni_shape_str(terni_shape(w)), (int)w->v.ndim);
    const int64_t c = x->v.shape[1], o = w->v.shape[0];
    if (w->v.shape[1] > INT64_MAX / groups || c != w->v.shape[1] * groups)
        return terni_fail(TERN_ERR_SHAPE, "conv2d: x %s has %lld channels, w %s with %lld groups expects %lld",
                          terni_shape_str(terni_shape(x)), (long long)c, terni_shape_str(terni_shape(w)),
                          (long long)groups,
                          (long long)(w->v.shape[1] > INT64_MAX / groups ? -1 : w->v.shape[1] * groups));
    if (o % groups)
        return terni_fail(TERN_ERR_SHAPE, "conv2d: w %s has %lld output channels, which %lld groups do not divide",
                          terni_shape_str(terni_shape(w)), (long long)o, (long long)groups);
    if (b && (b->v.ndim != 1 || b->v.shape[0] != o))
        return terni_fail(TERN_ERR_SHAPE, "conv2d: b %s, expected [%lld] for w %s", terni_shape_str(terni_shape(b)),
                          (long long)o, terni_shape_str(terni_shape(w)));
    if (w->v.shape[2] < 1 || w->v.shape[3] < 1 || w->v.shape[2] > INT32_MAX || w->v.shape[3] > INT32_MAX)
        return terni_fail(TERN_ERR_SHAPE, "conv2d: w %s has no usable kernel size", terni_shape_str(terni_shape(w)));
    return true;
}

tern_tensor *tern_conv2d(tern_tensor *x, tern_tensor *w, tern_tensor *b, tern_conv2d_opts opts) {
    if (!terni_given(x, "conv2d", "x") || !terni_given(w, "conv2d", "w")) return NULL;
    tern_tensor *in[3] = {x, w, b}, *out[1];
    tern_device device;
    if (!terni_same_float("conv2d", in, 3) || !terni_same_device("conv2d", in, 3, &device)) return NULL;
    if (opts.groups < 0) return terni_null(TERN_ERR_ARGUMENT, "conv2d: %lld groups", (long long)opts.groups);
    options o = {.k.groups = opts.groups ? opts.groups : 1};
    if (!terni_pair("conv2d", "stride", opts.stride, 1, false, o.k.stride) ||
        !terni_pair("conv2d", "pad", opts.pad, 0, true, o.k.pad) ||
        !terni_pair("conv2d", "dilation", opts.dilation, 1, false, o.k.dilation) || !check(x, w, b, o.k.groups))
        return NULL;
    const terni_window win = {{w->v.shape[2], w->v.shape[3]},
                              {o.k.stride[0], o.k.stride[1]},
                              {o.k.pad[0], o.k.pad[1]},
                              {o.k.dilation[0], o.k.dilation[1]}};
    if (!terni_window_sizes("conv2d", x, &win, false, o.size)) return NULL;
    return tern_apply(&conv, in, 3, &o, out) ? out[0] : NULL;
}
