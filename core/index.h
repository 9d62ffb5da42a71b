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

/* ---- writing by index: copies of x, changed; in-place forms below
 * ---------------------------------------------------- */

/* src, or value, at the places where gather would have read. Of equal indices the last one, in row-major order, stays,
 * and it alone passes a gradient. Grad: x, src. Errors: TERN_ERR_ARGUMENT if x's dtype does not hold value. */
TERN_API tern_tensor *tern_scatter(tern_tensor *x, int dim, tern_tensor *index, tern_tensor *src);
TERN_API tern_tensor *tern_scatter_value(tern_tensor *x, int dim, tern_tensor *index, double value);

typedef enum tern_scatter_reduction {
    TERN_SCATTER_SUM = 0,
    TERN_SCATTER_PROD,
    TERN_SCATTER_MEAN, /* floats only */
    TERN_SCATTER_AMAX, /* NaN wins; equal values share the gradient */
    TERN_SCATTER_AMIN
} tern_scatter_reduction;
typedef struct tern_scatter_reduce_opts {
    bool exclude_self; /* x's own values do not take part where src comes */
} tern_scatter_reduce_opts;
/* Combines src with x at the places where gather would have read. bool: sum and amax are or, prod and amin are and.
 * Grad: x, src (of a prod to first order where factors are 0). */
TERN_API tern_tensor *tern_scatter_reduce(tern_tensor *x, int dim, tern_tensor *index, tern_tensor *src,
                                          tern_scatter_reduction how, tern_scatter_reduce_opts opts);
/* [..., index[i], ...] = src[..., i, ...], or value. index is 1-dim; equal ones as in tern_scatter. Grad: x, src. */
TERN_API tern_tensor *tern_index_copy(tern_tensor *x, int dim, tern_tensor *index, tern_tensor *src);
TERN_API tern_tensor *tern_index_fill(tern_tensor *x, int dim, tern_tensor *index, double value);
/* index's shape with one more dimension of size `classes` at the end: 1 at the index, else 0, in dtype. No gradient. */
TERN_API tern_tensor *tern_one_hot(tern_tensor *index, int64_t classes, tern_dtype dtype);

/* ---- several indices at once; here negative ones count from the end -------------------------------------------------
 */

/* x[indices[0], indices[1], ...]: n index tensors for the first dimensions of x, NULL for all of a dimension. i64 and
 * i32 tensors are broadcast with each other; a bool tensor stands for as many dimensions as it has, and for the indices
 * of its true elements (these wait for the device). The broadcast shape stands in the result where the indexed
 * dimensions were if they are neighbours, else in front. A copy; x itself if all are NULL. Errors: TERN_ERR_INDEX,
 * TERN_ERR_SHAPE, TERN_ERR_DTYPE. */
TERN_API tern_tensor *tern_index(tern_tensor *x, tern_tensor *const *indices, int n);
/* A copy of x with values, broadcast to tern_index's result, written there; or added, where equal indices add up.
 * Without accumulate the last of equal indices stays, as in tern_scatter. Grad: x, values. */
TERN_API tern_tensor *tern_index_put(tern_tensor *x, tern_tensor *const *indices, int n, tern_tensor *values,
                                     bool accumulate);
/* x's elements in row-major order, by number: index's shape. */
TERN_API tern_tensor *tern_take(tern_tensor *x, tern_tensor *index);
/* A copy of x with src, of index's shape, at those numbers; as tern_index_put. Grad: x, src. */
TERN_API tern_tensor *tern_put(tern_tensor *x, tern_tensor *index, tern_tensor *src, bool accumulate);
/* tern_gather with x and index broadcast against each other in the other dimensions. */
TERN_API tern_tensor *tern_take_along_dim(tern_tensor *x, tern_tensor *index, int dim);

/* ---- masks: bool tensors; what waits for the device, because the result's size is data, says so
 * ---------------------- */

/* value where mask is true, else x; mask and x are broadcast. Errors: TERN_ERR_ARGUMENT if x's dtype does not hold it.
 */
TERN_API tern_tensor *tern_masked_fill(tern_tensor *x, tern_tensor *mask, double value);
/* The elements of x where mask is true, in row-major order, 1-dim; both are broadcast. Waits for the device. */
TERN_API tern_tensor *tern_masked_select(tern_tensor *x, tern_tensor *mask);
/* A copy of x whose elements where mask, broadcast to x, is true are src's first ones, in row-major order. Grad: x,
 * src. Waits for the device. Errors: TERN_ERR_SHAPE if src has too few. */
TERN_API tern_tensor *tern_masked_scatter(tern_tensor *x, tern_tensor *mask, tern_tensor *src);
/* The indices of x's elements that are not 0, in row-major order: [count, x's ndim] i64. No gradient. Waits for the
 * device. */
TERN_API tern_tensor *tern_nonzero(tern_tensor *x);

/* ---- in place: t becomes what the op of the same name without the underscore returns, and is returned; see
 * pointwise.h for what holds while recording. */

TERN_API tern_tensor *tern_index_add_(tern_tensor *t, int dim, tern_tensor *index, tern_tensor *src);
TERN_API tern_tensor *tern_index_copy_(tern_tensor *t, int dim, tern_tensor *index, tern_tensor *src);
TERN_API tern_tensor *tern_index_fill_(tern_tensor *t, int dim, tern_tensor *index, double value);
TERN_API tern_tensor *tern_scatter_(tern_tensor *t, int dim, tern_tensor *index, tern_tensor *src);
TERN_API tern_tensor *tern_scatter_value_(tern_tensor *t, int dim, tern_tensor *index, double value);
TERN_API tern_tensor *tern_scatter_add_(tern_tensor *t, int dim, tern_tensor *index, tern_tensor *src);
TERN_API tern_tensor *tern_index_put_(tern_tensor *t, tern_tensor *const *indices, int n, tern_tensor *values,
                                      bool accumulate);
TERN_API tern_tensor *tern_put_(tern_tensor *t, tern_tensor *index, tern_tensor *src, bool accumulate);
TERN_API tern_tensor *tern_scatter_reduce_(tern_tensor *t, int dim, tern_tensor *index, tern_tensor *src,
                                           tern_scatter_reduction how, tern_scatter_reduce_opts opts);
/* mask is broadcast to t. */
TERN_API tern_tensor *tern_masked_fill_(tern_tensor *t, tern_tensor *mask, double value);
TERN_API tern_tensor *tern_masked_scatter_(tern_tensor *t, tern_tensor *mask, tern_tensor *src);

#ifdef __cplusplus
}
#endif
#endif
