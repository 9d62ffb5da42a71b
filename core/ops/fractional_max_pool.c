/* Fractional max pooling: where windows begin is drawn for each plane; the elements of the windows are gathered, their
 * maxima found, and gathered again, which is what passes the gradient. A window's elements are held with their numbers,
 * so it needs room for as many elements as windows have together. */
#include "ops/normalise.h"

typedef struct pooling {
    const char *op;
    int n;
    int64_t planes, in[3], kernel[3], out[3];
    tern_tensor *samples; /* [planes, n], f32 or f64 */
} pooling;

static tern_tensor *range(int64_t n, tern_dtype dtype, tern_device device) {
    return tern_arange(0, (double)n, (tern_options){dtype, device});
}

/* Where axis d's windows begin: [planes, out], i64. As PyTorch computes it: the last one ends where the plane does. */
static tern_tensor *starts(const pooling *p, int d, int sample) {
    const tern_device device = p->samples->device;
    const int64_t room = p->in[d] - p->kernel[d], most = p->out[d] - 1;
    tern_tensor *last = tern_full(TERN_SHAPE(p->planes, 1), (double)room, (tern_options){TERN_I64, device});
    if (most == 0) return last;
    const double alpha = (double)room / (double)most;
    tern_tensor *u = tern_narrow(p->samples, 1, sample, 1);
    tern_tensor *at = tern_mul_scalar(tern_add(range(most, terni_dtype(p->samples), device), u), alpha);
    at = tern_sub(tern_floor(at), tern_floor(tern_mul_scalar(u, alpha)));
    return tern_cat((tern_tensor *[]){tern_cast(at, TERN_I64), last}, 2, 1);
}

/* The places of all windows' elements in their plane, [planes, windows, elements of one]. */
static tern_tensor *places(const pooling *p) {
    tern_tensor *all = NULL;
    for (int d = 0; d < p->n; d++) {
        tern_shape shape = {1 + 2 * p->n, {p->planes}};
        for (int i = 1; i < shape.ndim; i++) shape.dim[i] = 1;
        shape.dim[1 + d] = p->out[d];
        shape.dim[1 + p->n + d] = p->kernel[d];
        tern_tensor *at = tern_unsqueeze(starts(p, d, p->n == 2 ? 1 - d : d), 2); /* 2-D: the width's sample is first */
        at = at ? tern_add(at, range(p->kernel[d], TERN_I64, at->device)) : NULL;
        at = tern_reshape(at, shape);
        all = all ? tern_add(tern_mul_scalar(all, (double)p->in[d]), at) : at;
        if (!all) return NULL;
    }
    int64_t windows = 1, elements = 1;
    for (int d = 0; d < p->n; d++) windows *= p->out[d], elements *= p->kernel[d];
    return tern_reshape(all, TERN_SHAPE(p->planes, windows, elements));
}

/* The place of each window's maximum: [planes, windows]. */
static tern_tensor *maxima(const pooling *p, tern_tensor *flat) {
    const bool was = tern_grad_mode(false);
    tern_tensor *at = places(p), *best = NULL;
    if (at) {
        tern_tensor *values = tern_gather(flat, 1, tern_flatten(at, 1, 2));
        values = tern_reshape(values, tern_shape_of(3, at->v.shape));
        best = tern_squeeze(tern_gather(at, 2, tern_argmax(values, 2, true)), 2);
    }
    tern_grad_mode(was);
    return best;
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static bool sizes(pooling *p, const tern_tensor *x, const int64_t *kernel, const tern_fractional_pool_opts *o) {
    for (int d = 0; d < p->n; d++) {
        const int64_t in = p->in[d] = x->v.shape[x->v.ndim - p->n + d];
        const double ratio = d && o->ratio[d] == 0 ? o->ratio[0] : o->ratio[d];
        p->kernel[d] = d && !kernel[d] ? p->kernel[d - 1] : kernel[d];
        p->out[d] = o->size[0] ? (d && !o->size[d] ? p->out[d - 1] : o->size[d]) : (int64_t)((double)in * ratio);
        if (!o->size[0] && !(ratio > 0 && ratio < 1))
            return terni_fail(TERN_ERR_ARGUMENT, "%s: neither a size nor a ratio within (0, 1)", p->op);
        if (p->kernel[d] < 1 || p->out[d] < 1)
            return terni_fail(TERN_ERR_ARGUMENT, "%s: kernel %lld, size %lld; 1 or more expected", p->op,
                              (long long)p->kernel[d], (long long)p->out[d]);
        if (p->kernel[d] > in || p->out[d] > in - p->kernel[d] + 1)
            return terni_fail(TERN_ERR_SHAPE, "%s: %lld windows of %lld do not fit into %s", p->op,
                              (long long)p->out[d], (long long)p->kernel[d], terni_describe(x));
    }
    return true;
}

static bool sample(pooling *p, tern_tensor *x, tern_tensor *given, int64_t batch, int64_t channels) {
    const tern_dtype dtype = terni_acc_dtype(terni_dtype(x));
    const tern_shape shape = TERN_SHAPE(batch, channels, p->n);
    tern_tensor *s = given ? given : tern_rand(shape, 0, 1, (tern_options){dtype, x->device});
    if (!s) return false;
    if (given && (!tern_dtype_is_float(terni_dtype(s)) || !tern_shape_equal(tern_shape_get(s), shape)))
        return terni_fail(TERN_ERR_SHAPE, "%s: samples %s; a float %s expected", p->op, terni_describe(s),
                          terni_shape_str(shape));
    if (given && !terni_same_device(p->op, (tern_tensor *[]){x, s}, 2, NULL)) return false;
    p->samples = tern_reshape(tern_cast(tern_detach(s), dtype), TERN_SHAPE(p->planes, p->n));
    return p->samples != NULL;
}

static tern_tensor *pool(const char *op, int n, tern_tensor *x, const int64_t *kernel,
                         const tern_fractional_pool_opts *o, tern_tensor **indices) {
    pooling p = {.op = op, .n = n};
    if (indices) *indices = NULL;
    if (!terni_given(x, op, "x") || !terni_given(kernel, op, "kernel") || !terni_same_float(op, &x, 1)) return NULL;
    if (x->v.ndim != n + 1 && x->v.ndim != n + 2)
        return terni_null(TERN_ERR_SHAPE, "%s: x %s, expected %d dimensions, or %d without the batch", op,
                          terni_describe(x), n + 2, n + 1);
    const bool batched = x->v.ndim == n + 2;
    const int64_t batch = batched ? x->v.shape[0] : 1, channels = x->v.shape[batched];
    p.planes = batch * channels;
    if (!sizes(&p, x, kernel, o) || !sample(&p, x, o->samples, batch, channels)) return NULL;
    int64_t plane = 1;
    tern_shape shape = tern_shape_get(x);
    for (int d = 0; d < n; d++) {
        plane *= p.in[d];
        shape.dim[shape.ndim - n + d] = p.out[d];
    }
    tern_tensor *flat = tern_reshape(x, TERN_SHAPE(p.planes, plane)), *at = flat ? maxima(&p, flat) : NULL;
    tern_tensor *y = at ? tern_reshape(tern_gather(flat, 1, at), shape) : NULL;
    if (y && indices && !(*indices = tern_reshape(at, shape))) return NULL;
    return y;
}

tern_tensor *tern_fractional_max_pool2d(tern_tensor *x, const int64_t kernel[2], tern_fractional_pool_opts opts,
                                        tern_tensor **indices) {
    return pool("fractional_max_pool2d", 2, x, kernel, &opts, indices);
}
tern_tensor *tern_fractional_max_pool3d(tern_tensor *x, const int64_t kernel[3], tern_fractional_pool_opts opts,
                                        tern_tensor **indices) {
    return pool("fractional_max_pool3d", 3, x, kernel, &opts, indices);
}
