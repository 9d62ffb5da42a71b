/* What the fused parameter updates share. Private to core/ops. */
#ifndef TERNI_UPDATE_H
#define TERNI_UPDATE_H

#include "internal.h"

enum { TERNI_UPDATE_TARGETS = 3 };

/* Runs kernel `id` with in: gradients, scale, rates, out: target[0] (the parameters), then target[1], ... , each of n
 * tensors, without those whose gradient is NULL. opts begins with the int32_t n, which is set to how many are left.
 * Checks that the i-th tensors are alike. */
typedef struct terni_update {
    const char *op;
    int id, n, n_target;
    tern_tensor *const *grad;
    tern_tensor *const *target[TERNI_UPDATE_TARGETS];
    const char *name[TERNI_UPDATE_TARGETS];
    tern_tensor *scale, *rates; /* NULL, or 0-dim and [n_rates] */
    int n_rates;
} terni_update;
bool terni_update_run(const terni_update *u, int32_t *opts);
/* A number on the device: t is NULL, or 0-dim, f32 or f64. */
bool terni_update_number(const char *op, const tern_tensor *t, const char *name);

#endif
