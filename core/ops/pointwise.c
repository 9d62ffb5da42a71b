/* Elementwise composites that are more than one scalar op: activations with weights or halves, three inputs. */
#include "casting.h"
#include "expression.h"

tern_tensor *tern_bitwise_not(tern_tensor *x) {
    if (!terni_given(x, "bitwise_not", "x")) return NULL;
    const tern_dtype d = terni_dtype(x);
    if (tern_dtype_is_float(d))
        return terni_null(TERN_ERR_DTYPE, "bitwise_not: x is %s, expected an integer or bool", terni_describe(x));
    return d == TERN_BOOL ? tern_logical_not(x)
                          : tern_bitwise_xor(x, tern_scalar(d == TERN_U8 ? 255 : -1, (tern_options){d, tern_cpu()}));
}

tern_tensor *tern_prelu(tern_tensor *x, tern_tensor *weight) {
    TERNI_AUTOCAST(LOW, &x, &weight);
    if (!terni_given(x, "prelu", "x") || !terni_given(weight, "prelu", "weight")) return NULL;
    if (weight->numel == 1 && weight->v.ndim <= 1)
        return tern_leaky_relu_tensor(x, tern_reshape(weight, tern_shape_scalar()));
    const int channel = x->v.ndim > 1 ? 1 : 0;
    if (x->v.ndim == 0 || weight->v.ndim != 1 || weight->v.shape[0] != x->v.shape[channel])
        return terni_null(TERN_ERR_SHAPE, "prelu: x %s, weight %s, expected one weight or one a channel",
                          terni_describe(x), terni_describe(weight));
    tern_shape s = {.ndim = x->v.ndim - channel, .dim = {weight->v.shape[0]}};
    for (int i = 1; i < s.ndim; i++) s.dim[i] = 1;
    return tern_leaky_relu_tensor(x, tern_reshape(weight, s));
}

tern_tensor *tern_glu(tern_tensor *x, int dim) {
    if (!terni_given(x, "glu", "x")) return NULL;
    const int d = terni_dim("glu", dim, x->v.ndim);
    if (d < 0) return NULL;
    const int64_t n = x->v.shape[d];
    if (n % 2) return terni_null(TERN_ERR_SHAPE, "glu: dimension %d of %s has an odd size", dim, terni_describe(x));
    return tern_mul_sigmoid(tern_slice(x, d, 0, n / 2, 1), tern_slice(x, d, n / 2, n, 1));
}

/* Whether the three broadcast, for errors that name the op. b may be NULL. */
static bool fits(const char *op, tern_tensor *x, tern_tensor *a, tern_tensor *b) {
    if (!terni_given(x, op, "the first input") || !terni_given(a, op, "the second input")) return false;
    tern_shape s;
    if (!terni_broadcast(op, terni_shape(x), terni_shape(a), &s)) return false;
    return !b || terni_broadcast(op, s, terni_shape(b), &s);
}

static tern_tensor *as_float(tern_tensor *x) {
    return tern_dtype_is_float(terni_dtype(x)) ? x : tern_cast(x, TERN_F32);
}

static bool meet_as_floats(tern_tensor *x, tern_tensor *a, tern_tensor *b) {
    return tern_dtype_is_float(tern_dtype_promote(tern_dtype_promote(terni_dtype(x), terni_dtype(a)), terni_dtype(b)));
}

tern_tensor *tern_clamp_tensors(tern_tensor *x, tern_tensor *lo, tern_tensor *hi) {
    if (!terni_given(x, "clamp_tensors", "x")) return NULL;
    if (!lo && !hi) return terni_null(TERN_ERR_ARGUMENT, "clamp_tensors: neither lo nor hi is given");
    if (!fits("clamp_tensors", x, lo ? lo : hi, lo ? hi : NULL)) return NULL;
    if (lo && hi && meet_as_floats(x, lo, hi)) return terni_ternary(TERNI_TERNARY_clamp_tensors, x, lo, hi, 0);
    if (lo) x = tern_maximum(x, lo);
    return hi ? tern_minimum(x, hi) : x;
}

tern_tensor *tern_lerp_scalar(tern_tensor *a, tern_tensor *b, double w) {
    if (!fits("lerp_scalar", a, b, NULL)) return NULL;
    a = as_float(a);
    return a ? terni_ternary(TERNI_TERNARY_lerp_scalar, a, b, NULL, w) : NULL;
}

tern_tensor *tern_lerp(tern_tensor *a, tern_tensor *b, tern_tensor *w) {
    if (!terni_given(w, "lerp", "w") || !fits("lerp", a, b, w)) return NULL;
    a = as_float(a);
    return a ? terni_ternary(TERNI_TERNARY_lerp, a, b, w, 0) : NULL;
}

tern_tensor *tern_addcmul(tern_tensor *x, tern_tensor *a, tern_tensor *b, double s) {
    if (!terni_given(b, "addcmul", "b") || !fits("addcmul", x, a, b)) return NULL;
    if (meet_as_floats(x, a, b)) return terni_ternary(TERNI_TERNARY_addcmul, x, a, b, s);
    tern_tensor *y = tern_mul(a, b);
    return tern_add(x, s == 1 ? y : tern_mul_scalar(y, s));
}

tern_tensor *tern_addcdiv(tern_tensor *x, tern_tensor *a, tern_tensor *b, double s) {
    if (!terni_given(b, "addcdiv", "b") || !fits("addcdiv", x, a, b)) return NULL;
    if (!meet_as_floats(x, a, b)) x = as_float(x);
    return x ? terni_ternary(TERNI_TERNARY_addcdiv, x, a, b, s) : NULL;
}

/* ---- in place ---------------------------------------------------------------------------------------------------- */

#define FORM(name, call)                                                                          \
    static tern_tensor *name##_form(tern_tensor *t, tern_tensor *const *b, const void *options) { \
        const double *o = options;                                                                \
        (void)b, (void)o;                                                                         \
        return call;                                                                              \
    }
FORM(addcmul, tern_addcmul(t, b[0], b[1], o[0]))
FORM(addcdiv, tern_addcdiv(t, b[0], b[1], o[0]))
FORM(lerp, tern_lerp(t, b[0], b[1]))
FORM(lerp_scalar, tern_lerp_scalar(t, b[0], o[0]))
FORM(clamp_tensors, tern_clamp_tensors(t, b[0], b[1]))
FORM(nan_to_num, tern_nan_to_num(t, o[0], o[1], o[2]))
FORM(bitwise_not, tern_bitwise_not(t))
FORM(logical_not, tern_logical_not(t))
FORM(logical_and, tern_logical_and(t, b[0]))
FORM(logical_or, tern_logical_or(t, b[0]))
FORM(logical_xor, tern_logical_xor(t, b[0]))

tern_tensor *tern_addcmul_(tern_tensor *t, tern_tensor *a, tern_tensor *b, double s) {
    TERNI_NAMED("addcmul_");
    return terni_in_place_by("addcmul_", t, (tern_tensor *const[]){a, b}, 2, addcmul_form, &s);
}
tern_tensor *tern_addcdiv_(tern_tensor *t, tern_tensor *a, tern_tensor *b, double s) {
    TERNI_NAMED("addcdiv_");
    return terni_in_place_by("addcdiv_", t, (tern_tensor *const[]){a, b}, 2, addcdiv_form, &s);
}
tern_tensor *tern_lerp_(tern_tensor *t, tern_tensor *b, tern_tensor *w) {
    TERNI_NAMED("lerp_");
    return terni_in_place_by("lerp_", t, (tern_tensor *const[]){b, w}, 2, lerp_form, NULL);
}
tern_tensor *tern_lerp_scalar_(tern_tensor *t, tern_tensor *b, double w) {
    TERNI_NAMED("lerp_scalar_");
    return terni_in_place_by("lerp_scalar_", t, &b, 1, lerp_scalar_form, &w);
}
tern_tensor *tern_clamp_tensors_(tern_tensor *t, tern_tensor *lo, tern_tensor *hi) {
    TERNI_NAMED("clamp_tensors_");
    return terni_in_place_by("clamp_tensors_", t, (tern_tensor *const[]){lo, hi}, 2, clamp_tensors_form, NULL);
}
tern_tensor *tern_nan_to_num_(tern_tensor *t, double nan, double posinf, double neginf) {
    TERNI_NAMED("nan_to_num_");
    return terni_in_place_by("nan_to_num_", t, NULL, 0, nan_to_num_form, (const double[3]){nan, posinf, neginf});
}
tern_tensor *tern_bitwise_not_(tern_tensor *t) {
    TERNI_NAMED("bitwise_not_");
    return terni_in_place_by("bitwise_not_", t, NULL, 0, bitwise_not_form, NULL);
}
tern_tensor *tern_logical_not_(tern_tensor *t) {
    TERNI_NAMED("logical_not_");
    return terni_in_place_by("logical_not_", t, NULL, 0, logical_not_form, NULL);
}
tern_tensor *tern_logical_and_(tern_tensor *t, tern_tensor *b) {
    TERNI_NAMED("logical_and_");
    return terni_in_place_by("logical_and_", t, &b, 1, logical_and_form, NULL);
}
tern_tensor *tern_logical_or_(tern_tensor *t, tern_tensor *b) {
    TERNI_NAMED("logical_or_");
    return terni_in_place_by("logical_or_", t, &b, 1, logical_or_form, NULL);
}
tern_tensor *tern_logical_xor_(tern_tensor *t, tern_tensor *b) {
    TERNI_NAMED("logical_xor_");
    return terni_in_place_by("logical_xor_", t, &b, 1, logical_xor_form, NULL);
}
