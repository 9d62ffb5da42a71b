/* Draws in kernels: philox.h, with the start of the draws resolved on the device, so that a captured kernel draws anew
 * at each replay. Private to cuda/. */
#ifndef TERNI_CUDA_DRAWS_H
#define TERNI_CUDA_DRAWS_H

#include "launch.h"
#include "philox.h"

/* Block i of the draws that begin at `from`. */
__device__ __forceinline__ terni_philox_block terni_draw_block(const terni_draws &from, uint64_t i) {
    const uint64_t *const base = static_cast<const uint64_t *>(from.base);
    if (base) return terni_philox_at(base[0], base[1] + from.position + i);
    return terni_philox_at(from.seed, from.position + i);
}

#endif
