/* sgd_update and adam_update: all parameters of a dtype in one launch (many.h), each element read and written once, 16
 * bytes at a time where the arrays allow it. The factor for the gradients and the rates of a captured graph are read
 * from the device's memory. */
#include "many.h"

namespace {

enum { BLOCK = 256, PACKS = 2, OTHER = 160 };

/* What the device knows when the kernel runs. */
struct live {
    const double *rates; /* NULL: the options' */
    const void *scale;   /* NULL: 1 */
    bool f64, skip;
    __device__ __forceinline__ double factor() const {
        if (!scale) return 1;
        return f64 ? *static_cast<const double *>(scale) : (double)*static_cast<const float *>(scale);
    }
};

struct sgd {
    double lr, momentum, dampening, weight_decay;
    bool nesterov, first;
    __device__ __forceinline__ void renew(const double *rates) { lr = rates[0]; }
    template <class T>
    __device__ __forceinline__ void step(T g, T &p, T &a, T &) const {
        g += (T)weight_decay * p;
        if (momentum != 0.0) {
            a = first ? g : (T)momentum * a + (T)(1 - dampening) * g;
            g = nesterov ? g + (T)momentum * a : a;
        }
        p -= (T)lr * g;
    }
};

struct adam {
    double keep, decay, b1, b2, c2, eps, size, root;
    double decoupled_decay; /* 0: not decoupled */
    /* One text for the host and for rates that only the device has; products and sums are rounded one by one, so that
     * both have the same bits. */
    __host__ __device__ __forceinline__ void set(double lr, double correction1, double correction2) {
#ifdef __CUDA_ARCH__
        keep = __dsub_rn(1, __dmul_rn(lr, decoupled_decay));
#else
        keep = 1 - lr * decoupled_decay;
#endif
        size = lr / correction1;
        root = 1 / sqrt(correction2);
    }
    __device__ __forceinline__ void renew(const double *rates) { set(rates[0], rates[1], rates[2]); }
    template <class T>
    __device__ __forceinline__ void step(T g, T &p, T &m, T &v) const {
        g += (T)decay * p;
        m += (g - m) * (T)b1;
        v = (T)b2 * v + (T)c2 * (g * g);
        p = (T)keep * p - (T)size * (m / (sqrt(v) * (T)root + (T)eps));
    }
};

/* W neighbours from element i on. */
template <class S, int W, class F>
__device__ __forceinline__ void some(const F &f, terni_math_t<S> scale, const S *grad, S *param, S *a, S *b,
                                     int64_t i) {
    using T = terni_math_t<S>;
    struct alignas(W * sizeof(S)) pack {
        S v[W];
    };
    const pack g = *reinterpret_cast<const pack *>(grad + i);
    pack p = *reinterpret_cast<const pack *>(param + i), x = g, y = g;
    if (a) x = *reinterpret_cast<const pack *>(a + i);
    if (b) y = *reinterpret_cast<const pack *>(b + i);
#pragma unroll
    for (int k = 0; k < W; k++) {
        T pk = terni_load<S>(p.v[k]), xk = terni_load<S>(x.v[k]), yk = terni_load<S>(y.v[k]);
        f.step((T)terni_load<S>(g.v[k]) * scale, pk, xk, yk);
        p.v[k] = terni_store<S>(pk);
        x.v[k] = terni_store<S>(xk);
        y.v[k] = terni_store<S>(yk);
    }
    *reinterpret_cast<pack *>(param + i) = p;
    if (a) *reinterpret_cast<pack *>(a + i) = x;
    if (b) *reinterpret_cast<pack *>(b + i) = y;
}

template <class S>
constexpr int chunk_of = BLOCK *PACKS *(int)(16 / sizeof(S));

template <class S, class M, class F>
__global__ void __launch_bounds__(BLOCK) update(const __grid_constant__ M t, F f, live l) {
    constexpr int W = 16 / sizeof(S);
    const double scale = l.factor();
    if (l.skip && !(fabs(scale) <= 1.7976931348623157e308)) return;
    if (l.rates) f.renew(l.rates);
    const int k = terni_many_find(t, blockIdx.x);
    S *const grad = static_cast<S *>(t.p[0][k]), *const param = static_cast<S *>(t.p[1][k]);
    S *const a = static_cast<S *>(t.p[2][k]), *const b = static_cast<S *>(t.p[3][k]);
    const int64_t size = t.size[k], from = (int64_t)(blockIdx.x - t.first[k]) * chunk_of<S>;
    const bool packs = (((uintptr_t)grad | (uintptr_t)param | (uintptr_t)a | (uintptr_t)b) & 15) == 0;
#pragma unroll
    for (int j = 0; j < PACKS; j++) {
        const int64_t i = from + (int64_t)(j * BLOCK + threadIdx.x) * W;
        if (packs && i + W <= size)
            some<S, W>(f, (terni_math_t<S>)scale, grad, param, a, b, i);
        else
            for (int64_t e = i; e < i + W && e < size; e++) some<S, 1>(f, (terni_math_t<S>)scale, grad, param, a, b, e);
    }
}

template <class S, class M, class F>
bool run_in(terni_cuda_device *d, const terni_call *c, int n, int states, int dtype, const F &f, const live &l) {
    return terni_many_run<M, 4>(
        n, chunk_of<S>,
        [=](int i, void **p) -> int64_t {
            if (!c->in[i] || c->out[i]->dtype != dtype) return 0;
            p[0] = c->in[i]->data;
            p[1] = c->out[i]->data;
            p[2] = states > 0 ? c->out[n + i]->data : nullptr;
            p[3] = states > 1 ? c->out[2 * n + i]->data : nullptr;
            return terni_cuda_count(c->in[i]);
        },
        [=](const M &m) { return TERNI_LAUNCH_EACH(d, m.first[m.n], BLOCK, (update<S, M, F>), m, f, l); });
}

template <class F>
bool run(const terni_call *c, int n, int states, bool skip, const F &f) {
    static_assert(sizeof(F) + sizeof(live) <= OTHER, "arguments beside the table");
    using small = terni_many_in<4096, 4, OTHER>;
    using large = terni_many_in<32764, 4, OTHER>;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const terni_view *scale = c->in[n], *rates = c->in[n + 1];
    const live l = {rates ? static_cast<const double *>(rates->data) : nullptr, scale ? scale->data : nullptr,
                    scale && scale->dtype == TERN_F64, skip};
    const bool many = n > small::MOST && terni_many_large(d);
    for (int dtype = 0; dtype < TERN_DTYPE_COUNT; dtype++) {
        bool ok = true;
        TERNI_FLOATS(dtype, ok = many ? run_in<S, large>(d, c, n, states, dtype, f, l)
                                      : run_in<S, small>(d, c, n, states, dtype, f, l))
        if (!ok) return false;
    }
    return true;
}

}  // namespace

extern "C" bool terni_cuda_sgd_update(const terni_call *c) {
    const terni_sgd_opts *o = static_cast<const terni_sgd_opts *>(c->opts);
    return run(c, o->n, o->momentum != 0.0, o->skip,
               sgd{o->lr, o->momentum, o->dampening, o->weight_decay, o->nesterov, o->first});
}

extern "C" bool terni_cuda_adam_update(const terni_call *c) {
    const terni_adam_opts *o = static_cast<const terni_adam_opts *>(c->opts);
    adam f;
    f.decay = o->decoupled ? 0 : o->weight_decay;
    f.decoupled_decay = o->decoupled ? o->weight_decay : 0;
    f.b1 = 1 - o->beta1;
    f.b2 = o->beta2;
    f.c2 = 1 - o->beta2;
    f.eps = o->eps;
    f.set(o->lr, o->correction1, o->correction2);
    return run(c, o->n, 2, o->skip, f);
}
