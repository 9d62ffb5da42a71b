/* The tree of modules: making, joining and freeing it. */
#include <string.h>

#include "internal.h"

/* ---- making ------------------------------------------------------------------------------------------------------ */

void *tern_module_alloc(size_t size, const char *type) {
    if (!terni_given(type, "module_alloc", "type")) return NULL;
    if (size < sizeof(tern_module))
        return terni_null(TERN_ERR_ARGUMENT,
                          "module_alloc: %s has %zu bytes; a struct that starts with a tern_module "
                          "has %zu or more",
                          type, size, sizeof(tern_module));
    tern_module *m = terni_calloc(size);
    if (!m) return NULL;
    m->parts = terni_calloc(sizeof *m->parts);
    if (!m->parts) {
        terni_free(m, size);
        return NULL;
    }
    m->parts->size = size;
    m->type = type;
    m->training = true;
    return m;
}

static void drop_slots(terni_slot *slot, int n) {
    for (int i = 0; i < n; i++) {
        terni_mfree(slot[i].name);
        tern_release(slot[i].tensor);
    }
    terni_mfree(slot);
}

static void free_tree(tern_module *m) {
    if (m->drop) m->drop(m);
    struct tern_module_parts *p = m->parts;
    for (int i = 0; i < p->n_children; i++) {
        terni_mfree(p->children[i].name);
        free_tree(p->children[i].module);
    }
    terni_mfree(p->children);
    drop_slots(p->params, p->n_params);
    drop_slots(p->buffers, p->n_buffers);
    terni_mfree(p->list);
    terni_mfree(p->repeated);
    terni_mfree(p->text);
    terni_mfree(p->names);
    terni_mfree(p->hooks);
    while (p->computed) {
        terni_computed *next = p->computed->next;
        terni_computed_free(p->computed);
        p->computed = next;
    }
    const size_t size = p->size;
    terni_free(p, sizeof *p);
    terni_free(m, size);
}

void tern_module_free(void *module) {
    tern_module *m = module;
    if (!m) return;
    if (m->parts->parent) {
        terni_fail(TERN_ERR_ARGUMENT, "module_free: this %s belongs to a %s, which frees it", m->type,
                   m->parts->parent->type);
        return;
    }
    free_tree(m);
}

void *tern_module_done(void *module) {
    tern_module *m = module;
    if (!m) return NULL;
    bool ok = tern_ok();
    if (ok && m->parts->failed) ok = terni_fail(TERN_ERR_ARGUMENT, "module_done: a part of the %s failed", m->type);
    if (ok && m->parts->n_children) ok = terni_module_list(m);
    if (ok) return m;
    tern_module_free(m);
    return NULL;
}

/* ---- joining ----------------------------------------------------------------------------------------------------- */

void *terni_grown(void *p, int n, int *cap, size_t size) {
    if (n < *cap) return p;
    const int more = *cap ? 2 * *cap : 4;
    p = terni_resize(p, (size_t)more * size);
    if (p) *cap = more;
    return p;
}

static int parts_of(const struct tern_module_parts *p) { return p->n_params + p->n_buffers + p->n_children; }

static const char *part_name(const struct tern_module_parts *p, int i) {
    if (i < p->n_params) return p->params[i].name;
    i -= p->n_params;
    return i < p->n_buffers ? p->buffers[i].name : p->children[i - p->n_buffers].name;
}

/* Where name stands in the table, or would. */
static const char **name_slot(const struct tern_module_parts *p, const char *name) {
    const uint64_t mask = (uint64_t)p->names_size - 1;
    uint64_t at = terni_hash(name, strlen(name)) & mask;
    while (p->names[at] && strcmp(p->names[at], name) != 0) at = (at + 1) & mask;
    return &p->names[at];
}

void terni_names_forget(tern_module *m) { m->parts->n_names = 0; }

/* Notes the name of a part that was added, unless the table is to be made anew. */
static void name_added(struct tern_module_parts *p, const char *name) {
    if (p->n_names != parts_of(p) - 1 || p->n_names == 0 || 2 * (int64_t)p->n_names >= p->names_size) return;
    *name_slot(p, name) = name;
    p->n_names++;
}

static bool index_names(struct tern_module_parts *p) {
    const int n = parts_of(p);
    if (p->n_names == n) return true;
    if (2 * (int64_t)n >= p->names_size) {
        int64_t size = 64;
        while (size < 4 * (int64_t)n) size *= 2;
        const char **bigger = terni_resize(p->names, (size_t)size * sizeof *bigger);
        if (!bigger) return false;
        p->names = bigger;
        p->names_size = size;
    }
    memset(p->names, 0, (size_t)p->names_size * sizeof *p->names);
    for (int i = 0; i < n; i++) *name_slot(p, part_name(p, i)) = part_name(p, i);
    p->n_names = n;
    return true;
}

static bool name_free(tern_module *m, const char *op, const char *name) {
    if (!terni_given(name, op, "name")) return false;
    if (!name[0] || strpbrk(name, "./"))
        return terni_fail(TERN_ERR_ARGUMENT, "%s: \"%s\" in %s: a name is not empty and has no '.' and no '/'", op,
                          name, m->type);
    struct tern_module_parts *p = m->parts;
    const int n = parts_of(p), few = 16; /* are looked through without a table */
    bool taken = false;
    for (int i = 0; n <= few && i < n; i++) taken |= strcmp(part_name(p, i), name) == 0;
    if (n > few && !index_names(p)) return false;
    if (n > few) taken = *name_slot(p, name) != NULL;
    return !taken || terni_fail(TERN_ERR_ARGUMENT, "%s: %s already has a part named \"%s\"", op, m->type, name);
}

void terni_module_changed(tern_module *m) {
    for (; m; m = m->parts->parent) m->parts->listed = false;
}

/* Records the error and returns true if child cannot be anybody's new child but has an owner who frees it. */
static bool owned_elsewhere(const tern_module *parent, const tern_module *child, const char *name) {
    if (child->parts->parent) {
        terni_fail(TERN_ERR_ARGUMENT, "module_add: \"%s\" belongs to a %s already", name ? name : "",
                   child->parts->parent->type);
        return true;
    }
    for (const tern_module *m = parent; m; m = m->parts->parent) {
        if (m != child) continue;
        terni_fail(TERN_ERR_ARGUMENT, "module_add: \"%s\" would be a part of itself", name ? name : "");
        return true;
    }
    return false;
}

static bool child_register(tern_module *m, const char *name, tern_module *c) {
    if (!name_free(m, "module_add", name)) return false;
    if (c->parts->failed) return terni_fail(TERN_ERR_ARGUMENT, "module_add: a part of \"%s\" failed", name);
    struct tern_module_parts *p = m->parts;
    terni_child *items = terni_grown(p->children, p->n_children, &p->cap_children, sizeof *items);
    if (!items) return false;
    p->children = items;
    char *copy = terni_strdup(name);
    if (!copy) return false;
    items[p->n_children++] = (terni_child){copy, c};
    name_added(p, copy);
    c->parts->parent = m;
    terni_module_changed(m);
    return true;
}

void terni_child_remove(tern_module *m, tern_module *child) {
    struct tern_module_parts *p = m->parts;
    for (int i = 0; i < p->n_children; i++) {
        if (p->children[i].module != child) continue;
        terni_names_forget(m);
        terni_mfree(p->children[i].name);
        memmove(p->children + i, p->children + i + 1, (size_t)(p->n_children - i - 1) * sizeof *p->children);
        p->n_children--;
        child->parts->parent = NULL;
        free_tree(child);
        terni_module_changed(m);
        return;
    }
}

void *tern_module_add(tern_module *parent, const char *name, void *child) {
    tern_module *c = child;
    bool ok = terni_given(parent, "module_add", "parent");
    ok = ok && (c || terni_fail(TERN_ERR_ARGUMENT, "module_add: the child for \"%s\" of %s is NULL", name ? name : "",
                                parent->type));
    const bool foreign = c && owned_elsewhere(parent, c, name);
    ok = ok && !foreign && child_register(parent, name, c);
    if (ok) return c;
    if (parent) parent->parts->failed = true;
    if (!foreign) tern_module_free(c);
    return NULL;
}

static bool slot_register(tern_module *m, const char *op, const char *name, tern_tensor *t, terni_slot **slots, int *n,
                          int *cap) {
    if (!terni_given(t, op, name ? name : "name") || !name_free(m, op, name)) return false;
    terni_slot *items = terni_grown(*slots, *n, cap, sizeof *items);
    if (!items) return false;
    *slots = items;
    char *copy = terni_strdup(name);
    if (!copy) return false;
    if (!tern_name(t)[0] && !tern_set_name(t, name)) {
        terni_mfree(copy);
        return false;
    }
    items[(*n)++] = (terni_slot){copy, tern_keep(t)};
    name_added(m->parts, copy);
    terni_module_changed(m);
    return true;
}

tern_tensor *tern_module_param(tern_module *m, const char *name, tern_tensor *t) {
    if (!terni_given(m, "module_param", "m")) {
        if (m) m->parts->failed = true;
        return NULL;
    }
    struct tern_module_parts *p = m->parts;
    if (t && tern_require_grad(t, true) &&
        slot_register(m, "module_param", name, t, &p->params, &p->n_params, &p->cap_params))
        return t;
    if (!t) (void)terni_given(t, "module_param", name ? name : "name");
    p->failed = true;
    return NULL;
}

tern_tensor *tern_module_buffer(tern_module *m, const char *name, tern_tensor *t) {
    if (!terni_given(m, "module_buffer", "m")) {
        if (m) m->parts->failed = true;
        return NULL;
    }
    struct tern_module_parts *p = m->parts;
    if (slot_register(m, "module_buffer", name, t, &p->buffers, &p->n_buffers, &p->cap_buffers)) return t;
    p->failed = true;
    return NULL;
}

tern_tensor *terni_param_new(tern_module *m, const char *name, tern_shape shape) {
    return tern_module_param(m, name, tern_empty(shape, (tern_options){0}));
}

/* ---- using ------------------------------------------------------------------------------------------------------- */

void tern_module_train(tern_module *m, bool training) {
    if (!m) return;
    m->training = training;
    for (int i = 0; i < m->parts->n_children; i++) tern_module_train(m->parts->children[i].module, training);
}

static bool room_for_mode(const tern_module *m) {
    bool room = m->parts->modes < (uint64_t)1 << 63;
    for (int i = 0; room && i < m->parts->n_children; i++) room = room_for_mode(m->parts->children[i].module);
    return room;
}

static void note_modes(tern_module *m) {
    struct tern_module_parts *p = m->parts;
    p->modes = (p->modes ? p->modes : 1) << 1 | m->training;
    for (int i = 0; i < p->n_children; i++) note_modes(p->children[i].module);
}

bool tern_module_mode_push(tern_module *m) {
    if (!m) return true;
    if (!room_for_mode(m)) return terni_fail(TERN_ERR_ARGUMENT, "module_mode_push: 63 wait for their pops");
    note_modes(m);
    return true;
}

void tern_module_mode_pop(tern_module *m) {
    if (!m) return;
    struct tern_module_parts *p = m->parts;
    if (p->modes > 1) {
        m->training = p->modes & 1;
        p->modes >>= 1;
    }
    for (int i = 0; i < p->n_children; i++) tern_module_mode_pop(p->children[i].module);
}

void tern_module_zero_grad(tern_module *m) {
    if (!m) return;
    for (int i = 0; i < m->parts->n_params; i++) tern_grad_set(m->parts->params[i].tensor, NULL);
    for (int i = 0; i < m->parts->n_children; i++) tern_module_zero_grad(m->parts->children[i].module);
}
