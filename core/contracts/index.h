/* Indexing. What each kernel takes and gives; see backend.h. */
#ifndef TERNI_CONTRACT_INDEX_H
#define TERNI_CONTRACT_INDEX_H

#include "tern/base.h"

typedef struct terni_dim_opts {
    int32_t dim;
} terni_dim_opts;
/* index_select: in x, index (1-dim i64 or i32); out y contiguous.
 * index_add:    in index, src; out y, contiguous and already filled: y[..., index[i], ...] += src[..., i, ...].
 * gather:       in x, index (x's ndim); out y contiguous, index's shape.
 * scatter_add:  in index, src (index's shape); out y, contiguous and already filled. Added in order of the index.
 * All fail with TERN_ERR_INDEX, "index 7 at position 3 is outside dimension 1 of size 5", before writing anything. */

#endif
