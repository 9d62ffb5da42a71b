/* Vectors as wide as the instruction set that this module is built for. */
#ifndef TERNI_SIMD_H
#define TERNI_SIMD_H

#include <stdint.h>

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

#endif
