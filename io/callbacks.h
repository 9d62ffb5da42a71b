/* Ready-made callbacks for tern_fit: checkpoints, early stopping, plateaus, logs, limits. Each _new returns a callback
 * for tern_callback_free, NULL on errors; texts are copied. One callback is for one run at a time.
 *
 * What a callback goes by (monitor) is a name of the history; NULL: "val_loss" if the run validates, else "loss". Lower
 * is better, but for a metric whose struct says otherwise; `highest` says so of other names. */
#ifndef TERN_CALLBACKS_H
#define TERN_CALLBACKS_H

#include "tern/checkpointer.h"
#include "tern/fit.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_save_opts {
    const char *prefix; /* as for tern_checkpointer_new, like keep and failed */
    int keep;
    int64_t every_steps;  /* 0: not by steps. While one is still being written the next waits for a later step */
    int64_t every_epochs; /* 1 if zero; none if negative */
    const char *monitor;  /* whose best epoch becomes PREFIX-best.h5 */
    bool highest;
    bool no_best;
    bool
        overwrite; /* begin anew in a folder that holds checkpoints of another run; they stay until they are replaced */
    void (*failed)(const char *message, bool more, void *user);
    void *user;
} tern_save_opts;
/* Checkpoints into folder, written in the background, and one at the run's end, also when it is stopped or interrupted,
 * which is waited for. Errors in on_train_begin: TERN_ERR_ARGUMENT if the run is not a resumed one and the folder holds
 * checkpoints; TERN_ERR_IO. A checkpoint that cannot be written ends the run only if it is the last one. */
TERN_API tern_callback *tern_save_new(const char *folder, tern_save_opts opts);

typedef struct tern_early_stopping_opts {
    const char *monitor;
    bool highest;
    int64_t patience;  /* epochs without improvement that are borne; 0: stops at the first */
    double min_delta;  /* what is less does not count */
    bool restore_best; /* at the end the model gets the best epoch's weights */
    const char *path;  /* a file for them, for runs that are to be resumed; NULL: they are kept in memory */
} tern_early_stopping_opts;
/* Stops when the monitored number no longer gets better. Errors in on_train_begin: TERN_ERR_ARGUMENT for a resumed run
 * with restore_best and no path. */
TERN_API tern_callback *tern_early_stopping_new(tern_early_stopping_opts opts);

/* Cuts the learning rate when the monitored number no longer gets better, by TERN_SCHEDULE_PLATEAU's rules; its state
 * is ignored, and `highest` as said above. monitor may be NULL. Errors in on_train_begin: TERN_ERR_ARGUMENT if the run
 * has a schedule. */
TERN_API tern_callback *tern_reduce_on_plateau_new(const char *monitor, tern_schedule_plateau opts);

/* The history as a table with a line of names, "epoch" first, numbers from 1; written anew as a whole after each epoch,
 * so that it is complete at any moment, and after resuming too. */
TERN_API tern_callback *tern_csv_log_new(const char *path);
/* The history as scalars, after each epoch, "val_" ones beside the others; and every so many steps, unless 0, the
 * batch's loss and the rate by steps ("batch/loss", "batch/lr"), which waits for the device. */
TERN_API tern_callback *tern_tensorboard_log_new(const char *folder, int64_t every_steps);
/* A line for each epoch to a file descriptor (2: standard error), and, if that is a terminal, the batches as they go
 * by, twice a second. */
TERN_API tern_callback *tern_progress_new(int fd);
/* Stops when the loss is NaN or infinite: looks every so many batches (1 if 0) and waits for the device then. */
TERN_API tern_callback *tern_terminate_on_nan_new(int64_t every);
/* Stops after so many seconds of this run. */
TERN_API tern_callback *tern_time_limit_new(double seconds);

#ifdef __cplusplus
}
#endif
#endif
