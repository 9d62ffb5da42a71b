/* update: all parameters of a dtype in one launch (many.h), each element read and written once, 16 bytes at a time
 * where the arrays allow it. What one element comes to is the row of core/update.def. The factor for the gradients and
 * the numbers of a captured graph are read from the device's memory. */
#include "many.h"

namespace {

enum { BLOCK = 256, PACKS = 2, OTHER = 160 };

struct settings {
    double number[TERNI_UPDATE_NUMBERS];
    const double *numbers; /* NULL: number */
    const void *scale;     /* NULL: 1 */
    double sign, clip;
    bool f64, skip, low;
    __device__ __forceinline__ double factor() const {
        if (!scale) return 1;
        return f64 ? *static_cast<const double *>(scale) : (double)*static_cast<const float *>(scale);
    }
};

/* One struct a rule: how many states and numbers it has, and what it does with an element. */
#define TERNI_NUMBER(k, name)                             +1
#define TERN_UPDATE(name, states, optional, numbers, ...) count_##name = 0 numbers,
enum counts {
#include "update.def"
};
#undef TERNI_NUMBER
#define K(c)                  ((T)(c))
#define ROOT(x)               sqrt(x)
#define TERNI_NUMBER(k, name) const T name = (T)number[k];
#define TERN_UPDATE(name, states, optional, numbers, ...)                                                   \
    struct rule_##name {                                                                                    \
        enum { STATES = states, NUMBERS = count_##name };                                                   \
        template <class T>                                                                                  \
        static __device__ __forceinline__ void step(const double *number, T g, T &p, T &s0, T &s1, T &s2) { \
            numbers __VA_ARGS__(void) s0, (void)s1, (void)s2;                                               \
        }                                                                                                   \
    };
#include "update.def"
#undef K
#undef ROOT
#undef TERNI_NUMBER

/* N elements of an array, 16 bytes at a time where N allows it; an absent array reads as 0. */
template <class S, int N>
struct pack {
    enum { WIDTH = N * sizeof(S) % 16 == 0 ? 16 / sizeof(S) : 1 };
    struct alignas(WIDTH * sizeof(S)) part {
        S v[WIDTH];
    };
    S v[N];
    __device__ __forceinline__ void load(const S *from) {
#pragma unroll
        for (int k = 0; k < N / WIDTH; k++) {
            const part x = from ? reinterpret_cast<const part *>(from)[k] : part{};
#pragma unroll
            for (int e = 0; e < WIDTH; e++) v[k * WIDTH + e] = x.v[e];
        }
    }
    __device__ __forceinline__ void store(S *to) const {
        if (!to) return;
#pragma unroll
        for (int k = 0; k < N / WIDTH; k++) {
            part x;
#pragma unroll
            for (int e = 0; e < WIDTH; e++) x.v[e] = v[k * WIDTH + e];
            reinterpret_cast<part *>(to)[k] = x;
        }
    }
};

/* The arrays of one tensor: gradients and low copies of dtype S, parameters and states of dtype P. */
template <class S, class P>
struct arrays {
    const S *grad;
    P *param, *state[3];
    S *low;
};

/* W neighbours from element i on. */
template <class R, class S, class P, int W>
__device__ __forceinline__ void some(const double *number, const arrays<S, P> &a, terni_math_t<P> scale,
                                     terni_math_t<P> clip, int64_t i) {
    using T = terni_math_t<P>;
    pack<S, W> g, low;
    pack<P, W> p, s[3];
    g.load(a.grad + i);
    p.load(a.param + i);
#pragma unroll
    for (int k = 0; k < R::STATES; k++) s[k].load(a.state[k] ? a.state[k] + i : nullptr);
#pragma unroll
    for (int e = 0; e < W; e++) {
        T x[3] = {0, 0, 0}, pe = terni_load<P>(p.v[e]), ge = scale * (T)terni_load<S>(g.v[e]);
        ge = ge > clip ? clip : ge < -clip ? -clip : ge;
#pragma unroll
        for (int k = 0; k < R::STATES; k++) x[k] = terni_load<P>(s[k].v[e]);
        R::template step<T>(number, ge, pe, x[0], x[1], x[2]);
#pragma unroll
        for (int k = 0; k < R::STATES; k++) s[k].v[e] = terni_store<P>(x[k]);
        p.v[e] = terni_store<P>(pe);
        low.v[e] = terni_store<S>((terni_math_t<S>)pe);
    }
    p.store(a.param + i);
#pragma unroll
    for (int k = 0; k < R::STATES; k++) s[k].store(a.state[k] ? a.state[k] + i : nullptr);
    if (a.low) low.store(a.low + i);
}

template <class S>
constexpr int chunk_of = BLOCK *PACKS *(int)(16 / sizeof(S));

template <class R, class S, class P, class M>
__global__ void __launch_bounds__(BLOCK) update(const __grid_constant__ M t, const __grid_constant__ settings o) {
    constexpr int W = 16 / sizeof(S);
    using T = terni_math_t<P>;
    const double factor = o.factor();
    if (o.skip && !(fabs(factor) <= 1.7976931348623157e308)) return;
    const T scale = (T)(factor * o.sign), clip = (T)o.clip;
    double number[TERNI_UPDATE_NUMBERS];
#pragma unroll
    for (int k = 0; k < TERNI_UPDATE_NUMBERS; k++) number[k] = o.number[k];
    if (o.numbers) {
#pragma unroll
        for (int k = 0; k < R::NUMBERS; k++) number[k] = o.numbers[k];
    }
    const int k = terni_many_find(t, blockIdx.x);
    arrays<S, P> a = {static_cast<const S *>(t.p[0][k]), static_cast<P *>(t.p[1][k]), {}, nullptr};
    uintptr_t all = (uintptr_t)a.grad | (uintptr_t)a.param;
#pragma unroll
    for (int j = 0; j < R::STATES; j++) all |= (uintptr_t)(a.state[j] = static_cast<P *>(t.p[2 + j][k]));
    if (o.low) all |= (uintptr_t)(a.low = static_cast<S *>(t.p[2 + R::STATES][k]));
    const int64_t size = t.size[k], from = (int64_t)(blockIdx.x - t.first[k]) * chunk_of<S>;
    const bool packs = (all & 15) == 0;
#pragma unroll
    for (int j = 0; j < PACKS; j++) {
        const int64_t i = from + (int64_t)(j * BLOCK + threadIdx.x) * W;
        if (packs && i + W <= size)
            some<R, S, P, W>(number, a, scale, clip, i);
        else
            for (int64_t e = i; e < i + W && e < size; e++) some<R, S, P, 1>(number, a, scale, clip, e);
    }
}

/* The tensors whose gradients are `dtype`, S here. */
template <class R, class S, class P, class M>
bool run_in(terni_cuda_device *d, const terni_call *c, int dtype, const settings &s) {
    const terni_update_opts *o = static_cast<const terni_update_opts *>(c->opts);
    return terni_many_run<M, M::ARRAYS>(
        o->n, chunk_of<S>,
        [=](int i, void **p) -> int64_t {
            if (c->in[i]->dtype != dtype) return 0;
            p[0] = c->in[i]->data;
            p[1] = c->out[i]->data;
            int place = 1;
            for (int k = 0; k < R::STATES; k++)
                p[2 + k] = o->states >> k & 1 ? c->out[place++ * o->n + i]->data : nullptr;
            p[2 + R::STATES] = o->low ? c->out[place * o->n + i]->data : nullptr;
            return terni_cuda_count(c->in[i]);
        },
        [=](const M &m) { return TERNI_LAUNCH_EACH(d, m.first[m.n], BLOCK, (update<R, S, P, M>), m, s); });
}

template <class R, class M>
bool run_all(terni_cuda_device *d, const terni_call *c, const settings &s) {
    if (s.low)
        return run_in<R, terni_half16, float, M>(d, c, TERN_F16, s) &&
               run_in<R, terni_bfloat, float, M>(d, c, TERN_BF16, s);
    bool ok = true;
    for (int dtype = 0; dtype < TERN_DTYPE_COUNT && ok; dtype++)
        TERNI_FLOATS(dtype, ok = (run_in<R, S, S, M>(d, c, dtype, s)))
    return ok;
}

template <class R>
bool run(const terni_call *c) {
    using small = terni_many_in<TERNI_MANY_SMALL, 3 + R::STATES, OTHER>;
    using large = terni_many_in<TERNI_MANY_LARGE, 3 + R::STATES, OTHER>;
    static_assert(sizeof(settings) <= OTHER, "arguments beside the table");
    const terni_update_opts *o = static_cast<const terni_update_opts *>(c->opts);
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const terni_view *scale = c->in[o->n], *numbers = c->in[o->n + 1];
    settings s = {{},
                  numbers ? static_cast<const double *>(numbers->data) : nullptr,
                  scale ? scale->data : nullptr,
                  o->sign,
                  o->clip,
                  scale && scale->dtype == TERN_F64,
                  o->skip,
                  o->low};
    for (int k = 0; k < TERNI_UPDATE_NUMBERS; k++) s.number[k] = o->number[k];
    return o->n > small::MOST && terni_many_large(d) ? run_all<R, large>(d, c, s) : run_all<R, small>(d, c, s);
}

bool (*const rules[])(const terni_call *) = {
#define TERN_UPDATE(name, ...) run<rule_##name>,
#include "update.def"
};

}  // namespace

extern "C" bool terni_cuda_update(const terni_call *c) {
    return rules[static_cast<const terni_update_opts *>(c->opts)->rule](c);
}
