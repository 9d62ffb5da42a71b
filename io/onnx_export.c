/* ONNX export: a module is run under a trace, and each op of the list is written by its row (onnx_shapes.c,
 * onnx_layers.c, onnx_recurrent.c, onnx_elementwise.c). For a batch of any size it is run twice, with another number of
 * rows, and where the two lists differ in a size, that is written as a n + b of the batch size n. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "onnx_internal.h"
#include "tern/autocast.h"

enum { LONG_LIST = 256 };

typedef struct run {
    tern_tracer *trace;
    tern_tensor **x, **y;
} run;

typedef struct request {
    tern_module *m;
    tern_tensor *const *x;
    int n, outputs;
    const tern_onnx_opts *o;
} request;

/* ---- help for rows ----------------------------------------------------------------------------------------------- */

bool terni_onnx_refuse(const terni_step *s, const char *format, ...) {
    char why[256];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    return terni_fail(TERN_ERR_UNSUPPORTED, "onnx_export: op %lld, %s: %s", (long long)s->at, s->op->op, why);
}

int64_t terni_onnx_setting(const terni_step *s, const char *name) {
    int64_t v = 0;
    tern_traced_ints(s->op, name, &v, 1);
    return v;
}

static terni_value batch_size(terni_onnx *g) {
    terni_batch *b = terni_onnx_batch(g);
    if (!b->size)
        b->size = terni_onnx_op(g, "Shape", TERNI_IN(terni_onnx_value(g, b->input)),
                                TERNI_WITH(TERNI_A_INT("start", 0), TERNI_A_INT("end", 1)));
    return b->size;
}

terni_value terni_onnx_sizes(terni_onnx *g, const terni_step *s, const int64_t *a, const int64_t *b, int n) {
    int64_t by[2 * TERN_MAX_DIMS], plus[2 * TERN_MAX_DIMS];
    const terni_batch batch = *terni_onnx_batch(g);
    bool fixed = true;
    for (int i = 0; i < n && s->other; i++) fixed &= a[i] == b[i];
    if (fixed || n > 2 * TERN_MAX_DIMS) return terni_onnx_ints(g, a, n);
    for (int i = 0; i < n; i++) {
        const int64_t rise = b[i] - a[i], step = batch.other - batch.one;
        if (rise % step) {
            terni_onnx_refuse(s, "a size is %lld and %lld for batches of %lld and %lld", (long long)a[i],
                              (long long)b[i], (long long)batch.one, (long long)batch.other);
            return NULL;
        }
        by[i] = rise / step;
        plus[i] = a[i] - by[i] * batch.one;
    }
    terni_value v = terni_onnx_op(g, "Mul", TERNI_IN(batch_size(g), terni_onnx_ints(g, by, n)), TERNI_PLAIN);
    return terni_onnx_op(g, "Add", TERNI_IN(v, terni_onnx_ints(g, plus, n)), TERNI_PLAIN);
}

/* Whatever lies in front of the only size that changes is kept as a number, and that one is inferred. */
terni_value terni_onnx_reshape(terni_onnx *g, const terni_step *s, terni_value v, tern_tensor *t, tern_tensor *other) {
    const tern_shape a = tern_shape_get(t), b = other ? tern_shape_get(other) : a;
    int64_t to[TERN_MAX_DIMS];
    int changed = 0, zeros = 0;
    for (int i = 0; i < a.ndim; i++) {
        to[i] = a.dim[i];
        zeros += a.dim[i] == 0;
        if (a.dim[i] != b.dim[i]) changed++;
    }
    terni_value shape;
    if (changed == 1 && !zeros) {
        for (int i = 0; i < a.ndim; i++)
            if (a.dim[i] != b.dim[i]) to[i] = -1;
        shape = terni_onnx_ints(g, to, a.ndim);
    } else {
        shape = terni_onnx_sizes(g, s, a.dim, b.dim, a.ndim);
    }
    return terni_onnx_op(g, "Reshape", TERNI_IN(v, shape), TERNI_WITH(TERNI_A_INT("allowzero", 1)));
}

terni_value terni_onnx_cast(terni_onnx *g, terni_value v, tern_dtype from, tern_dtype to) {
    if (from == to) return v;
    return terni_onnx_op(g, "Cast", TERNI_IN(v), TERNI_WITH(TERNI_A_INT("to", terni_onnx_dtype(to))));
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static bool forward(const request *q, run *r) {
    tern_named e;
    r->trace = tern_tracer_begin();
    if (!r->trace) return false;
    bool ok = true;
    for (int i = 0; ok && i < q->n; i++) ok = tern_tracer_follow(r->trace, r->x[i]);
    for (int i = 0; ok && tern_module_each(q->m, i, &e); i++) ok = tern_tracer_follow(r->trace, e.tensor);
    if (ok && q->o->forward)
        ok = q->o->forward(q->m, r->x, q->n, r->y, q->outputs, q->o->user);
    else if (ok)
        ok = (r->y[0] = tern_forward(q->m, r->x[0])) != NULL;
    ok = tern_tracer_end(r->trace) && ok;
    for (int i = 0; ok && i < q->outputs; i++)
        if (!r->y[i]) ok = terni_fail(TERN_ERR_ARGUMENT, "onnx_export: the forward left output %d empty", i);
    return ok;
}

/* x with its first row once more. */
static tern_tensor *longer(tern_tensor *x) {
    return tern_cat((tern_tensor *const[]){x, tern_slice(x, 0, 0, 1, 1)}, 2, 0);
}

/* Copies of the inputs, so that none is another or a parameter. */
static bool examples(const request *q, run *r, bool second) {
    for (int i = 0; i < q->n; i++) {
        r->x[i] = second ? longer(q->x[i]) : tern_clone(q->x[i]);
        if (!r->x[i]) return false;
    }
    return true;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* A constant that grows with the batch: all its elements are one number. */
static bool spread_constant(terni_onnx *g, const terni_step *s, tern_tensor *a, tern_tensor *b) {
    const tern_shape sa = tern_shape_get(a), sb = tern_shape_get(b);
    if (sa.ndim != sb.ndim || tern_numel(a) == 0)
        return terni_onnx_refuse(s, "a constant's shape depends on the batch size");
    double first = 0;
    const int64_t count = tern_numel(a);
    double *v = terni_malloc((size_t)count * sizeof *v);
    bool same = v && tern_to_doubles(a, v, count);
    if (same) first = v[0];
    for (int64_t i = 1; same && i < count; i++) same = v[i] == first;
    terni_mfree(v);
    if (!tern_ok()) return false;
    if (!same) return terni_onnx_refuse(s, "a constant of %lld numbers depends on the batch size", (long long)count);
    terni_value shape = terni_onnx_sizes(g, s, sa.dim, sb.dim, sa.ndim);
    terni_value one = terni_onnx_number(g, tern_dtype_of(a), first);
    return terni_onnx_bind(g, a, terni_onnx_op(g, "Expand", TERNI_IN(one, shape), TERNI_PLAIN));
}

static bool same_bytes(tern_tensor *a, tern_tensor *b) {
    const size_t bytes = (size_t)tern_numel(a) * tern_dtype_size(tern_dtype_of(a));
    if (a == b) return true;
    char *v = terni_malloc(2 * bytes + 1);
    const bool same = v && tern_dtype_of(a) == tern_dtype_of(b) && tern_to_host(a, v, bytes) &&
                      tern_to_host(b, v + bytes, bytes) && memcmp(v, v + bytes, bytes) == 0;
    terni_mfree(v);
    return same;
}

static bool constants(terni_onnx *g, const terni_step *s, const run *r) {
    for (int i = 0; s->other && i < s->op->n_in; i++) {
        tern_tensor *a = s->op->in[i], *b = s->other->in[i];
        if (!a || !b || tern_tracer_depends(r[0].trace, a)) continue;
        if (tern_shape_equal(tern_shape_get(a), tern_shape_get(b))) {
            if (!same_bytes(a, b))
                return tern_ok() ? terni_onnx_refuse(s, "a constant depends on the batch size") : false;
            continue;
        }
        if (!spread_constant(g, s, a, b)) return false;
    }
    return true;
}

static bool write_step(terni_onnx *g, const terni_step *s) {
    if (s->op->formula) return terni_onnx_elementwise(g, s);
    terni_onnx_row row = terni_onnx_shapes(s->op->op);
    if (!row) row = terni_onnx_layers(s->op->op);
    if (!row) row = terni_onnx_recurrent(s->op->op);
    return row ? row(g, s) : terni_onnx_refuse(s, "this op has no form in ONNX here");
}

static bool write_steps(terni_onnx *g, const run *r) {
    tern_traced a, b;
    int64_t i = 0;
    for (; tern_tracer_at(r[0].trace, i, &a); i++) {
        const bool two = tern_tracer_at(r[1].trace, i, &b);
        const terni_step s = {&a, two ? &b : NULL, r[0].trace, i};
        if (r[1].trace && (!two || !tern_traced_alike(&a, &b)))
            return terni_onnx_refuse(&s, "with another batch size the module does something else here");
        if (!constants(g, &s, r)) return false;
        const int scope = tern_scope_push();
        const bool ok = write_step(g, &s) && tern_ok();
        tern_scope_pop(scope);
        if (!ok) return tern_ok() ? terni_onnx_refuse(&s, "it could not be written") : false;
    }
    return true;
}

static const char *name_of(const char *const *names, const char *stem, int i, int n, char *buf, size_t size) {
    if (names && names[i]) return names[i];
    if (n == 1) return stem;
    snprintf(buf, size, "%s_%d", stem, i);
    return buf;
}

static bool build(terni_onnx *g, const request *q, const run *r) {
    char buf[48];
    tern_named e;
    const bool dynamic = q->o->dynamic_batch;
    for (int i = 0; i < q->n; i++)
        if (!terni_onnx_input(g, name_of(q->o->input_names, "input", i, q->n, buf, sizeof buf), r[0].x[i], dynamic))
            return false;
    for (int i = 0; tern_module_each(q->m, i, &e); i++)
        if (!terni_onnx_named(g, e.name, e.tensor)) return false;
    if (!tern_ok() || !write_steps(g, r)) return false;
    for (int i = 0; i < q->outputs; i++) {
        tern_tensor *y = r[0].y[i];
        if (dynamic && (tern_ndim(y) < 1 || tern_size(r[1].y[i], 0) - tern_size(y, 0) != 1))
            return terni_fail(TERN_ERR_UNSUPPORTED, "onnx_export: output %d does not have the batch first", i);
        if (!terni_onnx_output(g, name_of(q->o->output_names, "output", i, q->outputs, buf, sizeof buf), y, dynamic))
            return false;
    }
    return true;
}

static bool check(const request *q) {
    if (!terni_given(q->m, "onnx_export", "m") || !terni_given(q->x, "onnx_export", "x")) return false;
    if (q->n < 1 || q->n > LONG_LIST || q->outputs < 1 || q->outputs > LONG_LIST)
        return terni_fail(TERN_ERR_ARGUMENT, "onnx_export: %d inputs and %d outputs", q->n, q->outputs);
    if (!q->o->forward && (q->n != 1 || q->outputs != 1))
        return terni_fail(TERN_ERR_ARGUMENT, "onnx_export: the module's own forward has one input and one output");
    for (int i = 0; i < q->n; i++) {
        if (!terni_given(q->x[i], "onnx_export", "x[i]")) return false;
        if (q->o->dynamic_batch &&
            (tern_ndim(q->x[i]) < 1 || tern_size(q->x[i], 0) < 1 || tern_size(q->x[i], 0) != tern_size(q->x[0], 0)))
            return terni_fail(TERN_ERR_SHAPE, "onnx_export: input %d does not have the first one's batch", i);
    }
    return true;
}

static bool export(const char *path, const request *q) {
    tern_tensor *room[4][LONG_LIST] = {{NULL}};
    run r[2] = {{NULL, room[0], room[1]}, {NULL, room[2], room[3]}};
    bool ok = examples(q, &r[0], false) && forward(q, &r[0]);
    if (ok && q->o->dynamic_batch) ok = examples(q, &r[1], true) && forward(q, &r[1]);
    terni_onnx *g = ok ? terni_onnx_graph_new() : NULL;
    const int64_t n = tern_size(q->x[0], 0);
    if (g) *terni_onnx_batch(g) = (terni_batch){.one = n, .other = n + 1, .input = r[0].x[0]};
    ok = g && build(g, q, r) && terni_onnx_write(g, path);
    terni_onnx_graph_free(g);
    tern_tracer_free(r[0].trace);
    tern_tracer_free(r[1].trace);
    return ok;
}

/* The modes of a tree, a byte each. */
static void modes_save(const tern_module *m, terni_bytes *b) {
    terni_put(b, &(unsigned char){m->training}, 1);
    for (int i = 0; i < tern_module_children(m); i++) modes_save(tern_module_child_at(m, i, NULL), b);
}
static void modes_restore(tern_module *m, const terni_bytes *b, size_t *at) {
    if (*at < b->n) m->training = b->p[(*at)++];
    for (int i = 0; i < tern_module_children(m); i++) modes_restore(tern_module_child_at(m, i, NULL), b, at);
}

bool tern_onnx_export(const char *path, tern_module *m, tern_tensor *const *x, int n, tern_onnx_opts o) {
    const request q = {m, x, n, o.outputs ? o.outputs : 1, &o};
    if (!terni_given(path, "onnx_export", "path") || !check(&q)) return false;
    const bool recording = tern_grad_mode(false);
    const int scope = tern_scope_push(), cast = tern_autocast_suspend();
    terni_bytes was = {0};
    modes_save(m, &was);
    tern_module_train(m, false);
    const bool ok = !was.failed && export(path, &q);
    size_t at = 0;
    modes_restore(m, &was, &at);
    terni_mfree(was.p);
    tern_autocast_pop(cast);
    tern_scope_pop(scope);
    tern_grad_mode(recording);
    return ok;
}
