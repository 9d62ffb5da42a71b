/* qr, and lstsq by it. The kernel takes matrices that are not wide; of a wide one, [x y] = q [r q^T y]. */
#include <float.h>

#include "casting.h"
#include "ops/matrices.h"

typedef struct options {
    bool complete;
} options;

static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const options *o = tern_ctx_opts(ctx);
    tern_tensor *a = in[0];
    const tern_shape batch = terni_batch(a, 2);
    const int64_t cols = o->complete ? terni_rows(a) : terni_cols(a);
    out[0] = terni_by_columns("qr", batch, terni_rows(a), cols, a);
    out[1] = terni_by_columns("qr", batch, cols, terni_cols(a), a);
    return out[0] && out[1] && terni_run(TERNI_OP_qr, in, 1, out, 2, NULL) && tern_ctx_save(ctx, out[0]) &&
           tern_ctx_save(ctx, out[1]);
}

/* a' = (q' + q copyltu(r r'^T - q'^T q)) r^-T, where copyltu mirrors the lower triangle. */
static bool backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    tern_tensor *q = tern_ctx_saved(ctx, 0), *r = tern_ctx_saved(ctx, 1), *gq = gout[0], *m = NULL;
    if (!q || !r) return false;
    if (terni_cols(q) != terni_cols(r))
        return terni_fail(TERN_ERR_AUTOGRAD, "qr: a complete q %s of r %s has no gradient",
                          terni_shape_str(terni_shape(q)), terni_shape_str(terni_shape(r)));
    if (gout[1]) m = tern_matmul(r, terni_t(tern_triu(gout[1], 0)));
    if (gq) m = terni_plus(m, tern_neg(tern_matmul(terni_t(gq), q)));
    m = tern_add(tern_tril(m, 0), terni_t(tern_tril(m, -1)));
    gin[0] = tern_triangular_solve(r, terni_plus(gq, tern_matmul(q, m)),
                                   (tern_triangular_solve_opts){.upper = true, .transposed = true, .right = true});
    return gin[0] != NULL;
}

static const tern_function function = {"qr", 2, sizeof(options), forward, backward, NULL};

tern_tensor *tern_qr(tern_tensor *a, bool complete, tern_tensor **r) {
    TERNI_NAMED("qr");
    TERNI_AUTOCAST(F32, &a);
    if (r) *r = NULL;
    if (!terni_matrix("qr", "a", a, false)) return NULL;
    const int64_t m = terni_rows(a), n = terni_cols(a);
    const options o = {complete && m > n};
    tern_tensor *x = n > m ? tern_slice(a, -1, 0, m, 1) : a, *out[2];
    if (!x || !tern_apply(&function, &x, 1, &o, out)) return NULL;
    if (n > m && r) {
        tern_tensor *const parts[2] = {out[1], tern_matmul(terni_t(out[0]), tern_slice(a, -1, m, n, 1))};
        out[1] = tern_cat(parts, 2, -1);
        if (!out[1]) return NULL;
    }
    if (r) *r = out[1];
    return out[0];
}

/* ---- lstsq ------------------------------------------------------------------------------------------------------- */

/* Records an error if r, n x n of a matrix whose longer side is `longer`, has a diagonal that says that columns depend
 * on each other. Waits for the device. */
static bool full_rank(tern_tensor *r, int64_t longer) {
    if (r->numel == 0) return true;
    const bool was = tern_grad_mode(false);
    const int last = -1;
    const double eps = (terni_dtype(r) == TERN_F64 ? DBL_EPSILON : (double)FLT_EPSILON) * (double)longer;
    tern_tensor *d = tern_abs(terni_diag(r));
    tern_tensor *small = tern_min(d, &last, 1, false), *large = tern_max(d, &last, 1, false);
    tern_tensor *info = tern_cast(tern_le(small, tern_mul_scalar(large, eps)), TERN_I32);
    tern_grad_mode(was);
    return info && terni_info("lstsq", info, "has not full rank");
}

tern_tensor *tern_lstsq(tern_tensor *a, tern_tensor *b) {
    TERNI_NAMED("lstsq");
    TERNI_AUTOCAST(F32, &a, &b);
    if (!terni_system("lstsq", a, false, b)) return NULL;
    const bool vector = b->v.ndim == 1;
    const int64_t m = terni_rows(a), n = terni_cols(a);
    tern_shape wide;
    if (b->v.ndim < 1 || b->v.shape[vector ? 0 : b->v.ndim - 2] != m)
        return terni_null(TERN_ERR_SHAPE, "lstsq: a %s, b %s: expected [..., M, N] and [..., M, K] or [M]",
                          terni_describe(a), terni_describe(b));
    if (!vector && !terni_broadcast("lstsq", terni_batch(a, 2), terni_batch(b, 2), &wide)) return NULL;
    const tern_triangular_solve_opts o = {.upper = true, .transposed = m < n};
    tern_tensor *r, *q = tern_qr(m < n ? terni_t(a) : a, false, &r), *x = vector ? tern_unsqueeze(b, 1) : b;
    if (!q || !x || !full_rank(r, m < n ? n : m)) return NULL;
    x = m < n ? tern_matmul(q, tern_triangular_solve(r, x, o))
              : tern_triangular_solve(r, tern_matmul(terni_t(q), x), o);
    return x && vector ? tern_squeeze(x, -1) : x;
}
