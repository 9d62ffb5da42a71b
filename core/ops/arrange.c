/* Shape ops made of shape ops. */
#include "internal.h"

tern_tensor *tern_movedim(tern_tensor *x, int from, int to) {
    if (!terni_given(x, "movedim", "x")) return NULL;
    const int n = x->v.ndim, a = terni_dim("movedim", from, n), b = a < 0 ? -1 : terni_dim("movedim", to, n);
    if (b < 0) return NULL;
    int dims[TERN_MAX_DIMS];
    for (int i = 0, k = 0; i < n; i++) {
        if (k == a) k++;
        dims[i] = i == b ? a : k++;
    }
    return tern_permute(x, dims, n);
}

tern_tensor *tern_squeeze_all(tern_tensor *x) {
    if (!terni_given(x, "squeeze_all", "x")) return NULL;
    for (int d = x->v.ndim - 1; x && d >= 0; d--)
        if (x->v.shape[d] == 1) x = tern_squeeze(x, d);
    return x;
}

tern_tensor *tern_unflatten(tern_tensor *x, int dim, tern_shape sizes) {
    if (!terni_given(x, "unflatten", "x")) return NULL;
    const int d = terni_dim("unflatten", dim, x->v.ndim);
    if (d < 0) return NULL;
    if (sizes.ndim < 1 || sizes.ndim > TERN_MAX_DIMS || x->v.ndim - 1 + sizes.ndim > TERN_MAX_DIMS)
        return terni_null(TERN_ERR_SHAPE, "unflatten: dimension %d of %s to %s; expected 1 or more sizes, %d in all",
                          dim, terni_describe(x), terni_shape_str(sizes), TERN_MAX_DIMS);
    int unknown = -1;
    int64_t known = 1;
    bool fits = true;
    for (int i = 0; i < sizes.ndim; i++) {
        if (sizes.dim[i] == -1 && unknown < 0)
            unknown = i;
        else
            fits = fits && sizes.dim[i] >= 0 && terni_mul_i64(known, sizes.dim[i], &known);
    }
    const int64_t size = x->v.shape[d];
    fits = fits && (unknown < 0 ? known == size : known > 0 && size % known == 0);
    if (!fits)
        return terni_null(TERN_ERR_SHAPE, "unflatten: dimension %d of %s does not split into %s", dim,
                          terni_describe(x), terni_shape_str(sizes));
    if (unknown >= 0) sizes.dim[unknown] = size / known;
    tern_shape s = terni_shape(x);
    s.ndim += sizes.ndim - 1;
    for (int i = s.ndim - 1; i >= d + sizes.ndim; i--) s.dim[i] = x->v.shape[i - sizes.ndim + 1];
    for (int i = 0; i < sizes.ndim; i++) s.dim[d + i] = sizes.dim[i];
    return tern_reshape(x, s);
}

tern_tensor *tern_atleast_1d(tern_tensor *x) {
    if (!terni_given(x, "atleast_1d", "x")) return NULL;
    return x->v.ndim >= 1 ? x : tern_unsqueeze(x, 0);
}
tern_tensor *tern_atleast_2d(tern_tensor *x) {
    if (!terni_given(x, "atleast_2d", "x")) return NULL;
    return x->v.ndim >= 2 ? x : tern_unsqueeze(tern_atleast_1d(x), 0);
}
tern_tensor *tern_atleast_3d(tern_tensor *x) {
    if (!terni_given(x, "atleast_3d", "x")) return NULL;
    return x->v.ndim >= 3 ? x : tern_unsqueeze(tern_atleast_2d(x), -1);
}

tern_tensor *tern_narrow(tern_tensor *x, int dim, int64_t start, int64_t length) {
    if (!terni_given(x, "narrow", "x")) return NULL;
    const int d = terni_dim("narrow", dim, x->v.ndim);
    if (d < 0) return NULL;
    const int64_t size = x->v.shape[d], from = start < 0 ? start + size : start;
    if (from < 0 || from > size || length < 0 || length > size - from)
        return terni_null(TERN_ERR_INDEX, "narrow: %lld indices from %lld on are not in dimension %d of %s",
                          (long long)length, (long long)start, dim, terni_describe(x));
    return tern_slice(x, d, from, from + length, 1);
}

tern_tensor *tern_rot90(tern_tensor *x, int k, int dim0, int dim1) {
    if (!terni_given(x, "rot90", "x")) return NULL;
    const int a = terni_dim("rot90", dim0, x->v.ndim), b = a < 0 ? -1 : terni_dim("rot90", dim1, x->v.ndim);
    if (b < 0) return NULL;
    if (a == b) return terni_null(TERN_ERR_ARGUMENT, "rot90: dimension %d is given twice", dim0);
    switch (k & 3) {
        case 0:
            return x;
        case 1:
            return tern_flip(tern_transpose(x, a, b), &a, 1);
        case 2:
            return tern_flip(x, (const int[]){a, b}, 2);
        default:
            return tern_flip(tern_transpose(x, a, b), &b, 1);
    }
}

tern_tensor *tern_repeat_interleave(tern_tensor *x, int64_t repeats, int dim) {
    TERNI_NAMED("repeat_interleave");
    if (!terni_given(x, "repeat_interleave", "x")) return NULL;
    const int d = terni_dim("repeat_interleave", dim, x->v.ndim);
    if (d < 0) return NULL;
    if (repeats < 0)
        return terni_null(TERN_ERR_ARGUMENT, "repeat_interleave: %lld repeats; expected 0 or more", (long long)repeats);
    tern_shape s = terni_shape(x), wide = s;
    if (!terni_mul_i64(s.dim[d], repeats, &s.dim[d]) || !terni_shape_check("repeat_interleave", &s, terni_dtype(x)))
        return tern_ok() ? terni_null(TERN_ERR_SHAPE, "repeat_interleave: %s, %lld times", terni_describe(x),
                                      (long long)repeats)
                         : NULL;
    if (x->v.ndim == TERN_MAX_DIMS) { /* no room for one more: by index */
        tern_tensor *i = tern_arange(0, (double)wide.dim[d], (tern_options){TERN_I64, x->device});
        return tern_index_select(x, d, tern_repeat_interleave(i, repeats, 0));
    }
    wide.ndim++;
    for (int i = wide.ndim - 1; i > d + 1; i--) wide.dim[i] = wide.dim[i - 1];
    wide.dim[d + 1] = repeats;
    return tern_reshape(tern_expand(tern_unsqueeze(x, d + 1), wide), s);
}

/* The index of each row of the result, on the host; *total of them. */
static int64_t *repeated(tern_tensor *repeats, int64_t *total) {
    const int64_t n = repeats->numel;
    int64_t *count = terni_malloc((size_t)n * sizeof *count + 1), *index = NULL;
    tern_tensor *wide = count ? terni_as(repeats, TERN_I64) : NULL;
    bool ok = wide && tern_to_host(wide, count, (size_t)n * sizeof *count);
    *total = 0;
    for (int64_t i = 0; ok && i < n; i++)
        if (count[i] < 0)
            ok = terni_fail(TERN_ERR_ARGUMENT, "repeat_interleave_by: repeats[%lld] is %lld; expected 0 or more",
                            (long long)i, (long long)count[i]);
        else if (__builtin_add_overflow(*total, count[i], total) || *total > INT64_MAX / 16)
            ok = terni_fail(TERN_ERR_SHAPE, "repeat_interleave_by: the repeats sum to too much");
    if (ok) index = terni_malloc((size_t)*total * sizeof *index + 1);
    for (int64_t i = 0, at = 0; index && i < n; i++)
        for (int64_t k = 0; k < count[i]; k++) index[at++] = i;
    terni_mfree(count);
    return index;
}

tern_tensor *tern_repeat_interleave_by(tern_tensor *x, tern_tensor *repeats, int dim) {
    if (!terni_given(x, "repeat_interleave_by", "x") || !terni_given(repeats, "repeat_interleave_by", "repeats"))
        return NULL;
    const int d = terni_dim("repeat_interleave_by", dim, x->v.ndim);
    if (d < 0) return NULL;
    if (terni_dtype(repeats) != TERN_I64 && terni_dtype(repeats) != TERN_I32)
        return terni_null(TERN_ERR_DTYPE, "repeat_interleave_by: repeats %s; expected i64 or i32",
                          terni_describe(repeats));
    if (repeats->v.ndim != 1 || repeats->numel != x->v.shape[d])
        return terni_null(TERN_ERR_SHAPE, "repeat_interleave_by: repeats %s for dimension %d of %s",
                          terni_describe(repeats), dim, terni_describe(x));
    int64_t total;
    int64_t *rows = repeated(repeats, &total);
    tern_tensor *index = rows ? tern_from(rows, TERN_SHAPE(total), (tern_options){TERN_I64, x->device}) : NULL;
    terni_mfree(rows);
    return index ? tern_index_select(x, d, index) : NULL;
}
