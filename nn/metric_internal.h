/* What the metrics' files share. Private. */
#ifndef TERNI_METRIC_INTERNAL_H
#define TERNI_METRIC_INTERNAL_H

#include "internal.h"
#include "tern/metric.h"

enum { TERNI_METRIC_STATE = 4 };

typedef struct terni_metric {
    tern_metric m;
    tern_metric_opts o; /* nothing left to default; name is NULL */
    char *name;
    int kind;                               /* the file's own */
    int64_t k;                              /* top-k */
    tern_tensor *state[TERNI_METRIC_STATE]; /* kept, f64 sums; NULL before an update */
    void (*clear)(struct terni_metric *m);  /* frees what the file has besides; may be NULL */
    tern_tensor **batch;                    /* of the areas: scores, targets, weights (or NULL) of each batch, kept */
    int n_batch, cap_batch;
} terni_metric;

/* A metric of the library: the struct, its name and settings. what: update, compute, clear and kind. */
tern_metric *terni_metric_new(terni_metric what, const char *name, bool lower, tern_metric_opts opts);
/* m as one of the library's; its own reset tells. NULL, without an error, if it is none. */
terni_metric *terni_metric_own(tern_metric *m);

/* What each target weighs, f64 of its shape: weight, or 1; 0 for targets to be ignored. */
tern_tensor *terni_metric_weights(const terni_metric *m, tern_tensor *target, tern_tensor *weight);
/* The classes predicted, i64 of target's shape. */
tern_tensor *terni_metric_classes(const terni_metric *m, tern_tensor *pred, tern_tensor *target);
/* pred with target's shape if it differs by dimensions of size 1 alone; NULL after an error. */
tern_tensor *terni_metric_like(const terni_metric *m, tern_tensor *pred, tern_tensor *target);
/* pred has one dimension more than target, the classes; *binary if that is of size 1. */
bool terni_metric_by_class(tern_tensor *pred, tern_tensor *target);
/* Adds t, f64, to sum i. */
bool terni_metric_add(terni_metric *m, int i, tern_tensor *t);

#endif
