/* det and slogdet, by LU. The gradient of det is the matrix of cofactors: det(a) a^-T where a is regular, else by SVD.
 */
#include <float.h>
#include <math.h>

#include "casting.h"
#include "ops/lu.h"

static bool lu_det(const terni_lu *f, tern_tensor *det, tern_tensor *sign, tern_tensor *logabs) {
    const terni_view *const in[2] = {&f->lu->v, &f->pivots->v};
    const terni_view *const out[3] = {det ? &det->v : NULL, sign ? &sign->v : NULL, logabs ? &logabs->v : NULL};
    return terni_run_views(TERNI_OP_lu_det, f->lu->device, in, 2, out, 3, NULL);
}

static tern_tensor *number(tern_tensor *a) { return terni_new(terni_batch(a, 2), terni_dtype(a), a->device); }

/* x [...] as [..., 1, 1]. */
static tern_tensor *over_matrices(tern_tensor *x) { return tern_unsqueeze(tern_unsqueeze(x, -1), -1); }

static bool det_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    terni_lu f;
    out[0] = number(in[0]);
    return out[0] && terni_lu_of("det", in[0], &f) && lu_det(&f, out[0], NULL, NULL) && tern_ctx_save(ctx, in[0]) &&
           tern_ctx_save(ctx, out[0]) && tern_ctx_save(ctx, f.lu);
}

/* Some matrix of the batch has pivots so far apart that its inverse means nothing. Waits for the device. */
static bool near_singular(tern_tensor *lu) {
    const bool was = tern_grad_mode(false);
    const int last = -1;
    const double eps = (terni_dtype(lu) == TERN_F64 ? DBL_EPSILON : (double)FLT_EPSILON) * (double)terni_rows(lu);
    tern_tensor *d = tern_abs(terni_diag(lu));
    tern_tensor *small = tern_min(d, &last, 1, false), *large = tern_max(d, &last, 1, false);
    tern_tensor *bad = tern_le(small, tern_mul_scalar(large, eps));
    const bool any = tern_item(tern_sum(bad, NULL, 0, false)) > 0;
    tern_grad_mode(was);
    return any;
}

/* Products over the last dimension, by halves. */
static tern_tensor *product(tern_tensor *x) {
    for (int64_t n; x && (n = terni_cols(x)) > 1;) {
        tern_tensor *y = tern_mul(tern_slice(x, -1, 0, n / 2, 1), tern_slice(x, -1, n / 2, n / 2 * 2, 1));
        tern_tensor *const parts[2] = {y, n % 2 ? tern_slice(x, -1, n - 1, n, 1) : NULL};
        x = n % 2 ? tern_cat(parts, 2, -1) : y;
    }
    return x;
}

/* det(u) det(v) u diag(products of the other singular values) v^T. Signs do not depend on a smoothly: they are
 * constants. */
static tern_tensor *cofactors_by_svd(tern_tensor *a) {
    tern_tensor *u, *vh, *s = tern_svd(a, false, &u, &vh);
    if (!s) return NULL;
    const int64_t n = terni_rows(a);
    tern_tensor *sign = tern_mul(tern_det(tern_detach(u)), tern_det(tern_detach(vh)));
    tern_tensor *eye = tern_ne(terni_eye(n, a), tern_scalar(0, (tern_options){terni_dtype(a), tern_cpu()}));
    tern_tensor *others = tern_where(eye, tern_scalar(1, (tern_options){terni_dtype(a), tern_cpu()}),
                                     tern_unsqueeze(s, -2)); /* row i: all singular values but the i-th */
    tern_tensor *scale = tern_mul(tern_squeeze(product(others), -1), tern_unsqueeze(sign, -1));
    return tern_matmul(tern_mul(u, tern_unsqueeze(scale, -2)), vh);
}

static bool det_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    tern_tensor *a = tern_ctx_saved(ctx, 0), *det = tern_ctx_saved(ctx, 1), *lu = tern_ctx_saved(ctx, 2);
    if (!a || !det || !lu) return false;
    if (a->numel == 0) return true;
    const bool singular = near_singular(lu);
    if (!tern_ok()) return false;
    gin[0] = singular ? tern_mul(over_matrices(gout[0]), cofactors_by_svd(a))
                      : tern_mul(over_matrices(tern_mul(gout[0], det)), terni_t(tern_inverse(a)));
    return gin[0] != NULL;
}

static const tern_function det_function = {"det", 1, 0, det_forward, det_backward, NULL};

tern_tensor *tern_det(tern_tensor *a) {
    TERNI_NAMED("det");
    TERNI_AUTOCAST(F32, &a);
    tern_tensor *y;
    return terni_matrix("det", "a", a, true) && tern_apply(&det_function, &a, 1, NULL, &y) ? y : NULL;
}

/* ---- slogdet ----------------------------------------------------------------------------------------------------- */

static bool slogdet_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) { /* logabs, sign */
    (void)n;
    terni_lu f;
    out[0] = number(in[0]);
    out[1] = number(in[0]);
    return out[0] && out[1] && terni_lu_of("slogdet", in[0], &f) && lu_det(&f, NULL, out[1], out[0]) &&
           tern_ctx_save(ctx, in[0]) && tern_ctx_save(ctx, f.info);
}

static bool slogdet_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    tern_tensor *a = tern_ctx_saved(ctx, 0), *info = tern_ctx_saved(ctx, 1);
    if (!a || !info) return false;
    if (!gout[0] || a->numel == 0) return true;
    const int scope = tern_scope_push();
    const bool singular = tern_item(tern_max(info, NULL, 0, false)) != 0;
    tern_scope_pop(scope);
    if (!tern_ok()) return false;
    if (singular) return terni_fail(TERN_ERR_AUTOGRAD, "slogdet: there is no gradient, as a matrix is singular");
    gin[0] = tern_mul(over_matrices(gout[0]), terni_t(tern_inverse(a)));
    return gin[0] != NULL;
}

static const tern_function slogdet_function = {"slogdet", 2, 0, slogdet_forward, slogdet_backward, NULL};

tern_tensor *tern_slogdet(tern_tensor *a, tern_tensor **sign) {
    TERNI_NAMED("slogdet");
    TERNI_AUTOCAST(F32, &a);
    tern_tensor *out[2];
    if (sign) *sign = NULL;
    if (!terni_matrix("slogdet", "a", a, true) || !tern_apply(&slogdet_function, &a, 1, NULL, out)) return NULL;
    if (sign) *sign = out[1];
    return out[0];
}
