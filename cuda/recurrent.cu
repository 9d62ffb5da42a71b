/* rnn_step and its adjoint, a unit of a sequence a thread; rotary. */
#include "formulas.h"
#include "launch.h"

namespace {

enum { BLOCK = 256 };

template <class T>
__device__ __forceinline__ T sigma(T x) {
    const T e = exp(-fabs(x));
    return TERNI_SIGMA(x, e);
}

template <class T>
struct step {
    int kind;
    int64_t total, h; /* sequences times units */
    const T *a, *b, *h0, *c0;
    const uint8_t *live;
    T *h1, *y, *c1, *gates;
};

template <class T>
__global__ void __launch_bounds__(BLOCK) forward(step<T> s) {
    const int64_t t = terni_thread(), n = s.h;
    if (t >= s.total) return;
    const int64_t r = t / n, k = t % n;
    if (s.live && !s.live[r]) {
        s.h1[t] = s.h0[t];
        s.y[t] = 0;
        if (s.c1) s.c1[t] = s.c0[t];
        return;
    }
    T v;
    if (s.kind == TERNI_RNN_LSTM) {
        const T *a = s.a + r * 4 * n + k, *b = s.b + r * 4 * n + k;
        T *g = s.gates + r * 4 * n + k;
        const T i = sigma(a[0] + b[0]), f = sigma(a[n] + b[n]), u = tanh(a[2 * n] + b[2 * n]),
                o = sigma(a[3 * n] + b[3 * n]);
        const T c = TERNI_LSTM_STATE(i, f, u, s.c0[t]);
        g[0] = i;
        g[n] = f;
        g[2 * n] = u;
        g[3 * n] = o;
        s.c1[t] = c;
        v = o * tanh(c);
    } else if (s.kind == TERNI_RNN_GRU) {
        const T *a = s.a + r * 3 * n + k, *b = s.b + r * 3 * n + k;
        T *g = s.gates + r * 4 * n + k;
        const T reset = sigma(a[0] + b[0]), z = sigma(a[n] + b[n]),
                u = tanh(TERNI_GRU_INNER(a[2 * n], reset, b[2 * n]));
        g[0] = reset;
        g[n] = z;
        g[2 * n] = u;
        g[3 * n] = b[2 * n];
        v = TERNI_GRU_OUTPUT(z, u, s.h0[t]);
    } else {
        v = s.a[t] + s.b[t];
        v = s.kind == TERNI_RNN_TANH ? tanh(v) : v < 0 ? T(0) : v;
    }
    s.h1[t] = v;
    s.y[t] = v;
}

template <class T>
struct back {
    int kind;
    int64_t total, h;
    const T *gy, *gh, *gh2, *gc, *gates, *h1, *h0, *c1, *c0;
    const uint8_t *live;
    T *ga, *gb, *to_gh, *to_gc;
};

template <class T>
__global__ void __launch_bounds__(BLOCK) backward(back<T> s) {
    const int64_t t = terni_thread(), n = s.h;
    if (t >= s.total) return;
    const int64_t r = t / n, k = t % n;
    const int gates = s.kind == TERNI_RNN_LSTM ? 4 : s.kind == TERNI_RNN_GRU ? 3 : 1;
    T *ga = s.ga + r * gates * n + k, *gb = s.gb ? s.gb + r * gates * n + k : nullptr;
    T g = (s.gh ? s.gh[t] : T(0)) + (s.gh2 ? s.gh2[t] : T(0));
    const T gc = s.gc ? s.gc[t] : T(0);
    if (s.live && !s.live[r]) {
        for (int i = 0; i < gates; i++) {
            ga[i * n] = 0;
            if (gb) gb[i * n] = 0;
        }
        if (s.to_gh) s.to_gh[t] = g;
        if (s.to_gc) s.to_gc[t] = gc;
        return;
    }
    if (s.gy) g += s.gy[t];
    if (s.kind == TERNI_RNN_GRU) {
        const T *gate = s.gates + r * 4 * n + k;
        const T reset = gate[0], z = gate[n], u = gate[2 * n], b = gate[3 * n];
        T old;
        TERNI_GRU_BACK(T, g, reset, z, u, b, s.h0[t], ga[0], ga[n], ga[2 * n], gb[2 * n], old);
        gb[0] = ga[0];
        gb[n] = ga[n];
        if (s.to_gh) s.to_gh[t] = old;
        return;
    }
    if (s.kind == TERNI_RNN_LSTM) {
        const T *gate = s.gates + r * 4 * n + k;
        const T i = gate[0], f = gate[n], u = gate[2 * n], o = gate[3 * n], c = tanh(s.c1[t]);
        T old;
        TERNI_LSTM_BACK(T, g, gc, i, f, u, o, c, s.c0[t], ga[0], ga[n], ga[2 * n], ga[3 * n], old);
        if (s.to_gc) s.to_gc[t] = old;
    } else if (s.kind == TERNI_RNN_TANH)
        ga[0] = TERNI_TANH_BACK(g, s.h1[t]);
    else
        ga[0] = s.h1[t] > 0 ? g : T(0);
    if (s.to_gh) s.to_gh[t] = 0;
}

template <class T>
const T *input(const terni_call *c, int i) {
    return c->in[i] ? static_cast<const T *>(c->in[i]->data) : nullptr;
}
template <class T>
T *output(const terni_call *c, int i) {
    return c->out[i] ? static_cast<T *>(c->out[i]->data) : nullptr;
}

template <class T>
bool run_forward(terni_cuda_device *d, const terni_call *c) {
    const terni_view *h = c->in[2];
    step<T> s;
    s.kind = static_cast<const terni_rnn_step_opts *>(c->opts)->kind;
    s.total = terni_cuda_count(h);
    s.h = h->shape[h->ndim - 1];
    s.a = input<T>(c, 0);
    s.b = input<T>(c, 1);
    s.h0 = input<T>(c, 2);
    s.c0 = input<T>(c, 3);
    s.live = input<uint8_t>(c, 4);
    s.h1 = output<T>(c, 0);
    s.y = output<T>(c, 1);
    s.c1 = output<T>(c, 2);
    s.gates = output<T>(c, 3);
    return s.total == 0 || TERNI_LAUNCH_EACH(d, terni_blocks(s.total, BLOCK), BLOCK, (forward<T>), s);
}

template <class T>
bool run_backward(terni_cuda_device *d, const terni_call *c) {
    const terni_view *h = c->in[5];
    back<T> s;
    s.kind = static_cast<const terni_rnn_step_opts *>(c->opts)->kind;
    s.total = terni_cuda_count(h);
    s.h = h->shape[h->ndim - 1];
    s.gy = input<T>(c, 0);
    s.gh = input<T>(c, 1);
    s.gh2 = input<T>(c, 2);
    s.gc = input<T>(c, 3);
    s.gates = input<T>(c, 4);
    s.h1 = input<T>(c, 5);
    s.h0 = input<T>(c, 6);
    s.c1 = input<T>(c, 7);
    s.c0 = input<T>(c, 8);
    s.live = input<uint8_t>(c, 9);
    s.ga = output<T>(c, 0);
    s.gb = output<T>(c, 1);
    s.to_gh = output<T>(c, 2);
    s.to_gc = output<T>(c, 3);
    return s.total == 0 || TERNI_LAUNCH_EACH(d, terni_blocks(s.total, BLOCK), BLOCK, (backward<T>), s);
}

/* w: cos and sin without their last dimension, in x's rows. */
template <class T>
__global__ void __launch_bounds__(BLOCK) rotate(int64_t total, uint32_t rows, int64_t width, int64_t n, terni_walk<2> w,
                                                const T *x, T *y, bool interleaved, T sign) {
    const int64_t t = terni_thread();
    if (t >= total) return;
    const uint32_t row = (uint32_t)(t / (width - n)), k = (uint32_t)(t % (width - n));
    (void)rows;
    x += row * width;
    y += row * width;
    if (k >= n) { /* behind the pairs */
        y[n + k] = x[n + k];
        return;
    }
    int64_t at[2];
    w.at(row, at);
    const T c = static_cast<const T *>(w.data[0])[at[0] + k], s = sign * static_cast<const T *>(w.data[1])[at[1] + k];
    const int64_t i = interleaved ? 2 * k : k, j = interleaved ? i + 1 : n + k;
    const T a = x[i], b = x[j];
    y[i] = a * c - b * s;
    y[j] = b * c + a * s;
}

template <class T>
bool run_rotary(terni_cuda_device *d, const terni_call *c) {
    const terni_view *x = c->in[0];
    const terni_rotary_opts *o = static_cast<const terni_rotary_opts *>(c->opts);
    terni_view cosine = *c->in[1], sine = *c->in[2];
    const int64_t width = x->shape[x->ndim - 1], n = cosine.shape[cosine.ndim - 1];
    const int64_t rows = width ? terni_cuda_count(x) / width : 0, total = rows * (width - n);
    cosine.ndim--;
    sine.ndim--;
    const terni_view *v[2] = {&cosine, &sine};
    terni_each e;
    if (total == 0 || !terni_cuda_join(&e, v, 2)) return true;
    if (rows > TERNI_WALK_MAX) return terni_cuda_fail(TERN_ERR_UNSUPPORTED, "rotary: 2^31 rows or more on a GPU");
    const size_t sizes[2] = {sizeof(T), sizeof(T)};
    return terni_walk_parts<2>(e, sizes, [=](const terni_walk<2> &w, int64_t m) {
        return TERNI_LAUNCH_EACH(d, terni_blocks(total, BLOCK), BLOCK, (rotate<T>), total, (uint32_t)m, width, n, w,
                                 static_cast<const T *>(x->data), static_cast<T *>(c->out[0]->data), o->interleaved,
                                 o->inverse ? T(-1) : T(1));
    });
}

}  // namespace

extern "C" bool terni_cuda_rnn_step(const terni_call *c) {
    terni_cuda_device *d = terni_cuda_use(c->device);
    return d && (c->in[0]->dtype == TERN_F64 ? run_forward<double>(d, c) : run_forward<float>(d, c));
}
extern "C" bool terni_cuda_rnn_step_grad(const terni_call *c) {
    terni_cuda_device *d = terni_cuda_use(c->device);
    return d && (c->out[0]->dtype == TERN_F64 ? run_backward<double>(d, c) : run_backward<float>(d, c));
}
extern "C" bool terni_cuda_rotary(const terni_call *c) {
    terni_cuda_device *d = terni_cuda_use(c->device);
    return d && (c->in[0]->dtype == TERN_F64 ? run_rotary<double>(d, c) : run_rotary<float>(d, c));
}
