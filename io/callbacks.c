/* Callbacks that decide: early stopping, plateaus, limits; and what all callbacks of the library share. */
#include "tern/callbacks.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fit_internal.h"

/* ---- shared ------------------------------------------------------------------------------------------------------ */

void *terni_callback_new(size_t size, const char *name, void (*drop)(tern_callback *)) {
    tern_callback *c = tern_ok() ? terni_calloc(size) : NULL;
    if (!c) return NULL;
    c->name = name;
    c->drop = drop;
    return c;
}
void terni_callback_drop(tern_callback *c, size_t size) { terni_free(c, size); }

const char *terni_monitor_name(const terni_monitor *m, const tern_fit_run *run) {
    return m->name ? m->name : run->validates ? "val_loss" : "loss";
}

bool terni_monitor_get(const terni_monitor *m, const tern_fit_run *run, const char *who, double *value) {
    const char *name = terni_monitor_name(m, run);
    char names[300] = "";
    for (int i = 0; i < tern_history_names(run->history); i++) {
        const char *has = tern_history_name(run->history, i);
        if (strcmp(has, name) == 0) {
            *value = tern_history_get(run->history, name, run->epoch);
            return true;
        }
        const size_t at = strlen(names);
        snprintf(names + at, sizeof names - at, " %s", has);
    }
    return terni_fail(TERN_ERR_ARGUMENT, "%s: the history has no %s; it has%s", who, name, names);
}

static bool rises(const terni_monitor *m, const tern_fit_run *run) {
    const char *name = terni_monitor_name(m, run);
    if (strncmp(name, "val_", 4) == 0) name += 4;
    for (int i = 0; i < run->n_metrics; i++)
        if (strcmp(run->metrics[i]->name, name) == 0) return !run->metrics[i]->lower;
    return m->highest;
}

bool terni_monitor_better(const terni_monitor *m, const tern_fit_run *run, double value, double best) {
    if (isnan(value)) return false;
    if (isnan(best)) return true;
    return rises(m, run) ? value - m->min_delta > best : value + m->min_delta < best;
}

static bool copied(const char *from, char **to) { return !from || (*to = terni_strdup(from)) != NULL; }

/* ---- early stopping ---------------------------------------------------------------------------------------------- */

enum { BEST, BAD, OVER, EARLY_NUMBERS };
static const char no_better[] = "the monitored number no longer gets better";

typedef struct early {
    tern_callback c;
    terni_monitor monitor;
    int64_t patience;
    bool restore;
    char *path;
    tern_module *weights; /* of the best epoch, if they are kept in memory */
    double numbers[EARLY_NUMBERS];
} early;

static bool early_begin(tern_callback *c, tern_fit_run *run) {
    early *s = (early *)c;
    if (run->resumed && s->restore && !s->path)
        return terni_fail(TERN_ERR_ARGUMENT,
                          "early_stopping: a resumed run finds the best weights in a file: "
                          "restore_best needs path");
    if (!run->resumed) {
        s->numbers[BEST] = (double)NAN;
        s->numbers[BAD] = s->numbers[OVER] = 0;
    }
    if (s->numbers[OVER] > 0) run->stop = no_better;
    return true;
}

static bool keep_best(early *s, tern_fit_run *run) {
    if (s->path) return tern_checkpoint_save(s->path, &(tern_checkpoint){.model = run->model, .no_random = true});
    if (s->weights) return tern_module_copy(s->weights, run->model);
    s->weights = tern_module_clone(run->model);
    return s->weights != NULL;
}

static bool early_epoch(tern_callback *c, tern_fit_run *run) {
    early *s = (early *)c;
    double v;
    if (!terni_monitor_get(&s->monitor, run, "early_stopping", &v)) return false;
    if (terni_monitor_better(&s->monitor, run, v, s->numbers[BEST])) {
        s->numbers[BEST] = v;
        s->numbers[BAD] = 0;
        return !s->restore || keep_best(s, run);
    }
    s->numbers[BAD]++;
    if (s->numbers[BAD] > (double)s->patience) {
        s->numbers[OVER] = 1;
        run->stop = no_better;
    }
    return true;
}

static bool early_end(tern_callback *c, tern_fit_run *run) {
    early *s = (early *)c;
    bool ok = true;
    /* An interrupted run goes on later, from where it was. */
    const bool ended = run->end == TERN_FIT_DONE || run->end == TERN_FIT_STOPPED;
    if (s->restore && ended && !isnan(s->numbers[BEST]))
        ok = s->path ? tern_checkpoint_load(s->path, &(tern_checkpoint){.model = run->model, .no_random = true})
                     : tern_module_copy(run->model, s->weights);
    tern_module_free(s->weights);
    s->weights = NULL;
    return ok;
}

static void early_drop(tern_callback *c) {
    early *s = (early *)c;
    tern_module_free(s->weights);
    terni_mfree(s->monitor.name);
    terni_mfree(s->path);
    terni_callback_drop(c, sizeof *s);
}

tern_callback *tern_early_stopping_new(tern_early_stopping_opts o) {
    if (tern_ok() && (o.patience < 0 || !(o.min_delta >= 0)))
        return terni_null(TERN_ERR_ARGUMENT, "early_stopping: patience %lld, min_delta %g; expected 0 or more",
                          (long long)o.patience, o.min_delta);
    early *s = terni_callback_new(sizeof *s, "early_stopping", early_drop);
    if (!s) return NULL;
    s->c.on_train_begin = early_begin;
    s->c.on_epoch_end = early_epoch;
    s->c.on_train_end = early_end;
    s->c.numbers = s->numbers;
    s->c.n_numbers = EARLY_NUMBERS;
    s->monitor = (terni_monitor){.highest = o.highest, .min_delta = o.min_delta};
    s->patience = o.patience;
    s->restore = o.restore_best;
    if (copied(o.monitor, &s->monitor.name) && copied(o.path, &s->path)) return &s->c;
    early_drop(&s->c);
    return NULL;
}

/* ---- reduce on plateau ------------------------------------------------------------------------------------------- */

enum { PLATEAU_BEGUN, PLATEAU_LR, PLATEAU_BEST, PLATEAU_BAD, PLATEAU_RESTING, PLATEAU_FIRST, PLATEAU_NUMBERS };

typedef struct plateau {
    tern_callback c;
    terni_monitor monitor;
    tern_schedule schedule;
    double numbers[PLATEAU_NUMBERS];
} plateau;

static void plateau_note(plateau *s) {
    const tern_schedule_plateau *p = &s->schedule.plateau;
    const double now[PLATEAU_NUMBERS] = {p->begun, p->lr, p->best, (double)p->bad, (double)p->resting, s->schedule.lr};
    memcpy(s->numbers, now, sizeof now);
}

static bool plateau_begin(tern_callback *c, tern_fit_run *run) {
    plateau *s = (plateau *)c;
    tern_schedule_plateau *p = &s->schedule.plateau;
    if (run->schedule)
        return terni_fail(TERN_ERR_ARGUMENT, "reduce_on_plateau: the run has a schedule, which sets the rate as well");
    p->highest = rises(&s->monitor, run);
    if (run->resumed) {
        p->begun = s->numbers[PLATEAU_BEGUN] > 0;
        p->lr = s->numbers[PLATEAU_LR];
        p->best = s->numbers[PLATEAU_BEST];
        p->bad = (int64_t)s->numbers[PLATEAU_BAD];
        p->resting = (int64_t)s->numbers[PLATEAU_RESTING];
        s->schedule.lr = s->numbers[PLATEAU_FIRST];
        return true;
    }
    s->schedule.lr = tern_optim_lr(run->optim);
    p->begun = false;
    p->lr = p->best = 0;
    p->bad = p->resting = 0;
    plateau_note(s);
    return true;
}

static bool plateau_epoch(tern_callback *c, tern_fit_run *run) {
    plateau *s = (plateau *)c;
    double v;
    if (!terni_monitor_get(&s->monitor, run, "reduce_on_plateau", &v) || !tern_schedule_metric(&s->schedule, v))
        return false;
    plateau_note(s);
    return tern_schedule_apply(&s->schedule, run->optim);
}

static void plateau_drop(tern_callback *c) {
    plateau *s = (plateau *)c;
    terni_mfree(s->monitor.name);
    terni_callback_drop(c, sizeof *s);
}

tern_callback *tern_reduce_on_plateau_new(const char *monitor, tern_schedule_plateau opts) {
    plateau *s = terni_callback_new(sizeof *s, "reduce_on_plateau", plateau_drop);
    if (!s) return NULL;
    s->c.on_train_begin = plateau_begin;
    s->c.on_epoch_end = plateau_epoch;
    s->c.numbers = s->numbers;
    s->c.n_numbers = PLATEAU_NUMBERS;
    s->monitor.highest = opts.highest;
    s->schedule = (tern_schedule){.kind = TERN_SCHEDULE_PLATEAU, .plateau = opts};
    if (copied(monitor, &s->monitor.name)) return &s->c;
    plateau_drop(&s->c);
    return NULL;
}

/* ---- limits ------------------------------------------------------------------------------------------------------ */

typedef struct watch {
    tern_callback c;
    int64_t every, batches;
    double seconds, start;
} watch;

static void watch_drop(tern_callback *c) { terni_callback_drop(c, sizeof(watch)); }

static bool nan_batch(tern_callback *c, tern_fit_run *run) {
    watch *s = (watch *)c;
    if (s->batches++ % s->every == 0 && !isfinite(tern_item(run->loss))) run->stop = "the loss is not finite";
    return true;
}

tern_callback *tern_terminate_on_nan_new(int64_t every) {
    if (tern_ok() && every < 0)
        return terni_null(TERN_ERR_ARGUMENT, "terminate_on_nan: every %lld batches", (long long)every);
    watch *s = terni_callback_new(sizeof *s, "terminate_on_nan", watch_drop);
    if (!s) return NULL;
    s->every = every ? every : 1;
    s->c.on_batch_end = nan_batch;
    return &s->c;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool limit_begin(tern_callback *c, tern_fit_run *run) {
    (void)run;
    ((watch *)c)->start = now();
    return true;
}
static bool limit_batch(tern_callback *c, tern_fit_run *run) {
    const watch *s = (const watch *)c;
    if (now() - s->start >= s->seconds) run->stop = "the time is over";
    return true;
}

tern_callback *tern_time_limit_new(double seconds) {
    if (tern_ok() && !(seconds > 0)) return terni_null(TERN_ERR_ARGUMENT, "time_limit: %g seconds", seconds);
    watch *s = terni_callback_new(sizeof *s, "time_limit", watch_drop);
    if (!s) return NULL;
    s->seconds = seconds;
    s->c.on_train_begin = limit_begin;
    s->c.on_batch_end = limit_batch;
    return &s->c;
}
