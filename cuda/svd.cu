/* svd by one-sided Jacobi rotations, a block a matrix. w is a, or a^T if a is wide, by columns: rotations of pairs of
 * columns make them orthogonal, w v = u s. u is then the orthogonal matrix of a QR factorization of the sorted columns,
 * which also gives what zero columns leave open, and whole u. Source: Demmel and Veselic, Jacobi's method is more
 * accurate than QR, SIAM J. Matrix Anal. Appl. 13, 1992. */
#include "linalg.h"
#include "solver.h"

namespace {

enum { SWEEPS = 40 };

/* Of all matrices, one after the other: w [m, n] with m >= n, v [n, n], u [m, cols], all by columns; v and u may be
 * NULL. place, tau [n]; scale. */
template <class T>
struct problem {
    int64_t m, n, cols;
    T *w, *v, *u, *place, *tau, *scale, *s;
    int32_t *info;
    int lanes;
};

/* w from the input, scaled; info -1 if a value is not finite. in is a or a^T, [m, n]. */
template <class T>
__global__ void __launch_bounds__(512) load(problem<T> p, terni_matrices in) {
    TERNI_SHARED(T, scratch, 32);
    const uint32_t i = blockIdx.x;
    const int64_t m = p.m, n = p.n;
    const T *from = in.at<const T>(i);
    T *w = p.w + i * m * n, *v = p.v ? p.v + i * n * n : nullptr, most = 0, none = 0;
    for (int64_t e = threadIdx.x; e < m * n; e += blockDim.x) {
        const T x = (T)fabs(from[e % m * in.rs + e / m * in.cs]);
        most = terni_largest()(most, x);
        none += x * 0; /* NaN, unless x is finite */
    }
    most = terni_block_all(most, T(0), scratch, terni_largest());
    none = terni_block_all(none, T(0), scratch, terni_plus());
    const T s = terni_scale_of(most);
    for (int64_t e = threadIdx.x; e < m * n; e += blockDim.x) w[e] = from[e % m * in.rs + e / m * in.cs] * s;
    for (int64_t e = threadIdx.x; v && e < n * n; e += blockDim.x) v[e] = e / n == e % n ? 1 : 0;
    if (threadIdx.x > 0) return;
    p.info[i] = none == 0 ? 0 : -1;
    p.scale[i] = s;
}

template <class T>
__device__ void turn(T *x, T *y, T c, T s, int64_t n, const terni_groups &g) {
    for (int64_t r = g.lane; r < n; r += g.lanes) {
        const T a = x[r], b = y[r];
        x[r] = c * a - s * b;
        y[r] = s * a + c * b;
    }
}

/* Columns p and q; true if they had to be rotated. Every thread of a warp calls it, with q at the end or beyond if
 * there is nothing to do. Columns whose squares are near underflow are zero beside the largest, which is near 1. */
template <class T>
__device__ bool make_orthogonal(T *w, T *v, int64_t m, int64_t n, int64_t p, int64_t q, T tol, const terni_groups &g) {
    constexpr T zero = terni_limits<T>::smallest / terni_limits<T>::epsilon;
    T *x = w + p * m, *y = w + q * m, xx = 0, yy = 0, xy = 0;
    for (int64_t r = g.lane; q < n && r < m; r += g.lanes) {
        xx += x[r] * x[r];
        yy += y[r] * y[r];
        xy += x[r] * y[r];
    }
    xx = terni_group_sum(g, xx);
    yy = terni_group_sum(g, yy);
    xy = terni_group_sum(g, xy);
    if (xx < zero || yy < zero || fabs(xy) <= tol * (T)sqrt(xx) * (T)sqrt(yy)) return false;
    const T z = (yy - xx) / (2 * xy), t = (T)copysign(T(1), z) / ((T)fabs(z) + (T)hypot(T(1), z));
    const T c = 1 / (T)sqrt(1 + t * t), s = c * t;
    turn(x, y, c, s, m, g);
    if (v) turn(v + p * n, v + q * n, c, s, n, g);
    return true;
}

template <class T>
__global__ void __launch_bounds__(512) rotate(problem<T> p) {
    TERNI_SHARED(int, busy, 32);
    const int64_t m = p.m, n = p.n, even = n + n % 2;
    T *w = p.w + blockIdx.x * m * n, *v = p.v ? p.v + blockIdx.x * n * n : nullptr;
    const T tol = terni_limits<T>::epsilon * (T)sqrt((T)m);
    const terni_groups g = terni_group(p.lanes);
    if (p.info[blockIdx.x]) return;
    int any = 1;
    for (int sweep = 0; any && sweep < SWEEPS; sweep++) {
        any = 0;
        for (int64_t round = 0; round < even - 1; round++) {
            for (int64_t base = 0; base < even / 2; base += g.n) {
                int64_t a = 0, b = n;
                if (base + g.mine < even / 2) terni_pair(even, round, base + g.mine, &a, &b);
                any += make_orthogonal(w, v, m, n, a, b, tol, g) ? 1 : 0;
            }
            __syncthreads();
        }
        any = terni_block_all(any ? 1 : 0, 0, busy, terni_plus());
    }
    if (any && threadIdx.x == 0) p.info[blockIdx.x] = 1;
}

/* Singular values descending: place[k] is where column k goes. */
template <class T>
__global__ void __launch_bounds__(512) order(problem<T> p) {
    const int64_t m = p.m, n = p.n;
    const T *w = p.w + blockIdx.x * m * n;
    T *norm = p.tau + blockIdx.x * n, *place = p.place + blockIdx.x * n; /* a T holds every place that fits memory */
    const terni_groups g = terni_group(p.lanes);
    if (p.info[blockIdx.x] < 0) return;
    for (int64_t base = 0; base < n; base += g.n) {
        const int64_t k = base + g.mine;
        T sum = 0;
        for (int64_t r = g.lane; k < n && r < m; r += g.lanes) sum += w[k * m + r] * w[k * m + r];
        sum = terni_group_sum(g, sum);
        if (k < n && g.lane == 0) norm[k] = (T)sqrt(sum);
    }
    __syncthreads();
    for (int64_t k = threadIdx.x; k < n; k += blockDim.x) {
        int64_t rank = 0;
        for (int64_t j = 0; j < n; j++) rank += norm[j] > norm[k] || (norm[j] == norm[k] && j < k);
        p.s[blockIdx.x * n + rank] = norm[k] / p.scale[blockIdx.x];
        place[k] = (T)rank;
    }
}

/* u from the columns in their order. r's diagonal is plus or minus s: left has u's columns with that sign. */
template <class T>
__global__ void __launch_bounds__(512)
    vectors(problem<T> p, T *left, int64_t lr, int64_t lc, T *right, int64_t rr, int64_t rc) {
    TERNI_SHARED(T, scratch, 32);
    const int64_t m = p.m, n = p.n, cols = p.cols;
    const T *w = p.w + blockIdx.x * m * n, *v = p.v + blockIdx.x * n * n, *place = p.place + blockIdx.x * n;
    T *u = p.u + blockIdx.x * m * cols, *tau = p.tau + blockIdx.x * n, *sign = p.w + blockIdx.x * m * n;
    left += blockIdx.x * m * cols;
    right += blockIdx.x * n * n;
    if (p.info[blockIdx.x] < 0) return;
    for (int64_t e = threadIdx.x; e < m * n; e += blockDim.x) u[(int64_t)place[e / m] * m + e % m] = w[e];
    for (int64_t e = threadIdx.x; e < n * n; e += blockDim.x) right[(int64_t)place[e / n] * rc + e % n * rr] = v[e];
    __syncthreads();
    terni_geqrf(u, tau, m, n, p.lanes, scratch);
    for (int64_t k = threadIdx.x; k < n; k += blockDim.x)
        sign[k] = (T)copysign(T(1), u[k * m + k]); /* w is done with */
    __syncthreads();
    terni_orgqr(u, tau, m, n, cols, p.lanes);
    for (int64_t e = threadIdx.x; e < m * cols; e += blockDim.x)
        left[e % m * lr + e / m * lc] = e / m < n ? u[e] * sign[e / m] : u[e];
}

/* The scratch memory of all matrices, divided; false after an error. */
template <class T>
bool divide(terni_cuda_device *d, problem<T> *p, int64_t count, bool with_vectors) {
    const int64_t tall = count * p->m * p->n, square = with_vectors ? count * p->n * p->n : 0,
                  whole = with_vectors ? count * p->m * p->cols : 0, line = count * p->n;
    p->w = static_cast<T *>(terni_cuda_scratch(d, (size_t)(tall + square + whole + 2 * line + count) * sizeof(T)));
    if (!p->w) return false;
    p->v = with_vectors ? p->w + tall : nullptr;
    p->u = with_vectors ? p->w + tall + square : nullptr;
    p->place = p->w + tall + square + whole;
    p->tau = p->place + line;
    p->scale = p->tau + line;
    return true;
}

template <class T>
bool run(terni_cuda_device *d, const terni_call *c, uint32_t count, int64_t rows, int64_t columns) {
    const terni_view *u = c->out[0], *vh = c->out[2];
    const bool wide = rows < columns;
    const terni_matrices in = terni_matrices_of(c->in[0], 2);
    problem<T> p;
    p.m = wide ? columns : rows;
    p.n = wide ? rows : columns;
    p.cols = !u ? 0 : wide ? vh->shape[vh->ndim - 2] : u->shape[u->ndim - 1];
    p.s = static_cast<T *>(c->out[1]->data);
    p.info = static_cast<int32_t *>(c->out[3]->data);
    p.lanes = terni_group_lanes(p.m);
    if (!divide(d, &p, count, u != nullptr)) return false;
    const int threads = terni_matrix_threads(p.m * p.n);
    bool ok = TERNI_LAUNCH(d, count, threads, 0, (load<T>), p, wide ? terni_flipped(in) : in) &&
              TERNI_LAUNCH(d, count, threads, 0, (rotate<T>), p) && TERNI_LAUNCH(d, count, threads, 0, (order<T>), p);
    if (u) {
        const terni_matrices x = terni_matrices_of(wide ? vh : u, 2), y = terni_matrices_of(wide ? u : vh, 2);
        ok = ok && TERNI_LAUNCH(d, count, threads, 0, (vectors<T>), p, static_cast<T *>(x.data), wide ? x.cs : x.rs,
                                wide ? x.rs : x.cs, static_cast<T *>(y.data), wide ? y.rs : y.cs, wide ? y.cs : y.rs);
    }
    terni_cuda_scratch_free(d, p.w);
    return ok;
}

/* q = 1, of a matrix without elements. */
template <class T>
__global__ void identity(T *q, int64_t n, int64_t total) {
    const int64_t t = terni_thread();
    if (t < total) q[t] = t / n % n == t % n ? 1 : 0;
}

template <class T>
bool run_empty(terni_cuda_device *d, const terni_call *c, uint32_t count) {
    for (int i = 0; i <= 2; i += 2) {
        const terni_view *q = c->out[i];
        const int64_t n = q ? q->shape[q->ndim - 1] : 0, total = q ? terni_cuda_count(q) : 0;
        if (total > 0 &&
            !TERNI_LAUNCH_EACH(d, terni_blocks(total, 256), 256, (identity<T>), static_cast<T *>(q->data), n, total))
            return false;
    }
    return TERNI_CUDA_OK(terni_cuda_driver->fill(c->out[3]->data, 0, count * sizeof(int32_t), d->stream));
}

}  // namespace

extern "C" bool terni_cuda_svd(const terni_call *c) {
    const terni_view *a = c->in[0];
    const int64_t m = a->shape[a->ndim - 2], n = a->shape[a->ndim - 1];
    uint32_t count;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d || !terni_matrix_count("svd", a, 2, &count)) return false;
    if (count == 0) return true;
    const bool wide = a->dtype == TERN_F64;
    if (m == 0 || n == 0) return wide ? run_empty<double>(d, c, count) : run_empty<float>(d, c, count);
    if (terni_solver_takes(d, m < n ? m : n, 64, count)) return terni_solver_svd(d, c, count);
    return wide ? run<double>(d, c, count, m, n) : run<float>(d, c, count, m, n);
}
