/* Indexing. What each kernel takes and gives; see backend.h. */
#ifndef TERNI_CONTRACT_INDEX_H
#define TERNI_CONTRACT_INDEX_H

#include "tern/base.h"

typedef struct terni_dim_opts {
    int32_t dim;
    const char *op; /* for messages */
} terni_dim_opts;
/* index_select: in x, index (1-dim i64 or i32); out y contiguous.
 * index_add:    in index, src; out y, contiguous and already filled: y[..., index[i], ...] += src[..., i, ...].
 * gather:       in x, index (x's ndim); out y contiguous, index's shape.
 * scatter_add:  in index, src (index's shape); out y, contiguous and already filled. Added in order of the index.
 * All fail with TERN_ERR_INDEX, "index 7 at position 3 is outside dimension 1 of size 5", before writing anything. */

typedef enum terni_scatter_how {
    TERNI_SCATTER_SET = 0, /* the last in the index's row-major order stays */
    TERNI_SCATTER_PROD,    /* bool: and */
    TERNI_SCATTER_MAX,     /* NaN wins; bool: or */
    TERNI_SCATTER_MIN      /* NaN wins; bool: and */
} terni_scatter_how;
typedef struct terni_scatter_opts {
    int32_t dim, how;
    const char *op; /* for messages */
} terni_scatter_opts;
/* scatter: in index, src (index's shape); out y, contiguous and already filled, which src is written to, or combined
 *          with, where gather would have read. Index and src may be broadcast (strides of 0). f16 and bf16 are combined
 *          in f32 and rounded once. */

typedef struct terni_linear_opts {
    int64_t size;
    int32_t dim;    /* for messages */
    const char *op; /* for messages */
} terni_linear_opts;
/* linear_index: in index (i64 or i32) with -size <= index < size; out y, i64, contiguous, index's shape, already
 * filled: y = y size + (index, plus size if it is negative). Fails as above. */

/* nonzero: in x, bool, contiguous; out y [n, x's ndim] i64, contiguous, where n is how many elements of x are true: the
 *          indices of each, in row-major order. */

#endif
