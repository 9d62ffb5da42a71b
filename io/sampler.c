/* Samplers: an epoch's order from the seed and its number. */
#include "tern/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "sampler_internal.h"

enum { MOST_SAMPLES = 1 << 30 };

void tern_sampler_free(tern_sampler *s) {
    if (s && s->drop) s->drop(s);
}

bool tern_sampler_order(tern_sampler *s, uint64_t seed, int64_t epoch, int64_t *out) {
    if (!terni_given(s, "sampler", "sampler") || !terni_given(out, "sampler", "out")) return false;
    if (!s->order || s->length < 0) return terni_fail(TERN_ERR_ARGUMENT, "sampler: no order, or a negative length");
    if (!s->order(s, seed, epoch, out))
        return tern_ok() ? terni_fail(TERN_ERR_ARGUMENT, "sampler: it failed, and gave no reason") : false;
    for (int64_t i = 0; i < s->length; i++)
        if (out[i] < 0 || out[i] >= s->over)
            return terni_fail(TERN_ERR_INDEX, "sampler: number %lld at place %lld is outside the %lld samples",
                              (long long)out[i], (long long)i, (long long)s->over);
    return true;
}

/* ---- shuffling --------------------------------------------------------------------------------------------------- */

void terni_shuffle(tern_random *r, int64_t *v, int64_t n) {
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = (int64_t)tern_random_below(r, (uint64_t)i + 1), t = v[i];
        v[i] = v[j];
        v[j] = t;
    }
}

tern_random terni_epoch_random(uint64_t seed, int64_t epoch) { return (tern_random){seed, (uint64_t)epoch << 40}; }

/* ---- the kinds --------------------------------------------------------------------------------------------------- */

typedef struct sampler {
    tern_sampler s;
    int64_t n; /* samples that there are */
    bool replacement;
    double *weight; /* weighted: sums up to each, or, without replacement, the weights */
    int64_t *label;
    tern_sampler *of;
    int rank, world;
} sampler;

static void sampler_drop(tern_sampler *p) {
    sampler *s = (sampler *)p;
    terni_mfree(s->weight);
    terni_mfree(s->label);
    terni_free(s, sizeof *s);
}

static sampler *sampler_new(const char *op, int64_t n, int64_t length,
                            bool (*order)(tern_sampler *, uint64_t, int64_t, int64_t *)) {
    if (!tern_ok()) return NULL;
    if (n < 1 || n > INT64_MAX / 64 || length < 1 || length > INT64_MAX / 64)
        return terni_null(TERN_ERR_ARGUMENT, "%s: %lld of %lld samples; expected 1 or more", op, (long long)length,
                          (long long)n);
    sampler *s = terni_calloc(sizeof *s);
    if (!s) return NULL;
    s->s = (tern_sampler){.length = length, .over = n, .order = order, .drop = sampler_drop};
    s->n = n;
    return s;
}

static bool sequential_order(tern_sampler *s, uint64_t seed, int64_t epoch, int64_t *out) {
    (void)seed;
    (void)epoch;
    for (int64_t i = 0; i < s->length; i++) out[i] = i;
    return true;
}

tern_sampler *tern_sampler_sequential_new(int64_t n) {
    sampler *s = sampler_new("sampler_sequential", n, n, sequential_order);
    return s ? &s->s : NULL;
}

static bool random_order(tern_sampler *p, uint64_t seed, int64_t epoch, int64_t *out) {
    const sampler *s = (sampler *)p;
    tern_random r = terni_epoch_random(seed, epoch);
    if (s->replacement) {
        for (int64_t i = 0; i < p->length; i++) out[i] = (int64_t)tern_random_below(&r, (uint64_t)s->n);
        return true;
    }
    int64_t *all = p->length % s->n == 0 ? NULL : terni_malloc((size_t)s->n * sizeof *all);
    if (p->length % s->n != 0 && !all) return false;
    for (int64_t at = 0; at < p->length; at += s->n) {
        const int64_t part = p->length - at < s->n ? p->length - at : s->n;
        int64_t *v = part < s->n ? all : out + at;
        for (int64_t i = 0; i < s->n; i++) v[i] = i;
        terni_shuffle(&r, v, s->n);
        if (part < s->n) memcpy(out + at, v, (size_t)part * sizeof *v);
    }
    terni_mfree(all);
    return true;
}

tern_sampler *tern_sampler_random_new(int64_t n, tern_sampler_opts opts) {
    sampler *s = sampler_new("sampler_random", n, opts.samples ? opts.samples : n, random_order);
    if (!s) return NULL;
    s->replacement = opts.replacement;
    return &s->s;
}

/* ---- weighted ---------------------------------------------------------------------------------------------------- */

typedef struct keyed {
    double key;
    int64_t i;
} keyed;

static int by_key(const void *a, const void *b) {
    const keyed *p = a, *q = b;
    return p->key < q->key ? -1 : p->key > q->key ? 1 : (p->i > q->i) - (p->i < q->i);
}

/* The first number whose sum of weights is above u. */
static int64_t find(const double *sum, int64_t n, double u) {
    int64_t lo = 0, hi = n - 1;
    while (lo < hi) {
        const int64_t mid = lo + (hi - lo) / 2;
        if (sum[mid] > u)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

static bool weighted_order(tern_sampler *p, uint64_t seed, int64_t epoch, int64_t *out) {
    const sampler *s = (sampler *)p;
    tern_random r = terni_epoch_random(seed, epoch);
    if (s->replacement) {
        for (int64_t i = 0; i < p->length; i++)
            out[i] = find(s->weight, s->n, tern_random_double(&r) * s->weight[s->n - 1]);
        return true;
    }
    keyed *k = terni_malloc((size_t)s->n * sizeof *k);
    if (!k) return false;
    for (int64_t i = 0; i < s->n; i++) { /* an exponential time with the weight as its rate; the earliest come first */
        const double e = -log1p(-tern_random_double(&r));
        k[i] = (keyed){s->weight[i] > 0 ? e / s->weight[i] : (double)INFINITY, i};
    }
    qsort(k, (size_t)s->n, sizeof *k, by_key);
    for (int64_t i = 0; i < p->length; i++) out[i] = k[i].i;
    terni_mfree(k);
    return true;
}

tern_sampler *tern_sampler_weighted_new(const double *weight, int64_t n, tern_sampler_opts opts) {
    if (!terni_given(weight, "sampler_weighted", "weight")) return NULL;
    int64_t positive = 0;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!(weight[i] >= 0) || !isfinite(weight[i]))
            return terni_null(TERN_ERR_ARGUMENT, "sampler_weighted: weight %lld is %g; expected 0 or more",
                              (long long)i, weight[i]);
        positive += weight[i] > 0;
        sum += weight[i];
    }
    const int64_t length = opts.samples ? opts.samples : opts.replacement ? n : positive;
    if (n > 0 && (positive == 0 || !isfinite(sum) || (!opts.replacement && length > positive)))
        return terni_null(TERN_ERR_ARGUMENT,
                          "sampler_weighted: %lld samples out of %lld with a positive weight, which add up to %g",
                          (long long)length, (long long)positive, sum);
    sampler *s = sampler_new("sampler_weighted", n, length, weighted_order);
    if (!s) return NULL;
    s->replacement = opts.replacement;
    s->weight = terni_malloc((size_t)n * sizeof *s->weight);
    if (!s->weight) {
        sampler_drop(&s->s);
        return NULL;
    }
    double so_far = 0;
    for (int64_t i = 0; i < n; i++) {
        so_far += weight[i];
        s->weight[i] = opts.replacement ? so_far : weight[i];
    }
    return &s->s;
}

/* ---- stratified -------------------------------------------------------------------------------------------------- */

/* Each class is shuffled; its k-th of m comes at the time (k + u) / m, with one random u for the class. */
static void class_times(int64_t from, int64_t to, keyed *k, tern_random *r, int64_t *v) {
    const int64_t m = to - from;
    for (int64_t i = 0; i < m; i++) v[i] = k[from + i].i;
    terni_shuffle(r, v, m);
    const double u = tern_random_double(r);
    for (int64_t i = 0; i < m; i++) k[from + i] = (keyed){((double)i + u) / (double)m, v[i]};
}

static bool stratified_order(tern_sampler *p, uint64_t seed, int64_t epoch, int64_t *out) {
    const sampler *s = (sampler *)p;
    tern_random r = terni_epoch_random(seed, epoch);
    keyed *k = terni_malloc((size_t)s->n * sizeof *k);
    if (!k) return false;
    for (int64_t i = 0; i < s->n; i++) k[i] = (keyed){(double)s->label[i], i};
    qsort(k, (size_t)s->n, sizeof *k, by_key);
    for (int64_t from = 0, to; from < s->n; from = to) {
        for (to = from + 1; to < s->n && s->label[k[to].i] == s->label[k[from].i];) to++;
        class_times(from, to, k, &r, out);
    }
    qsort(k, (size_t)s->n, sizeof *k, by_key);
    for (int64_t i = 0; i < s->n; i++) out[i] = k[i].i;
    terni_mfree(k);
    return true;
}

tern_sampler *tern_sampler_stratified_new(const int64_t *label, int64_t n) {
    if (!terni_given(label, "sampler_stratified", "label")) return NULL;
    for (int64_t i = 0; i < n; i++)
        if (label[i] < 0 || label[i] > MOST_SAMPLES)
            return terni_null(TERN_ERR_ARGUMENT, "sampler_stratified: label %lld of sample %lld is no class number",
                              (long long)label[i], (long long)i);
    sampler *s = sampler_new("sampler_stratified", n, n, stratified_order);
    if (!s) return NULL;
    s->label = terni_malloc((size_t)n * sizeof *label);
    if (!s->label) {
        sampler_drop(&s->s);
        return NULL;
    }
    memcpy(s->label, label, (size_t)n * sizeof *label);
    return &s->s;
}

/* ---- distributed ------------------------------------------------------------------------------------------------- */

static bool distributed_order(tern_sampler *p, uint64_t seed, int64_t epoch, int64_t *out) {
    const sampler *s = (sampler *)p;
    int64_t *all = terni_malloc((size_t)s->of->length * sizeof *all);
    const bool ok = all && tern_sampler_order(s->of, seed, epoch, all);
    for (int64_t i = 0; ok && i < p->length; i++) out[i] = all[(s->rank + i * s->world) % s->of->length];
    terni_mfree(all);
    return ok;
}

tern_sampler *tern_sampler_distributed_new(tern_sampler *of, int rank, int world, bool drop_last) {
    if (!terni_given(of, "sampler_distributed", "sampler")) return NULL;
    if (world < 1 || rank < 0 || rank >= world)
        return terni_null(TERN_ERR_ARGUMENT, "sampler_distributed: rank %d of %d; expected 0 to world - 1", rank,
                          world);
    const int64_t length = drop_last ? of->length / world : (of->length + world - 1) / world;
    if (length < 1)
        return terni_null(TERN_ERR_ARGUMENT, "sampler_distributed: %lld samples leave none for each of %d processes",
                          (long long)of->length, world);
    sampler *s = sampler_new("sampler_distributed", of->over, length, distributed_order);
    if (!s) return NULL;
    s->of = of;
    s->rank = rank;
    s->world = world;
    return &s->s;
}
