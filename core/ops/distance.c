/* Distances: composites. */
#include <math.h>

#include "casting.h"
#include "ops/losses.h"

static const char *const pair[] = {"a", "b"};

static bool good_p(const char *op, double p) {
    return p >= 0 || terni_fail(TERN_ERR_ARGUMENT, "%s: p %g, expected 0 or above", op, p);
}

/* A distance is a loss without a reduction. */
static bool begin(terni_loss *l, const char *op, tern_tensor **t, double p) {
    *l = (terni_loss){op, TERN_REDUCE_NONE, TERN_F32};
    return terni_loss_begin(l, t, pair, 2) && good_p(op, p);
}

tern_tensor *tern_cosine_similarity(tern_tensor *a, tern_tensor *b, int dim, double eps) {
    TERNI_NAMED("cosine_similarity");
    TERNI_AUTOCAST(F32, &a, &b);
    terni_loss l;
    tern_tensor *t[2] = {a, b};
    if (!begin(&l, "cosine_similarity", t, 2)) return NULL;
    const int ndim = a->v.ndim > b->v.ndim ? a->v.ndim : b->v.ndim, d = terni_dim(l.op, dim, ndim) - ndim;
    if (!tern_ok()) return NULL;
    tern_tensor *wide[2];
    if (!tern_broadcast_tensors(t, 2, wide)) return NULL;
    tern_tensor *dot = tern_sum(tern_mul(wide[0], wide[1]), &d, 1, false), *size[2];
    for (int i = 0; i < 2; i++) {
        size[i] = terni_norm_over(wide[i], 2, d, false);
        size[i] = tern_maximum(size[i], terni_beside(size[i], eps));
    }
    return terni_loss_end(&l, tern_div(dot, tern_mul(size[0], size[1])));
}

tern_tensor *tern_pairwise_distance(tern_tensor *a, tern_tensor *b, double p, double eps, bool keepdim) {
    TERNI_NAMED("pairwise_distance");
    TERNI_AUTOCAST(F32, &a, &b);
    terni_loss l;
    tern_tensor *t[2] = {a, b};
    if (!begin(&l, "pairwise_distance", t, p)) return NULL;
    if (a->v.ndim < 1 && b->v.ndim < 1)
        return terni_null(TERN_ERR_SHAPE, "pairwise_distance: a [] and b [], expected [..., D]");
    return terni_loss_end(&l, terni_norm_over(tern_add_scalar(tern_sub(t[0], t[1]), eps), p, -1, keepdim));
}

/* Sizes from which a matrix product is used, as in PyTorch. */
enum { MANY = 25 };

/* |x - y|^2 = |x|^2 + |y|^2 - 2 x y, about the mean of all y, so that only the spread of the points is squared. */
static tern_tensor *by_product(tern_tensor *a, tern_tensor *b) {
    const int last = -1, rows = -2;
    const bool was = tern_grad_mode(false);
    tern_tensor *centre = tern_mean(b, &rows, 1, true);
    tern_grad_mode(was);
    tern_tensor *x = tern_sub(a, centre), *y = tern_sub(b, centre);
    tern_tensor *xx = tern_sum(tern_square(x), &last, 1, true);
    tern_tensor *yy = tern_transpose(tern_sum(tern_square(y), &last, 1, true), -1, -2);
    tern_tensor *s = tern_sub(tern_add(xx, yy), tern_mul_scalar(tern_matmul(x, tern_transpose(y, -1, -2)), 2));
    tern_tensor *zero = terni_beside(s, 0), *far = tern_gt(s, zero);
    return tern_where(far, tern_sqrt(tern_where(far, s, terni_beside(s, 1))), zero);
}

tern_tensor *tern_cdist(tern_tensor *a, tern_tensor *b, double p) {
    TERNI_NAMED("cdist");
    TERNI_AUTOCAST(F32, &a, &b);
    static const char op[] = "cdist";
    if (!terni_given(a, op, "a") || !terni_given(b, op, "b")) return NULL;
    if (a->v.ndim < 2 || b->v.ndim < 2 || a->v.shape[a->v.ndim - 1] != b->v.shape[b->v.ndim - 1])
        return terni_null(TERN_ERR_SHAPE, "cdist: a %s and b %s, expected [..., P, M] and [..., R, M]",
                          terni_shape_str(terni_shape(a)), terni_shape_str(terni_shape(b)));
    if (a->v.ndim == TERN_MAX_DIMS || b->v.ndim == TERN_MAX_DIMS)
        return terni_null(TERN_ERR_SHAPE, "cdist: a %s and b %s have too many dimensions",
                          terni_shape_str(terni_shape(a)), terni_shape_str(terni_shape(b)));
    const int64_t rows_a = a->v.shape[a->v.ndim - 2], rows_b = b->v.shape[b->v.ndim - 2];
    terni_loss l = {op, TERN_REDUCE_NONE, TERN_F32};
    tern_tensor *t[2] = {tern_unsqueeze(a, -2), tern_unsqueeze(b, -3)};
    const bool product = p == 2 && (rows_a > MANY || rows_b > MANY) && rows_b > 0;
    if (!terni_loss_begin(&l, t, pair, 2) || !good_p(op, p)) return NULL;
    if (product) return terni_loss_end(&l, by_product(tern_squeeze(t[0], -2), tern_squeeze(t[1], -3)));
    return terni_loss_end(&l, terni_norm_over(tern_sub(t[0], t[1]), p, -1, false));
}

tern_tensor *tern_pdist(tern_tensor *x, double p) {
    TERNI_NAMED("pdist");
    TERNI_AUTOCAST(F32, &x);
    static const char op[] = "pdist";
    terni_loss l = {op, TERN_REDUCE_NONE, TERN_F32};
    if (!terni_loss_begin(&l, &x, (const char *const[]){"x"}, 1) || !good_p(op, p)) return NULL;
    if (x->v.ndim != 2)
        return terni_null(TERN_ERR_SHAPE, "pdist: x %s, expected [N, M]", terni_shape_str(terni_shape(x)));
    tern_tensor *pairs = tern_triu_indices(x->v.shape[0], x->v.shape[0], 1, x->device);
    tern_tensor *i = tern_select(pairs, 0, 0), *j = tern_select(pairs, 0, 1);
    tern_tensor *e = tern_sub(tern_index_select(x, 0, i), tern_index_select(x, 0, j));
    return terni_loss_end(&l, terni_norm_over(e, p, -1, false));
}
