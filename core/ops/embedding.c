/* embedding and embedding_bag: rows by index, and their sums. */
#include "ops/geometry.h"
#include "ops/normalise.h"

static bool index_dtype(const char *op, const char *what, const tern_tensor *t) {
    const tern_dtype d = terni_dtype(t);
    return d == TERN_I64 || d == TERN_I32 ||
           terni_fail(TERN_ERR_DTYPE, "%s: %s %s, expected i64 or i32", op, what, terni_describe(t));
}

/* The common checks; *padding counts from the start after them. */
static bool given(const char *op, tern_tensor *weight, tern_tensor *index, bool has_padding, int64_t *padding) {
    if (!terni_given(weight, op, "weight") || !terni_given(index, op, "index") ||
        !terni_same_device(op, (tern_tensor *const[]){weight, index}, 2, NULL))
        return false;
    if (!tern_dtype_is_float(terni_dtype(weight)))
        return terni_fail(TERN_ERR_DTYPE, "%s: weight %s is not a float tensor", op, terni_describe(weight));
    if (!index_dtype(op, "index", index)) return false;
    if (weight->v.ndim != 2)
        return terni_fail(TERN_ERR_SHAPE, "%s: weight %s, expected [V, E]", op, terni_describe(weight));
    if (!has_padding) return true;
    const int64_t rows = weight->v.shape[0], from = *padding;
    if (from < -rows || from >= rows)
        return terni_fail(TERN_ERR_INDEX, "%s: padding %lld for weight %s", op, (long long)from,
                          terni_describe(weight));
    *padding = from < 0 ? from + rows : from;
    return true;
}

/* ---- embedding: index_select, whose gradient leaves a row out ---------------------------------------------------- */

typedef struct padding_opts {
    int64_t row;
} padding_opts;

static bool rows_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    out[0] = tern_index_select(in[0], 0, in[1]);
    return out[0] && tern_ctx_save(ctx, in[1]);
}

static bool rows_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const padding_opts *o = tern_ctx_opts(ctx);
    tern_tensor *index = tern_ctx_saved(ctx, 0);
    if (!index) return false;
    tern_tensor *row = tern_scalar((double)o->row, (tern_options){terni_dtype(index), tern_cpu()});
    tern_tensor *kept = tern_masked_fill(gout[0], tern_unsqueeze(tern_eq(index, row), 1), 0);
    tern_tensor *zeros = tern_zeros(tern_ctx_shape(ctx, 0), (tern_options){tern_ctx_dtype(ctx, 0), index->device});
    gin[0] = tern_index_add(zeros, 0, index, kept);
    return gin[0] != NULL;
}

static const tern_function rows_function = {"embedding", 1, sizeof(padding_opts), rows_forward, rows_backward, NULL};

tern_tensor *tern_embedding(tern_tensor *weight, tern_tensor *index, tern_embedding_opts opts) {
    TERNI_NAMED("embedding");
    if (!given("embedding", weight, index, opts.has_padding, &opts.padding)) return NULL;
    tern_shape s = terni_shape(index);
    if (s.ndim == TERN_MAX_DIMS)
        return terni_null(TERN_ERR_SHAPE, "embedding: index %s has too many dimensions", terni_describe(index));
    s.dim[s.ndim++] = weight->v.shape[1];
    if (!terni_shape_check("embedding", &s, terni_dtype(weight))) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *flat = tern_reshape(index, TERN_SHAPE(index->numel)), *y = NULL;
    if (!opts.has_padding)
        y = tern_index_select(weight, 0, flat);
    else if (flat)
        tern_apply(&rows_function, (tern_tensor *const[]){weight, flat}, 2, &(padding_opts){opts.padding}, &y);
    return tern_scope_return(scope, y ? tern_reshape(y, s) : NULL);
}

/* ---- embedding_bag: the rows, added by bag ------------------------------------------------------------------------
 */

static const char bag_name[] = "embedding_bag";

typedef struct bags {
    int64_t n, kept;  /* bags; indices that count */
    int64_t *index;   /* kept indices, then */
    int64_t *at, *of; /* where each stood, and its bag */
    double *count;    /* of each bag, 1 at least */
} bags;

static int64_t *on_host(tern_tensor *t) {
    int64_t *p = terni_malloc((size_t)t->numel * sizeof *p + 1);
    tern_tensor *wide = p ? terni_as(t, TERN_I64) : NULL;
    if (wide && tern_to_host(wide, p, (size_t)t->numel * sizeof *p)) return p;
    terni_mfree(p);
    return NULL;
}

/* Where each of the n bags begins; entry n is where the last one ends. */
static int64_t *starts(tern_tensor *index, tern_tensor *offsets, bool last, int64_t *n) {
    *n = !offsets ? index->v.shape[0] : offsets->numel - last;
    int64_t *s = terni_malloc((size_t)(*n + 1) * sizeof *s), *given_at = offsets && s ? on_host(offsets) : NULL;
    bool ok = s && (!offsets || given_at);
    for (int64_t b = 0; ok && b <= *n; b++) {
        s[b] = !offsets ? b * index->v.shape[1] : b < *n || last ? given_at[b] : index->numel;
        if (s[b] < (b ? s[b - 1] : 0) || s[b] > index->numel || (b == 0 && *n && s[b] != 0) ||
            (b == *n && s[b] != index->numel && *n))
            ok = terni_fail(TERN_ERR_ARGUMENT,
                            "embedding_bag: offsets[%lld] is %lld with %lld indices; expected a rise from 0 to that",
                            (long long)b, (long long)s[b], (long long)index->numel);
    }
    terni_mfree(given_at);
    if (ok) return s;
    terni_mfree(s);
    return NULL;
}

static bool sort_out(bags *b, tern_tensor *index, tern_tensor *offsets, const tern_embedding_bag_opts *o) {
    int64_t *start = starts(index, offsets, o->include_last_offset, &b->n), *all = start ? on_host(index) : NULL;
    const size_t n = (size_t)index->numel;
    b->index = terni_malloc(n * sizeof *b->index + 1);
    b->at = terni_malloc(n * sizeof *b->at + 1);
    b->of = terni_malloc(n * sizeof *b->of + 1);
    b->count = terni_malloc((size_t)b->n * sizeof *b->count + 1);
    const bool ok = all && b->index && b->at && b->of && b->count;
    for (int64_t k = 0; ok && k < b->n; k++) {
        const int64_t before = b->kept;
        for (int64_t i = start[k]; i < start[k + 1]; i++) {
            if (o->has_padding && all[i] == o->padding) continue;
            b->index[b->kept] = all[i];
            b->at[b->kept] = i;
            b->of[b->kept++] = k;
        }
        b->count[k] = b->kept > before ? (double)(b->kept - before) : 1;
    }
    terni_mfree(start);
    terni_mfree(all);
    return ok;
}

static tern_tensor *combine(const bags *b, tern_tensor *weight, const tern_embedding_bag_opts *o) {
    const tern_options whole = {TERN_I64, weight->device},
                       like = {terni_acc_dtype(terni_dtype(weight)), weight->device};
    const int64_t wide = weight->v.shape[1];
    tern_tensor *of = tern_from(b->of, TERN_SHAPE(b->kept), whole);
    tern_tensor *rows = tern_index_select(weight, 0, tern_from(b->index, TERN_SHAPE(b->kept), whole));
    rows = rows ? tern_cast(rows, like.dtype) : NULL;
    tern_tensor *zeros = tern_zeros(TERN_SHAPE(b->n, wide), like);
    if (!of || !rows || !zeros) return NULL;
    if (o->mode == TERN_BAG_MAX)
        return tern_scatter_reduce(zeros, 0, tern_expand(tern_unsqueeze(of, 1), TERN_SHAPE(b->kept, wide)), rows,
                                   TERN_SCATTER_AMAX, (tern_scatter_reduce_opts){.exclude_self = true});
    if (o->weights) {
        tern_tensor *w = tern_cast(tern_reshape(o->weights, TERN_SHAPE(o->weights->numel)), like.dtype);
        w = tern_index_select(w, 0, tern_from(b->at, TERN_SHAPE(b->kept), whole));
        rows = tern_mul(rows, w ? tern_unsqueeze(w, 1) : NULL);
    }
    tern_tensor *sum = tern_index_add(zeros, 0, of, rows);
    if (o->mode == TERN_BAG_SUM) return sum;
    return tern_div(sum, tern_from_doubles(b->count, TERN_SHAPE(b->n, 1), like));
}

/* Bags of one size, one at least, in rows of index: nothing to sort out. */
static tern_tensor *even_bags(tern_tensor *weight, tern_tensor *index, tern_bag_mode mode) {
    const int64_t wide = weight->v.shape[1];
    tern_tensor *rows = tern_index_select(weight, 0, tern_reshape(index, TERN_SHAPE(index->numel)));
    rows = rows ? tern_cast(rows, terni_acc_dtype(terni_dtype(weight))) : NULL;
    rows = rows ? tern_reshape(rows, TERN_SHAPE(index->v.shape[0], index->v.shape[1], wide)) : NULL;
    return mode == TERN_BAG_SUM ? tern_sum(rows, (const int[]){1}, 1, false)
                                : tern_mean(rows, (const int[]){1}, 1, false);
}

static bool bag_given(tern_tensor *weight, tern_tensor *index, tern_tensor *offsets, tern_embedding_bag_opts *o) {
    if (!given(bag_name, weight, index, o->has_padding, &o->padding) ||
        !terni_same_device(bag_name, (tern_tensor *const[]){weight, offsets, o->weights}, 3, NULL) ||
        (offsets && !index_dtype(bag_name, "offsets", offsets)))
        return false;
    if (o->mode < TERN_BAG_MEAN || o->mode > TERN_BAG_MAX)
        return terni_fail(TERN_ERR_ARGUMENT, "embedding_bag: mode %d", (int)o->mode);
    if (index->v.ndim != (offsets ? 1 : 2) || (offsets && offsets->v.ndim != 1))
        return terni_fail(
            TERN_ERR_SHAPE, "embedding_bag: index %s and offsets %s, expected [B, N] and NULL, or [N] and [B]",
            terni_shape_str(terni_shape(index)), offsets ? terni_shape_str(terni_shape(offsets)) : "NULL");
    if (o->include_last_offset && (!offsets || !offsets->numel))
        return terni_fail(TERN_ERR_ARGUMENT, "embedding_bag: include_last_offset needs offsets, one or more");
    if (!o->weights) return true;
    if (o->mode != TERN_BAG_SUM)
        return terni_fail(TERN_ERR_ARGUMENT, "embedding_bag: weights go with TERN_BAG_SUM only");
    if (o->weights->v.dtype != weight->v.dtype)
        return terni_fail(TERN_ERR_DTYPE, "embedding_bag: weight %s and weights %s", terni_describe(weight),
                          terni_describe(o->weights));
    return tern_shape_equal(terni_shape(o->weights), terni_shape(index)) ||
           terni_fail(TERN_ERR_SHAPE, "embedding_bag: weights %s for index %s", terni_describe(o->weights),
                      terni_describe(index));
}

tern_tensor *tern_embedding_bag(tern_tensor *weight, tern_tensor *index, tern_tensor *offsets,
                                tern_embedding_bag_opts opts) {
    TERNI_NAMED("embedding_bag");
    if (!bag_given(weight, index, offsets, &opts)) return NULL;
    bags b = {0};
    const int scope = tern_scope_push();
    const bool even = !offsets && !opts.has_padding && !opts.weights && opts.mode != TERN_BAG_MAX && index->v.shape[1];
    tern_tensor *y = NULL;
    if (even)
        y = even_bags(weight, index, opts.mode);
    else if (sort_out(&b, index, offsets, &opts))
        y = combine(&b, weight, &opts);
    terni_mfree(b.index);
    terni_mfree(b.at);
    terni_mfree(b.of);
    terni_mfree(b.count);
    return tern_scope_return(scope, y ? tern_cast(y, terni_dtype(weight)) : NULL);
}
