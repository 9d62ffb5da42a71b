/* SGD, and ASGD, which averages what SGD comes by. */
#include <math.h>

#include "internal.h"

/* ---- SGD --------------------------------------------------------------------------------------------------------- */

static void sgd_numbers(const tern_optim *o, terni_moment *m, double *number) {
    (void)o;
    number[0] = m->lr;
    number[1] = m->weight_decay;
    number[2] = 1;
}

static void momentum_numbers(const tern_optim *o, terni_moment *m, double *number) {
    const tern_sgd_opts *s = &o->opts.sgd;
    const bool first = m->step == 1; /* the buffer starts as the gradient */
    sgd_numbers(o, m, number);
    number[3] = first ? 0 : s->momentum;
    number[4] = first ? 1 : 1 - s->dampening;
    number[5] = s->nesterov ? 1 : 0;
    number[6] = s->nesterov ? s->momentum : 1;
}

static const terni_rule plain = {.type = "sgd", .row = TERN_UPDATE_SGD, .numbers = sgd_numbers};
static const terni_rule momentum = {
    .type = "sgd", .slot = {"momentum_buffer"}, .row = TERN_UPDATE_MOMENTUM, .numbers = momentum_numbers};

tern_optim *tern_sgd_new(tern_module *m, double lr, tern_sgd_opts opts) {
    if (!tern_ok()) return NULL;
    if (!(opts.momentum >= 0 && isfinite(opts.momentum)) || !isfinite(opts.dampening))
        return terni_null(TERN_ERR_ARGUMENT, "sgd: momentum %g and dampening %g; 0 or more and a number expected",
                          opts.momentum, opts.dampening);
    if (opts.nesterov && (!(opts.momentum > 0) || opts.dampening > 0 || opts.dampening < 0))
        return terni_null(TERN_ERR_ARGUMENT,
                          "sgd: nesterov needs momentum above 0 and no dampening; momentum is %g, dampening %g",
                          opts.momentum, opts.dampening);
    tern_optim *o = terni_optim_new(m, (terni_optim_made){.rule = opts.momentum > 0 ? &momentum : &plain,
                                                          .slots = opts.momentum > 0 ? 1 : 0,
                                                          .lr = lr,
                                                          .weight_decay = opts.weight_decay,
                                                          .maximize = opts.maximize,
                                                          .master = opts.master_weights});
    if (!o) return NULL;
    o->opts.sgd = opts;
    if (opts.momentum > 0) o->momentum = &o->opts.sgd.momentum;
    return o;
}

/* ---- ASGD -------------------------------------------------------------------------------------------------------- */

/* scalar: eta and mu, of the update to come. */
static void asgd_numbers(const tern_optim *o, terni_moment *m, double *number) {
    const tern_asgd_opts *s = &o->opts.asgd;
    number[0] = m->scalar[0];
    number[1] = m->weight_decay;
    number[2] = 1 - s->lambd * m->scalar[0];
    number[3] = m->scalar[1];
    const double step = (double)m->step;
    m->scalar[0] = m->lr / pow(1 + s->lambd * m->lr * step, s->alpha);
    m->scalar[1] = 1 / fmax(1, step - s->t0);
}

static double asgd_start(const tern_optim *o, const terni_optim_param *p, int k) {
    return k == 0 ? o->lr * o->groups[p->group].lr_scale : 1;
}

static const terni_rule asgd = {.type = "asgd",
                                .slot = {"ax"},
                                .scalar = {"eta", "mu"},
                                .row = TERN_UPDATE_ASGD,
                                .numbers = asgd_numbers,
                                .scalar_start = asgd_start};

tern_optim *tern_asgd_new(tern_module *m, double lr, tern_asgd_opts opts) {
    if (!tern_ok()) return NULL;
    if (!isfinite(opts.lambd) || !isfinite(opts.alpha) || !isfinite(opts.t0))
        return terni_null(TERN_ERR_ARGUMENT, "asgd: lambd %g, alpha %g, t0 %g; numbers expected", opts.lambd,
                          opts.alpha, opts.t0);
    tern_optim *o = terni_optim_new(m, (terni_optim_made){.rule = &asgd,
                                                          .slots = 1,
                                                          .lr = lr,
                                                          .weight_decay = opts.weight_decay,
                                                          .maximize = opts.maximize,
                                                          .master = opts.master_weights});
    if (!o) return NULL;
    opts.lambd = terni_setting(opts.lambd, 1e-4);
    opts.alpha = terni_setting(opts.alpha, 0.75);
    opts.t0 = terni_setting(opts.t0, 1e6);
    o->opts.asgd = opts;
    return o;
}
