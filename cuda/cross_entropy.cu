/* cross_entropy over [N, C, I] and its gradient: logits are read once, with a running maximum, and probabilities are
 * never stored. Rows (I = 1): a warp or a block each, by packs of 16 bytes. Else a thread to a position, neighbours
 * side by side. Losses of positions are summed in a fixed order. */
#include "rows.h"

#include "tern/ops.h" /* tern_reduction */

namespace {

enum { BLOCK = 256, MOST = 512, ALWAYS_IGNORED = -100, UNROLL = 4 };

struct job {
    int64_t n, C, I; /* n positions */
    const void *target;
    bool wide; /* targets are i64 */
    terni_cross_entropy_opts o;
    __device__ __forceinline__ int64_t at(int64_t p) const {
        return wide ? static_cast<const int64_t *>(target)[p] : (int64_t) static_cast<const int32_t *>(target)[p];
    }
    __device__ __forceinline__ bool ignored(int64_t t) const { return t == ALWAYS_IGNORED || t == o.ignore_index; }
};

struct larger {
    template <class T>
    __device__ T operator()(T a, T b) const {
        return b > a ? b : a;
    }
};

/* The sum of exponentials beside the largest so far, of one thread's elements; sums in T. */
template <class S, class T>
struct running {
    using A = terni_sum_t<S>;
    A top;
    T sum, all;
    __device__ __forceinline__ running() : top((A)-INFINITY), sum(0), all(0) {}
    __device__ __forceinline__ void rise(A to) { /* -INFINITY: nothing yet */
        if (!(to > top)) return;
        sum *= top == (A)-INFINITY ? T(0) : (T)terni_row_exp<S>(top - to);
        top = to;
    }
    __device__ __forceinline__ void add(A v) {
        sum += (T)terni_row_exp<S>(v - (top == (A)-INFINITY ? A(0) : top));
        all += (T)v;
    }
};

/* What one thread of position p makes of it. */
template <class S>
__device__ void finish(const job &j, int64_t p, double top, double sum, double all, const S *x, int64_t stride,
                       terni_sum_t<S> *lse, double *loss, const terni_blame &blame) {
    const double l = top + log(sum);
    lse[p] = (terni_sum_t<S>)l;
    loss[p] = 0;
    const int64_t t = j.at(p);
    if (j.ignored(t)) return;
    if (t < 0 || t >= j.C) {
        terni_note(blame, TERNI_FAULT_TARGET, t, p, 0, j.C);
        loss[p] = NAN;
        return;
    }
    const double hit = l - (double)terni_load<S>(x[t * stride]), e = j.o.label_smoothing;
    loss[p] = e > 0 ? (1 - e) * hit + e * (l - all / (double)j.C) : hit;
}

template <class S>
__global__ void __launch_bounds__(MOST)
    rows(job j, int G, const S *x, terni_sum_t<S> *lse, double *loss, terni_blame blame) {
    using A = terni_sum_t<S>;
    constexpr int W = terni_row_width<S>;
    TERNI_SHARED(A, scratch, 32);
    const terni_row_place here = terni_row_here(G);
    if (here.row >= j.n) return; /* whole warps */
    x += here.row * j.C;
    const terni_row_split<S> split(x, j.C, here.me, here.G);
    const terni_row_pack<S> *const packs = reinterpret_cast<const terni_row_pack<S> *>(x + split.head);
    running<S, A> r;
    for (int64_t from = here.me; from < split.packs; from += (int64_t)UNROLL * here.G) {
        terni_row_pack<S> v[UNROLL];
        A top = (A)-INFINITY;
#pragma unroll
        for (int u = 0; u < UNROLL; u++)
            if (from + u * here.G < split.packs) v[u] = packs[from + u * here.G];
#pragma unroll
        for (int u = 0; u < UNROLL; u++)
            if (from + u * here.G < split.packs)
#pragma unroll
                for (int k = 0; k < W; k++) top = larger()(top, (A)terni_load<S>(v[u].v[k]));
        r.rise(top);
#pragma unroll
        for (int u = 0; u < UNROLL; u++)
            if (from + u * here.G < split.packs)
#pragma unroll
                for (int k = 0; k < W; k++) r.add((A)terni_load<S>(v[u].v[k]));
    }
    if (split.edge >= 0) {
        const A v = terni_load<S>(x[split.edge]);
        r.rise(v);
        r.add(v);
    }
    const A top = terni_row_all(r.top, (A)-INFINITY, G, scratch, larger());
    r.rise(top);
    const A sum = terni_row_all(r.sum, A(0), G, scratch, terni_plus());
    const A all = j.o.label_smoothing > 0 ? terni_row_all(r.all, A(0), G, scratch, terni_plus()) : A(0);
    if (here.me == 0) finish<S>(j, here.row, top, sum, all, x, 1, lse, loss, blame);
}

template <class S>
__global__ void __launch_bounds__(BLOCK)
    columns(job j, const S *x, terni_sum_t<S> *lse, double *loss, terni_blame blame) {
    using A = terni_sum_t<S>;
    const int64_t p = terni_thread();
    if (p >= j.n) return;
    x += p / j.I * j.C * j.I + p % j.I;
    running<S, double> r; /* one thread adds all */
    for (int64_t k = 0; k < j.C; k++) {
        const A v = terni_load<S>(x[k * j.I]);
        r.rise(v);
        r.add(v);
    }
    finish<S>(j, p, r.top, r.sum, r.all, x, j.I, lse, loss, blame);
}

/* ---- the losses' sum and the count of targets: shares by blocks, then one block */

template <class S>
__global__ void __launch_bounds__(BLOCK) shares(job j, int64_t share, const double *loss, S *each, double *parts) {
    TERNI_SHARED(double, scratch, 32);
    const int64_t from = blockIdx.x * share, end = from + share < j.n ? from + share : j.n;
    double sum = 0, hits = 0;
    for (int64_t p = from + threadIdx.x; p < end; p += blockDim.x) {
        hits += j.ignored(j.at(p)) ? 0 : 1;
        sum += loss[p];
        if (each) each[p] = terni_from_double<S>(loss[p]);
    }
    sum = terni_block_all(sum, 0.0, scratch, terni_plus());
    hits = terni_block_all(hits, 0.0, scratch, terni_plus());
    if (threadIdx.x) return;
    parts[2 * blockIdx.x] = sum;
    parts[2 * blockIdx.x + 1] = hits;
}

template <class S>
__global__ void __launch_bounds__(BLOCK)
    total(int64_t n, const double *parts, int reduction, S *out, terni_sum_t<S> *count) {
    TERNI_SHARED(double, scratch, 32);
    double sum = 0, hits = 0;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
        sum += parts[2 * i];
        hits += parts[2 * i + 1];
    }
    sum = terni_block_all(sum, 0.0, scratch, terni_plus());
    hits = terni_block_all(hits, 0.0, scratch, terni_plus());
    if (threadIdx.x) return;
    *count = (terni_sum_t<S>)hits;
    if (reduction == TERN_REDUCE_SUM) out[0] = terni_from_double<S>(sum);
    if (reduction == TERN_REDUCE_MEAN) out[0] = terni_from_double<S>(sum / hits);
}

/* ---- the gradient: g (softmax - smoothing / C), less g (1 - smoothing) at the target */

template <class S>
struct slope {
    using A = terni_sum_t<S>;
    A g, hit, smooth, lse;
    int64_t t;
    __device__ __forceinline__ slope(const job &j, int64_t p, const S *gloss, const A *lse_, const A *count) {
        t = j.at(p);
        const bool none = j.ignored(t), mean = j.o.reduction == TERN_REDUCE_MEAN;
        const double scale = mean ? 1 / (double)*count : 1;
        g = none ? A(0) : (A)((double)terni_load<S>(gloss[j.o.reduction == TERN_REDUCE_NONE ? p : 0]) * scale);
        hit = (A)(1 - j.o.label_smoothing) * g;
        smooth = (A)(j.o.label_smoothing / (double)j.C);
        lse = lse_[p];
        if (none) t = -1;
        ignored = none;
    }
    bool ignored; /* zeros, whatever the logits are */
    __device__ __forceinline__ S at(S x, int64_t k) const {
        if (ignored) return terni_store<S>(0);
        const A v = (terni_row_exp<S>((A)terni_load<S>(x) - lse) - smooth) * g - (k == t ? hit : A(0));
        return terni_store<S>((terni_math_t<S>)v);
    }
};

template <class S>
__global__ void __launch_bounds__(MOST)
    rows_grad(job j, int G, const S *g, const S *x, const terni_sum_t<S> *lse, const terni_sum_t<S> *count, S *gx) {
    constexpr int W = terni_row_width<S>;
    const terni_row_place here = terni_row_here(G);
    if (here.row >= j.n) return;
    const slope<S> s(j, here.row, g, lse, count);
    x += here.row * j.C;
    gx += here.row * j.C;
    const terni_row_split<S> split(x, j.C, here.me, here.G);
    const terni_row_pack<S> *const from = reinterpret_cast<const terni_row_pack<S> *>(x + split.head);
    terni_row_pack<S> *const to = reinterpret_cast<terni_row_pack<S> *>(gx + split.head);
#pragma unroll 2
    for (int64_t at = here.me; at < split.packs; at += here.G) {
        const terni_row_pack<S> v = from[at];
        terni_row_pack<S> out;
#pragma unroll
        for (int k = 0; k < W; k++) out.v[k] = s.at(v.v[k], split.head + at * W + k);
        to[at] = out;
    }
    if (split.edge >= 0) gx[split.edge] = s.at(x[split.edge], split.edge);
}

template <class S>
__global__ void __launch_bounds__(BLOCK)
    columns_grad(job j, const S *g, const S *x, const terni_sum_t<S> *lse, const terni_sum_t<S> *count, S *gx) {
    const int64_t p = terni_thread();
    if (p >= j.n) return;
    const slope<S> s(j, p, g, lse, count);
    const int64_t at = p / j.I * j.C * j.I + p % j.I;
    for (int64_t k = 0; k < j.C; k++) gx[at + k * j.I] = s.at(x[at + k * j.I], k);
}

/* ---- launches */

/* Threads to a row: four packs each. */
template <class S>
int group_of(int64_t C) {
    int G = 32;
    while (G < MOST && C / terni_row_width < S >> (int64_t)G * 4) G *= 2;
    return G;
}
unsigned block_of(int G) { return G == 32 ? (unsigned)BLOCK : (unsigned)G; }
unsigned blocks_of(int G, int64_t n) { return G == 32 ? terni_blocks(n, BLOCK / 32) : (unsigned)n; }

job job_of(const terni_call *c, const terni_view *x, const terni_view *target) {
    return {x->shape[0] * x->shape[2],
            x->shape[1],
            x->shape[2],
            target->data,
            target->dtype == TERN_I64,
            *static_cast<const terni_cross_entropy_opts *>(c->opts)};
}

template <class S>
bool run(terni_cuda_device *d, const terni_call *c, const job &j, double *loss, double *parts, int64_t blocks) {
    using A = terni_sum_t<S>;
    const S *x = static_cast<const S *>(c->in[0]->data);
    S *out = static_cast<S *>(c->out[0]->data);
    A *lse = static_cast<A *>(c->out[1]->data);
    const int G = group_of<S>(j.C);
    const terni_blame blame = terni_cuda_blame(d, "cross_entropy");
    const bool ok = j.n == 0 ? true
                    : j.I == 1
                        ? TERNI_LAUNCH(d, blocks_of(G, j.n), block_of(G), 0, (rows<S>), j, G, x, lse, loss, blame)
                        : TERNI_LAUNCH_EACH(d, terni_blocks(j.n, BLOCK), BLOCK, (columns<S>), j, x, lse, loss, blame);
    return ok &&
           TERNI_LAUNCH(d, (unsigned)blocks, BLOCK, 0, (shares<S>), j, (j.n + blocks - 1) / blocks,
                        (const double *)loss, j.o.reduction == TERN_REDUCE_NONE ? out : nullptr, parts) &&
           TERNI_LAUNCH(d, 1, BLOCK, 0, (total<S>), blocks, (const double *)parts, j.o.reduction, out,
                        static_cast<A *>(c->out[2]->data));
}

template <class S>
bool run_grad(terni_cuda_device *d, const terni_call *c, const job &j) {
    using A = terni_sum_t<S>;
    const S *g = static_cast<const S *>(c->in[0]->data), *x = static_cast<const S *>(c->in[1]->data);
    const A *lse = static_cast<const A *>(c->in[3]->data), *count = static_cast<const A *>(c->in[4]->data);
    S *gx = static_cast<S *>(c->out[0]->data);
    const int G = group_of<S>(j.C);
    if (j.I == 1 && terni_rows_alike(x, gx))
        return TERNI_LAUNCH_EACH(d, blocks_of(G, j.n), block_of(G), (rows_grad<S>), j, G, g, x, lse, count, gx);
    return TERNI_LAUNCH_EACH(d, terni_blocks(j.n, BLOCK), BLOCK, (columns_grad<S>), j, g, x, lse, count, gx);
}

}  // namespace

extern "C" bool terni_cuda_cross_entropy(const terni_call *c) {
    const job j = job_of(c, c->in[0], c->in[1]);
    if (j.n > TERNI_WALK_MAX)
        return terni_cuda_fail(TERN_ERR_UNSUPPORTED, "cross_entropy: 2^31 positions or more on a GPU");
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const int64_t most = (j.n + BLOCK * 16 - 1) / (BLOCK * 16), blocks = most < 1 ? 1 : most > 1024 ? 1024 : most;
    double *room = static_cast<double *>(terni_cuda_scratch(d, (size_t)(j.n + 2 * blocks) * sizeof(double)));
    if (!room) return false;
    bool ok = false;
    TERNI_FLOATS(c->in[0]->dtype, ok = run<S>(d, c, j, room + 2 * blocks, room, blocks))
    terni_cuda_scratch_free(d, room);
    return ok;
}
extern "C" bool terni_cuda_cross_entropy_grad(const terni_call *c) {
    const job j = job_of(c, c->in[1], c->in[2]);
    if (terni_cuda_count(c->in[1]) == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(c->in[1]->dtype, return run_grad<S>(d, c, j))
    return false;
}
