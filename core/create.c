/* Making tensors, and moving their data in and out. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "half.h"
#include "trace_fields.h"

static tern_tensor *fresh(const char *op, tern_shape shape, tern_options o) {
    if (!tern_ok() || !terni_shape_check(op, &shape, o.dtype)) return NULL;
    if (!terni_backend_of(o.device)) return NULL;
    return terni_new(shape, o.dtype, o.device);
}

/* fill_ of a tensor that nobody else has seen. */
static tern_tensor *fill(tern_tensor *t, double value) {
    terni_fill_opts o;
    if (!t || !terni_constant("fill_", terni_dtype(t), value, &o)) return NULL;
    const terni_view *const out = &t->v;
    terni_changed(t);
    return terni_run_views(TERNI_OP_fill, t->device, NULL, 0, &out, 1, &o) ? t : NULL;
}

static tern_tensor *filled(const char *op, tern_shape shape, double value, tern_options o) {
    return fill(fresh(op, shape, o), value);
}

tern_tensor *tern_empty(tern_shape shape, tern_options o) {
    TERNI_NAMED("empty");
    return fresh("empty", shape, o);
}
tern_tensor *tern_full(tern_shape shape, double value, tern_options o) {
    TERNI_NAMED("full");
    return filled("full", shape, value, o);
}
tern_tensor *tern_zeros(tern_shape shape, tern_options o) {
    TERNI_NAMED("zeros");
    return filled("zeros", shape, 0, o);
}
tern_tensor *tern_ones(tern_shape shape, tern_options o) {
    TERNI_NAMED("ones");
    return filled("ones", shape, 1, o);
}

/* Writes value as dtype at p. */
static void put(void *p, tern_dtype dtype, double v) {
    switch (dtype) {
        case TERN_F32:
            *(float *)p = (float)v;
            break;
        case TERN_F64:
            *(double *)p = v;
            break;
        case TERN_F16:
            *(uint16_t *)p = terni_f16_from(v);
            break;
        case TERN_BF16:
            *(uint16_t *)p = terni_bf16_from(v);
            break;
        case TERN_I64:
            *(int64_t *)p = (int64_t)v;
            break;
        case TERN_I32:
            *(int32_t *)p = (int32_t)v;
            break;
        case TERN_U8:
            *(uint8_t *)p = (uint8_t)(int64_t)v;
            break;
        default:
            *(uint8_t *)p = v != 0;
            break;
    }
}

static double get(const void *p, tern_dtype dtype) {
    switch (dtype) {
        case TERN_F32:
            return (double)*(const float *)p;
        case TERN_F64:
            return *(const double *)p;
        case TERN_F16:
            return (double)terni_f16_to(*(const uint16_t *)p);
        case TERN_BF16:
            return (double)terni_bf16_to(*(const uint16_t *)p);
        case TERN_I64:
            return (double)*(const int64_t *)p;
        case TERN_I32:
            return *(const int32_t *)p;
        default:
            return *(const uint8_t *)p;
    }
}

tern_tensor *tern_scalar(double value, tern_options o) {
    TERNI_NAMED("scalar");
    if (!tern_device_equal(o.device, tern_cpu())) return tern_full(tern_shape_scalar(), value, o);
    const tern_shape s = {0};
    if (!tern_ok() || !terni_shape_check("scalar", &s, o.dtype)) return NULL;
    if (!(value >= -0x1p63 && value < 0x1p63) && !tern_dtype_is_float(o.dtype) && o.dtype != TERN_BOOL)
        return terni_null(TERN_ERR_ARGUMENT, "scalar: %g is no %s", value, tern_dtype_name(o.dtype));
    tern_tensor *t = terni_new(s, o.dtype, o.device);
    if (t) put(t->v.data, o.dtype, value);
    return t;
}

tern_tensor *tern_empty_like(tern_tensor *t) {
    return terni_given(t, "empty_like", "t") ? terni_new_like(t, terni_dtype(t)) : NULL;
}
tern_tensor *tern_zeros_like(tern_tensor *t) {
    return terni_given(t, "zeros_like", "t") ? fill(tern_empty_like(t), 0) : NULL;
}
tern_tensor *tern_ones_like(tern_tensor *t) {
    return terni_given(t, "ones_like", "t") ? fill(tern_empty_like(t), 1) : NULL;
}

tern_tensor *tern_full_like(tern_tensor *t, double value) {
    terni_fill_opts o;
    if (!terni_given(t, "full_like", "t") || !terni_constant("full_like", terni_dtype(t), value, &o)) return NULL;
    return fill(tern_empty_like(t), value);
}

static bool upload(tern_tensor *t, const void *data) {
    const size_t bytes = (size_t)t->numel * tern_dtype_size(terni_dtype(t));
    if (bytes == 0) return true;
    if (t->device.type == TERN_CPU) {
        memcpy(t->v.data, data, bytes);
        return true;
    }
    const terni_backend *b = terni_backend_of(t->device);
    return b && b->upload(t->device.index, t->v.data, data, bytes);
}

tern_tensor *tern_from(const void *data, tern_shape shape, tern_options o) {
    tern_tensor *t = fresh("from", shape, o);
    if (!t || (t->numel && !terni_given(data, "from", "data"))) return NULL;
    if (o.dtype == TERN_BOOL) /* other bytes would break kernels that count bools */
        for (int64_t i = 0; i < t->numel; i++)
            if (((const uint8_t *)data)[i] > 1)
                return terni_null(TERN_ERR_ARGUMENT, "from: bool byte %d at position %lld; expected 0 or 1",
                                  ((const uint8_t *)data)[i], (long long)i);
    return upload(t, data) ? t : NULL;
}

tern_tensor *tern_from_doubles(const double *data, tern_shape shape, tern_options o) {
    const tern_dtype to = o.dtype;
    if (!tern_ok() || !terni_shape_check("from_doubles", &shape, to)) return NULL;
    if (terni_shape_numel(&shape) && !terni_given(data, "from_doubles", "data")) return NULL;
    o.dtype = TERN_F64;
    tern_tensor *t = fresh("from_doubles", shape, o);
    return t && upload(t, data) ? terni_as(t, to) : NULL;
}

/* ---- out
 * ---------------------------------------------------------------------------------------------------------------- */

static bool download(tern_tensor *t, void *data, size_t bytes) {
    const int scope = tern_scope_push();
    tern_tensor *d = terni_dense(t);
    bool ok = d != NULL;
    if (ok && bytes) {
        const terni_backend *b = terni_backend_of(t->device);
        ok = b && b->download(t->device.index, data, d->v.data, bytes);
    }
    tern_scope_pop(scope);
    return ok;
}

bool tern_to_host(tern_tensor *t, void *data, size_t bytes) {
    if (!terni_given(t, "to_host", "t") || (terni_tracing() && !terni_trace_reads("tern_to_host", t))) return false;
    const size_t need = (size_t)t->numel * tern_dtype_size(terni_dtype(t));
    if (bytes != need)
        return terni_fail(TERN_ERR_ARGUMENT, "to_host: %zu bytes for %s, which needs %zu", bytes, terni_describe(t),
                          need);
    return need == 0 || (terni_given(data, "to_host", "data") && download(t, data, bytes));
}

bool tern_to_doubles(tern_tensor *t, double *data, int64_t count) {
    if (!terni_given(t, "to_doubles", "t") || (terni_tracing() && !terni_trace_reads("tern_to_doubles", t)))
        return false;
    if (count != t->numel)
        return terni_fail(TERN_ERR_ARGUMENT, "to_doubles: room for %lld elements; %s has %lld", (long long)count,
                          terni_describe(t), (long long)t->numel);
    if (count == 0) return true;
    if (!terni_given(data, "to_doubles", "data")) return false;
    const int scope = tern_scope_push();
    tern_tensor *d = terni_as(t, TERN_F64);
    const bool ok = d && download(d, data, (size_t)count * sizeof(double));
    tern_scope_pop(scope);
    return ok;
}

static bool one_element(const char *op, tern_tensor *t, void *buf) {
    if (!terni_given(t, op, "t") || (terni_tracing() && !terni_trace_reads("tern_item", t))) return false;
    if (t->numel != 1)
        return terni_fail(TERN_ERR_SHAPE, "%s: %s has %lld elements; expected one", op, terni_describe(t),
                          (long long)t->numel);
    const size_t bytes = tern_dtype_size(terni_dtype(t));
    if (t->device.type == TERN_CPU) {
        memcpy(buf, t->v.data, bytes);
        return true;
    }
    const terni_backend *b = terni_backend_of(t->device);
    return b && b->download(t->device.index, buf, t->v.data, bytes);
}

double tern_item(tern_tensor *t) {
    uint64_t buf;
    return one_element("item", t, &buf) ? get(&buf, terni_dtype(t)) : (double)NAN;
}

int64_t tern_item_i64(tern_tensor *t) {
    uint64_t buf;
    if (!one_element("item_i64", t, &buf)) return 0;
    if (terni_dtype(t) == TERN_I64) {
        int64_t v;
        memcpy(&v, &buf, sizeof v);
        return v;
    }
    const double v = get(&buf, terni_dtype(t));
    if (v >= -0x1p63 && v < 0x1p63) return (int64_t)v;
    terni_fail(TERN_ERR_ARGUMENT, "item_i64: %g is no i64", v);
    return 0;
}

/* ---- text
 * ------------------------------------------------------------------------------------------------------------------ */

enum { EDGE = 3, ABRIDGE_ABOVE = 1000 };

typedef struct writer {
    char *buf;
    size_t size, at;
} writer;

static void put_text(writer *w, const char *s) {
    if (w->at >= w->size) return;
    const int n = snprintf(w->buf + w->at, w->size - w->at, "%s", s);
    if (n > 0) w->at += (size_t)n;
}

static void put_value(writer *w, const tern_tensor *t, int64_t offset) {
    char s[40];
    const tern_dtype d = terni_dtype(t);
    const char *p = (const char *)t->v.data + offset * (int64_t)tern_dtype_size(d);
    if (d == TERN_BOOL)
        snprintf(s, sizeof s, "%s", *p ? "true" : "false");
    else if (d == TERN_I64)
        snprintf(s, sizeof s, "%lld", (long long)*(const int64_t *)(const void *)p);
    else if (!tern_dtype_is_float(d))
        snprintf(s, sizeof s, "%.0f", get(p, d));
    else
        snprintf(s, sizeof s, "%.*g", d == TERN_F64 ? 8 : 5, get(p, d));
    put_text(w, s);
}

static void put_level(writer *w, const tern_tensor *t, int d, int64_t offset, bool abridge) {
    if (d == t->v.ndim) {
        put_value(w, t, offset);
        return;
    }
    const int64_t n = t->v.shape[d];
    put_text(w, "[");
    for (int64_t i = 0; i < n && w->at < w->size; i++) {
        if (i) {
            put_text(w, d == t->v.ndim - 1 ? ", " : ",\n");
            for (int k = 0; k <= d && d < t->v.ndim - 1; k++) put_text(w, " ");
        }
        if (abridge && n > 2 * EDGE && i == EDGE) {
            put_text(w, "...");
            i = n - EDGE - 1;
            continue;
        }
        put_level(w, t, d + 1, offset + i * t->v.strides[d], abridge);
    }
    put_text(w, "]");
}

const char *tern_text(tern_tensor *t, char *buf, size_t size) {
    writer w = {buf, size, 0};
    if (size) buf[0] = 0;
    if (!t) {
        put_text(&w, "NULL");
        return buf;
    }
    const int scope = tern_scope_push();
    tern_tensor *h = t->device.type == TERN_CPU ? t : tern_to(tern_detach(t), tern_cpu());
    if (h) {
        put_level(&w, h, 0, 0, h->numel > ABRIDGE_ABOVE);
        char tail[200];
        snprintf(tail, sizeof tail, " %s %s", terni_shape_str(terni_shape(t)), tern_dtype_name(terni_dtype(t)));
        put_text(&w, tail);
    }
    tern_scope_pop(scope);
    return buf;
}
