/* Rotary position embedding. */
#include <math.h>

#include "ops/normalise.h"

tern_tensor *tern_rotary_tables(tern_tensor *positions, int64_t dims, double base, tern_dtype dtype,
                                tern_tensor **sin) {
    TERNI_NAMED("rotary_tables");
    if (sin) *sin = NULL;
    if (!terni_given(positions, "rotary_tables", "positions")) return NULL;
    if (dims < 2 || dims % 2 || dims > INT32_MAX || !(base > 0) || !isfinite(base))
        return terni_null(TERN_ERR_ARGUMENT, "rotary_tables: dims %lld and base %g, expected even and above 0",
                          (long long)dims, base);
    if (!tern_dtype_is_float(dtype) || terni_dtype(positions) == TERN_BOOL)
        return terni_null(TERN_ERR_DTYPE, "rotary_tables: positions %s to %s", terni_describe(positions),
                          tern_dtype_name(dtype));
    if (positions->v.ndim == TERN_MAX_DIMS)
        return terni_null(TERN_ERR_SHAPE, "rotary_tables: positions %s have too many dimensions",
                          terni_describe(positions));
    const bool was = tern_grad_mode(false);
    const int scope = tern_scope_push();
    tern_tensor *i = tern_arange(0, (double)(dims / 2), (tern_options){TERN_F64, positions->device});
    tern_tensor *rate = tern_exp(tern_mul_scalar(i, -2 * log(base) / (double)dims));
    tern_tensor *angle = tern_mul(tern_unsqueeze(tern_cast(positions, TERN_F64), -1), rate);
    tern_tensor *s = sin ? tern_keep(tern_cast(tern_sin(angle), dtype)) : NULL;
    tern_tensor *c = tern_scope_return(scope, tern_cast(tern_cos(angle), dtype));
    tern_grad_mode(was);
    if (sin && s) {
        tern_tensor *owned = tern_give(s);
        if (c) *sin = owned;
    }
    return c && (!sin || *sin) ? c : NULL;
}

/* Elements of the pairs' first (second = 0) or second members. */
static tern_tensor *members(tern_tensor *x, int second, int64_t r, bool interleaved) {
    return interleaved ? tern_slice(x, -1, second, 2 * r, 2) : tern_slice(x, -1, second * r, (second + 1) * r, 1);
}

static bool check(tern_tensor *x, tern_tensor *cos, tern_tensor *sin) {
    tern_tensor *const in[3] = {x, cos, sin};
    if (!terni_given(x, "rotary", "x") || !terni_given(cos, "rotary", "cos") || !terni_given(sin, "rotary", "sin") ||
        !terni_same_device("rotary", in, 3, NULL) || !terni_same_float("rotary", in, 3))
        return false;
    const int n = x->v.ndim, m = cos->v.ndim;
    bool fits = n >= 1 && m >= 1 && m <= n && tern_shape_equal(terni_shape(cos), terni_shape(sin));
    fits = fits && cos->v.shape[m - 1] <= x->v.shape[n - 1] / 2;
    for (int i = 2; fits && i <= m; i++) fits = cos->v.shape[m - i] == x->v.shape[n - i] || cos->v.shape[m - i] == 1;
    return fits || terni_fail(TERN_ERR_SHAPE,
                              "rotary: x %s, cos %s, sin %s; expected [..., E] and twice [..., R] with E >= 2 R",
                              terni_describe(x), terni_describe(cos), terni_describe(sin));
}

static tern_tensor *turned(tern_tensor *x, tern_tensor *cos, tern_tensor *sin, bool interleaved) {
    const int64_t r = cos->v.shape[cos->v.ndim - 1], e = x->v.shape[x->v.ndim - 1];
    tern_tensor *a = members(x, 0, r, interleaved), *b = members(x, 1, r, interleaved);
    tern_tensor *part[3] = {tern_sub(tern_mul(a, cos), tern_mul(b, sin)), tern_add(tern_mul(b, cos), tern_mul(a, sin)),
                            e > 2 * r ? tern_slice(x, -1, 2 * r, e, 1) : NULL};
    if (!part[0] || !part[1]) return NULL;
    if (interleaved && x->v.ndim < TERN_MAX_DIMS) {
        part[0] = tern_flatten(tern_stack(part, 2, -1), -2, -1);
        part[1] = part[2];
        return part[1] ? tern_cat(part, 2, -1) : part[0];
    }
    tern_tensor *y = tern_cat(part, part[2] ? 3 : 2, -1);
    if (interleaved && y) { /* no room for one more dimension: by index */
        int64_t *order = terni_malloc((size_t)e * sizeof *order);
        for (int64_t i = 0; order && i < e; i++) order[i] = i >= 2 * r ? i : i / 2 + i % 2 * r;
        tern_tensor *by = order ? tern_from(order, TERN_SHAPE(e), (tern_options){TERN_I64, x->device}) : NULL;
        terni_mfree(order);
        y = by ? tern_index_select(y, -1, by) : NULL;
    }
    return y;
}

tern_tensor *tern_rotary(tern_tensor *x, tern_tensor *cos, tern_tensor *sin, tern_rotary_opts opts) {
    TERNI_NAMED("rotary");
    if (!check(x, cos, sin)) return NULL;
    if (cos->v.shape[cos->v.ndim - 1] == 0) return tern_clone(x);
    const tern_dtype acc = terni_acc_dtype(terni_dtype(x)); /* the two products may cancel */
    const int scope = tern_scope_push();
    tern_tensor *wide = tern_cast(x, acc), *c = tern_cast(cos, acc), *s = tern_cast(sin, acc);
    tern_tensor *y = wide && c && s ? turned(wide, c, s, opts.interleaved) : NULL;
    return tern_scope_return(scope, y ? tern_cast(y, terni_dtype(x)) : NULL);
}
