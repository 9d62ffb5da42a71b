/* searchsorted, bucketize, isin, unique, mode, bincount, histogram: where values belong, and how many there are. No
 * gradients, but of mode and for the weights. */
#include <math.h>

#include "internal.h"

static tern_tensor *search(const char *op, tern_tensor *sorted, tern_tensor *values, bool right) {
    if (!terni_given(sorted, op, "sorted") || !terni_given(values, op, "values") ||
        !terni_same_device(op, (tern_tensor *const[]){sorted, values}, 2, NULL))
        return NULL;
    const int ndim = sorted->v.ndim;
    if (ndim == 0) return terni_null(TERN_ERR_SHAPE, "%s: sorted %s has no dimension", op, terni_describe(sorted));
    bool fits = ndim == 1 || ndim == values->v.ndim;
    for (int i = 0; fits && i < ndim - 1; i++) fits = sorted->v.shape[i] == values->v.shape[i];
    if (!fits)
        return terni_null(TERN_ERR_SHAPE, "%s: sorted %s and values %s differ before the last dimension", op,
                          terni_describe(sorted), terni_describe(values));
    const tern_dtype d = tern_dtype_promote(terni_dtype(sorted), terni_dtype(values));
    const int64_t n = sorted->v.shape[ndim - 1], rows = ndim == 1 ? 1 : values->v.ndim ? -1 : 1;
    const int64_t m = ndim == 1 ? values->numel : values->v.shape[ndim - 1];
    tern_tensor *y = terni_new(terni_shape(values), TERN_I64, values->device);
    tern_tensor *s = terni_dense(terni_as(sorted, d)), *v = terni_dense(terni_as(values, d));
    if (!y || !s || !v || y->numel == 0) return y && s && v ? y : NULL;
    const int64_t r = rows == 1 ? 1 : values->numel / m;
    const terni_view sv = {.data = s->v.data, .shape = {r, n}, .strides = {n, 1}, .ndim = 2, .dtype = (int32_t)d};
    const terni_view vv = {.data = v->v.data, .shape = {r, m}, .strides = {m, 1}, .ndim = 2, .dtype = (int32_t)d};
    const terni_view yv = {.data = y->v.data, .shape = {r, m}, .strides = {m, 1}, .ndim = 2, .dtype = TERN_I64};
    const terni_view *const in[2] = {&sv, &vv}, *const out[1] = {&yv};
    const terni_search_opts o = {right};
    return terni_run_views(TERNI_OP_searchsorted, y->device, in, 2, out, 1, &o) ? y : NULL;
}

tern_tensor *tern_searchsorted(tern_tensor *sorted, tern_tensor *values, bool right) {
    TERNI_NAMED("searchsorted");
    const int scope = tern_scope_push();
    return tern_scope_return(scope, search("searchsorted", sorted, values, right));
}

tern_tensor *tern_bucketize(tern_tensor *x, tern_tensor *boundaries, bool right) {
    TERNI_NAMED("bucketize");
    if (!terni_given(x, "bucketize", "x") || !terni_given(boundaries, "bucketize", "boundaries")) return NULL;
    if (boundaries->v.ndim != 1)
        return terni_null(TERN_ERR_SHAPE, "bucketize: boundaries %s, expected one dimension",
                          terni_describe(boundaries));
    const int scope = tern_scope_push();
    return tern_scope_return(scope, search("bucketize", boundaries, x, right));
}

tern_tensor *tern_isin(tern_tensor *x, tern_tensor *values) {
    TERNI_NAMED("isin");
    if (!terni_given(x, "isin", "x") || !terni_given(values, "isin", "values") ||
        !terni_same_device("isin", (tern_tensor *const[]){x, values}, 2, NULL))
        return NULL;
    if (!values->numel) return tern_zeros(terni_shape(x), (tern_options){TERN_BOOL, x->device});
    const tern_dtype d = tern_dtype_promote(terni_dtype(x), terni_dtype(values));
    const int scope = tern_scope_push();
    tern_tensor *flat = tern_reshape(terni_as(values, d), TERN_SHAPE(values->numel));
    tern_tensor *sorted = flat ? tern_sort(flat, 0, false, NULL) : NULL;
    tern_tensor *each = sorted ? tern_reshape(terni_as(x, d), TERN_SHAPE(x->numel)) : NULL;
    tern_tensor *at = each ? search("isin", sorted, each, false) : NULL;
    if (at) at = tern_clamp(at, 0, (double)(values->numel - 1)); /* beyond the last one: not equal to it */
    tern_tensor *y = at ? tern_eq(tern_index_select(sorted, 0, at), each) : NULL;
    return tern_scope_return(scope, y ? tern_reshape(y, terni_shape(x)) : NULL);
}

/* ---- unique
 * ----------------------------------------------------------------------------------------------------------- */

/* Of n >= 1 sorted values: where a new one begins, bool [n]. */
static tern_tensor *begins(tern_tensor *sorted, int64_t n) {
    tern_tensor *first = tern_ones(TERN_SHAPE(1), (tern_options){TERN_BOOL, sorted->device});
    tern_tensor *a = tern_slice(sorted, 0, 1, n, 1), *b = tern_slice(sorted, 0, 0, n - 1, 1);
    tern_tensor *const both[2] = {first, tern_ne(a, b)};
    return both[0] && both[1] ? tern_cat(both, 2, 0) : NULL;
}

static bool unique(tern_tensor *x, tern_tensor **out) { /* values, inverse, counts */
    const tern_options whole = {TERN_I64, x->device};
    tern_tensor *flat = tern_reshape(x, TERN_SHAPE(-1 + (x->numel == 0))), *at;
    if (!flat) return false;
    const int64_t n = x->numel;
    if (n == 0) {
        out[0] = flat;
        out[1] = tern_zeros(terni_shape(x), whole);
        out[2] = tern_zeros(TERN_SHAPE(0), whole);
        return out[1] && out[2];
    }
    tern_tensor *sorted = tern_sort(flat, 0, false, &at), *start = sorted ? begins(sorted, n) : NULL;
    if (!start) return false;
    tern_tensor *group = tern_sub_scalar(tern_cumsum(start, 0), 1); /* of each sorted element */
    out[0] = tern_masked_select(sorted, start);
    tern_tensor *inverse = tern_scatter(tern_zeros(TERN_SHAPE(n), whole), 0, at, group);
    out[1] = inverse ? tern_reshape(inverse, terni_shape(x)) : NULL;
    out[2] = out[0] ? tern_index_add(tern_zeros(terni_shape(out[0]), whole), 0, group, tern_ones(TERN_SHAPE(n), whole))
                    : NULL;
    return out[0] && out[1] && out[2];
}

tern_tensor *tern_unique(tern_tensor *x, tern_tensor **inverse, tern_tensor **counts) {
    TERNI_NAMED("unique");
    tern_tensor *out[3] = {NULL, NULL, NULL};
    if (inverse) *inverse = NULL;
    if (counts) *counts = NULL;
    if (!terni_given(x, "unique", "x") || !unique(tern_detach(x), out)) return NULL;
    if (inverse) *inverse = out[1];
    if (counts) *counts = out[2];
    return out[0];
}

/* ---- mode ---------------------------------------------------------------------------------------------------------
 */

/* Along dimension d of size n >= 1, the place of the mode, with a size of 1 left there. Of sorted elements each is the
 * (i - s)th of its run, that began at s; the first with the largest i - s is the end of the smallest longest run. */
static tern_tensor *place_of_mode(tern_tensor *x, int d, int64_t n) {
    tern_tensor *at, *sorted = tern_sort(x, d, false, &at);
    if (!sorted) return NULL;
    int64_t pads[2 * TERN_MAX_DIMS] = {0};
    const int dims = 2 * (x->v.ndim - d);
    pads[dims - 2] = 1;
    tern_tensor *start = tern_ne(tern_slice(sorted, d, 1, n, 1), tern_slice(sorted, d, 0, n - 1, 1));
    start = start ? tern_pad(start, pads, dims, (tern_pad_opts){0}) : NULL;
    tern_shape along = {x->v.ndim, {0}};
    for (int i = 0; i < along.ndim; i++) along.dim[i] = i == d ? n : 1;
    const tern_options whole = {TERN_I64, x->device};
    tern_tensor *i = tern_reshape(tern_arange(0, (double)n, whole), along);
    tern_tensor *from = start && i ? tern_where(start, i, tern_zeros(tern_shape_scalar(), whole)) : NULL;
    from = from ? tern_cummax(from, d, NULL) : NULL;
    tern_tensor *end = from ? tern_argmax(tern_sub(i, from), d, true) : NULL;
    return end ? tern_gather(at, d, end) : NULL;
}

tern_tensor *tern_mode(tern_tensor *x, int dim, bool keepdim, tern_tensor **indices) {
    TERNI_NAMED("mode");
    if (indices) *indices = NULL;
    if (!terni_given(x, "mode", "x")) return NULL;
    const bool scalar = x->v.ndim == 0 && (dim == 0 || dim == -1);
    const int d = scalar ? 0 : terni_dim("mode", dim, x->v.ndim);
    if (d < 0) return NULL;
    if (!scalar && x->v.shape[d] == 0)
        return terni_null(TERN_ERR_SHAPE, "mode: %s has no elements to choose from", terni_describe(x));
    if (scalar && !(x = tern_unsqueeze(x, 0))) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *at = tern_scope_return(scope, place_of_mode(tern_detach(x), d, x->v.shape[d]));
    tern_tensor *y = at ? tern_gather(x, d, at) : NULL;
    if (y && (scalar || !keepdim)) {
        y = tern_squeeze(y, d);
        at = tern_squeeze(at, d);
    }
    if (indices && y) *indices = at;
    return y;
}

/* ---- bincount, histogram
 * ------------------------------------------------------------------------------------------------ */

tern_tensor *tern_bincount(tern_tensor *x, tern_tensor *weights, int64_t min_length) {
    TERNI_NAMED("bincount");
    if (!terni_given(x, "bincount", "x")) return NULL;
    const tern_dtype d = terni_dtype(x);
    if (tern_dtype_is_float(d) || d == TERN_BOOL)
        return terni_null(TERN_ERR_DTYPE, "bincount: %s is not an integer tensor", terni_describe(x));
    if (x->v.ndim != 1) return terni_null(TERN_ERR_SHAPE, "bincount: %s, expected one dimension", terni_describe(x));
    if (weights && !tern_shape_equal(terni_shape(weights), terni_shape(x)))
        return terni_null(TERN_ERR_SHAPE, "bincount: weights %s for %s", terni_describe(weights), terni_describe(x));
    if (min_length < 0) return terni_null(TERN_ERR_ARGUMENT, "bincount: a length of %lld", (long long)min_length);
    const int scope = tern_scope_push();
    const int64_t top = x->numel ? tern_item_i64(tern_max(x, NULL, 0, false)) : -1;
    const int64_t low = x->numel ? tern_item_i64(tern_min(x, NULL, 0, false)) : 0;
    if (low < 0) terni_fail(TERN_ERR_ARGUMENT, "bincount: %lld is below 0", (long long)low);
    const int64_t n = top < INT64_MAX && top + 1 > min_length ? top + 1 : min_length;
    tern_tensor *w = weights ? weights : tern_ones(terni_shape(x), (tern_options){TERN_I64, x->device});
    tern_tensor *zero = tern_zeros(TERN_SHAPE(n), (tern_options){w ? terni_dtype(w) : TERN_I64, x->device});
    return tern_scope_return(scope, tern_index_add(zero, 0, tern_cast(x, TERN_I64), w));
}

tern_tensor *tern_histogram(tern_tensor *x, tern_tensor *edges, tern_tensor *weights) {
    TERNI_NAMED("histogram");
    if (!terni_given(x, "histogram", "x") || !terni_given(edges, "histogram", "edges")) return NULL;
    if (edges->v.ndim != 1 || edges->numel < 2)
        return terni_null(TERN_ERR_SHAPE, "histogram: edges %s, expected one dimension of 2 or more",
                          terni_describe(edges));
    if (weights && !tern_shape_equal(terni_shape(weights), terni_shape(x)))
        return terni_null(TERN_ERR_SHAPE, "histogram: weights %s for %s", terni_describe(weights), terni_describe(x));
    const int scope = tern_scope_push();
    const int64_t bins = edges->numel - 1, n = x->numel;
    tern_tensor *flat = tern_reshape(tern_detach(x), TERN_SHAPE(n));
    /* Slot 0 is for what lies below, bins + 1 for what lies above; the last edge belongs to the last bin. */
    tern_tensor *slot = search("histogram", tern_detach(edges), flat, true), *last = tern_select(edges, 0, bins);
    slot = last && slot
               ? tern_where(tern_eq(flat, last),
                            tern_full(tern_shape_scalar(), (double)bins, (tern_options){TERN_I64, x->device}), slot)
               : NULL;
    const tern_options o = {weights ? terni_dtype(weights) : TERN_I64, x->device};
    tern_tensor *w = weights ? tern_reshape(weights, TERN_SHAPE(n)) : tern_ones(TERN_SHAPE(n), o);
    tern_tensor *all = slot && w ? tern_index_add(tern_zeros(TERN_SHAPE(bins + 2), o), 0, slot, w) : NULL;
    return tern_scope_return(scope, all ? tern_slice(all, 0, 1, bins + 1, 1) : NULL);
}

tern_tensor *tern_histc(tern_tensor *x, int64_t bins, double lo, double hi) {
    TERNI_NAMED("histc");
    if (!terni_given(x, "histc", "x")) return NULL;
    if (bins < 1 || bins >= INT64_MAX - 1) return terni_null(TERN_ERR_ARGUMENT, "histc: %lld bins", (long long)bins);
    if (!(lo < hi) || !isfinite(lo) || !isfinite(hi))
        return terni_null(TERN_ERR_ARGUMENT, "histc: from %g to %g", lo, hi);
    const int scope = tern_scope_push();
    tern_tensor *edges = tern_linspace(lo, hi, bins + 1, (tern_options){TERN_F64, x->device});
    return tern_scope_return(scope, edges ? tern_histogram(x, edges, NULL) : NULL);
}
