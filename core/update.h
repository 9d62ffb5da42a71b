/* Parameter updates, for optimizers. */
#ifndef TERN_UPDATE_H
#define TERN_UPDATE_H

#include "tern/autograd.h"
#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- fused parameter updates, for optimizers --------------------------------------------------------------------- */

/* Rules, with the states and the numbers that each takes, in order. What p is multiplied by (shrink) is 1 - lr x decay
 * for decay of the parameter itself, else 1; decay is added to the gradient, x p. One row each in core/update.def. */
typedef enum tern_update_rule {
    /* lr, decay, shrink. */
    TERN_UPDATE_SGD,
    /* lr, decay, shrink, keep, take, here, ahead; buffer: buffer = keep buffer + take g, p -= lr (here g + ahead
     * buffer). With Nesterov's momentum here is 1 and ahead the momentum, else they are 0 and 1. Sutskever et al., ICML
     * 2013, in PyTorch's form. */
    TERN_UPDATE_MOMENTUM,
    /* lr / (1 - beta1^t), 1 / sqrt(1 - beta2^t), decay, shrink, 1 - beta1, beta2, 1 - beta2, eps; m, v, [largest v, for
     * AMSGrad]. Kingma and Ba, arXiv 1412.6980; shrink: Loshchilov and Hutter, arXiv 1711.05101; Reddi et al., arXiv
     * 1904.09237. */
    TERN_UPDATE_ADAM,
    /* lr / (1 - beta1^t), decay, 1 - beta1, beta2, eps; m, u. Kingma and Ba. */
    TERN_UPDATE_ADAMAX,
    /* here, ahead (of g and m), 1 / sqrt(1 - beta2^t), decay, shrink, 1 - beta1, beta2, 1 - beta2, eps; m, v. Dozat,
     * ICLR workshop 2016. */
    TERN_UPDATE_NADAM,
    /* lr / (1 - beta1^t), plain, adaptive, decay, shrink, 1 - beta1, beta2, 1 - beta2, eps; m, v. The step is m (plain
     * + adaptive / (sqrt(v) + eps)). Liu et al., arXiv 1908.03265. */
    TERN_UPDATE_RADAM,
    /* lr, decay, alpha, 1 - alpha, the same or 0 (not centred), momentum, eps; v, [buffer], [mean]. Hinton, lecture 6e;
     * centred: Graves, arXiv 1308.0850. */
    TERN_UPDATE_RMSPROP,
    /* lr, decay, eps; sum. Duchi et al., JMLR 12 (2011). */
    TERN_UPDATE_ADAGRAD,
    /* lr, decay, rho, 1 - rho, eps; v, accumulated delta. Zeiler, arXiv 1212.5701. */
    TERN_UPDATE_ADADELTA,
    /* shorter, longer (factors), least, most (sizes); previous gradient, step size. Riedmiller and Braun, ICNN 1993. */
    TERN_UPDATE_RPROP,
    /* size, decay, shrink, share; average. Polyak and Juditsky, SIAM J. Control Optim. 30 (1992), in PyTorch's form. */
    TERN_UPDATE_ASGD,
    /* lr, shrink, beta1, 1 - beta1, beta2, 1 - beta2; m. Chen et al., arXiv 2302.06675. */
    TERN_UPDATE_LION,
    /* 1 / (1 - beta1^t), 1 / sqrt(1 - beta2^t), decay, 1 - beta1, beta2, 1 - beta2, eps; m, v, direction, which is
     * written; p stays. You et al., arXiv 1904.00962. */
    TERN_UPDATE_LAMB,
    /* share: p += share (g - p), where "gradients" are what is averaged. */
    TERN_UPDATE_AVERAGE
} tern_update_rule;
/* How many numbers a rule takes; 0 if there is no such rule. Thread-safe. */
TERN_API int tern_update_numbers(tern_update_rule rule);

typedef struct tern_update_opts {
    tern_tensor *grad_scale; /* 0-dim, f32 or f64, on the parameters' device: multiplies the gradients as they are read;
                                NULL: 1 */
    bool skip_not_finite;    /* where grad_scale is not finite nothing is changed */
    bool maximize;           /* climb: gradients change their sign */
    double clip_value;       /* then they are cut to [-clip_value, clip_value]; 0: they are not */
    tern_tensor *rates;      /* f64 [numbers], on the device, in place of numbers, so that captured graphs
                                (tern/graph.h) can have numbers that differ from step to step; NULL: numbers hold */
    tern_tensor *const *low; /* n tensors, f16 or bf16 as the gradients then are, that take the new parameters; param
                                and states are f32 then. NULL: none */
} tern_update_opts;
/* Updates n tensors in one call, in place, outside of autograd. grad[i] may be NULL: that tensor is left alone.
 * state[k] is an array of n tensors like param; those in [] above may be NULL, and state too if the rule has no others.
 * What lies on the device is read there, so nothing waits for it. Errors: TERN_ERR_ARGUMENT, TERN_ERR_SHAPE,
 * TERN_ERR_DTYPE, TERN_ERR_DEVICE. */
TERN_API bool tern_update(tern_update_rule rule, tern_tensor *const *param, tern_tensor *const *grad,
                          tern_tensor *const *const *state, int n, const double *numbers, tern_update_opts opts);

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
