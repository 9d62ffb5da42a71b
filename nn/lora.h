/* Low-rank adapters on linear layers: y + scale B A x beside a weight that stays as it is. Source: Hu et al., arXiv
 * 2106.09685; names, initialisation and scale are those of the Python library PEFT. */
#ifndef TERN_LORA_H
#define TERN_LORA_H

#include "tern/module.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_lora_opts {
    int64_t rank;     /* 8 if zero */
    double alpha;     /* scale is alpha / rank; rank if zero, so that it is 1 */
    bool rank_stable; /* scale is alpha / sqrt(rank). Source: Kalajdzievski, arXiv 2312.03732 */
    double dropout;   /* of the adapter's input, in training */
} tern_lora_opts;
/* Gives every linear in m's tree whose full name matches a shell pattern ("*.linear?", "*_proj", as in fnmatch; m's own
 * is "") an adapter: children lora_A, a linear [rank, in] without bias that starts as linear does, and lora_B [out,
 * rank], zeros, of the weight's dtype and device. Nothing changes in what m computes until they are trained. Returns
 * how many there are, or -1, with nothing attached: TERN_ERR_ARGUMENT if no linear matches, one has an adapter already,
 * or a setting is outside its range. Attention's in_proj_weight is no linear; with kv_heads its projections are. */
TERN_API int tern_lora_attach(tern_module *m, const char *pattern, tern_lora_opts opts);
/* Freezes all parameters of m but the adapters'. Errors: TERN_ERR_ARGUMENT if there are none. */
TERN_API bool tern_lora_train_only(tern_module *m);
/* Adds every adapter in m's tree to its weight, so that a forward costs what it did without, or takes it off again (to
 * rounding). What is merged (not merged) already stays. A merged adapter does not learn. Errors: TERN_ERR_ARGUMENT if m
 * has no adapters, TERN_ERR_UNSUPPORTED for a weight with weight_norm or spectral_norm. */
TERN_API bool tern_lora_merge(tern_module *m);
TERN_API bool tern_lora_unmerge(tern_module *m);
/* Removes all adapters from m's tree; weights stay as they are, merged or not. Errors: TERN_ERR_ARGUMENT if there are
 * none. */
TERN_API bool tern_lora_detach(tern_module *m);
/* The adapter's settings of one linear into *opts, none of them left to default; false without an error if it has no
 * adapter. */
TERN_API bool tern_lora_settings(const tern_module *linear, tern_lora_opts *opts);
/* The i-th tensor of the adapters in m's tree, with its name in a file of PEFT ("base_model.model.NAME.lora_A.weight")
 * written into name (size bytes, cut). Owner: m. NULL past the end, without an error. */
TERN_API tern_tensor *tern_lora_each(tern_module *m, int i, char *name, size_t size);
/* The tensor of such a name. Owner: m. Errors: TERN_ERR_ARGUMENT, naming it. */
TERN_API tern_tensor *tern_lora_get(tern_module *m, const char *name);

#ifdef __cplusplus
}
#endif
#endif
