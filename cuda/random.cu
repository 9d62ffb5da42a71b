/* uniform, normal, dropout, randint, bernoulli: every element finds its own words of the stream (core/philox.h), so
 * that the draws are the CPU's bit for bit. */
#include "draws.h"

namespace {

__device__ __forceinline__ uint32_t word_of(const terni_draws &from, int64_t i) {
    return terni_draw_block(from, (uint64_t)i / 4).w[i % 4];
}

/* ---- uniform and normal: two neighbours a thread
 * ------------------------------------------------------------------------------------ */

template <class S>
__device__ __forceinline__ void put(const terni_walk<1> &w, int64_t n, int64_t i, terni_math_t<S> v) {
    if (i >= n) return;
    int64_t at[1];
    w.at((uint32_t)i, at);
    static_cast<S *>(w.data[0])[at[0]] = terni_store<S>(v);
}

template <class S, bool NORMAL>
__global__ void draw(int64_t n, terni_walk<1> w, terni_random_opts o) {
    const int64_t i = 2 * terni_thread();
    if (i >= n) return;
    if constexpr (std::is_same<S, double>::value) {
        const terni_philox_block b = terni_draw_block(o.from, (uint64_t)i / 2);
        if (NORMAL) {
            const terni_pair_f64 p = terni_normal_f64(b);
            put<S>(w, n, i, fma(o.b, p.a, o.a));
            put<S>(w, n, i + 1, fma(o.b, p.b, o.a));
        } else {
            put<S>(w, n, i, terni_uniform_f64(b.w[0], b.w[1], o.a, o.b - o.a, o.top));
            put<S>(w, n, i + 1, terni_uniform_f64(b.w[2], b.w[3], o.a, o.b - o.a, o.top));
        }
    } else {
        const terni_philox_block b = terni_draw_block(o.from, (uint64_t)i / 4);
        const uint32_t w0 = b.w[i % 4], w1 = b.w[i % 4 + 1];
        if (NORMAL) {
            const terni_pair_f32 p = terni_normal_f32(w0, w1);
            put<S>(w, n, i, fmaf((float)o.b, p.a, (float)o.a));
            put<S>(w, n, i + 1, fmaf((float)o.b, p.b, (float)o.a));
        } else {
            put<S>(w, n, i, terni_uniform_f32(w0, (float)o.a, (float)(o.b - o.a), (float)o.top));
            put<S>(w, n, i + 1, terni_uniform_f32(w1, (float)o.a, (float)(o.b - o.a), (float)o.top));
        }
    }
}

/* The walk over a view that the words go along in row-major order; false after an error, or with *n 0 if it is empty.
 */
bool open_walk(const terni_view *const *v, int count, const char *name, terni_each *e) {
    e->n = 0;
    if (!terni_cuda_join(e, v, count)) {
        e->n = 0;
        return true;
    }
    return e->n <= TERNI_WALK_MAX || terni_cuda_fail(TERN_ERR_UNSUPPORTED, "%s: 2^31 elements or more on a GPU", name);
}
template <int N>
terni_walk<N> walk_of(const terni_each &e) {
    terni_walk<N> w;
    w.ndim = e.ndim;
    for (int d = 0; d < e.ndim; d++) {
        w.size[d] = terni_divisor_of(e.shape[d]);
        for (int k = 0; k < N; k++) w.stride[k][d] = e.stride[k][d];
    }
    for (int k = 0; k < N; k++) w.data[k] = e.data[k];
    return w;
}

template <bool NORMAL>
bool run_draw(const terni_call *c, const char *name) {
    terni_each e;
    const terni_view *y = c->out[0];
    if (!open_walk(&y, 1, name, &e)) return false;
    if (e.n == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const terni_random_opts o = *static_cast<const terni_random_opts *>(c->opts);
    TERNI_FLOATS(y->dtype, return TERNI_LAUNCH_EACH(d, terni_blocks((e.n + 1) / 2, 256), 256, (draw<S, NORMAL>), e.n,
                                                    walk_of<1>(e), o))
    return false;
}

/* ---- dropout
 * ---------------------------------------------------------------------------------------------------------------------------
 */

template <class S>
__global__ void dropout(int64_t n, terni_walk<2> w, terni_draws from, uint32_t threshold, double scale) {
    const int64_t i = terni_thread();
    if (i >= n) return;
    int64_t at[2];
    w.at((uint32_t)i, at);
    using T = terni_math_t<S>;
    const T v = terni_load<S>(static_cast<const S *>(w.data[1])[at[1]]);
    static_cast<S *>(w.data[0])[at[0]] = terni_store<S>(word_of(from, i) >> 8 < threshold ? T(0) : v * (T)scale);
}

/* ---- integers
 * --------------------------------------------------------------------------------------------------------------------------
 */

template <class S>
__device__ __forceinline__ S from_integer(int64_t v) {
    if constexpr (std::is_integral<S>::value)
        return (S)v;
    else if constexpr (std::is_same<S, float>::value)
        return (float)v;
    else
        return terni_from_double<S>((double)v);
}

template <class S>
__global__ void randint(int64_t n, S *y, terni_randint_opts o) {
    const int64_t i = terni_thread();
    if (i >= n) return;
    const terni_philox_block b = terni_draw_block(o.from, (uint64_t)i / 2);
    y[i] = from_integer<S>((int64_t)((uint64_t)o.lo + terni_below(b.w[2 * (i % 2)], b.w[2 * (i % 2) + 1], o.range)));
}

template <class S>
__global__ void flips(int64_t n, S *y, terni_draws from, uint32_t threshold) {
    const int64_t i = terni_thread();
    if (i < n) y[i] = from_integer<S>(word_of(from, i) >> 8 < threshold);
}

template <class P, class S>
__global__ void flips_of(int64_t n, terni_walk<1> p, S *y, terni_draws from, terni_blame blame) {
    const int64_t i = terni_thread();
    if (i >= n) return;
    int64_t at[1];
    p.at((uint32_t)i, at);
    const terni_math_t<P> v = terni_load<P>(static_cast<const P *>(p.data[0])[at[0]]);
    if (!(v >= 0 && v <= 1)) terni_note(blame, TERNI_FAULT_PROBABILITY, 0, i, 0, 1);
    bool hit;
    if constexpr (std::is_same<P, double>::value) {
        const terni_philox_block b = terni_draw_block(from, (uint64_t)i / 2);
        hit = terni_u53(b.w[2 * (i % 2)], b.w[2 * (i % 2) + 1]) < v;
    } else
        hit = terni_u24(word_of(from, i)) < v;
    y[i] = from_integer<S>(hit);
}

template <class P>
bool run_flips(terni_cuda_device *d, const terni_each &e, const terni_view *y, const terni_random_opts *o) {
    TERNI_ALL(y->dtype, return TERNI_LAUNCH_EACH(d, terni_blocks(e.n, 256), 256, (flips_of<P, S>), e.n, walk_of<1>(e),
                                                 static_cast<S *>(y->data), o->from, terni_cuda_blame(d, "bernoulli")))
    return false;
}

}  // namespace

extern "C" bool terni_cuda_uniform(const terni_call *c) { return run_draw<false>(c, "uniform"); }
extern "C" bool terni_cuda_normal(const terni_call *c) { return run_draw<true>(c, "normal"); }

extern "C" bool terni_cuda_dropout(const terni_call *c) {
    terni_each e;
    const terni_view *v[2] = {c->out[0], c->in[0]};
    if (!open_walk(v, 2, "dropout", &e)) return false;
    if (e.n == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const terni_random_opts *o = static_cast<const terni_random_opts *>(c->opts);
    const double scale = o->a < 1 ? 1 / (1 - o->a) : 0;
    TERNI_FLOATS(v[0]->dtype, return TERNI_LAUNCH_EACH(d, terni_blocks(e.n, 256), 256, (dropout<S>), e.n, walk_of<2>(e),
                                                       o->from, terni_dropout_threshold(o->a), scale))
    return false;
}

extern "C" bool terni_cuda_randint(const terni_call *c) {
    const terni_view *y = c->out[0];
    const int64_t n = terni_cuda_count(y);
    if (n == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const terni_randint_opts o = *static_cast<const terni_randint_opts *>(c->opts);
    TERNI_ALL(y->dtype,
              return TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (randint<S>), n, static_cast<S *>(y->data), o))
    return false;
}

extern "C" bool terni_cuda_bernoulli(const terni_call *c) {
    const terni_random_opts *o = static_cast<const terni_random_opts *>(c->opts);
    const terni_view *y = c->out[0], *p = c->n_in ? c->in[0] : nullptr;
    const int64_t n = terni_cuda_count(y);
    if (n == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    if (!p) {
        TERNI_ALL(y->dtype, return TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (flips<S>), n,
                                                     static_cast<S *>(y->data), o->from, terni_dropout_threshold(o->a)))
        return false;
    }
    terni_each e;
    if (!open_walk(&p, 1, "bernoulli", &e)) return false;
    TERNI_FLOATS(p->dtype, return run_flips<S>(d, e, y, o))
    return false;
}
