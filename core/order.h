/* Keys: unsigned integers in the order of a dtype's values, NaN above all, both zeros alike. For the kernels that sort,
 * choose and search, on every backend, C and CUDA alike. Private. */
#ifndef TERNI_ORDER_H
#define TERNI_ORDER_H

#include <stdint.h>

#include "tern/base.h"

#ifdef __CUDACC__
#define TERNI_ORDER_FN __host__ __device__ static inline
#else
#define TERNI_ORDER_FN static inline
#endif

TERNI_ORDER_FN uint64_t terni_key16(uint16_t b, uint16_t infinity) {
    if ((b & 0x7FFF) > infinity) return 0xFFFF;
    if ((b & 0x7FFF) == 0) return 0x8000;
    return b & 0x8000 ? (uint16_t)~b : (uint16_t)(b | 0x8000);
}
TERNI_ORDER_FN uint64_t terni_key_f32(uint32_t b) {
    if ((b & 0x7FFFFFFFu) > 0x7F800000u) return 0xFFFFFFFFu;
    if ((b & 0x7FFFFFFFu) == 0) return 0x80000000u;
    return b & 0x80000000u ? (uint32_t)~b : b | 0x80000000u;
}
TERNI_ORDER_FN uint64_t terni_key_f64(uint64_t b) {
    const uint64_t sign = (uint64_t)1 << 63;
    if ((b & ~sign) > 0x7FF0000000000000u) return UINT64_MAX;
    if ((b & ~sign) == 0) return sign;
    return b & sign ? ~b : b | sign;
}

/* The key of element i. */
TERNI_ORDER_FN uint64_t terni_key(int dtype, const void *x, int64_t i) {
    switch (dtype) {
        case TERN_F32:
            return terni_key_f32(((const uint32_t *)x)[i]);
        case TERN_F64:
            return terni_key_f64(((const uint64_t *)x)[i]);
        case TERN_F16:
            return terni_key16(((const uint16_t *)x)[i], 0x7C00);
        case TERN_BF16:
            return terni_key16(((const uint16_t *)x)[i], 0x7F80);
        case TERN_I64:
            return ((const uint64_t *)x)[i] ^ (uint64_t)1 << 63;
        case TERN_I32:
            return ((const uint32_t *)x)[i] ^ 0x80000000u;
        default:
            return ((const uint8_t *)x)[i];
    }
}

#endif
