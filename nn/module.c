/* Modules: making, owning and freeing the tree. */
#include "tern/module.h"

#include <string.h>

#include "internal.h"

void *tern_module_alloc(size_t size, const char *type) {
    if (!tern_ok()) return NULL;
    if (size < sizeof(tern_module))
        return terni_null(TERN_ERR_ARGUMENT, "module: a struct of %zu bytes holds no tern_module", size);
    tern_module *m = terni_calloc(size);
    struct tern_module_parts *p = m ? terni_calloc(sizeof *p) : NULL;
    if (!p) {
        terni_free(m, size);
        return NULL;
    }
    p->size = size;
    m->type = type;
    m->training = true;
    m->parts = p;
    return m;
}

void *terni_layer(size_t size, const char *type, tern_tensor *(*forward)(tern_module *, tern_tensor *),
                  void (*describe)(const tern_module *, char *, size_t)) {
    tern_module *m = tern_module_alloc(size, type);
    if (!m) return NULL;
    m->forward = forward;
    m->describe = describe;
    return m;
}

void tern_module_free(void *module) {
    tern_module *m = module;
    if (!m) return;
    struct tern_module_parts *p = m->parts;
    if (m->drop) m->drop(m);
    terni_module_unlist(m);
    for (int i = 0; i < p->n_entries; i++) {
        tern_release(p->entry[i].tensor);
        terni_mfree(p->entry[i].name);
    }
    for (int i = 0; i < p->n_children; i++) {
        p->child[i].module->parts->parent = NULL;
        tern_module_free(p->child[i].module);
        terni_mfree(p->child[i].name);
    }
    terni_mfree(p->entry);
    terni_mfree(p->child);
    const size_t size = p->size;
    terni_free(p, sizeof *p);
    terni_free(m, size);
}

void *tern_module_done(void *module) {
    tern_module *m = module;
    if (!m) return NULL;
    if (!m->parts->failed && tern_ok()) return m;
    if (tern_ok()) terni_fail(TERN_ERR_ARGUMENT, "module: a part of %s could not be made", m->type);
    tern_module_free(m);
    return NULL;
}

/* ---- parts
 * ----------------------------------------------------------------------------------------------------------------- */

static bool name_is_free(const tern_module *m, const char *name) {
    const struct tern_module_parts *p = m->parts;
    if (!name || !*name) return terni_fail(TERN_ERR_ARGUMENT, "module: a part of %s has no name", m->type);
    if (strpbrk(name, "./"))
        return terni_fail(TERN_ERR_ARGUMENT, "module: the name \"%.60s\" of a part of %s holds a dot or a slash", name,
                          m->type);
    bool taken = false;
    for (int i = 0; i < p->n_entries; i++) taken |= strcmp(p->entry[i].name, name) == 0;
    for (int i = 0; i < p->n_children; i++) taken |= strcmp(p->child[i].name, name) == 0;
    return !taken || terni_fail(TERN_ERR_ARGUMENT, "module: %s has a part called \"%.60s\" already", m->type, name);
}

/* Room for one more in a growing array. */
static bool room(void *array, int n, int *cap, size_t item) {
    if (n < *cap) return true;
    void *old;
    memcpy(&old, array, sizeof old);
    const int more = *cap ? 2 * *cap : 4;
    void *bigger = terni_resize(old, (size_t)more * item);
    if (!bigger) return false;
    memcpy(array, &bigger, sizeof bigger);
    *cap = more;
    return true;
}

static bool may_join(const tern_module *parent, const tern_module *child) {
    if (!child) return !tern_ok() || terni_fail(TERN_ERR_ARGUMENT, "module: a part of %s is NULL", parent->type);
    if (child->parts->parent)
        return terni_fail(TERN_ERR_ARGUMENT, "module: %s is a part of a module already", child->type);
    for (const tern_module *a = parent; a; a = a->parts->parent)
        if (a == child) return terni_fail(TERN_ERR_ARGUMENT, "module: %s cannot be a part of itself", child->type);
    return true;
}

void *tern_module_add(tern_module *parent, const char *name, void *child) {
    tern_module *c = child;
    if (!parent) {
        tern_module_free(c);
        return NULL;
    }
    struct tern_module_parts *p = parent->parts;
    if (!may_join(parent, c)) { /* not ours to free: it has an owner, or is none */
        p->failed = true;
        return NULL;
    }
    char *copy = NULL;
    const bool ok = c && tern_ok() && name_is_free(parent, name) && (copy = terni_strdup(name)) &&
                    room(&p->child, p->n_children, &p->cap_children, sizeof *p->child);
    if (!ok) {
        terni_mfree(copy);
        tern_module_free(c);
        p->failed = true;
        return NULL;
    }
    p->child[p->n_children++] = (terni_child){copy, c};
    c->parts->parent = parent;
    terni_module_unlist(parent);
    return child;
}

static tern_tensor *add_tensor(tern_module *m, const char *name, tern_tensor *t, bool is_param) {
    if (!m) return NULL;
    struct tern_module_parts *p = m->parts;
    if (!t && tern_ok())
        terni_fail(TERN_ERR_ARGUMENT, "module: tensor \"%.60s\" of %s is NULL", name ? name : "?", m->type);
    char *copy = NULL;
    const bool ok = t && tern_ok() && name_is_free(m, name) && (!is_param || tern_require_grad(t, true)) &&
                    (copy = terni_strdup(name)) && room(&p->entry, p->n_entries, &p->cap_entries, sizeof *p->entry);
    if (!ok) {
        terni_mfree(copy);
        p->failed = true;
        return NULL;
    }
    p->entry[p->n_entries++] = (terni_entry){copy, tern_keep(t), is_param};
    terni_module_unlist(m);
    return t;
}

tern_tensor *tern_module_param(tern_module *m, const char *name, tern_tensor *t) {
    return add_tensor(m, name, t, true);
}
tern_tensor *tern_module_buffer(tern_module *m, const char *name, tern_tensor *t) {
    return add_tensor(m, name, t, false);
}

/* ---- use
 * ---------------------------------------------------------------------------------------------------------------------
 */

tern_tensor *tern_forward(tern_module *m, tern_tensor *x) {
    if (!terni_given(m, "forward", "module") || !terni_given(x, "forward", "x")) return NULL;
    if (!m->forward)
        return terni_null(TERN_ERR_UNSUPPORTED, "forward: %s has no forward of one tensor; call its own function",
                          m->type);
    return m->forward(m, x);
}

void terni_module_walk(tern_module *m, void (*fn)(tern_module *m, void *arg), void *arg) {
    fn(m, arg);
    for (int i = 0; i < m->parts->n_children; i++) terni_module_walk(m->parts->child[i].module, fn, arg);
}

static void set_training(tern_module *m, void *arg) { m->training = *(const bool *)arg; }

void tern_module_train(tern_module *m, bool training) {
    if (m) terni_module_walk(m, set_training, &training);
}

tern_module *tern_module_child(tern_module *m, const char *name) {
    if (!terni_given(m, "module_child", "module") || !terni_given(name, "module_child", "name")) return NULL;
    const char *at = name;
    while (*at) {
        const size_t n = strcspn(at, ".");
        tern_module *next = NULL;
        for (int i = 0; i < m->parts->n_children && !next; i++) {
            const terni_child *c = &m->parts->child[i];
            if (strlen(c->name) == n && memcmp(c->name, at, n) == 0) next = c->module;
        }
        if (!next)
            return terni_null(TERN_ERR_ARGUMENT, "module_child: there is no \"%.100s\" (at \"%.60s\")", name, at);
        m = next;
        at += n + (at[n] == '.');
    }
    return m;
}
