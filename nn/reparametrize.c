/* Parameters that are computed before each forward from others. */
#include "tern/reparametrize.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "internal.h"
#include "tern/random.h"

static tern_tensor *param(const tern_module *m, int i) { return m->parts->params[i].tensor; }

/* ---- weight_norm ------------------------------------------------------------------------------------------------- */

/* |v| over all dimensions but dim, which stay as sizes of 1; dim -1: over all, 0-dim. */
static tern_tensor *norm_but(tern_tensor *v, int dim) {
    int dims[TERN_MAX_DIMS], n = 0;
    if (dim < 0) return tern_norm(v, 2, NULL, 0, false);
    for (int i = 0; i < tern_ndim(v); i++)
        if (i != dim) dims[n++] = i;
    return n ? tern_norm(v, 2, dims, n, true) : tern_abs(v);
}

static tern_tensor *normed(const terni_computed *c, bool training) {
    (void)training;
    const int scope = tern_scope_push();
    tern_tensor *g = param(c->holder, 0), *v = param(c->holder, 1);
    return tern_scope_return(scope, tern_mul(v, tern_div(g, norm_but(v, c->dim))));
}

static const terni_computed_rule weight_norm = {"weight_norm", normed};

/* ---- spectral_norm ----------------------------------------------------------------------------------------------- */

/* w [size of dim, the rest]. */
static tern_tensor *as_matrix(tern_tensor *w, int dim) { return tern_flatten(tern_movedim(w, dim, 0), 1, -1); }

/* u = normalised w v, v = normalised w^T u, in place. */
static bool power(tern_tensor *w, tern_tensor *u, tern_tensor *v, int64_t iterations, double eps) {
    const bool was = tern_grad_mode(false);
    bool ok = true;
    for (int64_t i = 0; ok && i < iterations; i++) {
        const int scope = tern_scope_push();
        const tern_normalize_opts o = {.eps = eps};
        ok = tern_copy_(u, tern_normalize(tern_mv(w, v), 0, o)) &&
             tern_copy_(v, tern_normalize(tern_mv(tern_transpose(w, 0, 1), u), 0, o));
        tern_scope_pop(scope);
    }
    tern_grad_mode(was);
    return ok;
}

/* The vectors are constants to the gradient, and later iterations change them: so copies. */
static tern_tensor *divided(const terni_computed *c, bool training) {
    const int scope = tern_scope_push();
    const struct tern_module_parts *vectors = c->holder->parts->children[0].module->parts;
    tern_tensor *w = param(c->holder, 0), *u = vectors->buffers[0].tensor, *v = vectors->buffers[1].tensor;
    tern_tensor *matrix = as_matrix(w, c->dim);
    if (!matrix || (training && !power(matrix, u, v, c->iterations, c->eps))) return tern_scope_return(scope, NULL);
    tern_tensor *sigma = tern_dot(tern_clone(u), tern_mv(matrix, tern_clone(v)));
    return tern_scope_return(scope, tern_div(w, sigma));
}

static const terni_computed_rule spectral_norm = {"spectral_norm", divided};

/* ---- attaching --------------------------------------------------------------------------------------------------- */

static int slot_of(const tern_module *m, const char *name) {
    for (int i = 0; i < m->parts->n_params; i++)
        if (strcmp(m->parts->params[i].name, name) == 0) return i;
    return -1;
}

/* Where m's i-th parameter stood before any became computed. */
static int first_place(const tern_module *m, int i) {
    for (int place = 0;; place++) {
        const terni_computed *c = m->parts->computed;
        while (c && c->place != place) c = c->next;
        if (!c && i-- == 0) return place;
    }
}

/* Where c's belongs now. */
static int place_now(const tern_module *m, const terni_computed *c) {
    int place = c->place;
    for (const terni_computed *k = m->parts->computed; k; k = k->next) place -= k->place < c->place;
    return place < m->parts->n_params ? place : m->parts->n_params;
}

/* Where m's struct holds t. */
static bool find_words(const tern_module *m, const tern_tensor *t, terni_computed *c) {
    const int room = (int)(sizeof c->offset / sizeof *c->offset);
    for (size_t at = sizeof *m; at + sizeof(void *) <= m->parts->size; at += sizeof(void *)) {
        const void *word;
        memcpy(&word, (const char *)m + at, sizeof word);
        if (word != t) continue;
        if (c->n == room) return false;
        c->offset[c->n++] = at;
    }
    return c->n > 0;
}

/* The parameter, or NULL after an error; its words go into c. */
static tern_tensor *target(tern_module *m, const char *op, const char *name, terni_computed *c) {
    if (!terni_given(m, op, "m") || !terni_given(name, op, "name")) return NULL;
    const int slot = slot_of(m, name);
    if (slot < 0) return terni_null(TERN_ERR_ARGUMENT, "%s: %s has no parameter \"%s\"", op, m->type, name);
    c->place = first_place(m, slot);
    tern_tensor *t = param(m, slot);
    if ((!m->forward && !m->parts->enters) || !find_words(m, t, c))
        return terni_null(TERN_ERR_UNSUPPORTED,
                          "%s: %s is not called through tern_forward, or has not \"%s\" in its struct", op, m->type,
                          name);
    return t;
}

/* m's child "parametrizations", made if it is not there. */
static tern_module *branch(tern_module *m) {
    static const char name[] = "parametrizations";
    for (int i = 0; i < m->parts->n_children; i++)
        if (strcmp(m->parts->children[i].name, name) == 0) return m->parts->children[i].module;
    return tern_module_add(m, name, tern_module_done(tern_module_alloc(sizeof(tern_module), name)));
}

/* Hangs holder, which has the parameters, into m in place of its parameter. Frees holder on errors. */
static bool install(tern_module *m, const char *name, terni_computed c, tern_module *holder) {
    struct tern_module_parts *p = m->parts;
    tern_module *at = holder ? branch(m) : NULL;
    c.placeholder = at ? tern_empty(TERN_SHAPE(0), (tern_options){0}) : NULL;
    terni_computed *own = c.placeholder ? terni_alloc(sizeof *own) : NULL;
    c.name = own ? terni_strdup(name) : NULL;
    c.holder = c.name ? tern_module_add(at, name, holder) : NULL;
    if (!c.name) tern_module_free(holder); /* else tern_module_add did */
    if (!c.holder) {
        if (at && at->parts->n_children == 0) terni_child_remove(m, at);
        terni_mfree(c.name);
        if (own) terni_free(own, sizeof *own);
        p->failed = false; /* m is as it was */
        return false;
    }
    tern_keep(c.placeholder);
    *own = c;
    own->next = p->computed;
    p->computed = own;
    const int slot = slot_of(m, name);
    terni_names_forget(m);
    terni_mfree(p->params[slot].name);
    tern_release(p->params[slot].tensor);
    memmove(p->params + slot, p->params + slot + 1, (size_t)(p->n_params - slot - 1) * sizeof *p->params);
    p->n_params--;
    terni_point_to(m, own, own->placeholder);
    terni_around(m);
    terni_module_changed(m);
    return true;
}

bool tern_weight_norm(tern_module *m, const char *name, int dim) {
    static const char op[] = "weight_norm";
    terni_computed c = {.rule = &weight_norm, .dim = dim};
    tern_tensor *t = target(m, op, name, &c);
    if (!t) return false;
    if (dim < -1 || dim >= tern_ndim(t))
        return terni_fail(TERN_ERR_ARGUMENT, "%s: dimension %d of \"%s\" with %d", op, dim, name, tern_ndim(t));
    const int scope = tern_scope_push();
    tern_module *holder = tern_module_alloc(sizeof *holder, op);
    const bool was = tern_grad_mode(false);
    tern_tensor *g = norm_but(t, dim);
    tern_grad_mode(was);
    if (holder) {
        holder->training = m->training;
        (void)tern_module_param(holder, "original0", g);
        (void)tern_module_param(holder, "original1", t);
    }
    const bool ok = install(m, name, c, tern_module_done(holder));
    tern_scope_pop(scope);
    return ok;
}

/* Child "0" of holder with the vectors, which the power method has started on. */
static void add_vectors(tern_module *holder, tern_tensor *t, const terni_computed *c) {
    tern_tensor *w = as_matrix(tern_detach(t), c->dim);
    const tern_options like = {tern_dtype_of(t), tern_device_of(t)};
    const tern_normalize_opts o = {.eps = c->eps};
    tern_tensor *u = tern_normalize(tern_randn(TERN_SHAPE(tern_size(w, 0)), 0, 1, like), 0, o);
    tern_tensor *v = tern_normalize(tern_randn(TERN_SHAPE(tern_size(w, 1)), 0, 1, like), 0, o);
    tern_module *vectors =
        w && u && v && power(w, u, v, 15, c->eps) ? tern_module_alloc(sizeof *vectors, "vectors") : NULL;
    if (vectors) {
        (void)tern_module_buffer(vectors, "_u", u);
        (void)tern_module_buffer(vectors, "_v", v);
    }
    (void)tern_module_add(holder, "0", tern_module_done(vectors));
}

bool tern_spectral_norm(tern_module *m, const char *name, tern_spectral_norm_opts opts) {
    static const char op[] = "spectral_norm";
    if (tern_ok() && (opts.iterations < 0 || !(opts.eps >= 0)))
        return terni_fail(TERN_ERR_ARGUMENT, "%s: %" PRId64 " iterations, eps %g; 0 or more expected", op,
                          opts.iterations, opts.eps);
    terni_computed c = {.rule = &spectral_norm, .dim = opts.dim};
    c.iterations = opts.iterations ? opts.iterations : 1;
    c.eps = opts.eps > 0 ? opts.eps : 1e-12;
    tern_tensor *t = target(m, op, name, &c);
    if (!t) return false;
    if (tern_ndim(t) < 2 || opts.dim < 0 || opts.dim >= tern_ndim(t))
        return terni_fail(TERN_ERR_ARGUMENT, "%s: dimension %d of \"%s\" with %d; 2 or more expected", op, opts.dim,
                          name, tern_ndim(t));
    const int scope = tern_scope_push();
    tern_module *holder = tern_module_alloc(sizeof *holder, op);
    if (holder) {
        holder->training = m->training;
        (void)tern_module_param(holder, "original", t);
        add_vectors(holder, t, &c);
    }
    const bool ok = install(m, name, c, tern_module_done(holder));
    tern_scope_pop(scope);
    return ok;
}

/* ---- removing ---------------------------------------------------------------------------------------------------- */

/* Room for t's slot is made first; nothing after it fails but the assignment. */
static bool restore(tern_module *m, terni_computed *c, tern_tensor *t, tern_tensor *value) {
    struct tern_module_parts *p = m->parts;
    terni_slot *slots = terni_grown(p->params, p->n_params, &p->cap_params, sizeof *slots);
    if (!slots) return false;
    p->params = slots;
    if (!tern_assign(t, value)) return false;
    const int place = place_now(m, c);
    memmove(slots + place + 1, slots + place, (size_t)(p->n_params - place) * sizeof *slots);
    slots[place] = (terni_slot){c->name, tern_keep(t)};
    c->name = NULL;
    p->n_params++;
    terni_point_to(m, c, t);
    return true;
}

bool tern_parametrization_remove(tern_module *m, const char *name) {
    static const char op[] = "parametrization_remove";
    if (!terni_given(m, op, "m") || !terni_given(name, op, "name")) return false;
    terni_computed **at = &m->parts->computed;
    while (*at && strcmp((*at)->name, name) != 0) at = &(*at)->next;
    terni_computed *c = *at;
    if (!c) return terni_fail(TERN_ERR_ARGUMENT, "%s: %s computes no \"%s\"", op, m->type, name);
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    tern_tensor *value = c->rule->compute(c, false);
    const bool ok = value && restore(m, c, param(c->holder, c->rule == &weight_norm ? 1 : 0), value);
    tern_grad_mode(was);
    tern_scope_pop(scope);
    if (!ok) return false;
    tern_module *holders = c->holder->parts->parent;
    terni_child_remove(holders, c->holder);
    if (holders->parts->n_children == 0) terni_child_remove(m, holders);
    *at = c->next;
    terni_computed_free(c);
    terni_around(m);
    terni_module_changed(m);
    return true;
}
