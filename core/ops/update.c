#include "ops/update.h"

static bool alike(const terni_update *u, int i, const tern_tensor *t, const char *name) {
    const tern_tensor *p = u->target[0][i];
    if (!t) return terni_fail(TERN_ERR_ARGUMENT, "%s: %s %d is NULL", u->op, name, i);
    if (!tern_shape_equal(terni_shape(t), terni_shape(p)))
        return terni_fail(TERN_ERR_SHAPE, "%s: %s %d is %s, the parameter %s", u->op, name, i, terni_describe(t),
                          terni_describe(p));
    if (terni_dtype(t) != terni_dtype(p) || !tern_dtype_is_float(terni_dtype(t)))
        return terni_fail(TERN_ERR_DTYPE, "%s: %s %d is %s, the parameter %s, expected one float dtype", u->op, name, i,
                          terni_describe(t), terni_describe(p));
    return true;
}

bool terni_update_number(const char *op, const tern_tensor *t, const char *name) {
    if (!t) return true;
    if (t->v.ndim != 0)
        return terni_fail(TERN_ERR_SHAPE, "%s: %s is %s, expected a 0-dim tensor", op, name, terni_describe(t));
    return terni_dtype(t) == TERN_F32 || terni_dtype(t) == TERN_F64 ||
           terni_fail(TERN_ERR_DTYPE, "%s: %s is %s, expected f32 or f64", op, name, terni_describe(t));
}

static bool rates_fit(const terni_update *u) {
    const tern_tensor *t = u->rates;
    if (!t) return true;
    if (t->v.ndim != 1 || t->numel != u->n_rates)
        return terni_fail(TERN_ERR_SHAPE, "%s: rates is %s, expected [%d]", u->op, terni_describe(t), u->n_rates);
    return terni_dtype(t) == TERN_F64 ||
           terni_fail(TERN_ERR_DTYPE, "%s: rates is %s, expected f64", u->op, terni_describe(t));
}

/* Fills in[m + 2] and out[n_target m] with contiguous tensors, the tensors themselves where they are. */
static bool collect(const terni_update *u, tern_tensor **in, tern_tensor **out, int m) {
    for (int i = 0, j = 0; i < u->n; i++) {
        if (!u->grad[i]) continue;
        for (int k = 0; k < u->n_target; k++) {
            if (!alike(u, i, u->target[k][i], u->name[k])) return false;
            if (!(out[k * m + j] = terni_dense(u->target[k][i]))) return false;
        }
        if (!alike(u, i, u->grad[i], "gradient") || !(in[j] = terni_dense(u->grad[i]))) return false;
        j++;
    }
    in[m] = u->scale;
    in[m + 1] = u->rates ? terni_dense(u->rates) : NULL;
    if (u->rates && !in[m + 1]) return false;
    tern_device device;
    return terni_same_device(u->op, in, m * (1 + u->n_target) + 2, &device);
}

static bool finish(const terni_update *u, tern_tensor **out, int m) {
    for (int i = 0, j = 0; i < u->n; i++) {
        if (!u->grad[i]) continue;
        for (int k = 0; k < u->n_target; k++) {
            tern_tensor *target = u->target[k][i];
            if (out[k * m + j] != target && !terni_run(TERNI_OP_copy, &out[k * m + j], 1, &target, 1, NULL))
                return false;
            tern_touch(target);
        }
        j++;
    }
    return true;
}

bool terni_update_run(const terni_update *u, int32_t *opts) {
    if (!tern_ok()) return false;
    if (u->n < 0) return terni_fail(TERN_ERR_ARGUMENT, "%s: n is %d", u->op, u->n);
    if (u->n == 0) return true;
    if (!terni_given(u->grad, u->op, "grad")) return false;
    for (int k = 0; k < u->n_target; k++)
        if (!terni_given(u->target[k], u->op, u->name[k])) return false;
    int m = 0;
    for (int i = 0; i < u->n; i++) m += u->grad[i] != NULL;
    if (m == 0) return true;
    if (!terni_update_number(u->op, u->scale, "grad_scale") || !rates_fit(u)) return false;
    const size_t bytes = ((size_t)m * (size_t)(1 + u->n_target) + 2) * sizeof(tern_tensor *);
    tern_tensor **in = terni_alloc(bytes);
    if (!in) return false;
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    *opts = m;
    tern_tensor **out = in + m + 2;
    const bool ok =
        collect(u, in, out, m) && terni_run(u->id, in, m + 2, out, u->n_target * m, opts) && finish(u, out, m);
    tern_grad_mode(was);
    tern_scope_pop(scope);
    terni_free(in, bytes);
    return ok;
}
