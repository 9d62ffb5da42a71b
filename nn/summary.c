/* A tree of modules as a table. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "tern/memory.h"
#include "tern/random.h"

/* ---- the dry run ------------------------------------------------------------------------------------------------- */

static void note_begin(tern_module *m) {
    struct tern_module_parts *p = m->parts;
    p->was_training = m->training;
    m->training = false;
    p->noting = true;
    p->noted = false;
    p->flops = 0;
    for (int i = 0; i < p->n_children; i++) note_begin(p->children[i].module);
}

static void note_end(tern_module *m) {
    struct tern_module_parts *p = m->parts;
    m->training = p->was_training;
    p->noting = false;
    for (int i = 0; i < p->n_children; i++) note_end(p->children[i].module);
}

/* dtype and device of m's first float parameter: what its input is likely to be. */
static tern_options input_options(const tern_module *m) {
    const struct tern_module_parts *p = m->parts;
    for (int i = 0; i < p->n_list; i++)
        if (tern_dtype_is_float(tern_dtype_of(p->list[i].tensor)))
            return (tern_options){tern_dtype_of(p->list[i].tensor), tern_device_of(p->list[i].tensor)};
    return (tern_options){0};
}

/* What the run needed of its device, in bytes. */
typedef struct needs {
    int64_t most, kept;
} needs;

/* Recorded, so that what stays at the end is what a backward pass needs. */
static needs dry_run(tern_module *m, tern_shape input) {
    const tern_random stream = tern_random_get();
    const bool was = tern_grad_mode(true);
    const int scope = tern_scope_push();
    tern_tensor *x = tern_zeros(input, input_options(m));
    const int mark = tern_memory_mark(tern_device_of(x));
    note_begin(m);
    const int inner = tern_scope_push();
    (void)tern_scope_return(inner, tern_forward(m, x));
    note_end(m);
    const tern_memory_stats stats = mark >= 0 ? tern_memory_since(mark) : (tern_memory_stats){0};
    tern_scope_pop(scope);
    tern_grad_mode(was);
    tern_random_set(stream);
    return (needs){stats.peak, stats.live};
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

enum { COLUMNS = 6, CELL = 160 };

typedef struct table {
    terni_text *out; /* NULL while widths are measured */
    int width[COLUMNS];
    bool shapes; /* with the column of output shapes */
} table;

static bool shown(const table *t, int column) { return (column != 3 && column != 5) || t->shapes; }

static void row(table *t, char cell[COLUMNS][CELL]) {
    if (!t->out) {
        for (int i = 0; i < COLUMNS; i++)
            if ((int)strlen(cell[i]) > t->width[i]) t->width[i] = (int)strlen(cell[i]);
        return;
    }
    for (int i = 0; i < 4; i++)
        if (shown(t, i)) terni_text_add(t->out, "%-*s  ", t->width[i], cell[i]);
    terni_text_add(t->out, "%*s", t->width[4], cell[4]);
    if (shown(t, 5)) terni_text_add(t->out, "  %*s", t->width[5], cell[5]);
    terni_text_add(t->out, "\n");
}

static void line(table *t) {
    int n = -2;
    for (int i = 0; i < COLUMNS; i++)
        if (shown(t, i)) n += t->width[i] + 2;
    for (int i = 0; i < n; i++) terni_text_add(t->out, "-");
    terni_text_add(t->out, "\n");
}

/* 1234567 as "1,234,567". */
static void grouped(char *buf, size_t size, int64_t n) {
    char digits[32];
    const int len = snprintf(digits, sizeof digits, "%" PRId64, n);
    terni_text t = {buf, size, 0};
    for (int i = 0; i < len; i++) terni_text_add(&t, i && (len - i) % 3 == 0 ? ",%c" : "%c", digits[i]);
}

static int64_t flops_below(const tern_module *m) {
    int64_t n = m->parts->flops;
    for (int i = 0; i < m->parts->n_children; i++) n += flops_below(m->parts->children[i].module);
    return n;
}

/* m's row, then its children's. name is where m's full name stands, name_end its end; the buffer holds CELL. */
static void rows(table *t, const tern_module *m, char *name, size_t n) {
    const struct tern_module_parts *p = m->parts;
    char cell[COLUMNS][CELL] = {{0}};
    snprintf(cell[0], CELL, "%s", n ? name : "(root)");
    snprintf(cell[1], CELL, "%s", m->type);
    if (m->describe) m->describe(m, cell[2], CELL);
    if (p->noted) tern_shape_text(p->output, cell[3], CELL);
    int64_t own = 0;
    for (int i = 0; i < p->n_params; i++) own += tern_numel(p->params[i].tensor);
    if (p->n_params) grouped(cell[4], CELL, own);
    const int64_t flops = t->shapes ? flops_below(m) : 0;
    if (flops) grouped(cell[5], CELL, flops);
    row(t, cell);
    for (int i = 0; i < p->n_children; i++) {
        const int k = snprintf(name + n, CELL - n, n ? ".%s" : "%s", p->children[i].name);
        const size_t end = n + (k > 0 ? (size_t)k : 0);
        rows(t, p->children[i].module, name, end < CELL - 1 ? end : CELL - 1);
        name[n] = 0;
    }
}

static void whole(table *t, const tern_module *m) {
    char head[COLUMNS][CELL] = {"name", "type", "settings", "output", "parameters", "FLOPs"};
    char name[CELL] = "";
    row(t, head);
    if (t->out) line(t);
    rows(t, m, name, 0);
    if (t->out) line(t);
}

static void totals(terni_text *out, tern_module *m) {
    const struct tern_module_parts *p = m->parts;
    int64_t all = 0, trainable = 0, buffers = 0, bytes = 0;
    bool shared = false;
    for (int i = 0; i < p->n_list; i++) {
        tern_tensor *t = p->list[i].tensor;
        if (p->repeated[i]) {
            shared = true;
            continue;
        }
        bytes += tern_numel(t) * (int64_t)tern_dtype_size(tern_dtype_of(t));
        if (!p->list[i].is_param) buffers += tern_numel(t);
        if (p->list[i].is_param) all += tern_numel(t);
        if (p->list[i].is_param && tern_requires_grad(t)) trainable += tern_numel(t);
    }
    char a[32], b[32], c[32], d[32];
    grouped(a, sizeof a, all);
    grouped(b, sizeof b, trainable);
    grouped(c, sizeof c, buffers);
    grouped(d, sizeof d, bytes);
    terni_text_add(out, "%s parameters, %s of them trainable; %s elements in buffers; %s bytes%s\n", a, b, c, d,
                   shared ? "; shared ones counted once" : "");
}

const char *tern_module_summary(tern_module *m, const tern_shape *input, char *buf, size_t size) {
    if (buf && size) buf[0] = 0;
    if (!terni_given(buf, "module_summary", "buf") || !terni_module_list(m)) return buf;
    const needs needed = input ? dry_run(m, *input) : (needs){0, 0};
    terni_text out = {buf, size, 0};
    table t = {.shapes = input != NULL};
    whole(&t, m);
    t.out = &out;
    whole(&t, m);
    totals(&out, m);
    if (!input) return buf;
    char most[32], kept[32];
    grouped(most, sizeof most, needed.most);
    grouped(kept, sizeof kept, needed.kept);
    terni_text_add(&out, "forward: %s bytes at most beside parameters and input; %s kept for a backward pass\n", most,
                   kept);
    return buf;
}
