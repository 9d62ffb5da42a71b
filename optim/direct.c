/* For rules that are made of tensor ops, one parameter at a time. */
#include <math.h>

#include "internal.h"

tern_tensor *terni_gradient(const terni_bucket *b, int i) {
    tern_tensor *g = tern_detach(b->grad[i]);
    const tern_dtype dtype = tern_dtype_of(b->param[i]);
    g = tern_cast(g, dtype == TERN_F64 ? TERN_F64 : TERN_F32);
    if (b->opts.grad_scale) g = tern_mul(g, tern_cast(b->opts.grad_scale, tern_dtype_of(g)));
    if (b->opts.maximize) g = tern_neg(g);
    return b->opts.clip_value > 0 ? tern_clamp(g, -b->opts.clip_value, b->opts.clip_value) : g;
}

bool terni_step(const terni_bucket *b, int i, tern_tensor *step, double shrink) {
    tern_tensor *p = tern_detach(b->param[i]);
    tern_tensor *to = tern_sub(shrink < 1 || shrink > 1 ? tern_mul_scalar(p, shrink) : p, step);
    if (!tern_copy_(p, to)) return false;
    return !b->opts.low || tern_copy_(tern_detach(b->opts.low[i]), p) != NULL;
}

tern_tensor *terni_wide(tern_tensor *t) {
    t = tern_detach(t);
    return tern_dtype_of(t) == TERN_F64 ? t : tern_cast(t, TERN_F32);
}
