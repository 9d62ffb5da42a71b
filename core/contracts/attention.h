/* What attention needs besides products and softmax. What each kernel takes and gives; see backend.h. */
#ifndef TERNI_CONTRACT_ATTENTION_H
#define TERNI_CONTRACT_ATTENTION_H

#include "contracts/random.h"
#include "tern/base.h"

/* rotary: in x [.., E] contiguous, cos, sin [.., R] with x's leading dimensions (strides of 0 where broadcast) and one
 * layout, their last dimension dense; out y like x. One dtype, f32 or f64. 2 R <= E. Pairs (a, b) of x's first 2 R
 * elements become (a cos - b sin, b cos + a sin); a and b are R apart, or neighbours. What is behind is copied. */
typedef struct terni_rotary_opts {
    bool interleaved;
    bool inverse; /* -sin for sin */
} terni_rotary_opts;

typedef struct terni_attention_opts {
    double scale;
    double dropout; /* of the weights; 0: none */
    terni_draws from;
    bool causal; /* row i takes keys 0 .. i */
} terni_attention_opts;
/* attention: y = softmax(scale q k^T + mask) v, computed in A, without an L x S array. in q [B,H,L,E], k [B,K,S,E],
 *   v [B,K,S,V], mask [B,H,L,S] or NULL; out y [B,H,L,V], logsumexp [B,H,L] of dtype A, contiguous, or NULL. q, k, v
 * and y share one float dtype; their rows are dense and do not overlap, otherwise strides are any. H is a multiple of
 * K: head h of q has head h / (H / K) of k and v. mask is bool (true takes part) or of q's dtype (added), with any
 * strides, 0 where it is broadcast. A row without keys gives zeros and a logsumexp of -infinity. Of the weights
 * [B,H,L,S], row-major, those go that the row dropout would drop, and the others are divided by 1 - dropout; the
 * logsumexp knows nothing of it. */

/* attention_grad: in gy, q, k, v, y, logsumexp, mask or NULL; out gq, gk, gv (laid out
 * as q, k, v may be), gmask, each or NULL. gmask [B or 1, H or 1, L, S], contiguous, of dtype A, is summed over the
 * dimensions that are 1; only it holds L x S numbers. Deterministic: sums do not depend on the order of work. */

#endif
