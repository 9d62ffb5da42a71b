/* pair_loss: losses between two tensors, element by element, and their sums, in one pass. */
#include "formulas.h"
#include "internal.h"
#include "tern/ops.h" /* tern_reduction */

/* PIECE: values on the way to a sum; BLOCK: elements of one sum, whatever the threads. */
enum { GRAIN = 8192, PIECE = 256, BLOCK = 1 << 14 };

#define TERNI_TEMPLATE "pair_loss.inc"
#include "each_float.h"

bool terni_cpu_pair_loss(const terni_call *c) {
    return c->in[0]->dtype == TERN_F64 ? pair_loss_f64(c) : pair_loss_f32(c);
}
bool terni_cpu_pair_loss_grad(const terni_call *c) {
    return c->in[0]->dtype == TERN_F64 ? pair_loss_grad_f64(c) : pair_loss_grad_f32(c);
}
