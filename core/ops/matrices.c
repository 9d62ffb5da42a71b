#include "ops/matrices.h"

#include <string.h>

bool terni_factors(const char *op, tern_tensor *a, tern_tensor *b) {
    tern_tensor *const in[2] = {a, b};
    return terni_given(a, op, "a") && terni_given(b, op, "b") && terni_same_float(op, in, 2) &&
           terni_same_device(op, in, 2, NULL);
}

bool terni_matrix(const char *op, const char *what, tern_tensor *t, bool square) {
    if (!terni_given(t, op, what)) return false;
    if (terni_dtype(t) != TERN_F32 && terni_dtype(t) != TERN_F64)
        return terni_fail(TERN_ERR_DTYPE, "%s: %s %s: expected f64 or f32", op, what, terni_describe(t));
    if (t->v.ndim < 2 || (square && terni_rows(t) != terni_cols(t)))
        return terni_fail(TERN_ERR_SHAPE, "%s: %s %s: expected [..., %s]", op, what, terni_describe(t),
                          square ? "N, N" : "M, N");
    return true;
}

bool terni_system(const char *op, tern_tensor *a, bool square, tern_tensor *b) {
    tern_tensor *const in[2] = {a, b};
    return terni_matrix(op, "a", a, square) && terni_given(b, op, "b") && terni_same_float(op, in, 2) &&
           terni_same_device(op, in, 2, NULL);
}

tern_shape terni_batch_of(tern_shape batch, int64_t m, int64_t n) {
    batch.dim[batch.ndim++] = m;
    batch.dim[batch.ndim++] = n;
    return batch;
}

tern_shape terni_batch_of1(tern_shape batch, int64_t n) {
    batch.dim[batch.ndim++] = n;
    return batch;
}

tern_tensor *terni_by_rows(const char *op, tern_shape batch, int64_t m, int64_t n, const tern_tensor *like) {
    const tern_shape s = terni_batch_of(batch, m, n);
    return terni_shape_check(op, &s, terni_dtype(like)) ? terni_new(s, terni_dtype(like), like->device) : NULL;
}

tern_tensor *terni_by_columns(const char *op, tern_shape batch, int64_t m, int64_t n, const tern_tensor *like) {
    tern_tensor *t = terni_by_rows(op, batch, n, m, like);
    return t ? terni_flipped(t) : NULL;
}

tern_tensor *terni_flipped(tern_tensor *t) {
    const int n = t->v.ndim;
    tern_shape s = terni_shape(t);
    int64_t strides[TERN_MAX_DIMS];
    memcpy(strides, t->v.strides, sizeof strides);
    s.dim[n - 2] = t->v.shape[n - 1];
    s.dim[n - 1] = t->v.shape[n - 2];
    strides[n - 2] = t->v.strides[n - 1];
    strides[n - 1] = t->v.strides[n - 2];
    return terni_alias(t, s, strides, 0);
}

tern_tensor *terni_spread(tern_tensor *t, tern_shape batch, int n) {
    for (int i = t->v.ndim - n; i < t->v.ndim; i++) batch.dim[batch.ndim++] = t->v.shape[i];
    return tern_shape_equal(batch, terni_shape(t)) ? t : tern_expand(t, batch);
}

static bool blame(const char *op, int64_t i, int32_t info, const char *text) {
    return terni_fail(TERN_ERR_ARGUMENT, "%s: matrix %lld %s", op, (long long)i,
                      info == -1 ? "holds values that are not finite" : text);
}

bool terni_info(const char *op, tern_tensor *info, const char *text) {
    const size_t bytes = (size_t)info->numel * sizeof(int32_t);
    if (bytes == 0) return true;
    int32_t *const copy = info->device.type == TERN_CPU ? NULL : terni_malloc(bytes);
    const int32_t *v = copy ? copy : info->v.data;
    bool ok = info->device.type == TERN_CPU || (copy && tern_to_host(info, copy, bytes));
    for (int64_t i = 0; ok && i < info->numel; i++)
        if (v[i] != 0) ok = blame(op, i, v[i], text);
    terni_mfree(copy);
    return ok;
}

tern_tensor *terni_eye(int64_t n, const tern_tensor *t) {
    return tern_eye(n, n, (tern_options){terni_dtype(t), t->device});
}
