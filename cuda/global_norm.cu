/* global_norm: the 2-norm of many tensors together. Sums of squares in f64, scaled so that f64 squares do not overflow.
 */
#include "many.h"

namespace {

enum { BLOCK = 256, CHUNK = 8192 };

/* scale^2 ssq. Source: LAPACK's dnrm2 (Blue, 1978). */
struct scaled {
    double scale, ssq;
};
__device__ __forceinline__ void take(scaled &a, double v) {
    const double s = fabs(v);
    if (s == 0 || a.scale != a.scale) return; /* a NaN stays */
    if (!(s <= a.scale)) {                    /* also NaN */
        const double q = a.scale / s;
        a.ssq = s == INFINITY ? 1 : 1 + a.ssq * q * q;
        a.scale = s;
    } else if (s != INFINITY) {
        const double q = s / a.scale;
        a.ssq += q * q;
    }
}
__device__ __forceinline__ scaled join(scaled a, scaled b) {
    if (b.scale == 0) return a;
    if (a.scale == 0) return b;
    if (a.scale != a.scale || b.scale != b.scale) return {NAN, 1};
    if (b.scale > a.scale) {
        const scaled t = a;
        a = b;
        b = t;
    }
    if (a.scale == INFINITY) return {INFINITY, 1};
    const double q = b.scale / a.scale;
    return {a.scale, a.ssq + b.ssq * q * q};
}
__device__ scaled all(scaled v, scaled *scratch) {
    scratch[threadIdx.x] = v;
    for (int half = BLOCK / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) scratch[threadIdx.x] = join(scratch[threadIdx.x], scratch[threadIdx.x + half]);
    }
    __syncthreads();
    return scratch[0];
}

/* parts: of the first of this launch's chunks. */
template <class S, class M>
__global__ void __launch_bounds__(BLOCK) chunks(const __grid_constant__ M t, scaled *parts) {
    constexpr int W = terni_pack<S>::WIDTH;
    TERNI_SHARED(scaled, scratch, BLOCK);
    const int k = terni_many_find(t, blockIdx.x);
    const S *const x = static_cast<const S *>(t.p[0][k]);
    const int64_t from = (int64_t)(blockIdx.x - t.first[k]) * CHUNK;
    const int64_t to = from + CHUNK < t.size[k] ? from + CHUNK : t.size[k];
    const int64_t flat = ((uintptr_t)x & 15) == 0 ? from + (to - from) / W * W : from; /* up to here in packs */
    scaled a = {0, 0};
    for (int64_t i = from + threadIdx.x * W; i < flat; i += BLOCK * W) {
        const terni_pack<S> p = *reinterpret_cast<const terni_pack<S> *>(x + i);
#pragma unroll
        for (int e = 0; e < W; e++) take(a, (double)terni_load<S>(p.v[e]));
    }
    for (int64_t i = flat + threadIdx.x; i < to; i += BLOCK) take(a, (double)terni_load<S>(x[i]));
    a = all(a, scratch);
    if (threadIdx.x == 0) parts[blockIdx.x] = a;
}

__device__ __forceinline__ double number(const void *p, bool f64) {
    return f64 ? *static_cast<const double *>(p) : (double)*static_cast<const float *>(p);
}
__device__ __forceinline__ void put(void *p, bool f64, double v) {
    if (f64)
        *static_cast<double *>(p) = v;
    else
        *static_cast<float *>(p) = (float)v;
}

struct results {
    const void *unscale; /* NULL: 1 */
    bool unscale_f64, f64;
    void *norm, *factor; /* factor: or NULL */
    double max_norm;
};

__global__ void __launch_bounds__(BLOCK) total(int64_t n, const scaled *parts, results r) {
    TERNI_SHARED(scaled, scratch, BLOCK);
    scaled a = {0, 0};
    for (int64_t i = threadIdx.x; i < n; i += BLOCK) a = join(a, parts[i]);
    a = all(a, scratch);
    if (threadIdx.x) return;
    const double unscale = r.unscale ? number(r.unscale, r.unscale_f64) : 1;
    const double norm = (a.scale == 0 ? 0 : a.scale * sqrt(a.ssq)) * unscale;
    put(r.norm, r.f64, norm);
    if (r.factor) put(r.factor, r.f64, terni_clip_factor(norm, unscale, r.max_norm));
}

template <class S, class M>
bool run(terni_cuda_device *d, const terni_call *c, int n, int dtype, scaled *parts, int64_t *at) {
    return terni_many_run<M, 1>(
        n, CHUNK,
        [=](int i, void **p) -> int64_t {
            if (!c->in[i] || c->in[i]->dtype != dtype) return 0;
            p[0] = c->in[i]->data;
            return terni_cuda_count(c->in[i]);
        },
        [=](const M &m) {
            scaled *const first = parts + *at;
            *at += m.first[m.n];
            return TERNI_LAUNCH(d, m.first[m.n], BLOCK, 0, (chunks<S, M>), m, first);
        });
}

bool measure(terni_cuda_device *d, const terni_call *c, int n, scaled *parts) {
    using small = terni_many_in<TERNI_MANY_SMALL, 1, 16>;
    using large = terni_many_in<TERNI_MANY_LARGE, 1, 16>;
    const bool many = n > small::MOST && terni_many_large(d);
    int64_t at = 0;
    for (int dtype = 0; dtype < TERN_DTYPE_COUNT; dtype++) {
        bool ok = true;
        TERNI_FLOATS(dtype,
                     ok = many ? run<S, large>(d, c, n, dtype, parts, &at) : run<S, small>(d, c, n, dtype, parts, &at))
        if (!ok) return false;
    }
    return true;
}

}  // namespace

extern "C" bool terni_cuda_global_norm(const terni_call *c) {
    const terni_norm_opts *o = static_cast<const terni_norm_opts *>(c->opts);
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    int64_t n = 0;
    for (int i = 0; i < o->n; i++)
        if (c->in[i]) n += (terni_cuda_count(c->in[i]) + CHUNK - 1) / CHUNK;
    scaled *parts = static_cast<scaled *>(terni_cuda_scratch(d, (size_t)n * sizeof(scaled)));
    if (!parts) return false;
    const terni_view *unscale = c->in[o->n], *y = c->out[0], *factor = c->out[1];
    const results r = {unscale ? unscale->data : nullptr,
                       unscale && unscale->dtype == TERN_F64,
                       y->dtype == TERN_F64,
                       y->data,
                       factor ? factor->data : nullptr,
                       o->max_norm};
    const bool ok = measure(d, c, o->n, parts) && TERNI_LAUNCH(d, 1, BLOCK, 0, total, n, (const scaled *)parts, r);
    terni_cuda_scratch_free(d, parts);
    return ok;
}
