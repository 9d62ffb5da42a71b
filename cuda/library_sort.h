/* The seam between sort.cu, which decides, and a library's sorting: library_sort.cu (CUB, which is part of the toolkit
 * and compiled in) or, in the simulation, tests/cusim/library_sort_sim.c. */
#ifndef TERNI_CUDA_LIBRARY_SORT_H
#define TERNI_CUDA_LIBRARY_SORT_H

#include "internal.h"

#ifdef __cplusplus
extern "C" {
#endif

/* n keys, each with a number that goes where it goes, in the order of the keys' lowest bits; stable. */
typedef struct terni_sort_job {
    uint64_t *key[2]; /* in the first; the second is room, and one of them has the result */
    uint32_t *from[2];
    int n, bits; /* at least 1 */
} terni_sort_job;

typedef struct terni_library_sort {
    const char *name;
    int64_t least,
        alone; /* elements of a row for which it is ahead of the own kernels: all rows in one sort, one each */
    /* Scratch memory of a sort; false after an error. */
    bool (*room)(int n, int bits, size_t *bytes);
    /* Queues the sort; *in is 0 or 1: where the result will be, the same for all sorts of one n and bits. */
    bool (*run)(terni_cuda_device *d, const terni_sort_job *job, void *scratch, size_t bytes, int *in);
} terni_library_sort;
extern const terni_library_sort terni_cuda_library_sort;

#ifdef __cplusplus
}
#endif
#endif
