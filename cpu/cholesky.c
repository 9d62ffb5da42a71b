/* cholesky, in place in the output. Row-major below the diagonal is LAPACK's above it. */
#include "lapack.h"

#define TERNI_TEMPLATE "cholesky.inc"
#include "each_float.h"

bool terni_cpu_cholesky(const terni_call *c) { return c->in[0]->dtype == TERN_F64 ? run_f64(c) : run_f32(c); }
