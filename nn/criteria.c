/* Losses as modules. */
#include "tern/criteria.h"

#include <string.h>

#include "internal.h"

typedef union settings {
    tern_cross_entropy_opts cross_entropy;
    tern_nll_loss_opts nll;
    tern_bce_with_logits_opts logits;
    tern_multi_margin_opts margin;
    tern_poisson_nll_opts poisson;
} settings;

typedef struct criterion {
    tern_module m;
    tern_tensor *(*run)(const struct criterion *s, tern_tensor *input, tern_tensor *target);
    tern_tensor *(*loss)(tern_tensor *, tern_tensor *, tern_reduction); /* tern_loss_new's */
    tern_reduction reduction;
    settings o;                       /* its tensors are those below */
    tern_tensor *weight, *pos_weight; /* buffers, or NULL */
    int p;                            /* multi_margin_loss; cosine_similarity's dim */
    double margin, number[2];
    bool flag; /* log_target, log_input, keepdim */
    tern_tensor *(*of_number)(tern_tensor *, tern_tensor *, double, tern_reduction);
} criterion;

/* ---- the ops ----------------------------------------------------------------------------------------------------- */

static tern_tensor *cross_entropy(const criterion *s, tern_tensor *x, tern_tensor *y) {
    tern_cross_entropy_opts o = s->o.cross_entropy;
    o.weight = s->weight;
    return tern_cross_entropy(x, y, o);
}
static tern_tensor *nll(const criterion *s, tern_tensor *x, tern_tensor *y) {
    tern_nll_loss_opts o = s->o.nll;
    o.weight = s->weight;
    return tern_nll_loss(x, y, o);
}
static tern_tensor *logits(const criterion *s, tern_tensor *x, tern_tensor *y) {
    tern_bce_with_logits_opts o = s->o.logits;
    o.weight = s->weight;
    o.pos_weight = s->pos_weight;
    return tern_bce_with_logits(x, y, o);
}
static tern_tensor *multi_margin(const criterion *s, tern_tensor *x, tern_tensor *y) {
    tern_multi_margin_opts o = s->o.margin;
    o.weight = s->weight;
    return tern_multi_margin_loss(x, y, s->p, s->margin, o);
}
static tern_tensor *bce(const criterion *s, tern_tensor *x, tern_tensor *y) {
    return tern_bce_loss(x, y, s->weight, s->reduction);
}
static tern_tensor *multilabel(const criterion *s, tern_tensor *x, tern_tensor *y) {
    return tern_multilabel_soft_margin_loss(x, y, s->weight, s->reduction);
}
static tern_tensor *with_number(const criterion *s, tern_tensor *x, tern_tensor *y) {
    return s->of_number(x, y, s->number[0], s->reduction);
}
static tern_tensor *kl_div(const criterion *s, tern_tensor *x, tern_tensor *y) {
    return tern_kl_div(x, y, s->flag, s->reduction);
}
static tern_tensor *poisson(const criterion *s, tern_tensor *x, tern_tensor *y) {
    return tern_poisson_nll_loss(x, y, s->flag, s->o.poisson);
}
static tern_tensor *cosine(const criterion *s, tern_tensor *x, tern_tensor *y) {
    return tern_cosine_similarity(x, y, s->p, s->number[0]);
}
static tern_tensor *distance(const criterion *s, tern_tensor *x, tern_tensor *y) {
    return tern_pairwise_distance(x, y, s->number[0], s->number[1], s->flag);
}
static tern_tensor *any(const criterion *s, tern_tensor *x, tern_tensor *y) { return s->loss(x, y, s->reduction); }

/* ---- making and calling ------------------------------------------------------------------------------------------ */

static void describe(const tern_module *m, char *buf, size_t size) {
    static const char *const name[] = {"mean", "sum", "none"};
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "%s", name[((const criterion *)m)->reduction]);
}

tern_tensor *tern_loss_forward(tern_module *m, tern_tensor *input, tern_tensor *target) {
    static const char op[] = "loss_forward";
    if (!terni_given(m, op, "m") || !terni_given(input, op, "input") || !terni_given(target, op, "target")) return NULL;
    if (m->describe != describe) return terni_null(TERN_ERR_ARGUMENT, "%s: %s is no loss", op, m->type);
    const criterion *s = (const criterion *)m;
    input = terni_forward_begin(m, input);
    return terni_forward_end(m, input, input ? s->run(s, input, target) : NULL);
}

static tern_tensor *buffer(criterion *s, const char *name, tern_tensor *t) {
    return t ? tern_module_buffer(&s->m, name, tern_clone(tern_detach(t))) : NULL;
}

/* what: all but m and the buffers; weight and pos_weight are the caller's. */
static tern_module *criterion_new(const char *type, criterion what, tern_tensor *weight, tern_tensor *pos_weight) {
    if (tern_ok() && ((int)what.reduction < TERN_REDUCE_MEAN || what.reduction > TERN_REDUCE_NONE))
        return terni_null(TERN_ERR_ARGUMENT, "%s: no such reduction", type);
    criterion *s = tern_module_alloc(sizeof *s, type);
    if (!s) return NULL;
    what.m = s->m;
    *s = what;
    s->m.describe = describe;
    const int scope = tern_scope_push();
    s->weight = buffer(s, "weight", weight);
    s->pos_weight = buffer(s, "pos_weight", pos_weight);
    tern_scope_pop(scope);
    return tern_module_done(s);
}

tern_module *tern_cross_entropy_new(tern_cross_entropy_opts o) {
    if (tern_ok() && !(o.label_smoothing >= 0 && o.label_smoothing <= 1))
        return terni_null(TERN_ERR_ARGUMENT, "cross_entropy: label_smoothing is %g; [0, 1] expected",
                          o.label_smoothing);
    return criterion_new("cross_entropy",
                         (criterion){.run = cross_entropy, .reduction = o.reduction, .o.cross_entropy = o}, o.weight,
                         NULL);
}
tern_module *tern_nll_loss_new(tern_nll_loss_opts o) {
    return criterion_new("nll_loss", (criterion){.run = nll, .reduction = o.reduction, .o.nll = o}, o.weight, NULL);
}
tern_module *tern_bce_loss_new(tern_tensor *weight, tern_reduction reduction) {
    return criterion_new("bce_loss", (criterion){.run = bce, .reduction = reduction}, weight, NULL);
}
tern_module *tern_bce_with_logits_new(tern_bce_with_logits_opts o) {
    return criterion_new("bce_with_logits", (criterion){.run = logits, .reduction = o.reduction, .o.logits = o},
                         o.weight, o.pos_weight);
}
tern_module *tern_multi_margin_loss_new(int p, double margin, tern_multi_margin_opts o) {
    if (tern_ok() && p != 1 && p != 2)
        return terni_null(TERN_ERR_ARGUMENT, "multi_margin_loss: p is %d; 1 or 2 expected", p);
    const criterion c = {.run = multi_margin, .reduction = o.reduction, .o.margin = o, .p = p, .margin = margin};
    return criterion_new("multi_margin_loss", c, o.weight, NULL);
}
tern_module *tern_multilabel_soft_margin_loss_new(tern_tensor *weight, tern_reduction reduction) {
    return criterion_new("multilabel_soft_margin_loss", (criterion){.run = multilabel, .reduction = reduction}, weight,
                         NULL);
}
tern_module *tern_loss_new(tern_tensor *(*loss)(tern_tensor *, tern_tensor *, tern_reduction), const char *type,
                           tern_reduction reduction) {
    if (!terni_given(loss ? type : NULL, "loss_new", loss ? "type" : "loss")) return NULL;
    return criterion_new(type, (criterion){.run = any, .loss = loss, .reduction = reduction}, NULL, NULL);
}
tern_module *tern_loss_of_number_new(tern_tensor *(*loss)(tern_tensor *, tern_tensor *, double, tern_reduction),
                                     const char *type, double number, tern_reduction reduction) {
    if (!terni_given(loss ? type : NULL, "loss_of_number_new", loss ? "type" : "loss")) return NULL;
    const criterion c = {.run = with_number, .of_number = loss, .reduction = reduction, .number = {number}};
    return criterion_new(type, c, NULL, NULL);
}
tern_module *tern_kl_div_new(bool log_target, tern_reduction reduction) {
    return criterion_new("kl_div", (criterion){.run = kl_div, .reduction = reduction, .flag = log_target}, NULL, NULL);
}
tern_module *tern_poisson_nll_loss_new(bool log_input, tern_poisson_nll_opts o) {
    const criterion c = {.run = poisson, .reduction = o.reduction, .o.poisson = o, .flag = log_input};
    return criterion_new("poisson_nll_loss", c, NULL, NULL);
}
tern_module *tern_cosine_similarity_new(int dim, double eps) {
    const criterion c = {.run = cosine, .reduction = TERN_REDUCE_NONE, .p = dim, .number = {eps}};
    return criterion_new("cosine_similarity", c, NULL, NULL);
}
tern_module *tern_pairwise_distance_new(double p, double eps, bool keepdim) {
    const criterion c = {.run = distance, .reduction = TERN_REDUCE_NONE, .number = {p, eps}, .flag = keepdim};
    return criterion_new("pairwise_distance", c, NULL, NULL);
}
