/* A copy of a tree of modules. The structs are copied as they are; then every word in them that is the address of one
 * of the tree's own tensors or modules becomes the address of its copy. So a module needs no code for it, unless it
 * owns what the tree does not know of (drop). */
#include <string.h>

#include "internal.h"

typedef struct pair {
    const void *old;
    void *copy;
} pair;

typedef struct pairs {
    pair *list;
    int n, cap;
} pairs;

static bool note(pairs *p, const void *old, void *copy) {
    pair *list = terni_grown(p->list, p->n, &p->cap, sizeof *list);
    if (!list) return false;
    p->list = list;
    list[p->n++] = (pair){old, copy};
    return true;
}

static void *find(const pairs *p, const void *old) {
    for (int i = 0; i < p->n; i++)
        if (p->list[i].old == old) return p->list[i].copy;
    return NULL;
}

/* The copy of t, which is made at the first call; belongs to the current scope. */
static tern_tensor *tensor_of(pairs *p, tern_tensor *t) {
    tern_tensor *copy = find(p, t);
    if (copy) return copy;
    copy = tern_clone(tern_detach(t));
    return copy && note(p, t, copy) ? copy : NULL;
}

/* ---- the tree ---------------------------------------------------------------------------------------------------- */

static bool copy_hooks(tern_module *copy, const tern_module *m) {
    struct tern_module_parts *to = copy->parts;
    const struct tern_module_parts *from = m->parts;
    if (!from->n_hooks) return true;
    to->hooks = terni_malloc((size_t)from->cap_hooks * sizeof *to->hooks);
    if (!to->hooks) return false;
    memcpy(to->hooks, from->hooks, (size_t)from->n_hooks * sizeof *to->hooks);
    to->n_hooks = from->n_hooks;
    to->cap_hooks = from->cap_hooks;
    to->last_hook = from->last_hook;
    return true;
}

/* The holders are found by the address of their copies later. */
static bool copy_computed(pairs *p, tern_module *copy, const tern_module *m) {
    terni_computed **end = &copy->parts->computed;
    for (const terni_computed *c = m->parts->computed; c; c = c->next) {
        tern_tensor *placeholder = tensor_of(p, c->placeholder);
        char *name = placeholder ? terni_strdup(c->name) : NULL;
        terni_computed *one = name ? terni_calloc(sizeof *one) : NULL;
        if (!one) {
            terni_mfree(name);
            return false;
        }
        *one = *c;
        one->next = NULL;
        one->name = name;
        one->placeholder = tern_keep(placeholder);
        *end = one;
        end = &one->next;
    }
    return true;
}

static bool copy_slots(pairs *p, tern_module *copy, const tern_module *m) {
    const struct tern_module_parts *from = m->parts;
    for (int i = 0; i < from->n_params; i++) {
        tern_tensor *old = from->params[i].tensor, *t = tensor_of(p, old);
        if (!t || !tern_module_param(copy, from->params[i].name, t) || !tern_require_grad(t, tern_requires_grad(old)))
            return false;
    }
    for (int i = 0; i < from->n_buffers; i++) {
        tern_tensor *t = tensor_of(p, from->buffers[i].tensor);
        if (!t || !tern_module_buffer(copy, from->buffers[i].name, t)) return false;
    }
    return true;
}

/* A copy whose struct still points to the original's parts. NULL after an error. */
static tern_module *copy_tree(pairs *p, const tern_module *m) {
    if (m->drop && !m->copied)
        return terni_null(TERN_ERR_UNSUPPORTED, "module_clone: %s has a drop, but no copied", m->type);
    tern_module *copy = tern_module_alloc(m->parts->size, m->type);
    if (!copy) return NULL;
    struct tern_module_parts *parts = copy->parts;
    memcpy(copy, m, parts->size);
    copy->parts = parts;
    copy->drop = NULL; /* until it owns what drop frees */
    bool ok = note(p, m, copy) && copy_slots(p, copy, m);
    for (int i = 0; ok && i < m->parts->n_children; i++)
        ok = tern_module_add(copy, m->parts->children[i].name, copy_tree(p, m->parts->children[i].module)) != NULL;
    ok = ok && copy_hooks(copy, m) && copy_computed(p, copy, m);
    if (ok) {
        terni_around(copy);
        return copy;
    }
    tern_module_free(copy);
    return NULL;
}

/* ---- the pointers ------------------------------------------------------------------------------------------------ */

static void redirect(const pairs *p, tern_module *copy) {
    for (size_t at = sizeof *copy; at + sizeof(void *) <= copy->parts->size; at += sizeof(void *)) {
        void *word;
        memcpy(&word, (char *)copy + at, sizeof word);
        void *new = word ? find(p, word) : NULL;
        if (new) memcpy((char *)copy + at, &new, sizeof new);
    }
    for (terni_computed *c = copy->parts->computed; c; c = c->next) c->holder = find(p, c->holder);
    for (int i = 0; i < copy->parts->n_children; i++) redirect(p, copy->parts->children[i].module);
}

static bool own(tern_module *copy, const tern_module *m) {
    if (m->drop && !m->copied(copy, m)) return false;
    copy->drop = m->drop;
    for (int i = 0; i < m->parts->n_children; i++)
        if (!own(copy->parts->children[i].module, m->parts->children[i].module)) return false;
    return true;
}

void *tern_module_clone(void *module) {
    tern_module *m = module, *copy = NULL;
    if (!terni_given(m, "module_clone", "m") || !terni_module_list(m)) return NULL;
    const int scope = tern_scope_push();
    pairs p = {0};
    copy = copy_tree(&p, m);
    if (copy) {
        redirect(&p, copy);
        if (!own(copy, m) || !tern_ok()) {
            tern_module_free(copy);
            copy = NULL;
        }
    }
    terni_mfree(p.list);
    tern_scope_pop(scope);
    return copy ? tern_module_done(copy) : NULL;
}
