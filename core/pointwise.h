/* Elementwise ops, activations, and what changes a tensor in place. See ops.h for what holds for every op. */
#ifndef TERN_POINTWISE_H
#define TERN_POINTWISE_H

#include "tern/autograd.h"
#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- elementwise, one input: rows of core/elementwise.def ------------------------------------------------------ *
 * Float dtypes; f16 and bf16 compute in f32; integer and bool input becomes f32 first. neg, abs, square and relu keep
 * integers. */

TERN_API tern_tensor *tern_neg(tern_tensor *x);        /* -x */
TERN_API tern_tensor *tern_abs(tern_tensor *x);        /* |x|; gradient 0 at 0 */
TERN_API tern_tensor *tern_sign(tern_tensor *x);       /* -1, 0 or 1; gradient 0 */
TERN_API tern_tensor *tern_sqrt(tern_tensor *x);       /* square root; NaN below 0 */
TERN_API tern_tensor *tern_rsqrt(tern_tensor *x);      /* 1 / sqrt(x) */
TERN_API tern_tensor *tern_square(tern_tensor *x);     /* x^2 */
TERN_API tern_tensor *tern_reciprocal(tern_tensor *x); /* 1 / x */
TERN_API tern_tensor *tern_exp(tern_tensor *x);        /* e^x */
TERN_API tern_tensor *tern_expm1(tern_tensor *x);      /* e^x - 1, exact near 0 */
TERN_API tern_tensor *tern_log(tern_tensor *x);        /* natural logarithm */
TERN_API tern_tensor *tern_log1p(tern_tensor *x);      /* log(1 + x), exact near 0 */
TERN_API tern_tensor *tern_sin(tern_tensor *x);        /* x in radians */
TERN_API tern_tensor *tern_cos(tern_tensor *x);        /* x in radians */
TERN_API tern_tensor *tern_tanh(tern_tensor *x);       /* hyperbolic tangent */
TERN_API tern_tensor *tern_sigmoid(tern_tensor *x);    /* 1 / (1 + e^-x) */
TERN_API tern_tensor *tern_relu(tern_tensor *x);       /* max(x, 0); gradient 0 at 0; NaN stays NaN */
TERN_API tern_tensor *tern_gelu(tern_tensor *x);       /* x Phi(x), by erf. Source: arXiv 1606.08415 */
TERN_API tern_tensor *tern_gelu_tanh(tern_tensor *x);  /* its tanh approximation, same source */
TERN_API tern_tensor *tern_silu(tern_tensor *x);       /* x sigmoid(x) */
TERN_API tern_tensor *tern_softplus(tern_tensor *x);   /* log(1 + e^x) */
TERN_API tern_tensor *tern_erf(tern_tensor *x);        /* error function */
/* x above 0, slope x else (0.01 is usual). */
TERN_API tern_tensor *tern_leaky_relu(tern_tensor *x, double slope);

/* ---- elementwise, two inputs, broadcast as in NumPy ------------------------------------------------------------ *
 * The result has the promoted dtype; arithmetic on two bools gives i64. */

TERN_API tern_tensor *tern_add(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_sub(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_mul(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_div(tern_tensor *a, tern_tensor *b);     /* true division: integers become f32 */
TERN_API tern_tensor *tern_pow(tern_tensor *a, tern_tensor *b);     /* a^b; integers become f32 */
TERN_API tern_tensor *tern_maximum(tern_tensor *a, tern_tensor *b); /* NaN wins; equal values share the gradient */
TERN_API tern_tensor *tern_minimum(tern_tensor *a, tern_tensor *b); /* NaN wins; equal values share the gradient */
/* Comparisons: bool, no gradient. */
TERN_API tern_tensor *tern_eq(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_ne(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_lt(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_le(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_gt(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_ge(tern_tensor *a, tern_tensor *b);
/* With a number, which takes x's dtype (f32 if x is an integer and the number is not). */
TERN_API tern_tensor *tern_add_scalar(tern_tensor *x, double s);
TERN_API tern_tensor *tern_sub_scalar(tern_tensor *x, double s);  /* x - s */
TERN_API tern_tensor *tern_rsub_scalar(tern_tensor *x, double s); /* s - x */
TERN_API tern_tensor *tern_mul_scalar(tern_tensor *x, double s);
TERN_API tern_tensor *tern_div_scalar(tern_tensor *x, double s);  /* x / s */
TERN_API tern_tensor *tern_rdiv_scalar(tern_tensor *x, double s); /* s / x */
TERN_API tern_tensor *tern_pow_scalar(tern_tensor *x, double s);  /* x^s */
/* min(max(x, lo), hi); gradient where lo <= x <= hi. */
TERN_API tern_tensor *tern_clamp(tern_tensor *x, double lo, double hi);

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
