/* Reductions, scans, sorting. What each kernel takes and gives; see backend.h. */
#ifndef TERNI_CONTRACT_REDUCE_H
#define TERNI_CONTRACT_REDUCE_H

#include "tern/base.h"

typedef struct terni_reduce_opts {
    uint32_t dims; /* bit d is set if dimension d is reduced */
    double scale;  /* sum only: the result is multiplied, in A, before it is rounded (floats) */
} terni_reduce_opts;
/* sum: in x any strides; out y contiguous, x's ndim, reduced dimensions of size 1. Float: x's dtype (A inside, pairwise
 * or better); y may also be of dtype A. Integer and bool x: y i64. max, min: likewise, x's dtype; NaN wins; at least
 * one element is reduced. argmax, argmin: one bit in dims; y i64; the first NaN, else the first of equals. */

/* prod: in x [R, N] contiguous; out y [R]: floats in x's dtype, multiplied in f64 for all; integers and bool in i64,
 * wrapping. */

enum { TERNI_SCAN_SUM, TERNI_SCAN_PROD, TERNI_SCAN_MAX, TERNI_SCAN_MIN };
typedef struct terni_scan_opts {
    int32_t kind;
    bool reverse; /* from the end (sums, products and linear_scan) */
} terni_scan_opts;
/* scan: in x [outer, N, inner] contiguous; out y alike, and for maximum and minimum index, i64 (else NULL or none).
 * Sums and products run in f64 (a GPU may take f32 for f32 and below); integers and bool give i64, wrapping. Maximum
 * and minimum: the last of equals, a NaN stays. linear_scan: in a, b [outer, N, inner] contiguous, one float dtype; out
 * y: y[i] = a[i] y[i - 1] + b[i], y[-1] being nothing (a[0] is not looked at); with reverse from the end, y[i] = a[i]
 * y[i + 1] + b[i]. */

typedef struct terni_sort_opts {
    bool descending; /* topk: the largest */
    bool nan_wins;   /* kth: the first NaN, if there is one */
    bool skip_nan;   /* kth: of the others the lower median, whatever k is; the first NaN if there are none */
    int64_t k;       /* kth: counted from 0 */
} terni_sort_opts;
/* sort: in x [R, N] contiguous, any dtype; out values [R, N] or NULL, index [R, N] i64. Stable; NaN is above all, both
 *   zeros are equal. topk: out values [R, K] or NULL, index [R, K], K <= N: the first K of sort. kth: out value [R] or
 *   NULL, index [R] i64: the first element that equals the k-th smallest. N >= 1. */

typedef struct terni_search_opts {
    bool right; /* behind equals */
} terni_search_opts;
/* searchsorted: in sorted [R or 1, N], values [R, M], contiguous, one dtype; out index [R, M] i64 in [0, N]. Order as
 * sort's. */

#endif
