/* Losses with a margin: composites. */
#include "casting.h"
#include "ops/losses.h"
#include "ops/scatter.h"

/* ---- rankings, embeddings ---------------------------------------------------------------------------------------- */

tern_tensor *tern_margin_ranking_loss(tern_tensor *a, tern_tensor *b, tern_tensor *target, double margin,
                                      tern_reduction reduction) {
    TERNI_NAMED("margin_ranking_loss");
    TERNI_AUTOCAST(F32, &a, &b, &target);
    terni_loss l = {"margin_ranking_loss", reduction, TERN_F32};
    tern_tensor *t[3] = {a, b, target};
    if (!terni_loss_begin(&l, t, (const char *const[]){"a", "b", "target"}, 3)) return NULL;
    return terni_loss_end(&l, tern_relu(tern_add_scalar(tern_mul(t[2], tern_sub(t[1], t[0])), margin)));
}

/* yes where target is 1, no where it is -1; their sum where it is neither; as in PyTorch. */
static tern_tensor *choose(tern_tensor *target, tern_tensor *yes, tern_tensor *no, bool both) {
    tern_tensor *zero = terni_beside(yes, 0), *one = terni_beside(target, 1), *minus = terni_beside(target, -1);
    if (both)
        return tern_add(tern_where(tern_ne(target, minus), yes, zero), tern_where(tern_ne(target, one), no, zero));
    return tern_add(tern_where(tern_eq(target, one), yes, zero), tern_where(tern_eq(target, minus), no, zero));
}

tern_tensor *tern_hinge_embedding_loss(tern_tensor *input, tern_tensor *target, double margin,
                                       tern_reduction reduction) {
    TERNI_NAMED("hinge_embedding_loss");
    TERNI_AUTOCAST(F32, &input, &target);
    terni_loss l = {"hinge_embedding_loss", reduction, TERN_F32};
    tern_tensor *t[2] = {input, target};
    if (!terni_loss_begin(&l, t, (const char *const[]){"input", "target"}, 2)) return NULL;
    return terni_loss_end(&l, choose(t[1], t[0], tern_relu(tern_rsub_scalar(t[0], margin)), true));
}

tern_tensor *tern_cosine_embedding_loss(tern_tensor *a, tern_tensor *b, tern_tensor *target, double margin,
                                        tern_reduction reduction) {
    TERNI_NAMED("cosine_embedding_loss");
    TERNI_AUTOCAST(F32, &a, &b, &target);
    static const char op[] = "cosine_embedding_loss";
    const int last = -1;
    terni_loss l = {op, reduction, TERN_F32};
    tern_tensor *t[2] = {a, b};
    if (!terni_given(target, op, "target") || !terni_loss_begin(&l, t, (const char *const[]){"a", "b"}, 2) ||
        !terni_loss_alike(op, "a", a, "b", b) || !terni_same_device(op, (tern_tensor *const[]){a, target}, 2, NULL))
        return NULL;
    if (a->v.ndim < 1 || a->v.ndim > 2 || target->v.ndim != a->v.ndim - 1 ||
        (a->v.ndim == 2 && target->numel != a->v.shape[0]))
        return terni_null(TERN_ERR_SHAPE, "%s: a %s and target %s, expected [N, D] and [N]", op,
                          terni_shape_str(terni_shape(a)), terni_shape_str(terni_shape(target)));
    tern_tensor *dot = tern_sum(tern_mul(t[0], t[1]), &last, 1, false), *size[2];
    for (int i = 0; i < 2; i++) size[i] = tern_add_scalar(tern_sum(tern_square(t[i]), &last, 1, false), 1e-12);
    tern_tensor *cos = tern_mul(dot, tern_rsqrt(tern_mul(size[0], size[1])));
    tern_tensor *no = tern_relu(tern_sub_scalar(cos, margin));
    tern_tensor *sign = cos ? tern_cast(tern_detach(target), terni_dtype(cos)) : NULL;
    return terni_loss_end(&l, choose(sign, tern_rsub_scalar(cos, 1), no, false));
}

tern_tensor *tern_triplet_margin_loss(tern_tensor *anchor, tern_tensor *positive, tern_tensor *negative, double margin,
                                      tern_triplet_margin_opts opts) {
    TERNI_NAMED("triplet_margin_loss");
    TERNI_AUTOCAST(F32, &anchor, &positive, &negative);
    static const char op[] = "triplet_margin_loss";
    terni_loss l = {op, opts.reduction, TERN_F32};
    tern_tensor *t[3] = {anchor, positive, negative};
    if (!terni_loss_begin(&l, t, (const char *const[]){"anchor", "positive", "negative"}, 3)) return NULL;
    const double p = opts.p == 0 ? 2 : opts.p, eps = opts.eps == 0 ? 1e-6 : opts.eps;
    if (!(p > 0)) return terni_null(TERN_ERR_ARGUMENT, "%s: p %g, expected above 0", op, p);
    if (!anchor->v.ndim && !positive->v.ndim && !negative->v.ndim)
        return terni_null(TERN_ERR_SHAPE, "%s: anchor [], expected [..., D]", op);
    tern_tensor *far = tern_pairwise_distance(t[0], t[2], p, eps, false);
    if (opts.swap) far = tern_minimum(far, tern_pairwise_distance(t[1], t[2], p, eps, false));
    tern_tensor *near = tern_pairwise_distance(t[0], t[1], p, eps, false);
    return terni_loss_end(&l, tern_relu(tern_add_scalar(tern_sub(near, far), margin)));
}

/* ---- classes --------------------------------------------------------------------------------------------------------
 */

/* input [N, C] or [C] as rows of the dtype of accumulation. */
static tern_tensor *rows_of(const terni_loss *l, tern_tensor *input) {
    if (input->v.ndim < 1 || input->v.ndim > 2)
        return terni_null(TERN_ERR_SHAPE, "%s: input %s, expected [N, C] or [C]", l->op,
                          terni_shape_str(terni_shape(input)));
    tern_tensor *x = input->v.ndim == 1 ? tern_unsqueeze(input, 0) : input;
    return x ? tern_cast(x, l->dtype == TERN_F64 ? TERN_F64 : TERN_F32) : NULL;
}

/* One value a row, for input's rows: 0-dim if it is a row itself. */
static tern_tensor *end_rows(const terni_loss *l, tern_tensor *each, tern_tensor *input) {
    if (each && input->v.ndim == 1) each = tern_reshape(each, tern_shape_scalar());
    return terni_loss_end(l, each);
}

tern_tensor *tern_multi_margin_loss(tern_tensor *input, tern_tensor *target, int p, double margin,
                                    tern_multi_margin_opts opts) {
    TERNI_NAMED("multi_margin_loss");
    TERNI_AUTOCAST(F32, &input, &opts.weight);
    static const char op[] = "multi_margin_loss";
    const int last = -1;
    terni_loss l = {op, opts.reduction, TERN_F32};
    tern_tensor *const all[3] = {input, target, opts.weight};
    if (!terni_loss_of(&l, input) || !terni_class_target(op, target) || !terni_same_device(op, all, 3, NULL))
        return NULL;
    if (p != 1 && p != 2) return terni_null(TERN_ERR_ARGUMENT, "%s: p %d, expected 1 or 2", op, p);
    tern_tensor *x = rows_of(&l, input);
    if (!x || !terni_class_weight(op, opts.weight, x->v.shape[1])) return NULL;
    if (target->v.ndim != input->v.ndim - 1 || target->numel != x->v.shape[0])
        return terni_null(TERN_ERR_SHAPE, "%s: input %s and target %s, expected [N, C] and [N]", op,
                          terni_shape_str(terni_shape(input)), terni_shape_str(terni_shape(target)));
    if (x->v.shape[1] < 1)
        return terni_null(TERN_ERR_SHAPE, "%s: input %s has no classes", op, terni_shape_str(terni_shape(input)));
    tern_tensor *t = tern_cast(tern_reshape(target, TERN_SHAPE(x->v.shape[0], 1)), TERN_I64);
    tern_tensor *classes = tern_arange(0, (double)x->v.shape[1], (tern_options){TERN_I64, x->device});
    tern_tensor *over = tern_relu(tern_add_scalar(tern_sub(x, terni_gather(op, x, 1, t)), margin));
    if (p == 2) over = tern_square(over);
    tern_tensor *each = tern_mean(tern_where(tern_ne(classes, t), over, terni_beside(x, 0)), &last, 1, false);
    if (opts.weight && each) {
        tern_tensor *w = tern_index_select(tern_cast(opts.weight, terni_dtype(x)), 0, tern_select(t, 1, 0));
        each = tern_mul(each, w);
    }
    return end_rows(&l, each, input);
}

tern_tensor *tern_multilabel_margin_loss(tern_tensor *input, tern_tensor *target, tern_reduction reduction) {
    TERNI_NAMED("multilabel_margin_loss");
    TERNI_AUTOCAST(F32, &input);
    static const char op[] = "multilabel_margin_loss";
    terni_loss l = {op, reduction, TERN_F32};
    tern_tensor *const all[2] = {input, target};
    if (!terni_loss_of(&l, input) || !terni_class_target(op, target) ||
        !terni_loss_alike(op, "input", input, "target", target) || !terni_same_device(op, all, 2, NULL))
        return NULL;
    tern_tensor *x = rows_of(&l, input);
    if (!x) return NULL;
    const int64_t n = x->v.shape[0], c = x->v.shape[1];
    if (c < 1)
        return terni_null(TERN_ERR_SHAPE, "%s: input %s has no classes", op, terni_shape_str(terni_shape(input)));
    const tern_options like = {terni_dtype(x), x->device};
    tern_tensor *t = tern_cast(tern_reshape(target, TERN_SHAPE(n, c)), TERN_I64), *zero = terni_beside(t, 0);
    /* Targets count up to the first negative one: where the number of negative ones so far is 0. */
    tern_tensor *ended = tern_cast(tern_lt(t, zero), terni_dtype(x));
    tern_tensor *so_far = tern_matmul(ended, tern_triu(tern_ones(TERN_SHAPE(c, c), like), 0));
    tern_tensor *counts = tern_eq(so_far, terni_beside(so_far, 0)), *safe = tern_where(counts, t, zero);
    tern_tensor *one = so_far ? tern_cast(counts, terni_dtype(x)) : NULL;
    if (!safe || !one) return NULL;
    tern_tensor *hits = terni_scatter_add(op, tern_zeros(TERN_SHAPE(n, c), like), 1, safe, one);
    tern_tensor *other = tern_cast(tern_eq(hits, terni_beside(hits, 0)), terni_dtype(x));
    tern_tensor *xj = tern_unsqueeze(terni_gather(op, x, 1, safe), 2), *xk = tern_unsqueeze(x, 1);
    tern_tensor *over = tern_relu(tern_add_scalar(tern_sub(xk, xj), 1));
    over = tern_mul(tern_mul(over, tern_unsqueeze(one, 2)), tern_unsqueeze(other, 1));
    tern_tensor *each = tern_div_scalar(tern_sum(over, (const int[]){1, 2}, 2, false), (double)c);
    return end_rows(&l, each, input);
}
