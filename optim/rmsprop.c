/* Optimizers that divide by the size that gradients had: RMSprop, Adagrad, Adadelta. */
#include <math.h>

#include "internal.h"

/* ---- RMSprop ----------------------------------------------------------------------------------------------------- */

static void rmsprop_numbers(const tern_optim *o, terni_moment *m, double *number) {
    const tern_rmsprop_opts *r = &o->opts.rmsprop;
    number[0] = m->lr;
    number[1] = m->weight_decay;
    number[2] = r->alpha;
    number[3] = 1 - r->alpha;
    number[4] = r->centered ? 1 - r->alpha : 0;
    number[5] = r->momentum;
    number[6] = r->eps;
}

static const terni_rule rmsprop = {.type = "rmsprop",
                                   .slot = {"square_avg", "momentum_buffer", "grad_avg"},
                                   .row = TERN_UPDATE_RMSPROP,
                                   .numbers = rmsprop_numbers};

tern_optim *tern_rmsprop_new(tern_module *m, double lr, tern_rmsprop_opts opts) {
    if (!tern_ok()) return NULL;
    if (!(opts.alpha <= 1) || !(opts.momentum >= 0 && isfinite(opts.momentum)) || opts.eps != opts.eps)
        return terni_null(TERN_ERR_ARGUMENT,
                          "rmsprop: alpha %g, momentum %g, eps %g; up to 1, 0 or more and a number expected",
                          opts.alpha, opts.momentum, opts.eps);
    tern_optim *o =
        terni_optim_new(m, (terni_optim_made){.rule = &rmsprop,
                                              .slots = 1u | (opts.momentum > 0 ? 2u : 0u) | (opts.centered ? 4u : 0u),
                                              .lr = lr,
                                              .weight_decay = opts.weight_decay,
                                              .maximize = opts.maximize,
                                              .master = opts.master_weights});
    if (!o) return NULL;
    opts.alpha = terni_setting(opts.alpha, 0.99);
    opts.eps = terni_setting(opts.eps, 1e-8);
    o->opts.rmsprop = opts;
    if (opts.momentum > 0) o->momentum = &o->opts.rmsprop.momentum;
    return o;
}

/* ---- Adagrad ----------------------------------------------------------------------------------------------------- */

static void adagrad_numbers(const tern_optim *o, terni_moment *m, double *number) {
    number[0] = m->lr / (1 + (double)(m->step - 1) * o->opts.adagrad.lr_decay);
    number[1] = m->weight_decay;
    number[2] = o->opts.adagrad.eps;
}

static tern_tensor *adagrad_make(const tern_optim *o, const terni_optim_param *p, int k) {
    (void)k;
    return tern_full_like(p->tensor, o->opts.adagrad.initial_accumulator);
}

static const terni_rule adagrad = {
    .type = "adagrad", .slot = {"sum"}, .row = TERN_UPDATE_ADAGRAD, .numbers = adagrad_numbers, .make = adagrad_make};

tern_optim *tern_adagrad_new(tern_module *m, double lr, tern_adagrad_opts opts) {
    if (!tern_ok()) return NULL;
    if (!(opts.lr_decay >= 0) || !(opts.initial_accumulator >= 0) || opts.eps != opts.eps)
        return terni_null(TERN_ERR_ARGUMENT, "adagrad: lr_decay %g, initial_accumulator %g, eps %g; 0 or more expected",
                          opts.lr_decay, opts.initial_accumulator, opts.eps);
    tern_optim *o = terni_optim_new(m, (terni_optim_made){.rule = &adagrad,
                                                          .slots = 1,
                                                          .lr = lr,
                                                          .weight_decay = opts.weight_decay,
                                                          .maximize = opts.maximize,
                                                          .master = opts.master_weights});
    if (!o) return NULL;
    opts.eps = terni_setting(opts.eps, 1e-10);
    o->opts.adagrad = opts;
    return o;
}

/* ---- Adadelta ---------------------------------------------------------------------------------------------------- */

static void adadelta_numbers(const tern_optim *o, terni_moment *m, double *number) {
    number[0] = m->lr;
    number[1] = m->weight_decay;
    number[2] = o->opts.adadelta.rho;
    number[3] = 1 - o->opts.adadelta.rho;
    number[4] = o->opts.adadelta.eps;
}

static const terni_rule adadelta = {
    .type = "adadelta", .slot = {"square_avg", "acc_delta"}, .row = TERN_UPDATE_ADADELTA, .numbers = adadelta_numbers};

tern_optim *tern_adadelta_new(tern_module *m, double lr, tern_adadelta_opts opts) {
    if (!tern_ok()) return NULL;
    if (!(opts.rho <= 1) || opts.eps != opts.eps)
        return terni_null(TERN_ERR_ARGUMENT, "adadelta: rho %g, eps %g; up to 1, and a number expected", opts.rho,
                          opts.eps);
    tern_optim *o = terni_optim_new(m, (terni_optim_made){.rule = &adadelta,
                                                          .slots = 3,
                                                          .lr = lr,
                                                          .weight_decay = opts.weight_decay,
                                                          .maximize = opts.maximize,
                                                          .master = opts.master_weights});
    if (!o) return NULL;
    opts.rho = terni_setting(opts.rho, 0.9);
    opts.eps = terni_setting(opts.eps, 1e-6);
    o->opts.adadelta = opts;
    return o;
}
