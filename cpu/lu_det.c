/* lu_det: the diagonal's product, and the sign of the row exchanges. */
#include "lapack.h"

#define TERNI_TEMPLATE "lu_det.inc"
#include "each_float.h"

bool terni_cpu_lu_det(const terni_call *c) { return c->in[0]->dtype == TERN_F64 ? run_f64(c) : run_f32(c); }
