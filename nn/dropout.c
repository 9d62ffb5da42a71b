/* Dropout of elements and of channels: the op in training, x itself in evaluation. */
#include "internal.h"

typedef struct dropout {
    tern_module m;
    tern_tensor *(*op)(tern_tensor *x, double p);
    double p;
} dropout;

static tern_tensor *forward(tern_module *m, tern_tensor *x) {
    const dropout *s = (const dropout *)m;
    return m->training ? s->op(x, s->p) : x;
}

static void describe(const tern_module *m, char *buf, size_t size) {
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "p %g", ((const dropout *)m)->p);
}

static tern_module *dropout_new(const char *type, tern_tensor *(*op)(tern_tensor *, double), double p) {
    if (!tern_ok()) return NULL;
    if (!(p >= 0 && p <= 1)) return terni_null(TERN_ERR_ARGUMENT, "%s: p is %g; [0, 1] expected", type, p);
    dropout *s = tern_module_alloc(sizeof *s, type);
    if (!s) return NULL;
    s->m.forward = forward;
    s->m.describe = describe;
    s->op = op;
    s->p = p;
    return tern_module_done(s);
}

tern_module *tern_dropout_new(double p) { return dropout_new("dropout", tern_dropout, p); }
tern_module *tern_dropout1d_new(double p) { return dropout_new("dropout1d", tern_dropout1d, p); }
tern_module *tern_dropout2d_new(double p) { return dropout_new("dropout2d", tern_dropout2d, p); }
tern_module *tern_dropout3d_new(double p) { return dropout_new("dropout3d", tern_dropout3d, p); }
tern_module *tern_alpha_dropout_new(double p) { return dropout_new("alpha_dropout", tern_alpha_dropout, p); }
tern_module *tern_feature_alpha_dropout_new(double p) {
    return dropout_new("feature_alpha_dropout", tern_feature_alpha_dropout, p);
}
