/* Normalisation, softmax, dropout. See ops.h for what holds for every op. */
#ifndef TERN_NORM_H
#define TERN_NORM_H

#include "tern/autograd.h"
#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- normalisation
 * --------------------------------------------------------------------------------------------------- */

typedef struct tern_batch_norm_opts {
    double momentum; /* 0.1 if zero; running = (1 - momentum) running + momentum batch */
    double eps;      /* 1e-5 if zero */
    bool training;   /* batch statistics, and the running ones are updated; else the running ones are used */
} tern_batch_norm_opts;

/* Normalises each channel: x [N, C, ...], weight and bias [C] or NULL; running_mean and running_var [C], both or
 * neither (training only, then). The running variance takes the unbiased one. f16 and bf16 x may come with f32 weights
 * and statistics. Grad: x, weight, bias. Source: Ioffe and Szegedy, arXiv 1502.03167. */
TERN_API tern_tensor *tern_batch_norm(tern_tensor *x, tern_tensor *weight, tern_tensor *bias, tern_tensor *running_mean,
                                      tern_tensor *running_var, tern_batch_norm_opts opts);
/* Normalises over the last n_dims dimensions (biased variance); weight and bias have their shape, or are NULL. eps 0
 * means 1e-5. Grad: x, weight, bias. Source: Ba, Kiros and Hinton, arXiv 1607.06450. */
TERN_API tern_tensor *tern_layer_norm(tern_tensor *x, int n_dims, tern_tensor *weight, tern_tensor *bias, double eps);
/* x / sqrt(mean(x^2) + eps) over the last n_dims dimensions, times weight of their shape, or NULL. eps 0 means the
 * dtype's machine epsilon (f32's for f16 and bf16). Grad: x, weight. Source: Zhang and Sennrich, arXiv 1910.07467. */
TERN_API tern_tensor *tern_rms_norm(tern_tensor *x, int n_dims, tern_tensor *weight, double eps);
/* Normalises each of `groups` groups of channels of each sample (biased variance): x [N, C, ...], weight and bias [C]
 * or NULL. groups divides C. eps 0 means 1e-5. Grad: x, weight, bias. Source: Wu and He, arXiv 1803.08494. */
TERN_API tern_tensor *tern_group_norm(tern_tensor *x, int64_t groups, tern_tensor *weight, tern_tensor *bias,
                                      double eps);

typedef struct tern_instance_norm_opts {
    double momentum;  /* 0.1 if zero; running = (1 - momentum) running + momentum (mean over the samples) */
    double eps;       /* 1e-5 if zero */
    bool use_running; /* normalise with the running statistics instead of the samples' own; they are not updated */
} tern_instance_norm_opts;
/* Normalises each channel of each sample: x [N, C, ...] with a dimension or more after C, weight and bias [C] or NULL;
 * running_mean and running_var [C], both or neither, are updated unless they are used; the variance that enters them is
 * the unbiased one. Grad: x, weight, bias. Source: Ulyanov et al., arXiv 1607.08022. */
TERN_API tern_tensor *tern_instance_norm(tern_tensor *x, tern_tensor *weight, tern_tensor *bias,
                                         tern_tensor *running_mean, tern_tensor *running_var,
                                         tern_instance_norm_opts opts);

typedef struct tern_local_response_norm_opts {
    double alpha; /* 1e-4 if zero */
    double beta;  /* 0.75 if zero */
    double k;     /* 1 if zero */
} tern_local_response_norm_opts;
/* x / (k + alpha mean of x^2 over `size` channels around, zeros beyond the ends)^beta; x [N, C, ...]. An even size has
 * one channel more before than after. Source: Krizhevsky et al., NIPS 2012. */
TERN_API tern_tensor *tern_local_response_norm(tern_tensor *x, int64_t size, tern_local_response_norm_opts opts);

typedef struct tern_normalize_opts {
    double p;   /* the norm's order, 2 if zero; INFINITY takes the largest */
    double eps; /* 1e-12 if zero */
} tern_normalize_opts;
/* x / max(its p-norm over dim, eps). */
TERN_API tern_tensor *tern_normalize(tern_tensor *x, int dim, tern_normalize_opts opts);

/* ---- softmax, dropout
 * ------------------------------------------------------------------------------------------ */

/* exp(x) / sum(exp(x)) over dim, and its logarithm; stable. Floats; x's shape and dtype. Grad: x. */
TERN_API tern_tensor *tern_softmax(tern_tensor *x, int dim);
TERN_API tern_tensor *tern_log_softmax(tern_tensor *x, int dim);
/* Zeroes each element with probability p, scales the others by 1 / (1 - p); draws from the program's stream. x itself
 * if p is 0. Whether to call it at all (training or not) is the caller's. Errors: TERN_ERR_ARGUMENT unless 0 <= p <= 1.
 */
TERN_API tern_tensor *tern_dropout(tern_tensor *x, double p);
/* softmax of -x. */
TERN_API tern_tensor *tern_softmin(tern_tensor *x, int dim);
/* softmax((logits + Gumbel noise) / tau) over dim. hard gives the one-hot vector of the largest, with the soft sample's
 * gradient (straight through). tau > 0. Source: Jang, Gu and Poole, arXiv 1611.01144. */
TERN_API tern_tensor *tern_gumbel_softmax(tern_tensor *logits, int dim, double tau, bool hard);
/* Dropout of whole channels: one draw for each [n, c]. x [N, C, ...] with 1, 2 or 3 dimensions after C, or [C, ...]
 * without N. Errors: as tern_dropout; TERN_ERR_SHAPE. */
TERN_API tern_tensor *tern_dropout1d(tern_tensor *x, double p);
TERN_API tern_tensor *tern_dropout2d(tern_tensor *x, double p);
TERN_API tern_tensor *tern_dropout3d(tern_tensor *x, double p);
/* Dropout for SELU networks: sets elements to SELU's lower limit, then keeps mean 0 and variance 1 by a scale and a
 * shift. The feature form takes x [N, C, ...] and draws once for each [n, c]. Source: Klambauer et al., arXiv
 * 1706.02515. */
TERN_API tern_tensor *tern_alpha_dropout(tern_tensor *x, double p);
TERN_API tern_tensor *tern_feature_alpha_dropout(tern_tensor *x, double p);

#ifdef __cplusplus
}
#endif
#endif
