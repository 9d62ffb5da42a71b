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
/* The loss of input and target; shapes, gradient and errors are the op's. Errors: TERN_ERR_ARGUMENT for a module that
 * is no loss. */
TERN_API tern_tensor *tern_loss_forward(tern_module *m, tern_tensor *input, tern_tensor *target);

#ifdef __cplusplus
}
#endif
#endif
