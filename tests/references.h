/* What the elementwise rows must give, in long double, by the row's name: `references`. Written here without the rows'
 * text. */
#ifndef TERN_TESTS_REFERENCES_H
#define TERN_TESTS_REFERENCES_H

#include "sweep.h"

typedef long double real;
#define REF1(name, expression) \
    static real ref_##name(real x) { return (expression); }
#define REF2(name, expression) \
    static real ref_##name(real a, real b) { return (expression); }
#define REF3(name, expression) \
    static real ref_##name(real x, real p, real q) { return (void)q, (void)p, (expression); }
static const real PI = 3.14159265358979323846264338327950288L;

REF1(neg, 0 - x)
REF1(positive, x)
REF1(sign, isnan(x) ? x : (x > 0) - (x < 0))
REF1(frac, isinf(x) ? (real)NAN : copysignl(modfl(x, &(real){0}), x))
REF1(rsqrt, 1 / sqrtl(x))
REF1(square, powl(x, 2))
REF1(reciprocal, powl(x, -1))
REF1(sigmoid, x >= 0 ? 1 / (1 + expl(-x)) : expl(x) / (1 + expl(x)))
REF1(softplus, isnan(x) ? x : fmaxl(x, 0) + log1pl(expl(-fabsl(x))))
REF1(logsigmoid, -ref_softplus(-x))
REF1(relu, isnan(x) ? x : fmaxl(x, 0))
REF1(relu6, isnan(x) ? x : fminl(fmaxl(x, 0), 6))
REF1(ndtr, erfcl(-x / sqrtl(2)) / 2)
REF1(gelu, 0.5L * x * erfcl(-x / sqrtl(2)))
REF1(gelu_tanh, x *ref_sigmoid(2 * sqrtl(2 / PI) * (x + 0.044715L * powl(x, 3))))
REF1(silu, isinf(x) && x < 0 ? (real)NAN : x * ref_sigmoid(x))
/* tanh(log(1 + e^x)) by sinh and cosh of the logarithm: (s - 1/s) / (s + 1/s), s = 1 + e^x */
REF1(mish, isinf(x) ? (x > 0 ? x : (real)NAN)
           : x > 40 ? x
                    : x * expm1l(2 * log1pl(expl(x))) / (expm1l(2 * log1pl(expl(x))) + 2))
REF1(softsign, x / (1 + fabsl(x)))
REF1(selu, 1.0507009873554804934193349852946L * (x > 0 ? x : 1.6732632423543772848170429916717L * expm1l(x)))
REF1(hardsigmoid, isnan(x) ? x : fminl(fmaxl(x / 6 + 0.5L, 0), 1))
REF1(hardswish, isinf(x) ? fmaxl(x, 0) : x *ref_hardsigmoid(x))
/* (x cosh(x) - sinh(x)) / cosh(x), the numerator by its series of positive terms where the difference cancels */
static real ref_tanhshrink(real x) {
    if (!(fabsl(x) < 1)) return x - tanhl(x);
    real term = x, sum = 0;
    for (int k = 1; k < 14; k++) {
        term *= x * x / (2 * k * (2 * k + 1));
        sum += 2 * k * term;
    }
    return sum / coshl(x);
}
/* Newton's steps on the smaller of erf(x) - y and erfc(x) - (1 - y). */
static real ref_erfinv(real y) {
    const real v = fabsl(y);
    if (!(v < 1)) return v > 1 || isnan(y) ? (real)NAN : y * (real)INFINITY;
    real x = v < 0.9L ? v : sqrtl(-logl(1 - v));
    for (int i = 0; i < 60; i++) {
        const real off = v < 0.5L ? erfl(x) - v : (1 - v) - erfcl(x), step = off * sqrtl(PI) / 2 * expl(x * x);
        x -= fmaxl(-0.5L, fminl(0.5L, step));
        if (fabsl(step) <= 1e-19L * x) break;
    }
    return copysignl(x, y);
}
static real ref_lgamma(real x) {
    int sign;
    return lgammal_r(x, &sign);
}
/* psi and its derivatives by the recurrence to 40 and beyond, then the asymptotic series; below 0 by reflection for
 * psi, by the recurrence for the others (PyTorch and SciPy agree where they are defined). */
static real ref_digamma(real x) {
    if (x == 0) return -1 / x;
    if (isinf(x)) return x > 0 ? x : (real)NAN;
    if (x < 0) return x == floorl(x) ? (real)NAN : ref_digamma(1 - x) - PI / tanl(PI * (x - roundl(x)));
    real sum = 0;
    while (x < 40) sum -= 1 / x++;
    const real s = 1 / (x * x);
    return sum + logl(x) - 1 / (2 * x) - s / 12 + s * s / 120 - s * s * s / 252 + s * s * s * s / 240 -
           powl(s, 5) / 132;
}
/* The rows' test is of n = 2. */
static real ref_polygamma(real x, real p, real q) {
    (void)p, (void)q;
    if (isinf(x)) return x > 0 ? -0.0L : (real)NAN;
    if (x <= 0 && x == floorl(x)) return x == 0 ? -(real)INFINITY : (real)NAN;
    if (x < -30) { /* psi''(1 - x) - psi''(x) = 2 pi^3 cot(pi x) / sin^2(pi x) */
        const real r = x - roundl(x), sine = sinl(PI * r), cosine = sinl(PI * (0.5L - fabsl(r)));
        return ref_polygamma(1 - x, 2, 0) - 2 * PI * PI * PI * cosine / (sine * sine * sine);
    }
    real sum = 0;
    for (; x < 40; x++) sum -= 2 / (x * x * x);
    const real s = 1 / (x * x);
    return sum - s - s / x - s * s / 2 + s * s * s / 6 - s * s * s * s / 6 + powl(s, 5) * 3 / 10;
}

REF3(leaky_relu, x > 0 ? x : p * x)
REF3(elu, x > 0 ? x : p * expm1l(x))
REF3(celu, x > 0 ? x : p * expm1l(x / p))
REF3(hardshrink, fabsl(x) <= p ? 0 : x)
REF3(softshrink, isnan(x) ? x : copysignl(fmaxl(fabsl(x) - p, 0), x))
REF3(softplus_beta, p *x > q ? x : ref_softplus(p * x) / p)
REF3(threshold, x <= p ? q : x)
REF3(hardtanh, isnan(x) ? x : fminl(fmaxl(x, p), q))

REF2(add, a + b)
REF2(sub, a - b)
REF2(mul, a *b)
REF2(div, a / b)
REF2(maximum, isnan(a) || isnan(b) ? (real)NAN : fmaxl(a, b))
REF2(minimum, isnan(a) || isnan(b) ? (real)NAN : fminl(a, b))
/* As Python's: what is left has the divisor's sign. */
REF2(remainder, isinf(b) && isfinite(a) ? (a == 0               ? copysignl(0, b)
                                           : (a < 0) == (b < 0) ? a
                                                                : b)
                : fmodl(a, b) == 0      ? copysignl(0, b)
                : (a < 0) != (b < 0)    ? fmodl(a, b) + b
                                        : fmodl(a, b))
REF2(floor_divide, b == 0                 ? a / b
                   : isinf(a) || isnan(a) ? (real)NAN
                   : isinf(b)             ? (a == 0 || (a < 0) == (b < 0) ? a / b : -1)
                                          : (a - ref_remainder(a, b)) / b)
REF2(logaddexp, a == b ? a + logl(2)
                       : fmaxl(a, b) + log1pl(expl(-fabsl(a - b))) +
                             0 * (a + b == a + b         ? 0
                                  : isnan(a) || isnan(b) ? (real)NAN
                                                         : 0))
REF2(xlogy, isnan(b) ? b : a == 0 ? 0 : a * logl(b))
REF2(leaky_relu_tensor, a > 0 ? a : a * b)
REF2(mul_sigmoid, a *ref_sigmoid(b))
REF2(swiglu, ref_silu(a) * b)
REF2(eq, !(a < b || a > b) && !isnan(a) && !isnan(b))
REF2(ne, ref_eq(a, b) == 0)
REF2(lt, isless(a, b))
REF2(le, islessequal(a, b))
REF2(gt, isgreater(a, b))
REF2(ge, isgreaterequal(a, b))
REF2(logical_and, ref_ne(a, 0) * ref_ne(b, 0))
REF2(logical_or, fmaxl(ref_ne(a, 0), ref_ne(b, 0)))
REF2(logical_xor, ref_ne(a, 0) != ref_ne(b, 0))
REF1(logical_not, fpclassify(x) == FP_ZERO)
REF1(isnan, fpclassify(x) == FP_NAN)
REF1(isinf, fpclassify(x) == FP_INFINITE)
REF1(isfinite, fpclassify(x) != FP_INFINITE && fpclassify(x) != FP_NAN)
REF1(signbit, signbit(x) != 0)

#define LIBM1(name) \
    { #name, .one = name##l }
#define OWN1(name) \
    { #name, .one = ref_##name }
#define LIBM2(name) \
    { #name, .two = name##l }
#define OWN2(name) \
    { #name, .two = ref_##name }
#define OWN3(name) \
    { #name, .with = ref_##name }
typedef struct function {
    const char *name;
    real (*one)(real);
    real (*two)(real, real);
    real (*with)(real, real, real);
} function;
static const function references[] = {
    OWN1(neg),
    OWN1(positive),
    OWN1(sign),
    OWN1(frac),
    OWN1(rsqrt),
    OWN1(square),
    OWN1(reciprocal),
    OWN1(sigmoid),
    OWN1(softplus),
    OWN1(logsigmoid),
    OWN1(relu),
    OWN1(relu6),
    OWN1(ndtr),
    OWN1(gelu),
    OWN1(gelu_tanh),
    OWN1(silu),
    OWN1(mish),
    OWN1(softsign),
    OWN1(selu),
    OWN1(hardsigmoid),
    OWN1(hardswish),
    OWN1(tanhshrink),
    OWN1(erfinv),
    OWN1(lgamma),
    OWN1(digamma),
    OWN1(logical_not),
    OWN1(isnan),
    OWN1(isinf),
    OWN1(isfinite),
    OWN1(signbit),
    {"abs", .one = fabsl},
    {"round", .one = nearbyintl},
    LIBM1(floor),
    LIBM1(ceil),
    LIBM1(trunc),
    LIBM1(sqrt),
    LIBM1(exp),
    LIBM1(exp2),
    LIBM1(expm1),
    LIBM1(log),
    LIBM1(log2),
    LIBM1(log10),
    LIBM1(log1p),
    LIBM1(sin),
    LIBM1(cos),
    LIBM1(tan),
    LIBM1(asin),
    LIBM1(acos),
    LIBM1(atan),
    LIBM1(sinh),
    LIBM1(cosh),
    LIBM1(tanh),
    LIBM1(asinh),
    LIBM1(acosh),
    LIBM1(atanh),
    LIBM1(erf),
    LIBM1(erfc),
    OWN3(polygamma),
    OWN3(leaky_relu),
    OWN3(elu),
    OWN3(celu),
    OWN3(hardshrink),
    OWN3(softshrink),
    OWN3(softplus_beta),
    OWN3(threshold),
    OWN3(hardtanh),
    {"clamp", .with = ref_hardtanh},
    OWN2(add),
    OWN2(sub),
    OWN2(mul),
    OWN2(div),
    OWN2(maximum),
    OWN2(minimum),
    OWN2(remainder),
    OWN2(floor_divide),
    OWN2(logaddexp),
    OWN2(xlogy),
    OWN2(leaky_relu_tensor),
    OWN2(mul_sigmoid),
    OWN2(swiglu),
    OWN2(eq),
    OWN2(ne),
    OWN2(lt),
    OWN2(le),
    OWN2(gt),
    OWN2(ge),
    OWN2(logical_and),
    OWN2(logical_or),
    OWN2(logical_xor),
    LIBM2(pow),
    LIBM2(fmod),
    LIBM2(atan2),
    LIBM2(hypot),
    LIBM2(copysign),
    LIBM2(nextafter),
};

#endif
