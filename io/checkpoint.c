/* Saving a checkpoint. The HDF5 file is made in memory, and whole_file.c brings it to the disk: HDF5 reports a full
 * disk late or never, and crashes at exit after one; write() tells at once. Costs the file's size in memory. */
#include "tern/checkpoint.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "checkpoint_format.h"
#include "h5.h"
#include "snapshot.h"
#include "whole_file.h"

static const char *const group_name[TERNI_GROUPS] = {"/", "/model", "/average", "/optim"};

static bool put_attribute(hid_t at, const terni_attribute *a) {
    switch (a->type) {
        case TERNI_TEXT:
            return terni_h5_put_text(at, a->name, a->text);
        case TERNI_I64:
            return terni_h5_put_i64(at, a->name, a->i64);
        case TERNI_U64:
            return terni_h5_put_u64(at, a->name, a->u64);
        default:
            return terni_h5_put_f64(at, a->name, a->f64);
    }
}

static bool fill_group(hid_t at, const terni_snapshot *s, int group) {
    bool ok = true;
    for (int i = 0; ok && i < s->n_attributes; i++)
        if ((int)s->attributes[i].group == group) ok = put_attribute(at, &s->attributes[i]);
    for (int i = 0; ok && i < s->n_items; i++) {
        const terni_snapshot_item *it = &s->items[i];
        if ((int)it->group == group) ok = terni_h5_put_tensor(at, it->name, it->tensor, it->kind);
    }
    return ok;
}

static bool fill(hid_t file, const terni_snapshot *s) {
    bool ok = fill_group(file, s, TERNI_ROOT);
    for (int group = TERNI_MODEL; ok && group < TERNI_GROUPS; group++) {
        if (!s->has[group]) continue;
        const hid_t g = terni_h5_group(file, group_name[group]);
        ok = g >= 0 && fill_group(g, s, group);
        if (g >= 0) H5Gclose(g);
    }
    return ok && tern_ok();
}

/* ---- the file in memory ---------------------------------------------------------------------------------------------
 * * HDF5's memory driver asks these for its buffer and, when the file is closed, gives it to us instead of freeing it.
 * (Its other way, H5Fget_file_image, leaves a wrong checksum in the superblock of the latest format.) */

typedef struct buffer {
    void *data; /* for terni_mfree, once the file is closed */
} buffer;

/* Asks for large pages: the first touch of small ones costs more than the rest of the work. */
static void *large(void *p, size_t size) {
#ifdef MADV_HUGEPAGE
    const uintptr_t page = 1u << 21, from = ((uintptr_t)p + page - 1) / page * page,
                    to = ((uintptr_t)p + size) / page * page;
    if (p && to > from) (void)madvise((void *)from, to - from, MADV_HUGEPAGE);
#endif
    return p;
}

static void *image_malloc(size_t size, H5FD_file_image_op_t op, void *udata) {
    (void)op, (void)udata;
    return large(terni_malloc(size), size);
}
static void *image_memcpy(void *dst, const void *src, size_t size, H5FD_file_image_op_t op, void *udata) {
    (void)op, (void)udata;
    return memcpy(dst, src, size);
}
static void *image_realloc(void *p, size_t size, H5FD_file_image_op_t op, void *udata) {
    (void)op, (void)udata;
    return large(terni_resize(p, size), size);
}
static herr_t image_free(void *p, H5FD_file_image_op_t op, void *udata) {
    buffer *b = udata;
    if (op == H5FD_FILE_IMAGE_OP_FILE_CLOSE && !b->data)
        b->data = p;
    else
        terni_mfree(p);
    return 0;
}
static void *same_udata(void *udata) { return udata; }
static herr_t keep_udata(void *udata) {
    (void)udata;
    return 0;
}

/* About the file's size. The driver enlarges its buffer by this much at a time, each time with a copy. */
static size_t expected_size(const terni_snapshot *s) {
    const size_t bytes = terni_snapshot_bytes(s);
    return bytes + bytes / 64 + (size_t)s->n_items * 4096 + (1u << 18);
}

static hid_t memory_access(buffer *b, size_t step) {
    H5FD_file_image_callbacks_t calls = {
        image_malloc, image_memcpy, image_realloc, image_free, same_udata, keep_udata, b};
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access >= 0 && H5Pset_fapl_core(access, step, false) >= 0 &&
        H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST) >= 0 &&
        H5Pset_file_image_callbacks(access, &calls) >= 0)
        return access;
    if (access >= 0) H5Pclose(access);
    return -1;
}

/* The finished file's bytes, for terni_mfree. */
static void *build(const char *path, const terni_snapshot *s, size_t *bytes) {
    buffer b = {NULL};
    const hid_t access = memory_access(&b, expected_size(s)), create = H5Pcreate(H5P_FILE_CREATE);
    const bool ready = access >= 0 && create >= 0 && H5Pset_obj_track_times(create, false) >= 0;
    const hid_t file = ready ? H5Fcreate("tern-checkpoint-in-memory", H5F_ACC_TRUNC, create, access) : -1;
    ssize_t size = -1;
    bool ok = file >= 0 && fill(file, s) && H5Fflush(file, H5F_SCOPE_LOCAL) >= 0 &&
              (size = H5Fget_file_image(file, NULL, 0)) > 0;
    if (!ok && tern_ok()) terni_h5_fail(TERN_ERR_IO, path, "the HDF5 file could not be made");
    if (file >= 0 && H5Fclose(file) < 0 && ok)
        ok = terni_h5_fail(TERN_ERR_IO, path, "the HDF5 file could not be closed");
    if (create >= 0) H5Pclose(create);
    if (access >= 0) H5Pclose(access);
    if (!ok || !b.data) {
        terni_mfree(b.data);
        return NULL;
    }
    *bytes = (size_t)size;
    return b.data;
}

bool terni_checkpoint_write(const char *path, const terni_snapshot *s) {
    size_t bytes = 0;
    terni_h5_enter();
    void *p = build(path, s, &bytes);
    terni_h5_leave();
    const bool ok = p && terni_whole_file_write(path, p, bytes);
    terni_mfree(p);
    return ok;
}

bool tern_checkpoint_save(const char *path, const tern_checkpoint *c) {
    if (!terni_given(path, "checkpoint", "path") || !terni_given(c, "checkpoint", "checkpoint") ||
        !terni_checkpoint_names(c))
        return false;
    terni_snapshot s = {0};
    const bool ok = terni_snapshot_take(&s, c, TERNI_SNAPSHOT_OWN) && terni_checkpoint_write(path, &s);
    terni_snapshot_drop(&s);
    return ok;
}
