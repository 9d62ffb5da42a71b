/* Functions that loops over them vectorise: no branches, no calls. */
#ifndef TERNI_VMATH_H
#define TERNI_VMATH_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "simd.h"
#include "special.h"

/* e^x within 1.1 units in the last place, subnormal results included; exact at 0, infinities and NaN.
 * x = n ln 2 + r with |r| <= ln 2 / 2; 2^n in two factors, so that neither over- nor underflows early. */
static inline float terni_exp_f32(float x) {
    const float c = x < -110.0f ? -110.0f : (x > 100.0f ? 100.0f : x); /* NaN stays */
    const float shifted = c * 0x1.715476p+0f + 0x1.8p23f;              /* rounds to the nearest integer */
    const float n = shifted - 0x1.8p23f;
    float r = c - n * 0x1.62e4p-1f;
    r -= n * 0x1.7f7d1cp-20f;
    const float p = terni_expm1_near_f32(r);
    int32_t k;
    memcpy(&k, &shifted, sizeof k);
    k -= 0x4B400000;
    k = k < -160 ? -160 : (k > 160 ? 160 : k); /* what a NaN left there */
    const int32_t half = k >> 1, b1 = (half + 127) << 23, b2 = (k - half + 127) << 23;
    float s1, s2;
    memcpy(&s1, &b1, sizeof s1);
    memcpy(&s2, &b2, sizeof s2);
    return (p * s1 + s1) * s2;
}

/* e^x within 1.1 units where it is normal and x at most 88; e^-87 below that, and infinity above 88.4 or so. */
static inline float terni_exp_normal_f32(float x) {
    const float c = x < -87.0f ? -87.0f : (x > 89.0f ? 89.0f : x);   /* NaN stays */
    const float shifted = c * 0x1.715476p+0f + (0x1.8p23f + 127.0f); /* rounds; ends in an exponent */
    const float n = shifted - (0x1.8p23f + 127.0f);
    float r = c - n * 0x1.62e4p-1f;
    r -= n * 0x1.7f7d1cp-20f;
    const float p = terni_expm1_near_f32(r);
    uint32_t bits;
    float scale;
    memcpy(&bits, &shifted, sizeof bits);
    bits <<= 23;
    memcpy(&scale, &bits, sizeof scale);
    return (p + 1.0f) * scale;
}

/* Lane by lane a > b ? a : b. */
static inline terni_vf terni_greater_f32(terni_vf a, terni_vf b) {
#if TERNI_VEC_BYTES == 64
    return (terni_vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif TERNI_VEC_BYTES == 32
    return (terni_vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (terni_vf)_mm_max_ps((__m128)a, (__m128)b);
#else
    for (int l = 0; l < TERNI_LANES_F32; l++) a[l] = a[l] > b[l] ? a[l] : b[l];
    return a;
#endif
}
static inline terni_vd terni_greater_f64(terni_vd a, terni_vd b) {
#if TERNI_VEC_BYTES == 64
    return (terni_vd)_mm512_max_pd((__m512d)a, (__m512d)b);
#elif TERNI_VEC_BYTES == 32
    return (terni_vd)_mm256_max_pd((__m256d)a, (__m256d)b);
#elif defined(__SSE2__)
    return (terni_vd)_mm_max_pd((__m128d)a, (__m128d)b);
#else
    for (int l = 0; l < TERNI_LANES_F64; l++) a[l] = a[l] > b[l] ? a[l] : b[l];
    return a;
#endif
}

/* The greatest lane. */
static inline float terni_top_f32(terni_vf v) {
#if TERNI_VEC_BYTES == 64
    return _mm512_reduce_max_ps((__m512)v);
#else
    for (int w = TERNI_LANES_F32 / 2; w > 0; w /= 2)
        for (int l = 0; l < w; l++) v[l] = v[l + w] > v[l] ? v[l + w] : v[l];
    return v[0];
#endif
}
static inline double terni_top_f64(terni_vd v) {
    for (int w = TERNI_LANES_F64 / 2; w > 0; w /= 2)
        for (int l = 0; l < w; l++) v[l] = v[l + w] > v[l] ? v[l + w] : v[l];
    return v[0];
}

/* e^x times 2^24, which keeps what is subnormal apart, for x <= 0: a row's exponentials are divided by their sum.
 * Within 1.1 units; 0 from -104 on; NaN stays. As a term (of a sum in which 1 stands too) small ones are less near:
 * |x| 6e-8 of themselves. */
#define TERNI_DOWN_F32 0x1p24f
TERNI_ALWAYS_INLINE terni_vf terni_exp_down_f32(terni_vf x, bool term) {
    typedef uint32_t bits __attribute__((vector_size(TERNI_VEC_BYTES)));
    const terni_vf c = terni_greater_f32(-104.0f - (terni_vf){0}, x);
    const terni_vf shifted = c * 0x1.715476p+0f + (0x1.8p23f + 127.0f + 24.0f); /* rounds; ends in an exponent */
    const terni_vf n = shifted - (0x1.8p23f + 127.0f + 24.0f);
    terni_vf r = c - n * (term ? 0x1.62e43p-1f : 0x1.62e4p-1f);
    if (!term) r -= n * 0x1.7f7d1cp-20f;
    terni_vf p = 0x1.6d113cp-10f * r + 0x1.120ba2p-7f;
    p = p * r + 0x1.55551ap-5f;
    p = p * r + 0x1.5554dcp-3f;
    p = p * r + 0x1p-1f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return p * (terni_vf)((bits)shifted << 23);
}
#define TERNI_DOWN_F64 1.0
static inline terni_vd terni_exp_down_f64(terni_vd x, bool term) {
    (void)term;
    for (int l = 0; l < TERNI_LANES_F64; l++) x[l] = exp(x[l]);
    return x;
}

#endif
