/* Parameter updates. What each kernel takes and gives; see backend.h. */
#ifndef TERNI_CONTRACT_UPDATE_H
#define TERNI_CONTRACT_UPDATE_H

#include "tern/base.h"

typedef struct terni_sgd_opts {
    int32_t n;
    double lr, momentum, dampening, weight_decay;
    bool nesterov, first;
} terni_sgd_opts;
/* sgd_update: in n gradients (NULL: skip); out n parameters, then n momenta (NULL if momentum is 0). Tensors i are
 * alike, contiguous, float. */

typedef struct terni_adam_opts {
    int32_t n;
    double lr, beta1, beta2, eps, weight_decay;
    double correction1, correction2; /* 1 - beta^step */
    bool decoupled;
} terni_adam_opts;
/* adam_update: in n gradients (NULL: skip); out n parameters, n first moments, n second moments. As sgd_update. */

/* global_norm: in n views (NULL: skip), any float dtypes, contiguous; out y 0-dim, f32 or f64. Does not overflow where
 * the result does not. */

#endif
