/* Convolution, its transpose and its weights' gradient, over 1 to 3 axes. Each of the three maps is linear in both of
 * its arguments, and the gradients of each are the other two, so derivatives of any order come by themselves. */
#include "casting.h"
#include "ops/geometry.h"
#include "trace_fields.h"

typedef struct options {
    terni_conv_opts k; /* first: what the kernels take */
    int n;             /* axes */
    int64_t size[3];   /* of the output's axes */
} options;

/* out [d0, d1, size...] from the kernel `op`; saves what the gradients need. in[2] is a bias, or NULL. */
static bool run(tern_ctx *ctx, int op, tern_tensor *const *in, int64_t d0, int64_t d1, tern_tensor **out) {
    const options *o = tern_ctx_opts(ctx);
    tern_tensor *dense[3] = {terni_dense(in[0]), terni_dense(in[1]), in[2] ? terni_dense(in[2]) : NULL};
    if (!dense[0] || !dense[1] || (in[2] && !dense[2])) return false;
    tern_shape shape = {2 + o->n, {d0, d1}};
    for (int i = 0; i < o->n; i++) shape.dim[2 + i] = o->size[3 - o->n + i];
    if (!terni_shape_check(terni_op_name(op), &shape, terni_dtype(in[0]))) return false;
    out[0] = terni_new(shape, terni_dtype(in[0]), in[0]->device);
    if (!out[0]) return false;
    const terni_view a = terni_view5(dense[0], o->n), b = terni_view5(dense[1], o->n), y = terni_view5(out[0], o->n);
    const terni_view *views[3] = {&a, &b, dense[2] ? &dense[2]->v : NULL}, *to = &y;
    if (!terni_run_views(op, in[0]->device, views, op == TERNI_OP_conv_weight_grad ? 2 : 3, &to, 1, &o->k))
        return false;
    return tern_ctx_save(ctx, tern_ctx_needs(ctx, 1) ? in[0] : NULL) &&
           tern_ctx_save(ctx, tern_ctx_needs(ctx, 0) ? in[1] : NULL);
}

static bool conv_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) { /* x, w, b */
    (void)n;
    return run(ctx, TERNI_OP_conv, in, in[0]->v.shape[0], in[1]->v.shape[0], out);
}

static bool transpose_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) { /* gy, w, b */
    (void)n;
    const options *o = tern_ctx_opts(ctx);
    return run(ctx, TERNI_OP_conv_input_grad, in, in[0]->v.shape[0], in[1]->v.shape[1] * o->k.groups, out);
}

static bool weight_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) { /* gy, x */
    (void)n;
    const options *o = tern_ctx_opts(ctx);
    return run(ctx, TERNI_OP_conv_weight_grad, in, in[0]->v.shape[1], in[1]->v.shape[1] / o->k.groups, out);
}

static bool conv_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in);
static bool transpose_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in);
static bool weight_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in);

static const tern_function conv = {"conv", 1, sizeof(options), conv_forward, conv_backward, NULL};
static const tern_function transpose = {"conv_transpose",   1,   sizeof(options), transpose_forward,
                                        transpose_backward, NULL};
TERNI_TRACED(conv, conv, TERNI_FIELD(options, "stride", k.stride), TERNI_FIELD(options, "pad", k.pad),
             TERNI_FIELD(options, "dilation", k.dilation), TERNI_FIELD(options, "groups", k.groups),
             TERNI_FIELD(options, "axes", n));
TERNI_TRACED(conv_transpose, transpose, TERNI_FIELD(options, "stride", k.stride), TERNI_FIELD(options, "pad", k.pad),
             TERNI_FIELD(options, "dilation", k.dilation), TERNI_FIELD(options, "groups", k.groups),
             TERNI_FIELD(options, "axes", n));
static const tern_function weight_grad = {"conv_weight_grad", 1,   sizeof(options), weight_forward,
                                          weight_backward,    NULL};

/* f of a and b, like input i, if that needs a gradient; the result is true unless an error came up. */
static bool wanted(tern_ctx *ctx, int i, const tern_function *f, tern_tensor *a, tern_tensor *b, tern_tensor **out) {
    if (!tern_ctx_needs(ctx, i)) return true;
    options o = *(const options *)tern_ctx_opts(ctx);
    const tern_shape s = tern_ctx_shape(ctx, i);
    for (int d = 0; d < o.n; d++) o.size[3 - o.n + d] = s.dim[2 + d];
    tern_tensor *in[3] = {a, b, NULL};
    return a && b && tern_apply(f, in, 3, &o, out);
}

static bool bias_grad(tern_ctx *ctx, tern_tensor *gy, tern_tensor **out) {
    const options *o = tern_ctx_opts(ctx);
    if (tern_ctx_needs(ctx, 2)) *out = tern_sum(gy, (const int[]){0, 2, 3, 4}, 1 + o->n, false);
    return tern_ok();
}

static bool conv_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    return bias_grad(ctx, grad[0], &grad_in[2]) &&
           wanted(ctx, 0, &transpose, grad[0], tern_ctx_saved(ctx, 1), &grad_in[0]) &&
           wanted(ctx, 1, &weight_grad, grad[0], tern_ctx_saved(ctx, 0), &grad_in[1]);
}

static bool transpose_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) { /* of gy, w, b */
    return bias_grad(ctx, grad[0], &grad_in[2]) &&
           wanted(ctx, 0, &conv, grad[0], tern_ctx_saved(ctx, 1), &grad_in[0]) &&
           wanted(ctx, 1, &weight_grad, tern_ctx_saved(ctx, 0), grad[0], &grad_in[1]);
}

static bool weight_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) { /* of gy, x */
    return wanted(ctx, 0, &conv, tern_ctx_saved(ctx, 1), grad[0], &grad_in[0]) &&
           wanted(ctx, 1, &transpose, tern_ctx_saved(ctx, 0), grad[0], &grad_in[1]);
}

/* ---- calls, whatever the number of axes -------------------------------------------------------------------------- */

typedef struct given {
    const char *op;
    int n;
    const int64_t *stride, *pad, *dilation, *output_pad; /* output_pad: the transposed ones */
    int64_t groups;
    bool same;
} given;

/* Options and w's kernel, resolved; x's dimensions are checked. */
static bool resolve(const given *g, tern_tensor *const *in, options *o, terni_window *win) {
    static const terni_axes_rule ones = {1, 1, false}, pads = {0, 0, true};
    tern_device device;
    if (!terni_given(in[0], g->op, "x") || !terni_given(in[1], g->op, "w") || !terni_same_float(g->op, in, 3) ||
        !terni_same_device(g->op, in, 3, &device))
        return false;
    if (g->groups < 0 || g->groups > INT32_MAX)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: %lld groups", g->op, (long long)g->groups);
    o->k.groups = g->groups ? g->groups : 1;
    o->n = win->n = g->n;
    if (!terni_axes(g->op, "stride", g->stride, g->n, ones, o->k.stride) ||
        !terni_axes(g->op, "pad", g->pad, g->n, pads, o->k.pad) ||
        !terni_axes(g->op, "dilation", g->dilation, g->n, ones, o->k.dilation) ||
        !terni_has_axes(g->op, "x", in[0], g->n, true))
        return false;
    const tern_tensor *w = in[1];
    if (w->v.ndim != g->n + 2)
        return terni_fail(TERN_ERR_SHAPE, "%s: w %s has %d dimensions, expected %d", g->op,
                          terni_shape_str(terni_shape(w)), (int)w->v.ndim, g->n + 2);
    for (int d = 0; d < 3; d++) {
        win->kernel[d] = d < 3 - g->n ? 1 : w->v.shape[g->n - 1 + d];
        win->stride[d] = o->k.stride[d];
        win->pad[d] = o->k.pad[d];
        win->dilation[d] = o->k.dilation[d];
        if (win->kernel[d] < 1 || win->kernel[d] > INT32_MAX)
            return terni_fail(TERN_ERR_SHAPE, "%s: w %s has no usable kernel size", g->op,
                              terni_shape_str(terni_shape(w)));
    }
    return true;
}

/* x must have `channels`, b `outputs`. */
static bool check(const given *g, tern_tensor *const *in, const options *o, int64_t channels, int64_t outputs) {
    const tern_tensor *x = in[0], *w = in[1], *b = in[2];
    const int64_t c = x->v.shape[x->v.ndim - g->n - 1];
    if (c != channels)
        return terni_fail(TERN_ERR_SHAPE, "%s: x %s has %lld channels, w %s with %lld groups expects %lld", g->op,
                          terni_shape_str(terni_shape(x)), (long long)c, terni_shape_str(terni_shape(w)),
                          (long long)o->k.groups, (long long)channels);
    if (w->v.shape[0] % o->k.groups)
        return terni_fail(TERN_ERR_SHAPE, "%s: w %s has %lld channels, which %lld groups do not divide", g->op,
                          terni_shape_str(terni_shape(w)), (long long)w->v.shape[0], (long long)o->k.groups);
    if (b && (b->v.ndim != 1 || b->v.shape[0] != outputs))
        return terni_fail(TERN_ERR_SHAPE, "%s: b %s, expected [%lld] for w %s", g->op, terni_shape_str(terni_shape(b)),
                          (long long)outputs, terni_shape_str(terni_shape(w)));
    return true;
}

/* Zeros that keep the sizes, all of them and those before. */
static bool same_pad(const given *g, const terni_window *w, options *o, int64_t all[3]) {
    for (int d = 0; d < 3; d++) {
        if (w->stride[d] != 1 || w->pad[d] != 0)
            return terni_fail(TERN_ERR_ARGUMENT, "%s: same padding takes stride 1 and no pad", g->op);
        if (!terni_mul_i64(w->dilation[d], w->kernel[d] - 1, &all[d]))
            return terni_fail(TERN_ERR_SHAPE, "%s: the kernel reaches too far", g->op);
        o->k.pad[d] = all[d] / 2;
    }
    return true;
}

/* f of x with its N, or with one that comes and goes. */
static tern_tensor *apply(const tern_function *f, tern_tensor *const *in, const options *o) {
    const bool alone = in[0]->v.ndim == o->n + 1;
    tern_tensor *with[3] = {alone ? tern_unsqueeze(in[0], 0) : in[0], in[1], in[2]}, *out[1];
    if (!with[0] || !tern_apply(f, with, 3, o, out)) return NULL;
    return alone ? tern_squeeze(out[0], 0) : out[0];
}

static tern_tensor *convolve(given g, tern_tensor *x, tern_tensor *w, tern_tensor *b) {
    tern_tensor *const in[3] = {x, w, b};
    options o = {.n = 0};
    terni_window win;
    int64_t channels, all[3] = {0};
    if (!resolve(&g, in, &o, &win)) return NULL;
    if (!terni_mul_i64(w->v.shape[1], o.k.groups, &channels)) channels = -1;
    if (!check(&g, in, &o, channels, w->v.shape[0]) || (g.same && !same_pad(&g, &win, &o, all))) return NULL;
    if (!terni_window_sizes(g.op, x, &win, false, all, o.size)) return NULL;
    return apply(&conv, in, &o);
}

/* (size - 1) stride - 2 pad + dilation (kernel - 1) + output_pad + 1 */
static bool transposed_sizes(const given *g, const tern_tensor *x, const terni_window *w, options *o) {
    int64_t extra[3];
    if (!terni_axes(g->op, "output_pad", g->output_pad, g->n, (terni_axes_rule){0, 0, true}, extra)) return false;
    for (int d = 0; d < 3; d++) {
        if (extra[d] && extra[d] >= w->stride[d] && extra[d] >= w->dilation[d])
            return terni_fail(TERN_ERR_ARGUMENT, "%s: output_pad %s is not below stride or dilation", g->op,
                              terni_shape_str(tern_shape_of(g->n, extra + 3 - g->n)));
        const int64_t size = d < 3 - g->n ? 1 : x->v.shape[x->v.ndim - 3 + d];
        int64_t steps, reach;
        const bool fits = terni_mul_i64(size - 1, w->stride[d], &steps) && steps < INT64_MAX / 4 &&
                          terni_mul_i64(w->kernel[d] - 1, w->dilation[d], &reach);
        o->size[d] = fits ? steps + reach + 1 + extra[d] - 2 * w->pad[d] : 0;
        if (size < 1 || o->size[d] < 1)
            return terni_fail(TERN_ERR_SHAPE, "%s: x %s and w's kernel %s padded by %s leave no result", g->op,
                              terni_shape_str(terni_shape(x)),
                              terni_shape_str(tern_shape_of(g->n, w->kernel + 3 - g->n)),
                              terni_shape_str(tern_shape_of(g->n, w->pad + 3 - g->n)));
    }
    return true;
}

static tern_tensor *convolve_back(given g, tern_tensor *x, tern_tensor *w, tern_tensor *b) {
    tern_tensor *const in[3] = {x, w, b};
    options o = {.n = 0};
    terni_window win;
    int64_t outputs;
    if (!resolve(&g, in, &o, &win)) return NULL;
    if (!terni_mul_i64(w->v.shape[1], o.k.groups, &outputs))
        return terni_null(TERN_ERR_SHAPE, "%s: w %s with %lld groups has too many channels", g.op,
                          terni_shape_str(terni_shape(w)), (long long)o.k.groups);
    if (!check(&g, in, &o, w->v.shape[0], outputs) || !transposed_sizes(&g, x, &win, &o)) return NULL;
    return apply(&transpose, in, &o);
}

tern_tensor *tern_conv1d(tern_tensor *x, tern_tensor *w, tern_tensor *b, tern_conv1d_opts o) {
    TERNI_AUTOCAST(LOW, &x, &w, &b);
    return convolve((given){"conv1d", 1, &o.stride, &o.pad, &o.dilation, NULL, o.groups, o.same}, x, w, b);
}
tern_tensor *tern_conv2d(tern_tensor *x, tern_tensor *w, tern_tensor *b, tern_conv2d_opts o) {
    TERNI_AUTOCAST(LOW, &x, &w, &b);
    return convolve((given){"conv2d", 2, o.stride, o.pad, o.dilation, NULL, o.groups, o.same}, x, w, b);
}
tern_tensor *tern_conv3d(tern_tensor *x, tern_tensor *w, tern_tensor *b, tern_conv3d_opts o) {
    TERNI_AUTOCAST(LOW, &x, &w, &b);
    return convolve((given){"conv3d", 3, o.stride, o.pad, o.dilation, NULL, o.groups, o.same}, x, w, b);
}
tern_tensor *tern_conv_transpose1d(tern_tensor *x, tern_tensor *w, tern_tensor *b, tern_conv_transpose1d_opts o) {
    TERNI_AUTOCAST(LOW, &x, &w, &b);
    const given g = {"conv_transpose1d", 1, &o.stride, &o.pad, &o.dilation, &o.output_pad, o.groups, false};
    return convolve_back(g, x, w, b);
}
tern_tensor *tern_conv_transpose2d(tern_tensor *x, tern_tensor *w, tern_tensor *b, tern_conv_transpose2d_opts o) {
    TERNI_AUTOCAST(LOW, &x, &w, &b);
    const given g = {"conv_transpose2d", 2, o.stride, o.pad, o.dilation, o.output_pad, o.groups, false};
    return convolve_back(g, x, w, b);
}
tern_tensor *tern_conv_transpose3d(tern_tensor *x, tern_tensor *w, tern_tensor *b, tern_conv_transpose3d_opts o) {
    TERNI_AUTOCAST(LOW, &x, &w, &b);
    const given g = {"conv_transpose3d", 3, o.stride, o.pad, o.dilation, o.output_pad, o.groups, false};
    return convolve_back(g, x, w, b);
}
