/* Loading a checkpoint: the file is read and its sum checked before HDF5 sees a byte, which it then does in a process
 * of its own first; everything is compared with what the program has; only then is anything of the program's changed.
 * Costs the file's size in memory. */
#include <float.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint_format.h"
#include "h5.h"
#include "h5_child.h"
#include "whole_file.h"

bool terni_checkpoint_names(const tern_checkpoint *c) {
    static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    for (int i = 0; i < c->n_user; i++) {
        const char *n = c->user[i].name;
        if (!n || !*n || strlen(n) > 100 || n[strspn(n, fine)])
            return terni_fail(TERN_ERR_ARGUMENT,
                              "checkpoint: attribute %d has no usable name; expected letters, digits, '_'", i);
    }
    return true;
}

/* One tensor of the program's, and what the file has for it. */
typedef struct item {
    char *name;                 /* in the group */
    tern_tensor *target, *read; /* read: kept; or NULL */
    const char *bytes;          /* instead of read: in the image; both NULL: it is left alone */
} item;

typedef struct loading {
    const char *path;
    tern_checkpoint *c;
    hid_t file;
    const char *image;
    size_t image_bytes;
    item *items;
    int n_items, cap_items;
    char wrong[900]; /* what does not fit, as far as there is room */
    int n_wrong;
    /* from attributes */
    int64_t epoch, step, steps, count;
    double lr, momentum;
    bool has_optim;
    tern_random random;
    tern_loader_state at;
    tern_scaler_state scaler;
    double *schedule; /* numbers, for terni_mfree */
    int n_schedule;
    tern_checkpoint_user *user; /* texts for terni_mfree */
} loading;

static void complain(loading *l, const char *what, const char *group, const char *name, const char *detail) {
    const size_t at = strlen(l->wrong);
    l->n_wrong++;
    snprintf(l->wrong + at, sizeof l->wrong - at, "%s %s %s/%s%s", at ? ";" : "", what, group, name, detail);
}

/* ---- tensors
 * --------------------------------------------------------------------------------------------------------------- */

static bool add_item(loading *l, const char *name, tern_tensor *target) {
    if (l->n_items == l->cap_items) {
        const int cap = l->cap_items ? 2 * l->cap_items : 64;
        item *more = terni_resize(l->items, (size_t)cap * sizeof *more);
        if (!more) return false;
        l->items = more;
        l->cap_items = cap;
    }
    char *copy = terni_strdup(name);
    if (!copy) return false;
    l->items[l->n_items++] = (item){copy, target, NULL, NULL};
    return true;
}

/* A tensor that bytes can simply be moved into. */
static bool plain(tern_tensor *t) { return tern_device_of(t).type == TERN_CPU && tern_is_contiguous(t); }

/* Elements that the image has in one piece stay there until they are taken over; others (older checkpoints have chunks)
 * are read into a fresh tensor. */
static bool read_elements(loading *l, hid_t set, item *it) {
    const tern_dtype dtype = tern_dtype_of(it->target);
    const size_t bytes = (size_t)tern_numel(it->target) * tern_dtype_size(dtype);
    uint64_t place;
    if (bytes == 0) return true;
    if (plain(it->target) && terni_h5_place(set, bytes, &place) && place <= l->image_bytes &&
        bytes <= l->image_bytes - place) {
        it->bytes = l->image + place;
        return true;
    }
    tern_tensor *t = tern_empty(tern_shape_get(it->target), (tern_options){.dtype = dtype});
    const hid_t type = t ? terni_h5_type(dtype) : -1;
    bool ok = type >= 0;
    if (ok && H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, tern_data(t)) < 0)
        ok = terni_h5_fail(TERN_ERR_FORMAT, l->path, it->name);
    if (type >= 0) H5Tclose(type);
    if (ok) it->read = tern_keep(t);
    return ok;
}

/* Finds the elements of a dataset that fits; complains about one that does not. */
static bool read_item(loading *l, hid_t group, const char *group_name, item *it) {
    if (H5Lexists(group, it->name, H5P_DEFAULT) <= 0) {
        complain(l, "missing", group_name, it->name, "");
        return true;
    }
    const hid_t set = H5Dopen2(group, it->name, H5P_DEFAULT);
    if (set < 0) return terni_h5_fail(TERN_ERR_FORMAT, l->path, it->name);
    tern_shape shape, want = tern_shape_get(it->target);
    tern_dtype dtype;
    bool ok = true;
    if (!terni_h5_look(set, &shape, &dtype)) {
        complain(l, "unknown type of", group_name, it->name, "");
    } else if (!tern_shape_equal(shape, want) || dtype != tern_dtype_of(it->target)) {
        char a[120], b[120], detail[300];
        snprintf(detail, sizeof detail, " (%s %s, expected %s %s)", tern_shape_text(shape, a, sizeof a),
                 tern_dtype_name(dtype), tern_shape_text(want, b, sizeof b),
                 tern_dtype_name(tern_dtype_of(it->target)));
        complain(l, tern_shape_equal(shape, want) ? "other dtype of" : "other shape of", group_name, it->name, detail);
    } else {
        ok = read_elements(l, set, it);
    }
    H5Dclose(set);
    return ok;
}

typedef struct search {
    loading *l;
    const char *group;
    int first; /* of the group's items */
} search;

/* The library changed H5O_info_t, and so what it wants here. */
#if H5_VERSION_GE(1, 12, 0)
typedef H5O_info2_t object_info;
#define visit_all H5Ovisit3
#else
typedef H5O_info_t object_info;
#define visit_all H5Ovisit2
#endif

static herr_t visit(hid_t group, const char *name, const object_info *info, void *arg) {
    (void)group;
    const search *s = arg;
    if (info->type != H5O_TYPE_DATASET) return 0;
    for (int i = s->first; i < s->l->n_items; i++)
        if (strcmp(s->l->items[i].name, name) == 0) return 0;
    complain(s->l, "unexpected", s->group, name, "");
    return 0;
}

/* All items from `first` on, against the group; what is in the group besides is complained about. */
static bool read_group(loading *l, const char *name, int first) {
    const hid_t g = H5Lexists(l->file, name, H5P_DEFAULT) > 0 ? H5Gopen2(l->file, name, H5P_DEFAULT) : -1;
    if (g < 0) {
        complain(l, "missing", "", name + 1, "");
        return true;
    }
    bool ok = true;
    for (int i = first; ok && i < l->n_items; i++) ok = read_item(l, g, name, &l->items[i]);
    search s = {l, name, first};
    if (ok && visit_all(g, H5_INDEX_NAME, H5_ITER_INC, visit, &s, H5O_INFO_BASIC) < 0)
        ok = terni_h5_fail(TERN_ERR_FORMAT, l->path, name);
    H5Gclose(g);
    return ok;
}

static bool read_model(loading *l, const char *group, tern_module *m) {
    tern_named e;
    const int first = l->n_items;
    for (int i = 0; tern_module_each(m, i, &e); i++)
        if (!add_item(l, e.name, e.tensor)) return false;
    return tern_ok() && read_group(l, group, first);
}

static bool read_average(loading *l) {
    if (!read_model(l, "/average", tern_average_module(l->c->average))) return false;
    const hid_t g = H5Lexists(l->file, "/average", H5P_DEFAULT) > 0 ? H5Gopen2(l->file, "/average", H5P_DEFAULT) : -1;
    if (g < 0) return true; /* complained about */
    const bool ok = terni_h5_get_i64(g, "count", &l->count) && l->count >= 0;
    H5Gclose(g);
    return ok || terni_fail(TERN_ERR_FORMAT, "checkpoint: %s: /average lacks count", l->path);
}

static bool read_optim(loading *l) {
    tern_optim_state e;
    const int first = l->n_items;
    for (int i = 0; tern_optim_each(l->c->optim, i, &e); i++)
        if (!add_item(l, e.name, e.tensor)) return false;
    if (!tern_ok() || !read_group(l, "/optim", first)) return false;
    const hid_t g = H5Lexists(l->file, "/optim", H5P_DEFAULT) > 0 ? H5Gopen2(l->file, "/optim", H5P_DEFAULT) : -1;
    if (g < 0) return true; /* complained about */
    char *type = terni_h5_get_text(g, "type");
    int64_t groups = 0;
    bool ok = type && terni_h5_get_f64(g, "lr", &l->lr) && terni_h5_get_i64(g, "steps", &l->steps) &&
              terni_h5_get_i64(g, "groups", &groups) &&
              (!tern_optim_has_momentum(l->c->optim) ||
               (terni_h5_get_f64(g, "momentum", &l->momentum) && l->momentum >= 0 && l->momentum < 1)) &&
              l->steps >= 0 && l->lr >= 0 && l->lr <= DBL_MAX;
    if (!ok)
        ok = terni_fail(TERN_ERR_FORMAT, "checkpoint: %s: /optim lacks type, lr, steps, groups or momentum", l->path);
    else if (strcmp(type, tern_optim_type(l->c->optim)) != 0 || groups != tern_optim_groups(l->c->optim))
        ok = terni_fail(TERN_ERR_FORMAT, "checkpoint: %s holds the state of %s with %lld groups; expected %s with %d",
                        l->path, type, (long long)groups, tern_optim_type(l->c->optim), tern_optim_groups(l->c->optim));
    l->has_optim = ok;
    terni_mfree(type);
    H5Gclose(g);
    return ok;
}

/* ---- attributes
 * -------------------------------------------------------------------------------------------------------------- */

static bool lacks(const loading *l, const char *what) {
    return terni_fail(TERN_ERR_FORMAT, "checkpoint: %s holds no %s", l->path, what);
}

/* The numbers of the program's schedule, in order, into l->schedule. */
static bool read_schedule(loading *l) {
    char name[TERNI_CHECKPOINT_NAME], full[sizeof name + 16];
    double has;
    int n = 0;
    while (tern_schedule_get(l->c->schedule, n, name, sizeof name, &has)) n++;
    l->schedule = terni_malloc((size_t)n * sizeof *l->schedule);
    if (!l->schedule) return false;
    l->n_schedule = n;
    for (int i = 0; tern_schedule_get(l->c->schedule, i, name, sizeof name, &has); i++) {
        double *value = &l->schedule[i];
        snprintf(full, sizeof full, "schedule_%s", name);
        if (!terni_h5_get_f64(l->file, full, value)) return lacks(l, full);
        const size_t letters = strlen(name);
        if (letters >= 7 && strcmp(name + letters - 7, "n_parts") == 0 && !(*value >= has && *value <= has))
            return terni_fail(TERN_ERR_FORMAT, "checkpoint: %s: %s is %g, the program's %g", l->path, full, *value,
                              has);
    }
    return true;
}

static bool read_scaler(loading *l) {
    if (!terni_h5_get_f64(l->file, "scaler_scale", &l->scaler.scale) ||
        !terni_h5_get_i64(l->file, "scaler_growth_tracker", &l->scaler.growth_tracker) ||
        !terni_h5_get_i64(l->file, "scaler_skipped", &l->scaler.skipped))
        return lacks(l, "state of a loss scaler");
    if (l->scaler.growth_tracker < 0 || l->scaler.skipped < 0 || !((double)(float)l->scaler.scale > 0) ||
        !(l->scaler.scale <= (double)FLT_MAX))
        return terni_fail(TERN_ERR_FORMAT, "checkpoint: %s: these are no numbers of a loss scaler", l->path);
    return true;
}

static bool read_loader(loading *l) {
    if (!terni_h5_get_u64(l->file, "loader_seed", &l->at.seed) ||
        !terni_h5_get_i64(l->file, "loader_epoch", &l->at.epoch) ||
        !terni_h5_get_i64(l->file, "loader_batch", &l->at.batch))
        return lacks(l, "loader position");
    const int64_t most = tern_loader_batches(l->c->loader); /* -1: not known */
    if (l->at.epoch < 0 || l->at.batch < 0 || (most >= 0 && l->at.batch > most))
        return terni_fail(TERN_ERR_FORMAT,
                          "checkpoint: %s stands at batch %lld; the loader has %lld: another batch size or data set?",
                          l->path, (long long)l->at.batch, (long long)tern_loader_batches(l->c->loader));
    return true;
}

static bool read_user(loading *l) {
    if (l->c->n_user == 0) return true;
    l->user = terni_malloc((size_t)l->c->n_user * sizeof *l->user);
    if (!l->user) return false;
    memset(l->user, 0, (size_t)l->c->n_user * sizeof *l->user);
    for (int i = 0; i < l->c->n_user; i++) {
        char name[200];
        snprintf(name, sizeof name, "user_%s", l->c->user[i].name);
        char *text = terni_h5_get_text(l->file, name);
        l->user[i].text = text;
        l->user[i].number = l->c->user[i].number; /* stays if the file has none */
        if (!text && !terni_h5_get_f64(l->file, name, &l->user[i].number) && !l->c->not_strict) return lacks(l, name);
    }
    return true;
}

static bool read_root(loading *l) {
    int64_t format = 0;
    if (!terni_h5_get_i64(l->file, "format", &format) || !terni_h5_get_i64(l->file, "epoch", &l->epoch) ||
        !terni_h5_get_i64(l->file, "step", &l->step))
        return terni_fail(TERN_ERR_FORMAT, "checkpoint: %s is an HDF5 file, but no checkpoint of Tern", l->path);
    if (format != TERNI_CHECKPOINT_FORMAT)
        return terni_fail(TERN_ERR_FORMAT, "checkpoint: %s has format %lld; this version reads %d", l->path,
                          (long long)format, TERNI_CHECKPOINT_FORMAT);
    if (!l->c->no_random && (!terni_h5_get_u64(l->file, "random_seed", &l->random.seed) ||
                             !terni_h5_get_u64(l->file, "random_position", &l->random.position)))
        return lacks(l, "random state");
    return read_user(l);
}

/* ---- all of it
 * ---------------------------------------------------------------------------------------------------------------- */

static bool read_file(loading *l) {
    const tern_checkpoint *c = l->c;
    if (!read_root(l) || (c->loader && !read_loader(l)) || (c->schedule && !read_schedule(l)) ||
        (c->scaler && !read_scaler(l)) || (c->model && !read_model(l, "/model", c->model)) ||
        (c->average && !read_average(l)) || (c->optim && !read_optim(l)))
        return false;
    if (l->n_wrong == 0 || c->not_strict) return true;
    return terni_fail(TERN_ERR_SHAPE, "checkpoint: %s does not fit (%d names):%s", l->path, l->n_wrong, l->wrong);
}

static bool read_image(loading *l, void *data, size_t bytes) {
    l->image = data;
    l->image_bytes = bytes;
    l->file = terni_h5_open_image(data, bytes);
    const bool ok = l->file >= 0 ? read_file(l) : terni_h5_fail(TERN_ERR_FORMAT, l->path, "not readable as HDF5");
    if (l->file >= 0) H5Fclose(l->file);
    return ok;
}

/* The values into the program's tensors. What could fail comes first; where all are contiguous and on the CPU, nothing
 * can. */
static bool take_over_tensors(loading *l) {
    bool ok = true;
    const bool was = tern_grad_mode(false);
    for (int i = 0; ok && i < l->n_items; i++) {
        const item *it = &l->items[i];
        if (it->read && !plain(it->target)) ok = tern_copy_(it->target, it->read) != NULL;
    }
    tern_grad_mode(was);
    for (int i = 0; ok && i < l->n_items; i++) {
        const item *it = &l->items[i];
        const char *from = it->bytes ? it->bytes : it->read ? tern_data(it->read) : NULL;
        if (!from || !plain(it->target)) continue;
        memcpy(tern_data(it->target), from,
               (size_t)tern_numel(it->target) * tern_dtype_size(tern_dtype_of(it->target)));
        tern_touch(it->target);
    }
    return ok;
}

static bool take_over(loading *l) {
    tern_checkpoint *c = l->c;
    bool ok = take_over_tensors(l);
    if (ok && l->has_optim && tern_optim_has_momentum(c->optim)) ok = tern_optim_set_momentum(c->optim, l->momentum);
    if (ok && l->has_optim) ok = tern_optim_set_lr(c->optim, l->lr) && tern_optim_set_steps(c->optim, l->steps);
    if (ok && c->average) ok = tern_average_set_count(c->average, l->count);
    if (ok && c->loader) ok = tern_loader_seek(c->loader, l->at);
    if (!ok) return false;
    if (c->scaler && !tern_scaler_seek(c->scaler, l->scaler)) return false;
    for (int i = 0; i < l->n_schedule; i++) tern_schedule_set(c->schedule, i, l->schedule[i]);
    if (!c->no_random) tern_random_set(l->random);
    c->epoch = l->epoch;
    c->step = l->step;
    for (int i = 0; i < c->n_user; i++) {
        c->user[i].text = l->user[i].text; /* NULL for a number: tern_checkpoint_free_text meets no text of others */
        c->user[i].number = l->user[i].number;
        l->user[i].text = NULL;
    }
    return true;
}

/* A checksum keeps damage out, not malice: a process of its own tries HDF5 on the file first. */
static bool read_safely(loading *l, void *data, size_t bytes) {
    if (!terni_h5_rehearse("checkpoint", l->path, data, bytes)) return false;
    terni_h5_enter();
    const bool ok = read_image(l, data, bytes);
    terni_h5_leave();
    return ok;
}

bool tern_checkpoint_load(const char *path, tern_checkpoint *c) {
    if (!terni_given(path, "checkpoint", "path") || !terni_given(c, "checkpoint", "checkpoint") ||
        !terni_checkpoint_names(c))
        return false;
    loading l = {.path = path, .c = c};
    void *data;
    size_t bytes;
    if (!terni_whole_file_read(path, &data, &bytes)) return false;
    const int scope = tern_scope_push();
    const bool ok = read_safely(&l, data, bytes) && take_over(&l);
    terni_mfree(data);
    for (int i = 0; i < l.n_items; i++) {
        terni_mfree(l.items[i].name);
        tern_release(l.items[i].read);
    }
    terni_mfree(l.items);
    for (int i = 0; l.user && i < c->n_user; i++) {
        char *text;
        memcpy(&text, &l.user[i].text, sizeof text);
        terni_mfree(text);
    }
    terni_mfree(l.user);
    terni_mfree(l.schedule);
    tern_scope_pop(scope);
    return ok;
}

void tern_checkpoint_free_text(tern_checkpoint *c) {
    for (int i = 0; c && i < c->n_user; i++) {
        char *text;
        memcpy(&text, &c->user[i].text, sizeof text);
        terni_mfree(text);
        c->user[i].text = NULL;
    }
}
