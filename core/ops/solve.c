/* solve and inverse, by LU with partial pivoting. */
#include "casting.h"
#include "ops/lu.h"

bool terni_lu_of(const char *op, tern_tensor *a, terni_lu *f) {
    const tern_shape batch = terni_batch(a, 2);
    const int64_t n = terni_rows(a);
    tern_tensor *at = terni_flipped(a);
    f->lu = terni_by_columns(op, batch, n, n, a);
    f->pivots = terni_new(terni_batch_of1(batch, n), TERN_I32, a->device);
    f->info = terni_new(batch, TERN_I32, a->device);
    tern_tensor *const out[3] = {f->lu, f->pivots, f->info};
    return at && f->lu && f->pivots && f->info && terni_run(TERNI_OP_lu_factor, &at, 1, out, 3, NULL);
}

bool terni_lu_solve(tern_tensor *lu, tern_tensor *pivots, tern_tensor *b, bool transposed, tern_tensor *x) {
    const tern_shape batch = terni_batch(x, 2);
    tern_tensor *const in[3] = {terni_spread(lu, batch, 2), terni_spread(pivots, batch, 1), terni_spread(b, batch, 2)};
    const terni_lu_opts o = {.transposed = !transposed}; /* the factors are a^T's */
    return in[0] && in[1] && in[2] && terni_run(TERNI_OP_lu_solve, in, 3, &x, 1, &o);
}

/* ---- solve ------------------------------------------------------------------------------------------------------- */

static bool solve_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) { /* a, b */
    (void)n;
    tern_shape batch;
    terni_lu f;
    if (!terni_broadcast("solve", terni_batch(in[0], 2), terni_batch(in[1], 2), &batch)) return false;
    if (!terni_lu_of("solve", in[0], &f) || !terni_info("solve", f.info, "is singular")) return false;
    out[0] = terni_by_columns("solve", batch, terni_rows(in[1]), terni_cols(in[1]), in[1]);
    return out[0] && terni_lu_solve(f.lu, f.pivots, in[1], false, out[0]) && tern_ctx_save(ctx, in[0]) &&
           tern_ctx_save(ctx, out[0]) && tern_ctx_save(ctx, f.lu) && tern_ctx_save(ctx, f.pivots);
}

/* b' = a^-T x',  a' = -b' x^T. */
static bool solve_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    tern_tensor *a = tern_ctx_saved(ctx, 0), *x = tern_ctx_saved(ctx, 1), *g;
    if (!a || !x) return false;
    if (terni_recording()) {
        g = tern_solve(terni_t(a), gout[0]);
    } else {
        tern_tensor *lu = tern_ctx_saved(ctx, 2), *pivots = tern_ctx_saved(ctx, 3);
        if (!lu || !pivots) return false;
        g = terni_by_columns("solve", terni_batch(x, 2), terni_rows(x), terni_cols(x), x);
        if (!g || !terni_lu_solve(lu, pivots, gout[0], true, g)) return false;
    }
    if (tern_ctx_needs(ctx, 1)) gin[1] = tern_sum_to(g, tern_ctx_shape(ctx, 1));
    if (tern_ctx_needs(ctx, 0)) gin[0] = tern_sum_to(tern_neg(tern_matmul(g, terni_t(x))), tern_ctx_shape(ctx, 0));
    return tern_ok();
}

static const tern_function solve_function = {"solve", 1, 0, solve_forward, solve_backward, NULL};

tern_tensor *tern_solve(tern_tensor *a, tern_tensor *b) {
    TERNI_NAMED("solve");
    TERNI_AUTOCAST(F32, &a, &b);
    if (!terni_system("solve", a, true, b)) return NULL;
    const bool vector = b->v.ndim == 1;
    if (b->v.ndim < 1 || b->v.shape[vector ? 0 : b->v.ndim - 2] != terni_rows(a))
        return terni_null(TERN_ERR_SHAPE, "solve: a %s, b %s: expected [..., N, N] and [..., N, K] or [N]",
                          terni_describe(a), terni_describe(b));
    tern_tensor *const in[2] = {a, vector ? tern_unsqueeze(b, 1) : b};
    tern_tensor *x;
    if (!in[1] || !tern_apply(&solve_function, in, 2, NULL, &x)) return NULL;
    return vector ? tern_squeeze(x, -1) : x;
}

/* ---- inverse ----------------------------------------------------------------------------------------------------- */

static bool inverse_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    tern_tensor *a = in[0];
    terni_lu f;
    if (!terni_lu_of("inverse", a, &f) || !terni_info("inverse", f.info, "is singular")) return false;
    out[0] = terni_by_rows("inverse", terni_batch(a, 2), terni_rows(a), terni_rows(a), a);
    tern_tensor *eye = terni_eye(terni_rows(a), a), *t = out[0] ? terni_flipped(out[0]) : NULL; /* a^T's inverse */
    return t && eye && terni_lu_solve(f.lu, f.pivots, eye, true, t) && tern_ctx_save(ctx, out[0]);
}

/* a' = -y^T y' y^T. */
static bool inverse_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    tern_tensor *y = tern_ctx_saved(ctx, 0);
    if (!y) return false;
    tern_tensor *t = terni_t(y);
    gin[0] = tern_neg(tern_matmul(tern_matmul(t, gout[0]), t));
    return gin[0] != NULL;
}

static const tern_function inverse_function = {"inverse", 1, 0, inverse_forward, inverse_backward, NULL};

tern_tensor *tern_inverse(tern_tensor *a) {
    TERNI_NAMED("inverse");
    TERNI_AUTOCAST(F32, &a);
    tern_tensor *y;
    return terni_matrix("inverse", "a", a, true) && tern_apply(&inverse_function, &a, 1, NULL, &y) ? y : NULL;
}
