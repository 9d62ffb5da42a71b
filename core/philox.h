/* Philox4x32-10 and how its words become draws: one text for every backend, C and CUDA alike, so that a seed gives the
 * same bits everywhere. Private.
 *
 * Block `position` of a stream is philox(counter = {position low, position high, 0, 0}, key = {seed low, seed high}).
 *   f32, f16, bf16 uniform   element i takes word i % 4 of block position + i / 4:  u = (word >> 8) 2^-24
 *   f64 uniform              element i takes words 2 (i % 2), 2 (i % 2) + 1 of block position + i / 2: 53 bits
 *   dropout                  as f32 uniform, for every dtype: dropped if u < p
 *   normal                   Box-Muller on pairs. f32 and below: words (2k, 2k+1) of a block give elements 2k, 2k+1.
 *                            f64: one block gives two elements from two 53-bit uniforms.
 *   randint, randperm, multinomial: the words of an f64 uniform, the first one high.
 * So terni_philox_blocks(n, f64) blocks are used by n elements.
 *
 * The logarithm, sine and cosine of Box-Muller stand here, because those of libm differ between machines. They use
 * only fma, sqrt and operations that IEEE 754 rounds exactly, and no product is an operand of a sum, so no compiler
 * can contract one into an fma that another lacks: keep it so. The polynomials were fitted at Chebyshev nodes with 60
 * digits; the results are within 4 units in the last place. */
#ifndef TERNI_PHILOX_H
#define TERNI_PHILOX_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define TERNI_PHILOX_FN __host__ __device__ static inline
#else
#define TERNI_PHILOX_FN static inline
#endif

typedef struct terni_philox_block {
    uint32_t w[4];
} terni_philox_block;

TERNI_PHILOX_FN terni_philox_block terni_philox(const uint32_t counter[4], const uint32_t key[2]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        const uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const terni_philox_block b = {{c0, c1, c2, c3}};
    return b;
}

TERNI_PHILOX_FN terni_philox_block terni_philox_at(uint64_t seed, uint64_t position) {
    const uint32_t counter[4] = {(uint32_t)position, (uint32_t)(position >> 32), 0, 0};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    return terni_philox(counter, key);
}

/* Uniform in [0, 1). */
TERNI_PHILOX_FN float terni_u24(uint32_t w) { return (float)(w >> 8) * 0x1p-24f; }
TERNI_PHILOX_FN double terni_u53(uint32_t hi, uint32_t lo) {
    return (double)((((uint64_t)hi << 32) | lo) >> 11) * 0x1p-53;
}

/* Uniform in (0, 1). */
TERNI_PHILOX_FN double terni_open_f64(uint32_t hi, uint32_t lo) {
    return fma((double)((((uint64_t)hi << 32) | lo) >> 11), 0x1p-53, 0x1p-54);
}

/* An integer in [0, range): the high half of the 64 bits times range. Its bias is below range / 2^64. */
TERNI_PHILOX_FN uint64_t terni_below(uint32_t hi, uint32_t lo, uint64_t range) {
    const uint64_t r0 = range & 0xFFFFFFFFu, r1 = range >> 32;
    const uint64_t middle = hi * r0 + (lo * r0 >> 32), across = lo * r1 + (middle & 0xFFFFFFFFu);
    return hi * r1 + (middle >> 32) + (across >> 32);
}

TERNI_PHILOX_FN uint64_t terni_philox_blocks(int64_t n, bool f64) {
    return f64 ? ((uint64_t)n + 1) / 2 : ((uint64_t)n + 3) / 4;
}

/* ---- uniform in [lo, hi) ------------------------------------------------------------------------------------------
 * lo + u (hi - lo), cut to `top`, the largest value below hi of the dtype that is written. */

TERNI_PHILOX_FN float terni_uniform_f32(uint32_t w, float lo, float span, float top) {
    const float y = fmaf(terni_u24(w), span, lo);
    return y < top ? y : top;
}
TERNI_PHILOX_FN double terni_uniform_f64(uint32_t w0, uint32_t w1, double lo, double span, double top) {
    const double y = fma(terni_u53(w0, w1), span, lo);
    return y < top ? y : top;
}

/* ---- dropout ------------------------------------------------------------------------------------------------------
 * u < p for u = (w >> 8) 2^-24, as a comparison of integers: dropped if (w >> 8) < threshold. */

TERNI_PHILOX_FN uint32_t terni_dropout_threshold(double p) { return (uint32_t)ceil(p * 0x1p24); }

/* ---- normal -------------------------------------------------------------------------------------------------------
 */

typedef struct terni_pair_f32 {
    float a, b;
} terni_pair_f32;
typedef struct terni_pair_f64 {
    double a, b;
} terni_pair_f64;

/* log(u) for a normal u > 0: u = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)). */
TERNI_PHILOX_FN float terni_log_f32(float u) {
    uint32_t bits;
    memcpy(&bits, &u, sizeof bits);
    bits += 0x3F800000u - 0x3F3504F3u;
    const float k = (float)((int32_t)(bits >> 23) - 127);
    bits = (bits & 0x007FFFFFu) + 0x3F3504F3u;
    float m;
    memcpy(&m, &bits, sizeof m);
    const float f = m - 1.0f, f2 = f * f;
    float p = 0x1.1d8ea6p-4f;
    p = fmaf(p, f, -0x1.d635bcp-4f);
    p = fmaf(p, f, 0x1.dea282p-4f);
    p = fmaf(p, f, -0x1.fcf4c6p-4f);
    p = fmaf(p, f, 0x1.23d21ap-3f);
    p = fmaf(p, f, -0x1.555b4ap-3f);
    p = fmaf(p, f, 0x1.999d5ap-3f);
    p = fmaf(p, f, -0x1.fffffcp-3f);
    p = fmaf(p, f, 0x1.555554p-2f);
    p = fmaf(p, f, -0.5f);
    p = fmaf(p, f2, fmaf(k, 0x1.7f7d1cp-20f, f));
    return fmaf(k, 0x1.62e4p-1f, p);
}

/* r (cos, sin)(pi/2 (q + t)) for the quadrant q and t in [-1/2, 1/2]. */
TERNI_PHILOX_FN terni_pair_f32 terni_turn_f32(float r, uint32_t q, float t) {
    const float z = t * t;
    float s = 0x1.4cb762p-13f, c = 0x1.db6492p-11f;
    s = fmaf(s, z, -0x1.32ce1ep-8f);
    s = fmaf(s, z, 0x1.466bc2p-4f);
    s = fmaf(s, z, -0x1.4abbcep-1f);
    s = t * fmaf(s, z, 0x1.921fb6p+0f);
    c = fmaf(c, z, -0x1.55cb98p-6f);
    c = fmaf(c, z, 0x1.03c1eap-2f);
    c = fmaf(c, z, -0x1.3bd3ccp+0f);
    c = fmaf(c, z, 1.0f);
    const float rc = r * c, rs = r * s, x = q & 1u ? -rs : rc, y = q & 1u ? rc : rs;
    const terni_pair_f32 p = {q & 2u ? -x : x, q & 2u ? -y : y};
    return p;
}

/* Two standard normals from two words: the radius from the first, the angle, a whole turn in 32 bits, from the second.
 */
TERNI_PHILOX_FN terni_pair_f32 terni_normal_f32(uint32_t w0, uint32_t w1) {
    const float u = fmaf((float)w0, 0x1p-32f, 0x1p-33f);
    const uint32_t q = (w1 + 0x20000000u) >> 30;
    const float t = (float)(int32_t)(w1 - (q << 30)) * 0x1p-30f;
    return terni_turn_f32(sqrtf(-2.0f * terni_log_f32(u)), q, t);
}

/* log(1 + f) = 2 s + s^3 R(s^2) with s = f / (2 + f). */
TERNI_PHILOX_FN double terni_log_f64(double u) {
    uint64_t bits;
    memcpy(&bits, &u, sizeof bits);
    bits += 0x3FF0000000000000u - 0x3FE6A09E667F3BCDu;
    const double k = (double)((int32_t)(bits >> 52) - 1023);
    bits = (bits & 0x000FFFFFFFFFFFFFu) + 0x3FE6A09E667F3BCDu;
    double m;
    memcpy(&m, &bits, sizeof m);
    const double f = m - 1.0, s = f / (2.0 + f), z = s * s;
    double r = 0x1.0c039c49989c6p-3;
    r = fma(r, z, 0x1.0fbe95d71602p-3);
    r = fma(r, z, 0x1.3b1c355a8f7a2p-3);
    r = fma(r, z, 0x1.745cf9048dd95p-3);
    r = fma(r, z, 0x1.c71c720159177p-3);
    r = fma(r, z, 0x1.2492492476cccp-2);
    r = fma(r, z, 0x1.9999999999a38p-2);
    r = fma(r, z, 0x1.5555555555555p-1);
    r = fma(r, s * z, fma(k, 0x1.9ef35793c7673p-41, s + s));
    return fma(k, 0x1.62e42fefa2p-1, r);
}

TERNI_PHILOX_FN terni_pair_f64 terni_turn_f64(double r, uint64_t q, double t) {
    const double z = t * t;
    double s = -0x1.6cc577dadd922p-31, c = -0x1.b2f3eb054afcdp-28;
    s = fma(s, z, 0x1.e8f036bcd3237p-25);
    s = fma(s, z, -0x1.e3074d2614b2dp-19);
    s = fma(s, z, 0x1.50783486facaap-13);
    s = fma(s, z, -0x1.32d2cce62b872p-8);
    s = fma(s, z, 0x1.466bc6775aae1p-4);
    s = fma(s, z, -0x1.4abbce625be53p-1);
    s = t * fma(s, z, 0x1.921fb54442d18p+0);
    c = fma(c, z, 0x1.f9ce245cada0bp-22);
    c = fma(c, z, -0x1.a6d1eef479be1p-16);
    c = fma(c, z, 0x1.e1f5068688d5bp-11);
    c = fma(c, z, -0x1.55d3c7e3cb241p-6);
    c = fma(c, z, 0x1.03c1f081b5acp-2);
    c = fma(c, z, -0x1.3bd3cc9be45dep+0);
    c = fma(c, z, 1.0);
    const double rc = r * c, rs = r * s, x = q & 1u ? -rs : rc, y = q & 1u ? rc : rs;
    const terni_pair_f64 p = {q & 2u ? -x : x, q & 2u ? -y : y};
    return p;
}

/* Two standard normals from a block: 53 bits for the radius, 53 for the angle. */
TERNI_PHILOX_FN terni_pair_f64 terni_normal_f64(terni_philox_block b) {
    const uint64_t k0 = (((uint64_t)b.w[0] << 32) | b.w[1]) >> 11, k1 = (((uint64_t)b.w[2] << 32) | b.w[3]) >> 11;
    const double u = fma((double)k0, 0x1p-53, 0x1p-54);
    const uint64_t q = (k1 + 0x0004000000000000u) >> 51;
    const double t = (double)((int64_t)k1 - (int64_t)(q << 51)) * 0x1p-51;
    return terni_turn_f64(sqrt(-2.0 * terni_log_f64(u)), q, t);
}

#endif
