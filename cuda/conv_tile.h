/* What Tern's own convolution kernels share. The three maps are products of matrices, one a group, whose columns are
 * never stored ("implicit"): tiles of the weights and of the gathered image go through shared memory, and each thread
 * adds up TM x TN results in registers. While one step of the depth is multiplied, the next is on its way to registers,
 * then to the other half of the shared memory, so that a step costs one barrier.
 *
 * Sources: Chetlur et al., arXiv 1410.0759 (the implicit product); Volkov and Demmel, SC 2008 (sums in registers). */
#ifndef TERNI_CUDA_CONV_TILE_H
#define TERNI_CUDA_CONV_TILE_H

#include "conv.h"
#include "launch.h"

/* Sizes and positions along the axes are of type I: int32_t wherever everything fits, as 64 bits cost the gathering
 * more than the products; int64_t for what does not. */
template <class I>
struct terni_conv_plane {
    I size[3];
    int64_t count;
    terni_divisor by_width, by_height;
};

template <class I>
struct terni_conv_shape {
    int64_t N, C, O, groups, per_in, per_out; /* per: channels of a group */
    int64_t taps;
    I k[3], stride[3], pad[3], dilation[3];
    terni_conv_plane<I> in, out;
    terni_divisor by_taps, by_k1, by_k2, by_stride[3];
};

/* Planes without elements are never divided by, nor is anything in 64 bits. */
static inline terni_divisor terni_conv_divisor(int64_t d) {
    return terni_divisor_of(d < 1 || d > (int64_t)1 << 30 ? 1 : d);
}

template <class I>
terni_conv_plane<I> terni_conv_plane_of(const terni_view *v) {
    terni_conv_plane<I> p;
    p.count = 1;
    for (int i = 0; i < 3; i++) {
        p.size[i] = (I)v->shape[2 + i];
        p.count *= v->shape[2 + i];
    }
    p.by_width = terni_conv_divisor(v->shape[4]);
    p.by_height = terni_conv_divisor(v->shape[3]);
    return p;
}

template <class I>
terni_conv_shape<I> terni_conv_shape_of(const terni_view *x, const terni_view *w, const terni_view *y,
                                        const terni_conv_opts *o) {
    terni_conv_shape<I> s;
    s.N = x->shape[0];
    s.C = x->shape[1];
    s.O = y->shape[1];
    s.groups = o->groups;
    s.per_in = s.C / o->groups;
    s.per_out = s.O / o->groups;
    s.in = terni_conv_plane_of<I>(x);
    s.out = terni_conv_plane_of<I>(y);
    s.taps = 1;
    for (int i = 0; i < 3; i++) {
        s.taps *= w->shape[2 + i];
        s.k[i] = (I)w->shape[2 + i];
        s.stride[i] = (I)o->stride[i];
        s.pad[i] = (I)o->pad[i];
        s.dilation[i] = (I)o->dilation[i];
        s.by_stride[i] = terni_conv_divisor(o->stride[i]);
    }
    s.by_taps = terni_conv_divisor(s.taps);
    s.by_k1 = terni_conv_divisor(w->shape[3]);
    s.by_k2 = terni_conv_divisor(w->shape[4]);
    return s;
}

#ifdef TERNI_SIMULATED
enum { TERNI_CONV_SMALL = 1 << 11 }; /* so that tests have both kinds */
#else
enum { TERNI_CONV_SMALL = 1 << 28 };
#endif

/* Every position fits 31 bits, in padding too, and so do the depth of a product over channels and a plane. */
static inline bool terni_conv_small(const terni_conv_shape<int64_t> &s) {
    const int64_t most = TERNI_CONV_SMALL;
    bool small = s.in.count < most && s.out.count < most && s.taps < most && s.per_in < most && s.per_out < most &&
                 s.taps * s.per_in < most && s.taps * s.per_out < most;
    for (int i = 0; i < 3; i++)
        small = small && s.pad[i] < most && s.stride[i] < most && s.dilation[i] < most &&
                s.k[i] * s.dilation[i] < most && s.out.size[i] * s.stride[i] < most;
    return small;
}

/* Position q of a plane. */
__device__ __forceinline__ void terni_conv_at(const terni_conv_plane<int32_t> &p, int64_t q, int32_t *at) {
    const uint32_t row = terni_divide((uint32_t)q, p.by_width), deep = terni_divide(row, p.by_height);
    at[2] = (int32_t)((uint32_t)q - row * p.by_width.d);
    at[1] = (int32_t)(row - deep * p.by_height.d);
    at[0] = (int32_t)deep;
}
__device__ __forceinline__ void terni_conv_at(const terni_conv_plane<int64_t> &p, int64_t q, int64_t *at) {
    at[2] = q % p.size[2];
    at[1] = q / p.size[2] % p.size[1];
    at[0] = q / p.size[2] / p.size[1];
}

/* Tap number t. */
__device__ __forceinline__ void terni_conv_tap(const terni_conv_shape<int32_t> &s, uint32_t t, int32_t *at) {
    const uint32_t row = terni_divide(t, s.by_k2), deep = terni_divide(row, s.by_k1);
    at[2] = (int32_t)(t - row * s.by_k2.d);
    at[1] = (int32_t)(row - deep * s.by_k1.d);
    at[0] = (int32_t)deep;
}

template <class I>
__device__ __forceinline__ bool terni_conv_inside(const terni_conv_plane<I> &p, const I *at) {
    return at[0] >= 0 && at[0] < p.size[0] && at[1] >= 0 && at[1] < p.size[1] && at[2] >= 0 && at[2] < p.size[2];
}

template <class I>
__device__ __forceinline__ I terni_conv_offset(const terni_conv_plane<I> &p, const I *at) {
    return (at[0] * p.size[1] + at[1]) * p.size[2] + at[2];
}

/* ---- tiles: M x N results of a block, K of the depth a step
 * ------------------------------------------------------------------------ */

template <int M_, int N_, int K_, int TM_, int TN_>
struct terni_conv_tile {
    enum {
        M = M_,
        N = N_,
        K = K_,
        TM = TM_,
        TN = TN_,
        ACROSS = N / TN, /* threads along N; a thread's columns lie so far apart, its rows side by side */
        THREADS = ACROSS * (M / TM),
        LOADS_A = M * K / THREADS,
        LOADS_B = N * K / THREADS,
        ROW_A = M + 1, /* odd: threads that store along K meet different banks */
        ROW_B = N + 1,
        HALF = K * (ROW_A + ROW_B),
    };
};
using terni_conv_wide = terni_conv_tile<64, 64, 16, 4, 4>;
using terni_conv_narrow = terni_conv_tile<16, 32, 8, 2, 4>;

/* sum += the product of one half's tiles. */
template <class T, class A>
__device__ __forceinline__ void terni_conv_multiply(const A *half, A (*sum)[T::TN]) {
    const A *a = half + threadIdx.x / T::ACROSS * T::TM, *b = half + T::K * T::ROW_A + threadIdx.x % T::ACROSS;
#pragma unroll
    for (int k = 0; k < T::K; k++) {
        A x[T::TM], y[T::TN];
#pragma unroll
        for (int i = 0; i < T::TM; i++) x[i] = a[k * T::ROW_A + i];
#pragma unroll
        for (int j = 0; j < T::TN; j++) y[j] = b[k * T::ROW_B + j * T::ACROSS];
#pragma unroll
        for (int i = 0; i < T::TM; i++)
#pragma unroll
            for (int j = 0; j < T::TN; j++) sum[i][j] += x[i] * y[j];
    }
}

/* ---- weights times image: conv (of x, into y) and, with BACK, its adjoint (of y, into x)
 * --------------------------------------------- */

/* Where the tap meets the other side of position `at`; false if it does not. */
template <bool BACK, class I>
__device__ __forceinline__ bool terni_conv_meets(const terni_conv_shape<I> &s, const I *at, const I *tap, I *to) {
    for (int i = 0; i < 3; i++) {
        if (!BACK) {
            to[i] = at[i] * s.stride[i] - s.pad[i] + tap[i] * s.dilation[i];
            continue;
        }
        const I v = at[i] + s.pad[i] - tap[i] * s.dilation[i];
        if (v < 0) return false;
        to[i] = sizeof(I) == 4 ? (I)terni_divide((uint32_t)v, s.by_stride[i]) : v / s.stride[i];
        if (to[i] * s.stride[i] != v) return false;
    }
    return terni_conv_inside<I>(BACK ? s.out : s.in, to);
}

/* Block t: a group, then rows of its channels, then columns of images' pixels. */
template <class S, class T, bool BACK>
__global__ void __launch_bounds__(T::THREADS)
    terni_conv_product(terni_conv_shape<int32_t> s, int64_t tiles_m, int64_t tiles_n, const S *w, const S *v,
                       const S *b, S *out) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(A, shared, 2 * T::HALF);
    const int64_t rows = BACK ? s.per_in : s.per_out, depth = (BACK ? s.per_out : s.per_in) * s.taps;
    const terni_conv_plane<int32_t> &to = BACK ? s.in : s.out, &from = BACK ? s.out : s.in;
    const int64_t from_channels = BACK ? s.O : s.C, to_channels = BACK ? s.C : s.O, columns = s.N * to.count;
    const int64_t block = blockIdx.x, first_n = block % tiles_n * T::N, first_m = block / tiles_n % tiles_m * T::M;
    const int64_t group = block / tiles_n / tiles_m, per_from = BACK ? s.per_out : s.per_in;
    const int tid = threadIdx.x;

    const int64_t column = first_n + tid % T::N, image = column / to.count;
    const S *channels = v + (image * from_channels + group * per_from) * from.count;
    int32_t here[3];
    terni_conv_at(to, column - image * to.count, here);

    A sum[T::TM][T::TN] = {}, next_a[T::LOADS_A], next_b[T::LOADS_B];
    const auto fetch = [&](int64_t k0) {
#pragma unroll
        for (int r = 0; r < T::LOADS_A; r++) {
            const int64_t k = k0 + tid % T::K, m = first_m + tid / T::K + r * (T::THREADS / T::K);
            next_a[r] = 0;
            if (k >= depth || m >= rows) continue;
            const int64_t c = BACK ? terni_divide((uint32_t)k, s.by_taps) : 0;
            next_a[r] = BACK ? terni_load<S>(w[((group * s.per_out + c) * s.per_in + m) * s.taps + (k - c * s.taps)])
                             : terni_load<S>(w[(group * s.per_out + m) * depth + k]);
        }
#pragma unroll
        for (int r = 0; r < T::LOADS_B; r++) {
            const int64_t k = k0 + tid / T::N + r * (T::THREADS / T::N);
            next_b[r] = 0;
            if (k >= depth || column >= columns) continue;
            const uint32_t c = terni_divide((uint32_t)k, s.by_taps);
            int32_t tap[3], there[3];
            terni_conv_tap(s, (uint32_t)k - c * s.by_taps.d, tap);
            if (terni_conv_meets<BACK>(s, here, tap, there))
                next_b[r] = terni_load<S>(channels[c * from.count + terni_conv_offset(from, there)]);
        }
    };
    const auto put = [&](A *half) {
#pragma unroll
        for (int r = 0; r < T::LOADS_A; r++)
            half[tid % T::K * T::ROW_A + tid / T::K + r * (T::THREADS / T::K)] = next_a[r];
#pragma unroll
        for (int r = 0; r < T::LOADS_B; r++)
            half[T::K * T::ROW_A + (tid / T::N + r * (T::THREADS / T::N)) * T::ROW_B + tid % T::N] = next_b[r];
    };
    int now = 0;
    fetch(0);
    put(shared);
    __syncthreads();
    for (int64_t k = 0; k < depth; k += T::K) {
        const bool more = k + T::K < depth;
        if (more) fetch(k + T::K);
        terni_conv_multiply<T>(shared + now * T::HALF, sum);
        now ^= 1;
        if (more) put(shared + now * T::HALF);
        __syncthreads();
    }
    for (int j = 0; j < T::TN; j++) {
        const int64_t n = first_n + tid % T::ACROSS + j * T::ACROSS, of = n / to.count;
        if (n >= columns) continue;
        for (int i = 0; i < T::TM; i++) {
            const int64_t m = first_m + tid / T::ACROSS * T::TM + i;
            if (m >= rows) continue;
            const A bias = b ? (A)terni_load<S>(b[group * rows + m]) : A(0);
            out[(of * to_channels + group * rows + m) * to.count + (n - of * to.count)] =
                terni_store<S>((terni_math_t<S>)(sum[i][j] + bias));
        }
    }
}

/* An element of the result a thread: what is depthwise, where a product would have a single row, and what has no small
 * indices. */
template <class S, class I, bool BACK>
__global__ void terni_conv_direct(int64_t n, terni_conv_shape<I> s, const S *w, const S *v, const S *b, S *out) {
    using A = terni_sum_t<S>;
    const int64_t t = terni_thread();
    if (t >= n) return;
    const terni_conv_plane<I> &to = BACK ? s.in : s.out, &from = BACK ? s.out : s.in;
    const int64_t channels = BACK ? s.C : s.O, from_channels = BACK ? s.O : s.C;
    const int64_t per_to = BACK ? s.per_in : s.per_out, per_from = BACK ? s.per_out : s.per_in;
    const int64_t sheet = t / to.count, image = sheet / channels, c = sheet - image * channels, group = c / per_to;
    I here[3], tap[3], there[3];
    terni_conv_at(to, t - sheet * to.count, here);
    A sum = b ? (A)terni_load<S>(b[c]) : A(0);
    for (int64_t f = 0; f < per_from; f++) {
        const int64_t kernel = BACK ? (group * s.per_out + f) * s.per_in + (c - group * per_to) : c * s.per_in + f;
        const S *source = v + (image * from_channels + group * per_from + f) * from.count, *wk = w + kernel * s.taps;
        for (tap[0] = 0; tap[0] < s.k[0]; tap[0]++)
            for (tap[1] = 0; tap[1] < s.k[1]; tap[1]++)
                for (tap[2] = 0; tap[2] < s.k[2]; tap[2]++, wk++)
                    if (terni_conv_meets<BACK>(s, here, tap, there))
                        sum += (A)terni_load<S>(source[terni_conv_offset(from, there)]) * (A)terni_load<S>(*wk);
    }
    out[t] = terni_store<S>((terni_math_t<S>)sum);
}

template <class S, class T, bool BACK>
bool terni_conv_launch_tiles(terni_cuda_device *d, const terni_conv_shape<int32_t> &s, const S *w, const S *v,
                             const S *b, S *out) {
    const int64_t rows = BACK ? s.per_in : s.per_out, columns = s.N * (BACK ? s.in : s.out).count;
    const int64_t tiles_m = (rows + T::M - 1) / T::M, tiles_n = (columns + T::N - 1) / T::N;
    return TERNI_LAUNCH(d, (unsigned)(s.groups * tiles_m * tiles_n), T::THREADS, 0, (terni_conv_product<S, T, BACK>), s,
                        tiles_m, tiles_n, w, v, b, out);
}

template <class S, class I, bool BACK>
bool terni_conv_launch_direct(terni_cuda_device *d, const terni_conv_shape<I> &s, const S *w, const S *v, const S *b,
                              S *out) {
    const int64_t n = s.N * (BACK ? s.C * s.in.count : s.O * s.out.count);
    return TERNI_LAUNCH_EACH(d, terni_blocks(n, 128), 128, (terni_conv_direct<S, I, BACK>), n, s, w, v, b, out);
}

/* The result, x with BACK and y without, has elements. */
template <class S, bool BACK>
bool terni_conv_launch(terni_cuda_device *d, const terni_conv_opts *o, const terni_view *x, const terni_view *w,
                       const terni_view *b, const terni_view *y) {
    const terni_conv_shape<int64_t> large = terni_conv_shape_of<int64_t>(x, w, y, o);
    const terni_conv_shape<int32_t> s = terni_conv_shape_of<int32_t>(x, w, y, o);
    const int64_t rows = BACK ? s.per_in : s.per_out, columns = s.N * (BACK ? s.in : s.out).count;
    const S *const ws = static_cast<const S *>(w->data), *const vs = static_cast<const S *>((BACK ? y : x)->data);
    const S *const bs = b ? static_cast<const S *>(b->data) : nullptr;
    S *const outs = static_cast<S *>((BACK ? x : y)->data);
    if (!terni_conv_small(large)) return terni_conv_launch_direct<S, int64_t, BACK>(d, large, ws, vs, bs, outs);
    if (rows == 1) return terni_conv_launch_direct<S, int32_t, BACK>(d, s, ws, vs, bs, outs);
    const int64_t wide = s.groups * ((rows + 63) / 64) * ((columns + 63) / 64);
    return rows > 16 && wide >= d->properties.processors
               ? terni_conv_launch_tiles<S, terni_conv_wide, BACK>(d, s, ws, vs, bs, outs)
               : terni_conv_launch_tiles<S, terni_conv_narrow, BACK>(d, s, ws, vs, bs, outs);
}

#endif
