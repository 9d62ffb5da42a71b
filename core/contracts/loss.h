/* Losses. What each kernel takes and gives; see backend.h. */
#ifndef TERNI_CONTRACT_LOSS_H
#define TERNI_CONTRACT_LOSS_H

#include "tern/base.h"

enum {
    TERNI_PAIR_SQUARE, /* (a - b)^2 */
    TERNI_PAIR_ABS,    /* |a - b| */
    TERNI_PAIR_HUBER,  /* e = |a - b|: e^2 / 2 up to parameter, a line beyond */
    TERNI_PAIR_LOGITS  /* max(a, 0) - a b + log(1 + e^-|a|) */
};
typedef struct terni_pair_loss_opts {
    int32_t kind, reduction; /* tern_reduction */
    double parameter;
    double factor; /* of values and gradients; for MEAN it includes 1 / n */
} terni_pair_loss_opts;
/* pair_loss: in a, b, contiguous, of one shape, f32 or f64; out y, 0-dim, or of a's shape for NONE. pair_loss_grad: in
 * gy (y's shape, contiguous), a, b; out ga, gb, each contiguous or NULL. */

typedef struct terni_cross_entropy_opts {
    int32_t reduction; /* tern_reduction */
    double label_smoothing;
    int64_t ignore_index; /* -100 is ignored besides */
} terni_cross_entropy_opts;
/* cross_entropy: in logits [N,C,I] contiguous, target [N,I] contiguous i64 or i32; out loss (0-dim, or [N,I] for NONE)
 * of logits' dtype, lse [N,I] of dtype A (log of the sum of exponentials), count 0-dim of dtype A (targets not
 * ignored). Fails with TERN_ERR_INDEX: "target 12 at position 3 is outside [0, 10)". cross_entropy_grad: in gloss
 * (loss's shape, contiguous), logits, target, lse, count; out glogits. */

typedef struct terni_ctc_opts {
    int64_t blank;
} terni_ctc_opts;
/* ctc_loss: in log_probs [T,N,C] f32 or f64, targets (all of them, in rows or not), start [N], input_lengths [N],
 * target_lengths [N], all i64 and contiguous; out loss [N], grad [T,N,C] or NULL, of log_probs' dtype. Sequence n's
 * labels are targets[start[n]] and so on; loss is -log of the sum of its alignments' probabilities, infinite if there
 * is none; grad is d loss[n] / d log_probs, 0 beyond the input's length and for infinite losses. Fails with
 * TERN_ERR_INDEX for lengths and labels outside. */

#endif
