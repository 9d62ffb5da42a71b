/* Metrics: what all have in common, and those that are sums over targets. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "metric_internal.h"

enum { ALWAYS_IGNORED = -100 };

/* ---- for every metric -------------------------------------------------------------------------------------------- */

bool tern_metric_update(tern_metric *m, tern_tensor *pred, tern_tensor *target, tern_tensor *weight) {
    static const char op[] = "metric_update";
    if (!terni_given(m, op, "metric") || !terni_given(pred, op, "pred") || !terni_given(target, op, "target"))
        return false;
    if (!m->update || !m->compute || !m->reset || !m->name)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: the metric lacks name, update, compute or reset", op);
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false), inference = tern_inference_mode(false); /* sums outlive that mode */
    const bool ok = m->update(m, pred, target, weight);
    tern_inference_mode(inference);
    tern_grad_mode(was);
    tern_scope_pop(scope);
    return ok && tern_ok();
}

double tern_metric_compute(tern_metric *m) {
    if (!terni_given(m, "metric_compute", "metric")) return (double)NAN;
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false), inference = tern_inference_mode(false);
    const double v = m->compute(m);
    tern_inference_mode(inference);
    tern_grad_mode(was);
    tern_scope_pop(scope);
    return tern_ok() ? v : (double)NAN;
}

void tern_metric_reset(tern_metric *m) {
    if (m && m->reset) m->reset(m);
}
void tern_metric_free(tern_metric *m) {
    if (m && m->drop) m->drop(m);
}

/* ---- the library's own ------------------------------------------------------------------------------------------- */

static void reset(tern_metric *m) {
    terni_metric *s = (terni_metric *)m;
    for (int i = 0; i < TERNI_METRIC_STATE; i++) {
        tern_release(s->state[i]);
        s->state[i] = NULL;
    }
    if (s->clear) s->clear(s);
}

static void drop(tern_metric *m) {
    terni_metric *s = (terni_metric *)m;
    reset(m);
    terni_mfree(s->batch);
    terni_mfree(s->name);
    terni_free(s, sizeof *s);
}

terni_metric *terni_metric_own(tern_metric *m) { return m && m->reset == reset ? (terni_metric *)m : NULL; }

tern_metric *terni_metric_new(terni_metric what, const char *name, bool lower, tern_metric_opts o) {
    if (!tern_ok()) return NULL;
    if (o.classes == 0) o.classes = 2;
    if (o.classes < 2 || o.classes > 1 << 20 || (int)o.mean < TERN_METRIC_AUTO || o.mean > TERN_METRIC_WEIGHTED ||
        isnan(o.threshold))
        return terni_null(TERN_ERR_ARGUMENT,
                          "%s: %lld classes, mean %d, threshold %g; expected 2 to 2^20, one that "
                          "there is, a number",
                          name, (long long)o.classes, (int)o.mean, o.threshold);
    if (!(o.threshold < 0 || o.threshold > 0)) o.threshold = o.probabilities ? 0.5 : 0;
    if (!o.has_ignore_index) o.ignore_index = ALWAYS_IGNORED;
    terni_metric *s = terni_calloc(sizeof *s);
    if (!s) return NULL;
    *s = what;
    s->o = o;
    s->o.name = NULL;
    s->m.lower = lower;
    s->m.reset = reset;
    s->m.drop = drop;
    s->m.name = s->name = terni_strdup(o.name ? o.name : name);
    if (!s->name) {
        drop(&s->m);
        return NULL;
    }
    return &s->m;
}

/* ---- predictions and targets ------------------------------------------------------------------------------------- */

static bool other_shape(const terni_metric *m, tern_tensor *pred, tern_tensor *target) {
    char a[120], b[120];
    const tern_shape p = tern_shape_get(pred), t = tern_shape_get(target);
    return terni_fail(TERN_ERR_SHAPE, "%s: predictions %s do not fit targets %s", m->name,
                      tern_shape_text(p, a, sizeof a), tern_shape_text(t, b, sizeof b));
}

bool terni_metric_by_class(tern_tensor *pred, tern_tensor *target) {
    return tern_ndim(pred) == tern_ndim(target) + 1 && tern_ndim(pred) > 1 && tern_size(pred, 1) != 1;
}

tern_tensor *terni_metric_like(const terni_metric *m, tern_tensor *pred, tern_tensor *target) {
    const tern_shape p = tern_shape_get(pred), t = tern_shape_get(target);
    if (tern_shape_equal(p, t)) return pred;
    int i = 0, k = 0;
    for (;;) {
        while (i < p.ndim && p.dim[i] == 1) i++;
        while (k < t.ndim && t.dim[k] == 1) k++;
        if (i == p.ndim || k == t.ndim || p.dim[i] != t.dim[k]) break;
        i++, k++;
    }
    if (i < p.ndim || k < t.ndim) {
        other_shape(m, pred, target);
        return NULL;
    }
    return tern_reshape(pred, t);
}

/* Integer targets other than those to be ignored: bool. */
static tern_tensor *counted(const terni_metric *m, tern_tensor *target) {
    target = tern_cast(target, TERN_I64);
    tern_tensor *ok = tern_ne(target, tern_full_like(target, ALWAYS_IGNORED));
    if (m->o.ignore_index == ALWAYS_IGNORED) return ok;
    return tern_logical_and(ok, tern_ne(target, tern_full_like(target, (double)m->o.ignore_index)));
}

tern_tensor *terni_metric_weights(const terni_metric *m, tern_tensor *target, tern_tensor *weight) {
    const tern_shape shape = tern_shape_get(target);
    const tern_dtype dtype = tern_dtype_of(target);
    tern_tensor *w;
    if (!weight) {
        w = tern_ones(shape, (tern_options){TERN_F64, tern_device_of(target)});
    } else {
        tern_shape s = tern_shape_get(weight);
        if (s.ndim == 1 && shape.ndim > 1) /* of whole samples */
            for (; s.ndim < shape.ndim; s.ndim++) s.dim[s.ndim] = 1;
        w = tern_expand(tern_cast(tern_reshape(weight, s), TERN_F64), shape);
    }
    if (tern_dtype_is_float(dtype)) return w;
    return tern_mul(w, tern_cast(counted(m, target), TERN_F64));
}

tern_tensor *terni_metric_classes(const terni_metric *m, tern_tensor *pred, tern_tensor *target) {
    if (tern_dtype_is_float(tern_dtype_of(pred))) {
        if (terni_metric_by_class(pred, target)) {
            tern_tensor *c = tern_argmax(pred, 1, false);
            if (c && !tern_shape_equal(tern_shape_get(c), tern_shape_get(target))) {
                other_shape(m, pred, target);
                return NULL;
            }
            return c;
        }
        pred = terni_metric_like(m, pred, target);
        return pred ? tern_cast(tern_gt(pred, tern_full_like(pred, m->o.threshold)), TERN_I64) : NULL;
    }
    pred = terni_metric_like(m, pred, target);
    return pred ? tern_cast(pred, TERN_I64) : NULL;
}

bool terni_metric_add(terni_metric *m, int i, tern_tensor *t) {
    if (!t) return false;
    if (m->state[i]) return tern_add_(m->state[i], t) != NULL;
    m->state[i] = tern_keep(tern_clone(t));
    return m->state[i] != NULL;
}

/* ---- means over targets ------------------------------------------------------------------------------------------ */

enum { ACCURACY, TOP_K, LOG_LOSS, PERPLEXITY, MSE, MAE };

/* x, or 0 where the weight is 0: what counts for nothing may be NaN. */
static tern_tensor *where_counted(tern_tensor *w, tern_tensor *x) {
    return tern_where(tern_ne(w, tern_zeros_like(w)), x, tern_zeros_like(x));
}

static tern_tensor *total(tern_tensor *x) { return tern_sum(x, NULL, 0, false); }

/* The scores of the target's class, [N, 1, ...], and the classes like them; targets to be ignored take class 0. */
static tern_tensor *of_target(const terni_metric *m, tern_tensor *scores, tern_tensor *target, tern_tensor **index) {
    tern_shape a = tern_shape_get(scores);
    const tern_shape b = tern_shape_get(target);
    for (int i = 1; i + 1 < a.ndim; i++) a.dim[i] = a.dim[i + 1];
    a.ndim--;
    if (!tern_shape_equal(a, b)) {
        other_shape(m, scores, target);
        return NULL;
    }
    target = tern_cast(target, TERN_I64);
    *index = tern_unsqueeze(tern_mul(target, tern_cast(counted(m, target), TERN_I64)), 1);
    return tern_gather(scores, 1, *index);
}

/* 1 where fewer than k classes come before the target's. */
static tern_tensor *among_best(const terni_metric *m, tern_tensor *pred, tern_tensor *target) {
    tern_tensor *index;
    if (!terni_metric_by_class(pred, target)) {
        other_shape(m, pred, target);
        return NULL;
    }
    tern_tensor *score = of_target(m, pred, target, &index);
    if (!score) return NULL;
    tern_shape shape = {.ndim = tern_ndim(pred)};
    for (int i = 0; i < shape.ndim; i++) shape.dim[i] = i == 1 ? tern_size(pred, 1) : 1;
    tern_tensor *classes = tern_arange(0, (double)tern_size(pred, 1), (tern_options){TERN_I64, tern_device_of(pred)});
    tern_tensor *tie = tern_logical_and(tern_eq(pred, score), tern_lt(tern_reshape(classes, shape), index));
    tern_tensor *before = tern_logical_or(tern_logical_or(tern_gt(pred, score), tie), tern_isnan(score));
    tern_tensor *n = tern_sum(tern_cast(before, TERN_I64), (int[]){1}, 1, false);
    return tern_cast(tern_lt(n, tern_full_like(n, (double)m->k)), TERN_F64);
}

/* Probabilities, away from 0 and 1, as scikit-learn keeps them. */
static tern_tensor *inside(tern_tensor *p) {
    const tern_dtype dtype = tern_dtype_of(p);
    const double eps = dtype == TERN_F64 ? 0x1p-52 : dtype == TERN_F32 ? 0x1p-23 : dtype == TERN_F16 ? 0x1p-10 : 0x1p-7;
    return tern_clamp(tern_cast(p, TERN_F64), eps, 1 - eps);
}

/* -log of the probability given to each target. */
static tern_tensor *surprise(const terni_metric *m, tern_tensor *pred, tern_tensor *target) {
    if (!tern_dtype_is_float(tern_dtype_of(pred))) {
        terni_fail(TERN_ERR_DTYPE, "%s: predictions are %s; floats expected", m->name,
                   tern_dtype_name(tern_dtype_of(pred)));
        return NULL;
    }
    if (terni_metric_by_class(pred, target)) {
        tern_tensor *index;
        if (m->o.probabilities) {
            tern_tensor *p = of_target(m, pred, target, &index);
            return p ? tern_squeeze(tern_neg(tern_log(inside(p))), 1) : NULL;
        }
        if (tern_dtype_of(pred) != TERN_F64) pred = tern_cast(pred, TERN_F32);
        tern_tensor *l = of_target(m, tern_log_softmax(pred, 1), target, &index);
        return l ? tern_squeeze(tern_neg(tern_cast(l, TERN_F64)), 1) : NULL;
    }
    pred = terni_metric_like(m, pred, target);
    if (!pred) return NULL;
    tern_tensor *yes = tern_gt(target, tern_zeros_like(target));
    if (m->o.probabilities) {
        tern_tensor *p = inside(pred);
        return tern_neg(tern_log(tern_where(yes, p, tern_rsub_scalar(p, 1))));
    }
    pred = tern_cast(pred, TERN_F64);
    return tern_neg(tern_logsigmoid(tern_where(yes, pred, tern_neg(pred))));
}

static tern_tensor *difference(const terni_metric *m, tern_tensor *pred, tern_tensor *target) {
    pred = terni_metric_like(m, pred, target);
    return pred ? tern_sub(tern_cast(pred, TERN_F64), tern_cast(target, TERN_F64)) : NULL;
}

static tern_tensor *value(const terni_metric *m, tern_tensor *pred, tern_tensor *target) {
    tern_tensor *c;
    switch (m->kind) {
        case ACCURACY:
            c = terni_metric_classes(m, pred, target);
            return c ? tern_cast(tern_eq(c, tern_cast(target, TERN_I64)), TERN_F64) : NULL;
        case TOP_K:
            return among_best(m, pred, target);
        case MSE:
            return tern_square(difference(m, pred, target));
        case MAE:
            return tern_abs(difference(m, pred, target));
        default:
            return surprise(m, pred, target);
    }
}

static bool mean_update(tern_metric *metric, tern_tensor *pred, tern_tensor *target, tern_tensor *weight) {
    terni_metric *m = (terni_metric *)metric;
    tern_tensor *v = value(m, pred, target), *w = v ? terni_metric_weights(m, target, weight) : NULL;
    if (!v || !w) return false;
    tern_tensor *sum = total(tern_mul(where_counted(w, v), w)), *count = total(w);
    return sum && count && terni_metric_add(m, 0, sum) && terni_metric_add(m, 1, count);
}

static double mean_compute(tern_metric *metric) {
    const terni_metric *m = (const terni_metric *)metric;
    if (!m->state[0] || !m->state[1]) return (double)NAN;
    const double mean = tern_item(m->state[0]) / tern_item(m->state[1]);
    return m->kind == PERPLEXITY ? exp(mean) : mean;
}

static tern_metric *mean_new(int kind, int64_t k, const char *name, bool lower, tern_metric_opts opts) {
    const terni_metric what = {.m = {.update = mean_update, .compute = mean_compute}, .kind = kind, .k = k};
    return terni_metric_new(what, name, lower, opts);
}

tern_metric *tern_accuracy_new(tern_metric_opts opts) { return mean_new(ACCURACY, 0, "accuracy", false, opts); }
tern_metric *tern_top_k_new(int64_t k, tern_metric_opts opts) {
    char name[40];
    if (tern_ok() && k < 1) return terni_null(TERN_ERR_ARGUMENT, "top_k: k is %lld; 1 or more expected", (long long)k);
    snprintf(name, sizeof name, "top%lld", (long long)k);
    return mean_new(TOP_K, k, name, false, opts);
}
tern_metric *tern_log_loss_new(tern_metric_opts opts) { return mean_new(LOG_LOSS, 0, "log_loss", true, opts); }
tern_metric *tern_perplexity_new(tern_metric_opts opts) { return mean_new(PERPLEXITY, 0, "perplexity", true, opts); }
tern_metric *tern_mse_new(tern_metric_opts opts) { return mean_new(MSE, 0, "mse", true, opts); }
tern_metric *tern_mae_new(tern_metric_opts opts) { return mean_new(MAE, 0, "mae", true, opts); }

/* ---- explained variance ------------------------------------------------------------------------------------------ */

/* Sums for each number of a sample: weights, the targets' mean and squared deviations from it, squared errors. The
 * deviations of two parts meet as in Chan, Golub and LeVeque, The American Statistician 37 (1983). */
enum { WEIGHTS, MEAN, DEVIATIONS, ERRORS };

static bool r2_update(tern_metric *metric, tern_tensor *pred, tern_tensor *target, tern_tensor *weight) {
    terni_metric *m = (terni_metric *)metric;
    tern_tensor *e = difference(m, pred, target), *w = e ? terni_metric_weights(m, target, weight) : NULL;
    if (!e || !w) return false;
    if (tern_numel(target) == 0) return true;
    const int64_t rows = tern_ndim(target) ? tern_size(target, 0) : 1;
    const tern_shape table = TERN_SHAPE(rows, tern_numel(target) / rows);
    tern_tensor *y = tern_reshape(where_counted(w, tern_cast(target, TERN_F64)), table);
    e = tern_reshape(where_counted(w, e), table);
    w = tern_reshape(w, table);
    const int down[] = {0};
    tern_tensor *n = tern_sum(w, down, 1, false);
    tern_tensor *tiny = tern_full_like(n, 1e-300); /* no weight at all: 0 instead of NaN */
    tern_tensor *mean = tern_div(tern_sum(tern_mul(w, y), down, 1, false), tern_maximum(n, tiny));
    tern_tensor *d = tern_sum(tern_mul(w, tern_square(tern_sub(y, mean))), down, 1, false);
    tern_tensor *error = tern_sum(tern_mul(w, tern_square(e)), down, 1, false);
    if (!m->state[WEIGHTS])
        return terni_metric_add(m, WEIGHTS, n) && terni_metric_add(m, MEAN, mean) &&
               terni_metric_add(m, DEVIATIONS, d) && terni_metric_add(m, ERRORS, error);
    if (tern_numel(n) != tern_numel(m->state[WEIGHTS])) return other_shape(m, m->state[WEIGHTS], target);
    tern_tensor *before = m->state[WEIGHTS], *all = tern_maximum(tern_add(before, n), tiny);
    tern_tensor *apart = tern_sub(mean, m->state[MEAN]);
    d = tern_add(d, tern_div(tern_mul(tern_square(apart), tern_mul(before, n)), all));
    mean = tern_div(tern_mul(apart, n), all);
    return terni_metric_add(m, DEVIATIONS, d) && terni_metric_add(m, MEAN, mean) && terni_metric_add(m, WEIGHTS, n) &&
           terni_metric_add(m, ERRORS, error);
}

static double r2_compute(tern_metric *metric) {
    const terni_metric *m = (const terni_metric *)metric;
    const int64_t n = m->state[ERRORS] ? tern_numel(m->state[ERRORS]) : 0;
    double *v = n ? terni_malloc((size_t)n * 4 * sizeof *v) : NULL, sum = 0;
    if (!v) return (double)NAN;
    bool ok = true;
    for (int i = 0; i < 4; i++) ok = ok && tern_to_doubles(m->state[i], v + i * n, n);
    for (int64_t i = 0; ok && i < n; i++) {
        const double rounding = 1e-14 * v[MEAN * n + i], d = v[DEVIATIONS * n + i], e = v[ERRORS * n + i];
        sum += d > v[WEIGHTS * n + i] * rounding * rounding ? 1 - e / d : e > 0 ? 0 : 1;
    }
    terni_mfree(v);
    return sum / (double)n;
}

tern_metric *tern_r2_new(tern_metric_opts opts) {
    return terni_metric_new((terni_metric){.m = {.update = r2_update, .compute = r2_compute}}, "r2", false, opts);
}
