/* What the kernels of attention share: products of tiles in shared memory, scores with their mask, slopes. A block of
 * 256 threads works on a tile of T by T scores, R by R a thread; thread (ty, tx) has rows ty R + i and columns tx R +
 * j. */
#ifndef TERNI_CUDA_ATTENTION_TILE_H
#define TERNI_CUDA_ATTENTION_TILE_H

#include "attention.h"
#include "draws.h"

enum { TERNI_ATTENTION_THREADS = 256, TERNI_ATTENTION_DEPTH = 32 };

template <class A>
struct terni_tile {
    static constexpr int R = sizeof(A) == 8 ? 2 : 4, T = 16 * R;
    static constexpr int LD = T + 16 / (int)sizeof(A); /* of a tile in shared memory: rows stay aligned to 16 bytes */
    static constexpr int STAGE = 2 * TERNI_ATTENTION_DEPTH * LD, SCORES = T * LD;
};

/* [B, H, rows, columns], columns dense. */
template <class S>
struct terni_heads {
    S *p;
    int64_t b, h, row;
    __device__ __forceinline__ S *at(int64_t ib, int64_t ih, int64_t ir) const {
        return p + ib * b + ih * h + ir * row;
    }
};
template <class S>
terni_heads<S> terni_heads_of(const terni_view *v) {
    if (!v) return {nullptr, 0, 0, 0};
    return {static_cast<S *>(v->data), v->strides[0], v->strides[1], v->strides[2]};
}

struct terni_attention_sizes {
    int64_t B, H, K, L, S, E, V, group;
    double scale, kept; /* kept: 1 / (1 - dropout) */
    const void *mask;
    int64_t mask_stride[4];
    terni_draws from;
    uint32_t threshold; /* of dropout; 0: nothing is dropped */
    bool causal, mask_bool;
};
terni_attention_sizes terni_attention_sizes_of(const terni_view *q, const terni_view *k, const terni_view *v,
                                               const terni_view *mask, const void *opts);
/* Blocks of x; 0 after an error if there are too many. */
unsigned terni_attention_grid(int64_t tiles, int64_t heads);

/* ---- products
 * ------------------------------------------------------------------------------------------------------------ */

/* acc[i][j] += sum of a[row i][e] b[row j][e] over `depth`. Begins with a barrier, so that what threads read before may
 * be written to after it. */
template <class S, class A, int R = terni_tile<A>::R>
__device__ __forceinline__ void terni_tile_dot(const S *a, int64_t a_step, int64_t a_rows, const S *b, int64_t b_step,
                                               int64_t b_rows, int64_t depth, A *stage, A (&acc)[R][R]) {
    constexpr int T = terni_tile<A>::T, LD = terni_tile<A>::LD, DEPTH = TERNI_ATTENTION_DEPTH;
    const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    A *const at = stage, *const bt = stage + DEPTH * LD;
    for (int64_t e0 = 0; e0 < depth || e0 == 0; e0 += DEPTH) {
        const int n = depth - e0 < DEPTH ? (int)(depth - e0) : (int)DEPTH;
        __syncthreads();
        for (int i = threadIdx.x; i < T * DEPTH; i += TERNI_ATTENTION_THREADS) {
            const int row = i / DEPTH, e = i % DEPTH;
            at[e * LD + row] = row < a_rows && e < n ? (A)terni_load<S>(a[row * a_step + e0 + e]) : A(0);
            bt[e * LD + row] = row < b_rows && e < n ? (A)terni_load<S>(b[row * b_step + e0 + e]) : A(0);
        }
        __syncthreads();
#pragma unroll 4
        for (int e = 0; e < n; e++) {
            A x[R], y[R];
#pragma unroll
            for (int i = 0; i < R; i++) {
                x[i] = at[e * LD + ty * R + i];
                y[i] = bt[e * LD + tx * R + i];
            }
#pragma unroll
            for (int i = 0; i < R; i++)
#pragma unroll
                for (int j = 0; j < R; j++) acc[i][j] += x[i] * y[j];
        }
    }
}

/* A tile for terni_tile_times: column by column. A barrier must stand between this and what read the tile before. */
template <class A, int R = terni_tile<A>::R>
__device__ __forceinline__ void terni_tile_put(A *tile, const A (&v)[R][R]) {
    const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
#pragma unroll
    for (int j = 0; j < R; j++)
#pragma unroll
        for (int i = 0; i < R; i++) tile[(tx * R + j) * terni_tile<A>::LD + ty * R + i] = v[i][j];
}

/* acc[i][g R + j] += sum over the tile's n columns of tile(row i, column) m[column][g T + tx R + j]: G T columns of m,
 * of which `columns` are there. Begins with a barrier; the last thing it reads is the tile and the stage. */
template <int G, class S, class A, int R = terni_tile<A>::R>
__device__ __forceinline__ void terni_tile_times(const A *tile, const S *m, int64_t step, int64_t n, int64_t columns,
                                                 A *stage, A (&acc)[R][G * R]) {
    constexpr int T = terni_tile<A>::T, LD = terni_tile<A>::LD, DEPTH = TERNI_ATTENTION_DEPTH, WIDE = G * T;
    const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    for (int n0 = 0; n0 < T && n0 < n; n0 += DEPTH) {
        const int depth = n - n0 < DEPTH ? (int)(n - n0) : (int)DEPTH;
        __syncthreads();
        for (int i = threadIdx.x; i < DEPTH * WIDE; i += TERNI_ATTENTION_THREADS) {
            const int row = i / WIDE, c = i % WIDE;
            stage[i] = row < depth && c < columns ? (A)terni_load<S>(m[(n0 + row) * step + c]) : A(0);
        }
        __syncthreads();
#pragma unroll 4
        for (int e = 0; e < depth; e++) {
            A x[R];
#pragma unroll
            for (int i = 0; i < R; i++) x[i] = tile[(n0 + e) * LD + ty * R + i];
#pragma unroll
            for (int g = 0; g < G; g++)
#pragma unroll
                for (int j = 0; j < R; j++) {
                    const A y = stage[e * WIDE + g * T + tx * R + j];
#pragma unroll
                    for (int i = 0; i < R; i++) acc[i][g * R + j] += x[i] * y;
                }
        }
    }
}

/* This thread's part of a tile's rows [0, rows), columns [0, columns). */
template <int G, class S, class A, int R = terni_tile<A>::R>
__device__ __forceinline__ void terni_tile_store(S *to, int64_t step, int64_t rows, int64_t columns, A by,
                                                 const A (&acc)[R][G * R]) {
    const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
#pragma unroll
    for (int i = 0; i < R; i++)
#pragma unroll
        for (int c = 0; c < G * R; c++) {
            const int row = ty * R + i, column = c / R * terni_tile<A>::T + tx * R + c % R;
            if (row < rows && column < columns)
                to[row * step + column] = terni_store<S>((terni_math_t<S>)(acc[i][c] * by));
        }
}

/* ---- scores and slopes
 * --------------------------------------------------------------------------------------------------- */

/* The product of a row and a key as a score; -infinity for what takes no part. */
template <class S, class A>
__device__ __forceinline__ A terni_score(const terni_attention_sizes &z, int64_t b, int64_t h, int64_t row, int64_t key,
                                         A dot) {
    if (row >= z.L || key >= z.S || (z.causal && key > row)) return -(A)INFINITY;
    const A x = dot * (A)z.scale;
    if (!z.mask) return x;
    const int64_t at = b * z.mask_stride[0] + h * z.mask_stride[1] + row * z.mask_stride[2] + key * z.mask_stride[3];
    if (z.mask_bool) return static_cast<const uint8_t *>(z.mask)[at] ? x : -(A)INFINITY;
    return x + (A)terni_load<S>(static_cast<const S *>(z.mask)[at]);
}

/* What dropout multiplies weight i of all with; the last block of draws is kept, since neighbours share it. */
struct terni_attention_draws {
    int64_t block;
    terni_philox_block w;
    __device__ __forceinline__ terni_attention_draws() : block(-1), w() {}
    template <class A>
    __device__ __forceinline__ A at(const terni_attention_sizes &z, int64_t i) {
        if (i / 4 != block) {
            block = i / 4;
            w = terni_draw_block(z.from, (uint64_t)block);
        }
        const uint32_t low = i & 1 ? w.w[1] : w.w[0], high = i & 1 ? w.w[3] : w.w[2];
        return (i & 2 ? high : low) >> 8 < z.threshold ? A(0) : (A)z.kept;
    }
};

#endif
