/* matmul, the plain kernel: tiles in shared memory, any strides and dtypes. library_matmul.cu calls cuBLASLt where it
 * can. */
#include "launch.h"

namespace {

enum { TILE = 16 };

struct matrices {
    int64_t m, n, k;
    int64_t ar, ac, br, bc, bias; /* strides of rows and columns */
    int batch_ndim;
    terni_divisor size[TERN_MAX_DIMS];
    int64_t as[TERN_MAX_DIMS], bs[TERN_MAX_DIMS];
};

template <class S>
__global__ void __launch_bounds__(TILE *TILE) product(matrices p, const S *a, const S *b, const S *bias, S *y) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(A, at, TILE * (TILE + 1));
    TERNI_SHARED(A, bt, TILE * (TILE + 1));
    uint32_t rest = blockIdx.z;
    for (int d = 0; d < p.batch_ndim; d++) {
        const uint32_t q = terni_divide(rest, p.size[d]), r = rest - q * p.size[d].d;
        a += r * p.as[d];
        b += r * p.bs[d];
        rest = q;
    }
    const int tx = threadIdx.x, ty = threadIdx.y;
    const int64_t row = (int64_t)blockIdx.x * TILE + ty, col = (int64_t)blockIdx.y * TILE + tx;
    const int64_t col0 = (int64_t)blockIdx.y * TILE;
    A sum = 0;
    for (int64_t k0 = 0; k0 < p.k; k0 += TILE) {
        at[ty * (TILE + 1) + tx] =
            row < p.m && k0 + tx < p.k ? (A)terni_load<S>(a[row * p.ar + (k0 + tx) * p.ac]) : A(0);
        /* b by whichever of its dimensions is dense along tx */
        if (p.bc == 1)
            bt[ty * (TILE + 1) + tx] =
                k0 + ty < p.k && col < p.n ? (A)terni_load<S>(b[(k0 + ty) * p.br + col * p.bc]) : A(0);
        else
            bt[tx * (TILE + 1) + ty] =
                k0 + tx < p.k && col0 + ty < p.n ? (A)terni_load<S>(b[(k0 + tx) * p.br + (col0 + ty) * p.bc]) : A(0);
        __syncthreads();
#pragma unroll
        for (int k = 0; k < TILE; k++) sum += at[ty * (TILE + 1) + k] * bt[k * (TILE + 1) + tx];
        __syncthreads();
    }
    if (row >= p.m || col >= p.n) return;
    if (bias) sum += (A)terni_load<S>(bias[col * p.bias]);
    y[((int64_t)blockIdx.z * p.m + row) * p.n + col] = terni_store<S>((terni_math_t<S>)sum);
}

template <class S>
bool run(terni_cuda_device *d, const matrices &p, int64_t batch, const void *a, const void *b, const void *bias,
         void *y) {
    const int64_t rows = (p.m + TILE - 1) / TILE, cols = (p.n + TILE - 1) / TILE;
    if (batch > 65535 || cols > 65535)
        return terni_cuda_fail(TERN_ERR_UNSUPPORTED,
                               "matmul: a batch of more than 65535, or more than 2^20 columns, without cuBLAS");
    return TERNI_LAUNCH(d, dim3((unsigned)rows, (unsigned)cols, (unsigned)batch), dim3(TILE, TILE), 0, (product<S>), p,
                        static_cast<const S *>(a), static_cast<const S *>(b), static_cast<const S *>(bias),
                        static_cast<S *>(y));
}

}  // namespace

extern "C" bool terni_cuda_matmul(const terni_call *c) {
    const terni_view *a = c->in[0], *b = c->in[1], *bias = c->in[2], *y = c->out[0];
    if (terni_cuda_count(y) == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
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
    p.batch_ndim = n - 2;
    int64_t batch = 1;
    for (int i = 0; i < n - 2; i++) {
        const int from = n - 3 - i;
        p.size[i] = terni_divisor_of(y->shape[from]);
        p.as[i] = a->strides[from];
        p.bs[i] = b->strides[from];
        batch *= y->shape[from];
    }
    TERNI_FLOATS(y->dtype, return run<S>(d, p, batch, a->data, b->data, bias ? bias->data : nullptr, y->data))
    return false;
}
