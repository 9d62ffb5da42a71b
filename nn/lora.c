/* Low-rank adapters on linear layers. */
#include "tern/lora.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

enum { NAME = 512 }; /* longer full names are refused */
static const char prefix[] = "base_model.model.";

/* ---- every linear of a tree -------------------------------------------------------------------------------------- */

typedef struct walk {
    bool (*visit)(terni_linear *s, const char *name, struct walk *w); /* false ends the walk */
    const char *pattern;
    tern_lora_opts opts;
    int found;
    char name[NAME];
} walk;

static bool go(walk *w, tern_module *m, size_t n) {
    terni_linear *s = terni_as_linear(m);
    if (s && !w->visit(s, w->name, w)) return false;
    for (int i = 0; i < m->parts->n_children; i++) {
        const terni_child *c = &m->parts->children[i];
        if (c->module == (s ? s->lora_A : NULL) || c->module == (s ? s->lora_B : NULL)) continue;
        const int k = snprintf(w->name + n, NAME - n, n ? ".%s" : "%s", c->name);
        if (k < 0 || n + (size_t)k >= NAME) return terni_fail(TERN_ERR_ARGUMENT, "lora: a name is too long");
        if (!go(w, c->module, n + (size_t)k)) return false;
        w->name[n] = 0;
    }
    return true;
}

static bool has_some(tern_module *m, const char *op, int found) {
    return found > 0 || terni_fail(TERN_ERR_ARGUMENT, "%s: %s has no adapters", op, m->type);
}

/* ---- attaching --------------------------------------------------------------------------------------------------- */

static void take_off(terni_linear *s) {
    if (s->lora_A) terni_child_remove(&s->m, s->lora_A);
    if (s->lora_B) terni_child_remove(&s->m, s->lora_B);
    s->lora_A = s->lora_B = NULL;
    s->merged = false;
}

static tern_module *half(const terni_linear *s, int64_t in, int64_t out, bool zeros) {
    tern_module *l = tern_linear_new(in, out, (tern_linear_opts){.no_bias = true});
    if (!l) return NULL;
    if (zeros && !tern_init_zeros(tern_module_get(l, "weight"))) return l;
    if (tern_module_cast(l, tern_dtype_of(s->weight))) (void)tern_module_to(l, tern_device_of(s->weight));
    tern_module_train(l, s->m.training);
    return l;
}

static bool attach(terni_linear *s, const char *name, walk *w) {
    if (fnmatch(w->pattern, name, 0) != 0) return true;
    if (s->lora_A) return terni_fail(TERN_ERR_ARGUMENT, "lora_attach: \"%s\" has an adapter already", name);
    s->lora = w->opts;
    s->scale = w->opts.alpha / (w->opts.rank_stable ? sqrt((double)w->opts.rank) : (double)w->opts.rank);
    s->fresh = true;
    w->found++;
    s->lora_A = tern_module_add(&s->m, "lora_A", half(s, s->in, w->opts.rank, false));
    s->lora_B = tern_module_add(&s->m, "lora_B", half(s, w->opts.rank, s->out, true));
    return s->lora_A && s->lora_B;
}

/* After all went well, and after a failure. */
static bool settle(terni_linear *s, const char *name, walk *w) {
    (void)name;
    if (s->fresh && w->found < 0) {
        take_off(s);
        s->m.parts->failed = false; /* the linear itself is as it was */
    }
    s->fresh = false;
    return true;
}

int tern_lora_attach(tern_module *m, const char *pattern, tern_lora_opts o) {
    static const char op[] = "lora_attach";
    if (!terni_given(m, op, "m") || !terni_given(pattern, op, "pattern")) return -1;
    if (o.rank == 0) o.rank = 8;
    if (o.alpha == 0) o.alpha = (double)o.rank;
    if (o.rank < 1 || !isfinite(o.alpha) || !(o.dropout >= 0 && o.dropout <= 1)) {
        terni_fail(TERN_ERR_ARGUMENT, "%s: rank %" PRId64 ", alpha %g, dropout %g", op, o.rank, o.alpha, o.dropout);
        return -1;
    }
    walk w = {.visit = attach, .pattern = pattern, .opts = o};
    bool ok = go(&w, m, 0);
    if (ok && w.found == 0)
        ok = terni_fail(TERN_ERR_ARGUMENT, "%s: no linear of %s matches \"%s\"", op, m->type, pattern);
    walk after = {.visit = settle, .found = ok ? 0 : -1};
    (void)go(&after, m, 0);
    return ok ? w.found : -1;
}

/* ---- what is done with all of them ------------------------------------------------------------------------------- */

static bool shift(terni_linear *s, double scale) {
    if (s->m.parts->computed)
        return terni_fail(TERN_ERR_UNSUPPORTED, "lora: a weight that is computed cannot be merged with");
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    tern_tensor *a = tern_module_get(s->lora_A, "weight"), *b = tern_module_get(s->lora_B, "weight");
    const bool ok = tern_add_scaled_(s->weight, scale, tern_matmul(b, a)) != NULL;
    tern_grad_mode(was);
    tern_scope_pop(scope);
    if (ok) s->merged = scale == s->scale;
    return ok;
}

static bool merge(terni_linear *s, const char *name, walk *w) {
    (void)name;
    if (!s->lora_A) return true;
    w->found++;
    return s->merged || shift(s, s->scale);
}
static bool unmerge(terni_linear *s, const char *name, walk *w) {
    (void)name;
    if (!s->lora_A) return true;
    w->found++;
    return !s->merged || shift(s, -s->scale);
}
static bool detach(terni_linear *s, const char *name, walk *w) {
    (void)name;
    w->found += s->lora_A != NULL;
    take_off(s);
    return true;
}
static bool thaw(terni_linear *s, const char *name, walk *w) {
    (void)name;
    if (!s->lora_A) return true;
    w->found++;
    return tern_module_freeze(s->lora_A, "*", false) >= 0 && tern_module_freeze(s->lora_B, "*", false) >= 0;
}
static bool count(terni_linear *s, const char *name, walk *w) {
    (void)name;
    w->found += s->lora_A != NULL;
    return true;
}

static bool on_all(tern_module *m, const char *op, bool (*visit)(terni_linear *, const char *, walk *)) {
    if (!terni_given(m, op, "m")) return false;
    walk w = {.visit = visit};
    return go(&w, m, 0) && has_some(m, op, w.found);
}

bool tern_lora_merge(tern_module *m) { return on_all(m, "lora_merge", merge); }
bool tern_lora_unmerge(tern_module *m) { return on_all(m, "lora_unmerge", unmerge); }
bool tern_lora_detach(tern_module *m) { return on_all(m, "lora_detach", detach); }
bool tern_lora_train_only(tern_module *m) {
    return on_all(m, "lora_train_only", count) && tern_module_freeze(m, "*", true) >= 0 &&
           on_all(m, "lora_train_only", thaw);
}

bool tern_lora_settings(const tern_module *linear, tern_lora_opts *opts) {
    const terni_linear *s = terni_as_linear((tern_module *)linear);
    if (!s || !s->lora_A || !opts) return false;
    *opts = s->lora;
    return true;
}

/* ---- under PEFT's names ------------------------------------------------------------------------------------------ */

static bool is_adapter(const char *name) {
    static const char *const end[] = {"lora_A.weight", "lora_B.weight"};
    const size_t n = strlen(name), k = strlen(end[0]);
    if (n < k || (n > k && name[n - k - 1] != '.')) return false;
    return strcmp(name + n - k, end[0]) == 0 || strcmp(name + n - k, end[1]) == 0;
}

tern_tensor *tern_lora_each(tern_module *m, int i, char *name, size_t size) {
    tern_named e;
    for (int k = 0, n = 0; tern_module_each(m, k, &e); k++) {
        if (!e.is_param || !is_adapter(e.name) || n++ != i) continue;
        if (name && size) snprintf(name, size, "%s%s", prefix, e.name);
        return e.tensor;
    }
    return NULL;
}

tern_tensor *tern_lora_get(tern_module *m, const char *name) {
    if (!terni_given(m, "lora_get", "m") || !terni_given(name, "lora_get", "name")) return NULL;
    const size_t n = sizeof prefix - 1;
    if (strncmp(name, prefix, n) != 0 || !is_adapter(name + n))
        return terni_null(TERN_ERR_ARGUMENT, "lora_get: \"%s\" is no name of an adapter's tensor", name);
    return tern_module_get(m, name + n);
}
