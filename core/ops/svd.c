/* svd and svdvals; pinv and matrix_rank, which are about singular values. */
#include <float.h>

#include "casting.h"
#include "ops/matrices.h"

typedef struct options {
    bool full;
} options;

static const char failed[] = "did not converge";

static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) { /* s, u, vh */
    (void)n;
    const options *o = tern_ctx_opts(ctx);
    tern_tensor *a = in[0];
    const tern_shape batch = terni_batch(a, 2);
    const int64_t rows = terni_rows(a), cols = terni_cols(a), k = rows < cols ? rows : cols;
    out[0] = terni_new(terni_batch_of1(batch, k), terni_dtype(a), a->device);
    out[1] = terni_by_rows("svd", batch, rows, o->full ? rows : k, a);
    out[2] = terni_by_rows("svd", batch, o->full ? cols : k, cols, a);
    tern_tensor *info = terni_new(batch, TERN_I32, a->device);
    if (!out[0] || !out[1] || !out[2] || !info) return false;
    tern_tensor *const results[4] = {out[1], out[0], out[2], info};
    return terni_run(TERNI_OP_svd, in, 1, results, 4, NULL) && terni_info("svd", info, failed) &&
           tern_ctx_save(ctx, out[0]) && tern_ctx_save(ctx, out[1]) && tern_ctx_save(ctx, out[2]) &&
           tern_ctx_save(ctx, o->full ? a : NULL);
}

static tern_tensor *skew(tern_tensor *x) { return tern_sub(x, terni_t(x)); }

/* a' = u [(skew(u^T u') / e) s + s (skew(v^T v') / e) + s'] v^T, and what of u' and v' lies outside of u's and v's
 * spans over s; e[i][j] = s[j]^2 - s[i]^2. */
static tern_tensor *gradient(tern_tensor *const *gout, tern_tensor *s, tern_tensor *u, tern_tensor *vh) {
    tern_tensor *gs = gout[0], *gu = gout[1], *gvh = gout[2];
    tern_tensor *row = tern_unsqueeze(s, -2), *column = tern_unsqueeze(s, -1);
    const int64_t k = s->v.shape[s->v.ndim - 1];
    tern_tensor *core = gs ? terni_diag_of(gs) : NULL, *e = NULL, *uu = NULL, *vv = NULL;
    if (gu || gvh) e = tern_add(tern_mul(tern_sub(row, column), tern_add(row, column)), terni_eye(k, s));
    if (gu) {
        uu = tern_matmul(terni_t(u), gu);
        core = terni_plus(core, tern_mul(tern_div(skew(uu), e), row));
    }
    if (gvh) {
        vv = tern_matmul(gvh, terni_t(vh));
        core = terni_plus(core, tern_mul(column, tern_div(skew(terni_t(vv)), e)));
    }
    tern_tensor *left = core ? tern_matmul(u, core) : NULL;
    if (gu && terni_rows(u) > k) left = tern_add(left, tern_div(tern_sub(gu, tern_matmul(u, uu)), row));
    tern_tensor *g = left ? tern_matmul(left, vh) : NULL;
    if (gvh && terni_cols(vh) > k) g = terni_plus(g, tern_matmul(tern_div(u, row), tern_sub(gvh, tern_matmul(vv, vh))));
    return g;
}

static bool backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    tern_tensor *s = tern_ctx_saved(ctx, 0), *u = tern_ctx_saved(ctx, 1), *vh = tern_ctx_saved(ctx, 2);
    if (!s || !u || !vh) return false;
    const int64_t k = s->v.shape[s->v.ndim - 1];
    if ((gout[1] && terni_cols(u) > k) || (gout[2] && terni_rows(vh) > k))
        return terni_fail(TERN_ERR_AUTOGRAD, "svd: a full u %s or vh %s of %lld singular values has no gradient",
                          terni_shape_str(terni_shape(u)), terni_shape_str(terni_shape(vh)), (long long)k);
    const bool more = terni_cols(u) > k || terni_rows(vh) > k;
    if (more && terni_recording()) { /* for a gradient through the vectors in what follows */
        tern_tensor *a = tern_ctx_saved(ctx, 3);
        s = a ? tern_svd(a, false, &u, &vh) : NULL;
        if (!s) return false;
    } else if (more) {
        u = tern_slice(u, -1, 0, k, 1);
        vh = tern_slice(vh, -2, 0, k, 1);
    }
    gin[0] = gradient(gout, s, u, vh);
    return tern_ok();
}

static const tern_function function = {"svd", 3, sizeof(options), forward, backward, NULL};

/* Without vectors; not recorded. */
static tern_tensor *values(tern_tensor *a) {
    const tern_shape batch = terni_batch(a, 2);
    const int64_t rows = terni_rows(a), cols = terni_cols(a);
    tern_tensor *s = terni_new(terni_batch_of1(batch, rows < cols ? rows : cols), terni_dtype(a), a->device);
    tern_tensor *info = terni_new(batch, TERN_I32, a->device);
    if (!s || !info) return NULL;
    const terni_view *const in = &a->v;
    const terni_view *const out[4] = {NULL, &s->v, NULL, &info->v};
    return terni_run_views(TERNI_OP_svd, a->device, &in, 1, out, 4, NULL) && terni_info("svd", info, failed) ? s : NULL;
}

tern_tensor *tern_svd(tern_tensor *a, bool full, tern_tensor **u, tern_tensor **vh) {
    TERNI_NAMED("svd");
    TERNI_AUTOCAST(F32, &a);
    if (u) *u = NULL;
    if (vh) *vh = NULL;
    if (!terni_matrix("svd", "a", a, false)) return NULL;
    if (!u && !vh && !(terni_recording() && terni_wants(a))) return values(a);
    tern_tensor *out[3];
    const options o = {full && (u || vh)};
    if (!tern_apply(&function, &a, 1, &o, out)) return NULL;
    if (u) *u = out[1];
    if (vh) *vh = out[2];
    return out[0];
}

tern_tensor *tern_svdvals(tern_tensor *a) {
    TERNI_NAMED("svdvals");
    TERNI_AUTOCAST(F32, &a);
    return terni_matrix("svdvals", "a", a, false) ? tern_svd(a, false, NULL, NULL) : NULL;
}

/* ---- pinv, matrix_rank ------------------------------------------------------------------------------------------- */

static double default_rtol(const tern_tensor *a) {
    const int64_t longer = terni_rows(a) > terni_cols(a) ? terni_rows(a) : terni_cols(a);
    return (terni_dtype(a) == TERN_F64 ? DBL_EPSILON : (double)FLT_EPSILON) * (double)longer;
}

/* rtol times the largest singular value, [..., 1]; s [..., K], K > 0. */
static tern_tensor *threshold(tern_tensor *s, double rtol) { return tern_mul_scalar(tern_slice(s, -1, 0, 1, 1), rtol); }

static bool pinv_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const double *rtol = tern_ctx_opts(ctx);
    tern_tensor *a = in[0], *u, *vh, *s = tern_svd(a, false, &u, &vh);
    if (!s) return false;
    if (terni_cols(u) == 0) {
        out[0] = tern_zeros(terni_batch_of(terni_batch(a, 2), terni_cols(a), terni_rows(a)),
                            (tern_options){terni_dtype(a), a->device});
    } else {
        tern_tensor *zero = tern_scalar(0, (tern_options){terni_dtype(a), tern_cpu()});
        tern_tensor *scale = tern_where(tern_gt(s, threshold(s, *rtol)), tern_reciprocal(s), zero);
        out[0] = tern_matmul(tern_mul(terni_t(vh), tern_unsqueeze(scale, -2)), terni_t(u));
    }
    return out[0] && tern_ctx_save(ctx, a) && tern_ctx_save(ctx, out[0]);
}

/* a' = -p^T p' p^T + (1 - a p) p'^T p p^T + p^T p p'^T (1 - p a). */
static bool pinv_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    tern_tensor *a = tern_ctx_saved(ctx, 0), *p = tern_ctx_saved(ctx, 1), *g = gout[0];
    if (!a || !p) return false;
    tern_tensor *pt = terni_t(p), *gt = terni_t(g);
    tern_tensor *x = tern_matmul(tern_matmul(gt, p), pt), *y = tern_matmul(pt, tern_matmul(p, gt));
    x = tern_sub(x, tern_matmul(a, tern_matmul(p, x)));
    y = tern_sub(y, tern_matmul(tern_matmul(y, p), a));
    gin[0] = tern_sub(tern_add(x, y), tern_matmul(tern_matmul(pt, g), pt));
    return gin[0] != NULL;
}

static const tern_function pinv_function = {"pinv", 1, sizeof(double), pinv_forward, pinv_backward, NULL};

tern_tensor *tern_pinv(tern_tensor *a, double rtol) {
    TERNI_NAMED("pinv");
    TERNI_AUTOCAST(F32, &a);
    tern_tensor *p;
    if (!terni_matrix("pinv", "a", a, false)) return NULL;
    if (!(rtol >= 0)) return terni_null(TERN_ERR_ARGUMENT, "pinv: rtol %g, expected 0 or more", rtol);
    if (rtol <= 0) rtol = default_rtol(a);
    return tern_apply(&pinv_function, &a, 1, &rtol, &p) ? p : NULL;
}

tern_tensor *tern_matrix_rank(tern_tensor *a, double atol, double rtol) {
    TERNI_NAMED("matrix_rank");
    TERNI_AUTOCAST(F32, &a);
    if (!terni_matrix("matrix_rank", "a", a, false)) return NULL;
    if (!(atol >= 0) || !(rtol >= 0))
        return terni_null(TERN_ERR_ARGUMENT, "matrix_rank: atol %g, rtol %g, expected 0 or more", atol, rtol);
    if (atol <= 0 && rtol <= 0) rtol = default_rtol(a);
    const bool was = tern_grad_mode(false);
    const int last = -1;
    tern_tensor *s = tern_svd(a, false, NULL, NULL), *y = NULL;
    if (s && s->v.shape[s->v.ndim - 1] == 0) {
        y = tern_zeros(terni_batch(a, 2), (tern_options){TERN_I64, a->device});
    } else if (s) {
        tern_tensor *least = tern_scalar(atol, (tern_options){terni_dtype(a), tern_cpu()});
        y = tern_sum(tern_gt(s, tern_maximum(threshold(s, rtol), least)), &last, 1, false);
    }
    tern_grad_mode(was);
    return y;
}
