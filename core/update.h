/* Parameter updates, for optimizers. */
#ifndef TERN_UPDATE_H
#define TERN_UPDATE_H

#include "tern/autograd.h"
#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- fused parameter updates, for optimizers
 * ------------------------------------------------------------------------------ * Each updates n tensors in one call,
 * in place, outside of autograd. grad[i] may be NULL: that tensor is left alone. All arrays hold tensors like param[i];
 * the step's factors are computed in double. */

typedef struct tern_sgd_update_opts {
    double lr, momentum, dampening, weight_decay;
    bool nesterov;
    bool first; /* no momentum buffer yet: it starts as the gradient */
} tern_sgd_update_opts;
/* momentum[i] may be NULL if opts.momentum is 0. Source: Sutskever et al., ICML 2013, in PyTorch's form. */
TERN_API bool tern_sgd_update(tern_tensor *const *param, tern_tensor *const *grad, tern_tensor *const *momentum, int n,
                              tern_sgd_update_opts opts);

typedef struct tern_adam_update_opts {
    double lr, beta1, beta2, eps, weight_decay;
    bool decoupled; /* AdamW: decay the parameter, not through the gradient */
    int64_t step;   /* 1 at the first update */
} tern_adam_update_opts;
/* Source: Kingma and Ba, arXiv 1412.6980; decoupled: Loshchilov and Hutter, arXiv 1711.05101. */
TERN_API bool tern_adam_update(tern_tensor *const *param, tern_tensor *const *grad, tern_tensor *const *m,
                               tern_tensor *const *v, int n, tern_adam_update_opts opts);
/* Euclidean norm of all elements of n tensors together (NULL entries are skipped), 0-dim, f32 (f64 if one is). No
 * gradient. */
TERN_API tern_tensor *tern_global_norm(tern_tensor *const *x, int n);

#ifdef __cplusplus
}
#endif
#endif
