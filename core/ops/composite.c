/* Ops made of ops: no kernel and no rule of their own. */
#include <math.h>

#include "casting.h"

/* s as a 0-dim tensor beside x: x's dtype, or f32 if x is an integer and s is none. */
static tern_tensor *beside(const char *op, tern_tensor *x, double s) {
    if (!terni_given(x, op, "x")) return NULL;
    tern_dtype d = terni_dtype(x);
    if (!tern_dtype_is_float(d)) {
        const bool whole = s == floor(s) && fabs(s) < 0x1p63;
        d = !whole ? TERN_F32 : d == TERN_BOOL || (d == TERN_U8 && (s < 0 || s > 255)) ? TERN_I64 : d;
    }
    return tern_scalar(s, (tern_options){d, tern_cpu()});
}

tern_tensor *tern_add_scalar(tern_tensor *x, double s) { return tern_add(x, beside("add_scalar", x, s)); }
tern_tensor *tern_sub_scalar(tern_tensor *x, double s) { return tern_sub(x, beside("sub_scalar", x, s)); }
tern_tensor *tern_rsub_scalar(tern_tensor *x, double s) { return tern_sub(beside("rsub_scalar", x, s), x); }
tern_tensor *tern_mul_scalar(tern_tensor *x, double s) { return tern_mul(x, beside("mul_scalar", x, s)); }
tern_tensor *tern_div_scalar(tern_tensor *x, double s) { return tern_div(x, beside("div_scalar", x, s)); }
tern_tensor *tern_rdiv_scalar(tern_tensor *x, double s) { return tern_div(beside("rdiv_scalar", x, s), x); }
tern_tensor *tern_pow_scalar(tern_tensor *x, double s) {
    TERNI_AUTOCAST(F32, &x); /* so that s, beside it, is not rounded */
    return tern_pow(x, beside("pow_scalar", x, s));
}

/* s beside a target, which it must not change the dtype of. */
static tern_tensor *beside_target(const char *op, tern_tensor *t, double s) {
    if (!terni_given(t, op, "t")) return NULL;
    if (!tern_dtype_is_float(terni_dtype(t)) && s != floor(s))
        return terni_null(TERN_ERR_DTYPE, "%s: %g is not an integer, %s is", op, s, terni_describe(t));
    return beside(op, t, s);
}

tern_tensor *tern_add_scalar_(tern_tensor *t, double s) {
    TERNI_NAMED("add_scalar_");
    return tern_add_(t, beside_target("add_scalar_", t, s));
}
tern_tensor *tern_sub_scalar_(tern_tensor *t, double s) {
    TERNI_NAMED("sub_scalar_");
    return tern_sub_(t, beside_target("sub_scalar_", t, s));
}
tern_tensor *tern_div_scalar_(tern_tensor *t, double s) {
    TERNI_NAMED("div_scalar_");
    return tern_div_(t, beside_target("div_scalar_", t, s));
}
tern_tensor *tern_pow_scalar_(tern_tensor *t, double s) {
    TERNI_NAMED("pow_scalar_");
    return tern_pow_(t, beside_target("pow_scalar_", t, s));
}
