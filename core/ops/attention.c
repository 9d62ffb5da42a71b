/* Scaled dot-product attention: a fused kernel each way, and the gradient in public ops for second derivatives. */
#include <math.h>
#include <string.h>

#include "casting.h"
#include "ops/normalise.h"
#include "trace_fields.h"

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

/* ---- what the kernels take: [B, H, L, E], rows dense and apart
 * -------------------------------------------------------- */

/* n dimensions as one; false if no stride does that. */
static bool joined(const int64_t *shape, const int64_t *strides, int n, int64_t *count, int64_t *stride) {
    *count = 1;
    *stride = 0;
    for (int i = n - 1; i >= 0; i--) {
        if (shape[i] == 1 || *count == 0) continue;
        if (*count == 1)
            *stride = strides[i];
        else if (shape[i] > 0 && strides[i] != *stride * *count)
            return false;
        *count *= shape[i];
    }
    return true;
}

static int leading(int n) { return n > 3 ? n - 3 : 0; }

/* The view of data with n dimensions in these shapes and strides; false if leading ones cannot be joined. */
static bool four(void *data, tern_dtype dtype, int n, const int64_t *shape, const int64_t *strides, terni_view *out) {
    *out = (terni_view){.data = data, .ndim = 4, .dtype = (int32_t)dtype};
    out->shape[1] = 1;
    for (int i = 4 - n > 1 ? 4 - n : 1; i < 4; i++) {
        out->shape[i] = shape[n - 4 + i];
        out->strides[i] = strides[n - 4 + i];
    }
    return joined(shape, strides, leading(n), &out->shape[0], &out->strides[0]);
}

static bool operand(tern_tensor *t, terni_view *out) {
    const int n = t->v.ndim;
    const bool dense = (t->v.strides[n - 1] == 1 || t->v.shape[n - 1] <= 1) &&
                       (t->v.strides[n - 2] >= t->v.shape[n - 1] || t->v.shape[n - 2] <= 1);
    if (!dense || !four(t->v.data, terni_dtype(t), n, t->v.shape, t->v.strides, out)) {
        t = terni_dense(t);
        if (!t) return false;
        four(t->v.data, terni_dtype(t), n, t->v.shape, t->v.strides, out);
    }
    out->strides[3] = 1;
    return true;
}

static tern_shape score_shape(const tern_tensor *q, const tern_tensor *k) {
    tern_shape s = terni_shape(q);
    s.dim[s.ndim - 1] = k->v.shape[s.ndim - 2];
    return s;
}

/* mask as it broadcasts to the shape of the scores. */
static bool mask_operand(tern_tensor *mask, tern_shape s, terni_view *out) {
    const int n = s.ndim;
    int64_t strides[TERN_MAX_DIMS];
    tern_shape own = s; /* all of the leading dimensions, mask's sizes of the others */
    for (int i = 0; i < n; i++) {
        const int at = i - (n - mask->v.ndim);
        const int64_t size = at < 0 ? 1 : mask->v.shape[at];
        strides[i] = size == 1 ? 0 : mask->v.strides[at];
        if (i >= leading(n)) own.dim[i] = size;
    }
    if (four(mask->v.data, terni_dtype(mask), n, s.dim, strides, out)) return true;
    tern_tensor *wide = terni_alias(mask, own, strides, 0);
    wide = wide ? terni_dense(wide) : NULL;
    return wide && mask_operand(wide, s, out);
}

/* A new tensor; where t lies in memory as [..., L, H, E], it does too, so that programs that merge the heads need not
 * copy. */
static tern_tensor *laid_out_as(const tern_tensor *t, tern_shape s) {
    const int n = s.ndim;
    if (n < 3 || t->v.strides[n - 2] <= t->v.strides[n - 3] || t->v.shape[n - 2] == 1 || t->v.shape[n - 3] == 1)
        return terni_new(s, terni_dtype(t), t->device);
    tern_shape swapped = s;
    swapped.dim[n - 2] = s.dim[n - 3];
    swapped.dim[n - 3] = s.dim[n - 2];
    tern_tensor *base = terni_new(swapped, terni_dtype(t), t->device);
    if (!base) return NULL;
    int64_t strides[TERN_MAX_DIMS];
    memcpy(strides, base->v.strides, sizeof strides);
    strides[n - 2] = base->v.strides[n - 3];
    strides[n - 3] = base->v.strides[n - 2];
    return terni_alias(base, s, strides, 0);
}

typedef struct operands {
    terni_view v[4];
    const terni_view *list[4]; /* q, k, v, mask */
} operands;

static bool operands_of(tern_tensor *const *in, operands *o) {
    for (int i = 0; i < 3; i++) {
        if (!operand(in[i], &o->v[i])) return false;
        o->list[i] = &o->v[i];
    }
    o->list[3] = in[3] ? &o->v[3] : NULL;
    return !in[3] || mask_operand(in[3], score_shape(in[0], in[1]), &o->v[3]);
}

static bool forward(tern_ctx *ctx, tern_tensor *const *in, int n_in, tern_tensor **out) { /* q, k, v, mask */
    tern_tensor *q = in[0];
    tern_shape s = terni_shape(q), rows = s;
    s.dim[s.ndim - 1] = in[2]->v.shape[s.ndim - 1];
    rows.ndim--;
    if (!terni_shape_check(NAME, &s, terni_dtype(q))) return false;
    bool record = false;
    for (int i = 0; i < n_in; i++) record |= tern_ctx_needs(ctx, i);
    operands o;
    terni_view y;
    tern_tensor *sum = record ? terni_new(rows, terni_acc_dtype(terni_dtype(q)), q->device) : NULL;
    if ((record && !sum) || !operands_of(in, &o) || !(out[0] = laid_out_as(q, s)) || !operand(out[0], &y)) return false;
    const terni_view *vo[2] = {&y, record ? &sum->v : NULL};
    if (!terni_run_views(TERNI_OP_attention, q->device, o.list, 4, vo, 2, tern_ctx_opts(ctx))) return false;
    if (!record) return true;
    for (int i = 0; i < n_in; i++)
        if (!tern_ctx_save(ctx, in[i])) return false;
    return tern_ctx_save(ctx, out[0]) && tern_ctx_save(ctx, sum);
}

/* ---- the gradient, fused
 * -------------------------------------------------------------------------------------------------- */

/* The kernel's gradient of mask: all of the scores, but for heads and leading dimensions that mask does not have. */
static tern_tensor *mask_sums(const tern_tensor *mask, tern_shape s, tern_dtype dtype) {
    const int n = s.ndim, m = mask->v.ndim, lead = leading(n);
    bool spread = true;
    for (int i = 0; i < lead; i++) spread = spread && (i < n - m || mask->v.shape[i - (n - m)] == 1);
    for (int i = 0; spread && i < lead; i++) s.dim[i] = 1;
    if (n > 2 && (m < 3 || mask->v.shape[m - 3] == 1)) s.dim[n - 3] = 1;
    return terni_new(s, dtype, mask->device);
}

static bool fused(tern_ctx *ctx, tern_tensor *gy, tern_tensor *const *saved, tern_tensor **grad_in) {
    operands o;
    terni_view g, y, out[4];
    const terni_view *vo[4] = {NULL, NULL, NULL, NULL};
    tern_tensor *sums = NULL;
    if (!operands_of(saved, &o) || !operand(gy, &g) || !operand(saved[4], &y)) return false;
    for (int i = 0; i < 3; i++) {
        if (!tern_ctx_needs(ctx, i)) continue;
        grad_in[i] = laid_out_as(saved[i], tern_ctx_shape(ctx, i));
        if (!grad_in[i] || !operand(grad_in[i], &out[i])) return false;
        vo[i] = &out[i];
    }
    if (tern_ctx_needs(ctx, 3)) {
        sums = mask_sums(saved[3], score_shape(saved[0], saved[1]), terni_acc_dtype(terni_dtype(gy)));
        if (!sums || !operand(sums, &out[3])) return false;
        vo[3] = &out[3];
    }
    const terni_view *vi[7] = {&g, o.list[0], o.list[1], o.list[2], &y, &saved[5]->v, o.list[3]};
    if (!terni_run_views(TERNI_OP_attention_grad, gy->device, vi, 7, vo, 4, tern_ctx_opts(ctx))) return false;
    if (sums) grad_in[3] = tern_cast(tern_sum_to(sums, tern_ctx_shape(ctx, 3)), tern_ctx_dtype(ctx, 3));
    return tern_ok();
}

/* ---- the gradient in public ops
 * ----------------------------------------------------------------------------------------- */

/* Scores [..., H, L, S] to weights. */
static tern_tensor *weights(tern_tensor *s, tern_tensor *mask, bool causal) {
    if (!s) return NULL;
    const int n = s->v.ndim;
    if (causal) {
        const tern_options whole = {TERN_I64, s->device};
        tern_tensor *row = tern_unsqueeze(tern_arange(0, (double)s->v.shape[n - 2], whole), -1);
        s = tern_masked_fill(s, tern_lt(row, tern_arange(0, (double)s->v.shape[n - 1], whole)), -(double)INFINITY);
    }
    if (!mask || !s) return tern_softmax(s, -1);
    s = terni_dtype(mask) == TERN_BOOL ? tern_masked_fill(s, tern_logical_not(mask), -(double)INFINITY)
                                       : tern_add(s, tern_cast(mask, terni_dtype(s)));
    /* rows without a key: any finite scores, so that no gradient is NaN, and then weights of 0 */
    tern_tensor *none = s ? tern_scalar(-(double)INFINITY, (tern_options){terni_dtype(s), mask->device}) : NULL;
    tern_tensor *dead = s ? tern_all(tern_eq(s, none), (const int[]){-1}, 1, true) : NULL;
    return tern_masked_fill(tern_softmax(tern_masked_fill(s, dead, 0), -1), dead, 0);
}

/* t [..., H, L, X] as [..., K, H / K L, X]: the rows of all heads that share one of k and v. */
static tern_tensor *grouped(tern_tensor *t, const tern_tensor *k) {
    if (!t) return NULL;
    tern_shape s = terni_shape(t);
    const int n = s.ndim;
    if (n > 2 && k->v.shape[n - 3]) {
        s.dim[n - 2] *= s.dim[n - 3] / k->v.shape[n - 3];
        s.dim[n - 3] = k->v.shape[n - 3];
    }
    return tern_reshape(t, s);
}

static bool in_ops(tern_ctx *ctx, tern_tensor *gy, tern_tensor *const *saved, tern_tensor **grad_in) {
    const terni_attention_opts *o = tern_ctx_opts(ctx);
    const tern_dtype dtype = terni_dtype(saved[0]), acc = terni_acc_dtype(dtype);
    const terni_random_opts draws = {.from = o->from, .a = o->dropout};
    const tern_shape scores = score_shape(saved[0], saved[1]);
    tern_tensor *k = tern_cast(saved[1], acc), *v = tern_cast(saved[2], acc);
    tern_tensor *q = grouped(tern_mul_scalar(tern_cast(saved[0], acc), o->scale), saved[1]);
    tern_tensor *g = grouped(tern_cast(gy, acc), saved[1]);
    tern_tensor *p = weights(tern_reshape(tern_matmul(q, tern_transpose(k, -2, -1)), scores), saved[3], o->causal);
    tern_tensor *kept = o->dropout > 0 ? terni_dropout(p, &draws) : p;
    tern_tensor *gp = tern_reshape(tern_matmul(g, tern_transpose(v, -2, -1)), scores);
    if (o->dropout > 0) gp = terni_dropout(gp, &draws);
    tern_tensor *gs = tern_mul(p, tern_sub(gp, tern_sum(tern_mul(gp, p), (const int[]){-1}, 1, true)));
    tern_tensor *by = grouped(gs, saved[1]);
    if (tern_ctx_needs(ctx, 0)) {
        tern_tensor *gq = tern_reshape(tern_matmul(by, k), tern_ctx_shape(ctx, 0));
        grad_in[0] = tern_cast(tern_mul_scalar(gq, o->scale), dtype);
    }
    if (tern_ctx_needs(ctx, 1)) grad_in[1] = tern_cast(tern_matmul(tern_transpose(by, -2, -1), q), dtype);
    if (tern_ctx_needs(ctx, 2))
        grad_in[2] = tern_cast(tern_matmul(tern_transpose(grouped(kept, saved[1]), -2, -1), g), dtype);
    if (tern_ctx_needs(ctx, 3)) grad_in[3] = tern_cast(tern_sum_to(gs, tern_ctx_shape(ctx, 3)), dtype);
    return tern_ok();
}

static bool backward(tern_ctx *ctx, tern_tensor *const *grad, tern_tensor **grad_in) {
    tern_tensor *saved[6]; /* q, k, v, mask, y, logsumexp */
    for (int i = 0; i < 6; i++) saved[i] = tern_ctx_saved(ctx, i);
    if (!tern_ok()) return false;
    return terni_recording() ? in_ops(ctx, grad[0], saved, grad_in) : fused(ctx, grad[0], saved, grad_in);
}

static const tern_function function = {NAME, 1, sizeof(terni_attention_opts), forward, backward, NULL};
TERNI_TRACED(attention, function, TERNI_FIELD(terni_attention_opts, "scale", scale),
             TERNI_FIELD(terni_attention_opts, "causal", causal),
             TERNI_FIELD(terni_attention_opts, "dropout", dropout));

tern_tensor *tern_scaled_dot_product_attention(tern_tensor *q, tern_tensor *k, tern_tensor *v, tern_tensor *mask,
                                               tern_attention_opts opts) {
    TERNI_AUTOCAST(LOW, &q, &k, &v, &mask);
    if (!check(q, k, v, mask)) return NULL;
    if (!isfinite(opts.scale) || !(opts.dropout >= 0 && opts.dropout <= 1))
        return terni_null(TERN_ERR_ARGUMENT, NAME ": scale %g, dropout %g", opts.scale, opts.dropout);
    const int64_t e = q->v.shape[q->v.ndim - 1];
    terni_attention_opts o = {.scale = opts.scale, .dropout = opts.dropout, .causal = opts.causal};
    if (o.scale == 0) o.scale = e ? 1 / sqrt((double)e) : 1;
    if (o.dropout > 0) {
        const tern_shape scores = score_shape(q, k);
        if (!terni_shape_check(NAME, &scores, terni_dtype(q))) return NULL;
        if (!terni_draws_take(q->device, ((uint64_t)terni_shape_numel(&scores) + 3) / 4, &o.from)) return NULL;
    }
    tern_tensor *const in[4] = {q, k, v, mask};
    tern_tensor *out[1];
    return tern_apply(&function, in, 4, &o, out) ? out[0] : NULL;
}
