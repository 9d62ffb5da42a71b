/* What samplers and the datasets that split themselves share. Private. */
#ifndef TERNI_SAMPLER_INTERNAL_H
#define TERNI_SAMPLER_INTERNAL_H

#include "tern/random.h"
#include "tern/sampler.h"

/* A random order of v (Fisher and Yates). */
void terni_shuffle(tern_random *r, int64_t *v, int64_t n);
/* The stream that an epoch's order is drawn from. */
tern_random terni_epoch_random(uint64_t seed, int64_t epoch);

#endif
