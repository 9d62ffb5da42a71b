/* Parameter updates. What each kernel takes and gives; see backend.h. */
#ifndef TERNI_CONTRACT_UPDATE_H
#define TERNI_CONTRACT_UPDATE_H

#include "tern/base.h"

#ifdef __CUDACC__
#define TERNI_UPDATE_FN __host__ __device__ static inline
#else
#define TERNI_UPDATE_FN static inline
#endif

/* Both updates: in n gradients (NULL: skip), then scale, 0-dim, f32 or f64, which multiplies all gradients as they are
 * read (NULL: 1), then rates, f64, contiguous, in place of numbers in the options (NULL: these hold); out n parameters,
 * then state. The tensors i are alike, contiguous, float. With skip, nothing changes where scale is not finite: the
 * device looks, the host does not wait. */

typedef struct terni_sgd_opts {
    int32_t n;
    double lr, momentum, dampening, weight_decay;
    bool nesterov, first, skip;
} terni_sgd_opts;
/* sgd_update: rates [1]: lr. State: n momenta (NULL if momentum is 0). */

typedef struct terni_adam_opts {
    int32_t n;
    double lr, beta1, beta2, eps, weight_decay;
    double correction1, correction2; /* 1 - beta^step */
    bool decoupled, skip;
} terni_adam_opts;
/* adam_update: rates [3]: lr, correction1, correction2. State: n first moments, n second moments. */

typedef struct terni_norm_opts {
    int32_t n;
    double max_norm; /* for the factor; 0: no limit */
} terni_norm_opts;
/* global_norm: in n views (NULL: skip), any float dtypes, contiguous, then unscale, 0-dim, f32 or f64 (NULL: 1); out y,
 * 0-dim, f32 or f64: the norm of all elements times unscale, then factor, of y's dtype, or NULL: terni_clip_factor. y
 * does not overflow where the result does not. */

/* What clips a gradient whose norm, times unscale, is `norm`; NaN if that is not finite. Source: Pascanu et al., arXiv
 * 1211.5063, with PyTorch's 1e-6. */
TERNI_UPDATE_FN double terni_clip_factor(double norm, double unscale, double max_norm) {
    const double none = norm - norm; /* 0 or NaN */
    const bool clips = max_norm > 0 && max_norm < norm + 1e-6;
    return none + (clips ? unscale * (max_norm / (norm + 1e-6)) : unscale);
}

#endif
