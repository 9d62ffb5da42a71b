/* remap (flip, roll, repeat, pad) and its adjoint. Each element of the result finds what it is made of, so that the
 * adjoint adds in the gradient's order without atomics. */
#include "formulas.h"
#include "launch.h"

namespace {

struct plan {
    int ndim;
    terni_divisor size[TERN_MAX_DIMS]; /* of the result, innermost first */
    int32_t mode[TERN_MAX_DIMS];
    int64_t before[TERN_MAX_DIMS], n[TERN_MAX_DIMS], m[TERN_MAX_DIMS]; /* n: x's sizes, m: y's */
    int64_t stride[TERN_MAX_DIMS];                                     /* x's; the adjoint: g's */
};

plan plan_of(const terni_remap_opts *o, const terni_view *x, const terni_view *y, const terni_view *result,
             const terni_view *strides) {
    plan p;
    p.ndim = y->ndim;
    for (int k = 0; k < y->ndim; k++) {
        const int d = y->ndim - 1 - k;
        p.size[k] = terni_divisor_of(result->shape[d]);
        p.mode[k] = o->mode[d];
        p.before[k] = o->before[d];
        p.n[k] = x->shape[d];
        p.m[k] = y->shape[d];
        p.stride[k] = strides->strides[d];
    }
    return p;
}

template <class S>
__global__ void remap(uint32_t n, plan p, const S *x, S *y, S fill) {
    const uint32_t i = (uint32_t)terni_thread();
    if (i >= n) return;
    uint32_t rest = i;
    int64_t at = 0;
    for (int k = 0; k < p.ndim; k++) {
        const uint32_t q = terni_divide(rest, p.size[k]), r = rest - q * p.size[k].d;
        const int64_t from = terni_remap_source(p.mode[k], (int64_t)r - p.before[k], p.n[k]);
        if (from < 0) {
            y[i] = fill;
            return;
        }
        at += from * p.stride[k];
        rest = q;
    }
    y[i] = x[at];
}

/* The indices of y, ascending, that index v of x goes to: *first, and how to go on. */
__device__ __forceinline__ int64_t first_use(const plan &p, int k, int64_t v) {
    const int64_t n = p.n[k], b = p.before[k];
    switch (p.mode[k]) {
        case TERNI_REMAP_REVERSE:
            return b + n - 1 - v;
        case TERNI_REMAP_WRAP: {
            const int64_t i = (v + b) % n;
            return i < 0 ? i + n : i;
        }
        case TERNI_REMAP_REFLECT:
            return v > 0 && b - v >= 0 && b - v < p.m[k] ? b - v : b + v;
        case TERNI_REMAP_REPLICATE:
            return v == 0 && b >= 0 ? 0 : b + v;
        default:
            return b + v;
    }
}
__device__ __forceinline__ int64_t next_use(const plan &p, int k, int64_t v, int64_t i) {
    const int64_t n = p.n[k], b = p.before[k], none = p.m[k];
    switch (p.mode[k]) {
        case TERNI_REMAP_WRAP:
            return i + n;
        case TERNI_REMAP_REFLECT: {
            if (i < b + v) return b + v;
            const int64_t far = b + 2 * (n - 1) - v;
            return i < far && v < n - 1 ? far : none;
        }
        case TERNI_REMAP_REPLICATE:
            if (v == 0 && i + 1 <= b) return i + 1;
            return v == n - 1 && i + 1 > b + v ? i + 1 : none;
        default:
            return none;
    }
}

template <class S>
__global__ void remap_add(uint32_t n, plan p, const S *g, S *x) {
    const uint32_t i = (uint32_t)terni_thread();
    if (i >= n) return;
    int64_t v[TERN_MAX_DIMS], use[TERN_MAX_DIMS], at = 0;
    uint32_t rest = i;
    for (int k = 0; k < p.ndim; k++) {
        const uint32_t q = terni_divide(rest, p.size[k]);
        v[k] = rest - q * p.size[k].d;
        rest = q;
        use[k] = first_use(p, k, v[k]);
        while (use[k] < 0) use[k] = next_use(p, k, v[k], use[k]); /* cut off before the start */
        if (use[k] >= p.m[k]) return;
        at += use[k] * p.stride[k];
    }
    using T = terni_math_t<S>;
    T sum = terni_load<S>(x[i]);
    for (;;) {
        sum += terni_load<S>(g[at]);
        int k = 0;
        for (; k < p.ndim; k++) { /* the next one, the innermost dimension first */
            const int64_t next = next_use(p, k, v[k], use[k]);
            if (next < p.m[k]) {
                at += (next - use[k]) * p.stride[k];
                use[k] = next;
                break;
            }
            int64_t first = first_use(p, k, v[k]);
            while (first < 0) first = next_use(p, k, v[k], first);
            at += (first - use[k]) * p.stride[k];
            use[k] = first;
        }
        if (k == p.ndim) break;
    }
    x[i] = terni_store<S>(sum);
}

bool too_many(int64_t n, const char *name) {
    return n > TERNI_WALK_MAX && !terni_cuda_fail(TERN_ERR_UNSUPPORTED, "%s: 2^31 elements or more on a GPU", name);
}

}  // namespace

extern "C" bool terni_cuda_remap(const terni_call *c) {
    const terni_remap_opts *o = static_cast<const terni_remap_opts *>(c->opts);
    const terni_view *x = c->in[0], *y = c->out[0];
    const int64_t n = terni_cuda_count(y);
    if (n == 0) return true;
    if (too_many(n, "remap")) return false;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const plan p = plan_of(o, x, y, y, x);
    uint64_t bits;
    terni_cuda_constant(y->dtype, &o->fill, &bits);
    TERNI_BY_SIZE(terni_cuda_size(y->dtype),
                  return TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (remap<S>), (uint32_t)n, p,
                                           static_cast<const S *>(x->data), static_cast<S *>(y->data), (S)bits))
    return false;
}

extern "C" bool terni_cuda_remap_add(const terni_call *c) {
    const terni_remap_opts *o = static_cast<const terni_remap_opts *>(c->opts);
    const terni_view *g = c->in[0], *x = c->out[0];
    const int64_t n = terni_cuda_count(x);
    if (n == 0 || terni_cuda_count(g) == 0) return true;
    if (too_many(n, "remap_add")) return false;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const plan p = plan_of(o, x, g, x, g);
    TERNI_ALL(x->dtype, return TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (remap_add<S>), (uint32_t)n, p,
                                                 static_cast<const S *>(g->data), static_cast<S *>(x->data)))
    return false;
}
