#include "ops/update.h"

#include <math.h>

/* ---- rules ------------------------------------------------------------------------------------------------------- */

#define TERN_UPDATE(name, ...) \
    _Static_assert((int)TERNI_UPDATE_##name == (int)TERN_UPDATE_##name, "update.h names rules in update.def's order");
#include "update.def"

typedef struct rule {
    int states, optional, numbers;
} rule;
#define TERNI_NUMBER(k, name)                             +1
#define TERN_UPDATE(name, states, optional, numbers, ...) {states, optional, 0 numbers},
static const rule rules[] = {
#include "update.def"
};
#undef TERNI_NUMBER

int tern_update_numbers(tern_update_rule which) {
    return (int)which >= 0 && (int)which < TERNI_UPDATE_COUNT ? rules[which].numbers : 0;
}

/* ---- one call ---------------------------------------------------------------------------------------------------- */

enum { TARGETS = TERNI_UPDATE_STATES + 2 }; /* parameters, states, low copies */

typedef struct call {
    int n, n_target;
    tern_tensor *const *grad;
    tern_tensor *const *target[TARGETS];
    const char *name[TARGETS];
    const tern_update_opts *opts;
    bool low; /* the last target */
} call;

static bool alike(const call *u, int i, const tern_tensor *t, const char *name, tern_dtype dtype) {
    const tern_tensor *p = u->target[0][i];
    if (!t) return terni_fail(TERN_ERR_ARGUMENT, "update: %s %d is NULL", name, i);
    if (!terni_same_shape(t, p))
        return terni_fail(TERN_ERR_SHAPE, "update: %s %d is %s, the parameter %s", name, i, terni_describe(t),
                          terni_describe(p));
    if (terni_dtype(t) != dtype || !terni_is_float(dtype))
        return terni_fail(TERN_ERR_DTYPE, "update: %s %d is %s, the parameter %s; expected %s", name, i,
                          terni_describe(t), terni_describe(p),
                          tern_dtype_is_float(dtype) ? tern_dtype_name(dtype) : "a float dtype");
    return true;
}

/* What gradient i, and the copy of the parameter, are to be. */
static bool low_dtype(const call *u, int i, tern_dtype *dtype) {
    const tern_tensor *p = u->target[0][i], *low = u->low ? u->target[u->n_target - 1][i] : NULL;
    if (!p) return terni_fail(TERN_ERR_ARGUMENT, "update: param %d is NULL", i);
    *dtype = low ? terni_dtype(low) : terni_dtype(p);
    if (!low || (terni_dtype(p) == TERN_F32 && (*dtype == TERN_F16 || *dtype == TERN_BF16))) return true;
    return terni_fail(TERN_ERR_DTYPE, "update: low %d is %s, the parameter %s; expected f16 or bf16, and f32", i,
                      terni_describe(low), terni_describe(p));
}

/* Fills in[m + 2] and out[n_target m] with contiguous tensors, the tensors themselves where they are. */
static bool collect(const call *u, tern_tensor **in, tern_tensor **out, int m) {
    for (int i = 0, j = 0; i < u->n; i++) {
        tern_dtype low = TERN_F32;
        if (!u->grad[i]) continue;
        if (!low_dtype(u, i, &low)) return false;
        for (int k = 0; k < u->n_target; k++) {
            const bool is_low = u->low && k == u->n_target - 1;
            if (!alike(u, i, u->target[k][i], u->name[k], is_low ? low : terni_dtype(u->target[0][i]))) return false;
            if (!(out[k * m + j] = terni_dense(u->target[k][i]))) return false;
        }
        if (!alike(u, i, u->grad[i], "gradient", low) || !(in[j] = terni_dense(u->grad[i]))) return false;
        j++;
    }
    in[m] = u->opts->grad_scale;
    in[m + 1] = u->opts->rates ? terni_dense(u->opts->rates) : NULL;
    if (u->opts->rates && !in[m + 1]) return false;
    tern_device device;
    return terni_same_device("update", in, m * (1 + u->n_target) + 2, &device);
}

static bool finish(const call *u, tern_tensor **out, int m) {
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

static bool run(const call *u, terni_update_opts *o) {
    int m = 0;
    for (int i = 0; i < u->n; i++) m += u->grad[i] != NULL;
    if (m == 0) return true;
    const size_t bytes = ((size_t)m * (size_t)(1 + u->n_target) + 2) * sizeof(tern_tensor *);
    tern_tensor **in = terni_alloc(bytes);
    if (!in) return false;
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    o->n = m;
    tern_tensor **out = in + m + 2;
    const bool ok =
        collect(u, in, out, m) && terni_run(TERNI_OP_update, in, m + 2, out, u->n_target * m, o) && finish(u, out, m);
    tern_grad_mode(was);
    tern_scope_pop(scope);
    terni_free(in, bytes);
    return ok;
}

/* ---- arguments --------------------------------------------------------------------------------------------------- */

bool terni_update_number(const char *op, const tern_tensor *t, const char *name) {
    if (!t) return true;
    if (t->v.ndim != 0)
        return terni_fail(TERN_ERR_SHAPE, "%s: %s is %s, expected a 0-dim tensor", op, name, terni_describe(t));
    return terni_dtype(t) == TERN_F32 || terni_dtype(t) == TERN_F64 ||
           terni_fail(TERN_ERR_DTYPE, "%s: %s is %s, expected f32 or f64", op, name, terni_describe(t));
}

static bool rates_fit(const tern_tensor *t, int n) {
    if (!t) return true;
    if (t->v.ndim != 1 || t->numel != n)
        return terni_fail(TERN_ERR_SHAPE, "update: rates is %s, expected [%d]", terni_describe(t), n);
    return terni_dtype(t) == TERN_F64 ||
           terni_fail(TERN_ERR_DTYPE, "update: rates is %s, expected f64", terni_describe(t));
}

/* The states that are there become targets. */
static bool take_states(call *u, const rule *r, tern_tensor *const *const *state, terni_update_opts *o) {
    static const char *const names[] = {"state 0,", "state 1,", "state 2,"};
    for (int k = 0; k < r->states; k++) {
        if (state && state[k]) {
            o->states |= 1u << k;
            u->name[u->n_target] = names[k];
            u->target[u->n_target++] = state[k];
        } else if (!(r->optional >> k & 1)) {
            return terni_fail(TERN_ERR_ARGUMENT, "update: state[%d] is NULL", k);
        }
    }
    return true;
}

bool tern_update(tern_update_rule which, tern_tensor *const *param, tern_tensor *const *grad,
                 tern_tensor *const *const *state, int n, const double *numbers, tern_update_opts opts) {
    if (!tern_ok()) return false;
    if ((int)which < 0 || (int)which >= TERNI_UPDATE_COUNT)
        return terni_fail(TERN_ERR_ARGUMENT, "update: there is no rule %d", (int)which);
    if (n < 0) return terni_fail(TERN_ERR_ARGUMENT, "update: n is %d", n);
    if (opts.clip_value < 0 || isnan(opts.clip_value))
        return terni_fail(TERN_ERR_ARGUMENT, "update: clip_value is %g; 0 or more expected", opts.clip_value);
    if (n == 0) return true;
    if (!terni_given(grad, "update", "grad") || !terni_given(param, "update", "param")) return false;
    if (!opts.rates && !terni_given(numbers, "update", "numbers")) return false;
    const rule *r = &rules[which];
    call u = {.n = n, .n_target = 1, .grad = grad, .target = {param}, .name = {"param"}, .opts = &opts};
    terni_update_opts o = {.rule = (int32_t)which,
                           .skip = opts.skip_not_finite,
                           .low = opts.low != NULL,
                           .sign = opts.maximize ? -1 : 1,
                           .clip = opts.clip_value > 0 ? opts.clip_value : (double)INFINITY};
    for (int k = 0; k < r->numbers && !opts.rates; k++) o.number[k] = numbers[k];
    if (!take_states(&u, r, state, &o) || !terni_update_number("update", opts.grad_scale, "grad_scale") ||
        !rates_fit(opts.rates, r->numbers))
        return false;
    if (opts.low) {
        u.low = true;
        u.name[u.n_target] = "low";
        u.target[u.n_target++] = opts.low;
    }
    return run(&u, &o);
}
