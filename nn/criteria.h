/* Losses as modules: with the weights that they carry as buffers, so that these are moved, converted and saved with a
 * model; and any loss of two tensors. Losses without state are the functions of loss.h. Each _new returns a module for
 * the caller to free (or to hand to a parent), NULL on errors; tensors that it is given are copied. Buffers are named
 * as PyTorch's. */
#ifndef TERN_CRITERIA_H
#define TERN_CRITERIA_H

#include "tern/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The op of the same name with these options; their tensors, where given, become the buffers weight and pos_weight. */
TERN_API tern_module *tern_cross_entropy_new(tern_cross_entropy_opts opts);
TERN_API tern_module *tern_nll_loss_new(tern_nll_loss_opts opts);
TERN_API tern_module *tern_bce_loss_new(tern_tensor *weight, tern_reduction reduction);
TERN_API tern_module *tern_bce_with_logits_new(tern_bce_with_logits_opts opts);
TERN_API tern_module *tern_multi_margin_loss_new(int p, double margin, tern_multi_margin_opts opts);
TERN_API tern_module *tern_multilabel_soft_margin_loss_new(tern_tensor *weight, tern_reduction reduction);
/* Any loss of this form: tern_loss_new(tern_mse_loss, "mse_loss", TERN_REDUCE_MEAN). type: static or owned by the
 * program. */
TERN_API tern_module *tern_loss_new(tern_tensor *(*loss)(tern_tensor *, tern_tensor *, tern_reduction),
                                    const char *type, tern_reduction reduction);
typedef struct tern_adaptive_log_softmax_opts {
    double div_value; /* by which each cluster is narrower than the one before it; 4 if zero */
    bool head_bias;
} tern_adaptive_log_softmax_opts;
/* Log-probabilities of many classes, numbered from the most to the least frequent: those before cutoffs[0] in the head,
 * those of [cutoffs[i], cutoffs[i + 1]) in cluster i, the last up to classes, each computed for the samples that need
 * it alone. cutoffs rise, within 1 .. classes - 1; they are copied. Children head, a linear, and tail, a list of two
 * linear layers in sequence each. tern_forward is x [N, in] -> log-probabilities of all classes, [N, classes].
 * Source: Grave et al., arXiv 1609.04309. */
TERN_API tern_module *tern_adaptive_log_softmax_new(int64_t in, int64_t classes, const int64_t *cutoffs, int n,
                                                    tern_adaptive_log_softmax_opts opts);
/* x [N, in] and target [N], i64 or i32, or both without N -> the targets' log-probabilities [N], in *loss (unless it is
 * NULL) the negative of their mean. Waits for the device. Grad: x, the parameters. Owner of both: the current scope.
 * Errors: TERN_ERR_SHAPE, TERN_ERR_DTYPE, TERN_ERR_INDEX for a target that is no class, TERN_ERR_ARGUMENT for another
 * module. */
TERN_API tern_tensor *tern_adaptive_log_softmax_forward(tern_module *m, tern_tensor *x, tern_tensor *target,
                                                        tern_tensor **loss);
/* The most probable classes [N], i64: clusters are computed where the head is for one. Waits for the device. */
TERN_API tern_tensor *tern_adaptive_log_softmax_predict(tern_module *m, tern_tensor *x);
/* Any loss with a number beside: tern_loss_of_number_new(tern_huber_loss, "huber_loss", delta, TERN_REDUCE_MEAN); also
 * tern_smooth_l1_loss with beta and tern_hinge_embedding_loss with a margin. The number is checked when it is called.
 */
TERN_API tern_module *tern_loss_of_number_new(tern_tensor *(*loss)(tern_tensor *, tern_tensor *, double,
                                                                   tern_reduction),
                                              const char *type, double number, tern_reduction reduction);
TERN_API tern_module *tern_kl_div_new(bool log_target, tern_reduction reduction);
TERN_API tern_module *tern_poisson_nll_loss_new(bool log_input, tern_poisson_nll_opts opts);
/* Two tensors to their cosines or distances, without a reduction: the op of the same name with these settings. */
TERN_API tern_module *tern_cosine_similarity_new(int dim, double eps);
TERN_API tern_module *tern_pairwise_distance_new(double p, double eps, bool keepdim);
/* The loss of input and target; shapes, gradient and errors are the op's. Errors: TERN_ERR_ARGUMENT for a module that
 * is no loss. */
TERN_API tern_tensor *tern_loss_forward(tern_module *m, tern_tensor *input, tern_tensor *target);

#ifdef __cplusplus
}
#endif
#endif
