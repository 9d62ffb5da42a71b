/* lu_factor, in place in the output. */
#include <float.h>

#include "lapack.h"

#define TERNI_TEMPLATE "lu_factor.inc"
#include "each_float.h"

bool terni_cpu_lu_factor(const terni_call *c) { return c->in[0]->dtype == TERN_F64 ? run_f64(c) : run_f32(c); }
