/* Elementwise ops, activations, and what changes a tensor in place. See ops.h for what holds for every op. */
#ifndef TERN_POINTWISE_H
#define TERN_POINTWISE_H

#include "tern/autograd.h"
#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- elementwise, one input: rows of core/elementwise.def ------------------------------------------------------ *
 * Float dtypes; f16 and bf16 compute in f32; integer and bool input becomes f32 first. neg, positive, abs, sign,
 * square, relu, relu6, threshold, hardtanh, clamp and the four roundings keep integers. Each has a form in place below.
 * NaN gives NaN, and -0 keeps its sign where the function is odd, as in NumPy. */

TERN_API tern_tensor *tern_neg(tern_tensor *x);        /* -x */
TERN_API tern_tensor *tern_positive(tern_tensor *x);   /* a copy of x */
TERN_API tern_tensor *tern_abs(tern_tensor *x);        /* |x|; gradient 0 at 0 */
TERN_API tern_tensor *tern_sign(tern_tensor *x);       /* -1, 0 or 1; gradient 0 */
TERN_API tern_tensor *tern_floor(tern_tensor *x);      /* down; gradient 0, as of ceil, round and trunc */
TERN_API tern_tensor *tern_ceil(tern_tensor *x);       /* up */
TERN_API tern_tensor *tern_round(tern_tensor *x);      /* to the nearest, halves to even */
TERN_API tern_tensor *tern_trunc(tern_tensor *x);      /* towards 0 */
TERN_API tern_tensor *tern_frac(tern_tensor *x);       /* x - trunc(x); gradient 1 */
TERN_API tern_tensor *tern_sqrt(tern_tensor *x);       /* square root; NaN below 0 */
TERN_API tern_tensor *tern_rsqrt(tern_tensor *x);      /* 1 / sqrt(x) */
TERN_API tern_tensor *tern_square(tern_tensor *x);     /* x^2 */
TERN_API tern_tensor *tern_reciprocal(tern_tensor *x); /* 1 / x */
TERN_API tern_tensor *tern_exp(tern_tensor *x);        /* e^x */
TERN_API tern_tensor *tern_exp2(tern_tensor *x);       /* 2^x */
TERN_API tern_tensor *tern_expm1(tern_tensor *x);      /* e^x - 1, exact near 0 */
TERN_API tern_tensor *tern_log(tern_tensor *x);        /* natural logarithm */
TERN_API tern_tensor *tern_log2(tern_tensor *x);
TERN_API tern_tensor *tern_log10(tern_tensor *x);
TERN_API tern_tensor *tern_log1p(tern_tensor *x); /* log(1 + x), exact near 0 */
TERN_API tern_tensor *tern_sin(tern_tensor *x);   /* x in radians, as for cos and tan */
TERN_API tern_tensor *tern_cos(tern_tensor *x);
TERN_API tern_tensor *tern_tan(tern_tensor *x);
TERN_API tern_tensor *tern_asin(tern_tensor *x); /* inverse sine; NaN outside [-1, 1] */
TERN_API tern_tensor *tern_acos(tern_tensor *x);
TERN_API tern_tensor *tern_atan(tern_tensor *x);
TERN_API tern_tensor *tern_sinh(tern_tensor *x); /* hyperbolic functions and their inverses */
TERN_API tern_tensor *tern_cosh(tern_tensor *x);
TERN_API tern_tensor *tern_tanh(tern_tensor *x);
TERN_API tern_tensor *tern_asinh(tern_tensor *x);
TERN_API tern_tensor *tern_acosh(tern_tensor *x);   /* NaN below 1 */
TERN_API tern_tensor *tern_atanh(tern_tensor *x);   /* NaN outside [-1, 1] */
TERN_API tern_tensor *tern_erf(tern_tensor *x);     /* error function */
TERN_API tern_tensor *tern_erfc(tern_tensor *x);    /* 1 - erf(x), with its digits in the tail */
TERN_API tern_tensor *tern_erfinv(tern_tensor *x);  /* its inverse. Source: Wichura, algorithm AS 241 */
TERN_API tern_tensor *tern_ndtr(tern_tensor *x);    /* the normal distribution function Phi(x) */
TERN_API tern_tensor *tern_lgamma(tern_tensor *x);  /* log |Gamma(x)| */
TERN_API tern_tensor *tern_digamma(tern_tensor *x); /* its derivative. Source: Abramowitz and Stegun 6.3 */
/* The n-th derivative of digamma; NaN unless n is a whole number from 0. Source: Abramowitz and Stegun 6.4, 23.2. */
TERN_API tern_tensor *tern_polygamma(tern_tensor *x, double n);

/* ---- activations: rows as well ------------------------------------------------------------------------------------
 */

TERN_API tern_tensor *tern_sigmoid(tern_tensor *x);     /* 1 / (1 + e^-x) */
TERN_API tern_tensor *tern_logsigmoid(tern_tensor *x);  /* log(sigmoid(x)) */
TERN_API tern_tensor *tern_relu(tern_tensor *x);        /* max(x, 0); gradient 0 at 0; NaN stays NaN */
TERN_API tern_tensor *tern_relu6(tern_tensor *x);       /* min(max(x, 0), 6) */
TERN_API tern_tensor *tern_gelu(tern_tensor *x);        /* x Phi(x), by erfc. Source: arXiv 1606.08415 */
TERN_API tern_tensor *tern_gelu_tanh(tern_tensor *x);   /* its tanh approximation, same source */
TERN_API tern_tensor *tern_silu(tern_tensor *x);        /* x sigmoid(x) */
TERN_API tern_tensor *tern_mish(tern_tensor *x);        /* x tanh(softplus(x)). Source: arXiv 1908.08681 */
TERN_API tern_tensor *tern_softplus(tern_tensor *x);    /* log(1 + e^x) */
TERN_API tern_tensor *tern_softsign(tern_tensor *x);    /* x / (1 + |x|) */
TERN_API tern_tensor *tern_selu(tern_tensor *x);        /* 1.0507 elu(x, 1.67326). Source: arXiv 1706.02515 */
TERN_API tern_tensor *tern_hardswish(tern_tensor *x);   /* x relu6(x + 3) / 6; slope 0 at -3, 1 at 3 */
TERN_API tern_tensor *tern_hardsigmoid(tern_tensor *x); /* relu6(x + 3) / 6 */
TERN_API tern_tensor *tern_tanhshrink(tern_tensor *x);  /* x - tanh(x) */
/* x above 0, slope x else (0.01 is usual). */
TERN_API tern_tensor *tern_leaky_relu(tern_tensor *x, double slope);
/* x above 0, alpha (e^x - 1) else (alpha 1 is usual). Source: arXiv 1511.07289. */
TERN_API tern_tensor *tern_elu(tern_tensor *x, double alpha);
/* x above 0, alpha (e^(x / alpha) - 1) else. Source: arXiv 1704.07483. */
TERN_API tern_tensor *tern_celu(tern_tensor *x, double alpha);
/* 0 where |x| <= lambda (0.5 is usual), else x. */
TERN_API tern_tensor *tern_hardshrink(tern_tensor *x, double lambda);
/* x, moved towards 0 by lambda; 0 where |x| <= lambda. */
TERN_API tern_tensor *tern_softshrink(tern_tensor *x, double lambda);
/* log(1 + e^(beta x)) / beta, and x itself where beta x > threshold (PyTorch: 1 and 20). */
TERN_API tern_tensor *tern_softplus_beta(tern_tensor *x, double beta, double threshold);
/* x above threshold, value else. */
TERN_API tern_tensor *tern_threshold(tern_tensor *x, double threshold, double value);
/* min(max(x, lo), hi); the gradient is 0 where x <= lo or x >= hi. */
TERN_API tern_tensor *tern_hardtanh(tern_tensor *x, double lo, double hi);
/* min(max(x, lo), hi); gradient where lo <= x <= hi. A bound may be infinite. An integer x stays one if both are whole.
 */
TERN_API tern_tensor *tern_clamp(tern_tensor *x, double lo, double hi);
/* x above 0, else weight x; weight [C] for dimension 1 of x (dimension 0 of a vector), or one element.
 * Errors: TERN_ERR_SHAPE. Grad: x, weight. Source: arXiv 1502.01852. */
TERN_API tern_tensor *tern_prelu(tern_tensor *x, tern_tensor *weight);
/* a sigmoid(b) of x's two halves a and b along dim. Errors: TERN_ERR_SHAPE for an odd size. Source: arXiv 1612.08083.
 */
TERN_API tern_tensor *tern_glu(tern_tensor *x, int dim);
/* Infinities and NaN by numbers; x's own dtype must hold them. Integers are left alone. Gradient 0 where x was
 * replaced. */
TERN_API tern_tensor *tern_nan_to_num(tern_tensor *x, double nan, double posinf, double neginf);

/* Tests of any dtype: bool, no gradient. Integers are finite. */
TERN_API tern_tensor *tern_logical_not(tern_tensor *x); /* x == 0 */
TERN_API tern_tensor *tern_isnan(tern_tensor *x);
TERN_API tern_tensor *tern_isinf(tern_tensor *x);
TERN_API tern_tensor *tern_isfinite(tern_tensor *x);
TERN_API tern_tensor *tern_signbit(tern_tensor *x); /* negative, -0 and NaN's sign too */

/* ---- elementwise, two inputs, broadcast as in NumPy ------------------------------------------------------------ *
 * The result has the promoted dtype; arithmetic on two bools gives i64. */

TERN_API tern_tensor *tern_add(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_sub(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_mul(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_div(tern_tensor *a, tern_tensor *b); /* true division: integers become f32 */
/* a^b. Integers stay, and wrap; to a negative power they give the whole part of the fraction, 0 for 0. */
TERN_API tern_tensor *tern_pow(tern_tensor *a, tern_tensor *b);
/* What division leaves: fmod with a's sign, remainder with b's, as floor_divide rounds down. Integers by 0 give 0. */
TERN_API tern_tensor *tern_fmod(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_remainder(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_floor_divide(tern_tensor *a, tern_tensor *b); /* floor(a / b); gradient 0 */
TERN_API tern_tensor *tern_atan2(tern_tensor *a, tern_tensor *b);        /* the angle of the point (b, a) */
TERN_API tern_tensor *tern_hypot(tern_tensor *a, tern_tensor *b);        /* sqrt(a^2 + b^2) */
TERN_API tern_tensor *tern_logaddexp(tern_tensor *a, tern_tensor *b);    /* log(e^a + e^b) */
TERN_API tern_tensor *tern_xlogy(tern_tensor *a, tern_tensor *b);        /* a log(b), 0 where a is 0 */
TERN_API tern_tensor *tern_copysign(tern_tensor *a, tern_tensor *b);     /* |a| with b's sign */
/* The number beside a towards b; f64 and f32. Errors: TERN_ERR_DTYPE for f16 and bf16. */
TERN_API tern_tensor *tern_nextafter(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_leaky_relu_tensor(tern_tensor *a, tern_tensor *b); /* a above 0, else a b */
TERN_API tern_tensor *tern_mul_sigmoid(tern_tensor *a, tern_tensor *b);       /* a sigmoid(b) */
TERN_API tern_tensor *tern_swiglu(tern_tensor *a, tern_tensor *b);            /* silu(a) b. Source: arXiv 2002.05202 */
TERN_API tern_tensor *tern_maximum(tern_tensor *a, tern_tensor *b); /* NaN wins; equal values share the gradient */
TERN_API tern_tensor *tern_minimum(tern_tensor *a, tern_tensor *b); /* NaN wins; equal values share the gradient */
/* Comparisons: bool, no gradient. */
TERN_API tern_tensor *tern_eq(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_ne(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_lt(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_le(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_gt(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_ge(tern_tensor *a, tern_tensor *b);
/* Truth (not 0) combined: bool, no gradient. */
TERN_API tern_tensor *tern_logical_and(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_logical_or(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_logical_xor(tern_tensor *a, tern_tensor *b);
/* Integers and bools; the shifts integers alone. Beyond the width, or by a negative number, a shift moves every bit
 * out: 0, or -1 for a negative number to the right. Errors: TERN_ERR_DTYPE for floats. */
TERN_API tern_tensor *tern_bitwise_and(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_bitwise_or(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_bitwise_xor(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_bitwise_not(tern_tensor *x);
TERN_API tern_tensor *tern_left_shift(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_right_shift(tern_tensor *a, tern_tensor *b);
/* With a number, which takes x's dtype (f32 if x is an integer and the number is not). */
TERN_API tern_tensor *tern_add_scalar(tern_tensor *x, double s);
TERN_API tern_tensor *tern_sub_scalar(tern_tensor *x, double s);  /* x - s */
TERN_API tern_tensor *tern_rsub_scalar(tern_tensor *x, double s); /* s - x */
TERN_API tern_tensor *tern_mul_scalar(tern_tensor *x, double s);
TERN_API tern_tensor *tern_div_scalar(tern_tensor *x, double s);  /* x / s */
TERN_API tern_tensor *tern_rdiv_scalar(tern_tensor *x, double s); /* s / x */
TERN_API tern_tensor *tern_pow_scalar(tern_tensor *x, double s);  /* x^s */

/* ---- elementwise, three inputs, broadcast ------------------------------------------------------------------------ *
 * Grad: every input. */

/* min(max(x, lo), hi); lo or hi may be NULL. Equal values share the gradient. */
TERN_API tern_tensor *tern_clamp_tensors(tern_tensor *x, tern_tensor *lo, tern_tensor *hi);
/* a + w (b - a), with a number or a tensor. Floats; integers become f32. */
TERN_API tern_tensor *tern_lerp_scalar(tern_tensor *a, tern_tensor *b, double w);
TERN_API tern_tensor *tern_lerp(tern_tensor *a, tern_tensor *b, tern_tensor *w);
TERN_API tern_tensor *tern_addcmul(tern_tensor *x, tern_tensor *a, tern_tensor *b, double s); /* x + s a b */
TERN_API tern_tensor *tern_addcdiv(tern_tensor *x, tern_tensor *a, tern_tensor *b, double s); /* x + s a / b */
/* cond ? a : b, all three broadcast; cond is bool. Grad: a, b. */
TERN_API tern_tensor *tern_where(tern_tensor *cond, tern_tensor *a, tern_tensor *b);

/* ---- in place ---------------------------------------------------------------------------------------------------- *
 * The target keeps its shape and dtype, its version goes up, and t is returned (no new reference). While recording is
 * on, a change of or by a tensor that requires gradients is recorded; the target then gets a storage of its own (ask
 * tern_data again). Refused with TERN_ERR_AUTOGRAD: a leaf that requires gradients, and a target that shares its
 * storage with another tensor (a view, or what it is a view of). */

TERN_API tern_tensor *tern_add_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_sub_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_mul_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_div_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_mul_scalar_(tern_tensor *t, double s);
/* As the ops of the same names. An integer target takes only what gives an integer: TERN_ERR_DTYPE. */
TERN_API tern_tensor *tern_pow_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_fmod_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_remainder_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_floor_divide_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_maximum_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_minimum_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_atan2_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_hypot_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_logaddexp_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_xlogy_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_copysign_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_nextafter_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_leaky_relu_tensor_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_mul_sigmoid_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_swiglu_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_bitwise_and_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_bitwise_or_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_bitwise_xor_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_left_shift_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_right_shift_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_add_scalar_(tern_tensor *t, double s);
TERN_API tern_tensor *tern_sub_scalar_(tern_tensor *t, double s);
TERN_API tern_tensor *tern_div_scalar_(tern_tensor *t, double s);
TERN_API tern_tensor *tern_pow_scalar_(tern_tensor *t, double s);
TERN_API tern_tensor *tern_neg_(tern_tensor *t);
TERN_API tern_tensor *tern_positive_(tern_tensor *t);
TERN_API tern_tensor *tern_abs_(tern_tensor *t);
TERN_API tern_tensor *tern_sign_(tern_tensor *t);
TERN_API tern_tensor *tern_floor_(tern_tensor *t);
TERN_API tern_tensor *tern_ceil_(tern_tensor *t);
TERN_API tern_tensor *tern_round_(tern_tensor *t);
TERN_API tern_tensor *tern_trunc_(tern_tensor *t);
TERN_API tern_tensor *tern_frac_(tern_tensor *t);
TERN_API tern_tensor *tern_sqrt_(tern_tensor *t);
TERN_API tern_tensor *tern_rsqrt_(tern_tensor *t);
TERN_API tern_tensor *tern_square_(tern_tensor *t);
TERN_API tern_tensor *tern_reciprocal_(tern_tensor *t);
TERN_API tern_tensor *tern_exp_(tern_tensor *t);
TERN_API tern_tensor *tern_exp2_(tern_tensor *t);
TERN_API tern_tensor *tern_expm1_(tern_tensor *t);
TERN_API tern_tensor *tern_log_(tern_tensor *t);
TERN_API tern_tensor *tern_log2_(tern_tensor *t);
TERN_API tern_tensor *tern_log10_(tern_tensor *t);
TERN_API tern_tensor *tern_log1p_(tern_tensor *t);
TERN_API tern_tensor *tern_sin_(tern_tensor *t);
TERN_API tern_tensor *tern_cos_(tern_tensor *t);
TERN_API tern_tensor *tern_tan_(tern_tensor *t);
TERN_API tern_tensor *tern_asin_(tern_tensor *t);
TERN_API tern_tensor *tern_acos_(tern_tensor *t);
TERN_API tern_tensor *tern_atan_(tern_tensor *t);
TERN_API tern_tensor *tern_sinh_(tern_tensor *t);
TERN_API tern_tensor *tern_cosh_(tern_tensor *t);
TERN_API tern_tensor *tern_tanh_(tern_tensor *t);
TERN_API tern_tensor *tern_asinh_(tern_tensor *t);
TERN_API tern_tensor *tern_acosh_(tern_tensor *t);
TERN_API tern_tensor *tern_atanh_(tern_tensor *t);
TERN_API tern_tensor *tern_erf_(tern_tensor *t);
TERN_API tern_tensor *tern_erfc_(tern_tensor *t);
TERN_API tern_tensor *tern_erfinv_(tern_tensor *t);
TERN_API tern_tensor *tern_ndtr_(tern_tensor *t);
TERN_API tern_tensor *tern_lgamma_(tern_tensor *t);
TERN_API tern_tensor *tern_digamma_(tern_tensor *t);
TERN_API tern_tensor *tern_sigmoid_(tern_tensor *t);
TERN_API tern_tensor *tern_logsigmoid_(tern_tensor *t);
TERN_API tern_tensor *tern_relu_(tern_tensor *t);
TERN_API tern_tensor *tern_relu6_(tern_tensor *t);
TERN_API tern_tensor *tern_gelu_(tern_tensor *t);
TERN_API tern_tensor *tern_gelu_tanh_(tern_tensor *t);
TERN_API tern_tensor *tern_silu_(tern_tensor *t);
TERN_API tern_tensor *tern_mish_(tern_tensor *t);
TERN_API tern_tensor *tern_softplus_(tern_tensor *t);
TERN_API tern_tensor *tern_softsign_(tern_tensor *t);
TERN_API tern_tensor *tern_selu_(tern_tensor *t);
TERN_API tern_tensor *tern_hardswish_(tern_tensor *t);
TERN_API tern_tensor *tern_hardsigmoid_(tern_tensor *t);
TERN_API tern_tensor *tern_tanhshrink_(tern_tensor *t);
TERN_API tern_tensor *tern_polygamma_(tern_tensor *t, double n);
TERN_API tern_tensor *tern_leaky_relu_(tern_tensor *t, double slope);
TERN_API tern_tensor *tern_elu_(tern_tensor *t, double alpha);
TERN_API tern_tensor *tern_celu_(tern_tensor *t, double alpha);
TERN_API tern_tensor *tern_hardshrink_(tern_tensor *t, double lambda);
TERN_API tern_tensor *tern_softshrink_(tern_tensor *t, double lambda);
TERN_API tern_tensor *tern_softplus_beta_(tern_tensor *t, double beta, double threshold);
TERN_API tern_tensor *tern_threshold_(tern_tensor *t, double threshold, double value);
TERN_API tern_tensor *tern_hardtanh_(tern_tensor *t, double lo, double hi);
TERN_API tern_tensor *tern_clamp_(tern_tensor *t, double lo, double hi);
/* As the ops of the same names; the logical ones leave 1 and 0 in t's dtype. */
TERN_API tern_tensor *tern_bitwise_not_(tern_tensor *t);
TERN_API tern_tensor *tern_logical_not_(tern_tensor *t);
TERN_API tern_tensor *tern_logical_and_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_logical_or_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_logical_xor_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_lerp_(tern_tensor *t, tern_tensor *b, tern_tensor *w);
TERN_API tern_tensor *tern_lerp_scalar_(tern_tensor *t, tern_tensor *b, double w);
TERN_API tern_tensor *tern_addcmul_(tern_tensor *t, tern_tensor *a, tern_tensor *b, double s);
TERN_API tern_tensor *tern_addcdiv_(tern_tensor *t, tern_tensor *a, tern_tensor *b, double s);
TERN_API tern_tensor *tern_clamp_tensors_(tern_tensor *t, tern_tensor *lo, tern_tensor *hi);
TERN_API tern_tensor *tern_nan_to_num_(tern_tensor *t, double nan, double posinf, double neginf);
/* t += s b. b is broadcast to t. */
TERN_API tern_tensor *tern_add_scaled_(tern_tensor *t, double s, tern_tensor *b);
/* Copies b, broadcast and cast to t, into t; devices may differ. */
TERN_API tern_tensor *tern_copy_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_fill_(tern_tensor *t, double value);
TERN_API tern_tensor *tern_zero_(tern_tensor *t);

#ifdef __cplusplus
}
#endif
#endif
