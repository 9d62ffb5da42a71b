/* attention: a block for a tile of rows; softmax with a running maximum over tiles of keys. Plain arithmetic for every
 * float dtype; attention.c decides between these and a library. Sources: Dao et al., arXiv 2205.14135; Dao, arXiv
 * 2307.08691. */
#include "attention_tile.h"

terni_attention_sizes terni_attention_sizes_of(const terni_view *q, const terni_view *k, const terni_view *v,
                                               const terni_view *mask, const void *opts) {
    const terni_attention_opts *o = static_cast<const terni_attention_opts *>(opts);
    terni_attention_sizes z = {};
    z.B = q->shape[0], z.H = q->shape[1], z.L = q->shape[2], z.E = q->shape[3];
    z.K = k->shape[1], z.S = k->shape[2], z.V = v->shape[3];
    z.group = z.K ? z.H / z.K : 1;
    z.scale = o->scale;
    z.causal = o->causal;
    z.kept = o->dropout < 1 ? 1 / (1 - o->dropout) : 0;
    z.threshold = o->dropout > 0 ? terni_dropout_threshold(o->dropout) : 0;
    z.from = o->from;
    if (!mask) return z;
    z.mask = mask->data;
    z.mask_bool = mask->dtype == TERN_BOOL;
    for (int i = 0; i < 4; i++) z.mask_stride[i] = mask->strides[i];
    return z;
}

unsigned terni_attention_grid(int64_t tiles, int64_t heads) {
    if (tiles > 0 && heads > TERNI_WALK_MAX / tiles) {
        terni_cuda_fail(TERN_ERR_UNSUPPORTED, "attention: more than 2^31 tiles of scores");
        return 0;
    }
    return (unsigned)(tiles * heads);
}

namespace {

/* A tile of scores to weights under the running maximum; out and sum, of before, are scaled down to it. sum is this
 * thread's columns' alone. */
template <int G, class S, class A, int R>
__device__ __forceinline__ void soften(const terni_attention_sizes &z, int64_t b, int64_t h, int64_t row, int64_t key,
                                       A (&s)[R][R], A (&top)[R], A (&sum)[R], A (&out)[R][G * R]) {
    terni_attention_draws draws;
#pragma unroll
    for (int i = 0; i < R; i++) {
        A best = -(A)INFINITY;
#pragma unroll
        for (int j = 0; j < R; j++) {
            s[i][j] = terni_score<S>(z, b, h, row + i, key + j, s[i][j]);
            best = s[i][j] > best ? s[i][j] : best;
        }
        for (int o = 8; o > 0; o >>= 1) {
            const A other = __shfl_xor_sync(~0u, best, o, 16);
            best = other > best ? other : best;
        }
        best = best > top[i] ? best : top[i];
        const A base = best == -(A)INFINITY ? A(0) : best;
        A add = 0;
#pragma unroll
        for (int j = 0; j < R; j++) {
            s[i][j] = exp(s[i][j] - base);
            add += s[i][j];
            if (z.threshold) s[i][j] *= draws.at<A>(z, ((b * z.H + h) * z.L + row + i) * z.S + key + j);
        }
        const A factor = exp(top[i] - base);
        sum[i] = sum[i] * factor + add;
        top[i] = best;
#pragma unroll
        for (int c = 0; c < G * R; c++) out[i][c] *= factor;
    }
}

/* Block x is a tile of rows, the last ones first (under causal they have most to do); y is G T columns of v. */
template <class S, int G>
__global__ void __launch_bounds__(TERNI_ATTENTION_THREADS)
    attend(terni_attention_sizes z, terni_heads<const S> q, terni_heads<const S> k, terni_heads<const S> v,
           terni_heads<S> y, terni_sum_t<S> *lse) {
    using A = terni_sum_t<S>;
    constexpr int R = terni_tile<A>::R, T = terni_tile<A>::T;
    TERNI_SHARED(A, stage, terni_tile<A>::STAGE);
    TERNI_SHARED(A, weights, terni_tile<A>::SCORES);
    const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    const int64_t heads = z.B * z.H, head = blockIdx.x % heads, b = head / z.H, h = head % z.H, kh = h / z.group;
    const int64_t r0 = ((z.L + T - 1) / T - 1 - blockIdx.x / heads) * T, c0 = (int64_t)blockIdx.y * G * T;
    const int64_t rows = z.L - r0, keys = z.causal && r0 + T < z.S ? r0 + T : z.S;
    A out[R][G * R] = {}, top[R], sum[R] = {};
    for (int i = 0; i < R; i++) top[i] = -(A)INFINITY;
    for (int64_t k0 = 0; k0 < keys; k0 += T) {
        A s[R][R] = {};
        terni_tile_dot<S, A>(q.at(b, h, r0), q.row, rows, k.at(b, kh, k0), k.row, z.S - k0, z.E, stage, s);
        soften<G, S>(z, b, h, r0 + ty * R, k0 + tx * R, s, top, sum, out);
        terni_tile_put<A>(weights, s);
        terni_tile_times<G, S, A>(weights, v.at(b, kh, k0) + c0, v.row, z.S - k0, z.V - c0, stage, out);
    }
#pragma unroll
    for (int i = 0; i < R; i++) {
        for (int o = 8; o > 0; o >>= 1) sum[i] += __shfl_xor_sync(~0u, sum[i], o, 16);
        const A by = sum[i] == 0 ? A(0) : 1 / sum[i];
#pragma unroll
        for (int c = 0; c < G * R; c++) out[i][c] *= by;
        if (lse && tx == 0 && blockIdx.y == 0 && ty * R + i < rows)
            lse[head * z.L + r0 + ty * R + i] = sum[i] == 0 ? -(A)INFINITY : top[i] + log(sum[i]);
    }
    terni_tile_store<G, S, A>(y.at(b, h, r0) + c0, y.row, rows, z.V - c0, A(1), out);
}

template <class S, int G>
bool run(const terni_call *c, terni_cuda_device *d, const terni_attention_sizes &z) {
    using A = terni_sum_t<S>;
    constexpr int T = terni_tile<A>::T;
    const unsigned grid = terni_attention_grid((z.L + T - 1) / T, z.B * z.H);
    const int64_t columns = z.V > 0 ? (z.V + G * T - 1) / (G * T) : 1;
    if (grid == 0) return false;
    if (columns > 65535) return terni_cuda_fail(TERN_ERR_UNSUPPORTED, "attention: more than 2^21 columns of v");
    return TERNI_LAUNCH(d, dim3(grid, (unsigned)columns), TERNI_ATTENTION_THREADS, 0, (attend<S, G>), z,
                        terni_heads_of<const S>(c->in[0]), terni_heads_of<const S>(c->in[1]),
                        terni_heads_of<const S>(c->in[2]), terni_heads_of<S>(c->out[0]),
                        c->out[1] ? static_cast<A *>(c->out[1]->data) : nullptr);
}

}  // namespace

extern "C" bool terni_cuda_attention_own(const terni_call *c) {
    const terni_attention_sizes z = terni_attention_sizes_of(c->in[0], c->in[1], c->in[2], c->in[3], c->opts);
    if (z.B * z.H * z.L == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(c->in[0]->dtype, return z.V > terni_tile<terni_sum_t<S>>::T ? run<S, 2>(c, d, z) : run<S, 1>(c, d, z))
    return false;
}
