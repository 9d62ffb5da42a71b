#include "ops/geometry.h"

bool terni_axes(const char *op, const char *what, const int64_t *given, int n, terni_axes_rule rule, int64_t out[3]) {
    for (int i = 0; i < 3 - n; i++) out[i] = rule.unused;
    for (int i = 0; i < n; i++) {
        int64_t *to = &out[3 - n + i];
        if (given[i] < (rule.explicit_zero ? -1 : 0) || given[i] > INT32_MAX)
            return terni_fail(TERN_ERR_ARGUMENT, "%s: %s %s is outside its range", op, what,
                              terni_shape_str(tern_shape_of(n, given)));
        *to = given[i] == -1 ? 0 : given[i];
        if (given[i] == 0) *to = i ? to[-1] : rule.zero;
    }
    return true;
}

/* floor or ceil of (size + 2 pad + more - dilation (kernel - 1) - 1) / stride, plus 1. In ceil mode a last window that
 * would start in the padding on the right is left out. All but size are below 2^31. */
static bool axis(int64_t size, const terni_window *w, int d, bool ceil, int64_t more, int64_t *out) {
    int64_t reach;
    if (size > INT64_MAX / 4 || !terni_mul_i64(w->dilation[d], w->kernel[d] - 1, &reach)) return false;
    int64_t room = size + 2 * w->pad[d] + more - 1 - reach;
    if (ceil) room += w->stride[d] - 1;
    if (room < 0) return false;
    int64_t n = room / w->stride[d] + 1;
    if (ceil && (n - 1) * w->stride[d] >= size + w->pad[d]) n--;
    *out = n;
    return n > 0;
}

static const char *text(const int64_t of[3], int n) { return terni_shape_str(tern_shape_of(n, of + 3 - n)); }

bool terni_window_sizes(const char *op, const tern_tensor *x, const terni_window *w, bool ceil, const int64_t *more,
                        int64_t out[3]) {
    for (int d = 0; d < 3; d++) {
        const int64_t size = d < 3 - w->n ? 1 : x->v.shape[x->v.ndim - 3 + d];
        if (!axis(size, w, d, ceil, more ? more[d] : 0, &out[d]))
            return terni_fail(TERN_ERR_SHAPE, "%s: kernel %s with dilation %s does not fit into x %s padded by %s", op,
                              text(w->kernel, w->n), text(w->dilation, w->n), terni_shape_str(terni_shape(x)),
                              text(w->pad, w->n));
    }
    return true;
}

bool terni_has_axes(const char *op, const char *what, const tern_tensor *x, int n, bool unbatched) {
    static const char *const axes[3] = {"L", "H, W", "D, H, W"};
    if (x->v.ndim == n + 2 || (unbatched && x->v.ndim == n + 1)) return true;
    return terni_fail(TERN_ERR_SHAPE, "%s: %s %s has %d dimensions, expected %d [N, C, %s]%s", op, what,
                      terni_shape_str(terni_shape(x)), (int)x->v.ndim, n + 2, axes[n - 1],
                      unbatched ? " or one less" : "");
}

terni_view terni_view5(const tern_tensor *t, int n) {
    terni_view v = {.data = t->v.data, .shape = {1, 1, 1, 1, 1}, .ndim = 5, .dtype = t->v.dtype};
    const int lead = t->v.ndim - n;
    for (int i = 0; i < lead; i++) v.shape[2 - lead + i] = t->v.shape[i];
    for (int i = 0; i < n; i++) v.shape[5 - n + i] = t->v.shape[lead + i];
    int64_t step = 1;
    for (int i = 4; i >= 0; i--) {
        v.strides[i] = step;
        step *= v.shape[i];
    }
    return v;
}

/* ---- pools ------------------------------------------------------------------------------------------------------- */

terni_pool_given terni_pool1(const char *op, const int64_t *kernel, const tern_pool1d_opts *o) {
    const terni_pool_given g = {op,           1,          kernel,       &o->stride,    &o->pad,
                                &o->dilation, o->divisor, o->ceil_mode, o->exclude_pad};
    return g;
}
terni_pool_given terni_pool2(const char *op, const int64_t *kernel, const tern_pool2d_opts *o) {
    const terni_pool_given g = {op,          2,          kernel,       o->stride,     o->pad,
                                o->dilation, o->divisor, o->ceil_mode, o->exclude_pad};
    return g;
}
terni_pool_given terni_pool3(const char *op, const int64_t *kernel, const tern_pool3d_opts *o) {
    const terni_pool_given g = {op,          3,          kernel,       o->stride,     o->pad,
                                o->dilation, o->divisor, o->ceil_mode, o->exclude_pad};
    return g;
}

bool terni_pool_window(const terni_pool_given *g, terni_window *w) {
    static const terni_axes_rule ones = {1, 1, false}, pads = {0, 0, true};
    if (!terni_given(g->kernel, g->op, "kernel")) return false;
    if (g->kernel[0] == 0)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: kernel %s is outside its range", g->op,
                          terni_shape_str(tern_shape_of(g->n, g->kernel)));
    w->n = g->n;
    if (!terni_axes(g->op, "kernel", g->kernel, g->n, ones, w->kernel) ||
        !terni_axes(g->op, "pad", g->pad, g->n, pads, w->pad) ||
        !terni_axes(g->op, "dilation", g->dilation, g->n, ones, w->dilation) ||
        !terni_axes(g->op, "stride", g->stride, g->n, (terni_axes_rule){w->kernel[3 - g->n], 1, false}, w->stride))
        return false;
    bool none = true;
    for (int i = 0; i < g->n; i++) none &= g->stride[i] == 0;
    for (int d = 0; d < 3; d++) {
        if (none) w->stride[d] = w->kernel[d];
        if (2 * w->pad[d] > w->kernel[d])
            return terni_fail(TERN_ERR_ARGUMENT, "%s: pad %s is more than half the kernel %s", g->op,
                              text(w->pad, w->n), text(w->kernel, w->n));
    }
    return true;
}

terni_pool terni_pool_of(const terni_window *w, const int64_t size[3]) {
    terni_pool p = {.n = w->n};
    for (int d = 0; d < 3; d++) {
        p.k.kernel[d] = w->kernel[d];
        p.k.stride[d] = w->stride[d];
        p.k.pad[d] = w->pad[d];
        p.k.dilation[d] = w->dilation[d];
        p.size[d] = size[d];
    }
    return p;
}

bool terni_pool_adaptive(const char *op, tern_tensor *x, int n, const int64_t *size, terni_pool *p) {
    if (!terni_given(x, op, "x") || !terni_given(size, op, "size") || !terni_same_float(op, &x, 1) ||
        !terni_has_axes(op, "x", x, n, true))
        return false;
    terni_window w = {n, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}};
    bool even = true;
    for (int i = 0; i < n; i++) {
        const int d = 3 - n + i;
        const int64_t in = x->v.shape[x->v.ndim - n + i];
        int64_t *out = &p->size[d];
        *out = size[i] == -1 ? in : size[i] == 0 && i ? out[-1] : size[i];
        if (*out < 1 || in < 1 || *out > INT32_MAX || in > INT32_MAX)
            return terni_fail(*out < 1 ? TERN_ERR_ARGUMENT : TERN_ERR_SHAPE, "%s: size %s for x %s", op,
                              terni_shape_str(tern_shape_of(n, size)), terni_shape_str(terni_shape(x)));
        w.kernel[d] = w.stride[d] = in / *out;
        even &= in % *out == 0;
    }
    for (int d = 0; d < 3 - n; d++) p->size[d] = 1;
    *p = terni_pool_of(&w, (const int64_t[]){p->size[0], p->size[1], p->size[2]});
    p->k.adaptive = !even;
    return true;
}

terni_pool terni_pool_back(const terni_pool *p, tern_shape shape) {
    terni_pool b = *p;
    for (int d = 3 - p->n; d < 3; d++) b.size[d] = shape.dim[shape.ndim - 3 + d];
    return b;
}

tern_shape terni_pool_shape(const tern_tensor *x, int n, const int64_t size[3]) {
    tern_shape s = terni_shape(x);
    for (int i = 0; i < n; i++) s.dim[s.ndim - n + i] = size[3 - n + i];
    return s;
}
