/* Saving a checkpoint. The HDF5 file is made in memory, and whole_file.c brings it to the disk: HDF5 reports a full
 * disk late or never, and crashes at exit after one; write() tells at once. Costs the file's size in memory. */
#include "tern/checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "checkpoint_format.h"
#include "h5.h"
#include "whole_file.h"

/* average: that of which m is the module; NULL: m is the model. */
static bool save_model(hid_t file, const char *group, tern_module *m, const tern_average *average) {
    tern_named e;
    const hid_t g = terni_h5_group(file, group);
    bool ok = g >= 0 && (!average || terni_h5_put_i64(g, "count", tern_average_count(average)));
    for (int i = 0; ok && tern_module_each(m, i, &e); i++)
        ok = terni_h5_put_tensor(g, e.name, e.tensor, e.is_param ? "param" : "buffer");
    if (g >= 0) H5Gclose(g);
    return ok && tern_ok();
}

static bool save_optim(hid_t file, tern_optim *o) {
    tern_optim_state e;
    const hid_t g = terni_h5_group(file, "/optim");
    bool ok = g >= 0 && terni_h5_put_text(g, "type", tern_optim_type(o)) &&
              terni_h5_put_f64(g, "lr", tern_optim_lr(o)) && terni_h5_put_i64(g, "steps", tern_optim_steps(o)) &&
              terni_h5_put_i64(g, "groups", tern_optim_groups(o)) &&
              (!tern_optim_has_momentum(o) || terni_h5_put_f64(g, "momentum", tern_optim_momentum(o)));
    for (int i = 0; ok && tern_optim_each(o, i, &e); i++) ok = terni_h5_put_tensor(g, e.name, e.tensor, NULL);
    if (g >= 0) H5Gclose(g);
    return ok && tern_ok();
}

static bool save_schedule(hid_t file, const tern_schedule *s) {
    char name[TERNI_CHECKPOINT_NAME], full[sizeof name + 16];
    double value;
    for (int i = 0; tern_schedule_get(s, i, name, sizeof name, &value); i++) {
        snprintf(full, sizeof full, "schedule_%s", name);
        if (!terni_h5_put_f64(file, full, value)) return false;
    }
    return true;
}

static bool save_loader(hid_t file, const tern_loader *l) {
    const tern_loader_state s = tern_loader_tell(l);
    return terni_h5_put_u64(file, "loader_seed", s.seed) && terni_h5_put_i64(file, "loader_epoch", s.epoch) &&
           terni_h5_put_i64(file, "loader_batch", s.batch);
}

static bool save_random(hid_t file) {
    const tern_random r = tern_random_get();
    return terni_h5_put_u64(file, "random_seed", r.seed) && terni_h5_put_u64(file, "random_position", r.position);
}

static bool save_user(hid_t file, const tern_checkpoint *c) {
    for (int i = 0; i < c->n_user; i++) {
        char name[200];
        snprintf(name, sizeof name, "user_%s", c->user[i].name);
        const bool ok = c->user[i].text ? terni_h5_put_text(file, name, c->user[i].text)
                                        : terni_h5_put_f64(file, name, c->user[i].number);
        if (!ok) return false;
    }
    return true;
}

static bool fill(hid_t file, const tern_checkpoint *c) {
    return terni_h5_put_text(file, "tern_version", tern_version()) &&
           terni_h5_put_i64(file, "format", TERNI_CHECKPOINT_FORMAT) && terni_h5_put_i64(file, "epoch", c->epoch) &&
           terni_h5_put_i64(file, "step", c->step) && (c->no_random || save_random(file)) &&
           (!c->loader || save_loader(file, c->loader)) && (!c->schedule || save_schedule(file, c->schedule)) &&
           save_user(file, c) && (!c->model || save_model(file, "/model", c->model, NULL)) &&
           (!c->average || save_model(file, "/average", tern_average_module(c->average), c->average)) &&
           (!c->optim || save_optim(file, c->optim));
}

/* ---- the file in memory ---------------------------------------------------------------------------------------------
 * * HDF5's memory driver asks these for its buffer and, when the file is closed, gives it to us instead of freeing it.
 * (Its other way, H5Fget_file_image, leaves a wrong checksum in the superblock of the latest format.) */

typedef struct buffer {
    void *data; /* for terni_mfree, once the file is closed */
} buffer;

static void *image_malloc(size_t size, H5FD_file_image_op_t op, void *udata) {
    (void)op, (void)udata;
    return terni_malloc(size);
}
static void *image_memcpy(void *dst, const void *src, size_t size, H5FD_file_image_op_t op, void *udata) {
    (void)op, (void)udata;
    return memcpy(dst, src, size);
}
static void *image_realloc(void *p, size_t size, H5FD_file_image_op_t op, void *udata) {
    (void)op, (void)udata;
    return terni_resize(p, size);
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
static size_t expected_size(const tern_checkpoint *c) {
    tern_named e;
    tern_optim_state s;
    size_t bytes = 0, sets = 0;
    for (int i = 0; c->model && tern_module_each(c->model, i, &e); i++, sets++)
        bytes += (size_t)tern_numel(e.tensor) * tern_dtype_size(tern_dtype_of(e.tensor));
    for (int i = 0; c->average && tern_module_each(tern_average_module(c->average), i, &e); i++, sets++)
        bytes += (size_t)tern_numel(e.tensor) * tern_dtype_size(tern_dtype_of(e.tensor));
    for (int i = 0; c->optim && tern_optim_each(c->optim, i, &s); i++, sets++)
        bytes += (size_t)tern_numel(s.tensor) * tern_dtype_size(tern_dtype_of(s.tensor));
    return bytes + bytes / 64 + sets * 4096 + (1u << 18);
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
static void *build(const char *path, const tern_checkpoint *c, size_t *bytes) {
    buffer b = {NULL};
    const hid_t access = memory_access(&b, expected_size(c)), create = H5Pcreate(H5P_FILE_CREATE);
    const bool ready = access >= 0 && create >= 0 && H5Pset_obj_track_times(create, false) >= 0;
    const hid_t file = ready ? H5Fcreate("tern-checkpoint-in-memory", H5F_ACC_TRUNC, create, access) : -1;
    ssize_t size = -1;
    bool ok = file >= 0 && fill(file, c) && H5Fflush(file, H5F_SCOPE_LOCAL) >= 0 &&
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

bool tern_checkpoint_save(const char *path, const tern_checkpoint *c) {
    if (!terni_given(path, "checkpoint", "path") || !terni_given(c, "checkpoint", "checkpoint") ||
        !terni_checkpoint_names(c))
        return false;
    size_t bytes = 0;
    terni_h5_enter();
    void *p = build(path, c, &bytes);
    terni_h5_leave();
    const bool ok = p && terni_whole_file_write(path, p, bytes);
    terni_mfree(p);
    return ok;
}
