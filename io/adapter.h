/* Low-rank adapters in the files of PEFT, Hugging Face's library: a folder with adapter_config.json and
 * adapter_model.safetensors, which either side reads. */
#ifndef TERN_ADAPTER_H
#define TERN_ADAPTER_H

#include "tern/lora.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_adapter_opts {
    const char *prefix;     /* what the other side's names have in front of m's ("transformer."); or NULL */
    const char *base_model; /* saving: base_model_name_or_path, or NULL */
    const char *task;       /* saving: task_type ("CAUSAL_LM"), or NULL */
    bool fan_in_fan_out;    /* saving: the other side stores these weights as [in, out], as GPT-2's are there */
} tern_adapter_opts;
/* Writes the adapters of m (tern_lora_attach) into folder, which is made. All must have the same settings. The weights
 * are written first; each file replaces the old one as a whole. Errors: TERN_ERR_ARGUMENT if m has no adapters or their
 * settings differ; TERN_ERR_IO. */
TERN_API bool tern_adapter_save(const char *folder, tern_module *m, tern_adapter_opts opts);
/* Gives m's linear layers the adapters of folder; layers that have one already must have the same settings. Errors:
 * TERN_ERR_IO, TERN_ERR_FORMAT, TERN_ERR_ARGUMENT for layers that m has not, TERN_ERR_SHAPE; TERN_ERR_UNSUPPORTED for
 * settings that Tern has not (other methods, ranks that differ by layer, biases, DoRA, beginnings such as PiSSA's that
 * change the weights themselves) and for PyTorch's pickles. All of the file is compared with m first: on errors nothing
 * was changed, but where memory runs out adapters that were attached stay, and some may have the file's values. Merged
 * adapters that are in the file are taken off, and are loaded unmerged. */
TERN_API bool tern_adapter_load(const char *folder, tern_module *m, tern_adapter_opts opts);

#ifdef __cplusplus
}
#endif
#endif
