/* Ops that read and write by index or mask. See ops.h for what holds for every op. */
#ifndef TERN_INDEX_H
#define TERN_INDEX_H

#include "tern/autograd.h"
#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- index ------------------------------------------------------------------------------------------------------- *
 * Indices are i64 or i32 and lie in [0, size): TERN_ERR_INDEX names the first that does not. On the GPU an index
 * outside is reported by the next synchronising call. */

/* Rows of dimension dim: out[..., i, ...] = x[..., index[i], ...]. index is 1-dim. */
TERN_API tern_tensor *tern_index_select(tern_tensor *x, int dim, tern_tensor *index);
/* A copy of x with src[..., i, ...] added at [..., index[i], ...]; repeated indices add up. Grad: x, src. */
TERN_API tern_tensor *tern_index_add(tern_tensor *x, int dim, tern_tensor *index, tern_tensor *src);
/* out[i][j][k] = x[i][index[i][j][k]][k] for dim = 1, and so on; index has x's ndim and is no larger than x in the
 * other dimensions. */
TERN_API tern_tensor *tern_gather(tern_tensor *x, int dim, tern_tensor *index);
/* A copy of x with src added where gather would have read. Grad: x, src. */
TERN_API tern_tensor *tern_scatter_add(tern_tensor *x, int dim, tern_tensor *index, tern_tensor *src);

#ifdef __cplusplus
}
#endif
#endif
