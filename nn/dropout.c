#include "internal.h"

typedef struct dropout {
    tern_module m;
    double p;
} dropout;

static tern_tensor *forward(tern_module *m, tern_tensor *x) {
    return m->training ? tern_dropout(x, ((const dropout *)m)->p) : x;
}

static void describe(const tern_module *m, char *buf, size_t size) {
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "p %g", ((const dropout *)m)->p);
}

tern_module *tern_dropout_new(double p) {
    if (!tern_ok()) return NULL;
    if (!(p >= 0 && p <= 1)) return terni_null(TERN_ERR_ARGUMENT, "dropout: p is %g; [0, 1] expected", p);
    dropout *s = TERN_MODULE_NEW(dropout);
    if (!s) return NULL;
    s->m.forward = forward;
    s->m.describe = describe;
    s->p = p;
    return tern_module_done(s);
}
