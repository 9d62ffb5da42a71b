/* TensorBoard's event files: scalars, histograms, images, texts and hyperparameters of a run, which
 * `tensorboard --logdir FOLDER` shows.
 *
 *     tern_tensorboard *log = tern_tensorboard_open("runs/1");
 *     tern_tensorboard_scalar(log, "loss/train", tern_item(loss), step);
 *     tern_tensorboard_close(log);
 *
 * What was logged is on its way to the file at the latest two minutes later, at tern_tensorboard_flush and at the
 * close. One log is for one thread at a time. A write that fails is reported once, by the call that notices. */
#ifndef TERN_TENSORBOARD_H
#define TERN_TENSORBOARD_H

#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_tensorboard tern_tensorboard;

/* Makes the folder (and those above it) and in it a new file of this run, events.out.tfevents.TIME.HOST.PROCESS.N, so
 * that a run that goes on later adds a file. For tern_tensorboard_close. Errors: TERN_ERR_IO. */
TERN_API tern_tensorboard *tern_tensorboard_open(const char *folder);
/* NULL does nothing. Returns false if something could not be written; the log is gone in any case. */
TERN_API bool tern_tensorboard_close(tern_tensorboard *w);
TERN_API bool tern_tensorboard_flush(tern_tensorboard *w);

/* tag: "loss/train"; what stands before '/' groups the plots. */
TERN_API bool tern_tensorboard_scalar(tern_tensorboard *w, const char *tag, double value, int64_t step);
/* The distribution of t's elements in 30 equal buckets; infinite ones and NaN are left out. Waits for t's device. */
TERN_API bool tern_tensorboard_histogram(tern_tensorboard *w, const char *tag, tern_tensor *t, int64_t step);
/* t as tern_picture_save takes it. */
TERN_API bool tern_tensorboard_image(tern_tensorboard *w, const char *tag, tern_tensor *t, int64_t step);
/* Markdown. */
TERN_API bool tern_tensorboard_text(tern_tensorboard *w, const char *tag, const char *text, int64_t step);

typedef struct tern_hparam {
    const char *name;
    double number;
    const char *text; /* used instead of number if not NULL */
} tern_hparam;
/* The run's settings, and the tags of the scalars that rate it: once a run. */
TERN_API bool tern_tensorboard_hparams(tern_tensorboard *w, const tern_hparam *params, int n,
                                       const char *const *metrics, int n_metrics);

#ifdef __cplusplus
}
#endif
#endif
