#include "h5.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static H5E_auto2_t was_print;
static void *was_arg;

void terni_h5_enter(void) {
    pthread_mutex_lock(&lock);
    H5Eget_auto2(H5E_DEFAULT, &was_print, &was_arg);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void terni_h5_leave(void) {
    H5Eset_auto2(H5E_DEFAULT, was_print, was_arg);
    pthread_mutex_unlock(&lock);
}

static herr_t innermost(unsigned n, const H5E_error2_t *e, void *arg) {
    if (n == 0 && e->desc) snprintf(arg, 200, "%s", e->desc);
    return 0;
}

bool terni_h5_fail(tern_code code, const char *path, const char *what) {
    char why[200] = "";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, why);
    return terni_fail(code, "checkpoint: %s: %s%s%s", path, what, why[0] ? ": " : "", why);
}

/* ---- files in memory --------------------------------------------------------------------------------------------- */

/* HDF5 copies an image three times on its way to the driver. It only reads this one, so every copy is the image. */
static void *share(size_t size, H5FD_file_image_op_t op, void *udata) {
    (void)size, (void)op;
    return udata;
}
static void *share_memcpy(void *dst, const void *src, size_t size, H5FD_file_image_op_t op, void *udata) {
    (void)size, (void)op, (void)udata;
    return dst == src ? dst : NULL;
}
static void *share_realloc(void *p, size_t size, H5FD_file_image_op_t op, void *udata) {
    (void)p, (void)size, (void)op, (void)udata;
    return NULL;
}
static herr_t share_free(void *p, H5FD_file_image_op_t op, void *udata) {
    (void)p, (void)op, (void)udata;
    return 0;
}
static void *same_udata(void *udata) { return udata; }
static herr_t keep_udata(void *udata) {
    (void)udata;
    return 0;
}

hid_t terni_h5_open_image(void *data, size_t bytes) {
    H5FD_file_image_callbacks_t calls = {share, share_memcpy, share_realloc, share_free, same_udata, keep_udata, data};
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    const bool ready = access >= 0 && H5Pset_fapl_core(access, 1 << 20, false) >= 0 &&
                       H5Pset_file_image_callbacks(access, &calls) >= 0 && H5Pset_file_image(access, data, bytes) >= 0;
    const hid_t file = ready ? H5Fopen("tern-checkpoint-in-memory", H5F_ACC_RDONLY, access) : -1;
    if (access >= 0) H5Pclose(access);
    return file;
}

/* ---- types
 * ------------------------------------------------------------------------------------------------------------------ */

static hid_t half_type(void) {
    const hid_t t = H5Tcopy(H5T_IEEE_F32LE);
    if (t < 0) return t;
    if (H5Tset_fields(t, 15, 10, 5, 0, 10) < 0 || H5Tset_size(t, 2) < 0 || H5Tset_ebias(t, 15) < 0) {
        H5Tclose(t);
        return -1;
    }
    return t;
}

hid_t terni_h5_type(tern_dtype dtype) {
    switch (dtype) {
        case TERN_F32:
            return H5Tcopy(H5T_IEEE_F32LE);
        case TERN_F64:
            return H5Tcopy(H5T_IEEE_F64LE);
        case TERN_F16:
            return half_type();
        case TERN_BF16:
            return H5Tcopy(H5T_STD_U16LE);
        case TERN_I64:
            return H5Tcopy(H5T_STD_I64LE);
        case TERN_I32:
            return H5Tcopy(H5T_STD_I32LE);
        default:
            return H5Tcopy(H5T_STD_U8LE);
    }
}

static bool same_type(hid_t t, tern_dtype dtype) {
    const hid_t want = terni_h5_type(dtype);
    const bool same = want >= 0 && H5Tequal(t, want) > 0;
    if (want >= 0) H5Tclose(want);
    return same;
}

bool terni_h5_dtype(hid_t dataset, tern_dtype *out) {
    const hid_t t = H5Dget_type(dataset);
    if (t < 0) return false;
    char *marked = terni_h5_get_text(dataset, "dtype"); /* bf16 and bool have no type of their own */
    bool found = false;
    for (int d = 0; d < TERN_DTYPE_COUNT && !found; d++) {
        const bool needs_mark = d == TERN_BF16 || d == TERN_BOOL;
        const bool has_mark = marked && strcmp(marked, tern_dtype_name((tern_dtype)d)) == 0;
        if ((needs_mark ? !has_mark : marked != NULL) || !same_type(t, (tern_dtype)d)) continue;
        *out = (tern_dtype)d;
        found = true;
    }
    terni_mfree(marked);
    H5Tclose(t);
    return found;
}

/* ---- attributes
 * ------------------------------------------------------------------------------------------------------------- */

static bool put(hid_t at, const char *name, hid_t type, const void *data) {
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t a = space < 0 ? -1 : H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    const bool ok = a >= 0 && H5Awrite(a, type, data) >= 0;
    if (a >= 0) H5Aclose(a);
    if (space >= 0) H5Sclose(space);
    return ok;
}

bool terni_h5_put_i64(hid_t at, const char *name, int64_t v) { return put(at, name, H5T_NATIVE_INT64, &v); }
bool terni_h5_put_u64(hid_t at, const char *name, uint64_t v) { return put(at, name, H5T_NATIVE_UINT64, &v); }
bool terni_h5_put_f64(hid_t at, const char *name, double v) { return put(at, name, H5T_NATIVE_DOUBLE, &v); }

bool terni_h5_put_text(hid_t at, const char *name, const char *text) {
    const hid_t t = H5Tcopy(H5T_C_S1);
    const size_t n = strlen(text);
    const bool ok = t >= 0 && H5Tset_size(t, n ? n : 1) >= 0 && H5Tset_strpad(t, H5T_STR_NULLPAD) >= 0 &&
                    H5Tset_cset(t, H5T_CSET_UTF8) >= 0 && put(at, name, t, text);
    if (t >= 0) H5Tclose(t);
    return ok;
}

/* One element of the class, converted to `memory`. */
static bool get(hid_t at, const char *name, H5T_class_t class, hid_t memory, void *out) {
    if (H5Aexists(at, name) <= 0) return false;
    const hid_t a = H5Aopen(at, name, H5P_DEFAULT);
    if (a < 0) return false;
    const hid_t t = H5Aget_type(a), s = H5Aget_space(a);
    const bool ok = t >= 0 && s >= 0 && H5Tget_class(t) == class && H5Sget_simple_extent_npoints(s) == 1 &&
                    H5Aread(a, memory, out) >= 0;
    if (s >= 0) H5Sclose(s);
    if (t >= 0) H5Tclose(t);
    H5Aclose(a);
    return ok;
}

bool terni_h5_get_i64(hid_t at, const char *name, int64_t *v) {
    return get(at, name, H5T_INTEGER, H5T_NATIVE_INT64, v);
}
bool terni_h5_get_u64(hid_t at, const char *name, uint64_t *v) {
    return get(at, name, H5T_INTEGER, H5T_NATIVE_UINT64, v);
}
bool terni_h5_get_f64(hid_t at, const char *name, double *v) { return get(at, name, H5T_FLOAT, H5T_NATIVE_DOUBLE, v); }

char *terni_h5_get_text(hid_t at, const char *name) {
    if (H5Aexists(at, name) <= 0) return NULL;
    const hid_t a = H5Aopen(at, name, H5P_DEFAULT);
    if (a < 0) return NULL;
    const hid_t t = H5Aget_type(a), s = H5Aget_space(a);
    char *text = NULL;
    if (t >= 0 && s >= 0 && H5Tget_class(t) == H5T_STRING && H5Tis_variable_str(t) == 0 &&
        H5Sget_simple_extent_npoints(s) == 1) {
        const size_t n = H5Tget_size(t);
        text = n <= TERNI_H5_TEXT ? terni_malloc(n + 1) : NULL;
        if (text) {
            memset(text, 0, n + 1);
            if (H5Aread(a, t, text) < 0) {
                terni_mfree(text);
                text = NULL;
            }
        }
    }
    if (s >= 0) H5Sclose(s);
    if (t >= 0) H5Tclose(t);
    H5Aclose(a);
    return text;
}

/* ---- tensors
 * --------------------------------------------------------------------------------------------------------------------
 */

hid_t terni_h5_group(hid_t at, const char *name) {
    const hid_t plist = H5Pcreate(H5P_GROUP_CREATE);
    hid_t g = -1;
    if (plist >= 0 && H5Pset_obj_track_times(plist, false) >= 0)
        g = H5Gcreate2(at, name, H5P_DEFAULT, plist, H5P_DEFAULT);
    if (plist >= 0) H5Pclose(plist);
    return g;
}

/* Makes the groups that a dataset's name goes through. */
static bool make_groups(hid_t at, const char *name) {
    char group[512];
    for (const char *end = strchr(name, '/'); end; end = strchr(end + 1, '/')) {
        const int n = snprintf(group, sizeof group, "%.*s", (int)(end - name), name);
        if (n < 0 || n >= (int)sizeof group) return false;
        if (H5Lexists(at, group, H5P_DEFAULT) > 0) continue;
        const hid_t g = terni_h5_group(at, group);
        if (g < 0) return false;
        H5Gclose(g);
    }
    return true;
}

/* Contiguous, with its place at once and nothing written there. */
static hid_t dataset_plan(void) {
    const hid_t plan = H5Pcreate(H5P_DATASET_CREATE);
    if (plan >= 0 && H5Pset_obj_track_times(plan, false) >= 0 && H5Pset_layout(plan, H5D_CONTIGUOUS) >= 0 &&
        H5Pset_alloc_time(plan, H5D_ALLOC_TIME_EARLY) >= 0 && H5Pset_fill_time(plan, H5D_FILL_TIME_NEVER) >= 0)
        return plan;
    if (plan >= 0) H5Pclose(plan);
    return -1;
}

bool terni_h5_put_tensor(hid_t at, const char *name, tern_tensor *t, const char *kind, uint64_t *place) {
    hsize_t dims[TERN_MAX_DIMS];
    const tern_dtype dtype = tern_dtype_of(t);
    const int ndim = tern_ndim(t);
    for (int i = 0; i < ndim; i++) dims[i] = (hsize_t)tern_size(t, i);
    const hid_t type = terni_h5_type(dtype), plan = dataset_plan();
    const hid_t space = ndim ? H5Screate_simple(ndim, dims, NULL) : H5Screate(H5S_SCALAR);
    const hid_t set = type >= 0 && plan >= 0 && space >= 0 && make_groups(at, name)
                          ? H5Dcreate2(at, name, type, space, H5P_DEFAULT, plan, H5P_DEFAULT)
                          : -1;
    bool ok = set >= 0;
    if (ok && tern_numel(t) > 0) ok = (*place = H5Dget_offset(set)) != HADDR_UNDEF;
    if (ok && kind) ok = terni_h5_put_text(set, "kind", kind);
    if (ok && (dtype == TERN_BF16 || dtype == TERN_BOOL)) ok = terni_h5_put_text(set, "dtype", tern_dtype_name(dtype));
    if (set >= 0) ok = H5Dclose(set) >= 0 && ok;
    if (space >= 0) H5Sclose(space);
    if (plan >= 0) H5Pclose(plan);
    if (type >= 0) H5Tclose(type);
    return ok;
}

bool terni_h5_place(hid_t dataset, size_t bytes, uint64_t *place) {
    const hid_t plan = H5Dget_create_plist(dataset);
    const bool whole = plan >= 0 && H5Pget_layout(plan) == H5D_CONTIGUOUS && H5Pget_external_count(plan) == 0 &&
                       H5Dget_storage_size(dataset) == bytes && (*place = H5Dget_offset(dataset)) != HADDR_UNDEF;
    if (plan >= 0) H5Pclose(plan);
    return whole;
}

bool terni_h5_look(hid_t dataset, tern_shape *shape, tern_dtype *dtype) {
    hsize_t dims[TERN_MAX_DIMS];
    const hid_t space = H5Dget_space(dataset);
    if (space < 0) return false;
    const int ndim = H5Sget_simple_extent_ndims(space);
    bool ok = ndim >= 0 && ndim <= TERN_MAX_DIMS && H5Sget_simple_extent_dims(space, dims, NULL) >= 0;
    shape->ndim = ok ? ndim : 0;
    for (int i = 0; ok && i < ndim; i++) {
        ok = dims[i] <= INT64_MAX;
        shape->dim[i] = (int64_t)dims[i];
    }
    H5Sclose(space);
    return ok && terni_h5_dtype(dataset, dtype);
}
