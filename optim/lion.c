/* Optimizers that go by the sign alone: Rprop and Lion. */
#include <math.h>

#include "internal.h"

/* ---- Rprop ------------------------------------------------------------------------------------------------------- */

static void rprop_numbers(const tern_optim *o, terni_moment *m, double *number) {
    (void)m;
    const tern_rprop_opts *r = &o->opts.rprop;
    number[0] = r->shorter;
    number[1] = r->longer;
    number[2] = r->least;
    number[3] = r->most;
}

/* The first step size is the rate. */
static tern_tensor *rprop_make(const tern_optim *o, const terni_optim_param *p, int k) {
    return k == 1 ? tern_full_like(p->tensor, o->lr * o->groups[p->group].lr_scale) : NULL;
}

static const terni_rule rprop = {.type = "rprop",
                                 .slot = {"prev", "step_size"},
                                 .row = TERN_UPDATE_RPROP,
                                 .numbers = rprop_numbers,
                                 .make = rprop_make};

tern_optim *tern_rprop_new(tern_module *m, double lr, tern_rprop_opts opts) {
    if (!tern_ok()) return NULL;
    opts.shorter = terni_setting(opts.shorter, 0.5);
    opts.longer = terni_setting(opts.longer, 1.2);
    opts.least = terni_setting(opts.least, 1e-6);
    opts.most = terni_setting(opts.most, 50);
    if (!(opts.shorter < 1) || !(opts.longer > 1 && isfinite(opts.longer)) || !(opts.least <= opts.most))
        return terni_null(
            TERN_ERR_ARGUMENT,
            "rprop: shorter %g, longer %g, least %g, most %g; shorter < 1 < longer, least <= most expected",
            opts.shorter, opts.longer, opts.least, opts.most);
    tern_optim *o = terni_optim_new(
        m, (terni_optim_made){
               .rule = &rprop, .slots = 3, .lr = lr, .maximize = opts.maximize, .master = opts.master_weights});
    if (o) o->opts.rprop = opts;
    return o;
}

/* ---- Lion -------------------------------------------------------------------------------------------------------- */

static void lion_numbers(const tern_optim *o, terni_moment *m, double *number) {
    const tern_lion_opts *l = &o->opts.lion;
    number[0] = m->lr;
    number[1] = 1 - m->lr * m->weight_decay;
    number[2] = l->beta1;
    number[3] = 1 - l->beta1;
    number[4] = l->beta2;
    number[5] = 1 - l->beta2;
}

static const terni_rule lion = {.type = "lion", .slot = {"exp_avg"}, .row = TERN_UPDATE_LION, .numbers = lion_numbers};

tern_optim *tern_lion_new(tern_module *m, double lr, tern_lion_opts opts) {
    if (!tern_ok()) return NULL;
    if (!(opts.beta1 < 1) || !(opts.beta2 < 1))
        return terni_null(TERN_ERR_ARGUMENT, "lion: beta1 %g, beta2 %g; below 1 expected", opts.beta1, opts.beta2);
    opts.beta1 = terni_setting(opts.beta1, 0.9);
    opts.beta2 = terni_setting(opts.beta2, 0.99);
    tern_optim *o = terni_optim_new(m, (terni_optim_made){.rule = &lion,
                                                          .slots = 1,
                                                          .lr = lr,
                                                          .weight_decay = opts.weight_decay,
                                                          .maximize = opts.maximize,
                                                          .master = opts.master_weights});
    if (!o) return NULL;
    o->opts.lion = opts;
    o->momentum = &o->opts.lion.beta1;
    return o;
}
