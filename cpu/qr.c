/* qr: Householder vectors, then the orthogonal matrix, in place in q. */
#include "lapack.h"

#define TERNI_TEMPLATE "qr.inc"
#include "each_float.h"

bool terni_cpu_qr(const terni_call *c) { return c->in[0]->dtype == TERN_F64 ? run_f64(c) : run_f32(c); }
