/* What the example programs that train share: common options, settings in checkpoints, resuming, signals, curves. The
 * network, the data and the loop are each program's own. This is a program that counts in steps; epochs.h has the loop
 * of those that count in epochs.
 *
 *     static bool work(trainer *t) {
 *         t->model = ...; t->optim = ...;
 *         if (!trainer_start(t)) return false;
 *         while (trainer_more(t)) {
 *             tern_tensor *loss = ...;
 *             if (!trainer_update(t, loss) || !trainer_next(t)) return false;
 *         }
 *         return trainer_end(t);
 *     }
 *
 *     int main(int argc, char **argv) {
 *         static trainer t = {.name = "pinn", .about = ..., .steps = 1000, ...};        (defaults of the options)
 *         trainer_option(&t, (option){"width", OPTION_INT, ...});                       (the program's own)
 *         return trainer_main(&t, argc, argv, work);
 *     }
 *
 * A run that was stopped anywhere goes on from its checkpoint bit for bit. */
#ifndef TRAINER_H
#define TRAINER_H

#include "options.h"
#include "plot.h"
#include "program.h"
#include "progress.h"

enum { TRAINER_OPTIONS = 48, TRAINER_VALUES = PLOT_CURVES };

typedef struct trainer {
    /* What the program says of itself. */
    const char *name;       /* its checkpoints hold it, and its files' names begin with it */
    const char *about;      /* the first lines of --help */
    const char *data_help;  /* what --data is; NULL: there is no such option */
    const char *image_help; /* what --images shows; NULL: there is no such option */
    /* NULL, or a function that says what is wrong with the options together; NULL if nothing is. */
    const char *(*wrong)(const struct trainer *t);
    /* NULL, or called when the options are read, before what a checkpoint says: sets what they left open, and may clear
     * an option's in_checkpoint. */
    void (*parsed)(struct trainer *t);
    /* NULL, or called before each checkpoint, for files beside it. */
    bool (*saving)(struct trainer *t);
    void *user;      /* the program's */
    bool zero_steps; /* --steps 0 will do: nothing is trained */
    bool only_reads; /* no checkpoint will be written, so that --out is not tried */
    /* One option each. Of epochs and steps a program sets one: in what it counts. */
    int64_t epochs, steps, batch, seed, threads, workers, eval_every, checkpoint_every, stop_after;
    double lr;
    const char *data, *out, *resume, *images, *plot_path, *device_text;
    bool help;
    tern_device device;
    /* The program makes these before trainer_start; they are freed with it. A checkpoint holds the first five. */
    tern_module *model;
    tern_optim *optim;
    tern_loader *loader;        /* may be NULL in a program that counts in steps */
    tern_scaler *scaler;        /* of the loss, for f16; may be NULL */
    tern_average *average;      /* of the weights, updated after each step; may be NULL */
    tern_dataset *train, *test; /* may be NULL */
    tern_transform *transform;  /* what is done to each training sample; may be NULL */
    tern_schedule schedule;     /* a constant lr if it is not set */
    double clip;                /* gradients of a greater norm are shortened to it; 0: not */
    const char *classes; /* names with '/' between; in checkpoints, and a resumed run's must be the same; or NULL */
    /* Where the run stands. */
    int64_t epoch, step; /* that are done */
    plot plot;
    /* Of the epoch under way (epochs.c). */
    const char *values[TRAINER_VALUES]; /* the program's: what an epoch's line and the curves show */
    int n_values;
    double value[TRAINER_VALUES];      /* the latest, of the last epoch when it is over */
    double saved_sums[TRAINER_VALUES]; /* a checkpoint's */
    tern_tensor *sums;                 /* [values] f64: over the epoch's samples so far, on the device */
    int64_t batches, seen;
    bool in_batch, epoch_over;
    int scope;
    progress progress;
    /* Options. */
    option options[TRAINER_OPTIONS];
    size_t n_options;
    char words[TRAINER_OPTIONS][32]; /* choices that a checkpoint said */
    char paths[3][64];
} trainer;

/* Adds an option of the program's own. With in_checkpoint a resumed run takes its number or choice from there, and
 * refuses others. */
void trainer_option(trainer *t, option o);
/* The program: reads the options and, with --resume, the checkpoint's settings, seeds the random stream, and runs work,
 * which returns false after an error or when the run was stopped. Returns the exit code. */
int trainer_main(trainer *t, int argc, char **argv, bool (*work)(trainer *t));

/* Before the loop: tries --out, loads --resume, catches signals. */
bool trainer_start(trainer *t);
/* True until the steps are done, --stop-after's are, or a signal came. */
bool trainer_more(const trainer *t);
/* True for the step that is being made if its numbers are to be shown: every --eval-every steps, and the last. */
bool trainer_due(const trainer *t);
/* The backward pass and a step of the optimizer, at the schedule's rate. */
bool trainer_update(trainer *t, tern_tensor *loss);
/* Counts a step; writes the checkpoint when that is due. */
bool trainer_next(trainer *t);
/* False, with an error, if the value of that name is no number any more: nothing good comes after that. */
bool trainer_finite(const trainer *t, const char *name, double value);
/* Writes the checkpoint to --out. */
bool trainer_save(trainer *t);
/* After the loop: writes the curves. True if all is done; if not it writes the checkpoint, says how to go on, and
 * returns false. */
bool trainer_end(trainer *t);

#endif
