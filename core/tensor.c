/* Tensors: storage, heads, views and their inspection. */
#include "tern/tensor.h"

#include <string.h>

#include "tape.h"
#include "trace_fields.h"

/* ---- storage ----------------------------------------------------------------------------------------------------- *
 * On the CPU the data follows the storage's head in one block; elsewhere the backend allocates it. */

enum { HEAD = 64 };
_Static_assert(sizeof(terni_storage) <= HEAD, "a storage's head fits in front of its data");

static terni_storage *storage_new(tern_device device, size_t bytes) {
    terni_storage *s;
    const size_t head = device.type == TERN_CPU ? HEAD + bytes : HEAD;
    if (device.type == TERN_CPU) {
        s = terni_alloc_quiet(head);
        if (!s) return terni_null(TERN_ERR_MEMORY, "memory: %zu bytes for a tensor on cpu could not be had", bytes);
    } else {
        s = terni_alloc(head);
        if (!s) return NULL;
    }
    memset(s, 0, sizeof *s);
    atomic_init(&s->refs, 1);
    s->device = device;
    s->bytes = bytes;
    s->inference = terni_self.off & TERNI_OFF_INFERENCE;
    if (device.type == TERN_CPU) {
        s->data = (char *)s + HEAD;
    } else {
        const terni_backend *b = terni_backend_of(device);
        if (!b || (bytes && (!terni_memory_request(device, bytes) || !b->alloc(device.index, bytes, &s->data)))) {
            terni_free(s, head);
            return NULL;
        }
    }
    terni_memory_account(device, (int64_t)bytes);
    return s;
}

static const terni_runtime *pinning(void) {
    if (!tern_device_available(tern_cuda(0))) return NULL;
    const terni_backend *b = terni_backend_of(tern_cuda(0));
    return b ? b->runtime : NULL;
}

static terni_storage *pinned_storage_new(const terni_runtime *r, size_t bytes) {
    terni_storage *s = terni_alloc(HEAD);
    if (!s) return NULL;
    memset(s, 0, sizeof *s);
    if (bytes && (!terni_memory_request(tern_cpu(), bytes) || !r->pinned_alloc(bytes, &s->data))) {
        terni_free(s, HEAD);
        return NULL;
    }
    atomic_init(&s->refs, 1);
    s->bytes = bytes;
    s->pinned = true;
    s->inference = terni_self.off & TERNI_OFF_INFERENCE;
    terni_memory_account(tern_cpu(), (int64_t)bytes);
    return s;
}

static void storage_release(terni_storage *s) {
    if (!terni_last(&s->refs)) return;
    if (s->foreign) {
        if (s->drop) s->drop(s->user);
        terni_free(s, HEAD);
        return;
    }
    terni_memory_account(s->device, -(int64_t)s->bytes);
    if (s->pinned) {
        const terni_runtime *r = pinning();
        if (s->data && r) r->pinned_free(s->data);
        terni_free(s, HEAD);
        return;
    }
    if (s->device.type == TERN_CPU) {
        terni_free_quiet(s, HEAD + s->bytes);
        return;
    }
    const terni_backend *b = terni_backend_of(s->device);
    if (b && s->data) b->free(s->device.index, s->data, s->bytes);
    terni_free(s, HEAD);
}

/* ---- heads ---------------------------------------------------------------------------------------------------------
 */

/* A head for a storage whose reference it takes over; released on failure. In the current scope. */
static inline tern_tensor *head_new(terni_storage *s, int ndim, const int64_t *dim, const int64_t *strides,
                                    tern_dtype dtype) {
    tern_tensor *t = terni_alloc(sizeof *t);
    if (!t) {
        storage_release(s);
        return NULL;
    }
    t->v.ndim = ndim;
    t->v.dtype = (int32_t)dtype;
    int64_t dense = 1; /* the shape was checked: no overflow */
    bool contiguous = true, empty = false;
    for (int i = ndim - 1; i >= 0; i--) {
        const int64_t size = dim[i];
        t->v.shape[i] = size;
        t->v.strides[i] = strides ? strides[i] : dense;
        if (size != 1 && t->v.strides[i] != dense) contiguous = false;
        dense *= size ? size : 1;
        empty |= size == 0;
    }
    t->numel = empty ? 0 : dense;
    t->contiguous = contiguous || empty;
    atomic_init(&t->refs, 1);
    t->requires_grad = false;
    t->device = s->device;
    t->out_index = 0;
    t->moves = 0;
    atomic_init(&t->savers, 0);
    t->storage = s;
    t->node = NULL;
    t->meta = NULL;
    t->v.data = s->data;
    return terni_scope_put(t);
}

tern_tensor *terni_new(tern_shape shape, tern_dtype dtype, tern_device device) {
    const int64_t n = terni_shape_numel(&shape);
    if (n < 0) return terni_null(TERN_ERR_INTERNAL, "memory: shape %s was not checked", terni_shape_str(shape));
    terni_storage *s = storage_new(device, (size_t)n * terni_dtype_sizes[dtype]);
    return s ? head_new(s, shape.ndim, shape.dim, NULL, dtype) : NULL;
}

tern_tensor *terni_new_like(const tern_tensor *t, tern_dtype dtype) {
    terni_storage *s = storage_new(t->device, (size_t)t->numel * terni_dtype_sizes[dtype]);
    return s ? head_new(s, t->v.ndim, t->v.shape, NULL, dtype) : NULL;
}

tern_tensor *terni_new_pinned(tern_shape shape, tern_dtype dtype) {
    const terni_runtime *r = pinning();
    if (!r) return terni_new(shape, dtype, tern_cpu());
    terni_storage *s = pinned_storage_new(r, (size_t)terni_shape_numel(&shape) * tern_dtype_size(dtype));
    return s ? head_new(s, shape.ndim, shape.dim, NULL, dtype) : NULL;
}

tern_tensor *terni_alias(tern_tensor *t, tern_shape shape, const int64_t *strides, int64_t offset) {
    terni_storage *s = t->storage;
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    tern_tensor *a = head_new(s, shape.ndim, shape.dim, strides, terni_dtype(t));
    if (!a) return NULL;
    /* Where nothing is there the offset may be any. */
    a->v.data = t->v.data && a->numel ? (char *)t->v.data + offset * (int64_t)terni_size(t) : t->v.data;
    return a;
}

tern_tensor *terni_wrap(void *data, tern_shape shape, const int64_t *strides, tern_dtype dtype, tern_device device,
                        void (*drop)(void *user), void *user) {
    int64_t last = 0; /* the element that lies farthest */
    for (int i = 0; i < shape.ndim && strides; i++) last += shape.dim[i] > 1 ? (shape.dim[i] - 1) * strides[i] : 0;
    const int64_t n = terni_shape_numel(&shape);
    terni_storage *s = terni_alloc(HEAD);
    if (!s) return NULL;
    memset(s, 0, sizeof *s);
    atomic_init(&s->refs, 1);
    s->device = device;
    s->data = data;
    s->bytes = (size_t)(strides && n ? last + 1 : n) * tern_dtype_size(dtype);
    s->foreign = true;
    s->inference = terni_self.off & TERNI_OFF_INFERENCE;
    tern_tensor *t = head_new(s, shape.ndim, shape.dim, strides, dtype);
    if (t) { /* only now, so that a failure does not call drop */
        s->drop = drop;
        s->user = user;
    }
    return t;
}

tern_tensor *tern_wrap(void *data, tern_shape shape, tern_dtype dtype, void (*drop)(void *user), void *user) {
    if (!tern_ok() || !terni_shape_check("wrap", &shape, dtype)) return NULL;
    if (terni_shape_numel(&shape) > 0 && !terni_given(data, "wrap", "data")) return NULL;
    return terni_wrap(data, shape, NULL, dtype, tern_cpu(), drop, user);
}

terni_meta *terni_meta_of(tern_tensor *t) {
    if (!t->meta) t->meta = terni_calloc(sizeof *t->meta);
    return t->meta;
}

static void meta_free(terni_meta *m) {
    terni_mfree(m->name);
    if (m->grad) tern_release(m->grad);
    if (m->sink) terni_node_release(m->sink);
    terni_free(m, sizeof *m);
}

tern_tensor *tern_keep(tern_tensor *t) {
    if (t) atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tern_release(tern_tensor *t) {
    if (!t || !terni_last(&t->refs)) return;
    storage_release(t->storage);
    terni_node *node = t->node;
    if (t->meta) meta_free(t->meta);
    terni_free(t, sizeof *t);
    if (node) terni_node_release(node);
}

bool tern_assign(tern_tensor *t, tern_tensor *src) {
    if (!terni_given(t, "assign", "t") || !terni_given(src, "assign", "src")) return false;
    if (t == src) return true;
    if (t->node) return terni_fail(TERN_ERR_AUTOGRAD, "assign: t %s is no leaf", terni_describe(t));
    if (!tern_shape_equal(terni_shape(t), terni_shape(src)))
        return terni_fail(TERN_ERR_SHAPE, "assign: t %s and src %s have different shapes", terni_describe(t),
                          terni_describe(src));
    if (t->requires_grad && !tern_dtype_is_float(terni_dtype(src)))
        return terni_fail(TERN_ERR_DTYPE, "assign: src %s cannot take t's place, which requires gradients",
                          terni_describe(src));
    terni_share_storage(t, src);
    return tern_grad_set(t, NULL);
}

void terni_share_storage(tern_tensor *t, tern_tensor *src) {
    terni_storage *old = t->storage;
    atomic_fetch_add_explicit(&src->storage->refs, 1, memory_order_relaxed);
    t->storage = src->storage;
    t->moves++;
    t->v = src->v;
    t->contiguous = src->contiguous;
    t->device = src->device;
    storage_release(old);
}

/* ---- inspection -----------------------------------------------------------------------------------------------------
 */

tern_shape tern_shape_get(const tern_tensor *t) { return t ? terni_shape(t) : tern_shape_scalar(); }
int tern_ndim(const tern_tensor *t) { return t ? t->v.ndim : 0; }

int64_t tern_size(const tern_tensor *t, int d) {
    if (!t || d < -t->v.ndim || d >= t->v.ndim) return 0;
    return t->v.shape[d < 0 ? d + t->v.ndim : d];
}

int64_t tern_stride(const tern_tensor *t, int d) {
    if (!t || d < -t->v.ndim || d >= t->v.ndim) return 0;
    return t->v.strides[d < 0 ? d + t->v.ndim : d];
}

int64_t tern_numel(const tern_tensor *t) { return t ? t->numel : 0; }
tern_dtype tern_dtype_of(const tern_tensor *t) { return t ? terni_dtype(t) : TERN_F32; }
tern_device tern_device_of(const tern_tensor *t) { return t ? t->device : tern_cpu(); }
bool tern_is_contiguous(const tern_tensor *t) { return t && t->contiguous; }
void *tern_data(tern_tensor *t) {
    if (terni_tracing() && !terni_trace_reads("tern_data", t)) return NULL;
    return t ? t->v.data : NULL;
}
size_t tern_storage_bytes(const tern_tensor *t) { return t ? t->storage->bytes : 0; }
uint32_t tern_storage_version(const tern_tensor *t) { return t ? t->storage->version : 0; }

void tern_touch(tern_tensor *t) {
    if (t) terni_changed(t);
}

bool tern_set_name(tern_tensor *t, const char *name) {
    if (!terni_given(t, "set_name", "t")) return false;
    if (!name && !t->meta) return true;
    terni_meta *m = terni_meta_of(t);
    char *copy = m && name ? terni_strdup(name) : NULL;
    if (!m || (name && !copy)) return false;
    terni_mfree(m->name);
    m->name = copy;
    return true;
}

const char *tern_name(const tern_tensor *t) { return t && t->meta && t->meta->name ? t->meta->name : ""; }
