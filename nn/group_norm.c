/* Normalisation of groups of channels, and across channels. */
#include <inttypes.h>

#include "internal.h"

/* ---- group_norm -------------------------------------------------------------------------------------------------- */

typedef struct group_norm {
    tern_module m;
    int64_t groups, channels;
    double eps;
    tern_tensor *weight, *bias; /* NULL without affine */
} group_norm;

static tern_tensor *forward(tern_module *m, tern_tensor *x) {
    const group_norm *s = (const group_norm *)m;
    if (tern_size(x, 1) != s->channels) { /* without affine the op would not see it */
        char shape[128];
        return terni_null(TERN_ERR_SHAPE, "group_norm: x %s has not %" PRId64 " channels",
                          tern_shape_text(tern_shape_get(x), shape, sizeof shape), s->channels);
    }
    return tern_group_norm(x, s->groups, s->weight, s->bias, s->eps);
}

static void describe(const tern_module *m, char *buf, size_t size) {
    const group_norm *s = (const group_norm *)m;
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "%" PRId64 " groups of %" PRId64 ", eps %g%s", s->groups, s->channels, s->eps,
                   s->weight ? "" : ", no affine");
}

tern_module *tern_group_norm_new(int64_t groups, int64_t channels, tern_norm_opts opts) {
    if (!tern_ok()) return NULL;
    if (groups < 1 || channels < 1 || channels % groups)
        return terni_null(TERN_ERR_ARGUMENT, "group_norm: %" PRId64 " groups do not divide %" PRId64 " channels",
                          groups, channels);
    if (!(opts.eps >= 0)) return terni_null(TERN_ERR_ARGUMENT, "group_norm: eps %g; 0 or more expected", opts.eps);
    group_norm *s = TERN_MODULE_NEW(group_norm);
    if (!s) return NULL;
    s->m.forward = forward;
    s->m.describe = describe;
    s->groups = groups;
    s->channels = channels;
    s->eps = opts.eps > 0 ? opts.eps : 1e-5;
    if (!opts.no_affine) {
        const int scope = tern_scope_push();
        s->weight = tern_module_param(&s->m, "weight", tern_ones(TERN_SHAPE(channels), (tern_options){0}));
        s->bias = tern_module_param(&s->m, "bias", tern_zeros(TERN_SHAPE(channels), (tern_options){0}));
        tern_scope_pop(scope);
    }
    return tern_module_done(s);
}

/* ---- local_response_norm ----------------------------------------------------------------------------------------- */

typedef struct response_norm {
    tern_module m;
    int64_t size;
    tern_local_response_norm_opts opts;
} response_norm;

static tern_tensor *response_forward(tern_module *m, tern_tensor *x) {
    const response_norm *s = (const response_norm *)m;
    return tern_local_response_norm(x, s->size, s->opts);
}

static void response_describe(const tern_module *m, char *buf, size_t size) {
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "%" PRId64, ((const response_norm *)m)->size);
}

tern_module *tern_local_response_norm_new(int64_t size, tern_local_response_norm_opts opts) {
    if (!tern_ok()) return NULL;
    if (size < 1)
        return terni_null(TERN_ERR_ARGUMENT, "local_response_norm: size %" PRId64 "; 1 or more expected", size);
    response_norm *s = tern_module_alloc(sizeof *s, "local_response_norm");
    if (!s) return NULL;
    s->m.forward = response_forward;
    s->m.describe = response_describe;
    s->size = size;
    s->opts = opts;
    return tern_module_done(s);
}
