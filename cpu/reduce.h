/* What sums and extremes share: the input's dimensions, split into kept and reduced ones. */
#ifndef TERNI_CPU_REDUCE_H
#define TERNI_CPU_REDUCE_H

#include "internal.h"

enum { TERNI_COLUMNS = 256 }; /* outputs side by side, where a kept dimension is the dense one */

typedef struct terni_reduction {
    const terni_view *x, *y;
    int n_kept, n_red; /* at least 1 each; neighbours are merged */
    int64_t kept[TERN_MAX_DIMS], kept_stride[TERN_MAX_DIMS];
    int64_t red[TERN_MAX_DIMS], red_stride[TERN_MAX_DIMS];
    int64_t outputs, inputs; /* inputs: to one output */
    double scale;
    double *partial; /* of a full sum: one a block */
} terni_reduction;

terni_reduction terni_cpu_reduction(const terni_call *c);

/* Offset of number k in row-major order over n dimensions. */
static inline int64_t terni_cpu_offset(int64_t k, int n, const int64_t *size, const int64_t *stride) {
    int64_t o = 0;
    for (int d = n - 1; d >= 0; d--) {
        o += k % size[d] * stride[d];
        k /= size[d];
    }
    return o;
}

/* True if outputs are best made side by side: the innermost kept dimension is dense, no reduced one is. */
static inline bool terni_cpu_by_columns(const terni_reduction *p) {
    const int last = p->n_kept - 1;
    return p->kept_stride[last] == 1 && p->kept[last] > 1 && p->red_stride[p->n_red - 1] != 1;
}

/* Calls fn for blocks of at most TERNI_COLUMNS outputs side by side, over the threads: base is the offset of the
 * first in x, at its number in y. */
typedef void (*terni_columns_fn)(const terni_reduction *p, int64_t base, int64_t at, int64_t width);
void terni_cpu_columns(const terni_reduction *p, terni_columns_fn fn, int64_t grain);

#endif
