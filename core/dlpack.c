/* DLPack: the standard's structs, and tensors to and from them. */
#include "tern/dlpack.h"

#include "internal.h"

/* ---- the standard's layout (dlpack.h, version 1.0) -----------------------------------------------------------------
 */

enum { DL_CPU = 1, DL_CUDA = 2, DL_CUDA_HOST = 3, DL_CUDA_MANAGED = 13 };
enum { DL_INT = 0, DL_UINT = 1, DL_FLOAT = 2, DL_BFLOAT = 4, DL_BOOL = 6 };
enum { DL_MAJOR = 1, DL_READ_ONLY = 1, DL_PADDED = 4 };

typedef struct dl_tensor {
    void *data;
    struct {
        int32_t type, index;
    } device;
    int32_t ndim;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } dtype;
    int64_t *shape, *strides; /* strides NULL: row-major */
    uint64_t byte_offset;
} dl_tensor;

struct DLManagedTensor {
    dl_tensor t;
    void *context;
    void (*deleter)(struct DLManagedTensor *self);
};

struct DLManagedTensorVersioned {
    struct {
        uint32_t major, minor;
    } version;
    void *context;
    void (*deleter)(struct DLManagedTensorVersioned *self);
    uint64_t flags;
    dl_tensor t;
};

static const struct {
    uint8_t code, bits;
} elements[TERN_DTYPE_COUNT] = {[TERN_F64] = {DL_FLOAT, 64},   [TERN_F32] = {DL_FLOAT, 32}, [TERN_F16] = {DL_FLOAT, 16},
                                [TERN_BF16] = {DL_BFLOAT, 16}, [TERN_I64] = {DL_INT, 64},   [TERN_I32] = {DL_INT, 32},
                                [TERN_U8] = {DL_UINT, 8},      [TERN_BOOL] = {DL_BOOL, 8}};

/* ---- out --------------------------------------------------------------------------------------------------------- */

typedef struct lent {
    struct DLManagedTensorVersioned versioned;
    struct DLManagedTensor plain;
    int64_t shape[TERN_MAX_DIMS], strides[TERN_MAX_DIMS];
    tern_tensor *tensor;
} lent;

static void give_back(lent *l) {
    tern_release(l->tensor);
    terni_mfree(l);
}
static void versioned_deleter(struct DLManagedTensorVersioned *self) { give_back(self->context); }
static void plain_deleter(struct DLManagedTensor *self) { give_back(self->context); }

static lent *lend(tern_tensor *t, dl_tensor **place, bool versioned) {
    if (!terni_given(t, "dlpack_export", "t")) return NULL;
    if (terni_wants(t))
        return terni_null(TERN_ERR_AUTOGRAD,
                          "dlpack_export: %s has a history or requires gradients; export tern_detach of it",
                          terni_describe(t));
    lent *l = terni_malloc(sizeof *l); /* not terni_alloc, whose free lists are the thread's */
    if (!l) return NULL;
    *l = (lent){.tensor = tern_keep(t)};
    dl_tensor *d = versioned ? &l->versioned.t : &l->plain.t;
    for (int i = 0; i < t->v.ndim; i++) {
        l->shape[i] = t->v.shape[i];
        l->strides[i] = t->v.strides[i];
    }
    d->data = t->v.data;
    d->device.type = t->device.type == TERN_CPU ? DL_CPU : DL_CUDA;
    d->device.index = t->device.index;
    d->ndim = t->v.ndim;
    d->dtype.code = elements[t->v.dtype].code;
    d->dtype.bits = elements[t->v.dtype].bits;
    d->dtype.lanes = 1;
    d->shape = l->shape;
    d->strides = l->strides;
    *place = d;
    return l;
}

struct DLManagedTensorVersioned *tern_dlpack_export(tern_tensor *t) {
    dl_tensor *d;
    lent *l = lend(t, &d, true);
    if (!l) return NULL;
    l->versioned.version.major = DL_MAJOR;
    l->versioned.context = l;
    l->versioned.deleter = versioned_deleter;
    return &l->versioned;
}

struct DLManagedTensor *tern_dlpack_export_unversioned(tern_tensor *t) {
    dl_tensor *d;
    lent *l = lend(t, &d, false);
    if (!l) return NULL;
    l->plain.context = l;
    l->plain.deleter = plain_deleter;
    return &l->plain;
}

/* ---- in ---------------------------------------------------------------------------------------------------------- */

static bool dtype_of(const dl_tensor *d, tern_dtype *out) {
    for (int i = 0; i < TERN_DTYPE_COUNT; i++)
        if (elements[i].code == d->dtype.code && elements[i].bits == d->dtype.bits && d->dtype.lanes == 1) {
            *out = (tern_dtype)i;
            return true;
        }
    return terni_fail(TERN_ERR_DTYPE, "dlpack_import: elements of code %d, %d bits, %d lanes; Tern has none such",
                      d->dtype.code, d->dtype.bits, d->dtype.lanes);
}

static bool device_of(const dl_tensor *d, tern_device *out) {
    const bool cpu = d->device.type == DL_CPU || d->device.type == DL_CUDA_HOST;
    if (!cpu && d->device.type != DL_CUDA && d->device.type != DL_CUDA_MANAGED)
        return terni_fail(TERN_ERR_DEVICE, "dlpack_import: memory of a device of type %d; expected 1 (CPU) or 2 (CUDA)",
                          d->device.type);
    *out = cpu ? tern_cpu() : tern_cuda(d->device.index);
    return cpu || terni_backend_of(*out) != NULL;
}

static bool layout_of(const dl_tensor *d, tern_shape *shape, int64_t *strides) {
    if (d->ndim < 0 || d->ndim > TERN_MAX_DIMS)
        return terni_fail(TERN_ERR_SHAPE, "dlpack_import: %d dimensions; Tern has %d at most", d->ndim, TERN_MAX_DIMS);
    shape->ndim = d->ndim;
    int64_t dense = 1;
    for (int i = d->ndim - 1; i >= 0; i--) {
        shape->dim[i] = d->shape[i];
        strides[i] = d->strides ? d->strides[i] : dense;
        if (strides[i] < 0 && d->shape[i] > 1)
            return terni_fail(TERN_ERR_SHAPE, "dlpack_import: dimension %d has stride %lld; Tern has no negative ones",
                              i, (long long)strides[i]);
        if (strides[i] < 0) strides[i] = 0;
        int64_t reach;
        if (!terni_mul_i64(dense, d->shape[i] > 0 ? d->shape[i] : 1, &dense) ||
            !terni_mul_i64(d->shape[i], strides[i], &reach) || reach > INT64_MAX / 64)
            return terni_fail(TERN_ERR_SHAPE, "dlpack_import: dimension %d reaches beyond any memory", i);
    }
    return true;
}

static tern_tensor *take(const dl_tensor *d, void (*drop)(void *user), void *user) {
    tern_dtype dtype = TERN_F32;
    tern_device device;
    tern_shape shape = {0};
    int64_t strides[TERN_MAX_DIMS];
    if (!dtype_of(d, &dtype) || !device_of(d, &device) || !layout_of(d, &shape, strides) ||
        !terni_shape_check("dlpack_import", &shape, dtype))
        return NULL;
    char *data = d->data ? (char *)d->data + d->byte_offset : NULL;
    if (!data && terni_shape_numel(&shape) > 0)
        return terni_null(TERN_ERR_ARGUMENT, "dlpack_import: the memory's address is NULL");
    if ((uintptr_t)data % tern_dtype_size(dtype))
        return terni_null(TERN_ERR_ARGUMENT, "dlpack_import: the memory is not aligned to its elements");
    return terni_wrap(data, shape, strides, dtype, device, drop, user);
}

static tern_tensor *copy_of(const dl_tensor *d) {
    const int scope = tern_scope_push();
    tern_tensor *t = take(d, NULL, NULL), *c = t ? tern_clone(t) : NULL;
    if (c && !tern_sync(tern_device_of(c))) c = NULL; /* the memory may go when this returns */
    return tern_scope_return(scope, c);
}

static void drop_versioned(void *user) {
    struct DLManagedTensorVersioned *m = user;
    if (m->deleter) m->deleter(m);
}
static void drop_plain(void *user) {
    struct DLManagedTensor *m = user;
    if (m->deleter) m->deleter(m);
}

tern_tensor *tern_dlpack_import(struct DLManagedTensorVersioned *m, bool copy) {
    if (!terni_given(m, "dlpack_import", "m")) return NULL;
    if (m->version.major != DL_MAJOR)
        return terni_null(TERN_ERR_UNSUPPORTED, "dlpack_import: DLPack %u.%u; Tern knows 1.x", m->version.major,
                          m->version.minor);
    if (m->flags & DL_PADDED) return terni_null(TERN_ERR_UNSUPPORTED, "dlpack_import: elements padded to bytes");
    if ((m->flags & DL_READ_ONLY) && !copy)
        return terni_null(TERN_ERR_UNSUPPORTED,
                          "dlpack_import: the memory is read-only, and a tensor can be written; "
                          "copy takes a copy");
    tern_tensor *t = copy ? copy_of(&m->t) : take(&m->t, drop_versioned, m);
    if (t && copy) drop_versioned(m);
    return t;
}

tern_tensor *tern_dlpack_import_unversioned(struct DLManagedTensor *m, bool copy) {
    if (!terni_given(m, "dlpack_import", "m")) return NULL;
    tern_tensor *t = copy ? copy_of(&m->t) : take(&m->t, drop_plain, m);
    if (t && copy) drop_plain(m);
    return t;
}
