/* Vectors as wide as the instruction set that this module is built for. */
#ifndef TERNI_SIMD_H
#define TERNI_SIMD_H

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define TERNI_ALWAYS_INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__)
#define TERNI_VEC_BYTES 64
#elif defined(__AVX__)
#define TERNI_VEC_BYTES 32
#else
#define TERNI_VEC_BYTES 16
#endif
#define TERNI_LANES_F32 (TERNI_VEC_BYTES / 4)
#define TERNI_LANES_F64 (TERNI_VEC_BYTES / 8)

typedef float terni_vf __attribute__((vector_size(TERNI_VEC_BYTES)));
typedef double terni_vd __attribute__((vector_size(TERNI_VEC_BYTES)));
/* The same in memory, at any element's address. */
typedef float terni_vf_u __attribute__((vector_size(TERNI_VEC_BYTES), aligned(4), may_alias));
typedef double terni_vd_u __attribute__((vector_size(TERNI_VEC_BYTES), aligned(8), may_alias));

/* Rounds a product on its own: else it becomes part of a multiply-add or not, as what stands around it lets the
 * compiler, and an element would come out in one way at a row's end and in another in its middle. */
#if defined(__x86_64__)
#define TERNI_ROUND(v) __asm__("" : "+x"(v))
#else
#define TERNI_ROUND(v) ((void)0)
#endif

/* Sums of a vector's lanes: by halves, which is both faster and closer than one lane after another. f32 lanes are added
 * as doubles. */
static inline double terni_fold_f64(terni_vd v) {
#if TERNI_VEC_BYTES == 64
    return _mm512_reduce_add_pd((__m512d)v);
#else
    double lane[TERNI_LANES_F64];
    memcpy(lane, &v, sizeof v);
    for (int w = TERNI_LANES_F64 / 2; w > 0; w /= 2)
        for (int l = 0; l < w; l++) lane[l] += lane[l + w];
    return lane[0];
#endif
}
static inline double terni_fold_f32(terni_vf v) {
    typedef float half __attribute__((vector_size(TERNI_VEC_BYTES / 2)));
    half low, high;
    memcpy(&low, &v, sizeof low);
    memcpy(&high, (const char *)&v + sizeof low, sizeof high);
    return terni_fold_f64(__builtin_convertvector(low, terni_vd) + __builtin_convertvector(high, terni_vd));
}

#endif
