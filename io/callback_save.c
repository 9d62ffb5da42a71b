/* The callback that saves checkpoints. */
#include <math.h>
#include <string.h>

#include "fit_internal.h"

typedef struct save {
    tern_callback c;
    tern_save_opts o; /* its texts are those below */
    char *folder, *prefix;
    terni_monitor monitor;
    tern_checkpointer *writer;
    bool due, due_best; /* at the next pause */
    int64_t due_step;   /* at the first pause from this step on */
    double best;        /* NaN: none yet; carried in checkpoints */
} save;

static bool begin(tern_callback *c, tern_fit_run *run) {
    save *s = (save *)c;
    const char *prefix = s->prefix ? s->prefix : "checkpoint";
    const int64_t there = run->resumed || s->o.overwrite ? 0 : tern_checkpoint_count(s->folder, s->prefix);
    if (there < 0) return false;
    if (there > 0)
        return terni_fail(TERN_ERR_ARGUMENT,
                          "save: %s holds checkpoints of another run (%s-STEP.h5): resume it, empty "
                          "the folder, or set overwrite",
                          s->folder, prefix);
    if (!run->resumed) s->best = (double)NAN;
    s->due = s->due_best = false;
    s->due_step = s->o.every_steps > 0 ? run->step + s->o.every_steps - run->step % s->o.every_steps : INT64_MAX;
    const tern_checkpoint like = {
        .model = run->model, .optim = run->optim, .loader = run->loader, .schedule = run->schedule};
    const tern_checkpointer_opts o = {.prefix = s->prefix, .keep = s->o.keep, .failed = s->o.failed, .user = s->o.user};
    s->writer = tern_checkpointer_new(s->folder, &like, o);
    return s->writer != NULL;
}

static bool epoch_end(tern_callback *c, tern_fit_run *run) {
    save *s = (save *)c;
    if (!s->o.no_best) {
        double v;
        if (!terni_monitor_get(&s->monitor, run, "save", &v)) return false;
        if (terni_monitor_better(&s->monitor, run, v, s->best)) {
            s->best = v;
            s->due_best = true;
        }
    }
    if (s->o.every_epochs > 0 && (run->epoch + 1) % s->o.every_epochs == 0) s->due = true;
    return true;
}

static bool write_now(save *s, tern_fit_run *run) {
    const tern_checkpoint *c = tern_fit_checkpoint(run);
    if (!c || !tern_checkpointer_save(s->writer, c, s->due_best)) return false;
    s->due = s->due_best = false;
    if (s->o.every_steps > 0) s->due_step = run->step + s->o.every_steps - run->step % s->o.every_steps;
    return true;
}

static bool on_pause(tern_callback *c, tern_fit_run *run) {
    save *s = (save *)c;
    const bool last = run->end != TERN_FIT_RUNNING;
    if (s->due || s->due_best || last) return write_now(s, run);
    return run->step < s->due_step || tern_checkpointer_busy(s->writer) || write_now(s, run);
}

static bool end(tern_callback *c, tern_fit_run *run) {
    save *s = (save *)c;
    (void)run;
    const bool ok = !s->writer || tern_checkpointer_wait(s->writer); /* of a failed run: its error is pending already */
    (void)tern_checkpointer_free(s->writer);
    s->writer = NULL;
    return ok;
}

static void drop(tern_callback *c) {
    save *s = (save *)c;
    (void)tern_checkpointer_free(s->writer);
    terni_mfree(s->folder);
    terni_mfree(s->prefix);
    terni_mfree(s->monitor.name);
    terni_callback_drop(c, sizeof *s);
}

tern_callback *tern_save_new(const char *folder, tern_save_opts o) {
    if (!terni_given(folder, "save", "folder")) return NULL;
    if (o.every_steps < 0) return terni_null(TERN_ERR_ARGUMENT, "save: every %lld steps", (long long)o.every_steps);
    save *s = terni_callback_new(sizeof *s, "save", drop);
    if (!s) return NULL;
    if (o.every_epochs == 0) o.every_epochs = 1;
    s->o = o;
    s->monitor.highest = o.highest;
    s->best = (double)NAN;
    s->c.on_train_begin = begin;
    s->c.on_epoch_end = epoch_end;
    s->c.on_pause = on_pause;
    s->c.on_train_end = end;
    s->c.numbers = &s->best;
    s->c.n_numbers = 1;
    s->folder = terni_strdup(folder);
    s->prefix = o.prefix ? terni_strdup(o.prefix) : NULL;
    s->monitor.name = o.monitor ? terni_strdup(o.monitor) : NULL;
    if (s->folder && (s->prefix || !o.prefix) && (s->monitor.name || !o.monitor)) return &s->c;
    drop(&s->c);
    return NULL;
}
