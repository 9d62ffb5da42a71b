/* Optimizers: making them, and the step. */
#include <math.h>
#include <string.h>

#include "internal.h"
#include "tern/autocast.h"
#include "tern/graph.h"

/* ---- making ------------------------------------------------------------------------------------------------------ */

static bool has(const tern_optim *o, const tern_tensor *t) {
    for (int i = 0; i < o->n_params; i++)
        if (o->params[i].tensor == t) return true;
    return false;
}

/* A tensor that is registered in several places is there once, by its first name. */
static bool collect(tern_optim *o, tern_module *m) {
    tern_named e;
    for (int i = 0; tern_module_each(m, i, &e); i++) {
        if (!e.is_param || !tern_requires_grad(e.tensor) || has(o, e.tensor)) continue;
        char *name = terni_strdup(e.name);
        if (!name) return false;
        o->params[o->n_params++] = (terni_optim_param){.name = name, .tensor = tern_keep(e.tensor)};
    }
    return tern_ok();
}

static bool fill(tern_optim *o, tern_module *m, const char *op) {
    tern_named e;
    int n = 0;
    while (tern_module_each(m, n, &e)) n++;
    if (!tern_ok()) return false;
    o->params = terni_malloc((size_t)n * sizeof *o->params);
    o->groups = terni_malloc(sizeof *o->groups);
    if (!o->params || !o->groups || !collect(o, m)) return false;
    if (o->n_params == 0)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: the %s has no parameters that ask for gradients", op, m->type);
    o->groups[0] = (terni_optim_group){.lr_scale = 1, .weight_decay = o->weight_decay};
    o->n_groups = 1;
    o->work = terni_malloc((size_t)o->n_params * (3 + TERNI_SLOTS) * sizeof *o->work);
    return o->work != NULL;
}

tern_optim *terni_optim_new(tern_module *m, terni_optim_made made) {
    const char *op = made.rule->type;
    if (!terni_given(m, op, "m")) return NULL;
    if (!(made.lr >= 0 && isfinite(made.lr)))
        return terni_null(TERN_ERR_ARGUMENT, "%s: the rate is %g; a number of 0 or more expected", op, made.lr);
    if (!(made.weight_decay >= 0 && isfinite(made.weight_decay)))
        return terni_null(TERN_ERR_ARGUMENT, "%s: weight_decay is %g; a number of 0 or more expected", op,
                          made.weight_decay);
    tern_optim *o = terni_calloc(sizeof *o);
    if (!o) return NULL;
    o->rule = made.rule;
    o->slots = made.slots;
    o->lr = o->first_lr = made.lr;
    o->weight_decay = made.weight_decay;
    o->maximize = made.maximize;
    o->master = made.master;
    if (fill(o, m, op)) return o;
    tern_optim_free(o);
    return NULL;
}

double terni_setting(double given, double usual) { return given > 0 ? given : given < 0 ? 0 : usual; }

/* Takes over a kept tensor. */
static void set_scale(tern_optim *o, tern_tensor *scale) {
    tern_release(o->scale);
    o->scale = scale;
}

/* Forgets what was prepared for the next step. */
static void unprepare(tern_optim *o) {
    set_scale(o, NULL);
    tern_release(o->unscale);
    o->unscale = NULL;
    o->clip_value = 0;
}

void tern_optim_free(tern_optim *o) {
    if (!o) return;
    terni_captured_orphan(o);
    unprepare(o);
    for (int i = 0; i < o->n_params; i++) {
        terni_mfree(o->params[i].name);
        tern_release(o->params[i].tensor);
        for (int k = 0; k < TERNI_STATES; k++) tern_release(o->params[i].state[k]);
    }
    terni_mfree(o->params);
    terni_mfree(o->groups);
    terni_mfree(o->work);
    terni_state_unlist(o);
    terni_free(o, sizeof *o);
}

/* ---- steps ---------------------------------------------------------------------------------------------------------
 */

static tern_tensor *grad_of(const tern_optim *o, const terni_optim_param *p) {
    return o->groups[p->group].frozen ? NULL : tern_grad_get(p->tensor);
}

static int64_t updates(const tern_optim *o, const terni_optim_param *p) {
    const int64_t *count = terni_state_count(o, p);
    return count ? *count : 0;
}

static bool together(const tern_optim *o, const terni_optim_param *p, const terni_optim_param *q) {
    double a[TERNI_SCALARS], b[TERNI_SCALARS];
    for (int k = 0; k < TERNI_SLOTS; k++)
        if (!p->state[k] != !q->state[k]) return false;
    terni_state_scalars(p, a);
    terni_state_scalars(q, b);
    return p->group == q->group && p->kind == q->kind && tern_dtype_of(p->tensor) == tern_dtype_of(q->tensor) &&
           tern_device_equal(tern_device_of(p->tensor), tern_device_of(q->tensor)) && updates(o, p) == updates(o, q) &&
           memcmp(a, b, sizeof a) == 0;
}

/* The host's part of the update of this bucket's parameters, those that were done between `first` and the end. */
static void count_up(tern_optim *o, const int *member, const terni_bucket *b, terni_captured *c) {
    for (int k = 0; k < b->n; k++) {
        terni_optim_param *p = &o->params[member[k]];
        int64_t *count = terni_state_count(o, p);
        terni_state_agree(p);
        if (c) {
            terni_captured_param(c, member[k]);
            continue;
        }
        if (count) *count = b->now.step;
        terni_state_set_scalars(p, b->now.scalar);
    }
}

/* Takes params[first] and all later ones that go with it into b. */
static void gather(tern_optim *o, int first, terni_bucket *b, tern_tensor **low, int *member) {
    const terni_optim_param *p = &o->params[first];
    for (int i = first; i < o->n_params; i++) {
        terni_optim_param *q = &o->params[i];
        tern_tensor *grad = q->done ? NULL : grad_of(o, q);
        if (!grad || !together(o, p, q)) continue;
        tern_tensor *master = q->state[TERNI_MASTER];
        b->param[b->n] = master ? master : q->tensor;
        low[b->n] = q->tensor;
        b->grad[b->n] = grad;
        for (int k = 0; k < TERNI_SLOTS; k++)
            if (b->slot[k]) b->slot[k][b->n] = q->state[k];
        member[b->n++] = i;
        q->done = true;
    }
    if (p->state[TERNI_MASTER]) b->opts.low = low;
}

bool terni_update_row(const tern_optim *o, terni_bucket *b, tern_update_rule row) {
    (void)o;
    tern_tensor *const *state[TERNI_SLOTS];
    for (int k = 0; k < TERNI_SLOTS; k++) state[k] = b->slot[k];
    return tern_update(row, b->param, b->grad, state, b->n, b->number, b->opts);
}

static bool update_bucket(tern_optim *o, int first, int *member, terni_captured *c) {
    const terni_optim_param *p = &o->params[first];
    const terni_optim_group *g = &o->groups[p->group];
    terni_bucket b = {
        .now = {.lr = o->lr * g->lr_scale, .weight_decay = g->weight_decay, .step = updates(o, p) + 1, .kind = p->kind},
        .opts = {.grad_scale = o->scale, .maximize = o->maximize, .clip_value = o->clip_value}};
    terni_state_scalars(p, b.now.scalar);
    b.param = o->work;
    b.grad = o->work + o->n_params;
    for (int k = 0; k < TERNI_SLOTS; k++)
        if (p->state[k]) b.slot[k] = o->work + (3 + k) * o->n_params;
    gather(o, first, &b, o->work + 2 * o->n_params, member);
    if (c && !terni_captured_add(c, p->group, &b)) return false;
    if (o->rule->numbers && !c) o->rule->numbers(o, &b.now, b.number);
    if (!(o->rule->update ? o->rule->update(o, &b) : terni_update_row(o, &b, o->rule->row))) return false;
    count_up(o, member, &b, c);
    return true;
}

static bool ready(tern_optim *o, terni_optim_param *p, bool capturing) {
    if (!capturing) return terni_state_ready(o, p);
    if (o->rule->update)
        return terni_fail(TERN_ERR_UNSUPPORTED, "optim_step: a step of %s cannot be captured", o->rule->type);
    if (terni_state_made(o, p)) return true;
    return terni_fail(TERN_ERR_UNSUPPORTED,
                      "optim_step: the first update of %s cannot be captured: it makes its state; take a step before "
                      "the capture",
                      p->name);
}

static bool update_all(tern_optim *o) {
    terni_captured *c = tern_graph_capturing() ? terni_captured_new(o) : NULL;
    if (!c && tern_graph_capturing()) return false;
    int *member = terni_malloc((size_t)o->n_params * sizeof *member);
    bool ok = member != NULL;
    for (int i = 0; ok && i < o->n_params; i++)
        if (!o->params[i].done && grad_of(o, &o->params[i])) ok = update_bucket(o, i, member, c);
    terni_mfree(member);
    if (ok && !c) o->steps++;
    return ok;
}

bool tern_optim_step(tern_optim *o) {
    if (!terni_given(o, "optim_step", "o")) return false;
    if (o->rule->solve)
        return terni_fail(TERN_ERR_ARGUMENT, "optim_step: %s needs a closure: tern_optim_step_with", o->rule->type);
    for (int i = 0; i < o->n_params; i++) {
        terni_optim_param *p = &o->params[i];
        p->done = false;
        if (grad_of(o, p) && !ready(o, p, tern_graph_capturing())) return false;
    }
    const int scope = tern_scope_push(), cast = tern_autocast_suspend();
    const bool ok = update_all(o);
    tern_autocast_pop(cast);
    tern_scope_pop(scope);
    if (ok) terni_optim_skip(o);
    return ok;
}

void terni_optim_skip(tern_optim *o) {
    unprepare(o);
    if (!o->keep_grad) tern_optim_zero_grad(o);
}

void tern_optim_zero_grad(tern_optim *o) {
    if (!o) return;
    unprepare(o);
    for (int i = 0; i < o->n_params; i++) tern_grad_set(o->params[i].tensor, NULL);
}

void tern_optim_keep_grad(tern_optim *o, bool keep) {
    if (o) o->keep_grad = keep;
}

tern_tensor *tern_optim_step_with(tern_optim *o, tern_closure closure, void *user) {
    if (!terni_given(o, "optim_step_with", "o")) return NULL;
    if (!closure) return terni_null(TERN_ERR_ARGUMENT, "optim_step_with: closure is NULL");
    if (o->rule->solve) return o->rule->solve(o, closure, user);
    tern_optim_zero_grad(o);
    tern_tensor *loss = closure(user);
    return loss && tern_optim_step(o) ? loss : NULL;
}

/* Lets the next step multiply gradients by what tern_grad_scale makes of them, which is the scope's. */
static tern_tensor *prepare(tern_optim *o, tern_grad_scale_opts opts, tern_tensor **norm) {
    int n = 0;
    for (int i = 0; i < o->n_params; i++) {
        tern_tensor *grad = grad_of(o, &o->params[i]);
        if (grad) o->work[n++] = grad;
    }
    tern_tensor *scale = tern_grad_scale(o->work, n, opts, norm);
    if (scale) set_scale(o, n ? tern_keep(scale) : NULL);
    return scale;
}

tern_tensor *terni_optim_unscale(tern_optim *o, double by) {
    for (int i = 0; i < o->n_params; i++) {
        tern_tensor *grad = grad_of(o, &o->params[i]);
        if (!grad) continue;
        tern_release(o->unscale);
        o->unscale = tern_keep(tern_full(tern_shape_scalar(), by, (tern_options){.device = tern_device_of(grad)}));
        break;
    }
    return tern_ok() ? prepare(o, (tern_grad_scale_opts){.unscale = o->unscale}, NULL) : NULL;
}

tern_tensor *tern_optim_clip_norm(tern_optim *o, double max_norm) {
    if (!terni_given(o, "optim_clip_norm", "o")) return NULL;
    if (!(max_norm > 0))
        return terni_null(TERN_ERR_ARGUMENT, "optim_clip_norm: max_norm is %g; above 0 expected", max_norm);
    const int scope = tern_scope_push();
    tern_tensor *norm = NULL;
    (void)prepare(o, (tern_grad_scale_opts){max_norm, o->unscale}, &norm);
    return tern_scope_return(scope, norm);
}

bool tern_optim_clip_value(tern_optim *o, double value) {
    if (!terni_given(o, "optim_clip_value", "o")) return false;
    if (!(value > 0)) return terni_fail(TERN_ERR_ARGUMENT, "optim_clip_value: value is %g; above 0 expected", value);
    o->clip_value = value;
    return true;
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

double tern_optim_lr(const tern_optim *o) { return o ? o->lr : 0; }

bool tern_optim_set_lr(tern_optim *o, double lr) {
    if (!terni_given(o, "optim_set_lr", "o")) return false;
    if (!(lr >= 0 && isfinite(lr)))
        return terni_fail(TERN_ERR_ARGUMENT, "optim_set_lr: the rate is %g; a number of 0 or more expected", lr);
    o->lr = lr;
    return true;
}

bool tern_optim_has_momentum(const tern_optim *o) { return o && o->momentum; }
double tern_optim_momentum(const tern_optim *o) { return o && o->momentum ? *o->momentum : 0; }

bool tern_optim_set_momentum(tern_optim *o, double momentum) {
    if (!terni_given(o, "optim_set_momentum", "o")) return false;
    if (!o->momentum)
        return terni_fail(TERN_ERR_ARGUMENT, "optim_set_momentum: this %s has neither momentum nor beta1",
                          o->rule->type);
    if (!(momentum >= 0 && momentum < 1))
        return terni_fail(TERN_ERR_ARGUMENT, "optim_set_momentum: %g; from 0 up to, but not, 1 expected", momentum);
    *o->momentum = momentum;
    return true;
}

int64_t tern_optim_steps(const tern_optim *o) { return o ? o->steps : 0; }

bool tern_optim_set_steps(tern_optim *o, int64_t steps) {
    if (!terni_given(o, "optim_set_steps", "o")) return false;
    if (steps < 0) return terni_fail(TERN_ERR_ARGUMENT, "optim_set_steps: %lld; 0 or more expected", (long long)steps);
    o->steps = steps;
    return true;
}

const char *tern_optim_type(const tern_optim *o) { return o ? o->rule->type : ""; }
