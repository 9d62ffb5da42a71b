/* Metrics made of a table of counts, target by prediction. */
#include <math.h>

#include "metric_internal.h"

enum { CONFUSION, PRECISION, RECALL, F1, IOU };

static bool update(tern_metric *metric, tern_tensor *pred, tern_tensor *target, tern_tensor *weight) {
    terni_metric *m = (terni_metric *)metric;
    const int64_t n = m->o.classes;
    tern_tensor *c = terni_metric_classes(m, pred, target), *w = c ? terni_metric_weights(m, target, weight) : NULL;
    if (!c || !w) return false;
    if (!m->state[0])
        m->state[0] = tern_keep(tern_zeros(TERN_SHAPE(n * n), (tern_options){TERN_F64, tern_device_of(c)}));
    target = tern_cast(target, TERN_I64);
    /* Ignored targets weigh nothing in the first cell; a class outside makes an index outside, whatever the other is.
     */
    tern_tensor *none = tern_zeros_like(c), *end = tern_full_like(c, (double)n);
    tern_tensor *counts = tern_ne(w, tern_zeros_like(w));
    tern_tensor *wrong = tern_logical_or(tern_logical_or(tern_lt(c, none), tern_ge(c, end)),
                                         tern_logical_or(tern_lt(target, none), tern_ge(target, end)));
    tern_tensor *cell = tern_add(tern_mul_scalar(target, (double)n), c);
    cell = tern_where(wrong, tern_full_like(c, (double)(n * n)), cell);
    cell = tern_where(counts, cell, none);
    const tern_shape flat = TERN_SHAPE(tern_numel(c));
    return tern_scatter_add_(m->state[0], 0, tern_reshape(cell, flat), tern_reshape(w, flat)) != NULL;
}

static double ratio(double a, double b) { return b > 0 ? a / b : 0; }

/* hit: is and was called so; is: all that is; called: all that was called so. */
static double score(int kind, double hit, double is, double called) {
    switch (kind) {
        case PRECISION:
            return ratio(hit, called);
        case RECALL:
            return ratio(hit, is);
        case F1:
            return ratio(2 * hit, is + called);
        default:
            return ratio(hit, is + called - hit);
    }
}

static double mean(const terni_metric *m, const double *t) {
    const int64_t n = m->o.classes;
    double sum = 0, weights = 0, hits = 0, all = 0;
    for (int64_t c = 0; c < n; c++) {
        double is = 0, called = 0;
        for (int64_t k = 0; k < n; k++) {
            is += t[c * n + k];
            called += t[k * n + c];
        }
        const double hit = t[c * n + c], v = m->kind == CONFUSION ? 0 : score(m->kind, hit, is, called);
        hits += hit;
        all += is;
        if (m->kind != CONFUSION && m->o.mean == TERN_METRIC_BINARY && c == 1) return v;
        const double w = m->o.mean == TERN_METRIC_WEIGHTED ? is : is > 0 || called > 0 ? 1 : 0;
        sum += w * v;
        weights += w;
    }
    if (m->kind == CONFUSION) return hits / all;
    if (m->o.mean == TERN_METRIC_MICRO) return score(m->kind, hits, all, all);
    return sum / weights;
}

static double compute(tern_metric *metric) {
    const terni_metric *m = (const terni_metric *)metric;
    const int64_t cells = m->o.classes * m->o.classes;
    if (!m->state[0]) return (double)NAN;
    double *t = terni_malloc((size_t)cells * sizeof *t), v = (double)NAN, all = 0;
    if (t && tern_to_doubles(m->state[0], t, cells)) {
        for (int64_t i = 0; i < cells; i++) all += t[i];
        if (all > 0) v = mean(m, t);
    }
    terni_mfree(t);
    return v;
}

tern_tensor *tern_metric_counts(tern_metric *m) {
    const terni_metric *s = terni_metric_own(m);
    if (!terni_given(m, "metric_counts", "metric")) return NULL;
    if (!s || m->update != update || !s->state[0])
        return terni_null(TERN_ERR_ARGUMENT, "metric_counts: %s has no table%s", m->name,
                          s && m->update == update ? " before an update" : "");
    return tern_clone(tern_reshape(s->state[0], TERN_SHAPE(s->o.classes, s->o.classes)));
}

static tern_metric *table_new(int kind, const char *name, tern_metric_opts o) {
    if (tern_ok() && o.classes > 1 << 14)
        return terni_null(TERN_ERR_ARGUMENT, "%s: %lld classes; expected 2^14 at most", name, (long long)o.classes);
    if (tern_ok() && o.mean == TERN_METRIC_BINARY && o.classes != 0 && o.classes != 2)
        return terni_null(TERN_ERR_ARGUMENT, "%s: the binary one of %lld classes", name, (long long)o.classes);
    if (o.mean == TERN_METRIC_AUTO)
        o.mean = kind != IOU && (o.classes == 0 || o.classes == 2) ? TERN_METRIC_BINARY : TERN_METRIC_MACRO;
    return terni_metric_new((terni_metric){.m = {.update = update, .compute = compute}, .kind = kind}, name, false, o);
}

tern_metric *tern_confusion_new(tern_metric_opts opts) { return table_new(CONFUSION, "confusion", opts); }
tern_metric *tern_precision_new(tern_metric_opts opts) { return table_new(PRECISION, "precision", opts); }
tern_metric *tern_recall_new(tern_metric_opts opts) { return table_new(RECALL, "recall", opts); }
tern_metric *tern_f1_new(tern_metric_opts opts) { return table_new(F1, "f1", opts); }
tern_metric *tern_iou_new(tern_metric_opts opts) { return table_new(IOU, "iou", opts); }
