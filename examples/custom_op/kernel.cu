#include "kernel.h"

#include <cuda_runtime.h>

#include "formula.h"

namespace {

__device__ void sine_cosine(float x, float *s, float *c) { sincosf(x, s, c); }
__device__ void sine_cosine(double x, double *s, double *c) { sincos(x, s, c); }

template <typename T>
__global__ void forward(int64_t n, int64_t columns, const T *x, const T *a, T *y) {
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < n; i += (int64_t)gridDim.x * blockDim.x) {
        const T k = a[i % columns];
        T s, c;
        sine_cosine(k * x[i], &s, &c);
        y[i] = SNAKE_Y(x[i], k, s);
    }
}

template <typename T>
__global__ void backward(int64_t n, int64_t columns, const T *x, const T *a, const T *dy, T *dx, T *da) {
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < n; i += (int64_t)gridDim.x * blockDim.x) {
        const T k = a[i % columns];
        T s, c;
        sine_cosine(k * x[i], &s, &c);
        dx[i] = dy[i] * SNAKE_DX(s, c);
        da[i] = dy[i] * SNAKE_DA(x[i], k, s, c);
    }
}

constexpr int threads = 256;
constexpr int64_t most_blocks = 4096;

template <typename T>
const char *run(const snake_arrays *s, cudaStream_t stream) {
    const int64_t n = s->rows * s->columns, wanted = (n + threads - 1) / threads;
    if (n == 0) return nullptr;
    const unsigned blocks = (unsigned)(wanted < most_blocks ? wanted : most_blocks);
    const T *x = (const T *)s->x, *a = (const T *)s->a;
    if (s->dy)
        backward<T><<<blocks, threads, 0, stream>>>(n, s->columns, x, a, (const T *)s->dy, (T *)s->dx, (T *)s->da);
    else
        forward<T><<<blocks, threads, 0, stream>>>(n, s->columns, x, a, (T *)s->y);
    const cudaError_t rc = cudaGetLastError();
    return rc == cudaSuccess ? nullptr : cudaGetErrorString(rc);
}

}  // namespace

const char *snake_run_cuda(const snake_arrays *s, void *stream) {
    return s->wide ? run<double>(s, (cudaStream_t)stream) : run<float>(s, (cudaStream_t)stream);
}
