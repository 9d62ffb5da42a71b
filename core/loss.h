/* Losses and distances. See ops.h for what holds for every op. */
#ifndef TERN_LOSS_H
#define TERN_LOSS_H

#include "tern/autograd.h"
#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- losses -------------------------------------------------------------------------------------------------- */

typedef enum tern_reduction { TERN_REDUCE_MEAN = 0, TERN_REDUCE_SUM, TERN_REDUCE_NONE } tern_reduction;

typedef struct tern_cross_entropy_opts {
    tern_reduction reduction;
    double label_smoothing; /* in [0, 1] */
    bool has_ignore_index;
    int64_t ignore_index; /* such targets count for nothing; -100 always does */
} tern_cross_entropy_opts;

/* Cross entropy of class scores: logits [N, C, ...] float, target [N, ...] i64 or i32 in [0, C) -> 0-dim, or target's
 * shape with TERN_REDUCE_NONE. The mean is over the targets that are not ignored (NaN if all are). Errors:
 * TERN_ERR_INDEX for a target outside. Grad: logits. */
TERN_API tern_tensor *tern_cross_entropy(tern_tensor *logits, tern_tensor *target, tern_cross_entropy_opts opts);
/* (a - b)^2, reduced. a and b broadcast. */
TERN_API tern_tensor *tern_mse_loss(tern_tensor *a, tern_tensor *b, tern_reduction reduction);

#ifdef __cplusplus
}
#endif
#endif
