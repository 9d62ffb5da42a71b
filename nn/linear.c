#include <inttypes.h>

#include "internal.h"

static tern_tensor *forward(tern_module *m, tern_tensor *x) {
    const terni_linear *s = (const terni_linear *)m;
    if (!s->lora_A || s->merged) return tern_linear(x, s->weight, s->bias);
    const int scope = tern_scope_push();
    tern_tensor *low = m->training && s->lora.dropout > 0 ? tern_dropout(x, s->lora.dropout) : x;
    low = tern_forward(s->lora_B, tern_forward(s->lora_A, low));
    return tern_scope_return(scope, tern_add(tern_linear(x, s->weight, s->bias), tern_mul_scalar(low, s->scale)));
}

static void describe(const tern_module *m, char *buf, size_t size) {
    const terni_linear *s = (const terni_linear *)m;
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "%" PRId64 " -> %" PRId64 "%s", s->in, s->out, s->bias ? "" : ", no bias");
    if (s->lora_A) terni_text_add(&t, ", lora x %g%s", s->scale, s->merged ? ", merged" : "");
}

static int64_t flops(const tern_module *m, const tern_shape *x, const tern_shape *y) {
    (void)x;
    return 2 * ((const terni_linear *)m)->in * terni_numel(y);
}

terni_linear *terni_as_linear(tern_module *m) { return m && m->forward == forward ? (terni_linear *)m : NULL; }

tern_module *tern_linear_new(int64_t in, int64_t out, tern_linear_opts opts) {
    if (!tern_ok()) return NULL;
    if (in < 1 || out < 1)
        return terni_null(TERN_ERR_ARGUMENT, "linear: %" PRId64 " -> %" PRId64 "; sizes of 1 or more expected", in,
                          out);
    terni_linear *s = tern_module_alloc(sizeof *s, "linear");
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
