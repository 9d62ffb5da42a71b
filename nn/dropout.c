/* The dropout layer. */
#include <stdio.h>

#include "internal.h"

typedef struct dropout {
    tern_module m;
    double p;
} dropout;

static tern_tensor *dropout_forward(tern_module *m, tern_tensor *x) {
    return m->training ? tern_dropout(x, ((dropout *)m)->p) : x;
}

static void dropout_describe(const tern_module *m, char *buf, size_t size) {
    snprintf(buf, size, "p %g", ((const dropout *)m)->p);
}

tern_module *tern_dropout_new(double p) {
    if (!tern_ok()) return NULL;
    if (!(p >= 0 && p <= 1)) return terni_null(TERN_ERR_ARGUMENT, "dropout: p is %g; expected 0 to 1", p);
    dropout *d = terni_layer(sizeof *d, "dropout", dropout_forward, dropout_describe);
    if (!d) return NULL;
    d->p = p;
    return tern_module_done(d);
}
