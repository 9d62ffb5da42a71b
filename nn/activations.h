/* Activations as modules: the op of the same name in pointwise.h or norm.h. Each _new returns a module for the caller
 * to free (or to hand to a parent), NULL on errors. Without parameters, except prelu. */
#ifndef TERN_ACTIVATIONS_H
#define TERN_ACTIVATIONS_H

#include "tern/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Elementwise, without settings: the formulas stand in pointwise.h. */
TERN_API tern_module *tern_relu_new(void);
TERN_API tern_module *tern_relu6_new(void);
TERN_API tern_module *tern_gelu_new(bool tanh_form);
TERN_API tern_module *tern_selu_new(void);
TERN_API tern_module *tern_silu_new(void);
TERN_API tern_module *tern_mish_new(void);
TERN_API tern_module *tern_sigmoid_new(void);
TERN_API tern_module *tern_logsigmoid_new(void);
TERN_API tern_module *tern_hardsigmoid_new(void);
TERN_API tern_module *tern_hardswish_new(void);
TERN_API tern_module *tern_tanh_new(void);
TERN_API tern_module *tern_tanhshrink_new(void);
TERN_API tern_module *tern_softplus_new(void);
TERN_API tern_module *tern_softsign_new(void);
/* Any op of one tensor as a module: tern_op_new(tern_exp, "exp"). type: static or owned by the program. */
TERN_API tern_module *tern_op_new(tern_tensor *(*op)(tern_tensor *), const char *type);
/* x as it is: a place to hang a hook on, or the part that another one replaces. */
TERN_API tern_module *tern_identity_new(void);

/* With the op's settings, which are checked here. Errors: TERN_ERR_ARGUMENT. */
TERN_API tern_module *tern_leaky_relu_new(double slope);
/* The slope is drawn uniformly in [lo, hi) for each element in training; (lo + hi) / 2 in evaluation. 1/8 and 1/3 are
 * usual. Source: Xu et al., arXiv 1505.00853. */
TERN_API tern_module *tern_rrelu_new(double lo, double hi);
TERN_API tern_module *tern_elu_new(double alpha);
TERN_API tern_module *tern_celu_new(double alpha); /* alpha is not 0 */
TERN_API tern_module *tern_hardshrink_new(double lambda);
TERN_API tern_module *tern_softshrink_new(double lambda); /* lambda >= 0 */
TERN_API tern_module *tern_hardtanh_new(double lo, double hi);
TERN_API tern_module *tern_threshold_new(double threshold, double value);
TERN_API tern_module *tern_softplus_beta_new(double beta, double threshold); /* beta is not 0 */
/* Over dimension dim; glu halves it. */
TERN_API tern_module *tern_softmax_new(int dim);
TERN_API tern_module *tern_softmin_new(int dim);
TERN_API tern_module *tern_log_softmax_new(int dim);
TERN_API tern_module *tern_glu_new(int dim);
/* weight [n], all `slope` (PyTorch's is 0.25): one for all (n = 1), or one for each channel (dimension 1 of x). */
TERN_API tern_module *tern_prelu_new(int64_t n, double slope);

#ifdef __cplusplus
}
#endif
#endif
