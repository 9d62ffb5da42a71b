/* eigh and eigvalsh: eigenvalues and eigenvectors of symmetric matrices. */
#include "casting.h"
#include "ops/matrices.h"

static const char failed[] = "did not converge";

static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) { /* w, v */
    (void)n;
    tern_tensor *a = in[0];
    const tern_shape batch = terni_batch(a, 2);
    out[0] = terni_new(terni_batch_of1(batch, terni_rows(a)), terni_dtype(a), a->device);
    out[1] = terni_by_columns("eigh", batch, terni_rows(a), terni_rows(a), a);
    tern_tensor *info = terni_new(batch, TERN_I32, a->device);
    if (!out[0] || !out[1] || !info) return false;
    tern_tensor *const results[3] = {out[0], out[1], info};
    return terni_run(TERNI_OP_eigh, in, 1, results, 3, NULL) && terni_info("eigh", info, failed) &&
           tern_ctx_save(ctx, out[0]) && tern_ctx_save(ctx, out[1]);
}

/* a' = v (w' + skew(v^T v') / 2 e) v^T, e[i][j] = w[j] - w[i]. */
static bool backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    tern_tensor *w = tern_ctx_saved(ctx, 0), *v = tern_ctx_saved(ctx, 1), *core = NULL;
    if (!w || !v) return false;
    if (gout[0]) core = terni_diag_of(gout[0]);
    if (gout[1]) {
        tern_tensor *e = tern_add(tern_sub(tern_unsqueeze(w, -2), tern_unsqueeze(w, -1)), terni_eye(terni_rows(v), v));
        tern_tensor *vv = tern_matmul(terni_t(v), gout[1]);
        core = terni_plus(core, tern_div(tern_mul_scalar(tern_sub(vv, terni_t(vv)), 0.5), e));
    }
    if (core) gin[0] = tern_matmul(tern_matmul(v, core), terni_t(v));
    return tern_ok();
}

static const tern_function function = {"eigh", 2, 0, forward, backward, NULL};

/* Without vectors; not recorded. */
static tern_tensor *values(tern_tensor *a) {
    const tern_shape batch = terni_batch(a, 2);
    tern_tensor *w = terni_new(terni_batch_of1(batch, terni_rows(a)), terni_dtype(a), a->device);
    tern_tensor *info = terni_new(batch, TERN_I32, a->device);
    if (!w || !info) return NULL;
    tern_tensor *const results[3] = {w, NULL, info};
    return terni_run(TERNI_OP_eigh, &a, 1, results, 3, NULL) && terni_info("eigh", info, failed) ? w : NULL;
}

tern_tensor *tern_eigh(tern_tensor *a, bool upper, tern_tensor **v) {
    TERNI_NAMED("eigh");
    TERNI_AUTOCAST(F32, &a);
    if (v) *v = NULL;
    if (!terni_matrix("eigh", "a", a, true)) return NULL;
    if (upper) a = terni_t(a);
    if (!a) return NULL;
    if (!v && !(terni_recording() && terni_wants(a))) return values(a);
    tern_tensor *out[2];
    if (!tern_apply(&function, &a, 1, NULL, out)) return NULL;
    if (v) *v = out[1];
    return out[0];
}

tern_tensor *tern_eigvalsh(tern_tensor *a, bool upper) {
    TERNI_NAMED("eigvalsh");
    TERNI_AUTOCAST(F32, &a);
    return terni_matrix("eigvalsh", "a", a, true) ? tern_eigh(a, upper, NULL) : NULL;
}
