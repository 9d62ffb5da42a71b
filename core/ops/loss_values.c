/* Losses between numbers: by pair_loss, or composites. */
#include <math.h>

#include "casting.h"
#include "ops/losses.h"

static const char *const pair[] = {"a", "b"};

tern_tensor *tern_mse_loss(tern_tensor *a, tern_tensor *b, tern_reduction reduction) {
    TERNI_NAMED("mse_loss");
    TERNI_AUTOCAST(F32, &a, &b);
    terni_loss l = {"mse_loss", reduction, TERN_F32};
    tern_tensor *t[2] = {a, b};
    const terni_pair_loss_opts o = {.kind = TERNI_PAIR_SQUARE};
    return terni_loss_begin(&l, t, pair, 2) ? terni_pair_loss(&l, o, t[0], t[1]) : NULL;
}

tern_tensor *tern_l1_loss(tern_tensor *a, tern_tensor *b, tern_reduction reduction) {
    TERNI_NAMED("l1_loss");
    TERNI_AUTOCAST(F32, &a, &b);
    terni_loss l = {"l1_loss", reduction, TERN_F32};
    tern_tensor *t[2] = {a, b};
    const terni_pair_loss_opts o = {.kind = TERNI_PAIR_ABS};
    return terni_loss_begin(&l, t, pair, 2) ? terni_pair_loss(&l, o, t[0], t[1]) : NULL;
}

tern_tensor *tern_huber_loss(tern_tensor *a, tern_tensor *b, double delta, tern_reduction reduction) {
    TERNI_NAMED("huber_loss");
    TERNI_AUTOCAST(F32, &a, &b);
    terni_loss l = {"huber_loss", reduction, TERN_F32};
    tern_tensor *t[2] = {a, b};
    if (!terni_loss_begin(&l, t, pair, 2)) return NULL;
    if (!(delta > 0)) return terni_null(TERN_ERR_ARGUMENT, "huber_loss: delta %g, expected above 0", delta);
    return terni_pair_loss(&l, (terni_pair_loss_opts){.kind = TERNI_PAIR_HUBER, .parameter = delta}, t[0], t[1]);
}

tern_tensor *tern_smooth_l1_loss(tern_tensor *a, tern_tensor *b, double beta, tern_reduction reduction) {
    TERNI_NAMED("smooth_l1_loss");
    TERNI_AUTOCAST(F32, &a, &b);
    terni_loss l = {"smooth_l1_loss", reduction, TERN_F32};
    tern_tensor *t[2] = {a, b};
    if (!terni_loss_begin(&l, t, pair, 2)) return NULL;
    if (!(beta >= 0)) return terni_null(TERN_ERR_ARGUMENT, "smooth_l1_loss: beta %g, expected 0 or above", beta);
    terni_pair_loss_opts o = {.kind = TERNI_PAIR_ABS};
    if (beta > 0) o = (terni_pair_loss_opts){.kind = TERNI_PAIR_HUBER, .parameter = beta, .factor = 1 / beta};
    return terni_pair_loss(&l, o, t[0], t[1]);
}

/* t log t, 0 at 0. */
static tern_tensor *entropy(tern_tensor *t) {
    tern_tensor *none = tern_eq(t, terni_beside(t, 0));
    return tern_where(none, terni_beside(t, 0), tern_mul(t, tern_log(tern_where(none, terni_beside(t, 1), t))));
}

tern_tensor *tern_kl_div(tern_tensor *input, tern_tensor *target, bool log_target, tern_reduction reduction) {
    TERNI_NAMED("kl_div");
    TERNI_AUTOCAST(F32, &input, &target);
    terni_loss l = {"kl_div", reduction, TERN_F32};
    tern_tensor *t[2] = {input, target};
    if (!terni_loss_begin(&l, t, (const char *const[]){"input", "target"}, 2)) return NULL;
    if (log_target) return terni_loss_end(&l, tern_mul(tern_exp(t[1]), tern_sub(t[1], t[0])));
    return terni_loss_end(&l, tern_sub(entropy(t[1]), tern_mul(t[1], t[0])));
}

tern_tensor *tern_gaussian_nll_loss(tern_tensor *input, tern_tensor *target, tern_tensor *var,
                                    tern_gaussian_nll_opts opts) {
    TERNI_NAMED("gaussian_nll_loss");
    TERNI_AUTOCAST(F32, &input, &target, &var);
    terni_loss l = {"gaussian_nll_loss", opts.reduction, TERN_F32};
    if (!terni_given(input, l.op, "input") || !terni_given(var, l.op, "var")) return NULL;
    if (var->v.ndim == input->v.ndim - 1 && var->v.ndim > 0) { /* one variance for each row */
        bool rows = true;
        for (int d = 0; d < var->v.ndim; d++) rows &= var->v.shape[d] == input->v.shape[d];
        if (rows) var = tern_unsqueeze(var, -1);
    }
    tern_tensor *t[3] = {input, target, var};
    if (!terni_loss_begin(&l, t, (const char *const[]){"input", "target", "var"}, 3)) return NULL;
    const double eps = opts.eps == 0 ? 1e-6 : opts.eps;
    if (!(eps > 0)) return terni_null(TERN_ERR_ARGUMENT, "gaussian_nll_loss: eps %g, expected above 0", eps);
    /* The bound changes the value of var, not its gradient. */
    tern_tensor *fixed = t[2] ? tern_detach(t[2]) : NULL;
    tern_tensor *lift = tern_sub(tern_maximum(fixed, terni_beside(fixed, eps)), fixed);
    tern_tensor *v = tern_add(t[2], lift);
    tern_tensor *e = tern_div(tern_square(tern_sub(t[0], t[1])), v);
    tern_tensor *each = tern_mul_scalar(tern_add(tern_log(v), e), 0.5);
    if (opts.full) each = tern_add_scalar(each, 0.91893853320467274178); /* log(2 pi) / 2 */
    return terni_loss_end(&l, each);
}

/* log t! by Stirling's formula, where t > 1; else 0. */
static tern_tensor *stirling(tern_tensor *t) {
    tern_tensor *large = tern_gt(t, terni_beside(t, 1)), *safe = tern_where(large, t, terni_beside(t, 2));
    tern_tensor *log_t = tern_log(safe);
    tern_tensor *y = tern_add(tern_sub(tern_mul(safe, log_t), safe), tern_mul_scalar(log_t, 0.5));
    return tern_where(large, tern_add_scalar(y, 0.91893853320467274178), terni_beside(t, 0));
}

tern_tensor *tern_poisson_nll_loss(tern_tensor *input, tern_tensor *target, bool log_input,
                                   tern_poisson_nll_opts opts) {
    TERNI_NAMED("poisson_nll_loss");
    TERNI_AUTOCAST(F32, &input, &target);
    terni_loss l = {"poisson_nll_loss", opts.reduction, TERN_F32};
    tern_tensor *t[2] = {input, target};
    if (!terni_loss_begin(&l, t, (const char *const[]){"input", "target"}, 2)) return NULL;
    tern_tensor *each;
    if (log_input)
        each = tern_sub(tern_exp(t[0]), tern_mul(t[1], t[0]));
    else
        each = tern_sub(t[0], tern_mul(t[1], tern_log(tern_add_scalar(t[0], opts.eps == 0 ? 1e-8 : opts.eps))));
    return terni_loss_end(&l, opts.full ? tern_add(each, stirling(t[1])) : each);
}
