/* What each kind of layer has in Keras, as views of Tern's parameters. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "keras_internal.h"
#include "tern/layers.h"
#include "tern/transformer.h"

typedef struct maker {
    terni_keras_layer *l;
    const tern_keras_order *order; /* or NULL */
    const tern_keras_norm *norm;   /* or NULL */
    int taken;                     /* parameters and buffers that are in a weight of Keras's */
} maker;

static const char *shown(const terni_keras_layer *l) { return l->module[0] ? l->module : "the root"; }

static bool refuse(const maker *k, const char *why) {
    return terni_fail(TERN_ERR_UNSUPPORTED, "keras: %s (%s) %s", shown(k->l), k->l->from->type, why);
}

static tern_tensor *find(tern_module *m, const char *name) {
    tern_named e;
    for (int i = 0; tern_module_each(m, i, &e); i++)
        if (strcmp(e.name, name) == 0) return e.tensor;
    return NULL;
}

/* A parameter or buffer that shares its elements, without a tape; NULL if there is none. */
static tern_tensor *take(maker *k, const char *name) {
    tern_tensor *t = find(k->l->from, name);
    if (!t) return NULL;
    k->taken++;
    return tern_detach(t);
}

/* A weight of n_parts parts that the caller fills in; its shape is of no moment until then. */
static terni_keras_var *add(maker *k, const char *front, const char *legacy_front, int number, const char *name) {
    terni_keras_var *v = &k->l->vars[k->l->n_vars++];
    memset(v, 0, sizeof *v);
    const int a = snprintf(v->place, sizeof v->place, "%svars/%d", front, number),
              b = snprintf(v->legacy, sizeof v->legacy, "%s%s", legacy_front, name);
    if (a < 0 || b < 0 || a >= (int)sizeof v->place || b >= (int)sizeof v->legacy)
        terni_fail(TERN_ERR_INTERNAL, "keras: the name %s%s is too long", legacy_front, name);
    return v;
}

/* A weight that is one view, or with another shape in Keras. */
static bool whole(terni_keras_var *v, tern_tensor *view, const tern_shape *shape) {
    if (!view) return false;
    v->layout = tern_shape_get(view);
    v->shape = shape ? *shape : v->layout;
    v->parts[0] = (terni_keras_part){.view = view, .dim = -1};
    v->n_parts = 1;
    return true;
}

static bool put(maker *k, const char *name, tern_tensor *view) {
    return whole(add(k, "", "", k->l->n_vars, name), view, NULL);
}

/* ---- dense layers, norms ----------------------------------------------------------------------------------------- */

/* How many channels n features are, where they are flattened positions; n itself where not. */
static int64_t channels(int64_t asked, int64_t n) { return asked > 0 ? asked : n; }

static bool fits(const maker *k, int64_t asked, int64_t n) {
    return asked >= 0 && (asked == 0 || n % asked == 0)
               ? true
               : terni_fail(TERN_ERR_ARGUMENT,
                            "keras: .orders: %s (%s) has %" PRId64 " features, which are no positions of %" PRId64
                            " channels",
                            shown(k->l), k->l->from->type, n, asked);
}

/* [channels, positions] -> [positions, channels], of n features. */
static bool put_vector(maker *k, const char *name, tern_tensor *t, int64_t asked) {
    const int64_t n = tern_numel(t), c = channels(asked, n);
    if (!t) return false;
    tern_tensor *view = tern_transpose(tern_reshape(t, TERN_SHAPE(c, n / c)), 0, 1);
    const tern_shape keras = TERN_SHAPE(n);
    return whole(add(k, "", "", k->l->n_vars, name), view, &keras);
}

static bool dense(maker *k) {
    tern_tensor *w = take(k, "weight"), *b = take(k, "bias");
    if (!w) return refuse(k, "has no weight of its own");
    const int64_t out = tern_size(w, 0), in = tern_size(w, 1), ask_in = k->order ? k->order->in : 0,
                  ask_out = k->order ? k->order->out : 0;
    k->l->in = in;
    k->l->out = out;
    if (!fits(k, ask_in, in) || !fits(k, ask_out, out)) return false;
    const int64_t ci = channels(ask_in, in), co = channels(ask_out, out);
    const tern_shape keras = TERN_SHAPE(in, out);
    tern_tensor *split = tern_reshape(w, TERN_SHAPE(co, out / co, ci, in / ci));
    return whole(add(k, "", "", 0, "kernel"), tern_permute(split, (const int[]){3, 2, 1, 0}, 4), &keras) &&
           (!b || put_vector(k, "bias", b, ask_out));
}

/* gamma and beta, or scale, of one dimension or of the shape they have. */
static bool norm(maker *k) {
    const bool rms = strcmp(k->l->kind, "rms_normalization") == 0;
    static const char *const name[] = {"weight", "bias", "running_mean", "running_var"};
    static const char *const keras[] = {"gamma", "beta", "moving_mean", "moving_variance"};
    const int64_t asked = !k->order ? 0 : k->order->in ? k->order->in : k->order->out;
    for (int i = 0; i < 4; i++) {
        tern_tensor *t = take(k, name[i]);
        if (!t) continue;
        k->l->in = k->l->out = tern_numel(t);
        if (k->norm && i < 2 && (i ? k->norm->no_center : k->norm->no_scale)) {
            k->l->fixed = (terni_keras_fixed){t, i ? 0 : 1, name[i]};
            continue;
        }
        if (!fits(k, asked, tern_numel(t))) return false;
        const char *called = rms ? "scale" : keras[i];
        if (!(tern_ndim(t) == 1 ? put_vector(k, called, t, asked) : put(k, called, t))) return false;
        k->l->vars[k->l->n_vars - 1].state = i > 1;
        if (tern_ndim(t) > 1) k->l->role = TERNI_OTHER;
    }
    return tern_ok();
}

static bool batch_norm(maker *k) {
    if (!find(k->l->from, "running_mean")) return refuse(k, "keeps no running statistics; Keras's always does");
    return norm(k);
}

static bool group_norm(maker *k) {
    if (find(k->l->from, "running_mean"))
        return refuse(k, "keeps running statistics; Keras's GroupNormalization has none");
    return norm(k);
}

static bool prelu(maker *k) {
    tern_tensor *w = take(k, "weight");
    if (!w) return refuse(k, "has no weight of its own");
    const int64_t asked = !k->order ? 0 : k->order->in ? k->order->in : k->order->out;
    k->l->in = k->l->out = tern_numel(w);
    const bool ok = fits(k, asked, tern_numel(w)) && put_vector(k, "alpha", w, asked);
    if (ok) k->l->vars[0].loose = true;
    return ok;
}

static bool embedding(maker *k) {
    tern_tensor *w = take(k, "weight");
    return w ? put(k, "embeddings", w) : refuse(k, "has no weight of its own");
}

/* ---- convolutions ------------------------------------------------------------------------------------------------ */

/* The first two dimensions go behind the kernel's, in the order given. */
static tern_tensor *behind(tern_tensor *w, int first, int second) {
    if (!w) return NULL; /* memory ran out in a reshape */
    const int n = tern_ndim(w);
    int order[TERN_MAX_DIMS];
    for (int i = 0; i < n - 2; i++) order[i] = i + 2;
    order[n - 2] = first;
    order[n - 1] = second;
    return tern_permute(w, order, n);
}

/* [in multiplier, 1, kernel...] -> [kernel..., in, multiplier]. */
static tern_tensor *by_channel(tern_tensor *w, int64_t in) {
    tern_shape s = tern_shape_get(w);
    s.dim[1] = s.dim[0] / in;
    s.dim[0] = in;
    return behind(tern_reshape(w, s), 0, 1);
}

static bool conv(maker *k) {
    tern_module *m = k->l->from;
    const int64_t groups = tern_conv_groups(m);
    const bool transposed = strstr(m->type, "transpose") != NULL;
    tern_tensor *w = take(k, "weight"), *b = take(k, "bias");
    if (!w || groups < 0) return refuse(k, "has no weight of its own");
    if (transposed && groups != 1) return refuse(k, "has groups; Keras's has none");
    k->l->in = transposed ? tern_size(w, 0) : tern_size(w, 1) * groups;
    k->l->out = transposed ? tern_size(w, 1) : tern_size(w, 0);
    return put(k, "kernel", k->l->depthwise ? by_channel(w, groups) : behind(w, 1, 0)) && (!b || put(k, "bias", b));
}

const char *terni_keras_separable(tern_module *m) {
    const char *name;
    if (strcmp(m->type, "sequential") != 0 || tern_module_children(m) != 2) return NULL;
    tern_module *each = tern_module_child_at(m, 0, &name), *point = tern_module_child_at(m, 1, &name);
    const bool flat = strcmp(each->type, "conv1d") == 0;
    if ((!flat && strcmp(each->type, "conv2d") != 0) || strcmp(each->type, point->type) != 0) return NULL;
    tern_tensor *w = find(each, "weight"), *p = find(point, "weight");
    if (!w || !p || find(each, "bias") || tern_size(w, 1) != 1 || tern_conv_groups(point) != 1) return NULL;
    if (tern_size(p, 1) != tern_size(w, 0) || tern_numel(p) != tern_size(p, 0) * tern_size(p, 1)) return NULL;
    return flat ? "separable_conv1d" : "separable_conv2d";
}

static bool separable(maker *k) {
    const char *name;
    const int64_t in = tern_conv_groups(tern_module_child_at(k->l->from, 0, &name));
    tern_tensor *w = take(k, "0.weight"), *p = take(k, "1.weight"), *b = take(k, "1.bias");
    if (!w || !p || in < 1) return refuse(k, "has no weights of its own");
    k->l->in = in;
    k->l->out = tern_size(p, 0);
    return put(k, "depthwise_kernel", by_channel(w, in)) && put(k, "pointwise_kernel", behind(p, 1, 0)) &&
           (!b || put(k, "bias", b));
}

/* ---- recurrent layers -------------------------------------------------------------------------------------------- */

/* Keras's gate at place i is Tern's gate gate[i]. */
typedef struct gates {
    int n;
    int gate[4];
    const char *cell; /* in the weights' names */
} gates;

static bool gates_of(const char *type, gates *g) {
    static const gates all[] = {{1, {0}, "simple_rnn"}, {4, {0, 1, 2, 3}, "lstm"}, {3, {1, 0, 2}, "gru"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strncmp(type, &all[i].cell[i ? 0 : 7], strcspn(type, "_")) == 0) {
            *g = all[i];
            return true;
        }
    return false;
}

/* t's gates, along its dimension `dim`, at their places in Keras from element `from` on. */
static bool by_gate(terni_keras_var *v, const gates *g, tern_tensor *t, tern_tensor *added, int dim, int64_t from) {
    const int64_t h = tern_size(t, dim) / g->n;
    bool ok = true;
    for (int i = 0; ok && i < g->n; i++) {
        terni_keras_part *p = &v->parts[v->n_parts++];
        *p = (terni_keras_part){.view = tern_narrow(t, dim, g->gate[i] * h, h), .dim = dim, .start = from + i * h};
        if (added) p->added = tern_narrow(added, dim, g->gate[i] * h, h);
        ok = p->view && (!added || p->added);
    }
    return ok;
}

static bool matrix(terni_keras_var *v, const gates *g, tern_tensor *w) {
    tern_tensor *t = tern_transpose(w, 0, 1);
    if (!t) return false;
    v->shape = v->layout = tern_shape_get(t);
    return by_gate(v, g, t, NULL, 1, 0);
}

/* One direction. suffix: of the parameters; front, legacy_front: in Keras. */
static bool direction(maker *k, const gates *g, const char *suffix, const char *front, const char *legacy_front) {
    static const char *const stem[] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"};
    tern_tensor *t[4];
    char name[64];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s%s", stem[i], suffix);
        t[i] = take(k, name);
    }
    if (!t[0] || !t[1] || !t[2] != !t[3]) return refuse(k, "has not all of its weights");
    if (!matrix(add(k, front, legacy_front, 0, "kernel"), g, t[0]) ||
        !matrix(add(k, front, legacy_front, 1, "recurrent_kernel"), g, t[1]))
        return false;
    if (!t[2]) return true;
    const int64_t n = tern_numel(t[2]);
    terni_keras_var *v = add(k, front, legacy_front, 2, "bias");
    if (g->n == 3) { /* reset_after: [2, 3 hidden], the input's and the state's */
        v->shape = TERN_SHAPE(2, n);
        v->layout = TERN_SHAPE(2 * n);
        return by_gate(v, g, t[2], NULL, 0, 0) && by_gate(v, g, t[3], NULL, 0, n);
    }
    v->shape = v->layout = TERN_SHAPE(n);
    return by_gate(v, g, t[2], t[3], 0, 0);
}

static bool recurrent(maker *k) {
    terni_keras_layer *l = k->l;
    gates g;
    char suffix[40], front[48];
    if (!gates_of(l->from->type, &g)) return refuse(k, "is no layer of Keras's");
    if (strstr(l->kind, "_cell")) return direction(k, &g, "", "", "");
    snprintf(suffix, sizeof suffix, "_l%" PRId64, l->number);
    snprintf(front, sizeof front, "%s_cell/", g.cell);
    if (strcmp(l->kind, "bidirectional") != 0) return direction(k, &g, suffix, "cell/", front);
    snprintf(front, sizeof front, "forward_%s/%s_cell/", g.cell, g.cell);
    if (!direction(k, &g, suffix, "forward_layer/cell/", front)) return false;
    snprintf(suffix, sizeof suffix, "_l%" PRId64 "_reverse", l->number);
    snprintf(front, sizeof front, "backward_%s/%s_cell/", g.cell, g.cell);
    return direction(k, &g, suffix, "backward_layer/cell/", front);
}

/* ---- attention --------------------------------------------------------------------------------------------------- */

/* w [heads size, in] and b of query, key or value. */
static bool projection(maker *k, const char *name, tern_tensor *w, tern_tensor *b, int64_t heads) {
    char front[32], legacy[32];
    snprintf(front, sizeof front, "%s_dense/", name);
    snprintf(legacy, sizeof legacy, "%s/", name);
    const int64_t size = tern_size(w, 0) / heads;
    tern_tensor *split = tern_reshape(w, TERN_SHAPE(heads, size, tern_size(w, 1)));
    return whole(add(k, front, legacy, 0, "kernel"), tern_permute(split, (const int[]){2, 0, 1}, 3), NULL) &&
           (!b || whole(add(k, front, legacy, 1, "bias"), tern_reshape(b, TERN_SHAPE(heads, size)), NULL));
}

static bool attention(maker *k) {
    static const char *const name[] = {"query", "key", "value"};
    const int64_t heads = tern_multihead_attention_heads(k->l->from);
    tern_tensor *all = take(k, "in_proj_weight"), *bias = take(k, "in_proj_bias"), *w = take(k, "out_proj.weight"),
                *b = take(k, "out_proj.bias");
    if (!w || heads < 1) return refuse(k, "has no weight of its own");
    const int64_t dims = tern_size(w, 0);
    for (int i = 0; i < 3; i++) {
        char own[32];
        snprintf(own, sizeof own, "%c_proj_weight", name[i][0]);
        tern_tensor *part = all ? tern_narrow(all, 0, i * dims, dims) : take(k, own);
        if (!part) return tern_ok() ? refuse(k, "has other heads for keys and values; Keras's has not") : false;
        if (!projection(k, name[i], part, bias ? tern_narrow(bias, 0, i * dims, dims) : NULL, heads)) return false;
    }
    tern_tensor *split = tern_reshape(w, TERN_SHAPE(dims, heads, dims / heads));
    return whole(add(k, "output_dense/", "attention_output/", 0, "kernel"),
                 tern_permute(split, (const int[]){1, 2, 0}, 3), NULL) &&
           (!b || whole(add(k, "output_dense/", "attention_output/", 1, "bias"), b, NULL));
}

/* ---- the kinds --------------------------------------------------------------------------------------------------- */

static const struct {
    const char *type, *kind;
    terni_keras_role role;
    bool (*make)(maker *);
} kinds[] = {
    {"linear", "dense", TERNI_DENSE, dense},
    {"conv1d", "conv1d", TERNI_SPATIAL, conv},
    {"conv2d", "conv2d", TERNI_SPATIAL, conv},
    {"conv3d", "conv3d", TERNI_SPATIAL, conv},
    {"conv_transpose1d", "conv1d_transpose", TERNI_SPATIAL, conv},
    {"conv_transpose2d", "conv2d_transpose", TERNI_SPATIAL, conv},
    {"conv_transpose3d", "conv3d_transpose", TERNI_SPATIAL, conv},
    {"batch_norm", "batch_normalization", TERNI_VECTOR, batch_norm},
    {"layer_norm", "layer_normalization", TERNI_VECTOR, norm},
    {"rms_norm", "rms_normalization", TERNI_VECTOR, norm},
    {"group_norm", "group_normalization", TERNI_VECTOR, group_norm},
    {"instance_norm", "group_normalization", TERNI_VECTOR, group_norm},
    {"prelu", "p_re_lu", TERNI_VECTOR, prelu},
    {"embedding", "embedding", TERNI_OTHER, embedding},
    {"rnn", "simple_rnn", TERNI_OTHER, recurrent},
    {"lstm", "lstm", TERNI_OTHER, recurrent},
    {"gru", "gru", TERNI_OTHER, recurrent},
    {"rnn_cell", "simple_rnn_cell", TERNI_OTHER, recurrent},
    {"lstm_cell", "lstm_cell", TERNI_OTHER, recurrent},
    {"gru_cell", "gru_cell", TERNI_OTHER, recurrent},
    {"multihead_attention", "multi_head_attention", TERNI_OTHER, attention},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static int kind_at(const tern_module *m) {
    for (int i = 0; i < KINDS; i++)
        if (strcmp(kinds[i].type, m->type) == 0) return i;
    return -1;
}

/* How many parameters have such a front in their names. */
static int64_t named_so(tern_module *m, const char *front, const char *end) {
    tern_named e;
    int64_t n = 0;
    for (int i = 0; tern_module_each(m, i, &e); i++)
        n += strncmp(e.name, front, strlen(front)) == 0 && strstr(e.name, end) != NULL;
    return n;
}

const char *terni_keras_kind(tern_module *m, bool *depthwise) {
    const int i = kind_at(m);
    *depthwise = false;
    if (i < 0) return NULL;
    if (kinds[i].make == recurrent && named_so(m, "weight_ih", "_reverse") > 0) return "bidirectional";
    if (kinds[i].make != conv) return kinds[i].kind;
    const int64_t groups = tern_conv_groups(m);
    tern_tensor *w = find(m, "weight");
    *depthwise =
        groups > 1 && w && tern_size(w, 1) == 1 && !strstr(m->type, "transpose") && strcmp(m->type, "conv3d") != 0;
    if (!*depthwise) return kinds[i].kind;
    return strcmp(m->type, "conv1d") == 0 ? "depthwise_conv1d" : "depthwise_conv2d";
}

int64_t terni_keras_count(tern_module *m) {
    const int i = kind_at(m);
    if (i < 0 || kinds[i].make != recurrent || strstr(m->type, "_cell")) return 1;
    return named_so(m, "weight_ih", "") - named_so(m, "weight_ih", "_reverse");
}

/* Each parameter and buffer has its place, but for what Keras does not count. */
static bool all_taken(const maker *k) {
    tern_named e;
    int64_t n = 0;
    for (int i = 0; tern_module_each(k->l->from, i, &e); i++) n += strcmp(e.name, "num_batches_tracked") != 0;
    return n == k->taken * terni_keras_count(k->l->from) ||
           refuse(k, "has parameters besides those of its layer (adapters, reparametrisation); Keras's has not");
}

bool terni_keras_weights(terni_keras_layer *l, const tern_keras_opts *opts) {
    const int i = kind_at(l->from);
    maker k = {.l = l};
    for (int o = 0; o < opts->n_norms; o++)
        if (strcmp(opts->norms[o].module, l->module) == 0) k.norm = &opts->norms[o];
    for (int o = 0; o < opts->n_orders; o++)
        if (strcmp(opts->orders[o].module, l->module) == 0) k.order = &opts->orders[o];
    l->n_vars = 0;
    l->fixed.tensor = NULL;
    l->role = i < 0 ? TERNI_SPATIAL : kinds[i].role;
    return (i < 0 ? separable : kinds[i].make)(&k) && tern_ok() && all_taken(&k);
}
