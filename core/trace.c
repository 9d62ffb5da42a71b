/* Traces. What is followed is known by the tensor that holds it and by its storage: all of the list's tensors are kept,
 * so that neither address is used again. A storage that is followed, met through a tensor that is not, is a view that
 * no listed op made. */
#include "trace_fields.h"

#include <string.h>

#include "tape.h"
#include "tern/trace.h"

typedef struct step {
    tern_traced is;
} step;

struct tern_tracer {
    bool on;
    int depth; /* inside of listed ops */
    step *steps;
    int64_t n, cap;
    tern_tensor **known; /* followed, and what was computed from it; kept */
    uint32_t *version;
    int64_t n_known, cap_known;
};

static const terni_fields *const all_fields[] = {
#define TERN_TRACED(row) &terni_fields_##row,
#include "trace.def"
};

static bool grow(void **p, int64_t n, int64_t *cap, size_t size) {
    if (n < *cap) return true;
    const int64_t more = *cap ? 2 * *cap : 64;
    void *q = terni_resize(*p, (size_t)more * size);
    if (!q) return false;
    *p = q;
    *cap = more;
    return true;
}

/* ---- what is followed -------------------------------------------------------------------------------------------- */

static int64_t place(const tern_tracer *t, const tern_tensor *x) {
    for (int64_t i = t->n_known - 1; i >= 0; i--)
        if (t->known[i] == x) return i;
    return -1;
}

static bool shares(const tern_tracer *t, const terni_storage *s) {
    for (int64_t i = t->n_known - 1; i >= 0; i--)
        if (t->known[i]->storage == s) return true;
    return false;
}

/* Memory of a followed tensor. */
static bool inside(const tern_tracer *t, const void *data) {
    for (int64_t i = t->n_known - 1; i >= 0; i--) {
        const terni_storage *s = t->known[i]->storage;
        const char *at = data, *first = s->data;
        if (at >= first && at < first + s->bytes) return true;
    }
    return false;
}

static bool learn(tern_tracer *t, tern_tensor *x) {
    const int64_t at = place(t, x);
    if (at >= 0) {
        t->version[at] = x->storage->version;
        return true;
    }
    int64_t cap = t->cap_known;
    if (!grow((void **)&t->known, t->n_known, &cap, sizeof *t->known)) return false;
    if (cap != t->cap_known) {
        uint32_t *v = terni_resize(t->version, (size_t)cap * sizeof *v);
        if (!v) return false; /* known has room to spare, which does no harm */
        t->version = v;
        t->cap_known = cap;
    }
    t->version[t->n_known] = x->storage->version;
    t->known[t->n_known++] = tern_keep(x);
    return true;
}

/* 1 if x is followed, 0 if not; -1 after an error. */
static int follows(const tern_tracer *t, const char *op, const tern_tensor *x) {
    const int64_t at = place(t, x);
    if (at < 0 && !shares(t, x->storage)) return 0;
    if (at < 0) {
        terni_fail(TERN_ERR_UNSUPPORTED, "trace: %s takes %s, a view of what is traced that no traced op made", op,
                   terni_describe(x));
        return -1;
    }
    if (t->version[at] == x->storage->version) return 1;
    terni_fail(TERN_ERR_UNSUPPORTED, "trace: %s takes %s, which was changed in place since it was computed", op,
               terni_describe(x));
    return -1;
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

static void step_free(step *s) {
    for (int i = 0; i < s->is.n_in; i++) tern_release(s->is.in[i]);
    for (int i = 0; i < s->is.n_out; i++) tern_release(s->is.out[i]);
    terni_mfree((void *)(uintptr_t)s->is.in); /* one block with out and opts */
}

static bool append(tern_tracer *t, tern_traced op, const void *opts, size_t opts_bytes) {
    if (!grow((void **)&t->steps, t->n, &t->cap, sizeof *t->steps)) return false;
    const size_t tensors = (size_t)(op.n_in + op.n_out) * sizeof(tern_tensor *);
    tern_tensor **list = terni_malloc(tensors + opts_bytes + 1);
    if (!list) return false;
    for (int i = 0; i < op.n_in; i++) list[i] = tern_keep(op.in[i]);
    for (int i = 0; i < op.n_out; i++) list[op.n_in + i] = tern_keep(op.out[i]);
    if (opts_bytes) memcpy((char *)list + tensors, opts, opts_bytes);
    op.in = list;
    op.out = list + op.n_in;
    op.opts = opts_bytes ? (char *)list + tensors : NULL;
    t->steps[t->n++] = (step){op};
    return true;
}

bool terni_trace_op(const char *op, const char *formula, const terni_fields *fields, const void *opts, size_t opts_size,
                    tern_tensor *const *in, int n, tern_tensor *const *out, int n_out) {
    if (!terni_watch_op(op, in, n, out, n_out)) return false;
    tern_tracer *t = terni_self.trace;
    if (!t || t->depth) return true;
    bool followed = false;
    for (int i = 0; i < n; i++) {
        const int f = in[i] ? follows(t, op, in[i]) : 0;
        if (f < 0) return false;
        followed |= f;
    }
    if (!followed) return true;
    const tern_traced is = {op, formula, n, n_out, in, out, NULL, fields};
    if (!append(t, is, opts, opts_size)) return false;
    for (int i = 0; i < n_out; i++)
        if (out[i] && !learn(t, out[i])) return false;
    return true;
}

bool terni_trace_function(const tern_function *f, const void *opts, tern_tensor *const *in, int n,
                          tern_tensor *const *out) {
    const terni_fields *fields = NULL;
    for (size_t i = 0; i < sizeof all_fields / sizeof *all_fields && !fields; i++)
        if (all_fields[i]->function == f) fields = all_fields[i];
    return terni_trace_op(f->name, NULL, fields, opts, f->opts_size, in, n, out, f->n_out);
}

void terni_trace_enter(void) {
    terni_self.inside++;
    if (terni_self.trace) terni_self.trace->depth++;
}
void terni_trace_leave(void) {
    terni_self.inside--;
    if (terni_self.trace && terni_self.trace->depth) terni_self.trace->depth--; /* 0: it began in between */
}

bool terni_trace_kernel(const char *name, const terni_view *const *in, int n, const terni_view *const *out, int n_out) {
    const tern_tracer *t = terni_self.trace;
    if (!t || t->depth) return true;
    for (int i = 0; i < n; i++)
        if (in[i] && inside(t, in[i]->data))
            return terni_fail(TERN_ERR_UNSUPPORTED, "trace: %s works on what is traced, but cannot be listed", name);
    for (int i = 0; i < n_out; i++)
        if (out[i] && inside(t, out[i]->data))
            return terni_fail(TERN_ERR_UNSUPPORTED, "trace: %s changes in place what is traced", name);
    return true;
}

bool terni_trace_reads(const char *what, const tern_tensor *x) {
    const tern_tracer *t = terni_self.trace;
    if (!t || t->depth || !x || !shares(t, x->storage)) return true;
    return terni_fail(TERN_ERR_UNSUPPORTED, "trace: %s reads %s: what follows would hold for these values only", what,
                      terni_describe(x));
}

/* ---- public ------------------------------------------------------------------------------------------------------ */

tern_tracer *tern_tracer_begin(void) {
    if (!tern_ok()) return NULL;
    if (terni_self.trace) return terni_null(TERN_ERR_ARGUMENT, "trace: this thread has a trace already");
    tern_tracer *t = terni_calloc(sizeof *t);
    if (!t) return NULL;
    t->on = true;
    terni_self.trace = t;
    terni_listening_set();
    return t;
}

bool tern_tracer_follow(tern_tracer *t, tern_tensor *x) {
    return terni_given(t, "trace_follow", "trace") && terni_given(x, "trace_follow", "t") && learn(t, x);
}

bool tern_tracer_end(tern_tracer *t) {
    if (t && t->on) {
        if (terni_self.trace == t) terni_self.trace = NULL;
        terni_listening_set();
        t->on = false;
    }
    return tern_ok();
}

void tern_tracer_free(tern_tracer *t) {
    if (!t) return;
    tern_tracer_end(t);
    for (int64_t i = 0; i < t->n; i++) step_free(&t->steps[i]);
    for (int64_t i = 0; i < t->n_known; i++) tern_release(t->known[i]);
    terni_mfree(t->steps);
    terni_mfree(t->known);
    terni_mfree(t->version);
    terni_free(t, sizeof *t);
}

bool tern_tracer_at(const tern_tracer *t, int64_t i, tern_traced *out) {
    if (!t || !out || i < 0 || i >= t->n) return false;
    *out = t->steps[i].is;
    return true;
}

bool tern_tracer_depends(const tern_tracer *t, const tern_tensor *x) { return t && x && place(t, x) >= 0; }

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static const terni_field *field_of(const tern_traced *op, const char *name) {
    for (int i = 0; op && op->fields && op->opts && name && op->fields->list[i].name; i++)
        if (strcmp(op->fields->list[i].name, name) == 0) return &op->fields->list[i];
    return NULL;
}

int tern_traced_ints(const tern_traced *op, const char *name, int64_t *v, int n) {
    const terni_field *f = field_of(op, name);
    if (!f || f->kind == 'd') return 0;
    const size_t each = f->kind == 'l' ? 8 : f->kind == 'b' ? sizeof(bool) : 4;
    const int count = (int)(f->bytes / each);
    for (int i = 0; i < count && i < n; i++) {
        const char *at = (const char *)op->opts + f->at + (size_t)i * each;
        switch (f->kind) {
            case 'l':
                memcpy(&v[i], at, 8);
                break;
            case 'b':
                v[i] = *(const bool *)at;
                break;
            case 'u':
                v[i] = *(const uint32_t *)(const void *)at;
                break;
            default:
                v[i] = *(const int32_t *)(const void *)at;
        }
    }
    return count;
}

double tern_traced_number(const tern_traced *op, const char *name) {
    const terni_field *f = field_of(op, name);
    double v = 0;
    if (f && f->kind == 'd') memcpy(&v, (const char *)op->opts + f->at, sizeof v);
    return v;
}

bool tern_traced_alike(const tern_traced *a, const tern_traced *b) {
    if (!a || !b || strcmp(a->op, b->op) != 0 || a->n_in != b->n_in || a->n_out != b->n_out || a->fields != b->fields)
        return false;
    for (const terni_field *f = a->fields ? a->fields->list : NULL; f && f->name; f++)
        if (memcmp((const char *)a->opts + f->at, (const char *)b->opts + f->at, f->bytes) != 0) return false;
    return true;
}
