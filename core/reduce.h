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
/* As tern_sum and tern_mean, without the elements that are NaN: over none, 0 and NaN. Grad: 0 at NaN. */
TERN_API tern_tensor *tern_nansum(tern_tensor *x, const int *dims, int n, bool keepdim);
TERN_API tern_tensor *tern_nanmean(tern_tensor *x, const int *dims, int n, bool keepdim);
/* NaN wins; equal values share the gradient. Errors: TERN_ERR_SHAPE over no elements. */
TERN_API tern_tensor *tern_max(tern_tensor *x, const int *dims, int n, bool keepdim);
TERN_API tern_tensor *tern_min(tern_tensor *x, const int *dims, int n, bool keepdim);
/* i64 index of the largest (the first NaN, else the first of equals) along dim. No gradient. */
TERN_API tern_tensor *tern_argmax(tern_tensor *x, int dim, bool keepdim);
/* Sums x down to a shape that broadcasts to x's: the adjoint of expand. */
TERN_API tern_tensor *tern_sum_to(tern_tensor *x, tern_shape shape);

/* ---- statistics ---------------------------------------------------------------------------------------------------
 */

/* Covariances of x [variables, observations], or [observations] of one variable: [variables, variables], 0-dim for one.
 * Floats only; f16 and bf16 compute in f32. The sums of products are divided by observations - correction (1: unbiased;
 * 0: maximum likelihood), or by 0 if that is negative. Errors: TERN_ERR_SHAPE, TERN_ERR_DTYPE. */
TERN_API tern_tensor *tern_cov(tern_tensor *x, double correction);
/* Pearson's correlation coefficients, in [-1, 1]: covariances over the two standard deviations; NaN where one is 0. */
TERN_API tern_tensor *tern_corrcoef(tern_tensor *x);
/* The first of every run of equal elements of x, in row-major order: [runs]. inverse, x's shape, i64: which run each
 * element is in; counts [runs] i64: how long they are; NULL if not wanted. A NaN equals nothing. Waits for the device.
 * No gradient. Owner of all: the current scope. */
TERN_API tern_tensor *tern_unique_consecutive(tern_tensor *x, tern_tensor **inverse, tern_tensor **counts);

#ifdef __cplusplus
}
#endif
#endif
