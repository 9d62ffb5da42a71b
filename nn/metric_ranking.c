/* Metrics of the order of scores: areas under curves. All scores are kept, so that they are exact. */
#include <math.h>

#include "metric_internal.h"

enum { ROC, PR };
enum { SCORES, TARGETS, PARTS };

static void clear(terni_metric *m) {
    for (int i = 0; i < m->n_batch; i++) tern_release(m->batch[i]);
    m->n_batch = 0;
}

/* Scores [rows, columns], f32 or f64; targets the same, f64: 1 where the column's class is meant; and weights, in the
 * third place, like targets. */
static bool columns(const terni_metric *m, tern_tensor **scores, tern_tensor **targets, tern_tensor **w) {
    tern_tensor *s = *scores, *t = *targets;
    if (!terni_metric_by_class(s, t)) {
        s = terni_metric_like(m, s, t);
        if (!s) return false;
        const bool labels = tern_ndim(t) == 2 && tern_size(t, 1) > 0;
        const tern_shape shape = labels ? tern_shape_get(t) : TERN_SHAPE(tern_numel(t), 1);
        *scores = tern_reshape(s, shape);
        *w = tern_reshape(*w, shape);
        *targets = tern_reshape(tern_cast(tern_gt(t, tern_zeros_like(t)), TERN_F64), shape);
        return *scores && *targets && *w;
    }
    const int64_t n = tern_size(s, 1), rows = tern_numel(t);
    if (!m->o.probabilities) s = tern_softmax(s, 1);
    s = tern_movedim(s, 1, -1);
    if (!s || tern_numel(s) != rows * n)
        return tern_ok() && terni_fail(TERN_ERR_SHAPE, "%s: %lld scores for %lld targets of %lld classes", m->m.name,
                                       (long long)tern_numel(s), (long long)rows, (long long)n);
    s = tern_reshape(s, TERN_SHAPE(rows, n));
    *w = tern_reshape(*w, TERN_SHAPE(rows, 1));
    t = tern_reshape(tern_cast(t, TERN_I64), TERN_SHAPE(rows));
    /* Ignored targets, which weigh nothing, may lie outside. */
    tern_tensor *none = tern_zeros_like(t);
    t = tern_where(tern_ne(tern_reshape(*w, TERN_SHAPE(rows)), none), t, none);
    t = tern_one_hot(t, n, TERN_F64);
    *scores = n == 2 ? tern_slice(s, 1, 1, 2, 1) : s;
    *targets = n == 2 ? tern_slice(t, 1, 1, 2, 1) : t;
    *w = tern_expand(*w, tern_shape_get(*targets));
    return *scores && *targets && *w;
}

static bool update(tern_metric *metric, tern_tensor *pred, tern_tensor *target, tern_tensor *weight) {
    terni_metric *m = (terni_metric *)metric;
    if (!tern_dtype_is_float(tern_dtype_of(pred)))
        return terni_fail(TERN_ERR_DTYPE, "%s: predictions are %s; floats expected", m->name,
                          tern_dtype_name(tern_dtype_of(pred)));
    tern_tensor *part[PARTS + 1] = {pred, target, terni_metric_weights(m, target, weight)};
    if (!part[PARTS] || !columns(m, &part[SCORES], &part[TARGETS], &part[PARTS])) return false;
    if (m->n_batch && tern_size(m->batch[0], 1) != tern_size(part[SCORES], 1))
        return terni_fail(TERN_ERR_SHAPE, "%s: %lld classes, before %lld", m->name,
                          (long long)tern_size(part[SCORES], 1), (long long)tern_size(m->batch[0], 1));
    for (int i = 0; i <= PARTS; i++) { /* copies: the program may change what it gave */
        part[i] = tern_clone(part[i]);
        if (!part[i]) return false;
    }
    while (m->n_batch + PARTS + 1 > m->cap_batch) {
        tern_tensor **more = terni_grown(m->batch, m->cap_batch, &m->cap_batch, sizeof *more);
        if (!more) return false;
        m->batch = more;
    }
    for (int i = 0; i <= PARTS; i++) m->batch[m->n_batch++] = tern_keep(part[i]);
    return true;
}

/* The area for one class; order: of its scores, falling. NaN where it is not defined. */
static double area(int kind, const double *score, const double *target, const double *weight, const int64_t *order,
                   int64_t n, double *positive) {
    double all[2] = {0, 0}, seen[2] = {0, 0}, sum = 0; /* of no, of yes */
    for (int64_t i = 0; i < n; i++) all[target[i] > 0] += weight[i];
    *positive = all[1];
    if (!(all[1] > 0) || (kind == ROC && !(all[0] > 0))) return (double)NAN;
    for (int64_t i = 0; i < n;) {
        const double before[2] = {seen[0], seen[1]}, here = score[order[i]];
        for (; i < n && !(score[order[i]] < here); i++) seen[target[order[i]] > 0] += weight[order[i]];
        if (kind == ROC)
            sum += (seen[0] - before[0]) * (seen[1] + before[1]) / 2;
        else if (seen[1] > before[1])
            sum += (seen[1] - before[1]) * seen[1] / (seen[0] + seen[1]);
    }
    return kind == ROC ? sum / (all[0] * all[1]) : sum / all[1];
}

/* Part i of all batches, on the CPU, column by column: [columns, rows]. */
static tern_tensor *gathered(const terni_metric *m, int part) {
    const int n = m->n_batch / (PARTS + 1);
    tern_tensor **t = terni_malloc((size_t)n * sizeof *t);
    if (!t) return NULL;
    for (int i = 0; i < n; i++) t[i] = m->batch[i * (PARTS + 1) + part];
    tern_tensor *all = tern_to(tern_cat(t, n, 0), tern_cpu());
    terni_mfree(t);
    return tern_contiguous(tern_transpose(tern_cast(all, TERN_F64), 0, 1));
}

static double compute(tern_metric *metric) {
    const terni_metric *m = (const terni_metric *)metric;
    if (m->n_batch == 0) return (double)NAN;
    tern_tensor *s = gathered(m, SCORES), *t = gathered(m, TARGETS), *w = gathered(m, PARTS);
    if (!s || !t || !w) return (double)NAN;
    tern_tensor *order = tern_contiguous(tern_argsort(s, 1, true));
    if (!order) return (double)NAN;
    const int64_t n = tern_size(s, 1);
    double sum = 0, weights = 0;
    for (int64_t c = 0; c < tern_size(s, 0); c++) {
        const double *score = (const double *)tern_data(s) + c * n;
        for (int64_t i = 0; i < n; i++)
            if (isnan(score[i])) {
                terni_fail(TERN_ERR_ARGUMENT, "%s: a score is NaN", m->name);
                return (double)NAN;
            }
        double positive;
        const double a =
            area(m->kind, score, (const double *)tern_data(t) + c * n, (const double *)tern_data(w) + c * n,
                 (const int64_t *)tern_data(order) + c * n, n, &positive);
        if (isnan(a)) continue;
        const double share = m->o.mean == TERN_METRIC_WEIGHTED ? positive : 1;
        sum += share * a;
        weights += share;
    }
    return weights > 0 ? sum / weights : (double)NAN;
}

static tern_metric *area_new(int kind, const char *name, tern_metric_opts o) {
    if (tern_ok() && (o.mean == TERN_METRIC_MICRO || o.mean == TERN_METRIC_BINARY))
        return terni_null(TERN_ERR_ARGUMENT, "%s: the mean is to be macro or weighted", name);
    const terni_metric what = {.m = {.update = update, .compute = compute}, .kind = kind, .clear = clear};
    return terni_metric_new(what, name, false, o);
}

tern_metric *tern_roc_auc_new(tern_metric_opts opts) { return area_new(ROC, "roc_auc", opts); }
tern_metric *tern_pr_auc_new(tern_metric_opts opts) { return area_new(PR, "pr_auc", opts); }
