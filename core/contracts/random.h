/* Random numbers. What each kernel takes and gives; see backend.h. */
#ifndef TERNI_CONTRACT_RANDOM_H
#define TERNI_CONTRACT_RANDOM_H

#include "tern/base.h"

typedef struct terni_random_opts {
    uint64_t seed, position; /* block index of the first draw */
    double a, b;             /* uniform: lo, hi; normal: mean, std; dropout: p in a */
    double top;              /* uniform: the largest value below hi, or lo, of y's dtype */
} terni_random_opts;
/* uniform, normal, dropout: element i in row-major order uses words of the stream as core/philox.h says.
 *   uniform, normal: out y, any strides, float.
 *   dropout: in x, out y, same shape, any strides: y = kept ? x / (1 - p) : 0. */

#endif
