/* max_pool, plain and adaptive, and max_unpool. The gradient spreads gy by the saved positions, and that map's own
 * gradient is a gather. */
#include "ops/geometry.h"
#include "trace_fields.h"

/* x's planes as rows. */
static tern_tensor *rows(tern_tensor *x, int n) {
    int64_t plane = 1, count = 1;
    for (int i = 0; i < x->v.ndim; i++) *(i < x->v.ndim - n ? &count : &plane) *= x->v.shape[i];
    return tern_reshape(x, TERN_SHAPE(count, plane));
}

/* gx = 0 but for gx[index] += gy in each plane. in: gy, index; options.size is the plane's. */
static bool spread_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const terni_pool *o = tern_ctx_opts(ctx);
    tern_tensor *gy = terni_dense(in[0]);
    out[0] = gy ? terni_new(terni_pool_shape(gy, o->n, o->size), terni_dtype(gy), gy->device) : NULL;
    if (!out[0]) return false;
    const terni_view g = terni_view5(gy, o->n), index = terni_view5(in[1], o->n), to = terni_view5(out[0], o->n);
    const terni_view *vi[2] = {&g, &index}, *vo = &to;
    return terni_run_views(TERNI_OP_max_pool_grad, gy->device, vi, 2, &vo, 1, NULL) && tern_ctx_save(ctx, in[1]);
}

static bool spread_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    const terni_pool *o = tern_ctx_opts(ctx);
    tern_tensor *index = tern_ctx_saved(ctx, 0);
    if (!index) return false;
    tern_tensor *picked = tern_gather(rows(grad[0], o->n), 1, rows(index, o->n));
    grad_in[0] = picked ? tern_reshape(picked, terni_shape(index)) : NULL;
    return grad_in[0] != NULL;
}

static const tern_function spread = {"max_pool_grad", 1, sizeof(terni_pool), spread_forward, spread_backward, NULL};

static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const terni_pool *o = tern_ctx_opts(ctx);
    tern_tensor *x = terni_dense(in[0]);
    const tern_shape shape = terni_pool_shape(in[0], o->n, o->size);
    if (!x || !terni_shape_check("max_pool", &shape, terni_dtype(x))) return false;
    out[0] = terni_new(shape, terni_dtype(x), x->device);
    out[1] = terni_new(shape, TERN_I32, x->device);
    if (!out[0] || !out[1]) return false;
    const terni_view from = terni_view5(x, o->n), y = terni_view5(out[0], o->n), index = terni_view5(out[1], o->n);
    const terni_view *vi = &from, *vo[2] = {&y, &index};
    return terni_run_views(TERNI_OP_max_pool, x->device, &vi, 1, vo, 2, &o->k) && tern_ctx_save(ctx, out[1]);
}

static bool backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    const terni_pool o = terni_pool_back(tern_ctx_opts(ctx), tern_ctx_shape(ctx, 0));
    tern_tensor *in[2] = {grad[0], tern_ctx_saved(ctx, 0)};
    return in[1] && tern_apply(&spread, in, 2, &o, grad_in);
}

static const tern_function function = {"max_pool", 2, sizeof(terni_pool), forward, backward, NULL};
TERNI_TRACED(max_pool, function, TERNI_FIELD(terni_pool, "kernel", k.kernel),
             TERNI_FIELD(terni_pool, "stride", k.stride), TERNI_FIELD(terni_pool, "pad", k.pad),
             TERNI_FIELD(terni_pool, "dilation", k.dilation), TERNI_FIELD(terni_pool, "divisor", k.divisor),
             TERNI_FIELD(terni_pool, "exclude_pad", k.exclude_pad), TERNI_FIELD(terni_pool, "adaptive", k.adaptive),
             TERNI_FIELD(terni_pool, "axes", n));

static tern_tensor *apply(const char *op, tern_tensor *x, const terni_pool *o, tern_tensor **indices) {
    int64_t plane = 1;
    bool fits = true;
    for (int i = 1; i <= o->n; i++) fits &= terni_mul_i64(plane, x->v.shape[x->v.ndim - i], &plane);
    if (!fits || plane > INT32_MAX)
        return terni_null(TERN_ERR_SHAPE, "%s: x %s has planes of 2^31 elements or more", op,
                          terni_shape_str(terni_shape(x)));
    tern_tensor *out[2];
    if (!tern_apply(&function, &x, 1, o, out)) return NULL;
    if (indices && !(*indices = tern_cast(out[1], TERN_I64))) return NULL;
    return out[0];
}

/* With dilation a window can step over the whole image and see padding alone; only those that start in it can. */
static bool sees_image(const terni_window *w, int d, int64_t size, int64_t n) {
    for (int64_t i = 0; i < n && i * w->stride[d] < w->pad[d]; i++) {
        const int64_t before = w->pad[d] - i * w->stride[d], skip = (before + w->dilation[d] - 1) / w->dilation[d];
        if (skip >= w->kernel[d] || skip * w->dilation[d] - before >= size) return false;
    }
    return true;
}

static tern_tensor *max_pool(terni_pool_given g, tern_tensor *x, tern_tensor **indices) {
    terni_window w;
    int64_t size[3];
    if (indices) *indices = NULL;
    if (!terni_given(x, g.op, "x") || !terni_same_float(g.op, &x, 1) || !terni_has_axes(g.op, "x", x, g.n, true) ||
        !terni_pool_window(&g, &w) || !terni_window_sizes(g.op, x, &w, g.ceil_mode, NULL, size))
        return NULL;
    for (int d = 3 - g.n; d < 3; d++)
        if (!sees_image(&w, d, x->v.shape[x->v.ndim - 3 + d], size[d]))
            return terni_null(TERN_ERR_SHAPE, "%s: a window of x %s lies in the padding alone", g.op,
                              terni_shape_str(terni_shape(x)));
    const terni_pool o = terni_pool_of(&w, size);
    return apply(g.op, x, &o, indices);
}

static tern_tensor *adaptive(const char *op, tern_tensor *x, int n, const int64_t *size, tern_tensor **indices) {
    terni_pool o;
    if (indices) *indices = NULL;
    return terni_pool_adaptive(op, x, n, size, &o) ? apply(op, x, &o, indices) : NULL;
}

static tern_tensor *unpool(const char *op, tern_tensor *x, tern_tensor *indices, int n, const int64_t *size) {
    if (!terni_given(x, op, "x") || !terni_given(indices, op, "indices") || !terni_given(size, op, "size") ||
        !terni_same_float(op, &x, 1) || !terni_has_axes(op, "x", x, n, true) ||
        !terni_same_device(op, (tern_tensor *const[]){x, indices}, 2, NULL))
        return NULL;
    if (terni_dtype(indices) != TERN_I64 && terni_dtype(indices) != TERN_I32)
        return terni_null(TERN_ERR_DTYPE, "%s: indices %s, expected i64 or i32", op, terni_describe(indices));
    if (!tern_shape_equal(terni_shape(x), terni_shape(indices)))
        return terni_null(TERN_ERR_SHAPE, "%s: indices %s for x %s", op, terni_shape_str(terni_shape(indices)),
                          terni_shape_str(terni_shape(x)));
    int64_t axes[3];
    if (!terni_axes(op, "size", size, n, (terni_axes_rule){0, 1, true}, axes)) return NULL;
    const tern_shape shape = terni_pool_shape(x, n, axes);
    if (!terni_shape_check(op, &shape, terni_dtype(x))) return NULL;
    tern_tensor *zeros = tern_zeros(shape, (tern_options){terni_dtype(x), x->device});
    if (!zeros) return NULL;
    tern_tensor *y = tern_scatter(rows(zeros, n), 1, rows(indices, n), rows(x, n));
    return y ? tern_reshape(y, shape) : NULL;
}

tern_tensor *tern_max_pool1d_with_indices(tern_tensor *x, int64_t kernel, tern_pool1d_opts opts,
                                          tern_tensor **indices) {
    TERNI_NAMED("max_pool1d_with_indices");
    return max_pool(terni_pool1("max_pool1d", &kernel, &opts), x, indices);
}
tern_tensor *tern_max_pool2d_with_indices(tern_tensor *x, const int64_t kernel[2], tern_pool2d_opts opts,
                                          tern_tensor **indices) {
    TERNI_NAMED("max_pool2d_with_indices");
    return max_pool(terni_pool2("max_pool2d", kernel, &opts), x, indices);
}
tern_tensor *tern_max_pool3d_with_indices(tern_tensor *x, const int64_t kernel[3], tern_pool3d_opts opts,
                                          tern_tensor **indices) {
    TERNI_NAMED("max_pool3d_with_indices");
    return max_pool(terni_pool3("max_pool3d", kernel, &opts), x, indices);
}
tern_tensor *tern_max_pool1d(tern_tensor *x, int64_t kernel, tern_pool1d_opts opts) {
    return tern_max_pool1d_with_indices(x, kernel, opts, NULL);
}
tern_tensor *tern_max_pool2d(tern_tensor *x, const int64_t kernel[2], tern_pool2d_opts opts) {
    return tern_max_pool2d_with_indices(x, kernel, opts, NULL);
}
tern_tensor *tern_max_pool3d(tern_tensor *x, const int64_t kernel[3], tern_pool3d_opts opts) {
    return tern_max_pool3d_with_indices(x, kernel, opts, NULL);
}
tern_tensor *tern_adaptive_max_pool1d(tern_tensor *x, int64_t size, tern_tensor **indices) {
    TERNI_NAMED("adaptive_max_pool1d");
    return adaptive("adaptive_max_pool1d", x, 1, &size, indices);
}
tern_tensor *tern_adaptive_max_pool2d(tern_tensor *x, const int64_t size[2], tern_tensor **indices) {
    TERNI_NAMED("adaptive_max_pool2d");
    return adaptive("adaptive_max_pool2d", x, 2, size, indices);
}
tern_tensor *tern_adaptive_max_pool3d(tern_tensor *x, const int64_t size[3], tern_tensor **indices) {
    TERNI_NAMED("adaptive_max_pool3d");
    return adaptive("adaptive_max_pool3d", x, 3, size, indices);
}
tern_tensor *tern_max_unpool1d(tern_tensor *x, tern_tensor *indices, int64_t size) {
    TERNI_NAMED("max_unpool1d");
    return unpool("max_unpool1d", x, indices, 1, &size);
}
tern_tensor *tern_max_unpool2d(tern_tensor *x, tern_tensor *indices, const int64_t size[2]) {
    TERNI_NAMED("max_unpool2d");
    return unpool("max_unpool2d", x, indices, 2, size);
}
tern_tensor *tern_max_unpool3d(tern_tensor *x, tern_tensor *indices, const int64_t size[3]) {
    TERNI_NAMED("max_unpool3d");
    return unpool("max_unpool3d", x, indices, 3, size);
}
