/* Kernels over the rows of [R, C] that read a row once: a group of threads, a warp or a block, holds it in registers,
 * in packs of 16 bytes. Where rows do not begin at a multiple of 16 bytes, the elements before the first pack and
 * behind the last one go one by one, a thread each. Arrays that go with the row (its result, a gradient) must lie as it
 * does, terni_rows_alike; rows that are too long or lie apart are for the kernels' plain loops. */
#ifndef TERNI_CUDA_ROWS_H
#define TERNI_CUDA_ROWS_H

#include "launch.h"

enum { TERNI_ROWS_BLOCK = 256, TERNI_ROWS_THREADS = 512 };

template <class S>
constexpr int terni_row_width = 16 / (int)sizeof(S);

template <class S>
struct alignas(16) terni_row_pack {
    S v[terni_row_width<S>];
};

/* Which of a row's elements are whose. G threads, this one is `me`. */
template <class S>
struct terni_row_split {
    static constexpr int W = terni_row_width<S>;
    int64_t head, packs, edge; /* edge: this thread's single element, or -1 */
    int me, G;
    __device__ __forceinline__ terni_row_split(const S *x, int64_t C, int me_, int G_) : me(me_), G(G_) {
        const int off = (int)(((uintptr_t)x & 15) / sizeof(S));
        head = off ? W - off : 0;
        if (head > C) head = C;
        packs = (C - head) / W;
        const int64_t tail = C - head - packs * W;
        edge = me < head ? me : me < head + tail ? packs * W + me : -1;
    }
};

/* K packs a thread. */
template <class S, int K>
struct terni_row {
    static constexpr int W = terni_row_width<S>;
    using A = terni_sum_t<S>;
    terni_row_pack<S> pack[K];
    S single;

    __device__ __forceinline__ void load(const terni_row_split<S> &r, const S *x) {
        const terni_row_pack<S> *const p = reinterpret_cast<const terni_row_pack<S> *>(x + r.head);
#pragma unroll
        for (int k = 0; k < K; k++)
            if (r.me + k * r.G < r.packs) pack[k] = p[r.me + k * r.G];
        single = r.edge >= 0 ? x[r.edge] : S();
    }
    /* f(value, index) of each of this thread's elements. */
    template <class F>
    __device__ __forceinline__ void each(const terni_row_split<S> &r, F f) const {
#pragma unroll
        for (int k = 0; k < K; k++) {
            const int64_t at = r.me + k * r.G;
            if (at >= r.packs) continue;
#pragma unroll
            for (int j = 0; j < W; j++) f((A)terni_load<S>(pack[k].v[j]), r.head + at * W + j);
        }
        if (r.edge >= 0) f((A)terni_load<S>(single), r.edge);
    }
    /* y[i] = f(value, index) */
    template <class F>
    __device__ __forceinline__ void store(const terni_row_split<S> &r, S *y, F f) const {
        packs(r, y, [&](auto n, int64_t i, const A *v, A *out) {
#pragma unroll
            for (int j = 0; j < n.value; j++) out[j] = f(v[j], i + j);
        });
    }
    /* f(value, other's value); both rows are held by the same threads and lie alike. */
    template <class F>
    __device__ __forceinline__ void with(const terni_row_split<S> &r, const terni_row &other, F f) const {
#pragma unroll
        for (int k = 0; k < K; k++) {
            if (r.me + k * r.G >= r.packs) continue;
#pragma unroll
            for (int j = 0; j < W; j++) f((A)terni_load<S>(pack[k].v[j]), (A)terni_load<S>(other.pack[k].v[j]));
        }
        if (r.edge >= 0) f((A)terni_load<S>(single), (A)terni_load<S>(other.single));
    }
    template <class F>
    __device__ __forceinline__ void store_with(const terni_row_split<S> &r, const terni_row &other, S *y, F f) const {
        terni_row_pack<S> *const q = reinterpret_cast<terni_row_pack<S> *>(y + r.head);
#pragma unroll
        for (int k = 0; k < K; k++) {
            const int64_t at = r.me + k * r.G;
            if (at >= r.packs) continue;
            terni_row_pack<S> to;
#pragma unroll
            for (int j = 0; j < W; j++)
                to.v[j] = terni_store<S>(
                    (terni_math_t<S>)f((A)terni_load<S>(pack[k].v[j]), (A)terni_load<S>(other.pack[k].v[j])));
            q[at] = to;
        }
        if (r.edge >= 0)
            y[r.edge] = terni_store<S>((terni_math_t<S>)f((A)terni_load<S>(single), (A)terni_load<S>(other.single)));
    }
    /* f(n, index, values[n], results[n]): n is a constant, the width of a pack or 1. */
    template <class F>
    __device__ __forceinline__ void packs(const terni_row_split<S> &r, S *y, F f) const {
        terni_row_pack<S> *const q = reinterpret_cast<terni_row_pack<S> *>(y + r.head);
        A v[W], out[W];
#pragma unroll
        for (int k = 0; k < K; k++) {
            const int64_t at = r.me + k * r.G;
            if (at >= r.packs) continue;
#pragma unroll
            for (int j = 0; j < W; j++) v[j] = terni_load<S>(pack[k].v[j]);
            f(std::integral_constant<int, W>(), r.head + at * W, static_cast<const A *>(v), static_cast<A *>(out));
            terni_row_pack<S> to;
#pragma unroll
            for (int j = 0; j < W; j++) to.v[j] = terni_store<S>((terni_math_t<S>)out[j]);
            q[at] = to;
        }
        if (r.edge < 0) return;
        v[0] = terni_load<S>(single);
        f(std::integral_constant<int, 1>(), r.edge, static_cast<const A *>(v), static_cast<A *>(out));
        y[r.edge] = terni_store<S>((terni_math_t<S>)out[0]);
    }
};

/* exp as precise as S asks for. */
template <class S>
__device__ __forceinline__ terni_sum_t<S> terni_row_exp(terni_sum_t<S> v) {
#ifndef TERNI_SIMULATED
    if constexpr (sizeof(S) == 2) return __expf(v);
#endif
    return exp(v);
}

/* This thread's place: a group of G threads to a row. With G = 32 a block has several rows, else one. */
struct terni_row_place {
    int64_t row;
    int me, G;
};
__device__ __forceinline__ terni_row_place terni_row_here(int G) {
    if (G == 32) return {(int64_t)blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5), (int)(threadIdx.x & 31), 32};
    return {(int64_t)blockIdx.x, (int)threadIdx.x, (int)blockDim.x};
}

/* Over the group; scratch as terni_block_all has it, unused by warps. */
template <class T, class F>
__device__ __forceinline__ T terni_row_all(T v, T neutral, int G, T *scratch, F f) {
    return G == 32 ? terni_warp_all(v, f) : terni_block_all(v, neutral, scratch, f);
}

/* How rows of C are spread over threads. packs is 1, 4 or 8; 0: too long. */
struct terni_row_plan {
    int G, packs;
    unsigned block, blocks;
};
/* held: how many rows like it a thread holds at the same time. */
template <class S>
static terni_row_plan terni_row_plan_of(int64_t R, int64_t C, int held) {
    const int64_t packs = C / terni_row_width<S>;
    terni_row_plan p;
    p.G = 32;
    while (p.G < TERNI_ROWS_THREADS && packs > (int64_t)p.G * 4 / held) p.G *= 2;
    p.packs = packs <= p.G ? 1 : packs <= (int64_t)p.G * 4 ? 4 : held == 1 && packs <= (int64_t)p.G * 8 ? 8 : 0;
    p.block = p.G == 32 ? (unsigned)TERNI_ROWS_BLOCK : (unsigned)p.G;
    p.blocks = p.G == 32 ? terni_blocks(R, TERNI_ROWS_BLOCK / 32) : (unsigned)R;
    return p;
}

/* a and b, contiguous, are equally far from a multiple of 16 bytes. */
static inline bool terni_rows_alike(const void *a, const void *b) { return (((uintptr_t)a ^ (uintptr_t)b) & 15) == 0; }

/* Calls CODE with K as the number of packs, of a plan for one row held, or for two. */
#define TERNI_ROW_PACKS_2(packs, ...) \
    switch (packs) {                  \
        case 1: {                     \
            constexpr int K = 1;      \
            __VA_ARGS__;              \
        } break;                      \
        case 4: {                     \
            constexpr int K = 4;      \
            __VA_ARGS__;              \
        } break;                      \
        default:                      \
            break;                    \
    }
#define TERNI_ROW_PACKS_1(packs, ...)     \
    TERNI_ROW_PACKS_2(packs, __VA_ARGS__) \
    if (packs == 8) {                     \
        constexpr int K = 8;              \
        __VA_ARGS__;                      \
    }

#endif
