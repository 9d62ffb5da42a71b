/* global_norm: the 2-norm of many tensors together. Sums of squares in f64, scaled so that f64 squares do not overflow.
 */
#include "launch.h"

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

template <class S>
__global__ void __launch_bounds__(BLOCK) chunks(int64_t n, const S *x, scaled *parts) {
    TERNI_SHARED(scaled, scratch, BLOCK);
    scaled a = {0, 0};
    for (int64_t i = (int64_t)blockIdx.x * CHUNK + threadIdx.x; i < n && i < ((int64_t)blockIdx.x + 1) * CHUNK;
         i += BLOCK)
        take(a, (double)terni_load<S>(x[i]));
    a = all(a, scratch);
    if (threadIdx.x == 0) parts[blockIdx.x] = a;
}

__global__ void __launch_bounds__(BLOCK) total(int64_t n, const scaled *parts, void *y, bool f64) {
    TERNI_SHARED(scaled, scratch, BLOCK);
    scaled a = {0, 0};
    for (int64_t i = threadIdx.x; i < n; i += BLOCK) a = join(a, parts[i]);
    a = all(a, scratch);
    if (threadIdx.x) return;
    const double v = a.scale == 0 ? 0 : a.scale * sqrt(a.ssq);
    if (f64)
        *static_cast<double *>(y) = v;
    else
        *static_cast<float *>(y) = (float)v;
}

}  // namespace

extern "C" bool terni_cuda_global_norm(const terni_call *c) {
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    int64_t n = 0;
    for (int i = 0; i < c->n_in; i++)
        if (c->in[i]) n += (terni_cuda_count(c->in[i]) + CHUNK - 1) / CHUNK;
    scaled *parts = static_cast<scaled *>(terni_cuda_scratch(d, (size_t)n * sizeof(scaled)));
    if (!parts) return false;
    bool ok = true;
    int64_t at = 0;
    for (int i = 0; i < c->n_in && ok; i++) {
        const terni_view *v = c->in[i];
        const int64_t m = v ? terni_cuda_count(v) : 0, blocks = (m + CHUNK - 1) / CHUNK;
        if (m == 0) continue;
        ok = false;
        TERNI_FLOATS(v->dtype, ok = TERNI_LAUNCH(d, (unsigned)blocks, BLOCK, 0, (chunks<S>), m,
                                                 static_cast<const S *>(v->data), parts + at))
        at += blocks;
    }
    ok = ok &&
         TERNI_LAUNCH(d, 1, BLOCK, 0, total, n, (const scaled *)parts, c->out[0]->data, c->out[0]->dtype == TERN_F64);
    terni_cuda_scratch_free(d, parts);
    return ok;
}
