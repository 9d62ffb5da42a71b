/* Functions that loops over them vectorise: no branches, no calls. */
#ifndef TERNI_VMATH_H
#define TERNI_VMATH_H

#include <stdint.h>
#include <string.h>

/* e^x within 1.1 units in the last place, subnormal results included; exact at 0, infinities and NaN.
 * x = n ln 2 + r with |r| <= ln 2 / 2; 2^n in two factors, so that neither over- nor underflows early. */
static inline float terni_exp_f32(float x) {
    const float c = x < -110.0f ? -110.0f : (x > 100.0f ? 100.0f : x); /* NaN stays */
    const float shifted = c * 0x1.715476p+0f + 0x1.8p23f;              /* rounds to the nearest integer */
    const float n = shifted - 0x1.8p23f;
    float r = c - n * 0x1.62e4p-1f;
    r -= n * 0x1.7f7d1cp-20f;
    float p = 0x1.6d113cp-10f;
    p = p * r + 0x1.120ba2p-7f;
    p = p * r + 0x1.55551ap-5f;
    p = p * r + 0x1.5554dcp-3f;
    p = p * r + 0x1p-1f;
    p = p * (r * r) + r;
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
    float p = 0x1.6d113cp-10f;
    p = p * r + 0x1.120ba2p-7f;
    p = p * r + 0x1.55551ap-5f;
    p = p * r + 0x1.5554dcp-3f;
    p = p * r + 0x1p-1f;
    p = p * (r * r) + r;
    uint32_t bits;
    float scale;
    memcpy(&bits, &shifted, sizeof bits);
    bits <<= 23;
    memcpy(&scale, &bits, sizeof scale);
    return (p + 1.0f) * scale;
}

#endif
