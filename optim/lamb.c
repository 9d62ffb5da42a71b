/* LAMB: Adam's direction, as long as the parameter is. Source: You et al., arXiv 1904.00962, algorithm 2, with the
 * identity for phi. */
#include <math.h>

#include "internal.h"

/* p -= lr |p| / |u| u, without that factor where either norm is 0. */
static bool apply(const terni_bucket *b, int i, tern_tensor *u) {
    const int scope = tern_scope_push();
    tern_tensor *p = terni_wide(b->param[i]);
    u = terni_wide(u);
    tern_tensor *size = tern_global_norm(&p, 1), *length = tern_global_norm(&u, 1);
    tern_tensor *both = tern_logical_and(tern_cast(size, TERN_BOOL), tern_cast(length, TERN_BOOL));
    tern_tensor *ratio = tern_where(both, tern_div(size, length), tern_ones_like(size));
    const bool ok = terni_step(b, i, tern_mul(u, tern_mul_scalar(ratio, b->now.lr)), 1);
    tern_scope_pop(scope);
    return ok;
}

static bool update(const tern_optim *o, terni_bucket *b) {
    const tern_lamb_opts *l = &o->opts.lamb;
    const double step = (double)b->now.step;
    const double numbers[] = {1 / (1 - pow(l->beta1, step)),
                              1 / sqrt(1 - pow(l->beta2, step)),
                              b->now.weight_decay,
                              1 - l->beta1,
                              l->beta2,
                              1 - l->beta2,
                              l->eps};
    const size_t bytes = (size_t)b->n * sizeof(tern_tensor *);
    tern_tensor **u = terni_alloc(bytes);
    if (!u) return false;
    for (int i = 0; i < b->n; i++) u[i] = tern_empty_like(b->param[i]);
    tern_tensor *const *const state[] = {b->slot[0], b->slot[1], u};
    bool ok = tern_update(TERN_UPDATE_LAMB, b->param, b->grad, state, b->n, numbers, b->opts);
    for (int i = 0; i < b->n && ok; i++) ok = apply(b, i, u[i]);
    terni_free(u, bytes);
    return ok;
}

static const terni_rule rule = {.type = "lamb", .slot = {"exp_avg", "exp_avg_sq"}, .update = update};

tern_optim *tern_lamb_new(tern_module *m, double lr, tern_lamb_opts opts) {
    if (!tern_ok()) return NULL;
    if (!(opts.beta1 < 1) || !(opts.beta2 < 1) || opts.eps != opts.eps)
        return terni_null(TERN_ERR_ARGUMENT, "lamb: beta1 %g, beta2 %g, eps %g; betas below 1 expected", opts.beta1,
                          opts.beta2, opts.eps);
    tern_optim *o = terni_optim_new(m, (terni_optim_made){.rule = &rule,
                                                          .slots = 3,
                                                          .lr = lr,
                                                          .weight_decay = opts.weight_decay,
                                                          .maximize = opts.maximize,
                                                          .master = opts.master_weights});
    if (!o) return NULL;
    opts.beta1 = terni_setting(opts.beta1, 0.9);
    opts.beta2 = terni_setting(opts.beta2, 0.999);
    opts.eps = terni_setting(opts.eps, 1e-6);
    o->opts.lamb = opts;
    o->momentum = &o->opts.lamb.beta1;
    return o;
}
