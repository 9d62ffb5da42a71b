/* Attention with its projections, transformer layers and stacks, positions. Each _new returns a module for the caller
 * to free (or to hand to a parent), NULL on errors (TERN_ERR_ARGUMENT for settings outside their range). Parameters are
 * named, ordered and initialised as PyTorch's. */
#ifndef TERN_TRANSFORMER_H
#define TERN_TRANSFORMER_H

#include "tern/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- attention --------------------------------------------------------------------------------------------------- */

typedef struct tern_multihead_attention_opts {
    int64_t kv_heads;        /* heads of keys and values, which divide those of queries; as many if zero */
    int64_t kdim, vdim;      /* the last dimension of key and value; dims if zero */
    bool batch_first;        /* [N, L, dims] instead of [L, N, dims] */
    bool no_bias;            /* of all projections */
    bool causal;             /* position i takes positions 0 .. i only, at every call */
    bool rotary;             /* queries and keys are turned by their positions (tern_rotary) */
    bool rotary_interleaved; /* as tern_rotary_opts has it */
    double rotary_base;      /* 10000 if zero */
    double dropout;          /* of the weights, in training */
} tern_multihead_attention_opts;
/* Attention of `heads` heads, which divide dims. Parameters in_proj_weight [3 dims, dims] (Glorot's uniform) and
 * in_proj_bias [3 dims] (zeros), child out_proj, a linear (bias zeros). Where kdim or vdim are others, q_proj_weight
 * [dims, dims], k_proj_weight [dims, kdim], v_proj_weight [dims, vdim] stand in place of in_proj_weight; with fewer
 * kv_heads there are the children q_proj, k_proj, v_proj, linear, instead of both. tern_forward is self-attention.
 * Source: Vaswani et al., arXiv 1706.03762; kv_heads: Ainslie et al., arXiv 2305.13245. */
TERN_API tern_module *tern_multihead_attention_new(int64_t dims, int64_t heads, tern_multihead_attention_opts opts);

/* The heads of queries of a multihead_attention; -1 where m is none. */
TERN_API int64_t tern_multihead_attention_heads(const tern_module *m);

/* Keys and values of the positions that were seen, so that a sequence can be gone through in pieces, a token at a time
 * or more, and each piece costs its own positions only. For every attention it holds one buffer of keys and one of
 * values, with room for `capacity` positions at first (64 if zero), which then doubles whenever it is too small. One
 * sequence, or batch of them, of one dtype and device; one thread at a time. To be given back with tern_kv_cache_free.
 * NULL on errors. */
typedef struct tern_kv_cache tern_kv_cache;
TERN_API tern_kv_cache *tern_kv_cache_new(int64_t capacity);
TERN_API void tern_kv_cache_free(tern_kv_cache *c);
/* Positions that were seen: 0 for an empty one and for NULL. A call that fails, of an attention, of a whole stack or
 * of tern_kv_cache_add, leaves the cache as it was. A program that makes several such calls for a piece and breaks off
 * between them takes the length from before the first and goes back to it by tern_kv_cache_set_length. */
TERN_API int64_t tern_kv_cache_length(const tern_kv_cache *c);
/* Forgets the positions from `length` on; with 0 all, keys of other sequences too. The buffers stay. Errors:
 * TERN_ERR_ARGUMENT beyond the present length. */
TERN_API bool tern_kv_cache_set_length(tern_kv_cache *c, int64_t length);
/* For attention of a program's own: puts k [..., H, L, E] and v [..., H, L, V] behind what the cache has under `owner`,
 * any address that tells the attention from the others, and returns all keys, in *values all values: views of the
 * buffers, [..., H, length, E]. Owner of both: the current scope. Without gradients: TERN_ERR_UNSUPPORTED unless
 * tern_grad_mode is off. Errors: TERN_ERR_SHAPE for k and v that are not as those before. */
TERN_API tern_tensor *tern_kv_cache_add(tern_kv_cache *c, const void *owner, tern_tensor *k, tern_tensor *v,
                                        tern_tensor **values);

/* Who sees whom in a call. True takes part, as in tern_scaled_dot_product_attention; PyTorch's module has it the other
 * way round.
 *
 * With a cache, attention of queries to themselves takes the queries as those behind the positions that the cache has:
 * S, also of the masks, counts all of them; causal and rotary go by positions in the whole sequence. Attention to
 * others computes their keys and values at the first call, and later takes those that it kept (key must be as long as
 * then). A transformer's stack takes one cache for all of its layers, and in cross the same one. tern_grad_mode has to
 * be off: TERN_ERR_UNSUPPORTED. */
typedef struct tern_attend_opts {
    tern_tensor *mask;     /* broadcast to [N, heads, L, S], or [heads, L, S] without N: bool, or added; or NULL */
    tern_tensor *key_mask; /* [N, S], or [S] without N: bool; keys that are there (false: padding); or NULL */
    bool causal;           /* beside the module's own */
    tern_kv_cache *cache;  /* or NULL */
} tern_attend_opts;
/* query [L, N, dims], key [S, N, kdim], value [S, N, vdim], with N in front if batch_first, or all without N -> like
 * query. key NULL: query; value NULL: key. A query that sees no key gives out_proj's bias. Grad: query, key, value, an
 * added mask, the parameters. Errors: TERN_ERR_SHAPE, TERN_ERR_DTYPE; TERN_ERR_ARGUMENT for another module. */
TERN_API tern_tensor *tern_multihead_attention_forward(tern_module *m, tern_tensor *query, tern_tensor *key,
                                                       tern_tensor *value, tern_attend_opts opts);

/* ---- layers and stacks ------------------------------------------------------------------------------------------- */

typedef struct tern_transformer_opts {
    int64_t ff;       /* width of the feed-forward part; 2048 if zero */
    double dropout;   /* in training, everywhere where PyTorch has it; 0: none (PyTorch's own default is 0.1) */
    double eps;       /* of the norms; 1e-5 if zero */
    bool gelu;        /* gelu in place of relu */
    bool batch_first; /* [N, L, dims] instead of [L, N, dims] */
    bool norm_first;  /* the norms stand before the parts, instead of after the sums */
    bool no_bias;
    bool causal;      /* self-attention: position i takes positions 0 .. i only */
    bool rotary;      /* self-attention: queries and keys are turned by their positions */
    int64_t kv_heads; /* self-attention: heads of keys and values; as many as of queries if zero */
} tern_transformer_opts;
/* Children self_attn, linear1, linear2, norm1, norm2. */
TERN_API tern_module *tern_transformer_encoder_layer_new(int64_t dims, int64_t heads, tern_transformer_opts opts);
/* Children self_attn, multihead_attn, linear1, linear2, norm1, norm2, norm3. */
TERN_API tern_module *tern_transformer_decoder_layer_new(int64_t dims, int64_t heads, tern_transformer_opts opts);
/* n copies of an encoder (decoder) layer, itself among them, so all start alike, as PyTorch's do: children layers.0,
 * layers.1, ..., and norm, a module for what comes out, unless that is NULL. Takes both; frees both on errors. */
TERN_API tern_module *tern_transformer_encoder_new(void *layer, int n, void *norm);
TERN_API tern_module *tern_transformer_decoder_new(void *layer, int n, void *norm);
/* x [L, N, dims] -> the same, through an encoder or a layer of it. tern_forward is this without masks. */
TERN_API tern_tensor *tern_transformer_encoder_forward(tern_module *m, tern_tensor *x, tern_attend_opts self);
/* x [L, N, dims] and memory [S, N, dims] -> like x, through a decoder or a layer of it. cross: what of memory is seen.
 */
TERN_API tern_tensor *tern_transformer_decoder_forward(tern_module *m, tern_tensor *x, tern_tensor *memory,
                                                       tern_attend_opts self, tern_attend_opts cross);
/* Encoder and decoder of so many layers with norms at their ends: children encoder, decoder; matrices start as Glorot's
 * uniform. opts.causal is for the decoder. */
TERN_API tern_module *tern_transformer_new(int64_t dims, int64_t heads, int encoder_layers, int decoder_layers,
                                           tern_transformer_opts opts);
/* decoder(target, encoder(source)). */
TERN_API tern_tensor *tern_transformer_forward(tern_module *m, tern_tensor *source, tern_tensor *target,
                                               tern_attend_opts source_self, tern_attend_opts target_self,
                                               tern_attend_opts cross);

/* ---- positions --------------------------------------------------------------------------------------------------- */

typedef struct tern_positions_opts {
    double base;      /* sinusoidal, rotary: 10000 if zero */
    bool batch_first; /* sinusoidal, learned: [N, L, dims] instead of [L, N, dims] */
    bool interleaved; /* rotary: as tern_rotary_opts has it */
} tern_positions_opts;
/* x [L, N, dims], or without N -> x + sin(p base^(-2 i / dims)) at element 2 i of position p, cos at 2 i + 1. dims
 * even. No parameters. Source: Vaswani et al., arXiv 1706.03762. */
TERN_API tern_module *tern_sinusoidal_positions_new(int64_t dims, tern_positions_opts opts);
/* x [L, N, dims], or without N, L <= length -> x + weight[p]. weight [length, dims]: normal of variance 1. */
TERN_API tern_module *tern_learned_positions_new(int64_t length, int64_t dims, tern_positions_opts opts);
/* x [..., L, dims] -> turned by positions 0 .. L - 1, all of dims. dims even. No parameters. */
TERN_API tern_module *tern_rotary_positions_new(int64_t dims, tern_positions_opts opts);
/* One of the three for positions first, first + 1, ...; first >= 0. Errors: TERN_ERR_SHAPE (another last dimension,
 * positions beyond length); TERN_ERR_ARGUMENT for another module. */
TERN_API tern_tensor *tern_positions_forward(tern_module *m, tern_tensor *x, int64_t first);

#ifdef __cplusplus
}
#endif
#endif
