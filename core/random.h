/* Random numbers: Philox4x32-10 by counter (Salmon et al., SC 2011), so a seed gives the same draws on every device. */
#ifndef TERN_RANDOM_H
#define TERN_RANDOM_H

#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The state of a stream: key and position. The program's own stream is behind tern_seed; a tern_random of one's own is
 * a plain value. Position counts blocks of four 32-bit words. */
typedef struct tern_random {
    uint64_t seed;
    uint64_t position;
} tern_random;

/* Starts the program's stream anew. Thread-safe. */
TERN_API void tern_seed(uint64_t seed);
/* The program's stream, for checkpoints. Thread-safe. */
TERN_API tern_random tern_random_get(void);
TERN_API void tern_random_set(tern_random state);
/* Four words of the block at (counter[0..3]) under key[0..1]: the bare function of Random123. Thread-safe. */
TERN_API void tern_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
/* The next 32 bits of a stream of one's own (r advances by one block). */
TERN_API uint32_t tern_random_u32(tern_random *r);
/* An unbiased integer in [0, n), n >= 1. */
TERN_API uint64_t tern_random_below(tern_random *r, uint64_t n);
/* A double in [0, 1) with 53 random bits. */
TERN_API double tern_random_double(tern_random *r);

/* Uniform in [lo, hi), and normal with mean and standard deviation (Box-Muller), drawn from the program's stream.
 * Float dtypes. Errors: TERN_ERR_DTYPE, TERN_ERR_ARGUMENT (hi < lo, std < 0). Owner: the current scope. */
TERN_API tern_tensor *tern_rand(tern_shape shape, double lo, double hi, tern_options options);
TERN_API tern_tensor *tern_randn(tern_shape shape, double mean, double std, tern_options options);
/* Of t's shape, dtype and device. */
TERN_API tern_tensor *tern_rand_like(tern_tensor *t, double lo, double hi);
TERN_API tern_tensor *tern_randn_like(tern_tensor *t, double mean, double std);
/* The same, over t's elements in place, at any strides. Returns false on errors. */
TERN_API bool tern_uniform_(tern_tensor *t, double lo, double hi);
TERN_API bool tern_normal_(tern_tensor *t, double mean, double std);

/* Integers in [lo, hi), all equally likely. Any dtype that holds them all. Errors: TERN_ERR_ARGUMENT (hi <= lo, or a
 * number that the dtype does not hold). Owner: the current scope. */
TERN_API tern_tensor *tern_randint(tern_shape shape, int64_t lo, int64_t hi, tern_options options);
/* 0, 1, ... n - 1 in random order, [n] i64. Errors: TERN_ERR_SHAPE (n < 0). Owner: the current scope. */
TERN_API tern_tensor *tern_randperm(int64_t n, tern_device device);
/* 1 with the probability in p, else 0: p's shape and dtype, float. No gradient. Errors: TERN_ERR_DTYPE,
 * TERN_ERR_ARGUMENT (outside [0, 1]; on the GPU reported by the next synchronising call). Owner: the current scope. */
TERN_API tern_tensor *tern_bernoulli(tern_tensor *p);
/* The same with one probability, over t's elements in place; t of any dtype. Returns false on errors. */
TERN_API bool tern_bernoulli_(tern_tensor *t, double p);
/* Indices drawn with probabilities proportional to the last dimension of p, float: p [n] to [samples], p [m, n] to
 * [m, samples], i64. Without replacement no index comes twice, and they come in the order of drawing. No gradient.
 * Errors: TERN_ERR_SHAPE, TERN_ERR_DTYPE, TERN_ERR_ARGUMENT (samples < 1; a negative or not finite number, a row
 * without a positive one, fewer of them than samples without replacement: on the GPU reported by the next synchronising
 * call). Owner: the current scope. Source: Efraimidis and Spirakis, IPL 97 (2006), for draws without replacement. */
TERN_API tern_tensor *tern_multinomial(tern_tensor *p, int64_t samples, bool replacement);
/* Normal with each element's own mean and standard deviation, floats of one dtype, broadcast. std is not checked: the
 * result is mean + std z. Grad: mean, std. Errors: TERN_ERR_SHAPE, TERN_ERR_DTYPE. Owner: the current scope. */
TERN_API tern_tensor *tern_normal(tern_tensor *mean, tern_tensor *std);
/* Normal with mean and std, cut to [lo, hi] by drawing only there. Float dtypes. Errors: TERN_ERR_DTYPE,
 * TERN_ERR_ARGUMENT (std <= 0, lo >= hi, not finite, or less than 1e-9 of the distribution in [lo, hi]). Owner: the
 * current scope. Source: the inverse of the distribution function. */
TERN_API tern_tensor *tern_trunc_normal(tern_shape shape, double mean, double std, double lo, double hi,
                                        tern_options options);
/* Exponential with this rate: density rate e^(-rate x) over x >= 0. Float dtypes. Errors: TERN_ERR_DTYPE,
 * TERN_ERR_ARGUMENT (rate <= 0). Owner: the current scope. */
TERN_API tern_tensor *tern_exponential(tern_shape shape, double rate, tern_options options);

#ifdef __cplusplus
}
#endif
#endif
