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
    double start, step;
} terni_arange_opts;
/* arange: out y 1-dim. */

/* where: in cond (bool), a, b; out y. Same shape; a, b, y one dtype. */

#endif
