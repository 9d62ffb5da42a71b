/* The summary: a table of the tree. */
#include <stdio.h>
#include <string.h>

#include "internal.h"

typedef struct table {
    char *buf;
    size_t size, at;
    int name_width;
    bool with_shapes;
} table;

static void put(table *t, const char *text) {
    if (t->at + 1 >= t->size) return;
    const int n = snprintf(t->buf + t->at, t->size - t->at, "%s", text);
    if (n > 0) t->at += (size_t)n;
    if (t->at >= t->size) t->at = t->size - 1;
}

/* ---- output shapes: each module's forward is replaced during a dry run by one that writes down the shape
 * --------------- */

typedef struct probe {
    tern_module *module;
    tern_tensor *(*forward)(tern_module *, tern_tensor *);
    bool training, reached;
    tern_shape shape;
} probe;

typedef struct probes {
    probe *p;
    int n;
} probes;

static _Thread_local probes now; /* of the dry run under way */

static tern_tensor *probed_forward(tern_module *m, tern_tensor *x) {
    probe *p = NULL;
    for (int i = 0; i < now.n && !p; i++)
        if (now.p[i].module == m) p = &now.p[i];
    tern_tensor *y = p ? p->forward(m, x) : NULL;
    if (y) {
        p->reached = true;
        p->shape = tern_shape_get(y);
    }
    return y;
}

static void count_one(tern_module *m, void *arg) {
    (void)m;
    ++*(int *)arg;
}

static void install(tern_module *m, void *arg) {
    probes *s = arg;
    s->p[s->n++] = (probe){.module = m, .forward = m->forward, .training = m->training};
    if (m->forward) m->forward = probed_forward;
    m->training = false;
}

static void dry_run(tern_module *m, const tern_shape *input, probes *s) {
    const probes before = now;
    terni_module_walk(m, install, s);
    now = *s;
    const bool was = tern_grad_mode(false);
    const int scope = tern_scope_push();
    tern_named e;
    tern_options o = {TERN_F32, tern_cpu()};
    for (int i = 0; tern_module_each(m, i, &e); i++)
        if (tern_dtype_is_float(tern_dtype_of(e.tensor))) {
            o = (tern_options){tern_dtype_of(e.tensor), tern_device_of(e.tensor)};
            break;
        }
    (void)tern_forward(m, tern_zeros(*input, o));
    tern_scope_pop(scope);
    tern_grad_mode(was);
    now = before;
    for (int i = 0; i < s->n; i++) {
        s->p[i].module->forward = s->p[i].forward;
        s->p[i].module->training = s->p[i].training;
    }
}

/* ---- the table
 * --------------------------------------------------------------------------------------------------------------- */

static int64_t own_parameters(const tern_module *m) {
    int64_t n = 0;
    for (int i = 0; i < m->parts->n_entries; i++)
        if (m->parts->entry[i].is_param) n += tern_numel(m->parts->entry[i].tensor);
    return n;
}

static void row(table *t, const tern_module *m, const char *name, int depth, const probes *s) {
    char settings[160] = "", what[200], label[200], shape[120] = "", line[900];
    if (m->describe) m->describe(m, settings, sizeof settings);
    snprintf(what, sizeof what, "%.60s%s%.120s", m->type, settings[0] ? " " : "", settings);
    snprintf(label, sizeof label, "%*s%.100s", 2 * depth, "", name);
    for (int i = 0; i < s->n; i++)
        if (s->p[i].module == m && s->p[i].reached) tern_shape_text(s->p[i].shape, shape, sizeof shape);
    const int64_t own = own_parameters(m);
    char number[32] = "";
    if (own) snprintf(number, sizeof number, "%lld", (long long)own);
    if (t->with_shapes)
        snprintf(line, sizeof line, "%-*s %-44s %-20s %12s\n", t->name_width, label, what, shape, number);
    else
        snprintf(line, sizeof line, "%-*s %-44s %12s\n", t->name_width, label, what, number);
    put(t, line);
    for (int i = 0; i < m->parts->n_children; i++)
        row(t, m->parts->child[i].module, m->parts->child[i].name, depth + 1, s);
}

static int widest(const tern_module *m, const char *name, int depth) {
    int w = 2 * depth + (int)strlen(name);
    for (int i = 0; i < m->parts->n_children; i++) {
        const int c = widest(m->parts->child[i].module, m->parts->child[i].name, depth + 1);
        if (c > w) w = c;
    }
    return w < 100 ? w : 100;
}

const char *tern_module_summary(tern_module *m, const tern_shape *input, char *buf, size_t size) {
    if (!buf || size == 0) return buf;
    buf[0] = 0;
    if (!terni_given(m, "module_summary", "module")) return buf;
    int modules = 0;
    terni_module_walk(m, count_one, &modules);
    probes s = {terni_malloc((size_t)modules * sizeof(probe)), 0};
    if (!s.p) return buf;
    if (input) dry_run(m, input, &s);
    table t = {.buf = buf, .size = size, .name_width = widest(m, "(model)", 0), .with_shapes = input != NULL};
    char line[900];
    if (input)
        snprintf(line, sizeof line, "%-*s %-44s %-20s %12s\n", t.name_width, "name", "module", "output", "parameters");
    else
        snprintf(line, sizeof line, "%-*s %-44s %12s\n", t.name_width, "name", "module", "parameters");
    put(&t, line);
    row(&t, m, "(model)", 0, &s);
    const int64_t all = tern_module_count(m, false), trainable = tern_module_count(m, true);
    snprintf(line, sizeof line, "parameters: %lld, trainable: %lld, fixed: %lld\n", (long long)all,
             (long long)trainable, (long long)(all - trainable));
    put(&t, line);
    terni_mfree(s.p);
    return buf;
}
