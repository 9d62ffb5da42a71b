/* Modules that are one call of an op. */
#include <inttypes.h>
#include <math.h>

#include "internal.h"
#include "tern/random.h"

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

static tern_tensor *identity(tern_tensor *x) { return x; }

tern_module *tern_identity_new(void) { return tern_op_new(identity, "identity"); }
tern_module *tern_relu_new(void) { return tern_op_new(tern_relu, "relu"); }
tern_module *tern_relu6_new(void) { return tern_op_new(tern_relu6, "relu6"); }
tern_module *tern_gelu_new(bool tanh_form) {
    return tanh_form ? tern_op_new(tern_gelu_tanh, "gelu_tanh") : tern_op_new(tern_gelu, "gelu");
}
tern_module *tern_selu_new(void) { return tern_op_new(tern_selu, "selu"); }
tern_module *tern_silu_new(void) { return tern_op_new(tern_silu, "silu"); }
tern_module *tern_mish_new(void) { return tern_op_new(tern_mish, "mish"); }
tern_module *tern_sigmoid_new(void) { return tern_op_new(tern_sigmoid, "sigmoid"); }
tern_module *tern_logsigmoid_new(void) { return tern_op_new(tern_logsigmoid, "logsigmoid"); }
tern_module *tern_hardsigmoid_new(void) { return tern_op_new(tern_hardsigmoid, "hardsigmoid"); }
tern_module *tern_hardswish_new(void) { return tern_op_new(tern_hardswish, "hardswish"); }
tern_module *tern_tanh_new(void) { return tern_op_new(tern_tanh, "tanh"); }
tern_module *tern_tanhshrink_new(void) { return tern_op_new(tern_tanhshrink, "tanhshrink"); }
tern_module *tern_softplus_new(void) { return tern_op_new(tern_softplus, "softplus"); }
tern_module *tern_softsign_new(void) { return tern_op_new(tern_softsign, "softsign"); }

/* ---- with one or two numbers ------------------------------------------------------------------------------------- */

typedef struct numbers {
    const char *type, *label[2]; /* label[1]: NULL with one number */
    tern_tensor *(*op)(tern_module *m, tern_tensor *x, const double *v);
    double v[2];
} numbers;

typedef struct number_module {
    tern_module m;
    numbers n;
} number_module;

static tern_tensor *number_forward(tern_module *m, tern_tensor *x) {
    const number_module *s = (const number_module *)m;
    return s->n.op(m, x, s->n.v);
}

static void number_describe(const tern_module *m, char *buf, size_t size) {
    const number_module *s = (const number_module *)m;
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "%s %g", s->n.label[0], s->n.v[0]);
    if (s->n.label[1]) terni_text_add(&t, ", %s %g", s->n.label[1], s->n.v[1]);
}

static tern_module *number_new(numbers n) {
    for (int i = 0; i < 2; i++)
        if (tern_ok() && isnan(n.v[i])) return terni_null(TERN_ERR_ARGUMENT, "%s: %s is NaN", n.type, n.label[i]);
    number_module *s = tern_module_alloc(sizeof *s, n.type);
    if (!s) return NULL;
    s->m.forward = number_forward;
    s->m.describe = number_describe;
    s->n = n;
    return tern_module_done(s);
}

#define NUMBER_OP(name, call)                                                        \
    static tern_tensor *name##_op(tern_module *m, tern_tensor *x, const double *v) { \
        (void)m;                                                                     \
        return call;                                                                 \
    }
NUMBER_OP(leaky_relu, tern_leaky_relu(x, v[0]))
NUMBER_OP(elu, tern_elu(x, v[0]))
NUMBER_OP(celu, tern_celu(x, v[0]))
NUMBER_OP(hardshrink, tern_hardshrink(x, v[0]))
NUMBER_OP(softshrink, tern_softshrink(x, v[0]))
NUMBER_OP(hardtanh, tern_hardtanh(x, v[0], v[1]))
NUMBER_OP(threshold, tern_threshold(x, v[0], v[1]))
NUMBER_OP(softplus_beta, tern_softplus_beta(x, v[0], v[1]))

static tern_tensor *rrelu_op(tern_module *m, tern_tensor *x, const double *v) {
    if (!m->training) return tern_leaky_relu(x, (v[0] + v[1]) / 2);
    return tern_leaky_relu_tensor(x, tern_rand_like(x, v[0], v[1]));
}

tern_module *tern_leaky_relu_new(double slope) {
    return number_new((numbers){"leaky_relu", {"slope"}, leaky_relu_op, {slope}});
}
tern_module *tern_elu_new(double alpha) { return number_new((numbers){"elu", {"alpha"}, elu_op, {alpha}}); }
tern_module *tern_hardshrink_new(double lambda) {
    return number_new((numbers){"hardshrink", {"lambda"}, hardshrink_op, {lambda}});
}
tern_module *tern_threshold_new(double threshold, double value) {
    return number_new((numbers){"threshold", {"threshold", "value"}, threshold_op, {threshold, value}});
}
tern_module *tern_celu_new(double alpha) {
    if (tern_ok() && alpha == 0) return terni_null(TERN_ERR_ARGUMENT, "celu: alpha is 0");
    return number_new((numbers){"celu", {"alpha"}, celu_op, {alpha}});
}
tern_module *tern_softshrink_new(double lambda) {
    if (tern_ok() && lambda < 0)
        return terni_null(TERN_ERR_ARGUMENT, "softshrink: lambda is %g; 0 or more expected", lambda);
    return number_new((numbers){"softshrink", {"lambda"}, softshrink_op, {lambda}});
}
tern_module *tern_softplus_beta_new(double beta, double threshold) {
    if (tern_ok() && beta == 0) return terni_null(TERN_ERR_ARGUMENT, "softplus_beta: beta is 0");
    return number_new((numbers){"softplus_beta", {"beta", "threshold"}, softplus_beta_op, {beta, threshold}});
}
tern_module *tern_hardtanh_new(double lo, double hi) {
    if (tern_ok() && lo > hi) return terni_null(TERN_ERR_ARGUMENT, "hardtanh: lo %g is above hi %g", lo, hi);
    return number_new((numbers){"hardtanh", {"lo", "hi"}, hardtanh_op, {lo, hi}});
}
tern_module *tern_rrelu_new(double lo, double hi) {
    if (tern_ok() && lo > hi) return terni_null(TERN_ERR_ARGUMENT, "rrelu: lo %g is above hi %g", lo, hi);
    return number_new((numbers){"rrelu", {"lo", "hi"}, rrelu_op, {lo, hi}});
}

/* ---- over a dimension -------------------------------------------------------------------------------------------- */

typedef struct dim_module {
    tern_module m;
    tern_tensor *(*op)(tern_tensor *x, int dim);
    int dim;
} dim_module;

static tern_tensor *dim_forward(tern_module *m, tern_tensor *x) {
    const dim_module *s = (const dim_module *)m;
    return s->op(x, s->dim);
}
static void dim_describe(const tern_module *m, char *buf, size_t size) {
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "dim %d", ((const dim_module *)m)->dim);
}

static tern_module *dim_new(const char *type, tern_tensor *(*op)(tern_tensor *, int), int dim) {
    if (tern_ok() && (dim < -TERN_MAX_DIMS || dim >= TERN_MAX_DIMS))
        return terni_null(TERN_ERR_ARGUMENT, "%s: no tensor has a dimension %d", type, dim);
    dim_module *s = tern_module_alloc(sizeof *s, type);
    if (!s) return NULL;
    s->m.forward = dim_forward;
    s->m.describe = dim_describe;
    s->op = op;
    s->dim = dim;
    return tern_module_done(s);
}

tern_module *tern_softmax_new(int dim) { return dim_new("softmax", tern_softmax, dim); }
tern_module *tern_softmin_new(int dim) { return dim_new("softmin", tern_softmin, dim); }
tern_module *tern_log_softmax_new(int dim) { return dim_new("log_softmax", tern_log_softmax, dim); }
tern_module *tern_glu_new(int dim) { return dim_new("glu", tern_glu, dim); }

/* ---- with a parameter -------------------------------------------------------------------------------------------- */

typedef struct prelu {
    tern_module m;
    tern_tensor *weight;
} prelu;

static tern_tensor *prelu_forward(tern_module *m, tern_tensor *x) { return tern_prelu(x, ((const prelu *)m)->weight); }
static void prelu_describe(const tern_module *m, char *buf, size_t size) {
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "%" PRId64, tern_numel(((const prelu *)m)->weight));
}

tern_module *tern_prelu_new(int64_t n, double slope) {
    if (!tern_ok()) return NULL;
    if (n < 1) return terni_null(TERN_ERR_ARGUMENT, "prelu: %" PRId64 " slopes; 1 or more expected", n);
    if (!isfinite(slope)) return terni_null(TERN_ERR_ARGUMENT, "prelu: slope is %g", slope);
    prelu *s = TERN_MODULE_NEW(prelu);
    if (!s) return NULL;
    s->m.forward = prelu_forward;
    s->m.describe = prelu_describe;
    const int scope = tern_scope_push();
    s->weight = tern_module_param(&s->m, "weight", tern_full(TERN_SHAPE(n), slope, (tern_options){0}));
    tern_scope_pop(scope);
    return tern_module_done(s);
}
