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

/* Where nothing else is said: inputs are floats that broadcast, the result has their promoted dtype (f16 and bf16
 * compute in f32), is 0-dim or, with TERN_REDUCE_NONE, has the broadcast shape, and every float input has a gradient.
 * Errors: TERN_ERR_SHAPE, TERN_ERR_DTYPE, TERN_ERR_ARGUMENT (an option outside its range). Names, formulas and
 * defaults are PyTorch's. */

/* (a - b)^2; |a - b|. */
TERN_API tern_tensor *tern_mse_loss(tern_tensor *a, tern_tensor *b, tern_reduction reduction);
TERN_API tern_tensor *tern_l1_loss(tern_tensor *a, tern_tensor *b, tern_reduction reduction);
/* With e = |a - b|: e^2 / 2 below delta, delta (e - delta / 2) above. delta > 0 (1 is usual). */
TERN_API tern_tensor *tern_huber_loss(tern_tensor *a, tern_tensor *b, double delta, tern_reduction reduction);
/* huber_loss / beta; l1_loss for beta = 0 (1 is usual). */
TERN_API tern_tensor *tern_smooth_l1_loss(tern_tensor *a, tern_tensor *b, double beta, tern_reduction reduction);
/* Kullback-Leibler divergence, by element: target (log target - input), where input holds log probabilities and target
 * probabilities; with log_target their logarithms. The mean is over all elements: PyTorch's "batchmean" is the sum
 * divided by the batch's size. */
TERN_API tern_tensor *tern_kl_div(tern_tensor *input, tern_tensor *target, bool log_target, tern_reduction reduction);

typedef struct tern_gaussian_nll_opts {
    tern_reduction reduction;
    bool full;  /* with the constant log(2 pi) / 2 */
    double eps; /* lower bound of var; 1e-6 if zero */
} tern_gaussian_nll_opts;
/* (log var + (input - target)^2 / var) / 2. var may also lack input's last dimension. Where the bound holds, var's
 * gradient is that at the bound. */
TERN_API tern_tensor *tern_gaussian_nll_loss(tern_tensor *input, tern_tensor *target, tern_tensor *var,
                                             tern_gaussian_nll_opts opts);
typedef struct tern_poisson_nll_opts {
    tern_reduction reduction;
    bool full;  /* with Stirling's approximation of log target! where target > 1 */
    double eps; /* 1e-8 if zero */
} tern_poisson_nll_opts;
/* log_input: exp(input) - target input; else input - target log(input + eps). */
TERN_API tern_tensor *tern_poisson_nll_loss(tern_tensor *input, tern_tensor *target, bool log_input,
                                            tern_poisson_nll_opts opts);

/* ---- of yes and no: input and target have one shape, weights broadcast to it --------------------------------------
 */

/* -weight (target log input + (1 - target) log(1 - input)), input in [0, 1] (NaN outside); the logarithms are no lower
 * than -100. weight or NULL. */
TERN_API tern_tensor *tern_bce_loss(tern_tensor *input, tern_tensor *target, tern_tensor *weight,
                                    tern_reduction reduction);
typedef struct tern_bce_with_logits_opts {
    tern_reduction reduction;
    tern_tensor *weight;     /* or NULL */
    tern_tensor *pos_weight; /* multiplies the target's term; or NULL */
} tern_bce_with_logits_opts;
/* The same of sigmoid(input), without overflow or cancellation. Grad: input, target, both weights. */
TERN_API tern_tensor *tern_bce_with_logits(tern_tensor *input, tern_tensor *target, tern_bce_with_logits_opts opts);
/* bce_with_logits times (1 - p)^gamma, p the probability given to the target, times alpha for target 1 and 1 - alpha
 * for 0 unless alpha < 0 (0.25 and 2 are usual). Source: Lin et al., arXiv 1708.02002; torchvision's form. */
TERN_API tern_tensor *tern_sigmoid_focal_loss(tern_tensor *input, tern_tensor *target, double alpha, double gamma,
                                              tern_reduction reduction);
/* log(1 + exp(-target input)), target -1 or 1. */
TERN_API tern_tensor *tern_soft_margin_loss(tern_tensor *input, tern_tensor *target, tern_reduction reduction);
/* The mean over the last dimension of bce_with_logits with weight (or NULL): [..., C] to [...]. */
TERN_API tern_tensor *tern_multilabel_soft_margin_loss(tern_tensor *input, tern_tensor *target, tern_tensor *weight,
                                                       tern_reduction reduction);

/* ---- of classes
 * ------------------------------------------------------------------------------------------------------ */

typedef struct tern_cross_entropy_opts {
    tern_reduction reduction;
    double label_smoothing; /* in [0, 1] */
    bool has_ignore_index;
    int64_t ignore_index; /* such targets count for nothing; -100 always does */
    tern_tensor *weight;  /* [C], or NULL */
} tern_cross_entropy_opts;

/* Cross entropy of class scores: logits [N, C, ...] or [C] float, target [N, ...] or 0-dim i64 or i32 in [0, C), or
 * probabilities: floats of logits' shape -> 0-dim, or [N, ...] with TERN_REDUCE_NONE. The mean divides by the sum of
 * the weights of the targets that are not ignored (NaN if all are); with probabilities, by their number. Errors:
 * TERN_ERR_INDEX for a target outside. Grad: logits, weight, probabilities. */
TERN_API tern_tensor *tern_cross_entropy(tern_tensor *logits, tern_tensor *target, tern_cross_entropy_opts opts);
typedef struct tern_nll_loss_opts {
    tern_reduction reduction;
    bool has_ignore_index;
    int64_t ignore_index; /* as above */
    tern_tensor *weight;  /* [C], or NULL */
} tern_nll_loss_opts;
/* -weight[target] input[target]: the same of log probabilities. Grad: input, weight. */
TERN_API tern_tensor *tern_nll_loss(tern_tensor *input, tern_tensor *target, tern_nll_loss_opts opts);

typedef struct tern_multi_margin_opts {
    tern_reduction reduction;
    tern_tensor *weight; /* [C], or NULL */
} tern_multi_margin_opts;
/* weight[t] / C times the sum over k != t of max(0, margin - input[t] + input[k])^p: input [N, C] or [C], target [N] or
 * 0-dim i64 or i32, p 1 or 2 (1 and margin 1 are usual). Errors: TERN_ERR_INDEX. Grad: input, weight. */
TERN_API tern_tensor *tern_multi_margin_loss(tern_tensor *input, tern_tensor *target, int p, double margin,
                                             tern_multi_margin_opts opts);
/* 1 / C times the sum over targets j and classes k that are none of max(0, 1 - input[j] + input[k]): input and target
 * [N, C] or [C]; a row's targets (i64 or i32) end at the first negative number. Errors: TERN_ERR_INDEX. Grad: input. */
TERN_API tern_tensor *tern_multilabel_margin_loss(tern_tensor *input, tern_tensor *target, tern_reduction reduction);

typedef struct tern_ctc_opts {
    tern_reduction reduction;
    int64_t blank;      /* its class number */
    bool zero_infinity; /* infinite losses become 0 */
} tern_ctc_opts;
/* Connectionist temporal classification: log_probs [T, N, C], targets [N, S] or one sequence's after the other's,
 * input_lengths and target_lengths [N], all i64 or i32 -> 0-dim, or [N] with TERN_REDUCE_NONE. The mean is over losses
 * divided by their target's length (at least 1). Infinite where no alignment fits; its gradient is then 0. Errors:
 * TERN_ERR_INDEX (lengths, targets outside), TERN_ERR_UNSUPPORTED for a second derivative. Grad: log_probs. Source:
 * Graves et al., ICML 2006. */
TERN_API tern_tensor *tern_ctc_loss(tern_tensor *log_probs, tern_tensor *targets, tern_tensor *input_lengths,
                                    tern_tensor *target_lengths, tern_ctc_opts opts);

/* ---- of rankings and embeddings -----------------------------------------------------------------------------------
 */

/* max(0, -target (a - b) + margin), target -1 or 1. */
TERN_API tern_tensor *tern_margin_ranking_loss(tern_tensor *a, tern_tensor *b, tern_tensor *target, double margin,
                                               tern_reduction reduction);
/* input where target is 1, max(0, margin - input) where it is -1 (margin 1 is usual). Grad: input. */
TERN_API tern_tensor *tern_hinge_embedding_loss(tern_tensor *input, tern_tensor *target, double margin,
                                                tern_reduction reduction);
/* 1 - cos(a, b) where target is 1, max(0, cos(a, b) - margin) where it is -1: a, b [N, D] or [D], target [N] or 0-dim
 * of any dtype. Grad: a, b. */
TERN_API tern_tensor *tern_cosine_embedding_loss(tern_tensor *a, tern_tensor *b, tern_tensor *target, double margin,
                                                 tern_reduction reduction);
typedef struct tern_triplet_margin_opts {
    tern_reduction reduction;
    double p;   /* of the distance; 2 if zero */
    double eps; /* 1e-6 if zero */
    bool swap;  /* the nearer of anchor and positive is compared with the negative */
} tern_triplet_margin_opts;
/* max(0, d(anchor, positive) - d(anchor, negative) + margin), d being pairwise_distance (margin 1 is usual). Source:
 * Balntas et al., BMVC 2016. */
TERN_API tern_tensor *tern_triplet_margin_loss(tern_tensor *anchor, tern_tensor *positive, tern_tensor *negative,
                                               double margin, tern_triplet_margin_opts opts);

/* ---- distances: gradient 0 where a distance is 0 ------------------------------------------------------------------
 */

/* a . b / (max(|a|, eps) max(|b|, eps)) over dim; a and b broadcast. eps 1e-8 is usual. */
TERN_API tern_tensor *tern_cosine_similarity(tern_tensor *a, tern_tensor *b, int dim, double eps);
/* The p norm over the last dimension of a - b + eps; a and b broadcast. p is 0, positive or INFINITY; 2 and 1e-6 are
 * usual. */
TERN_API tern_tensor *tern_pairwise_distance(tern_tensor *a, tern_tensor *b, double p, double eps, bool keepdim);
/* The p norms of all differences of rows: a [..., P, M], b [..., R, M] -> [..., P, R]; leading dimensions broadcast.
 * Many Euclidean distances at once come from a matrix product, whose rounding shows in distances much smaller than the
 * points' spread. */
TERN_API tern_tensor *tern_cdist(tern_tensor *a, tern_tensor *b, double p);
/* Those of x's own rows, each pair i < j once, in row-major order: [N, M] -> [N (N - 1) / 2]. */
TERN_API tern_tensor *tern_pdist(tern_tensor *x, double p);

#ifdef __cplusplus
}
#endif
#endif
