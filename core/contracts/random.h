/* Random numbers. What each kernel takes and gives; see backend.h. */
#ifndef TERNI_CONTRACT_RANDOM_H
#define TERNI_CONTRACT_RANDOM_H

#include "tern/base.h"

/* Where draws start in a stream. In a captured graph that is known at each replay only: base is then the address of two
 * words in device memory, the seed, which takes seed's place, and a position, which position is added to. */
typedef struct terni_draws {
    uint64_t seed, position; /* block index of the first draw */
    const void *base;        /* or NULL */
} terni_draws;

typedef struct terni_random_opts {
    terni_draws from;
    double a, b; /* uniform: lo, hi; normal: mean, std; dropout: p in a */
    double top;  /* uniform: the largest value below hi, or lo, of y's dtype */
} terni_random_opts;
/* uniform, normal, dropout: element i in row-major order uses words of the stream as core/philox.h says.
 *   uniform, normal: out y, any strides, float.
 *   dropout: in x, out y, same shape, any strides: y = kept ? x / (1 - p) : 0. */

typedef struct terni_randint_opts {
    terni_draws from;
    int64_t lo;
    uint64_t range; /* 1 or more; lo + range - 1 is a value of y's dtype */
} terni_randint_opts;
/* randint: out y, contiguous, any dtype: lo + terni_below of the words that an f64 uniform would take. */

/* randperm: out y [n], i64, contiguous; opts terni_random_opts. Element i has a key of 64 bits, the words that an f64
 *           uniform would take, the first one high; y is the elements in the order of their keys, equal ones in their
 *           own order. */

/* bernoulli: in p, float, y's shape, any strides, or NULL; out y, contiguous, any dtype; opts terni_random_opts with
 * the one probability in a if p is NULL: y = u < p, else 0, with u an f32 uniform, or an f64 one if p is f64. Fails
 * with TERN_ERR_ARGUMENT if an element of p is not in [0, 1]. */

typedef struct terni_multinomial_opts {
    terni_draws from;
    bool replacement;
} terni_multinomial_opts;
/* multinomial: in p [m, n], float, contiguous; out y [m, s], i64, contiguous.
 *   With replacement: element (r, j) takes u, the f64 uniform number r s + j; it is the first k whose running sum of
 * row r, in f64, is above u times the whole sum; the last k with p > 0 if rounding leaves none. Without: k has the key
 * -log(u) / p (infinite for p = 0), with u > 0 as terni_open_f64 has it of the words that the f64 uniform number r n +
 * k takes; row r is the s smallest keys' k in ascending order, equal ones by k. Fails with TERN_ERR_ARGUMENT for a
 * negative or not finite p, a row that sums to 0, a row with fewer than s numbers above 0 where nothing is replaced. */

#endif
