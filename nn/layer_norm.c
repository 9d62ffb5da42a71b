/* Normalisation over the last dimensions: layer_norm and rms_norm. */
#include "internal.h"

typedef struct layer_norm {
    tern_module m;
    tern_shape shape;
    double eps; /* 0: the op's own default */
    bool rms;
    tern_tensor *weight, *bias; /* may be NULL */
} layer_norm;

static tern_tensor *forward(tern_module *m, tern_tensor *x) {
    const layer_norm *s = (const layer_norm *)m;
    const tern_shape in = tern_shape_get(x);
    bool same = in.ndim >= s->shape.ndim;
    for (int i = 1; same && i <= s->shape.ndim; i++) same = in.dim[in.ndim - i] == s->shape.dim[s->shape.ndim - i];
    if (!same) { /* without affine the op would not see it */
        char a[128], b[128];
        return terni_null(TERN_ERR_SHAPE, "%s: x %s does not end in %s", m->type, tern_shape_text(in, a, sizeof a),
                          tern_shape_text(s->shape, b, sizeof b));
    }
    return s->rms ? tern_rms_norm(x, s->shape.ndim, s->weight, s->eps)
                  : tern_layer_norm(x, s->shape.ndim, s->weight, s->bias, s->eps);
}

static void describe(const tern_module *m, char *buf, size_t size) {
    const layer_norm *s = (const layer_norm *)m;
    char shape[128];
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "%s", tern_shape_text(s->shape, shape, sizeof shape));
    if (s->eps > 0) terni_text_add(&t, ", eps %g", s->eps);
    if (!s->weight)
        terni_text_add(&t, ", no affine");
    else if (!s->rms && !s->bias)
        terni_text_add(&t, ", no bias");
}

static tern_module *norm_new(const char *type, bool rms, tern_shape shape, tern_norm_opts opts, double eps) {
    if (!tern_ok()) return NULL;
    bool ok = shape.ndim >= 1 && shape.ndim <= TERN_MAX_DIMS;
    for (int i = 0; ok && i < shape.ndim; i++) ok = shape.dim[i] >= 1;
    if (!ok) return terni_null(TERN_ERR_SHAPE, "%s: the shape needs 1 to %d sizes of 1 or more", type, TERN_MAX_DIMS);
    if (!(opts.eps >= 0)) return terni_null(TERN_ERR_ARGUMENT, "%s: eps %g; 0 or more expected", type, opts.eps);
    layer_norm *s = tern_module_alloc(sizeof *s, type);
    if (!s) return NULL;
    s->m.forward = forward;
    s->m.describe = describe;
    s->shape = shape;
    s->eps = opts.eps > 0 ? opts.eps : eps;
    s->rms = rms;
    if (!opts.no_affine) {
        const int scope = tern_scope_push();
        s->weight = tern_module_param(&s->m, "weight", tern_ones(shape, (tern_options){0}));
        if (!rms && !opts.no_bias) s->bias = tern_module_param(&s->m, "bias", tern_zeros(shape, (tern_options){0}));
        tern_scope_pop(scope);
    }
    return tern_module_done(s);
}

tern_module *tern_layer_norm_new(tern_shape shape, tern_norm_opts opts) {
    return norm_new("layer_norm", false, shape, opts, 1e-5);
}
tern_module *tern_rms_norm_new(tern_shape shape, tern_norm_opts opts) {
    return norm_new("rms_norm", true, shape, opts, 0);
}
