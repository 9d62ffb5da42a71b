/* f16 and bf16 as 16 bits, to and from wider floats, rounding once to nearest even. Private; plain C, so that every
 * part of the library and every compiler agrees. */
#ifndef TERNI_HALF_H
#define TERNI_HALF_H

#include <stdint.h>
#include <string.h>

static inline float terni_bf16_to(uint16_t h) {
    const uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline float terni_f16_to(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t u = (uint32_t)(h & 0x7fffu) << 13;
    float f;
    if (u >= 0x0f800000u) { /* infinity, NaN */
        u |= 0x7f800000u;
        memcpy(&f, &u, sizeof f);
    } else { /* the exponent is rebiased by a product, which is exact and puts subnormals right */
        memcpy(&f, &u, sizeof f);
        f *= 0x1p112f;
        memcpy(&u, &f, sizeof u);
    }
    u |= sign;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* Rounds a double to `bits` of fraction with exponents from emin up, and gives the 16-bit pattern. */
static inline uint16_t terni_half_round(double v, int bits, int bias) {
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    const uint16_t sign = (uint16_t)((u >> 48) & 0x8000u);
    const int width = 15 - bits; /* of the exponent */
    const uint16_t inf = (uint16_t)(((1u << width) - 1) << bits);
    u &= 0x7fffffffffffffffull;
    if (u > 0x7ff0000000000000ull) return (uint16_t)(sign | inf | (1u << (bits - 1)));
    int e = (int)(u >> 52) - 1023 + bias; /* the biased exponent it would have */
    if (e >= (1 << width) - 1) return (uint16_t)(sign | inf);
    uint64_t m = (u & 0xfffffffffffffull) | 0x10000000000000ull;
    int drop = 52 - bits;
    if (e <= 0) { /* subnormal: shift further */
        drop += 1 - e;
        e = 0;
        if (drop > 54) return sign;
    } else {
        m &= 0xfffffffffffffull;
    }
    const uint64_t half = 1ull << (drop - 1), rest = m & ((1ull << drop) - 1);
    uint64_t r = ((uint64_t)e << bits) + (m >> drop);
    if (rest > half || (rest == half && (r & 1))) r++; /* may carry into the exponent, up to infinity: right */
    return (uint16_t)(sign | r);
}

static inline uint16_t terni_f16_from(double v) { return terni_half_round(v, 10, 15); }
static inline uint16_t terni_bf16_from(double v) { return terni_half_round(v, 7, 127); }

#endif
