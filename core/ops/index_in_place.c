/* The in-place forms of the ops that write by index. */
#include "scatter.h"

/* t, or a copy if it lies in t's storage. */
static tern_tensor *apart(tern_tensor *x, const tern_tensor *t) {
    return x && x->storage == t->storage && x->numel ? terni_as(tern_clone(tern_detach(x)), terni_dtype(x)) : x;
}

tern_tensor *terni_write_into(tern_tensor *t, int kernel, tern_tensor *index, tern_tensor *src, const void *opts) {
    const int scope = tern_scope_push();
    tern_tensor *in[2] = {apart(index, t), apart(src, t)}, *to = terni_dense(t);
    bool ok = in[0] && in[1] && to && terni_run(kernel, in, 2, &to, 1, opts);
    if (ok && to != t) ok = terni_run(TERNI_OP_copy, &to, 1, &t, 1, NULL);
    if (ok) terni_changed(t);
    tern_scope_pop(scope);
    return ok ? t : NULL;
}

typedef tern_tensor *(*plain_form)(tern_tensor *x, int dim, tern_tensor *index, tern_tensor *src);

/* The operands were checked. wide: the kernel takes the index as scatter does, but it is 1-dim. */
static tern_tensor *change(const char *op, plain_form form, int kernel, const void *opts, bool wide, tern_tensor *t,
                           int dim, tern_tensor *index, tern_tensor *src) {
    const terni_in_place kind = terni_in_place_begin(op, NULL, t, (tern_tensor *const[]){index, src}, 2);
    if (kind == TERNI_REFUSED) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *r = NULL;
    if (kind == TERNI_PLAIN) {
        tern_tensor *i = wide ? terni_index_wide(index, terni_shape(src), dim) : index;
        r = i ? terni_write_into(t, kernel, i, src, opts) : NULL;
    } else {
        tern_tensor *old = terni_in_place_old(t);
        r = old ? terni_in_place_end(op, t, form(old, dim, index, src == t ? old : src)) : NULL;
    }
    tern_scope_pop(scope);
    return r;
}

tern_tensor *tern_index_add_(tern_tensor *t, int dim, tern_tensor *index, tern_tensor *src) {
    if (!terni_rows_fit("index_add_", t, &dim, index, src)) return NULL;
    const terni_dim_opts o = {dim, "index_add_"};
    return change(o.op, tern_index_add, TERNI_OP_index_add, &o, false, t, dim, index, src);
}

tern_tensor *tern_index_copy_(tern_tensor *t, int dim, tern_tensor *index, tern_tensor *src) {
    if (!terni_rows_fit("index_copy_", t, &dim, index, src)) return NULL;
    const terni_scatter_opts o = {dim, TERNI_SCATTER_SET, "index_copy_"};
    return change(o.op, tern_index_copy, TERNI_OP_scatter, &o, true, t, dim, index, src);
}

tern_tensor *tern_scatter_(tern_tensor *t, int dim, tern_tensor *index, tern_tensor *src) {
    if (!terni_places_fit("scatter_", t, &dim, index, src)) return NULL;
    const terni_scatter_opts o = {dim, TERNI_SCATTER_SET, "scatter_"};
    return change(o.op, tern_scatter, TERNI_OP_scatter, &o, false, t, dim, index, src);
}

tern_tensor *tern_scatter_add_(tern_tensor *t, int dim, tern_tensor *index, tern_tensor *src) {
    if (!terni_places_fit("scatter_add_", t, &dim, index, src)) return NULL;
    const terni_dim_opts o = {dim, "scatter_add_"};
    return change(o.op, tern_scatter_add, TERNI_OP_scatter_add, &o, false, t, dim, index, src);
}

/* ---- constants ----------------------------------------------------------------------------------------------------
 */

/* value where the index, as scatter takes it, says. */
static tern_tensor *fill(const char *op, tern_tensor *t, int dim, tern_tensor *index, double value) {
    terni_fill_opts c;
    if (!index || !terni_constant(op, terni_dtype(t), value, &c) ||
        !terni_same_device(op, (tern_tensor *const[]){t, index}, 2, NULL))
        return NULL;
    const terni_in_place kind = terni_in_place_begin(op, NULL, t, NULL, 0);
    if (kind == TERNI_REFUSED) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *r = NULL;
    if (kind == TERNI_PLAIN) {
        const terni_scatter_opts o = {dim, TERNI_SCATTER_SET, op};
        tern_tensor *one = tern_full(tern_shape_scalar(), value, (tern_options){terni_dtype(t), t->device});
        tern_tensor *src = tern_expand(one, terni_shape(index));
        r = src ? terni_write_into(t, TERNI_OP_scatter, index, src, &o) : NULL;
    } else {
        tern_tensor *old = terni_in_place_old(t);
        r = old ? terni_in_place_end(op, t, terni_scatter_fill(op, old, dim, index, &c)) : NULL;
    }
    tern_scope_pop(scope);
    return r;
}

tern_tensor *tern_scatter_value_(tern_tensor *t, int dim, tern_tensor *index, double value) {
    static const char op[] = "scatter_value_";
    if (!terni_given(t, op, "t") || !terni_index_given(op, index)) return NULL;
    const int d = terni_dim(op, dim, t->v.ndim);
    return d >= 0 && terni_gather_fits(op, t, index, d) ? fill(op, t, d, index, value) : NULL;
}

tern_tensor *tern_index_fill_(tern_tensor *t, int dim, tern_tensor *index, double value) {
    static const char op[] = "index_fill_";
    if (!terni_given(t, op, "t") || !terni_index_given(op, index)) return NULL;
    const int d = terni_dim(op, dim, t->v.ndim);
    if (d < 0) return NULL;
    if (index->v.ndim != 1)
        return terni_null(TERN_ERR_SHAPE, "%s: index %s has %d dimensions; expected 1", op, terni_describe(index),
                          index->v.ndim);
    return fill(op, t, d, terni_index_wide(index, terni_shape(t), d), value);
}

tern_tensor *tern_masked_fill_(tern_tensor *t, tern_tensor *mask, double value) {
    static const char op[] = "masked_fill_";
    terni_fill_opts c;
    tern_shape s;
    if (!terni_given(t, op, "t") || !terni_given(mask, op, "mask")) return NULL;
    if (terni_dtype(mask) != TERN_BOOL)
        return terni_null(TERN_ERR_DTYPE, "%s: mask %s is not bool", op, terni_describe(mask));
    if (!terni_constant(op, terni_dtype(t), value, &c) ||
        !terni_same_device(op, (tern_tensor *const[]){t, mask}, 2, NULL) ||
        !terni_broadcast(op, terni_shape(t), terni_shape(mask), &s))
        return NULL;
    if (!tern_shape_equal(s, terni_shape(t)))
        return terni_null(TERN_ERR_SHAPE, "%s: mask %s does not broadcast to %s", op, terni_describe(mask),
                          terni_describe(t));
    const terni_in_place kind = terni_in_place_begin(op, NULL, t, NULL, 0);
    if (kind == TERNI_REFUSED) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *r = NULL;
    if (kind == TERNI_PLAIN) {
        tern_tensor *one = tern_full(tern_shape_scalar(), value, (tern_options){terni_dtype(t), t->device});
        tern_tensor *in[3] = {tern_expand(apart(mask, t), s), tern_expand(one, s), t};
        if (in[0] && in[1] && terni_run(TERNI_OP_where, in, 3, &t, 1, NULL)) {
            terni_changed(t);
            r = t;
        }
    } else {
        tern_tensor *old = terni_in_place_old(t);
        r = old ? terni_in_place_end(op, t, tern_masked_fill(old, mask, value)) : NULL;
    }
    tern_scope_pop(scope);
    return r;
}

/* ---- by way of the plain forms -------------------------------------------------------------------------------------
 */

static tern_tensor *masked_scatter_form(tern_tensor *t, tern_tensor *const *b, const void *o) {
    (void)o;
    return tern_masked_scatter(t, b[0], b[1]);
}
static tern_tensor *put_form(tern_tensor *t, tern_tensor *const *b, const void *o) {
    return tern_put(t, b[0], b[1], *(const bool *)o);
}
typedef struct reduce_how {
    int dim;
    tern_scatter_reduction how;
    tern_scatter_reduce_opts opts;
} reduce_how;
static tern_tensor *scatter_reduce_form(tern_tensor *t, tern_tensor *const *b, const void *o) {
    const reduce_how *h = o;
    return tern_scatter_reduce(t, h->dim, b[0], b[1], h->how, h->opts);
}

tern_tensor *tern_masked_scatter_(tern_tensor *t, tern_tensor *mask, tern_tensor *src) {
    TERNI_NAMED("masked_scatter_");
    return terni_in_place_by("masked_scatter_", t, (tern_tensor *const[]){mask, src}, 2, masked_scatter_form, NULL);
}

tern_tensor *tern_put_(tern_tensor *t, tern_tensor *index, tern_tensor *src, bool accumulate) {
    TERNI_NAMED("put_");
    return terni_in_place_by("put_", t, (tern_tensor *const[]){index, src}, 2, put_form, &accumulate);
}

tern_tensor *tern_scatter_reduce_(tern_tensor *t, int dim, tern_tensor *index, tern_tensor *src,
                                  tern_scatter_reduction how, tern_scatter_reduce_opts opts) {
    TERNI_NAMED("scatter_reduce_");
    return terni_in_place_by("scatter_reduce_", t, (tern_tensor *const[]){index, src}, 2, scatter_reduce_form,
                             &(reduce_how){dim, how, opts});
}
