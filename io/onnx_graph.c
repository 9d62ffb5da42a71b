/* A graph of ONNX under construction, and how it is written. Field numbers are those of onnx/onnx.proto (IR version 8);
 * they are written by hand (protobuf.h says why). What no output needs is left out. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "onnx_internal.h"
#include "replace.h"

typedef struct node {
    const char *op;
    terni_value *in, out[TERNI_ONNX_OUT];
    int n_in, n_out;
    terni_bytes attributes; /* encoded */
    bool alive;
} node;

typedef struct initializer {
    terni_value name;
    tern_tensor *t; /* kept */
    bool named, alive;
} initializer;

typedef struct bound {
    const tern_tensor *t;
    terni_value v;
    const char *why; /* v is NULL: why */
} bound;

typedef struct list {
    void *p;
    int64_t n, cap;
} list;

/* Places by address: open addressing, half full at most. */
typedef struct place {
    const void *key; /* NULL: free */
    int64_t at;
} place;
typedef struct map {
    place *p;
    int64_t n, cap; /* cap: a power of two */
} map;

struct terni_onnx {
    map where, needed; /* of a tensor its binding; of a value 1 if something alive takes it */
    list nodes, initializers, bindings, texts, outputs; /* node, initializer, bound, char *, terni_value */
    terni_bytes input_infos, output_infos;
    int64_t counter;
    terni_batch batch;
};

static void *more(list *l, size_t size) {
    if (l->n == l->cap) {
        const int64_t cap = l->cap ? 2 * l->cap : 64;
        void *p = terni_resize(l->p, (size_t)cap * size);
        if (!p) return NULL;
        l->p = p;
        l->cap = cap;
    }
    void *at = (char *)l->p + (size_t)l->n++ * size;
    memset(at, 0, size);
    return at;
}

/* The place of key, or the free one where it belongs; m has room. */
static place *place_of(const map *m, const void *key) {
    uint64_t h = (uint64_t)(uintptr_t)key * 0x9e3779b97f4a7c15u; /* the golden ratio's bits spread neighbours */
    int64_t i = (int64_t)(h >> 20) & (m->cap - 1);
    while (m->p[i].key && m->p[i].key != key) i = (i + 1) & (m->cap - 1);
    return &m->p[i];
}

/* Of key, or -1. */
static int64_t map_find(const map *m, const void *key) {
    const place *s = m->cap ? place_of(m, key) : NULL;
    return s && s->key ? s->at : -1;
}

static bool map_put(map *m, const void *key, int64_t at) {
    if (2 * (m->n + 1) > m->cap) {
        map more = {.cap = m->cap ? 2 * m->cap : 256, .n = m->n};
        const size_t bytes = (size_t)more.cap * sizeof *more.p;
        more.p = terni_malloc(bytes);
        if (!more.p) return false;
        memset(more.p, 0, bytes);
        for (int64_t i = 0; i < m->cap; i++)
            if (m->p[i].key) *place_of(&more, m->p[i].key) = m->p[i];
        terni_mfree(m->p);
        *m = more;
    }
    place *s = place_of(m, key);
    m->n += !s->key;
    *s = (place){key, at};
    return true;
}

static terni_value text(terni_onnx *g, const char *s) {
    char **slot = more(&g->texts, sizeof *slot);
    return slot ? *slot = terni_strdup(s) : NULL;
}
static terni_value numbered(terni_onnx *g, const char *stem) {
    char name[96];
    snprintf(name, sizeof name, "%.64s_%lld", stem, (long long)g->counter++);
    return text(g, name);
}

terni_batch *terni_onnx_batch(terni_onnx *g) { return &g->batch; }
terni_onnx *terni_onnx_graph_new(void) { return terni_calloc(sizeof(terni_onnx)); }

void terni_onnx_graph_free(terni_onnx *g) {
    if (!g) return;
    for (int64_t i = 0; i < g->nodes.n; i++) {
        node *n = (node *)g->nodes.p + i;
        terni_mfree(n->in);
        terni_mfree(n->attributes.p);
    }
    for (int64_t i = 0; i < g->initializers.n; i++) tern_release(((initializer *)g->initializers.p)[i].t);
    for (int64_t i = 0; i < g->texts.n; i++) terni_mfree(((char **)g->texts.p)[i]);
    terni_mfree(g->where.p);
    terni_mfree(g->needed.p);
    terni_mfree(g->nodes.p);
    terni_mfree(g->initializers.p);
    terni_mfree(g->bindings.p);
    terni_mfree(g->texts.p);
    terni_mfree(g->outputs.p);
    terni_mfree(g->input_infos.p);
    terni_mfree(g->output_infos.p);
    terni_free(g, sizeof *g);
}

int64_t terni_onnx_dtype(tern_dtype d) {
    static const int64_t of[TERN_DTYPE_COUNT] = {[TERN_F32] = 1,  [TERN_U8] = 2,   [TERN_I32] = 6,  [TERN_I64] = 7,
                                                 [TERN_BOOL] = 9, [TERN_F16] = 10, [TERN_F64] = 11, [TERN_BF16] = 16};
    return of[d];
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

static void put_attribute(terni_bytes *b, const terni_attribute *a) {
    terni_bytes m = {0};
    terni_put_text(&m, 1, a->name);
    switch (a->kind) {
        case 'i':
            terni_put_int(&m, 3, a->i);
            terni_put_int(&m, 20, 2);
            break;
        case 'f':
            terni_put_float(&m, 2, (float)a->f);
            terni_put_int(&m, 20, 1);
            break;
        case 's':
            terni_put_text(&m, 4, a->s);
            terni_put_int(&m, 20, 3);
            break;
        case 'S':
            terni_put_text(&m, 9, a->s);
            terni_put_int(&m, 20, 8);
            break;
        default:
            for (int i = 0; i < a->n; i++) terni_put_int(&m, 8, a->ints[i]);
            terni_put_int(&m, 20, 7);
    }
    terni_put_part(b, 5, &m);
}

bool terni_onnx_ops(terni_onnx *g, const char *op, const terni_value *in, int n, const terni_attribute *a, int n_a,
                    int n_out, terni_value *out) {
    for (int i = 0; i < n_out; i++) out[i] = NULL;
    for (int i = 0; i < n; i++)
        if (!in[i]) return tern_ok() ? terni_fail(TERN_ERR_INTERNAL, "onnx: %s without input %d", op, i) : false;
    if (!tern_ok()) return false;
    node *made = more(&g->nodes, sizeof *made);
    if (!made) return false;
    made->op = op;
    while (n > 0 && !*in[n - 1]) n--; /* absent ones at the end */
    made->in = terni_malloc((size_t)n * sizeof *in + 1);
    if (!made->in) return false;
    if (n) memcpy(made->in, in, (size_t)n * sizeof *in);
    made->n_in = n;
    made->n_out = n_out;
    for (int i = 0; i < n_a; i++) put_attribute(&made->attributes, &a[i]);
    for (int i = 0; i < n_out; i++) {
        out[i] = numbered(g, op);
        if (!out[i]) return false;
        ((node *)g->nodes.p)[g->nodes.n - 1].out[i] = out[i];
    }
    return true;
}

terni_value terni_onnx_op(terni_onnx *g, const char *op, const terni_value *in, int n, const terni_attribute *a,
                          int n_a) {
    terni_value out;
    return terni_onnx_ops(g, op, in, n, a, n_a, 1, &out) ? out : NULL;
}

/* ---- initializers ------------------------------------------------------------------------------------------------ */

static terni_value initialize(terni_onnx *g, terni_value name, tern_tensor *t, bool named) {
    initializer *i = name && t && tern_ok() ? more(&g->initializers, sizeof *i) : NULL;
    if (!i) return NULL;
    *i = (initializer){name, tern_keep(t), named, named};
    return name;
}

terni_value terni_onnx_constant(terni_onnx *g, tern_tensor *t) {
    return initialize(g, numbered(g, "constant"), t, false);
}

terni_value terni_onnx_ints(terni_onnx *g, const int64_t *v, int n) {
    const int scope = tern_scope_push();
    terni_value r = terni_onnx_constant(g, tern_from(v, TERN_SHAPE(n), (tern_options){.dtype = TERN_I64}));
    tern_scope_pop(scope);
    return r;
}

terni_value terni_onnx_number(terni_onnx *g, tern_dtype dtype, double v) {
    const int scope = tern_scope_push();
    terni_value r = terni_onnx_constant(g, tern_scalar(v, (tern_options){.dtype = dtype}));
    tern_scope_pop(scope);
    return r;
}

bool terni_onnx_named(terni_onnx *g, const char *name, tern_tensor *t) {
    terni_value v = text(g, name);
    return initialize(g, v, t, true) && terni_onnx_bind(g, t, v);
}

static bound *binding(const terni_onnx *g, const tern_tensor *t) {
    const int64_t at = map_find(&g->where, t);
    return at < 0 ? NULL : (bound *)g->bindings.p + at;
}

terni_value terni_onnx_value(terni_onnx *g, tern_tensor *t) {
    if (!t) return "";
    const bound *b = binding(g, t);
    if (b && !b->v) terni_fail(TERN_ERR_UNSUPPORTED, "onnx: %s", b->why);
    if (b) return b->v;
    terni_value v = terni_onnx_constant(g, t);
    return terni_onnx_bind(g, t, v) ? v : NULL;
}

static bool bind(terni_onnx *g, const tern_tensor *t, terni_value v, const char *why) {
    bound *b = binding(g, t);
    if (!b && !((b = more(&g->bindings, sizeof *b)) && map_put(&g->where, t, g->bindings.n - 1))) return false;
    *b = (bound){t, v, why};
    return true;
}
bool terni_onnx_bind(terni_onnx *g, tern_tensor *t, terni_value v) { return v && bind(g, t, v, NULL); }
bool terni_onnx_missing(terni_onnx *g, tern_tensor *t, const char *why) { return bind(g, t, NULL, why); }

/* ---- inputs and outputs ------------------------------------------------------------------------------------------ */

static void put_info(terni_bytes *b, int field, const char *name, const tern_tensor *t, bool batch) {
    terni_bytes info = {0}, type = {0}, tensor = {0}, shape = {0};
    for (int d = 0; d < tern_ndim(t); d++) {
        terni_bytes dim = {0};
        if (batch && d == 0)
            terni_put_text(&dim, 2, "batch");
        else
            terni_put_int(&dim, 1, tern_size(t, d));
        terni_put_part(&shape, 1, &dim);
    }
    terni_put_int(&tensor, 1, terni_onnx_dtype(tern_dtype_of(t)));
    terni_put_part(&tensor, 2, &shape);
    terni_put_part(&type, 1, &tensor);
    terni_put_text(&info, 1, name);
    terni_put_part(&info, 2, &type);
    terni_put_part(b, field, &info);
}

bool terni_onnx_input(terni_onnx *g, const char *name, tern_tensor *t, bool batch) {
    terni_value v = text(g, name);
    if (!v || !terni_onnx_bind(g, t, v)) return false;
    put_info(&g->input_infos, 11, v, t, batch);
    return true;
}

/* Under its own name, by a node that copies it. */
bool terni_onnx_output(terni_onnx *g, const char *name, tern_tensor *t, bool batch) {
    terni_value v = terni_onnx_value(g, t), out[1], own = text(g, name), *slot;
    if (!own || !terni_onnx_ops(g, "Identity", TERNI_IN(v), TERNI_PLAIN, 1, out)) return false;
    ((node *)g->nodes.p)[g->nodes.n - 1].out[0] = own;
    if (!(slot = more(&g->outputs, sizeof *slot))) return false;
    *slot = own;
    put_info(&g->output_infos, 12, own, t, batch);
    return true;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* Names are unique objects, so that they are compared by address; a node comes after what it takes. */
static bool mark(terni_onnx *g) {
    const terni_value *out = g->outputs.p;
    bool ok = true;
    for (int64_t i = 0; ok && i < g->outputs.n; i++) ok = map_put(&g->needed, out[i], 1);
    for (int64_t i = g->nodes.n - 1; ok && i >= 0; i--) {
        node *n = (node *)g->nodes.p + i;
        for (int k = 0; k < n->n_out; k++) n->alive |= map_find(&g->needed, n->out[k]) >= 0;
        for (int k = 0; ok && n->alive && k < n->n_in; k++) ok = map_put(&g->needed, n->in[k], 1);
    }
    for (int64_t i = 0; i < g->initializers.n; i++) {
        initializer *c = (initializer *)g->initializers.p + i;
        c->alive = map_find(&g->needed, c->name) >= 0;
    }
    return ok;
}

static void put_node(terni_bytes *b, const node *n) {
    terni_bytes m = {0};
    for (int i = 0; i < n->n_in; i++) terni_put_text(&m, 1, n->in[i]);
    for (int i = 0; i < n->n_out; i++) terni_put_text(&m, 2, n->out[i]);
    terni_put_text(&m, 3, n->out[0]);
    terni_put_text(&m, 4, n->op);
    terni_put(&m, n->attributes.p, n->attributes.n);
    m.failed |= n->attributes.failed;
    terni_put_part(b, 1, &m);
}

static bool put_initializer(terni_bytes *b, const initializer *c) {
    terni_bytes m = {0};
    const size_t bytes = (size_t)tern_numel(c->t) * tern_dtype_size(tern_dtype_of(c->t));
    for (int d = 0; d < tern_ndim(c->t); d++) terni_put_int(&m, 1, tern_size(c->t, d));
    terni_put_int(&m, 2, terni_onnx_dtype(tern_dtype_of(c->t)));
    terni_put_text(&m, 8, c->name);
    void *data = terni_malloc(bytes + 1);
    const bool ok = data && bytes < INT_MAX && tern_to_host(c->t, data, bytes);
    if (ok) terni_put_data(&m, 9, data, bytes);
    terni_mfree(data);
    terni_put_part(b, 5, &m);
    if (bytes >= INT_MAX)
        return terni_fail(TERN_ERR_UNSUPPORTED, "onnx: %s has 2 GB or more, which no file of this kind holds", c->name);
    return ok;
}

bool terni_onnx_write(terni_onnx *g, const char *path) {
    terni_bytes graph = {0}, model = {0}, opset = {0};
    bool ok = mark(g);
    for (int64_t i = 0; i < g->nodes.n; i++)
        if (((node *)g->nodes.p)[i].alive) put_node(&graph, (node *)g->nodes.p + i);
    terni_put_text(&graph, 2, "tern");
    for (int64_t i = 0; ok && i < g->initializers.n; i++)
        if (((initializer *)g->initializers.p)[i].alive)
            ok = put_initializer(&graph, (initializer *)g->initializers.p + i);
    terni_put(&graph, g->input_infos.p, g->input_infos.n);
    terni_put(&graph, g->output_infos.p, g->output_infos.n);
    terni_put_int(&model, 1, TERNI_ONNX_IR);
    terni_put_text(&model, 2, "tern");
    terni_put_text(&model, 3, tern_version());
    terni_put_part(&model, 7, &graph);
    terni_put_int(&opset, 2, TERNI_ONNX_OPSET);
    terni_put_part(&model, 8, &opset);
    ok = ok && !model.failed && !g->input_infos.failed && !g->output_infos.failed;
    if (ok && model.n >= INT_MAX)
        ok = terni_fail(TERN_ERR_UNSUPPORTED, "onnx: the model has 2 GB or more, which no file of this kind holds");
    terni_replace r;
    if (ok && terni_replace_begin(&r, "onnx", path)) {
        ok = terni_replace_write(&r, model.p, model.n);
        ok = terni_replace_end(&r, ok);
    } else
        ok = false;
    terni_mfree(model.p);
    return ok;
}
