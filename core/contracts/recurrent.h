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

#endif
