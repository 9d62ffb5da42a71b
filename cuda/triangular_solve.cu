/* triangular_solve, in place of a copy of b. */
#include "linalg.h"
#include "solver.h"

extern "C" bool terni_cuda_triangular_solve(const terni_call *c) {
    const terni_view *a = c->in[0], *x = c->out[0];
    const terni_triangular_opts *o = static_cast<const terni_triangular_opts *>(c->opts);
    const int64_t n = x->shape[x->ndim - 2], k = x->shape[x->ndim - 1];
    uint32_t count;
    if (terni_cuda_count(x) == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d || !terni_matrix_count("triangular_solve", x, 2, &count) || !terni_copy_matrices(c->device, c->in[1], x))
        return false;
    if (terni_solver_triangular_fits(a) && terni_solver_takes(d, n, 256, count))
        return terni_solver_triangular_copied(d, c, count);
    const terni_matrices from = terni_matrices_of(a, 2), to = terni_matrices_of(x, 2);
    return x->dtype == TERN_F64 ? terni_run_triangular<double>(d, count, from, to, n, k, o->upper, o->unit)
                                : terni_run_triangular<float>(d, count, from, to, n, k, o->upper, o->unit);
}
