/* Callbacks that tell: CSV, TensorBoard, a line of progress. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fit_internal.h"
#include "replace.h"
#include "tern/tensorboard.h"

typedef struct log {
    tern_callback c;
    char *path;
    tern_tensorboard *board;
    int64_t every;
    int fd;
    bool terminal;
    double start, shown;
} log_callback;

static void log_drop(tern_callback *c) {
    log_callback *s = (log_callback *)c;
    (void)tern_tensorboard_close(s->board);
    terni_mfree(s->path);
    terni_callback_drop(c, sizeof *s);
}

static log_callback *log_new(const char *name, const char *path) {
    log_callback *s = terni_callback_new(sizeof *s, name, log_drop);
    if (!s || !path || (s->path = terni_strdup(path))) return s;
    log_drop(&s->c);
    return NULL;
}

/* ---- CSV --------------------------------------------------------------------------------------------------------- */

static bool csv_write(tern_callback *c, tern_fit_run *run) {
    const log_callback *s = (const log_callback *)c;
    char *text = terni_history_text(run->history, 0, 1, 8);
    terni_replace r;
    const bool ok = text && terni_replace_begin(&r, "csv_log", s->path) &&
                    terni_replace_end(&r, terni_replace_write(&r, text, strlen(text)));
    terni_mfree(text);
    return ok;
}

tern_callback *tern_csv_log_new(const char *path) {
    if (!terni_given(path, "csv_log", "path")) return NULL;
    log_callback *s = log_new("csv_log", path);
    if (!s) return NULL;
    s->c.on_epoch_end = csv_write;
    return &s->c;
}

/* ---- TensorBoard ------------------------------------------------------------------------------------------------- */

static bool board_begin(tern_callback *c, tern_fit_run *run) {
    log_callback *s = (log_callback *)c;
    (void)run;
    s->board = tern_tensorboard_open(s->path);
    return s->board != NULL;
}

/* "val_loss" stands beside "loss": loss/validation and loss/train. */
static bool board_epoch(tern_callback *c, tern_fit_run *run) {
    const log_callback *s = (const log_callback *)c;
    bool ok = true;
    for (int i = 0; ok && i < tern_history_names(run->history); i++) {
        const char *name = tern_history_name(run->history, i);
        const bool val = strncmp(name, "val_", 4) == 0;
        const double v = tern_history_get(run->history, name, run->epoch);
        char tag[300];
        snprintf(tag, sizeof tag, "%s/%s", val ? name + 4 : name, val ? "validation" : "train");
        ok = tern_tensorboard_scalar(s->board, tag, v, run->epoch + 1);
    }
    return ok && tern_tensorboard_flush(s->board);
}

static bool board_batch(tern_callback *c, tern_fit_run *run) {
    const log_callback *s = (const log_callback *)c;
    if (s->every == 0 || run->step % s->every != 0) return true;
    return tern_tensorboard_scalar(s->board, "batch/loss", tern_item(run->loss), run->step) &&
           tern_tensorboard_scalar(s->board, "batch/lr", tern_optim_lr(run->optim), run->step);
}

static bool board_end(tern_callback *c, tern_fit_run *run) {
    log_callback *s = (log_callback *)c;
    (void)run;
    tern_tensorboard *board = s->board;
    s->board = NULL;
    return !board || tern_tensorboard_close(board);
}

tern_callback *tern_tensorboard_log_new(const char *folder, int64_t every_steps) {
    if (!terni_given(folder, "tensorboard_log", "folder")) return NULL;
    if (every_steps < 0)
        return terni_null(TERN_ERR_ARGUMENT, "tensorboard_log: every %lld steps", (long long)every_steps);
    log_callback *s = log_new("tensorboard_log", folder);
    if (!s) return NULL;
    s->every = every_steps;
    s->c.on_train_begin = board_begin;
    s->c.on_epoch_end = board_epoch;
    s->c.on_batch_end = board_batch;
    s->c.on_train_end = board_end;
    return &s->c;
}

/* ---- progress ---------------------------------------------------------------------------------------------------- */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A reader that is gone does not end the training. */
static void show(const log_callback *s, const char *text) {
    size_t left = strlen(text);
    while (left > 0) {
        const ssize_t n = write(s->fd, text, left);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        text += n;
        left -= (size_t)n;
    }
}

static bool progress_begin(tern_callback *c, tern_fit_run *run) {
    (void)run;
    log_callback *s = (log_callback *)c;
    s->start = s->shown = now();
    return true;
}

static bool progress_batch(tern_callback *c, tern_fit_run *run) {
    log_callback *s = (log_callback *)c;
    if (!s->terminal || now() - s->shown < 0.5) return true;
    char line[200];
    s->shown = now();
    snprintf(line, sizeof line, "\r\033[Kepoch %lld/%lld  batch %lld/%lld  loss %.4g", (long long)run->epoch + 1,
             (long long)run->epochs, (long long)run->batch + 1, (long long)run->batches, tern_item(run->loss));
    show(s, line);
    return true;
}

static bool progress_epoch(tern_callback *c, tern_fit_run *run) {
    log_callback *s = (log_callback *)c;
    char line[2000];
    size_t n = (size_t)snprintf(line, sizeof line, "%sepoch %lld/%lld", s->terminal ? "\r\033[K" : "",
                                (long long)run->epoch + 1, (long long)run->epochs);
    for (int i = 0; i < tern_history_names(run->history) && n + 1 < sizeof line; i++) {
        const char *name = tern_history_name(run->history, i);
        n += (size_t)snprintf(line + n, sizeof line - n, "  %.60s %.4g", name,
                              tern_history_get(run->history, name, run->epoch));
    }
    if (n + 1 < sizeof line) n += (size_t)snprintf(line + n, sizeof line - n, "  %.1f s\n", now() - s->start);
    if (n + 1 >= sizeof line) memcpy(line + sizeof line - 2, "\n", 2); /* too many numbers for one line */
    show(s, line);
    s->start = s->shown = now();
    return true;
}

static bool progress_end(tern_callback *c, tern_fit_run *run) {
    const log_callback *s = (const log_callback *)c;
    char line[300];
    if (run->end == TERN_FIT_STOPPED)
        snprintf(line, sizeof line, "stopped: %.200s\n", run->stop ? run->stop : "");
    else if (run->end == TERN_FIT_INTERRUPTED)
        snprintf(line, sizeof line, "interrupted after step %lld\n", (long long)run->step);
    else
        return true;
    show(s, line);
    return true;
}

tern_callback *tern_progress_new(int fd) {
    if (tern_ok() && fd < 0) return terni_null(TERN_ERR_ARGUMENT, "progress: file descriptor %d", fd);
    log_callback *s = log_new("progress", NULL);
    if (!s) return NULL;
    s->fd = fd;
    s->terminal = isatty(fd) == 1;
    s->c.on_train_begin = progress_begin;
    s->c.on_batch_end = progress_batch;
    s->c.on_epoch_end = progress_epoch;
    s->c.on_train_end = progress_end;
    return &s->c;
}
