#include "trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "interrupt.h"

/* ---- options ----------------------------------------------------------------------------------------------------- */

void trainer_option(trainer *t, option o) {
    if (t->n_options < TRAINER_OPTIONS) t->options[t->n_options++] = o;
}

static void add_common(trainer *t) {
    const double most = 1e9;
    option common[COMMON_OPTIONS];
    program_options(
        common, (common_options){&t->batch, &t->seed, &t->threads, &t->checkpoint_every, &t->stop_after, &t->lr,
                                 &t->device_text, &t->out, &t->resume, &t->help, .unit = t->epochs ? "epoch" : "step"});
    if (t->data_help) trainer_option(t, (option){"data", OPTION_TEXT, "PATH", &t->data, .help = t->data_help});
    if (t->epochs) {
        trainer_option(t, (option){"epochs", OPTION_INT, "N", &t->epochs, 1, 1e6, .in_checkpoint = true,
                                   .help = "passes over the data in all; --resume may raise it"});
        trainer_option(t, (option){"workers", OPTION_INT, "N", &t->workers, 0, 64,
                                   .help = "threads that make batches; 0: the program itself does"});
    } else {
        trainer_option(t, (option){"steps", OPTION_INT, "N", &t->steps, !t->zero_steps, most, .in_checkpoint = true,
                                   .help = "steps in all; --resume may raise it"});
        trainer_option(t, (option){"eval-every", OPTION_INT, "N", &t->eval_every, 1, most, .in_checkpoint = true,
                                   .help = "steps between the lines that tell how it goes"});
    }
    if (t->image_help) trainer_option(t, (option){"images", OPTION_TEXT, "FILE", &t->images, .help = t->image_help});
    trainer_option(t, (option){"plot", OPTION_TEXT, "FILE", &t->plot_path, .help = "the curves (SVG)"});
    for (int i = 0; i < COMMON_OPTIONS; i++) trainer_option(t, common[i]);
}

/* What no option has to say. */
static void set_defaults(trainer *t) {
    static const char *const endings[3] = {"h5", "png", "svg"};
    const char **path[3] = {&t->out, &t->images, &t->plot_path};
    for (int i = 0; i < 3; i++) {
        snprintf(t->paths[i], sizeof t->paths[i], "%s.%s", t->name, endings[i]);
        if (!*path[i]) *path[i] = t->paths[i];
    }
    t->device_text = "auto";
    if (!t->seed) t->seed = 1;
    if (!t->plot.title) t->plot.title = t->name;
    if (!t->plot.x_title) t->plot.x_title = t->epochs ? "epoch" : "step";
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------- */

enum { EPOCH_ATTRIBUTES = 2 + 2 * TRAINER_VALUES, NAME = 32 };
enum { USERS = 3 + TRAINER_OPTIONS + PLOT_CURVES + EPOCH_ATTRIBUTES };

/* The attributes of a checkpoint: the program, the settings, the curves, and where an epoch stands. */
typedef struct attributes {
    tern_checkpoint_user u[USERS];
    char name[USERS][NAME];
    char curve[PLOT_CURVES][PLOT_TEXT];
    int n, n_settings; /* u[1 .. n_settings] are settings */
} attributes;

static tern_checkpoint_user *add(attributes *a, const char *name) {
    snprintf(a->name[a->n], NAME, "%s", name);
    for (char *c = a->name[a->n]; *c; c++) {
        if (*c == '-') *c = '_';
    }
    tern_checkpoint_user *u = &a->u[a->n];
    *u = (tern_checkpoint_user){.name = a->name[a->n++]};
    return u;
}

static void add_numbered(attributes *a, const char *name, int n) {
    char numbered[NAME];
    for (int i = 0; i < n; i++) {
        snprintf(numbered, sizeof numbered, "%s%d", name, i);
        add(a, numbered);
    }
}

static void put(tern_checkpoint_user *u, const option *o) {
    if (o->kind == OPTION_INT) u->number = (double)*(const int64_t *)o->value;
    if (o->kind == OPTION_REAL) u->number = *(const double *)o->value;
    if (o->kind == OPTION_CHOICE) u->text = *(const char *const *)o->value;
}

/* The program and the settings, with their values. */
static void fill_settings(attributes *a, const trainer *t) {
    a->n = 0;
    add(a, "program")->text = t->name;
    for (size_t i = 0; i < t->n_options; i++) {
        if (t->options[i].in_checkpoint) put(add(a, t->options[i].name), &t->options[i]);
    }
    a->n_settings = a->n - 1;
}

/* The names of what says where the run stands: u[0] is the number of curves, then come the epoch's, then n curves. */
static tern_checkpoint_user *add_stand(attributes *a, int n) {
    tern_checkpoint_user *u = add(a, "curves");
    add(a, "batches");
    add(a, "seen");
    add_numbered(a, "sum", TRAINER_VALUES);
    add_numbered(a, "value", TRAINER_VALUES);
    add_numbered(a, "curve", n);
    return u;
}

bool trainer_save(trainer *t) {
    static attributes a; /* large */
    double sums[TRAINER_VALUES] = {0};
    if (t->saving && !t->saving(t)) return false;
    if (t->sums && !tern_to_doubles(t->sums, sums, TRAINER_VALUES)) return false;
    fill_settings(&a, t);
    tern_checkpoint_user *u = add_stand(&a, t->plot.n);
    u[0].number = t->plot.n;
    u[1].number = (double)t->batches;
    u[2].number = (double)t->seen;
    for (int i = 0; i < TRAINER_VALUES; i++) {
        u[3 + i].number = sums[i];
        u[3 + TRAINER_VALUES + i].number = t->value[i];
    }
    for (int i = 0; i < t->plot.n; i++)
        u[1 + EPOCH_ATTRIBUTES + i].text = plot_curve_text(&t->plot.curve[i], a.curve[i]);
    if (t->classes) add(&a, "classes")->text = t->classes;
    const tern_checkpoint c = {.model = t->model,
                               .optim = t->optim,
                               .loader = t->loader,
                               .scaler = t->scaler,
                               .average = t->average,
                               .epoch = t->epoch,
                               .step = t->step,
                               .user = a.u,
                               .n_user = a.n};
    return tern_checkpoint_save(t->out, &c);
}

/* Takes a setting from the checkpoint. Returns EXIT_USAGE if the command line said another. */
static int take(trainer *t, option *o, const tern_checkpoint_user *u, char *word) {
    char given[64], taken[64];
    const bool real = o->kind == OPTION_REAL;
    const bool fits = o->kind == OPTION_CHOICE
                          ? u->text && strlen(u->text) < sizeof t->words[0] && option_is_choice(o, u->text)
                          : !u->text && (real ? u->number > o->min : u->number >= o->min) && u->number <= o->max;
    if (!fits) {
        tern_error_set(TERN_ERR_FORMAT, "%s: its %s is not what the program takes", t->resume, o->name);
        return EXIT_FAILED;
    }
    if (o->given && (o->value == &t->steps || o->value == &t->epochs)) return EXIT_OK;
    option_text(o, given, sizeof given);
    if (o->kind == OPTION_INT) *(int64_t *)o->value = (int64_t)u->number;
    if (real) *(double *)o->value = u->number;
    if (o->kind == OPTION_CHOICE) {
        snprintf(word, sizeof t->words[0], "%s", u->text);
        *(const char **)o->value = word;
    }
    if (!o->given || strcmp(given, option_text(o, taken, sizeof taken)) == 0) return EXIT_OK;
    fprintf(stderr, "%s:%s contradicts the checkpoint %s, which was made with%s\n", t->name, given, t->resume, taken);
    return EXIT_USAGE;
}

static int take_all(trainer *t, const attributes *a) {
    int code = EXIT_OK, k = 1;
    for (size_t i = 0; i < t->n_options && code == EXIT_OK; i++) {
        if (t->options[i].in_checkpoint) code = take(t, &t->options[i], &a->u[k++], t->words[i]);
    }
    return code;
}

/* False, with an error, for a checkpoint of another program. */
static bool is_ours(const trainer *t) {
    tern_checkpoint_user program = {.name = "program"};
    tern_checkpoint first = {.no_random = true, .user = &program, .n_user = 1, .not_strict = true}; /* may have none */
    if (!tern_checkpoint_load(t->resume, &first)) return false;
    const bool ours = program.text && strcmp(program.text, t->name) == 0;
    if (!ours)
        tern_error_set(TERN_ERR_FORMAT, "%s: this is a checkpoint of %s, not of %s", t->resume,
                       program.text ? program.text : "another program", t->name);
    tern_checkpoint_free_text(&first);
    return ours;
}

/* What the checkpoint says, before anything is made. */
static int settings_from_checkpoint(trainer *t) {
    static attributes a;
    if (!is_ours(t)) return EXIT_FAILED;
    fill_settings(&a, t);
    for (int i = 0; i < a.n; i++) a.u[i].text = NULL;
    tern_checkpoint c = {.no_random = true, .user = a.u, .n_user = a.n};
    if (!tern_checkpoint_load(t->resume, &c)) return EXIT_FAILED;
    const int code = take_all(t, &a);
    tern_checkpoint_free_text(&c);
    if (code == EXIT_OK && t->epochs && t->epochs < c.epoch)
        return program_wrong_usage(t->name, "the checkpoint is further than --epochs");
    if (code == EXIT_OK && !t->epochs && t->steps < c.step)
        return program_wrong_usage(t->name, "the checkpoint is further than --steps");
    return code;
}

/* The curves, and where an epoch stands. */
static bool load_stand(trainer *t) {
    static attributes a;
    a.n = 0;
    tern_checkpoint_user *u = add_stand(&a, 0);
    tern_checkpoint c = {.no_random = true, .user = u, .n_user = a.n};
    if (!tern_checkpoint_load(t->resume, &c)) return false;
    tern_checkpoint_free_text(&c);
    for (int i = 0; i < a.n; i++) {
        if (!isfinite(u[i].number) || (i < 3 && !(u[i].number >= 0 && u[i].number <= 1e15)) ||
            (i == 0 && u[i].number > PLOT_CURVES))
            return tern_error_set(TERN_ERR_FORMAT, "%s: its %s is %g", t->resume, u[i].name, u[i].number);
    }
    t->batches = (int64_t)u[1].number;
    t->seen = (int64_t)u[2].number;
    for (int i = 0; i < TRAINER_VALUES; i++) {
        t->saved_sums[i] = u[3 + i].number;
        t->value[i] = u[3 + TRAINER_VALUES + i].number;
    }
    const int n = (int)u[0].number;
    a.n = 0;
    add_numbered(&a, "curve", n);
    c = (tern_checkpoint){.no_random = true, .user = a.u, .n_user = n};
    if (!tern_checkpoint_load(t->resume, &c)) return false;
    bool ok = true;
    for (int i = 0; ok && i < n; i++) ok = a.u[i].text && plot_curve_read(&t->plot.curve[i], a.u[i].text);
    t->plot.n = ok ? n : 0;
    tern_checkpoint_free_text(&c);
    return ok || tern_error_set(TERN_ERR_FORMAT, "%s: its curves are damaged", t->resume);
}

/* False, with an error, for a run on other classes. */
static bool same_classes(const trainer *t) {
    tern_checkpoint_user u = {.name = "classes"};
    tern_checkpoint c = {.no_random = true, .user = &u, .n_user = 1};
    if (!t->classes) return true;
    if (!tern_checkpoint_load(t->resume, &c)) return false;
    const bool same = u.text && strcmp(u.text, t->classes) == 0;
    if (!same)
        tern_error_set(TERN_ERR_FORMAT, "%s was trained on other data, of the classes %s; here they are %s", t->resume,
                       u.text ? u.text : "", t->classes);
    tern_checkpoint_free_text(&c);
    return same;
}

static bool load(trainer *t) {
    if (!same_classes(t) || !load_stand(t)) return false;
    tern_checkpoint c = {
        .model = t->model, .optim = t->optim, .loader = t->loader, .scaler = t->scaler, .average = t->average};
    if (!tern_checkpoint_load(t->resume, &c)) return false;
    t->epoch = c.epoch;
    t->step = c.step;
    return true;
}

/* ---- a run ------------------------------------------------------------------------------------------------------- */

bool trainer_start(trainer *t) {
    if (t->schedule.lr <= 0) t->schedule.lr = t->lr;
    if ((!t->only_reads && !tern_checkpoint_try(t->out)) || (t->resume && !load(t))) return false;
    interrupt_catch();
    return true;
}

static int64_t behind(const trainer *t) { return t->epochs ? t->epoch : t->step; }

static int64_t all(const trainer *t) { return t->epochs ? t->epochs : t->steps; }

bool trainer_more(const trainer *t) {
    const int64_t end = t->stop_after && t->stop_after < all(t) ? t->stop_after : all(t);
    return behind(t) < end && !interrupt_seen();
}

bool trainer_due(const trainer *t) { return (t->step + 1) % t->eval_every == 0 || t->step + 1 == t->steps; }

bool trainer_update(trainer *t, tern_tensor *loss) {
    tern_scaler *s = t->scaler;
    if (!tern_backward(s ? tern_scaler_scale(s, loss) : loss) || !tern_schedule_apply(&t->schedule, t->optim))
        return false;
    if (t->clip > 0 && !((!s || tern_scaler_unscale(s, t->optim)) && tern_optim_clip_norm(t->optim, t->clip)))
        return false;
    if (s ? !(tern_scaler_step(s, t->optim) && tern_scaler_update(s)) : !tern_optim_step(t->optim)) return false;
    return !t->average || tern_average_update(t->average, t->model);
}

bool trainer_next(trainer *t) {
    t->step++;
    return (t->step % t->checkpoint_every != 0 && t->step != t->steps) || trainer_save(t);
}

bool trainer_finite(const trainer *t, const char *name, double value) {
    return isfinite(value) ||
           tern_error_set(TERN_ERR_ARGUMENT, "the %s is %g after step %" PRId64 ": a lower --lr than %g may help", name,
                          value, t->step, t->lr);
}

bool trainer_end(trainer *t) {
    char quoted[4096], data[4096] = "", where[64];
    progress_clear(&t->progress);
    if (!tern_ok() || !plot_write(&t->plot, t->plot_path)) return false;
    if (behind(t) == all(t)) return true;
    if (!trainer_save(t)) return false;
    if (t->epochs) {
        snprintf(where, sizeof where, "epoch %" PRId64 ", step %" PRId64, t->epoch, t->step);
    } else {
        snprintf(where, sizeof where, "step %" PRId64, t->step);
    }
    if (t->data) shell_quote(t->data, data, sizeof data);
    printf("%s after %s: to go on, %s --resume %s%s%s\n", interrupt_seen() ? interrupt_name() : "Stopped", where,
           t->name, shell_quote(t->out, quoted, sizeof quoted), t->data ? " --data " : "", data);
    return false;
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

/* Returns EXIT_OK (--help was printed if t->help is set), EXIT_USAGE after the reason was printed, or EXIT_FAILED with
 * an error pending. */
static int read_options(trainer *t, int argc, char **argv) {
    set_defaults(t);
    add_common(t);
    if (!options_parse(t->name, t->options, t->n_options, argc, argv)) return EXIT_USAGE;
    if (t->help) {
        printf("%s\n\nusage: %s [OPTION...]\n\n", t->about, t->name);
        options_help(t->options, t->n_options);
        return EXIT_OK;
    }
    if (!program_device(t->name, t->device_text, &t->device)) return EXIT_USAGE;
    if (t->parsed) t->parsed(t);
    if (t->resume) {
        const int code = settings_from_checkpoint(t);
        if (code != EXIT_OK) return code;
        if (!options_find(t->options, t->n_options, "out")->given) t->out = t->resume;
    }
    const char *wrong = t->wrong ? t->wrong(t) : NULL;
    return wrong ? program_wrong_usage(t->name, wrong) : EXIT_OK;
}

int trainer_main(trainer *t, int argc, char **argv, bool (*work)(trainer *t)) {
    tern_on_error(NULL, NULL); /* errors are printed once, in program_end */
    int code = read_options(t, argc, argv);
    if (code == EXIT_OK && !t->help) {
        tern_seed((uint64_t)t->seed);
        const bool done = tern_set_threads((int)t->threads) && work(t);
        if (!done && (!tern_ok() || interrupt_seen())) code = EXIT_FAILED;
    }
    tern_loader_free(t->loader);
    tern_optim_free(t->optim);
    tern_scaler_free(t->scaler);
    tern_average_free(t->average);
    tern_module_free(t->model);
    tern_dataset_free(t->train);
    tern_dataset_free(t->test);
    tern_transform_free(t->transform);
    tern_release(t->sums);
    tern_scope_pop(0);
    return program_end(t->name, code);
}
