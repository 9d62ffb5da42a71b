#include "ops/normalise.h"

bool terni_norm_dtypes(const char *op, const tern_tensor *x, tern_tensor *const *t, int n) {
    const tern_dtype dx = terni_dtype(x);
    if (!tern_dtype_is_float(dx))
        return terni_fail(TERN_ERR_DTYPE, "%s: x %s is not a float tensor", op, terni_describe(x));
    const tern_tensor *first = NULL;
    for (int i = 0; i < n; i++) {
        if (!t[i]) continue;
        const tern_dtype d = terni_dtype(t[i]);
        if (d != dx && !(d == TERN_F32 && dx != TERN_F64))
            return terni_fail(TERN_ERR_DTYPE, "%s: weights or statistics %s do not go with x %s", op,
                              terni_describe(t[i]), terni_describe(x));
        if (first && terni_dtype(first) != d)
            return terni_fail(TERN_ERR_DTYPE, "%s: weights and statistics %s and %s differ in dtype", op,
                              terni_describe(first), terni_describe(t[i]));
        first = t[i];
    }
    return true;
}

bool terni_norm_last(const char *op, const tern_tensor *x, int n_dims, tern_tensor *const *t, int n) {
    if (n_dims < 1 || n_dims > x->v.ndim)
        return terni_fail(TERN_ERR_SHAPE, "%s: %d dimensions of x %s", op, n_dims, terni_shape_str(terni_shape(x)));
    const tern_shape want = tern_shape_of(n_dims, x->v.shape + x->v.ndim - n_dims);
    for (int i = 0; i < n; i++)
        if (t[i] && !tern_shape_equal(terni_shape(t[i]), want))
            return terni_fail(TERN_ERR_SHAPE, "%s: %s %s, expected %s for the last %d dimensions of x %s", op,
                              i == 0 ? "weight" : "bias", terni_shape_str(terni_shape(t[i])), terni_shape_str(want),
                              n_dims, terni_shape_str(terni_shape(x)));
    return true;
}

terni_view terni_norm_rows(const tern_tensor *x, int n_dims) {
    int64_t c = 1;
    for (int i = x->v.ndim - n_dims; i < x->v.ndim; i++) c *= x->v.shape[i];
    const int64_t r = c ? x->numel / c : 0;
    const terni_view v = {.data = x->v.data, .shape = {r, c}, .strides = {c, 1}, .ndim = 2, .dtype = x->v.dtype};
    return v;
}

terni_view terni_norm_flat(const tern_tensor *t) {
    const terni_view v = {.data = t->v.data, .shape = {t->numel}, .strides = {1}, .ndim = 1, .dtype = t->v.dtype};
    return v;
}

bool terni_norm_backward(tern_tensor *gy, tern_tensor *x, tern_tensor *weight, const int *dims, int n, double eps,
                         const terni_norm_grads *g) {
    if (!gy || !x) return false;
    const tern_dtype acc = terni_acc_dtype(terni_dtype(x));
    tern_tensor *x_acc = tern_cast(x, acc), *gy_acc = tern_cast(gy, acc);
    tern_tensor *centred = tern_sub(x_acc, tern_mean(x_acc, dims, n, true));
    tern_tensor *variance = tern_mean(tern_square(centred), dims, n, true);
    tern_tensor *rstd = tern_rsqrt(tern_add_scalar(variance, eps));
    tern_tensor *xhat = tern_mul(centred, rstd);
    if (g->gweight) *g->gweight = tern_cast(tern_sum_to(tern_mul(gy_acc, xhat), g->shape), g->dtype);
    if (g->gbias) *g->gbias = tern_cast(tern_sum_to(gy_acc, g->shape), g->dtype);
    if (g->gx) {
        tern_tensor *gxhat = weight ? tern_mul(gy_acc, tern_cast(weight, acc)) : gy_acc;
        tern_tensor *along = tern_mul(xhat, tern_mean(tern_mul(gxhat, xhat), dims, n, true));
        tern_tensor *across = tern_sub(gxhat, tern_mean(gxhat, dims, n, true));
        *g->gx = tern_cast(tern_mul(tern_sub(across, along), rstd), terni_dtype(x));
    }
    return tern_ok();
}
