/* eigh by Jacobi's rotations, a block a matrix: in a round every index is in one pair, and the rotations of all pairs
 * are applied at once, block of 2 x 2 by block. Source: Golub and Van Loan, Matrix Computations, 8.5. */
#include "linalg.h"
#include "solver.h"

namespace {

enum { SWEEPS = 40 };

/* Of all matrices, one after the other: a [n, n], v [n, n] by columns or NULL, turns (cos, sin) [pairs]. */
template <class T>
struct problem {
    int64_t n;
    T *a, *v, *turns, *w, *out;
    int32_t *info;
};

/* Both triangles of a from the lower one of the input, scaled; info -1 if a value is not finite. */
template <class T>
__global__ void __launch_bounds__(512) load(problem<T> p, terni_matrices in, T *scale) {
    TERNI_SHARED(T, scratch, 32);
    const uint32_t i = blockIdx.x;
    const int64_t n = p.n;
    const T *from = in.at<const T>(i);
    T *a = p.a + i * n * n, *v = p.v ? p.v + i * n * n : nullptr, most = 0, none = 0;
    for (int64_t e = threadIdx.x; e < n * n; e += blockDim.x) {
        const int64_t r = e / n, c = e % n;
        const T x = (T)fabs(from[c <= r ? r * in.rs + c * in.cs : c * in.rs + r * in.cs]);
        most = terni_largest()(most, x);
        none += x * 0; /* NaN, unless x is finite */
    }
    most = terni_block_all(most, T(0), scratch, terni_largest());
    none = terni_block_all(none, T(0), scratch, terni_plus());
    const T s = terni_scale_of(most);
    for (int64_t e = threadIdx.x; e < n * n; e += blockDim.x) {
        const int64_t r = e / n, c = e % n;
        a[e] = from[c <= r ? r * in.rs + c * in.cs : c * in.rs + r * in.cs] * s;
        if (v) v[e] = r == c ? 1 : 0;
    }
    if (threadIdx.x > 0) return;
    p.info[i] = none == 0 ? 0 : -1;
    scale[i] = s;
}

/* The rotations of a round; true if this thread has one that is not the identity. */
template <class T>
__device__ bool choose(const T *a, T *turns, int64_t n, int64_t even, int64_t round, T small) {
    bool any = false;
    for (int64_t i = threadIdx.x; i < even / 2; i += blockDim.x) {
        int64_t p, q;
        terni_pair(even, round, i, &p, &q);
        T c = 1, s = 0;
        const T x = q < n ? a[q * n + p] : T(0);
        if (fabs(x) > small) {
            const T z = (a[q * n + q] - a[p * n + p]) / (2 * x),
                    t = (T)copysign(T(1), z) / ((T)fabs(z) + (T)hypot(T(1), z));
            c = 1 / (T)sqrt(1 + t * t);
            s = c * t;
            any = true;
        }
        turns[2 * i] = c;
        turns[2 * i + 1] = s;
    }
    return any;
}

/* Rows of pair i and columns of pair j <= i, and their mirror. */
template <class T>
__device__ void turn_block(T *a, const T *turns, int64_t n, int64_t even, int64_t round, int64_t i, int64_t j) {
    int64_t p, q, r, s;
    terni_pair(even, round, i, &p, &q);
    terni_pair(even, round, j, &r, &s);
    const T ci = turns[2 * i], si = turns[2 * i + 1], cj = turns[2 * j], sj = turns[2 * j + 1];
    const bool has_q = q < n, has_s = s < n;
    if (i == j) {
        if (!has_q || si == 0) return;
        const T shift = si / ci * a[q * n + p];
        a[p * n + p] -= shift;
        a[q * n + q] += shift;
        a[q * n + p] = a[p * n + q] = 0;
        return;
    }
    const T pr = a[p * n + r], ps = has_s ? a[p * n + s] : T(0), qr = has_q ? a[q * n + r] : T(0),
            qs = has_q && has_s ? a[q * n + s] : T(0);
    const T xr = ci * pr - si * qr, xs = ci * ps - si * qs, yr = si * pr + ci * qr, ys = si * ps + ci * qs;
    a[p * n + r] = a[r * n + p] = cj * xr - sj * xs;
    if (has_s) a[p * n + s] = a[s * n + p] = sj * xr + cj * xs;
    if (has_q) a[q * n + r] = a[r * n + q] = cj * yr - sj * ys;
    if (has_q && has_s) a[q * n + s] = a[s * n + q] = sj * yr + cj * ys;
}

template <class T>
__device__ void turn(T *a, T *v, const T *turns, int64_t n, int64_t even, int64_t round) {
    const int64_t pairs = even / 2;
    for (int64_t e = threadIdx.x; e < pairs * pairs; e += blockDim.x)
        if (e % pairs <= e / pairs) turn_block(a, turns, n, even, round, e / pairs, e % pairs);
    for (int64_t e = threadIdx.x; v && e < pairs * n; e += blockDim.x) {
        int64_t p, q;
        terni_pair(even, round, e / n, &p, &q);
        const T c = turns[e / n * 2], s = turns[e / n * 2 + 1];
        if (s == 0) continue;
        const T x = v[p * n + e % n], y = v[q * n + e % n];
        v[p * n + e % n] = c * x - s * y;
        v[q * n + e % n] = s * x + c * y;
    }
}

/* Sweeps until every element off the diagonal is so small that all of them together are below rounding. */
template <class T>
__global__ void __launch_bounds__(512) rotate(problem<T> p) {
    TERNI_SHARED(T, scratch, 32);
    TERNI_SHARED(int, busy, 32);
    const int64_t n = p.n, even = n + n % 2;
    T *a = p.a + blockIdx.x * n * n, *v = p.v ? p.v + blockIdx.x * n * n : nullptr,
      *turns = p.turns + blockIdx.x * even, norm = 0;
    if (p.info[blockIdx.x]) return;
    for (int64_t e = threadIdx.x; e < n * n; e += blockDim.x) norm += a[e] * a[e];
    norm = (T)sqrt(terni_block_all(norm, T(0), scratch, terni_plus()));
    const T small = norm * terni_limits<T>::epsilon / (T)(4 * n);
    int any = 1;
    for (int sweep = 0; any && sweep < SWEEPS; sweep++) {
        any = 0;
        for (int64_t round = 0; round < even - 1; round++) {
            any += choose(a, turns, n, even, round, small) ? 1 : 0;
            __syncthreads();
            turn(a, v, turns, n, even, round);
            __syncthreads();
        }
        any = terni_block_all(any ? 1 : 0, 0, busy, terni_plus());
    }
    if (any && threadIdx.x == 0) p.info[blockIdx.x] = 1;
}

/* Ascending values, and the vectors in their order. */
template <class T>
__global__ void __launch_bounds__(512) order(problem<T> p, const T *scale) {
    const int64_t n = p.n;
    const T *a = p.a + blockIdx.x * n * n, *v = p.v ? p.v + blockIdx.x * n * n : nullptr, s = scale[blockIdx.x];
    T *w = p.w + blockIdx.x * n, *place = p.turns + blockIdx.x * (n + n % 2);
    if (p.info[blockIdx.x] < 0) return;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
        const T mine = a[i * (n + 1)];
        int64_t rank = 0;
        for (int64_t k = 0; k < n; k++) rank += a[k * (n + 1)] < mine || (a[k * (n + 1)] == mine && k < i);
        w[rank] = mine / s;
        place[i] = (T)rank;
    }
    __syncthreads();
    for (int64_t e = threadIdx.x; v && e < n * n; e += blockDim.x)
        p.out[(blockIdx.x * n + (int64_t)place[e / n]) * n + e % n] = v[e];
}

template <class T>
bool run(terni_cuda_device *d, const terni_call *c, uint32_t count, int64_t n) {
    const size_t square = (size_t)count * (size_t)(n * n), line = (size_t)count * (size_t)(n + n % 2);
    const bool vectors = c->out[1] != nullptr;
    T *room = static_cast<T *>(terni_cuda_scratch(d, (square * (vectors ? 2 : 1) + line + count) * sizeof(T)));
    if (!room) return false;
    const problem<T> p = {n,
                          room,
                          vectors ? room + square + line + count : nullptr,
                          room + square,
                          static_cast<T *>(c->out[0]->data),
                          vectors ? static_cast<T *>(c->out[1]->data) : nullptr,
                          static_cast<int32_t *>(c->out[2]->data)};
    T *scale = room + square + line;
    const int threads = terni_matrix_threads(n * n);
    const bool ok = TERNI_LAUNCH(d, count, threads, 0, (load<T>), p, terni_matrices_of(c->in[0], 2), scale) &&
                    TERNI_LAUNCH(d, count, threads, 0, (rotate<T>), p) &&
                    TERNI_LAUNCH(d, count, threads, 0, (order<T>), p, scale);
    terni_cuda_scratch_free(d, room);
    return ok;
}

}  // namespace

extern "C" bool terni_cuda_eigh(const terni_call *c) {
    const terni_view *a = c->in[0];
    const int64_t n = a->shape[a->ndim - 1];
    uint32_t count;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d || !terni_matrix_count("eigh", a, 2, &count)) return false;
    if (count == 0) return true;
    if (n == 0) return TERNI_CUDA_OK(terni_cuda_driver->fill(c->out[2]->data, 0, count * sizeof(int32_t), d->stream));
    if (terni_solver_takes(d, n, 64, count)) return terni_solver_eigh(d, c, count);
    return a->dtype == TERN_F64 ? run<double>(d, c, count, n) : run<float>(d, c, count, n);
}
