/* GPT-2 as a module of a program's own: parameters are named as in the published weights, so that these load and what
 * is trained here can be read by others. Source: Radford et al., Language Models are Unsupervised Multitask Learners,
 * 2019. */
#ifndef GPT2_MODEL_H
#define GPT2_MODEL_H

#include <tern/tern.h>

enum { GPT2_LAYERS_MOST = 96 };

typedef struct gpt2_config {
    int64_t vocabulary, context, layers, heads, width;
    double dropout;
    bool recompute; /* blocks are computed again in the backward pass, instead of kept */
} gpt2_config;

typedef struct gpt2_block {
    tern_module m;
    tern_module *ln_1, *attn, *c_attn, *c_proj, *ln_2, *mlp, *c_fc, *mlp_proj;
    const gpt2_config *config;
} gpt2_block;

typedef struct gpt2 {
    tern_module m; /* first: a gpt2 is a module */
    tern_module *wte, *wpe, *ln_f;
    gpt2_block *h[GPT2_LAYERS_MOST];
    gpt2_config config;
} gpt2;

/* Weights as GPT-2's: normal of 0.02, those that write to the residual stream smaller by sqrt(2 layers). NULL after an
 * error. For tern_module_free(&g->m). */
gpt2 *gpt2_new(gpt2_config config);

/* tokens [B, T] i64 -> logits [B, T, vocabulary]. With a cache (no gradients) the tokens follow those that it has seen,
 * so that each costs one position only, and T is 1 unless it is empty; the logits are the last position's, [B, 1,
 * vocabulary]. */
tern_tensor *gpt2_forward(gpt2 *g, tern_tensor *tokens, tern_kv_cache *cache);

/* Arithmetic operations of a training step for one token of a context of that length. */
double gpt2_flops_per_token(const gpt2 *g, int64_t context);

/* ---- published weights: safetensors whose linear layers are stored [in, out] --------------------------------------
 */

/* The sizes that the file's tensors tell; heads are of width 64, as in all of GPT-2's. */
bool gpt2_config_from_weights(const char *path, gpt2_config *config);
bool gpt2_load_weights(gpt2 *g, const char *path);
bool gpt2_save_weights(gpt2 *g, const char *path);

#endif
