/* The tree seen flat: every parameter and buffer with its full name; and what is done to all of them. */
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* ---- the list: made once, dropped when the tree changes
 * -------------------------------------------------------------- */

static void drop_list(struct tern_module_parts *p) {
    for (int i = 0; i < p->n_list; i++) {
        char *name;
        memcpy(&name, &p->list[i].name, sizeof name);
        terni_mfree(name);
    }
    terni_mfree(p->list);
    p->list = NULL;
    p->n_list = 0;
    p->listed = false;
}

void terni_module_unlist(tern_module *m) {
    for (; m; m = m->parts->parent) drop_list(m->parts);
}

static int count(const tern_module *m) {
    int n = m->parts->n_entries;
    for (int i = 0; i < m->parts->n_children; i++) n += count(m->parts->child[i].module);
    return n;
}

static char *join(const char *prefix, const char *name) {
    const size_t a = strlen(prefix), b = strlen(name);
    char *s = terni_malloc(a + b + 2);
    if (!s) return NULL;
    memcpy(s, prefix, a);
    if (a) s[a] = '.';
    memcpy(s + a + (a > 0), name, b + 1);
    return s;
}

static bool fill(const tern_module *m, const char *prefix, struct tern_module_parts *root, bool top) {
    const struct tern_module_parts *p = m->parts;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < p->n_entries; i++) {
            if (p->entry[i].is_param != (pass == 0)) continue;
            char *name = join(prefix, p->entry[i].name);
            if (!name) return false;
            root->list[root->n_list++] = (tern_named){name, p->entry[i].tensor, p->entry[i].is_param};
            /* The outermost module's names are what messages should show. */
            if (top && strcmp(tern_name(p->entry[i].tensor), name) != 0 && !tern_set_name(p->entry[i].tensor, name))
                return false;
        }
    for (int i = 0; i < p->n_children; i++) {
        char *name = join(prefix, p->child[i].name);
        const bool ok = name && fill(p->child[i].module, name, root, top);
        terni_mfree(name);
        if (!ok) return false;
    }
    return true;
}

bool terni_module_list(tern_module *m) {
    struct tern_module_parts *p = m->parts;
    if (p->listed) return true;
    const int n = count(m);
    if (n > 0) {
        p->list = terni_malloc((size_t)n * sizeof *p->list);
        if (!p->list) return false;
        if (!fill(m, "", p, p->parent == NULL)) {
            drop_list(p);
            return false;
        }
    }
    p->listed = true;
    return true;
}

bool tern_module_each(tern_module *m, int i, tern_named *out) {
    if (!m || !out || i < 0 || !terni_module_list(m) || i >= m->parts->n_list) return false;
    *out = m->parts->list[i];
    return true;
}

tern_tensor *tern_module_get(tern_module *m, const char *name) {
    if (!terni_given(m, "module_get", "module") || !terni_given(name, "module_get", "name") || !terni_module_list(m))
        return NULL;
    for (int i = 0; i < m->parts->n_list; i++)
        if (strcmp(m->parts->list[i].name, name) == 0) return m->parts->list[i].tensor;
    return terni_null(TERN_ERR_ARGUMENT, "module_get: %s has no parameter or buffer \"%.100s\"", m->type, name);
}

/* True if an earlier entry is the same tensor (shared parameters). */
static bool repeated(const struct tern_module_parts *p, int i) {
    for (int k = 0; k < i; k++)
        if (p->list[k].tensor == p->list[i].tensor) return true;
    return false;
}

int64_t tern_module_count(tern_module *m, bool trainable_only) {
    int64_t n = 0;
    if (!m || !terni_module_list(m)) return 0;
    const struct tern_module_parts *p = m->parts;
    for (int i = 0; i < p->n_list; i++)
        if (p->list[i].is_param && (!trainable_only || tern_requires_grad(p->list[i].tensor)) && !repeated(p, i))
            n += tern_numel(p->list[i].tensor);
    return n;
}

void tern_module_zero_grad(tern_module *m) {
    tern_named e;
    for (int i = 0; tern_module_each(m, i, &e); i++) tern_grad_set(e.tensor, NULL);
}

/* ---- to, cast: all or nothing
 * ------------------------------------------------------------------------------------------- */

typedef tern_tensor *(*change)(tern_tensor *t, const void *arg);

static tern_tensor *to_device(tern_tensor *t, const void *arg) { return tern_to(t, *(const tern_device *)arg); }
static tern_tensor *to_dtype(tern_tensor *t, const void *arg) {
    return tern_dtype_is_float(tern_dtype_of(t)) ? tern_cast(t, *(const tern_dtype *)arg) : t;
}

static bool change_all(tern_module *m, const char *op, change fn, const void *arg) {
    if (!terni_given(m, op, "module") || !terni_module_list(m)) return false;
    const struct tern_module_parts *p = m->parts;
    if (p->n_list == 0) return true;
    tern_tensor **made = terni_malloc((size_t)p->n_list * sizeof *made);
    if (!made) return false;
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    bool ok = true;
    for (int i = 0; ok && i < p->n_list; i++) ok = (made[i] = fn(p->list[i].tensor, arg)) != NULL;
    for (int i = 0; ok && i < p->n_list; i++)
        if (made[i] != p->list[i].tensor && !repeated(p, i)) ok = tern_assign(p->list[i].tensor, made[i]);
    tern_grad_mode(was);
    tern_scope_pop(scope);
    terni_mfree(made);
    return ok;
}

bool tern_module_to(tern_module *m, tern_device device) { return change_all(m, "module_to", to_device, &device); }

bool tern_module_cast(tern_module *m, tern_dtype dtype) {
    if (!tern_ok()) return false;
    if (!tern_dtype_is_float(dtype))
        return terni_fail(TERN_ERR_DTYPE, "module_cast: %s is not a float dtype", tern_dtype_name(dtype));
    return change_all(m, "module_cast", to_dtype, &dtype);
}

/* ---- copy
 * ------------------------------------------------------------------------------------------------------------------ */

static const tern_named *find(const struct tern_module_parts *p, const char *name) {
    for (int i = 0; i < p->n_list; i++)
        if (strcmp(p->list[i].name, name) == 0) return &p->list[i];
    return NULL;
}

static void note(char *buf, size_t size, const char *what, const char *name) {
    const size_t at = strlen(buf);
    snprintf(buf + at, size - at, "%s %s \"%s\"", at ? ";" : "", what, name);
}

bool tern_module_copy(tern_module *m, tern_module *src) {
    if (!terni_given(m, "module_copy", "module") || !terni_given(src, "module_copy", "src")) return false;
    if (!terni_module_list(m) || !terni_module_list(src)) return false;
    const struct tern_module_parts *a = m->parts, *b = src->parts;
    char wrong[1000] = "";
    for (int i = 0; i < a->n_list; i++) {
        const tern_named *e = find(b, a->list[i].name);
        if (!e)
            note(wrong, sizeof wrong, "missing", a->list[i].name);
        else if (!tern_shape_equal(tern_shape_get(e->tensor), tern_shape_get(a->list[i].tensor)))
            note(wrong, sizeof wrong, "other shape of", a->list[i].name);
    }
    for (int i = 0; i < b->n_list; i++)
        if (!find(a, b->list[i].name)) note(wrong, sizeof wrong, "unexpected", b->list[i].name);
    if (wrong[0]) return terni_fail(TERN_ERR_SHAPE, "module_copy: the modules differ:%s", wrong);
    const bool was = tern_grad_mode(false);
    bool ok = true;
    for (int i = 0; ok && i < a->n_list; i++)
        ok = tern_copy_(a->list[i].tensor, find(b, a->list[i].name)->tensor) != NULL;
    tern_grad_mode(was);
    return ok;
}
