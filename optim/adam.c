/* Adam and its kin: AdamW, which decays the parameters themselves, Adamax, NAdam and RAdam. */
#include <math.h>

#include "internal.h"

typedef struct betas {
    double beta1, beta2, eps;
} betas;

/* The options' betas and eps with their defaults; false after an error. */
static bool settle(const char *type, double *beta1, double *beta2, double *eps, double decay) {
    if (!(*beta1 < 1) || !(*beta2 < 1) || *eps != *eps || decay != decay)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: beta1 %g, beta2 %g, eps %g, weight_decay %g; betas below 1 expected",
                          type, *beta1, *beta2, *eps, decay);
    *beta1 = terni_setting(*beta1, 0.9);
    *beta2 = terni_setting(*beta2, 0.999);
    *eps = terni_setting(*eps, 1e-8);
    return true;
}

/* decay, shrink, 1 - beta1, beta2, 1 - beta2, eps: what most of these rules' numbers end with. */
static void tail(double *number, const terni_moment *m, bool decoupled, betas b) {
    number[0] = decoupled ? 0 : m->weight_decay;
    number[1] = decoupled ? 1 - m->lr * m->weight_decay : 1;
    number[2] = 1 - b.beta1;
    number[3] = b.beta2;
    number[4] = 1 - b.beta2;
    number[5] = b.eps;
}

/* 1 - beta^step. */
static double correction(double beta, int64_t step) { return 1 - pow(beta, (double)step); }

/* ---- Adam, AdamW ------------------------------------------------------------------------------------------------- */

static void adam(const tern_optim *o, terni_moment *m, double *number, bool decoupled) {
    const tern_adam_opts *a = &o->opts.adam;
    number[0] = m->lr / correction(a->beta1, m->step);
    number[1] = 1 / sqrt(correction(a->beta2, m->step));
    tail(number + 2, m, decoupled, (betas){a->beta1, a->beta2, a->eps});
}
static void adam_numbers(const tern_optim *o, terni_moment *m, double *number) { adam(o, m, number, false); }
static void adamw_numbers(const tern_optim *o, terni_moment *m, double *number) { adam(o, m, number, true); }

#define MOMENTS "exp_avg", "exp_avg_sq"
static const terni_rule adam_rule = {
    .type = "adam", .slot = {MOMENTS, "max_exp_avg_sq"}, .row = TERN_UPDATE_ADAM, .numbers = adam_numbers};
static const terni_rule adamw_rule = {
    .type = "adamw", .slot = {MOMENTS, "max_exp_avg_sq"}, .row = TERN_UPDATE_ADAM, .numbers = adamw_numbers};

static tern_optim *adam_new(const terni_rule *rule, tern_module *m, double lr, tern_adam_opts a, double decay) {
    if (!tern_ok() || !settle(rule->type, &a.beta1, &a.beta2, &a.eps, a.weight_decay)) return NULL;
    tern_optim *o = terni_optim_new(m, (terni_optim_made){.rule = rule,
                                                          .slots = a.amsgrad ? 7 : 3,
                                                          .lr = lr,
                                                          .weight_decay = terni_setting(a.weight_decay, decay),
                                                          .maximize = a.maximize,
                                                          .master = a.master_weights});
    if (!o) return NULL;
    o->opts.adam = a;
    o->momentum = &o->opts.adam.beta1;
    return o;
}

tern_optim *tern_adam_new(tern_module *m, double lr, tern_adam_opts opts) {
    return adam_new(&adam_rule, m, lr, opts, 0);
}
tern_optim *tern_adamw_new(tern_module *m, double lr, tern_adamw_opts opts) {
    return adam_new(&adamw_rule, m, lr, opts, 0.01);
}

/* ---- Adamax ------------------------------------------------------------------------------------------------------ */

static void adamax_numbers(const tern_optim *o, terni_moment *m, double *number) {
    const tern_adamax_opts *a = &o->opts.adamax;
    number[0] = m->lr / correction(a->beta1, m->step);
    number[1] = m->weight_decay;
    number[2] = 1 - a->beta1;
    number[3] = a->beta2;
    number[4] = a->eps;
}

static const terni_rule adamax_rule = {
    .type = "adamax", .slot = {"exp_avg", "exp_inf"}, .row = TERN_UPDATE_ADAMAX, .numbers = adamax_numbers};

tern_optim *tern_adamax_new(tern_module *m, double lr, tern_adamax_opts opts) {
    if (!tern_ok() || !settle("adamax", &opts.beta1, &opts.beta2, &opts.eps, opts.weight_decay)) return NULL;
    tern_optim *o = terni_optim_new(m, (terni_optim_made){.rule = &adamax_rule,
                                                          .slots = 3,
                                                          .lr = lr,
                                                          .weight_decay = terni_setting(opts.weight_decay, 0),
                                                          .maximize = opts.maximize,
                                                          .master = opts.master_weights});
    if (!o) return NULL;
    o->opts.adamax = opts;
    o->momentum = &o->opts.adamax.beta1;
    return o;
}

/* ---- NAdam ------------------------------------------------------------------------------------------------------- */

/* scalar: the product of all mu. */
static void nadam_numbers(const tern_optim *o, terni_moment *m, double *number) {
    const tern_nadam_opts *a = &o->opts.nadam;
    const double step = (double)m->step;
    const double mu = a->beta1 * (1 - 0.5 * pow(0.96, step * a->momentum_decay));
    const double next = a->beta1 * (1 - 0.5 * pow(0.96, (step + 1) * a->momentum_decay));
    m->scalar[0] *= mu;
    number[0] = m->lr * (1 - mu) / (1 - m->scalar[0]);
    number[1] = m->lr * next / (1 - m->scalar[0] * next);
    number[2] = 1 / sqrt(correction(a->beta2, m->step));
    tail(number + 3, m, a->decoupled, (betas){a->beta1, a->beta2, a->eps});
}

static double one(const tern_optim *o, const terni_optim_param *p, int k) {
    (void)o, (void)p, (void)k;
    return 1;
}

static const terni_rule nadam_rule = {.type = "nadam",
                                      .slot = {MOMENTS},
                                      .scalar = {"mu_product"},
                                      .row = TERN_UPDATE_NADAM,
                                      .numbers = nadam_numbers,
                                      .scalar_start = one};

tern_optim *tern_nadam_new(tern_module *m, double lr, tern_nadam_opts opts) {
    if (!tern_ok() || !settle("nadam", &opts.beta1, &opts.beta2, &opts.eps, opts.weight_decay)) return NULL;
    if (!isfinite(opts.momentum_decay))
        return terni_null(TERN_ERR_ARGUMENT, "nadam: momentum_decay is %g; a number expected", opts.momentum_decay);
    tern_optim *o = terni_optim_new(m, (terni_optim_made){.rule = &nadam_rule,
                                                          .slots = 3,
                                                          .lr = lr,
                                                          .weight_decay = terni_setting(opts.weight_decay, 0),
                                                          .maximize = opts.maximize,
                                                          .master = opts.master_weights});
    if (!o) return NULL;
    opts.momentum_decay = terni_setting(opts.momentum_decay, 4e-3);
    o->opts.nadam = opts;
    o->momentum = &o->opts.nadam.beta1;
    return o;
}

/* ---- RAdam ------------------------------------------------------------------------------------------------------- */

static void radam_numbers(const tern_optim *o, terni_moment *m, double *number) {
    const tern_radam_opts *a = &o->opts.radam;
    const double second = correction(a->beta2, m->step), most = 2 / (1 - a->beta2) - 1;
    const double rho = most - 2 * (double)m->step * pow(a->beta2, (double)m->step) / second;
    const bool adaptive = rho > 5;
    number[0] = m->lr / correction(a->beta1, m->step);
    number[1] = adaptive ? 0 : 1;
    number[2] = adaptive ? sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho)) * sqrt(second) : 0;
    tail(number + 3, m, a->decoupled, (betas){a->beta1, a->beta2, a->eps});
}

static const terni_rule radam_rule = {
    .type = "radam", .slot = {MOMENTS}, .row = TERN_UPDATE_RADAM, .numbers = radam_numbers};

tern_optim *tern_radam_new(tern_module *m, double lr, tern_radam_opts opts) {
    if (!tern_ok() || !settle("radam", &opts.beta1, &opts.beta2, &opts.eps, opts.weight_decay)) return NULL;
    tern_optim *o = terni_optim_new(m, (terni_optim_made){.rule = &radam_rule,
                                                          .slots = 3,
                                                          .lr = lr,
                                                          .weight_decay = terni_setting(opts.weight_decay, 0),
                                                          .maximize = opts.maximize,
                                                          .master = opts.master_weights});
    if (!o) return NULL;
    o->opts.radam = opts;
    o->momentum = &o->opts.radam.beta1;
    return o;
}
