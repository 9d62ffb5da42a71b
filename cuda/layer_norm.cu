/* layer_norm and rms_norm over the rows of [R, C], and their gradients. Rows are held in registers, so that they are
 * read once; the plain kernels are for those that are too long, or lie otherwise than their results. The gradients of
 * all three come from one pass where rows begin at multiples of 16 bytes: blocks walk over the rows and keep what falls
 * on their columns' parameters. */
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

/* mean NULL: rms_norm. */
template <class S, int K>
__global__ void __launch_bounds__(TERNI_ROWS_THREADS)
    held(int64_t R, int64_t C, int G, const S *x, terni_parameter<S> w, terni_parameter<S> b, S *y,
         terni_sum_t<S> *mean, terni_sum_t<S> *rstd, double eps) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(A, scratch, 32);
    const terni_row_place here = terni_row_here(G);
    if (here.row >= R) return; /* whole warps */
    x += here.row * C;
    y += here.row * C;
    const terni_row_split<S> split(x, C, here.me, here.G);
    terni_row<S, K> row;
    row.load(split, x);
    A m = 0, m2 = 0;
    if (mean) { /* about the first element: the mean of equal ones is exact */
        const A first = terni_load<S>(x[0]);
        row.each(split, [&](A v, int64_t) { m += v - first; });
        m = first + terni_row_all(m, A(0), G, scratch, terni_plus()) / (A)C;
    }
    row.each(split, [&](A v, int64_t) { m2 += (v - m) * (v - m); });
    m2 = terni_row_all(m2, A(0), G, scratch, terni_plus());
    const A r = 1 / sqrt(m2 / (A)C + (A)eps);
    row.packs(split, y, [&](auto n, int64_t i, const A *v, A *out) {
        A wi[n.value], bi[n.value];
        w.template many<n.value>(i, 1, wi);
        b.template many<n.value>(i, 0, bi);
#pragma unroll
        for (int j = 0; j < n.value; j++) out[j] = (v[j] - m) * r * wi[j] + bi[j];
    });
    if (here.me == 0) {
        if (mean) mean[here.row] = m;
        rstd[here.row] = r;
    }
}

/* Both gradients in one pass. A block's threads hold packs me, me + G ... of every row that it walks over, and add up
 * in registers what those columns' parameters get; sums [gridDim.x][2][C]. C is a multiple of a pack's width. */
template <class S, int K>
__global__ void __launch_bounds__(512)
    grad_all(int64_t R, int64_t C, const S *g, const S *x, terni_parameter<S> w, const terni_sum_t<S> *mean,
             const terni_sum_t<S> *rstd, S *gx, terni_sum_t<S> *sums) {
    using A = terni_sum_t<S>;
    constexpr int W = terni_row_width<S>;
    TERNI_SHARED(A, scratch, 32);
    const int64_t packs = C / W;
    const int me = threadIdx.x, G = blockDim.x;
    A aw[K][W], ab[K][W];
#pragma unroll
    for (int k = 0; k < K; k++)
#pragma unroll
        for (int j = 0; j < W; j++) aw[k][j] = ab[k][j] = 0;
    for (int64_t row = blockIdx.x; row < R; row += gridDim.x) {
        const terni_row_pack<S> *const gp = reinterpret_cast<const terni_row_pack<S> *>(g + row * C);
        const terni_row_pack<S> *const xp = reinterpret_cast<const terni_row_pack<S> *>(x + row * C);
        const A m = mean ? mean[row] : A(0), r = rstd[row];
        terni_row_pack<S> gk[K], xk[K];
        A s1 = 0, s2 = 0;
#pragma unroll
        for (int k = 0; k < K; k++) {
            const int64_t at = me + k * G;
            gk[k] = xk[k] = terni_row_pack<S>();
            if (at >= packs) continue;
            gk[k] = gp[at];
            xk[k] = xp[at];
            A wk[W];
            w.template many<W>(at * W, 1, wk);
#pragma unroll
            for (int j = 0; j < W; j++) {
                const A gj = terni_load<S>(gk[k].v[j]), xhat = ((A)terni_load<S>(xk[k].v[j]) - m) * r;
                s1 += gj * wk[j];
                s2 += gj * wk[j] * xhat;
                aw[k][j] += gj * xhat;
                ab[k][j] += gj;
            }
        }
        s1 = mean ? terni_block_all(s1, A(0), scratch, terni_plus()) / (A)C : A(0);
        s2 = terni_block_all(s2, A(0), scratch, terni_plus()) / (A)C;
#pragma unroll
        for (int k = 0; k < K; k++) {
            const int64_t at = me + k * G;
            if (at >= packs) continue;
            A wk[W];
            w.template many<W>(at * W, 1, wk);
            terni_row_pack<S> to;
#pragma unroll
            for (int j = 0; j < W; j++) {
                const A gw = (A)terni_load<S>(gk[k].v[j]) * wk[j], xhat = ((A)terni_load<S>(xk[k].v[j]) - m) * r;
                to.v[j] = terni_store<S>((terni_math_t<S>)(r * (gw - s1 - xhat * s2)));
            }
            reinterpret_cast<terni_row_pack<S> *>(gx + row * C)[at] = to;
        }
    }
    A *const own = sums + (int64_t)blockIdx.x * 2 * C;
#pragma unroll
    for (int k = 0; k < K; k++) {
        const int64_t at = me + k * G;
        if (at >= packs) continue;
#pragma unroll
        for (int j = 0; j < W; j++) {
            own[at * W + j] = aw[k][j];
            own[C + at * W + j] = ab[k][j];
        }
    }
}

/* Columns of what the blocks of grad_all added up: 32 columns by 32 rows of threads, in a fixed order. */
template <class S>
__global__ void __launch_bounds__(1024) fold_parameters(int n, int64_t C, const terni_sum_t<S> *sums,
                                                        terni_parameter_out<S> gw, terni_parameter_out<S> gb) {
    using A = terni_sum_t<S>;
    TERNI_SHARED(A, s, 1024);
    const int64_t col = (int64_t)blockIdx.x * 32 + threadIdx.x;
    const int me = threadIdx.y * 32 + threadIdx.x;
    A a = 0;
    if (col < 2 * C) {
#pragma unroll 4
        for (int i = threadIdx.y; i < n; i += 32) a += sums[(int64_t)i * 2 * C + col];
    }
    s[me] = a;
    for (int half = 16; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.y < half) s[me] += s[me + half * 32];
    }
    if (threadIdx.y != 0 || col >= 2 * C) return;
    if (col < C)
        gw.put(col, s[me]);
    else
        gb.put(col - C, s[me]);
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
bool run_all(terni_cuda_device *d, int64_t R, int64_t C, const S *g, const S *x, terni_parameter<S> w,
             const terni_sum_t<S> *mean, const terni_sum_t<S> *rstd, S *gx, terni_parameter_out<S> gw,
             terni_parameter_out<S> gb) {
    using A = terni_sum_t<S>;
    const int64_t packs = C / terni_row_width<S>;
    unsigned block = 32;
    while (block < 512 && packs > block) block *= 2;
    const int64_t most = (int64_t)d->properties.processors * (1024 / block < 8 ? 1024 / block : 8);
    const unsigned blocks = (unsigned)(R < most ? R : most);
    A *const sums = static_cast<A *>(terni_cuda_scratch(d, (size_t)blocks * 2 * (size_t)C * sizeof(A)));
    if (!sums) return false;
    bool ok;
    if (packs <= block)
        ok = TERNI_LAUNCH(d, blocks, block, 0, (grad_all<S, 1>), R, C, g, x, w, mean, rstd, gx, sums);
    else
        ok = TERNI_LAUNCH(d, blocks, block, 0, (grad_all<S, 2>), R, C, g, x, w, mean, rstd, gx, sums);
    ok = ok && TERNI_LAUNCH(d, terni_blocks(2 * C, 32), dim3(32, 32), 0, (fold_parameters<S>), (int)blocks, C,
                            (const A *)sums, gw, gb);
    terni_cuda_scratch_free(d, sums);
    return ok;
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
    const int64_t packs = C / terni_row_width<S>;
    if (gx && (gw || gb) && R * C > 0 && C % terni_row_width<S> == 0 && packs <= 1024 && (uintptr_t)pg % 16 == 0 &&
        (uintptr_t)px % 16 == 0 && (uintptr_t)gx->data % 16 == 0)
        return run_all<S>(d, R, C, pg, px, terni_parameter_of<S>(w), pm, pr, static_cast<S *>(gx->data),
                          terni_parameter_out_of<S>(gw), terni_parameter_out_of<S>(gb));
    if (gx && R * C > 0 &&
        !TERNI_LAUNCH(d, (unsigned)R, terni_norm_block(C), 0, (grad_x<S>), C, pg, px, terni_parameter_of<S>(w), pm, pr,
                      static_cast<S *>(gx->data)))
        return false;
    if ((!gw && !gb) || C == 0) return true;
    return TERNI_LAUNCH(d, terni_blocks(C, 32), dim3(32, 8), 0, (grad_parameters<S>), R, C, pg, px, pm, pr,
                        terni_parameter_out_of<S>(gw), terni_parameter_out_of<S>(gb));
}

template <class S>
bool run(terni_cuda_device *d, const terni_call *c, const terni_view *bias, const terni_view *mean,
         const terni_view *rstd) {
    using A = terni_sum_t<S>;
    const double eps = static_cast<const terni_layer_norm_opts *>(c->opts)->eps;
    const int64_t R = c->in[0]->shape[0], C = c->in[0]->shape[1];
    const S *x = static_cast<const S *>(c->in[0]->data);
    S *y = static_cast<S *>(c->out[0]->data);
    const terni_parameter<S> w = terni_parameter_of<S>(c->in[1]), b = terni_parameter_of<S>(bias);
    A *m = mean ? static_cast<A *>(mean->data) : nullptr, *r = static_cast<A *>(rstd->data);
    const terni_row_plan plan = terni_row_plan_of<S>(R, C, 1);
    if (terni_rows_alike(x, y)) {
        TERNI_ROW_PACKS_1(plan.packs, return TERNI_LAUNCH(d, plan.blocks, plan.block, 0, (held<S, K>), R, C, plan.G, x,
                                                          w, b, y, m, r, eps))
    }
    if (m) return TERNI_LAUNCH(d, (unsigned)R, terni_norm_block(C), 0, (layer<S>), C, x, w, b, y, m, r, eps);
    return TERNI_LAUNCH(d, (unsigned)R, terni_norm_block(C), 0, (rms<S>), C, x, w, y, r, eps);
}

}  // namespace

extern "C" bool terni_cuda_layer_norm(const terni_call *c) {
    const terni_view *x = c->in[0];
    if (terni_cuda_count(x) == 0) return true;
    if (!terni_norm_fits(x->shape[0], "layer_norm")) return false;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(x->dtype, return run<S>(d, c, c->in[2], c->out[1], c->out[2]))
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
    if (terni_cuda_count(x) == 0) return true;
    if (!terni_norm_fits(x->shape[0], "rms_norm")) return false;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(x->dtype, return run<S>(d, c, nullptr, nullptr, c->out[1]))
    return false;
}
extern "C" bool terni_cuda_rms_norm_grad(const terni_call *c) {
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(c->in[1]->dtype,
                 return run_grad<S>(d, c->in[0], c->in[1], c->in[2], nullptr, c->in[3], c->out[0], c->out[1], nullptr))
    return false;
}
