/* Ops that rearrange: views, joins, splits, padding. See ops.h for what holds for every op. */
#ifndef TERN_SHAPE_H
#define TERN_SHAPE_H

#include "tern/autograd.h"
#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- shape ------------------------------------------------------------------------------------------------------- *
 * These return views that share x's storage, except where a copy is said. */

/* Same elements in another shape; one size may be -1. A view if the strides allow it, else a copy. */
TERN_API tern_tensor *tern_reshape(tern_tensor *x, tern_shape shape);
/* Dimensions start .. end (both included) become one. */
TERN_API tern_tensor *tern_flatten(tern_tensor *x, int start, int end);
/* Dimension i of the result is dimension dims[i] of x; n = x's ndim. */
TERN_API tern_tensor *tern_permute(tern_tensor *x, const int *dims, int n);
TERN_API tern_tensor *tern_transpose(tern_tensor *x, int dim0, int dim1);
/* Drops dimension dim, which must have size 1; inserts one of size 1 before dim. */
TERN_API tern_tensor *tern_squeeze(tern_tensor *x, int dim);
TERN_API tern_tensor *tern_unsqueeze(tern_tensor *x, int dim);
/* Broadcasts to a larger shape with strides of 0; a size of -1 keeps x's. */
TERN_API tern_tensor *tern_expand(tern_tensor *x, tern_shape shape);
/* Indices start, start + step, ... below end of a dimension; negative ones count from the end, and both are clamped as
 * in Python. step >= 1. INT64_MAX as end is the whole rest. */
TERN_API tern_tensor *tern_slice(tern_tensor *x, int dim, int64_t start, int64_t end, int64_t step);
/* Index i of dimension dim, which goes. Errors: TERN_ERR_INDEX. */
TERN_API tern_tensor *tern_select(tern_tensor *x, int dim, int64_t i);
/* Joins n tensors of one dtype along a dimension, or along a new one. Copies. */
TERN_API tern_tensor *tern_cat(tern_tensor *const *x, int n, int dim);
TERN_API tern_tensor *tern_stack(tern_tensor *const *x, int n, int dim);
/* x itself if it is contiguous, else a copy. */
TERN_API tern_tensor *tern_contiguous(tern_tensor *x);
/* Always a contiguous copy. */
TERN_API tern_tensor *tern_clone(tern_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
