/* What the programs that train on batches share: settings, counters, checkpoints, the lines that say how it goes. The
 * loop stays the program's:
 *
 *     while (epochs_next(t)) {
 *         tern_batch b;
 *         while (epochs_batch(t, &b)) {
 *             tern_tensor *loss = ...;
 *             epochs_note(t, 0, loss, b.n);
 *             epochs_update(t, loss);
 *         }
 *         if (epochs_done(t)) ...             look at test data, epochs_set
 *     }
 *     if (!epochs_end(t)) return false;             stopped, or an error
 *
 * A run that was stopped anywhere goes on from its checkpoint bit for bit. */
#ifndef EPOCHS_H
#define EPOCHS_H

#include <tern/tern.h>

#include "options.h"
#include "progress.h"

enum { EPOCHS_OPTIONS = 24, EPOCHS_VALUES = 6 };

typedef struct epochs {
    /* The program's to fill in: what --help says, and defaults. */
    const char *name, *about;
    const char *values[EPOCHS_VALUES]; /* what an epoch's line shows */
    int n_values;
    const char *data_help;  /* what --data is */
    const char *image_help; /* what --images shows; NULL: the program writes none */
    int64_t epochs, batch;
    double lr;
    /* Other options. */
    const char *data, *out, *resume, *images, *device_text, *plot;
    int64_t seed, threads, workers, checkpoint_every, stop_after;
    bool help;
    tern_device device;
    option options[EPOCHS_OPTIONS];
    size_t n_options;
    /* The program makes these; they are freed with it. */
    tern_module *model;
    tern_optim *optim;
    tern_loader *loader;
    tern_dataset *train, *test;
    tern_schedule schedule;
    /* Where the run stands. */
    int64_t epoch, step, batches, seen; /* batches and samples of this epoch */
    tern_tensor *sums;                  /* [values] f64: sums over the epoch's samples, on the device */
    double *curve;                      /* [epochs, values] */
    bool in_batch, epoch_over;
    int scope;
    progress progress;
    char texts[EPOCHS_OPTIONS][64]; /* what a checkpoint said */
    char paths[3][64];
} epochs;

/* The program: reads the options, extra ones too, and runs work, which returns false after an error or when the run was
 * stopped by a signal. Returns the exit code. Rows with in_checkpoint are saved; a resumed run takes them from there,
 * and refuses others (but for --epochs, which may grow). */
int epochs_main(epochs *t, const option *extra, size_t n_extra, int argc, char **argv, bool (*work)(epochs *t));

/* With model, optimizer and loader made: reads the checkpoint of --resume, prints what is to come, catches signals. */
bool epochs_begin(epochs *t);
/* True when there is an epoch to train, from its beginning or from where the run stopped. */
bool epochs_next(epochs *t);
/* The epoch's next batch, in a scope that the next call closes. False at its end, on errors and when a signal came. */
bool epochs_batch(epochs *t, tern_batch *b);
/* Adds n samples' mean to the epoch's value i. Does not wait for the device. */
void epochs_note(epochs *t, int i, tern_tensor *mean, int64_t n);
/* The backward pass and a step of the optimizer, at the schedule's rate. */
bool epochs_update(epochs *t, tern_tensor *loss);
/* True once after an epoch that was completed: the moment to look at test data. Otherwise the checkpoint that a signal
 * asks for is written here. */
bool epochs_done(epochs *t);
/* The epoch's value i, which was not noted. */
void epochs_set(epochs *t, int i, double value);
/* Writes the curves to --plot. True if all epochs are done; false, with no error, if the run was stopped, which is
 * said. */
bool epochs_end(epochs *t);

#endif
