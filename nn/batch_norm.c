#include <inttypes.h>

#include "internal.h"

typedef struct batch_norm {
    tern_module m;
    int64_t channels;
    double eps, momentum;
    tern_tensor *weight, *bias;                      /* NULL without affine */
    tern_tensor *running_mean, *running_var, *count; /* NULL without running */
} batch_norm;

static bool count_up(tern_tensor *count) {
    const int scope = tern_scope_push();
    const bool ok = tern_add_(count, tern_scalar(1, (tern_options){TERN_I64, tern_device_of(count)})) != NULL;
    tern_scope_pop(scope);
    return ok;
}

static tern_tensor *forward(tern_module *m, tern_tensor *x) {
    const batch_norm *s = (const batch_norm *)m;
    const tern_batch_norm_opts opts = {
        .momentum = s->momentum, .eps = s->eps, .training = m->training || !s->running_mean};
    tern_tensor *y = tern_batch_norm(x, s->weight, s->bias, s->running_mean, s->running_var, opts);
    if (y && m->training && s->count && !count_up(s->count)) return NULL;
    return y;
}

static void describe(const tern_module *m, char *buf, size_t size) {
    const batch_norm *s = (const batch_norm *)m;
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "%" PRId64 ", eps %g, momentum %g%s%s", s->channels, s->eps, s->momentum,
                   s->weight ? "" : ", no affine", s->running_mean ? "" : ", no running");
}

static void make_parts(batch_norm *s, tern_norm_opts opts) {
    const tern_shape shape = TERN_SHAPE(s->channels);
    const tern_options o = {0};
    if (!opts.no_affine) {
        s->weight = tern_module_param(&s->m, "weight", tern_ones(shape, o));
        s->bias = tern_module_param(&s->m, "bias", tern_zeros(shape, o));
    }
    if (!opts.no_running) {
        s->running_mean = tern_module_buffer(&s->m, "running_mean", tern_zeros(shape, o));
        s->running_var = tern_module_buffer(&s->m, "running_var", tern_ones(shape, o));
        s->count = tern_module_buffer(&s->m, "num_batches_tracked",
                                      tern_zeros(tern_shape_scalar(), (tern_options){.dtype = TERN_I64}));
    }
}

tern_module *tern_batch_norm_new(int64_t channels, tern_norm_opts opts) {
    if (!tern_ok()) return NULL;
    if (channels < 1)
        return terni_null(TERN_ERR_ARGUMENT, "batch_norm: %" PRId64 " channels; 1 or more expected", channels);
    if (!(opts.eps >= 0) || !(opts.momentum >= 0 && opts.momentum <= 1))
        return terni_null(TERN_ERR_ARGUMENT, "batch_norm: eps %g and momentum %g; 0 or more and [0, 1] expected",
                          opts.eps, opts.momentum);
    batch_norm *s = TERN_MODULE_NEW(batch_norm);
    if (!s) return NULL;
    s->m.forward = forward;
    s->m.describe = describe;
    s->channels = channels;
    s->eps = opts.eps > 0 ? opts.eps : 1e-5;
    s->momentum = opts.momentum > 0 ? opts.momentum : 0.1;
    const int scope = tern_scope_push();
    make_parts(s, opts);
    tern_scope_pop(scope);
    return tern_module_done(s);
}
