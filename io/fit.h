/* Training without a loop of one's own: tern_fit, tern_evaluate, tern_predict, and the callbacks that they take.
 *
 *     tern_metric *accuracy = tern_accuracy_new((tern_metric_opts){0});
 *     tern_callback *save = tern_save_new("run", (tern_save_opts){0}), *stop = tern_early_stopping_new(...);
 *     tern_fit(net, opt, (tern_fit_opts){.data = train, .batch = 32, .validation = test, .epochs = 20,
 *                                        .metrics = &accuracy, .n_metrics = 1,
 *                                        .callbacks = (tern_callback *[]){stop, save}, .n_callbacks = 2,
 *                                        .resume = "run"});
 *
 * A program with a loop of its own uses the same pieces singly: metrics (tern/metric.h), checkpoints in the background
 * (tern/checkpointer.h), schedules, loaders. What is here uses nothing that such a program could not. It lives in io
 * because it needs modules, optimizers, data and files, and io is the one folder that sees all of them through their
 * public headers; a folder above it would hold nothing else. */
#ifndef TERN_FIT_H
#define TERN_FIT_H

#include <signal.h>

#include "tern/checkpoint.h"
#include "tern/criteria.h"
#include "tern/metric.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- histories: numbers by name and epoch ------------------------------------------------------------------------ */

typedef struct tern_history tern_history;
/* To be given back with tern_history_free. NULL on errors. */
TERN_API tern_history *tern_history_new(void);
TERN_API void tern_history_free(tern_history *h);
/* Epochs that something was set for; how many names there are, and the i-th in the order of coming (NULL past the end).
 * NULL has none. */
TERN_API int64_t tern_history_epochs(const tern_history *h);
TERN_API int tern_history_names(const tern_history *h);
TERN_API const char *tern_history_name(const tern_history *h, int i);
/* NaN where nothing was set. A negative epoch counts from the end. */
TERN_API double tern_history_get(const tern_history *h, const char *name, int64_t epoch);
/* Sets a number; a callback may add its own. Errors: TERN_ERR_ARGUMENT (a name that is empty or has ',', '"' or a line
 * end, a negative epoch or one beyond 2^24), TERN_ERR_MEMORY. */
TERN_API bool tern_history_set(tern_history *h, const char *name, int64_t epoch, double value);

/* ---- a run, as callbacks see it ---------------------------------------------------------------------------------- */

typedef enum tern_fit_end {
    TERN_FIT_RUNNING = 0,
    TERN_FIT_DONE,        /* all epochs */
    TERN_FIT_STOPPED,     /* a callback asked for it */
    TERN_FIT_INTERRUPTED, /* the program's flag was set */
    TERN_FIT_FAILED       /* an error */
} tern_fit_end;

typedef struct tern_fit_run {
    tern_module *model;
    tern_optim *optim;
    tern_schedule *schedule; /* or NULL */
    tern_loader *loader;
    tern_metric *const *metrics;
    int n_metrics;
    bool validates, resumed;
    tern_history *history; /* of the epochs so far: "loss", the metrics' names, "lr"; "val_loss", "val_..." */
    int64_t epoch, epochs; /* the current one from 0, that is how many are complete; how many there are to be */
    int64_t step;          /* optimizer steps so far, of runs that this one resumes too */
    int64_t batch;         /* of the epoch, from 0 */
    int64_t batches;       /* in an epoch; -1 if not known */
    tern_tensor *loss;     /* of the last batch, 0-dim; in on_batch_end alone. Reading it waits for the device */
    const char *stop;      /* a callback sets why (a text that stays): the run ends after the current step */
    tern_fit_end end;      /* in the last on_pause, and on_train_end */
    struct terni_fit *own; /* private */
} tern_fit_run;

/* All that it takes to go on from here (tern_fit_opts.resume): model, optimizer, scaler, schedule, the loader's
 * position, the random stream, the callbacks' numbers, the history (its last 900 kB), the loss so far; training metrics
 * of the epoch under way are not in it. For on_pause. Owner: run, until the next call. NULL on errors. */
TERN_API const tern_checkpoint *tern_fit_checkpoint(tern_fit_run *run);

/* Functions that a run calls, each or NULL; a program's own callback is this struct filled in, or at the head of a
 * larger one. They return false after an error, which ends the run. tern/callbacks.h has those that are ready-made. */
typedef struct tern_callback tern_callback;
struct tern_callback {
    const char *name;
    bool (*on_train_begin)(tern_callback *c, tern_fit_run *run); /* after resuming */
    bool (*on_epoch_begin)(tern_callback *c, tern_fit_run *run); /* also of one that a resumed run goes on with */
    bool (*on_batch_begin)(tern_callback *c, tern_fit_run *run);
    bool (*on_batch_end)(tern_callback *c, tern_fit_run *run);
    bool (*on_validation_end)(tern_callback *c, tern_fit_run *run); /* the epoch's numbers are in the history */
    bool (*on_epoch_end)(tern_callback *c, tern_fit_run *run);      /* likewise */
    /* Between steps, and between epochs, when the other functions of all callbacks have run: the moment for
     * checkpoints. The last one of a run sees why it ends. What it asks for by run->stop holds from the next one on. */
    bool (*on_pause)(tern_callback *c, tern_fit_run *run);
    bool (*on_train_end)(tern_callback *c, tern_fit_run *run); /* after errors too, which are still pending */
    void (*drop)(tern_callback *c);                            /* frees c; called by tern_callback_free; may be NULL */
    /* What c remembers: goes into checkpoints under c's name (of those of one name by their order), and is there again
     * at on_train_begin when resumed. A resumed run's callbacks must remember what the checkpoint has, no more, no
     * less; those that remember nothing may come and go. */
    double *numbers;
    int n_numbers;
};
/* NULL does nothing. */
TERN_API void tern_callback_free(tern_callback *c);

/* ---- training ---------------------------------------------------------------------------------------------------- */

/* Nothing is owned. What is marked "or NULL" and what is zero has the default. */
typedef struct tern_fit_opts {
    /* The loss, a mean over the batch, 0-dim: a module of criteria.h, a function, or, without both, cross-entropy of
     * logits and classes, which class_weight (n_class_weight numbers, or NULL) is for. */
    tern_module *criterion;
    tern_tensor *(*loss)(tern_tensor *pred, tern_tensor *target, void *user);
    const double *class_weight;
    int64_t n_class_weight;
    /* The model's output for a batch, for models without a .forward of their own; or NULL. */
    tern_tensor *(*forward)(tern_module *model, tern_tensor *x, void *user);
    void *user; /* for loss and forward */

    int64_t epochs;     /* in all, those before resuming included; 1 if zero */
    int64_t accumulate; /* batches for one step: their mean gradient; 1 if zero. The last step of an epoch takes
                           what is left (without a length: divided by accumulate all the same) */
    double clip_norm;   /* tern_optim_clip_norm, tern_optim_clip_value; 0: neither */
    double clip_value;
    tern_dtype autocast;     /* TERN_BF16 or TERN_F16: forward and loss run under tern_autocast_push; none if zero */
    tern_scaler *scaler;     /* scales the loss, for f16; or NULL */
    tern_schedule *schedule; /* applied before each step; or NULL. Not a plateau: see tern_reduce_on_plateau_new */
    bool schedule_by_epoch;  /* before each epoch, by its number */

    /* Data: a loader, or a dataset that is loaded in a new order each epoch. */
    tern_loader *loader;
    tern_dataset *data;
    int64_t batch; /* 32 if zero; for validation too */
    int workers;
    uint64_t seed; /* of the order, and of the split */
    bool in_order;
    /* Validation after each epoch: a loader, a dataset, or a share of data, within (0, 1), drawn at random by seed and
     * not trained on; or none. */
    tern_loader *validation_loader;
    tern_dataset *validation;
    double validation_split;

    tern_metric *const *metrics; /* over training batches, as they were before their step, and over validation */
    int n_metrics;
    bool no_train_metrics; /* over validation alone */
    tern_callback *const *callbacks;
    int n_callbacks;
    /* "cuda", "auto", ...: model and criterion are moved there; NULL: the model stays where it is. Batches follow. */
    const char *device;
    /* A checkpoint of an earlier run, or a folder of them, whose newest is taken; a folder that is not there, or holds
     * none, begins anew, and one that cannot be read is an error; or NULL. The run goes on as if it had never stopped,
     * bit for bit. */
    const char *resume;
    const char *resume_prefix;              /* in a folder; "checkpoint" if NULL */
    const volatile sig_atomic_t *interrupt; /* a signal handler sets it: the run ends after the current step; or NULL */
    tern_history *history;                  /* filled in; or NULL */
    tern_fit_end *end;                      /* how the run ended; or NULL */
} tern_fit_opts;

/* Trains model, in training mode, with optim over its parameters. A model that is in training mode already is left as
 * it is, so that parts of it may be in evaluation mode (a frozen batch_norm). True if it came to its end, or was
 * stopped or interrupted; on errors false, with the error pending. Afterwards each module has the mode that it had, as
 * after tern_evaluate and tern_predict. Errors:
 * TERN_ERR_ARGUMENT for settings that make no sense, and whatever model, loss, data, metrics and callbacks have. */
TERN_API bool tern_fit(tern_module *model, tern_optim *optim, tern_fit_opts opts);

typedef struct tern_evaluate_opts {
    tern_module *criterion; /* as for tern_fit; without both there is no loss */
    tern_tensor *(*loss)(tern_tensor *pred, tern_tensor *target, void *user);
    tern_tensor *(*forward)(tern_module *model, tern_tensor *x, void *user);
    void *user;
    tern_dtype autocast; /* as for tern_fit */
    tern_loader *loader; /* one epoch of it, from where it stands; or a dataset, in order */
    tern_dataset *data;
    int64_t batch; /* 32 if zero */
    int workers;
    tern_metric *const *metrics; /* reset at first; tern_metric_compute has the values afterwards */
    int n_metrics;
} tern_evaluate_opts;
/* The mean loss over all samples into *loss (NaN without one; loss may be NULL), and metrics, in evaluation mode and
 * without recording. The model's mode is what it was afterwards. */
TERN_API bool tern_evaluate(tern_module *model, tern_evaluate_opts opts, double *loss);
/* The outputs for all samples, [N, ...] on the CPU, in the same way; targets, losses and metrics are not looked at.
 * Owner: the current scope. NULL on errors. */
TERN_API tern_tensor *tern_predict(tern_module *model, tern_evaluate_opts opts);
/* Weights for classes that come seldom: samples / (classes x samples of the class) into weight, which has room for as
 * many as there are classes; 0 for one that never comes. As scikit-learn's "balanced". Errors: those of
 * tern_dataset_labels; TERN_ERR_INDEX for a label outside. */
TERN_API bool tern_class_weights(tern_dataset *d, double *weight, int64_t classes);

#ifdef __cplusplus
}
#endif
#endif
