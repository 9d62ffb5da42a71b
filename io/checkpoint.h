/* Checkpoints in HDF5: all that a training run needs to go on as if it had never stopped.
 *
 *   /model/NAME    parameters and buffers by full name ("/model/conv1.weight"), with attribute kind = param | buffer
 *   /average       an average's likewise; attribute count
 *   /optim         attributes type, lr, steps, groups, momentum; /optim/NAME/SLOT the state tensors
 *   /              attributes tern_version, format, epoch, step, random_seed, random_position; loader_seed,
 *                  loader_epoch, loader_batch; schedule_*; scaler_scale, scaler_growth_tracker, scaler_skipped; and the
 *                  program's own under user_NAME
 *
 * f16 is stored as IEEE half, bf16 as u16 with attribute dtype = bf16, bool as u8 with attribute dtype = bool. Behind
 * the end of the HDF5 file, where its library does not look, stand its length and checksum. A file is written under a
 * temporary name in the same folder, flushed to the disk, then renamed over the old one, so that at every moment a
 * complete checkpoint stands there. Tensors go to the file from where they lie: writing needs no memory for them.
 * Reading verifies everything before it changes anything, and needs memory for the file. Damage is found by the
 * checksum; what somebody crafted with a right one may crash the HDF5 library, so a process of its own, which shares
 * the memory that the file was read into, tries it first (not in a build with sanitizers). */
#ifndef TERN_CHECKPOINT_H
#define TERN_CHECKPOINT_H

#include "tern/average.h"
#include "tern/data.h"
#include "tern/module.h"
#include "tern/optim.h"
#include "tern/scaler.h"
#include "tern/schedule.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_checkpoint_user {
    const char *name; /* letters, digits, '_' */
    double number;
    const char *text; /* of less than 1 MiB; used instead of number if not NULL. Loading sets it: NULL if the file has
                         no text of this name, else what tern_checkpoint_free_text frees */
} tern_checkpoint_user;

typedef struct tern_checkpoint {
    tern_module *model;      /* NULL: not saved, not loaded */
    tern_optim *optim;       /* likewise */
    tern_average *average;   /* likewise: its module and count */
    tern_loader *loader;     /* likewise */
    tern_scaler *scaler;     /* likewise */
    tern_schedule *schedule; /* likewise; its numbers are saved, and restored into *schedule, which has as many parts */
    bool no_random;          /* leaves the program's random stream out */
    int64_t epoch, step;     /* the program's own counters: set by loading */
    tern_checkpoint_user *user; /* further attributes; loading fills in those that are named */
    int n_user;
    bool not_strict; /* loading: names may be missing or unexpected; what fits is loaded */
} tern_checkpoint;

/* Writes c to path. On failure the previous file is intact and no temporary file is left. If another thread changes the
 * tensors meanwhile, it is open which of their values are saved.
 * Errors: TERN_ERR_IO with path and the system's reason (no space, no permission, ...); TERN_ERR_ARGUMENT. */
TERN_API bool tern_checkpoint_save(const char *path, const tern_checkpoint *c);
/* Reads path into c's parts. All is read and checked first: on failure nothing was changed. Errors: TERN_ERR_IO;
 * TERN_ERR_FORMAT for a file that is no checkpoint, cut off or damaged; TERN_ERR_SHAPE, listing the missing, unexpected
 * and mis-shaped names; TERN_ERR_DTYPE; TERN_ERR_MEMORY, also if the process that tries the file cannot be had, is
 * killed, or takes more than 60 s and 1 s for every 20 MB. */
TERN_API bool tern_checkpoint_load(const char *path, tern_checkpoint *c);
TERN_API void tern_checkpoint_free_text(tern_checkpoint *c);
/* Finds out, before hours of training, whether path can be written: makes, fills and removes a temporary file beside
 * it. Errors as for saving. */
TERN_API bool tern_checkpoint_try(const char *path);

#ifdef __cplusplus
}
#endif
#endif
