/* Normalisation and softmax. What each kernel takes and gives; see backend.h. */
#ifndef TERNI_CONTRACT_NORM_H
#define TERNI_CONTRACT_NORM_H

#include "tern/base.h"

typedef struct terni_batch_norm_opts {
    double momentum, eps;
} terni_batch_norm_opts;
/* batch_norm: training mode. in x [N,C,I] contiguous, weight [C], bias [C] or NULL; out y [N,C,I], mean [C] of dtype A,
 *   rstd [C] of dtype A, running_mean [C] or NULL, running_var [C] or NULL (both updated in place). weight, bias and
 *   running ones share one dtype, which is x's or f32. N I >= 2.
 * batch_norm_grad: in gy, x, weight or NULL, mean, rstd; out gx or NULL, gweight [C] or NULL, gbias [C] or NULL. */

typedef struct terni_layer_norm_opts {
    double eps;
} terni_layer_norm_opts;
/* layer_norm: in x [R,C] contiguous, weight [C], bias [C] or NULL (x's dtype or f32); out y [R,C], mean [R], rstd [R]
 * of dtype A. layer_norm_grad: in gy, x, weight or NULL, mean, rstd; out gx or NULL, gweight or NULL, gbias or NULL. */

/* rms_norm: in x [R,C] contiguous, weight [C] or NULL (x's dtype or f32); out y [R,C], rstd [R] of dtype A:
 *   rstd = 1 / sqrt(mean x^2 + eps), y = x rstd weight. Options: terni_layer_norm_opts.
 * rms_norm_grad: in gy, x, weight or NULL, rstd; out gx or NULL, gweight [C] or NULL. */

typedef struct terni_group_norm_opts {
    double eps;
    int64_t groups; /* divides C */
} terni_group_norm_opts;
/* group_norm: in x [N,C,I] contiguous, weight [C] or NULL, bias [C] or NULL (x's dtype or f32); out y [N,C,I], mean and
 *   rstd [N groups] of dtype A, over C / groups channels and I each. group_norm_grad: in gy, x, weight or NULL, mean,
 *   rstd; out gx or NULL, gweight [C] or NULL, gbias [C] or NULL. */

/* softmax, log_softmax: in x [outer,C,inner] contiguous; out y. Over the middle dimension, stable, in A.
 * softmax_grad, log_softmax_grad: in gy, y; out gx. */

#endif
