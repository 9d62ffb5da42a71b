/* max_pool2d. Its gradient spreads gy by the saved positions, and that map's own gradient is a gather. */
#include "ops/geometry.h"

typedef struct options {
    terni_pool2d_opts k;
    int64_t size[2];
} options;

static tern_shape planes(const tern_tensor *t) {
    const tern_shape s = {2, {t->v.shape[0] * t->v.shape[1], t->v.shape[2] * t->v.shape[3]}};
    return s;
}

/* gx = 0 but for gx[index] += gy in each plane. in: gy, index; options.size is the plane's. */
static bool spread_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const options *o = tern_ctx_opts(ctx);
    tern_tensor *dense[2] = {terni_dense(in[0]), in[1]};
    const tern_shape shape = {4, {in[0]->v.shape[0], in[0]->v.shape[1], o->size[0], o->size[1]}};
    out[0] = dense[0] ? terni_new(shape, terni_dtype(in[0]), in[0]->device) : NULL;
    return out[0] && terni_run(TERNI_OP_max_pool2d_grad, dense, 2, out, 1, NULL) && tern_ctx_save(ctx, in[1]);
}

static bool spread_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    tern_tensor *index = tern_ctx_saved(ctx, 0);
    if (!index) return false;
    tern_tensor *rows = tern_reshape(grad[0], planes(grad[0]));
    tern_tensor *picked = tern_gather(rows, 1, tern_reshape(index, planes(index)));
    grad_in[0] = picked ? tern_reshape(picked, terni_shape(index)) : NULL;
    return grad_in[0] != NULL;
}

static const tern_function spread = {"max_pool2d_grad", 1, sizeof(options), spread_forward, spread_backward, NULL};

static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const options *o = tern_ctx_opts(ctx);
    tern_tensor *x = terni_dense(in[0]);
    const tern_shape shape = {4, {in[0]->v.shape[0], in[0]->v.shape[1], o->size[0], o->size[1]}};
    if (!x || !terni_shape_check("max_pool2d", &shape, terni_dtype(x))) return false;
    out[0] = terni_new(shape, terni_dtype(x), x->device);
    out[1] = terni_new(shape, TERN_I32, x->device);
    return out[0] && out[1] && terni_run(TERNI_OP_max_pool2d, &x, 1, out, 2, &o->k) && tern_ctx_save(ctx, out[1]);
}

static bool backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    const tern_shape x = tern_ctx_shape(ctx, 0);
    options o = *(const options *)tern_ctx_opts(ctx);
    o.size[0] = x.dim[2];
    o.size[1] = x.dim[3];
    tern_tensor *in[2] = {grad[0], tern_ctx_saved(ctx, 0)};
    return in[1] && tern_apply(&spread, in, 2, &o, grad_in);
}

static const tern_function max_pool = {"max_pool2d", 2, sizeof(options), forward, backward, NULL};

/* With dilation a window can step over the whole image and see padding alone; only those that start in it can. */
static bool sees_image(const terni_window *w, int d, int64_t size, int64_t n) {
    for (int64_t i = 0; i < n && i * w->stride[d] < w->pad[d]; i++) {
        const int64_t before = w->pad[d] - i * w->stride[d], skip = (before + w->dilation[d] - 1) / w->dilation[d];
        if (skip >= w->kernel[d] || skip * w->dilation[d] - before >= size) return false;
    }
    return true;
}

tern_tensor *tern_max_pool2d(tern_tensor *x, const int64_t kernel[2], tern_pool2d_opts opts) {
    static const char op[] = "max_pool2d";
    terni_window w;
    options o = {.size = {0, 0}};
    if (!terni_given(x, op, "x") || !terni_given(kernel, op, "kernel") || !terni_same_float(op, &x, 1) ||
        !terni_is_image(op, "x", x) || !terni_pool_window(op, kernel, &opts, &w))
        return NULL;
    if (!terni_window_sizes(op, x, &w, opts.ceil_mode, o.size)) return NULL;
    int64_t plane;
    if (!terni_mul_i64(x->v.shape[2], x->v.shape[3], &plane) || plane > INT32_MAX)
        return terni_null(TERN_ERR_SHAPE, "max_pool2d: x %s has planes of 2^31 elements or more",
                          terni_shape_str(terni_shape(x)));
    for (int d = 0; d < 2; d++)
        if (!sees_image(&w, d, x->v.shape[2 + d], o.size[d]))
            return terni_null(TERN_ERR_SHAPE, "max_pool2d: a window of x %s lies in the padding alone",
                              terni_shape_str(terni_shape(x)));
    o.k = terni_pool_opts(&w, false);
    tern_tensor *out[2];
    return tern_apply(&max_pool, &x, 1, &o, out) ? out[0] : NULL;
}
