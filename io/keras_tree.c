/* A module's tree as Keras's layers: their order, and their names in the new files. And whether flattened positions
 * have been told of. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "keras_internal.h"

enum { KINDS = 40 };

/* What a group of layers has used of its names. */
typedef struct scope {
    char base[TERNI_KERAS_NAME];
    struct {
        char kind[32];
        int n;
    } count[KINDS];
    int n;
    int empty; /* sequentials without weights whose names, which Keras counts, are not used yet */
} scope;

static bool join(char *out, const char *a, const char *b) {
    const int n = snprintf(out, TERNI_KERAS_NAME, "%s%s%s", a, *a ? "/" : "", b);
    return (n >= 0 && n < TERNI_KERAS_NAME) ||
           terni_fail(TERN_ERR_ARGUMENT, "keras: the name %.60s... is too long", out);
}

bool terni_keras_has(const tern_archive *file, const char *path) {
    tern_archive_entry e;
    const size_t n = strlen(path);
    for (int64_t i = 0; tern_archive_each(file, i, &e); i++)
        if (strncmp(e.name, path, n) == 0 && e.name[n] == '/') return true;
    return false;
}

/* The name after those that are used, of this kind: "dense", "dense_1". `take`: it is used from now on. */
static bool next_name(scope *s, const char *kind, bool take, char *out) {
    int at = 0;
    while (at < s->n && strcmp(s->count[at].kind, kind) != 0) at++;
    if (at == KINDS) return terni_fail(TERN_ERR_INTERNAL, "keras: too many kinds of layers");
    if (at == s->n) {
        snprintf(s->count[at].kind, sizeof s->count[at].kind, "%s", kind);
        s->count[at].n = 0;
        s->n++;
    }
    snprintf(out, 64, s->count[at].n ? "%s_%d" : "%s", kind, s->count[at].n);
    if (take) s->count[at].n++;
    return true;
}

static const char *named(const tern_keras_opts *o, const char *module) {
    for (int i = 0; i < o->n_names; i++)
        if (strcmp(o->names[i].module, module) == 0) return o->names[i].layer;
    return NULL;
}

/* Where the next layer of the kind would stand. */
static bool by_kind(const terni_keras_walk *w, scope *s, const char *kind, bool take, char *path) {
    char name[64], below[80];
    if (!next_name(s, kind, take, name)) return false;
    snprintf(below, sizeof below, "layers/%s", name);
    if (!join(path, s->base, below)) return false;
    if (!w->file || terni_keras_has(w->file, path)) return true;
    char list[TERNI_KERAS_NAME]; /* in a list of layers, there is nothing between */
    if (!join(list, s->base, name)) return false;
    if (terni_keras_has(w->file, list)) snprintf(path, TERNI_KERAS_NAME, "%s", list);
    return true;
}

/* A child that is called as a group of the file. */
static bool by_name(const terni_keras_walk *w, const scope *s, const char *last, char *path) {
    static const char *const others[] = {"vars", "layers", "cell"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(last, others[i]) == 0) return false;
    return w->file && *last && join(path, s->base, last) && terni_keras_has(w->file, path);
}

static terni_keras_layer *new_layer(terni_keras_list *list) {
    if (list->n == list->cap) {
        const int cap = list->cap ? 2 * list->cap : 16;
        terni_keras_layer *more = terni_resize(list->layers, (size_t)cap * sizeof *more);
        if (!more) return NULL;
        list->layers = more;
        list->cap = cap;
    }
    terni_keras_layer *l = &list->layers[list->n++];
    memset(l, 0, sizeof *l);
    return l;
}

static bool place(const terni_keras_walk *w, scope *s, terni_keras_layer *l, const char *last, bool alone) {
    const char *given = named(w->opts, l->module);
    if (given) {
        l->named = true;
        if (!join(l->path, "", given)) return false;
        const char *slash = strrchr(given, '/');
        if (l->depthwise) l->depthwise = strncmp(slash ? slash + 1 : given, "conv", 4) != 0;
        return true;
    }
    if (alone && by_name(w, s, last, l->path)) return true;
    if (!by_kind(w, s, l->kind, false, l->path)) return false;
    if (l->depthwise && w->file && !terni_keras_has(w->file, l->path)) {
        char other[TERNI_KERAS_NAME];
        if (!by_kind(w, s, l->from->type, false, other)) return false;
        l->depthwise = !terni_keras_has(w->file, other);
        if (!l->depthwise) snprintf(l->kind, sizeof l->kind, "%s", l->from->type);
    }
    return by_kind(w, s, l->kind, true, l->path);
}

/* A module that is a layer of Keras's, or several. */
static bool add_leaf(terni_keras_walk *w, scope *s, tern_module *m, const char *name, const char *last,
                     const char *kind, bool depthwise) {
    const int64_t n = terni_keras_count(m);
    for (int64_t i = 0; i < n; i++) {
        terni_keras_layer *l = new_layer(&w->list);
        if (!l) return false;
        l->from = m;
        l->number = i;
        l->depthwise = depthwise;
        snprintf(l->kind, sizeof l->kind, "%s", kind);
        snprintf(l->module, sizeof l->module, "%s", name);
        if (n > 1 && named(w->opts, name))
            return terni_fail(TERN_ERR_ARGUMENT, "keras: .names: %s is %" PRId64 " layers of Keras's", name, n);
        if (!place(w, s, l, last, n == 1) || !terni_keras_weights(l, w->opts)) return false;
        if (l->n_vars == 0) w->list.n--; /* its name is used all the same */
    }
    return true;
}

static bool walk(terni_keras_walk *w, scope *s, tern_module *m, const char *name, const char *last);

static bool walk_children(terni_keras_walk *w, scope *s, tern_module *m, const char *name) {
    const char *last;
    char full[TERNI_KERAS_NAME];
    bool ok = true;
    for (int i = 0; ok && i < tern_module_children(m); i++) {
        tern_module *child = tern_module_child_at(m, i, &last);
        const int n = snprintf(full, sizeof full, "%s%s%s", name, *name ? "." : "", last);
        if (n < 0 || n >= (int)sizeof full)
            return terni_fail(TERN_ERR_ARGUMENT, "keras: the name %.60s... is too long", full);
        ok = walk(w, s, child, full, last);
    }
    return ok;
}

/* Whether a container has a group of its own; its path. */
static bool own_group(const terni_keras_walk *w, scope *s, tern_module *m, const char *name, const char *last,
                      char *path, bool *own) {
    const char *given = *name ? named(w->opts, name) : NULL;
    *own = given != NULL;
    if (given) return join(path, "", given);
    *own = by_name(w, s, last, path);
    if (*own || !*name || !tern_ok() || strcmp(m->type, "sequential") != 0) return tern_ok();
    tern_named e;
    if (!by_kind(w, s, "sequential", false, path)) return false;
    if (w->file && !tern_module_each(m, 0, &e)) { /* the file does not show whether Keras has it */
        s->empty++;
        return *own = true;
    }
    while (w->file && s->empty > 0 && !terni_keras_has(w->file, path)) {
        s->empty--;
        if (!by_kind(w, s, "sequential", true, path) || !by_kind(w, s, "sequential", false, path)) return false;
    }
    *own = w->file ? terni_keras_has(w->file, path) : !w->opts->flat;
    return !*own || by_kind(w, s, "sequential", true, path);
}

/* Whether a sequential that can be a separable convolution of that kind is one: the file says, or .names. */
static bool is_separable(const terni_keras_walk *w, scope *s, const char *name, const char *last, const char *kind) {
    char path[TERNI_KERAS_NAME], first[2 * TERNI_KERAS_NAME];
    const char *given = *name ? named(w->opts, name) : NULL;
    const int n = (int)strlen(name);
    for (int i = 0; i < w->opts->n_names; i++) { /* a layer within is named: they are two */
        const char *module = w->opts->names[i].module;
        if ((n == 0 && !strchr(module, '.')) || (strncmp(module, name, (size_t)n) == 0 && module[n] == '.'))
            return false;
    }
    if (!w->file && given && !w->separable) {
        const char *slash = strrchr(given, '/');
        return strncmp(slash ? slash + 1 : given, kind, strlen("separable_conv")) == 0;
    }
    if (!w->file) return w->separable;
    if (given ? !join(path, "", given) : !by_name(w, s, last, path))
        return !given && tern_ok() && by_kind(w, s, kind, false, path) && terni_keras_has(w->file, path);
    snprintf(first, sizeof first, "%s/vars/0", path);
    return tern_archive_find(w->file, first) != NULL;
}

static bool walk(terni_keras_walk *w, scope *s, tern_module *m, const char *name, const char *last) {
    bool depthwise, own;
    const char *kind = terni_keras_kind(m, &depthwise);
    if (!kind) {
        kind = terni_keras_separable(m);
        if (kind && !is_separable(w, s, name, last, kind)) kind = NULL;
        if (!tern_ok()) return false;
    }
    if (kind) return add_leaf(w, s, m, name, last, kind, depthwise);
    tern_named e;
    for (int i = 0; tern_module_each(m, i, &e); i++)
        if (!strchr(e.name, '.'))
            return terni_fail(TERN_ERR_UNSUPPORTED, "keras: %s (%s) has %s; Keras has no layer for it",
                              *name ? name : "the root", m->type, e.name);
    char path[TERNI_KERAS_NAME];
    if (!own_group(w, s, m, name, last, path, &own)) return false;
    if (!own) return walk_children(w, s, m, name);
    scope *inner = terni_calloc(sizeof *inner);
    if (!inner) return false;
    snprintf(inner->base, sizeof inner->base, "%s", path);
    const bool ok = walk_children(w, inner, m, name);
    terni_free(inner, sizeof *inner);
    return ok;
}

/* ---- flattened positions ----------------------------------------------------------------------------------------- */

static const tern_keras_order *order_of(const terni_keras_walk *w, const terni_keras_layer *l) {
    for (int i = 0; i < w->opts->n_orders; i++)
        if (strcmp(w->opts->orders[i].module, l->module) == 0) return &w->opts->orders[i];
    return NULL;
}

static bool positions(int64_t features, int64_t channels) {
    return channels > 0 && features != channels && features % channels == 0;
}

static bool tell(const terni_keras_layer *l, const char *side, int64_t n, int64_t channels, const char *field) {
    return terni_fail(TERN_ERR_ARGUMENT,
                      "keras: %s (%s) seems to have %" PRId64 " flattened positions of %" PRId64
                      " channels %s: Keras has them in another order; tell .orders {\"%s\", .%s = %" PRId64
                      "}, .%s = 1 if it is not so, or .channels_first",
                      l->module, l->from->type, n / channels, channels, side, l->module, field, channels, field);
}

/* A norm over channels and positions: its weight has their shape. */
static bool by_position(const terni_keras_layer *l) {
    return strstr(l->kind, "normalization") && l->n_vars > 0 && l->vars[0].shape.ndim > 1;
}

static bool refuse_positions(const terni_keras_layer *l, const char *side) {
    return terni_fail(TERN_ERR_UNSUPPORTED,
                      "keras: %s (%s) has a weight for each position %s a convolution, which Keras has in another "
                      "order; .channels_first if it has not",
                      l->module, l->from->type, side);
}

/* Layers behind a convolution of `channels`. A dense layer that takes the channels may be a branch
 * (squeeze-and-excite), and the tree does not say where that ends; but what takes as many features as the last one
 * gives (`given`) is behind that. */
static bool look_behind(const terni_keras_walk *w, const terni_keras_layer *l, int64_t *channels, int64_t *given) {
    const tern_keras_order *o = order_of(w, l);
    const bool chain = l->in == *given;
    if (l->role == TERNI_SPATIAL) *channels = l->out, *given = 0;
    if (l->role == TERNI_VECTOR && !chain && positions(l->in, *channels) && !o)
        return tell(l, "of the convolution in front", l->in, *channels, "in");
    if (l->role == TERNI_DENSE && !chain && positions(l->in, *channels) && !(o && o->in))
        return tell(l, "of the convolution in front", l->in, *channels, "in");
    if (l->role == TERNI_OTHER && *channels && by_position(l)) return refuse_positions(l, "behind");
    if (l->role == TERNI_DENSE) *given = l->out;
    if ((l->role == TERNI_DENSE && o && o->in) || l->role == TERNI_OTHER) *channels = 0;
    return true;
}

/* Layers in front of a convolution, back to the first dense one. */
static bool look_ahead(const terni_keras_walk *w, int at) {
    const terni_keras_layer *conv = &w->list.layers[at];
    for (int i = at - 1; i >= 0; i--) {
        const terni_keras_layer *l = &w->list.layers[i];
        const tern_keras_order *o = order_of(w, l);
        if (l->role == TERNI_OTHER && by_position(l)) return refuse_positions(l, "in front of");
        if (l->role != TERNI_DENSE && l->role != TERNI_VECTOR) break;
        if (positions(l->out, conv->in) && !(o && (o->out || (l->role == TERNI_VECTOR && o->in))))
            return tell(l, "for the convolution behind", l->out, conv->in, "out");
        if (l->role == TERNI_DENSE) break;
    }
    return true;
}

static bool options_told(const terni_keras_walk *w) {
    for (int o = 0; o < w->opts->n_orders; o++) {
        const char *module = w->opts->orders[o].module;
        const terni_keras_layer *l = NULL;
        for (int i = 0; i < w->list.n; i++)
            if (strcmp(w->list.layers[i].module, module) == 0) l = &w->list.layers[i];
        if (!l || (l->role != TERNI_DENSE && l->role != TERNI_VECTOR))
            return terni_fail(TERN_ERR_ARGUMENT, "keras: .orders: %s is no linear, norm or prelu of the module",
                              module);
    }
    for (int o = 0; o < w->opts->n_norms; o++) {
        const tern_keras_norm *norm = &w->opts->norms[o];
        bool there = false;
        for (int i = 0; i < w->list.n; i++)
            there |= strcmp(w->list.layers[i].module, norm->module) == 0 && w->list.layers[i].fixed.tensor;
        if (!there || norm->no_scale == norm->no_center)
            return terni_fail(TERN_ERR_ARGUMENT, "keras: .norms: %s %s", norm->module,
                              there ? "is to have neither scale nor center; that is .no_affine of the layer itself"
                                    : "is no norm of the module with what is told of");
    }
    int64_t channels = 0, given = 0;
    for (int i = 0; !w->opts->channels_first && i < w->list.n; i++) {
        if (!look_behind(w, &w->list.layers[i], &channels, &given)) return false;
        if (w->list.layers[i].role == TERNI_SPATIAL && !look_ahead(w, i)) return false;
    }
    return true;
}

bool terni_keras_walk_tree(terni_keras_walk *w) {
    const tern_keras_opts *o = w->opts;
    if (o->n_names < 0 || o->n_orders < 0 || o->n_norms < 0 || (o->n_names && !o->names) ||
        (o->n_orders && !o->orders) || (o->n_norms && !o->norms))
        return terni_fail(TERN_ERR_ARGUMENT, "keras: .names, .orders or .norms is NULL, or has a count below 0");
    for (int i = 0; i < o->n_norms; i++)
        if (!o->norms[i].module) return terni_fail(TERN_ERR_ARGUMENT, "keras: .norms: entry %d has no module", i);
    for (int i = 0; i < o->n_names; i++) {
        if (!o->names[i].module || !o->names[i].layer || !*o->names[i].layer)
            return terni_fail(TERN_ERR_ARGUMENT, "keras: .names: entry %d has no module or no layer", i);
        if (!tern_module_child(w->root, o->names[i].module)) return false;
    }
    for (int i = 0; i < o->n_orders; i++)
        if (!o->orders[i].module) return terni_fail(TERN_ERR_ARGUMENT, "keras: .orders: entry %d has no module", i);
    scope *top = terni_calloc(sizeof *top);
    if (!top) return false;
    const bool ok = walk(w, top, w->root, "", "");
    terni_free(top, sizeof *top);
    return ok && tern_ok() && options_told(w);
}
