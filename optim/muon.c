/* Muon: the momentum of a matrix, made orthogonal by Newton-Schulz iterations; AdamW for what is no matrix. Source: K.
 * Jordan et al., Muon: an optimizer for hidden layers in neural networks (2024); match_rms: Liu et al., arXiv
 * 2502.16982. */
#include <fnmatch.h>
#include <math.h>

#include "internal.h"

enum { MUON, ADAMW };

/* x (a + b x x^T + c (x x^T)^2), `steps` times, of the wider side transposed. */
static tern_tensor *orthogonal(const tern_muon_opts *m, tern_tensor *g) {
    const bool tall = tern_size(g, 0) > tern_size(g, 1);
    tern_tensor *x = m->bf16 ? tern_cast(g, TERN_BF16) : g;
    tern_tensor *norm = tern_clamp(tern_global_norm(&x, 1), m->eps, (double)INFINITY);
    x = tern_div(x, tern_cast(norm, tern_dtype_of(x)));
    if (tall) x = tern_transpose(x, 0, 1);
    for (int k = 0; k < m->ns_steps; k++) {
        tern_tensor *gram = tern_matmul(x, tern_transpose(x, 0, 1));
        tern_tensor *update =
            tern_add(tern_mul_scalar(gram, m->ns_b), tern_mul_scalar(tern_matmul(gram, gram), m->ns_c));
        x = tern_add(tern_mul_scalar(x, m->ns_a), tern_matmul(update, x));
    }
    return tern_cast(tall ? tern_transpose(x, 0, 1) : x, tern_dtype_of(g));
}

static double ratio(const tern_muon_opts *m, const tern_tensor *p) {
    const double a = (double)tern_size(p, 0), b = (double)tern_size(p, 1);
    switch (m->adjust) {
        case TERN_MUON_MATCH_RMS:
            return 0.2 * sqrt(fmax(a, b));
        case TERN_MUON_SPECTRAL:
            return sqrt(a / b);
        default:
            return sqrt(fmax(1, a / b));
    }
}

static bool update_matrix(const tern_muon_opts *m, const terni_bucket *b, int i) {
    tern_tensor *g = terni_gradient(b, i), *state = b->slot[0][i];
    tern_tensor *buffer = tern_lerp_scalar(terni_wide(state), g, 1 - m->momentum);
    if (!tern_copy_(state, buffer)) return false;
    tern_tensor *u = orthogonal(m, m->plain ? buffer : tern_lerp_scalar(g, buffer, m->momentum));
    u = tern_mul_scalar(u, b->now.lr * ratio(m, b->param[i]));
    return terni_step(b, i, u, 1 - b->now.lr * b->now.weight_decay);
}

static bool update_others(const tern_optim *o, terni_bucket *b) {
    const tern_muon_opts *m = &o->opts.muon;
    const double lr = b->now.lr * m->adamw_lr / o->first_lr, step = (double)b->now.step;
    const double numbers[] = {lr / (1 - pow(m->beta1, step)),
                              1 / sqrt(1 - pow(m->beta2, step)),
                              0,
                              1 - lr * b->now.weight_decay,
                              1 - m->beta1,
                              m->beta2,
                              1 - m->beta2,
                              m->adamw_eps};
    tern_tensor *const *const state[] = {b->slot[1], b->slot[2], NULL};
    return tern_update(TERN_UPDATE_ADAM, b->param, b->grad, state, b->n, numbers, b->opts);
}

static bool update(const tern_optim *o, terni_bucket *b) {
    const tern_muon_opts *m = &o->opts.muon;
    if (b->now.kind == ADAMW) return update_others(o, b);
    bool ok = true;
    const bool was = tern_grad_mode(false);
    for (int i = 0; i < b->n && ok; i++) {
        const int scope = tern_scope_push();
        ok = update_matrix(m, b, i);
        tern_scope_pop(scope);
    }
    tern_grad_mode(was);
    return ok;
}

static bool has(const tern_optim *o, const terni_optim_param *p, int k) {
    (void)o;
    return k >= TERNI_SLOTS || (k == 0) == (p->kind == MUON);
}

static const terni_rule rule = {
    .type = "muon", .slot = {"momentum_buffer", "exp_avg", "exp_avg_sq"}, .update = update, .has = has};

/* Who is AdamW's; false after an error. */
static bool divide(tern_optim *o, const tern_muon_opts *m) {
    for (int i = 0; i < o->n_params; i++) {
        terni_optim_param *p = &o->params[i];
        const bool named = m->adamw && fnmatch(m->adamw, p->name, 0) == 0;
        p->kind = named || tern_ndim(p->tensor) != 2 ? ADAMW : MUON;
        if (p->kind == ADAMW && !(m->adamw_lr > 0))
            return terni_fail(TERN_ERR_ARGUMENT,
                              "muon: %s has %d dimensions; Muon is for matrices: give AdamW's rate for the others, "
                              "adamw_lr",
                              p->name, tern_ndim(p->tensor));
    }
    return true;
}

tern_optim *tern_muon_new(tern_module *m, double lr, tern_muon_opts opts) {
    if (!tern_ok()) return NULL;
    opts.momentum = terni_setting(opts.momentum, 0.95);
    opts.ns_steps = opts.ns_steps ? opts.ns_steps : 5;
    if (!(opts.momentum < 1) || opts.ns_steps < 0 || opts.ns_steps > 99 || !(opts.beta1 < 1) || !(opts.beta2 < 1) ||
        !(opts.adamw_lr >= 0 && isfinite(opts.adamw_lr)) || (opts.adamw_lr > 0 && !(lr > 0)))
        return terni_null(TERN_ERR_ARGUMENT,
                          "muon: momentum %g, ns_steps %d, beta1 %g, beta2 %g, adamw_lr %g; below 1, 1 to 99, below 1 "
                          "and 0 or more expected, and a rate above 0 beside an adamw_lr",
                          opts.momentum, opts.ns_steps, opts.beta1, opts.beta2, opts.adamw_lr);
    if (opts.ns_a == 0 && opts.ns_b == 0 && opts.ns_c == 0) opts.ns_a = 3.4445, opts.ns_b = -4.7750, opts.ns_c = 2.0315;
    opts.eps = terni_setting(opts.eps, 1e-7);
    opts.beta1 = terni_setting(opts.beta1, 0.9);
    opts.beta2 = terni_setting(opts.beta2, 0.999);
    opts.adamw_eps = terni_setting(opts.adamw_eps, 1e-8);
    tern_optim *o = terni_optim_new(m, (terni_optim_made){.rule = &rule,
                                                          .slots = 7,
                                                          .lr = lr,
                                                          .weight_decay = terni_setting(opts.weight_decay, 0.1),
                                                          .maximize = opts.maximize,
                                                          .master = opts.master_weights});
    if (!o) return NULL;
    o->opts.muon = opts;
    o->momentum = &o->opts.muon.momentum;
    if (divide(o, &opts)) return o;
    tern_optim_free(o);
    return NULL;
}
