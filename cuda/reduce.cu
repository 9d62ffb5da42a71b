/* sum, max, min, argmax, argmin, prod. */
#include "reduce.h"

namespace {

/* ---- sums: f32 and below in f32 with what each addition loses kept beside it, f64 likewise; integers wrap
 * ------------------------ */

template <class A>
struct total {
    A s, c;
};

template <class S>
struct sum_of {
    using A = terni_sum_t<S>;
    using acc = total<A>;
    double scale;
    __device__ acc init() const { return {0, 0}; }
    __device__ static void plus(acc &a, A v) {
        const A s = a.s + v, z = s - a.s;
        const A lost = (a.s - (s - z)) + (v - z); /* Knuth's two-sum */
        a.s = s;
        if (lost == lost) a.c += lost; /* infinities have none */
    }
    __device__ void add(acc &a, S v, uint32_t) const { plus(a, (A)terni_load<S>(v)); }
    __device__ acc fold(acc a, acc b) const {
        plus(a, b.s);
        a.c += b.c;
        return a;
    }
    template <class O>
    __device__ O get(acc a) const {
        return terni_from_double<O>(((double)a.s + (double)a.c) * scale);
    }
};

template <class S>
struct sum_integers {
    using acc = uint64_t;
    __device__ acc init() const { return 0; }
    __device__ void add(acc &a, S v, uint32_t) const { a += (uint64_t)(int64_t)v; }
    __device__ acc fold(acc a, acc b) const { return a + b; }
    template <class O>
    __device__ O get(acc a) const {
        return (O)a;
    }
};

/* ---- extremes
 * ---------------------------------------------------------------------------------------------------------------------------
 */

template <class T>
struct found {
    T v;
    uint32_t at; /* NONE: nothing yet */
};
enum : uint32_t { NONE = 0xFFFFFFFFu };

/* The first of equals; a NaN before all, and the first of them. */
template <class S, bool MAX>
struct extreme {
    using T = terni_math_t<S>;
    using acc = found<T>;
    __device__ acc init() const { return {T(0), NONE}; }
    __device__ static bool better(T a, T b) { /* a over b */
        if (a != a) return b == b;
        return MAX ? a > b : a < b;
    }
    __device__ void add(acc &a, S s, uint32_t i) const {
        const T v = terni_load<S>(s);
        if (a.at == NONE || better(v, a.v)) a = {v, i};
    }
    __device__ acc fold(acc a, acc b) const {
        if (b.at == NONE) return a;
        if (a.at == NONE || better(b.v, a.v)) return b;
        return !better(a.v, b.v) && b.at < a.at ? b : a; /* equal: the first, whichever thread had it */
    }
    template <class O>
    __device__ O get(acc a) const {
        if constexpr (std::is_same<O, int64_t>::value && !std::is_same<S, int64_t>::value)
            return (int64_t)a.at;
        else
            return terni_store<O>(a.v);
    }
};
/* i64 in, i64 out: which is meant must be said. */
template <class S, bool MAX>
struct extreme_at : extreme<S, MAX> {
    using acc = typename extreme<S, MAX>::acc;
    template <class O>
    __device__ O get(acc a) const {
        return (O)a.at;
    }
};

/* ---- products
 * --------------------------------------------------------------------------------------------------------------------------------
 */

template <class S>
struct product_of {
    using acc = double;
    __device__ acc init() const { return 1; }
    __device__ void add(acc &a, S v, uint32_t) const { a *= (double)terni_load<S>(v); }
    __device__ acc fold(acc a, acc b) const { return a * b; }
    template <class O>
    __device__ O get(acc a) const {
        return terni_from_double<O>(a);
    }
};
template <class S>
struct product_integers {
    using acc = uint64_t;
    __device__ acc init() const { return 1; }
    __device__ void add(acc &a, S v, uint32_t) const { a *= (uint64_t)(int64_t)v; }
    __device__ acc fold(acc a, acc b) const { return a * b; }
    template <class O>
    __device__ O get(acc a) const {
        return (O)a;
    }
};

struct job {
    terni_cuda_device *d;
    terni_reduce_shape s;
    const void *x;
    void *y;
    int from, to;
};

/* 1: ready; 0: nothing to do; -1: an error. */
int open_job(const terni_call *c, uint32_t dims, const char *name, job *j) {
    const terni_view *x = c->in[0], *y = c->out[0];
    if (!terni_reduce_shape_of(x, dims, name, &j->s)) return -1;
    if (j->s.outputs == 0) return 0;
    j->d = terni_cuda_use(c->device);
    j->x = x->data;
    j->y = y->data;
    j->from = x->dtype;
    j->to = y->dtype;
    return j->d ? 1 : -1;
}

template <bool MAX>
bool run_extreme(const terni_call *c, const char *name) {
    job j;
    const int ready = open_job(c, static_cast<const terni_reduce_opts *>(c->opts)->dims, name, &j);
    if (ready <= 0) return ready == 0;
    if (j.from == TERN_I64) return terni_reduce_run<int64_t, int64_t>(j.d, j.s, extreme<int64_t, MAX>(), j.x, j.y);
    TERNI_ALL(j.from, return terni_reduce_run<S, S>(j.d, j.s, extreme<S, MAX>(), j.x, j.y))
    return false;
}
template <bool MAX>
bool run_place(const terni_call *c, const char *name) {
    job j;
    const int ready = open_job(c, static_cast<const terni_reduce_opts *>(c->opts)->dims, name, &j);
    if (ready <= 0) return ready == 0;
    TERNI_ALL(j.from, return terni_reduce_run<S, int64_t>(j.d, j.s, extreme_at<S, MAX>(), j.x, j.y))
    return false;
}

}  // namespace

extern "C" bool terni_cuda_sum(const terni_call *c) {
    const terni_reduce_opts *o = static_cast<const terni_reduce_opts *>(c->opts);
    job j;
    const int ready = open_job(c, o->dims, "sum", &j);
    if (ready <= 0) return ready == 0;
    if (terni_cuda_is_float(j.from)) {
        TERNI_FLOATS(j.from, {
            const sum_of<S> f = {o->scale};
            if (j.to == j.from) return terni_reduce_run<S, S>(j.d, j.s, f, j.x, j.y);
            return terni_reduce_run<S, terni_sum_t<S>>(j.d, j.s, f, j.x, j.y);
        })
    }
    TERNI_INTEGERS(j.from, return terni_reduce_run<S, int64_t>(j.d, j.s, sum_integers<S>(), j.x, j.y))
    return false;
}
extern "C" bool terni_cuda_max(const terni_call *c) { return run_extreme<true>(c, "max"); }
extern "C" bool terni_cuda_min(const terni_call *c) { return run_extreme<false>(c, "min"); }
extern "C" bool terni_cuda_argmax(const terni_call *c) { return run_place<true>(c, "argmax"); }
extern "C" bool terni_cuda_argmin(const terni_call *c) { return run_place<false>(c, "argmin"); }

extern "C" bool terni_cuda_prod(const terni_call *c) {
    job j;
    const int ready = open_job(c, 2, "prod", &j); /* dimension 1 of [R, N] */
    if (ready <= 0) return ready == 0;
    TERNI_FLOATS(j.from, return terni_reduce_run<S, S>(j.d, j.s, product_of<S>(), j.x, j.y))
    TERNI_INTEGERS(j.from, return terni_reduce_run<S, int64_t>(j.d, j.s, product_integers<S>(), j.x, j.y))
    return false;
}
