/* ONNX import: a model that was read as a module, and the loop that runs its nodes. A value is released after the last
 * node that takes it. */
#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "onnx_model.h"
#include "replace.h"

/* ---- rules ---------------------------------------------------------------------------------------------------------
 */

const terni_om_rule *terni_om_find(const char *op) {
    const terni_om_rule *const tables[] = {terni_om_pointwise, terni_om_shapes, terni_om_resizing, terni_om_layers,
                                           terni_om_recurrent};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const terni_om_rule *r = tables[i]; r->op; r++)
            if (strcmp(r->op, op) == 0) return r;
    return NULL;
}

static const char *shown(const char *name) { return name && *name ? name : "without a name"; }

static bool allowed(const char *list, const char *name) {
    const size_t n = strlen(name);
    for (const char *s = list; n && (s = strstr(s, name)) != NULL; s += n)
        if ((s == list || s[-1] == ' ') && (s[n] == 0 || s[n] == ' ')) return true;
    return false;
}

/* Every node has its rule, and nothing that the rule does not know. */
static bool check_nodes(terni_om *m) {
    for (int64_t i = 0; i < m->n_nodes; i++) {
        terni_om_node *n = &m->nodes[i];
        char label[256];
        snprintf(label, sizeof label, "onnx: node %.120s, %.60s", shown(n->name), n->op);
        n->rule = terni_om_find(n->op);
        if (!(n->label = terni_strdup(label))) return false;
        if (!n->rule)
            return terni_fail(TERN_ERR_UNSUPPORTED, "onnx_load: node %s is of type %s, which is not supported",
                              shown(n->name), n->op);
        for (int k = 0; k < n->n_attr; k++)
            if (!allowed(n->rule->attributes, n->attr[k].name))
                return terni_fail(TERN_ERR_UNSUPPORTED, "onnx_load: node %s, %s: the attribute %s is not supported",
                                  shown(n->name), n->op, n->attr[k].name);
        if (n->n_in < n->rule->least || n->n_in > n->rule->most || n->n_out < 1 || n->n_out > TERNI_OM_OUT)
            return terni_fail(TERN_ERR_FORMAT, "onnx_load: node %s, %s: %d inputs and %d outputs", shown(n->name),
                              n->op, n->n_in, n->n_out);
        for (int k = 0; k < n->rule->least; k++)
            if (n->in[k] < 0)
                return terni_fail(TERN_ERR_FORMAT, "onnx_load: node %s, %s: input %d is missing", shown(n->name), n->op,
                                  k);
    }
    return true;
}

/* Values are made once, before they are taken; and when they are taken last. */
static bool check_values(terni_om *m) {
    bool *known = terni_calloc((size_t)m->n_values + 1);
    if (!known) return false;
    bool ok = true;
    for (int64_t i = 0; i < m->n_values; i++) known[i] = m->values[i].fixed != NULL;
    for (int64_t i = 0; i < m->n_inputs; i++) known[m->inputs[i]] = true;
    for (int64_t i = 0; ok && i < m->n_nodes; i++) {
        const terni_om_node *n = &m->nodes[i];
        for (int k = 0; ok && k < n->n_in; k++) {
            if (n->in[k] < 0) continue;
            if (!known[n->in[k]])
                ok = terni_fail(TERN_ERR_FORMAT, "onnx_load: node %s, %s: nothing makes its input %s", shown(n->name),
                                n->op, m->values[n->in[k]].name);
            m->values[n->in[k]].last = (int)i;
        }
        for (int k = 0; ok && k < n->n_out; k++) {
            if (n->out[k] < 0) continue;
            if (known[n->out[k]])
                ok = terni_fail(TERN_ERR_FORMAT, "onnx_load: node %s, %s: its output %s is there already",
                                shown(n->name), n->op, m->values[n->out[k]].name);
            known[n->out[k]] = true;
        }
    }
    for (int64_t i = 0; ok && i < m->n_outputs; i++) {
        if (!known[m->outputs[i]])
            ok = terni_fail(TERN_ERR_FORMAT, "onnx_load: nothing makes the output %s", m->values[m->outputs[i]].name);
        m->values[m->outputs[i]].last = INT_MAX;
    }
    terni_free(known, (size_t)m->n_values + 1);
    return ok;
}

/* ---- parameters ----------------------------------------------------------------------------------------------------
 */

/* What stands under a name in a module: found by a hash table, as files have tens of thousands of names in one. */
typedef struct part {
    tern_module *owner;
    char *name;
    tern_module *child; /* for longer names that begin with this one; NULL: none yet */
    int64_t others;     /* that wanted this name and have it with a number */
} part;

typedef struct parts {
    part *part;
    int64_t n, cap;
    int64_t *table; /* numbers of parts from 1 */
    int64_t size;   /* a power of 2 */
} parts;

/* Where the name stands in the table, or would. */
static int64_t *slot_of(const parts *p, const tern_module *owner, const char *name) {
    const uint64_t mask = (uint64_t)p->size - 1;
    uint64_t at = (terni_hash(name, strlen(name)) ^ terni_hash(&owner, sizeof owner)) & mask;
    for (; p->table[at]; at = (at + 1) & mask) {
        const part *one = &p->part[p->table[at] - 1];
        if (one->owner == owner && strcmp(one->name, name) == 0) break;
    }
    return &p->table[at];
}
static part *find(const parts *p, const tern_module *owner, const char *name) {
    const int64_t i = p->size ? *slot_of(p, owner, name) : 0;
    return i ? &p->part[i - 1] : NULL;
}

static bool grow(parts *p) {
    const int64_t cap = p->cap ? 2 * p->cap : 32;
    part *bigger = terni_resize(p->part, (size_t)cap * sizeof *bigger);
    if (!bigger) return false;
    p->part = bigger;
    int64_t *table = terni_resize(p->table, (size_t)(2 * cap) * sizeof *table);
    if (!table) return false;
    p->table = table;
    p->cap = cap;
    p->size = 2 * cap;
    memset(table, 0, (size_t)p->size * sizeof *table);
    for (int64_t i = 0; i < p->n; i++) *slot_of(p, p->part[i].owner, p->part[i].name) = i + 1;
    return true;
}

static bool note(parts *p, tern_module *owner, const char *name, tern_module *child) {
    if (p->n == p->cap && !grow(p)) return false;
    char *copy = terni_strdup(name);
    if (!copy) return false;
    p->part[p->n++] = (part){owner, copy, child, 1};
    *slot_of(p, owner, name) = p->n;
    return true;
}

static void forget(parts *p) {
    for (int64_t i = 0; i < p->n; i++) terni_mfree(p->part[i].name);
    terni_mfree(p->part);
    terni_mfree(p->table);
}

enum { PART = 128, NUMBER = 24 };

/* A name that nothing in m has yet: name, with a number behind it if need be. */
static void make_free(parts *p, const tern_module *m, char *name) {
    const size_t n = strlen(name);
    part *first = find(p, m, name);
    while (first && find(p, m, name)) snprintf(name + n, NUMBER, "_%lld", (long long)++first->others);
}

/* The child of this name, made if need be; under a longer name if a parameter has it. */
static tern_module *child(parts *p, tern_module *m, char *name) {
    part *there = find(p, m, name);
    const int64_t at = there ? there - p->part : -1;
    if (there && there->child) return there->child;
    make_free(p, m, name);
    tern_module *c = tern_module_add(m, name, tern_module_done(tern_module_alloc(sizeof(tern_module), "onnx_part")));
    if (!c || !note(p, m, name, c)) return NULL;
    if (at >= 0) p->part[at].child = c; /* beside the parameter of that name */
    return c;
}

/* Registers t under the name of an initializer: the parts between dots are modules. */
static bool put_param(parts *p, tern_module *m, const char *name, tern_tensor *t, bool trained) {
    char own[PART] = "";
    size_t n = 0;
    int depth = 0;
    for (const char *s = name;; s++) {
        if (*s == '.' && depth < 16 && s[1]) {
            if (!n) own[n++] = '_';
            own[n] = 0;
            m = child(p, m, own);
            if (!m) return false;
            n = 0;
            depth++;
        } else if (*s && n < PART - NUMBER)
            own[n++] = *s == '.' || *s == '/' || *s == ':' || iscntrl((unsigned char)*s) ? '_' : *s;
        if (!*s) break;
    }
    if (!n) own[n++] = '_';
    own[n] = 0;
    make_free(p, m, own);
    return (trained ? tern_module_param : tern_module_buffer)(m, own, t) != NULL && note(p, m, own, NULL);
}

/* Notes the inputs that are no weights: running statistics, limits, sizes. */
static void note_settings(terni_om *m) {
    static const struct {
        const char *op;
        int from;
    } takes[] = {{"BatchNormalization", 3}, {"Resize", 0}, {"Clip", 0}, {"Pad", 0}, {"Dropout", 0}};
    for (int64_t i = 0; i < m->n_nodes; i++) {
        const terni_om_node *n = &m->nodes[i];
        for (size_t t = 0; t < sizeof takes / sizeof *takes; t++)
            for (int k = takes[t].from; strcmp(n->op, takes[t].op) == 0 && k < n->n_in; k++)
                if (n->in[k] >= 0) m->values[n->in[k]].setting = true;
    }
}

static bool put_params(terni_om *m) {
    parts p = {0};
    bool ok = true;
    note_settings(m);
    for (int64_t i = 0; ok && i < m->n_values; i++) {
        terni_om_value *v = &m->values[i];
        if (!v->fixed || !tern_dtype_is_float(tern_dtype_of(v->fixed))) continue;
        ok = put_param(&p, &m->m, v->name, v->fixed, tern_ndim(v->fixed) > 0 && !v->setting);
        if (!ok) break;
        v->param = v->fixed;
        tern_release(v->fixed);
        v->fixed = NULL;
    }
    forget(&p);
    return ok;
}

/* Inputs without those that are initializers: they are defaults that nobody changes. */
static void drop_inputs(terni_om *m) {
    int64_t n = 0;
    for (int64_t i = 0; i < m->n_inputs; i++)
        if (!m->values[m->inputs[i]].fixed) m->inputs[n++] = m->inputs[i];
    m->n_inputs = n;
}

/* ---- running -------------------------------------------------------------------------------------------------------
 */

static tern_tensor *value(const terni_om *m, tern_tensor **made, int i) {
    if (i < 0) return NULL;
    return made[i] ? made[i] : m->values[i].param ? m->values[i].param : m->values[i].fixed;
}

/* What lies on the CPU and is fixed goes to where the others are. */
static bool bring_together(terni_om_run *r) {
    tern_device to = tern_cpu();
    for (int i = 0; i < r->n; i++)
        if (r->all[i] && tern_device_of(r->all[i]).type != TERN_CPU) to = tern_device_of(r->all[i]);
    for (int i = 0; i < r->n && to.type != TERN_CPU; i++)
        if (r->all[i] && tern_device_of(r->all[i]).type == TERN_CPU && !(r->all[i] = tern_to(r->all[i], to)))
            return false;
    return true;
}

static bool run_node(const terni_om *m, const terni_om_node *n, tern_tensor **made) {
    TERNI_NAMED(n->label);
    terni_om_run r = {.model = m, .node = n, .n = n->n_in};
    tern_tensor **all = terni_malloc((size_t)n->n_in * sizeof *all + 1);
    if (!all) return false;
    r.all = all;
    for (int i = 0; i < n->n_in; i++) all[i] = value(m, made, n->in[i]);
    const int scope = tern_scope_push();
    bool ok = bring_together(&r);
    for (int i = 0; i < n->n_in && i < TERNI_OM_OUT; i++) r.in[i] = all[i];
    ok = ok && n->rule->run(&r) && tern_ok();
    for (int i = 0; ok && i < n->n_out; i++) {
        if (n->out[i] < 0) continue;
        if (!r.out[i]) ok = terni_om_refuse(&r, "it has no output %d", i);
        made[n->out[i]] = tern_keep(r.out[i]);
    }
    tern_scope_pop(scope);
    terni_mfree(all);
    if (!ok && tern_ok()) ok = terni_om_refuse(&r, "it could not be run");
    return ok;
}

static bool run_nodes(const terni_om *m, tern_tensor **made) {
    for (int64_t i = 0; i < m->n_nodes; i++) {
        const terni_om_node *n = &m->nodes[i];
        if (!run_node(m, n, made)) return false;
        for (int k = 0; k < n->n_in + n->n_out; k++) {
            const int v = k < n->n_in ? n->in[k] : n->out[k - n->n_in];
            if (v < 0 || m->values[v].last > i || !made[v]) continue;
            tern_release(made[v]);
            made[v] = NULL;
        }
    }
    return true;
}

static terni_om *model_of(const tern_module *m);

bool tern_onnx_run(tern_module *module, tern_tensor *const *x, int n_x, tern_tensor **y, int n_y) {
    terni_om *m = model_of(module);
    if (!terni_given(module, "onnx_run", "m") || !terni_given(y, "onnx_run", "y")) return false;
    if (!m) return terni_fail(TERN_ERR_ARGUMENT, "onnx_run: a %s is no model of ONNX", module->type);
    if (n_x != m->n_inputs || n_y < 1 || n_y > m->n_outputs || (n_x && !x))
        return terni_fail(TERN_ERR_ARGUMENT, "onnx_run: %d inputs and %d outputs; the model has %lld and %lld", n_x,
                          n_y, (long long)m->n_inputs, (long long)m->n_outputs);
    for (int i = 0; i < n_y; i++) y[i] = NULL;
    for (int i = 0; i < n_x; i++)
        if (!x[i]) return terni_fail(TERN_ERR_ARGUMENT, "onnx_run: input %d is NULL", i);
    tern_tensor **made = terni_calloc((size_t)m->n_values * sizeof *made + 1);
    if (!made) return false;
    for (int i = 0; i < n_x; i++) made[m->inputs[i]] = tern_keep(x[i]);
    bool ok = run_nodes(m, made);
    for (int i = 0; ok && i < n_y; i++) {
        tern_tensor *t = value(m, made, m->outputs[i]);
        ok = t && (y[i] = tern_give(tern_keep(t))) != NULL;
    }
    for (int64_t i = 0; i < m->n_values; i++) tern_release(made[i]);
    terni_free(made, (size_t)m->n_values * sizeof *made + 1);
    return ok;
}

static tern_tensor *forward(tern_module *m, tern_tensor *x) {
    tern_tensor *y;
    return tern_onnx_run(m, &x, 1, &y, 1) ? y : NULL;
}

/* ---- the module ----------------------------------------------------------------------------------------------------
 */

static void drop(tern_module *m) { terni_om_clear((terni_om *)m); }
static bool copied(tern_module *copy, const tern_module *from) {
    (void)from;
    copy->drop = NULL; /* what it would free is the original's */
    return terni_fail(TERN_ERR_UNSUPPORTED, "onnx: a model cannot be cloned; load the file again");
}

static terni_om *model_of(const tern_module *m) { return m && m->drop == drop ? (terni_om *)(uintptr_t)m : NULL; }

tern_module *tern_onnx_load(const char *path) {
    void *data;
    size_t bytes;
    if (!terni_given(path, "onnx_load", "path") || !terni_file_read("onnx_load", path, INT_MAX, &data, &bytes))
        return NULL;
    terni_om *m = tern_module_alloc(sizeof *m, "onnx");
    if (!m) {
        terni_mfree(data);
        return NULL;
    }
    m->m.drop = drop;
    m->m.copied = copied;
    bool ok = terni_om_parse(m, path, data, bytes);
    terni_mfree(data);
    if (ok) drop_inputs(m);
    ok = ok && check_nodes(m) && check_values(m) && put_params(m);
    if (ok && m->n_inputs == 1) m->m.forward = forward;
    if (!ok) {
        tern_module_free(m);
        return NULL;
    }
    return tern_module_done(m);
}

int tern_onnx_inputs(const tern_module *m) { return model_of(m) ? (int)model_of(m)->n_inputs : 0; }
int tern_onnx_outputs(const tern_module *m) { return model_of(m) ? (int)model_of(m)->n_outputs : 0; }
const char *tern_onnx_input_name(const tern_module *m, int i) {
    return i >= 0 && i < tern_onnx_inputs(m) ? model_of(m)->values[model_of(m)->inputs[i]].name : NULL;
}
const char *tern_onnx_output_name(const tern_module *m, int i) {
    return i >= 0 && i < tern_onnx_outputs(m) ? model_of(m)->values[model_of(m)->outputs[i]].name : NULL;
}
