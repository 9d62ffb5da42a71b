#include <inttypes.h>
#include <math.h>

#include "internal.h"

typedef struct bilinear {
    tern_module m;
    int64_t in1, in2, out;
    tern_tensor *weight, *bias; /* bias may be NULL */
} bilinear;

static void describe(const tern_module *m, char *buf, size_t size) {
    const bilinear *s = (const bilinear *)m;
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "%" PRId64 ", %" PRId64 " -> %" PRId64 "%s", s->in1, s->in2, s->out, s->bias ? "" : ", no bias");
}

/* x1 [n, in1], x2 [n, in2]: the sum over i of x1[n, i] (x2 weight[o, i, :]) -> [n, out]. */
static tern_tensor *product(const bilinear *s, tern_tensor *x1, tern_tensor *x2) {
    tern_tensor *xs[3] = {x1, s->weight, x2};
    tern_tensor *y = x1 && x2 ? tern_einsum("ni,oij,nj->no", xs, 3) : NULL;
    return s->bias ? tern_add(y, s->bias) : y;
}

static bool fits(const bilinear *s, const tern_tensor *x1, const tern_tensor *x2) {
    tern_shape a = tern_shape_get(x1), b = tern_shape_get(x2);
    bool ok = a.ndim >= 1 && a.ndim == b.ndim && a.dim[a.ndim - 1] == s->in1 && b.dim[b.ndim - 1] == s->in2;
    for (int i = 0; ok && i + 1 < a.ndim; i++) ok = a.dim[i] == b.dim[i];
    if (ok) return true;
    char ta[128], tb[128];
    return terni_fail(TERN_ERR_SHAPE, "bilinear: x1 %s and x2 %s are not [..., %" PRId64 "] and [..., %" PRId64 "]",
                      tern_shape_text(a, ta, sizeof ta), tern_shape_text(b, tb, sizeof tb), s->in1, s->in2);
}

tern_tensor *tern_bilinear_forward(tern_module *m, tern_tensor *x1, tern_tensor *x2) {
    if (!terni_given(m, "bilinear_forward", "m") || !terni_given(x1, "bilinear_forward", "x1") ||
        !terni_given(x2, "bilinear_forward", "x2"))
        return NULL;
    const bilinear *s = (const bilinear *)m;
    if (m->describe != describe) return terni_null(TERN_ERR_ARGUMENT, "bilinear_forward: %s is no bilinear", m->type);
    if (!fits(s, x1, x2)) return NULL;
    const int scope = tern_scope_push();
    x1 = terni_forward_begin(m, x1);
    tern_shape shape = tern_shape_get(x1);
    tern_tensor *y = product(s, tern_reshape(x1, TERN_SHAPE(-1, s->in1)), tern_reshape(x2, TERN_SHAPE(-1, s->in2)));
    shape.dim[shape.ndim > 0 ? shape.ndim - 1 : 0] = s->out;
    return tern_scope_return(scope, terni_forward_end(m, x1, tern_reshape(y, shape)));
}

/* x1 with the weight, then the result with x2. */
static int64_t flops(const tern_module *m, const tern_shape *x, const tern_shape *y) {
    (void)x;
    const bilinear *s = (const bilinear *)m;
    return 2 * (s->in1 + 1) * s->in2 * terni_numel(y);
}

tern_module *tern_bilinear_new(int64_t in1, int64_t in2, int64_t out, tern_linear_opts opts) {
    if (!tern_ok()) return NULL;
    if (in1 < 1 || in2 < 1 || out < 1)
        return terni_null(TERN_ERR_ARGUMENT,
                          "bilinear: %" PRId64 ", %" PRId64 " -> %" PRId64 "; sizes of 1 or more expected", in1, in2,
                          out);
    bilinear *s = TERN_MODULE_NEW(bilinear);
    if (!s) return NULL;
    s->m.describe = describe;
    s->m.parts->enters = true;
    s->m.flops = flops;
    s->in1 = in1;
    s->in2 = in2;
    s->out = out;
    const int scope = tern_scope_push();
    s->weight = terni_param_new(&s->m, "weight", TERN_SHAPE(out, in1, in2));
    if (!opts.no_bias) s->bias = terni_param_new(&s->m, "bias", TERN_SHAPE(out));
    const double bound = 1 / sqrt((double)in1);
    if (tern_init_uniform(s->weight, -bound, bound) && s->bias) (void)tern_init_uniform(s->bias, -bound, bound);
    tern_scope_pop(scope);
    return tern_module_done(s);
}
