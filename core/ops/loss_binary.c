/* Losses of yes and no: composites, and two functions whose rules are written so that they stay exact at the ends. */
#include "casting.h"
#include "ops/losses.h"

static const char *const names[] = {"input", "target", "?weight", "?pos_weight"};

/* ---- bce: -t log x - (1 - t) log(1 - x), each log no lower than -100
 * ------------------------------------------------------------------ */

enum { LOWEST = -100 };

static tern_tensor *bounded(tern_tensor *log) { return tern_maximum(log, terni_beside(log, LOWEST)); }

static bool bce_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) { /* input, target */
    (void)n;
    tern_tensor *yes = bounded(tern_log(in[0])), *no = bounded(tern_log1p(tern_neg(in[0])));
    out[0] = tern_neg(tern_add(tern_mul(in[1], tern_sub(yes, no)), no));
    return out[0] && tern_ctx_save(ctx, in[0]) && tern_ctx_save(ctx, in[1]);
}

static bool bce_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    tern_tensor *x = tern_ctx_saved(ctx, 0), *t = tern_ctx_saved(ctx, 1);
    if (tern_ctx_needs(ctx, 0)) {
        tern_tensor *spread = tern_mul(x, tern_rsub_scalar(x, 1));
        grad_in[0] = tern_mul(grad[0], tern_div(tern_sub(x, t), tern_maximum(spread, terni_beside(spread, 1e-12))));
    }
    if (tern_ctx_needs(ctx, 1))
        grad_in[1] = tern_mul(grad[0], tern_sub(bounded(tern_log1p(tern_neg(x))), bounded(tern_log(x))));
    return tern_ok();
}

static const tern_function bce = {"bce_loss", 1, 0, bce_forward, bce_backward, NULL};

tern_tensor *tern_bce_loss(tern_tensor *input, tern_tensor *target, tern_tensor *weight, tern_reduction reduction) {
    TERNI_NAMED("bce_loss");
    TERNI_AUTOCAST(F32, &input, &target, &weight);
    terni_loss l = {"bce_loss", reduction, TERN_F32};
    tern_tensor *t[3] = {input, target, weight}, *each;
    if (!terni_loss_begin(&l, t, names, 3) || !terni_loss_alike(l.op, "input", t[0], "target", t[1]) ||
        !tern_apply(&bce, t, 2, NULL, &each))
        return NULL;
    return terni_loss_end(&l, t[2] ? tern_mul(each, t[2]) : each);
}

/* ---- bce with logits and pos_weight q: (1 - t) softplus(x) + q t softplus(-x); without q, it is a pair_loss
 * ----------- */

static bool logits_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) { /* x, t, q */
    (void)n;
    tern_tensor *x = in[0], *t = in[1], *q = in[2];
    out[0] = tern_add(tern_mul(tern_rsub_scalar(t, 1), tern_softplus(x)),
                      tern_mul(tern_mul(q, t), tern_softplus(tern_neg(x))));
    return out[0] && tern_ctx_save(ctx, x) && tern_ctx_save(ctx, t) && tern_ctx_save(ctx, q);
}

static bool logits_backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    tern_tensor *x = tern_ctx_saved(ctx, 0), *t = tern_ctx_saved(ctx, 1), *q = tern_ctx_saved(ctx, 2);
    if (!tern_ok()) return false;
    tern_tensor *qt = tern_mul(q, t);
    if (tern_ctx_needs(ctx, 0))
        grad_in[0] = tern_mul(grad[0], tern_sub(tern_mul(tern_sigmoid(x), tern_add(tern_rsub_scalar(t, 1), qt)), qt));
    tern_tensor *miss = tern_softplus(tern_neg(x));
    if (tern_ctx_needs(ctx, 1)) grad_in[1] = tern_mul(grad[0], tern_sub(tern_mul(q, miss), tern_softplus(x)));
    if (tern_ctx_needs(ctx, 2)) grad_in[2] = tern_sum_to(tern_mul(grad[0], tern_mul(t, miss)), tern_ctx_shape(ctx, 2));
    return tern_ok();
}

static const tern_function with_logits = {"bce_with_logits", 1, 0, logits_forward, logits_backward, NULL};

/* Without q and unreduced. */
static tern_tensor *with_plain_logits(const char *op, tern_tensor *x, tern_tensor *t) {
    const terni_loss each = {op, TERN_REDUCE_NONE, terni_dtype(x)};
    return terni_pair_loss(&each, (terni_pair_loss_opts){.kind = TERNI_PAIR_LOGITS}, x, t);
}

tern_tensor *tern_bce_with_logits(tern_tensor *input, tern_tensor *target, tern_bce_with_logits_opts opts) {
    TERNI_NAMED("bce_with_logits");
    TERNI_AUTOCAST(F32, &input, &target, &opts.weight, &opts.pos_weight);
    terni_loss l = {"bce_with_logits", opts.reduction, TERN_F32};
    tern_tensor *t[4] = {input, target, opts.weight, opts.pos_weight}, *each;
    if (!terni_loss_begin(&l, t, names, 4) || !terni_loss_alike(l.op, "input", t[0], "target", t[1])) return NULL;
    for (int i = 2; i < 4; i++) {
        tern_shape wide;
        if (!t[i]) continue;
        if (!terni_broadcast(l.op, terni_shape(t[0]), terni_shape(t[i]), &wide)) return NULL;
        if (!tern_shape_equal(wide, terni_shape(t[0])))
            return terni_null(TERN_ERR_SHAPE, "bce_with_logits: %s %s does not broadcast to input %s", names[i] + 1,
                              terni_shape_str(terni_shape(t[i])), terni_shape_str(terni_shape(t[0])));
    }
    if (!t[2] && !t[3]) return terni_pair_loss(&l, (terni_pair_loss_opts){.kind = TERNI_PAIR_LOGITS}, t[0], t[1]);
    tern_tensor *const in[3] = {t[0], t[1], t[3]};
    if (!t[3])
        each = with_plain_logits(l.op, t[0], t[1]);
    else if (!tern_apply(&with_logits, in, 3, NULL, &each))
        return NULL;
    return each ? terni_loss_end(&l, t[2] ? tern_mul(each, t[2]) : each) : NULL;
}

/* ---- from it -------------------------------------------------------------------------------------------------------
 */

tern_tensor *tern_sigmoid_focal_loss(tern_tensor *input, tern_tensor *target, double alpha, double gamma,
                                     tern_reduction reduction) {
    TERNI_NAMED("sigmoid_focal_loss");
    TERNI_AUTOCAST(F32, &input, &target);
    terni_loss l = {"sigmoid_focal_loss", reduction, TERN_F32};
    tern_tensor *t[2] = {input, target}, *each;
    if (!terni_loss_begin(&l, t, names, 2) || !terni_loss_alike(l.op, "input", t[0], "target", t[1])) return NULL;
    if (!(gamma >= 0) || !(alpha <= 1))
        return terni_null(TERN_ERR_ARGUMENT, "sigmoid_focal_loss: alpha %g and gamma %g", alpha, gamma);
    each = with_plain_logits(l.op, t[0], t[1]);
    tern_tensor *p = tern_sigmoid(t[0]); /* |p - t| for t of 0 and 1, linear between */
    tern_tensor *miss = tern_add(tern_mul(p, tern_rsub_scalar(t[1], 1)), tern_mul(tern_rsub_scalar(p, 1), t[1]));
    if (gamma == 2)
        each = tern_mul(each, tern_square(miss));
    else if (gamma != 0)
        each = tern_mul(each, gamma == 1 ? miss : tern_pow_scalar(miss, gamma));
    if (alpha >= 0) each = tern_mul(each, tern_add_scalar(tern_mul_scalar(t[1], 2 * alpha - 1), 1 - alpha));
    return terni_loss_end(&l, each);
}

tern_tensor *tern_soft_margin_loss(tern_tensor *input, tern_tensor *target, tern_reduction reduction) {
    TERNI_NAMED("soft_margin_loss");
    TERNI_AUTOCAST(F32, &input, &target);
    terni_loss l = {"soft_margin_loss", reduction, TERN_F32};
    tern_tensor *t[2] = {input, target};
    if (!terni_loss_begin(&l, t, names, 2)) return NULL;
    return terni_loss_end(&l, tern_softplus(tern_neg(tern_mul(t[1], t[0]))));
}

tern_tensor *tern_multilabel_soft_margin_loss(tern_tensor *input, tern_tensor *target, tern_tensor *weight,
                                              tern_reduction reduction) {
    TERNI_NAMED("multilabel_soft_margin_loss");
    TERNI_AUTOCAST(F32, &input, &target, &weight);
    terni_loss l = {"multilabel_soft_margin_loss", reduction, TERN_F32};
    tern_tensor *t[3] = {input, target, weight}, *each;
    if (!terni_loss_begin(&l, t, names, 3) || !terni_loss_alike(l.op, "input", t[0], "target", t[1])) return NULL;
    if (t[0]->v.ndim < 1) return terni_null(TERN_ERR_SHAPE, "multilabel_soft_margin_loss: input [], expected [..., C]");
    each = with_plain_logits(l.op, t[0], t[1]);
    if (each && t[2]) each = tern_mul(each, t[2]);
    return each ? terni_loss_end(&l, tern_mean(each, (const int[]){-1}, 1, false)) : NULL;
}
