/* nll_loss, and the forms of cross_entropy that its fused kernel does not know: composites. */
#include "casting.h"
#include "ops/nll_loss.h"

#include "ops/normalise.h"
#include "ops/scatter.h"

enum { ALWAYS_IGNORED = -100 };

/* bool: which class numbers count. */
static tern_tensor *counted(tern_tensor *t, int64_t ignore_index) {
    tern_tensor *yes = tern_ne(t, terni_beside(t, ALWAYS_IGNORED));
    if (ignore_index == ALWAYS_IGNORED) return yes;
    tern_tensor *index = tern_from(&ignore_index, tern_shape_scalar(), (tern_options){TERN_I64, tern_cpu()});
    if (index && t) index = tern_to(index, t->device);
    return tern_where(yes, tern_ne(t, index), yes);
}

tern_tensor *terni_nll_of(const terni_loss *l, tern_tensor *logp, tern_tensor *target, const terni_nll *o) {
    tern_tensor *t = tern_cast(target, TERN_I64), *zero = terni_beside(t, 0), *w = o->weight;
    tern_tensor *yes = counted(t, o->ignore_index), *safe = tern_where(yes, t, zero);
    if (!safe || !logp) return NULL;
    const tern_options like = {terni_dtype(logp), logp->device};
    tern_tensor *hit = tern_squeeze(terni_gather(l->op, logp, 1, tern_unsqueeze(safe, 1)), 1);
    tern_tensor *scale = tern_cast(yes, like.dtype); /* weight[target], 0 for those ignored */
    if (w && tern_ok()) {
        tern_tensor *by = tern_index_select(w, 0, tern_reshape(safe, TERN_SHAPE(safe->numel)));
        scale = tern_mul(tern_reshape(by, terni_shape(safe)), scale);
    }
    tern_tensor *nothing = tern_scalar(0, like);
    tern_tensor *each = tern_neg(tern_where(yes, tern_mul(hit, scale), nothing));
    if (o->smoothing > 0) {
        tern_tensor *all = tern_movedim(logp, 1, -1);
        all = tern_sum(w ? tern_mul(all, w) : all, (const int[]){-1}, 1, false);
        all = tern_mul_scalar(tern_where(yes, all, nothing), o->smoothing / (double)logp->v.shape[1]);
        each = tern_sub(tern_mul_scalar(each, 1 - o->smoothing), all);
    }
    if (l->reduction != TERN_REDUCE_MEAN) return terni_loss_end(l, each);
    const terni_loss sum = {l->op, TERN_REDUCE_NONE, l->dtype};
    return terni_loss_end(&sum, tern_div(tern_sum(each, NULL, 0, false), tern_sum(scale, NULL, 0, false)));
}

/* A single row [C] becomes [1, C], and its target [1]. */
static bool as_batch(tern_tensor **x, tern_tensor **target, bool *row) {
    *row = (*x)->v.ndim == 1;
    if (!*row) return true;
    *x = tern_unsqueeze(*x, 0);
    *target = tern_unsqueeze(*target, 0);
    return *x && *target;
}

/* target is input's shape without dimension 1. */
static bool class_shapes(const char *op, tern_tensor *x, tern_tensor *target) {
    tern_shape want = {x->v.ndim - 1, {0}};
    for (int d = 0, k = 0; d < x->v.ndim; d++)
        if (d != 1) want.dim[k++] = x->v.shape[d];
    return tern_shape_equal(want, terni_shape(target)) ||
           terni_fail(TERN_ERR_SHAPE, "%s: target %s, expected %s for input %s", op,
                      terni_shape_str(terni_shape(target)), terni_shape_str(want), terni_shape_str(terni_shape(x)));
}

tern_tensor *tern_nll_loss(tern_tensor *input, tern_tensor *target, tern_nll_loss_opts opts) {
    TERNI_NAMED("nll_loss");
    TERNI_AUTOCAST(F32, &input, &opts.weight);
    static const char op[] = "nll_loss";
    bool row;
    terni_loss l = {op, opts.reduction, TERN_F32};
    tern_tensor *const all[3] = {input, target, opts.weight};
    if (!terni_loss_of(&l, input) || !terni_class_target(op, target) || !terni_same_device(op, all, 3, NULL))
        return NULL;
    if (input->v.ndim < 1) return terni_null(TERN_ERR_SHAPE, "nll_loss: input [], expected [N, C, ...]");
    if (!as_batch(&input, &target, &row) || !class_shapes(op, input, target) ||
        !terni_class_weight(op, opts.weight, input->v.shape[1]))
        return NULL;
    const tern_dtype acc = terni_acc_dtype(l.dtype);
    const terni_nll o = {opts.weight ? tern_cast(opts.weight, acc) : NULL,
                         opts.has_ignore_index ? opts.ignore_index : ALWAYS_IGNORED, 0};
    tern_tensor *y = terni_nll_of(&l, tern_cast(input, acc), target, &o);
    return y && row && l.reduction == TERN_REDUCE_NONE ? tern_reshape(y, tern_shape_scalar()) : y;
}

tern_tensor *terni_cross_entropy_of(const terni_loss *l, tern_tensor *logits, tern_tensor *target,
                                    tern_cross_entropy_opts opts) {
    bool row;
    const tern_dtype acc = terni_acc_dtype(l->dtype);
    const bool probabilities = tern_dtype_is_float(terni_dtype(target));
    if (!as_batch(&logits, &target, &row) || !terni_class_weight(l->op, opts.weight, logits->v.shape[1]) ||
        (!probabilities && !class_shapes(l->op, logits, target)))
        return NULL;
    tern_tensor *logp = tern_log_softmax(tern_cast(logits, acc), 1);
    tern_tensor *w = opts.weight ? tern_cast(opts.weight, acc) : NULL, *y;
    if (!logp || !tern_ok()) return NULL;
    const double classes = (double)logp->v.shape[1];
    if (!probabilities) {
        const terni_nll o = {w, opts.has_ignore_index ? opts.ignore_index : ALWAYS_IGNORED, opts.label_smoothing};
        y = terni_nll_of(l, logp, target, &o);
    } else {
        tern_tensor *p = tern_cast(target, acc);
        if (opts.label_smoothing > 0)
            p = tern_add_scalar(tern_mul_scalar(p, 1 - opts.label_smoothing), opts.label_smoothing / classes);
        tern_tensor *each = tern_movedim(tern_mul(p, logp), 1, -1);
        each = tern_neg(tern_sum(w ? tern_mul(each, w) : each, (const int[]){-1}, 1, false));
        y = terni_loss_end(l, each);
    }
    return y && row && l->reduction == TERN_REDUCE_NONE ? tern_reshape(y, tern_shape_scalar()) : y;
}
