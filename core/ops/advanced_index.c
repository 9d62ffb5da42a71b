/* Several index tensors at once: neighbouring dimensions are seen as one, and the indices as one number in it. */
#include "casting.h"
#include "scatter.h"

typedef struct plan {
    int n;                             /* indexed dimensions */
    int dim[TERN_MAX_DIMS];            /* of x, ascending */
    tern_tensor *index[TERN_MAX_DIMS]; /* i64 or i32 */
    tern_shape shape;                  /* in which the indices meet */
    int order[TERN_MAX_DIMS];          /* of x's dimensions, so that the indexed ones are neighbours */
    bool permuted;
    int first;               /* the first indexed one in that order */
    tern_shape wide, result; /* of x in that order; of what tern_index gives */
} plan;

/* A bool index is the columns of its nonzero. */
static bool add_mask(const char *op, const tern_tensor *x, tern_tensor *mask, int *at, plan *p) {
    const int n = mask->v.ndim;
    bool fits = n > 0 && *at + n <= x->v.ndim;
    for (int d = 0; fits && d < n; d++) fits = mask->v.shape[d] == x->v.shape[*at + d];
    if (!fits)
        return terni_fail(TERN_ERR_SHAPE, "%s: mask %s does not fit x %s at dimension %d", op, terni_describe(mask),
                          terni_describe(x), *at);
    tern_tensor *all = tern_nonzero(mask);
    for (int d = 0; all && d < n; d++) {
        p->dim[p->n] = *at + d;
        if (!(p->index[p->n++] = tern_select(all, 1, d))) return false;
    }
    *at += n;
    return all != NULL;
}

static bool collect(const char *op, tern_tensor *x, tern_tensor *const *indices, int n, plan *p) {
    if (n < 0 || (n > 0 && !indices)) return terni_fail(TERN_ERR_ARGUMENT, "%s: %d indices, or NULL", op, n);
    int at = 0;
    for (int i = 0; i < n; i++) {
        tern_tensor *t = indices[i];
        if (t && terni_dtype(t) == TERN_BOOL) {
            if (!add_mask(op, x, t, &at, p)) return false;
            continue;
        }
        if (at >= x->v.ndim) return terni_fail(TERN_ERR_SHAPE, "%s: too many indices for %s", op, terni_describe(x));
        if (t && !terni_index_given(op, t)) return false;
        if (t) {
            p->dim[p->n] = at;
            p->index[p->n++] = t;
        }
        at++;
    }
    for (int i = 0; i < p->n; i++)
        if (!terni_broadcast(op, p->shape, terni_shape(p->index[i]), &p->shape)) return false;
    tern_tensor *all[TERN_MAX_DIMS + 1] = {x};
    for (int i = 0; i < p->n; i++) all[i + 1] = p->index[i];
    return terni_same_device(op, all, p->n + 1, NULL);
}

/* The order of the dimensions, and the shapes that follow. */
static bool arrange(const char *op, const tern_tensor *x, plan *p) {
    const int ndim = x->v.ndim, more = p->shape.ndim - p->n;
    bool indexed[TERN_MAX_DIMS] = {false};
    for (int i = 0; i < p->n; i++) indexed[p->dim[i]] = true;
    p->permuted = p->dim[p->n - 1] - p->dim[0] != p->n - 1;
    p->first = p->permuted ? 0 : p->dim[0];
    int k = 0;
    if (p->permuted)
        for (int i = 0; i < p->n; i++) p->order[k++] = p->dim[i];
    for (int d = 0; d < ndim; d++)
        if (!p->permuted || !indexed[d]) p->order[k++] = d;
    p->wide.ndim = ndim;
    for (int d = 0; d < ndim; d++) p->wide.dim[d] = x->v.shape[p->order[d]];
    if (ndim + more > TERN_MAX_DIMS)
        return terni_fail(TERN_ERR_SHAPE, "%s: the result of %s by indices %s has more than %d dimensions", op,
                          terni_describe(x), terni_shape_str(p->shape), TERN_MAX_DIMS);
    p->result.ndim = ndim + more;
    for (int d = 0; d < p->first; d++) p->result.dim[d] = p->wide.dim[d];
    for (int d = 0; d < p->shape.ndim; d++) p->result.dim[p->first + d] = p->shape.dim[d];
    for (int d = p->first + p->n; d < ndim; d++) p->result.dim[d + more] = p->wide.dim[d];
    return terni_shape_check(op, &p->result, terni_dtype(x));
}

/* All indices as one, 1-dim, checked and not negative. */
static tern_tensor *linear(const char *op, const tern_tensor *x, const plan *p) {
    if (!terni_shape_check(op, &p->shape, TERN_I64)) return NULL;
    tern_tensor *y = tern_zeros(p->shape, (tern_options){TERN_I64, x->device});
    for (int i = 0; y && i < p->n; i++) {
        const terni_linear_opts o = {x->v.shape[p->dim[i]], p->dim[i], op};
        tern_tensor *index = tern_expand(p->index[i], p->shape);
        if (!index || !terni_run(TERNI_OP_linear_index, &index, 1, &y, 1, &o)) return NULL;
    }
    return y ? tern_reshape(y, TERN_SHAPE(-1)) : NULL;
}

/* x in p's order with the indexed dimensions as one. */
static tern_tensor *merged(tern_tensor *x, const plan *p) {
    if (p->permuted) x = tern_permute(x, p->order, x->v.ndim);
    return x ? tern_flatten(x, p->first, p->first + p->n - 1) : NULL;
}

static tern_tensor *pick(const char *op, tern_tensor *x, const plan *p) {
    tern_tensor *at = linear(op, x, p);
    return at ? tern_reshape(tern_index_select(merged(x, p), p->first, at), p->result) : NULL;
}

tern_tensor *tern_index(tern_tensor *x, tern_tensor *const *indices, int n) {
    plan p = {0};
    if (!terni_given(x, "index", "x")) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *y = NULL;
    if (collect("index", x, indices, n, &p)) {
        if (p.n == 0)
            y = x;
        else if (arrange("index", x, &p))
            y = pick("index", x, &p);
    }
    if (y == x) {
        tern_scope_pop(scope);
        return x;
    }
    return tern_scope_return(scope, y);
}

static tern_tensor *store(const char *op, tern_tensor *x, const plan *p, tern_tensor *values, bool accumulate) {
    tern_shape s;
    if (!terni_broadcast(op, p->result, terni_shape(values), &s)) return NULL;
    if (!tern_shape_equal(s, p->result))
        return terni_null(TERN_ERR_SHAPE, "%s: values %s do not broadcast to %s", op, terni_describe(values),
                          terni_shape_str(p->result));
    tern_tensor *at = linear(op, x, p), *wide = at ? merged(x, p) : NULL;
    if (!wide) return NULL;
    tern_shape rows = terni_shape(wide);
    rows.dim[p->first] = at->numel;
    values = tern_reshape(tern_expand(values, s), rows);
    if (!values) return NULL;
    tern_tensor *y = accumulate ? tern_index_add(wide, p->first, at, values)
                                : terni_index_copy(op, wide, p->first, at, values, false);
    y = tern_reshape(y, p->wide);
    if (!y || !p->permuted) return y;
    int back[TERN_MAX_DIMS];
    for (int d = 0; d < x->v.ndim; d++) back[p->order[d]] = d;
    return tern_permute(y, back, x->v.ndim);
}

static bool values_fit(const char *op, tern_tensor *x, tern_tensor *values) {
    if (!terni_given(x, op, "x") || !terni_given(values, op, "values")) return false;
    if (x->v.dtype != values->v.dtype)
        return terni_fail(TERN_ERR_DTYPE, "%s: x %s and values %s", op, terni_describe(x), terni_describe(values));
    return terni_same_device(op, (tern_tensor *const[]){x, values}, 2, NULL);
}

tern_tensor *tern_index_put(tern_tensor *x, tern_tensor *const *indices, int n, tern_tensor *values, bool accumulate) {
    TERNI_AUTOCAST(WIDEST, &x, &values);
    plan p = {0};
    if (!values_fit("index_put", x, values)) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *y = NULL;
    if (collect("index_put", x, indices, n, &p)) {
        if (p.n == 0)
            terni_fail(TERN_ERR_ARGUMENT, "index_put: no index for %s", terni_describe(x));
        else if (arrange("index_put", x, &p))
            y = store("index_put", x, &p, values, accumulate);
    }
    return tern_scope_return(scope, y);
}

/* Into t itself where what is merged is a view of it, else by way of a copy. */
static bool store_into(const char *op, tern_tensor *t, const plan *p, tern_tensor *values, bool accumulate) {
    tern_tensor *at = linear(op, t, p), *wide = at ? merged(t, p) : NULL;
    if (!wide || wide->storage != t->storage) {
        tern_tensor *y = wide ? store(op, t, p, values, accumulate) : NULL;
        return y && tern_copy_(t, y);
    }
    tern_shape rows = terni_shape(wide), s;
    rows.dim[p->first] = at->numel;
    if (!terni_broadcast(op, p->result, terni_shape(values), &s)) return false;
    if (!tern_shape_equal(s, p->result))
        return terni_fail(TERN_ERR_SHAPE, "%s: values %s do not broadcast to %s", op, terni_describe(values),
                          terni_shape_str(p->result));
    values = tern_reshape(tern_expand(values, s), rows);
    if (!values) return false;
    if (accumulate) return tern_index_add_(wide, p->first, at, values) != NULL;
    return tern_index_copy_(wide, p->first, at, values) != NULL;
}

tern_tensor *tern_index_put_(tern_tensor *t, tern_tensor *const *indices, int n, tern_tensor *values, bool accumulate) {
    static const char op[] = "index_put_";
    plan p = {0};
    if (!values_fit(op, t, values)) return NULL;
    const terni_in_place kind = terni_in_place_begin(op, NULL, t, &values, 1);
    if (kind == TERNI_REFUSED) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *r = NULL;
    if (collect(op, t, indices, n, &p)) {
        if (p.n == 0)
            terni_fail(TERN_ERR_ARGUMENT, "%s: no index for %s", op, terni_describe(t));
        else if (arrange(op, t, &p)) {
            tern_tensor *const old = kind == TERNI_RECORDED ? terni_in_place_old(t) : t;
            if (kind == TERNI_RECORDED)
                r = old ? terni_in_place_end(op, t, store(op, old, &p, values, accumulate)) : NULL;
            else
                r = store_into(op, t, &p, values, accumulate) ? t : NULL;
        }
    }
    tern_scope_pop(scope);
    return r;
}

/* ---- by number, in row-major order --------------------------------------------------------------------------------
 */

static bool flat_plan(const char *op, tern_tensor **x, tern_tensor *index, plan *p) {
    if (!terni_given(*x, op, "x") || !terni_index_given(op, index) ||
        !terni_same_device(op, (tern_tensor *const[]){*x, index}, 2, NULL))
        return false;
    *x = tern_reshape(*x, TERN_SHAPE(-1));
    *p = (plan){.n = 1, .index = {index}, .shape = terni_shape(index)};
    return *x && arrange(op, *x, p);
}

tern_tensor *tern_take(tern_tensor *x, tern_tensor *index) {
    plan p;
    return flat_plan("take", &x, index, &p) ? pick("take", x, &p) : NULL;
}

tern_tensor *tern_put(tern_tensor *x, tern_tensor *index, tern_tensor *src, bool accumulate) {
    TERNI_AUTOCAST(WIDEST, &x, &src);
    plan p;
    if (!values_fit("put", x, src)) return NULL;
    const tern_shape s = terni_shape(x);
    if (!flat_plan("put", &x, index, &p)) return NULL;
    if (!tern_shape_equal(terni_shape(index), terni_shape(src)))
        return terni_null(TERN_ERR_SHAPE, "put: index %s and src %s have different shapes", terni_describe(index),
                          terni_describe(src));
    tern_tensor *y = store("put", x, &p, src, accumulate);
    return y ? tern_reshape(y, s) : NULL;
}

tern_tensor *tern_take_along_dim(tern_tensor *x, tern_tensor *index, int dim) {
    static const char op[] = "take_along_dim";
    if (!terni_given(x, op, "x") || !terni_index_given(op, index)) return NULL;
    const int d = terni_dim(op, dim, x->v.ndim);
    if (d < 0) return NULL;
    tern_shape xs = terni_shape(x), is = terni_shape(index), s;
    if (xs.ndim != is.ndim)
        return terni_null(TERN_ERR_SHAPE, "%s: x %s and index %s", op, terni_describe(x), terni_describe(index));
    const int64_t size = xs.dim[d], count = is.dim[d];
    xs.dim[d] = is.dim[d] = 1;
    if (!terni_broadcast(op, xs, is, &s) || !terni_same_device(op, (tern_tensor *const[]){x, index}, 2, NULL))
        return NULL;
    const plan p = {.n = 1, .dim = {d}, .index = {index}, .shape = terni_shape(index)};
    tern_tensor *at = linear(op, x, &p);
    if (!at) return NULL;
    at = tern_reshape(at, p.shape);
    xs = is = s;
    xs.dim[d] = size;
    is.dim[d] = count;
    return terni_shape_check(op, &is, TERN_I64) ? tern_gather(tern_expand(x, xs), d, tern_expand(at, is)) : NULL;
}
