/* What happens around a module's forward: hooks, parameters that are computed first, notes for the summary. */
#include <string.h>

#include "internal.h"

/* ---- hooks ------------------------------------------------------------------------------------------------------- */

void terni_around(tern_module *m) { m->parts->around = m->parts->n_hooks || m->parts->computed; }

int tern_module_hook_add(tern_module *m, tern_hook_point point, tern_module_hook hook, void *user) {
    if (!terni_given(m, "module_hook_add", "m") || !terni_given(hook ? m : NULL, "module_hook_add", "hook")) return -1;
    if ((int)point < TERN_HOOK_INPUT || point > TERN_HOOK_GRAD_INPUT) {
        terni_fail(TERN_ERR_ARGUMENT, "module_hook_add: there is no point %d", (int)point);
        return -1;
    }
    struct tern_module_parts *p = m->parts;
    terni_hook *hooks = terni_grown(p->hooks, p->n_hooks, &p->cap_hooks, sizeof *hooks);
    if (!hooks) return -1;
    p->hooks = hooks;
    hooks[p->n_hooks++] = (terni_hook){++p->last_hook, point, hook, user};
    terni_around(m);
    return p->last_hook;
}

bool tern_module_hook_remove(tern_module *m, int number) {
    if (!terni_given(m, "module_hook_remove", "m")) return false;
    struct tern_module_parts *p = m->parts;
    int i = 0;
    while (i < p->n_hooks && p->hooks[i].number != number) i++;
    if (i == p->n_hooks) return terni_fail(TERN_ERR_ARGUMENT, "module_hook_remove: %s has no hook %d", m->type, number);
    memmove(p->hooks + i, p->hooks + i + 1, (size_t)(p->n_hooks - i - 1) * sizeof *p->hooks);
    p->n_hooks--;
    terni_around(m);
    return true;
}

static bool hooked(const tern_module *m, tern_hook_point point) {
    for (int i = 0; i < m->parts->n_hooks; i++)
        if (m->parts->hooks[i].point == point) return true;
    return false;
}

/* A hook may remove itself: the next one then takes its place. */
static tern_tensor *run_hooks(tern_module *m, tern_hook_point point, tern_tensor *t) {
    struct tern_module_parts *p = m->parts;
    for (int i = 0; t && i < p->n_hooks;) {
        const terni_hook h = p->hooks[i];
        if (h.point == point) t = h.hook(m, t, h.user);
        if (i < p->n_hooks && p->hooks[i].number == h.number) i++;
    }
    return t;
}

static tern_tensor *at_grad_output(tern_tensor *grad, void *m) { return run_hooks(m, TERN_HOOK_GRAD_OUTPUT, grad); }
static tern_tensor *at_grad_input(tern_tensor *grad, void *m) { return run_hooks(m, TERN_HOOK_GRAD_INPUT, grad); }

/* t by a view of its own, so that the hook sees what passes here alone; t if nothing will. */
static tern_tensor *watch(tern_module *m, tern_hook_point point, tern_tensor *t, tern_grad_hook hook) {
    if (!t || !hooked(m, point) || !tern_grad_mode_get() || !tern_requires_grad(t)) return t;
    t = tern_reshape(t, tern_shape_get(t));
    return tern_hook_add(t, hook, m) >= 0 ? t : NULL;
}

/* ---- computed parameters ----------------------------------------------------------------------------------------- */

void terni_point_to(tern_module *m, const terni_computed *c, tern_tensor *t) {
    for (int i = 0; i < c->n; i++) memcpy((char *)m + c->offset[i], &t, sizeof t);
}

static bool compute(tern_module *m) {
    for (const terni_computed *c = m->parts->computed; c; c = c->next) {
        tern_tensor *t = c->rule->compute(c, m->training);
        if (!t) return false;
        terni_point_to(m, c, t);
    }
    return true;
}

void terni_computed_free(terni_computed *c) {
    tern_release(c->placeholder);
    terni_mfree(c->name);
    terni_free(c, sizeof *c);
}

void terni_flops(tern_module *m, int64_t n) {
    if (m->parts->noting) m->parts->flops += n;
}

int64_t terni_numel(const tern_shape *s) {
    int64_t n = 1;
    for (int i = 0; i < s->ndim; i++) n *= s->dim[i];
    return n;
}

/* ---- around a forward -------------------------------------------------------------------------------------------- */

tern_tensor *terni_forward_begin(tern_module *m, tern_tensor *x) {
    if (m->parts->around) {
        x = watch(m, TERN_HOOK_GRAD_INPUT, run_hooks(m, TERN_HOOK_INPUT, x), at_grad_input);
        if (x && !compute(m)) x = NULL;
    }
    if (m->parts->noting && x) m->parts->input = tern_shape_get(x);
    return x;
}

tern_tensor *terni_forward_end(tern_module *m, tern_tensor *x, tern_tensor *y) {
    struct tern_module_parts *p = m->parts;
    if (!x) y = NULL;
    if (p->around) {
        for (const terni_computed *c = p->computed; c; c = c->next) terni_point_to(m, c, c->placeholder);
        y = run_hooks(m, TERN_HOOK_OUTPUT, watch(m, TERN_HOOK_GRAD_OUTPUT, y, at_grad_output));
    }
    if (p->noting && y) {
        p->output = tern_shape_get(y);
        p->noted = true;
        if (m->flops) p->flops += m->flops(m, &p->input, &p->output);
    }
    return y;
}

tern_tensor *tern_forward(tern_module *m, tern_tensor *x) {
    if (!terni_given(m, "forward", "m") || !terni_given(x, "forward", "x")) return NULL;
    if (!m->forward)
        return terni_null(TERN_ERR_UNSUPPORTED, "forward: %s has no forward of one tensor to one tensor", m->type);
    x = terni_forward_begin(m, x);
    return terni_forward_end(m, x, x ? m->forward(m, x) : NULL);
}
