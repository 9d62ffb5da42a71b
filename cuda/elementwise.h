/* The engine under the elementwise rows: a functor over elements, run over views of one shape. Contiguous views of one
 * dtype are read and written several elements at a time, up to 16 bytes; anything else by strides, with fast divisions,
 * f16 and bf16 told apart at run time. Included by the elementwise_*.cu files, each of which compiles a part of the
 * rows. */
#ifndef TERNI_CUDA_ELEMENTWISE_H
#define TERNI_CUDA_ELEMENTWISE_H

#include "launch.h"

enum { TERNI_EACH_BLOCK = 256 };

/* Arrays are known to begin at multiples of 16 bytes: a pack of 32 may not ask for more, or a GPU that loads 32 bytes
 * at once would do so. */
template <class S, int V>
struct alignas(sizeof(S) * V > 16 ? 16 : sizeof(S) * V) terni_pack {
    S v[V];
};

/* f over NI inputs. */
template <int NI, class T, class F>
__device__ __forceinline__ auto terni_apply(const F &f, const T *x) {
    if constexpr (NI == 1) return f(x[0]);
    if constexpr (NI == 2) return f(x[0], x[1]);
    if constexpr (NI == 3) return f(x[0], x[1], x[2]);
}

template <int NI>
struct terni_inputs {
    const void *p[NI];
};

/* Elements a thread: 16 bytes; no more than 8, as a row's text is compiled so many times. */
template <class S>
constexpr int terni_each_width = sizeof(S) == 1 ? 8 : 16 / sizeof(S);

/* f16 and bf16 share their kernels, S is terni_half16 for both. */
template <class S>
__device__ __forceinline__ terni_math_t<S> terni_load_flat(S v, bool) {
    return terni_load<S>(v);
}
template <>
__device__ __forceinline__ float terni_load_flat<terni_half16>(terni_half16 v, bool bf16) {
    return bf16 ? terni_load<terni_bfloat>(terni_bfloat{v.bits}) : terni_load<terni_half16>(v);
}
template <class S>
__device__ __forceinline__ S terni_store_flat(terni_math_t<S> v, bool) {
    return terni_store<S>(v);
}
template <>
__device__ __forceinline__ terni_half16 terni_store_flat<terni_half16>(float v, bool bf16) {
    return bf16 ? terni_half16{terni_store<terni_bfloat>(v).bits} : terni_store<terni_half16>(v);
}

/* Inputs of storage type S, the output of O, where sizeof(S) >= sizeof(O): V elements a thread, then one a thread for
 * the rest. */
template <int NI, class S, class O, class F>
__global__ void __launch_bounds__(TERNI_EACH_BLOCK)
    terni_each_flat(int64_t n, bool bf16, terni_inputs<NI> in, O *out, F f) {
    constexpr int V = terni_each_width<S>;
    using T = terni_math_t<S>;
    const int64_t t = terni_thread(), whole = n / V;
    if (t < whole) {
        terni_pack<S, V> x[NI];
#pragma unroll
        for (int k = 0; k < NI; k++) x[k] = static_cast<const terni_pack<S, V> *>(in.p[k])[t];
        terni_pack<O, V> y;
#pragma unroll
        for (int j = 0; j < V; j++) {
            T a[NI];
#pragma unroll
            for (int k = 0; k < NI; k++) a[k] = terni_load_flat<S>(x[k].v[j], bf16);
            y.v[j] = terni_store_flat<O>((terni_math_t<O>)terni_apply<NI>(f, a), bf16);
        }
        reinterpret_cast<terni_pack<O, V> *>(out)[t] = y;
    } else if (t - whole < n - whole * V) {
        const int64_t i = whole * V + (t - whole);
        T a[NI];
#pragma unroll
        for (int k = 0; k < NI; k++) a[k] = terni_load_flat<S>(static_cast<const S *>(in.p[k])[i], bf16);
        out[i] = terni_store_flat<O>((terni_math_t<O>)terni_apply<NI>(f, a), bf16);
    }
}

template <class T>
__device__ __forceinline__ T terni_load_as(const void *p, int64_t i, int dtype) {
    (void)dtype;
    return static_cast<const T *>(p)[i];
}
template <>
__device__ __forceinline__ float terni_load_as<float>(const void *p, int64_t i, int dtype) {
    if (dtype == TERN_F16) return terni_load<terni_half16>(static_cast<const terni_half16 *>(p)[i]);
    if (dtype == TERN_BF16) return terni_load<terni_bfloat>(static_cast<const terni_bfloat *>(p)[i]);
    return static_cast<const float *>(p)[i];
}
template <class T>
__device__ __forceinline__ void terni_store_as(void *p, int64_t i, int dtype, T v) {
    (void)dtype;
    static_cast<T *>(p)[i] = v;
}
template <>
__device__ __forceinline__ void terni_store_as<float>(void *p, int64_t i, int dtype, float v) {
    if (dtype == TERN_F16)
        static_cast<terni_half16 *>(p)[i] = terni_store<terni_half16>(v);
    else if (dtype == TERN_BF16)
        static_cast<terni_bfloat *>(p)[i] = terni_store<terni_bfloat>(v);
    else
        static_cast<float *>(p)[i] = v;
}

enum { TERNI_EACH_ITEMS = 4 };

/* T in, R out (T, or uint8_t for predicates). w: the output, then the inputs. U copies of the row's text side by side:
 * f64 and second derivatives have one, which keeps what nvcc has to compile bearable. */
template <int NI, class T, class R, int U, class F>
__global__ void __launch_bounds__(TERNI_EACH_BLOCK)
    terni_each_strided(uint32_t n, terni_walk<NI + 1> w, int in, int out, F f) {
#pragma unroll U
    for (int j = 0; j < TERNI_EACH_ITEMS; j++) {
        const uint32_t i = (blockIdx.x * TERNI_EACH_ITEMS + j) * TERNI_EACH_BLOCK + threadIdx.x;
        if (i >= n) return;
        int64_t at[NI + 1];
        w.at(i, at);
        T a[NI];
#pragma unroll
        for (int k = 0; k < NI; k++) a[k] = terni_load_as<T>(w.data[k + 1], at[k + 1], in);
        terni_store_as<R>(w.data[0], at[0], out, (R)terni_apply<NI>(f, a));
    }
}

template <int NI>
static inline bool terni_each_is_flat(const terni_each &e) {
    if (e.ndim != 1) return false;
    for (int k = 0; k <= NI; k++)
        if (e.stride[k][0] != 1 || (uintptr_t)e.data[k] % 16) return false;
    return true;
}

template <int NI, class S, class O, class F>
static bool terni_each_run_flat(terni_cuda_device *d, const terni_each &e, F f, bool bf16 = false) {
    constexpr int V = terni_each_width<S>;
    terni_inputs<NI> in;
    for (int k = 0; k < NI; k++) in.p[k] = e.data[k + 1];
    const int64_t threads = e.n / V + e.n % V;
    return TERNI_LAUNCH_EACH(d, terni_blocks(threads, TERNI_EACH_BLOCK), TERNI_EACH_BLOCK,
                             (terni_each_flat<NI, S, O, F>), e.n, bf16, in, static_cast<O *>(e.data[0]), f);
}

template <int NI, class T, class R, int U = TERNI_EACH_ITEMS, class F>
static bool terni_each_run_strided(terni_cuda_device *d, const terni_each &e, int in, int out, F f) {
    size_t sizes[NI + 1];
    sizes[0] = terni_cuda_size(out);
    for (int k = 1; k <= NI; k++) sizes[k] = terni_cuda_size(in);
    return terni_walk_parts<NI + 1>(e, sizes, [=](const terni_walk<NI + 1> &w, int64_t n) {
        return TERNI_LAUNCH_EACH(d, terni_blocks(n, TERNI_EACH_BLOCK * TERNI_EACH_ITEMS), TERNI_EACH_BLOCK,
                                 (terni_each_strided<NI, T, R, U, F>), (uint32_t)n, w, in, out, f);
    });
}

template <int NI>
static bool terni_each_open(const terni_call *c, terni_each *e) {
    const terni_view *v[NI + 1];
    v[0] = c->out[0];
    for (int k = 0; k < NI; k++) v[k + 1] = c->in[k];
    return terni_cuda_join(e, v, NI + 1);
}

/* A row for the float dtypes: f32, f16 and bf16 through F32, f64 through F64. The output is of the inputs' dtype.
 * HALVES: the flat kernel for halves as well; else they go by strides (second derivatives, say). */
template <int NI, bool HALVES, class F32, class F64>
static bool terni_each_float(const terni_call *c, F32 f32, F64 f64) {
    terni_each e;
    if (!terni_each_open<NI>(c, &e)) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const int dtype = c->out[0]->dtype;
    if (terni_each_is_flat<NI>(e)) {
        if (dtype == TERN_F32) return terni_each_run_flat<NI, float, float>(d, e, f32);
        if constexpr (HALVES) {
            if (dtype != TERN_F64)
                return terni_each_run_flat<NI, terni_half16, terni_half16>(d, e, f32, dtype == TERN_BF16);
        }
    }
    if (dtype == TERN_F64) return terni_each_run_strided<NI, double, double, 1>(d, e, dtype, dtype, f64);
    return terni_each_run_strided < NI, float, float, HALVES ? TERNI_EACH_ITEMS : 1 > (d, e, dtype, dtype, f32);
}

/* One type in, R out, by strides unless all is contiguous. */
template <int NI, class T, class R, class F>
static bool terni_each_typed(const terni_call *c, F f) {
    terni_each e;
    if (!terni_each_open<NI>(c, &e)) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    if constexpr (sizeof(T) == 8)
        return terni_each_run_strided<NI, T, R, 1>(d, e, c->in[0]->dtype, c->out[0]->dtype, f);
    else {
        if (terni_each_is_flat<NI>(e) && terni_cuda_size(c->in[0]->dtype) == sizeof(T))
            return terni_each_run_flat<NI, T, R>(d, e, f);
        return terni_each_run_strided<NI, T, R>(d, e, c->in[0]->dtype, c->out[0]->dtype, f);
    }
}

#endif
