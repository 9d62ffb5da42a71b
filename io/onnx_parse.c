/* ONNX import: the file. Every message lies in the file's bytes, so that what is allocated for it is bounded by them; a
 * tensor's sizes are multiplied with a look at overflow and compared with the bytes that are there before it is made.
 */
#include <limits.h>
#include <string.h>

#include "onnx_model.h"
#include "replace.h"

static bool damaged(const char *what) { return terni_fail(TERN_ERR_FORMAT, "onnx_load: %s is damaged", what); }

/* Room for one more of size bytes, cleared. */
static void *more(void **p, int64_t *n, int64_t *cap, size_t size) {
    if (*n == *cap) {
        const int64_t bigger = *cap ? 2 * *cap : 16;
        void *q = terni_resize(*p, (size_t)bigger * size);
        if (!q) return NULL;
        *p = q;
        *cap = bigger;
    }
    void *at = (char *)*p + (size_t)(*n)++ * size;
    memset(at, 0, size);
    return at;
}

static char *text_of(terni_cursor c) {
    const size_t n = (size_t)(c.end - c.at);
    char *s = terni_malloc(n + 1);
    if (!s) return NULL;
    memcpy(s, c.at, n);
    s[n] = 0;
    return s;
}

/* ---- tensors ------------------------------------------------------------------------------------------------------
 */

bool terni_om_dtype(int64_t number, tern_dtype *d) {
    static const struct {
        int number;
        tern_dtype dtype;
    } known[] = {{1, TERN_F32},  {2, TERN_U8},   {6, TERN_I32},  {7, TERN_I64},
                 {9, TERN_BOOL}, {10, TERN_F16}, {11, TERN_F64}, {16, TERN_BF16}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].number == number) {
            *d = known[i].dtype;
            return true;
        }
    return terni_fail(TERN_ERR_UNSUPPORTED, "onnx_load: a tensor of data type %lld, which Tern does not have",
                      (long long)number);
}

typedef struct tensor_message {
    tern_shape shape;
    int64_t type;
    terni_cursor raw;
    bool has_raw;
    terni_bytes typed; /* numbers that came one by one, as the dtype's bytes */
    int64_t count;
} tensor_message;

/* A field of numbers, packed or single: kind 0 varints, 5 floats, 1 doubles. */
static bool typed(tensor_message *m, const terni_pb_field *f, int kind) {
    tern_dtype d = TERN_F32;
    if (!terni_om_dtype(m->type, &d)) return false;
    const int width = kind == 5 ? 4 : kind == 1 ? 8 : (int)tern_dtype_size(d);
    terni_cursor c = f->data;
    uint64_t v = f->v;
    if (f->kind != 2) {
        if (f->kind != kind) return damaged("a tensor");
        terni_put_le(&m->typed, v, width);
        m->count++;
        return true;
    }
    if (kind != 0) {
        if ((c.end - c.at) % width) return damaged("a tensor");
        terni_put(&m->typed, c.at, (size_t)(c.end - c.at));
        m->count += (c.end - c.at) / width;
        return true;
    }
    for (int got; (got = terni_pb_varint(&c, &v)) != 0; m->count++) {
        if (got < 0) return damaged("a tensor");
        terni_put_le(&m->typed, v, width);
    }
    return true;
}

static bool dims(tensor_message *m, const terni_pb_field *f) {
    terni_cursor c = f->data;
    uint64_t v = f->v;
    for (bool first = true; first || f->kind == 2; first = false) {
        const int got = f->kind == 2 ? terni_pb_varint(&c, &v) : 1;
        if (got == 0) break;
        if (got < 0 || v > INT64_MAX) return damaged("a tensor's shape");
        if (m->shape.ndim == TERN_MAX_DIMS)
            return terni_fail(TERN_ERR_UNSUPPORTED, "onnx_load: a tensor of more than %d dimensions", TERN_MAX_DIMS);
        m->shape.dim[m->shape.ndim++] = (int64_t)v;
    }
    return true;
}

static tern_tensor *made(tensor_message *m) {
    tern_dtype d = TERN_F32;
    if (!terni_om_dtype(m->type, &d)) return NULL;
    int64_t n = 1;
    for (int i = 0; i < m->shape.ndim; i++)
        if (__builtin_mul_overflow(n, m->shape.dim[i], &n)) return damaged("a tensor's shape") ? NULL : NULL;
    const size_t have = m->has_raw ? (size_t)(m->raw.end - m->raw.at) : m->typed.n;
    if ((uint64_t)n > SIZE_MAX / 16 || (size_t)n * tern_dtype_size(d) != have) {
        terni_fail(TERN_ERR_FORMAT, "onnx_load: a tensor of %lld %s has %zu bytes of data", (long long)n,
                   tern_dtype_name(d), have);
        return NULL;
    }
    if (d == TERN_BOOL) /* bytes other than 0 and 1 are none */
        for (size_t i = 0; i < have; i++)
            if ((m->has_raw ? m->raw.at : m->typed.p)[i] > 1) return damaged("a tensor of bools") ? NULL : NULL;
    return tern_keep(tern_from(m->has_raw ? m->raw.at : m->typed.p, m->shape, (tern_options){.dtype = d}));
}

/* The type comes before the numbers in every file that is known, but need not. */
static int64_t type_in(terni_cursor c) {
    terni_pb_field f;
    int64_t type = 0;
    while (terni_pb_next(&c, &f) > 0)
        if (f.number == 2 && f.kind == 0) type = (int64_t)f.v;
    return type;
}

tern_tensor *terni_om_tensor(terni_cursor c, char **name) {
    tensor_message m = {.type = type_in(c)};
    terni_pb_field f;
    bool ok = true;
    int got;
    while (ok && (got = terni_pb_next(&c, &f)) != 0) {
        if (got < 0)
            ok = damaged("a tensor");
        else if (f.number == 1)
            ok = dims(&m, &f);
        else if (f.number == 4 || f.number == 10)
            ok = typed(&m, &f, f.number == 4 ? 5 : 1);
        else if (f.number == 5 || f.number == 7)
            ok = typed(&m, &f, 0);
        else if (f.number == 8 && f.kind == 2 && name && !*name)
            ok = (*name = text_of(f.data)) != NULL;
        else if (f.number == 9 && f.kind == 2) {
            m.raw = f.data;
            m.has_raw = true;
        } else if (f.number == 3 || f.number == 6 || f.number == 11 || f.number == 13 || (f.number == 14 && f.v))
            ok = terni_fail(TERN_ERR_UNSUPPORTED, "onnx_load: a tensor %s",
                            f.number == 6   ? "of texts"
                            : f.number > 11 ? "whose data lie in another file"
                                            : "in segments, or of unsigned numbers");
    }
    const int scope = tern_scope_push();
    tern_tensor *t = ok && !m.typed.failed ? made(&m) : NULL;
    tern_scope_pop(scope);
    terni_mfree(m.typed.p);
    return t;
}

/* ---- attributes ----------------------------------------------------------------------------------------------------
 */

/* The attribute's list with room for so many bytes; it has come by more than it needs, for there may be many parts. */
static void *room_for(terni_om_attr *a, void *list, size_t bytes) {
    if (bytes <= a->cap) return list;
    void *p = terni_resize(list, 2 * bytes);
    if (p) a->cap = 2 * bytes;
    return p;
}

static bool put_number(terni_om_attr *a, const terni_pb_field *f, bool whole) {
    terni_cursor c = f->data;
    const size_t most = f->kind == 2 ? (size_t)(c.end - c.at) : 1;
    void **list = whole ? (void **)&a->ints : (void **)&a->floats;
    void *p = room_for(a, *list, ((size_t)a->n + most) * 8 + 8);
    if (!p) return false;
    *list = p;
    for (bool first = true; first || f->kind == 2; first = false) {
        uint64_t v = f->v;
        if (f->kind == 2 && c.at == c.end) break;
        if (whole) {
            if (f->kind == 2 && terni_pb_varint(&c, &v) <= 0) return damaged("an attribute");
            a->ints[a->n++] = (int64_t)v;
            continue;
        }
        if (f->kind == 2) {
            if (c.end - c.at < 4) return damaged("an attribute");
            v = (uint64_t)c.at[0] | (uint64_t)c.at[1] << 8 | (uint64_t)c.at[2] << 16 | (uint64_t)c.at[3] << 24;
            c.at += 4;
        }
        a->floats[a->n++] = (double)terni_pb_float(v);
    }
    return true;
}

/* Strings one after the other; n counts them. */
static bool put_string(terni_om_attr *a, terni_cursor c) {
    const size_t n = (size_t)(c.end - c.at), before = a->s_bytes;
    char *s = room_for(a, a->s, before + n + 2);
    if (!s) return false;
    memcpy(s + before, c.at, n);
    s[before + n] = s[before + n + 1] = 0;
    a->s = s;
    a->s_bytes = before + n + 1;
    a->n++;
    return true;
}

static bool attribute(terni_om_attr *a, terni_cursor c) {
    terni_pb_field f;
    bool ok = true;
    int got;
    while (ok && (got = terni_pb_next(&c, &f)) != 0) {
        if (got < 0) return damaged("an attribute");
        if (f.number == 1 && f.kind == 2 && !a->name)
            ok = (a->name = text_of(f.data)) != NULL;
        else if (f.number == 2 && f.kind == 5)
            a->f = (double)terni_pb_float(f.v);
        else if (f.number == 3 && f.kind == 0)
            a->i = (int64_t)f.v;
        else if (f.number == 4 && f.kind == 2 && !a->s)
            ok = (a->s = text_of(f.data)) != NULL;
        else if (f.number == 5 && f.kind == 2 && !a->t)
            ok = (a->t = terni_om_tensor(f.data, NULL)) != NULL;
        else if (f.number >= 7 && f.number <= 9 && a->list != 0 && a->list != f.number)
            return damaged("an attribute"); /* n is of one list */
        else if (f.number == 7 && (f.kind == 2 || f.kind == 5))
            ok = put_number(a, &f, false);
        else if (f.number == 8 && (f.kind == 2 || f.kind == 0))
            ok = put_number(a, &f, true);
        else if (f.number == 9 && f.kind == 2)
            ok = put_string(a, f.data);
        else if (f.number == 20 && f.kind == 0)
            a->kind = f.v < 100 ? (int)f.v : -1;
        else if (f.number == 13)
            continue; /* what it is about */
        else
            return terni_fail(TERN_ERR_UNSUPPORTED, "onnx_load: the attribute %s is of a kind that is not known (%d)",
                              a->name ? a->name : "?", f.number);
        if (f.number >= 7 && f.number <= 9) a->list = f.number;
    }
    if (ok && !a->name) return damaged("an attribute");
    return ok;
}

/* ---- nodes and values ----------------------------------------------------------------------------------------------
 */

static bool rehash(terni_om *m) {
    const int64_t size = m->table_size ? 2 * m->table_size : 64;
    int *t = terni_resize(m->table, (size_t)size * sizeof *t);
    if (!t) return false;
    m->table = t;
    m->table_size = size;
    memset(t, 255, (size_t)size * sizeof *t);
    for (int i = 0; i < m->n_values; i++) {
        uint64_t at = terni_hash(m->values[i].name, strlen(m->values[i].name)) % (uint64_t)size;
        while (t[at] >= 0) at = (at + 1) % (uint64_t)size;
        t[at] = i;
    }
    return true;
}

/* The value of this name, made if need be; name is spent. -1 after an error. */
static int value_of(terni_om *m, char *name) {
    if (!name) return -1;
    if (2 * m->n_values >= m->table_size && !rehash(m)) {
        terni_mfree(name);
        return -1;
    }
    uint64_t at = terni_hash(name, strlen(name)) % (uint64_t)m->table_size;
    for (; m->table[at] >= 0; at = (at + 1) % (uint64_t)m->table_size)
        if (strcmp(m->values[m->table[at]].name, name) == 0) {
            terni_mfree(name);
            return m->table[at];
        }
    terni_om_value *v =
        m->n_values < INT_MAX ? more((void **)&m->values, &m->n_values, &m->cap_values, sizeof *m->values) : NULL;
    if (!v) {
        terni_mfree(name);
        return -1;
    }
    *v = (terni_om_value){.name = name, .last = -1};
    return m->table[at] = (int)m->n_values - 1;
}

static bool join(terni_om *m, int **list, int *n, terni_cursor c) {
    int *p = *list;
    if ((*n & (*n - 1)) == 0) { /* full: it has a power of two of places */
        p = terni_resize(p, (*n ? 2 * (size_t)*n : 1) * sizeof *p);
        if (!p) return false;
        *list = p;
    }
    p[*n] = -1;
    if (c.at != c.end && (p[*n] = value_of(m, text_of(c))) < 0) return false;
    ++*n;
    return true;
}

static bool node(terni_om *m, terni_cursor c) {
    terni_om_node *n = more((void **)&m->nodes, &m->n_nodes, &m->cap_nodes, sizeof *n);
    if (!n) return false;
    terni_pb_field f;
    int64_t cap = 0, count = 0;
    bool ok = true;
    int got;
    while (ok && (got = terni_pb_next(&c, &f)) != 0) {
        if (got < 0 || (f.kind != 2 && f.number < 8)) return damaged("a node");
        if (f.number == 1 || f.number == 2)
            ok = join(m, f.number == 1 ? &n->in : &n->out, f.number == 1 ? &n->n_in : &n->n_out, f.data);
        else if (f.number == 3 && !n->name)
            ok = (n->name = text_of(f.data)) != NULL;
        else if (f.number == 4 && !n->op)
            ok = (n->op = text_of(f.data)) != NULL;
        else if (f.number == 5) {
            void *list = n->attr;
            terni_om_attr *a = more(&list, &count, &cap, sizeof *a);
            n->attr = list;
            n->n_attr = (int)count;
            ok = a && attribute(a, f.data);
            if (!ok && a)
                return terni_fail(TERN_ERR_FORMAT, "onnx_load: %s: an attribute is damaged", n->op ? n->op : "a node");
        } else if (f.number == 7) {
            const size_t size = (size_t)(f.data.end - f.data.at);
            if (size && (size != 7 || memcmp(f.data.at, "ai.onnx", 7) != 0))
                return terni_fail(TERN_ERR_UNSUPPORTED, "onnx_load: node %s, %s: operators of the domain %.*s",
                                  n->name ? n->name : "?", n->op ? n->op : "?", (int)(size < 64 ? size : 64),
                                  (const char *)f.data.at);
        }
    }
    if (ok && !n->op) return damaged("a node without an op");
    return ok;
}

/* ---- the graph ------------------------------------------------------------------------------------------------------
 */

static bool initializer(terni_om *m, terni_cursor c) {
    char *name = NULL;
    tern_tensor *t = terni_om_tensor(c, &name);
    const int v = t && name ? value_of(m, name) : -1;
    if (v < 0) {
        if (!t || !name) terni_mfree(name);
        tern_release(t);
        return tern_ok() ? damaged("an initializer without a name") : false;
    }
    if (m->values[v].fixed) {
        tern_release(t);
        return damaged("a graph with two initializers of one name");
    }
    m->values[v].fixed = t;
    return true;
}

static bool info(terni_om *m, terni_cursor c, bool input) {
    terni_pb_field f;
    int got, v = -1;
    while ((got = terni_pb_next(&c, &f)) != 0) {
        if (got < 0) return damaged("an input or output");
        if (f.number != 1 || f.kind != 2 || v >= 0) continue;
        if ((v = value_of(m, text_of(f.data))) < 0) return false;
    }
    if (v < 0) return damaged("an input or output without a name");
    bool *const listed = input ? &m->values[v].is_input : &m->values[v].is_output;
    if (*listed) return damaged("a graph with two inputs or outputs of one name");
    *listed = true;
    int *slot = input ? more((void **)&m->inputs, &m->n_inputs, &m->cap_inputs, sizeof *slot)
                      : more((void **)&m->outputs, &m->n_outputs, &m->cap_outputs, sizeof *slot);
    if (slot) *slot = v;
    return slot != NULL;
}

static bool graph(terni_om *m, terni_cursor c) {
    terni_pb_field f;
    bool ok = true;
    int got;
    while (ok && (got = terni_pb_next(&c, &f)) != 0) {
        if (got < 0) return damaged("the graph");
        if (f.number == 15) return terni_fail(TERN_ERR_UNSUPPORTED, "onnx_load: sparse initializers");
        if (f.kind != 2) continue;
        if (f.number == 1) ok = node(m, f.data);
        if (f.number == 5) ok = initializer(m, f.data);
        if (f.number == 11 || f.number == 12) ok = info(m, f.data, f.number == 11);
    }
    return ok;
}

static bool opset(terni_om *m, terni_cursor c) {
    terni_pb_field f;
    int64_t version = 0;
    bool ours = true;
    int got;
    while ((got = terni_pb_next(&c, &f)) != 0) {
        if (got < 0) return damaged("the model");
        if (f.number == 1 && f.kind == 2)
            ours = f.data.at == f.data.end || (f.data.end - f.data.at == 7 && memcmp(f.data.at, "ai.onnx", 7) == 0);
        if (f.number == 2 && f.kind == 0) version = (int64_t)f.v;
    }
    if (ours) m->opset = version;
    return true;
}

bool terni_om_parse(terni_om *m, const char *path, const void *data, size_t bytes) {
    terni_cursor c = {data, (const unsigned char *)data + bytes};
    terni_pb_field f;
    bool found = false, ok = !terni_file_pickle("onnx_load", path, data, bytes);
    int got;
    while (ok && (got = terni_pb_next(&c, &f)) != 0) {
        if (got < 0) return terni_fail(TERN_ERR_FORMAT, "onnx_load: %s is no ONNX model, or damaged", path);
        if (f.number == 25) return terni_fail(TERN_ERR_UNSUPPORTED, "onnx_load: %s has functions of its own", path);
        if (f.number == 8 && f.kind == 2) ok = opset(m, f.data);
        if (f.number != 7 || f.kind != 2) continue;
        if (found) return damaged("the model");
        found = true;
        ok = graph(m, f.data);
    }
    if (!ok) return false;
    if (!found || !m->n_outputs) return terni_fail(TERN_ERR_FORMAT, "onnx_load: %s holds no ONNX graph", path);
    if (m->opset < TERNI_OM_LEAST || m->opset > TERNI_OM_MOST)
        return terni_fail(TERN_ERR_UNSUPPORTED, "onnx_load: %s is of opset %lld; %d to %d can be read", path,
                          (long long)m->opset, TERNI_OM_LEAST, TERNI_OM_MOST);
    return true;
}

static void clear_attr(terni_om_attr *a) {
    terni_mfree(a->name);
    terni_mfree(a->s);
    terni_mfree(a->ints);
    terni_mfree(a->floats);
    tern_release(a->t);
}

void terni_om_clear(terni_om *m) {
    for (int64_t i = 0; i < m->n_nodes; i++) {
        terni_om_node *n = &m->nodes[i];
        for (int k = 0; k < n->n_attr; k++) clear_attr(&n->attr[k]);
        terni_mfree(n->op);
        terni_mfree(n->name);
        terni_mfree(n->label);
        terni_mfree(n->in);
        terni_mfree(n->out);
        terni_mfree(n->attr);
    }
    for (int64_t i = 0; i < m->n_values; i++) {
        terni_mfree(m->values[i].name);
        tern_release(m->values[i].fixed);
    }
    terni_mfree(m->nodes);
    terni_mfree(m->values);
    terni_mfree(m->inputs);
    terni_mfree(m->outputs);
    terni_mfree(m->table);
}
