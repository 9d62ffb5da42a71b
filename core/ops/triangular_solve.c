/* triangular_solve. The kernel solves a x = b; transposed and right-hand forms are views of it. */
#include "casting.h"
#include "ops/matrices.h"

static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) { /* a, b */
    (void)n;
    tern_shape batch;
    if (!terni_broadcast("triangular_solve", terni_batch(in[0], 2), terni_batch(in[1], 2), &batch)) return false;
    tern_tensor *const wide[2] = {terni_spread(in[0], batch, 2), terni_spread(in[1], batch, 2)};
    out[0] = terni_by_rows("triangular_solve", batch, terni_rows(in[1]), terni_cols(in[1]), in[1]);
    return wide[0] && wide[1] && out[0] && terni_run(TERNI_OP_triangular_solve, wide, 2, out, 1, tern_ctx_opts(ctx)) &&
           tern_ctx_save(ctx, in[0]) && tern_ctx_save(ctx, out[0]);
}

static tern_tensor *solve(tern_tensor *a, tern_tensor *b, bool upper, bool unit);

/* b' = a^-T x',  a' = -b' x^T in the triangle. */
static bool backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const terni_triangular_opts *o = tern_ctx_opts(ctx);
    tern_tensor *a = tern_ctx_saved(ctx, 0), *x = tern_ctx_saved(ctx, 1);
    if (!a || !x) return false;
    tern_tensor *g = solve(terni_t(a), gout[0], !o->upper, o->unit);
    if (tern_ctx_needs(ctx, 1)) gin[1] = tern_sum_to(g, tern_ctx_shape(ctx, 1));
    if (!tern_ctx_needs(ctx, 0)) return tern_ok();
    tern_tensor *full = tern_sum_to(tern_neg(tern_matmul(g, terni_t(x))), tern_ctx_shape(ctx, 0));
    gin[0] = o->upper ? tern_triu(full, o->unit) : tern_tril(full, -(int64_t)o->unit);
    return tern_ok();
}

static const tern_function function = {"triangular_solve", 1, sizeof(terni_triangular_opts), forward, backward, NULL};

static tern_tensor *solve(tern_tensor *a, tern_tensor *b, bool upper, bool unit) {
    const terni_triangular_opts o = {upper, unit};
    tern_tensor *const in[2] = {a, b};
    tern_tensor *x;
    return a && b && tern_apply(&function, in, 2, &o, &x) ? x : NULL;
}

tern_tensor *tern_triangular_solve(tern_tensor *a, tern_tensor *b, tern_triangular_solve_opts o) {
    TERNI_NAMED("triangular_solve");
    TERNI_AUTOCAST(F32, &a, &b);
    if (!terni_system("triangular_solve", a, true, b)) return NULL;
    if (b->v.ndim < 2 || terni_rows(a) != (o.right ? terni_cols(b) : terni_rows(b)))
        return terni_null(TERN_ERR_SHAPE, "triangular_solve: a %s, b %s: expected [..., N, N] and [..., %s]",
                          terni_describe(a), terni_describe(b), o.right ? "K, N" : "N, K");
    if (o.transposed != o.right) { /* x a = b is a^T x^T = b^T */
        a = terni_t(a);
        o.upper = !o.upper;
    }
    tern_tensor *x = solve(a, o.right ? terni_t(b) : b, o.upper, o.unitriangular);
    return x && o.right ? terni_t(x) : x;
}
