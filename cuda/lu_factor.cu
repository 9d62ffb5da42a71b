/* lu_factor, panel by panel: the panel's columns with their row exchanges, the exchanges in the other columns, the rows
 * right of the block on the diagonal, what lies below these. */
#include "linalg.h"
#include "solver.h"

namespace {

struct least {
    __device__ int64_t operator()(int64_t a, int64_t b) const { return a < b ? a : b; }
};

struct panel {
    int64_t n, k0;
    int nb;
};

/* The first of the largest at or below row k of a column; NaN is never larger. */
template <class T>
__device__ int64_t pivot_of(const T *column, int64_t k, int64_t n, T *scratch, int64_t *places) {
    T most = -1;
    int64_t at = n;
    for (int64_t r = k + threadIdx.x; r < n; r += blockDim.x) {
        const T v = (T)fabs(column[r]);
        if (v > most) most = v, at = r;
    }
    const T best = terni_block_all(most, T(-1), scratch, terni_largest());
    at = terni_block_all(most == best ? at : n, n, places, least());
    return at < n ? at : k;
}

template <class T>
__global__ void __launch_bounds__(512) factor(T *a, panel p, int32_t *pivots, int32_t *info) {
    TERNI_SHARED(T, scratch, 32);
    TERNI_SHARED(int64_t, places, 32);
    const int64_t n = p.n;
    const int tid = threadIdx.x, threads = blockDim.x;
    int first = 0; /* column without a pivot */
    a += (int64_t)blockIdx.x * n * n + p.k0 * n;
    for (int64_t k = p.k0; k < p.k0 + p.nb; k++) {
        T *column = a + (k - p.k0) * n;
        const int64_t at = pivot_of(column, k, n, scratch, places);
        const T pivot = column[at];
        __syncthreads(); /* the pivot was read by all */
        if (tid == 0) pivots[blockIdx.x * n + k] = (int32_t)(at + 1);
        if (pivot == 0) {
            if (!first) first = (int)(k + 1);
            continue;
        }
        for (int c = tid; at != k && c < p.nb; c += threads) {
            T *other = a + c * n;
            const T v = other[k];
            other[k] = other[at];
            other[at] = v;
        }
        __syncthreads();
        for (int64_t r = k + 1 + tid; r < n; r += threads) column[r] /= pivot;
        __syncthreads();
        const int64_t rows = n - k - 1, rest = p.k0 + p.nb - k - 1;
        for (int64_t e = tid; e < rows * rest; e += threads) {
            T *other = column + (e / rows + 1) * n;
            const int64_t r = k + 1 + e % rows;
            other[r] -= other[k] * column[r];
        }
        __syncthreads();
    }
    if (tid == 0 && (p.k0 == 0 || (first && info[blockIdx.x] == 0))) info[blockIdx.x] = first;
}

/* A panel's exchanges in a column outside of it. */
template <class T>
__global__ void exchange(T *a, panel p, const int32_t *pivots, uint32_t count) {
    const int64_t t = terni_thread(), n = p.n, columns = n - p.nb;
    if (t >= count * columns) return;
    const int64_t i = t / columns, c = t % columns;
    T *column = a + i * n * n + (c < p.k0 ? c : c + p.nb) * n;
    for (int64_t k = p.k0; k < p.k0 + p.nb; k++) {
        const int64_t at = pivots[i * n + k] - 1;
        const T v = column[k];
        column[k] = column[at];
        column[at] = v;
    }
}

template <class T>
bool run_panel(terni_cuda_device *d, const terni_call *c, uint32_t count, const panel &p) {
    const terni_view *lu = c->out[0];
    T *a = static_cast<T *>(lu->data);
    int32_t *pivots = static_cast<int32_t *>(c->out[1]->data);
    const int64_t after = p.k0 + p.nb, rest = p.n - after, others = count * (p.n - p.nb);
    if (others > (int64_t)TERNI_WALK_MAX * 128)
        return terni_cuda_fail(TERN_ERR_UNSUPPORTED, "lu_factor: 2^38 columns or more on a GPU");
    if (!TERNI_LAUNCH(d, count, terni_matrix_threads((p.n - p.k0) * p.nb), 0, (factor<T>), a, p, pivots,
                      static_cast<int32_t *>(c->out[2]->data)))
        return false;
    if (others && !TERNI_LAUNCH_EACH(d, terni_blocks(others, 128), 128, (exchange<T>), a, p, pivots, count))
        return false;
    const terni_matrices m = terni_matrices_of(lu, 2);
    const terni_update_job j = {terni_from<T>(m, after, p.k0),
                                terni_from<T>(m, p.k0, after),
                                terni_from<T>(m, after, after),
                                count,
                                rest,
                                rest,
                                p.nb,
                                false};
    return terni_run_solve_panel<T>(d, count, terni_from<T>(m, p.k0, p.k0), j.b, p.nb, rest, false, true) &&
           terni_run_update<T>(d, j);
}

template <class T>
bool run(terni_cuda_device *d, const terni_call *c, uint32_t count, int64_t n) {
    for (int64_t k = 0; k < n; k += TERNI_PANEL)
        if (!run_panel<T>(d, c, count, {n, k, n - k < TERNI_PANEL ? (int)(n - k) : (int)TERNI_PANEL})) return false;
    return true;
}

}  // namespace

extern "C" bool terni_cuda_lu_factor(const terni_call *c) {
    const terni_view *lu = c->out[0];
    const int64_t n = lu->shape[lu->ndim - 1];
    uint32_t count;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d || !terni_matrix_count("lu_factor", lu, 2, &count)) return false;
    if (count == 0) return true;
    if (n == 0) return TERNI_CUDA_OK(terni_cuda_driver->fill(c->out[2]->data, 0, count * sizeof(int32_t), d->stream));
    if (!terni_copy_matrices(c->device, c->in[0], lu)) return false;
    if (terni_solver_takes(d, n, 256, count)) return terni_solver_lu_factor_copied(d, c, count);
    return lu->dtype == TERN_F64 ? run<double>(d, c, count, n) : run<float>(d, c, count, n);
}
