/* max_pool, avg_pool and their adjoints; im2col and col2im. Adjoints gather: each element of x's gradient finds the
 * windows that hold it, so that nothing is added by atomics. */
#include "formulas.h"
#include "launch.h"

namespace {

struct shape {
    int64_t planes, in[3], out[3];
    terni_pool_opts o;
    __device__ __forceinline__ int64_t places() const { return out[0] * out[1] * out[2]; }
};

__device__ __forceinline__ terni_span span_at(const shape &s, int a, int64_t i) {
    return terni_span_of(&s.o, a, i, s.in[a], s.out[a]);
}

/* The windows that hold element i: [*from, *to). */
__device__ __forceinline__ void windows_of(const shape &s, int a, int64_t i, int64_t *from, int64_t *to) {
    const terni_pool_opts &o = s.o;
    if (o.adaptive) {
        *from = i * s.out[a] / s.in[a]; /* floor(w in / out) <= i */
        while (*from > 0 && (*from * s.in[a] - 1) / s.out[a] + 1 > i) (*from)--;
        *to = *from;
        while (*to < s.out[a] && *to * s.in[a] / s.out[a] <= i) (*to)++;
        while (*from < *to && ((*from + 1) * s.in[a] - 1) / s.out[a] + 1 <= i) (*from)++;
        return;
    }
    const int64_t v = i + o.pad[a], before = v - o.kernel[a] + 1;
    *from = before <= 0 ? 0 : (before + o.stride[a] - 1) / o.stride[a];
    *to = v / o.stride[a] + 1;
    if (*to > s.out[a]) *to = s.out[a];
}

template <class S>
__global__ void max_pool(int64_t n, shape s, const S *x, S *y, int32_t *index) {
    using T = terni_math_t<S>;
    const int64_t t = terni_thread();
    if (t >= n) return;
    const int64_t at[3] = {t / s.out[2] / s.out[1] % s.out[0], t / s.out[2] % s.out[1], t % s.out[2]};
    int64_t start[3], step[3], end[3];
    for (int a = 0; a < 3; a++) {
        const terni_taps r = terni_taps_of(&s.o, a, at[a], s.in[a], s.out[a]);
        step[a] = r.step;
        start[a] = r.at + r.first * r.step;
        end[a] = r.at + r.last * r.step;
    }
    const S *plane = x + t / s.places() * s.in[0] * s.in[1] * s.in[2];
    T best = 0;
    int32_t where = -1;
    for (int64_t d = start[0]; d < end[0]; d += step[0])
        for (int64_t h = start[1]; h < end[1]; h += step[1])
            for (int64_t w = start[2]; w < end[2]; w += step[2]) {
                const int64_t k = (d * s.in[1] + h) * s.in[2] + w;
                const T v = terni_load<S>(plane[k]);
                if (where >= 0 && (v <= best || best != best)) continue;
                best = v;
                where = (int32_t)k;
            }
    y[t] = terni_store<S>(best);
    index[t] = where;
}

/* A thread to a plane, in order: windows may overlap. */
template <class S>
__global__ void max_pool_grad(int64_t planes, int64_t places, int64_t size, const S *g, const int32_t *index,
                              terni_sum_t<S> *sums) {
    const int64_t p = terni_thread();
    if (p >= planes) return;
    for (int64_t i = 0; i < size; i++) sums[p * size + i] = 0;
    for (int64_t i = 0; i < places; i++)
        sums[p * size + index[p * places + i]] += (terni_sum_t<S>)terni_load<S>(g[p * places + i]);
}
template <class S>
__global__ void narrow(int64_t n, const terni_sum_t<S> *sums, S *y) {
    const int64_t i = terni_thread();
    if (i < n) y[i] = terni_store<S>((terni_math_t<S>)sums[i]);
}

template <class S>
__global__ void avg_pool(int64_t n, shape s, const S *x, S *y) {
    using A = terni_sum_t<S>;
    const int64_t t = terni_thread();
    if (t >= n) return;
    const terni_span b[3] = {span_at(s, 0, t / s.out[2] / s.out[1] % s.out[0]), span_at(s, 1, t / s.out[2] % s.out[1]),
                             span_at(s, 2, t % s.out[2])};
    const S *plane = x + t / s.places() * s.in[0] * s.in[1] * s.in[2];
    A sum = 0;
    for (int64_t d = b[0].first; d < b[0].last; d++)
        for (int64_t h = b[1].first; h < b[1].last; h++)
            for (int64_t w = b[2].first; w < b[2].last; w++)
                sum += (A)terni_load<S>(plane[(d * s.in[1] + h) * s.in[2] + w]);
    const A by = (A)(s.o.divisor ? s.o.divisor : b[0].count * b[1].count * b[2].count);
    y[t] = terni_store<S>((terni_math_t<S>)(sum / by));
}

template <class S>
__global__ void avg_pool_grad(int64_t n, shape s, const S *g, S *gx) {
    using A = terni_sum_t<S>;
    const int64_t t = terni_thread();
    if (t >= n) return;
    const int64_t at[3] = {t / s.in[2] / s.in[1] % s.in[0], t / s.in[2] % s.in[1], t % s.in[2]};
    int64_t from[3], to[3];
    for (int a = 0; a < 3; a++) windows_of(s, a, at[a], &from[a], &to[a]);
    const S *plane = g + t / (s.in[0] * s.in[1] * s.in[2]) * s.places();
    A sum = 0;
    for (int64_t d = from[0]; d < to[0]; d++)
        for (int64_t h = from[1]; h < to[1]; h++)
            for (int64_t w = from[2]; w < to[2]; w++) {
                const int64_t count = s.o.divisor
                                          ? s.o.divisor
                                          : span_at(s, 0, d).count * span_at(s, 1, h).count * span_at(s, 2, w).count;
                sum += (A)terni_load<S>(plane[(d * s.out[1] + h) * s.out[2] + w]) / (A)count;
            }
    gx[t] = terni_store<S>((terni_math_t<S>)sum);
}

shape shape_of(const terni_view *x, const terni_view *y, const void *opts) {
    shape s;
    s.planes = x->shape[0] * x->shape[1];
    for (int a = 0; a < 3; a++) {
        s.in[a] = x->shape[2 + a];
        s.out[a] = y->shape[2 + a];
    }
    if (opts) s.o = *static_cast<const terni_pool_opts *>(opts);
    return s;
}

/* ---- windows as columns
 * ---------------------------------------------------------------------------------------------------------------------
 */

template <class S>
__global__ void im2col(int64_t n, int64_t H, int64_t W, terni_fold_opts o, const S *x, S *y) {
    const int64_t t = terni_thread();
    if (t >= n) return;
    const int64_t j = t % o.size[1], i = t / o.size[1] % o.size[0], q = t / o.size[1] / o.size[0] % o.kernel[1];
    const int64_t p = t / o.size[1] / o.size[0] / o.kernel[1] % o.kernel[0],
                  plane = t / o.size[1] / o.size[0] / o.kernel[1] / o.kernel[0];
    const int64_t h = i * o.stride[0] - o.pad[0] + p * o.dilation[0],
                  w = j * o.stride[1] - o.pad[1] + q * o.dilation[1];
    y[t] = h >= 0 && h < H && w >= 0 && w < W ? x[(plane * H + h) * W + w] : S{};
}

template <class S>
__global__ void col2im(int64_t n, int64_t H, int64_t W, terni_fold_opts o, const S *y, S *x) {
    using A = terni_sum_t<S>;
    const int64_t t = terni_thread();
    if (t >= n) return;
    const int64_t w = t % W, h = t / W % H, plane = t / W / H;
    A sum = 0;
    for (int64_t p = 0; p < o.kernel[0]; p++) {
        const int64_t v = h + o.pad[0] - p * o.dilation[0];
        if (v < 0 || v % o.stride[0] || v / o.stride[0] >= o.size[0]) continue;
        for (int64_t q = 0; q < o.kernel[1]; q++) {
            const int64_t u = w + o.pad[1] - q * o.dilation[1];
            if (u < 0 || u % o.stride[1] || u / o.stride[1] >= o.size[1]) continue;
            sum += (A)terni_load<S>(
                y[(((plane * o.kernel[0] + p) * o.kernel[1] + q) * o.size[0] + v / o.stride[0]) * o.size[1] +
                  u / o.stride[1]]);
        }
    }
    x[t] = terni_store<S>((terni_math_t<S>)sum);
}

}  // namespace

extern "C" bool terni_cuda_max_pool(const terni_call *c) {
    const terni_view *x = c->in[0], *y = c->out[0];
    const int64_t n = terni_cuda_count(y);
    if (n == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(x->dtype, return TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (max_pool<S>), n,
                                                    shape_of(x, y, c->opts), static_cast<const S *>(x->data),
                                                    static_cast<S *>(y->data), static_cast<int32_t *>(c->out[1]->data)))
    return false;
}

extern "C" bool terni_cuda_max_pool_grad(const terni_call *c) {
    const terni_view *g = c->in[0], *gx = c->out[0];
    const int64_t n = terni_cuda_count(gx);
    if (n == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const shape s = shape_of(gx, g, nullptr);
    const int64_t places = s.out[0] * s.out[1] * s.out[2], size = s.in[0] * s.in[1] * s.in[2];
    TERNI_FLOATS(g->dtype, {
        using A = terni_sum_t<S>;
        A *sums = std::is_same<S, A>::value ? static_cast<A *>(gx->data)
                                            : static_cast<A *>(terni_cuda_scratch(d, sizeof(A) * (size_t)n));
        if (!sums) return false;
        bool ok =
            TERNI_LAUNCH_EACH(d, terni_blocks(s.planes, 64), 64, (max_pool_grad<S>), s.planes, places, size,
                              static_cast<const S *>(g->data), static_cast<const int32_t *>(c->in[1]->data), sums);
        if (!std::is_same<S, A>::value) {
            ok =
                ok && TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (narrow<S>), n, sums, static_cast<S *>(gx->data));
            terni_cuda_scratch_free(d, sums);
        }
        return ok;
    })
    return false;
}

extern "C" bool terni_cuda_avg_pool(const terni_call *c) {
    const terni_view *x = c->in[0], *y = c->out[0];
    const int64_t n = terni_cuda_count(y);
    if (n == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(x->dtype,
                 return TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (avg_pool<S>), n, shape_of(x, y, c->opts),
                                          static_cast<const S *>(x->data), static_cast<S *>(y->data)))
    return false;
}

extern "C" bool terni_cuda_avg_pool_grad(const terni_call *c) {
    const terni_view *g = c->in[0], *gx = c->out[0];
    const int64_t n = terni_cuda_count(gx);
    if (n == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(g->dtype,
                 return TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (avg_pool_grad<S>), n, shape_of(gx, g, c->opts),
                                          static_cast<const S *>(g->data), static_cast<S *>(gx->data)))
    return false;
}

extern "C" bool terni_cuda_im2col(const terni_call *c) {
    const terni_view *x = c->in[0], *y = c->out[0];
    const int64_t n = terni_cuda_count(y);
    if (n == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const terni_fold_opts o = *static_cast<const terni_fold_opts *>(c->opts);
    TERNI_FLOATS(x->dtype,
                 return TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (im2col<S>), n, x->shape[2], x->shape[3], o,
                                          static_cast<const S *>(x->data), static_cast<S *>(y->data)))
    return false;
}

extern "C" bool terni_cuda_col2im(const terni_call *c) {
    const terni_view *y = c->in[0], *x = c->out[0];
    const int64_t n = terni_cuda_count(x);
    if (n == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const terni_fold_opts o = *static_cast<const terni_fold_opts *>(c->opts);
    TERNI_FLOATS(x->dtype,
                 return TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (col2im<S>), n, x->shape[2], x->shape[3], o,
                                          static_cast<const S *>(y->data), static_cast<S *>(x->data)))
    return false;
}
