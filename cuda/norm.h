/* What batch, layer, group and RMS norm share: parameters that are of x's dtype or f32, and means and variances in one
 * pass (Chan, Golub and LeVeque: merging counts, means and sums of squares). */
#ifndef TERNI_CUDA_NORM_H
#define TERNI_CUDA_NORM_H

#include "rows.h"

/* A vector of parameters, S or f32; NULL stands for `otherwise`. */
template <class S>
struct terni_parameter {
    const void *p;
    bool f32;
    __device__ __forceinline__ terni_sum_t<S> at(int64_t i, float otherwise) const {
        if (!p) return otherwise;
        return f32 ? (terni_sum_t<S>)static_cast<const float *>(p)[i]
                   : (terni_sum_t<S>)terni_load<S>(static_cast<const S *>(p)[i]);
    }
    /* N from i on, by 16 bytes where they lie so. */
    template <int N>
    __device__ __forceinline__ void many(int64_t i, float otherwise, terni_sum_t<S> *to) const {
        if (p && f32 && N % 4 == 0 && ((uintptr_t)(static_cast<const float *>(p) + i) & 15) == 0) {
#pragma unroll
            for (int k = 0; k < N / 4; k++) {
                const terni_row_pack<float> v =
                    reinterpret_cast<const terni_row_pack<float> *>(static_cast<const float *>(p) + i)[k];
#pragma unroll
                for (int j = 0; j < 4; j++) to[4 * k + j] = (terni_sum_t<S>)v.v[j];
            }
        } else if (p && !f32 && N == terni_row_width<S> && ((uintptr_t)(static_cast<const S *>(p) + i) & 15) == 0) {
            const terni_row_pack<S> v = *reinterpret_cast<const terni_row_pack<S> *>(static_cast<const S *>(p) + i);
#pragma unroll
            for (int j = 0; j < N; j++) to[j] = (terni_sum_t<S>)terni_load<S>(v.v[j % terni_row_width<S>]);
        } else {
#pragma unroll
            for (int j = 0; j < N; j++) to[j] = at(i + j, otherwise);
        }
    }
};
template <class S>
struct terni_parameter_out {
    void *p;
    bool f32;
    __device__ __forceinline__ void put(int64_t i, terni_sum_t<S> v) const {
        if (!p) return;
        if (f32)
            static_cast<float *>(p)[i] = (float)v;
        else
            static_cast<S *>(p)[i] = terni_store<S>((terni_math_t<S>)v);
    }
    __device__ __forceinline__ terni_sum_t<S> at(int64_t i) const {
        return f32 ? (terni_sum_t<S>)static_cast<const float *>(p)[i]
                   : (terni_sum_t<S>)terni_load<S>(static_cast<const S *>(p)[i]);
    }
};
template <class S>
terni_parameter<S> terni_parameter_of(const terni_view *v) {
    return {v ? v->data : nullptr, v && v->dtype == TERN_F32};
}
template <class S>
terni_parameter_out<S> terni_parameter_out_of(const terni_view *v) {
    return {v ? v->data : nullptr, v && v->dtype == TERN_F32};
}

/* Count, mean and sum of squared differences. */
template <class A>
struct terni_moments {
    A n, mean, m2;
};
template <class A>
__device__ __forceinline__ void terni_moments_add(terni_moments<A> &m, A v) {
    m.n += 1;
    const A d = v - m.mean;
    m.mean += d / m.n;
    m.m2 += d * (v - m.mean);
}
template <class A>
__device__ __forceinline__ terni_moments<A> terni_moments_join(terni_moments<A> a, terni_moments<A> b) {
    if (b.n == 0) return a;
    if (a.n == 0) return b;
    const A n = a.n + b.n, d = b.mean - a.mean;
    return {n, a.mean + d * (b.n / n), a.m2 + b.m2 + d * d * (a.n * b.n / n)};
}
/* Over a block of 2^k threads; scratch holds as many. Every thread gets the result. */
template <class A>
__device__ terni_moments<A> terni_moments_all(terni_moments<A> m, terni_moments<A> *scratch) {
    scratch[threadIdx.x] = m;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half)
            scratch[threadIdx.x] = terni_moments_join(scratch[threadIdx.x], scratch[threadIdx.x + half]);
    }
    __syncthreads();
    m = scratch[0];
    __syncthreads();
    return m;
}

enum { TERNI_NORM_BLOCK = 256 };
/* Whether a grid has a block for each of n rows. */
static inline bool terni_norm_fits(int64_t n, const char *op) {
    return n <= TERNI_WALK_MAX || terni_cuda_fail(TERN_ERR_UNSUPPORTED, "%s: 2^31 rows or more on a GPU", op);
}
static inline unsigned terni_norm_block(int64_t n) {
    unsigned b = 32;
    while (b < TERNI_NORM_BLOCK && (int64_t)b * 4 < n) b *= 2;
    return b;
}

#endif
