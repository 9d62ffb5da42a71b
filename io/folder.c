/* Folders of images: a class is a folder, a sample a picture in it. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "internal.h"
#include "tern/autograd.h"
#include "tern/datasets.h"
#include "tern/ops.h"
#include "tern/picture.h"
#include "transform_internal.h"

enum { DEEPEST = 16, PATH = 4096 };

typedef struct names {
    char **v; /* each for terni_mfree */
    int64_t n, room;
} names;

typedef struct folder {
    tern_dataset d;
    tern_folder_opts o;
    names class, picture; /* paths of pictures, those of one class together */
    int64_t *end;         /* of each class, among the pictures */
    tern_transform *resize;
} folder;

/* ---- looking into folders ---------------------------------------------------------------------------------------- */

static bool add_name(names *to, const char *name) {
    if (to->n == to->room) {
        to->room = to->room ? 2 * to->room : 64;
        char **more = terni_resize(to->v, (size_t)to->room * sizeof *more);
        if (!more) return false;
        to->v = more;
    }
    to->v[to->n] = terni_strdup(name);
    return to->v[to->n] && ++to->n;
}

static void free_names(names *l) {
    for (int64_t i = 0; i < l->n; i++) terni_mfree(l->v[i]);
    terni_mfree(l->v);
    *l = (names){0};
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void sort_names(names *l, int64_t from) {
    if (l->n > from) qsort(l->v + from, (size_t)(l->n - from), sizeof *l->v, by_bytes);
}

static bool is_picture(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && (strcasecmp(dot, ".png") == 0 || strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0);
}

/* PATH/NAME into `out`. */
static bool join(char *out, const char *path, const char *name) {
    const int n = snprintf(out, PATH, "%s/%s", path, name);
    return (n > 0 && n < PATH) || terni_fail(TERN_ERR_IO, "folder: the path %.200s/... is too long", path);
}

static bool list_pictures(const char *path, int depth, names *out);

/* One name in a folder: a picture, or a folder to look into, where files is set; else a class. */
static bool take_entry(const char *path, const char *name, int depth, names *pictures, names *classes) {
    char whole[PATH];
    struct stat st;
    if (name[0] == '.') return true;
    if (!join(whole, path, name)) return false;
    if (stat(whole, &st) != 0) return terni_fail(TERN_ERR_IO, "folder: %s: %s", whole, strerror(errno));
    if (classes) return !S_ISDIR(st.st_mode) || add_name(classes, name);
    if (S_ISDIR(st.st_mode)) return list_pictures(whole, depth + 1, pictures);
    return !S_ISREG(st.st_mode) || !is_picture(name) || add_name(pictures, whole);
}

static bool list(const char *path, int depth, names *pictures, names *classes) {
    DIR *dir = opendir(path);
    if (!dir) return terni_fail(TERN_ERR_IO, "folder: %s: %s", path, strerror(errno));
    bool ok = true;
    while (ok) {
        errno = 0;
        const struct dirent *e = readdir(dir);
        if (!e && errno) ok = terni_fail(TERN_ERR_IO, "folder: %s: %s", path, strerror(errno));
        if (!e) break;
        ok = take_entry(path, e->d_name, depth, pictures, classes);
    }
    closedir(dir);
    return ok;
}

static bool list_pictures(const char *path, int depth, names *out) {
    if (depth > DEEPEST)
        return terni_fail(TERN_ERR_IO, "folder: %s is more than %d folders deep: do links go round?", path, DEEPEST);
    return list(path, depth, out, NULL);
}

static bool look(folder *f, const char *path) {
    char class[PATH];
    if (!list(path, 0, NULL, &f->class)) return false;
    sort_names(&f->class, 0);
    if (f->class.n == 0)
        return terni_fail(TERN_ERR_FORMAT, "folder: %s holds no folders; expected one for each class", path);
    if (f->class.n > INT32_MAX) return terni_fail(TERN_ERR_FORMAT, "folder: %s holds too many folders", path);
    f->end = terni_malloc((size_t)f->class.n * sizeof *f->end);
    if (!f->end) return false;
    for (int64_t c = 0; c < f->class.n; c++) {
        const int64_t from = f->picture.n;
        if (!join(class, path, f->class.v[c]) || !list_pictures(class, 1, &f->picture)) return false;
        if (f->picture.n == from)
            return terni_fail(TERN_ERR_FORMAT, "folder: %s holds no .png, .jpg or .jpeg file", class);
        sort_names(&f->picture, from);
        f->end[c] = f->picture.n;
    }
    return true;
}

/* ---- samples ----------------------------------------------------------------------------------------------------- */

static int64_t folder_label(tern_dataset *d, int64_t i) {
    const folder *f = (folder *)d;
    int64_t lo = 0, hi = f->class.n - 1;
    while (lo < hi) {
        const int64_t mid = (lo + hi) / 2;
        if (f->end[mid] > i)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

static void folder_name(tern_dataset *d, int64_t i, char *buf, size_t size) {
    snprintf(buf, size, "%s", ((folder *)d)->picture.v[i]);
}

/* Picture i as f32 in [0, 1] into `out`, or into a new tensor if it has its own size. */
static tern_tensor *load(const folder *f, int64_t i, float *out) {
    static const tern_transform as_it_is = {0};
    tern_tensor *x = tern_picture_load(f->picture.v[i], (tern_picture_opts){f->o.channels, f->o.max_pixels});
    if (!x) return NULL;
    x = tern_give(x);
    const bool fits = tern_size(x, 1) == f->o.height && tern_size(x, 2) == f->o.width;
    const tern_transform *t = f->resize && !fits ? f->resize : &as_it_is;
    tern_random none = {0};
    if (!out) return terni_transform_tensor(t, &none, x);
    return terni_transform_run(t, &none, tern_shape_get(x), TERN_U8, tern_data(x), out) ? x : NULL;
}

static bool folder_get(tern_dataset *d, int64_t i, void *x, void *y) {
    const int scope = tern_scope_push();
    const bool ok = load((folder *)d, i, x) != NULL;
    tern_scope_pop(scope);
    *(int64_t *)y = folder_label(d, i);
    return ok;
}

static bool folder_item(tern_dataset *d, int64_t i, tern_tensor **x, tern_tensor **y) {
    const int scope = tern_scope_push();
    *x = tern_scope_return(scope, load((folder *)d, i, NULL));
    const int64_t label = folder_label(d, i);
    *y = *x ? tern_from(&label, tern_shape_scalar(), (tern_options){.dtype = TERN_I64}) : NULL;
    return *y != NULL;
}

static void folder_drop(tern_dataset *d) {
    folder *f = (folder *)d;
    free_names(&f->class);
    free_names(&f->picture);
    terni_mfree(f->end);
    tern_transform_free(f->resize);
    terni_free(f, sizeof *f);
}

tern_dataset *tern_folder_dataset_new(const char *path, tern_folder_opts o) {
    if (!terni_given(path, "folder", "path")) return NULL;
    if (o.channels == 0) o.channels = 3;
    if (o.channels < 1 || o.channels > 4 || o.height < 0 || o.width < 0 || (o.height == 0) != (o.width == 0) ||
        o.max_pixels < 0)
        return terni_null(TERN_ERR_ARGUMENT, "folder: %d channels of %lld x %lld; expected 1 to 4, and both or none",
                          o.channels, (long long)o.height, (long long)o.width);
    folder *f = terni_calloc(sizeof *f);
    if (!f) return NULL;
    f->o = o;
    const bool sized = o.height > 0;
    if (sized) f->resize = tern_resize_new(o.height, o.width);
    if ((sized && !f->resize) || !look(f, path)) {
        folder_drop(&f->d);
        return NULL;
    }
    f->d = (tern_dataset){.length = f->picture.n,
                          .y_dtype = TERN_I64,
                          .get = sized ? folder_get : NULL,
                          .item = folder_item,
                          .drop = folder_drop,
                          .name = folder_name,
                          .label = folder_label,
                          .classes = (int)f->class.n,
                          .class_names = (const char *const *)f->class.v};
    if (sized) f->d.x_shape = TERN_SHAPE(o.channels, o.height, o.width);
    return &f->d;
}
