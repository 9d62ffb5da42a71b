/* Vectors of simd.h in parts: halves, and the first lanes of one in memory. */
#ifndef TERNI_LANES_H
#define TERNI_LANES_H

#include "simd.h"

/* The first halves of a and b, lane by lane in turn; the second halves. */
#if TERNI_VEC_BYTES == 64
#define TERNI_LOW_F32(a, b)  __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define TERNI_HIGH_F32(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define TERNI_LOW_F64(a, b)  __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define TERNI_HIGH_F64(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#elif TERNI_VEC_BYTES == 32
#define TERNI_LOW_F32(a, b)  __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define TERNI_HIGH_F32(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define TERNI_LOW_F64(a, b)  __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define TERNI_HIGH_F64(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#else
#define TERNI_LOW_F32(a, b)  __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define TERNI_HIGH_F32(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define TERNI_LOW_F64(a, b)  __builtin_shufflevector(a, b, 0, 2)
#define TERNI_HIGH_F64(a, b) __builtin_shufflevector(a, b, 1, 3)
#endif

/* The first n lanes from and to memory; get and some give 0 for the others, some_or gives `rest`. TERNI_LANES_LOAD:
 * reading some of the lanes is one instruction, as reading all is. */
#define TERNI_LANES_LOAD (TERNI_VEC_BYTES >= 32)
#if TERNI_VEC_BYTES == 64
static inline terni_vf terni_some_f32(const float *p, int64_t n) {
    return (terni_vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
static inline terni_vd terni_some_f64(const double *p, int64_t n) {
    return (terni_vd)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
}
static inline terni_vf terni_some_or_f32(const float *p, int64_t n, float rest) {
    return (terni_vf)_mm512_mask_loadu_ps(_mm512_set1_ps(rest), (__mmask16)((1u << n) - 1), p);
}
static inline terni_vd terni_some_or_f64(const double *p, int64_t n, double rest) {
    return (terni_vd)_mm512_mask_loadu_pd(_mm512_set1_pd(rest), (__mmask8)((1u << n) - 1), p);
}
static inline void terni_put_some_f32(float *p, terni_vf v, int64_t n) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
}
static inline void terni_put_some_f64(double *p, terni_vd v, int64_t n) {
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v);
}
#else
#if TERNI_VEC_BYTES == 32
/* Eight from the (8 - n)-th on: set for the first n of them. */
static const int32_t terni_lanes_mask[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
static inline terni_vf terni_some_f32(const float *p, int64_t n) {
    const __m256i mask = _mm256_loadu_si256((const __m256i_u *)(const void *)(terni_lanes_mask + 8 - n));
    return (terni_vf)_mm256_maskload_ps(p, mask);
}
static inline terni_vd terni_some_f64(const double *p, int64_t n) {
    const __m256i mask = _mm256_loadu_si256((const __m256i_u *)(const void *)(terni_lanes_mask + 8 - 2 * n));
    return (terni_vd)_mm256_maskload_pd(p, mask);
}
#else
static inline terni_vf terni_some_f32(const float *p, int64_t n) {
    float lane[TERNI_LANES_F32] = {0};
    for (int64_t l = 0; l < n; l++) lane[l] = p[l];
    terni_vf v;
    memcpy(&v, lane, sizeof v);
    return v;
}
static inline terni_vd terni_some_f64(const double *p, int64_t n) {
    double lane[TERNI_LANES_F64] = {0};
    for (int64_t l = 0; l < n; l++) lane[l] = p[l];
    terni_vd v;
    memcpy(&v, lane, sizeof v);
    return v;
}
#endif
static inline terni_vf terni_some_or_f32(const float *p, int64_t n, float rest) {
    float lane[TERNI_LANES_F32];
    for (int64_t l = 0; l < TERNI_LANES_F32; l++) lane[l] = l < n ? p[l] : rest;
    terni_vf v;
    memcpy(&v, lane, sizeof v);
    return v;
}
static inline terni_vd terni_some_or_f64(const double *p, int64_t n, double rest) {
    double lane[TERNI_LANES_F64];
    for (int64_t l = 0; l < TERNI_LANES_F64; l++) lane[l] = l < n ? p[l] : rest;
    terni_vd v;
    memcpy(&v, lane, sizeof v);
    return v;
}
static inline void terni_put_some_f32(float *p, terni_vf v, int64_t n) {
    for (int64_t l = 0; l < n; l++) p[l] = v[l];
}
static inline void terni_put_some_f64(double *p, terni_vd v, int64_t n) {
    for (int64_t l = 0; l < n; l++) p[l] = v[l];
}
#endif
#define TERNI_PARTS(type, T, V, V_U, LANES, LOW, HIGH)                 \
    static inline V terni_low_##type(V a, V b) { return LOW(a, b); }   \
    static inline V terni_high_##type(V a, V b) { return HIGH(a, b); } \
    static inline V terni_get_##type(const T *p, int64_t n) {          \
        if (n != LANES) return terni_some_##type(p, n);                \
        return *(const V_U *)(const void *)p;                          \
    }                                                                  \
    static inline void terni_put_##type(T *p, V v, int64_t n) {        \
        if (n == LANES)                                                \
            *(V_U *)(void *)p = v;                                     \
        else                                                           \
            terni_put_some_##type(p, v, n);                            \
    }
TERNI_PARTS(f32, float, terni_vf, terni_vf_u, TERNI_LANES_F32, TERNI_LOW_F32, TERNI_HIGH_F32)
TERNI_PARTS(f64, double, terni_vd, terni_vd_u, TERNI_LANES_F64, TERNI_LOW_F64, TERNI_HIGH_F64)
#undef TERNI_PARTS

#endif
