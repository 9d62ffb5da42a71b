/* Data: datasets, the readers that make them, and a loader that shuffles, batches and prefetches. */
#ifndef TERN_DATA_H
#define TERN_DATA_H

#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- datasets
 * ----------------------------------------------------------------------------------------------------------- */

/* Samples by number. A program makes one of its own by filling this in (or embedding it first in a larger struct). get
 * must be safe to call from several threads. */
typedef struct tern_dataset tern_dataset;
struct tern_dataset {
    int64_t length;
    tern_shape x_shape; /* of one sample; x_dtype TERN_F32 by default */
    tern_dtype x_dtype;
    tern_shape y_shape; /* of one target: 0-dim for a class; y_dtype is usually TERN_I64 */
    tern_dtype y_dtype;
    /* Writes sample i into x and y (row-major, sizes as above). Returns false after recording an error. */
    bool (*get)(tern_dataset *d, int64_t i, void *x, void *y);
    void (*drop)(tern_dataset *d); /* frees d; called by tern_dataset_free; may be NULL */
    /* For classification; 0 and NULL otherwise. */
    int classes;
    const char *const *class_names;
};
TERN_API void tern_dataset_free(tern_dataset *d);
/* Tensors x [N, ...] and y [N, ...] on the CPU as a dataset; keeps both. */
TERN_API tern_dataset *tern_dataset_tensors_new(tern_tensor *x, tern_tensor *y);
/* The n given samples of d, in that order. Does not own d. */
TERN_API tern_dataset *tern_dataset_subset_new(tern_dataset *d, const int64_t *index, int64_t n);

/* An IDX file (the format of MNIST), plain or gzip, as a tensor of its own dtype and shape (f32 and f64 too; i16
 * becomes i32). Errors: TERN_ERR_IO, TERN_ERR_FORMAT: what, where (file, byte) and what was expected; TERN_ERR_MEMORY.
 * Owner: the caller. */
TERN_API tern_tensor *tern_idx_load(const char *path);
/* Images [N, H, W] u8 and labels [N] u8 from two IDX files as a dataset: x [1, H, W] f32, (pixel / 255 - mean) / std, y
 * i64. Checks that the counts agree, are not zero, and that each label is below classes. */
typedef struct tern_idx_opts {
    double mean, std; /* std 1 if zero */
    int classes;      /* 10 if zero */
} tern_idx_opts;
TERN_API tern_dataset *tern_idx_dataset_new(const char *images, const char *labels, tern_idx_opts opts);

/* The UCI optical recognition of handwritten digits, test part: 1,797 real images of 8 x 8, built into the library.
 * x [1, 8, 8] f32 in [0, 1], y i64. A fixed split: every fifth sample of a fixed permutation is for testing.
 * Source: E. Alpaydin and C. Kaynak, 1998, doi:10.24432/C50P49, CC BY 4.0. */
TERN_API tern_dataset *tern_digits_new(bool train);

/* ---- the loader
 * ----------------------------------------------------------------------------------------------------------- */

typedef struct tern_loader tern_loader;

typedef struct tern_loader_opts {
    int64_t batch; /* 32 if zero */
    bool shuffle;  /* a new order every epoch, by the seed and the epoch's number alone */
    uint64_t seed;
    int workers;        /* threads that make batches; 0: the calling thread does */
    int prefetch;       /* batches ready in advance per worker; 2 if zero */
    bool drop_last;     /* no smaller batch at an epoch's end */
    tern_device device; /* where batches are put */
} tern_loader_opts;

typedef struct tern_batch {
    tern_tensor *x; /* [n, ...]; in the scope of the call */
    tern_tensor *y;
    int64_t n;     /* samples in this batch */
    int64_t index; /* of this batch in the epoch */
} tern_batch;

/* d must outlive the loader. To be given back with tern_loader_free. */
TERN_API tern_loader *tern_loader_new(tern_dataset *d, tern_loader_opts opts);
TERN_API void tern_loader_free(tern_loader *l);
/* The next batch. false at the end of an epoch (the call after that starts the next one) and on errors; tern_ok tells
 * which. A failed sample's error is recorded with its number. The order does not depend on workers. */
TERN_API bool tern_loader_next(tern_loader *l, tern_batch *out);
/* Batches in an epoch. */
TERN_API int64_t tern_loader_batches(const tern_loader *l);

typedef struct tern_loader_state {
    uint64_t seed;
    int64_t epoch; /* 0 at first */
    int64_t batch; /* batches of this epoch that were handed out */
} tern_loader_state;
/* The position, for checkpoints: after tern_loader_seek(s) the same batches follow. */
TERN_API tern_loader_state tern_loader_tell(const tern_loader *l);
TERN_API bool tern_loader_seek(tern_loader *l, tern_loader_state s);

#ifdef __cplusplus
}
#endif
#endif
