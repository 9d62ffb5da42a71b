#include <inttypes.h>

#include "internal.h"

typedef tern_tensor *pool_op(tern_tensor *x, const int64_t kernel[2], tern_pool2d_opts opts);

typedef struct pool2d {
    tern_module m;
    pool_op *op;
    int64_t kernel[2];
    tern_pool2d_opts opts;
} pool2d;

static tern_tensor *forward(tern_module *m, tern_tensor *x) {
    const pool2d *s = (const pool2d *)m;
    return s->op(x, s->kernel, s->opts);
}

/* A pair of options in full. */
static void describe_pair(terni_text *t, const char *before, const int64_t pair[2]) {
    if (!pair[0] && !pair[1]) return;
    const int64_t h = pair[0] < 0 ? 0 : pair[0], w = pair[1] < 0 ? 0 : pair[1] ? pair[1] : h;
    terni_text_pair(t, before, (const int64_t[2]){h, w});
}

static void describe(const tern_module *m, char *buf, size_t size) {
    const pool2d *s = (const pool2d *)m;
    terni_text t = {buf, size, 0};
    terni_text_pair(&t, "kernel ", s->kernel);
    describe_pair(&t, ", stride ", s->opts.stride);
    describe_pair(&t, ", pad ", s->opts.pad);
    describe_pair(&t, ", dilation ", s->opts.dilation);
    if (s->opts.ceil_mode) terni_text_add(&t, ", ceil");
    if (s->opts.exclude_pad) terni_text_add(&t, ", exclude pad");
}

static tern_module *pool_new(const char *type, pool_op *op, int64_t kernel, tern_pool2d_opts opts) {
    if (!tern_ok()) return NULL;
    if (kernel < 1 || kernel > INT32_MAX)
        return terni_null(TERN_ERR_ARGUMENT, "%s: kernel %" PRId64 " is outside its range", type, kernel);
    for (int i = 0; i < 2; i++) {
        if (opts.stride[i] < 0 || opts.dilation[i] < 0)
            return terni_null(TERN_ERR_ARGUMENT, "%s: a stride or a dilation is negative", type);
        if (opts.pad[i] < -1 || opts.pad[i] > kernel / 2)
            return terni_null(TERN_ERR_ARGUMENT, "%s: pad %" PRId64 " is not within half the kernel of %" PRId64, type,
                              opts.pad[i], kernel);
    }
    pool2d *s = tern_module_alloc(sizeof *s, type);
    if (!s) return NULL;
    s->m.forward = forward;
    s->m.describe = describe;
    s->op = op;
    s->kernel[0] = s->kernel[1] = kernel;
    s->opts = opts;
    return tern_module_done(s);
}

tern_module *tern_max_pool2d_new(int64_t kernel, tern_pool2d_opts opts) {
    return pool_new("max_pool2d", tern_max_pool2d, kernel, opts);
}
tern_module *tern_avg_pool2d_new(int64_t kernel, tern_pool2d_opts opts) {
    return pool_new("avg_pool2d", tern_avg_pool2d, kernel, opts);
}
