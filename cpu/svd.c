/* svd. Row-major a is LAPACK's a^T = v s u^T, so u and vh come out row-major as well. */
#include "lapack.h"

#define TERNI_TEMPLATE "svd.inc"
#include "each_float.h"

bool terni_cpu_svd(const terni_call *c) { return c->in[0]->dtype == TERN_F64 ? run_f64(c) : run_f32(c); }
