/* The process that reads an HDF5 file of unknown origin, and the program's side of its pipe. */
#include "h5_child.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "h5.h"
#include "h5_process.h"
#include "replace.h"

enum { SECONDS = 600, NAME = 1024, WORD = 1 << 16, MOST_RECORDS = 100000, MOST_DEPTH = 64 };

typedef enum kind { TENSOR, LIST, END, FAILED } kind;

/* What comes through the pipe, before the elements or the texts. */
typedef struct record {
    kind kind;
    int64_t bytes; /* that follow */
    tern_dtype dtype;
    tern_shape shape;
    char name[NAME];
    char why[300]; /* FAILED */
} record;

/* ---- the process that reads -------------------------------------------------------------------------------------- */

typedef struct reading {
    const terni_h5_request *r;
    int fd;
    int64_t left; /* bytes that may still be sent */
    int records, depth;
    char path[NAME]; /* of where the walk is */
    record out;      /* the last one */
} reading;

static bool send_record(reading *s, kind k, const char *name, const void *data, int64_t bytes) {
    s->out.kind = k;
    s->out.bytes = bytes;
    snprintf(s->out.name, sizeof s->out.name, "%.*s", NAME - 1, name);
    if (k == TENSOR || k == LIST) s->left -= bytes;
    return terni_h5_process_send(s->fd, &s->out, sizeof s->out) &&
           (bytes == 0 || terni_h5_process_send(s->fd, data, (size_t)bytes));
}

static bool give_up(reading *s, const char *name, const char *why) {
    snprintf(s->out.why, sizeof s->out.why, "%s", why);
    (void)send_record(s, FAILED, name, NULL, 0);
    return false;
}

static herr_t no_other_file(const char *a, const char *b, const char *c, const char *d, unsigned *flags, hid_t fapl,
                            void *data) {
    (void)a, (void)b, (void)c, (void)d, (void)flags, (void)fapl, (void)data;
    return -1;
}

/* h5py's bool: FALSE is 0, TRUE is 1. */
static bool is_bool(hid_t type) {
    unsigned char v[2] = {2, 2};
    if (H5Tget_class(type) != H5T_ENUM || H5Tget_size(type) != 1 || H5Tget_nmembers(type) != 2) return false;
    return H5Tget_member_value(type, 0, &v[0]) >= 0 && H5Tget_member_value(type, 1, &v[1]) >= 0 && v[0] < 2 && v[1] < 2;
}

/* The type that the elements get in memory, and their dtype; negative if Tern has none for them. */
static hid_t memory_type(hid_t type, tern_dtype *dtype) {
    const size_t size = H5Tget_size(type);
    const H5T_class_t class = H5Tget_class(type);
    const bool is_signed = class == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_2;
    if (class == H5T_FLOAT && (size == 2 || size == 4 || size == 8)) {
        *dtype = size == 8 ? TERN_F64 : TERN_F32;
        return *dtype == TERN_F64 ? H5T_NATIVE_DOUBLE : H5T_NATIVE_FLOAT;
    }
    if (is_bool(type)) {
        *dtype = TERN_BOOL;
        return H5T_NATIVE_UINT8;
    }
    if (class != H5T_INTEGER || size > 8) return -1;
    *dtype = size == 1 && !is_signed ? TERN_U8 : size < 4 || (size == 4 && is_signed) ? TERN_I32 : TERN_I64;
    if (size == 8 && !is_signed) return -1;
    return *dtype == TERN_U8 ? H5T_NATIVE_UINT8 : *dtype == TERN_I32 ? H5T_NATIVE_INT32 : H5T_NATIVE_INT64;
}

/* Shape and size, and that all of the elements are in the file. */
static const char *look(hid_t set, reading *s, int least_dims, int64_t *bytes) {
    hsize_t dim[TERN_MAX_DIMS];
    tern_shape *shape = &s->out.shape;
    const hid_t space = H5Dget_space(set), how = H5Dget_create_plist(set);
    const int ndim = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    if (ndim < least_dims || ndim > TERN_MAX_DIMS || H5Sget_simple_extent_dims(space, dim, NULL) < 0 ||
        H5Sget_simple_extent_type(space) == H5S_NULL)
        return least_dims ? "a dataset of 1 to 8 dimensions is expected" : "a dataset of 0 to 8 dimensions is expected";
    if (how < 0 || H5Pget_external_count(how) != 0 || H5Pget_layout(how) == H5D_VIRTUAL)
        return "its elements are in another file";
    shape->ndim = ndim;
    *bytes = (int64_t)tern_dtype_size(s->out.dtype);
    for (int i = 0; i < ndim; i++) {
        shape->dim[i] = (int64_t)dim[i];
        if (shape->dim[i] < 0 || __builtin_mul_overflow(*bytes, shape->dim[i], bytes) || *bytes > s->left)
            return "it says that it is larger than a file of its size can hold";
    }
    return NULL;
}

static const char *read_set(hid_t set, reading *s, int least_dims, void **data, int64_t *bytes) {
    const hid_t type = H5Dget_type(set), memory = type < 0 ? -1 : memory_type(type, &s->out.dtype);
    if (memory < 0) return "its elements are of a type that Tern has not";
    const char *why = look(set, s, least_dims, bytes);
    if (why) return why;
    *data = terni_h5_process_room((size_t)*bytes + 1);
    if (!*data) return "there is no memory for it";
    if (*bytes > 0 && H5Dread(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, *data) < 0)
        return "its elements cannot be read: it is damaged, or packed by a filter that is not installed";
    for (int64_t i = 0; s->out.dtype == TERN_BOOL && i < *bytes; i++)
        if (((unsigned char *)*data)[i] > 1) return "an element is neither false nor true";
    return NULL;
}

static bool send_set(reading *s, hid_t set, const char *name, int least_dims) {
    void *data = NULL;
    int64_t bytes = 0;
    const char *why = read_set(set, s, least_dims, &data, &bytes);
    if (why) return give_up(s, name, why);
    const bool ok = send_record(s, TENSOR, name, data, bytes);
    munmap(data, (size_t)bytes + 1);
    return ok;
}

/* ---- all that a file has ----------------------------------------------------------------------------------------- */

/* n texts of a fixed length, or pointers to them, one behind the other with a newline each. */
static char *join(const void *texts, bool pointers, size_t length, size_t n, size_t *bytes) {
    *bytes = 0;
    char *out = NULL;
    for (int pass = 0; pass < 2; pass++) {
        size_t at = 0;
        for (size_t i = 0; i < n; i++) {
            const char *text = pointers ? ((char *const *)texts)[i] : (const char *)texts + i * length;
            const size_t letters = text ? strnlen(text, length) : 0;
            if (out) memcpy(out + at, text ? text : "", letters), out[at + letters] = '\n';
            at += letters + 1;
        }
        *bytes = at;
        if (pass == 0 && (out = terni_h5_process_room(at + 1)) == NULL) break;
    }
    return out;
}

/* The library's copies of n texts of variable length. */
static void drop_texts(hid_t type, hid_t space, void *texts) {
#if H5_VERSION_GE(1, 12, 0)
    H5Treclaim(type, space, H5P_DEFAULT, texts);
#else
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, texts);
#endif
}

/* An attribute's n texts; NULL and why it has none. */
static const char *join_texts(hid_t a, hid_t type, hid_t space, size_t n, int64_t most, char **out, size_t *bytes) {
    const bool pointers = H5Tis_variable_str(type) > 0;
    const size_t length = pointers ? sizeof(char *) : H5Tget_size(type);
    if (length == 0 || length > WORD || (int64_t)length > most / (int64_t)n)
        return "its list of names is too large for the file";
    void *raw = terni_h5_process_room(n * length);
    const bool came = raw && H5Aread(a, type, raw) >= 0;
    if (came) *out = join(raw, pointers, pointers ? WORD : length, n, bytes);
    if (came && pointers) drop_texts(type, space, raw);
    if (raw) munmap(raw, n * length);
    if (!came) return "its list of names cannot be read";
    return *out && (int64_t)*bytes <= most ? NULL : "its list of names is too large for the file";
}

/* Likewise; what *out is goes back by munmap, of *bytes + 1. */
static const char *read_texts(hid_t a, int64_t most, char **out, size_t *bytes) {
    const hid_t type = H5Aget_type(a), space = H5Aget_space(a);
    const hssize_t n = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    const char *why = NULL;
    *out = NULL;
    *bytes = 0;
    if (type < 0 || n < 0 || n > MOST_RECORDS)
        why = "its list of names cannot be read";
    else if (n > 0 && H5Tget_class(type) != H5T_STRING) /* NumPy gives an empty list any type */
        why = "its list of names holds something besides texts";
    else if (n > 0)
        why = join_texts(a, type, space, (size_t)n, most, out, bytes);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    return why;
}

static bool send_list(reading *s, hid_t group, const char *attribute, const char *list) {
    char name[NAME + 128], *texts = NULL;
    size_t bytes;
    const hid_t a = H5Aopen(group, attribute, H5P_DEFAULT);
    const char *why = a < 0 ? "its list of names cannot be read" : read_texts(a, s->left, &texts, &bytes);
    if (a >= 0) H5Aclose(a);
    const int n = snprintf(name, sizeof name, "%s@%s", s->path, list);
    if (!why && (n < 0 || n >= NAME)) why = "its name is too long";
    if (!why && ++s->records > MOST_RECORDS) why = "the file has too many parts";
    if (why) return give_up(s, s->path, why);
    const bool ok = send_record(s, LIST, name, texts, (int64_t)bytes);
    if (texts) munmap(texts, bytes + 1);
    return ok;
}

static bool send_lists(reading *s, hid_t group) {
    char part[100];
    for (const char *const *l = s->r->lists; l && *l; l++) {
        if (H5Aexists(group, *l) > 0) {
            if (!send_list(s, group, *l, *l)) return false;
            continue;
        }
        for (int i = 0; snprintf(part, sizeof part, "%s%d", *l, i) > 0 && H5Aexists(group, part) > 0; i++)
            if (!send_list(s, group, part, *l)) return false;
    }
    return true;
}

static bool walk(reading *s, hid_t group);

static bool visit_object(reading *s, hid_t object) {
    const H5I_type_t type = object < 0 ? H5I_BADID : H5Iget_type(object);
    if (type == H5I_DATASET) return send_set(s, object, s->path, 0);
    if (type == H5I_GROUP) return walk(s, object);
    return type == H5I_DATATYPE ||
           give_up(s, s->path, "it cannot be opened: the file is damaged, or of a newer version");
}

static herr_t visit(hid_t group, const char *name, const H5L_info_t *info, void *arg) {
    reading *s = arg;
    const size_t n = strlen(s->path);
    if (snprintf(s->path + n, NAME - n, "%s%s", n ? "/" : "", name) >= (int)(NAME - n))
        return give_up(s, s->path, "its name is too long") ? 0 : -1;
    bool ok = true;
    if (!s->r->skip || !s->r->skip(s->path)) {
        if (++s->records > MOST_RECORDS)
            ok = give_up(s, s->path, "the file has too many parts");
        else if (info->type != H5L_TYPE_HARD)
            ok = give_up(s, s->path, "it is a link to elsewhere");
        else {
            const hid_t object = H5Oopen(group, name, H5P_DEFAULT);
            ok = visit_object(s, object);
            if (object >= 0) H5Oclose(object);
        }
    }
    s->path[n] = 0;
    return ok ? 0 : -1;
}

static bool walk(reading *s, hid_t group) {
    if (s->depth == MOST_DEPTH) return give_up(s, s->path, "groups lie in it too deep");
    if (!send_lists(s, group)) return false;
    hsize_t at = 0;
    s->depth++;
    const bool ok = H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, &at, visit, s) >= 0;
    s->depth--;
    if (!ok && s->out.kind != FAILED) give_up(s, s->path, "it cannot be read: the file is damaged");
    return ok;
}

/* Why a name gives no dataset. */
static const char *no_dataset(hid_t file, const char *name) {
    if (H5Lexists(file, name, H5P_DEFAULT) <= 0) return "has no dataset of this name";
    const hid_t object = H5Oopen(file, name, H5P_DEFAULT);
    if (object < 0) return "it cannot be opened: the file is damaged, or of a newer version than the HDF5 library";
    H5Oclose(object);
    return "has no dataset of this name";
}

static bool send_named(reading *s, hid_t file) {
    const hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    if (access >= 0) H5Pset_elink_cb(access, no_other_file, NULL);
    for (int i = 0; i < s->r->n_names; i++) {
        const hid_t set = access < 0 ? -1 : H5Dopen2(file, s->r->names[i], access);
        if (set < 0) return give_up(s, s->r->names[i], no_dataset(file, s->r->names[i]));
        if (!send_set(s, set, s->r->names[i], 1)) return false;
    }
    return true;
}

/* In the new process (h5_process.h says what it may call). Never comes back. */
static void serve(const terni_h5_request *r, const terni_h5_process *p) {
    reading s;
    memset(&s, 0, sizeof s);
    s.r = r;
    s.fd = p->fd;
    s.left = p->most;
    const hid_t file = H5Fopen(r->path, H5F_ACC_RDONLY, H5P_DEFAULT);
    const hid_t root = file < 0 || r->names ? -1 : H5Gopen2(file, "/", H5P_DEFAULT);
    bool ok = true;
    if (file < 0 || (!r->names && root < 0))
        ok = give_up(&s, r->names && r->n_names ? r->names[0] : "", "is no HDF5 file, or a damaged one");
    if (ok && (r->names ? send_named(&s, file) : walk(&s, root))) (void)send_record(&s, END, "", NULL, 0);
    terni_h5_process_end(p->fd);
}

/* ---- the program's side ------------------------------------------------------------------------------------------ */

/* Of what came, nothing is believed: the other process may have gone wrong in any way. */
static bool plausible(record *f, int64_t most) {
    f->name[sizeof f->name - 1] = f->why[sizeof f->why - 1] = 0;
    if (f->kind == END || f->kind == FAILED) return true;
    if (f->bytes < 0 || f->bytes > most || !f->name[0]) return false;
    if (f->kind == LIST) return true;
    int64_t n = f->kind == TENSOR ? (int64_t)tern_dtype_size(f->dtype) : 0;
    if (n == 0 || f->shape.ndim < 0 || f->shape.ndim > TERN_MAX_DIMS) return false;
    for (int i = 0; i < f->shape.ndim; i++)
        if (f->shape.dim[i] < 0 || __builtin_mul_overflow(n, f->shape.dim[i], &n) || n > most) return false;
    return n == f->bytes;
}

/* Behind what an earlier part of the list left. */
static bool take_list(terni_h5_process *h, const record *f, tern_archive *a) {
    const char *before = tern_archive_text(a, f->name);
    const size_t n = before ? strlen(before) : 0;
    char *text = terni_malloc(n + (size_t)f->bytes + 1);
    if (!text) return false;
    memcpy(text, before ? before : "", n);
    const bool came = terni_h5_process_receive(h, text + n, (size_t)f->bytes);
    text[n + (size_t)f->bytes] = 0;
    const bool ok = came && tern_archive_set_text(a, f->name, text);
    terni_mfree(text);
    return ok;
}

static bool are_bools(const record *f, const unsigned char *elements) {
    for (int64_t i = 0; f->dtype == TERN_BOOL && i < f->bytes; i++)
        if (elements[i] > 1) return false;
    return true;
}

static bool take_tensor(terni_h5_process *h, const record *f, tern_archive *a) {
    const int scope = tern_scope_push();
    tern_tensor *t = tern_empty(f->shape, (tern_options){.dtype = f->dtype});
    const bool ok = t && terni_h5_process_receive(h, tern_data(t), (size_t)f->bytes) && are_bools(f, tern_data(t)) &&
                    tern_archive_put(a, f->name, t);
    tern_scope_pop(scope);
    return ok;
}

/* All records up to the end, or to an error that was told or recorded; false without an error if no more came. */
static bool hear(terni_h5_process *h, tern_archive *a) {
    record f;
    int64_t left = h->most;
    for (int n = 0;; n++) {
        if (!terni_h5_process_receive(h, &f, sizeof f) || !plausible(&f, left)) return false;
        if (f.kind == END) return true;
        if (f.kind == FAILED)
            return terni_fail(TERN_ERR_FORMAT, "%s: %s%s%.200s: %s", h->what, h->path, f.name[0] ? ", " : "", f.name,
                              f.why);
        left -= f.bytes;
        if (n == MOST_RECORDS || !(f.kind == LIST ? take_list : take_tensor)(h, &f, a)) return false;
    }
}

tern_archive *terni_h5_read(const terni_h5_request *r) {
    struct stat st;
    if (!terni_file_usable(r->what, r->path) || terni_file_pickle(r->what, r->path, NULL, 0)) return NULL;
    if (stat(r->path, &st) != 0) return terni_null(TERN_ERR_IO, "%s: %s: %s", r->what, r->path, strerror(errno));
    tern_archive *a = tern_archive_new();
    terni_h5_process p = {.what = r->what, .path = r->path, .lack = TERN_ERR_IO, .late = TERN_ERR_FORMAT};
    p.seconds = r->seconds > 0 ? r->seconds : SECONDS;
    p.most = st.st_size > INT64_MAX / 2048 ? INT64_MAX : (int64_t)st.st_size * 1032; /* as deflate packs */
    bool ok = a && terni_h5_process_begin(&p);
    if (ok && p.pid == 0) serve(r, &p);
    ok = ok && terni_h5_process_finish(&p, hear(&p, a));
    if (ok) return a;
    tern_archive_free(a);
    return NULL;
}
