/* f16 and bf16 in bulk. */
#include <string.h>

#if defined(__F16C__)
#include <immintrin.h>
#endif

#include "internal.h"

void terni_cpu_from_half(int dtype, const uint16_t *x, int64_t s, float *y, int64_t n) {
    int64_t i = 0;
    if (dtype == TERN_BF16) {
        for (; i < n; i++) y[i] = terni_bf16_to(x[i * s]);
        return;
    }
#if defined(__F16C__)
    if (s == 1)
        for (; i + 8 <= n; i += 8) {
            __m128i h;
            memcpy(&h, x + i, sizeof h);
            const __m256 v = _mm256_cvtph_ps(h);
            memcpy(y + i, &v, sizeof v);
        }
#endif
    for (; i < n; i++) y[i] = terni_f16_to(x[i * s]);
}

/* Round to nearest even by adding to the bits; NaN keeps a bit. */
static inline uint16_t bf16_from_f32(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    const uint32_t r = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    return (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u : r);
}

void terni_cpu_to_half(int dtype, const float *x, uint16_t *y, int64_t s, int64_t n) {
    int64_t i = 0;
    if (dtype == TERN_BF16) {
        for (; i < n; i++) y[i * s] = bf16_from_f32(x[i]);
        return;
    }
#if defined(__F16C__)
    if (s == 1)
        for (; i + 8 <= n; i += 8) {
            __m256 v;
            memcpy(&v, x + i, sizeof v);
            const __m128i h = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
            memcpy(y + i, &h, sizeof h);
        }
#endif
    for (; i < n; i++) y[i * s] = terni_f16_from((double)x[i]);
}
