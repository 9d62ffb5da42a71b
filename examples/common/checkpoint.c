/* What a run's checkpoint holds besides what Tern itself puts there, as attributes "user_NAME": the settings that shape
 * the result, and the meter of the epoch under way. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "train.h"

enum { DATASET, MODEL, OPTIM, SCHEDULE, EPOCHS, BATCH, LR, SEED, N_SETTINGS };
enum { LOSS_SUM = N_SETTINGS, HITS, SEEN, CURVE, N_ATTRIBUTES = CURVE + RUN_CURVES };

static const char *const names[N_ATTRIBUTES] = {"dataset", "model",  "optim",  "schedule", "epochs",
                                                "batch",   "lr",     "seed",   "loss_sum", "hits",
                                                "seen",    "curve0", "curve1", "curve2"};

static void name_attributes(tern_checkpoint_user *user, int n) {
    for (int i = 0; i < n; i++) user[i] = (tern_checkpoint_user){.name = names[i]};
}

static tern_checkpoint checkpoint_of(const run *r, tern_checkpoint_user *user, int n_user, tern_schedule *schedule) {
    *schedule = r->schedule;
    return (tern_checkpoint){.model = r->net,
                             .optim = r->optim,
                             .loader = r->loader,
                             .schedule = schedule,
                             .epoch = r->epoch,
                             .step = r->step,
                             .user = user,
                             .n_user = n_user};
}

static void put_curves(const plot *p, tern_checkpoint_user *user) {
    static char text[RUN_CURVES][PLOT_TEXT];
    for (int i = 0; i < RUN_CURVES; i++) user[i].text = plot_curve_text(&p->curve[i], text[i]);
}

static bool take_curves(plot *p, const tern_checkpoint_user *user) {
    for (int i = 0; i < RUN_CURVES; i++) {
        if (!user[i].text || !plot_curve_read(&p->curve[i], user[i].text) ||
            strcmp(p->curve[i].name, run_curves[i]) != 0)
            return false;
    }
    return true;
}

bool run_save(const run *r) {
    const settings *s = r->settings;
    tern_checkpoint_user user[N_ATTRIBUTES];
    tern_schedule schedule;
    name_attributes(user, N_ATTRIBUTES);
    user[DATASET].text = s->example->name;
    user[MODEL].text = s->model;
    user[OPTIM].text = s->optim;
    user[SCHEDULE].text = s->schedule;
    user[EPOCHS].number = (double)s->epochs;
    user[BATCH].number = (double)s->batch;
    user[LR].number = s->lr;
    user[SEED].number = (double)s->seed;
    user[LOSS_SUM].number = tern_item(r->meter.loss_sum);
    user[HITS].number = tern_item(r->meter.hits);
    user[SEEN].number = (double)r->meter.seen;
    put_curves(&r->plot, user + CURVE);
    const tern_checkpoint c = checkpoint_of(r, user, N_ATTRIBUTES, &schedule);
    return tern_ok() && tern_checkpoint_save(s->out, &c);
}

bool run_load(run *r) {
    const settings *s = r->settings;
    tern_checkpoint_user user[N_ATTRIBUTES];
    tern_schedule schedule;
    name_attributes(user, N_ATTRIBUTES);
    tern_checkpoint c = checkpoint_of(r, user, N_ATTRIBUTES, &schedule);
    if (!tern_checkpoint_load(s->resume, &c)) return false;
    const bool curves = take_curves(&r->plot, user + CURVE);
    tern_checkpoint_free_text(&c);
    if (!curves) return tern_error_set(TERN_ERR_FORMAT, "%s: its curves are damaged", s->resume);
    const double seen = user[SEEN].number;
    if (!(seen >= 0 && seen <= (double)r->samples) || c.epoch < 0) {
        return tern_error_set(TERN_ERR_FORMAT, "%s: it stands at epoch %" PRId64 ", image %g of %" PRId64, s->resume,
                              c.epoch, seen, r->samples);
    }
    schedule.total = r->schedule.total; /* --epochs may have been raised */
    r->schedule = schedule;
    r->epoch = c.epoch;
    r->step = c.step;
    r->meter.seen = (int64_t)seen;
    tern_fill_(r->meter.loss_sum, user[LOSS_SUM].number);
    tern_fill_(r->meter.hits, user[HITS].number);
    return tern_ok();
}

/* ---- settings ----------------------------------------------------------------------------------------------- */

/* A checkpoint's word, which must be one of an option's choices. The text moves into s, as the checkpoint's is freed.
 */
static bool take_word(settings *s, const char *path, int attribute, const char *text) {
    const option *o = options_find(s->options, s->n_options, names[attribute]);
    char *kept = s->words[attribute - MODEL];
    snprintf(kept, sizeof s->words[0], "%s", text ? text : "");
    if (!option_is_choice(o, kept)) {
        return tern_error_set(TERN_ERR_FORMAT, "%s: %s is \"%s\"; expected one of %s", path, names[attribute], kept,
                              o->argument);
    }
    *(const char **)o->value = kept;
    return true;
}

static bool take_number(settings *s, const char *path, int attribute, double number) {
    const option *o = options_find(s->options, s->n_options, names[attribute]);
    const bool real = o->kind == OPTION_REAL;
    if (!(real ? number > o->min : number >= o->min) || !(number <= o->max)) {
        return tern_error_set(TERN_ERR_FORMAT, "%s: %s is %g; expected a number from %g to %g", path, names[attribute],
                              number, o->min, o->max);
    }
    if (real) {
        *(double *)o->value = number;
    } else {
        *(int64_t *)o->value = (int64_t)number;
    }
    return true;
}

static bool take_all(settings *s, const char *path, const tern_checkpoint_user *user) {
    if (!user[DATASET].text || strcmp(user[DATASET].text, s->example->name) != 0) {
        return tern_error_set(TERN_ERR_FORMAT, "%s holds a network for the data set \"%s\"; expected \"%s\"", path,
                              user[DATASET].text ? user[DATASET].text : "", s->example->name);
    }
    for (int i = MODEL; i <= SCHEDULE; i++) {
        if (!take_word(s, path, i, user[i].text)) return false;
    }
    for (int i = EPOCHS; i <= SEED; i++) {
        if (!take_number(s, path, i, user[i].number)) return false;
    }
    return true;
}

typedef char option_line[64];

/* Options that shape the result are the checkpoint's: others are refused, not silently ignored. */
static bool agrees(const settings *s, option_line *given, const char *path) {
    for (size_t i = 0; i < s->n_options; i++) {
        const option *o = &s->options[i];
        option_line taken;
        if (!o->given || !o->in_checkpoint || strcmp(o->name, "epochs") == 0) continue;
        if (strcmp(given[i], option_text(o, taken, sizeof taken)) == 0) continue;
        fprintf(stderr, "%s:%s contradicts the checkpoint %s, which was made with%s; leave it out, or start anew\n",
                s->example->name, given[i], path, taken);
        return false;
    }
    return true;
}

/* False, with an error, for a checkpoint of a program that names no data set. */
static bool is_ours(const settings *s, const char *path) {
    tern_checkpoint_user u = {.name = names[DATASET]};
    tern_checkpoint c = {.no_random = true, .user = &u, .n_user = 1, .not_strict = true};
    if (!tern_checkpoint_load(path, &c)) return false;
    const bool ours = u.text != NULL;
    tern_checkpoint_free_text(&c);
    return ours || tern_error_set(TERN_ERR_FORMAT, "%s: this is a checkpoint of another program, not of %s", path,
                                  s->example->name);
}

int settings_from_checkpoint(settings *s, const char *path) {
    option_line given[SETTINGS_OPTIONS_MAX];
    tern_checkpoint_user user[N_SETTINGS];
    const int64_t epochs = s->epochs; /* 0 if not given */
    for (size_t i = 0; i < s->n_options; i++) option_text(&s->options[i], given[i], sizeof given[i]);
    name_attributes(user, N_SETTINGS);
    tern_checkpoint c = {.no_random = true, .user = user, .n_user = N_SETTINGS};
    if (!is_ours(s, path) || !tern_checkpoint_load(path, &c)) return EXIT_FAILED;
    const bool taken = take_all(s, path, user);
    tern_checkpoint_free_text(&c);
    if (!taken) return EXIT_FAILED;
    if (!agrees(s, given, path)) return EXIT_USAGE;
    if (epochs && epochs < c.epoch) {
        fprintf(stderr,
                "%s: --epochs is %" PRId64 ", but the checkpoint %s has %" PRId64
                " epochs behind it; expected "
                "at least that\n",
                s->example->name, epochs, path, c.epoch);
        return EXIT_USAGE;
    }
    if (epochs) s->epochs = epochs;
    settings_complete(s);
    return EXIT_OK;
}

tern_module *net_from_checkpoint(const settings *s, const char *path) {
    tern_module *net = s->recipe->net_new();
    tern_checkpoint c = {.model = net, .no_random = true};
    if (net && tern_module_to(net, s->device) && tern_checkpoint_load(path, &c)) return net;
    tern_module_free(net);
    return NULL;
}
