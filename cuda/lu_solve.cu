/* lu_solve, in place of a copy of b: the row exchanges, then a system with each factor; transposed, the other way
 * round. */
#include "linalg.h"
#include "solver.h"

namespace {

/* The exchanges, or back, in a column of x a thread. */
template <class T>
__global__ void exchange(uint32_t count, int64_t n, int64_t columns, terni_matrices pivots, T *x, bool back) {
    const int64_t t = terni_thread();
    if (t >= count * columns) return;
    const int32_t *p = pivots.at<const int32_t>((uint32_t)(t / columns));
    x += t * n;
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = back ? n - 1 - i : i, at = p[k] - 1;
        const T v = x[k];
        x[k] = x[at];
        x[at] = v;
    }
}

template <class T>
bool run(terni_cuda_device *d, const terni_call *c, uint32_t count, bool transposed) {
    const terni_view *x = c->out[0];
    const int64_t n = x->shape[x->ndim - 2], k = x->shape[x->ndim - 1];
    const terni_matrices lu = terni_matrices_of(c->in[0], 2), p = terni_matrices_of(c->in[1], 1),
                         to = terni_matrices_of(x, 2);
    if (count * k > (int64_t)TERNI_WALK_MAX * 128)
        return terni_cuda_fail(TERN_ERR_UNSUPPORTED, "lu_solve: 2^38 columns or more on a GPU");
    const auto exchanged = [&] {
        return TERNI_LAUNCH_EACH(d, terni_blocks(count * k, 128), 128, (exchange<T>), count, n, k, p,
                                 static_cast<T *>(x->data), transposed);
    };
    if (transposed) {
        const terni_matrices t = terni_flipped(lu);
        return terni_run_triangular<T>(d, count, t, to, n, k, false, false) &&
               terni_run_triangular<T>(d, count, t, to, n, k, true, true) && exchanged();
    }
    return exchanged() && terni_run_triangular<T>(d, count, lu, to, n, k, false, true) &&
           terni_run_triangular<T>(d, count, lu, to, n, k, true, false);
}

}  // namespace

extern "C" bool terni_cuda_lu_solve(const terni_call *c) {
    const terni_view *x = c->out[0];
    const bool transposed = static_cast<const terni_lu_opts *>(c->opts)->transposed;
    uint32_t count;
    if (terni_cuda_count(x) == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d || !terni_matrix_count("lu_solve", x, 2, &count) || !terni_copy_matrices(c->device, c->in[2], x))
        return false;
    if (terni_solver_takes(d, x->shape[x->ndim - 2], 256, count)) return terni_solver_lu_solve_copied(d, c, count);
    return x->dtype == TERN_F64 ? run<double>(d, c, count, transposed) : run<float>(d, c, count, transposed);
}
