/* Cholesky's decomposition, and what is solved with it. */
#include "casting.h"
#include "ops/matrices.h"

static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    tern_tensor *a = in[0];
    tern_tensor *l[2] = {terni_new(terni_shape(a), terni_dtype(a), a->device),
                         terni_new(terni_batch(a, 2), TERN_I32, a->device)};
    if (!l[0] || !l[1] || !terni_run(TERNI_OP_cholesky, in, 1, l, 2, NULL)) return false;
    out[0] = l[0];
    return terni_info("cholesky", l[1], "is not positive definite") && tern_ctx_save(ctx, l[0]);
}

/* The lower triangle, its diagonal halved. */
static tern_tensor *phi(tern_tensor *x) {
    return tern_sub(tern_tril(x, 0), tern_mul_scalar(terni_diag_of(terni_diag(x)), 0.5));
}

/* a' = sym(l^-T phi(l^T l') l^-1). */
static bool backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    tern_tensor *l = tern_ctx_saved(ctx, 0);
    if (!l) return false;
    tern_tensor *p = phi(tern_matmul(terni_t(l), tern_tril(gout[0], 0)));
    p = tern_triangular_solve(l, p, (tern_triangular_solve_opts){.transposed = true});
    p = tern_triangular_solve(l, p, (tern_triangular_solve_opts){.right = true});
    gin[0] = tern_mul_scalar(tern_add(p, terni_t(p)), 0.5);
    return gin[0] != NULL;
}

static const tern_function function = {"cholesky", 1, 0, forward, backward, NULL};

tern_tensor *tern_cholesky(tern_tensor *a, bool upper) {
    TERNI_NAMED("cholesky");
    TERNI_AUTOCAST(F32, &a);
    tern_tensor *l;
    if (!terni_matrix("cholesky", "a", a, true)) return NULL;
    if (upper) a = terni_t(a);
    if (!a || !tern_apply(&function, &a, 1, NULL, &l)) return NULL;
    return upper ? terni_t(l) : l;
}

tern_tensor *tern_cholesky_solve(tern_tensor *b, tern_tensor *l, bool upper) {
    TERNI_NAMED("cholesky_solve");
    TERNI_AUTOCAST(F32, &b, &l);
    if (!terni_given(b, "cholesky_solve", "b") || !terni_matrix("cholesky_solve", "l", l, true) ||
        !terni_system("cholesky_solve", l, true, b))
        return NULL;
    tern_shape wide;
    if (b->v.ndim < 2 || terni_rows(b) != terni_rows(l))
        return terni_null(TERN_ERR_SHAPE, "cholesky_solve: b %s, l %s: expected [..., N, K] and [..., N, N]",
                          terni_describe(b), terni_describe(l));
    if (!terni_broadcast("cholesky_solve", terni_batch(l, 2), terni_batch(b, 2), &wide)) return NULL;
    tern_tensor *y = tern_triangular_solve(l, b, (tern_triangular_solve_opts){.upper = upper, .transposed = upper});
    return tern_triangular_solve(l, y, (tern_triangular_solve_opts){.upper = upper, .transposed = !upper});
}

tern_tensor *tern_cholesky_inverse(tern_tensor *l, bool upper) {
    TERNI_NAMED("cholesky_inverse");
    TERNI_AUTOCAST(F32, &l);
    return terni_matrix("cholesky_inverse", "l", l, true) ? tern_cholesky_solve(terni_eye(terni_rows(l), l), l, upper)
                                                          : NULL;
}
