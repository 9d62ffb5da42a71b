/* triangular_solve: the rows of x are solved from the right, x^T a^T = b^T, so x and b stay row-major. */
#include "lapack.h"

#define TERNI_TEMPLATE "triangular_solve.inc"
#include "each_float.h"

bool terni_cpu_triangular_solve(const terni_call *c) { return c->in[0]->dtype == TERN_F64 ? run_f64(c) : run_f32(c); }
