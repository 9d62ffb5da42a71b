/* copy: from any dtype and strides to any others. */
#include "elementwise.h"

namespace {

/* ---- the same dtype: elements move by their size
 * --------------------------------------------------------------------------- */

template <class S>
struct identity {
    __device__ __forceinline__ S operator()(S v) const { return v; }
};

/* Views that keep runs of 16 bytes together move them whole. */
bool widen(terni_each *e, int64_t size) {
    const int64_t per = 16 / size;
    if (e->stride[0][0] != 1 || e->stride[1][0] != 1 || e->shape[0] % per) return false;
    for (int k = 0; k < 2; k++) {
        if ((uintptr_t)e->data[k] % 16) return false;
        for (int d = 1; d < e->ndim; d++)
            if (e->stride[k][d] % per) return false;
    }
    e->shape[0] /= per;
    e->n /= per;
    for (int k = 0; k < 2; k++)
        for (int d = 1; d < e->ndim; d++) e->stride[k][d] /= per;
    return true;
}

template <class S>
__global__ void move(uint32_t n, terni_walk<2> w) {
    const uint32_t i = (uint32_t)terni_thread();
    if (i >= n) return;
    int64_t at[2];
    w.at(i, at);
    static_cast<S *>(w.data[0])[at[0]] = static_cast<const S *>(w.data[1])[at[1]];
}

template <class S>
bool run_move(terni_cuda_device *d, const terni_each &e) {
    const size_t sizes[2] = {sizeof(S), sizeof(S)};
    return terni_walk_parts<2>(e, sizes, [=](const terni_walk<2> &w, int64_t n) {
        return TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (move<S>), (uint32_t)n, w);
    });
}

/* A matrix that is transposed: through tiles in shared memory, so that both sides are read and written in runs. */
enum { TILE = 32, ROWS = 8 };
template <class S>
__global__ void transpose(int64_t rows, int64_t cols, int64_t to, int64_t from, int64_t to_batch, int64_t from_batch,
                          S *y, const S *x) {
    TERNI_SHARED(S, tile, TILE * (TILE + 1));
    y += blockIdx.z * to_batch;
    x += blockIdx.z * from_batch;
    const int64_t r0 = (int64_t)blockIdx.y * TILE, c0 = (int64_t)blockIdx.x * TILE;
    for (int j = threadIdx.y; j < TILE; j += ROWS) /* y[r][c] = x[c][r]: x runs along r */
        if (c0 + j < cols && r0 + threadIdx.x < rows)
            tile[j * (TILE + 1) + threadIdx.x] = x[(c0 + j) * from + r0 + threadIdx.x];
    __syncthreads();
    for (int j = threadIdx.y; j < TILE; j += ROWS)
        if (r0 + j < rows && c0 + threadIdx.x < cols)
            y[(r0 + j) * to + c0 + threadIdx.x] = tile[threadIdx.x * (TILE + 1) + j];
}

bool is_transposed(const terni_each &e) {
    return (e.ndim == 2 || e.ndim == 3) && e.stride[0][0] == 1 && e.stride[1][1] == 1 && e.shape[0] >= TILE &&
           e.shape[1] >= TILE && (e.ndim == 2 || e.shape[2] <= 65535) && (e.shape[1] + TILE - 1) / TILE <= 65535;
}

template <class S>
bool run_same(terni_cuda_device *d, terni_each e) {
    if (is_transposed(e)) {
        const dim3 grid((unsigned)((e.shape[0] + TILE - 1) / TILE), (unsigned)((e.shape[1] + TILE - 1) / TILE),
                        (unsigned)(e.ndim == 3 ? e.shape[2] : 1));
        return TERNI_LAUNCH(d, grid, dim3(TILE, ROWS), 0, (transpose<S>), e.shape[1], e.shape[0], e.stride[0][1],
                            e.stride[1][0], e.ndim == 3 ? e.stride[0][2] : 0, e.ndim == 3 ? e.stride[1][2] : 0,
                            static_cast<S *>(e.data[0]), static_cast<const S *>(e.data[1]));
    }
    if (widen(&e, sizeof(S))) return run_move<uint4>(d, e);
    return run_move<S>(d, e);
}

/* ---- from one dtype to another
 * --------------------------------------------------------------------------------------------------- */

template <class I, class O>
__device__ __forceinline__ O convert(I v) {
    constexpr bool in_float = !std::is_integral<I>::value, out_float = !std::is_integral<O>::value;
    if constexpr (in_float && out_float)
        return terni_from_double<O>((double)terni_load<I>(v));
    else if constexpr (in_float)
        return (O)(int64_t)terni_load<I>(v);
    else if constexpr (std::is_same<O, float>::value)
        return (float)v;
    else if constexpr (out_float)
        return terni_from_double<O>((double)v);
    else
        return (O)v;
}

/* f32, f16 and bf16 among themselves, without doubles. */
template <class I, class O>
struct narrow {
    __device__ __forceinline__ float operator()(float v) const { return v; }
};

template <class I, class O>
__global__ void change(uint32_t n, terni_walk<2> w, bool to_bool) {
    const uint32_t i = (uint32_t)terni_thread();
    if (i >= n) return;
    int64_t at[2];
    w.at(i, at);
    const I v = static_cast<const I *>(w.data[1])[at[1]];
    O r = convert<I, O>(v);
    if constexpr (std::is_same<O, uint8_t>::value)
        if (to_bool) r = terni_load<I>(v) != 0;
    static_cast<O *>(w.data[0])[at[0]] = r;
}

template <class I, class O>
bool run_change(terni_cuda_device *d, const terni_each &e, bool to_bool) {
    const size_t sizes[2] = {sizeof(O), sizeof(I)};
    return terni_walk_parts<2>(e, sizes, [=](const terni_walk<2> &w, int64_t n) {
        return TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (change<I, O>), (uint32_t)n, w, to_bool);
    });
}

template <class O>
bool run_to(terni_cuda_device *d, const terni_each &e, int from, bool to_bool) {
    TERNI_ALL(from, return run_change<S, O>(d, e, to_bool))
    return false;
}

}  // namespace

extern "C" bool terni_cuda_copy(const terni_call *c) {
    const terni_view *v[2] = {c->out[0], c->in[0]};
    const int to = v[0]->dtype, from = v[1]->dtype;
    terni_each e;
    if (!terni_cuda_join(&e, v, 2)) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    if (to == from) {
        if (e.ndim == 1 && e.stride[0][0] == 1 && e.stride[1][0] == 1)
            return TERNI_CUDA_OK(terni_cuda_driver->copy(e.data[0], e.data[1], (size_t)e.n * terni_cuda_size(to),
                                                         TERNI_COPY_WITHIN, d->stream));
        TERNI_BY_SIZE(terni_cuda_size(to), return run_same<S>(d, e))
    }
    if (to == TERN_BOOL) return run_to<uint8_t>(d, e, from, true);
    if (terni_each_is_flat<1>(e)) {
        if (from == TERN_F32 && to == TERN_F16)
            return terni_each_run_flat<1, float, terni_half16>(d, e, narrow<float, terni_half16>());
        if (from == TERN_F32 && to == TERN_BF16)
            return terni_each_run_flat<1, float, terni_bfloat>(d, e, narrow<float, terni_bfloat>());
        if (from == TERN_F16 && to == TERN_F32)
            return terni_each_run_flat<1, terni_half16, float>(d, e, narrow<terni_half16, float>());
        if (from == TERN_BF16 && to == TERN_F32)
            return terni_each_run_flat<1, terni_bfloat, float>(d, e, narrow<terni_bfloat, float>());
    }
    TERNI_ALL(to, return run_to<S>(d, e, from, false))
    return false;
}
