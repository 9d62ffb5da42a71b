/* Copying, filling, choosing. What each kernel takes and gives; see backend.h. */
#ifndef TERNI_CONTRACT_SHAPE_H
#define TERNI_CONTRACT_SHAPE_H

#include "tern/base.h"

/* copy: in x, out y of the same shape, any strides and dtypes; converts. Float to integer truncates (out of range and
 * NaN give some value), to bool is != 0; f64 to f16 and bf16 rounds once, to nearest even. */

typedef struct terni_fill_opts {
    double value;
    int64_t integer; /* for integer dtypes */
} terni_fill_opts;
/* fill: out y, any strides. */

typedef struct terni_arange_opts {
    double start, step, end;
    int64_t half; /* arange: n; linspace: n / 2, so that the last element is end itself */
} terni_arange_opts;
/* arange: out y [n]: element i is start + step i below half, end - step (n - 1 - i) from there on, in f64,
 * then converted as copy does. */

/* where: in cond (bool), a, b; out y. Same shape; a, b, y one dtype. y may be the very view that a or b is. */

/* How an index i of y becomes one of x in a dimension of x's size n, with k = i - before. */
typedef enum terni_remap_mode {
    TERNI_REMAP_FILL = 0,  /* k, if 0 <= k < n; else the element is the fill value */
    TERNI_REMAP_REVERSE,   /* n - 1 - k */
    TERNI_REMAP_WRAP,      /* k modulo n, in [0, n) */
    TERNI_REMAP_REFLECT,   /* |k| below n, 2 (n - 1) - k from n on; -n < k < 2 n - 1 */
    TERNI_REMAP_REPLICATE, /* k, cut to [0, n - 1] */
} terni_remap_mode;
typedef struct terni_remap_opts {
    int32_t mode[TERN_MAX_DIMS];
    int64_t before[TERN_MAX_DIMS];
    terni_fill_opts fill;
} terni_remap_opts;
/* remap:     in x, 1 or more dimensions, any strides; out y contiguous, x's ndim and dtype. n >= 1 where the mode is
 * not FILL, if y has elements. flip, roll, repeat, pad. remap_add: its adjoint. in g, contiguous; out x, contiguous and
 * already filled: adds each element of g where remap would have read y's, in g's order; nothing for filled elements.
 * f16 and bf16 add up in f32. */

typedef struct terni_tri_opts {
    int64_t k;
    bool upper;
} terni_tri_opts;
/* tri: in x, 2 or more dimensions, any strides; out y contiguous: x where column - row <= k (upper: >= k), else 0. */

#endif
