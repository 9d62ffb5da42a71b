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
