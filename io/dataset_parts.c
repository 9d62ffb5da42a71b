/* Datasets made of others: subsets, several behind each other, random splits; the classes of all samples. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "sampler_internal.h"

/* ---- subset ------------------------------------------------------------------------------------------------------ */

typedef struct subset {
    tern_dataset d;
    tern_dataset *of;
    int64_t *index;
} subset;

static bool subset_get(tern_dataset *d, int64_t i, void *x, void *y) {
    const subset *s = (subset *)d;
    return s->of->get(s->of, s->index[i], x, y);
}
static bool subset_item(tern_dataset *d, int64_t i, tern_tensor **x, tern_tensor **y) {
    const subset *s = (subset *)d;
    return s->of->item(s->of, s->index[i], x, y);
}
static void subset_name(tern_dataset *d, int64_t i, char *buf, size_t size) {
    const subset *s = (subset *)d;
    s->of->name(s->of, s->index[i], buf, size);
}
static int64_t subset_label(tern_dataset *d, int64_t i) {
    const subset *s = (subset *)d;
    return s->of->label(s->of, s->index[i]);
}

static void subset_drop(tern_dataset *d) {
    subset *s = (subset *)d;
    terni_mfree(s->index);
    terni_free(s, sizeof *s);
}

/* What a dataset made of `of` says of its samples; which functions it has. */
static tern_dataset like(const tern_dataset *of) {
    return (tern_dataset){.x_shape = of->x_shape,
                          .x_dtype = of->x_dtype,
                          .y_shape = of->y_shape,
                          .y_dtype = of->y_dtype,
                          .classes = of->classes,
                          .class_names = of->class_names};
}

tern_dataset *tern_dataset_subset_new(tern_dataset *d, const int64_t *index, int64_t n) {
    if (!terni_given(d, "dataset_subset", "dataset") || (n != 0 && !terni_given(index, "dataset_subset", "index")))
        return NULL;
    if (n < 0 || n > INT64_MAX / 16) return terni_null(TERN_ERR_ARGUMENT, "dataset_subset: %lld samples", (long long)n);
    for (int64_t i = 0; i < n; i++)
        if (index[i] < 0 || index[i] >= d->length)
            return terni_null(TERN_ERR_INDEX, "dataset_subset: index %lld at position %lld is outside the %lld samples",
                              (long long)index[i], (long long)i, (long long)d->length);
    subset *s = terni_calloc(sizeof *s);
    if (!s) return NULL;
    s->index = terni_malloc((size_t)n * sizeof *s->index + 1);
    if (!s->index) {
        terni_free(s, sizeof *s);
        return NULL;
    }
    if (n) memcpy(s->index, index, (size_t)n * sizeof *index);
    s->of = d;
    s->d = like(d);
    s->d.length = n;
    s->d.get = d->get ? subset_get : NULL;
    s->d.item = d->item ? subset_item : NULL;
    s->d.name = d->name ? subset_name : NULL;
    s->d.label = d->label ? subset_label : NULL;
    s->d.drop = subset_drop;
    return &s->d;
}

/* ---- one behind the other ---------------------------------------------------------------------------------------- */

typedef struct concat {
    tern_dataset d;
    int n;
    tern_dataset **of;
    int64_t *end; /* of each, in the whole */
} concat;

/* The dataset that holds sample *i, which becomes its number there. */
static tern_dataset *part_of(tern_dataset *d, int64_t *i) {
    const concat *c = (concat *)d;
    int lo = 0, hi = c->n - 1;
    while (lo < hi) {
        const int mid = (lo + hi) / 2;
        if (c->end[mid] > *i)
            hi = mid;
        else
            lo = mid + 1;
    }
    if (lo > 0) *i -= c->end[lo - 1];
    return c->of[lo];
}

static bool concat_get(tern_dataset *d, int64_t i, void *x, void *y) {
    tern_dataset *p = part_of(d, &i);
    return p->get(p, i, x, y);
}
static bool concat_item(tern_dataset *d, int64_t i, tern_tensor **x, tern_tensor **y) {
    tern_dataset *p = part_of(d, &i);
    return p->item(p, i, x, y);
}
static void concat_name(tern_dataset *d, int64_t i, char *buf, size_t size) {
    tern_dataset *p = part_of(d, &i);
    if (p->name)
        p->name(p, i, buf, size);
    else
        snprintf(buf, size, "sample %lld of its part", (long long)i);
}
static int64_t concat_label(tern_dataset *d, int64_t i) {
    tern_dataset *p = part_of(d, &i);
    return p->label(p, i);
}

static void concat_drop(tern_dataset *d) {
    concat *c = (concat *)d;
    terni_mfree(c->of);
    terni_mfree(c->end);
    terni_free(c, sizeof *c);
}

/* Part i goes with the first. */
static bool fits(const tern_dataset *a, const tern_dataset *b, int i) {
    char x[120], y[120], u[120], v[120];
    if (!b || b->next || b->length < 0 || (!b->get && !b->item))
        return terni_fail(TERN_ERR_ARGUMENT, "dataset_concat: part %d %s", i,
                          b ? "has no numbered samples" : "is NULL");
    if (a->x_dtype != b->x_dtype || a->y_dtype != b->y_dtype)
        return terni_fail(TERN_ERR_DTYPE, "dataset_concat: part %d has x %s and y %s, the first %s and %s", i,
                          tern_dtype_name(b->x_dtype), tern_dtype_name(b->y_dtype), tern_dtype_name(a->x_dtype),
                          tern_dtype_name(a->y_dtype));
    if (a->get && b->get && !(tern_shape_equal(a->x_shape, b->x_shape) && tern_shape_equal(a->y_shape, b->y_shape)))
        return terni_fail(TERN_ERR_SHAPE, "dataset_concat: part %d has samples of %s and %s, the first of %s and %s", i,
                          tern_shape_text(b->x_shape, x, sizeof x), tern_shape_text(b->y_shape, y, sizeof y),
                          tern_shape_text(a->x_shape, u, sizeof u), tern_shape_text(a->y_shape, v, sizeof v));
    if (!(a->get && b->get) && !(a->item && b->item))
        return terni_fail(TERN_ERR_ARGUMENT,
                          "dataset_concat: part %d and the first have neither get nor item in common", i);
    if (a->classes != b->classes)
        return terni_fail(TERN_ERR_ARGUMENT, "dataset_concat: part %d has %d classes, the first %d", i, b->classes,
                          a->classes);
    return true;
}

static bool take_parts(concat *c, tern_dataset *const *d, int n) {
    bool get = true, item = true, name = false, label = true;
    c->of = terni_malloc((size_t)n * sizeof *c->of);
    c->end = c->of ? terni_malloc((size_t)n * sizeof *c->end) : NULL;
    if (!c->end) return false;
    c->n = n;
    c->d = like(d[0]);
    c->d.drop = concat_drop;
    for (int i = 0; i < n; i++) {
        if (!fits(d[0], d[i], i)) return false;
        c->of[i] = d[i];
        if (__builtin_add_overflow(c->d.length, d[i]->length, &c->d.length))
            return terni_fail(TERN_ERR_ARGUMENT, "dataset_concat: too many samples");
        c->end[i] = c->d.length;
        get = get && d[i]->get;
        item = item && d[i]->item;
        name = name || d[i]->name;
        label = label && d[i]->label;
    }
    if (!get && !item) return terni_fail(TERN_ERR_ARGUMENT, "dataset_concat: neither get nor item is everywhere");
    c->d.get = get ? concat_get : NULL;
    c->d.item = item ? concat_item : NULL;
    c->d.name = name ? concat_name : NULL;
    c->d.label = label ? concat_label : NULL;
    return true;
}

tern_dataset *tern_dataset_concat_new(tern_dataset *const *d, int n) {
    if (!terni_given(d, "dataset_concat", "datasets")) return NULL;
    if (n < 1 || !d[0]) return terni_null(TERN_ERR_ARGUMENT, "dataset_concat: %d datasets, or the first is NULL", n);
    concat *c = terni_calloc(sizeof *c);
    if (c && !take_parts(c, d, n)) {
        concat_drop(&c->d);
        return NULL;
    }
    return c ? &c->d : NULL;
}

/* ---- random split ------------------------------------------------------------------------------------------------ */

/* How many samples each part has. */
static bool part_sizes(int64_t length, const double *part, int n, int64_t *size) {
    double sum = 0;
    int64_t left = length;
    for (int i = 0; i < n; i++) {
        if (!(part[i] >= 0) || !isfinite(part[i]))
            return terni_fail(TERN_ERR_ARGUMENT, "dataset_random_split: part %d is %g", i, part[i]);
        sum += part[i];
    }
    const bool shares = fabs(sum - 1) < 1e-9 && length != 1;
    if (!shares && sum != (double)length)
        return terni_fail(TERN_ERR_ARGUMENT,
                          "dataset_random_split: the parts add up to %.17g; expected 1, or the %lld samples", sum,
                          (long long)length);
    for (int i = 0; i < n; i++) {
        if (!shares && part[i] != floor(part[i]))
            return terni_fail(TERN_ERR_ARGUMENT, "dataset_random_split: part %d is %g; expected a count", i, part[i]);
        size[i] = (int64_t)(shares ? floor(part[i] * (double)length) : part[i]);
        left -= size[i];
    }
    for (int i = 0; left > 0; i = (i + 1) % n, left--) size[i]++;
    return true;
}

bool tern_dataset_random_split(tern_dataset *d, const double *part, int n, uint64_t seed, tern_dataset **out) {
    for (int i = 0; out && i < n; i++) out[i] = NULL;
    if (!terni_given(d, "dataset_random_split", "dataset") || !terni_given(part, "dataset_random_split", "part") ||
        !terni_given(out, "dataset_random_split", "out"))
        return false;
    if (n < 1 || n > 4096 || d->length < 1 || d->length > INT64_MAX / 16)
        return terni_fail(TERN_ERR_ARGUMENT,
                          "dataset_random_split: %lld samples in %d parts; expected 1 or more of each",
                          (long long)d->length, n);
    int64_t *order = terni_malloc((size_t)d->length * sizeof *order);
    int64_t *size = order ? terni_malloc((size_t)n * sizeof *size) : NULL;
    bool ok = size && part_sizes(d->length, part, n, size);
    if (ok) {
        tern_random r = {.seed = seed};
        for (int64_t i = 0; i < d->length; i++) order[i] = i;
        terni_shuffle(&r, order, d->length);
    }
    int64_t at = 0;
    for (int i = 0; ok && i < n; i++) {
        out[i] = tern_dataset_subset_new(d, order + at, size[i]);
        at += size[i];
        ok = out[i] != NULL;
    }
    for (int i = 0; !ok && i < n; i++) {
        tern_dataset_free(out[i]);
        out[i] = NULL;
    }
    terni_mfree(order);
    terni_mfree(size);
    return ok;
}

/* ---- classes ----------------------------------------------------------------------------------------------------- */

bool tern_dataset_labels(tern_dataset *d, int64_t *label) {
    if (!terni_given(d, "dataset_labels", "dataset") || !terni_given(label, "dataset_labels", "label")) return false;
    if (d->label) {
        for (int64_t i = 0; i < d->length; i++) label[i] = d->label(d, i);
        return true;
    }
    if (!d->get || d->y_dtype != TERN_I64 || d->y_shape.ndim != 0)
        return terni_fail(TERN_ERR_DTYPE, "dataset_labels: y is %d-dim %s; expected one i64, or a label function",
                          d->y_shape.ndim, tern_dtype_name(d->y_dtype));
    size_t bytes = tern_dtype_size(d->x_dtype);
    for (int i = 0; i < d->x_shape.ndim; i++) bytes *= (size_t)d->x_shape.dim[i];
    void *x = terni_malloc(bytes + 1);
    bool ok = x != NULL;
    for (int64_t i = 0; ok && i < d->length; i++) ok = d->get(d, i, x, &label[i]);
    terni_mfree(x);
    return ok || (tern_ok() && terni_fail(TERN_ERR_IO, "dataset_labels: a sample gave no reason"));
}
