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
 * the step's factors are computed in double. What the options name as a tensor lies on the same device and is read
 * there, so nothing waits for it:
 *   grad_scale        0-dim, f32 or f64: multiplies the gradients as they are read; NULL: 1
 *   skip_not_finite   where grad_scale is not finite nothing is changed
 *   rates             f64, numbers that differ from step to step, in place of those given here, so that captured graphs
 *                     (tern/graph.h) can have them; NULL: those given here */

typedef struct tern_sgd_update_opts {
    double lr, momentum, dampening, weight_decay;
    bool nesterov;
    bool first; /* no momentum buffer yet: it starts as the gradient */
    bool skip_not_finite;
    tern_tensor *grad_scale;
    tern_tensor *rates; /* [1]: lr */
} tern_sgd_update_opts;
/* momentum[i] may be NULL if opts.momentum is 0. Source: Sutskever et al., ICML 2013, in PyTorch's form. */
TERN_API bool tern_sgd_update(tern_tensor *const *param, tern_tensor *const *grad, tern_tensor *const *momentum, int n,
                              tern_sgd_update_opts opts);

typedef struct tern_adam_update_opts {
    double lr, beta1, beta2, eps, weight_decay;
    bool decoupled; /* AdamW: decay the parameter, not through the gradient */
    bool skip_not_finite;
    int64_t step; /* 1 at the first update */
    tern_tensor *grad_scale;
    tern_tensor *rates; /* [3]: lr, 1 - beta1^step, 1 - beta2^step */
} tern_adam_update_opts;
/* Source: Kingma and Ba, arXiv 1412.6980; decoupled: Loshchilov and Hutter, arXiv 1711.05101. */
TERN_API bool tern_adam_update(tern_tensor *const *param, tern_tensor *const *grad, tern_tensor *const *m,
                               tern_tensor *const *v, int n, tern_adam_update_opts opts);
/* Euclidean norm of all elements of n tensors together (NULL entries are skipped), 0-dim, f32 (f64 if one is). No
 * gradient. */
TERN_API tern_tensor *tern_global_norm(tern_tensor *const *x, int n);

typedef struct tern_grad_scale_opts {
    double max_norm;      /* larger gradients are cut to it; 0: they are not */
    tern_tensor *unscale; /* 0-dim, f32 or f64, multiplies the gradients first, as 1 / (loss scale) does; NULL: 1 */
} tern_grad_scale_opts;
/* What an update is to multiply gradients by (its grad_scale): unscale x min(1, max_norm / (norm + 1e-6)), where norm
 * is the global norm of the n gradients x unscale; NaN where that is not finite. One pass reads the gradients, nothing
 * waits. *norm (or NULL) is the norm. Both 0-dim, of the global norm's dtype, owned by the current scope. No gradient.
 * Errors: TERN_ERR_ARGUMENT (max_norm negative or NaN), TERN_ERR_SHAPE, TERN_ERR_DTYPE. Source: Pascanu et al., arXiv
 * 1211.5063. */
TERN_API tern_tensor *tern_grad_scale(tern_tensor *const *grad, int n, tern_grad_scale_opts opts, tern_tensor **norm);

#ifdef __cplusplus
}
#endif
#endif
