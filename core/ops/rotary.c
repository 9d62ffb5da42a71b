/* Rotary position embedding. */
#include <math.h>

#include "casting.h"
#include "ops/normalise.h"
#include "trace_fields.h"

tern_tensor *tern_rotary_tables(tern_tensor *positions, int64_t dims, double base, tern_dtype dtype,
                                tern_tensor **sin) {
    TERNI_NAMED("rotary_tables");
    TERNI_AUTOCAST_NONE;
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

/* ---- the pairs turned: x, cos, sin, of one dtype of accumulation
 * ----------------------------------------------------- */

/* t as the kernel takes it: dense in its last dimension, and with x's leading ones. Not recorded. */
static tern_tensor *table(tern_tensor *t, tern_tensor *x) {
    tern_shape wide = terni_shape(x);
    int64_t strides[TERN_MAX_DIMS] = {0};
    t = terni_dense(t);
    const int lead = t ? x->v.ndim - t->v.ndim : 0;
    for (int d = lead; t && d < wide.ndim; d++)
        strides[d] = t->v.shape[d - lead] == 1 && d < wide.ndim - 1 ? 0 : t->v.strides[d - lead];
    if (t) wide.dim[wide.ndim - 1] = t->v.shape[t->v.ndim - 1];
    return t ? terni_alias(t, wide, strides, 0) : NULL;
}

static bool turn_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    tern_tensor *x = terni_dense(in[0]), *cos = x ? table(in[1], x) : NULL, *sin = cos ? table(in[2], x) : NULL;
    if (!sin) return false;
    out[0] = terni_new(terni_shape(x), terni_dtype(x), x->device);
    for (int i = 0; i < n; i++)
        if (!tern_ctx_save(ctx, in[i])) return false;
    return out[0] && terni_run(TERNI_OP_rotary, (tern_tensor *const[]){x, cos, sin}, 3, out, 1, tern_ctx_opts(ctx));
}

static tern_tensor *turned(tern_tensor *x, tern_tensor *cos, tern_tensor *sin, terni_rotary_opts o);

static bool turn_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const terni_rotary_opts *o = tern_ctx_opts(ctx);
    tern_tensor *x = tern_ctx_saved(ctx, 0), *cos = tern_ctx_saved(ctx, 1), *sin = tern_ctx_saved(ctx, 2);
    if (!x || !cos || !sin) return false;
    if (tern_ctx_needs(ctx, 0)) gin[0] = turned(gout[0], cos, sin, (terni_rotary_opts){o->interleaved, !o->inverse});
    if (!tern_ctx_needs(ctx, 1) && !tern_ctx_needs(ctx, 2)) return tern_ok();
    const int64_t r = cos->v.shape[cos->v.ndim - 1];
    tern_tensor *a = members(x, 0, r, o->interleaved), *b = members(x, 1, r, o->interleaved);
    tern_tensor *ga = members(gout[0], 0, r, o->interleaved), *gb = members(gout[0], 1, r, o->interleaved);
    gin[1] = tern_sum_to(tern_add(tern_mul(ga, a), tern_mul(gb, b)), tern_ctx_shape(ctx, 1));
    tern_tensor *across = tern_sum_to(tern_sub(tern_mul(gb, a), tern_mul(ga, b)), tern_ctx_shape(ctx, 2));
    gin[2] = o->inverse ? tern_neg(across) : across;
    return tern_ok();
}

static const tern_function turn = {"rotary", 1, sizeof(terni_rotary_opts), turn_forward, turn_backward, NULL};
TERNI_TRACED(rotary, turn, TERNI_FIELD(terni_rotary_opts, "interleaved", interleaved),
             TERNI_FIELD(terni_rotary_opts, "inverse", inverse));

static tern_tensor *turned(tern_tensor *x, tern_tensor *cos, tern_tensor *sin, terni_rotary_opts o) {
    tern_tensor *y;
    return tern_apply(&turn, (tern_tensor *const[]){x, cos, sin}, 3, &o, &y) ? y : NULL;
}

tern_tensor *tern_rotary(tern_tensor *x, tern_tensor *cos, tern_tensor *sin, tern_rotary_opts opts) {
    TERNI_NAMED("rotary");
    TERNI_AUTOCAST(WIDEST, &x, &cos, &sin);
    if (!check(x, cos, sin)) return NULL;
    if (cos->v.shape[cos->v.ndim - 1] == 0) return tern_clone(x);
    const tern_dtype acc = terni_acc_dtype(terni_dtype(x)); /* the two products may cancel */
    const int scope = tern_scope_push();
    tern_tensor *wide = tern_cast(x, acc), *c = tern_cast(cos, acc), *s = tern_cast(sin, acc);
    tern_tensor *y = wide && c && s ? turned(wide, c, s, (terni_rotary_opts){opts.interleaved, false}) : NULL;
    return tern_scope_return(scope, y ? tern_cast(y, terni_dtype(x)) : NULL);
}
