/* Fractional max pools. */
#include <inttypes.h>

#include "internal.h"

typedef struct fractional {
    tern_module m;
    int axes;
    int64_t kernel[3];
    tern_fractional_pool_opts opts; /* without samples */
} fractional;

static tern_tensor *run(const fractional *s, tern_tensor *x, tern_tensor *samples, tern_tensor **indices) {
    tern_fractional_pool_opts o = s->opts;
    o.samples = samples;
    return s->axes == 2 ? tern_fractional_max_pool2d(x, s->kernel, o, indices)
                        : tern_fractional_max_pool3d(x, s->kernel, o, indices);
}

static tern_tensor *forward(tern_module *m, tern_tensor *x) { return run((const fractional *)m, x, NULL, NULL); }

tern_tensor *tern_fractional_max_pool_forward(tern_module *m, tern_tensor *x, tern_tensor *samples,
                                              tern_tensor **indices) {
    static const char op[] = "fractional_max_pool_forward";
    if (indices) *indices = NULL;
    if (!terni_given(m, op, "m") || !terni_given(x, op, "x")) return NULL;
    if (m->forward != forward) return terni_null(TERN_ERR_ARGUMENT, "%s: %s is no fractional_max_pool", op, m->type);
    x = terni_forward_begin(m, x);
    return terni_forward_end(m, x, x ? run((const fractional *)m, x, samples, indices) : NULL);
}

static void describe(const tern_module *m, char *buf, size_t size) {
    const fractional *s = (const fractional *)m;
    terni_text t = {buf, size, 0};
    terni_text_axes(&t, "kernel", s->kernel, s->axes);
    if (s->opts.size[0])
        terni_text_axes(&t, ", size", s->opts.size, s->axes);
    else
        terni_text_add(&t, ", ratio %g", s->opts.ratio[0]);
    for (int i = 1; i < s->axes && !s->opts.size[0]; i++)
        terni_text_add(&t, "x%g", s->opts.ratio[i] != 0 ? s->opts.ratio[i] : s->opts.ratio[0]);
}

static bool check(const char *type, int axes, const int64_t *kernel, const tern_fractional_pool_opts *o) {
    if (!tern_ok() || !terni_given(kernel, type, "kernel")) return false;
    const bool sized = o->size[0] != 0;
    for (int i = 0; i < axes; i++) {
        const double ratio = i && o->ratio[i] == 0 ? o->ratio[0] : o->ratio[i];
        if (kernel[i] < (i ? 0 : 1) || kernel[i] > INT32_MAX)
            return terni_fail(TERN_ERR_ARGUMENT, "%s: kernel %" PRId64 " is outside its range", type, kernel[i]);
        if (sized ? o->size[i] < (i ? 0 : 1) || o->ratio[i] != 0 : !(ratio > 0 && ratio < 1))
            return terni_fail(TERN_ERR_ARGUMENT, "%s: sizes above 0 or ratios within (0, 1) expected", type);
    }
    return !o->samples || terni_fail(TERN_ERR_ARGUMENT, "%s: samples are for its forward function", type);
}

static tern_module *fractional_new(const char *type, int axes, const int64_t *kernel, tern_fractional_pool_opts o) {
    if (!check(type, axes, kernel, &o)) return NULL;
    fractional *s = tern_module_alloc(sizeof *s, type);
    if (!s) return NULL;
    s->m.forward = forward;
    s->m.describe = describe;
    s->axes = axes;
    s->opts = o;
    for (int i = 0; i < axes; i++) s->kernel[i] = kernel[i];
    return tern_module_done(s);
}

tern_module *tern_fractional_max_pool2d_new(const int64_t kernel[2], tern_fractional_pool_opts opts) {
    return fractional_new("fractional_max_pool2d", 2, kernel, opts);
}
tern_module *tern_fractional_max_pool3d_new(const int64_t kernel[3], tern_fractional_pool_opts opts) {
    return fractional_new("fractional_max_pool3d", 3, kernel, opts);
}
