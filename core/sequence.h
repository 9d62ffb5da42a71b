/* Ops on sequences: embeddings, rotary positions, attention. See ops.h for what holds for every op. */
#ifndef TERN_SEQUENCE_H
#define TERN_SEQUENCE_H

#include "tern/autograd.h"
#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- embedding --------------------------------------------------------------------------------------------------- *
 * Indices are i64 or i32 in [0, rows of weight): TERN_ERR_INDEX names the first that is not. PyTorch's max_norm, which
 * rescales rows of weight as they are read, is left to the program. */

typedef struct tern_embedding_opts {
    bool has_padding;
    int64_t padding; /* this row of weight takes no gradient; negative ones count from the end */
} tern_embedding_opts;
/* Rows of weight [V, E] by index [...]: [..., E]. Errors: TERN_ERR_INDEX (padding too). Grad: weight. */
TERN_API tern_tensor *tern_embedding(tern_tensor *weight, tern_tensor *index, tern_embedding_opts opts);

/* TERN_BAG_MAX: equal rows share the gradient. */
typedef enum tern_bag_mode { TERN_BAG_MEAN = 0, TERN_BAG_SUM, TERN_BAG_MAX } tern_bag_mode;
typedef struct tern_embedding_bag_opts {
    tern_bag_mode mode;
    bool include_last_offset; /* offsets has one entry more, the number of indices */
    bool has_padding;
    int64_t padding;      /* such indices are left out of their bags, of the mean's count too */
    tern_tensor *weights; /* a factor for each index, of index's shape and weight's dtype; TERN_BAG_SUM only; or NULL */
} tern_embedding_bag_opts;
/* The mean, sum or maximum of rows of weight [V, E] over bags of indices: [B, E], zeros for an empty bag. index [B, N]
 * is a bag a row, and offsets is NULL; or index is [N] and bag b begins at offsets[b], [B] i64 or i32, which starts
 * with 0 and does not decrease. Waits for the device. Errors: TERN_ERR_INDEX (index, padding), TERN_ERR_ARGUMENT
 * (offsets, weights with another mode). Grad: weight, opts.weights. */
TERN_API tern_tensor *tern_embedding_bag(tern_tensor *weight, tern_tensor *index, tern_tensor *offsets,
                                         tern_embedding_bag_opts opts);

/* ---- rotary positions -------------------------------------------------------------------------------------------- */

/* The angles' cosines (returned) and sines (*sin, or NULL) for tern_rotary: position p turns pair i by
 * p base^(-2 i / dims). positions [...] i64, i32 or float; dims even, above 0; base above 0 (10000 is usual);
 * [..., dims / 2] in dtype, computed in f64. Errors: TERN_ERR_ARGUMENT, TERN_ERR_DTYPE. No gradient. */
TERN_API tern_tensor *tern_rotary_tables(tern_tensor *positions, int64_t dims, double base, tern_dtype dtype,
                                         tern_tensor **sin);
typedef struct tern_rotary_opts {
    bool interleaved; /* pairs are elements 2 i, 2 i + 1; else i, i + R */
} tern_rotary_opts;
/* Turns pairs of the first 2 R elements of x [..., E], E >= 2 R, by angles: (a, b) to (a cos - b sin, b cos + a sin);
 * the others stay. cos and sin [..., R], alike, broadcast to x's leading dimensions ([L, R] beside [N, H, L, E]). One
 * float dtype. Source: Su et al., arXiv 2104.09864. */
TERN_API tern_tensor *tern_rotary(tern_tensor *x, tern_tensor *cos, tern_tensor *sin, tern_rotary_opts opts);

/* ---- attention --------------------------------------------------------------------------------------------------- */

typedef struct tern_attention_opts {
    bool causal;    /* row i takes keys 0 .. i only, also where L and S differ; beside mask, both hold */
    double scale;   /* of the scores; 0: 1 / sqrt(E) */
    double dropout; /* of the weights, as tern_dropout */
} tern_attention_opts;
/* softmax(scale q k^T + mask) v: q [..., H, L, E], k [..., K, S, E], v [..., K, S, V] -> [..., H, L, V]. H is a
 * multiple of K, and H / K heads of q in a row share one of k and v; without heads, 2-dim. mask, or NULL, broadcasts to
 * [..., H, L, S]: bool (true takes part), or added, of q's dtype. A row that mask leaves no key, or with S = 0, gives
 * zeros. f16 and bf16 are computed in f32. The weights are never held at once, but for the gradient of an added mask
 * and for second derivatives. y, and the gradients, lie in memory as q (k, v) does where that is [..., L, H, E]. Grad:
 * q, k, v, an added mask. Source: Dao, arXiv 2307.08691. */
TERN_API tern_tensor *tern_scaled_dot_product_attention(tern_tensor *q, tern_tensor *k, tern_tensor *v,
                                                        tern_tensor *mask, tern_attention_opts opts);

/* ---- recurrence -------------------------------------------------------------------------------------------------- */

typedef struct tern_rnn_opts {
    int64_t layers; /* 0: 1 */
    bool bidirectional;
    bool batch_first;       /* x and y are [N, T, ...] */
    bool relu;              /* tern_rnn: relu in place of tanh */
    double dropout;         /* of each layer's output but the last's */
    const int64_t *lengths; /* of the N samples, 0 to T; NULL: all are T */
    int64_t proj_size;      /* tern_lstm: P, of the projected states; 0: they are not projected */
} tern_rnn_opts;
/* x [T, N, I] -> y [T, N, D H], D directions. weights holds {w_ih [G H, in], w_hh [G H, H], b_ih [G H], b_hh} for each
 * layer and direction in it, biases may be NULL; G gates: 1; lstm 4, i f g o; gru 3, r z n, b_hn inside the product
 * with r. States are [layers D, N, H]; initial ones may be NULL (zeros); *hn, *cn get the final ones (or NULL). With
 * lengths y is 0 beyond them, final states are those at each sample's last step, and the reverse direction begins
 * there. f16 and bf16 are computed in f32; NVIDIA's library, which does layers without lengths, rounds states to x's
 * dtype at every step, and for f32 heeds tern_allow_tf32 (see tern_deterministic too). With proj_size, h is w_hr [P, H]
 * times what it is without, so P stands for H in y, h0, *hn and w_hh [G H, P], and w_hr follows each b_hh in weights;
 * such layers go step by step, on every device. Errors: TERN_ERR_ARGUMENT (lengths, counts). Grad: x, states, weights.
 * Source of projections: Sak et al., arXiv 1402.1128. */
TERN_API tern_tensor *tern_rnn(tern_tensor *x, tern_tensor *h0, tern_tensor *const *weights, int n_weights,
                               tern_rnn_opts opts, tern_tensor **hn);
TERN_API tern_tensor *tern_gru(tern_tensor *x, tern_tensor *h0, tern_tensor *const *weights, int n_weights,
                               tern_rnn_opts opts, tern_tensor **hn);
TERN_API tern_tensor *tern_lstm(tern_tensor *x, tern_tensor *h0, tern_tensor *c0, tern_tensor *const *weights,
                                int n_weights, tern_rnn_opts opts, tern_tensor **hn, tern_tensor **cn);
/* One step: x [N, I], states [N, H] or NULL (zeros) -> the new h [N, H]; or all without N. weights are those of one
 * layer and direction above, so n_weights is 4; lstm's new c goes to *cn, unless that is NULL. f16 and bf16 are
 * computed in f32. Errors: TERN_ERR_ARGUMENT (n_weights). Grad: x, states, weights. */
TERN_API tern_tensor *tern_rnn_cell(tern_tensor *x, tern_tensor *h, tern_tensor *const *weights, int n_weights,
                                    bool relu);
TERN_API tern_tensor *tern_gru_cell(tern_tensor *x, tern_tensor *h, tern_tensor *const *weights, int n_weights);
TERN_API tern_tensor *tern_lstm_cell(tern_tensor *x, tern_tensor *h, tern_tensor *c, tern_tensor *const *weights,
                                     int n_weights, tern_tensor **cn);

#ifdef __cplusplus
}
#endif
#endif
