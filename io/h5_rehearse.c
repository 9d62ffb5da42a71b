/* A process of its own goes over a whole HDF5 file in memory as the program is about to. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "h5.h"
#include "h5_child.h"
#include "h5_process.h"

enum { SECONDS = 60, MOST_DEPTH = 64, PER_SECOND = 20000000 };

/* What it came to. */
typedef struct outcome {
    bool ok;
    char name[200], why[100]; /* of what is wrong */
} outcome;

typedef struct going {
    uint64_t image; /* bytes */
    int64_t most;   /* bytes that one dataset may have */
    outcome out;
} going;

static bool wrong(going *g, const char *name, const char *why) {
    snprintf(g->out.name, sizeof g->out.name, "%s", name);
    snprintf(g->out.why, sizeof g->out.why, "%s", why);
    return false;
}

/* The type that the program would read it as; negative: it leaves it alone. */
static hid_t read_as(hid_t type) {
    const H5T_class_t class = H5Tget_class(type);
    if (class == H5T_FLOAT) return H5T_NATIVE_DOUBLE;
    if (class == H5T_INTEGER) return H5Tget_sign(type) == H5T_SGN_NONE ? H5T_NATIVE_UINT64 : H5T_NATIVE_INT64;
    return class == H5T_STRING && H5Tis_variable_str(type) == 0 ? type : -1;
}

/* One element's worth; lists and the like are nothing that a checkpoint's reader reads. */
static bool read_attribute(hid_t a, hid_t type, hid_t space) {
    const hid_t memory = H5Sget_simple_extent_npoints(space) == 1 ? read_as(type) : -1;
    const size_t bytes = memory < 0 ? 0 : H5Tget_size(memory);
    if (bytes == 0 || bytes > TERNI_H5_TEXT) return true;
    void *room = terni_h5_process_room(bytes);
    const bool ok = room && H5Aread(a, memory, room) >= 0;
    if (room) munmap(room, bytes);
    return ok;
}

/* By its name, as the program opens it. */
static herr_t attribute(hid_t object, const char *name, const H5A_info_t *info, void *arg) {
    (void)info, (void)arg;
    const hid_t a = H5Aexists(object, name) > 0 ? H5Aopen(object, name, H5P_DEFAULT) : -1;
    const hid_t type = a < 0 ? -1 : H5Aget_type(a), space = a < 0 ? -1 : H5Aget_space(a);
    const bool ok = type >= 0 && space >= 0 && read_attribute(a, type, space);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (a >= 0) H5Aclose(a);
    return ok ? 0 : -1;
}

/* Elements as they are in the file, unpacked if they are packed. What stands in one piece of the image is not read:
 * that is a copy of bytes that are there. */
static const char *read_elements(going *g, hid_t set, hid_t type, hid_t space) {
    const hssize_t n = H5Sget_simple_extent_npoints(space);
    const H5T_class_t class = H5Tget_class(type);
    int64_t bytes;
    if (n < 0) return "its size cannot be read";
    if (n == 0 || (class != H5T_FLOAT && class != H5T_INTEGER)) return NULL; /* nothing that is ever read */
    if (__builtin_mul_overflow((int64_t)n, (int64_t)H5Tget_size(type), &bytes) || bytes > g->most)
        return "it says that it is larger than a file of its size can hold";
    uint64_t place;
    if (terni_h5_place(set, (size_t)bytes, &place) && place <= g->image && (uint64_t)bytes <= g->image - place)
        return NULL;
    void *room = terni_h5_process_room((size_t)bytes);
    if (!room) return "there is no memory to try it";
    const bool ok = H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, room) >= 0;
    munmap(room, (size_t)bytes);
    return ok ? NULL : "its elements cannot be read";
}

static const char *data(going *g, hid_t set) {
    const hid_t type = H5Dget_type(set), space = H5Dget_space(set), plan = H5Dget_create_plist(set);
    const char *why = NULL;
    hsize_t dim[H5S_MAX_RANK];
    if (type < 0 || space < 0 || plan < 0 || H5Sget_simple_extent_dims(space, dim, NULL) < 0)
        why = "its type or shape cannot be read";
    else if (H5Pget_external_count(plan) != 0 || H5Pget_layout(plan) == H5D_VIRTUAL)
        why = "its elements are in another file";
    else
        why = read_elements(g, set, type, space);
    if (plan >= 0) H5Pclose(plan);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    return why;
}

static const char *object_of(going *g, hid_t object) {
    hsize_t at = 0;
    if (object < 0) return "it cannot be opened";
    if (H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, &at, attribute, NULL) < 0)
        return "its attributes cannot be read";
    return H5Iget_type(object) == H5I_DATASET ? data(g, object) : NULL;
}

static herr_t visit(hid_t root, const char *name, const H5L_info_t *info, void *arg) {
    going *g = arg;
    int depth = 0;
    for (const char *p = name; *p; p++) depth += *p == '/';
    if (depth > MOST_DEPTH) return wrong(g, name, "groups lie in it too deep") ? 0 : -1;
    if (info->type != H5L_TYPE_HARD) return wrong(g, name, "it is a link to elsewhere") ? 0 : -1;
    const hid_t object = H5Oopen(root, name, H5P_DEFAULT);
    const char *why = object_of(g, object);
    if (object >= 0) H5Oclose(object);
    return !why || wrong(g, name, why) ? 0 : -1;
}

static void go(void *image, const terni_h5_process *p, size_t bytes) {
    going g = {.image = bytes, .most = p->most};
    const hid_t file = terni_h5_open_image(image, bytes), root = file < 0 ? -1 : H5Gopen2(file, "/", H5P_DEFAULT);
    const char *why = root < 0 ? "not readable as HDF5" : object_of(&g, root);
    if (why)
        wrong(&g, "", why);
    else
        g.out.ok = H5Lvisit(root, H5_INDEX_NAME, H5_ITER_INC, visit, &g) >= 0;
    if (!g.out.ok && !g.out.why[0]) wrong(&g, "", "its groups cannot be read");
    (void)terni_h5_process_send(p->fd, &g.out, sizeof g.out);
    terni_h5_process_end(p->fd);
}

bool terni_h5_rehearse(const char *what, const char *path, void *image, size_t bytes) {
#ifdef TERNI_SANITIZED
    /* A sanitizer's malloc may stay locked in a process that is forked while other threads run; the C library's does
     * not. Such a build finds what crashes by crashing. */
    (void)what, (void)path, (void)image, (void)bytes, (void)go;
    return true;
#else
    terni_h5_process p = {.what = what, .path = path, .lack = TERN_ERR_MEMORY, .late = TERN_ERR_MEMORY};
    p.seconds = SECONDS + (bytes < (size_t)INT32_MAX * 1000 ? (int)(bytes / PER_SECOND) : INT32_MAX / 100);
    p.most = bytes > INT64_MAX / 2048 ? INT64_MAX : (int64_t)bytes * 1032; /* as deflate packs */
    if (!terni_h5_process_begin(&p)) return false;
    if (p.pid == 0) go(image, &p, bytes);
    outcome o;
    const bool came = terni_h5_process_receive(&p, &o, sizeof o);
    if (!terni_h5_process_finish(&p, came)) return false;
    if (o.ok) return true;
    o.name[sizeof o.name - 1] = o.why[sizeof o.why - 1] = 0;
    return terni_fail(TERN_ERR_FORMAT, "%s: %s: %s%s%s", what, path, o.name, o.name[0] ? ": " : "", o.why);
#endif
}
