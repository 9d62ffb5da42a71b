/* unique_consecutive: runs of equal elements, made of other ops. */
#include "internal.h"

/* Where the runs of x [n], n >= 1, begin: [runs]. Waits for their number. */
static tern_tensor *beginnings(tern_tensor *x) {
    const int64_t n = x->numel;
    tern_tensor *differs[2] = {tern_ones(TERN_SHAPE(1), (tern_options){TERN_BOOL, x->device}),
                               tern_ne(tern_slice(x, 0, 1, n, 1), tern_slice(x, 0, 0, n - 1, 1))};
    tern_tensor *at = differs[1] ? tern_nonzero(tern_cat(differs, 2, 0)) : NULL;
    return at ? tern_reshape(at, TERN_SHAPE(-1)) : NULL;
}

/* How long each run is. */
static tern_tensor *lengths(tern_tensor *begin, int64_t n) {
    tern_tensor *end[2] = {tern_slice(begin, 0, 1, INT64_MAX, 1),
                           tern_full(TERN_SHAPE(1), (double)n, (tern_options){TERN_I64, begin->device})};
    return end[0] && end[1] ? tern_sub(tern_cat(end, 2, 0), begin) : NULL;
}

tern_tensor *tern_unique_consecutive(tern_tensor *x, tern_tensor **inverse, tern_tensor **counts) {
    TERNI_NAMED("unique_consecutive");
    if (inverse) *inverse = NULL;
    if (counts) *counts = NULL;
    if (!terni_given(x, "unique_consecutive", "x")) return NULL;
    const int scope = tern_scope_push();
    const tern_options i64 = {TERN_I64, x->device};
    tern_tensor *flat = tern_reshape(tern_detach(x), TERN_SHAPE(-1)), *y = flat, *which = NULL, *count = NULL;
    if (flat && flat->numel == 0) {
        y = tern_clone(flat);
        count = tern_zeros(TERN_SHAPE(0), i64);
        which = tern_zeros(terni_shape(x), i64);
    } else if (flat) {
        tern_tensor *begin = beginnings(flat);
        y = begin ? tern_index_select(flat, 0, begin) : NULL;
        count = y && (inverse || counts) ? lengths(begin, flat->numel) : NULL;
        if (count && inverse) {
            tern_tensor *run = tern_arange(0, (double)begin->numel, i64);
            which = run ? tern_reshape(tern_repeat_interleave_by(run, count, 0), terni_shape(x)) : NULL;
        }
    }
    const bool ok = tern_ok() && y;
    if (ok && inverse) tern_keep(which);
    if (ok && counts) tern_keep(count);
    y = tern_scope_return(scope, ok ? y : NULL);
    if (ok && inverse) *inverse = tern_give(which);
    if (ok && counts) *counts = tern_give(count);
    if (tern_ok()) return y;
    if (inverse) *inverse = NULL;
    if (counts) *counts = NULL;
    return NULL;
}
