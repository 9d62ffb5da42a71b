/* Reductions, scans, sorting and counting. See ops.h for what holds for every op. */
#ifndef TERN_REDUCE_H
#define TERN_REDUCE_H

#include "tern/autograd.h"
#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- reductions --------------------------------------------------------------------------------------------------- *
 * Over n dimensions dims; n = 0 means all of them. f16 and bf16 accumulate in f32; sums are pairwise or better. */

/* Integers and bools sum in i64. An empty sum is 0. */
TERN_API tern_tensor *tern_sum(tern_tensor *x, const int *dims, int n, bool keepdim);
/* Floats only. An empty mean is NaN. */
TERN_API tern_tensor *tern_mean(tern_tensor *x, const int *dims, int n, bool keepdim);
/* NaN wins; equal values share the gradient. Errors: TERN_ERR_SHAPE over no elements. */
TERN_API tern_tensor *tern_max(tern_tensor *x, const int *dims, int n, bool keepdim);
TERN_API tern_tensor *tern_min(tern_tensor *x, const int *dims, int n, bool keepdim);
/* i64 index of the largest (the first NaN, else the first of equals) along dim. No gradient. */
TERN_API tern_tensor *tern_argmax(tern_tensor *x, int dim, bool keepdim);
/* Sums x down to a shape that broadcasts to x's: the adjoint of expand. */
TERN_API tern_tensor *tern_sum_to(tern_tensor *x, tern_shape shape);

#ifdef __cplusplus
}
#endif
#endif
