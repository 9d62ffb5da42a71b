/* Sorting by keys, for the kernels that need an order: stable, each row of [R, N] by itself. */
#ifndef TERNI_CUDA_SORT_H
#define TERNI_CUDA_SORT_H

#include "launch.h"

struct terni_sorted {
    uint64_t *key;  /* [R, N], ascending */
    uint32_t *from; /* [R, N]: where in its row each stood */
    void *memory;   /* of both; terni_cuda_scratch_free gives it back */
    int bits;       /* that tell keys apart, the lowest */
};
/* Bits that hold every number up to this one. */
static inline int terni_bits(uint64_t most) {
    int bits = 1;
    while (most >>= 1) bits++;
    return bits;
}
/* Room for keys: fill s->key, then call run. s->bits is 64; fewer may be set in between, and where there are several
 * rows, the keys' bits above must be 0 then. False after an error. */
bool terni_cuda_sort_open(terni_cuda_device *d, int64_t rows, int64_t n, terni_sorted *s);
/* Sorts s->key; from need not be set. Frees the memory on errors. */
bool terni_cuda_sort_run(terni_cuda_device *d, int64_t rows, int64_t n, terni_sorted *s);

#endif
