/* Full names: the list of a tree's parameters and buffers, and what is found by name. */
#include <fnmatch.h>
#include <string.h>

#include "internal.h"

/* ---- the list ------------------------------------------------------------------------------------------------------
 * Built in two walks: one counts entries and letters, one writes them. A full name is the path from the list's module
 * down, so a path is a chain on the stack. */

typedef struct path {
    const struct path *up;
    const char *name;
} path;

static size_t path_length(const path *p) {
    size_t n = 0;
    for (; p; p = p->up) n += strlen(p->name) + 1;
    return n;
}

/* Writes "a.b." and returns its end. */
static char *path_write(char *to, const path *p) {
    if (!p) return to;
    to = path_write(to, p->up);
    const size_t n = strlen(p->name);
    memcpy(to, p->name, n);
    to[n] = '.';
    return to + n + 1;
}

typedef struct writer {
    tern_named *list; /* NULL in the first walk */
    char *text;
    int n;
    size_t letters;
} writer;

static void write_slots(writer *w, const path *at, const terni_slot *slot, int n, bool is_param) {
    for (int i = 0; i < n; i++) {
        const path full = {at, slot[i].name};
        const size_t letters = path_length(&full);
        if (w->list) {
            char *name = w->text + w->letters;
            path_write(name, &full)[-1] = 0;
            w->list[w->n] = (tern_named){name, slot[i].tensor, is_param};
        }
        w->n++;
        w->letters += letters;
    }
}

static void write_tree(writer *w, const path *at, const tern_module *m) {
    const struct tern_module_parts *p = m->parts;
    write_slots(w, at, p->params, p->n_params, true);
    write_slots(w, at, p->buffers, p->n_buffers, false);
    for (int i = 0; i < p->n_children; i++) {
        const path below = {at, p->children[i].name};
        write_tree(w, &below, p->children[i].module);
    }
}

static bool name_tensors(const struct tern_module_parts *p) {
    for (int i = 0; i < p->n_list; i++)
        if (!p->repeated[i] && strcmp(tern_name(p->list[i].tensor), p->list[i].name) != 0 &&
            !tern_set_name(p->list[i].tensor, p->list[i].name))
            return false;
    return true;
}

/* Which entries have a tensor that came before, by a hash table of tensors. */
static bool note_repeated(struct tern_module_parts *p) {
    uint64_t size = 16;
    while (size < 2 * (uint64_t)p->n_list) size *= 2;
    const tern_tensor **seen = terni_calloc((size_t)size * sizeof *seen);
    if (!seen) return false;
    for (int i = 0; i < p->n_list; i++) {
        const tern_tensor *const t = p->list[i].tensor;
        uint64_t at = terni_hash(&t, sizeof t) & (size - 1);
        while (seen[at] && seen[at] != t) at = (at + 1) & (size - 1);
        p->repeated[i] = seen[at] != NULL;
        seen[at] = t;
    }
    terni_free(seen, (size_t)size * sizeof *seen);
    return true;
}

bool terni_module_list(tern_module *m) {
    if (!terni_given(m, "module", "m")) return false;
    struct tern_module_parts *p = m->parts;
    if (p->listed) return true;
    terni_mfree(p->list);
    terni_mfree(p->repeated);
    terni_mfree(p->text);
    p->repeated = NULL;
    p->text = NULL;
    p->n_list = 0;
    writer w = {0};
    write_tree(&w, NULL, m);
    p->list = terni_malloc((size_t)w.n * sizeof *p->list);
    if (p->list) p->repeated = terni_malloc((size_t)w.n * sizeof *p->repeated);
    if (p->repeated) p->text = terni_malloc(w.letters);
    if (!p->text) return false;
    w = (writer){.list = p->list, .text = p->text};
    write_tree(&w, NULL, m);
    p->n_list = w.n;
    if (!note_repeated(p)) return false;
    p->listed = p->parent || name_tensors(p);
    return p->listed;
}

/* ---- what is found in it ----------------------------------------------------------------------------------------- */

bool tern_module_each(tern_module *m, int i, tern_named *out) {
    if (!terni_module_list(m) || i < 0 || i >= m->parts->n_list) return false;
    *out = m->parts->list[i];
    return true;
}

tern_tensor *tern_module_get(tern_module *m, const char *name) {
    if (!terni_given(name, "module_get", "name") || !terni_module_list(m)) return NULL;
    const struct tern_module_parts *p = m->parts;
    for (int i = 0; i < p->n_list; i++)
        if (strcmp(p->list[i].name, name) == 0) return p->list[i].tensor;
    return terni_null(TERN_ERR_ARGUMENT, "module_get: %s has no parameter or buffer \"%s\"", m->type, name);
}

tern_module *tern_module_child(tern_module *m, const char *name) {
    if (!terni_given(m, "module_child", "m") || !terni_given(name, "module_child", "name")) return NULL;
    const tern_module *const root = m;
    for (const char *at = name; *at;) {
        const size_t n = strcspn(at, ".");
        const struct tern_module_parts *p = m->parts;
        tern_module *next = NULL;
        for (int i = 0; i < p->n_children && !next; i++)
            if (strlen(p->children[i].name) == n && memcmp(p->children[i].name, at, n) == 0)
                next = p->children[i].module;
        if (!next || (at[n] == '.' && !at[n + 1]))
            return terni_null(TERN_ERR_ARGUMENT, "module_child: %s has no part \"%s\"", root->type, name);
        m = next;
        at += n + (at[n] == '.');
    }
    return m;
}

int64_t tern_module_count(tern_module *m, bool trainable_only) {
    if (!terni_module_list(m)) return 0;
    int64_t n = 0;
    const struct tern_module_parts *p = m->parts;
    for (int i = 0; i < p->n_list; i++)
        if (p->list[i].is_param && !p->repeated[i] && (!trainable_only || tern_requires_grad(p->list[i].tensor)))
            n += tern_numel(p->list[i].tensor);
    return n;
}

int tern_module_children(const tern_module *m) { return m ? m->parts->n_children : 0; }

tern_module *tern_module_child_at(const tern_module *m, int i, const char **name) {
    const bool there = m && i >= 0 && i < m->parts->n_children;
    if (name) *name = there ? m->parts->children[i].name : NULL;
    return there ? m->parts->children[i].module : NULL;
}

int tern_module_freeze(tern_module *m, const char *pattern, bool frozen) {
    if (!terni_given(m, "module_freeze", "m") || !terni_given(pattern, "module_freeze", "pattern") ||
        !terni_module_list(m))
        return -1;
    const struct tern_module_parts *p = m->parts;
    int n = 0;
    for (int i = 0; i < p->n_list; i++) {
        if (!p->list[i].is_param || fnmatch(pattern, p->list[i].name, 0) != 0) continue;
        n++;
        if (!tern_require_grad(p->list[i].tensor, !frozen)) return -1;
        if (frozen) tern_grad_set(p->list[i].tensor, NULL);
    }
    if (n) return n;
    terni_fail(TERN_ERR_ARGUMENT, "module_freeze: no parameter of %s matches \"%s\"", m->type, pattern);
    return -1;
}
