/* Philox4x32-10 and how its words become draws: one text for every backend, C and CUDA alike, so that a seed gives the
 * same bits everywhere. Private.
 *
 * Block `position` of a stream is philox(counter = {position low, position high, 0, 0}, key = {seed low, seed high}).
 *   f32, f16, bf16 uniform   element i takes word i % 4 of block position + i / 4:  u = (word >> 8) 2^-24
 *   f64 uniform              element i takes words 2 (i % 2), 2 (i % 2) + 1 of block position + i / 2: 53 bits
 *   dropout                  as f32 uniform, for every dtype: dropped if u < p
 *   normal                   Box-Muller on pairs. f32 and below: words (2k, 2k+1) of a block give elements 2k, 2k+1.
 *                            f64: one block gives two elements from two 53-bit uniforms.
 * So terni_philox_blocks(n, f64) blocks are used by n elements. */
#ifndef TERNI_PHILOX_H
#define TERNI_PHILOX_H

#include <stdbool.h>
#include <stdint.h>

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

TERNI_PHILOX_FN uint64_t terni_philox_blocks(int64_t n, bool f64) {
    return f64 ? ((uint64_t)n + 1) / 2 : ((uint64_t)n + 3) / 4;
}

#endif
