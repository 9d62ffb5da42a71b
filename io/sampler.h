/* Samplers: in which order, how often and by which process the samples of a dataset are taken. A loader takes one as
 * .sampler; without one it goes through the dataset as it is, or shuffled.
 *
 *     tern_sampler *order = tern_sampler_weighted_new(weight, n, (tern_sampler_opts){0});
 *     tern_sampler *mine = tern_sampler_distributed_new(order, rank, world, false);
 *     tern_loader *loader = tern_loader_new(d, (tern_loader_opts){.sampler = mine, .seed = 42});
 *
 * The order of an epoch follows from the seed and the epoch's number alone. So a sampler has no state to save: a
 * loader's position (tern_loader_tell) is all. */
#ifndef TERN_SAMPLER_H
#define TERN_SAMPLER_H

#include "tern/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A program makes one of its own by filling this in (or embedding it first in a larger struct). May still grow before
 * 1.0: set it by designated initialisers, zero what is not used. */
typedef struct tern_sampler tern_sampler;
struct tern_sampler {
    int64_t length; /* numbers in an epoch */
    int64_t over;   /* samples that there are: numbers lie in [0, over) */
    /* Writes the epoch's `length` numbers; the same for the same seed and epoch. Returns false after recording an
     * error. */
    bool (*order)(tern_sampler *s, uint64_t seed, int64_t epoch, int64_t *out);
    void (*drop)(tern_sampler *s); /* frees s; called by tern_sampler_free; may be NULL */
};
/* NULL does nothing. */
TERN_API void tern_sampler_free(tern_sampler *s);
/* Writes s->length numbers of the epoch into out, as a loader takes them, and checks them. Errors: TERN_ERR_INDEX for a
 * number outside [0, over). */
TERN_API bool tern_sampler_order(tern_sampler *s, uint64_t seed, int64_t epoch, int64_t *out);

typedef struct tern_sampler_opts {
    int64_t samples;  /* in an epoch; as many as there are if zero */
    bool replacement; /* random: each draw is out of all; weighted without it: at most once each */
} tern_sampler_opts;

/* All are for tern_sampler_free; NULL after an error: TERN_ERR_ARGUMENT, TERN_ERR_MEMORY. */

/* 0, 1, ... n - 1. */
TERN_API tern_sampler *tern_sampler_sequential_new(int64_t n);
/* A random order of the n. .samples above n without replacement: one random order after another. */
TERN_API tern_sampler *tern_sampler_random_new(int64_t n, tern_sampler_opts opts);
/* Draws with probabilities proportional to weight, n numbers, not negative, finite, one or more of them positive;
 * copied. Without replacement at most as many as are positive, the likely ones rather early. Source: Efraimidis and
 * Spirakis, IPL 97 (2006), for draws without replacement. */
TERN_API tern_sampler *tern_sampler_weighted_new(const double *weight, int64_t n, tern_sampler_opts opts);
/* A random order in which every class comes at regular distances, so that each batch has about the shares of the whole.
 * label: n class numbers, not negative; copied. */
TERN_API tern_sampler *tern_sampler_stratified_new(const int64_t *label, int64_t n);
/* The share of process `rank` of `world`: numbers rank, rank + world, ... of what `of` gives, which every process must
 * seed alike. All have equally many: what is left over is dropped with drop_last, else the beginning is taken again
 * (as PyTorch's DistributedSampler does). Does not own `of`. */
TERN_API tern_sampler *tern_sampler_distributed_new(tern_sampler *of, int rank, int world, bool drop_last);

#ifdef __cplusplus
}
#endif
#endif
