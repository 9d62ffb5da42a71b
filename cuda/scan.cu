/* scan (running sums, products, maxima, minima) and linear_scan over the middle of [outer, N, inner]. A line belongs to
 * one thread where there are many lines; else to a block: each thread runs over a piece, one joins the pieces, each
 * runs again. */
#include "launch.h"

namespace {

enum { BLOCK = 256 };

/* What a line's state is, how an element is read, joined and written. */
template <class S>
struct float_op {
    using state = double;
    const S *x;
    S *y;
    bool product;
    __device__ state none() const { return product ? 1 : 0; }
    __device__ state item(int64_t at, int64_t) const { return (double)terni_load<S>(x[at]); }
    __device__ state join(state a, state b) const { return product ? a * b : a + b; }
    __device__ void put(int64_t at, state s) const { y[at] = terni_from_double<S>(s); }
};
template <class S>
struct integer_op {
    using state = uint64_t;
    const S *x;
    int64_t *y;
    bool product;
    __device__ state none() const { return product ? 1 : 0; }
    __device__ state item(int64_t at, int64_t) const { return (uint64_t)(int64_t)x[at]; }
    __device__ state join(state a, state b) const { return product ? a * b : a + b; }
    __device__ void put(int64_t at, state s) const { y[at] = (int64_t)s; }
};
template <class T>
struct best {
    T v;
    int64_t at; /* -1: nothing yet */
};
/* The last of equals; a NaN stays, and the last of them. */
template <class S>
struct extreme_op {
    using T = terni_math_t<S>;
    using state = best<T>;
    const S *x;
    S *y;
    int64_t *index;
    bool largest;
    __device__ state none() const { return {T(0), -1}; }
    __device__ state item(int64_t at, int64_t i) const { return {terni_load<S>(x[at]), i}; }
    __device__ state join(state a, state b) const {
        if (a.at < 0) return b;
        if (b.at < 0) return a;
        if (b.v != b.v) return b;
        if (a.v != a.v) return a;
        return (largest ? b.v >= a.v : b.v <= a.v) ? b : a;
    }
    __device__ void put(int64_t at, state s) const {
        y[at] = terni_store<S>(s.v);
        if (index) index[at] = s.at;
    }
};
template <class A>
struct line {
    A a, b;
    bool first; /* nothing stands before it */
};
template <class S>
struct linear_op {
    using A = terni_sum_t<S>;
    using state = line<A>;
    const S *a, *b;
    S *y;
    __device__ state none() const { return {A(1), A(0), true}; }
    __device__ state item(int64_t at, int64_t) const {
        return {(A)terni_load<S>(a[at]), (A)terni_load<S>(b[at]), false};
    }
    /* Then q: q.a (p.a v + p.b) + q.b. After nothing, q.a is not looked at. */
    __device__ state join(state p, state q) const {
        if (q.first) return p;
        if (p.first) return {q.a, q.b, false};
        return {p.a * q.a, q.a * p.b + q.b, false};
    }
    __device__ void put(int64_t at, state s) const { y[at] = terni_store<S>((terni_math_t<S>)s.b); }
};

template <class F>
__global__ void __launch_bounds__(BLOCK) by_thread(F f, int64_t lines, int64_t N, int64_t inner, bool reverse) {
    const int64_t t = terni_thread();
    if (t >= lines) return;
    const int64_t base = t / inner * N * inner + t % inner;
    typename F::state s = f.none();
    for (int64_t k = 0; k < N; k++) {
        const int64_t i = reverse ? N - 1 - k : k;
        s = f.join(s, f.item(base + i * inner, i));
        f.put(base + i * inner, s);
    }
}

template <class F>
__global__ void __launch_bounds__(BLOCK) by_block(F f, int64_t N, int64_t inner, bool reverse) {
    using state = typename F::state;
    TERNI_SHARED(state, total, BLOCK);
    const int64_t base = (int64_t)blockIdx.x / inner * N * inner + (int64_t)blockIdx.x % inner;
    const int64_t piece = (N + BLOCK - 1) / BLOCK, from = threadIdx.x * piece,
                  end = from + piece < N ? from + piece : N;
    state s = f.none();
    for (int64_t k = from; k < end; k++) {
        const int64_t i = reverse ? N - 1 - k : k;
        s = f.join(s, f.item(base + i * inner, i));
    }
    total[threadIdx.x] = s;
    __syncthreads();
    if (threadIdx.x == 0) {
        state run = f.none();
        for (int t = 0; t < BLOCK; t++) { /* what stands before each piece */
            const state mine = total[t];
            total[t] = run;
            run = f.join(run, mine);
        }
    }
    __syncthreads();
    s = total[threadIdx.x];
    for (int64_t k = from; k < end; k++) {
        const int64_t i = reverse ? N - 1 - k : k;
        s = f.join(s, f.item(base + i * inner, i));
        f.put(base + i * inner, s);
    }
}

template <class F>
bool run(const terni_call *c, F f, bool reverse) {
    const int64_t outer = c->out[0]->shape[0], N = c->out[0]->shape[1], inner = c->out[0]->shape[2],
                  lines = outer * inner;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    if (lines >= d->properties.processors * 256 || N < 1024)
        return TERNI_LAUNCH_EACH(d, terni_blocks(lines, BLOCK), BLOCK, (by_thread<F>), f, lines, N, inner, reverse);
    return TERNI_LAUNCH(d, (unsigned)lines, BLOCK, 0, (by_block<F>), f, N, inner, reverse);
}

template <class S>
bool run_extreme(const terni_call *c, bool largest) {
    const terni_view *index = c->n_out > 1 ? c->out[1] : nullptr;
    return run(c,
               extreme_op<S>{static_cast<const S *>(c->in[0]->data), static_cast<S *>(c->out[0]->data),
                             index ? static_cast<int64_t *>(index->data) : nullptr, largest},
               false);
}

}  // namespace

extern "C" bool terni_cuda_scan(const terni_call *c) {
    const terni_scan_opts *o = static_cast<const terni_scan_opts *>(c->opts);
    const int dtype = c->in[0]->dtype;
    if (terni_cuda_count(c->out[0]) == 0) return true;
    if (o->kind == TERNI_SCAN_MAX || o->kind == TERNI_SCAN_MIN) {
        TERNI_ALL(dtype, return run_extreme<S>(c, o->kind == TERNI_SCAN_MAX))
        return false;
    }
    const bool product = o->kind == TERNI_SCAN_PROD;
    TERNI_FLOATS(
        dtype,
        return run(c, float_op<S>{static_cast<const S *>(c->in[0]->data), static_cast<S *>(c->out[0]->data), product},
                   o->reverse))
    TERNI_INTEGERS(dtype, return run(c,
                                     integer_op<S>{static_cast<const S *>(c->in[0]->data),
                                                   static_cast<int64_t *>(c->out[0]->data), product},
                                     o->reverse))
    return false;
}

extern "C" bool terni_cuda_linear_scan(const terni_call *c) {
    const terni_scan_opts *o = static_cast<const terni_scan_opts *>(c->opts);
    if (terni_cuda_count(c->out[0]) == 0) return true;
    TERNI_FLOATS(c->out[0]->dtype,
                 return run(c,
                            linear_op<S>{static_cast<const S *>(c->in[0]->data), static_cast<const S *>(c->in[1]->data),
                                         static_cast<S *>(c->out[0]->data)},
                            o->reverse))
    return false;
}
