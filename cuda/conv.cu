/* conv and its two adjoints, the plain kernels: an element of the result a thread, an element of the weight's gradient
 * a block, all sums in a fixed order. library_conv.cu calls cuDNN where it can. */
#include "launch.h"

namespace {

struct shape {
    int64_t N, C, O, in[3], out[3], k[3];
    int64_t per_in, per_out; /* channels of a group */
    terni_conv_opts o;
};

shape shape_of(const terni_view *x, const terni_view *w, const terni_view *y, const terni_conv_opts *o) {
    shape s;
    s.N = x->shape[0];
    s.C = x->shape[1];
    s.O = y->shape[1];
    for (int i = 0; i < 3; i++) {
        s.in[i] = x->shape[2 + i];
        s.out[i] = y->shape[2 + i];
        s.k[i] = w->shape[2 + i];
    }
    s.per_in = s.C / o->groups;
    s.per_out = s.O / o->groups;
    s.o = *o;
    return s;
}

template <class S>
__global__ void forward(int64_t n, shape s, const S *x, const S *w, const S *b, S *y) {
    using A = terni_sum_t<S>;
    const int64_t t = terni_thread();
    if (t >= n) return;
    const int64_t ow = t % s.out[2], oh = t / s.out[2] % s.out[1], od = t / s.out[2] / s.out[1] % s.out[0];
    const int64_t o = t / (s.out[0] * s.out[1] * s.out[2]) % s.O, image = t / (s.out[0] * s.out[1] * s.out[2]) / s.O;
    const int64_t first = o / s.per_out * s.per_in, plane = s.in[0] * s.in[1] * s.in[2],
                  taps = s.k[0] * s.k[1] * s.k[2];
    A sum = b ? (A)terni_load<S>(b[o]) : A(0);
    for (int64_t c = 0; c < s.per_in; c++) {
        const S *xc = x + (image * s.C + first + c) * plane, *wc = w + (o * s.per_in + c) * taps;
        for (int64_t i = 0; i < s.k[0]; i++) {
            const int64_t id = od * s.o.stride[0] - s.o.pad[0] + i * s.o.dilation[0];
            if (id < 0 || id >= s.in[0]) continue;
            for (int64_t j = 0; j < s.k[1]; j++) {
                const int64_t ih = oh * s.o.stride[1] - s.o.pad[1] + j * s.o.dilation[1];
                if (ih < 0 || ih >= s.in[1]) continue;
                for (int64_t l = 0; l < s.k[2]; l++) {
                    const int64_t iw = ow * s.o.stride[2] - s.o.pad[2] + l * s.o.dilation[2];
                    if (iw < 0 || iw >= s.in[2]) continue;
                    sum += (A)terni_load<S>(xc[(id * s.in[1] + ih) * s.in[2] + iw]) *
                           (A)terni_load<S>(wc[(i * s.k[1] + j) * s.k[2] + l]);
                }
            }
        }
    }
    y[t] = terni_store<S>((terni_math_t<S>)sum);
}

/* The output index whose tap k falls on input index i; -1 if none does. */
__device__ __forceinline__ int64_t meets(const shape &s, int a, int64_t i, int64_t k) {
    const int64_t v = i + s.o.pad[a] - k * s.o.dilation[a];
    if (v < 0 || v % s.o.stride[a]) return -1;
    return v / s.o.stride[a] < s.out[a] ? v / s.o.stride[a] : -1;
}

template <class S>
__global__ void input_grad(int64_t n, shape s, const S *g, const S *w, const S *b, S *gx) {
    using A = terni_sum_t<S>;
    const int64_t t = terni_thread();
    if (t >= n) return;
    const int64_t iw = t % s.in[2], ih = t / s.in[2] % s.in[1], id = t / s.in[2] / s.in[1] % s.in[0];
    const int64_t c = t / (s.in[0] * s.in[1] * s.in[2]) % s.C, image = t / (s.in[0] * s.in[1] * s.in[2]) / s.C;
    const int64_t group = c / s.per_in, plane = s.out[0] * s.out[1] * s.out[2], taps = s.k[0] * s.k[1] * s.k[2];
    A sum = b ? (A)terni_load<S>(b[c]) : A(0);
    for (int64_t k = 0; k < s.per_out; k++) {
        const int64_t o = group * s.per_out + k;
        const S *go = g + (image * s.O + o) * plane, *wo = w + (o * s.per_in + c % s.per_in) * taps;
        for (int64_t i = 0; i < s.k[0]; i++) {
            const int64_t od = meets(s, 0, id, i);
            if (od < 0) continue;
            for (int64_t j = 0; j < s.k[1]; j++) {
                const int64_t oh = meets(s, 1, ih, j);
                if (oh < 0) continue;
                for (int64_t l = 0; l < s.k[2]; l++) {
                    const int64_t ow = meets(s, 2, iw, l);
                    if (ow < 0) continue;
                    sum += (A)terni_load<S>(go[(od * s.out[1] + oh) * s.out[2] + ow]) *
                           (A)terni_load<S>(wo[(i * s.k[1] + j) * s.k[2] + l]);
                }
            }
        }
    }
    gx[t] = terni_store<S>((terni_math_t<S>)sum);
}

enum { BLOCK = 128 };
template <class S>
__global__ void __launch_bounds__(BLOCK) weight_grad(shape s, const S *g, const S *x, S *gw) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(A, scratch, 32);
    const int64_t taps = s.k[0] * s.k[1] * s.k[2], t = blockIdx.x;
    const int64_t tap = t % taps, c = t / taps % s.per_in, o = t / taps / s.per_in;
    const int64_t l = tap % s.k[2], j = tap / s.k[2] % s.k[1], i = tap / s.k[2] / s.k[1];
    const int64_t plane = s.out[0] * s.out[1] * s.out[2], channel = o / s.per_out * s.per_in + c;
    A sum = 0;
    for (int64_t p = threadIdx.x; p < s.N * plane; p += BLOCK) {
        const int64_t image = p / plane, q = p % plane;
        const int64_t iw = q % s.out[2] * s.o.stride[2] - s.o.pad[2] + l * s.o.dilation[2];
        const int64_t ih = q / s.out[2] % s.out[1] * s.o.stride[1] - s.o.pad[1] + j * s.o.dilation[1];
        const int64_t id = q / s.out[2] / s.out[1] * s.o.stride[0] - s.o.pad[0] + i * s.o.dilation[0];
        if (iw < 0 || iw >= s.in[2] || ih < 0 || ih >= s.in[1] || id < 0 || id >= s.in[0]) continue;
        sum += (A)terni_load<S>(g[(image * s.O + o) * plane + q]) *
               (A)terni_load<S>(x[(((image * s.C + channel) * s.in[0] + id) * s.in[1] + ih) * s.in[2] + iw]);
    }
    sum = terni_block_all(sum, A(0), scratch, terni_plus());
    if (threadIdx.x == 0) gw[t] = terni_store<S>((terni_math_t<S>)sum);
}

}  // namespace

extern "C" bool terni_cuda_conv(const terni_call *c) {
    const terni_view *x = c->in[0], *w = c->in[1], *b = c->in[2], *y = c->out[0];
    const int64_t n = terni_cuda_count(y);
    if (n == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const shape s = shape_of(x, w, y, static_cast<const terni_conv_opts *>(c->opts));
    TERNI_FLOATS(y->dtype,
                 return TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (forward<S>), n, s,
                                          static_cast<const S *>(x->data), static_cast<const S *>(w->data),
                                          b ? static_cast<const S *>(b->data) : nullptr, static_cast<S *>(y->data)))
    return false;
}

extern "C" bool terni_cuda_conv_input_grad(const terni_call *c) {
    const terni_view *g = c->in[0], *w = c->in[1], *b = c->in[2], *gx = c->out[0];
    const int64_t n = terni_cuda_count(gx);
    if (n == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const shape s = shape_of(gx, w, g, static_cast<const terni_conv_opts *>(c->opts));
    TERNI_FLOATS(gx->dtype,
                 return TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (input_grad<S>), n, s,
                                          static_cast<const S *>(g->data), static_cast<const S *>(w->data),
                                          b ? static_cast<const S *>(b->data) : nullptr, static_cast<S *>(gx->data)))
    return false;
}

extern "C" bool terni_cuda_conv_weight_grad(const terni_call *c) {
    const terni_view *g = c->in[0], *x = c->in[1], *gw = c->out[0];
    const int64_t n = terni_cuda_count(gw);
    if (n == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const shape s = shape_of(x, gw, g, static_cast<const terni_conv_opts *>(c->opts));
    TERNI_FLOATS(gw->dtype,
                 return TERNI_LAUNCH(d, (unsigned)n, BLOCK, 0, (weight_grad<S>), s, static_cast<const S *>(g->data),
                                     static_cast<const S *>(x->data), static_cast<S *>(gw->data)))
    return false;
}
