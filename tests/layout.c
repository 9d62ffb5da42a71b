#include "layout.h"

#if TEST_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum { GUARD = 128, CANARY = 0xFF }; /* 0xFF..: NaN in every float dtype, -1 in every signed one */

const char *layout_name(layout_kind kind) {
    static const char *const names[] = {"contiguous", "reversed", "channels last",
                                        "stepped",    "expanded", "expanded last"};
    return names[kind];
}

void array_strides(tern_shape s, int64_t *strides) {
    int64_t step = 1;
    for (int d = s.ndim - 1; d >= 0; d--) {
        strides[d] = step;
        step *= s.dim[d];
    }
}

void array_index(tern_shape s, int64_t i, int64_t *index) {
    for (int d = s.ndim - 1; d >= 0; d--) {
        index[d] = i % s.dim[d];
        i /= s.dim[d];
    }
}

/* Dimension of the base that dimension d of the view lies in. */
static int base_dim(layout_kind kind, int ndim, int d) {
    if (kind == LAYOUT_REVERSED) return ndim - 1 - d;
    if (kind == LAYOUT_CHANNELS_LAST) return d == 0 ? 0 : d == 1 ? ndim - 1 : d - 1;
    return d;
}

static int expanded_dim(const layout *l) {
    if (l->kind == LAYOUT_EXPANDED)
        for (int d = 0; d < l->shape.ndim; d++)
            if (l->shape.dim[d] > 1) return d;
    if (l->kind == LAYOUT_EXPANDED_LAST)
        for (int d = l->shape.ndim - 1; d >= 0; d--)
            if (l->shape.dim[d] > 1) return d;
    return -1;
}

bool layout_of(layout_kind kind, tern_shape shape, layout *out) {
    *out = (layout){.kind = kind, .shape = shape, .base = shape};
    const int n = shape.ndim, e = expanded_dim(out);
    const bool some = shape_numel(shape) > 1;
    if (kind == LAYOUT_REVERSED || kind == LAYOUT_CHANNELS_LAST) {
        if (n < (kind == LAYOUT_REVERSED ? 2 : 3)) return false;
        for (int d = 0; d < n; d++) out->base.dim[base_dim(kind, n, d)] = shape.dim[d];
    }
    if (kind == LAYOUT_STEPPED) {
        if (n < 1) return false;
        out->base.dim[n - 1] = 2 * shape.dim[n - 1] + 1;
        if (n > 1) out->base.dim[0] = shape.dim[0] + 2;
    }
    if (kind == LAYOUT_EXPANDED || kind == LAYOUT_EXPANDED_LAST) {
        if (e < 0) return false;
        out->base.dim[e] = 1;
    }
    int64_t base_strides[TERN_MAX_DIMS];
    array_strides(out->base, base_strides);
    for (int d = 0; d < n; d++) out->strides[d] = d == e ? 0 : base_strides[base_dim(kind, n, d)];
    if (kind == LAYOUT_STEPPED) {
        out->offset = n > 1 ? base_strides[0] + 1 : 1;
        out->strides[n - 1] = 2;
    }
    return kind == LAYOUT_CONTIGUOUS || some;
}

tern_tensor *layout_apply(const layout *l, tern_tensor *base) {
    const int n = l->shape.ndim;
    int dims[TERN_MAX_DIMS];
    for (int d = 0; d < n; d++) dims[d] = base_dim(l->kind, n, d);
    tern_tensor *t = base;
    switch (l->kind) {
        case LAYOUT_REVERSED:
        case LAYOUT_CHANNELS_LAST:
            return tern_permute(base, dims, n);
        case LAYOUT_STEPPED:
            if (n > 1) t = tern_slice(t, 0, 1, 1 + l->shape.dim[0], 1);
            return tern_slice(t, -1, 1, 1 + 2 * l->shape.dim[n - 1], 2);
        case LAYOUT_EXPANDED:
        case LAYOUT_EXPANDED_LAST:
            return tern_expand(base, l->shape);
        default:
            return base;
    }
}

static int64_t position(const layout *l, int64_t i) {
    int64_t index[TERN_MAX_DIMS], at = l->offset;
    array_index(l->shape, i, index);
    for (int d = 0; d < l->shape.ndim; d++) at += index[d] * l->strides[d];
    return at;
}

tern_tensor *buffer_open(buffer *b, const layout *l, tern_dtype dtype, double *values) {
    const size_t size = tern_dtype_size(dtype);
    *b = (buffer){.bytes = (size_t)shape_numel(l->base) * size};
    b->raw_bytes = b->bytes + 2 * GUARD;
    b->raw = aligned_alloc(64, (b->raw_bytes + 63) & ~(size_t)63);
    b->snapshot = malloc(b->raw_bytes);
    if (!b->raw || !b->snapshot) return NULL;
    b->data = b->raw + GUARD - (l->kind == LAYOUT_CONTIGUOUS ? 0 : size); /* aligned to the element alone */
    memset(b->raw, CANARY, b->raw_bytes);
    const int64_t n = shape_numel(l->shape);
    for (int64_t i = n - 1; i >= 0; i--) store_element(b->data + (size_t)position(l, i) * size, dtype, values[i]);
    for (int64_t i = 0; i < n; i++) values[i] = load_element(b->data + (size_t)position(l, i) * size, dtype);
    memcpy(b->snapshot, b->raw, b->raw_bytes);
    /* ASan sees reads outside, too; it poisons whole groups of 8 bytes and the start of one. */
    char *const end = b->data + b->bytes;
    ASAN_POISON_MEMORY_REGION(end, (size_t)(b->raw + b->raw_bytes - end));
    ASAN_POISON_MEMORY_REGION(b->raw, (size_t)(b->data - b->raw));
    tern_tensor *const t = tern_wrap(b->data, l->base, dtype, NULL, NULL);
    return test_device().type == TERN_CPU ? t : tern_to(t, test_device());
}

bool buffer_intact(const buffer *b) {
    if (!b->raw) return true;
    ASAN_UNPOISON_MEMORY_REGION(b->raw, b->raw_bytes);
    return memcmp(b->raw, b->snapshot, b->raw_bytes) == 0;
}

void buffer_close(buffer *b) {
    if (b->raw) ASAN_UNPOISON_MEMORY_REGION(b->raw, b->raw_bytes);
    free(b->raw);
    free(b->snapshot);
    *b = (buffer){0};
}
