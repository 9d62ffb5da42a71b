#include <inttypes.h>

#include "internal.h"

typedef struct linear {
    tern_module m;
    int64_t in, out;
    tern_tensor *weight, *bias; /* bias may be NULL */
} linear;

static tern_tensor *forward(tern_module *m, tern_tensor *x) {
    const linear *s = (const linear *)m;
    return tern_linear(x, s->weight, s->bias);
}

static void describe(const tern_module *m, char *buf, size_t size) {
    const linear *s = (const linear *)m;
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "%" PRId64 " -> %" PRId64 "%s", s->in, s->out, s->bias ? "" : ", no bias");
}

static int64_t flops(const tern_module *m, const tern_shape *x, const tern_shape *y) {
    (void)x;
    return 2 * ((const linear *)m)->in * terni_numel(y);
}

tern_module *tern_linear_new(int64_t in, int64_t out, tern_linear_opts opts) {
    if (!tern_ok()) return NULL;
    if (in < 1 || out < 1)
        return terni_null(TERN_ERR_ARGUMENT, "linear: %" PRId64 " -> %" PRId64 "; sizes of 1 or more expected", in,
                          out);
    linear *s = TERN_MODULE_NEW(linear);
    if (!s) return NULL;
    s->m.forward = forward;
    s->m.describe = describe;
    s->m.flops = flops;
    s->in = in;
    s->out = out;
    const int scope = tern_scope_push();
    s->weight = terni_param_new(&s->m, "weight", TERN_SHAPE(out, in));
    if (!opts.no_bias) s->bias = terni_param_new(&s->m, "bias", TERN_SHAPE(out));
    (void)terni_init_affine(s->weight, s->bias);
    tern_scope_pop(scope);
    return tern_module_done(s);
}
