/* Special functions in double that math.h lacks, or has only with a global beside them: one text for every backend, C
 * and CUDA alike. f32 and below compute with these too and round once,
 * but where a function of float stands beside. Private.
 *
 * Sources: Abramowitz and Stegun 6.3, 6.4 and 23.2 (recurrence, reflection and asymptotic series of the polygamma
 * functions, Euler-Maclaurin for the Hurwitz zeta function); Wichura, Applied Statistics 37 (1988), algorithm AS 241
 * (the inverse of the normal distribution function). */
#ifndef TERNI_SPECIAL_H
#define TERNI_SPECIAL_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define TERNI_SPECIAL_FN \
    __host__ __device__ __noinline__ __attribute__((unused)) static /* long: calls cost less than copies */
#else
#define TERNI_SPECIAL_FN static inline
#endif

#define TERNI_PI 3.14159265358979323846

/* log |Gamma(x)| without the global sign that lgamma sets. */
TERNI_SPECIAL_FN double terni_lgamma(double x) {
#ifdef __CUDACC__
    return (lgamma)(x);
#else
    int sign;
    return lgamma_r(x, &sign);
#endif
}

/* The logarithmic derivative of Gamma. -inf at 0 (inf at -0), NaN at the other poles. */
TERNI_SPECIAL_FN double terni_digamma(double x) {
    double y = 0;
    if (x == 0) return 1 / -x;
    if (x < 0) {
        const double r = x - rint(x);
        if (!(fabs(r) > 0)) return (double)NAN; /* a pole, or -inf */
        y = -TERNI_PI / (tan)(TERNI_PI * r);
        x = 1 - x;
    }
    for (; x < 10; x += 1) y -= 1 / x;
    const double s = 1 / (x * x);
    const double tail =
        s * (1.0 / 12 -
             s * (1.0 / 120 - s * (1.0 / 252 - s * (1.0 / 240 - s * (1.0 / 132 - s * (691.0 / 32760 - s / 12))))));
    return y + ((log)(x)-0.5 / x - tail);
}

/* sum over k >= 0 of (q + k)^-s, for s >= 2 and q > 0. */
TERNI_SPECIAL_FN double terni_zeta(double s, double q) {
    double sum = 0, a = q;
    for (; a < 10 + s / 2; a += 1) {
        const double term = (pow)(a, -s);
        sum += term;
        if (!(term > sum * 1e-18)) return sum; /* for a large s few terms are all */
    }
    if (!(a < 1e300)) return sum; /* infinity, NaN */
    const double power = (pow)(a, -s), r = 1 / (a * a);
    /* B(2j) / (2j)! */
    const double c[] = {1.0 / 12,
                        -1.0 / 720,
                        1.0 / 30240,
                        -1.0 / 1209600,
                        1.0 / 47900160,
                        -691.0 / 1307674368000.0,
                        1.0 / 74724249600.0,
                        -3617.0 / 10670622842880000.0};
    double part = s * power / a, tail = 0;
    for (int j = 0; j < 8; j++) {
        tail += c[j] * part;
        part *= (s + 2 * j + 1) * (s + 2 * j + 2) * r;
    }
    return sum + (a * power / (s - 1) + 0.5 * power + tail);
}

/* The n-th derivative of digamma. n is a whole number from 0; else NaN. */
TERNI_SPECIAL_FN double terni_polygamma(double x, double n) {
    if (n == 0) return terni_digamma(x);
    if (!(n >= 1) || n != floor(n) || x != x) return (double)NAN;
    const double s = n + 1, even = fmod(s, 2.0) == 0 ? 1 : -1, scale = even * (tgamma)(s); /* (-1)^(n+1) n! */
    if (x > 0) return scale * terni_zeta(s, x);
    const double r = x - rint(x);
    if (!(fabs(r) > 0)) return even > 0 || x == 0 ? scale / fabs(r) : (double)NAN; /* a pole, or -inf */
    /* The sum over all whole numbers, which has period 1, less what lies beyond x. */
    const double all = terni_zeta(s, r > 0 ? r : 1 + r) + even * terni_zeta(s, r > 0 ? 1 - r : -r);
    return scale * (all - even * terni_zeta(s, 1 - x));
}

#define TERNI_POLY7(r, a, b, c, d, e, f, g, h) \
    (((((((((a) * (r) + (b)) * (r) + (c)) * (r) + (d)) * (r) + (e)) * (r) + (f)) * (r) + (g)) * (r)) + (h))

/* x with erf(x) = y; NaN outside [-1, 1]. */
TERNI_SPECIAL_FN double terni_erfinv(double y) {
    const double q = 0.5 * y, mid = 0.180625 - q * q;
    const double inner = q *
                         TERNI_POLY7(mid, 2.5090809287301226727e+3, 3.3430575583588128105e+4, 6.7265770927008700853e+4,
                                     4.5921953931549871457e+4, 1.3731693765509461125e+4, 1.9715909503065514427e+3,
                                     1.3314166789178437745e+2, 3.3871328727963666080e+0) /
                         TERNI_POLY7(mid, 5.2264952788528545610e+3, 2.8729085735721942674e+4, 3.9307895800092710610e+4,
                                     2.1213794301586595867e+4, 5.3941960214247511077e+3, 6.8718700749205790830e+2,
                                     4.2313330701600911252e+1, 1.0);
    const double p = 0.5 - 0.5 * fabs(y), r = sqrt(-(log)(p)), n = r - 1.6, f = r - 5.0;
    const double near = TERNI_POLY7(n, 7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
                                    1.27045825245236838258e+0, 3.64784832476320460504e+0, 5.76949722146069140550e+0,
                                    4.63033784615654529590e+0, 1.42343711074968357734e+0) /
                        TERNI_POLY7(n, 1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
                                    1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e+0,
                                    2.05319162663775882187e+0, 1.0);
    const double far = TERNI_POLY7(f, 2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
                                   2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e+0,
                                   5.46378491116411436990e+0, 6.65790464350110377720e+0) /
                       TERNI_POLY7(f, 2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
                                   7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1,
                                   5.99832206555887937690e-1, 1.0);
    const double outer = p == 0 ? (double)INFINITY : r <= 5 ? near : far;
    const double x = fabs(q) <= 0.425 ? inner : y < 0 ? -outer : outer;
    return x * 0.70710678118654752440;
}

/* The normal distribution function. */
TERNI_SPECIAL_FN double terni_ndtr(double x) { return 0.5 * (erfc)(x * -0.70710678118654752440); }

/* e^r - 1 for |r| <= ln 2 / 2. */
TERNI_SPECIAL_FN float terni_expm1_near_f32(float r) {
    float p = 0x1.6d113cp-10f;
    p = p * r + 0x1.120ba2p-7f;
    p = p * r + 0x1.55551ap-5f;
    p = p * r + 0x1.5554dcp-3f;
    p = p * r + 0x1p-1f;
    return p * (r * r) + r;
}

/* m e^(-t^2 / 2) for t from 0 to 15, rounded once where it is subnormal: t^2 in two parts, the first of them exact. No
 * branches, no calls; NaN stays. */
TERNI_SPECIAL_FN float terni_bell_f32(float m, float t) {
    uint32_t bits;
    float high, scale;
    memcpy(&bits, &t, sizeof bits);
    bits &= 0xFFFFF000u;
    memcpy(&high, &bits, sizeof high);
    const float v = high * high * -0.5f, low = (t - high) * (t + high) * -0.5f;
    const float shifted = v * 0x1.715476p+0f + (0x1.8p23f + 127 + 64); /* rounds; ends in an exponent */
    const float n = shifted - (0x1.8p23f + 127 + 64);
    const float r = v - n * 0x1.62e4p-1f + (low - n * 0x1.7f7d1cp-20f);
    const float p = terni_expm1_near_f32(r);
    memcpy(&bits, &shifted, sizeof bits);
    bits <<= 23;
    memcpy(&scale, &bits, sizeof scale);
    return (m + m * p) * scale * 0x1p-64f;
}

/* a where mask's bits are 1, b where they are 0: a choice that no compiler makes a branch or two results of. */
TERNI_SPECIAL_FN float terni_pick_f32(uint32_t mask, float a, float b) {
    uint32_t x, y;
    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    y ^= (x ^ y) & mask;
    memcpy(&b, &y, sizeof b);
    return b;
}

/* Phi(-t) e^(t^2 / 2) = 0.5 erfcx(t / sqrt(2)) for t from 0 to 15, times t (times) or as it is: a polynomial in t - 1
 * below 1.8; beyond, one in 1 / t, of what t times it is. Each is within 2.7e-8. */
TERNI_SPECIAL_FN float terni_mills_f32(float t, bool times) {
    uint32_t near;
    memcpy(&near, &t, sizeof near);
    near = near < 0x3FE66666u ? ~0u : 0; /* the bits of 1.8 */
    const float u = 1 / t, z = terni_pick_f32(near, t - 1, u);
    float m = terni_pick_f32(near, -0x1.27f6aep-15f, 0x1.69159p+0f);
    m = m * z + terni_pick_f32(near, 0x1.a2fd7p-14f, -0x1.74de78p+1f);
    m = m * z + terni_pick_f32(near, -0x1.33fa5p-12f, 0x1.a2a36p-1f);
    m = m * z + terni_pick_f32(near, 0x1.0831cep-10f, 0x1.92cdfp+1f);
    m = m * z + terni_pick_f32(near, -0x1.9fc83ep-9f, -0x1.0d8dc4p+2f);
    m = m * z + terni_pick_f32(near, 0x1.2f56ep-7f, 0x1.16b844p+1f);
    m = m * z + terni_pick_f32(near, -0x1.9afc74p-6f, -0x1.1615dp-3f);
    m = m * z + terni_pick_f32(near, 0x1.fcc7d4p-5f, -0x1.8d076ap-2f);
    m = m * z + terni_pick_f32(near, -0x1.19525p-3f, -0x1.0a189ep-11f);
    m = m * z + terni_pick_f32(near, 0x1.0bdb2ep-2f, 0x1.9886d8p-2f);
    return m * (times ? terni_pick_f32(near, t, 1) : terni_pick_f32(near, 1, u));
}

/* |x|, but 15 where it is larger: there the normal distribution's tail is 0 in f32. NaN stays. */
TERNI_SPECIAL_FN float terni_tail_f32(float x) {
    const float t = fabsf(x);
    return t > 15 ? 15 : t;
}

/* The normal distribution function; x times it; the latter's slope. From the tail below -|x|, so that they stay near in
 * units of the result. */
TERNI_SPECIAL_FN float terni_ndtr_f32(float x) {
    const float t = terni_tail_f32(x), tail = terni_bell_f32(terni_mills_f32(t, false), t);
    return x < 0 ? tail : 1 - tail;
}
TERNI_SPECIAL_FN float terni_gelu_f32(float x) {
    const float t = terni_tail_f32(x), tail = terni_bell_f32(terni_mills_f32(t, true), t);
    return (x < 0 ? 0 : 1) * x - tail; /* NaN at -inf */
}
TERNI_SPECIAL_FN float terni_gelu_slope_f32(float x) {
    const float t = terni_tail_f32(x), tail = terni_bell_f32(terni_mills_f32(t, false) - 0.3989422804f * t, t);
    return x < 0 ? tail : 1 - tail;
}

/* x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3): the same as 0.5 x (1 + tanh(u)). */
TERNI_SPECIAL_FN double terni_gelu_tanh(double x) {
    return x / (1 + (exp)(-1.59576912160573071176 * (x + 0.044715 * x * x * x)));
}

/* log(e^a + e^b). */
TERNI_SPECIAL_FN double terni_logaddexp(double a, double b) {
    const double d = a == b ? 0 : fabs(a - b);
    return (a > b ? a : b) + (log1p)((exp)(-d));
}

/* x - tanh(x): by its series near 0, where the difference cancels. */
TERNI_SPECIAL_FN double terni_tanhshrink(double x) {
    const double s = x * x;
    const double series = x * s *
                          TERNI_POLY7(s, 0.0, 929569.0 / 638512875, -21844.0 / 6081075, 1382.0 / 155925, -62.0 / 2835,
                                      17.0 / 315, -2.0 / 15, 1.0 / 3);
    const double plain = x - (tanh)(x);
    return s < 0.01 ? series : plain;
}

#endif
