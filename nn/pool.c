/* Pools on one to three axes: one module, whose settings become those of its op. */
#include <inttypes.h>

#include "internal.h"

typedef enum kind { MAX, AVG, LP, ADAPTIVE_AVG, ADAPTIVE_MAX, UNPOOL } kind;

typedef struct settings {
    const char *type;
    kind kind;
    int axes;
    double p;
    int64_t kernel[3]; /* or the size */
    int64_t stride[3], pad[3], dilation[3], divisor;
    bool ceil_mode, exclude_pad;
} settings;

typedef struct pool {
    tern_module m;
    settings o;
} pool;

static tern_tensor *forward(tern_module *m, tern_tensor *x);

/* ---- the ops ----------------------------------------------------------------------------------------------------- */

static tern_pool1d_opts opts1(const settings *o) {
    return (tern_pool1d_opts){o->stride[0], o->pad[0], o->dilation[0], o->divisor, o->ceil_mode, o->exclude_pad};
}
static tern_pool2d_opts opts2(const settings *o) {
    return (tern_pool2d_opts){{o->stride[0], o->stride[1]},
                              {o->pad[0], o->pad[1]},
                              {o->dilation[0], o->dilation[1]},
                              o->ceil_mode,
                              o->exclude_pad,
                              o->divisor};
}
static tern_pool3d_opts opts3(const settings *o) {
    return (tern_pool3d_opts){{o->stride[0], o->stride[1], o->stride[2]},
                              {o->pad[0], o->pad[1], o->pad[2]},
                              {o->dilation[0], o->dilation[1], o->dilation[2]},
                              o->divisor,
                              o->ceil_mode,
                              o->exclude_pad};
}

static tern_tensor *run_max(const settings *o, tern_tensor *x, tern_tensor **indices) {
    if (o->kind == ADAPTIVE_MAX)
        return o->axes == 1   ? tern_adaptive_max_pool1d(x, o->kernel[0], indices)
               : o->axes == 2 ? tern_adaptive_max_pool2d(x, o->kernel, indices)
                              : tern_adaptive_max_pool3d(x, o->kernel, indices);
    return o->axes == 1   ? tern_max_pool1d_with_indices(x, o->kernel[0], opts1(o), indices)
           : o->axes == 2 ? tern_max_pool2d_with_indices(x, o->kernel, opts2(o), indices)
                          : tern_max_pool3d_with_indices(x, o->kernel, opts3(o), indices);
}

static tern_tensor *run_avg(const settings *o, tern_tensor *x) {
    if (o->kind == ADAPTIVE_AVG)
        return o->axes == 1   ? tern_adaptive_avg_pool1d(x, o->kernel[0])
               : o->axes == 2 ? tern_adaptive_avg_pool2d(x, o->kernel)
                              : tern_adaptive_avg_pool3d(x, o->kernel);
    if (o->kind == LP)
        return o->axes == 1   ? tern_lp_pool1d(x, o->p, o->kernel[0], opts1(o))
               : o->axes == 2 ? tern_lp_pool2d(x, o->p, o->kernel, opts2(o))
                              : tern_lp_pool3d(x, o->p, o->kernel, opts3(o));
    return o->axes == 1   ? tern_avg_pool1d(x, o->kernel[0], opts1(o))
           : o->axes == 2 ? tern_avg_pool2d(x, o->kernel, opts2(o))
                          : tern_avg_pool3d(x, o->kernel, opts3(o));
}

static tern_tensor *forward(tern_module *m, tern_tensor *x) {
    const settings *o = &((const pool *)m)->o;
    return o->kind == MAX || o->kind == ADAPTIVE_MAX ? run_max(o, x, NULL) : run_avg(o, x);
}

tern_tensor *tern_max_pool_forward(tern_module *m, tern_tensor *x, tern_tensor **indices) {
    if (indices) *indices = NULL;
    if (!terni_given(m, "max_pool_forward", "m") || !terni_given(x, "max_pool_forward", "x")) return NULL;
    const settings *o = &((const pool *)m)->o;
    if (m->forward != forward || (o->kind != MAX && o->kind != ADAPTIVE_MAX))
        return terni_null(TERN_ERR_ARGUMENT, "max_pool_forward: %s is no max_pool", m->type);
    x = terni_forward_begin(m, x);
    return terni_forward_end(m, x, run_max(o, x, indices));
}

/* ---- unpooling --------------------------------------------------------------------------------------------------- */

/* Tells unpools apart; their forward takes two tensors. */
static void unpool_describe(const tern_module *m, char *buf, size_t size);

tern_tensor *tern_max_unpool_forward(tern_module *m, tern_tensor *x, tern_tensor *indices, const int64_t *size) {
    if (!terni_given(m, "max_unpool_forward", "m") || !terni_given(x, "max_unpool_forward", "x") ||
        !terni_given(indices, "max_unpool_forward", "indices"))
        return NULL;
    if (m->describe != unpool_describe)
        return terni_null(TERN_ERR_ARGUMENT, "max_unpool_forward: %s is no max_unpool", m->type);
    const settings *o = &((const pool *)m)->o;
    if (tern_ndim(x) < o->axes)
        return terni_null(TERN_ERR_SHAPE, "%s: x has %d dimensions; %d or more expected", o->type, tern_ndim(x),
                          o->axes + 1);
    int64_t own[3];
    for (int i = 0; i < o->axes; i++)
        own[i] = size ? size[i] : (tern_size(x, i - o->axes) - 1) * o->stride[i] - 2 * o->pad[i] + o->kernel[i];
    x = terni_forward_begin(m, x);
    tern_tensor *y = o->axes == 1   ? tern_max_unpool1d(x, indices, own[0])
                     : o->axes == 2 ? tern_max_unpool2d(x, indices, own)
                                    : tern_max_unpool3d(x, indices, own);
    return terni_forward_end(m, x, y);
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static void describe(const tern_module *m, char *buf, size_t size) {
    const settings *o = &((const pool *)m)->o;
    const bool adaptive = o->kind == ADAPTIVE_AVG || o->kind == ADAPTIVE_MAX;
    terni_text t = {buf, size, 0};
    if (o->kind == LP) terni_text_add(&t, "p %g, ", o->p);
    terni_text_axes(&t, adaptive ? "size" : "kernel", o->kernel, o->axes);
    if (o->stride[0]) terni_text_axes(&t, ", stride", o->stride, o->axes);
    if (o->pad[0]) terni_text_axes(&t, ", pad", o->pad, o->axes);
    if (o->dilation[0]) terni_text_axes(&t, ", dilation", o->dilation, o->axes);
    if (o->ceil_mode) terni_text_add(&t, ", ceil");
    if (o->exclude_pad) terni_text_add(&t, ", exclude pad");
}

static void unpool_describe(const tern_module *m, char *buf, size_t size) { describe(m, buf, size); }

static bool check_axis(const settings *o, int i) {
    if (o->kernel[i] < 1 || o->kernel[i] > INT32_MAX)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: kernel %" PRId64 " is outside its range", o->type, o->kernel[i]);
    if (o->stride[i] < 0 || o->dilation[i] < 0)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: a stride or a dilation is negative", o->type);
    if (o->pad[i] < -1 || o->pad[i] > o->kernel[i] / 2)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: pad %" PRId64 " is not within half the kernel of %" PRId64, o->type,
                          o->pad[i], o->kernel[i]);
    return true;
}

static bool check(settings *o) {
    if (!tern_ok()) return false;
    const bool adaptive = o->kind == ADAPTIVE_AVG || o->kind == ADAPTIVE_MAX;
    if (o->kind == LP && !(o->p < 0 || o->p > 0)) return terni_fail(TERN_ERR_ARGUMENT, "%s: p is %g", o->type, o->p);
    for (int i = 0; i < o->axes; i++) {
        if (adaptive && (o->kernel[i] < -1 || (i == 0 && o->kernel[i] == 0)))
            return terni_fail(TERN_ERR_ARGUMENT, "%s: size %" PRId64 " is outside its range", o->type, o->kernel[i]);
        if (!adaptive && i && o->kernel[i] == 0) o->kernel[i] = o->kernel[i - 1];
        if (!adaptive && !check_axis(o, i)) return false;
        if (o->kind != UNPOOL) continue;
        if (o->dilation[i] || o->divisor || o->ceil_mode || o->exclude_pad)
            return terni_fail(TERN_ERR_ARGUMENT, "%s: kernel, stride and pad are all its options", o->type);
        if (o->stride[i] == 0) o->stride[i] = i && o->stride[0] ? o->stride[i - 1] : o->kernel[i];
        if (o->pad[i] == 0 && i) o->pad[i] = o->pad[i - 1];
        if (o->pad[i] < 0) o->pad[i] = 0;
    }
    return true;
}

static tern_module *pool_new(settings o) {
    if (!check(&o)) return NULL;
    pool *s = tern_module_alloc(sizeof *s, o.type);
    if (!s) return NULL;
    s->m.forward = o.kind == UNPOOL ? NULL : forward;
    s->m.describe = o.kind == UNPOOL ? unpool_describe : describe;
    s->o = o;
    return tern_module_done(s);
}

static tern_module *pool1(const char *type, kind k, double p, int64_t kernel, tern_pool1d_opts o) {
    return pool_new(
        (settings){type, k, 1, p, {kernel}, {o.stride}, {o.pad}, {o.dilation}, o.divisor, o.ceil_mode, o.exclude_pad});
}

static tern_module *pool2(const char *type, kind k, double p, const int64_t kernel[2], tern_pool2d_opts o) {
    if (!terni_given(kernel, type, "kernel")) return NULL;
    return pool_new((settings){type,
                               k,
                               2,
                               p,
                               {kernel[0], kernel[1]},
                               {o.stride[0], o.stride[1]},
                               {o.pad[0], o.pad[1]},
                               {o.dilation[0], o.dilation[1]},
                               o.divisor,
                               o.ceil_mode,
                               o.exclude_pad});
}

static tern_module *pool3(const char *type, kind k, double p, const int64_t kernel[3], tern_pool3d_opts o) {
    if (!terni_given(kernel, type, "kernel")) return NULL;
    return pool_new((settings){type,
                               k,
                               3,
                               p,
                               {kernel[0], kernel[1], kernel[2]},
                               {o.stride[0], o.stride[1], o.stride[2]},
                               {o.pad[0], o.pad[1], o.pad[2]},
                               {o.dilation[0], o.dilation[1], o.dilation[2]},
                               o.divisor,
                               o.ceil_mode,
                               o.exclude_pad});
}

static tern_module *adaptive(const char *type, kind k, int axes, const int64_t *size) {
    if (!terni_given(size, type, "size")) return NULL;
    settings o = {.type = type, .kind = k, .axes = axes};
    for (int i = 0; i < axes; i++) o.kernel[i] = size[i];
    return pool_new(o);
}

/* ---- the constructors -------------------------------------------------------------------------------------------- */

#define TWICE(k)  ((const int64_t[2]){k, k})
#define THRICE(k) ((const int64_t[3]){k, k, k})

tern_module *tern_max_pool1d_new(int64_t k, tern_pool1d_opts o) { return pool1("max_pool1d", MAX, 0, k, o); }
tern_module *tern_max_pool2d_new(int64_t k, tern_pool2d_opts o) { return pool2("max_pool2d", MAX, 0, TWICE(k), o); }
tern_module *tern_max_pool3d_new(int64_t k, tern_pool3d_opts o) { return pool3("max_pool3d", MAX, 0, THRICE(k), o); }
tern_module *tern_max_pool2d_rect_new(const int64_t k[2], tern_pool2d_opts o) {
    return pool2("max_pool2d", MAX, 0, k, o);
}
tern_module *tern_max_pool3d_rect_new(const int64_t k[3], tern_pool3d_opts o) {
    return pool3("max_pool3d", MAX, 0, k, o);
}
tern_module *tern_avg_pool1d_new(int64_t k, tern_pool1d_opts o) { return pool1("avg_pool1d", AVG, 0, k, o); }
tern_module *tern_avg_pool2d_new(int64_t k, tern_pool2d_opts o) { return pool2("avg_pool2d", AVG, 0, TWICE(k), o); }
tern_module *tern_avg_pool3d_new(int64_t k, tern_pool3d_opts o) { return pool3("avg_pool3d", AVG, 0, THRICE(k), o); }
tern_module *tern_avg_pool2d_rect_new(const int64_t k[2], tern_pool2d_opts o) {
    return pool2("avg_pool2d", AVG, 0, k, o);
}
tern_module *tern_avg_pool3d_rect_new(const int64_t k[3], tern_pool3d_opts o) {
    return pool3("avg_pool3d", AVG, 0, k, o);
}
tern_module *tern_lp_pool1d_new(double p, int64_t k, tern_pool1d_opts o) { return pool1("lp_pool1d", LP, p, k, o); }
tern_module *tern_lp_pool2d_new(double p, int64_t k, tern_pool2d_opts o) {
    return pool2("lp_pool2d", LP, p, TWICE(k), o);
}
tern_module *tern_lp_pool3d_new(double p, int64_t k, tern_pool3d_opts o) {
    return pool3("lp_pool3d", LP, p, THRICE(k), o);
}
tern_module *tern_max_unpool1d_new(int64_t k, tern_pool1d_opts o) { return pool1("max_unpool1d", UNPOOL, 0, k, o); }
tern_module *tern_max_unpool2d_new(int64_t k, tern_pool2d_opts o) {
    return pool2("max_unpool2d", UNPOOL, 0, TWICE(k), o);
}
tern_module *tern_max_unpool3d_new(int64_t k, tern_pool3d_opts o) {
    return pool3("max_unpool3d", UNPOOL, 0, THRICE(k), o);
}

tern_module *tern_adaptive_avg_pool1d_new(int64_t size) {
    return adaptive("adaptive_avg_pool1d", ADAPTIVE_AVG, 1, &size);
}
tern_module *tern_adaptive_avg_pool2d_new(const int64_t size[2]) {
    return adaptive("adaptive_avg_pool2d", ADAPTIVE_AVG, 2, size);
}
tern_module *tern_adaptive_avg_pool3d_new(const int64_t size[3]) {
    return adaptive("adaptive_avg_pool3d", ADAPTIVE_AVG, 3, size);
}
tern_module *tern_adaptive_max_pool1d_new(int64_t size) {
    return adaptive("adaptive_max_pool1d", ADAPTIVE_MAX, 1, &size);
}
tern_module *tern_adaptive_max_pool2d_new(const int64_t size[2]) {
    return adaptive("adaptive_max_pool2d", ADAPTIVE_MAX, 2, size);
}
tern_module *tern_adaptive_max_pool3d_new(const int64_t size[3]) {
    return adaptive("adaptive_max_pool3d", ADAPTIVE_MAX, 3, size);
}
