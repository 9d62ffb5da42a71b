/* Reductions that pass over NaN, and covariance: made of other ops. */
#include "casting.h"
#include "internal.h"

/* x with zeros for its NaN. */
static tern_tensor *without_nan(tern_tensor *x) {
    tern_tensor *zero = tern_zeros(tern_shape_scalar(), (tern_options){terni_dtype(x), x->device});
    return tern_where(tern_isnan(x), zero, x);
}

/* f16 and bf16 as f32: a count or a sum of squares need not fit them. */
static tern_tensor *widened(tern_tensor *x) {
    return terni_dtype(x) == TERN_F16 || terni_dtype(x) == TERN_BF16 ? tern_cast(x, TERN_F32) : x;
}

static bool a_float(const char *op, tern_tensor *x) {
    if (!terni_given(x, op, "x")) return false;
    if (tern_dtype_is_float(terni_dtype(x))) return true;
    return terni_fail(TERN_ERR_DTYPE, "%s: %s is not a float tensor", op, terni_describe(x));
}

tern_tensor *tern_nansum(tern_tensor *x, const int *dims, int n, bool keepdim) {
    TERNI_AUTOCAST_NONE;
    uint32_t bits;
    TERNI_NAMED("nansum");
    if (!terni_given(x, "nansum", "x") || !terni_dims("nansum", dims, n, x->v.ndim, &bits)) return NULL;
    if (!tern_dtype_is_float(terni_dtype(x))) return tern_sum(x, dims, n, keepdim);
    const int scope = tern_scope_push();
    return tern_scope_return(scope, tern_sum(without_nan(x), dims, n, keepdim));
}

tern_tensor *tern_nanmean(tern_tensor *x, const int *dims, int n, bool keepdim) {
    TERNI_AUTOCAST_NONE;
    uint32_t bits;
    TERNI_NAMED("nanmean");
    if (!a_float("nanmean", x) || !terni_dims("nanmean", dims, n, x->v.ndim, &bits)) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *wide = widened(x);
    tern_tensor *sum = wide ? tern_sum(without_nan(wide), dims, n, keepdim) : NULL;
    tern_tensor *count = sum ? tern_sum(tern_logical_not(tern_isnan(x)), dims, n, keepdim) : NULL;
    tern_tensor *y = count ? tern_div(sum, tern_cast(count, terni_dtype(wide))) : NULL;
    return tern_scope_return(scope, y ? tern_cast(y, terni_dtype(x)) : NULL);
}

/* ---- covariance ---------------------------------------------------------------------------------------------------
 */

/* x as [variables, observations]; NULL after an error. */
static tern_tensor *observations(const char *op, tern_tensor *x) {
    if (!a_float(op, x)) return NULL;
    if (x->v.ndim > 2)
        return terni_null(TERN_ERR_SHAPE, "%s: x %s, expected [variables, observations] or [observations]", op,
                          terni_describe(x));
    return x->v.ndim == 2 ? x : tern_reshape(x, TERN_SHAPE(1, -1));
}

/* Of x [variables, observations]: [variables, variables]. */
static tern_tensor *covariance(tern_tensor *x, double correction) {
    const int last = 1;
    const double n = (double)x->v.shape[1] - correction;
    tern_tensor *off = tern_sub(x, tern_mean(x, &last, 1, true));
    tern_tensor *c = off ? tern_matmul(off, tern_transpose(off, 0, 1)) : NULL;
    return tern_div_scalar(c, n > 0 ? n : 0);
}

/* One variable's matrix is a number. */
static tern_tensor *number_if_one(tern_tensor *c) {
    return c && c->numel == 1 ? tern_reshape(c, tern_shape_scalar()) : c;
}

tern_tensor *tern_cov(tern_tensor *x, double correction) {
    TERNI_NAMED("cov");
    TERNI_AUTOCAST_NONE;
    const int scope = tern_scope_push();
    tern_tensor *rows = observations("cov", x), *wide = rows ? widened(rows) : NULL;
    tern_tensor *c = wide ? number_if_one(covariance(wide, correction)) : NULL;
    return tern_scope_return(scope, c ? tern_cast(c, terni_dtype(x)) : NULL);
}

tern_tensor *tern_corrcoef(tern_tensor *x) {
    TERNI_NAMED("corrcoef");
    TERNI_AUTOCAST_NONE;
    const int scope = tern_scope_push();
    tern_tensor *rows = observations("corrcoef", x), *wide = rows ? widened(rows) : NULL;
    tern_tensor *c = wide ? covariance(wide, 1) : NULL;
    tern_tensor *deviation = c ? tern_sqrt(tern_diagonal(c, 0, 0, 1)) : NULL;
    if (deviation) /* twice: the product of two small deviations may be 0 */
        c = tern_div(tern_div(c, tern_unsqueeze(deviation, 1)), tern_unsqueeze(deviation, 0));
    c = deviation ? number_if_one(tern_clamp(c, -1, 1)) : NULL; /* rounding may leave [-1, 1] */
    return tern_scope_return(scope, c ? tern_cast(c, terni_dtype(x)) : NULL);
}
