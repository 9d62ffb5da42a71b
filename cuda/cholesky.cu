/* cholesky, panel by panel: the block on the diagonal, the rows below it, what lies right of them. */
#include "linalg.h"
#include "solver.h"

namespace {

/* The block's factor in shared memory. A matrix that failed before stays as it is. */
template <class T>
__global__ void __launch_bounds__(128) factor(T *l, int64_t n, int64_t k0, int nb, int32_t *info) {
    enum { LEAD = TERNI_PANEL + 1 };
    TERNI_SHARED(T, s, TERNI_PANEL * LEAD);
    const int tid = threadIdx.x, threads = blockDim.x;
    l += (int64_t)blockIdx.x * n * n + k0 * (n + 1);
    info += blockIdx.x;
    if (k0 > 0 && *info) return;
    for (int e = tid; e < nb * nb; e += threads) s[e / nb * LEAD + e % nb] = l[e / nb * n + e % nb];
    __syncthreads();
    for (int k = 0; k < nb; k++) {
        const T pivot = s[k * LEAD + k];
        if (!(pivot > 0)) { /* NaN too */
            if (tid == 0) *info = (int32_t)(k0 + k + 1);
            return;
        }
        const T root = (T)sqrt(pivot);
        __syncthreads(); /* the pivot was read by all */
        for (int r = k + tid; r < nb; r += threads) s[r * LEAD + k] = r == k ? root : s[r * LEAD + k] / root;
        __syncthreads();
        const int rest = nb - k - 1;
        for (int e = tid; e < rest * rest; e += threads) {
            const int r = k + 1 + e / rest, c = k + 1 + e % rest;
            if (c <= r) s[r * LEAD + c] -= s[r * LEAD + k] * s[c * LEAD + k];
        }
        __syncthreads();
    }
    for (int e = tid; e < nb * nb; e += threads)
        if (e % nb <= e / nb) l[e / nb * n + e % nb] = s[e / nb * LEAD + e % nb];
    if (tid == 0 && k0 == 0) *info = 0;
}

template <class T>
bool run(const terni_call *c, terni_cuda_device *d, uint32_t count) {
    const terni_view *l = c->out[0];
    const int64_t n = l->shape[l->ndim - 1];
    const terni_matrices m = terni_matrices_of(l, 2);
    for (int64_t k = 0; k < n; k += TERNI_PANEL) {
        const int nb = n - k < TERNI_PANEL ? (int)(n - k) : (int)TERNI_PANEL;
        const int64_t below = k + nb, rows = n - below;
        if (!TERNI_LAUNCH(d, count, nb <= 8 ? 32 : 128, 0, (factor<T>), static_cast<T *>(l->data), n, k, nb,
                          static_cast<int32_t *>(c->out[1]->data)))
            return false;
        /* A row of what lies below solves against the block: x l^T = a. */
        const terni_matrices left = terni_from<T>(m, below, k);
        const terni_update_job j = {left, terni_flipped(left), terni_from<T>(m, below, below), count, rows, rows, nb,
                                    true};
        if (!terni_run_solve_panel<T>(d, count, terni_from<T>(m, k, k), terni_flipped(left), nb, rows, false, false) ||
            !terni_run_update<T>(d, j))
            return false;
    }
    return true;
}

}  // namespace

extern "C" bool terni_cuda_cholesky(const terni_call *c) {
    const terni_tri_opts lower = {0, false};
    terni_call part = *c;
    uint32_t count;
    part.opts = &lower;
    part.n_out = 1;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d || !terni_matrix_count("cholesky", c->in[0], 2, &count)) return false;
    if (count == 0) return true;
    if (terni_cuda_count(c->in[0]) == 0)
        return TERNI_CUDA_OK(terni_cuda_driver->fill(c->out[1]->data, 0, count * sizeof(int32_t), d->stream));
    if (!terni_cuda_tri(&part)) return false;
    if (terni_solver_takes(d, c->in[0]->shape[c->in[0]->ndim - 1], 256, count))
        return terni_solver_cholesky_copied(d, c, count);
    return c->in[0]->dtype == TERN_F64 ? run<double>(c, d, count) : run<float>(c, d, count);
}
