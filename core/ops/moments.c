/* var, std, norm, logsumexp: reductions made of ops. f16 and bf16 go through f32. */
#include <math.h>

#include "casting.h"
#include "trace_fields.h"

static bool floats(const char *op, tern_tensor *x) {
    if (!terni_given(x, op, "x")) return false;
    if (tern_dtype_is_float(terni_dtype(x))) return true;
    return terni_fail(TERN_ERR_DTYPE, "%s: %s is not a float tensor", op, terni_describe(x));
}

static tern_tensor *widened(tern_tensor *x) {
    return terni_dtype(x) == TERN_F16 || terni_dtype(x) == TERN_BF16 ? tern_cast(x, TERN_F32) : x;
}

/* Elements that go into one result; dims were checked. */
static double elements(const tern_tensor *x, uint32_t bits) {
    double n = 1;
    for (int i = 0; i < x->v.ndim; i++)
        if (bits >> i & 1) n *= (double)x->v.shape[i];
    return n;
}

static tern_tensor *variance(const char *op, tern_tensor *x, const int *dims, int n, double correction, bool keepdim) {
    uint32_t bits;
    if (!floats(op, x) || !terni_dims(op, dims, n, x->v.ndim, &bits)) return NULL;
    if (!isfinite(correction)) return terni_null(TERN_ERR_ARGUMENT, "%s: correction %g", op, correction);
    tern_tensor *w = widened(x), *d = tern_sub(w, tern_mean(w, dims, n, true));
    const double free = elements(x, bits) - correction;
    tern_tensor *s = tern_sum(tern_square(d), dims, n, keepdim);
    return tern_div_scalar(s, free > 0 ? free : 0); /* too few: NaN or infinity, as in NumPy */
}

tern_tensor *tern_var(tern_tensor *x, const int *dims, int n, double correction, bool keepdim) {
    TERNI_NAMED("var");
    const int scope = tern_scope_push();
    tern_tensor *v = variance("var", x, dims, n, correction, keepdim);
    return tern_scope_return(scope, v ? tern_cast(v, terni_dtype(x)) : NULL);
}

tern_tensor *tern_std(tern_tensor *x, const int *dims, int n, double correction, bool keepdim) {
    TERNI_NAMED("std");
    const int scope = tern_scope_push();
    tern_tensor *v = variance("std", x, dims, n, correction, keepdim);
    if (!v) return tern_scope_return(scope, NULL);
    /* The slope at 0 is taken as 0. */
    const tern_options like = {terni_dtype(v), tern_cpu()};
    tern_tensor *none = tern_zeros(tern_shape_scalar(), like), *same = tern_eq(v, none);
    v = tern_where(same, none, tern_sqrt(tern_where(same, tern_ones(tern_shape_scalar(), like), v)));
    return tern_scope_return(scope, tern_cast(v, terni_dtype(x)));
}

/* ---- norm -----------------------------------------------------------------------------------------------------------
 */

typedef struct norm_opts {
    double p;
    int dims[TERN_MAX_DIMS], n;
} norm_opts;

/* keepdim is true: x f32 or f64. */
static bool norm_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const norm_opts *o = tern_ctx_opts(ctx);
    tern_tensor *x = in[0], *s;
    if (o->p == 2)
        s = tern_sqrt(tern_sum(tern_square(x), o->dims, o->n, true));
    else if (o->p == 1)
        s = tern_sum(tern_abs(x), o->dims, o->n, true);
    else
        s = tern_pow_scalar(tern_sum(tern_pow_scalar(tern_abs(x), o->p), o->dims, o->n, true), 1 / o->p);
    out[0] = s;
    return s && tern_ctx_save(ctx, x) && tern_ctx_save(ctx, s);
}

/* d|x|_p / dx = sign(x) (|x| / norm)^(p - 1), and 0 where the norm is 0. */
static bool norm_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const norm_opts *o = tern_ctx_opts(ctx);
    tern_tensor *x = tern_ctx_saved(ctx, 0), *y = tern_ctx_saved(ctx, 1);
    if (!x || !y) return false;
    tern_tensor *none = tern_zeros(tern_shape_scalar(), (tern_options){terni_dtype(x), tern_cpu()});
    tern_tensor *one = tern_ones(tern_shape_scalar(), (tern_options){terni_dtype(x), tern_cpu()});
    tern_tensor *empty = tern_eq(y, none), *safe = tern_where(empty, one, y), *d;
    if (o->p == 2) {
        d = tern_div(x, safe);
    } else if (o->p == 1) {
        d = tern_sign(x);
    } else {
        tern_tensor *r = tern_div(tern_abs(x), safe), *zero = tern_eq(x, none);
        d = tern_mul(tern_sign(x), tern_pow_scalar(tern_where(zero, one, r), o->p - 1));
        d = tern_where(zero, none, d); /* one stood in for it */
    }
    gin[0] = tern_where(empty, none, tern_mul(gout[0], d));
    return gin[0] != NULL;
}

static const tern_function norm_function = {"norm", 1, sizeof(norm_opts), norm_forward, norm_backward, NULL};
TERNI_TRACED(norm, norm_function, TERNI_FIELD(norm_opts, "p", p), TERNI_FIELD(norm_opts, "dims", dims),
             TERNI_FIELD(norm_opts, "count", n));

static tern_tensor *norm(tern_tensor *x, double p, const int *dims, int n, bool keepdim) {
    norm_opts o = {.p = p};
    uint32_t bits;
    if (!floats("norm", x) || !terni_dims("norm", dims, n, x->v.ndim, &bits)) return NULL;
    if (isnan(p)) return terni_null(TERN_ERR_ARGUMENT, "norm: p is NaN");
    for (int i = 0; i < x->v.ndim; i++)
        if (bits >> i & 1) o.dims[o.n++] = i;
    tern_tensor *w = widened(x), *y;
    if (isinf(p)) {
        if (p > 0 && elements(x, bits) == 0) return tern_sum(tern_abs(w), dims, n, keepdim);
        return p > 0 ? tern_max(tern_abs(w), dims, n, keepdim) : tern_min(tern_abs(w), dims, n, keepdim);
    }
    if (p == 0) return tern_cast(tern_count_nonzero(w, dims, n, keepdim), terni_dtype(w));
    if (o.n == 0) return tern_abs(w); /* a scalar */
    if (!tern_apply(&norm_function, &w, 1, &o, &y)) return NULL;
    tern_shape shape = {0};
    for (int i = 0; i < x->v.ndim; i++)
        if (!(bits >> i & 1)) shape.dim[shape.ndim++] = x->v.shape[i];
    return keepdim ? y : tern_reshape(y, shape);
}

tern_tensor *tern_norm(tern_tensor *x, double p, const int *dims, int n, bool keepdim) {
    TERNI_NAMED("norm");
    TERNI_AUTOCAST(F32, &x);
    const int scope = tern_scope_push();
    tern_tensor *y = norm(x, p, dims, n, keepdim);
    return tern_scope_return(scope, y ? tern_cast(y, terni_dtype(x)) : NULL);
}

/* ---- logsumexp ------------------------------------------------------------------------------------------------------
 */

static tern_tensor *logsumexp(tern_tensor *x, const int *dims, int n, bool keepdim) {
    uint32_t bits;
    if (!floats("logsumexp", x) || !terni_dims("logsumexp", dims, n, x->v.ndim, &bits)) return NULL;
    tern_tensor *w = widened(x);
    if (elements(x, bits) == 0) return tern_log(tern_sum(w, dims, n, keepdim)); /* minus infinity */
    tern_tensor *m = tern_max(tern_detach(w), dims, n, true), *none = tern_zeros_like(m);
    /* An infinite maximum is left where it is: the infinity comes out of the sum by itself. */
    m = tern_where(tern_eq(tern_sub(m, m), none), m, none);
    tern_tensor *s = tern_log(tern_sum(tern_exp(tern_sub(w, m)), dims, n, keepdim));
    return tern_add(s, s ? tern_reshape(m, terni_shape(s)) : NULL);
}

tern_tensor *tern_logsumexp(tern_tensor *x, const int *dims, int n, bool keepdim) {
    TERNI_NAMED("logsumexp");
    TERNI_AUTOCAST(F32, &x);
    const int scope = tern_scope_push();
    tern_tensor *y = logsumexp(x, dims, n, keepdim);
    return tern_scope_return(scope, y ? tern_cast(y, terni_dtype(x)) : NULL);
}
