#include "trainer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "interrupt.h"

/* ---- options ----------------------------------------------------------------------------------------------------- */

void trainer_option(trainer *t, option o) {
    if (t->n_options < TRAINER_OPTIONS) t->options[t->n_options++] = o;
}

static void add_common(trainer *t) {
    const double most = 1e9;
    if (t->data_help) trainer_option(t, (option){"data", OPTION_TEXT, "FILE", &t->data, .help = t->data_help});
    trainer_option(
        t, (option){"steps", OPTION_INT, "N", &t->steps, 1, most, .help = "steps in all", .in_checkpoint = true});
    trainer_option(t, (option){"batch", OPTION_INT, "N", &t->batch, 1, 1 << 20, .help = "samples in a step",
                               .in_checkpoint = true});
    trainer_option(t,
                   (option){"lr", OPTION_REAL, "RATE", &t->lr, 0, 10, .help = "learning rate", .in_checkpoint = true});
    trainer_option(t, (option){"eval-every", OPTION_INT, "N", &t->eval_every, 1, most,
                               .help = "steps between the lines that tell how it goes", .in_checkpoint = true});
    trainer_option(t, (option){"seed", OPTION_INT, "N", &t->seed, 0, 1e15, .help = "of all that is random",
                               .in_checkpoint = true});
    trainer_option(t, (option){"device", OPTION_TEXT, "DEVICE", &t->device_text, .help = "auto, cpu, cuda, cuda:1"});
    trainer_option(t, (option){"threads", OPTION_INT, "N", &t->threads, 0, 1024, .help = "of the CPU; 0: all"});
    trainer_option(t, (option){"out", OPTION_TEXT, "FILE", &t->out, .help = "the checkpoint"});
    trainer_option(t, (option){"checkpoint-every", OPTION_INT, "N", &t->checkpoint_every, 1, most,
                               .help = "steps between checkpoints"});
    trainer_option(t, (option){"stop-after", OPTION_INT, "N", &t->stop_after, 1, most,
                               .help = "end early, after this step, with a checkpoint"});
    trainer_option(t, (option){"resume", OPTION_TEXT, "FILE", &t->resume,
                               .help = "go on from this checkpoint, with its settings; --steps may be raised"});
    trainer_option(t, (option){"plot", OPTION_TEXT, "FILE", &t->plot_path, .help = "the curves (SVG)"});
    trainer_option(t, (option){"help", OPTION_FLAG, .value = &t->help, .help = "this"});
}

int trainer_wrong_usage(const trainer *t, const char *why) {
    fprintf(stderr, "%s: %s; %s --help lists the options\n", t->name, why, t->name);
    return EXIT_USAGE;
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------- */

enum { USERS = TRAINER_OPTIONS + PLOT_CURVES + 2, NAME = 32 };

/* The attributes of a checkpoint: the program, the settings, the curves. */
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

static void put(tern_checkpoint_user *u, const option *o) {
    if (o->kind == OPTION_INT) u->number = (double)*(const int64_t *)o->value;
    if (o->kind == OPTION_REAL) u->number = *(const double *)o->value;
    if (o->kind == OPTION_CHOICE) u->text = *(const char *const *)o->value;
}

/* All attributes, with their values. */
static void fill(attributes *a, const trainer *t) {
    char name[NAME];
    a->n = 0;
    add(a, "program")->text = t->name;
    for (size_t i = 0; i < t->n_options; i++) {
        if (t->options[i].in_checkpoint) put(add(a, t->options[i].name), &t->options[i]);
    }
    a->n_settings = a->n - 1;
    add(a, "curves")->number = t->plot.n;
    for (int i = 0; i < t->plot.n; i++) {
        snprintf(name, sizeof name, "curve%d", i);
        add(a, name)->text = plot_curve_text(&t->plot.curve[i], a->curve[i]);
    }
}

static bool save(const trainer *t) {
    static attributes a; /* large */
    fill(&a, t);
    const tern_checkpoint c = {
        .model = t->model, .optim = t->optim, .loader = t->loader, .step = t->step, .user = a.u, .n_user = a.n};
    return tern_checkpoint_save(t->out, &c);
}

/* Takes a setting from the checkpoint. Returns EXIT_USAGE if the command line said another. */
static int take(trainer *t, option *o, const tern_checkpoint_user *u, char *word) {
    const char *said = o->kind == OPTION_CHOICE ? *(const char *const *)o->value : NULL;
    const double number = o->kind == OPTION_INT    ? (double)*(int64_t *)o->value
                          : o->kind == OPTION_REAL ? *(double *)o->value
                                                   : 0;
    const bool fits = o->kind == OPTION_CHOICE ? u->text && strlen(u->text) < 32 && option_is_choice(o, u->text)
                                               : !u->text && u->number >= o->min && u->number <= o->max;
    if (!fits) {
        tern_error_set(TERN_ERR_FORMAT, "%s: its %s is not what the program takes", t->resume, o->name);
        return EXIT_FAILED;
    }
    const bool same = said ? strcmp(said, u->text) == 0 : number == u->number;
    if (o->given && strcmp(o->name, "steps") == 0) return EXIT_OK;
    if (o->given && !same) {
        fprintf(stderr, "%s: --%s contradicts the checkpoint %s\n", t->name, o->name, t->resume);
        return EXIT_USAGE;
    }
    if (o->kind == OPTION_INT) *(int64_t *)o->value = (int64_t)u->number;
    if (o->kind == OPTION_REAL) *(double *)o->value = u->number;
    if (said) {
        snprintf(word, 32, "%s", u->text);
        *(const char **)o->value = word;
    }
    return EXIT_OK;
}

static int take_all(trainer *t, const attributes *a) {
    int code = EXIT_OK, k = 1;
    for (size_t i = 0; i < t->n_options && code == EXIT_OK; i++) {
        if (t->options[i].in_checkpoint) code = take(t, &t->options[i], &a->u[k++], t->words[i]);
    }
    return code;
}

/* What the checkpoint says, before anything is made. */
static int settings_from_checkpoint(trainer *t) {
    static attributes a;
    tern_checkpoint_user program = {.name = "program"};
    tern_checkpoint first = {.no_random = true, .user = &program, .n_user = 1};
    if (!tern_checkpoint_load(t->resume, &first)) return EXIT_FAILED;
    const bool ours = program.text && strcmp(program.text, t->name) == 0;
    if (!ours)
        tern_error_set(TERN_ERR_FORMAT, "%s: this is a checkpoint of %s, not of %s", t->resume,
                       program.text ? program.text : "another program", t->name);
    tern_checkpoint_free_text(&first);
    if (!ours) return EXIT_FAILED;
    fill(&a, t);
    for (int i = 0; i < a.n; i++) a.u[i].text = NULL;
    tern_checkpoint c = {.no_random = true, .user = a.u, .n_user = a.n_settings + 1};
    if (!tern_checkpoint_load(t->resume, &c)) return EXIT_FAILED;
    const int code = take_all(t, &a);
    tern_checkpoint_free_text(&c);
    if (code == EXIT_OK && t->steps < c.step) return trainer_wrong_usage(t, "the checkpoint is further than --steps");
    return code;
}

static bool load_curves(trainer *t, tern_checkpoint *c, attributes *a) {
    char name[NAME];
    a->n = 0;
    add(a, "curves");
    *c = (tern_checkpoint){.no_random = true, .user = a->u, .n_user = 1};
    if (!tern_checkpoint_load(t->resume, c)) return false;
    const int n = a->u[0].number >= 0 && a->u[0].number <= PLOT_CURVES ? (int)a->u[0].number : 0;
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "curve%d", i);
        add(a, name);
    }
    c->n_user = a->n;
    if (!tern_checkpoint_load(t->resume, c)) return false;
    bool ok = true;
    for (int i = 0; ok && i < n; i++) ok = a->u[i + 1].text && plot_curve_read(&t->plot.curve[i], a->u[i + 1].text);
    t->plot.n = ok ? n : 0;
    tern_checkpoint_free_text(c);
    return ok || tern_error_set(TERN_ERR_FORMAT, "%s: its curves are damaged", t->resume);
}

static bool load(trainer *t) {
    static attributes a;
    tern_checkpoint c;
    if (!load_curves(t, &c, &a)) return false;
    c = (tern_checkpoint){.model = t->model, .optim = t->optim, .loader = t->loader};
    if (!tern_checkpoint_load(t->resume, &c)) return false;
    t->step = c.step;
    return true;
}

/* ---- a run ------------------------------------------------------------------------------------------------------- */

int trainer_read(trainer *t, int argc, char **argv) {
    tern_on_error(NULL, NULL); /* errors are printed once, in trainer_close */
    add_common(t);
    if (!t->device_text) t->device_text = "auto";
    if (!options_parse(t->name, t->options, t->n_options, argc, argv)) return EXIT_USAGE;
    if (t->help) {
        printf("%s\n\nusage: %s [OPTION...]\n\n", t->about, t->name);
        options_help(t->options, t->n_options);
        return EXIT_OK;
    }
    if (!tern_device_parse(t->device_text, &t->device)) {
        fprintf(stderr, "%s: %s\n", t->name, tern_error_message());
        tern_error_clear();
        return EXIT_USAGE;
    }
    if (t->resume) {
        const int code = settings_from_checkpoint(t);
        if (code != EXIT_OK) return code;
        if (!options_find(t->options, t->n_options, "out")->given) t->out = t->resume;
    }
    tern_seed((uint64_t)t->seed);
    return tern_set_threads((int)t->threads) ? EXIT_OK : EXIT_FAILED;
}

bool trainer_start(trainer *t) {
    if (!tern_checkpoint_try(t->out) || (t->resume && !load(t))) return false;
    interrupt_catch();
    return true;
}

bool trainer_more(const trainer *t) {
    const int64_t end = t->stop_after && t->stop_after < t->steps ? t->stop_after : t->steps;
    return t->step < end && !interrupt_seen();
}

bool trainer_due(const trainer *t) { return (t->step + 1) % t->eval_every == 0 || t->step + 1 == t->steps; }

bool trainer_next(trainer *t) {
    t->step++;
    return (t->step % t->checkpoint_every != 0 && t->step != t->steps) || save(t);
}

bool trainer_end(trainer *t) {
    char quoted[4096];
    fflush(stdout);
    if (!plot_write(&t->plot, t->plot_path)) return false;
    if (t->step == t->steps) return true;
    if (!save(t)) return false;
    printf("%s after step %" PRId64 ": to go on, %s --resume %s\n", interrupt_seen() ? interrupt_name() : "Stopped",
           t->step, t->name, shell_quote(t->out, quoted, sizeof quoted));
    return true;
}

int trainer_close(trainer *t, int code) {
    if (t->step < t->steps && interrupt_seen()) code = EXIT_FAILED;
    tern_loader_free(t->loader);
    tern_optim_free(t->optim);
    tern_module_free(t->model);
    tern_scope_pop(0);
    if (!tern_ok()) {
        fflush(stdout);
        fprintf(stderr, "%s: %s\n", t->name, tern_error_message());
        tern_error_clear();
        code = EXIT_FAILED;
    }
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == EXIT_OK) code = EXIT_FAILED;
    return code;
}
