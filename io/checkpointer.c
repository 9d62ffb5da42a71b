/* A thread of its own writes one snapshot at a time; the rest is names in a folder. */
#include "tern/checkpointer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint_format.h"
#include "replace.h"
#include "snapshot.h"

static const char usual_prefix[] = "checkpoint";

typedef enum job { IDLE, TOUCH, WRITE } job;

struct tern_checkpointer {
    char *folder, *prefix;
    tern_checkpointer_opts o;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool started;
    /* Under the lock; the snapshot is the writer's while job is not IDLE. */
    job job;
    bool stop;
    int waiting; /* callers that wait for the writer */
    terni_snapshot snapshot;
    int64_t step;
    bool best;
    tern_code code; /* of the last checkpoint, if it was given up */
    tern_checkpointer_report report;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* The step of PREFIX-STEP.h5; -1 for other names. */
static int64_t step_of(const char *name, const char *prefix) {
    const size_t n = strlen(prefix);
    if (strncmp(name, prefix, n) != 0 || name[n] != '-') return -1;
    const char *digits = name + n + 1;
    const size_t count = strspn(digits, "0123456789");
    if (count == 0 || count > 18 || strcmp(digits + count, ".h5") != 0) return -1;
    return strtoll(digits, NULL, 10);
}

static bool path_of(const char *folder, const char *prefix, int64_t step, char *path, size_t size) {
    const int n = step < 0 ? snprintf(path, size, "%s/%s-best.h5", folder, prefix)
                           : snprintf(path, size, "%s/%s-%09lld.h5", folder, prefix, (long long)step);
    return (n >= 0 && (size_t)n < size) ||
           terni_fail(TERN_ERR_IO, "checkpointer: the path %.60s... is too long", folder);
}

static bool unreadable(const char *folder) {
    return terni_fail(TERN_ERR_IO, "checkpoint: the folder %s cannot be read: %s", folder, strerror(errno));
}

/* The steps of a folder's checkpoints, rising, for terni_mfree; *n < 0 after an error. No folder: none. */
static int64_t *steps_in(const char *folder, const char *prefix, int *n) {
    int64_t *steps = NULL;
    int count = 0, cap = 0;
    *n = 0;
    DIR *d = opendir(folder);
    if (!d) {
        if (errno != ENOENT && !unreadable(folder)) *n = -1;
        return NULL;
    }
    errno = 0;
    for (struct dirent *e; (e = readdir(d)); errno = 0) {
        const int64_t step = step_of(e->d_name, prefix);
        if (step < 0) continue;
        if (count == cap) {
            cap = cap ? 2 * cap : 16;
            int64_t *more = terni_resize(steps, (size_t)cap * sizeof *more);
            if (!more) {
                count = -1;
                break;
            }
            steps = more;
        }
        int at = count++;
        for (; at > 0 && steps[at - 1] > step; at--) steps[at] = steps[at - 1];
        steps[at] = step;
    }
    if (errno && count >= 0 && !unreadable(folder)) count = -1;
    closedir(d);
    if (count < 0) {
        terni_mfree(steps);
        steps = NULL;
    }
    *n = count;
    return steps;
}

/* ---- in the writer's thread -------------------------------------------------------------------------------------- */

/* PREFIX-best.h5 as another name of the file: no second copy, and replaced in one go. */
static bool name_best(const tern_checkpointer *w, const char *path) {
    char best[PATH_MAX], temporary[PATH_MAX];
    if (!path_of(w->folder, w->prefix, -1, best, sizeof best)) return false;
    const int n = snprintf(temporary, sizeof temporary, "%s.tmp-%ld", best, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temporary) return false;
    (void)unlink(temporary);
    if (link(path, temporary) != 0)
        return terni_checkpoint_write(best, &w->snapshot); /* no links in this file system */
    if (rename(temporary, best) != 0) {
        const int e = errno;
        (void)unlink(temporary);
        return terni_fail(TERN_ERR_IO, "checkpointer: %s cannot be replaced: %s", best, strerror(e));
    }
    (void)unlink(temporary); /* still there if both were one file already */
    return true;
}

/* Removes all but the newest up to this step: what has a higher number is of another run, or damaged, and stays. */
static void clean(const tern_checkpointer *w) {
    int n;
    int64_t *steps = steps_in(w->folder, w->prefix, &n);
    while (n > 0 && steps[n - 1] > w->step) n--;
    char path[PATH_MAX];
    for (int i = 0; w->o.keep > 0 && i < n - w->o.keep; i++)
        if (path_of(w->folder, w->prefix, steps[i], path, sizeof path)) (void)unlink(path);
    terni_mfree(steps);
}

static bool write_once(const tern_checkpointer *w) {
    char path[PATH_MAX];
    return path_of(w->folder, w->prefix, w->step, path, sizeof path) && terni_checkpoint_write(path, &w->snapshot) &&
           (!w->best || name_best(w, path));
}

/* Sleeps, but not while somebody waits. */
static void rest(tern_checkpointer *w, double seconds) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    const double whole = (double)(int64_t)seconds;
    until.tv_sec += (time_t)whole;
    until.tv_nsec += (long)((seconds - whole) * 1e9);
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    pthread_mutex_lock(&w->lock);
    while (!w->stop && !w->waiting && pthread_cond_timedwait(&w->changed, &w->lock, &until) != ETIMEDOUT) {
    }
    pthread_mutex_unlock(&w->lock);
}

/* The error of a failed write is in this thread; notes and forgets it. */
static void note_failure(tern_checkpointer *w, bool more) {
    pthread_mutex_lock(&w->lock);
    w->report.failures++;
    snprintf(w->report.message, sizeof w->report.message, "%s", tern_error_message());
    if (!more) {
        w->code = tern_ok() ? TERN_ERR_INTERNAL : tern_error_code();
        w->report.given_up++;
    }
    pthread_mutex_unlock(&w->lock);
    tern_error_clear();
    if (w->o.failed) w->o.failed(w->report.message, more, w->o.user); /* nobody else writes the message meanwhile */
}

static void write_it(tern_checkpointer *w) {
    const double start = now();
    double wait = w->o.retry_seconds;
    for (int left = w->o.retries;; left--, wait *= 2) {
        if (write_once(w)) break;
        pthread_mutex_lock(&w->lock);
        if ((w->stop || w->waiting) && left > 1) left = 1;
        pthread_mutex_unlock(&w->lock);
        note_failure(w, left > 0);
        if (left <= 0) return;
        rest(w, wait);
    }
    clean(w);
    pthread_mutex_lock(&w->lock);
    w->code = TERN_OK;
    w->report.written++;
    w->report.last_step = w->step;
    w->report.seconds = now() - start;
    pthread_mutex_unlock(&w->lock);
}

static void touch(const terni_snapshot *s) {
    for (int i = 0; i < s->n_items; i++) {
        tern_tensor *t = s->items[i].tensor;
        const size_t bytes = (size_t)tern_numel(t) * tern_dtype_size(tern_dtype_of(t));
        if (bytes) memset(tern_data(t), 0, bytes);
    }
}

static void *work(void *p) {
    tern_checkpointer *w = p;
    terni_error_mute(true); /* reported by note_failure */
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->stop && w->job == IDLE) pthread_cond_wait(&w->changed, &w->lock);
        if (w->job == IDLE) break;
        const job what = w->job;
        pthread_mutex_unlock(&w->lock);
        const int scope = tern_scope_push();
        if (what == TOUCH)
            touch(&w->snapshot);
        else
            write_it(w);
        tern_scope_pop(scope);
        tern_error_clear();
        pthread_mutex_lock(&w->lock);
        w->job = IDLE;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static bool usable_prefix(const char *prefix) {
    static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";
    return *prefix && prefix[0] != '.' && strlen(prefix) < 100 && !prefix[strspn(prefix, fine)];
}

static bool ready_folder(const tern_checkpointer *w) {
    char start[120], path[PATH_MAX];
    if (mkdir(w->folder, 0777) != 0 && errno != EEXIST)
        return terni_fail(TERN_ERR_IO, "checkpointer: the folder %s cannot be made: %s", w->folder, strerror(errno));
    snprintf(start, sizeof start, "%s-", w->prefix);
    terni_replace_sweep(w->folder, start);
    return path_of(w->folder, w->prefix, 0, path, sizeof path) && tern_checkpoint_try(path);
}

static bool start(tern_checkpointer *w, const char *folder, const tern_checkpoint *like) {
    w->folder = terni_strdup(folder);
    w->prefix = terni_strdup(w->o.prefix);
    w->o.prefix = w->prefix;
    if (!w->folder || !w->prefix || !ready_folder(w)) return false;
    if (like && !terni_snapshot_take(&w->snapshot, like, TERNI_SNAPSHOT_SPACE)) return false;
    if (pthread_create(&w->thread, NULL, work, w) != 0)
        return terni_fail(TERN_ERR_MEMORY, "checkpointer: the thread could not be started");
    w->started = true;
    pthread_mutex_lock(&w->lock);
    if (like) w->job = TOUCH;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    return true;
}

tern_checkpointer *tern_checkpointer_new(const char *folder, const tern_checkpoint *like, tern_checkpointer_opts o) {
    if (!terni_given(folder, "checkpointer", "folder")) return NULL;
    if (!o.prefix) o.prefix = usual_prefix;
    if (!usable_prefix(o.prefix) || !*folder || o.retry_seconds > 86400)
        return terni_null(TERN_ERR_ARGUMENT,
                          "checkpointer: folder \"%s\", prefix \"%s\", %g seconds; expected a folder, "
                          "letters and digits, a day at most",
                          folder, o.prefix, o.retry_seconds);
    if (like && !terni_checkpoint_names(like)) return NULL;
    if (o.keep == 0) o.keep = 3;
    o.retries = o.retries == 0 ? 2 : o.retries < 0 ? 0 : o.retries;
    o.retry_seconds = o.retry_seconds > 0 ? o.retry_seconds : o.retry_seconds < 0 ? 0 : 1;
    tern_checkpointer *w = terni_calloc(sizeof *w);
    if (!w) return NULL;
    w->o = o;
    w->report.last_step = -1;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    if (start(w, folder, like)) return w;
    (void)tern_checkpointer_free(w);
    return NULL;
}

static void settle(tern_checkpointer *w) {
    pthread_mutex_lock(&w->lock);
    w->waiting++;
    pthread_cond_broadcast(&w->changed);
    while (w->job != IDLE) pthread_cond_wait(&w->changed, &w->lock);
    w->waiting--;
    pthread_mutex_unlock(&w->lock);
}

bool tern_checkpointer_free(tern_checkpointer *w) {
    if (!w) return true;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    if (w->started) pthread_join(w->thread, NULL);
    const bool ok = w->code == TERN_OK;
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    terni_snapshot_drop(&w->snapshot);
    terni_mfree(w->folder);
    terni_mfree(w->prefix);
    terni_free(w, sizeof *w);
    return ok;
}

/* ---- saving ------------------------------------------------------------------------------------------------------ */

bool tern_checkpointer_save(tern_checkpointer *w, const tern_checkpoint *c, bool best) {
    if (!terni_given(w, "checkpointer", "checkpointer") || !terni_given(c, "checkpointer", "checkpoint") ||
        !terni_checkpoint_names(c))
        return false;
    if (c->step < 0)
        return terni_fail(TERN_ERR_ARGUMENT, "checkpointer: step %lld; 0 or more expected", (long long)c->step);
    settle(w);
    const double from = now();
    if (!terni_snapshot_take(&w->snapshot, c, TERNI_SNAPSHOT_COPY)) {
        return tern_ok() ? terni_fail(TERN_ERR_INTERNAL, "checkpointer: no snapshot could be taken") : false;
    }
    pthread_mutex_lock(&w->lock);
    w->step = c->step;
    w->best = best;
    w->report.stall = now() - from;
    w->job = WRITE;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    return true;
}

bool tern_checkpointer_busy(tern_checkpointer *w) {
    if (!w) return false;
    pthread_mutex_lock(&w->lock);
    const bool busy = w->job == WRITE;
    pthread_mutex_unlock(&w->lock);
    return busy;
}

bool tern_checkpointer_wait(tern_checkpointer *w) {
    if (!terni_given(w, "checkpointer", "checkpointer")) return false;
    settle(w);
    return w->code == TERN_OK || tern_error_set(w->code, "%s", w->report.message);
}

tern_checkpointer_report tern_checkpointer_report_get(tern_checkpointer *w) {
    if (!w) return (tern_checkpointer_report){0};
    pthread_mutex_lock(&w->lock);
    const tern_checkpointer_report r = w->report;
    pthread_mutex_unlock(&w->lock);
    return r;
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

int64_t tern_checkpoint_count(const char *folder, const char *prefix) {
    int n = 0;
    if (terni_given(folder, "checkpoint_count", "folder"))
        terni_mfree(steps_in(folder, prefix ? prefix : usual_prefix, &n));
    return n;
}

/* From the newest down, past those that are damaged. */
static bool load_one_of(const char *folder, const char *prefix, const int64_t *steps, int n, tern_checkpoint *c,
                        char *path, size_t size) {
    tern_code code = TERN_OK;
    char why[1200] = "", name[PATH_MAX];
    bool ok = false;
    const bool muted = terni_error_mute(true); /* an older one may be good */
    for (int i = n - 1; i >= 0 && !ok; i--) {
        ok = path_of(folder, prefix, steps[i], name, sizeof name) && tern_checkpoint_load(name, c);
        if (ok) break;
        const tern_code here = tern_error_code();
        if (code == TERN_OK) {
            code = here;
            snprintf(why, sizeof why, "%s", tern_error_message());
        }
        tern_error_clear();
        if (here != TERN_ERR_FORMAT && here != TERN_ERR_IO) break;
    }
    terni_error_mute(muted);
    if (!ok) return tern_error_set(code, "%s", why);
    if (path && size) snprintf(path, size, "%s", name);
    return true;
}

bool tern_checkpoint_load_newest(const char *folder, const char *prefix, tern_checkpoint *c, char *path, size_t size) {
    if (!terni_given(folder, "checkpoint", "folder") || !terni_given(c, "checkpoint", "checkpoint")) return false;
    if (!prefix) prefix = usual_prefix;
    int n;
    int64_t *steps = steps_in(folder, prefix, &n);
    bool ok = n >= 0;
    if (n == 0) ok = terni_fail(TERN_ERR_IO, "checkpoint: %s holds no %s-STEP.h5", folder, prefix);
    ok = ok && load_one_of(folder, prefix, steps, n, c, path, size);
    terni_mfree(steps);
    return ok;
}
