/* Work on many tensors in one launch: their addresses travel as the launch's argument, which may have 4 KB, and 32 KB
 * from CUDA 12.1 on (compute capability 7.0 and up). Private to cuda/. */
#ifndef TERNI_CUDA_MANY_H
#define TERNI_CUDA_MANY_H

#include "launch.h"

/* N tensors of P arrays each. Block b works on a chunk of the tensor t with first[t] <= b < first[t + 1]. */
template <int N, int P>
struct terni_many {
    enum { MOST = N, ARRAYS = P };
    int n;
    unsigned first[N + 1];
    int64_t size[N];
    void *p[P][N];
};

/* What launches may have for arguments: always, and where terni_many_large says so. */
enum { TERNI_MANY_SMALL = 4096 };
#if defined(CUDART_VERSION) && CUDART_VERSION < 12010
enum { TERNI_MANY_LARGE = TERNI_MANY_SMALL }; /* nvcc refuses kernels with more */
#else
enum { TERNI_MANY_LARGE = 32764 };
#endif

/* As many as fit beside `other` bytes of arguments. */
template <int BYTES, int P, int OTHER>
using terni_many_in = terni_many<(BYTES - OTHER - 16) / (12 + 8 * P), P>;

/* This block's tensor. */
template <class M>
__device__ __forceinline__ int terni_many_find(const M &m, unsigned block) {
    int lo = 0, hi = m.n;
    while (hi - lo > 1) {
        const int middle = (lo + hi) / 2;
        if (m.first[middle] <= block)
            lo = middle;
        else
            hi = middle;
    }
    return lo;
}

/* May launches have arguments of 32 KB? */
static inline bool terni_many_large(const terni_cuda_device *d) {
    return (int)TERNI_MANY_LARGE > (int)TERNI_MANY_SMALL && d->properties.driver >= 12010;
}

/* Calls launch(table) for the tensors i in [0, n) that pick(i, p) takes (it fills p[0 .. P) and returns the number of
 * elements; 0: not this one), as many at a time as there is room for, in chunks of `chunk` elements. */
template <class M, int P, class PICK, class LAUNCH>
bool terni_many_run(int n, int chunk, PICK pick, LAUNCH launch) {
    M m;
    m.n = 0;
    m.first[0] = 0;
    for (int i = 0; i < n; i++) {
        void *p[P];
        const int64_t size = pick(i, p);
        if (size == 0) continue;
        if (m.n == M::MOST) {
            if (!launch(m)) return false;
            m.n = 0;
        }
        m.size[m.n] = size;
        for (int k = 0; k < P; k++) m.p[k][m.n] = p[k];
        m.first[m.n + 1] = m.first[m.n] + terni_blocks(size, chunk);
        m.n++;
    }
    return m.n == 0 || launch(m);
}

/* 16 bytes of S in registers. */
template <class S>
struct alignas(16) terni_pack {
    enum { WIDTH = 16 / sizeof(S) };
    S v[WIDTH];
};

#endif
