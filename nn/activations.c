/* Layers without parameters: activations, flatten, and any op of one tensor. */
#include <stdio.h>

#include "internal.h"

typedef struct op_layer {
    tern_module m;
    tern_tensor *(*op)(tern_tensor *);
} op_layer;

static tern_tensor *op_forward(tern_module *m, tern_tensor *x) { return ((op_layer *)m)->op(x); }

tern_module *tern_op_new(tern_tensor *(*op)(tern_tensor *), const char *type) {
    if (!tern_ok()) return NULL;
    if (!op) return terni_null(TERN_ERR_ARGUMENT, "op: the function is NULL");
    op_layer *l = terni_layer(sizeof *l, type ? type : "op", op_forward, NULL);
    if (!l) return NULL;
    l->op = op;
    return tern_module_done(l);
}

tern_module *tern_relu_new(void) { return tern_op_new(tern_relu, "relu"); }
tern_module *tern_silu_new(void) { return tern_op_new(tern_silu, "silu"); }
tern_module *tern_sigmoid_new(void) { return tern_op_new(tern_sigmoid, "sigmoid"); }
tern_module *tern_tanh_new(void) { return tern_op_new(tern_tanh, "tanh"); }
tern_module *tern_softplus_new(void) { return tern_op_new(tern_softplus, "softplus"); }
tern_module *tern_gelu_new(bool tanh_form) {
    return tanh_form ? tern_op_new(tern_gelu_tanh, "gelu_tanh") : tern_op_new(tern_gelu, "gelu");
}

static tern_tensor *flatten(tern_tensor *x) {
    return tern_ndim(x) < 2 ? tern_reshape(x, TERN_SHAPE(tern_numel(x), 1)) : tern_flatten(x, 1, -1);
}
tern_module *tern_flatten_new(void) { return tern_op_new(flatten, "flatten"); }

/* ---- with a number
 * ----------------------------------------------------------------------------------------------------- */

typedef struct number_layer {
    tern_module m;
    double number;
} number_layer;

static tern_tensor *leaky_forward(tern_module *m, tern_tensor *x) {
    return tern_leaky_relu(x, ((number_layer *)m)->number);
}
static tern_tensor *softmax_forward(tern_module *m, tern_tensor *x) {
    return tern_softmax(x, (int)((number_layer *)m)->number);
}
static void leaky_describe(const tern_module *m, char *buf, size_t size) {
    snprintf(buf, size, "slope %g", ((const number_layer *)m)->number);
}
static void softmax_describe(const tern_module *m, char *buf, size_t size) {
    snprintf(buf, size, "dim %d", (int)((const number_layer *)m)->number);
}

static tern_module *number_new(const char *type, tern_tensor *(*forward)(tern_module *, tern_tensor *),
                               void (*describe)(const tern_module *, char *, size_t), double number) {
    number_layer *l = terni_layer(sizeof *l, type, forward, describe);
    if (!l) return NULL;
    l->number = number;
    return tern_module_done(l);
}

tern_module *tern_leaky_relu_new(double slope) {
    return number_new("leaky_relu", leaky_forward, leaky_describe, slope);
}
tern_module *tern_softmax_new(int dim) { return number_new("softmax", softmax_forward, softmax_describe, dim); }
