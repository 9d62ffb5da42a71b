/* Scaled dot-product attention, of public ops. */
#include <math.h>

#include "ops/normalise.h"

#define NAME "scaled_dot_product_attention"

static bool check(tern_tensor *q, tern_tensor *k, tern_tensor *v, tern_tensor *mask) {
    tern_tensor *const in[4] = {q, k, v, mask};
    if (!terni_given(q, NAME, "q") || !terni_given(k, NAME, "k") || !terni_given(v, NAME, "v") ||
        !terni_same_device(NAME, in, mask ? 4 : 3, NULL) || !terni_same_float(NAME, in, 3))
        return false;
    if (mask && terni_dtype(mask) != TERN_BOOL && terni_dtype(mask) != terni_dtype(q))
        return terni_fail(TERN_ERR_DTYPE, NAME ": mask %s, expected bool or the dtype of q %s", terni_describe(mask),
                          terni_describe(q));
    const int n = q->v.ndim;
    const int64_t *a = q->v.shape, *b = k->v.shape, *c = v->v.shape;
    bool fits = n >= 2 && k->v.ndim == n && v->v.ndim == n && a[n - 1] == b[n - 1] && b[n - 2] == c[n - 2];
    for (int i = 0; fits && i < n - 3; i++) fits = a[i] == b[i] && b[i] == c[i];
    if (fits && n > 2) fits = b[n - 3] == c[n - 3] && (b[n - 3] ? a[n - 3] % b[n - 3] == 0 : a[n - 3] == 0);
    if (!fits)
        return terni_fail(TERN_ERR_SHAPE,
                          NAME
                          ": q %s, k %s, v %s; expected [..., H, L, E], [..., K, S, E], [..., K, S, V] with H a "
                          "multiple of K",
                          terni_describe(q), terni_describe(k), terni_describe(v));
    const int m = mask ? mask->v.ndim : 0;
    fits = m <= n;
    for (int i = 1; fits && i <= m; i++) {
        const int64_t want = i == 1 ? b[n - 2] : a[n - i], is = mask->v.shape[m - i];
        fits = is == want || is == 1;
    }
    return fits || terni_fail(TERN_ERR_SHAPE, NAME ": mask %s does not broadcast to [..., H, L, S] of q %s, k %s",
                              terni_describe(mask), terni_describe(q), terni_describe(k));
}

/* Scores [..., H, L, S] of rows from `first` on to weights. */
static tern_tensor *weights(tern_tensor *s, tern_tensor *mask, bool causal, int64_t first) {
    const int n = s->v.ndim;
    const tern_dtype dtype = terni_dtype(s);
    if (causal) {
        const tern_options whole = {TERN_I64, s->device};
        tern_tensor *row = tern_unsqueeze(tern_arange((double)first, (double)(first + s->v.shape[n - 2]), whole), -1);
        s = tern_masked_fill(s, tern_lt(row, tern_arange(0, (double)s->v.shape[n - 1], whole)), -(double)INFINITY);
    }
    if (!mask) return tern_softmax(s, -1);
    s = terni_dtype(mask) == TERN_BOOL ? tern_masked_fill(s, tern_logical_not(mask), -(double)INFINITY)
                                       : tern_add(s, tern_cast(mask, dtype));
    /* rows without a key: any finite scores, so that no gradient is NaN, and then weights of 0 */
    tern_tensor *none = tern_scalar(-(double)INFINITY, (tern_options){dtype, mask->device});
    tern_tensor *dead = s ? tern_all(tern_eq(s, none), (const int[]){-1}, 1, true) : NULL;
    return tern_masked_fill(tern_softmax(tern_masked_fill(s, dead, 0), -1), dead, 0);
}

/* q scaled; q, k, v of the dtype of accumulation; q's rows are those from `first` on. */
static tern_tensor *attend(tern_tensor *q, tern_tensor *k, tern_tensor *v, tern_tensor *mask, tern_attention_opts opts,
                           int64_t first) {
    if (!q || !k || !v) return NULL;
    const int n = q->v.ndim;
    tern_shape scores = terni_shape(q), y = scores, group = scores; /* group: rows of the heads that share k, v */
    const int64_t keys = k->v.shape[n - 2];
    scores.dim[n - 1] = keys;
    y.dim[n - 1] = v->v.shape[n - 1];
    if (n > 2 && k->v.shape[n - 3]) {
        group.dim[n - 2] *= q->v.shape[n - 3] / k->v.shape[n - 3];
        group.dim[n - 3] = k->v.shape[n - 3];
    }
    tern_tensor *s = tern_reshape(tern_matmul(tern_reshape(q, group), tern_transpose(k, -2, -1)), scores);
    tern_tensor *p = s ? weights(s, mask, opts.causal, first) : NULL;
    if (p && opts.dropout > 0) p = tern_dropout(p, opts.dropout);
    group.dim[n - 1] = keys;
    p = p ? tern_reshape(p, group) : NULL;
    return p ? tern_reshape(tern_matmul(p, v), y) : NULL;
}

/* Rows in blocks, each with the keys that it may see: half of the scores are never made. */
enum { BLOCKS = 8, LEAST = 128 };
static tern_tensor *causal_blocks(tern_tensor *q, tern_tensor *k, tern_tensor *v, tern_attention_opts opts) {
    if (!q || !k || !v) return NULL;
    const int64_t rows = q->v.shape[q->v.ndim - 2], keys = k->v.shape[k->v.ndim - 2];
    const int64_t even = (rows + BLOCKS - 1) / BLOCKS, each = even < LEAST ? LEAST : even;
    tern_tensor *part[BLOCKS];
    int n = 0;
    for (int64_t at = 0; at < rows; at += each) {
        const int64_t end = rows - at < each ? rows : at + each, seen = end < keys ? end : keys;
        part[n] = attend(tern_slice(q, -2, at, end, 1), tern_slice(k, -2, 0, seen, 1), tern_slice(v, -2, 0, seen, 1),
                         NULL, opts, at);
        if (!part[n++]) return NULL;
    }
    return tern_cat(part, n, -2);
}

tern_tensor *tern_scaled_dot_product_attention(tern_tensor *q, tern_tensor *k, tern_tensor *v, tern_tensor *mask,
                                               tern_attention_opts opts) {
    TERNI_NAMED(NAME);
    if (!check(q, k, v, mask)) return NULL;
    if (!isfinite(opts.scale) || !(opts.dropout >= 0 && opts.dropout <= 1))
        return terni_null(TERN_ERR_ARGUMENT, NAME ": scale %g, dropout %g", opts.scale, opts.dropout);
    const int n = q->v.ndim;
    const tern_dtype dtype = terni_dtype(q), acc = terni_acc_dtype(dtype);
    const int64_t e = q->v.shape[n - 1];
    const double scale = opts.scale != 0 ? opts.scale : e ? 1 / sqrt((double)e) : 1;
    const bool blocks = opts.causal && !mask && q->v.shape[n - 2] > LEAST && k->v.shape[n - 2] > 0;
    const int scope = tern_scope_push();
    tern_tensor *rows = tern_mul_scalar(tern_cast(q, acc), scale), *by = tern_cast(k, acc), *of = tern_cast(v, acc);
    tern_tensor *y = blocks ? causal_blocks(rows, by, of, opts) : attend(rows, by, of, mask, opts, 0);
    return tern_scope_return(scope, y ? tern_cast(y, dtype) : NULL);
}
