/* Draws of integers and of choices. */
#include <math.h>

#include "internal.h"
#include "philox.h"

/* Integers of at most this size are all values of the dtype. */
static double whole_limit(tern_dtype d) {
    switch (d) {
        case TERN_F16:
            return 0x1p11;
        case TERN_BF16:
            return 0x1p8;
        case TERN_F32:
            return 0x1p24;
        case TERN_F64:
            return 0x1p53;
        default:
            return (double)INFINITY;
    }
}

static bool holds(tern_dtype d, int64_t v) {
    switch (d) {
        case TERN_I64:
            return true;
        case TERN_I32:
            return v >= INT32_MIN && v <= INT32_MAX;
        case TERN_U8:
            return v >= 0 && v <= 255;
        case TERN_BOOL:
            return v == 0 || v == 1;
        default:
            return fabs((double)v) <= whole_limit(d);
    }
}

tern_tensor *tern_randint(tern_shape shape, int64_t lo, int64_t hi, tern_options o) {
    TERNI_NAMED("randint");
    if (!tern_ok() || !terni_shape_check("randint", &shape, o.dtype)) return NULL;
    if (lo >= hi)
        return terni_null(TERN_ERR_ARGUMENT, "randint: lo %lld and hi %lld, expected lo < hi", (long long)lo,
                          (long long)hi);
    if (!holds(o.dtype, lo) || !holds(o.dtype, hi - 1))
        return terni_null(TERN_ERR_ARGUMENT, "randint: [%lld, %lld) does not fit into %s", (long long)lo, (long long)hi,
                          tern_dtype_name(o.dtype));
    if (!terni_backend_of(o.device)) return NULL;
    tern_tensor *t = terni_new(shape, o.dtype, o.device);
    if (!t) return NULL;
    terni_randint_opts k = {.lo = lo, .range = (uint64_t)hi - (uint64_t)lo};
    if (!terni_draws_take(o.device, terni_philox_blocks(t->numel, true), &k.from)) return NULL;
    return terni_run(TERNI_OP_randint, NULL, 0, &t, 1, &k) ? t : NULL;
}

tern_tensor *tern_randperm(int64_t n, tern_device device) {
    TERNI_NAMED("randperm");
    const tern_shape s = TERN_SHAPE(n);
    if (!tern_ok() || !terni_shape_check("randperm", &s, TERN_I64) || !terni_backend_of(device)) return NULL;
    tern_tensor *t = terni_new(s, TERN_I64, device);
    if (!t) return NULL;
    terni_random_opts o = {0};
    if (!terni_draws_take(device, terni_philox_blocks(n, true), &o.from)) return NULL;
    return terni_run(TERNI_OP_randperm, NULL, 0, &t, 1, &o) ? t : NULL;
}

tern_tensor *tern_bernoulli(tern_tensor *p) {
    if (!terni_given(p, "bernoulli", "p") || !terni_same_float("bernoulli", &p, 1)) return NULL;
    tern_tensor *t = terni_new(terni_shape(p), terni_dtype(p), p->device);
    if (!t) return NULL;
    terni_random_opts o = {0};
    if (!terni_draws_take(p->device, terni_philox_blocks(t->numel, terni_dtype(p) == TERN_F64), &o.from)) return NULL;
    return terni_run(TERNI_OP_bernoulli, &p, 1, &t, 1, &o) ? t : NULL;
}

/* y, contiguous, of any dtype. */
static bool flips(tern_tensor *y, double p) {
    terni_random_opts o = {.a = p};
    if (!terni_draws_take(y->device, terni_philox_blocks(y->numel, false), &o.from)) return false;
    tern_tensor *none = NULL;
    return terni_run(TERNI_OP_bernoulli, &none, 1, &y, 1, &o);
}

bool tern_bernoulli_(tern_tensor *t, double p) {
    if (!terni_given(t, "bernoulli_", "t")) return false;
    if (!(p >= 0 && p <= 1)) return terni_fail(TERN_ERR_ARGUMENT, "bernoulli_: p %g, expected 0 to 1", p);
    const terni_in_place kind = terni_in_place_begin("bernoulli_", "bernoulli", t, NULL, 0);
    if (kind == TERNI_REFUSED) return false;
    const int scope = tern_scope_push();
    const bool direct = kind == TERNI_PLAIN && t->contiguous;
    tern_tensor *y = direct ? t : tern_empty_like(t);
    bool ok = y && flips(y, p);
    if (ok && kind == TERNI_RECORDED)
        ok = terni_in_place_overwrite("bernoulli_", t, y) != NULL;
    else if (ok && !direct)
        ok = terni_run(TERNI_OP_copy, &y, 1, &t, 1, NULL);
    if (kind == TERNI_PLAIN) terni_changed(t);
    tern_scope_pop(scope);
    return ok;
}

tern_tensor *tern_multinomial(tern_tensor *p, int64_t samples, bool replacement) {
    TERNI_NAMED("multinomial");
    if (!terni_given(p, "multinomial", "p") || !terni_same_float("multinomial", &p, 1)) return NULL;
    const int ndim = p->v.ndim;
    if (ndim < 1 || ndim > 2)
        return terni_null(TERN_ERR_SHAPE, "multinomial: p %s; expected 1 or 2 dimensions", terni_describe(p));
    const int64_t n = p->v.shape[ndim - 1], m = ndim == 2 ? p->v.shape[0] : 1;
    if (samples < 1 || (!replacement && samples > n))
        return terni_null(TERN_ERR_ARGUMENT, "multinomial: %lld samples from p %s, %s replacement", (long long)samples,
                          terni_describe(p), replacement ? "with" : "without");
    if (n == 0) return terni_null(TERN_ERR_SHAPE, "multinomial: p %s has nothing to draw", terni_describe(p));
    tern_shape s = TERN_SHAPE(m, samples);
    if (!terni_shape_check("multinomial", &s, TERN_F64)) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *dense = terni_dense(p), *rows = dense ? tern_reshape(tern_detach(dense), TERN_SHAPE(m, n)) : NULL;
    tern_tensor *y = rows ? terni_new(s, TERN_I64, p->device) : NULL;
    if (y) {
        terni_multinomial_opts o = {.replacement = replacement};
        const uint64_t blocks = terni_philox_blocks(m * (replacement ? samples : n), true);
        if (!terni_draws_take(p->device, blocks, &o.from) || !terni_run(TERNI_OP_multinomial, &rows, 1, &y, 1, &o))
            y = NULL;
    }
    return tern_scope_return(scope, y && ndim == 1 ? tern_reshape(y, TERN_SHAPE(samples)) : y);
}
