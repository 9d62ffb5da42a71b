/* What tern_fit's files share. Private. */
#ifndef TERNI_FIT_INTERNAL_H
#define TERNI_FIT_INTERNAL_H

#include "internal.h"
#include "tern/callbacks.h"
#include "tern/fit.h"

typedef struct terni_fit {
    tern_fit_run run; /* run.own is this */
    tern_fit_opts o;  /* nothing left to default */
    tern_module *criterion, *made_criterion;
    tern_loader *loader, *validation, *made_loader, *made_validation;
    tern_dataset *split[2];
    tern_history *made_history;
    tern_device device;
    tern_tensor *sum;           /* of loss x samples in the epoch so far; f64, kept, or NULL */
    double samples;             /* in the epoch so far */
    tern_checkpoint checkpoint; /* what tern_fit_checkpoint gave */
    tern_checkpoint_user *user;
    char *names, *text; /* of user; the history */
} terni_fit;

/* The model's output and, unless it is NULL, the loss against target, for fit and evaluate alike. */
bool terni_fit_forward(const tern_evaluate_opts *o, tern_module *model, tern_tensor *x, tern_tensor *target,
                       tern_tensor **y, tern_tensor **loss);
/* One epoch of l: the metrics, after a reset, and the mean loss (or NULL). */
bool terni_fit_evaluate(tern_module *model, const tern_evaluate_opts *o, tern_loader *l, double *loss);
/* Where the model's first parameter or buffer is. */
tern_device terni_fit_device(tern_module *model);

/* Fills f->run from o.resume, if there is something to resume (fit_state.c). */
bool terni_fit_resume(terni_fit *f);
void terni_fit_drop_checkpoint(terni_fit *f);

/* The history as text: a line of names, "epoch" first, then a line for each epoch from `first` on, with numbers from
 * `base`; for terni_mfree. Digits that say all (17) or that people read (8). */
char *terni_history_text(const tern_history *h, int64_t first, int base, int digits);
/* Reads it back; TERN_ERR_FORMAT. */
bool terni_history_read(tern_history *h, const char *text);

/* A callback of the library: size bytes, cleared, that begin with a tern_callback; and the drop of those that hold
 * nothing but themselves. */
void *terni_callback_new(size_t size, const char *name, void (*drop)(tern_callback *));
void terni_callback_drop(tern_callback *c, size_t size);

/* What a callback goes by: the best so far, which numbers carry. */
typedef struct terni_monitor {
    char *name; /* or NULL: the usual one */
    bool highest;
    double min_delta;
} terni_monitor;
const char *terni_monitor_name(const terni_monitor *m, const tern_fit_run *run);
/* The epoch's number; false after an error, naming what there is. */
bool terni_monitor_get(const terni_monitor *m, const tern_fit_run *run, const char *who, double *value);
/* True if value is better than best (NaN: nothing yet). */
bool terni_monitor_better(const terni_monitor *m, const tern_fit_run *run, double value, double best);

#endif
