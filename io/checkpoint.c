/* Saving a checkpoint. HDF5 makes its outline in memory (h5_outline.c), and whole_file.c brings that and the tensors,
 * from where they lie, to the disk. Costs next to no memory. */
#include "tern/checkpoint.h"

#include "checkpoint_format.h"
#include "h5_outline.h"
#include "snapshot.h"

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

/* What becomes of a snapshot: its tensors' elements, by place in the file. */
typedef struct elements {
    terni_piece *pieces; /* room for all of the snapshot's tensors */
    size_t n;
} elements;

static bool put_tensor(hid_t at, const terni_snapshot_item *it, elements *e) {
    terni_piece p = {0, tern_data(it->tensor),
                     (size_t)tern_numel(it->tensor) * tern_dtype_size(tern_dtype_of(it->tensor))};
    if (!terni_h5_put_tensor(at, it->name, it->tensor, it->kind, &p.at)) return false;
    if (p.bytes > 0) e->pieces[e->n++] = p;
    return true;
}

static bool fill_group(hid_t at, const terni_snapshot *s, int group, elements *e) {
    bool ok = true;
    for (int i = 0; ok && i < s->n_attributes; i++)
        if ((int)s->attributes[i].group == group) ok = put_attribute(at, &s->attributes[i]);
    for (int i = 0; ok && i < s->n_items; i++)
        if ((int)s->items[i].group == group) ok = put_tensor(at, &s->items[i], e);
    return ok;
}

static bool fill(hid_t file, const terni_snapshot *s, elements *e) {
    bool ok = fill_group(file, s, TERNI_ROOT, e);
    for (int group = TERNI_MODEL; ok && group < TERNI_GROUPS; group++) {
        if (!s->has[group]) continue;
        const hid_t g = terni_h5_group(file, group_name[group]);
        ok = g >= 0 && fill_group(g, s, group, e);
        if (g >= 0) H5Gclose(g);
    }
    return ok && tern_ok();
}

static bool outline(const char *path, const terni_snapshot *s, terni_outline *o, elements *e) {
    const hid_t access = terni_outline_access(o), create = H5Pcreate(H5P_FILE_CREATE);
    const bool ready = access >= 0 && create >= 0 && H5Pset_obj_track_times(create, false) >= 0;
    const hid_t file = ready ? H5Fcreate("tern-checkpoint-in-memory", H5F_ACC_TRUNC, create, access) : -1;
    bool ok = file >= 0 && fill(file, s, e);
    if (!ok && tern_ok()) terni_h5_fail(TERN_ERR_IO, path, "the HDF5 file could not be made");
    if (file >= 0 && H5Fclose(file) < 0 && ok)
        ok = terni_h5_fail(TERN_ERR_IO, path, "the HDF5 file could not be closed");
    if (create >= 0) H5Pclose(create);
    if (access >= 0) H5Pclose(access);
    return ok;
}

bool terni_checkpoint_write(const char *path, const terni_snapshot *s) {
    terni_outline o = {0};
    elements e = {terni_malloc((size_t)s->n_items * sizeof *e.pieces), 0};
    if (!e.pieces) return false;
    size_t n = 0;
    terni_h5_enter();
    terni_piece *all = outline(path, s, &o, &e) ? terni_outline_pieces(&o, e.pieces, e.n, &n) : NULL;
    terni_h5_leave();
    const bool ok = all && terni_whole_file_write(path, all, n, o.end);
    terni_h5_enter();
    terni_outline_drop(&o);
    terni_h5_leave();
    terni_mfree(all);
    terni_mfree(e.pieces);
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
