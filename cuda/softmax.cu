/* softmax and log_softmax over the middle of [outer, C, inner], and their gradients. Rows (inner = 1) are held in
 * registers; those that are too long are read by a block in three passes, which the cache serves. Columns: a thread
 * each, neighbours side by side. */
#include "rows.h"

namespace {

enum { BLOCK = 256 };

struct larger {
    template <class T>
    __device__ T operator()(T a, T b) const {
        return a > b || a != a ? a : b; /* a NaN wins */
    }
};

template <class A>
__device__ __forceinline__ A lowest() {
    return (A)-INFINITY;
}

template <class S, bool LOG, int K>
__global__ void __launch_bounds__(TERNI_ROWS_THREADS) held(int64_t R, int64_t C, int G, const S *x, S *y) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(A, scratch, 32);
    const terni_row_place here = terni_row_here(G);
    if (here.row >= R) return; /* whole warps */
    x += here.row * C;
    y += here.row * C;
    const terni_row_split<S> split(x, C, here.me, here.G);
    terni_row<S, K> row;
    row.load(split, x);
    A top = lowest<A>(), sum = 0;
    row.each(split, [&](A v, int64_t) { top = larger()(top, v); });
    top = terni_row_all(top, lowest<A>(), G, scratch, larger());
    row.each(split, [&](A v, int64_t) { sum += terni_row_exp<S>(v - top); });
    sum = terni_row_all(sum, A(0), G, scratch, terni_plus());
    const A part = LOG ? log(sum) : 1 / sum;
    row.store(split, y, [&](A v, int64_t) { return LOG ? v - top - part : terni_row_exp<S>(v - top) * part; });
}

template <class S, bool LOG, int K>
__global__ void __launch_bounds__(TERNI_ROWS_THREADS)
    held_grad(int64_t R, int64_t C, int G, const S *g, const S *y, S *gx) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(A, scratch, 32);
    const terni_row_place here = terni_row_here(G);
    if (here.row >= R) return;
    g += here.row * C;
    y += here.row * C;
    gx += here.row * C;
    const terni_row_split<S> split(g, C, here.me, here.G);
    terni_row<S, K> gr, yr;
    gr.load(split, g);
    yr.load(split, y);
    A sum = 0;
    gr.with(split, yr, [&](A gi, A yi) { sum += LOG ? gi : gi * yi; });
    sum = terni_row_all(sum, A(0), G, scratch, terni_plus());
    gr.store_with(split, yr, gx, [&](A gi, A yi) { return LOG ? gi - terni_row_exp<S>(yi) * sum : yi * (gi - sum); });
}

template <class S, bool LOG>
__global__ void __launch_bounds__(BLOCK) rows(int64_t C, const S *x, S *y) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(A, scratch, 32);
    x += (int64_t)blockIdx.x * C;
    y += (int64_t)blockIdx.x * C;
    A top = lowest<A>();
    for (int64_t i = threadIdx.x; i < C; i += blockDim.x) top = larger()(top, (A)terni_load<S>(x[i]));
    top = terni_block_all(top, lowest<A>(), scratch, larger());
    A sum = 0;
    for (int64_t i = threadIdx.x; i < C; i += blockDim.x) sum += exp((A)terni_load<S>(x[i]) - top);
    sum = terni_block_all(sum, A(0), scratch, terni_plus());
    const A part = LOG ? log(sum) : 1 / sum;
    for (int64_t i = threadIdx.x; i < C; i += blockDim.x) {
        const A v = (A)terni_load<S>(x[i]) - top;
        y[i] = terni_store<S>((terni_math_t<S>)(LOG ? v - part : exp(v) * part));
    }
}

template <class S, bool LOG>
__global__ void __launch_bounds__(BLOCK) columns(int64_t n, int64_t C, int64_t inner, const S *x, S *y) {
    using A = terni_sum_t<S>;
    const int64_t t = terni_thread();
    if (t >= n) return;
    const int64_t at = t / inner * C * inner + t % inner;
    x += at;
    y += at;
    A top = lowest<A>();
    double sum = 0; /* one thread adds all */
    for (int64_t i = 0; i < C; i++) top = larger()(top, (A)terni_load<S>(x[i * inner]));
    for (int64_t i = 0; i < C; i++) sum += (double)terni_row_exp<S>((A)terni_load<S>(x[i * inner]) - top);
    const A part = (A)(LOG ? log(sum) : 1 / sum);
    for (int64_t i = 0; i < C; i++) {
        const A v = (A)terni_load<S>(x[i * inner]) - top;
        y[i * inner] = terni_store<S>((terni_math_t<S>)(LOG ? v - part : exp(v) * part));
    }
}

/* softmax: y (g - sum(g y)); log_softmax: g - e^y sum(g). */
template <class S, bool LOG>
__global__ void __launch_bounds__(BLOCK) rows_grad(int64_t C, const S *g, const S *y, S *gx) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(A, scratch, 32);
    const int64_t at = (int64_t)blockIdx.x * C;
    A sum = 0;
    for (int64_t i = threadIdx.x; i < C; i += blockDim.x)
        sum += (A)terni_load<S>(g[at + i]) * (LOG ? A(1) : (A)terni_load<S>(y[at + i]));
    sum = terni_block_all(sum, A(0), scratch, terni_plus());
    for (int64_t i = threadIdx.x; i < C; i += blockDim.x) {
        const A gi = terni_load<S>(g[at + i]), yi = terni_load<S>(y[at + i]);
        gx[at + i] = terni_store<S>((terni_math_t<S>)(LOG ? gi - exp(yi) * sum : yi * (gi - sum)));
    }
}

template <class S, bool LOG>
__global__ void __launch_bounds__(BLOCK)
    columns_grad(int64_t n, int64_t C, int64_t inner, const S *g, const S *y, S *gx) {
    using A = terni_sum_t<S>;
    const int64_t t = terni_thread();
    if (t >= n) return;
    const int64_t at = t / inner * C * inner + t % inner;
    double total = 0;
    for (int64_t i = 0; i < C; i++)
        total += (double)((A)terni_load<S>(g[at + i * inner]) * (LOG ? A(1) : (A)terni_load<S>(y[at + i * inner])));
    const A sum = (A)total;
    for (int64_t i = 0; i < C; i++) {
        const A gi = terni_load<S>(g[at + i * inner]), yi = terni_load<S>(y[at + i * inner]);
        gx[at + i * inner] = terni_store<S>((terni_math_t<S>)(LOG ? gi - exp(yi) * sum : yi * (gi - sum)));
    }
}

/* Threads for a row of C: a multiple of 32. */
unsigned row_block(int64_t C) {
    unsigned b = 32;
    while (b < BLOCK && (int64_t)b * 4 < C) b *= 2;
    return b;
}

template <bool LOG>
bool forward(const terni_call *c) {
    const terni_view *x = c->in[0], *y = c->out[0];
    const int64_t outer = x->shape[0], C = x->shape[1], inner = x->shape[2];
    if (outer * C * inner == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(x->dtype, {
        const S *p = static_cast<const S *>(x->data);
        S *q = static_cast<S *>(y->data);
        if (inner == 1 && outer <= TERNI_WALK_MAX) {
            const terni_row_plan plan = terni_row_plan_of<S>(outer, C, 1);
            if (terni_rows_alike(p, q)) {
                TERNI_ROW_PACKS_1(plan.packs, return TERNI_LAUNCH(d, plan.blocks, plan.block, 0, (held<S, LOG, K>),
                                                                  outer, C, plan.G, p, q))
            }
            return TERNI_LAUNCH(d, (unsigned)outer, row_block(C), 0, (rows<S, LOG>), C, p, q);
        }
        return TERNI_LAUNCH_EACH(d, terni_blocks(outer * inner, BLOCK), BLOCK, (columns<S, LOG>), outer * inner, C,
                                 inner, p, q);
    })
    return false;
}

template <bool LOG>
bool backward(const terni_call *c) {
    const terni_view *g = c->in[0], *y = c->in[1], *gx = c->out[0];
    const int64_t outer = y->shape[0], C = y->shape[1], inner = y->shape[2];
    if (outer * C * inner == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(y->dtype, {
        const S *p = static_cast<const S *>(g->data);
        const S *q = static_cast<const S *>(y->data);
        S *r = static_cast<S *>(gx->data);
        if (inner == 1 && outer <= TERNI_WALK_MAX) {
            const terni_row_plan plan = terni_row_plan_of<S>(outer, C, 2);
            if (terni_rows_alike(p, q) && terni_rows_alike(p, r))
                TERNI_ROW_PACKS_2(plan.packs, return TERNI_LAUNCH(d, plan.blocks, plan.block, 0, (held_grad<S, LOG, K>),
                                                                  outer, C, plan.G, p, q, r))
            return TERNI_LAUNCH(d, (unsigned)outer, row_block(C), 0, (rows_grad<S, LOG>), C, p, q, r);
        }
        return TERNI_LAUNCH_EACH(d, terni_blocks(outer * inner, BLOCK), BLOCK, (columns_grad<S, LOG>), outer * inner, C,
                                 inner, p, q, r);
    })
    return false;
}

}  // namespace

extern "C" bool terni_cuda_softmax(const terni_call *c) { return forward<false>(c); }
extern "C" bool terni_cuda_log_softmax(const terni_call *c) { return forward<true>(c); }
extern "C" bool terni_cuda_softmax_grad(const terni_call *c) { return backward<false>(c); }
extern "C" bool terni_cuda_log_softmax_grad(const terni_call *c) { return backward<true>(c); }
