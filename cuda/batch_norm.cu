/* batch_norm (training) over [N, C, I] and group_norm, a block to a channel or a group, and their gradients. */
#include "norm.h"

namespace {

/* Block c: channel c of every image. */
template <class S>
__global__ void __launch_bounds__(TERNI_NORM_BLOCK)
    batch(int64_t N, int64_t C, int64_t I, const S *x, terni_parameter<S> w, terni_parameter<S> b, S *y,
          terni_sum_t<S> *mean, terni_sum_t<S> *rstd, terni_parameter_out<S> running_mean,
          terni_parameter_out<S> running_var, terni_batch_norm_opts o) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(terni_moments<A>, scratch, TERNI_NORM_BLOCK);
    const int64_t ch = blockIdx.x, n = N * I;
    terni_moments<A> m = {0, 0, 0};
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x)
        terni_moments_add(m, (A)terni_load<S>(x[(i / I * C + ch) * I + i % I]));
    m = terni_moments_all(m, scratch);
    const A r = 1 / sqrt(m.m2 / (A)n + (A)o.eps), scale = w.at(ch, 1) * r, shift = b.at(ch, 0);
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
        const int64_t at = (i / I * C + ch) * I + i % I;
        y[at] = terni_store<S>((terni_math_t<S>)(((A)terni_load<S>(x[at]) - m.mean) * scale + shift));
    }
    if (threadIdx.x == 0) {
        mean[ch] = m.mean;
        rstd[ch] = r;
        const A k = (A)o.momentum;
        if (running_mean.p) running_mean.put(ch, (1 - k) * running_mean.at(ch) + k * m.mean);
        if (running_var.p) running_var.put(ch, (1 - k) * running_var.at(ch) + k * (m.m2 / (A)(n - 1)));
    }
}

template <class S>
__global__ void __launch_bounds__(TERNI_NORM_BLOCK)
    batch_grad(int64_t N, int64_t C, int64_t I, const S *g, const S *x, terni_parameter<S> w,
               const terni_sum_t<S> *mean, const terni_sum_t<S> *rstd, S *gx, terni_parameter_out<S> gw,
               terni_parameter_out<S> gb) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(A, scratch, 32);
    const int64_t ch = blockIdx.x, n = N * I;
    const A m = mean[ch], r = rstd[ch];
    A s1 = 0, s2 = 0;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
        const int64_t at = (i / I * C + ch) * I + i % I;
        const A gi = terni_load<S>(g[at]);
        s1 += gi;
        s2 += gi * ((A)terni_load<S>(x[at]) - m) * r;
    }
    s1 = terni_block_all(s1, A(0), scratch, terni_plus());
    s2 = terni_block_all(s2, A(0), scratch, terni_plus());
    if (threadIdx.x == 0) {
        gw.put(ch, s2);
        gb.put(ch, s1);
    }
    if (!gx) return;
    const A scale = w.at(ch, 1) * r, m1 = s1 / (A)n, m2 = s2 / (A)n;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
        const int64_t at = (i / I * C + ch) * I + i % I;
        const A xhat = ((A)terni_load<S>(x[at]) - m) * r;
        gx[at] = terni_store<S>((terni_math_t<S>)(scale * ((A)terni_load<S>(g[at]) - m1 - xhat * m2)));
    }
}

/* Block b: group b % groups of image b / groups, n = C / groups I elements in a row. */
template <class S>
__global__ void __launch_bounds__(TERNI_NORM_BLOCK)
    group(int64_t C, int64_t I, int64_t groups, const S *x, terni_parameter<S> w, terni_parameter<S> b, S *y,
          terni_sum_t<S> *mean, terni_sum_t<S> *rstd, double eps) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(terni_moments<A>, scratch, TERNI_NORM_BLOCK);
    const int64_t per = C / groups, n = per * I, first = blockIdx.x % groups * per;
    x += blockIdx.x * n;
    y += blockIdx.x * n;
    terni_moments<A> m = {0, 0, 0};
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) terni_moments_add(m, (A)terni_load<S>(x[i]));
    m = terni_moments_all(m, scratch);
    const A r = 1 / sqrt(m.m2 / (A)n + (A)eps);
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
        const int64_t ch = first + i / I;
        y[i] = terni_store<S>((terni_math_t<S>)(((A)terni_load<S>(x[i]) - m.mean) * r * w.at(ch, 1) + b.at(ch, 0)));
    }
    if (threadIdx.x == 0) {
        mean[blockIdx.x] = m.mean;
        rstd[blockIdx.x] = r;
    }
}

template <class S>
__global__ void __launch_bounds__(TERNI_NORM_BLOCK)
    group_grad_x(int64_t C, int64_t I, int64_t groups, const S *g, const S *x, terni_parameter<S> w,
                 const terni_sum_t<S> *mean, const terni_sum_t<S> *rstd, S *gx) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(A, scratch, 32);
    const int64_t per = C / groups, n = per * I, first = blockIdx.x % groups * per, at = blockIdx.x * n;
    const A m = mean[blockIdx.x], r = rstd[blockIdx.x];
    A s1 = 0, s2 = 0;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
        const A gw = (A)terni_load<S>(g[at + i]) * w.at(first + i / I, 1);
        s1 += gw;
        s2 += gw * ((A)terni_load<S>(x[at + i]) - m) * r;
    }
    s1 = terni_block_all(s1, A(0), scratch, terni_plus()) / (A)n;
    s2 = terni_block_all(s2, A(0), scratch, terni_plus()) / (A)n;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
        const A gw = (A)terni_load<S>(g[at + i]) * w.at(first + i / I, 1), xhat = ((A)terni_load<S>(x[at + i]) - m) * r;
        gx[at + i] = terni_store<S>((terni_math_t<S>)(r * (gw - s1 - xhat * s2)));
    }
}

/* Block c: channel c of every image. */
template <class S>
__global__ void __launch_bounds__(TERNI_NORM_BLOCK)
    group_grad_parameters(int64_t N, int64_t C, int64_t I, int64_t groups, const S *g, const S *x,
                          const terni_sum_t<S> *mean, const terni_sum_t<S> *rstd, terni_parameter_out<S> gw,
                          terni_parameter_out<S> gb) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(A, scratch, 32);
    const int64_t ch = blockIdx.x, of = ch / (C / groups);
    A aw = 0, ab = 0;
    for (int64_t i = threadIdx.x; i < N * I; i += blockDim.x) {
        const int64_t image = i / I, at = (image * C + ch) * I + i % I, k = image * groups + of;
        const A gi = terni_load<S>(g[at]);
        aw += gi * ((A)terni_load<S>(x[at]) - mean[k]) * rstd[k];
        ab += gi;
    }
    aw = terni_block_all(aw, A(0), scratch, terni_plus());
    ab = terni_block_all(ab, A(0), scratch, terni_plus());
    if (threadIdx.x == 0) {
        gw.put(ch, aw);
        gb.put(ch, ab);
    }
}

}  // namespace

extern "C" bool terni_cuda_batch_norm(const terni_call *c) {
    const terni_view *x = c->in[0];
    const int64_t N = x->shape[0], C = x->shape[1], I = x->shape[2];
    if (N * C * I == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(
        x->dtype,
        return TERNI_LAUNCH(d, (unsigned)C, TERNI_NORM_BLOCK, 0, (batch<S>), N, C, I, static_cast<const S *>(x->data),
                            terni_parameter_of<S>(c->in[1]), terni_parameter_of<S>(c->in[2]),
                            static_cast<S *>(c->out[0]->data), static_cast<terni_sum_t<S> *>(c->out[1]->data),
                            static_cast<terni_sum_t<S> *>(c->out[2]->data), terni_parameter_out_of<S>(c->out[3]),
                            terni_parameter_out_of<S>(c->out[4]), *static_cast<const terni_batch_norm_opts *>(c->opts)))
    return false;
}

extern "C" bool terni_cuda_batch_norm_grad(const terni_call *c) {
    const terni_view *g = c->in[0], *x = c->in[1];
    const int64_t N = x->shape[0], C = x->shape[1], I = x->shape[2];
    if (C == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(x->dtype, {
        using A = terni_sum_t<S>;
        return TERNI_LAUNCH(
            d, (unsigned)C, TERNI_NORM_BLOCK, 0, (batch_grad<S>), N, C, I, static_cast<const S *>(g->data),
            static_cast<const S *>(x->data), terni_parameter_of<S>(c->in[2]), static_cast<const A *>(c->in[3]->data),
            static_cast<const A *>(c->in[4]->data), c->out[0] ? static_cast<S *>(c->out[0]->data) : nullptr,
            terni_parameter_out_of<S>(c->out[1]), terni_parameter_out_of<S>(c->out[2]));
    })
    return false;
}

extern "C" bool terni_cuda_group_norm(const terni_call *c) {
    const terni_view *x = c->in[0];
    const terni_group_norm_opts *o = static_cast<const terni_group_norm_opts *>(c->opts);
    const int64_t N = x->shape[0], C = x->shape[1], I = x->shape[2];
    if (N * C * I == 0) return true;
    if (!terni_norm_fits(N * o->groups, "group_norm")) return false;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(x->dtype,
                 return TERNI_LAUNCH(d, (unsigned)(N * o->groups), terni_norm_block(C / o->groups * I), 0, (group<S>),
                                     C, I, o->groups, static_cast<const S *>(x->data), terni_parameter_of<S>(c->in[1]),
                                     terni_parameter_of<S>(c->in[2]), static_cast<S *>(c->out[0]->data),
                                     static_cast<terni_sum_t<S> *>(c->out[1]->data),
                                     static_cast<terni_sum_t<S> *>(c->out[2]->data), o->eps))
    return false;
}

extern "C" bool terni_cuda_group_norm_grad(const terni_call *c) {
    const terni_view *g = c->in[0], *x = c->in[1];
    const int64_t groups = static_cast<const terni_group_norm_opts *>(c->opts)->groups;
    const int64_t N = x->shape[0], C = x->shape[1], I = x->shape[2];
    if (C == 0) return true;
    if (!terni_norm_fits(N * groups, "group_norm_grad")) return false;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(x->dtype, {
        using A = terni_sum_t<S>;
        const S *pg = static_cast<const S *>(g->data), *px = static_cast<const S *>(x->data);
        const A *mean = static_cast<const A *>(c->in[3]->data), *rstd = static_cast<const A *>(c->in[4]->data);
        if (c->out[0] && N * I > 0 &&
            !TERNI_LAUNCH(d, (unsigned)(N * groups), terni_norm_block(C / groups * I), 0, (group_grad_x<S>), C, I,
                          groups, pg, px, terni_parameter_of<S>(c->in[2]), mean, rstd,
                          static_cast<S *>(c->out[0]->data)))
            return false;
        if (!c->out[1] && !c->out[2]) return true;
        return TERNI_LAUNCH(d, (unsigned)C, TERNI_NORM_BLOCK, 0, (group_grad_parameters<S>), N, C, I, groups, pg, px,
                            mean, rstd, terni_parameter_out_of<S>(c->out[1]), terni_parameter_out_of<S>(c->out[2]));
    })
    return false;
}
