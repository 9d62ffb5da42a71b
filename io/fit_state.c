/* A run in a checkpoint, and out of it. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fit_internal.h"

enum { NAME = 100, FIXED = 4, HISTORY_BYTES = 900000 }; /* an attribute that is read back has less than a megabyte */
enum { HISTORY, SAMPLES, LOSS, NUMBERS };

static int numbers_in_all(const terni_fit *f) {
    int n = FIXED;
    for (int i = 0; i < f->o.n_callbacks; i++) n += f->o.callbacks[i]->n_numbers;
    return n;
}

void terni_fit_drop_checkpoint(terni_fit *f) {
    terni_mfree(f->user);
    terni_mfree(f->names);
    terni_mfree(f->text);
    f->user = NULL;
    f->names = f->text = NULL;
}

/* How callback i is called in attributes: its name, which may hold what they may not, and how many before it are called
 * so; for what it remembers is found again by that. */
static void callback_key(const terni_fit *f, int i, char *key, size_t size) {
    char name[64];
    int before = -1;
    for (int k = i; k >= 0; k--) {
        const tern_callback *c = f->o.callbacks[k];
        snprintf(name, sizeof name, "%s", c->name ? c->name : "callback");
        for (char *p = name; *p; p++)
            if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", *p)) *p = '_';
        if (k == i) snprintf(key, size, "%s", name);
        if (c->n_numbers > 0 && strcmp(key, name) == 0) before++;
    }
    const size_t at = strlen(key);
    snprintf(key + at, size - at, "_%d", before);
}

/* f->checkpoint with all parts, and names for all numbers; their values are not there yet. */
static bool frame(terni_fit *f) {
    const int n = numbers_in_all(f);
    terni_fit_drop_checkpoint(f);
    f->user = terni_malloc((size_t)n * sizeof *f->user);
    f->names = terni_malloc((size_t)n * NAME);
    if (!f->user || !f->names) return false;
    static const char *const fixed[FIXED] = {"fit_history", "fit_samples", "fit_loss", "fit_numbers"};
    int at = 0;
    for (; at < FIXED; at++) snprintf(f->names + at * NAME, NAME, "%s", fixed[at]);
    for (int i = 0; i < f->o.n_callbacks; i++) {
        char key[80];
        callback_key(f, i, key, sizeof key);
        for (int k = 0; k < f->o.callbacks[i]->n_numbers; k++)
            snprintf(f->names + at++ * NAME, NAME, "fit_%.75s_%d", key, k);
    }
    for (int i = 0; i < n; i++) f->user[i] = (tern_checkpoint_user){.name = f->names + i * NAME};
    f->checkpoint = (tern_checkpoint){.model = f->run.model,
                                      .optim = f->run.optim,
                                      .loader = f->loader,
                                      .schedule = f->run.schedule,
                                      .scaler = f->o.scaler,
                                      .epoch = f->run.epoch,
                                      .step = f->run.step,
                                      .user = f->user,
                                      .n_user = n};
    return true;
}

static char *history_that_fits(const tern_history *h) {
    const int64_t n = tern_history_epochs(h);
    for (int64_t first = 0;; first += (n - first) / 2 + 1) {
        char *text = terni_history_text(h, first, 0, 17);
        if (!text || strlen(text) < HISTORY_BYTES || first >= n) return text;
        terni_mfree(text);
    }
}

const tern_checkpoint *tern_fit_checkpoint(tern_fit_run *run) {
    if (!terni_given(run, "fit_checkpoint", "run") || !terni_given(run->own, "fit_checkpoint", "run")) return NULL;
    terni_fit *f = run->own;
    if (!frame(f) || !(f->text = history_that_fits(run->history))) return NULL;
    f->user[HISTORY].text = f->text;
    f->user[SAMPLES].number = f->samples;
    f->user[LOSS].number = f->sum ? tern_item(f->sum) : 0;
    f->user[NUMBERS].number = numbers_in_all(f) - FIXED;
    int at = FIXED;
    for (int i = 0; i < f->o.n_callbacks; i++)
        for (int k = 0; k < f->o.callbacks[i]->n_numbers; k++) f->user[at++].number = f->o.callbacks[i]->numbers[k];
    return tern_ok() ? &f->checkpoint : NULL;
}

/* ---- resuming ---------------------------------------------------------------------------------------------------- */

static bool take_over(terni_fit *f, const char *path) {
    const tern_checkpoint *c = &f->checkpoint;
    const int numbers = numbers_in_all(f) - FIXED; /* all of which it has */
    if (!(f->user[NUMBERS].number <= numbers))
        return terni_fail(TERN_ERR_FORMAT,
                          "fit: %s is of a run whose callbacks remember %g numbers; those of this one remember %d",
                          path, f->user[NUMBERS].number, numbers);
    if (!f->user[HISTORY].text || !terni_history_read(f->run.history, f->user[HISTORY].text))
        return tern_ok() ? terni_fail(TERN_ERR_FORMAT, "fit: %s has no history", path) : false;
    f->run.epoch = c->epoch;
    f->run.step = c->step;
    f->run.resumed = true;
    f->samples = f->user[SAMPLES].number;
    if (f->samples > 0) {
        const tern_options o = {TERN_F64, f->device};
        f->sum = tern_keep(tern_scalar(f->user[LOSS].number, o));
    }
    int at = FIXED;
    for (int i = 0; i < f->o.n_callbacks; i++)
        for (int k = 0; k < f->o.callbacks[i]->n_numbers; k++) f->o.callbacks[i]->numbers[k] = f->user[at++].number;
    return tern_ok();
}

static bool load(const terni_fit *f, const char *path, bool file, tern_checkpoint *c) {
    return file ? tern_checkpoint_load(path, c) : tern_checkpoint_load_newest(path, f->o.resume_prefix, c, NULL, 0);
}

/* Before fit_numbers there was fit_callbacks, and what callbacks remember went by their places. */
static bool of_old(const terni_fit *f, const char *path, bool file) {
    tern_checkpoint_user old = {.name = "fit_callbacks"};
    return load(f, path, file, &(tern_checkpoint){.no_random = true, .user = &old, .n_user = 1});
}

/* All of f's checkpoint; where that cannot be and the file is an older version's, the error says so. */
static bool load_all(terni_fit *f, const char *path, bool file) {
    const bool muted = terni_error_mute(true);
    const bool ok = load(f, path, file, &f->checkpoint);
    const tern_code code = tern_error_code();
    char why[1200];
    snprintf(why, sizeof why, "%s", ok ? "" : tern_error_message());
    if (!ok) tern_error_clear();
    const bool old = !ok && code == TERN_ERR_FORMAT && of_old(f, path, file);
    if (!ok) tern_error_clear();
    terni_error_mute(muted);
    if (old)
        return terni_fail(TERN_ERR_FORMAT,
                          "fit: %s was written by an older version of Tern, whose runs this one "
                          "cannot resume; tern_checkpoint_load reads its model and optimizer",
                          path);
    return ok || tern_error_set(code, "%s", why);
}

bool terni_fit_resume(terni_fit *f) {
    const char *path = f->o.resume;
    if (!path) return true;
    const size_t n = strlen(path);
    struct stat st;
    const bool file = (n > 3 && strcmp(path + n - 3, ".h5") == 0) || (stat(path, &st) == 0 && !S_ISDIR(st.st_mode));
    const int64_t there = file ? 1 : tern_checkpoint_count(path, f->o.resume_prefix);
    if (there <= 0) return there == 0;
    if (!frame(f)) return false;
    const int scope = tern_scope_push();
    const bool ok = load_all(f, path, file) && take_over(f, path);
    tern_checkpoint_free_text(&f->checkpoint);
    tern_scope_pop(scope);
    return ok;
}
