/* Recurrent layers and cells. Each _new returns a module for the caller to free (or to hand to a parent), NULL on
 * errors (TERN_ERR_ARGUMENT for settings outside their range). Parameters are named and ordered as PyTorch's, uniform
 * within 1/sqrt(hidden); the gates' order is that of the ops in sequence.h. */
#ifndef TERN_RECURRENT_H
#define TERN_RECURRENT_H

#include "tern/module.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_recurrent_opts {
    int64_t layers; /* 1 if zero */
    bool bidirectional;
    bool batch_first; /* x and y are [N, T, ...] */
    bool no_bias;
    bool relu;         /* rnn: relu in place of tanh */
    double dropout;    /* of each layer's output but the last's, in training */
    int64_t proj_size; /* lstm: h is projected to so many, fewer than hidden; 0: it is not */
} tern_recurrent_opts;
/* [T, N, in] -> [T, N, D hidden], D directions. For each layer k and direction: weight_ih_lk [G hidden, its input],
 * weight_hh_lk [G hidden, hidden], bias_ih_lk, bias_hh_lk [G hidden], with "_reverse" behind for the second direction;
 * G is 1, 4 (lstm), 3 (gru). With proj_size P, weight_hh_lk [G hidden, P] and after the biases weight_hr_lk [P,
 * hidden], and P in place of hidden in y and h. tern_forward starts from zeros and drops the final states. */
TERN_API tern_module *tern_rnn_new(int64_t in, int64_t hidden, tern_recurrent_opts opts);
TERN_API tern_module *tern_lstm_new(int64_t in, int64_t hidden, tern_recurrent_opts opts);
TERN_API tern_module *tern_gru_new(int64_t in, int64_t hidden, tern_recurrent_opts opts);
/* The forward of an rnn or a gru, and of an lstm, from states [layers D, N, hidden] (NULL: zeros) to the final ones in
 * *hn, *cn (NULL: not wanted). lengths: of the N samples, 0 to T, or NULL; see tern_rnn. Grad: x, states, parameters.
 * Owner of all: the current scope. Errors: those of the op; TERN_ERR_ARGUMENT for another module. */
TERN_API tern_tensor *tern_rnn_forward(tern_module *m, tern_tensor *x, tern_tensor *h0, const int64_t *lengths,
                                       tern_tensor **hn);
TERN_API tern_tensor *tern_lstm_forward(tern_module *m, tern_tensor *x, tern_tensor *h0, tern_tensor *c0,
                                        const int64_t *lengths, tern_tensor **hn, tern_tensor **cn);

typedef struct tern_cell_opts {
    bool no_bias;
    bool relu; /* rnn_cell: relu in place of tanh */
} tern_cell_opts;
/* One step: x [N, in] -> the new h [N, hidden]; or all without N. Parameters weight_ih, weight_hh, bias_ih, bias_hh as
 * above. tern_forward starts from zeros. */
TERN_API tern_module *tern_rnn_cell_new(int64_t in, int64_t hidden, tern_cell_opts opts);
TERN_API tern_module *tern_lstm_cell_new(int64_t in, int64_t hidden, tern_cell_opts opts);
TERN_API tern_module *tern_gru_cell_new(int64_t in, int64_t hidden, tern_cell_opts opts);
/* The step of an rnn_cell or a gru_cell, and of an lstm_cell, whose new c goes to *cn (NULL: not wanted). States NULL:
 * zeros. Grad: x, states, parameters. Errors: those of the op; TERN_ERR_ARGUMENT for another module. */
TERN_API tern_tensor *tern_rnn_cell_forward(tern_module *m, tern_tensor *x, tern_tensor *h);
TERN_API tern_tensor *tern_lstm_cell_forward(tern_module *m, tern_tensor *x, tern_tensor *h, tern_tensor *c,
                                             tern_tensor **cn);

#ifdef __cplusplus
}
#endif
#endif
