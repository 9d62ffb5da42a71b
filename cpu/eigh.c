/* eigh, in place in v; for values alone in scratch memory. */
#include "lapack.h"

#define TERNI_TEMPLATE "eigh.inc"
#include "each_float.h"

bool terni_cpu_eigh(const terni_call *c) { return c->in[0]->dtype == TERN_F64 ? run_f64(c) : run_f32(c); }
