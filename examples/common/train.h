/* Training a classifier: the loop, its checkpoints, and the test after every epoch. */
#ifndef TRAIN_H
#define TRAIN_H

#include "plot.h"
#include "report.h"
#include "settings.h"

/* Loss and hits so far in an epoch, kept on the device: reading them waits for it, so that is done only for display. */
typedef struct meter {
    tern_tensor *loss_sum; /* f64, 0-dim: sum over the samples */
    tern_tensor *hits;     /* i64, 0-dim */
    int64_t seen;
} meter;

/* A training run: all that makes it go on is in its checkpoint. */
typedef struct run {
    const settings *settings;
    tern_module *net;
    tern_optim *optim;
    tern_loader *loader;
    tern_schedule schedule;
    meter meter;
    int64_t samples;     /* in an epoch */
    int64_t epoch, step; /* epochs and steps that are done */
    plot plot;           /* by epochs */
} run;

/* Makes network, optimizer and loader for a new run. To be given back with run_free, also after a failure. */
bool run_new(run *r, const settings *s, tern_dataset *train);
void run_free(run *r);

typedef enum train_end { TRAIN_FAILED, TRAIN_DONE, TRAIN_STOPPED } train_end;
/* Trains until all epochs are done, --stop-after's are, or a signal comes; prints how it goes. */
train_end run_train(run *r, tern_dataset *test);

/* The curves of a run by epochs. */
enum { RUN_CURVES = 3 };
extern const char *const run_curves[RUN_CURVES];

/* The network's answers on a data set, added to c. false after an error. */
bool evaluate(tern_module *net, tern_dataset *d, const settings *s, confusion *c);

/* ---- checkpoints (checkpoint.c) ---- */

/* Writes the run's checkpoint to --out. */
bool run_save(const run *r);
/* Reads --resume's checkpoint into a run that was made with settings_from_checkpoint. */
bool run_load(run *r);
/* Reads the settings that a checkpoint holds into s. Returns EXIT_OK; EXIT_USAGE when options contradict it (said on
 * stderr); EXIT_FAILED after an error, which is pending. */
int settings_from_checkpoint(settings *s, const char *path);
/* The network of a checkpoint, alone, on s->device; NULL after an error. */
tern_module *net_from_checkpoint(const settings *s, const char *path);

#endif
