/* attention_grad: a kernel over tiles of keys gives gk and gv, one over tiles of rows gq, one over tiles of scores the
 * gradient of mask. Each makes the weights anew from the rows' logsumexp, and each sum has one order. */
#include "attention_tile.h"

namespace {

/* along[row]: the sum of gy y. A warp to a row. */
template <class S>
__global__ void __launch_bounds__(256)
    sum_along(terni_attention_sizes z, terni_heads<const S> gy, terni_heads<const S> y, terni_sum_t<S> *along) {
    using A = terni_sum_t<S>;
    const int64_t r = (int64_t)blockIdx.x * 8 + threadIdx.x / 32;
    if (r >= z.B * z.H * z.L) return;
    const int64_t b = r / z.L / z.H, h = r / z.L % z.H, row = r % z.L;
    const S *const g = gy.at(b, h, row), *const of = y.at(b, h, row);
    A sum = 0;
    for (int64_t i = threadIdx.x % 32; i < z.V; i += 32) sum += (A)terni_load<S>(g[i]) * (A)terni_load<S>(of[i]);
    sum = terni_warp_all(sum, terni_plus());
    if (threadIdx.x % 32 == 0) along[r] = sum;
}

template <class S>
struct operands {
    terni_heads<const S> gy, q, k, v;
    const terni_sum_t<S> *lse, *along;
};

/* From the products of a row and a key, and of their rows of gy and v: the weight, as dropped, and the score's slope.
 */
template <class S, class A>
__device__ __forceinline__ void slope(const terni_attention_sizes &z, terni_attention_draws &draws, int64_t b,
                                      int64_t h, int64_t row, int64_t key, A lse, A along, A &s, A &d) {
    const A x = terni_score<S>(z, b, h, row, key, s), p = lse == -(A)INFINITY ? A(0) : exp(x - lse);
    const A kept = z.threshold ? draws.at<A>(z, ((b * z.H + h) * z.L + row) * z.S + key) : A(1);
    d = p * (d * kept - along);
    s = p * kept;
}

/* A tile of rows by keys. */
template <class S, class A, int R = terni_tile<A>::R>
__device__ __forceinline__ void row_slopes(const terni_attention_sizes &z, const operands<S> &o, int64_t b, int64_t h,
                                           int64_t r0, int64_t k0, A *stage, A (&s)[R][R], A (&d)[R][R]) {
    const int64_t row = r0 + threadIdx.x / 16 * R, key = k0 + threadIdx.x % 16 * R, kh = h / z.group;
    terni_tile_dot<S, A>(o.q.at(b, h, r0), o.q.row, z.L - r0, o.k.at(b, kh, k0), o.k.row, z.S - k0, z.E, stage, s);
    terni_tile_dot<S, A>(o.gy.at(b, h, r0), o.gy.row, z.L - r0, o.v.at(b, kh, k0), o.v.row, z.S - k0, z.V, stage, d);
    terni_attention_draws draws;
#pragma unroll
    for (int i = 0; i < R; i++) {
        const bool in = row + i < z.L;
        const int64_t at = (b * z.H + h) * z.L + row + i;
        const A lse = in ? o.lse[at] : -(A)INFINITY, along = in ? o.along[at] : A(0);
#pragma unroll
        for (int j = 0; j < R; j++) slope<S>(z, draws, b, h, row + i, key + j, lse, along, s[i][j], d[i][j]);
    }
}

/* A tile of keys by rows. */
template <class S, class A, int R = terni_tile<A>::R>
__device__ __forceinline__ void key_slopes(const terni_attention_sizes &z, const operands<S> &o, int64_t b, int64_t h,
                                           int64_t r0, int64_t k0, A *stage, A (&s)[R][R], A (&d)[R][R]) {
    const int64_t row = r0 + threadIdx.x % 16 * R, key = k0 + threadIdx.x / 16 * R, kh = h / z.group;
    terni_tile_dot<S, A>(o.k.at(b, kh, k0), o.k.row, z.S - k0, o.q.at(b, h, r0), o.q.row, z.L - r0, z.E, stage, s);
    terni_tile_dot<S, A>(o.v.at(b, kh, k0), o.v.row, z.S - k0, o.gy.at(b, h, r0), o.gy.row, z.L - r0, z.V, stage, d);
    terni_attention_draws draws;
#pragma unroll
    for (int j = 0; j < R; j++) {
        const bool in = row + j < z.L;
        const int64_t at = (b * z.H + h) * z.L + row + j;
        const A lse = in ? o.lse[at] : -(A)INFINITY, along = in ? o.along[at] : A(0);
#pragma unroll
        for (int i = 0; i < R; i++) slope<S>(z, draws, b, h, row + j, key + i, lse, along, s[i][j], d[i][j]);
    }
}

/* Block x is a tile of keys of a head of k and v, y G T columns of gk and of gv. */
template <class S, int G>
__global__ void __launch_bounds__(TERNI_ATTENTION_THREADS)
    grad_keys(terni_attention_sizes z, operands<S> o, terni_heads<S> gk, terni_heads<S> gv) {
    using A = terni_sum_t<S>;
    constexpr int R = terni_tile<A>::R, T = terni_tile<A>::T;
    TERNI_SHARED(A, stage, terni_tile<A>::STAGE);
    TERNI_SHARED(A, tile, terni_tile<A>::SCORES);
    const int64_t heads = z.B * z.K, b = blockIdx.x % heads / z.K, kh = blockIdx.x % heads % z.K;
    const int64_t k0 = blockIdx.x / heads * T, c0 = (int64_t)blockIdx.y * G * T;
    A sum_k[R][G * R] = {}, sum_v[R][G * R] = {};
    for (int64_t h = kh * z.group; h < (kh + 1) * z.group; h++)
        for (int64_t r0 = z.causal ? k0 : 0; r0 < z.L; r0 += T) {
            A s[R][R] = {}, d[R][R] = {};
            key_slopes<S, A>(z, o, b, h, r0, k0, stage, s, d);
            terni_tile_put<A>(tile, s);
            terni_tile_times<G, S, A>(tile, o.gy.at(b, h, r0) + c0, o.gy.row, z.L - r0, z.V - c0, stage, sum_v);
            __syncthreads();
            terni_tile_put<A>(tile, d);
            terni_tile_times<G, S, A>(tile, o.q.at(b, h, r0) + c0, o.q.row, z.L - r0, z.E - c0, stage, sum_k);
        }
    if (gk.p) terni_tile_store<G, S, A>(gk.at(b, kh, k0) + c0, gk.row, z.S - k0, z.E - c0, (A)z.scale, sum_k);
    if (gv.p) terni_tile_store<G, S, A>(gv.at(b, kh, k0) + c0, gv.row, z.S - k0, z.V - c0, A(1), sum_v);
}

/* Block x is a tile of rows, y G T columns of gq. */
template <class S, int G>
__global__ void __launch_bounds__(TERNI_ATTENTION_THREADS)
    grad_rows(terni_attention_sizes z, operands<S> o, terni_heads<S> gq) {
    using A = terni_sum_t<S>;
    constexpr int R = terni_tile<A>::R, T = terni_tile<A>::T;
    TERNI_SHARED(A, stage, terni_tile<A>::STAGE);
    TERNI_SHARED(A, tile, terni_tile<A>::SCORES);
    const int64_t heads = z.B * z.H, b = blockIdx.x % heads / z.H, h = blockIdx.x % heads % z.H, kh = h / z.group;
    const int64_t r0 = ((z.L + T - 1) / T - 1 - blockIdx.x / heads) * T, c0 = (int64_t)blockIdx.y * G * T;
    const int64_t keys = z.causal && r0 + T < z.S ? r0 + T : z.S;
    A sum[R][G * R] = {};
    for (int64_t k0 = 0; k0 < keys; k0 += T) {
        A s[R][R] = {}, d[R][R] = {};
        row_slopes<S, A>(z, o, b, h, r0, k0, stage, s, d);
        terni_tile_put<A>(tile, d);
        terni_tile_times<G, S, A>(tile, o.k.at(b, kh, k0) + c0, o.k.row, z.S - k0, z.E - c0, stage, sum);
    }
    terni_tile_store<G, S, A>(gq.at(b, h, r0) + c0, gq.row, z.L - r0, z.E - c0, (A)z.scale, sum);
}

/* Block x is a tile of rows of [nb, nh, L, S], y one of keys; B or H are summed over where nb or nh is 1. */
template <class S>
__global__ void __launch_bounds__(TERNI_ATTENTION_THREADS)
    grad_mask(terni_attention_sizes z, operands<S> o, int64_t nb, int64_t nh, terni_sum_t<S> *gmask) {
    using A = terni_sum_t<S>;
    constexpr int R = terni_tile<A>::R, T = terni_tile<A>::T;
    TERNI_SHARED(A, stage, terni_tile<A>::STAGE);
    const int64_t at = blockIdx.x % (nb * nh), ob = at / nh, oh = at % nh;
    const int64_t r0 = blockIdx.x / (nb * nh) * T, k0 = (int64_t)blockIdx.y * T;
    A sum[R][R] = {};
    for (int64_t b = nb == 1 ? 0 : ob; b < (nb == 1 ? z.B : ob + 1); b++)
        for (int64_t h = nh == 1 ? 0 : oh; h < (nh == 1 ? z.H : oh + 1); h++) {
            A s[R][R] = {}, d[R][R] = {};
            row_slopes<S, A>(z, o, b, h, r0, k0, stage, s, d);
#pragma unroll
            for (int i = 0; i < R; i++)
#pragma unroll
                for (int j = 0; j < R; j++) sum[i][j] += d[i][j];
        }
    const int64_t row = r0 + threadIdx.x / 16 * R, key = k0 + threadIdx.x % 16 * R;
    for (int i = 0; i < R; i++)
        for (int j = 0; j < R; j++)
            if (row + i < z.L && key + j < z.S) gmask[(at * z.L + row + i) * z.S + key + j] = sum[i][j];
}

/* Launches by tiles of T scores and of columns; false after an error. *go: there is something to do. */
bool grid_of(int64_t rows, int64_t heads, int64_t columns, int64_t tile, int64_t wide, bool *go, dim3 *grid) {
    const int64_t tiles = (rows + tile - 1) / tile, y = (columns + wide - 1) / wide;
    *go = tiles > 0 && heads > 0 && y > 0;
    if (!*go) return true;
    if (y > 65535) return terni_cuda_fail(TERN_ERR_UNSUPPORTED, "attention: more than 2^21 columns");
    grid->x = terni_attention_grid(tiles, heads);
    grid->y = (unsigned)y;
    return grid->x > 0;
}

template <class S, int G>
bool launch(const terni_call *c, terni_cuda_device *d, const terni_attention_sizes &z, const operands<S> &o) {
    using A = terni_sum_t<S>;
    constexpr int T = terni_tile<A>::T;
    const terni_view *gq = c->out[0], *gk = c->out[1], *gv = c->out[2], *gmask = c->out[3];
    const int64_t wide_k = gk ? z.E : 0, wide_v = gv ? z.V : 0, wide = wide_k > wide_v ? wide_k : wide_v;
    dim3 grid;
    bool go;
    if (!grid_of(z.S, z.B * z.K, wide, T, G * T, &go, &grid)) return false;
    if (go && !TERNI_LAUNCH(d, grid, TERNI_ATTENTION_THREADS, 0, (grad_keys<S, G>), z, o, terni_heads_of<S>(gk),
                            terni_heads_of<S>(gv)))
        return false;
    if (!grid_of(z.L, z.B * z.H, gq ? z.E : 0, T, G * T, &go, &grid)) return false;
    if (go && !TERNI_LAUNCH(d, grid, TERNI_ATTENTION_THREADS, 0, (grad_rows<S, G>), z, o, terni_heads_of<S>(gq)))
        return false;
    if (!gmask) return true;
    const int64_t nb = gmask->shape[0], nh = gmask->shape[1];
    if (!grid_of(z.L, nb * nh, z.S, T, T, &go, &grid)) return false;
    return !go || TERNI_LAUNCH(d, grid, TERNI_ATTENTION_THREADS, 0, (grad_mask<S>), z, o, nb, nh,
                               static_cast<A *>(gmask->data));
}

template <class S>
bool run(const terni_call *c, terni_cuda_device *d, const terni_attention_sizes &z) {
    using A = terni_sum_t<S>;
    const int64_t rows = z.B * z.H * z.L;
    A *const along = static_cast<A *>(terni_cuda_scratch(d, (size_t)(rows + 1) * sizeof(A)));
    if (!along) return false;
    operands<S> o;
    o.gy = terni_heads_of<const S>(c->in[0]);
    o.q = terni_heads_of<const S>(c->in[1]);
    o.k = terni_heads_of<const S>(c->in[2]);
    o.v = terni_heads_of<const S>(c->in[3]);
    o.lse = static_cast<const A *>(c->in[5]->data);
    o.along = along;
    const terni_heads<const S> y = terni_heads_of<const S>(c->in[4]);
    bool ok = rows == 0 || TERNI_LAUNCH(d, terni_blocks(rows, 8), 256, 0, (sum_along<S>), z, o.gy, y, along);
    const bool wide = z.E > terni_tile<A>::T || z.V > terni_tile<A>::T;
    ok = ok && (wide ? launch<S, 2>(c, d, z, o) : launch<S, 1>(c, d, z, o));
    terni_cuda_scratch_free(d, along);
    return ok;
}

}  // namespace

extern "C" bool terni_cuda_attention_grad_own(const terni_call *c) {
    const terni_attention_sizes z = terni_attention_sizes_of(c->in[1], c->in[2], c->in[3], c->in[6], c->opts);
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(c->in[0]->dtype, return run<S>(c, d, z))
    return false;
}
