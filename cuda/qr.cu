/* qr: Householder's reflections, then the orthogonal matrix, in place in q; a block a matrix. */
#include "linalg.h"
#include "solver.h"

namespace {

template <class T>
__global__ void __launch_bounds__(512) factor(T *q, T *r, T *tau, int64_t m, int64_t n, int64_t c, int lanes) {
    TERNI_SHARED(T, scratch, 32);
    const int tid = threadIdx.x, threads = blockDim.x;
    q += blockIdx.x * m * c;
    r += blockIdx.x * c * n;
    tau += blockIdx.x * n;
    terni_geqrf(q, tau, m, n, lanes, scratch);
    for (int64_t e = tid; e < c * n; e += threads) r[e] = e % c <= e / c ? q[e / c * m + e % c] : 0;
    __syncthreads();
    terni_orgqr(q, tau, m, n, c, lanes);
}

template <class T>
bool run(terni_cuda_device *d, const terni_call *call, uint32_t count) {
    const terni_view *a = call->in[0], *q = call->out[0], *r = call->out[1];
    const int64_t m = a->shape[a->ndim - 2], n = a->shape[a->ndim - 1], c = q->shape[q->ndim - 1];
    terni_view first = *q; /* the columns that begin as a */
    first.shape[q->ndim - 1] = n;
    if (!terni_copy_matrices(call->device, a, &first)) return false;
    if (terni_solver_takes(d, n, 64, count)) return terni_solver_qr_copied(d, call, count);
    void *tau = terni_cuda_scratch(d, (size_t)count * (size_t)n * sizeof(T));
    if (!tau) return false;
    const bool ok = TERNI_LAUNCH(d, count, terni_matrix_threads(m * c), 0, (factor<T>), static_cast<T *>(q->data),
                                 static_cast<T *>(r->data), static_cast<T *>(tau), m, n, c, terni_group_lanes(m));
    terni_cuda_scratch_free(d, tau);
    return ok;
}

}  // namespace

extern "C" bool terni_cuda_qr(const terni_call *c) {
    const terni_view *q = c->out[0];
    uint32_t count;
    if (terni_cuda_count(q) == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d || !terni_matrix_count("qr", q, 2, &count)) return false;
    return q->dtype == TERN_F64 ? run<double>(d, c, count) : run<float>(d, c, count);
}
