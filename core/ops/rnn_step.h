/* Steps of recurrent layers, one at a time of ops and all of them in one node. Private to core/ops. */
#ifndef TERNI_RNN_STEP_H
#define TERNI_RNN_STEP_H

#include "internal.h"

typedef struct terni_rnn_state {
    tern_tensor *h, *c; /* [N, H]; c: an lstm's */
} terni_rnn_state;

/* One step, of public ops: a [N, gates H] is the input's part, w_hh and b_hh (or NULL) make the state's. kind: of
 * contracts/recurrent.h. */
terni_rnn_state terni_rnn_step(int kind, tern_tensor *a, terni_rnn_state s, tern_tensor *w_hh, tern_tensor *b_hh);
/* All steps of one direction, one at least: a [T, N, gates H] to y [T, N, H]; s becomes the final state. live, bool
 * [T, N, 1] or NULL: elsewhere the state stays and y is 0. back: from the end. */
tern_tensor *terni_recurrence(int kind, bool back, tern_tensor *a, terni_rnn_state *s, tern_tensor *w_hh,
                              tern_tensor *b_hh, tern_tensor *live);
/* An lstm whose h is projected by w_hr [P, H], of public ops: y [T, N, P]. */
tern_tensor *terni_recurrence_projected(bool back, tern_tensor *a, terni_rnn_state *s, tern_tensor *w_hh,
                                        tern_tensor *b_hh, tern_tensor *w_hr, tern_tensor *live);

/* One layer in its directions by terni_recurrence: x [T, N, I] to y [T, N, D H] of the accumulation dtype. first holds
 * the states [.., N, H], or NULL, of which the layer's begin at `at`; w has four a direction, or five where the
 * state is projected. ends[d] become the final states [N, H]. */
tern_tensor *terni_rnn_by_steps(int kind, bool projected, int dirs, tern_tensor *x, const terni_rnn_state *first,
                                int at, tern_tensor *const *w, tern_tensor *live, terni_rnn_state *ends);
/* The same whole, by the backend's row rnn_layer: out y, hn [D, N, H] and cn, of dtype; x is cast to it. *done is
 * false, and out untouched, where the backend has no such row or declines. False after an error. */
bool terni_rnn_layer(int kind, int dirs, tern_tensor *x, tern_dtype dtype, const terni_rnn_state *first, int at,
                     tern_tensor *const *w, bool *done, tern_tensor **out);

/* A rule for when the pass itself is recorded, or must not use what forward kept: compose makes the node's outputs (3,
 * NULL where there are fewer) anew from what stands in the saved inputs' place, and their gradients are taken. */
enum { TERNI_RNN_INPUTS = 11 };
typedef bool (*terni_rnn_composition)(const void *opts, tern_tensor *const *in, tern_tensor **out);
bool terni_rnn_composed(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor *const *saved, int n_in,
                        terni_rnn_composition compose, tern_tensor **grad_in);

#endif
