/* Modules without parameters that are one call of an op. */
#include "internal.h"

/* ---- ops of one tensor ------------------------------------------------------------------------------------------- */

typedef struct op_module {
    tern_module m;
    tern_tensor *(*op)(tern_tensor *);
} op_module;

static tern_tensor *op_forward(tern_module *m, tern_tensor *x) { return ((const op_module *)m)->op(x); }

tern_module *tern_op_new(tern_tensor *(*op)(tern_tensor *), const char *type) {
    if (!terni_given(op ? type : NULL, "op_new", op ? "type" : "op")) return NULL;
    op_module *s = tern_module_alloc(sizeof *s, type);
    if (!s) return NULL;
    s->m.forward = op_forward;
    s->op = op;
    return tern_module_done(s);
}

static tern_tensor *flatten(tern_tensor *x) { return tern_flatten(x, 1, -1); }

tern_module *tern_flatten_new(void) { return tern_op_new(flatten, "flatten"); }
tern_module *tern_relu_new(void) { return tern_op_new(tern_relu, "relu"); }
tern_module *tern_gelu_new(bool tanh_form) {
    return tanh_form ? tern_op_new(tern_gelu_tanh, "gelu_tanh") : tern_op_new(tern_gelu, "gelu");
}
tern_module *tern_silu_new(void) { return tern_op_new(tern_silu, "silu"); }
tern_module *tern_sigmoid_new(void) { return tern_op_new(tern_sigmoid, "sigmoid"); }
tern_module *tern_tanh_new(void) { return tern_op_new(tern_tanh, "tanh"); }
tern_module *tern_softplus_new(void) { return tern_op_new(tern_softplus, "softplus"); }

/* ---- with a setting ---------------------------------------------------------------------------------------------- */

typedef struct leaky_relu {
    tern_module m;
    double slope;
} leaky_relu;

static tern_tensor *leaky_relu_forward(tern_module *m, tern_tensor *x) {
    return tern_leaky_relu(x, ((const leaky_relu *)m)->slope);
}
static void leaky_relu_describe(const tern_module *m, char *buf, size_t size) {
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "slope %g", ((const leaky_relu *)m)->slope);
}

tern_module *tern_leaky_relu_new(double slope) {
    leaky_relu *s = TERN_MODULE_NEW(leaky_relu);
    if (!s) return NULL;
    s->m.forward = leaky_relu_forward;
    s->m.describe = leaky_relu_describe;
    s->slope = slope;
    return tern_module_done(s);
}

typedef struct softmax {
    tern_module m;
    int dim;
} softmax;

static tern_tensor *softmax_forward(tern_module *m, tern_tensor *x) {
    return tern_softmax(x, ((const softmax *)m)->dim);
}
static void softmax_describe(const tern_module *m, char *buf, size_t size) {
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "dim %d", ((const softmax *)m)->dim);
}

tern_module *tern_softmax_new(int dim) {
    softmax *s = TERN_MODULE_NEW(softmax);
    if (!s) return NULL;
    s->m.forward = softmax_forward;
    s->m.describe = softmax_describe;
    s->dim = dim;
    return tern_module_done(s);
}
