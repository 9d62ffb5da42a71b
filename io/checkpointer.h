/* Checkpoints in the background: a snapshot is copied to host memory between two steps, and a thread writes it while
 * training goes on.
 *
 *     tern_checkpointer *w = tern_checkpointer_new("run", &c, (tern_checkpointer_opts){.keep = 3});
 *     while (...) {
 *         ...
 *         if (c.step % 1000 == 0) tern_checkpointer_save(w, &c, false);
 *     }
 *     tern_checkpointer_free(w);                                   waits for the last one
 *     ...
 *     tern_checkpoint_load_newest("run", NULL, &c, NULL, 0);       after a crash
 *
 * The files are FOLDER/PREFIX-STEP.h5, and FOLDER/PREFIX-best.h5. Each is complete from the moment on that it is there
 * (tern/checkpoint.h says how), so whatever happens, the newest one loads. A folder and prefix are for one run at a
 * time. Host memory for one snapshot is held from first to last; writing it needs no more. */
#ifndef TERN_CHECKPOINTER_H
#define TERN_CHECKPOINTER_H

#include "tern/checkpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_checkpointer tern_checkpointer;

typedef struct tern_checkpointer_opts {
    const char *prefix;   /* "checkpoint" if NULL; letters, digits, '_', '.' */
    int keep;             /* how many of the last stay; 3 if zero, all if negative */
    int retries;          /* how often a failed write is tried again; 2 if zero, never if negative */
    double retry_seconds; /* before the first of these, twice that before the second, and so on; 1 if zero, none if
                             negative */
    /* Called in the writer's thread for each write that failed; more: it will be tried again. May be NULL. */
    void (*failed)(const char *message, bool more, void *user);
    void *user;
} tern_checkpointer_opts;

/* Makes the folder if it is not there, tries whether it can be written, and removes what killed processes left in it.
 * like: what will be saved, so that the host memory for it is made ready in the background and the first snapshot costs
 * no more than later ones; or NULL. To be given back with tern_checkpointer_free. Errors: TERN_ERR_IO,
 * TERN_ERR_ARGUMENT, TERN_ERR_MEMORY. */
TERN_API tern_checkpointer *tern_checkpointer_new(const char *folder, const tern_checkpoint *like,
                                                  tern_checkpointer_opts opts);
/* Takes a snapshot of c, as of c->step, and returns; it is being written. best: it becomes PREFIX-best.h5 as well. One
 * is in flight at most: while there is one this waits for it (tern_checkpointer_busy tells), and if its write failed it
 * is tried again at once, and once only. That an earlier one could not be written is no error here. Errors:
 * TERN_ERR_MEMORY, those of the device. */
TERN_API bool tern_checkpointer_save(tern_checkpointer *w, const tern_checkpoint *c, bool best);
/* True while a checkpoint is being written. */
TERN_API bool tern_checkpointer_busy(tern_checkpointer *w);
/* Waits until none is. Errors: that of the last checkpoint if it was given up: TERN_ERR_IO. */
TERN_API bool tern_checkpointer_wait(tern_checkpointer *w);

typedef struct tern_checkpointer_report {
    int64_t written;   /* checkpoints */
    int64_t failures;  /* writes that failed, those tried again included */
    int64_t given_up;  /* checkpoints that were never written */
    int64_t last_step; /* of the newest that was; -1 if none */
    double stall;      /* seconds that the last snapshot took the caller, waiting for an earlier write left out */
    double seconds;    /* that the last write took */
    char message[400]; /* of the last failure; "" if none */
} tern_checkpointer_report;
/* How it went so far. NULL gives zeros. */
TERN_API tern_checkpointer_report tern_checkpointer_report_get(tern_checkpointer *w);
/* Waits for the write in flight, which is tried again at once, and once only, if it fails. NULL does nothing. False if
 * the last checkpoint was given up, with no error recorded: tern_checkpointer_wait before it tells why. */
TERN_API bool tern_checkpointer_free(tern_checkpointer *w);

/* Loads the newest checkpoint of the folder and prefix (NULL: "checkpoint") that is not damaged, as
 * tern_checkpoint_load; its path goes into path (size bytes, cut; or NULL). Errors: TERN_ERR_IO if there is none, or
 * the folder cannot be read; those of the newest if none can be loaded, or if it is whole and does not fit c. */
TERN_API bool tern_checkpoint_load_newest(const char *folder, const char *prefix, tern_checkpoint *c, char *path,
                                          size_t size);
/* How many checkpoints of this prefix the folder holds, best ones left out; 0 if there is no such folder; -1 after an
 * error: TERN_ERR_IO if it cannot be read, and so may hold some. */
TERN_API int64_t tern_checkpoint_count(const char *folder, const char *prefix);

#ifdef __cplusplus
}
#endif
#endif
