/* im2col and col2im are linear and each other's adjoint. */
#include "ops/geometry.h"
#include "trace_fields.h"

typedef struct options {
    terni_fold_opts k; /* first: what the kernels take */
    int64_t image[2];
} options;

/* x [N, C, H, W] -> [N, C, kh, kw, size...] */
static bool fold_out_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const options *o = tern_ctx_opts(ctx);
    tern_tensor *x = terni_dense(in[0]);
    const tern_shape shape = {
        6, {in[0]->v.shape[0], in[0]->v.shape[1], o->k.kernel[0], o->k.kernel[1], o->k.size[0], o->k.size[1]}};
    if (!x || !terni_shape_check("im2col", &shape, terni_dtype(x))) return false;
    out[0] = terni_new(shape, terni_dtype(x), x->device);
    return out[0] && terni_run(TERNI_OP_im2col, &x, 1, out, 1, &o->k);
}

/* [N, C, kh, kw, size...] -> [N, C, H, W] */
static bool fold_back_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const options *o = tern_ctx_opts(ctx);
    tern_tensor *x = terni_dense(in[0]);
    const tern_shape shape = {4, {in[0]->v.shape[0], in[0]->v.shape[1], o->image[0], o->image[1]}};
    if (!x || !terni_shape_check("col2im", &shape, terni_dtype(x))) return false;
    out[0] = terni_new(shape, terni_dtype(x), x->device);
    return out[0] && terni_run(TERNI_OP_col2im, &x, 1, out, 1, &o->k);
}

static bool fold_out_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in);
static bool fold_back_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in);
static const tern_function fold_out = {"im2col", 1, sizeof(options), fold_out_forward, fold_out_backward, NULL};
static const tern_function fold_back = {"col2im", 1, sizeof(options), fold_back_forward, fold_back_backward, NULL};
TERNI_TRACED(im2col, fold_out, TERNI_FIELD(options, "kernel", k.kernel), TERNI_FIELD(options, "stride", k.stride),
             TERNI_FIELD(options, "pad", k.pad), TERNI_FIELD(options, "dilation", k.dilation),
             TERNI_FIELD(options, "size", k.size), TERNI_FIELD(options, "image", image));
TERNI_TRACED(col2im, fold_back, TERNI_FIELD(options, "kernel", k.kernel), TERNI_FIELD(options, "stride", k.stride),
             TERNI_FIELD(options, "pad", k.pad), TERNI_FIELD(options, "dilation", k.dilation),
             TERNI_FIELD(options, "size", k.size), TERNI_FIELD(options, "image", image));

static bool fold_out_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    return tern_apply(&fold_back, grad, 1, tern_ctx_opts(ctx), grad_in);
}
static bool fold_back_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    return tern_apply(&fold_out, grad, 1, tern_ctx_opts(ctx), grad_in);
}

/* Windows over an image; but for its sizes. */
static bool resolve(const char *op, tern_tensor *x, const int64_t *kernel, const tern_fold_opts *opts,
                    terni_window *w) {
    static const terni_axes_rule ones = {1, 1, false}, pads = {0, 0, true};
    if (!terni_given(x, op, "x") || !terni_given(kernel, op, "kernel") || !terni_same_float(op, &x, 1)) return false;
    if (kernel[0] == 0)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: kernel %s is outside its range", op,
                          terni_shape_str(tern_shape_of(2, kernel)));
    w->n = 2;
    return terni_axes(op, "kernel", kernel, 2, ones, w->kernel) &&
           terni_axes(op, "stride", opts->stride, 2, ones, w->stride) &&
           terni_axes(op, "pad", opts->pad, 2, pads, w->pad) &&
           terni_axes(op, "dilation", opts->dilation, 2, ones, w->dilation);
}

static options options_of(const terni_window *w, const int64_t size[3], const int64_t *image) {
    options o = {.image = {image[0], image[1]}};
    for (int d = 0; d < 2; d++) {
        o.k.kernel[d] = w->kernel[1 + d];
        o.k.stride[d] = w->stride[1 + d];
        o.k.pad[d] = w->pad[1 + d];
        o.k.dilation[d] = w->dilation[1 + d];
        o.k.size[d] = size[1 + d];
    }
    return o;
}

tern_tensor *tern_im2col(tern_tensor *x, const int64_t kernel[2], tern_fold_opts opts) {
    TERNI_NAMED("im2col");
    terni_window w;
    int64_t size[3];
    if (!resolve("im2col", x, kernel, &opts, &w) || !terni_has_axes("im2col", "x", x, 2, true) ||
        !terni_window_sizes("im2col", x, &w, false, NULL, size))
        return NULL;
    const options o = options_of(&w, size, x->v.shape + x->v.ndim - 2);
    const bool alone = x->v.ndim == 3;
    tern_tensor *in = alone ? tern_unsqueeze(x, 0) : x, *y;
    if (!in || !tern_apply(&fold_out, &in, 1, &o, &y)) return NULL;
    y = tern_flatten(tern_flatten(y, 4, 5), 1, 3);
    return y && alone ? tern_squeeze(y, 0) : y;
}

tern_tensor *tern_col2im(tern_tensor *x, const int64_t size[2], const int64_t kernel[2], tern_fold_opts opts) {
    static const char op[] = "col2im";
    terni_window w;
    int64_t windows[3], image[3], window, columns = 0;
    if (!resolve(op, x, kernel, &opts, &w) || !terni_given(size, op, "size") || !terni_has_axes(op, "x", x, 1, true) ||
        !terni_axes(op, "size", size, 2, (terni_axes_rule){0, 1, true}, image))
        return NULL;
    tern_tensor like = {.v = {.ndim = 2, .shape = {image[1], image[2]}}}; /* an image's sizes, for the check */
    if (!terni_window_sizes(op, &like, &w, false, NULL, windows)) return NULL;
    const int64_t rows = x->v.shape[x->v.ndim - 2], have = x->v.shape[x->v.ndim - 1];
    if (!terni_mul_i64(w.kernel[1], w.kernel[2], &window) || !terni_mul_i64(windows[1], windows[2], &columns) ||
        rows % window || have != columns)
        return terni_null(TERN_ERR_SHAPE, "col2im: x %s, expected rows in multiples of %lld and %lld columns for %s",
                          terni_shape_str(terni_shape(x)), (long long)window, (long long)columns,
                          terni_shape_str(tern_shape_of(2, image + 1)));
    const options o = options_of(&w, windows, image + 1);
    const bool alone = x->v.ndim == 2;
    const int64_t n = alone ? 1 : x->v.shape[0];
    tern_tensor *taps = tern_reshape(x, TERN_SHAPE(n, rows / window, w.kernel[1], w.kernel[2], windows[1], windows[2]));
    tern_tensor *y;
    if (!taps || !tern_apply(&fold_back, &taps, 1, &o, &y)) return NULL;
    return alone ? tern_squeeze(y, 0) : y;
}
