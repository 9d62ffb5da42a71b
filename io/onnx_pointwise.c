/* ONNX import: elementwise ops. */
#include <math.h>
#include <string.h>

#include "onnx_model.h"

static bool out(terni_om_run *r, tern_tensor *t) { return (r->out[0] = t) != NULL; }
static tern_tensor *in(terni_om_run *r, int i) { return terni_om_at(r, i); }
static bool floats(terni_om_run *r) { return tern_dtype_is_float(tern_dtype_of(r->in[0])); }

/* ---- one input --------------------------------------------------------------------------------------------------- */

static tern_tensor *reciprocal(tern_tensor *x) { return tern_reciprocal(x); }

/* Between integers Tern's is f32: what keeps its dtype is cast back. */
static bool unary(terni_om_run *r) {
    static const struct {
        const char *op;
        tern_tensor *(*f)(tern_tensor *x);
    } ops[] = {{"Abs", tern_abs},
               {"Acos", tern_acos},
               {"Acosh", tern_acosh},
               {"Asin", tern_asin},
               {"Asinh", tern_asinh},
               {"Atan", tern_atan},
               {"Atanh", tern_atanh},
               {"Ceil", tern_ceil},
               {"Cos", tern_cos},
               {"Cosh", tern_cosh},
               {"Erf", tern_erf},
               {"Exp", tern_exp},
               {"Floor", tern_floor},
               {"HardSwish", tern_hardswish},
               {"Identity", tern_positive},
               {"IsNaN", tern_isnan},
               {"Log", tern_log},
               {"Mish", tern_mish},
               {"Neg", tern_neg},
               {"Not", tern_logical_not},
               {"Reciprocal", reciprocal},
               {"Relu", tern_relu},
               {"Round", tern_round},
               {"Sigmoid", tern_sigmoid},
               {"Sign", tern_sign},
               {"Sin", tern_sin},
               {"Sinh", tern_sinh},
               {"Softplus", tern_softplus},
               {"Softsign", tern_softsign},
               {"Sqrt", tern_sqrt},
               {"Tan", tern_tan},
               {"Tanh", tern_tanh},
               {"BitwiseNot", tern_bitwise_not}};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strcmp(ops[i].op, r->node->op) == 0) {
            if (tern_dtype_of(r->in[0]) == TERN_BOOL && ops[i].f == tern_positive) return out(r, tern_clone(r->in[0]));
            return out(r, ops[i].f(r->in[0]));
        }
    return terni_om_refuse(r, "no such op");
}

static bool with_numbers(terni_om_run *r) {
    const char *op = r->node->op;
    tern_tensor *x = r->in[0];
    if (strcmp(op, "LeakyRelu") == 0) return out(r, tern_leaky_relu(x, terni_om_float(r, "alpha", 0.01)));
    if (strcmp(op, "Elu") == 0) return out(r, tern_elu(x, terni_om_float(r, "alpha", 1)));
    if (strcmp(op, "Celu") == 0) return out(r, tern_celu(x, terni_om_float(r, "alpha", 1)));
    if (strcmp(op, "ThresholdedRelu") == 0) return out(r, tern_threshold(x, terni_om_float(r, "alpha", 1), 0));
    if (strcmp(op, "HardSigmoid") == 0) {
        tern_tensor *y = tern_mul_scalar(x, terni_om_float(r, "alpha", (double)0.2f));
        return out(r, tern_clamp(tern_add_scalar(y, terni_om_float(r, "beta", 0.5)), 0, 1));
    }
    if (strcmp(op, "Selu") == 0) {
        const double gamma = terni_om_float(r, "gamma", 1.05070102214813232421875);
        return out(r, tern_mul_scalar(tern_elu(x, terni_om_float(r, "alpha", 1.67326319217681884765625)), gamma));
    }
    if (strcmp(op, "Gelu") == 0) {
        const char *how = terni_om_text(r, "approximate", "none");
        if (strcmp(how, "tanh") == 0) return out(r, tern_gelu_tanh(x));
        return strcmp(how, "none") == 0 ? out(r, tern_gelu(x))
                                        : terni_om_refuse(r, "the attribute approximate is %.40s", how);
    }
    if (strcmp(op, "Shrink") == 0) {
        const double lambda = terni_om_float(r, "lambd", 0.5), bias = terni_om_float(r, "bias", 0);
        tern_tensor *none = tern_zeros_like(x), *lo = tern_full_like(x, -lambda), *hi = tern_full_like(x, lambda);
        tern_tensor *y = tern_where(tern_gt(x, hi), tern_sub_scalar(x, bias), none);
        return out(r, tern_where(tern_lt(x, lo), tern_add_scalar(x, bias), y));
    }
    if (strcmp(op, "IsInf") == 0) {
        const bool below = terni_om_int(r, "detect_negative", 1) != 0,
                   above = terni_om_int(r, "detect_positive", 1) != 0;
        tern_tensor *y = tern_isinf(x), *negative = tern_signbit(x);
        if (!below) y = tern_logical_and(y, tern_logical_not(negative));
        return out(r, above ? y : tern_logical_and(y, negative));
    }
    return terni_om_refuse(r, "no such op");
}

static bool clip(terni_om_run *r) {
    double lo = terni_om_float(r, "min", -(double)INFINITY), hi = terni_om_float(r, "max", (double)INFINITY);
    if (terni_om_doubles(r, 1, &lo, 1) < 0 || terni_om_doubles(r, 2, &hi, 1) < 0) return false;
    tern_tensor *x = r->in[0];
    if (floats(r)) return out(r, tern_minimum(tern_maximum(x, tern_full_like(x, lo)), tern_full_like(x, hi)));
    if (!isinf(lo)) x = tern_maximum(x, tern_full_like(x, lo));
    if (!isinf(hi) && x) x = tern_minimum(x, tern_full_like(x, hi));
    return out(r, x);
}

/* Dropout as in evaluation; the mask is all true. */
static bool dropout(terni_om_run *r) {
    double training = 0;
    if (terni_om_doubles(r, 2, &training, 1) < 0) return false;
    if (training != 0) return terni_om_refuse(r, "training_mode is true: models run as in evaluation");
    r->out[1] = tern_ones(tern_shape_get(r->in[0]), (tern_options){TERN_BOOL, tern_device_of(r->in[0])});
    return out(r, tern_clone(r->in[0]));
}

static bool cast(terni_om_run *r) {
    tern_dtype d;
    if (strcmp(r->node->op, "CastLike") == 0)
        d = tern_dtype_of(r->in[1]);
    else if (!terni_om_dtype(terni_om_int(r, "to", 0), &d))
        return false;
    tern_tensor *y = tern_cast(r->in[0], d);
    return out(r, y == r->in[0] ? tern_clone(y) : y);
}

/* ---- two inputs and more -------------------------------------------------------------------------------------------
 */

/* Integers are divided towards 0. */
static tern_tensor *divided(tern_tensor *a, tern_tensor *b) {
    if (tern_dtype_is_float(tern_dtype_of(a))) return tern_div(a, b);
    tern_tensor *q = tern_floor_divide(tern_abs(a), tern_abs(b)), *sign = tern_mul(tern_sign(a), tern_sign(b));
    q = tern_mul(q, sign);
    return q ? tern_cast(q, tern_dtype_of(a)) : NULL;
}

static tern_tensor *power(tern_tensor *a, tern_tensor *b) {
    tern_tensor *y = tern_pow(a, b);
    return y ? tern_cast(y, tern_dtype_of(a)) : NULL;
}

static bool binary(terni_om_run *r) {
    static const struct {
        const char *op;
        tern_tensor *(*f)(tern_tensor *a, tern_tensor *b);
    } ops[] = {{"Add", tern_add},
               {"Sub", tern_sub},
               {"Mul", tern_mul},
               {"Div", divided},
               {"Pow", power},
               {"Equal", tern_eq},
               {"Greater", tern_gt},
               {"GreaterOrEqual", tern_ge},
               {"Less", tern_lt},
               {"LessOrEqual", tern_le},
               {"And", tern_logical_and},
               {"Or", tern_logical_or},
               {"Xor", tern_logical_xor},
               {"PRelu", tern_leaky_relu_tensor},
               {"BitwiseAnd", tern_bitwise_and},
               {"BitwiseOr", tern_bitwise_or},
               {"BitwiseXor", tern_bitwise_xor}};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strcmp(ops[i].op, r->node->op) == 0) return out(r, ops[i].f(r->in[0], r->in[1]));
    return terni_om_refuse(r, "no such op");
}

static bool mod(terni_om_run *r) {
    const bool c = terni_om_int(r, "fmod", 0) != 0;
    return out(r, (c ? tern_fmod : tern_remainder)(r->in[0], r->in[1]));
}

/* Max, Min, Sum and Mean of any number. */
static bool many(terni_om_run *r) {
    const char *op = r->node->op;
    tern_tensor *y = r->all[0];
    for (int i = 1; i < r->n && y; i++) {
        if (!r->all[i]) return terni_om_bad(r, "input %d is missing", i);
        y = strcmp(op, "Max") == 0   ? tern_maximum(y, r->all[i])
            : strcmp(op, "Min") == 0 ? tern_minimum(y, r->all[i])
                                     : tern_add(y, r->all[i]);
    }
    if (y && strcmp(op, "Mean") == 0) y = tern_div_scalar(y, (double)r->n);
    return out(r, y && y == r->all[0] ? tern_clone(y) : y);
}

static bool where(terni_om_run *r) { return out(r, tern_where(r->in[0], in(r, 1), in(r, 2))); }

#define UNARY(op) \
    { op, unary, "", 1, 1 }
#define BINARY(op) \
    { op, binary, "", 2, 2 }
const terni_om_rule terni_om_pointwise[] = {
    UNARY("Abs"),
    UNARY("Acos"),
    UNARY("Acosh"),
    UNARY("Asin"),
    UNARY("Asinh"),
    UNARY("Atan"),
    UNARY("Atanh"),
    UNARY("Ceil"),
    UNARY("Cos"),
    UNARY("Cosh"),
    UNARY("Erf"),
    UNARY("Exp"),
    UNARY("Floor"),
    UNARY("HardSwish"),
    UNARY("Identity"),
    UNARY("IsNaN"),
    UNARY("Log"),
    UNARY("Mish"),
    UNARY("Neg"),
    UNARY("Not"),
    UNARY("Reciprocal"),
    UNARY("Relu"),
    UNARY("Round"),
    UNARY("Sigmoid"),
    UNARY("Sign"),
    UNARY("Sin"),
    UNARY("Sinh"),
    UNARY("Softplus"),
    UNARY("Softsign"),
    UNARY("Sqrt"),
    UNARY("Tan"),
    UNARY("Tanh"),
    UNARY("BitwiseNot"),
    BINARY("Add"),
    BINARY("Sub"),
    BINARY("Mul"),
    BINARY("Div"),
    BINARY("Pow"),
    BINARY("Equal"),
    BINARY("Greater"),
    BINARY("GreaterOrEqual"),
    BINARY("Less"),
    BINARY("LessOrEqual"),
    BINARY("And"),
    BINARY("Or"),
    BINARY("Xor"),
    BINARY("PRelu"),
    BINARY("BitwiseAnd"),
    BINARY("BitwiseOr"),
    BINARY("BitwiseXor"),
    {"LeakyRelu", with_numbers, "alpha", 1, 1},
    {"Elu", with_numbers, "alpha", 1, 1},
    {"Celu", with_numbers, "alpha", 1, 1},
    {"ThresholdedRelu", with_numbers, "alpha", 1, 1},
    {"HardSigmoid", with_numbers, "alpha beta", 1, 1},
    {"Selu", with_numbers, "alpha gamma", 1, 1},
    {"Gelu", with_numbers, "approximate", 1, 1},
    {"Shrink", with_numbers, "lambd bias", 1, 1},
    {"IsInf", with_numbers, "detect_negative detect_positive", 1, 1},
    {"Clip", clip, "min max", 1, 3},
    {"Dropout", dropout, "ratio seed", 1, 3},
    {"Cast", cast, "to saturate round_mode", 1, 1},
    {"CastLike", cast, "saturate round_mode", 2, 2},
    {"Mod", mod, "fmod", 2, 2},
    {"Max", many, "", 1, 1000000},
    {"Min", many, "", 1, 1000000},
    {"Sum", many, "", 1, 1000000},
    {"Mean", many, "", 1, 1000000},
    {"Where", where, "", 3, 3},
    {NULL, NULL, NULL, 0, 0},
};
