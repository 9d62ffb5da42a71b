/* Data: datasets, and a loader that orders, transforms, batches and prefetches. Readers of files that make datasets
 * stand in datasets.h and table.h, orders in sampler.h, changes on the fly in transform.h. */
#ifndef TERN_DATA_H
#define TERN_DATA_H

#include "tern/sampler.h"
#include "tern/tensor.h"
#include "tern/transform.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- datasets
 * ----------------------------------------------------------------------------------------------------------- */

/* Samples by number, or one after another. A program makes one of its own by filling this in (or embedding it first in
 * a larger struct); what is not used stays zero. One of get, item and next is needed. get, item, name and label must be
 * safe to call from several threads. The struct may still grow before 1.0: set it by designated initialisers. */
typedef struct tern_dataset tern_dataset;
struct tern_dataset {
    int64_t length;     /* 0 for samples that come one after another (next) */
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
    /* Samples of shapes of their own, instead of get or beside it: tensors on the CPU, in the current scope. The shapes
     * above say nothing then. */
    bool (*item)(tern_dataset *d, int64_t i, tern_tensor **x, tern_tensor **y);
    /* Samples one after another, how many is not known: writes the next one, or sets *end. Called by one thread at a
     * time. restart goes to the beginning of an epoch. Both return false after recording an error. */
    bool (*next)(tern_dataset *d, void *x, void *y, bool *end);
    bool (*restart)(tern_dataset *d, uint64_t seed, int64_t epoch);
    /* Writes what sample i is called (a file's path) into buf, for messages. NULL: its number says enough. */
    void (*name)(tern_dataset *d, int64_t i, char *buf, size_t size);
    /* The class of sample i without the work for its x. NULL: it is taken from y. */
    int64_t (*label)(tern_dataset *d, int64_t i);
};
TERN_API void tern_dataset_free(tern_dataset *d);
/* Tensors x [N, ...] and y [N, ...] on the CPU as a dataset; keeps both. */
TERN_API tern_dataset *tern_dataset_tensors_new(tern_tensor *x, tern_tensor *y);
/* The n given samples of d, in that order. Does not own d. */
TERN_API tern_dataset *tern_dataset_subset_new(tern_dataset *d, const int64_t *index, int64_t n);
/* The samples of n datasets, one behind the other; all of the same shapes, dtypes and number of classes. Does not own
 * them. Errors: TERN_ERR_SHAPE, TERN_ERR_DTYPE, TERN_ERR_ARGUMENT (none, or one without a length). */
TERN_API tern_dataset *tern_dataset_concat_new(tern_dataset *const *d, int n);
/* Divides d at random into n subsets, which are written into out, each for tern_dataset_free. part: shares that add up
 * to 1 (samples that rounding down leaves over go to the first ones, one each), or else counts that add up to d's
 * length, as for torch's random_split. Does not own d. Errors: TERN_ERR_ARGUMENT; out is all NULL then. */
TERN_API bool tern_dataset_random_split(tern_dataset *d, const double *part, int n, uint64_t seed, tern_dataset **out);
/* The class of every sample into label, which has room for d's length, for tern_sampler_stratified_new or weights.
 * Errors: TERN_ERR_DTYPE unless y is one i64 or d has a label function; what get says. */
TERN_API bool tern_dataset_labels(tern_dataset *d, int64_t *label);

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

typedef struct tern_batch {
    tern_tensor *x; /* [n, ...]; in the scope of the call */
    tern_tensor *y;
    int64_t n;            /* samples in this batch */
    int64_t index;        /* of this batch in the epoch */
    tern_tensor *lengths; /* what a collate function gave, on the CPU; NULL otherwise */
} tern_batch;

/* Makes a batch of n samples, x[i] and y[i] with their own shapes: sets out->x and out->y, on the CPU and in the
 * current scope, and out->lengths if it has any. Called by several threads. Returns false after recording an error. */
typedef bool (*tern_collate)(void *user, tern_tensor *const *x, tern_tensor *const *y, int64_t n, tern_batch *out);

typedef struct tern_pad_values {
    double x, y; /* what stands behind the end of a shorter sample */
} tern_pad_values;
/* A collate function: every dimension becomes as long as the longest of the batch, filled up at the end. lengths [n]
 * i64 is the first dimension of each x (1 for 0-dim). user: a tern_pad_values, or NULL for zeros. The dtypes and the
 * numbers of dimensions must agree. */
TERN_API bool tern_collate_pad(void *user, tern_tensor *const *x, tern_tensor *const *y, int64_t n, tern_batch *out);

/* May still grow before 1.0: set it by designated initialisers. */
typedef struct tern_loader_opts {
    int64_t batch; /* 32 if zero */
    bool shuffle;  /* a new order every epoch, by the seed and the epoch's number alone */
    uint64_t seed;
    int workers;        /* threads that make batches; 0: the calling thread does */
    int prefetch;       /* batches ready in advance per worker; 2 if zero */
    bool drop_last;     /* no smaller batch at an epoch's end */
    tern_device device; /* where batches are put; a GPU gets the next ones by a stream of its own while it computes */
    /* The order, instead of shuffle; not owned. */
    tern_sampler *sampler;
    /* What is done to each x on its way, by the workers, u8 pixels having become f32 in [0, 1]; not owned. Its random
     * numbers follow from the seed, the epoch and the sample's place in it. */
    tern_transform *transform;
    /* How samples become a batch; NULL: they are stacked. */
    tern_collate collate;
    void *collate_user;
    bool pin; /* batches for the CPU in pinned memory too, for a program that copies them itself */
} tern_loader_opts;

/* d must outlive the loader. To be given back with tern_loader_free. */
TERN_API tern_loader *tern_loader_new(tern_dataset *d, tern_loader_opts opts);
TERN_API void tern_loader_free(tern_loader *l);
/* The next batch. false at the end of an epoch (the call after that starts the next one) and on errors; tern_ok tells
 * which. A failed sample's error is recorded with its number and name. Order and content do not depend on workers. On a
 * GPU the batch is ready for the calling thread's current stream. */
TERN_API bool tern_loader_next(tern_loader *l, tern_batch *out);
/* Batches in an epoch; -1 for a dataset without a length, until the first epoch has ended. */
TERN_API int64_t tern_loader_batches(const tern_loader *l);

typedef struct tern_loader_state {
    uint64_t seed;
    int64_t epoch; /* 0 at first */
    int64_t batch; /* batches of this epoch that were handed out */
} tern_loader_state;
/* The position, for checkpoints: after tern_loader_seek(s) the same batches follow, with the same random changes. A
 * dataset without a length is read again from the epoch's beginning up to there. */
TERN_API tern_loader_state tern_loader_tell(const tern_loader *l);
TERN_API bool tern_loader_seek(tern_loader *l, tern_loader_state s);

#ifdef __cplusplus
}
#endif
#endif
