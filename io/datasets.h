/* Datasets from files: folders of images, CIFAR's binary files, texts as token numbers, arrays of NumPy and HDF5. (IDX
 * stands in data.h, CSV in table.h.) Every reader takes files of unknown origin: it checks what a file claims before it
 * allocates, and names the file, the place and what was expected. */
#ifndef TERN_DATASETS_H
#define TERN_DATASETS_H

#include "tern/data.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_folder_opts {
    int channels;          /* 1 to 4; 3 if zero */
    int64_t height, width; /* every picture is resized to this (as by tern_resize_new); 0: each keeps its own size */
    int64_t max_pixels;    /* of one picture; as in tern_picture_opts */
} tern_folder_opts;
/* PATH/CLASS/.../NAME.png, .jpg or .jpeg: classes are the folders in PATH, samples all pictures in them, also deeper,
 * all sorted by their bytes. x [channels, height, width] f32 in [0, 1], y i64 the class. Pictures of their own sizes
 * come as such (item): batch them with a transform that crops or resizes, or with a collate function. Pictures are read
 * as they are asked for; errors name the file. Names with a leading dot are left out. Errors: TERN_ERR_IO,
 * TERN_ERR_FORMAT for a folder without classes or a class without pictures. For tern_dataset_free. */
TERN_API tern_dataset *tern_folder_dataset_new(const char *path, tern_folder_opts opts);

typedef struct tern_cifar_opts {
    bool hundred;           /* CIFAR-100 */
    bool coarse;            /* of that, the 20 classes instead of the 100 */
    bool test;              /* of a folder, the test part */
    double mean[3], std[3]; /* x becomes (pixel / 255 - mean) / std; std 1 if zero */
} tern_cifar_opts;
/* CIFAR's binary version: one file, or the folder that holds data_batch_1.bin to data_batch_5.bin and test_batch.bin,
 * or train.bin and test.bin for CIFAR-100. x [3, 32, 32] f32, y i64. Errors: TERN_ERR_IO; TERN_ERR_FORMAT for a file
 * that is no whole number of records, empty, or has a label outside. For tern_dataset_free. Source:
 * cs.toronto.edu/~kriz. */
TERN_API tern_dataset *tern_cifar_dataset_new(const char *path, tern_cifar_opts opts);

typedef struct tern_tokens_opts {
    int bytes;      /* of a token in the file, little-endian: 1, 2 or 4; 1 if zero */
    int64_t block;  /* tokens in a sample; 128 if zero */
    int64_t stride; /* from one sample's beginning to the next; block if zero */
    int64_t offset; /* bytes at the file's beginning that are no tokens */
    int64_t vocab;  /* tokens are below this, or the sample is an error; 0: not checked */
} tern_tokens_opts;
/* A file of token numbers, mapped into memory: x [block] i64, y [block] i64 the same one token later. A file that
 * another program cuts off while it is mapped kills the reader (SIGBUS). Errors: TERN_ERR_IO; TERN_ERR_FORMAT for a
 * file that is no whole number of tokens or too short for one sample. For tern_dataset_free. */
TERN_API tern_dataset *tern_tokens_dataset_new(const char *path, tern_tokens_opts opts);

/* Two arrays [N, ...] in memory as x and y: of two .npy files, or of one .npz by their names. Errors as tern_npy_load's
 * and tern_dataset_tensors_new's. For tern_dataset_free. */
TERN_API tern_dataset *tern_npy_dataset_new(const char *x, const char *y);
TERN_API tern_dataset *tern_npz_dataset_new(const char *path, const char *x, const char *y);
/* The same of one HDF5 file, by their paths in it ("train/x"). A process of its own reads it, as the HDF5 library
 * crashes on some damaged files. Integers of 8 and 16 bits with sign, and of 16 without, become i32; of 32 without sign
 * i64; f16 becomes f32; h5py's bool is bool. Datasets whose elements are in other files are refused. Errors:
 * TERN_ERR_IO; TERN_ERR_FORMAT, naming the dataset, also for types that Tern has not. */
TERN_API tern_dataset *tern_h5_dataset_new(const char *path, const char *x, const char *y);

#ifdef __cplusplus
}
#endif
#endif
