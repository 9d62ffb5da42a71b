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
 * one element is reduced. argmax: one bit in dims; y i64; the first NaN, else the first of equals. */

#endif
