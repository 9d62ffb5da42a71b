/* layer_norm and rms_norm over the rows of [R, C], a block to a row, and their gradients. */
#include "norm.h"

namespace {

template <class S>
__global__ void __launch_bounds__(TERNI_NORM_BLOCK)
    layer(int64_t C, const S *x, terni_parameter<S> w, terni_parameter<S> b, S *y, terni_sum_t<S> *mean,
          terni_sum_t<S> *rstd, double eps) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(terni_moments<A>, scratch, TERNI_NORM_BLOCK);
    x += blockIdx.x * C;
    y += blockIdx.x * C;
    terni_moments<A> m = {0, 0, 0};
    for (int64_t i = threadIdx.x; i < C; i += blockDim.x) terni_moments_add(m, (A)terni_load<S>(x[i]));
    m = terni_moments_all(m, scratch);
    const A r = 1 / sqrt(m.m2 / (A)C + (A)eps);
    for (int64_t i = threadIdx.x; i < C; i += blockDim.x)
        y[i] = terni_store<S>((terni_math_t<S>)(((A)terni_load<S>(x[i]) - m.mean) * r * w.at(i, 1) + b.at(i, 0)));
    if (threadIdx.x == 0) {
        mean[blockIdx.x] = m.mean;
        rstd[blockIdx.x] = r;
    }
}

/* mean NULL: rms_norm. gx = r (g w - mean(g w) - xhat mean(g w xhat)); without the middle term for rms_norm. */
template <class S>
__global__ void __launch_bounds__(TERNI_NORM_BLOCK)
    grad_x(int64_t C, const S *g, const S *x, terni_parameter<S> w, const terni_sum_t<S> *mean,
           const terni_sum_t<S> *rstd, S *gx) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(A, scratch, 32);
    const int64_t at = blockIdx.x * C;
    const A m = mean ? mean[blockIdx.x] : A(0), r = rstd[blockIdx.x];
    A s1 = 0, s2 = 0;
    for (int64_t i = threadIdx.x; i < C; i += blockDim.x) {
        const A gw = (A)terni_load<S>(g[at + i]) * w.at(i, 1);
        s1 += gw;
        s2 += gw * ((A)terni_load<S>(x[at + i]) - m) * r;
    }
    s1 = mean ? terni_block_all(s1, A(0), scratch, terni_plus()) / (A)C : A(0);
    s2 = terni_block_all(s2, A(0), scratch, terni_plus()) / (A)C;
    for (int64_t i = threadIdx.x; i < C; i += blockDim.x) {
        const A gw = (A)terni_load<S>(g[at + i]) * w.at(i, 1), xhat = ((A)terni_load<S>(x[at + i]) - m) * r;
        gx[at + i] = terni_store<S>((terni_math_t<S>)(r * (gw - s1 - xhat * s2)));
    }
}

/* gweight and gbias: 32 columns by 8 rows of threads walk down all rows, in order. */
template <class S>
__global__ void __launch_bounds__(256)
    grad_parameters(int64_t R, int64_t C, const S *g, const S *x, const terni_sum_t<S> *mean,
                    const terni_sum_t<S> *rstd, terni_parameter_out<S> gw, terni_parameter_out<S> gb) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(double, sw, 256);
    TERNI_SHARED(double, sb, 256);
    const int64_t col = (int64_t)blockIdx.x * 32 + threadIdx.x;
    double aw = 0, ab = 0; /* rows may be many */
    if (col < C)
        for (int64_t r = threadIdx.y; r < R; r += 8) {
            const A gi = terni_load<S>(g[r * C + col]), m = mean ? mean[r] : A(0);
            aw += (double)(gi * ((A)terni_load<S>(x[r * C + col]) - m) * rstd[r]);
            ab += (double)gi;
        }
    const int me = threadIdx.y * 32 + threadIdx.x;
    sw[me] = aw;
    sb[me] = ab;
    for (int half = 4; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.y < half) {
            sw[me] += sw[me + half * 32];
            sb[me] += sb[me + half * 32];
        }
    }
    if (threadIdx.y == 0 && col < C) {
        gw.put(col, (A)sw[me]);
        gb.put(col, (A)sb[me]);
    }
}

template <class S>
__global__ void __launch_bounds__(TERNI_NORM_BLOCK)
    rms(int64_t C, const S *x, terni_parameter<S> w, S *y, terni_sum_t<S> *rstd, double eps) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(A, scratch, 32);
    x += blockIdx.x * C;
    y += blockIdx.x * C;
    A sum = 0;
    for (int64_t i = threadIdx.x; i < C; i += blockDim.x) {
        const A v = terni_load<S>(x[i]);
        sum += v * v;
    }
    sum = terni_block_all(sum, A(0), scratch, terni_plus());
    const A r = 1 / sqrt(sum / (A)C + (A)eps);
    for (int64_t i = threadIdx.x; i < C; i += blockDim.x)
        y[i] = terni_store<S>((terni_math_t<S>)((A)terni_load<S>(x[i]) * r * w.at(i, 1)));
    if (threadIdx.x == 0) rstd[blockIdx.x] = r;
}

template <class S>
bool run_grad(terni_cuda_device *d, const terni_view *g, const terni_view *x, const terni_view *w,
              const terni_view *mean, const terni_view *rstd, const terni_view *gx, const terni_view *gw,
              const terni_view *gb) {
    using A = terni_sum_t<S>;
    const int64_t R = x->shape[0], C = x->shape[1];
    const S *pg = static_cast<const S *>(g->data), *px = static_cast<const S *>(x->data);
    const A *pm = mean ? static_cast<const A *>(mean->data) : nullptr, *pr = static_cast<const A *>(rstd->data);
    if (!terni_norm_fits(R, "layer_norm_grad")) return false;
    if (gx && R * C > 0 &&
        !TERNI_LAUNCH(d, (unsigned)R, terni_norm_block(C), 0, (grad_x<S>), C, pg, px, terni_parameter_of<S>(w), pm, pr,
                      static_cast<S *>(gx->data)))
        return false;
    if ((!gw && !gb) || C == 0) return true;
    return TERNI_LAUNCH(d, terni_blocks(C, 32), dim3(32, 8), 0, (grad_parameters<S>), R, C, pg, px, pm, pr,
                        terni_parameter_out_of<S>(gw), terni_parameter_out_of<S>(gb));
}

}  // namespace

extern "C" bool terni_cuda_layer_norm(const terni_call *c) {
    const terni_view *x = c->in[0];
    const double eps = static_cast<const terni_layer_norm_opts *>(c->opts)->eps;
    if (terni_cuda_count(x) == 0) return true;
    if (!terni_norm_fits(x->shape[0], "layer_norm")) return false;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(x->dtype,
                 return TERNI_LAUNCH(d, (unsigned)x->shape[0], terni_norm_block(x->shape[1]), 0, (layer<S>),
                                     x->shape[1], static_cast<const S *>(x->data), terni_parameter_of<S>(c->in[1]),
                                     terni_parameter_of<S>(c->in[2]), static_cast<S *>(c->out[0]->data),
                                     static_cast<terni_sum_t<S> *>(c->out[1]->data),
                                     static_cast<terni_sum_t<S> *>(c->out[2]->data), eps))
    return false;
}
extern "C" bool terni_cuda_layer_norm_grad(const terni_call *c) {
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(c->in[1]->dtype, return run_grad<S>(d, c->in[0], c->in[1], c->in[2], c->in[3], c->in[4], c->out[0],
                                                     c->out[1], c->out[2]))
    return false;
}
extern "C" bool terni_cuda_rms_norm(const terni_call *c) {
    const terni_view *x = c->in[0];
    const double eps = static_cast<const terni_layer_norm_opts *>(c->opts)->eps;
    if (terni_cuda_count(x) == 0) return true;
    if (!terni_norm_fits(x->shape[0], "rms_norm")) return false;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(x->dtype, return TERNI_LAUNCH(d, (unsigned)x->shape[0], terni_norm_block(x->shape[1]), 0, (rms<S>),
                                               x->shape[1], static_cast<const S *>(x->data),
                                               terni_parameter_of<S>(c->in[1]), static_cast<S *>(c->out[0]->data),
                                               static_cast<terni_sum_t<S> *>(c->out[1]->data), eps))
    return false;
}
extern "C" bool terni_cuda_rms_norm_grad(const terni_call *c) {
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(c->in[1]->dtype,
                 return run_grad<S>(d, c->in[0], c->in[1], c->in[2], nullptr, c->in[3], c->out[0], c->out[1], nullptr))
    return false;
}
