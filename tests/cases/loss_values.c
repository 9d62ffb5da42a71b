/* Losses element by element. arg[0]: reduction; arg[1], number: options. References are PyTorch's formulas, one element
 * at a time, in double. */
#include "../sweep.h"

#define R(c) ((tern_reduction)(c)->arg[0])

/* v: one element of each input, broadcast. */
typedef double (*formula)(const double *v, const sweep_case *c);

static void reduce(array *each, int64_t how, array *out) {
    double sum = 0;
    for (int64_t i = 0; i < each->n; i++) sum += each->v[i];
    if (how == TERN_REDUCE_NONE) {
        *out = *each;
        return;
    }
    array_new(out, tern_shape_scalar());
    out->v[0] = how == TERN_REDUCE_SUM ? sum : sum / (double)each->n;
    free(each->v);
}

static void by_element(const array *in, const sweep_case *c, formula f, array *out) {
    array each;
    tern_shape shape = tern_shape_scalar();
    int n = 0;
    for (; n < SWEEP_INPUTS && c->in[n].kind != IN_END; n++)
        if (c->in[n].kind != IN_NONE) shape = array_broadcast(shape, in[n].shape);
    array_new(&each, shape);
    for (int64_t i = 0; i < each.n; i++) {
        double v[SWEEP_INPUTS];
        for (int k = 0; k < n; k++) v[k] = c->in[k].kind == IN_NONE ? 1 : array_at(&in[k], shape, i);
        each.v[i] = f(v, c);
    }
    reduce(&each, c->arg[0], out);
}

#define ROW(name, call_expression, formula_expression)                                                       \
    static tern_tensor *call_##name(tern_tensor *const *in, const sweep_case *c) { return call_expression; } \
    static double each_##name(const double *v, const sweep_case *c) {                                        \
        (void)c;                                                                                             \
        return formula_expression;                                                                           \
    }                                                                                                        \
    static void ref_##name(const array *in, const sweep_case *c, array *out) { by_element(in, c, each_##name, out); }

#define NUMBER (c->number[0])

#define PAIRS                                                                                                      \
    {"mean", {REAL(3, 4), REAL(3, 4)}}, {"sum", {REAL(3, 4), REAL(3, 4)}, .arg = {TERN_REDUCE_SUM}},               \
        {"none", {REAL(3, 4), REAL(3, 4)}, .arg = {TERN_REDUCE_NONE}}, {"0-dim", {SCALAR, SCALAR}},                \
        {"broadcast, none", {REAL(3, 1), REAL(4)}, .arg = {TERN_REDUCE_NONE}},                                     \
        {"empty, sum", {REAL(0, 4), REAL(0, 4)}, .arg = {TERN_REDUCE_SUM}},                                        \
        {"empty, none", {REAL(0, 4), REAL(0, 4)}, .arg = {TERN_REDUCE_NONE}}, {"odd", {REAL(5, 13), REAL(5, 13)}}, \
        {"many dimensions", {REAL(2, 1, 3, 1, 2), REAL(2, 1, 3, 1, 2)}},                                           \
        {"shapes", {REAL(3, 4), REAL(3, 5)}, .code = TERN_ERR_SHAPE},                                              \
        {"integers", {TYPED(TERN_I32, 3), TYPED(TERN_I32, 3)}, .code = TERN_ERR_DTYPE}, {                          \
        "reduction", {REAL(3), REAL(3)}, .arg = {7}, .code = TERN_ERR_ARGUMENT                                     \
    }

ROW(mse_loss, tern_mse_loss(in[0], in[1], R(c)), (v[0] - v[1]) * (v[0] - v[1]))
static const sweep_case mse_losses[] = {
    PAIRS,
    {"names itself", {REAL(3, 4), REAL(3, 5)}, .code = TERN_ERR_SHAPE, .text = "mse_loss: shapes [3, 4] and [3, 5]"},
};
SWEEP(mse_loss, mse_losses, call_mse_loss, ref_mse_loss, 0, 8)
BENCH(mse_loss, call_mse_loss, "F.mse_loss(a, b)", {"1M", {REAL(1048576), REAL(1048576)}})

ROW(l1_loss, tern_l1_loss(in[0], in[1], R(c)), fabs(v[0] - v[1]))
static const sweep_case l1_losses[] = {PAIRS};
SWEEP(l1_loss, l1_losses, call_l1_loss, ref_l1_loss, 0, 8)
BENCH(l1_loss, call_l1_loss, "F.l1_loss(a, b)", {"1M", {REAL(1048576), REAL(1048576)}})

static double smooth(double e, double delta) { return e < delta ? e * e / 2 : delta * (e - delta / 2); }
/* number[0] stands for 1 + delta, so that it is never 0. */
ROW(huber_loss, tern_huber_loss(in[0], in[1], NUMBER + 1, R(c)), smooth(fabs(v[0] - v[1]), NUMBER + 1))
static const sweep_case huber_losses[] = {
    PAIRS,
    {"small delta", {REAL(3, 4), REAL(3, 4)}, .number = {-0.75}},
    {"large delta", {REAL(3, 4), REAL(3, 4)}, .number = {9}},
    {"delta 0", {REAL(3), REAL(3)}, .number = {-1}, .code = TERN_ERR_ARGUMENT},
};
SWEEP(huber_loss, huber_losses, call_huber_loss, ref_huber_loss, 0, 8)
BENCH(huber_loss, call_huber_loss, "F.huber_loss(a, b)", {"1M", {REAL(1048576), REAL(1048576)}})

ROW(smooth_l1_loss, tern_smooth_l1_loss(in[0], in[1], NUMBER + 1, R(c)),
    NUMBER == -1 ? fabs(v[0] - v[1]) : smooth(fabs(v[0] - v[1]), NUMBER + 1) / (NUMBER + 1))
static const sweep_case smooth_l1_losses[] = {
    PAIRS,
    {"small beta", {REAL(3, 4), REAL(3, 4)}, .number = {-0.75}},
    {"beta 0", {REAL(3, 4), REAL(3, 4)}, .number = {-1}},
    {"beta below 0", {REAL(3), REAL(3)}, .number = {-2}, .code = TERN_ERR_ARGUMENT},
};
SWEEP(smooth_l1_loss, smooth_l1_losses, call_smooth_l1_loss, ref_smooth_l1_loss, 0, 8)
BENCH(smooth_l1_loss, call_smooth_l1_loss, "F.smooth_l1_loss(a, b)", {"1M", {REAL(1048576), REAL(1048576)}})

ROW(kl_div, tern_kl_div(in[0], in[1], c->arg[1] != 0, R(c)),
    c->arg[1] ? exp(v[1]) * (v[1] - v[0]) : v[1] * ((v[1] > 0 ? log(v[1]) : 0) - v[0]))
static const sweep_case kl_divs[] = {
    {"mean", {REAL(3, 4), RANGE(0.1, 1, 3, 4)}},
    {"sum", {REAL(3, 4), RANGE(0.1, 1, 3, 4)}, .arg = {TERN_REDUCE_SUM}},
    {"none, broadcast", {REAL(3, 4), RANGE(0.1, 1, 4)}, .arg = {TERN_REDUCE_NONE}},
    {"zeros in the target", {REAL(3, 4), WHOLE(0, 1, 3, 4)}},
    {"log target", {REAL(3, 4), REAL(3, 4)}, .arg = {0, 1}},
    {"log target, none", {REAL(5, 7), REAL(5, 7)}, .arg = {TERN_REDUCE_NONE, 1}},
    {"empty", {REAL(0), REAL(0)}, .arg = {TERN_REDUCE_SUM}},
    {"shapes", {REAL(3), REAL(4)}, .code = TERN_ERR_SHAPE},
};
SWEEP(kl_div, kl_divs, call_kl_div, ref_kl_div, 0, 8)

ROW(gaussian_nll_loss,
    tern_gaussian_nll_loss(in[0], in[1], in[2],
                           (tern_gaussian_nll_opts){.reduction = R(c), .full = c->arg[1] != 0, .eps = NUMBER}),
    0.5 * (log(fmax(v[2], NUMBER > 0 ? NUMBER : 1e-6)) +
           (v[0] - v[1]) * (v[0] - v[1]) / fmax(v[2], NUMBER > 0 ? NUMBER : 1e-6)) +
        (c->arg[1] ? 0.5 * log(2 * 3.14159265358979323846) : 0))
static const sweep_case gaussian_nll_losses[] = {
    {"mean", {REAL(3, 4), REAL(3, 4), RANGE(0.5, 2, 3, 4)}},
    {"sum, full", {REAL(3, 4), REAL(3, 4), RANGE(0.5, 2, 3, 4)}, .arg = {TERN_REDUCE_SUM, 1}},
    {"none, one variance", {REAL(3, 4), REAL(3, 4), RANGE(0.5, 2, 3, 1)}, .arg = {TERN_REDUCE_NONE}},
    {"bound", {REAL(3, 4), REAL(3, 4), FIXED(0.1, 2, 3, 4)}, .number = {1}},
    {"shapes", {REAL(3, 4), REAL(3, 4), RANGE(0.5, 2, 3, 5)}, .code = TERN_ERR_SHAPE},
    {"eps", {REAL(3), REAL(3), RANGE(0.5, 2, 3)}, .number = {-1}, .code = TERN_ERR_ARGUMENT},
};
SWEEP(gaussian_nll_loss, gaussian_nll_losses, call_gaussian_nll_loss, ref_gaussian_nll_loss, 0, 8)

ROW(poisson_nll_loss,
    tern_poisson_nll_loss(in[0], in[1], c->arg[1] == 0,
                          (tern_poisson_nll_opts){.reduction = R(c), .full = c->arg[2] != 0, .eps = NUMBER}),
    (c->arg[1] ? v[0] - v[1] * log(v[0] + (NUMBER > 0 ? NUMBER : 1e-8)) : exp(v[0]) - v[0] * v[1]) +
        (c->arg[2] && v[1] > 1 ? v[1] * log(v[1]) - v[1] + 0.5 * log(2 * 3.14159265358979323846 * v[1]) : 0))
static const sweep_case poisson_nll_losses[] = {
    {"log input", {REAL(3, 4), RANGE(0, 5, 3, 4)}},
    {"log input, full, sum", {REAL(3, 4), RANGE(0, 5, 3, 4)}, .arg = {TERN_REDUCE_SUM, 0, 1}},
    {"plain, none", {RANGE(0.3, 4, 3, 4), RANGE(0, 5, 3, 4)}, .arg = {TERN_REDUCE_NONE, 1}},
    {"plain, full, eps", {RANGE(0.3, 4, 3, 4), RANGE(0, 5, 4)}, .arg = {0, 1, 1}, .number = {0.01}},
    {"counts", {REAL(3, 4), WHOLE(0, 3, 3, 4)}, .arg = {TERN_REDUCE_NONE, 0, 1}},
    {"shapes", {REAL(3), REAL(4)}, .code = TERN_ERR_SHAPE},
};
SWEEP(poisson_nll_loss, poisson_nll_losses, call_poisson_nll_loss, ref_poisson_nll_loss, 0, 8)

/* ---- yes and no ----------------------------------------------------------------------------------------------------
 */

static double entropy(double p, double t) { return -t * fmax(log(p), -100) - (1 - t) * fmax(log1p(-p), -100); }
ROW(bce_loss, tern_bce_loss(in[0], in[1], in[2], R(c)), v[2] * entropy(v[0], v[1]))
static const sweep_case bce_losses[] = {
    {"mean", {RANGE(0.1, 0.9, 3, 4), RANGE(0, 1, 3, 4), NONE}},
    {"sum", {RANGE(0.1, 0.9, 3, 4), RANGE(0, 1, 3, 4), NONE}, .arg = {TERN_REDUCE_SUM}},
    {"weight, none", {RANGE(0.1, 0.9, 3, 4), RANGE(0, 1, 3, 4), RANGE(0.5, 2, 4)}, .arg = {TERN_REDUCE_NONE}},
    {"ends",
     {{.kind = IN_WHOLE, .lo = 0, .hi = 1, .shape = SHAPE_OF(20)}, WHOLE(0, 1, 20), NONE},
     .arg = {TERN_REDUCE_NONE}},
    {"empty", {RANGE(0, 1, 0, 2), RANGE(0, 1, 0, 2), NONE}, .arg = {TERN_REDUCE_NONE}},
    {"0-dim", {RANGE(0.1, 0.9, 1), RANGE(0, 1, 1), NONE}},
    {"shapes", {REAL(3, 4), REAL(4), NONE}, .code = TERN_ERR_SHAPE, .text = "bce_loss: input [3, 4] and target [4]"},
    {"weight's shape", {REAL(3, 4), REAL(3, 4), REAL(3)}, .code = TERN_ERR_SHAPE},
};
SWEEP(bce_loss, bce_losses, call_bce_loss, ref_bce_loss, 0, 8)
BENCH(bce_loss, call_bce_loss, "F.binary_cross_entropy(a, b)",
      {"1M", {RANGE(0.01, 0.99, 1048576), FIXED(0, 1, 1048576)}})

static double of_logit(double x, double t, double q) {
    const double rest = log1p(exp(-fabs(x)));
    return (1 - t) * (fmax(x, 0) + rest) + q * t * (fmax(-x, 0) + rest);
}
ROW(bce_with_logits,
    tern_bce_with_logits(in[0], in[1],
                         (tern_bce_with_logits_opts){.reduction = R(c), .weight = in[2], .pos_weight = in[3]}),
    v[2] * of_logit(v[0], v[1], v[3]))
static const sweep_case bce_with_logitses[] = {
    {"mean", {REAL(3, 4), RANGE(0, 1, 3, 4), NONE, NONE}},
    {"sum", {REAL(3, 4), RANGE(0, 1, 3, 4), NONE, NONE}, .arg = {TERN_REDUCE_SUM}},
    {"weight, none", {REAL(3, 4), RANGE(0, 1, 3, 4), RANGE(0.5, 2, 3, 4), NONE}, .arg = {TERN_REDUCE_NONE}},
    {"pos_weight", {REAL(3, 4), RANGE(0, 1, 3, 4), NONE, RANGE(0.5, 2, 4)}, .arg = {TERN_REDUCE_NONE}},
    {"both", {REAL(3, 4), RANGE(0, 1, 3, 4), RANGE(0.5, 2, 3, 1), RANGE(0.5, 2, 4)}},
    {"large logits", {RANGE(-80, 80, 40), WHOLE(0, 1, 40), NONE, NONE}, .arg = {TERN_REDUCE_NONE}},
    {"empty", {REAL(0, 2), REAL(0, 2), NONE, NONE}, .arg = {TERN_REDUCE_SUM}},
    {"0-dim", {SCALAR, SCALAR, NONE, NONE}},
    {"shapes", {REAL(3, 4), REAL(4), NONE, NONE}, .code = TERN_ERR_SHAPE},
    {"pos_weight wider", {REAL(1, 4), REAL(1, 4), NONE, REAL(3, 4)}, .code = TERN_ERR_SHAPE},
};
SWEEP(bce_with_logits, bce_with_logitses, call_bce_with_logits, ref_bce_with_logits, 0, 8)
BENCH(bce_with_logits, call_bce_with_logits, "F.binary_cross_entropy_with_logits(a, b)",
      {"1M", {REAL(1048576), FIXED(0, 1, 1048576), NONE, NONE}})

/* arg[1], arg[2]: alpha and gamma in quarters. */
static double focal(double x, double t, double alpha, double gamma) {
    const double p = 1 / (1 + exp(-x)), right = p * t + (1 - p) * (1 - t);
    return of_logit(x, t, 1) * pow(1 - right, gamma) * (alpha < 0 ? 1 : alpha * t + (1 - alpha) * (1 - t));
}
ROW(sigmoid_focal_loss, tern_sigmoid_focal_loss(in[0], in[1], (double)c->arg[1] / 4, (double)c->arg[2] / 4, R(c)),
    focal(v[0], v[1], (double)c->arg[1] / 4, (double)c->arg[2] / 4))
static const sweep_case sigmoid_focal_losses[] = {
    {"usual", {REAL(3, 4), RANGE(0, 1, 3, 4)}, .arg = {0, 1, 8}},
    {"no alpha, sum", {REAL(3, 4), RANGE(0, 1, 3, 4)}, .arg = {TERN_REDUCE_SUM, -4, 6}},
    {"gamma 0, none", {REAL(3, 4), RANGE(0, 1, 3, 4)}, .arg = {TERN_REDUCE_NONE, 2, 0}},
    {"gamma 1", {REAL(3, 4), WHOLE(0, 1, 3, 4)}, .arg = {0, 0, 4}},
    {"gamma below 0", {REAL(3), REAL(3)}, .arg = {0, 1, -4}, .code = TERN_ERR_ARGUMENT},
    {"shapes", {REAL(3), REAL(4)}, .arg = {0, 1, 8}, .code = TERN_ERR_SHAPE},
};
SWEEP(sigmoid_focal_loss, sigmoid_focal_losses, call_sigmoid_focal_loss, ref_sigmoid_focal_loss, 0, 8)

ROW(soft_margin_loss, tern_soft_margin_loss(in[0], in[1], R(c)), log1p(exp(-v[0] * v[1])))
static const sweep_case soft_margin_losses[] = {PAIRS};
SWEEP(soft_margin_loss, soft_margin_losses, call_soft_margin_loss, ref_soft_margin_loss, 0, 8)

/* ---- margins
 * ---------------------------------------------------------------------------------------------------------
 */

ROW(margin_ranking_loss, tern_margin_ranking_loss(in[0], in[1], in[2], NUMBER, R(c)),
    fmax(0, -v[2] * (v[0] - v[1]) + NUMBER))
static const sweep_case margin_ranking_losses[] = {
    {"mean", {REAL(12), REAL(12), REAL(12)}, .number = {0.5}},
    {"sum, no margin", {REAL(12), REAL(12), REAL(12)}, .arg = {TERN_REDUCE_SUM}},
    {"none, broadcast", {REAL(3, 4), REAL(4), REAL(3, 1)}, .arg = {TERN_REDUCE_NONE}, .number = {1}},
    {"shapes", {REAL(3), REAL(4), REAL(4)}, .code = TERN_ERR_SHAPE},
};
SWEEP(margin_ranking_loss, margin_ranking_losses, call_margin_ranking_loss, ref_margin_ranking_loss, 0, 8)

/* Targets 0 and 1: PyTorch gives the first case's two halves to any target but -1 and 1. */
ROW(hinge_embedding_loss, tern_hinge_embedding_loss(in[0], in[1], NUMBER, R(c)),
    (v[1] != -1 ? v[0] : 0) + (v[1] != 1 ? fmax(0, NUMBER - v[0]) : 0))
static const sweep_case hinge_embedding_losses[] = {
    {"mean", {REAL(12), WHOLE(-1, 1, 12)}, .number = {1}},
    {"sum", {REAL(3, 4), WHOLE(-1, 1, 3, 4)}, .arg = {TERN_REDUCE_SUM}, .number = {0.3}},
    {"none, broadcast", {REAL(3, 4), WHOLE(-1, 1, 4)}, .arg = {TERN_REDUCE_NONE}, .number = {1}},
    {"shapes", {REAL(3), REAL(4)}, .code = TERN_ERR_SHAPE},
};
SWEEP(hinge_embedding_loss, hinge_embedding_losses, call_hinge_embedding_loss, ref_hinge_embedding_loss, 0, 8)
