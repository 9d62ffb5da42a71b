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

/* ---- softmax, dropout
 * ------------------------------------------------------------------------------------------ */

/* exp(x) / sum(exp(x)) over dim, and its logarithm; stable. Floats; x's shape and dtype. Grad: x. */
TERN_API tern_tensor *tern_softmax(tern_tensor *x, int dim);
TERN_API tern_tensor *tern_log_softmax(tern_tensor *x, int dim);
/* Zeroes each element with probability p, scales the others by 1 / (1 - p); draws from the program's stream. x itself
 * if p is 0. Whether to call it at all (training or not) is the caller's. Errors: TERN_ERR_ARGUMENT unless 0 <= p <= 1.
 */
TERN_API tern_tensor *tern_dropout(tern_tensor *x, double p);

#ifdef __cplusplus
}
#endif
#endif
