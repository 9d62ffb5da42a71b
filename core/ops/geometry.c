#include "ops/geometry.h"

bool terni_pair(const char *op, const char *what, const int64_t given[2], int64_t zero, bool explicit_zero,
                int64_t out[2]) {
    for (int i = 0; i < 2; i++) {
        if (given[i] < (explicit_zero ? -1 : 0) || given[i] > INT32_MAX)
            return terni_fail(TERN_ERR_ARGUMENT, "%s: %s {%lld, %lld} is outside its range", op, what,
                              (long long)given[0], (long long)given[1]);
        out[i] = given[i] == -1 ? 0 : given[i];
    }
    if (given[0] == 0) out[0] = zero;
    if (given[1] == 0) out[1] = out[0];
    return true;
}

/* floor or ceil of (size + 2 pad - dilation (kernel - 1) - 1) / stride, plus 1. In ceil mode a last window that would
 * start in the padding on the right is left out. All but size are below 2^31. */
static bool axis(int64_t size, const terni_window *w, int d, bool ceil, int64_t *out) {
    int64_t reach;
    if (size > INT64_MAX / 4 || !terni_mul_i64(w->dilation[d], w->kernel[d] - 1, &reach)) return false;
    int64_t room = size + 2 * w->pad[d] - 1 - reach;
    if (ceil) room += w->stride[d] - 1;
    if (room < 0) return false;
    int64_t n = room / w->stride[d] + 1;
    if (ceil && (n - 1) * w->stride[d] >= size + w->pad[d]) n--;
    *out = n;
    return n > 0;
}

bool terni_window_sizes(const char *op, const tern_tensor *x, const terni_window *w, bool ceil, int64_t out[2]) {
    for (int d = 0; d < 2; d++)
        if (!axis(x->v.shape[2 + d], w, d, ceil, &out[d]))
            return terni_fail(TERN_ERR_SHAPE,
                              "%s: kernel {%lld, %lld} with dilation {%lld, %lld} does not fit into x %s padded by "
                              "{%lld, %lld}",
                              op, (long long)w->kernel[0], (long long)w->kernel[1], (long long)w->dilation[0],
                              (long long)w->dilation[1], terni_shape_str(terni_shape(x)), (long long)w->pad[0],
                              (long long)w->pad[1]);
    return true;
}

bool terni_is_image(const char *op, const char *what, const tern_tensor *x) {
    if (x->v.ndim == 4) return true;
    return terni_fail(TERN_ERR_SHAPE, "%s: %s %s has %d dimensions, expected 4 [N, C, H, W]", op, what,
                      terni_shape_str(terni_shape(x)), (int)x->v.ndim);
}

bool terni_pool_window(const char *op, const int64_t kernel[2], const tern_pool2d_opts *opts, terni_window *w) {
    if (kernel[0] < 1 || kernel[1] < 0)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: kernel {%lld, %lld} is outside its range", op, (long long)kernel[0],
                          (long long)kernel[1]);
    if (!terni_pair(op, "kernel", kernel, 1, false, w->kernel) || !terni_pair(op, "pad", opts->pad, 0, true, w->pad) ||
        !terni_pair(op, "dilation", opts->dilation, 1, false, w->dilation))
        return false;
    const int64_t *s = opts->stride;
    if (!terni_pair(op, "stride", s, w->kernel[0], false, w->stride)) return false;
    if (!s[0] && !s[1]) w->stride[1] = w->kernel[1];
    for (int d = 0; d < 2; d++)
        if (2 * w->pad[d] > w->kernel[d])
            return terni_fail(TERN_ERR_ARGUMENT, "%s: pad {%lld, %lld} is more than half the kernel {%lld, %lld}", op,
                              (long long)w->pad[0], (long long)w->pad[1], (long long)w->kernel[0],
                              (long long)w->kernel[1]);
    return true;
}

terni_pool2d_opts terni_pool_opts(const terni_window *w, bool exclude_pad) {
    terni_pool2d_opts o = {.exclude_pad = exclude_pad};
    for (int d = 0; d < 2; d++) {
        o.kernel[d] = w->kernel[d];
        o.stride[d] = w->stride[d];
        o.pad[d] = w->pad[d];
        o.dilation[d] = w->dilation[d];
    }
    return o;
}
