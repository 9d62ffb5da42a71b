/* The vocabulary of kernels: one macro to launch, one for shared memory, loads and stores of every dtype, sums over
 * warps and blocks, fast division. Under nvcc it is CUDA; with TERNI_SIMULATED, the simulation of tests/cusim. Included
 * by .cu files.
 *
 *     TERNI_LAUNCH(d, grid, block, shared_bytes, (kernel<T>), arguments...)        threads that meet at barriers
 *     TERNI_LAUNCH_EACH(d, grid, block, (kernel<T>), arguments...)                 independent threads
 *     TERNI_SHARED(T, name, count);             static shared memory, at most 48 KiB in a kernel; name is a T *
 *     TERNI_DYNAMIC_SHARED(T, name);            the launch's shared_bytes */
#ifndef TERNI_CUDA_LAUNCH_H
#define TERNI_CUDA_LAUNCH_H

#include "internal.h"

#ifdef TERNI_SIMULATED
#include "cusim.h"

#define TERNI_LAUNCH_AS(d, grid, block, shared_bytes, independent, kernel, ...) \
    cusim::submit((d)->stream, (grid), (block), (shared_bytes), (independent), #kernel, kernel, __VA_ARGS__)
#define TERNI_LAUNCH(d, grid, block, shared_bytes, kernel, ...) \
    TERNI_LAUNCH_AS(d, grid, block, shared_bytes, false, kernel, __VA_ARGS__)
#define TERNI_LAUNCH_EACH(d, grid, block, kernel, ...) TERNI_LAUNCH_AS(d, grid, block, 0, true, kernel, __VA_ARGS__)
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define TERNI_LAUNCH(d, grid, block, shared_bytes, kernel, ...)                                        \
    (kernel<<<(grid), (block), (shared_bytes), static_cast<cudaStream_t>((d)->stream)>>>(__VA_ARGS__), \
     terni_cuda_launched(#kernel, __FILE__, __LINE__))
#define TERNI_LAUNCH_EACH(d, grid, block, kernel, ...) TERNI_LAUNCH(d, grid, block, 0, kernel, __VA_ARGS__)
#define TERNI_SHARED(T, name, count)                                     \
    __shared__ __align__(16) unsigned char name##_[sizeof(T) * (count)]; \
    T *const name = reinterpret_cast<T *>(name##_)
#define TERNI_DYNAMIC_SHARED(T, name)                               \
    extern __shared__ __align__(16) unsigned char terni_dynamic_[]; \
    T *const name = reinterpret_cast<T *>(terni_dynamic_)
#endif

#include <type_traits>

#include "half.h"

/* ---- dtypes: as stored, and as computed with
 * ------------------------------------------------------------------------------------- */

struct terni_half16 {
    uint16_t bits;
};
struct terni_bfloat {
    uint16_t bits;
};

template <class S>
struct terni_math { /* what S is computed in */
    using type = S;
};
template <>
struct terni_math<terni_half16> {
    using type = float;
};
template <>
struct terni_math<terni_bfloat> {
    using type = float;
};
template <class S>
using terni_math_t = typename terni_math<S>::type;

/* The accumulation dtype: f64 for f64, else f32. */
template <class S>
struct terni_sum {
    using type = float;
};
template <>
struct terni_sum<double> {
    using type = double;
};
template <class S>
using terni_sum_t = typename terni_sum<S>::type;

template <class S>
__device__ __forceinline__ terni_math_t<S> terni_load(S v) {
    return v;
}
template <class S>
__device__ __forceinline__ S terni_store(terni_math_t<S> v) {
    return v;
}
#ifdef TERNI_SIMULATED
template <>
inline float terni_load<terni_half16>(terni_half16 v) {
    return terni_f16_to(v.bits);
}
template <>
inline float terni_load<terni_bfloat>(terni_bfloat v) {
    return terni_bf16_to(v.bits);
}
template <>
inline terni_half16 terni_store<terni_half16>(float v) {
    return {terni_f16_from((double)v)};
}
template <>
inline terni_bfloat terni_store<terni_bfloat>(float v) {
    return {terni_bf16_from((double)v)};
}
#else
template <>
__device__ __forceinline__ float terni_load<terni_half16>(terni_half16 v) {
    __half_raw r;
    r.x = v.bits;
    return __half2float(__half(r));
}
template <>
__device__ __forceinline__ float terni_load<terni_bfloat>(terni_bfloat v) {
    return __uint_as_float((unsigned)v.bits << 16);
}
template <>
__device__ __forceinline__ terni_half16 terni_store<terni_half16>(float v) {
    return {__half_raw(__float2half_rn(v)).x};
}
template <>
__device__ __forceinline__ terni_bfloat terni_store<terni_bfloat>(float v) {
    return {__nv_bfloat16_raw(__float2bfloat16_rn(v)).x};
}
#endif

/* A double, rounded once, as one element of S. */
template <class S>
__device__ __forceinline__ S terni_from_double(double v) {
    return (S)v;
}
/* The host's text is plain C of integers; on the device the conversion instruction rounds a double at once. */
#ifdef TERNI_SIMULATED
template <>
inline terni_half16 terni_from_double<terni_half16>(double v) {
    return {terni_f16_from(v)};
}
template <>
inline terni_bfloat terni_from_double<terni_bfloat>(double v) {
    return {terni_bf16_from(v)};
}
#else
template <>
__device__ __forceinline__ terni_half16 terni_from_double<terni_half16>(double v) {
    return {__half_raw(__double2half(v)).x};
}
template <>
__device__ __forceinline__ terni_bfloat terni_from_double<terni_bfloat>(double v) {
    return {__nv_bfloat16_raw(__double2bfloat16(v)).x};
}
#endif

/* Calls CODE with S as the storage type of a float dtype: TERNI_FLOATS(dtype, return run<S>(c)) */
#define TERNI_FLOATS(dtype, ...)    \
    switch (dtype) {                \
        case TERN_F32: {            \
            using S = float;        \
            __VA_ARGS__;            \
        } break;                    \
        case TERN_F64: {            \
            using S = double;       \
            __VA_ARGS__;            \
        } break;                    \
        case TERN_F16: {            \
            using S = terni_half16; \
            __VA_ARGS__;            \
        } break;                    \
        case TERN_BF16: {           \
            using S = terni_bfloat; \
            __VA_ARGS__;            \
        } break;                    \
        default:                    \
            break;                  \
    }
/* The integer dtypes and bool. */
#define TERNI_INTEGERS(dtype, ...) \
    switch (dtype) {               \
        case TERN_I64: {           \
            using S = int64_t;     \
            __VA_ARGS__;           \
        } break;                   \
        case TERN_I32: {           \
            using S = int32_t;     \
            __VA_ARGS__;           \
        } break;                   \
        case TERN_U8:              \
        case TERN_BOOL: {          \
            using S = uint8_t;     \
            __VA_ARGS__;           \
        } break;                   \
        default:                   \
            break;                 \
    }
#define TERNI_ALL(dtype, ...)        \
    TERNI_FLOATS(dtype, __VA_ARGS__) \
    TERNI_INTEGERS(dtype, __VA_ARGS__)
/* By size alone, for what only moves elements. */
#define TERNI_BY_SIZE(bytes, ...) \
    switch (bytes) {              \
        case 1: {                 \
            using S = uint8_t;    \
            __VA_ARGS__;          \
        } break;                  \
        case 2: {                 \
            using S = uint16_t;   \
            __VA_ARGS__;          \
        } break;                  \
        case 4: {                 \
            using S = uint32_t;   \
            __VA_ARGS__;          \
        } break;                  \
        default: {                \
            using S = uint64_t;   \
            __VA_ARGS__;          \
        } break;                  \
    }

/* A product and a sum that are rounded one by one, as the CPU's are: never one fma. */
__device__ __forceinline__ double terni_plain_product(double a, double b) {
#ifdef TERNI_SIMULATED
    return a * b;
#else
    return __dmul_rn(a, b);
#endif
}
__device__ __forceinline__ double terni_plain_sum(double a, double b) {
#ifdef TERNI_SIMULATED
    return a + b;
#else
    return __dadd_rn(a, b);
#endif
}

/* ---- launches
 * -------------------------------------------------------------------------------------------------------------------------
 */

/* Blocks of `threads` for n items, one a thread. */
static inline unsigned terni_blocks(int64_t n, int threads) { return (unsigned)((n + threads - 1) / threads); }

/* This thread's number in a launch of one dimension. */
__device__ __forceinline__ int64_t terni_thread() { return (int64_t)blockIdx.x * blockDim.x + threadIdx.x; }

/* Division of numbers below 2^31 by an invariant, without dividing. Source: Granlund and Montgomery, PLDI 1994. */
struct terni_divisor {
    uint32_t d, m, shift;
};
static inline terni_divisor terni_divisor_of(int64_t d) {
    terni_divisor r;
    r.d = (uint32_t)d;
    r.shift = 0;
    while (r.shift < 31 && (1u << r.shift) < r.d) r.shift++;
    r.m = (uint32_t)(((((uint64_t)1 << r.shift) - r.d) << 32) / r.d + 1);
    return r;
}
__device__ __forceinline__ uint32_t terni_divide(uint32_t n, terni_divisor d) {
    return (__umulhi(n, d.m) + n) >> d.shift; /* no overflow: n < 2^31 */
}

/* Where element i (row-major) of a joined view lies. */
enum { TERNI_WALK_MAX = 2147483647 };
template <int N>
struct terni_walk {
    int ndim;
    terni_divisor size[TERN_MAX_DIMS];
    int64_t stride[N][TERN_MAX_DIMS];
    void *data[N];
    __device__ __forceinline__ void at(uint32_t i, int64_t *offset) const {
#pragma unroll
        for (int k = 0; k < N; k++) offset[k] = 0;
        for (int d = 0; d < ndim; d++) {
            const uint32_t q = d + 1 < ndim ? terni_divide(i, size[d]) : 0, r = i - q * size[d].d;
#pragma unroll
            for (int k = 0; k < N; k++) offset[k] += (int64_t)r * stride[k][d];
            i = q;
        }
    }
};

/* Calls run(walk, n) for parts of e that each have fewer than 2^31 elements. */
template <int N, class F>
bool terni_walk_parts(terni_each e, const size_t *sizes, F run) {
    if (e.n > TERNI_WALK_MAX) {
        int d = e.ndim - 1;
        for (int k = 0; k < e.ndim; k++)
            if (e.shape[k] > e.shape[d]) d = k;
        const int64_t half = e.shape[d] / 2, per = e.n / e.shape[d];
        terni_each a = e, b = e;
        a.shape[d] = half;
        a.n = per * half;
        b.shape[d] = e.shape[d] - half;
        b.n = per * b.shape[d];
        for (int k = 0; k < N; k++) b.data[k] = (char *)e.data[k] + half * e.stride[k][d] * (int64_t)sizes[k];
        return terni_walk_parts<N>(a, sizes, run) && terni_walk_parts<N>(b, sizes, run);
    }
    terni_walk<N> w;
    w.ndim = e.ndim;
    for (int d = 0; d < e.ndim; d++) {
        w.size[d] = terni_divisor_of(e.shape[d]);
        for (int k = 0; k < N; k++) w.stride[k][d] = e.stride[k][d];
    }
    for (int k = 0; k < N; k++) w.data[k] = e.data[k];
    return run(w, e.n);
}

/* ---- sums, maxima ... over a warp and a block: every thread gets the result
 * ------------------------------------------------------------- */

template <class T, class F>
__device__ __forceinline__ T terni_warp_all(T v, F f) {
#pragma unroll
    for (int o = 16; o > 0; o >>= 1) v = f(v, __shfl_xor_sync(~0u, v, o));
    return v;
}

/* scratch holds 32 elements of shared memory. blockDim.x is a multiple of 32, and the block has one dimension. */
template <class T, class F>
__device__ __forceinline__ T terni_block_all(T v, T neutral, T *scratch, F f) {
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    v = terni_warp_all(v, f);
    __syncthreads(); /* scratch may be in use by an earlier call */
    if (lane == 0) scratch[warp] = v;
    __syncthreads();
    v = lane < warps ? scratch[lane] : neutral;
    return terni_warp_all(v, f);
}

struct terni_plus {
    template <class T>
    __device__ T operator()(T a, T b) const {
        return a + b;
    }
};

/* ---- faults
 * ------------------------------------------------------------------------------------------------------------------------------
 */

__device__ __forceinline__ void terni_note(const terni_blame &b, int kind, int64_t value, int64_t position, int64_t low,
                                           int64_t high) {
    terni_fault *const f = b.fault;
    if (atomicCAS(&f->kind, 0, -1) != 0) return;
    f->op = b.op;
    f->caller = b.caller;
    f->value = value;
    f->position = position;
    f->low = low;
    f->high = high;
    __threadfence_system();
    f->kind = kind;
}

#endif
