/* Elementwise composites that are more than one scalar op: activations with weights or halves, three inputs. */
#include <math.h>

#include "internal.h"

tern_tensor *tern_bitwise_not(tern_tensor *x) {
    if (!terni_given(x, "bitwise_not", "x")) return NULL;
    const tern_dtype d = terni_dtype(x);
    if (tern_dtype_is_float(d))
        return terni_null(TERN_ERR_DTYPE, "bitwise_not: x is %s, expected an integer or bool", terni_describe(x));
    return d == TERN_BOOL ? tern_logical_not(x)
                          : tern_bitwise_xor(x, tern_scalar(d == TERN_U8 ? 255 : -1, (tern_options){d, tern_cpu()}));
}

tern_tensor *tern_prelu(tern_tensor *x, tern_tensor *weight) {
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

tern_tensor *tern_nan_to_num(tern_tensor *x, double nan, double posinf, double neginf) {
    if (!terni_given(x, "nan_to_num", "x") || !tern_dtype_is_float(terni_dtype(x))) return x;
    const tern_options like = {terni_dtype(x), tern_cpu()};
    const double inf = (double)INFINITY;
    tern_tensor *y = tern_where(tern_eq(x, tern_scalar(-inf, like)), tern_scalar(neginf, like), x);
    y = tern_where(tern_eq(x, tern_scalar(inf, like)), tern_scalar(posinf, like), y);
    return tern_where(tern_isnan(x), tern_scalar(nan, like), y);
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

tern_tensor *tern_clamp_tensors(tern_tensor *x, tern_tensor *lo, tern_tensor *hi) {
    if (!terni_given(x, "clamp_tensors", "x")) return NULL;
    if (!lo && !hi) return terni_null(TERN_ERR_ARGUMENT, "clamp_tensors: neither lo nor hi is given");
    if (!fits("clamp_tensors", x, lo ? lo : hi, lo ? hi : NULL)) return NULL;
    if (lo) x = tern_maximum(x, lo);
    return hi ? tern_minimum(x, hi) : x;
}

tern_tensor *tern_lerp_scalar(tern_tensor *a, tern_tensor *b, double w) {
    if (!fits("lerp_scalar", a, b, NULL)) return NULL;
    a = as_float(a);
    return tern_add(a, tern_mul_scalar(tern_sub(as_float(b), a), w));
}

tern_tensor *tern_lerp(tern_tensor *a, tern_tensor *b, tern_tensor *w) {
    if (!terni_given(w, "lerp", "w") || !fits("lerp", a, b, w)) return NULL;
    a = as_float(a);
    return tern_add(a, tern_mul(as_float(w), tern_sub(as_float(b), a)));
}

tern_tensor *tern_addcmul(tern_tensor *x, tern_tensor *a, tern_tensor *b, double s) {
    if (!terni_given(b, "addcmul", "b") || !fits("addcmul", x, a, b)) return NULL;
    tern_tensor *y = tern_mul(a, b);
    return tern_add(x, s == 1 ? y : tern_mul_scalar(y, s));
}

tern_tensor *tern_addcdiv(tern_tensor *x, tern_tensor *a, tern_tensor *b, double s) {
    if (!terni_given(b, "addcdiv", "b") || !fits("addcdiv", x, a, b)) return NULL;
    tern_tensor *y = tern_div(a, b);
    return tern_add(x, s == 1 ? y : tern_mul_scalar(y, s));
}
