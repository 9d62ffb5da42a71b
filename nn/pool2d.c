/* Pooling layers. */
#include <stdio.h>

#include "internal.h"

typedef struct pool2d {
    tern_module m;
    int64_t kernel[2];
    tern_pool2d_opts opts;
} pool2d;

static tern_tensor *max_forward(tern_module *m, tern_tensor *x) {
    const pool2d *p = (pool2d *)m;
    return tern_max_pool2d(x, p->kernel, p->opts);
}

static tern_tensor *avg_forward(tern_module *m, tern_tensor *x) {
    const pool2d *p = (pool2d *)m;
    return tern_avg_pool2d(x, p->kernel, p->opts);
}

static void pool2d_describe(const tern_module *m, char *buf, size_t size) {
    const pool2d *p = (const pool2d *)m;
    snprintf(buf, size, "kernel %lldx%lld, stride %lld, pad %lld", (long long)p->kernel[0], (long long)p->kernel[1],
             (long long)(p->opts.stride[0] ? p->opts.stride[0] : p->kernel[0]), (long long)p->opts.pad[0]);
}

static tern_module *pool2d_new(const char *type, tern_tensor *(*forward)(tern_module *, tern_tensor *), int64_t kernel,
                               tern_pool2d_opts opts) {
    if (!tern_ok()) return NULL;
    if (kernel < 1)
        return terni_null(TERN_ERR_ARGUMENT, "%s: kernel %lld; expected 1 or more", type, (long long)kernel);
    pool2d *p = terni_layer(sizeof *p, type, forward, pool2d_describe);
    if (!p) return NULL;
    p->kernel[0] = p->kernel[1] = kernel;
    p->opts = opts;
    return tern_module_done(p);
}

tern_module *tern_max_pool2d_new(int64_t kernel, tern_pool2d_opts opts) {
    return pool2d_new("max_pool2d", max_forward, kernel, opts);
}
tern_module *tern_avg_pool2d_new(int64_t kernel, tern_pool2d_opts opts) {
    return pool2d_new("avg_pool2d", avg_forward, kernel, opts);
}
