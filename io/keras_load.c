/* Reading Keras's weights: the file's datasets come from the process that reads it; then layers are found for the
 * module's, all shapes compared, and only then anything is changed. */
#include <stdio.h>
#include <string.h>

#include "archive_internal.h"
#include "h5_child.h"
#include "keras_internal.h"

/* A weight of an older file, in its order. */
typedef struct weight {
    char layer[TERNI_KERAS_NAME], name[TERNI_KERAS_NAME]; /* "dense", "dense/kernel" */
    tern_tensor *tensor;
    bool used;
} weight;

typedef struct loading {
    const char *path;
    const tern_keras_opts *opts;
    tern_archive *file, *used; /* all that is in it; what has gone into the module, of a new one */
    tern_keras_format format;
    const char *front; /* of an older one's groups: "" or "model_weights/" */
    weight *weights;   /* of an older one, for terni_mfree */
    int n_weights, cap_weights;
    terni_keras_walk walk;
    tern_tensor **found; /* for each layer's weights, TERNI_KERAS_VARS of them; NULL: not in the file */
    terni_report wrong;
} loading;

/* The state of optimizers and random generators is no weight. In the other process. */
static bool no_weight(const char *name) {
    const char *slash = strrchr(name, '/'), *last = slash ? slash + 1 : name;
    return strcmp(name, "optimizer") == 0 || strcmp(name, "optimizer_weights") == 0 ||
           strncmp(last, "seed_generator", 14) == 0;
}

/* ---- older files: their order ------------------------------------------------------------------------------------ */

static bool add_weight(loading *s, const char *layer, const char *name) {
    char full[3 * TERNI_KERAS_NAME];
    const char *slash = strrchr(name, '/');
    if (strncmp(slash ? slash + 1 : name, "seed_generator", 14) == 0 || strstr(name, "seed_generator/")) return true;
    if (s->n_weights == s->cap_weights) {
        const int cap = s->cap_weights ? 2 * s->cap_weights : 64;
        weight *more = terni_resize(s->weights, (size_t)cap * sizeof *more);
        if (!more) return false;
        s->weights = more;
        s->cap_weights = cap;
    }
    weight *w = &s->weights[s->n_weights];
    snprintf(full, sizeof full, "%s%s/%s", s->front, layer, name);
    *w = (weight){.tensor = tern_archive_find(s->file, full)};
    const int a = snprintf(w->layer, sizeof w->layer, "%s", layer), b = snprintf(w->name, sizeof w->name, "%s", name);
    if (a >= TERNI_KERAS_NAME || b >= TERNI_KERAS_NAME || !w->tensor)
        return terni_fail(TERN_ERR_FORMAT, "keras: %s: layer %.100s names a weight %.100s, which is not in the file",
                          s->path, layer, name);
    char *colon = strrchr(w->name, ':'); /* "kernel:0", as TensorFlow has it */
    if (colon) *colon = 0;
    s->n_weights++;
    return true;
}

/* Calls add with each line; the text is cut up for it. */
static bool each_line(loading *s, const char *text, const char *layer,
                      bool (*add)(loading *, const char *, const char *)) {
    char line[TERNI_KERAS_NAME];
    for (const char *end; *text; text = end + 1) {
        end = strchr(text, '\n');
        if (!end) end = text + strlen(text) - 1; /* cannot be: each has its newline */
        if ((size_t)(end - text) >= sizeof line)
            return terni_fail(TERN_ERR_FORMAT, "keras: %s: the name %.60s... is too long", s->path, text);
        snprintf(line, sizeof line, "%.*s", (int)(end - text), text);
        if (!add(s, layer, line)) return false;
    }
    return true;
}

static bool add_layer(loading *s, const char *none, const char *layer) {
    (void)none;
    char key[2 * TERNI_KERAS_NAME];
    snprintf(key, sizeof key, "%s%s@weight_names", s->front, layer);
    const char *names = tern_archive_text(s->file, key);
    if (!names) return terni_fail(TERN_ERR_FORMAT, "keras: %s: layer %.100s has no weight_names", s->path, layer);
    return each_line(s, names, layer, add_weight);
}

static bool read_order(loading *s) {
    char key[64];
    snprintf(key, sizeof key, "%s@layer_names", s->front[0] ? "model_weights" : "");
    if (!each_line(s, tern_archive_text(s->file, key), NULL, add_layer)) return false;
    snprintf(key, sizeof key, "%stop_level_model_weights@weight_names", s->front);
    const char *top = tern_archive_text(s->file, key);
    return !top || each_line(s, top, "top_level_model_weights", add_weight);
}

/* ---- older files: which weight is it ----------------------------------------------------------------------------- */

/* Whether the last part of name (up to *end) is `part`; *end goes in front of it. */
static bool ends_so(const char *name, size_t *end, const char *part, size_t n) {
    size_t at = *end;
    while (at > 0 && name[at - 1] != '/') at--;
    char have[TERNI_KERAS_NAME], want[TERNI_KERAS_NAME];
    snprintf(have, sizeof have, "%.*s", (int)(*end - at), name + at);
    snprintf(want, sizeof want, "%.*s", (int)n, part);
    bool same = strcmp(have, want) == 0;
    if (strncmp(want, "forward_", 8) == 0) same = strncmp(have, "forward_", 8) == 0;
    if (strncmp(want, "backward_", 9) == 0) same = strncmp(have, "backward_", 9) == 0;
    if (n > 5 && strncmp(part + n - 5, "_cell", 5) == 0) /* lstm_cell_3; none in the oldest files */
        same = strncmp(have, want, strlen(want)) == 0;
    if (same) *end = at ? at - 1 : 0;
    return same;
}

/* Whether a weight's name ends as Keras's legacy name does; *front: how much is in front of that. */
static bool name_fits(const char *name, const char *legacy, size_t *front) {
    size_t end = strlen(name);
    for (size_t at = strlen(legacy); at > 0;) {
        size_t from = at;
        while (from > 0 && legacy[from - 1] != '/') from--;
        const bool cell = at - from > 5 && strncmp(legacy + at - 5, "_cell", 5) == 0;
        const bool kernel = strcmp(legacy + from, "kernel") == 0;
        if (!ends_so(name, &end, legacy + from, at - from) && !cell &&
            !(kernel && ends_so(name, &end, "depthwise_kernel", 16)))
            return false;
        at = from ? from - 1 : 0;
    }
    *front = end;
    return true;
}

/* The weight of a var that stands with `first` in one layer; first NULL: the first that is left, or of the layer that
 * was named. */
static weight *seek(loading *s, const terni_keras_layer *l, const terni_keras_var *v, const weight *first,
                    size_t first_front) {
    for (int i = 0; i < s->n_weights; i++) {
        weight *w = &s->weights[i];
        size_t front;
        if (w->used) continue;
        const bool fits = name_fits(w->name, v->legacy, &front);
        if (first) {
            if (fits && strcmp(w->layer, first->layer) == 0 && front == first_front &&
                strncmp(w->name, first->name, front) == 0)
                return w;
        } else if (!l->named)
            return w; /* whatever it is: the order says so */
        else if (fits && (strcmp(w->layer, l->path) == 0 ||
                          (strlen(l->path) == front && strncmp(w->name, l->path, front) == 0)))
            return w;
    }
    return NULL;
}

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

static const char *shown(const terni_keras_layer *l) { return l->module[0] ? l->module : "the root"; }

/* t fits, perhaps without ones in front; else that is wrong. */
static bool fits(loading *s, const terni_keras_layer *l, const terni_keras_var *v, const char *name, tern_tensor *t) {
    tern_shape is = tern_shape_get(t);
    const tern_dtype d = tern_dtype_of(t);
    while (v->loose && is.ndim > v->shape.ndim && is.dim[0] == 1) {
        memmove(is.dim, is.dim + 1, (size_t)(--is.ndim) * sizeof is.dim[0]);
    }
    if (tern_shape_equal(is, v->shape) && (d == TERN_F32 || d == TERN_F64)) return true;
    char a[128], b[128], detail[900];
    const bool before = strncmp(l->kind, "gru", 3) == 0 && v->shape.ndim == 2 && v->shape.dim[0] == 2 && is.ndim == 1;
    snprintf(detail, sizeof detail, " (%s %s instead of %s for %s, a %s%s)", tern_dtype_name(d),
             tern_shape_text(tern_shape_get(t), a, sizeof a), tern_shape_text(v->shape, b, sizeof b), shown(l),
             l->from->type, before ? "; it is a GRU with reset_after=False, which Tern has not" : "");
    terni_complain(&s->wrong, "other shape:", name, detail);
    return false;
}

static void missing(loading *s, const terni_keras_layer *l, const char *name, const char *instead) {
    char detail[3 * TERNI_KERAS_NAME];
    snprintf(detail, sizeof detail, " for %s, a %s%s%s", shown(l), l->from->type, *instead ? "; there is " : "",
             instead);
    terni_complain(&s->wrong, "missing", name, detail);
}

/* A grouped convolution may be a Conv or a DepthwiseConv: the kernel's shape says which. */
static bool settle_depthwise(const loading *s, terni_keras_layer *l, const tern_tensor *kernel) {
    const int n = tern_ndim(kernel);
    if (!l->depthwise || n < 3 || tern_size(kernel, n - 2) != 1) return true;
    l->depthwise = false;
    return terni_keras_weights(l, s->opts);
}

/* ---- new files --------------------------------------------------------------------------------------------------- */

/* A norm with one weight less than Tern's: the file does not say which of the two it has. */
static bool half_norm(const terni_keras_layer *l, int missing) {
    return strstr(l->kind, "normalization") && !l->fixed.tensor && missing > 0 && missing == l->n_vars - 1;
}

static bool find_in_new(loading *s, int at) {
    terni_keras_layer *l = &s->walk.list.layers[at];
    if (s->opts->not_strict && !terni_keras_has(s->file, l->path)) return true;
    for (int i = 0; i < l->n_vars; i++) {
        char name[2 * TERNI_KERAS_NAME];
        snprintf(name, sizeof name, "%s/%s", l->path, l->vars[i].place);
        tern_tensor *t = tern_archive_find(s->file, name);
        if (!t)
            missing(s, l, name, half_norm(l, i) ? "one of scale and center, then: tell .norms which" : "");
        else if (!tern_archive_put(s->used, name, t) || (i == 0 && !settle_depthwise(s, l, t)))
            return false;
        else if (fits(s, l, &l->vars[i], name, t))
            s->found[at * TERNI_KERAS_VARS + i] = t;
    }
    return true;
}

static void look_over_new(loading *s) {
    tern_archive_entry e;
    char shape[128], detail[140];
    for (int64_t i = 0; !s->opts->not_strict && tern_archive_each(s->file, i, &e); i++) {
        if (tern_archive_find(s->used, e.name)) continue;
        snprintf(detail, sizeof detail, " %s", tern_shape_text(tern_shape_get(e.tensor), shape, sizeof shape));
        terni_complain(&s->wrong, "unexpected", e.name, detail);
    }
}

/* ---- older files ------------------------------------------------------------------------------------------------- */

static bool find_in_older(loading *s, int at) {
    terni_keras_layer *l = &s->walk.list.layers[at];
    size_t front = 0;
    weight *first = seek(s, l, &l->vars[0], NULL, 0);
    if (!first || !name_fits(first->name, l->vars[0].legacy, &front)) {
        if (first || !s->opts->not_strict) missing(s, l, l->vars[0].legacy, first ? first->name : "");
        return true;
    }
    if (!settle_depthwise(s, l, first->tensor)) return false;
    for (int i = 0; i < l->n_vars; i++) {
        weight *w = i ? seek(s, l, &l->vars[i], first, front) : first;
        if (!w) {
            missing(s, l, l->vars[i].legacy, "");
            continue;
        }
        w->used = true;
        if (fits(s, l, &l->vars[i], w->name, w->tensor)) s->found[at * TERNI_KERAS_VARS + i] = w->tensor;
    }
    for (int i = 0; i < s->n_weights; i++) { /* a second kernel, a bias that Tern's layer has not */
        weight *w = &s->weights[i];
        const char *slash = strrchr(w->name, '/');
        if (w->used || strcmp(w->layer, first->layer) != 0 || (slash ? (size_t)(slash - w->name) : 0) != front ||
            strncmp(w->name, first->name, front) != 0)
            continue;
        char detail[TERNI_KERAS_NAME + 100];
        snprintf(detail, sizeof detail, ", which %s, a %s, has not", shown(l), l->from->type);
        terni_complain(&s->wrong, "unexpected", w->name, detail);
        w->used = true;
    }
    return true;
}

/* What a layer that is named takes is taken before the others look. */
static bool find_all_in_older(loading *s) {
    const terni_keras_list *list = &s->walk.list;
    for (int named = 1; named >= 0; named--)
        for (int i = 0; i < list->n; i++)
            if (list->layers[i].named == named && !find_in_older(s, i)) return false;
    for (int i = 0; !s->opts->not_strict && i < s->n_weights; i++) {
        char shape[128], detail[140];
        if (s->weights[i].used) continue;
        snprintf(detail, sizeof detail, " %s",
                 tern_shape_text(tern_shape_get(s->weights[i].tensor), shape, sizeof shape));
        terni_complain(&s->wrong, "unexpected", s->weights[i].name, detail);
    }
    return true;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static bool is_new(const tern_archive *file) {
    tern_archive_entry e;
    for (int64_t i = 0; tern_archive_each(file, i, &e); i++)
        if (strstr(e.name, "/vars/") || strncmp(e.name, "vars/", 5) == 0) return true;
    return false;
}

static bool settle_format(loading *s) {
    const bool plain = tern_archive_text(s->file, "@layer_names") != NULL,
               within = tern_archive_text(s->file, "model_weights@layer_names") != NULL;
    s->format = s->opts->format;
    s->front = plain ? "" : "model_weights/";
    if (s->format == TERN_KERAS_AUTO) s->format = plain || within ? TERN_KERAS_LEGACY : TERN_KERAS_3;
    if (s->format == TERN_KERAS_LEGACY ? plain || within : is_new(s->file)) return true;
    return terni_fail(TERN_ERR_FORMAT, "keras: %s is an HDF5 file, but %s", s->path,
                      s->format == TERN_KERAS_LEGACY ? "has no layer_names" : "not one of Keras's weights");
}

static bool match(loading *s) {
    s->walk.file = s->format == TERN_KERAS_3 ? s->file : NULL;
    if (s->format == TERN_KERAS_LEGACY && !read_order(s)) return false;
    for (int i = 0; i < s->n_weights; i++) s->walk.separable |= strstr(s->weights[i].name, "pointwise_kernel") != NULL;
    if (!terni_keras_walk_tree(&s->walk)) return false;
    const int n = s->walk.list.n;
    s->found = terni_malloc(((size_t)n * TERNI_KERAS_VARS + 1) * sizeof *s->found);
    if (!s->found) return false;
    memset(s->found, 0, ((size_t)n * TERNI_KERAS_VARS + 1) * sizeof *s->found);
    bool ok = s->format == TERN_KERAS_3 || find_all_in_older(s);
    for (int i = 0; ok && s->format == TERN_KERAS_3 && i < n; i++) ok = find_in_new(s, i);
    if (ok && s->format == TERN_KERAS_3) look_over_new(s);
    if (ok && s->wrong.wrong)
        return terni_fail(TERN_ERR_SHAPE, "keras: %s and the module do not have the same layers%s%s", s->path,
                          s->wrong.text, s->wrong.n + 1 >= sizeof s->wrong.text ? " ..." : "");
    return ok;
}

/* The file's values go into the module. */
static bool fill(const terni_keras_var *v, tern_tensor *t) {
    t = tern_reshape(t, v->layout);
    bool ok = t != NULL;
    for (int i = 0; ok && i < v->n_parts; i++) {
        const terni_keras_part *p = &v->parts[i];
        tern_tensor *from = p->dim < 0 ? t : tern_narrow(t, p->dim, p->start, tern_size(p->view, p->dim));
        ok = tern_copy_(p->view, tern_to(tern_cast(from, tern_dtype_of(p->view)), tern_device_of(p->view))) &&
             (!p->added || tern_zero_(p->added));
    }
    return ok;
}

/* Whether the file has that layer; it may have not with .not_strict. */
static bool taken(const loading *s, int at) {
    for (int v = 0; v < s->walk.list.layers[at].n_vars; v++)
        if (s->found[at * TERNI_KERAS_VARS + v]) return true;
    return false;
}

static bool take_over(const loading *s) {
    bool ok = true;
    for (int i = 0; ok && i < s->walk.list.n; i++)
        for (int v = 0; ok && v < s->walk.list.layers[i].n_vars; v++) {
            const int scope = tern_scope_push();
            tern_tensor *t = s->found[i * TERNI_KERAS_VARS + v];
            ok = !t || fill(&s->walk.list.layers[i].vars[v], t);
            tern_scope_pop(scope);
        }
    for (int i = 0; ok && i < s->walk.list.n; i++) {
        const terni_keras_layer *l = &s->walk.list.layers[i];
        if (l->fixed.tensor && taken(s, i)) ok = tern_fill_(l->fixed.tensor, l->fixed.value) != NULL;
    }
    return ok && tern_ok();
}

bool tern_keras_load(const char *path, tern_module *m, tern_keras_opts opts) {
    if (!terni_given(path, "keras", "path") || !terni_given(m, "keras", "m")) return false;
    static const char *const lists[] = {"layer_names", "weight_names", NULL};
    loading s = {.path = path, .opts = &opts, .walk = {.root = m, .opts = &opts}};
    s.file = terni_h5_read(
        &(terni_h5_request){.what = "keras", .path = path, .skip = no_weight, .lists = lists, .seconds = opts.seconds});
    if (!s.file) return false;
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    s.used = tern_archive_new();
    const bool ok = s.used && settle_format(&s) && match(&s) && take_over(&s);
    tern_grad_mode(was);
    tern_scope_pop(scope);
    terni_mfree(s.found);
    terni_mfree(s.weights);
    terni_mfree(s.walk.list.layers);
    tern_archive_free(s.used);
    tern_archive_free(s.file);
    return ok;
}
