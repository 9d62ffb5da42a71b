#include "series.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static bool series_alloc(series *s, int64_t n) {
    s->n = n;
    s->value = calloc((size_t)n + 1, sizeof *s->value);
    return s->value || tern_error_set(TERN_ERR_MEMORY, "no memory for a series of %" PRId64 " values", n);
}

void series_free(series *s) { free(s->value); }

bool series_generate(series *s, int64_t n) {
    const double turn = 2 * 3.14159265358979323846;
    if (!series_alloc(s, n)) return false;
    const int scope = tern_scope_push();
    const bool ok = tern_to_doubles(tern_randn(TERN_SHAPE(n), 0, 1, (tern_options){.dtype = TERN_F64}), s->value, n);
    tern_scope_pop(scope);
    for (int64_t i = 0; i < n; i++) {
        const double day = turn * (double)(i % 24) / 24, week = turn * (double)(i % 168) / 168;
        s->value[i] += 50 + 0.004 * (double)i + 8 * sin(day) + 4 * sin(2 * day + 1) + 5 * sin(week);
    }
    return ok;
}

bool series_read(series *s, const char *path, const char *column) {
    tern_table *t = tern_csv_load(path, (tern_csv_opts){0});
    if (!t) return false;
    const int c = tern_table_find(t, column), scope = tern_scope_push();
    bool ok = series_alloc(s, tern_table_rows(t));
    if (ok && c < 0) ok = tern_error_set(TERN_ERR_ARGUMENT, "%s: there is no column \"%s\"", path, column);
    tern_tensor *numbers = ok ? tern_cast(tern_table_numbers(t, c), TERN_F64) : NULL;
    ok = ok && tern_to_doubles(numbers, s->value, s->n);
    for (int64_t i = 0; ok && i < s->n; i++) {
        if (!isfinite(s->value[i]))
            ok = tern_error_set(TERN_ERR_FORMAT, "%s: column \"%s\" has no number in row %" PRId64 " of the data", path,
                                column, i + 1);
    }
    tern_scope_pop(scope);
    tern_table_free(t);
    return ok;
}

bool series_split(series *s, int64_t context, int64_t horizon) {
    const int64_t held = s->n / 5;
    double sum = 0, squares = 0;
    s->n_train = s->n - held;
    if (held < horizon || s->n_train < context + horizon)
        return tern_error_set(TERN_ERR_ARGUMENT,
                              "the series has %" PRId64
                              " values, a fifth of them for validation: too few for a "
                              "--context of %" PRId64 " and a --horizon of %" PRId64,
                              s->n, context, horizon);
    for (int64_t i = 0; i < s->n_train; i++) sum += s->value[i];
    s->mean = sum / (double)s->n_train;
    for (int64_t i = 0; i < s->n_train; i++) squares += (s->value[i] - s->mean) * (s->value[i] - s->mean);
    s->std = sqrt(squares / (double)s->n_train);
    return s->std > 0 || tern_error_set(TERN_ERR_ARGUMENT, "the series has the same value throughout its first part");
}

/* ---- windows ----------------------------------------------------------------------------------------------------- */

typedef struct windows {
    tern_dataset d; /* first */
    const series *s;
    int64_t first; /* where the horizon of window 0 begins */
} windows;

int64_t windows_origin(const series *s, int64_t context, bool train, int64_t i) {
    return (train ? context : s->n_train) + i;
}

static bool window_get(tern_dataset *d, int64_t i, void *x, void *y) {
    const windows *w = (const windows *)d;
    const int64_t context = d->x_shape.dim[0], horizon = d->y_shape.dim[0];
    const double *at = w->s->value + w->first + i;
    float *before = x, *after = y;
    for (int64_t k = 0; k < context; k++) before[k] = (float)((at[k - context] - w->s->mean) / w->s->std);
    for (int64_t k = 0; k < horizon; k++) after[k] = (float)((at[k] - w->s->mean) / w->s->std);
    return true;
}

static void drop(tern_dataset *d) { free(d); }

tern_dataset *windows_new(const series *s, int64_t context, int64_t horizon, bool train) {
    windows *w = calloc(1, sizeof *w);
    if (!w) {
        tern_error_set(TERN_ERR_MEMORY, "no memory for a data set");
        return NULL;
    }
    w->s = s;
    w->first = windows_origin(s, context, train, 0);
    w->d = (tern_dataset){.length = (train ? s->n_train : s->n) - w->first - horizon + 1,
                          .x_shape = TERN_SHAPE(context),
                          .y_shape = TERN_SHAPE(horizon),
                          .y_dtype = TERN_F32,
                          .get = window_get,
                          .drop = drop};
    return &w->d;
}
