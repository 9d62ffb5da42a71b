/* Ops that return several views at once. */
#include "internal.h"

static bool ready(const char *op, const void *x, tern_tensor **out, int n) {
    for (int i = 0; out && i < n; i++) out[i] = NULL;
    return terni_given(x, op, "x") && terni_given(out, op, "out");
}

/* After a failure the views that were made already are not handed out. */
static bool all_or_none(bool ok, tern_tensor **out, int n) {
    for (int i = 0; !ok && i < n; i++) out[i] = NULL;
    return ok;
}

bool tern_split_sizes(tern_tensor *x, const int64_t *sizes, int n, int dim, tern_tensor **out) {
    if (!ready("split_sizes", x, out, n) || !terni_given(sizes, "split_sizes", "sizes")) return false;
    const int d = terni_dim("split_sizes", dim, x->v.ndim);
    if (d < 0) return false;
    int64_t rest = x->v.shape[d], at = 0;
    bool fits = true;
    for (int i = 0; i < n && fits; i++) {
        fits = sizes[i] >= 0 && sizes[i] <= rest;
        if (fits) rest -= sizes[i];
    }
    if (!fits || rest)
        return terni_fail(TERN_ERR_SHAPE, "split_sizes: the %d sizes do not sum to dimension %d of %s", n, dim,
                          terni_describe(x));
    for (int i = 0; i < n; at += sizes[i++])
        if (!(out[i] = tern_slice(x, d, at, at + sizes[i], 1))) return all_or_none(false, out, n);
    return true;
}

bool tern_split(tern_tensor *x, int64_t size, int dim, tern_tensor **out, int n) {
    if (!ready("split", x, out, n)) return false;
    const int d = terni_dim("split", dim, x->v.ndim);
    if (d < 0) return false;
    const int64_t all = x->v.shape[d];
    if (size < 1 || n != (all ? (all - 1) / size + 1 : 1))
        return terni_fail(TERN_ERR_ARGUMENT, "split: dimension %d of %s into %d parts of %lld", dim, terni_describe(x),
                          n, (long long)size);
    for (int i = 0; i < n; i++)
        if (!(out[i] = tern_slice(x, d, i * size, i + 1 < n ? (i + 1) * size : all, 1)))
            return all_or_none(false, out, n);
    return true;
}

bool tern_chunk(tern_tensor *x, int n, int dim, tern_tensor **out) {
    if (!ready("chunk", x, out, n)) return false;
    const int d = terni_dim("chunk", dim, x->v.ndim);
    if (d < 0) return false;
    if (n < 1) return terni_fail(TERN_ERR_ARGUMENT, "chunk: %d parts; expected 1 or more", n);
    const int64_t all = x->v.shape[d], size = all ? (all - 1) / n + 1 : 0;
    for (int i = 0; i < n; i++) {
        const int64_t from = size && i > all / size ? all : i * size; /* slice cuts both to the size */
        if (!(out[i] = tern_slice(x, d, from, from > all - size ? all : from + size, 1)))
            return all_or_none(false, out, n);
    }
    return true;
}

bool tern_unbind(tern_tensor *x, int dim, tern_tensor **out, int n) {
    if (!ready("unbind", x, out, n)) return false;
    const int d = terni_dim("unbind", dim, x->v.ndim);
    if (d < 0) return false;
    if (n != x->v.shape[d])
        return terni_fail(TERN_ERR_ARGUMENT, "unbind: dimension %d of %s into %d", dim, terni_describe(x), n);
    for (int i = 0; i < n; i++)
        if (!(out[i] = tern_select(x, d, i))) return all_or_none(false, out, n);
    return true;
}

static bool list_given(const char *op, tern_tensor *const *x, int n, tern_tensor **out) {
    if (!out) return terni_given(out, op, "out");
    bool ok = terni_given(x, op, "x") &&
              (n > 0 || terni_fail(TERN_ERR_ARGUMENT, "%s: %d tensors; expected 1 or more", op, n));
    for (int i = 0; ok && i < n; i++) ok = terni_given(x[i], op, "x");
    return all_or_none(ok, out, n);
}

bool tern_broadcast_tensors(tern_tensor *const *x, int n, tern_tensor **out) {
    if (!list_given("broadcast_tensors", x, n, out)) return false;
    tern_shape s = terni_shape(x[0]);
    for (int i = 1; i < n; i++)
        if (!terni_broadcast("broadcast_tensors", s, terni_shape(x[i]), &s)) return all_or_none(false, out, n);
    for (int i = 0; i < n; i++) {
        tern_tensor *wide = tern_expand(x[i], s);
        if (!wide) return all_or_none(false, out, n);
        out[i] = wide;
    }
    return true;
}

bool tern_meshgrid(tern_tensor *const *x, int n, tern_tensor **out) {
    if (!list_given("meshgrid", x, n, out)) return false;
    tern_shape s = {.ndim = n};
    bool ok = n <= TERN_MAX_DIMS || terni_fail(TERN_ERR_SHAPE, "meshgrid: %d tensors; at most %d", n, TERN_MAX_DIMS);
    for (int i = 0; ok && i < n; i++) {
        if (x[i]->v.ndim != 1)
            ok = terni_fail(TERN_ERR_SHAPE, "meshgrid: x[%d] %s; expected 1 dimension", i, terni_describe(x[i]));
        s.dim[i] = x[i]->v.shape[0];
    }
    ok = ok && terni_shape_check("meshgrid", &s, TERN_F64);
    for (int i = 0; ok && i < n; i++) {
        tern_shape line = {.ndim = n};
        for (int d = 0; d < n; d++) line.dim[d] = d == i ? s.dim[i] : 1;
        tern_tensor *wide = tern_expand(tern_reshape(x[i], line), s);
        ok = wide != NULL;
        out[i] = wide;
    }
    return all_or_none(ok, out, n);
}
