/* What the example programs that train step by step share: common options, settings in checkpoints, resuming, signals,
 * curves. The loop, the network and the data are each program's own:
 *
 *     trainer t = {.name = "pinn", .about = ..., .steps = 1000, ...};        (the defaults of the common options)
 *     trainer_option(&t, (option){"width", OPTION_INT, ...});                (the program's own)
 *     int code = trainer_read(&t, argc, argv);
 *     if (code == EXIT_OK && !t.help) {
 *         t.model = ...; t.optim = ...;
 *         ok = trainer_start(&t);
 *         while (ok && trainer_more(&t)) ok = step(&t) && trainer_next(&t);
 *         ok = ok && trainer_end(&t);
 *     }
 *     return trainer_close(&t, ok ? code : EXIT_FAILED); */
#ifndef TRAINER_H
#define TRAINER_H

#include "example.h"
#include "options.h"
#include "plot.h"

enum { TRAINER_OPTIONS = 32 };

typedef struct trainer {
    const char *name;      /* of the program; its checkpoints hold it */
    const char *about;     /* the first lines of --help */
    const char *data_help; /* what --data is; NULL: there is no such option */
    /* One option each. */
    int64_t steps, batch, seed, threads, eval_every, checkpoint_every, stop_after;
    double lr;
    const char *data, *out, *resume, *plot_path, *device_text;
    bool help;
    tern_device device;
    /* What a checkpoint holds beside step, settings, curves and the random stream. trainer_close frees all three. */
    tern_module *model;
    tern_optim *optim;
    tern_loader *loader; /* may be NULL */
    int64_t step;        /* steps that are done */
    plot plot;
    option options[TRAINER_OPTIONS];
    size_t n_options;
    char words[TRAINER_OPTIONS][32]; /* choices that a checkpoint said */
} trainer;

/* Adds an option of the program's own. With in_checkpoint a resumed run takes its number or choice from there. */
void trainer_option(trainer *t, option o);
/* Adds the common options and reads the command line and, with --resume, the checkpoint's settings; seeds the program's
 * random stream. Returns EXIT_OK (--help was printed if t->help is set), EXIT_USAGE after the reason was printed, or
 * EXIT_FAILED with an error pending. */
int trainer_read(trainer *t, int argc, char **argv);
/* Says on stderr what is wrong with the usage. Returns EXIT_USAGE. */
int trainer_wrong_usage(const trainer *t, const char *why);
/* Before the loop, when model, optim and loader are there: tries --out, loads --resume, catches signals. */
bool trainer_start(trainer *t);
/* True until the steps are done, --stop-after's are, or a signal came. */
bool trainer_more(const trainer *t);
/* True for the step that is being made if its numbers are to be shown: every --eval-every steps, and the last. */
bool trainer_due(const trainer *t);
/* Counts a step; writes the checkpoint when that is due. */
bool trainer_next(trainer *t);
/* After the loop: writes the curves; if steps are left, the checkpoint too, and says how to go on. */
bool trainer_end(trainer *t);
/* Prints a pending error and frees everything. Returns the program's exit code. */
int trainer_close(trainer *t, int code);

#endif
