/* What the kernels of linear algebra share: batches of matrices, triangular systems and products by panels, groups of
 * threads, Householder's reflections. Included by .cu files.
 *
 * A matrix that fits a panel (TERNI_PANEL rows) is one block's work; larger ones go panel by panel, with the launches
 * in between queued by the host, which never waits. Strides are those of a view: every kernel takes rows or columns. */
#ifndef TERNI_CUDA_LINALG_H
#define TERNI_CUDA_LINALG_H

#include <cfloat>
#include <utility>

#include "launch.h"

enum { TERNI_PANEL = 32, TERNI_TILE = 16, TERNI_COLUMNS = 64 };

/* Device code cannot call std::numeric_limits. */
template <class T>
struct terni_limits {
    static constexpr float epsilon = FLT_EPSILON, smallest = FLT_MIN;
    enum { EXPONENT = FLT_MAX_EXP };
};
template <>
struct terni_limits<double> {
    static constexpr double epsilon = DBL_EPSILON, smallest = DBL_MIN;
    enum { EXPONENT = DBL_MAX_EXP };
};

/* ---- batches
 * ------------------------------------------------------------------------------------------------------------------ */

/* Matrices of a view [batch..., M, N]: rs from row to row, cs from column to column. */
struct terni_matrices {
    void *data;
    int ndim;
    terni_divisor size[TERN_MAX_DIMS];
    int64_t stride[TERN_MAX_DIMS];
    int64_t rs, cs;
    /* The first element of matrix i. */
    template <class T>
    __device__ __forceinline__ T *at(uint32_t i) const {
        int64_t offset = 0;
        for (int d = 0; d < ndim; d++) {
            const uint32_t q = d + 1 < ndim ? terni_divide(i, size[d]) : 0;
            offset += (int64_t)(i - q * size[d].d) * stride[d];
            i = q;
        }
        return static_cast<T *>(data) + offset;
    }
};

/* matrix_dims: 1 for batches of vectors, which lie along rs. */
static inline terni_matrices terni_matrices_of(const terni_view *v, int matrix_dims) {
    terni_matrices m;
    m.data = v->data;
    m.ndim = v->ndim - matrix_dims;
    for (int i = 0; i < m.ndim; i++) {
        m.size[i] = terni_divisor_of(v->shape[m.ndim - 1 - i]);
        m.stride[i] = v->strides[m.ndim - 1 - i];
    }
    m.rs = v->strides[m.ndim];
    m.cs = matrix_dims == 2 ? v->strides[m.ndim + 1] : 0;
    return m;
}

/* The same matrices from row r and column c on. */
template <class T>
static terni_matrices terni_from(terni_matrices m, int64_t r, int64_t c) {
    m.data = static_cast<T *>(m.data) + r * m.rs + c * m.cs;
    return m;
}
static inline terni_matrices terni_flipped(terni_matrices m) {
    std::swap(m.rs, m.cs);
    return m;
}

/* How many matrices there are, into *n; false after an error. */
static inline bool terni_matrix_count(const char *op, const terni_view *v, int matrix_dims, uint32_t *n) {
    int64_t count = 1;
    for (int d = 0; d < v->ndim - matrix_dims; d++) count *= v->shape[d];
    *n = (uint32_t)count;
    return count <= TERNI_WALK_MAX || terni_cuda_fail(TERN_ERR_UNSUPPORTED, "%s: 2^31 matrices or more on a GPU", op);
}

/* out = in: one shape, any strides. */
static inline bool terni_copy_matrices(int device, const terni_view *in, const terni_view *out) {
    terni_call c;
    memset(&c, 0, sizeof c);
    c.in = &in;
    c.out = &out;
    c.n_in = c.n_out = 1;
    c.device = device;
    return terni_cuda_copy(&c);
}

/* Threads of a block that has one matrix, by how much it can do at a time. */
static inline int terni_matrix_threads(int64_t parallel) { return parallel <= 64 ? 32 : parallel <= 1024 ? 128 : 512; }

/* ---- triangular systems: a panel's rows of x, a column of x a thread
 * ---------------------------------------------------------- */

template <class T>
__global__ void __launch_bounds__(TERNI_COLUMNS) terni_solve_panel(uint32_t count, terni_matrices a, terni_matrices x,
                                                                   int nb, int64_t columns, bool upper, bool unit) {
    TERNI_SHARED(T, t, TERNI_PANEL * (TERNI_PANEL + 1));
    TERNI_SHARED(T, s, TERNI_PANEL * (TERNI_COLUMNS + 1));
    const int tid = threadIdx.x;
    const int64_t c0 = (int64_t)blockIdx.x * TERNI_COLUMNS;
    const int cols = columns - c0 < TERNI_COLUMNS ? (int)(columns - c0) : (int)TERNI_COLUMNS;
    for (uint32_t i = blockIdx.y; i < count; i += gridDim.y) {
        const T *from = a.at<T>(i);
        T *to = x.at<T>(i) + c0 * x.cs;
        for (int e = tid; e < nb * nb; e += TERNI_COLUMNS) {
            const int r = a.cs == 1 ? e / nb : e % nb, c = a.cs == 1 ? e % nb : e / nb;
            if (r == c ? !unit : upper == (c > r)) t[r * (TERNI_PANEL + 1) + c] = from[r * a.rs + c * a.cs];
        }
        for (int e = tid; e < nb * cols; e += TERNI_COLUMNS) {
            const int r = x.cs == 1 ? e / cols : e % nb, c = x.cs == 1 ? e % cols : e / nb;
            s[r * (TERNI_COLUMNS + 1) + c] = to[r * x.rs + c * x.cs];
        }
        __syncthreads();
        for (int n = 0; tid < cols && n < nb; n++) {
            const int r = upper ? nb - 1 - n : n;
            T v = s[r * (TERNI_COLUMNS + 1) + tid];
            for (int c = upper ? r + 1 : 0; c < (upper ? nb : r); c++)
                v -= t[r * (TERNI_PANEL + 1) + c] * s[c * (TERNI_COLUMNS + 1) + tid];
            s[r * (TERNI_COLUMNS + 1) + tid] = unit ? v : v / t[r * (TERNI_PANEL + 1) + r];
        }
        __syncthreads();
        for (int e = tid; e < nb * cols; e += TERNI_COLUMNS) {
            const int r = x.cs == 1 ? e / cols : e % nb, c = x.cs == 1 ? e % cols : e / nb;
            to[r * x.rs + c * x.cs] = s[r * (TERNI_COLUMNS + 1) + c];
        }
        __syncthreads(); /* s and t are the next matrix's */
    }
}

/* ---- c -= a b with a panel in between; lower: on and below c's diagonal alone
 * --------------------------------------------------- */

struct terni_update_job {
    terni_matrices a, b, c;
    uint32_t count;
    int64_t m, n;
    int k;
    bool lower;
};

template <class T>
__global__ void __launch_bounds__(TERNI_TILE *TERNI_TILE) terni_update(terni_update_job j) {
    TERNI_SHARED(T, at, TERNI_TILE * (TERNI_PANEL + 1));
    TERNI_SHARED(T, bt, TERNI_PANEL * (TERNI_TILE + 1));
    const int tid = threadIdx.x, fast = tid % TERNI_TILE, slow = tid / TERNI_TILE;
    const int64_t across = (j.n + TERNI_TILE - 1) / TERNI_TILE, row0 = blockIdx.x / across * TERNI_TILE,
                  col0 = blockIdx.x % across * TERNI_TILE;
    const int r = j.c.rs == 1 ? fast : slow, c = j.c.rs == 1 ? slow : fast;
    if (j.lower && col0 >= row0 + TERNI_TILE) return;
    for (uint32_t i = blockIdx.y; i < j.count; i += gridDim.y) {
        const T *a = j.a.at<T>(i) + row0 * j.a.rs, *b = j.b.at<T>(i) + col0 * j.b.cs;
        for (int e = tid; e < TERNI_TILE * TERNI_PANEL; e += TERNI_TILE * TERNI_TILE) {
            int row = j.a.cs == 1 ? e / TERNI_PANEL : e % TERNI_TILE,
                k = j.a.cs == 1 ? e % TERNI_PANEL : e / TERNI_TILE;
            if (row0 + row < j.m && k < j.k) at[row * (TERNI_PANEL + 1) + k] = a[row * j.a.rs + k * j.a.cs];
            const int col = j.b.cs == 1 ? e % TERNI_TILE : e / TERNI_PANEL;
            k = j.b.cs == 1 ? e / TERNI_TILE : e % TERNI_PANEL;
            if (col0 + col < j.n && k < j.k) bt[k * (TERNI_TILE + 1) + col] = b[k * j.b.rs + col * j.b.cs];
        }
        __syncthreads();
        if (row0 + r < j.m && col0 + c < j.n && !(j.lower && col0 + c > row0 + r)) {
            T sum = 0;
            for (int k = 0; k < j.k; k++) sum += at[r * (TERNI_PANEL + 1) + k] * bt[k * (TERNI_TILE + 1) + c];
            j.c.at<T>(i)[(row0 + r) * j.c.rs + (col0 + c) * j.c.cs] -= sum;
        }
        __syncthreads(); /* the tiles are the next matrix's */
    }
}

template <class T>
static bool terni_run_update(terni_cuda_device *d, const terni_update_job &j) {
    if (j.m == 0 || j.n == 0 || j.count == 0) return true;
    const int64_t tiles = (j.m + TERNI_TILE - 1) / TERNI_TILE * ((j.n + TERNI_TILE - 1) / TERNI_TILE);
    if (tiles > TERNI_WALK_MAX)
        return terni_cuda_fail(TERN_ERR_UNSUPPORTED, "cuda: a product of %lld x %lld elements", (long long)j.m,
                               (long long)j.n);
    return TERNI_LAUNCH(d, dim3((unsigned)tiles, j.count < 65535 ? j.count : 65535), TERNI_TILE * TERNI_TILE, 0,
                        (terni_update<T>), j);
}

template <class T>
static bool terni_run_solve_panel(terni_cuda_device *d, uint32_t count, const terni_matrices &a,
                                  const terni_matrices &x, int nb, int64_t columns, bool upper, bool unit) {
    if (columns == 0 || count == 0) return true;
    return TERNI_LAUNCH(d, dim3(terni_blocks(columns, TERNI_COLUMNS), count < 65535 ? count : 65535), TERNI_COLUMNS, 0,
                        (terni_solve_panel<T>), count, a, x, nb, columns, upper, unit);
}

/* a y = x in place of x [N, columns]; a's other triangle is not read. */
template <class T>
static bool terni_run_triangular(terni_cuda_device *d, uint32_t count, const terni_matrices &a, const terni_matrices &x,
                                 int64_t n, int64_t columns, bool upper, bool unit) {
    const int64_t panels = (n + TERNI_PANEL - 1) / TERNI_PANEL;
    for (int64_t p = 0; p < panels; p++) {
        const int64_t k = (upper ? panels - 1 - p : p) * TERNI_PANEL;
        const int nb = n - k < TERNI_PANEL ? (int)(n - k) : (int)TERNI_PANEL;
        if (!terni_run_solve_panel<T>(d, count, terni_from<T>(a, k, k), terni_from<T>(x, k, 0), nb, columns, upper,
                                      unit))
            return false;
        const int64_t first = upper ? 0 : k + nb, rows = upper ? k : n - first;
        const terni_update_job j = {terni_from<T>(a, first, k),
                                    terni_from<T>(x, k, 0),
                                    terni_from<T>(x, first, 0),
                                    count,
                                    rows,
                                    columns,
                                    nb,
                                    false};
        if (!terni_run_update<T>(d, j)) return false;
    }
    return true;
}

/* ---- groups of threads within warps, each with a column or a pair to itself
 * ----------------------------------------------------- */

struct terni_groups {
    int lanes, lane, mine, n;
};
/* lanes is a power of 2, at most 32. */
__device__ __forceinline__ terni_groups terni_group(int lanes) {
    const int tid = threadIdx.x;
    return {lanes, tid & (lanes - 1), tid / lanes, (int)blockDim.x / lanes};
}
/* Every thread of the warp calls it. */
template <class T>
__device__ __forceinline__ T terni_group_sum(const terni_groups &g, T v) {
    for (int o = g.lanes / 2; o > 0; o >>= 1) v += __shfl_xor_sync(~0u, v, o);
    return v;
}
static inline int terni_group_lanes(int64_t rows) { return rows <= 8 ? 1 : rows <= 32 ? 8 : 32; }

/* ---- Householder's reflections, a block a matrix [m, ...] by columns. Source: LAPACK's geqr2, org2r
 * ----------------------------- */

struct terni_largest { /* NaN is larger */
    template <class T>
    __device__ T operator()(T a, T b) const {
        return a > b || a != a ? a : b;
    }
};

/* Columns first to end of w: w -= tau v v^T w, over rows k to m; v is 1 at row k and x below. */
template <class T>
static __device__ void terni_reflect(T *w, const T *x, T tau, int64_t k, int64_t m, int64_t first, int64_t end,
                                     int lanes) {
    const terni_groups g = terni_group(lanes);
    for (int64_t base = first; base < end; base += g.n) {
        const int64_t c = base + g.mine;
        T *y = w + c * m, sum = 0;
        if (c < end)
            for (int64_t r = k + g.lane; r < m; r += lanes) sum += r == k ? y[r] : x[r] * y[r];
        sum = terni_group_sum(g, sum) * tau;
        if (c < end)
            for (int64_t r = k + g.lane; r < m; r += lanes) y[r] -= r == k ? sum : x[r] * sum;
    }
}

/* w [m, n], m >= n, becomes r on and above the diagonal and the reflections below, tau [n]. scratch: 32 elements. */
template <class T>
static __device__ void terni_geqrf(T *w, T *tau, int64_t m, int64_t n, int lanes, T *scratch) {
    const int tid = threadIdx.x, threads = blockDim.x;
    for (int64_t k = 0; k < n; k++) {
        T *x = w + k * m, most = 0, sum = 0;
        for (int64_t r = k + 1 + tid; r < m; r += threads) most = terni_largest()(most, (T)fabs(x[r]));
        most = terni_block_all(most, T(0), scratch, terni_largest());
        for (int64_t r = k + 1 + tid; r < m && most != 0; r += threads) sum += (x[r] / most) * (x[r] / most);
        sum = terni_block_all(sum, T(0), scratch, terni_plus());
        const T alpha = x[k], beta = (T)-copysign(hypot(alpha, most * (T)sqrt(sum)), alpha);
        const T t = most != 0 ? (beta - alpha) / beta : T(0);
        __syncthreads(); /* x[k] was read by all */
        for (int64_t r = k + tid; r < m && most != 0; r += threads) x[r] = r == k ? beta : x[r] / (alpha - beta);
        if (tid == 0) tau[k] = t;
        __syncthreads();
        terni_reflect(w, x, t, k, m, k + 1, n, lanes);
        __syncthreads();
    }
}

/* The first c columns of the orthogonal matrix, in place of the n reflections. */
template <class T>
static __device__ void terni_orgqr(T *w, const T *tau, int64_t m, int64_t n, int64_t c, int lanes) {
    const int tid = threadIdx.x, threads = blockDim.x;
    for (int64_t e = n * m + tid; e < c * m; e += threads) w[e] = e / m == e % m ? 1 : 0;
    __syncthreads();
    for (int64_t k = n - 1; k >= 0; k--) {
        T *x = w + k * m;
        const T t = tau[k];
        terni_reflect(w, x, t, k, m, k + 1, c, lanes);
        __syncthreads();
        for (int64_t r = tid; r < m; r += threads) x[r] = r < k ? 0 : r == k ? 1 - t : -t * x[r];
        __syncthreads();
    }
}

/* ---- Jacobi's rotations
 * ------------------------------------------------------------------------------------------------------- */

/* Pair i of round r of a tournament in which each of n players (n even) meets every other one in n - 1 rounds; p < q.
 */
__device__ __forceinline__ void terni_pair(int64_t n, int64_t round, int64_t i, int64_t *p, int64_t *q) {
    const int64_t m = n - 1, a = i ? (round + i) % m : m, b = (round + m - i) % m;
    *p = a < b ? a : b;
    *q = a < b ? b : a;
}

/* The power of two that brings the largest of these numbers near 1, so that squares neither overflow nor vanish. */
template <class T>
__device__ __forceinline__ T terni_scale_of(T most) {
    if (!(most > 0)) return 1;
    int e;
    (void)frexp(most, &e);
    const int limit = terni_limits<T>::EXPONENT - 2;
    return (T)ldexp(T(1), -e > limit ? limit : -e);
}

#endif
