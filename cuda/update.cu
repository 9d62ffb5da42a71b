/* sgd_update and adam_update: all parameters of a dtype in one launch, their addresses in a table that travels as the
 * kernel's argument. */
#include "launch.h"

namespace {

enum { TENSORS = 30, BLOCK = 256, ITEMS = 4, CHUNK = BLOCK * ITEMS };

/* Block b works on a chunk of the tensor t with first[t] <= b < first[t + 1]. */
struct table {
    int n;
    unsigned first[TENSORS + 1];
    int64_t size[TENSORS];
    const void *grad[TENSORS];
    void *param[TENSORS], *a[TENSORS], *b[TENSORS];
};

struct sgd {
    double lr, momentum, dampening, weight_decay;
    bool nesterov, first;
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
    template <class T>
    __device__ __forceinline__ void step(T g, T &p, T &m, T &v) const {
        g += (T)decay * p;
        m += (g - m) * (T)b1;
        v = (T)b2 * v + (T)c2 * (g * g);
        p = (T)keep * p - (T)size * (m / (sqrt(v) * (T)root + (T)eps));
    }
};

template <class S, class F>
__global__ void __launch_bounds__(BLOCK) update(table t, F f) {
    using T = terni_math_t<S>;
    int k = 0;
    while (k + 1 < t.n && blockIdx.x >= t.first[k + 1]) k++;
    const int64_t from = (int64_t)(blockIdx.x - t.first[k]) * CHUNK;
    const S *grad = static_cast<const S *>(t.grad[k]);
    S *param = static_cast<S *>(t.param[k]), *a = static_cast<S *>(t.a[k]), *b = static_cast<S *>(t.b[k]);
#pragma unroll
    for (int j = 0; j < ITEMS; j++) {
        const int64_t i = from + j * BLOCK + threadIdx.x;
        if (i >= t.size[k]) return;
        T p = terni_load<S>(param[i]), x = a ? (T)terni_load<S>(a[i]) : T(0), y = b ? (T)terni_load<S>(b[i]) : T(0);
        f.step((T)terni_load<S>(grad[i]), p, x, y);
        param[i] = terni_store<S>(p);
        if (a) a[i] = terni_store<S>(x);
        if (b) b[i] = terni_store<S>(y);
    }
}

template <class F>
bool run(const terni_call *c, int32_t n, bool has_a, bool has_b, F f) {
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    for (int dtype = 0; dtype < TERN_DTYPE_COUNT; dtype++) {
        table t;
        t.n = 0;
        t.first[0] = 0;
        for (int32_t i = 0; i <= n; i++) {
            const bool mine = i < n && c->in[i] && c->out[i]->dtype == dtype && terni_cuda_count(c->in[i]) > 0;
            if (t.n == TENSORS || (i == n && t.n)) {
                bool ok = false;
                TERNI_FLOATS(dtype, ok = TERNI_LAUNCH_EACH(d, t.first[t.n], BLOCK, (update<S, F>), t, f))
                if (!ok) return false;
                t.n = 0;
            }
            if (!mine) continue;
            t.size[t.n] = terni_cuda_count(c->in[i]);
            t.grad[t.n] = c->in[i]->data;
            t.param[t.n] = c->out[i]->data;
            t.a[t.n] = has_a ? c->out[n + i]->data : nullptr;
            t.b[t.n] = has_b ? c->out[2 * n + i]->data : nullptr;
            t.first[t.n + 1] = t.first[t.n] + terni_blocks(t.size[t.n], CHUNK);
            t.n++;
        }
    }
    return true;
}

}  // namespace

extern "C" bool terni_cuda_sgd_update(const terni_call *c) {
    const terni_sgd_opts *o = static_cast<const terni_sgd_opts *>(c->opts);
    return run(c, o->n, o->momentum != 0.0, false,
               sgd{o->lr, o->momentum, o->dampening, o->weight_decay, o->nesterov, o->first});
}

extern "C" bool terni_cuda_adam_update(const terni_call *c) {
    const terni_adam_opts *o = static_cast<const terni_adam_opts *>(c->opts);
    return run(c, o->n, true, true,
               adam{o->decoupled ? 1 - o->lr * o->weight_decay : 1, o->decoupled ? 0 : o->weight_decay, 1 - o->beta1,
                    o->beta2, 1 - o->beta2, o->eps, o->lr / o->correction1, 1 / sqrt(o->correction2)});
}
