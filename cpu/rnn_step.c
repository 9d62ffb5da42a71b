/* rnn_step: the gates of recurrent layers. */
#include <string.h>

#include "formulas.h"
#include "internal.h"

enum { GRAIN = 2048, PIECE = 256 };

#define TERNI_TEMPLATE "rnn_step.inc"
#include "each_float.h"

bool terni_cpu_rnn_step(const terni_call *c) { return c->in[0]->dtype == TERN_F64 ? rnn_step_f64(c) : rnn_step_f32(c); }
bool terni_cpu_rnn_step_grad(const terni_call *c) {
    return c->out[0]->dtype == TERN_F64 ? rnn_step_grad_f64(c) : rnn_step_grad_f32(c);
}
