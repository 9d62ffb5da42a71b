/* nonzero, and what chooses by a mask. */
#include "casting.h"
#include "scatter.h"

/* The indices [count, ndim] of mask's true elements; waits for their number. */
static tern_tensor *indices_of(tern_tensor *mask) {
    tern_tensor *dense = terni_dense(mask), *sum = dense ? tern_sum(dense, NULL, 0, false) : NULL;
    if (!sum) return NULL;
    const int64_t count = tern_item_i64(sum);
    if (!tern_ok()) return NULL;
    tern_tensor *y = terni_new(TERN_SHAPE(count, mask->v.ndim), TERN_I64, mask->device);
    return y && terni_run(TERNI_OP_nonzero, &dense, 1, &y, 1, NULL) ? y : NULL;
}

tern_tensor *tern_nonzero(tern_tensor *x) {
    TERNI_NAMED("nonzero");
    if (!terni_given(x, "nonzero", "x")) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *mask = terni_as(x, TERN_BOOL);
    return tern_scope_return(scope, mask ? indices_of(mask) : NULL);
}

static bool mask_given(const char *op, tern_tensor *mask) {
    if (!terni_given(mask, op, "mask")) return false;
    if (terni_dtype(mask) == TERN_BOOL) return true;
    return terni_fail(TERN_ERR_DTYPE, "%s: mask %s is not bool", op, terni_describe(mask));
}

tern_tensor *tern_masked_fill(tern_tensor *x, tern_tensor *mask, double value) {
    terni_fill_opts o;
    tern_shape s;
    if (!terni_given(x, "masked_fill", "x") || !mask_given("masked_fill", mask) ||
        !terni_constant("masked_fill", terni_dtype(x), value, &o) ||
        !terni_same_device("masked_fill", (tern_tensor *const[]){x, mask}, 2, NULL) ||
        !terni_broadcast("masked_fill", terni_shape(x), terni_shape(mask), &s))
        return NULL;
    return tern_where(mask, tern_full(tern_shape_scalar(), value, (tern_options){terni_dtype(x), x->device}), x);
}

/* Positions, in row-major order, of mask's true elements: [count]. */
static tern_tensor *positions(tern_tensor *mask) {
    tern_tensor *flat = tern_reshape(mask, TERN_SHAPE(-1)), *at = flat ? indices_of(flat) : NULL;
    return at ? tern_reshape(at, TERN_SHAPE(-1)) : NULL;
}

tern_tensor *tern_masked_select(tern_tensor *x, tern_tensor *mask) {
    tern_shape s;
    if (!terni_given(x, "masked_select", "x") || !mask_given("masked_select", mask) ||
        !terni_same_device("masked_select", (tern_tensor *const[]){x, mask}, 2, NULL) ||
        !terni_broadcast("masked_select", terni_shape(x), terni_shape(mask), &s) ||
        !terni_shape_check("masked_select", &s, TERN_I64))
        return NULL;
    const int scope = tern_scope_push();
    tern_tensor *at = positions(tern_expand(mask, s));
    tern_tensor *y = at ? tern_index_select(tern_reshape(tern_expand(x, s), TERN_SHAPE(-1)), 0, at) : NULL;
    return tern_scope_return(scope, y);
}

tern_tensor *tern_masked_scatter(tern_tensor *x, tern_tensor *mask, tern_tensor *src) {
    TERNI_AUTOCAST(WIDEST, &x, &src);
    static const char op[] = "masked_scatter";
    tern_shape s;
    if (!terni_given(x, op, "x") || !mask_given(op, mask) || !terni_given(src, op, "src") ||
        !terni_same_device(op, (tern_tensor *const[]){x, mask, src}, 3, NULL) ||
        !terni_broadcast(op, terni_shape(x), terni_shape(mask), &s))
        return NULL;
    if (!tern_shape_equal(s, terni_shape(x)))
        return terni_null(TERN_ERR_SHAPE, "%s: mask %s does not broadcast to x %s", op, terni_describe(mask),
                          terni_describe(x));
    if (x->v.dtype != src->v.dtype)
        return terni_null(TERN_ERR_DTYPE, "%s: x %s and src %s", op, terni_describe(x), terni_describe(src));
    const int scope = tern_scope_push();
    tern_tensor *at = positions(tern_expand(mask, s)), *y = NULL;
    if (at && at->numel > src->numel)
        terni_fail(TERN_ERR_SHAPE, "%s: src %s for %lld elements", op, terni_describe(src), (long long)at->numel);
    if (at && tern_ok()) {
        tern_tensor *flat = tern_reshape(x, TERN_SHAPE(-1)),
                    *first = tern_slice(tern_reshape(src, TERN_SHAPE(-1)), 0, 0, at->numel, 1);
        y = flat && first ? tern_reshape(terni_index_copy(op, flat, 0, at, first, true), s) : NULL;
    }
    return tern_scope_return(scope, y);
}
