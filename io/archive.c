/* Named tensors, and what they have to do with modules. Names are found by a hash table of their indices. */
#include "archive_internal.h"

#include <stdio.h>
#include <string.h>

#include "internal.h"

typedef struct entry {
    char *name;
    tern_tensor *tensor;
} entry;

typedef struct pair {
    char *key, *value;
} pair;

struct tern_archive {
    entry *entries;
    int64_t n, cap;
    int64_t *table; /* 1 + index of an entry, 0 where there is none; n_table is a power of two above 2 n */
    int64_t n_table;
    pair *texts;
    int n_texts;
};

tern_archive *tern_archive_new(void) { return tern_ok() ? terni_calloc(sizeof(tern_archive)) : NULL; }

void tern_archive_free(tern_archive *a) {
    if (!a) return;
    for (int64_t i = 0; i < a->n; i++) {
        terni_mfree(a->entries[i].name);
        tern_release(a->entries[i].tensor);
    }
    for (int i = 0; i < a->n_texts; i++) {
        terni_mfree(a->texts[i].key);
        terni_mfree(a->texts[i].value);
    }
    terni_mfree(a->entries);
    terni_mfree(a->table);
    terni_mfree(a->texts);
    terni_free(a, sizeof *a);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

/* Where name stands in the table, or would. */
static int64_t slot_of(const tern_archive *a, const char *name) {
    int64_t at = (int64_t)(terni_hash(name, strlen(name)) & (uint64_t)(a->n_table - 1));
    while (a->table[at] && strcmp(a->entries[a->table[at] - 1].name, name) != 0) at = (at + 1) & (a->n_table - 1);
    return at;
}

static int64_t find(const tern_archive *a, const char *name) {
    return a->n_table ? a->table[slot_of(a, name)] - 1 : -1;
}

static void index_all(tern_archive *a) {
    memset(a->table, 0, (size_t)a->n_table * sizeof *a->table);
    for (int64_t i = 0; i < a->n; i++) a->table[slot_of(a, a->entries[i].name)] = i + 1;
}

static bool grow(tern_archive *a) {
    if (a->n < a->cap) return true;
    const int64_t cap = a->cap ? 2 * a->cap : 32;
    entry *more = terni_resize(a->entries, (size_t)cap * sizeof *more);
    if (!more) return false;
    a->entries = more;
    int64_t *table = terni_resize(a->table, (size_t)(4 * cap) * sizeof *table);
    if (!table) return false;
    a->table = table;
    a->cap = cap;
    a->n_table = 4 * cap;
    index_all(a);
    return true;
}

bool tern_archive_put(tern_archive *a, const char *name, tern_tensor *t) {
    if (!terni_given(a, "archive", "archive") || !terni_given(name, "archive", "name") ||
        !terni_given(t, "archive", "tensor"))
        return false;
    if (!*name) return terni_fail(TERN_ERR_ARGUMENT, "archive: a name is empty");
    const int64_t at = find(a, name);
    if (at >= 0) {
        tern_keep(t);
        tern_release(a->entries[at].tensor);
        a->entries[at].tensor = t;
        return true;
    }
    char *copy = grow(a) ? terni_strdup(name) : NULL;
    if (!copy) return false;
    a->table[slot_of(a, name)] = a->n + 1;
    a->entries[a->n++] = (entry){copy, tern_keep(t)};
    return true;
}

tern_tensor *tern_archive_find(tern_archive *a, const char *name) {
    const int64_t at = a && name ? find(a, name) : -1;
    return at >= 0 ? a->entries[at].tensor : NULL;
}

tern_tensor *tern_archive_get(tern_archive *a, const char *name) {
    if (!terni_given(a, "archive", "archive") || !terni_given(name, "archive", "name")) return NULL;
    tern_tensor *t = tern_archive_find(a, name);
    return t ? t : terni_null(TERN_ERR_ARGUMENT, "archive: there is no tensor %s", name);
}

bool tern_archive_remove(tern_archive *a, const char *name) {
    const int64_t at = a && name ? find(a, name) : -1;
    if (at < 0) return false;
    terni_mfree(a->entries[at].name);
    tern_release(a->entries[at].tensor);
    memmove(a->entries + at, a->entries + at + 1, (size_t)(--a->n - at) * sizeof *a->entries);
    index_all(a);
    return true;
}

int64_t tern_archive_count(const tern_archive *a) { return a ? a->n : 0; }

bool tern_archive_each(const tern_archive *a, int64_t i, tern_archive_entry *out) {
    if (!a || !out || i < 0 || i >= a->n) return false;
    *out = (tern_archive_entry){a->entries[i].name, a->entries[i].tensor};
    return true;
}

/* ---- texts ------------------------------------------------------------------------------------------------------- */

static int text_at(const tern_archive *a, const char *key) {
    for (int i = 0; i < a->n_texts; i++)
        if (strcmp(a->texts[i].key, key) == 0) return i;
    return -1;
}

const char *tern_archive_text(const tern_archive *a, const char *key) {
    const int i = a && key ? text_at(a, key) : -1;
    return i >= 0 ? a->texts[i].value : NULL;
}

bool terni_archive_text_each(const tern_archive *a, int i, const char **key, const char **value) {
    if (i >= a->n_texts) return false;
    *key = a->texts[i].key;
    *value = a->texts[i].value;
    return true;
}

bool tern_archive_set_text(tern_archive *a, const char *key, const char *value) {
    if (!terni_given(a, "archive", "archive") || !terni_given(key, "archive", "key")) return false;
    const int i = text_at(a, key);
    char *copy = value ? terni_strdup(value) : NULL;
    if (value && !copy) return false;
    if (i >= 0) {
        terni_mfree(a->texts[i].value);
        a->texts[i].value = copy;
        if (!copy) {
            terni_mfree(a->texts[i].key);
            a->texts[i] = a->texts[--a->n_texts];
        }
        return true;
    }
    if (!value) return true;
    char *name = terni_strdup(key);
    pair *more = name ? terni_resize(a->texts, (size_t)(a->n_texts + 1) * sizeof *more) : NULL;
    if (!more) {
        terni_mfree(name);
        terni_mfree(copy);
        return false;
    }
    a->texts = more;
    a->texts[a->n_texts++] = (pair){name, copy};
    return true;
}

/* ---- modules ----------------------------------------------------------------------------------------------------- */

enum { NAME = 1024 };

static bool full_name(char *buf, const char *prefix, const char *name) {
    const int n = snprintf(buf, NAME, "%s%s", prefix ? prefix : "", name);
    return (n > 0 && n < NAME) || terni_fail(TERN_ERR_ARGUMENT, "archive: the name %s is too long", name);
}

bool tern_archive_module(tern_archive *a, tern_module *m, const char *prefix) {
    if (!terni_given(a, "archive_module", "archive") || !terni_given(m, "archive_module", "m")) return false;
    tern_named e;
    char name[NAME];
    for (int i = 0; tern_module_each(m, i, &e); i++)
        if (!full_name(name, prefix, e.name) || !tern_archive_put(a, name, e.tensor)) return false;
    return tern_ok();
}

void terni_complain(terni_report *r, const char *what, const char *name, const char *detail) {
    r->wrong++;
    if (r->n + 1 >= sizeof r->text) return;
    const int n = snprintf(r->text + r->n, sizeof r->text - r->n, "; %s %s%s", what, name, detail);
    if (n > 0) r->n += (size_t)n;
    if (r->n >= sizeof r->text) r->n = sizeof r->text - 1;
}

/* What of m is not in a, or has another shape. */
static bool compare_module(tern_archive *a, tern_module *m, tern_archive_apply_opts o, terni_report *r) {
    tern_named e;
    char name[NAME];
    for (int i = 0; tern_module_each(m, i, &e); i++) {
        if (!full_name(name, o.prefix, e.name)) return false;
        tern_tensor *t = tern_archive_find(a, name);
        if (!t) {
            if (!o.not_strict) terni_complain(r, "missing", name, "");
            continue;
        }
        const tern_shape is = tern_shape_get(t), want = tern_shape_get(e.tensor);
        if (tern_shape_equal(is, want)) continue;
        char sa[128], sb[128], detail[300];
        snprintf(detail, sizeof detail, " (%s instead of %s)", tern_shape_text(is, sa, sizeof sa),
                 tern_shape_text(want, sb, sizeof sb));
        terni_complain(r, "other shape:", name, detail);
    }
    return tern_ok();
}

/* What a has under the prefix that m has not. */
static bool compare_archive(tern_archive *a, tern_module *m, tern_archive_apply_opts o, terni_report *r) {
    const size_t skip = o.prefix ? strlen(o.prefix) : 0;
    tern_archive *known = tern_archive_new();
    tern_named e;
    bool ok = known != NULL;
    for (int i = 0; ok && tern_module_each(m, i, &e); i++) ok = tern_archive_put(known, e.name, e.tensor);
    for (int64_t i = 0; ok && i < a->n; i++) {
        const char *name = a->entries[i].name;
        if (skip && strncmp(name, o.prefix, skip) != 0) continue;
        if (!tern_archive_find(known, name + skip)) terni_complain(r, "unexpected", name, "");
    }
    tern_archive_free(known);
    return ok && tern_ok();
}

static int64_t copy_all(tern_archive *a, tern_module *m, tern_archive_apply_opts o) {
    const bool was = tern_grad_mode(false);
    const int scope = tern_scope_push();
    int64_t filled = 0;
    tern_named e;
    char name[NAME];
    for (int i = 0; filled >= 0 && tern_module_each(m, i, &e); i++) {
        tern_tensor *t = full_name(name, o.prefix, e.name) ? tern_archive_find(a, name) : NULL;
        if (!t) continue;
        tern_tensor *here = tern_to(tern_cast(t, tern_dtype_of(e.tensor)), tern_device_of(e.tensor));
        filled = here && tern_copy_(e.tensor, here) ? filled + 1 : -1;
        tern_scope_pop(scope);
    }
    tern_scope_pop(scope);
    tern_grad_mode(was);
    return tern_ok() ? filled : -1;
}

int64_t tern_archive_apply(tern_archive *a, tern_module *m, tern_archive_apply_opts opts) {
    if (!terni_given(a, "archive_apply", "archive") || !terni_given(m, "archive_apply", "m")) return -1;
    terni_report r = {.n = 0};
    if (!compare_module(a, m, opts, &r) || (!opts.not_strict && !compare_archive(a, m, opts, &r))) return -1;
    if (r.wrong) {
        terni_fail(TERN_ERR_SHAPE, "archive_apply: %s and the archive do not have the same parts%s%s", m->type, r.text,
                   r.n + 1 >= sizeof r.text ? " ..." : "");
        return -1;
    }
    return copy_all(a, m, opts);
}
