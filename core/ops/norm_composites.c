/* Normalisations, softmaxes and dropouts made of other ops. */
#include <math.h>

#include "casting.h"
#include "internal.h"

tern_tensor *tern_local_response_norm(tern_tensor *x, int64_t size, tern_local_response_norm_opts opts) {
    TERNI_NAMED("local_response_norm");
    TERNI_AUTOCAST(F32, &x);
    if (!terni_given(x, "local_response_norm", "x") || !terni_same_float("local_response_norm", &x, 1)) return NULL;
    if (x->v.ndim < 2)
        return terni_null(TERN_ERR_SHAPE, "local_response_norm: x %s, expected [N, C, ...]",
                          terni_shape_str(terni_shape(x)));
    if (size < 1) return terni_null(TERN_ERR_ARGUMENT, "local_response_norm: size %lld", (long long)size);
    if (!x->numel) return tern_clone(x);
    const double alpha = opts.alpha != 0.0 ? opts.alpha : 1e-4, beta = opts.beta != 0.0 ? opts.beta : 0.75;
    const int64_t n = x->v.shape[0], c = x->v.shape[1], before = size / 2, after = (size - 1) / 2;
    const int scope = tern_scope_push();
    tern_tensor *square = tern_reshape(tern_square(x), TERN_SHAPE(n, c, x->numel / n / c));
    tern_tensor *wide = tern_pad(square, (const int64_t[]){0, 0, before, after}, 4, (tern_pad_opts){0});
    tern_tensor *mean =
        tern_avg_pool2d(tern_unsqueeze(wide, 1), (const int64_t[]){size, 1}, (tern_pool2d_opts){.stride = {1, 1}});
    tern_tensor *scale = tern_add_scalar(tern_mul_scalar(mean, alpha), opts.k != 0.0 ? opts.k : 1);
    return tern_scope_return(scope,
                             tern_mul(x, tern_pow_scalar(mean ? tern_reshape(scale, terni_shape(x)) : NULL, -beta)));
}

tern_tensor *tern_normalize(tern_tensor *x, int dim, tern_normalize_opts opts) {
    TERNI_NAMED("normalize");
    TERNI_AUTOCAST(F32, &x);
    if (!terni_given(x, "normalize", "x") || !terni_same_float("normalize", &x, 1)) return NULL;
    const int d = terni_dim("normalize", dim, x->v.ndim);
    if (d < 0) return NULL;
    const double p = opts.p != 0.0 ? opts.p : 2, eps = opts.eps != 0.0 ? opts.eps : 1e-12;
    if (!(p > 0) || !(eps > 0))
        return terni_null(TERN_ERR_ARGUMENT, "normalize: p %g and eps %g, expected both above 0", p, eps);
    if (!x->numel) return tern_clone(x);
    const int scope = tern_scope_push();
    tern_tensor *norm;
    if (p == 2)
        norm = tern_sqrt(tern_sum(tern_square(x), &d, 1, true));
    else if (p == 1)
        norm = tern_sum(tern_abs(x), &d, 1, true);
    else if (p > 1e300)
        norm = tern_max(tern_abs(x), &d, 1, true);
    else
        norm = tern_pow_scalar(tern_sum(tern_pow_scalar(tern_abs(x), p), &d, 1, true), 1 / p);
    /* Where the norm is below eps it passes no gradient: its own slope may be infinite there. */
    tern_tensor *least = tern_scalar(eps, (tern_options){terni_dtype(x), tern_cpu()});
    return tern_scope_return(scope, tern_div(x, tern_maximum(norm, least)));
}

tern_tensor *tern_softmin(tern_tensor *x, int dim) {
    TERNI_NAMED("softmin");
    TERNI_AUTOCAST(F32, &x);
    if (!terni_given(x, "softmin", "x") || !terni_same_float("softmin", &x, 1)) return NULL;
    return tern_softmax(tern_neg(x), dim);
}

tern_tensor *tern_gumbel_softmax(tern_tensor *logits, int dim, double tau, bool hard) {
    TERNI_NAMED("gumbel_softmax");
    TERNI_AUTOCAST(F32, &logits);
    if (!terni_given(logits, "gumbel_softmax", "logits") || !terni_same_float("gumbel_softmax", &logits, 1))
        return NULL;
    const int d = terni_dim("gumbel_softmax", dim, logits->v.ndim);
    if (d < 0) return NULL;
    if (!(tau > 0)) return terni_null(TERN_ERR_ARGUMENT, "gumbel_softmax: tau %g, expected above 0", tau);
    const tern_dtype type = terni_dtype(logits), draw = type == TERN_F64 ? TERN_F64 : TERN_F32;
    const int scope = tern_scope_push();
    tern_tensor *u = tern_rand(terni_shape(logits), 1e-30, 1, (tern_options){draw, logits->device});
    tern_tensor *noise = tern_cast(tern_neg(tern_log(tern_neg(tern_log(u)))), type);
    tern_tensor *soft = tern_softmax(tern_div_scalar(tern_add(logits, noise), tau), d);
    if (!soft || !hard || !logits->numel) return tern_scope_return(scope, soft);
    const bool was = tern_grad_mode(false);
    tern_tensor *one = tern_scatter_value(tern_zeros_like(logits), d, tern_argmax(soft, d, true), 1);
    tern_grad_mode(was);
    return tern_scope_return(scope, tern_add(one, tern_sub(soft, tern_detach(soft))));
}

/* ---- dropout ----------------------------------------------------------------------------------------------------- */

static bool dropout_given(const char *op, tern_tensor *x, double p) {
    if (!terni_given(x, op, "x") || !terni_same_float(op, &x, 1)) return false;
    return (p >= 0 && p <= 1) || terni_fail(TERN_ERR_ARGUMENT, "%s: p %g, expected [0, 1]", op, p);
}

/* dropout of ones in x's first `kept` dimensions, sizes of 1 in the others. */
static tern_tensor *mask(tern_tensor *x, int kept, double p) {
    tern_shape s = terni_shape(x);
    for (int i = kept; i < s.ndim; i++) s.dim[i] = 1;
    return tern_dropout(tern_ones(s, (tern_options){terni_dtype(x), x->device}), p);
}

static tern_tensor *channels(const char *op, tern_tensor *x, int axes, double p) {
    if (!dropout_given(op, x, p)) return NULL;
    const int lead = x->v.ndim - axes;
    if (lead != 1 && lead != 2)
        return terni_null(TERN_ERR_SHAPE, "%s: x %s, expected [N, C, ...] or [C, ...] with %d dimensions after C", op,
                          terni_shape_str(terni_shape(x)), axes);
    return p == 0 ? x : tern_mul(x, mask(x, lead, p));
}

tern_tensor *tern_dropout1d(tern_tensor *x, double p) {
    TERNI_NAMED("dropout1d");
    return channels("dropout1d", x, 1, p);
}
tern_tensor *tern_dropout2d(tern_tensor *x, double p) {
    TERNI_NAMED("dropout2d");
    return channels("dropout2d", x, 2, p);
}
tern_tensor *tern_dropout3d(tern_tensor *x, double p) {
    TERNI_NAMED("dropout3d");
    return channels("dropout3d", x, 3, p);
}

/* y = a (kept ? x : limit) + b with a = ((1 - p) (1 + p limit^2))^-1/2 and b = -a p limit, limit that of SELU. */
static tern_tensor *alpha(tern_tensor *x, int kept, double p) {
    const double limit = -1.7580993408473766;
    if (p == 0) return x;
    if (p == 1) return tern_mul_scalar(x, 0);
    const double a = 1 / sqrt((1 - p) * (1 + p * limit * limit));
    const int scope = tern_scope_push();
    tern_tensor *m = tern_mul_scalar(mask(x, kept, p), a * (1 - p)); /* a or 0 */
    tern_tensor *rest = tern_add_scalar(tern_mul_scalar(m, -limit), a * limit * (1 - p));
    return tern_scope_return(scope, tern_add(tern_mul(x, m), rest));
}

tern_tensor *tern_alpha_dropout(tern_tensor *x, double p) {
    TERNI_NAMED("alpha_dropout");
    return dropout_given("alpha_dropout", x, p) ? alpha(x, x->v.ndim, p) : NULL;
}

tern_tensor *tern_feature_alpha_dropout(tern_tensor *x, double p) {
    TERNI_NAMED("feature_alpha_dropout");
    if (!dropout_given("feature_alpha_dropout", x, p)) return NULL;
    if (x->v.ndim < 2)
        return terni_null(TERN_ERR_SHAPE, "feature_alpha_dropout: x %s, expected [N, C, ...]",
                          terni_shape_str(terni_shape(x)));
    return alpha(x, 2, p);
}
