/* Shapes: the one place of overflow-checked size arithmetic, of broadcasting and of dimension numbers. */
#include <stdio.h>

#include "thread.h"

tern_shape tern_shape_of(int ndim, const int64_t *dim) {
    tern_shape s = {.ndim = ndim};
    if (ndim < 0 || ndim > TERN_MAX_DIMS) s.ndim = -1;
    for (int i = 0; i < s.ndim; i++) s.dim[i] = dim[i];
    return s;
}

tern_shape tern_shape_scalar(void) { return (tern_shape){0}; }

bool tern_shape_equal(tern_shape a, tern_shape b) {
    if (a.ndim != b.ndim) return false;
    for (int i = 0; i < a.ndim && i < TERN_MAX_DIMS; i++)
        if (a.dim[i] != b.dim[i]) return false;
    return true;
}

const char *tern_shape_text(tern_shape s, char *buf, size_t size) {
    if (s.ndim < 0 || s.ndim > TERN_MAX_DIMS) {
        snprintf(buf, size, "[more than %d dimensions]", TERN_MAX_DIMS);
        return buf;
    }
    size_t at = 0;
    int n = snprintf(buf, size, "[");
    for (int i = 0; i < s.ndim && n >= 0; i++) {
        at += (size_t)n;
        if (at >= size) return buf;
        n = snprintf(buf + at, size - at, "%s%lld", i ? ", " : "", (long long)s.dim[i]);
    }
    if (n >= 0) at += (size_t)n;
    if (at < size) snprintf(buf + at, size - at, "]");
    return buf;
}

const char *terni_shape_str(tern_shape s) {
    terni_words *const w = terni_words_of();
    return w ? tern_shape_text(s, w->shape[w->next_shape++ % 6], sizeof w->shape[0]) : "[...]";
}

const char *terni_describe(const tern_tensor *t) {
    if (!t) return "NULL";
    terni_words *const w = terni_words_of();
    if (!w) return "a tensor";
    char *const b = w->tensor[w->next_tensor++ % 6];
    const char *name = tern_name(t);
    snprintf(b, sizeof w->tensor[0], "%s%.60s%s%s %s", *name ? "'" : "", name, *name ? "' " : "",
             terni_shape_str(terni_shape(t)), tern_dtype_name(terni_dtype(t)));
    return b;
}

bool terni_mul_i64(int64_t a, int64_t b, int64_t *out) { return !__builtin_mul_overflow(a, b, out); }

int64_t terni_shape_numel(const tern_shape *s) {
    if (s->ndim < 0 || s->ndim > TERN_MAX_DIMS) return -1;
    int64_t n = 1;
    bool empty = false;
    for (int i = 0; i < s->ndim; i++) {
        if (s->dim[i] < 0) return -1;
        if (s->dim[i] == 0)
            empty = true;
        else if (!terni_mul_i64(n, s->dim[i], &n))
            return -1;
    }
    return empty ? 0 : n;
}

bool terni_shape_check(const char *op, const tern_shape *s, tern_dtype dtype) {
    if (tern_dtype_size(dtype) == 0) return terni_fail(TERN_ERR_DTYPE, "%s: %d is no dtype", op, (int)dtype);
    if (s->ndim < 0 || s->ndim > TERN_MAX_DIMS)
        return terni_fail(TERN_ERR_SHAPE, "%s: more than %d dimensions", op, TERN_MAX_DIMS);
    for (int i = 0; i < s->ndim; i++)
        if (s->dim[i] < 0)
            return terni_fail(TERN_ERR_SHAPE, "%s: dimension %d of shape %s is negative", op, i, terni_shape_str(*s));
    int64_t n = terni_shape_numel(s), bytes;
    if (n < 0 || !terni_mul_i64(n, (int64_t)tern_dtype_size(dtype), &bytes) || bytes > INT64_MAX / 4)
        return terni_fail(TERN_ERR_SHAPE, "%s: shape %s has more elements than can be addressed", op,
                          terni_shape_str(*s));
    return true;
}

int terni_dim(const char *op, int dim, int ndim) {
    if (dim < -ndim || dim >= ndim) {
        terni_fail(TERN_ERR_SHAPE, "%s: dimension %d is outside [%d, %d)", op, dim, -ndim, ndim);
        return -1;
    }
    return dim < 0 ? dim + ndim : dim;
}

bool terni_dims(const char *op, const int *dims, int n, int ndim, uint32_t *bits) {
    *bits = 0;
    if (n < 0 || n > TERN_MAX_DIMS) return terni_fail(TERN_ERR_ARGUMENT, "%s: %d dimensions to reduce", op, n);
    if (n == 0) *bits = (1u << ndim) - 1;
    if (n > 0 && !dims) return terni_fail(TERN_ERR_ARGUMENT, "%s: dims is NULL", op);
    for (int i = 0; i < n; i++) {
        const int d = terni_dim(op, dims[i], ndim);
        if (d < 0) return false;
        if (*bits >> d & 1) return terni_fail(TERN_ERR_ARGUMENT, "%s: dimension %d is given twice", op, dims[i]);
        *bits |= 1u << d;
    }
    return true;
}

bool terni_broadcast(const char *op, tern_shape a, tern_shape b, tern_shape *out) {
    const int n = a.ndim > b.ndim ? a.ndim : b.ndim;
    if (a.ndim < 0 || b.ndim < 0 || n > TERN_MAX_DIMS)
        return terni_fail(TERN_ERR_SHAPE, "%s: a shape of %d dimensions; 0 to %d are possible", op,
                          a.ndim < 0   ? a.ndim
                          : b.ndim < 0 ? b.ndim
                                       : n,
                          TERN_MAX_DIMS);
    out->ndim = n;
    for (int i = 1; i <= n; i++) {
        const int64_t x = i <= a.ndim ? a.dim[a.ndim - i] : 1, y = i <= b.ndim ? b.dim[b.ndim - i] : 1;
        if (x != y && x != 1 && y != 1)
            return terni_fail(TERN_ERR_SHAPE, "%s: shapes %s and %s do not broadcast", op, terni_shape_str(a),
                              terni_shape_str(b));
        out->dim[n - i] = x == 1 ? y : x;
    }
    return true;
}
