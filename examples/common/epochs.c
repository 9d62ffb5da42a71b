#include "epochs.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "interrupt.h"
#include "plot.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* ---- options ----------------------------------------------------------------------------------------------------- */

static void add(epochs *t, option o) {
    if (t->n_options < EPOCHS_OPTIONS) t->options[t->n_options++] = o;
}

static void add_count(epochs *t, const char *name, int64_t *value, double min, double max, bool kept,
                      const char *help) {
    add(t, (option){.name = name,
                    .kind = OPTION_INT,
                    .argument = "N",
                    .value = value,
                    .min = min,
                    .max = max,
                    .help = help,
                    .in_checkpoint = kept});
}

static void add_text(epochs *t, const char *name, const char **value, const char *argument, const char *help) {
    add(t, (option){.name = name, .kind = OPTION_TEXT, .argument = argument, .value = value, .help = help});
}

static void add_options(epochs *t, const option *extra, size_t n_extra) {
    if (t->data_help) add_text(t, "data", &t->data, "PATH", t->data_help);
    add_count(t, "epochs", &t->epochs, 1, 1e6, true, "passes over the data in all");
    add_count(t, "batch", &t->batch, 1, 1 << 16, true, "samples in a step");
    add(t, (option){.name = "lr",
                    .kind = OPTION_REAL,
                    .argument = "RATE",
                    .value = &t->lr,
                    .min = 0,
                    .max = 10,
                    .help = "learning rate",
                    .in_checkpoint = true});
    for (size_t i = 0; i < n_extra; i++) add(t, extra[i]);
    if (t->image_help) add_text(t, "images", &t->images, "FILE", t->image_help);
    add_text(t, "out", &t->out, "FILE", "the checkpoint");
    add_text(t, "plot", &t->plot, "FILE", "the curves by epochs, as SVG");
    add_text(t, "resume", &t->resume, "FILE", "go on from this checkpoint");
    add_count(t, "checkpoint-every", &t->checkpoint_every, 1, 1e9, false,
              "steps between checkpoints; an epoch if not given");
    add_count(t, "stop-after", &t->stop_after, 1, 1e6, false, "end early, after this epoch, with a checkpoint");
    add_text(t, "device", &t->device_text, "DEVICE", "auto, cpu, cuda, cuda:1");
    add_count(t, "seed", &t->seed, 0, 1e15, true, "of all that is random");
    add_count(t, "threads", &t->threads, 0, 1024, false, "of the CPU; 0: all");
    add_count(t, "workers", &t->workers, 0, 64, false, "threads that make batches; 0: the program itself does");
    add(t, (option){.name = "help", .kind = OPTION_FLAG, .value = &t->help, .help = "this"});
}

/* An attribute's name: letters, digits and '_'. */
static const char *attribute_name(const option *o, char *buf, size_t size) {
    snprintf(buf, size, "%s", o->name);
    for (char *c = buf; *c; c++)
        if (*c == '-') *c = '_';
    return buf;
}

static bool is_text(const option *o) { return o->kind == OPTION_CHOICE || o->kind == OPTION_TEXT; }

typedef char option_name[32];

/* The options that a checkpoint keeps, as its attributes, and which row each of them is. */
static int attributes_of(const epochs *t, tern_checkpoint_user *u, option_name *names, size_t *row) {
    int n = 0;
    for (size_t i = 0; i < t->n_options; i++) {
        const option *o = &t->options[i];
        if (!o->in_checkpoint) continue;
        u[n] = (tern_checkpoint_user){.name = attribute_name(o, names[n], sizeof names[n])};
        if (is_text(o)) u[n].text = *(const char **)o->value;
        if (o->kind == OPTION_INT) u[n].number = (double)*(const int64_t *)o->value;
        if (o->kind == OPTION_REAL) u[n].number = *(const double *)o->value;
        row[n++] = i;
    }
    return n;
}

/* A checkpoint's value into its row. */
static bool take(epochs *t, size_t row, const tern_checkpoint_user *u) {
    option *o = &t->options[row];
    if (is_text(o)) {
        snprintf(t->texts[row], sizeof t->texts[row], "%s", u->text ? u->text : "");
        if (!option_is_choice(o, t->texts[row]))
            return tern_error_set(TERN_ERR_FORMAT, "%s: %s is \"%s\"; expected one of %s", t->resume, o->name,
                                  t->texts[row], o->argument);
        *(const char **)o->value = t->texts[row];
        return true;
    }
    if (!(o->kind == OPTION_REAL ? u->number > o->min : u->number >= o->min) || !(u->number <= o->max))
        return tern_error_set(TERN_ERR_FORMAT, "%s: %s is %g; expected %g to %g", t->resume, o->name, u->number, o->min,
                              o->max);
    if (o->kind == OPTION_REAL) {
        *(double *)o->value = u->number;
    } else {
        *(int64_t *)o->value = (int64_t)u->number;
    }
    return true;
}

/* Options that shape the result are the checkpoint's: others are refused, not silently ignored. */
static int settings_from_checkpoint(epochs *t) {
    tern_checkpoint_user u[EPOCHS_OPTIONS + 1];
    option_name names[EPOCHS_OPTIONS];
    size_t row[EPOCHS_OPTIONS];
    char given[64], taken[64];
    const int64_t asked = t->epochs;
    const int n = attributes_of(t, u, names, row);
    u[n] = (tern_checkpoint_user){.name = "program"};
    tern_checkpoint c = {.no_random = true, .user = u, .n_user = n + 1};
    if (!tern_checkpoint_load(t->resume, &c)) return EXIT_FAILED;
    bool ok = u[n].text && strcmp(u[n].text, t->name) == 0;
    if (!ok) tern_error_set(TERN_ERR_FORMAT, "%s was not written by %s", t->resume, t->name);
    int code = EXIT_OK;
    for (int i = 0; ok && code == EXIT_OK && i < n; i++) {
        const option *o = &t->options[row[i]];
        option_text(o, given, sizeof given);
        ok = take(t, row[i], &u[i]);
        if (!ok || !o->given || strcmp(o->name, "epochs") == 0) continue;
        if (strcmp(given, option_text(o, taken, sizeof taken)) == 0) continue;
        fprintf(stderr, "%s:%s contradicts the checkpoint %s, which was made with%s\n", t->name, given, t->resume,
                taken);
        code = EXIT_USAGE;
    }
    tern_checkpoint_free_text(&c);
    if (options_find(t->options, t->n_options, "epochs")->given) t->epochs = asked;
    if (ok && code == EXIT_OK && t->epochs < c.epoch) {
        fprintf(stderr, "%s: --epochs is %" PRId64 ", but %s has %" PRId64 " behind it\n", t->name, t->epochs,
                t->resume, c.epoch);
        code = EXIT_USAGE;
    }
    return ok ? code : EXIT_FAILED;
}

static int read_settings(epochs *t, const option *extra, size_t n_extra, int argc, char **argv) {
    static const char *const endings[3] = {"h5", "png", "svg"};
    for (int i = 0; i < 3; i++) snprintf(t->paths[i], sizeof t->paths[i], "%s.%s", t->name, endings[i]);
    t->out = t->paths[0];
    t->images = t->paths[1];
    t->plot = t->paths[2];
    t->device_text = "auto";
    if (t->seed == 0) t->seed = 1;
    add_options(t, extra, n_extra);
    if (!options_parse(t->name, t->options, t->n_options, argc, argv)) return EXIT_USAGE;
    if (t->help) return EXIT_OK;
    if (!tern_device_parse(t->device_text, &t->device)) {
        fprintf(stderr, "%s: %s\n", t->name, tern_error_message());
        tern_error_clear();
        return EXIT_USAGE;
    }
    return t->resume ? settings_from_checkpoint(t) : EXIT_OK;
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------- */

enum { CURVE_NUMBER = 26 }; /* characters of one */

/* The curve of the epochs so far as text; NULL when there is no memory. */
static char *curve_text(const epochs *t) {
    const int64_t n = t->epoch * t->n_values;
    char *text = malloc((size_t)n * CURVE_NUMBER + 1), *end = text;
    if (!text) return NULL;
    *text = '\0';
    for (int64_t i = 0; i < n; i++) end += snprintf(end, CURVE_NUMBER, "%.17g ", t->curve[i]);
    return text;
}

static bool curve_read(epochs *t, const char *text) {
    for (int64_t i = 0; i < t->epoch * t->n_values; i++) {
        char *end = NULL;
        t->curve[i] = text ? strtod(text, &end) : 0;
        if (!text || end == text) return tern_error_set(TERN_ERR_FORMAT, "%s: its curve is too short", t->resume);
        text = end;
    }
    return true;
}

/* All but the settings: where the run stands, and sums under way. */
enum { PROGRAM, CURVE, BATCHES, SEEN, SUMS, STANDS = SUMS + EPOCHS_VALUES };
static const char *const stand_names[STANDS] = {"program", "curve", "batches", "seen", "sum0",
                                                "sum1",    "sum2",  "sum3",    "sum4", "sum5"};

static tern_checkpoint checkpoint_of(const epochs *t, tern_schedule *schedule, tern_checkpoint_user *u, int n) {
    *schedule = t->schedule;
    return (tern_checkpoint){.model = t->model,
                             .optim = t->optim,
                             .loader = t->loader,
                             .schedule = schedule,
                             .epoch = t->epoch,
                             .step = t->step,
                             .user = u,
                             .n_user = n};
}

static bool save(const epochs *t) {
    tern_checkpoint_user u[STANDS + EPOCHS_OPTIONS];
    option_name names[EPOCHS_OPTIONS];
    size_t row[EPOCHS_OPTIONS];
    double sums[EPOCHS_VALUES] = {0};
    tern_schedule schedule;
    if (!tern_to_doubles(t->sums, sums, t->n_values)) return false;
    char *curve = curve_text(t);
    if (!curve) return tern_error_set(TERN_ERR_MEMORY, "no memory for the curve");
    for (int i = 0; i < STANDS; i++) u[i] = (tern_checkpoint_user){.name = stand_names[i]};
    u[PROGRAM].text = t->name;
    u[CURVE].text = curve;
    u[BATCHES].number = (double)t->batches;
    u[SEEN].number = (double)t->seen;
    for (int i = 0; i < t->n_values; i++) u[SUMS + i].number = sums[i];
    const int n = STANDS + attributes_of(t, u + STANDS, names, row);
    const tern_checkpoint c = checkpoint_of(t, &schedule, u, n);
    const bool ok = tern_checkpoint_save(t->out, &c);
    free(curve);
    return ok;
}

static bool load(epochs *t) {
    tern_checkpoint_user u[STANDS];
    double sums[EPOCHS_VALUES];
    tern_schedule schedule;
    for (int i = 0; i < STANDS; i++) u[i] = (tern_checkpoint_user){.name = stand_names[i]};
    tern_checkpoint c = checkpoint_of(t, &schedule, u, STANDS);
    if (!tern_checkpoint_load(t->resume, &c)) return false;
    const double most = (double)(tern_loader_batches(t->loader) * t->batch);
    bool ok = c.epoch >= 0 && c.epoch <= t->epochs && u[BATCHES].number >= 0 && u[SEEN].number >= 0 &&
              u[BATCHES].number <= most && u[SEEN].number <= most;
    if (!ok) tern_error_set(TERN_ERR_FORMAT, "%s: it stands where this data cannot be", t->resume);
    if (ok) {
        schedule.total = t->schedule.total; /* --epochs may have grown */
        t->schedule = schedule;
        t->epoch = c.epoch;
        t->step = c.step;
        t->batches = (int64_t)u[BATCHES].number;
        t->seen = (int64_t)u[SEEN].number;
        for (int i = 0; i < t->n_values; i++) sums[i] = u[SUMS + i].number;
        ok = curve_read(t, u[CURVE].text);
    }
    tern_checkpoint_free_text(&c);
    return ok && tern_copy_(t->sums,
                            tern_to(tern_from_doubles(sums, TERN_SHAPE(t->n_values), (tern_options){.dtype = TERN_F64}),
                                    t->device));
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

bool epochs_begin(epochs *t) {
    char device[32];
    if (!t->model || !t->optim || !t->loader) return false;
    const int scope = tern_scope_push();
    t->sums = tern_keep(tern_zeros(TERN_SHAPE(t->n_values), (tern_options){TERN_F64, t->device}));
    t->curve = calloc((size_t)(t->epochs * t->n_values), sizeof *t->curve);
    bool ok = t->sums && (t->curve || tern_error_set(TERN_ERR_MEMORY, "no memory for the curve"));
    ok = ok && (!t->resume || load(t)) && tern_checkpoint_try(t->out);
    tern_scope_pop(scope);
    if (!ok) return false;
    printf("%s: %" PRId64 " parameters on %s; %" PRId64 " samples in batches of %" PRId64 ", epochs %" PRId64
           ", lr %g, checkpoint %s\n",
           t->name, tern_module_count(t->model, false), tern_device_name(t->device, device, sizeof device),
           t->train ? t->train->length : 0, t->batch, t->epochs, t->lr, t->out);
    if (t->resume) printf("resumed after epoch %" PRId64 ", step %" PRId64 "\n", t->epoch, t->step);
    fflush(stdout);
    interrupt_catch();
    const int64_t samples = tern_loader_batches(t->loader);
    progress_begin(&t->progress, t->epochs, samples, t->epoch * samples + t->batches);
    return true;
}

/* How the epoch goes, and its line when it is over. False, with an error, if a value is no number any more. */
static bool show(epochs *t, bool over) {
    double *v = t->curve + t->epoch * t->n_values, sums[EPOCHS_VALUES];
    if (!tern_to_doubles(t->sums, sums, t->n_values)) return false;
    progress_clear(&t->progress);
    const int64_t of = tern_loader_batches(t->loader);
    if (over) {
        printf("epoch %3" PRId64 "/%" PRId64, t->epoch + 1, t->epochs);
    } else {
        printf("epoch %3" PRId64 "/%" PRId64 "  %3.0f %%", t->epoch + 1, t->epochs,
               100 * (double)t->batches / (double)of);
    }
    for (int i = 0; i < t->n_values; i++) {
        if (over && sums[i] == 0) continue; /* set by the program, below */
        if (t->seen) v[i] = sums[i] / (double)t->seen;
    }
    for (int i = 0; i < t->n_values; i++) {
        if (over || sums[i] != 0) printf("  %s %.4f", t->values[i], v[i]);
        if (isfinite(v[i])) continue;
        printf("\n");
        return tern_error_set(TERN_ERR_ARGUMENT, "%s is %g after step %" PRId64 ": a lower --lr than %g may help",
                              t->values[i], v[i], t->step, t->lr);
    }
    printf(over || !t->progress.bar ? "\n" : "");
    fflush(stdout);
    return true;
}

/* After an epoch, and what the program did about it: the line, and the checkpoint. */
static bool close_epoch(epochs *t) {
    if (!show(t, true)) return false;
    t->epoch_over = false;
    t->epoch++;
    t->batches = t->seen = 0;
    tern_zero_(t->sums);
    return save(t);
}

bool epochs_next(epochs *t) {
    if (!tern_ok() || (t->epoch_over && !close_epoch(t))) return false;
    if (interrupt_seen() || t->epoch >= t->epochs || (t->stop_after && t->epoch >= t->stop_after)) return false;
    t->in_batch = false;
    tern_module_train(t->model, true);
    return true;
}

/* The batch before is done with. */
static bool close_batch(epochs *t) {
    tern_scope_pop(t->scope);
    t->in_batch = false;
    if (!tern_ok()) return false;
    t->step++;
    t->batches++;
    if (progress_due(&t->progress) && !show(t, false)) return false;
    /* The epoch's last batch is left to the checkpoint after it. */
    const bool last = t->batches == tern_loader_batches(t->loader);
    if (t->checkpoint_every && !last && t->step % t->checkpoint_every == 0 && !save(t)) return false;
    return last || !interrupt_seen();
}

bool epochs_batch(epochs *t, tern_batch *b) {
    if (t->in_batch && !close_batch(t)) return false;
    t->scope = tern_scope_push();
    t->in_batch = tern_loader_next(t->loader, b);
    if (t->in_batch) {
        t->seen += b->n;
        return true;
    }
    tern_scope_pop(t->scope);
    t->epoch_over = tern_ok();
    return false;
}

void epochs_note(epochs *t, int i, tern_tensor *mean, int64_t n) {
    const bool was = tern_grad_mode(false);
    tern_add_scaled_(tern_select(t->sums, 0, i), (double)n, mean);
    tern_grad_mode(was);
}

bool epochs_update(epochs *t, tern_tensor *loss) {
    return tern_backward(loss) && tern_schedule_apply(&t->schedule, t->optim) && tern_optim_step(t->optim);
}

bool epochs_done(epochs *t) {
    if (t->epoch_over) return true;
    if (tern_ok() && interrupt_seen()) {
        progress_clear(&t->progress);
        save(t);
    }
    return false;
}

void epochs_set(epochs *t, int i, double value) { t->curve[t->epoch * t->n_values + i] = value; }

/* The values of the epochs so far, also of those before a resume. */
static bool draw_curves(const epochs *t) {
    static plot p;
    p.title = t->name;
    p.x_title = "epoch";
    p.y_title = "";
    for (int64_t e = 0; e < t->epoch; e++)
        for (int i = 0; i < t->n_values; i++)
            plot_add(&p, t->values[i], (double)(e + 1), t->curve[e * t->n_values + i]);
    return plot_write(&p, t->plot);
}

bool epochs_end(epochs *t) {
    if (!tern_ok() || !draw_curves(t)) return false;
    if (t->epoch >= t->epochs) return true;
    printf("%s after epoch %" PRId64 ", step %" PRId64 ": to go on, %s --resume %s\n",
           interrupt_seen() ? interrupt_name() : "Stopped", t->epoch, t->step, t->name, t->out);
    return false;
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static void epochs_free(epochs *t) {
    tern_loader_free(t->loader);
    tern_optim_free(t->optim);
    tern_module_free(t->model);
    tern_dataset_free(t->train);
    tern_dataset_free(t->test);
    tern_release(t->sums);
    free(t->curve);
    tern_scope_pop(0);
}

int epochs_main(epochs *t, const option *extra, size_t n_extra, int argc, char **argv, bool (*work)(epochs *t)) {
    tern_on_error(NULL, NULL); /* errors are printed once, here */
    int code = read_settings(t, extra, n_extra, argc, argv);
    if (code == EXIT_OK && t->help) {
        printf("%s\n\nusage: %s [OPTION...]\n\n", t->about, t->name);
        options_help(t->options, t->n_options);
        return EXIT_OK;
    }
    if (code == EXIT_OK) {
        tern_seed((uint64_t)t->seed);
        const bool done = tern_set_threads((int)t->threads) && work(t);
        if (!done && (!tern_ok() || interrupt_seen())) code = EXIT_FAILED;
    }
    epochs_free(t);
    if (!tern_ok()) {
        fflush(stdout);
        fprintf(stderr, "%s: %s\n", t->name, tern_error_message());
        tern_error_clear();
        code = EXIT_FAILED;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("standard output");
        code = code == EXIT_OK ? EXIT_FAILED : code;
    }
    return code;
}
