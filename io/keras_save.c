/* Writing Keras's weights. The HDF5 file is made in memory, then replaces the old one as a whole: HDF5 reports a full
 * disk late or never, and crashes at exit after one. Nothing in it keeps the time, so equal weights make equal files.
 */
#include <stdio.h>
#include <string.h>

#include "h5.h"
#include "keras_internal.h"
#include "replace.h"

enum { ATTRIBUTE_MOST = 64000 }; /* bytes: an object's header holds no more */

typedef struct saving {
    const char *path;
    hid_t file, links, sets; /* how groups within a name are made, and datasets */
} saving;

static bool failed(const saving *s) {
    return !tern_ok() ? false : terni_fail(TERN_ERR_IO, "keras: %s: the HDF5 file could not be made", s->path);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static tern_tensor *plain(tern_tensor *t, tern_dtype d) { return tern_cast(tern_to(t, tern_cpu()), d); }

/* A weight as Keras has it, on the CPU. */
static tern_tensor *gather(const terni_keras_var *v) {
    const tern_dtype d = tern_dtype_of(v->parts[0].view) == TERN_F64 ? TERN_F64 : TERN_F32;
    tern_tensor *t = tern_empty(v->layout, (tern_options){.dtype = d});
    for (int i = 0; t && i < v->n_parts; i++) {
        const terni_keras_part *p = &v->parts[i];
        tern_tensor *value = plain(p->view, d);
        if (p->added) value = tern_add(value, plain(p->added, d));
        tern_tensor *to = p->dim < 0 ? t : tern_narrow(t, p->dim, p->start, tern_size(p->view, p->dim));
        if (!tern_copy_(to, value)) return NULL;
    }
    return tern_contiguous(tern_reshape(t, v->shape));
}

static bool put_set(const saving *s, const char *name, const terni_keras_var *v) {
    hsize_t dims[TERN_MAX_DIMS];
    const int scope = tern_scope_push();
    tern_tensor *t = gather(v);
    bool ok = t != NULL;
    for (int i = 0; ok && i < v->shape.ndim; i++) dims[i] = (hsize_t)v->shape.dim[i];
    const hid_t type = ok ? terni_h5_type(tern_dtype_of(t)) : -1;
    const hid_t space = ok ? H5Screate_simple(v->shape.ndim, dims, NULL) : -1;
    const hid_t set =
        type < 0 || space < 0 ? -1 : H5Dcreate2(s->file, name, type, space, s->links, s->sets, H5P_DEFAULT);
    ok = set >= 0 && H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, tern_data(t)) >= 0;
    if (set >= 0) H5Dclose(set);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    tern_scope_pop(scope);
    return ok || failed(s);
}

/* ---- new files --------------------------------------------------------------------------------------------------- */

/* Each group of weights is called as its layer is. */
static bool name_group(const saving *s, const char *dataset, const char *layer) {
    char group[2 * TERNI_KERAS_NAME];
    snprintf(group, sizeof group, "%.*s", (int)(strrchr(dataset, '/') - dataset), dataset);
    const char *slash = strrchr(layer, '/');
    const hid_t g = H5Gopen2(s->file, group, H5P_DEFAULT);
    const bool ok = g >= 0 && (H5Aexists(g, "name") > 0 || terni_h5_put_text(g, "name", slash ? slash + 1 : layer));
    if (g >= 0) H5Gclose(g);
    return ok || failed(s);
}

static bool put_new(const saving *s, const terni_keras_list *list) {
    char name[2 * TERNI_KERAS_NAME];
    for (int i = 0; i < list->n; i++)
        for (int v = 0; v < list->layers[i].n_vars; v++) {
            const terni_keras_layer *l = &list->layers[i];
            snprintf(name, sizeof name, "%s/%s", l->path, l->vars[v].place);
            if (!put_set(s, name, &l->vars[v]) || !name_group(s, name, l->path)) return false;
        }
    return true;
}

/* ---- older files ------------------------------------------------------------------------------------------------- */

/* "layers/sequential/layers/dense" -> "sequential/dense"; *top: how much of it is the layer of the model itself. */
static void legacy_path(const terni_keras_layer *l, char *out, size_t *top) {
    size_t at = 0;
    const char *p = l->path;
    while (*p) {
        const size_t n = strcspn(p, "/");
        if (n != 6 || strncmp(p, "layers", 6) != 0 || !p[n]) {
            at += (size_t)snprintf(out + at, TERNI_KERAS_NAME - at, "%s%.*s", at ? "/" : "", (int)n, p);
        }
        p += n + (p[n] == '/');
    }
    *top = strcspn(out, "/");
}

/* n names of up to `width` bytes, in `names` one behind the other. */
static bool put_names(const saving *s, hid_t at, const char *name, const char *names, size_t width, hsize_t n) {
    const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, &n, NULL);
    bool ok = type >= 0 && space >= 0 && H5Tset_size(type, width) >= 0 && H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0;
    const hid_t a = ok ? H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT) : -1;
    ok = a >= 0 && H5Awrite(a, type, names) >= 0;
    if (a >= 0) H5Aclose(a);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    return ok || failed(s);
}

/* A list of names as Keras keeps it: one attribute, or several where one would be too large. */
typedef struct names {
    char *text; /* for terni_mfree: n times TERNI_KERAS_NAME */
    size_t width;
    int n, cap;
} names;

static bool add_name(names *l, const char *name) {
    if (l->n == l->cap) {
        const int cap = l->cap ? 2 * l->cap : 32;
        char *more = terni_resize(l->text, (size_t)cap * TERNI_KERAS_NAME);
        if (!more) return false;
        l->text = more;
        l->cap = cap;
    }
    char *to = l->text + (size_t)l->n++ * TERNI_KERAS_NAME;
    memset(to, 0, TERNI_KERAS_NAME);
    const size_t letters = strlen(name);
    if (letters >= TERNI_KERAS_NAME) return terni_fail(TERN_ERR_ARGUMENT, "keras: the name %.60s... is too long", name);
    memcpy(to, name, letters);
    if (letters > l->width) l->width = letters;
    return true;
}

static bool put_list(const saving *s, hid_t at, const char *name, names *l) {
    const int each = (int)(ATTRIBUTE_MOST / (l->width ? l->width : 1));
    bool ok = true;
    for (int i = 1; i < l->n; i++)
        memmove(l->text + (size_t)i * l->width, l->text + (size_t)i * TERNI_KERAS_NAME, l->width);
    for (int i = 0, part = 0; ok && i < l->n; i += each, part++) {
        char own[64];
        snprintf(own, sizeof own, l->n > each ? "%s%d" : "%s", name, part);
        ok = put_names(s, at, own, l->text + (size_t)i * l->width, l->width,
                       (hsize_t)(l->n - i < each ? l->n - i : each));
    }
    return ok;
}

/* The weights of one layer of the model: those of layers `first` up to `end`; what is not trained comes last. */
static bool put_group(const saving *s, const terni_keras_list *list, int first, int end, const char *layer) {
    char path[TERNI_KERAS_NAME], name[2 * TERNI_KERAS_NAME], full[3 * TERNI_KERAS_NAME];
    names l = {.text = NULL};
    size_t top;
    bool ok = true;
    for (int state = 0; state < 2; state++)
        for (int i = first; ok && i < end; i++) {
            legacy_path(&list->layers[i], path, &top);
            for (int v = 0; ok && v < list->layers[i].n_vars; v++) {
                if (list->layers[i].vars[v].state != state) continue;
                snprintf(name, sizeof name, "%s/%s", path, list->layers[i].vars[v].legacy);
                snprintf(full, sizeof full, "%s/%s", layer, name);
                ok = add_name(&l, name) && put_set(s, full, &list->layers[i].vars[v]);
            }
        }
    const hid_t g = ok ? H5Gopen2(s->file, layer, H5P_DEFAULT) : -1;
    ok = g >= 0 ? put_list(s, g, "weight_names", &l) : ok && failed(s);
    if (g >= 0) H5Gclose(g);
    terni_mfree(l.text);
    return ok;
}

/* The version and the backend are those whose layouts these are: Keras 2 turns kernels of others. */
static bool put_older(const saving *s, const terni_keras_list *list) {
    char path[TERNI_KERAS_NAME], other[TERNI_KERAS_NAME];
    names l = {.text = NULL};
    bool ok = true;
    for (int i = 0, end; ok && i < list->n; i = end) {
        size_t top, other_top;
        legacy_path(&list->layers[i], path, &top);
        for (end = i + 1; end < list->n; end++) {
            legacy_path(&list->layers[end], other, &other_top);
            if (top != other_top || strncmp(path, other, top) != 0) break;
        }
        path[top] = 0;
        for (int k = 0; ok && k < l.n; k++)
            if (strcmp(l.text + (size_t)k * TERNI_KERAS_NAME, path) == 0)
                ok =
                    terni_fail(TERN_ERR_ARGUMENT,
                               "keras: %s belongs to layer %s, and others stand between it and the rest of that: older "
                               "files have an order (.names)",
                               list->layers[i].module, path);
        ok = ok && add_name(&l, path) && put_group(s, list, i, end, path);
    }
    const hid_t root = ok ? H5Gopen2(s->file, "/", H5P_DEFAULT) : -1;
    ok = root >= 0 && put_list(s, root, "layer_names", &l) && terni_h5_put_text(root, "backend", "tensorflow") &&
         terni_h5_put_text(root, "keras_version", "3.0.0");
    if (root >= 0) H5Gclose(root);
    terni_mfree(l.text);
    return ok || failed(s);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

/* The finished file's bytes, for terni_mfree. */
static void *image_of(const saving *s, size_t *bytes) {
    const ssize_t n = H5Fflush(s->file, H5F_SCOPE_LOCAL) < 0 ? -1 : H5Fget_file_image(s->file, NULL, 0);
    void *p = n > 0 ? terni_malloc((size_t)n) : NULL;
    if (p && H5Fget_file_image(s->file, p, (size_t)n) != n) {
        terni_mfree(p);
        p = NULL;
    }
    if (!p) failed(s);
    *bytes = p ? (size_t)n : 0;
    return p;
}

static void *build(saving *s, const terni_keras_list *list, bool older, size_t *bytes) {
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    s->links = H5Pcreate(H5P_LINK_CREATE);
    s->sets = H5Pcreate(H5P_DATASET_CREATE);
    const bool ready = access >= 0 && H5Pset_fapl_core(access, 1u << 20, false) >= 0 && s->links >= 0 &&
                       H5Pset_create_intermediate_group(s->links, 1) >= 0 && s->sets >= 0 &&
                       H5Pset_obj_track_times(s->sets, false) >= 0;
    s->file = ready ? H5Fcreate("tern-keras-in-memory", H5F_ACC_TRUNC, H5P_DEFAULT, access) : -1;
    void *p = NULL;
    if (s->file < 0)
        failed(s);
    else if ((older ? put_older : put_new)(s, list))
        p = image_of(s, bytes);
    if (s->file >= 0) H5Fclose(s->file);
    if (s->sets >= 0) H5Pclose(s->sets);
    if (s->links >= 0) H5Pclose(s->links);
    if (access >= 0) H5Pclose(access);
    return p;
}

static bool each_once(const terni_keras_list *list) {
    for (int i = 0; i < list->n; i++)
        for (int k = 0; k < i; k++)
            if (strcmp(list->layers[i].path, list->layers[k].path) == 0)
                return terni_fail(TERN_ERR_ARGUMENT, "keras: %s and %s are both to be %s", list->layers[k].module,
                                  list->layers[i].module, list->layers[i].path);
    return list->n > 0 || terni_fail(TERN_ERR_ARGUMENT, "keras: the module has no weights");
}

/* What Keras's layers have not must be what they compute without. */
static bool fixed_hold(const terni_keras_list *list) {
    for (int i = 0; i < list->n; i++) {
        const terni_keras_fixed *f = &list->layers[i].fixed;
        if (!f->tensor) continue;
        const double off = tern_item(tern_max(tern_abs(tern_sub_scalar(f->tensor, f->value)), NULL, 0, false));
        if (!tern_ok()) return false;
        if (!(off == 0))
            return terni_fail(TERN_ERR_ARGUMENT, "keras: .norms: %s has a %s that is not all %g, which Keras's has not",
                              list->layers[i].module, f->name, f->value);
    }
    return true;
}

static bool is_older(const char *path, tern_keras_format format) {
    static const char end[] = ".weights.h5";
    const size_t n = strlen(path), m = sizeof end - 1;
    return format == TERN_KERAS_AUTO ? n < m || strcmp(path + n - m, end) != 0 : format == TERN_KERAS_LEGACY;
}

bool tern_keras_save(const char *path, tern_module *m, tern_keras_opts opts) {
    if (!terni_given(path, "keras", "path") || !terni_given(m, "keras", "m")) return false;
    saving s = {.path = path};
    terni_keras_walk w = {.root = m, .opts = &opts};
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    void *data = NULL;
    size_t bytes = 0;
    if (terni_keras_walk_tree(&w) && each_once(&w.list) && fixed_hold(&w.list)) {
        terni_h5_enter();
        data = build(&s, &w.list, is_older(path, opts.format), &bytes);
        terni_h5_leave();
    }
    tern_grad_mode(was);
    tern_scope_pop(scope);
    terni_mfree(w.list.layers);
    terni_replace r;
    const bool ok =
        data && terni_replace_begin(&r, "keras", path) && terni_replace_end(&r, terni_replace_write(&r, data, bytes));
    terni_mfree(data);
    return ok;
}
