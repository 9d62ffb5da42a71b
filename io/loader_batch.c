/* Making a batch: samples from the dataset, through the transform, side by side or as a collate function has it. */
#include <stdio.h>
#include <string.h>

#include "loader_internal.h"
#include "tern/autograd.h"
#include "tern/ops.h"
#include "transform_internal.h"

void terni_made_free(terni_made *m) {
    tern_release(m->x);
    tern_release(m->y);
    tern_release(m->lengths);
    *m = (terni_made){0};
}

bool terni_loader_changes(const tern_loader *l, tern_dtype dtype) {
    const tern_transform *t = l->o.transform;
    return t && (t->sample || dtype == TERN_U8);
}

/* The handler hears of what failed while it was mute: of a sample's error once, with the sample's number, on whatever
 * thread it is. */
static bool told(bool muted, bool ok) {
    char message[1200];
    const tern_code code = tern_error_code();
    terni_error_mute(muted);
    if (muted || code == TERN_OK) return ok;
    snprintf(message, sizeof message, "%s", tern_error_message());
    tern_error_clear();
    return tern_error_set(code, "%s", message);
}

int64_t terni_loader_batch_size(const tern_loader *l, int64_t b) {
    if (l->streamed) return l->o.batch;
    const int64_t rest = l->samples - b * l->o.batch;
    return rest < l->o.batch ? rest : l->o.batch;
}

/* Says of an error which sample it was; without a number for streamed ones, that have none but their place. */
static bool blame(tern_loader *l, int64_t b, int64_t i, bool raw) {
    char why[300], name[300] = "";
    const tern_code code = tern_error_code();
    const int64_t sample = raw ? b * l->o.batch + i : l->order[b * l->o.batch + i];
    snprintf(why, sizeof why, "%s", tern_ok() ? "no reason given" : tern_error_message());
    tern_error_clear();
    if (l->d->name && !raw) l->d->name(l->d, sample, name, sizeof name);
    return terni_fail(code == TERN_OK ? TERN_ERR_IO : code, "loader: sample %lld%s%s%s: %s", (long long)sample,
                      name[0] ? " (" : "", name, name[0] ? ")" : "", why);
}

static tern_tensor *empty_batch(const tern_loader *l, int64_t n, tern_shape sample, tern_dtype dtype) {
    tern_shape s = {.ndim = sample.ndim + 1, .dim = {n}};
    for (int i = 0; i < sample.ndim; i++) s.dim[i + 1] = sample.dim[i];
    return l->pinned ? tern_empty_pinned(s, dtype) : tern_empty(s, (tern_options){.dtype = dtype});
}

static bool fetch(tern_loader *l, int64_t b, int64_t i, const terni_raw *raw, void *x, void *y) {
    if (!raw) return l->d->get(l->d, l->order[b * l->o.batch + i], x, y);
    if (l->x_bytes) memcpy(x, raw->x + (size_t)i * l->x_bytes, l->x_bytes);
    if (l->y_bytes) memcpy(y, raw->y + (size_t)i * l->y_bytes, l->y_bytes);
    return true;
}

static tern_random random_of(const tern_loader *l, int64_t b, int64_t i, bool batch) {
    return terni_transform_random(l->state.seed, l->state.epoch, b * l->o.batch + i, batch);
}

/* ---- samples of one shape ---------------------------------------------------------------------------------------- */

static bool fill(tern_loader *l, int64_t b, const terni_raw *raw, tern_batch *out) {
    const tern_transform *t = terni_loader_changes(l, l->d->x_dtype) ? l->o.transform : NULL;
    size_t row = tern_dtype_size(l->x_dtype);
    for (int i = 0; i < l->x_shape.ndim; i++) row *= (size_t)l->x_shape.dim[i];
    out->x = empty_batch(l, out->n, l->x_shape, l->x_dtype);
    out->y = out->x ? empty_batch(l, out->n, l->d->y_shape, l->d->y_dtype) : NULL;
    void *before = t ? terni_malloc(l->x_bytes + 1) : NULL; /* a sample as it comes */
    bool ok = out->y && (before || !t);
    for (int64_t i = 0; ok && i < out->n; i++) {
        char *x = (char *)tern_data(out->x) + (size_t)i * row, *y = (char *)tern_data(out->y) + (size_t)i * l->y_bytes;
        ok = fetch(l, b, i, raw, t ? before : x, y);
        if (ok && t) {
            tern_random r = random_of(l, b, i, false);
            ok = terni_transform_run(t, &r, l->d->x_shape, l->d->x_dtype, before, (float *)(void *)x);
        }
        if (!ok) blame(l, b, i, raw);
    }
    terni_mfree(before);
    return ok;
}

/* ---- samples of shapes of their own, and collate functions ------------------------------------------------------- */

static bool sample_tensors(tern_loader *l, int64_t b, int64_t i, const terni_raw *raw, tern_tensor **x,
                           tern_tensor **y) {
    if (l->d->item && !raw) {
        *x = *y = NULL;
        if (!l->d->item(l->d, l->order[b * l->o.batch + i], x, y)) return false;
        if (!*x || !*y) return terni_fail(TERN_ERR_ARGUMENT, "no tensor came");
    } else {
        *x = tern_empty(l->d->x_shape, (tern_options){.dtype = l->d->x_dtype});
        *y = *x ? tern_empty(l->d->y_shape, (tern_options){.dtype = l->d->y_dtype}) : NULL;
        if (!*y || !fetch(l, b, i, raw, tern_data(*x), tern_data(*y))) return false;
    }
    if (!terni_loader_changes(l, tern_dtype_of(*x))) return true;
    tern_random r = random_of(l, b, i, false);
    *x = terni_transform_tensor(l->o.transform, &r, *x);
    return *x != NULL;
}

/* The n tensors side by side in one. */
static tern_tensor *stack(tern_loader *l, int64_t b, tern_tensor *const *t, int64_t n, const char *what) {
    for (int64_t i = 1; i < n; i++) {
        char is[120], first[120];
        if (tern_shape_equal(tern_shape_get(t[i]), tern_shape_get(t[0])) && tern_dtype_of(t[i]) == tern_dtype_of(t[0]))
            continue;
        terni_fail(TERN_ERR_SHAPE, "%s is %s %s, but the batch begins with %s %s: crop, resize or pad (.collate)", what,
                   tern_shape_text(tern_shape_get(t[i]), is, sizeof is), tern_dtype_name(tern_dtype_of(t[i])),
                   tern_shape_text(tern_shape_get(t[0]), first, sizeof first), tern_dtype_name(tern_dtype_of(t[0])));
        blame(l, b, i, false);
        return NULL;
    }
    return tern_stack(t, (int)n, 0);
}

static bool gather(tern_loader *l, int64_t b, const terni_raw *raw, tern_batch *out) {
    tern_tensor **t = terni_malloc(2 * (size_t)out->n * sizeof *t);
    bool ok = t != NULL;
    for (int64_t i = 0; ok && i < out->n; i++) {
        ok = sample_tensors(l, b, i, raw, &t[i], &t[out->n + i]);
        if (!ok) blame(l, b, i, raw);
    }
    const int64_t n = out->n;
    if (ok && l->o.collate) {
        ok = l->o.collate(l->o.collate_user, t, t + n, n, out);
        if (!ok && tern_ok()) terni_fail(TERN_ERR_ARGUMENT, "loader: the collate function gave no reason");
        if (ok && (!out->x || !out->y))
            ok = terni_fail(TERN_ERR_ARGUMENT, "loader: the collate function made no %s", out->x ? "y" : "x");
    } else if (ok) {
        out->x = stack(l, b, t, n, "x");
        out->y = out->x ? stack(l, b, t + n, n, "y") : NULL;
        ok = out->y != NULL;
    }
    out->n = n;
    terni_mfree(t);
    return ok;
}

bool terni_loader_make(tern_loader *l, int64_t b, const terni_raw *raw, terni_made *out) {
    *out = (terni_made){0};
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false), muted = terni_error_mute(true);
    const tern_transform *t = l->o.transform;
    tern_batch made = {.n = raw ? raw->n : terni_loader_batch_size(l, b), .index = b};
    bool ok = l->o.collate || (l->d->item && !l->d->get) ? gather(l, b, raw, &made) : fill(l, b, raw, &made);
    if (ok && t && t->batch) {
        tern_random r = random_of(l, b, 0, true);
        ok = t->batch(t, &r, l->d->classes, &made.x, &made.y) && made.x && made.y;
        if (!ok && tern_ok()) terni_fail(TERN_ERR_ARGUMENT, "loader: the transform gave no reason");
    }
    if (ok && l->pinned) {
        made.x = tern_pin(tern_contiguous(made.x));
        made.y = tern_pin(tern_contiguous(made.y));
        ok = made.x && made.y;
    }
    if (ok) *out = (terni_made){tern_keep(made.x), tern_keep(made.y), tern_keep(made.lengths), made.n};
    tern_grad_mode(was);
    tern_scope_pop(scope);
    return told(muted, ok);
}

/* ---- padding ----------------------------------------------------------------------------------------------------- */

static tern_tensor *padded(const char *what, tern_tensor *const *t, int64_t n, double value) {
    tern_shape most = {.ndim = tern_ndim(t[0]) + 1, .dim = {n}};
    const tern_dtype dtype = tern_dtype_of(t[0]);
    if (most.ndim > TERN_MAX_DIMS)
        return terni_null(TERN_ERR_SHAPE, "collate_pad: %s of %d dimensions leaves none for the batch", what,
                          most.ndim - 1);
    for (int64_t i = 0; i < n; i++) {
        if (tern_ndim(t[i]) != most.ndim - 1 || tern_dtype_of(t[i]) != dtype)
            return terni_null(TERN_ERR_SHAPE, "collate_pad: %s %lld of the batch is %d-dim %s, the first %d-dim %s",
                              what, (long long)i, tern_ndim(t[i]), tern_dtype_name(tern_dtype_of(t[i])), most.ndim - 1,
                              tern_dtype_name(dtype));
        for (int k = 1; k < most.ndim; k++)
            if (tern_size(t[i], k - 1) > most.dim[k]) most.dim[k] = tern_size(t[i], k - 1);
    }
    tern_tensor *out = tern_full(most, value, (tern_options){.dtype = dtype});
    for (int64_t i = 0; out && i < n; i++) {
        const int scope = tern_scope_push();
        tern_tensor *place = tern_select(out, 0, i);
        for (int k = 1; k < most.ndim; k++) place = tern_narrow(place, k - 1, 0, tern_size(t[i], k - 1));
        const bool ok = tern_copy_(place, t[i]) != NULL;
        tern_scope_pop(scope);
        if (!ok) return NULL;
    }
    return out;
}

bool tern_collate_pad(void *user, tern_tensor *const *x, tern_tensor *const *y, int64_t n, tern_batch *out) {
    if (!terni_given(x, "collate_pad", "x") || !terni_given(y, "collate_pad", "y") ||
        !terni_given(out, "collate_pad", "out"))
        return false;
    if (n < 1) return terni_fail(TERN_ERR_ARGUMENT, "collate_pad: %lld samples", (long long)n);
    const tern_pad_values values = user ? *(const tern_pad_values *)user : (tern_pad_values){0};
    out->x = padded("x", x, n, values.x);
    out->y = padded("y", y, n, values.y);
    out->lengths = tern_empty(TERN_SHAPE(n), (tern_options){.dtype = TERN_I64});
    if (!out->x || !out->y || !out->lengths) return false;
    int64_t *length = tern_data(out->lengths);
    for (int64_t i = 0; i < n; i++) length[i] = tern_ndim(x[i]) > 0 ? tern_size(x[i], 0) : 1;
    return true;
}

/* ---- samples one after another ----------------------------------------------------------------------------------- */

void terni_loader_raw_free(terni_raw *raw) {
    terni_mfree(raw->x);
    terni_mfree(raw->y);
    *raw = (terni_raw){0};
}

/* The next sample; a failure is blamed on its place. */
static bool next(tern_loader *l, int64_t b, int64_t i, void *x, void *y, bool *end) {
    *end = false;
    return l->d->next(l->d, x, y, end) || blame(l, b, i, true);
}

bool terni_loader_read(tern_loader *l, int64_t b, terni_raw *raw) {
    const bool muted = terni_error_mute(true);
    *raw = (terni_raw){.x = terni_malloc((size_t)l->o.batch * l->x_bytes + 1)};
    raw->y = raw->x ? terni_malloc((size_t)l->o.batch * l->y_bytes + 1) : NULL;
    bool ok = raw->y != NULL;
    while (ok && !raw->end && raw->n < l->o.batch) {
        const size_t n = (size_t)raw->n;
        ok = next(l, b, raw->n, raw->x + n * l->x_bytes, raw->y + n * l->y_bytes, &raw->end);
        if (!raw->end) raw->n++;
    }
    if (!ok) terni_loader_raw_free(raw);
    return told(muted, ok);
}

bool terni_loader_rewind(tern_loader *l, tern_loader_state s) {
    const bool muted = terni_error_mute(true);
    char *x = terni_malloc(l->x_bytes + 1), *y = x ? terni_malloc(l->y_bytes + 1) : NULL;
    bool ok = y != NULL, end = false;
    if (ok && l->d->restart && !l->d->restart(l->d, s.seed, s.epoch))
        ok = tern_ok() ? terni_fail(TERN_ERR_IO, "loader: the dataset could not be started anew") : false;
    for (int64_t i = 0; ok && !end && i < s.batch * l->o.batch; i++) {
        ok = next(l, 0, i, x, y, &end);
        if (ok && end && i < (s.batch - 1) * l->o.batch + 1)
            ok = terni_fail(TERN_ERR_ARGUMENT, "loader: batch %lld is looked for, but the data end after %lld samples",
                            (long long)s.batch, (long long)i);
    }
    terni_mfree(x);
    terni_mfree(y);
    return told(muted, ok);
}
