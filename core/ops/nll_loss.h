/* What nll_loss and cross_entropy share. Private to core/ops. */
#ifndef TERNI_NLL_LOSS_H
#define TERNI_NLL_LOSS_H

#include "ops/losses.h"

typedef struct terni_nll {
    tern_tensor *weight; /* of logp's dtype, or NULL */
    int64_t ignore_index;
    double smoothing;
} terni_nll;

/* The loss of log probabilities [N, C, ...], in the dtype of accumulation, and class numbers. */
tern_tensor *terni_nll_of(const terni_loss *l, tern_tensor *logp, tern_tensor *target, const terni_nll *o);
/* Cross entropy with class weights, with probabilities as targets, or of a single row. */
tern_tensor *terni_cross_entropy_of(const terni_loss *l, tern_tensor *logits, tern_tensor *target,
                                    tern_cross_entropy_opts opts);

#endif
