/* Normalisation of channels, over the batch or in each sample, with running statistics. */
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

static bool fits(const batch_norm *s, const tern_tensor *x) {
    if (tern_size(x, 1) == s->channels) return true; /* without affine and running the op would not see it */
    char shape[128];
    return terni_fail(TERN_ERR_SHAPE, "%s: x %s has not %" PRId64 " channels", s->m.type,
                      tern_shape_text(tern_shape_get(x), shape, sizeof shape), s->channels);
}

static tern_tensor *instance_forward(tern_module *m, tern_tensor *x) {
    const batch_norm *s = (const batch_norm *)m;
    if (!fits(s, x)) return NULL;
    const tern_instance_norm_opts opts = {
        .momentum = s->momentum, .eps = s->eps, .use_running = !m->training && s->running_mean};
    return tern_instance_norm(x, s->weight, s->bias, s->running_mean, s->running_var, opts);
}

static tern_tensor *forward(tern_module *m, tern_tensor *x) {
    const batch_norm *s = (const batch_norm *)m;
    if (!fits(s, x)) return NULL;
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

static void make_parts(batch_norm *s, bool affine, bool running) {
    const tern_shape shape = TERN_SHAPE(s->channels);
    const tern_options o = {0};
    if (affine) {
        s->weight = tern_module_param(&s->m, "weight", tern_ones(shape, o));
        s->bias = tern_module_param(&s->m, "bias", tern_zeros(shape, o));
    }
    if (running) {
        s->running_mean = tern_module_buffer(&s->m, "running_mean", tern_zeros(shape, o));
        s->running_var = tern_module_buffer(&s->m, "running_var", tern_ones(shape, o));
        s->count = tern_module_buffer(&s->m, "num_batches_tracked",
                                      tern_zeros(tern_shape_scalar(), (tern_options){.dtype = TERN_I64}));
    }
}

static tern_module *norm_new(const char *type, tern_tensor *(*call)(tern_module *, tern_tensor *), int64_t channels,
                             tern_norm_opts opts, bool affine, bool running) {
    if (!tern_ok()) return NULL;
    if (channels < 1)
        return terni_null(TERN_ERR_ARGUMENT, "%s: %" PRId64 " channels; 1 or more expected", type, channels);
    if (!(opts.eps >= 0) || !(opts.momentum >= 0 && opts.momentum <= 1))
        return terni_null(TERN_ERR_ARGUMENT, "%s: eps %g and momentum %g; 0 or more and [0, 1] expected", type,
                          opts.eps, opts.momentum);
    batch_norm *s = tern_module_alloc(sizeof *s, type);
    if (!s) return NULL;
    s->m.forward = call;
    s->m.describe = describe;
    s->channels = channels;
    s->eps = opts.eps > 0 ? opts.eps : 1e-5;
    s->momentum = opts.momentum > 0 ? opts.momentum : 0.1;
    const int scope = tern_scope_push();
    make_parts(s, affine, running);
    tern_scope_pop(scope);
    return tern_module_done(s);
}

tern_module *tern_batch_norm_new(int64_t channels, tern_norm_opts opts) {
    return norm_new("batch_norm", forward, channels, opts, !opts.no_affine, !opts.no_running);
}
tern_module *tern_instance_norm_new(int64_t channels, tern_norm_opts opts) {
    return norm_new("instance_norm", instance_forward, channels, opts, opts.affine, opts.running);
}

double tern_batch_norm_momentum(const tern_module *m) {
    const batch_norm *s = (const batch_norm *)m;
    return m && m->forward == forward && s->running_mean ? s->momentum : -1;
}

bool tern_batch_norm_set_momentum(tern_module *m, double momentum) {
    if (tern_batch_norm_momentum(m) < 0)
        return terni_fail(TERN_ERR_ARGUMENT, "batch_norm_set_momentum: %s keeps no running statistics",
                          m ? m->type : "NULL");
    if (!(momentum >= 0 && momentum <= 1))
        return terni_fail(TERN_ERR_ARGUMENT, "batch_norm_set_momentum: %g; within [0, 1] expected", momentum);
    ((batch_norm *)m)->momentum = momentum;
    return true;
}
