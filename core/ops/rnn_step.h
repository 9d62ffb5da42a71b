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

#endif
