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
/* The same of the smallest. No gradient. */
TERN_API tern_tensor *tern_argmin(tern_tensor *x, int dim, bool keepdim);
/* The largest (smallest) along dim and, unless indices is NULL, its i64 index, as argmax gives it. The gradient goes to
 * that element alone (tern_max shares it among equals). Owner of both: the current scope. */
TERN_API tern_tensor *tern_max_dim(tern_tensor *x, int dim, bool keepdim, tern_tensor **indices);
TERN_API tern_tensor *tern_min_dim(tern_tensor *x, int dim, bool keepdim, tern_tensor **indices);
/* Product; of integers and bools in i64, wrapping. An empty one is 1. Zeros are differentiated rightly. */
TERN_API tern_tensor *tern_prod(tern_tensor *x, const int *dims, int n, bool keepdim);
/* Any dtype to bool: whether one element (every element) is not zero; NaN is not. No gradient. Of none: false, true. */
TERN_API tern_tensor *tern_any(tern_tensor *x, const int *dims, int n, bool keepdim);
TERN_API tern_tensor *tern_all(tern_tensor *x, const int *dims, int n, bool keepdim);
/* How many elements are not zero: i64. No gradient. */
TERN_API tern_tensor *tern_count_nonzero(tern_tensor *x, const int *dims, int n, bool keepdim);
/* (sum |x|^p)^(1/p). Floats. p = 0 counts what is not zero, infinity is max |x|, minus infinity min |x|. The gradient
 * is 0 where the norm is 0. Errors: TERN_ERR_ARGUMENT for a NaN. */
TERN_API tern_tensor *tern_norm(tern_tensor *x, double p, const int *dims, int n, bool keepdim);
/* Variance, and its square root, divided by N - correction (1 is the unbiased one, 0 the population's); in two passes.
 * Floats. NaN or infinity where N <= correction, as in NumPy. std's gradient is 0 where std is. */
TERN_API tern_tensor *tern_var(tern_tensor *x, const int *dims, int n, double correction, bool keepdim);
TERN_API tern_tensor *tern_std(tern_tensor *x, const int *dims, int n, double correction, bool keepdim);
/* log(sum(exp(x))), without overflow. Floats. */
TERN_API tern_tensor *tern_logsumexp(tern_tensor *x, const int *dims, int n, bool keepdim);
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
/* ---- scans: x's shape, along dim ----------------------------------------------------------------------------------
 */

/* Running sum and product, in f64 inside; integers and bools in i64. */
TERN_API tern_tensor *tern_cumsum(tern_tensor *x, int dim);
TERN_API tern_tensor *tern_cumprod(tern_tensor *x, int dim);
/* Running maximum (minimum) and, unless indices is NULL, where it is (i64; the last of equals). A NaN stays. The
 * gradient goes to that element. Owner of both: the current scope. */
TERN_API tern_tensor *tern_cummax(tern_tensor *x, int dim, tern_tensor **indices);
TERN_API tern_tensor *tern_cummin(tern_tensor *x, int dim, tern_tensor **indices);

/* ---- order ------------------------------------------------------------------------------------------------------- *
 * Any dtype. NaN is above all numbers, both zeros are equal. Indices are i64, and may be asked for by a pointer that is
 * not NULL; the gradient of a value goes to the element that it was. */

/* The elements along dim in order; equal ones keep theirs. */
TERN_API tern_tensor *tern_sort(tern_tensor *x, int dim, bool descending, tern_tensor **indices);
/* The indices alone. No gradient. */
TERN_API tern_tensor *tern_argsort(tern_tensor *x, int dim, bool descending);
/* The k largest (smallest) along dim, in order. Errors: TERN_ERR_ARGUMENT unless 0 <= k <= the dimension's size. */
TERN_API tern_tensor *tern_topk(tern_tensor *x, int64_t k, int dim, bool smallest, tern_tensor **indices);
/* The k-th smallest along dim, k from 1. Errors: TERN_ERR_ARGUMENT, TERN_ERR_SHAPE over no elements. */
TERN_API tern_tensor *tern_kthvalue(tern_tensor *x, int64_t k, int dim, bool keepdim, tern_tensor **indices);
/* The lower of the middle elements along dim; NaN if there is one. Errors: TERN_ERR_SHAPE over no elements. */
TERN_API tern_tensor *tern_median(tern_tensor *x, int dim, bool keepdim, tern_tensor **indices);
/* The same of the elements that are not NaN; NaN if there are none. */
TERN_API tern_tensor *tern_nanmedian(tern_tensor *x, int dim, bool keepdim, tern_tensor **indices);
/* The value that comes most often along dim, the smallest of several; the index is that of its last place. A NaN equals
 * nothing. Errors: TERN_ERR_SHAPE over no elements. */
TERN_API tern_tensor *tern_mode(tern_tensor *x, int dim, bool keepdim, tern_tensor **indices);

/* Between the two elements that a quantile falls between. */
typedef enum tern_quantile_mode {
    TERN_QUANTILE_LINEAR = 0,
    TERN_QUANTILE_LOWER,
    TERN_QUANTILE_HIGHER,
    TERN_QUANTILE_MIDPOINT,
    TERN_QUANTILE_NEAREST
} tern_quantile_mode;
/* The value at fraction q (0 to 1) of the sorted elements along dim; NaN if there is one. Floats. n of them:
 * [n, ...]. Errors: TERN_ERR_ARGUMENT, TERN_ERR_DTYPE, TERN_ERR_SHAPE over no elements. */
TERN_API tern_tensor *tern_quantile(tern_tensor *x, double q, int dim, bool keepdim, tern_quantile_mode mode);
TERN_API tern_tensor *tern_quantiles(tern_tensor *x, const double *q, int n, int dim, bool keepdim,
                                     tern_quantile_mode mode);
/* The same of the elements that are not NaN; NaN if there are none. */
TERN_API tern_tensor *tern_nanquantile(tern_tensor *x, double q, int dim, bool keepdim, tern_quantile_mode mode);
TERN_API tern_tensor *tern_nanquantiles(tern_tensor *x, const double *q, int n, int dim, bool keepdim,
                                        tern_quantile_mode mode);

/* ---- counting; no gradient, except for weights ----------------------------------------------------------------------
 */

/* The sorted values of x, each once, 1-dim; unless they are NULL, inverse gets the place of each element of x among
 * them (x's shape, i64), and counts how often each comes (i64). Waits for the device. */
TERN_API tern_tensor *tern_unique(tern_tensor *x, tern_tensor **inverse, tern_tensor **counts);
/* Whether each element of x is equal to one of values: x's shape, bool. In the promoted dtype; a NaN equals nothing. */
TERN_API tern_tensor *tern_isin(tern_tensor *x, tern_tensor *values);
/* Where values belong in sorted [..., N], so that it stays sorted: values' shape, i64, in [0, N]; before equals, or
 * behind them if right. sorted is 1-dim, or has values' dimensions before the last. */
TERN_API tern_tensor *tern_searchsorted(tern_tensor *sorted, tern_tensor *values, bool right);
/* The same with 1-dim boundaries. */
TERN_API tern_tensor *tern_bucketize(tern_tensor *x, tern_tensor *boundaries, bool right);
/* How often each of 0, 1, ... comes in x, 1-dim integers of 0 and more: i64, or the sum of the weights (x's shape) in
 * their dtype; at least min_length long. Waits for the device. */
TERN_API tern_tensor *tern_bincount(tern_tensor *x, tern_tensor *weights, int64_t min_length);
/* How many elements of x lie in [edges[i], edges[i + 1]), the last bin with its end, for increasing edges [bins + 1]:
 * i64, or the sum of the weights (x's shape) in their dtype. */
TERN_API tern_tensor *tern_histogram(tern_tensor *x, tern_tensor *edges, tern_tensor *weights);
/* The same for bins of equal width from lo to hi. */
TERN_API tern_tensor *tern_histc(tern_tensor *x, int64_t bins, double lo, double hi);

#ifdef __cplusplus
}
#endif
#endif
