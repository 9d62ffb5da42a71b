/* Optimizers: parameters, steps, gradients. */
#include <math.h>
#include <string.h>

#include "internal.h"

static bool add_params(tern_optim *o, tern_module *m) {
    tern_named e;
    int n = 0;
    while (tern_module_each(m, n, &e)) n++;
    if (!tern_ok()) return false;
    o->param = terni_malloc((size_t)(n + 1) * sizeof *o->param);
    if (!o->param) return false;
    for (int i = 0; i < n && tern_module_each(m, i, &e); i++) {
        bool take = e.is_param && tern_requires_grad(e.tensor);
        for (int k = 0; take && k < o->n_params; k++) take = o->param[k].tensor != e.tensor; /* shared ones once */
        if (!take) continue;
        char *name = terni_strdup(e.name);
        if (!name) return false;
        o->param[o->n_params++] = (terni_param){.name = name, .tensor = tern_keep(e.tensor)};
    }
    return tern_ok();
}

tern_optim *terni_optim_new(const terni_rule *rule, tern_module *m, double lr, double weight_decay) {
    if (!terni_given(m, rule->type, "module")) return NULL;
    if (!(lr >= 0) || !isfinite(lr))
        return terni_null(TERN_ERR_ARGUMENT, "%s: a learning rate of %g; expected 0 or more", rule->type, lr);
    tern_optim *o = terni_calloc(sizeof *o);
    if (!o) return NULL;
    o->rule = rule;
    o->lr = lr;
    o->weight_decay = weight_decay;
    bool ok = add_params(o, m);
    if (ok && o->n_params == 0)
        ok = terni_fail(TERN_ERR_ARGUMENT, "%s: %s has no parameter that asks for a gradient", rule->type, m->type);
    ok = ok && (o->row = terni_malloc((size_t)o->n_params * (2 + TERNI_SLOTS) * sizeof *o->row)) &&
         (o->done = terni_malloc((size_t)o->n_params)) && (o->group = terni_malloc(sizeof *o->group));
    if (!ok) {
        tern_optim_free(o);
        return NULL;
    }
    o->group[0] = (terni_group){1, weight_decay};
    o->n_groups = 1;
    return o;
}

void tern_optim_free(tern_optim *o) {
    if (!o) return;
    for (int i = 0; i < o->n_params; i++) {
        terni_mfree(o->param[i].name);
        tern_release(o->param[i].tensor);
        tern_release(o->param[i].step);
        for (int k = 0; k < TERNI_SLOTS; k++) tern_release(o->param[i].slot[k]);
    }
    terni_mfree(o->param);
    terni_mfree(o->group);
    terni_mfree(o->row);
    terni_mfree(o->done);
    terni_free(o, sizeof *o);
}

/* ---- state
 * ------------------------------------------------------------------------------------------------------------- */

bool terni_optim_state(tern_optim *o, int i) {
    terni_param *p = &o->param[i];
    if (!o->rule->slots[0] || p->step) return true;
    const bool was = tern_grad_mode(false);
    const int scope = tern_scope_push();
    tern_tensor *slot[TERNI_SLOTS] = {NULL};
    bool ok = true;
    for (int k = 0; ok && k < TERNI_SLOTS && o->rule->slots[k]; k++)
        ok = (slot[k] = tern_zeros_like(p->tensor)) != NULL;
    tern_tensor *step = ok ? tern_zeros(tern_shape_scalar(), (tern_options){.dtype = TERN_I64}) : NULL;
    if (step) {
        p->step = tern_keep(step);
        for (int k = 0; k < TERNI_SLOTS; k++) p->slot[k] = tern_keep(slot[k]);
    }
    tern_scope_pop(scope);
    tern_grad_mode(was);
    return step != NULL;
}

static int64_t steps_of(const terni_param *p) {
    int64_t n = 0;
    if (p->step) memcpy(&n, tern_data(p->step), sizeof n);
    return n;
}

static void count_step(terni_param *p) {
    if (!p->step) return;
    const int64_t n = steps_of(p) + 1;
    memcpy(tern_data(p->step), &n, sizeof n);
    tern_touch(p->step);
}

/* ---- the step
 * ------------------------------------------------------------------------------------------------------------- */

static bool alike(const terni_param *a, const terni_param *b) {
    return a->group == b->group && tern_dtype_of(a->tensor) == tern_dtype_of(b->tensor) &&
           tern_device_equal(tern_device_of(a->tensor), tern_device_of(b->tensor)) && steps_of(a) == steps_of(b);
}

/* Updates, in one call, parameter i and all later ones that are like it. */
static bool update_alike(tern_optim *o, int i) {
    tern_tensor **row[2 + TERNI_SLOTS];
    for (int k = 0; k < 2 + TERNI_SLOTS; k++) row[k] = o->row + (size_t)k * (size_t)o->n_params;
    int n = 0;
    for (int j = i; j < o->n_params; j++) {
        terni_param *p = &o->param[j];
        if (o->done[j] || !alike(&o->param[i], p)) continue;
        o->done[j] = true;
        row[0][n] = p->tensor;
        row[1][n] = tern_grad_get(p->tensor);
        for (int k = 0; k < TERNI_SLOTS; k++) row[2 + k][n] = p->slot[k];
        n++;
    }
    const terni_group *g = &o->group[o->param[i].group];
    tern_tensor *const *const slots[TERNI_SLOTS] = {row[2], row[3]};
    return g->lr_scale < 0 || o->rule->update(o, g, row[0], row[1], slots, n, steps_of(&o->param[i]) + 1);
}

bool tern_optim_step(tern_optim *o) {
    if (!terni_given(o, "optim_step", "optimizer")) return false;
    for (int i = 0; i < o->n_params; i++) { /* first all that can fail */
        o->done[i] = tern_grad_get(o->param[i].tensor) == NULL;
        if (!o->done[i] && !terni_optim_state(o, i)) return false;
    }
    const bool was = tern_grad_mode(false);
    const int scope = tern_scope_push();
    bool ok = true;
    for (int i = 0; ok && i < o->n_params; i++)
        if (!o->done[i]) ok = update_alike(o, i);
    tern_scope_pop(scope);
    tern_grad_mode(was);
    if (!ok) return false;
    for (int i = 0; i < o->n_params; i++)
        if (tern_grad_get(o->param[i].tensor)) count_step(&o->param[i]);
    o->steps++;
    if (!o->keep_grad) tern_optim_zero_grad(o);
    return true;
}

void tern_optim_zero_grad(tern_optim *o) {
    for (int i = 0; o && i < o->n_params; i++) tern_grad_set(o->param[i].tensor, NULL);
}

void tern_optim_keep_grad(tern_optim *o, bool keep) {
    if (o) o->keep_grad = keep;
}

tern_tensor *tern_optim_clip_norm(tern_optim *o, double max_norm) {
    if (!terni_given(o, "optim_clip_norm", "optimizer")) return NULL;
    if (!(max_norm > 0)) return terni_null(TERN_ERR_ARGUMENT, "optim_clip_norm: %g; expected more than 0", max_norm);
    const bool was = tern_grad_mode(false);
    const int scope = tern_scope_push();
    for (int i = 0; i < o->n_params; i++) o->row[i] = tern_grad_get(o->param[i].tensor);
    tern_tensor *norm = tern_global_norm(o->row, o->n_params);
    tern_tensor *scale = norm ? tern_clamp(tern_rdiv_scalar(tern_add_scalar(norm, 1e-6), max_norm), 0, 1) : NULL;
    for (int i = 0; scale && i < o->n_params; i++)
        if (o->row[i] && !tern_mul_(o->row[i], scale)) scale = NULL;
    tern_grad_mode(was);
    return tern_scope_return(scope, scale ? norm : NULL);
}

/* ---- settings
 * ------------------------------------------------------------------------------------------------------------- */

double tern_optim_lr(const tern_optim *o) { return o ? o->lr : 0; }
int64_t tern_optim_steps(const tern_optim *o) { return o ? o->steps : 0; }
const char *tern_optim_type(const tern_optim *o) { return o ? o->rule->type : ""; }

bool tern_optim_set_lr(tern_optim *o, double lr) {
    if (!terni_given(o, "optim_set_lr", "optimizer")) return false;
    if (!(lr >= 0) || !isfinite(lr))
        return terni_fail(TERN_ERR_ARGUMENT, "optim_set_lr: a learning rate of %g; expected 0 or more", lr);
    o->lr = lr;
    return true;
}

bool tern_optim_set_steps(tern_optim *o, int64_t steps) {
    if (!terni_given(o, "optim_set_steps", "optimizer")) return false;
    if (steps < 0) return terni_fail(TERN_ERR_ARGUMENT, "optim_set_steps: %lld; expected 0 or more", (long long)steps);
    o->steps = steps;
    return true;
}
