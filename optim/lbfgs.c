/* L-BFGS over the parameters as one vector. Source: Nocedal and Wright, Numerical Optimization (2006), algorithm 7.4,
 * as PyTorch has it; search.c has the line search. The host decides, so every iteration waits for the device. */
#include <math.h>

#include "lbfgs.h"

/* State, of the first parameter: tensors over all n elements, and numbers. The pairs stand in a ring. */
enum { PAIRS_Y, PAIRS_S, LAST }; /* [history, n], [history, n], [2, n]: direction and gradient */
enum { N_ITER, FUNC_EVALS, PAIRS, SCALE, STEP };
static const int64_t DIRECTION = 0, GRADIENT = 1;

static bool first(const tern_optim *o, const terni_optim_param *p, int k) {
    return p == o->params && k != TERNI_COUNT && !o->groups[p->group].frozen;
}

static int64_t elements(const tern_optim *o) {
    int64_t n = 0;
    for (int i = 0; i < o->n_params; i++) n += tern_numel(o->params[i].tensor);
    return n;
}

static tern_tensor *make(const tern_optim *o, const terni_optim_param *p, int k) {
    const tern_options like = {.dtype = tern_dtype_of(p->tensor), .device = tern_device_of(p->tensor)};
    return tern_zeros(TERN_SHAPE(k == LAST ? 2 : o->opts.lbfgs.history, elements(o)), like);
}

static double zero(const tern_optim *o, const terni_optim_param *p, int k) {
    (void)o, (void)p, (void)k;
    return 0;
}

/* ---- vectors ----------------------------------------------------------------------------------------------------- */

/* All of the parameters, or of their gradients (0 where there is none), as one vector. */
static tern_tensor *flat(const tern_optim *o, bool gradients) {
    for (int i = 0; i < o->n_params; i++) {
        tern_tensor *p = o->params[i].tensor, *t = gradients ? tern_grad_get(p) : p;
        o->work[i] = tern_reshape(t ? tern_detach(t) : tern_zeros_like(p), TERN_SHAPE(-1));
    }
    tern_tensor *all = tern_cat(o->work, o->n_params, 0);
    if (gradients && o->maximize) return tern_neg(all);
    return o->n_params > 1 ? all : tern_clone(all);
}

static bool put(const tern_optim *o, tern_tensor *all) {
    int64_t at = 0;
    for (int i = 0; i < o->n_params; i++) {
        tern_tensor *p = o->params[i].tensor;
        const int64_t n = tern_numel(p);
        if (!tern_copy_(tern_detach(p), tern_reshape(tern_slice(all, 0, at, at + n, 1), tern_shape_get(p))))
            return false;
        at += n;
    }
    return tern_ok();
}

static double largest(tern_tensor *t) { return tern_item(tern_max(tern_abs(t), NULL, 0, false)); }

bool terni_lbfgs_at(terni_lbfgs *l, double t, terni_lbfgs_point *p) {
    const int scope = tern_scope_push();
    tern_optim *o = l->o;
    bool ok = put(o, tern_add(l->x, tern_mul_scalar(l->d, t)));
    if (ok) ok = terni_lbfgs_evaluate(l, p);
    if (ok) {
        p->t = t;
        p->slope = tern_item(tern_dot(p->g, l->d));
    }
    tern_tensor *g = tern_scope_return(scope, ok ? p->g : NULL);
    p->g = g;
    return ok && tern_ok();
}

bool terni_lbfgs_evaluate(terni_lbfgs *l, terni_lbfgs_point *p) {
    tern_optim_zero_grad(l->o);
    tern_grad_mode(true);
    tern_tensor *loss = l->closure(l->user);
    tern_grad_mode(false);
    if (!loss || !tern_ok()) return terni_fail(TERN_ERR_ARGUMENT, "lbfgs: the closure returned no loss");
    if (!l->loss) l->loss = loss;
    l->evals++;
    p->f = tern_item(loss) * (l->o->maximize ? -1 : 1);
    p->g = flat(l->o, true);
    return tern_ok();
}

/* ---- the direction ------------------------------------------------------------------------------------------------
 */

typedef struct pairs {
    tern_tensor *const *state;
    double scalar[TERNI_SCALARS];
    int history, n;
} pairs;

/* The i-th of the pairs that are remembered, the oldest first. */
static tern_tensor *pair(const pairs *m, int which, int i) {
    return tern_select(m->state[which], 0, ((int64_t)m->scalar[PAIRS] - m->n + i) % m->history);
}

static int remembered(const pairs *m) { return m->scalar[PAIRS] < m->history ? (int)m->scalar[PAIRS] : m->history; }

/* The last step becomes a pair, if it can. */
static bool learn(pairs *m, tern_tensor *g) {
    tern_tensor *y = tern_sub(g, tern_select(m->state[LAST], 0, GRADIENT));
    tern_tensor *s = tern_mul_scalar(tern_select(m->state[LAST], 0, DIRECTION), m->scalar[STEP]);
    const double ys = tern_item(tern_dot(y, s));
    if (ys > 1e-10) {
        const int64_t at = (int64_t)m->scalar[PAIRS] % m->history;
        if (!tern_copy_(tern_select(m->state[PAIRS_Y], 0, at), y) ||
            !tern_copy_(tern_select(m->state[PAIRS_S], 0, at), s))
            return false;
        m->scalar[PAIRS]++;
        m->scalar[SCALE] = ys / tern_item(tern_dot(y, y));
    }
    return tern_ok();
}

/* The inverse Hessian as the pairs have it, times -g: two loops. */
static tern_tensor *direction(pairs *m, tern_tensor *g) {
    m->n = remembered(m);
    double *alpha = terni_malloc(2 * (size_t)(m->n + 1) * sizeof *alpha);
    if (!alpha) return NULL;
    double *rho = alpha + m->n + 1;
    tern_tensor *q = tern_neg(g);
    for (int i = m->n - 1; i >= 0 && tern_ok(); i--) {
        tern_tensor *y = pair(m, PAIRS_Y, i), *s = pair(m, PAIRS_S, i);
        rho[i] = 1 / tern_item(tern_dot(y, s));
        alpha[i] = tern_item(tern_dot(s, q)) * rho[i];
        q = tern_sub(q, tern_mul_scalar(y, alpha[i]));
    }
    q = tern_mul_scalar(q, m->scalar[SCALE]);
    for (int i = 0; i < m->n && tern_ok(); i++) {
        const double beta = tern_item(tern_dot(pair(m, PAIRS_Y, i), q)) * rho[i];
        q = tern_add(q, tern_mul_scalar(pair(m, PAIRS_S, i), alpha[i] - beta));
    }
    terni_mfree(alpha);
    return q;
}

/* ---- a step -------------------------------------------------------------------------------------------------------
 */

/* One iteration from *p; *go is cleared at its end if it was the last. false after an error. */
static bool iterate(terni_lbfgs *l, pairs *m, int k, terni_lbfgs_point *p, bool *go) {
    const tern_optim *o = l->o;
    const tern_lbfgs_opts *s = &o->opts.lbfgs;
    const bool start = m->scalar[N_ITER]++ < 1;
    *go = false;
    if (start) m->scalar[SCALE] = 1;
    if (!start && !learn(m, p->g)) return false;
    l->d = direction(m, p->g);
    if (!l->d || !tern_copy_(tern_select(m->state[LAST], 0, GRADIENT), p->g) ||
        !tern_copy_(tern_select(m->state[LAST], 0, DIRECTION), l->d))
        return false;
    const double before = p->f, slope = tern_item(tern_dot(p->g, l->d));
    p->t = o->lr * (start ? fmin(1, 1 / tern_item(tern_sum(tern_abs(p->g), NULL, 0, false))) : 1);
    m->scalar[STEP] = p->t;
    if (!tern_ok()) return false;
    if (slope > -s->tolerance_change) return true;
    l->x = flat(o, false);
    p->slope = slope;
    const bool last = k + 1 == s->max_iter;
    if (s->strong_wolfe) {
        if (!terni_lbfgs_search(l, p, s->max_eval - l->evals)) return false;
        m->scalar[STEP] = p->t;
    }
    if (!put(o, tern_add(l->x, tern_mul_scalar(l->d, p->t)))) return false;
    if (!s->strong_wolfe && !last && !terni_lbfgs_evaluate(l, p)) return false;
    *go = !last && l->evals < s->max_eval && largest(p->g) > s->tolerance_grad &&
          largest(tern_mul_scalar(l->d, p->t)) > s->tolerance_change && fabs(p->f - before) >= s->tolerance_change;
    return tern_ok();
}

/* Iterations until one was the last. */
static bool descend(terni_lbfgs *l, pairs *m) {
    terni_lbfgs_point p = {0};
    bool go = terni_lbfgs_evaluate(l, &p) && largest(p.g) > l->o->opts.lbfgs.tolerance_grad;
    for (int k = 0; go && tern_ok(); k++) {
        const int scope = tern_scope_push();
        const bool ok = iterate(l, m, k, &p, &go);
        p.g = tern_scope_return(scope, ok ? p.g : NULL);
    }
    m->scalar[FUNC_EVALS] += l->evals;
    return tern_ok();
}

static bool fits(const tern_optim *o) {
    const tern_tensor *a = o->params[0].tensor;
    if (o->n_groups > 1)
        return terni_fail(TERN_ERR_UNSUPPORTED, "lbfgs: %d parameter groups; it takes one", o->n_groups);
    if (tern_graph_capturing())
        return terni_fail(TERN_ERR_UNSUPPORTED, "optim_step: a step of lbfgs cannot be captured");
    for (int i = 0; i < o->n_params; i++) {
        const tern_tensor *t = o->params[i].tensor;
        if (tern_dtype_of(t) != tern_dtype_of(a) || (tern_dtype_of(t) != TERN_F32 && tern_dtype_of(t) != TERN_F64))
            return terni_fail(TERN_ERR_DTYPE, "lbfgs: %s is %s; f32 or f64, and all alike, expected", o->params[i].name,
                              tern_dtype_name(tern_dtype_of(t)));
    }
    return true;
}

static tern_tensor *solve(tern_optim *o, tern_closure closure, void *user) {
    terni_optim_param *p = &o->params[0];
    if (!fits(o) || !terni_state_ready(o, p)) return NULL;
    terni_lbfgs l = {.o = o, .closure = closure, .user = user};
    pairs m = {.state = p->state, .history = o->opts.lbfgs.history};
    terni_state_scalars(p, m.scalar);
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    const bool ok = descend(&l, &m);
    if (ok) {
        terni_state_set_scalars(p, m.scalar);
        o->steps++;
        if (!o->keep_grad) tern_optim_zero_grad(o);
    }
    tern_grad_mode(was);
    return tern_scope_return(scope, ok ? l.loss : NULL);
}

static const terni_rule rule = {.type = "lbfgs",
                                .slot = {"old_dirs", "old_stps", "d"},
                                .scalar = {"n_iter", "func_evals", "pairs", "H_diag", "t"},
                                .solve = solve,
                                .make = make,
                                .scalar_start = zero,
                                .has = first};

tern_optim *tern_lbfgs_new(tern_module *m, double lr, tern_lbfgs_opts opts) {
    if (!tern_ok()) return NULL;
    opts.max_iter = opts.max_iter ? opts.max_iter : 20;
    opts.max_eval = opts.max_eval ? opts.max_eval : opts.max_iter * 5 / 4;
    opts.history = opts.history ? opts.history : 100;
    opts.tolerance_grad = terni_setting(opts.tolerance_grad, 1e-7);
    opts.tolerance_change = terni_setting(opts.tolerance_change, 1e-9);
    if (opts.max_iter < 0 || opts.max_iter > 1000000 || opts.max_eval < 0 || opts.history < 0 ||
        opts.tolerance_grad != opts.tolerance_grad || opts.tolerance_change != opts.tolerance_change)
        return terni_null(TERN_ERR_ARGUMENT,
                          "lbfgs: max_iter %d, max_eval %d, history %d, tolerances %g and %g; 1 or more, and numbers "
                          "expected",
                          opts.max_iter, opts.max_eval, opts.history, opts.tolerance_grad, opts.tolerance_change);
    tern_optim *o =
        terni_optim_new(m, (terni_optim_made){.rule = &rule, .slots = 7, .lr = lr, .maximize = opts.maximize});
    if (o) o->opts.lbfgs = opts;
    return o;
}
