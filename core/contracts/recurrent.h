/* Recurrent layers. What each kernel takes and gives; see backend.h. */
#ifndef TERNI_CONTRACT_RECURRENT_H
#define TERNI_CONTRACT_RECURRENT_H

#include "tern/base.h"

/* One step of N sequences with H units. G is H for the first two, 4 H for an lstm (gates i, f, g, o), 3 H for a gru
 * (r, z, n); K is 0, 0, 4 H (the gates), 4 H (the gates and b's part for n). All contiguous, f32 or f64, one dtype.
 * rnn_step: in a, b [N,G] (what input and state give to the gates), h [N,H], c [N,H] (lstm, else NULL), live bool [N]
 *   or NULL; out next_h [N,H], y [N,H], next_c or NULL, gates [N,K] or NULL. A sequence that is not live keeps its
 *   state, and y is 0.
 * rnn_step_grad: in gy or NULL (of y), gh or NULL and gh2 or NULL (their sum is next_h's), gc (of next_c) or NULL,
 * gates, next_h, h, next_c, c, live; out ga, gb (a gru's; others' is ga, and NULL here), gh (what does not go through
 * b) or NULL if that is 0 throughout, gc or NULL. gh and gc may be the very same as gh2's and gc's. */
enum { TERNI_RNN_TANH, TERNI_RNN_RELU, TERNI_RNN_LSTM, TERNI_RNN_GRU };
typedef struct terni_rnn_step_opts {
    int32_t kind;
} terni_rnn_step_opts;

/* A layer's D directions (1 or 2, the second from the end) over all T steps. A backend may have no such rows and may
 * decline a call; then core goes step by step.
 * rnn_layer: in x [T,N,I], h0 [D,N,H] and c0 (lstm, else NULL) or NULL (zeros), then for each direction w_ih [G,I],
 *   w_hh [G,H], b_ih [G] and b_hh, each or NULL; out y [T,N,D H], hn [D,N,H], cn (lstm, else NULL), reserve u8 [R] or
 *   NULL. All but the weights contiguous, one float dtype: products add in A, but states may be rounded to that dtype
 *   from step to step. With `ask` set the call has the inputs alone and touches no data: *ask becomes R, or -1 if such
 *   calls are declined.
 * rnn_layer_grad: in gy, ghn, gcn, each or NULL, y, reserve, then rnn_layer's inputs; out gx, gh0, gc0, then the
 *   weights' gradients, each contiguous or NULL. The reserve keeps its contents. */
typedef struct terni_rnn_layer_opts {
    int32_t kind, dirs;
    bool keep; /* there is a reserve, and rnn_layer_grad may follow */
    bool tf32; /* products of f32 may round to tf32 */
    bool same; /* asked alone: the same bits from run to run, or decline */
    int64_t *ask;
} terni_rnn_layer_opts;
enum { TERNI_RNN_FORWARD_FIRST = 3, TERNI_RNN_BACKWARD_FIRST = 8 }; /* the first weight among the inputs */

#endif
