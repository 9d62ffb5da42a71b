/* Saving a checkpoint. The HDF5 file is made in memory, and whole_file.c brings it to the disk: HDF5 reports a full
 * disk late or never, and crashes at exit after one; write() tells at once. Costs the file's size in memory, twice. */
#include "tern/checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "checkpoint_format.h"
#include "h5.h"
#include "whole_file.h"

static bool save_model(hid_t file, tern_module *m) {
    tern_named e;
    const hid_t g = H5Gcreate2(file, "/model", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    bool ok = g >= 0;
    for (int i = 0; ok && tern_module_each(m, i, &e); i++)
        ok = terni_h5_put_tensor(g, e.name, e.tensor, e.is_param ? "param" : "buffer");
    if (g >= 0) H5Gclose(g);
    return ok && tern_ok();
}

static bool save_optim(hid_t file, tern_optim *o) {
    tern_optim_state e;
    const hid_t g = H5Gcreate2(file, "/optim", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    bool ok = g >= 0 && terni_h5_put_text(g, "type", tern_optim_type(o)) &&
              terni_h5_put_f64(g, "lr", tern_optim_lr(o)) && terni_h5_put_i64(g, "steps", tern_optim_steps(o)) &&
              terni_h5_put_i64(g, "groups", tern_optim_groups(o));
    for (int i = 0; ok && tern_optim_each(o, i, &e); i++) ok = terni_h5_put_tensor(g, e.name, e.tensor, NULL);
    if (g >= 0) H5Gclose(g);
    return ok && tern_ok();
}

static bool save_schedule(hid_t file, const tern_schedule *s) {
    return terni_h5_put_i64(file, "schedule_kind", s->kind) && terni_h5_put_f64(file, "schedule_lr", s->lr) &&
           terni_h5_put_f64(file, "schedule_min_lr", s->min_lr) &&
           terni_h5_put_i64(file, "schedule_warmup", s->warmup) && terni_h5_put_i64(file, "schedule_total", s->total) &&
           terni_h5_put_i64(file, "schedule_step_size", s->step_size) &&
           terni_h5_put_f64(file, "schedule_gamma", s->gamma);
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
           save_user(file, c) && (!c->model || save_model(file, c->model)) && (!c->optim || save_optim(file, c->optim));
}

/* The finished file's bytes, for terni_mfree. */
static void *image(hid_t file, size_t *bytes) {
    if (H5Fflush(file, H5F_SCOPE_LOCAL) < 0) return NULL;
    const ssize_t n = H5Fget_file_image(file, NULL, 0);
    void *p = n > 0 ? terni_malloc((size_t)n) : NULL;
    if (p && H5Fget_file_image(file, p, (size_t)n) != n) {
        terni_mfree(p);
        p = NULL;
    }
    *bytes = n > 0 ? (size_t)n : 0;
    return p;
}

static void *build(const char *path, const tern_checkpoint *c, size_t *bytes) {
    void *p = NULL;
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS), create = H5Pcreate(H5P_FILE_CREATE);
    const bool ok = access >= 0 && create >= 0 && H5Pset_fapl_core(access, 1 << 24, false) >= 0 &&
                    H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST) >= 0 &&
                    H5Pset_obj_track_times(create, false) >= 0;
    const hid_t file = ok ? H5Fcreate("tern-checkpoint-in-memory", H5F_ACC_TRUNC, create, access) : -1;
    if (file >= 0) {
        if (fill(file, c)) p = image(file, bytes);
        if (!p && tern_ok()) terni_h5_fail(TERN_ERR_IO, path, "the HDF5 file could not be made");
        H5Fclose(file);
    } else if (tern_ok()) {
        terni_h5_fail(TERN_ERR_IO, path, "the HDF5 library cannot make a file");
    }
    if (create >= 0) H5Pclose(create);
    if (access >= 0) H5Pclose(access);
    return p;
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
