/* matmul: the library first, and the plain kernel for what it does not take. That one has tiles in shared memory, a
 * square of results a thread, any strides and dtypes. */
#include "matmul.h"

#include "launch.h"

namespace {

enum { SIDE = 16, DEPTH = 16, THREADS = SIDE * SIDE };
constexpr int64_t GRID_MAX = 65535; /* blocks along y and z */

struct matrices {
    int64_t m, n, k, batch, col_tiles;
    int64_t ar, ac, br, bc, bias; /* strides of rows and columns */
    int batch_ndim;               /* dimension 0 is the innermost */
    int64_t size[TERN_MAX_DIMS], as[TERN_MAX_DIMS], bs[TERN_MAX_DIMS];
};

/* Element (line, depth) of a tile goes to to[depth * (SIDE * R + 1) + line]; what is outside is 0. Neighbouring threads
 * read along the dimension that is dense. */
template <class S, class A, int R>
__device__ __forceinline__ void load_tile(A *to, const S *from, int64_t line0, int64_t lines, int64_t line_stride,
                                          int64_t depth0, int64_t depths, int64_t depth_stride) {
#pragma unroll
    for (int j = 0; j < R; j++) {
        const int i = threadIdx.x + j * THREADS;
        const bool along = depth_stride == 1;
        const int line = along ? i / DEPTH : i % (SIDE * R), depth = along ? i % DEPTH : i / (SIDE * R);
        const bool inside = line0 + line < lines && depth0 + depth < depths;
        to[depth * (SIDE * R + 1) + line] =
            inside ? (A)terni_load<S>(from[(line0 + line) * line_stride + (depth0 + depth) * depth_stride]) : A(0);
    }
}

/* The tile of R x R results a thread, SIDE apart, so that neighbours read neighbouring words of shared memory. */
template <class S, int R>
__device__ __forceinline__ void tile(const matrices &p, const S *a, const S *b, const S *bias, S *y, int64_t row0,
                                     int64_t col0, terni_sum_t<S> *at, terni_sum_t<S> *bt) {
    using A = terni_sum_t<S>;
    const int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE;
    A sum[R][R];
#pragma unroll
    for (int i = 0; i < R; i++)
#pragma unroll
        for (int j = 0; j < R; j++) sum[i][j] = 0;
    for (int64_t k0 = 0; k0 < p.k; k0 += DEPTH) {
        load_tile<S, A, R>(at, a, row0, p.m, p.ar, k0, p.k, p.ac);
        load_tile<S, A, R>(bt, b, col0, p.n, p.bc, k0, p.k, p.br);
        __syncthreads();
#pragma unroll
        for (int k = 0; k < DEPTH; k++) {
            A x[R], w[R];
#pragma unroll
            for (int i = 0; i < R; i++) {
                x[i] = at[k * (SIDE * R + 1) + ty + SIDE * i];
                w[i] = bt[k * (SIDE * R + 1) + tx + SIDE * i];
            }
#pragma unroll
            for (int i = 0; i < R; i++)
#pragma unroll
                for (int j = 0; j < R; j++) sum[i][j] += x[i] * w[j];
        }
        __syncthreads(); /* before the next tile is written */
    }
#pragma unroll
    for (int i = 0; i < R; i++)
#pragma unroll
        for (int j = 0; j < R; j++) {
            const int64_t row = row0 + ty + SIDE * i, col = col0 + tx + SIDE * j;
            if (row >= p.m || col >= p.n) continue;
            const A v = bias ? sum[i][j] + (A)terni_load<S>(bias[col * p.bias]) : sum[i][j];
            y[row * p.n + col] = terni_store<S>((terni_math_t<S>)v);
        }
}

template <class S, int R>
__global__ void __launch_bounds__(THREADS) product(matrices p, const S *a, const S *b, const S *bias, S *y) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(A, at, DEPTH * (SIDE * R + 1));
    TERNI_SHARED(A, bt, DEPTH * (SIDE * R + 1));
    for (int64_t z = blockIdx.z; z < p.batch; z += gridDim.z) {
        int64_t rest = z, oa = 0, ob = 0;
        for (int d = 0; d < p.batch_ndim; d++) {
            const int64_t q = d + 1 < p.batch_ndim ? rest / p.size[d] : 0, r = rest - q * p.size[d];
            oa += r * p.as[d];
            ob += r * p.bs[d];
            rest = q;
        }
        for (int64_t c = blockIdx.y; c < p.col_tiles; c += gridDim.y)
            tile<S, R>(p, a + oa, b + ob, bias, y + z * p.m * p.n, (int64_t)blockIdx.x * (SIDE * R), c * (SIDE * R), at,
                       bt);
    }
}

template <class S, int R>
bool run(terni_cuda_device *d, matrices p, const void *a, const void *b, const void *bias, void *y) {
    const int64_t rows = (p.m + SIDE * R - 1) / (SIDE * R);
    p.col_tiles = (p.n + SIDE * R - 1) / (SIDE * R);
    const dim3 grid((unsigned)rows, (unsigned)(p.col_tiles < GRID_MAX ? p.col_tiles : GRID_MAX),
                    (unsigned)(p.batch < GRID_MAX ? p.batch : GRID_MAX));
    return TERNI_LAUNCH(d, grid, dim3(THREADS), 0, (product<S, R>), p, static_cast<const S *>(a),
                        static_cast<const S *>(b), static_cast<const S *>(bias), static_cast<S *>(y));
}

/* Small products get small tiles, or most threads would have nothing to do. */
template <class S>
bool run_sized(terni_cuda_device *d, const matrices &p, const void *a, const void *b, const void *bias, void *y) {
    if (p.m > 2 * SIDE && p.n > 2 * SIDE) return run<S, 4>(d, p, a, b, bias, y);
    return run<S, 1>(d, p, a, b, bias, y);
}

/* Neighbouring dimensions of the batch at equal distances become one. */
void batch_of(const terni_view *a, const terni_view *b, const terni_view *y, matrices *p) {
    p->batch = 1;
    p->batch_ndim = 0;
    for (int i = y->ndim - 3; i >= 0; i--) {
        const int last = p->batch_ndim - 1;
        if (y->shape[i] == 1) continue;
        p->batch *= y->shape[i];
        if (last >= 0 && a->strides[i] == p->as[last] * p->size[last] && b->strides[i] == p->bs[last] * p->size[last]) {
            p->size[last] *= y->shape[i];
            continue;
        }
        p->size[last + 1] = y->shape[i];
        p->as[last + 1] = a->strides[i];
        p->bs[last + 1] = b->strides[i];
        p->batch_ndim++;
    }
}

bool by_own_kernel(terni_cuda_device *d, const terni_call *c) {
    const terni_view *a = c->in[0], *b = c->in[1], *bias = c->in[2], *y = c->out[0];
    if (c->n_out > 1 && c->out[1]) y = c->out[1];
    const int n = a->ndim;
    matrices p;
    p.m = a->shape[n - 2];
    p.k = a->shape[n - 1];
    p.n = b->shape[n - 1];
    p.ar = a->strides[n - 2];
    p.ac = a->strides[n - 1];
    p.br = b->strides[n - 2];
    p.bc = b->strides[n - 1];
    p.bias = bias ? bias->strides[0] : 0;
    batch_of(a, b, y, &p);
    TERNI_FLOATS(y->dtype, return run_sized<S>(d, p, a->data, b->data, bias ? bias->data : nullptr, y->data))
    return false;
}

}  // namespace

extern "C" bool terni_cuda_matmul(const terni_call *c) {
    if (terni_cuda_count(c->out[0]) == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const terni_matmul_result r = terni_cuda_matmul_by_library(d, c);
    if (r != TERNI_MATMUL_DECLINED) return r == TERNI_MATMUL_DONE;
    return by_own_kernel(d, c) && terni_cuda_matmul_finish(c, false);
}
