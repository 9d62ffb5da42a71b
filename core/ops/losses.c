#include "ops/losses.h"

#include <math.h>

#include "ops/normalise.h"

static bool known(const terni_loss *l) {
    return (l->reduction >= TERN_REDUCE_MEAN && l->reduction <= TERN_REDUCE_NONE) ||
           terni_fail(TERN_ERR_ARGUMENT, "%s: reduction %d is none of the three", l->op, (int)l->reduction);
}

bool terni_loss_of(terni_loss *l, tern_tensor *x) {
    if (!terni_given(x, l->op, "input") || !known(l) || !terni_same_float(l->op, &x, 1)) return false;
    l->dtype = terni_dtype(x);
    return true;
}

bool terni_loss_begin(terni_loss *l, tern_tensor **t, const char *const *what, int n) {
    tern_shape shape = tern_shape_scalar();
    for (int i = 0; i < n; i++) {
        if (*what[i] == '?' ? !tern_ok() : !terni_given(t[i], l->op, what[i])) return false;
        if (t[i] && !tern_dtype_is_float(terni_dtype(t[i])))
            return terni_fail(TERN_ERR_DTYPE, "%s: %s %s is not a float tensor", l->op, what[i] + (*what[i] == '?'),
                              terni_describe(t[i]));
    }
    l->dtype = terni_dtype(t[0]);
    for (int i = 0; i < n; i++) {
        if (!t[i]) continue;
        l->dtype = tern_dtype_promote(l->dtype, terni_dtype(t[i]));
        if (!terni_broadcast(l->op, shape, terni_shape(t[i]), &shape)) return false;
    }
    if (!known(l) || !terni_same_device(l->op, t, n, NULL)) return false;
    const tern_dtype acc = terni_acc_dtype(l->dtype);
    if (!terni_shape_check(l->op, &shape, acc)) return false;
    for (int i = 0; i < n; i++)
        if (t[i] && !(t[i] = tern_cast(t[i], acc))) return false;
    return true;
}

tern_tensor *terni_loss_end(const terni_loss *l, tern_tensor *each) {
    if (!each) return NULL;
    if (l->reduction == TERN_REDUCE_MEAN) each = tern_mean(each, NULL, 0, false);
    if (l->reduction == TERN_REDUCE_SUM) each = tern_sum(each, NULL, 0, false);
    return each ? tern_cast(each, l->dtype) : NULL;
}

bool terni_loss_alike(const char *op, const char *a, tern_tensor *x, const char *b, tern_tensor *y) {
    return tern_shape_equal(terni_shape(x), terni_shape(y)) ||
           terni_fail(TERN_ERR_SHAPE, "%s: %s %s and %s %s have different shapes", op, a,
                      terni_shape_str(terni_shape(x)), b, terni_shape_str(terni_shape(y)));
}

bool terni_class_weight(const char *op, tern_tensor *weight, int64_t classes) {
    if (!weight) return tern_ok();
    if (!tern_dtype_is_float(terni_dtype(weight)))
        return terni_fail(TERN_ERR_DTYPE, "%s: weight %s is not a float tensor", op, terni_describe(weight));
    return (weight->v.ndim == 1 && weight->numel == classes) ||
           terni_fail(TERN_ERR_SHAPE, "%s: weight %s for %lld classes", op, terni_shape_str(terni_shape(weight)),
                      (long long)classes);
}

bool terni_class_target(const char *op, tern_tensor *target) {
    if (!terni_given(target, op, "target")) return false;
    return terni_dtype(target) == TERN_I64 || terni_dtype(target) == TERN_I32 ||
           terni_fail(TERN_ERR_DTYPE, "%s: target %s, expected class numbers of dtype i64 or i32", op,
                      terni_describe(target));
}

tern_tensor *terni_beside(tern_tensor *x, double value) {
    return x ? tern_scalar(value, (tern_options){terni_dtype(x), x->device}) : NULL;
}

tern_tensor *terni_norm_over(tern_tensor *d, double p, int dim, bool keepdim) {
    if (p == 1) return tern_sum(tern_abs(d), &dim, 1, keepdim);
    if (isinf(p)) {
        if (d && d->v.shape[dim < 0 ? dim + d->v.ndim : dim] == 0) return tern_sum(d, &dim, 1, keepdim);
        return tern_max(tern_abs(d), &dim, 1, keepdim);
    }
    tern_tensor *zero = terni_beside(d, 0), *one = terni_beside(d, 1);
    if (p == 0) return tern_sum(tern_where(tern_ne(d, zero), one, zero), &dim, 1, keepdim);
    tern_tensor *power;
    if (p == 2) {
        power = tern_square(d);
    } else {
        tern_tensor *a = tern_abs(d), *none = tern_eq(a, zero);
        power = tern_where(none, zero, tern_pow_scalar(tern_where(none, one, a), p));
    }
    tern_tensor *s = tern_sum(power, &dim, 1, keepdim), *none = tern_eq(s, zero);
    tern_tensor *safe = tern_where(none, one, s);
    return tern_where(none, zero, p == 2 ? tern_sqrt(safe) : tern_pow_scalar(safe, 1 / p));
}
