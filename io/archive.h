/* Named tensors, and the files in which they travel between Tern and Python: safetensors (one file or shards with an
 * index), npz and npy. tern_archive_module puts a module's parameters and buffers in, tern_archive_apply fills a module
 * from what is there: names are PyTorch's on both sides.
 *
 *     tern_archive *a = tern_safetensors_load("model.safetensors", (tern_safetensors_opts){0});
 *     tern_archive_apply(a, net, (tern_archive_apply_opts){.prefix = "transformer."});
 *     tern_archive_free(a);
 *
 * Every reader takes files of unknown origin: it checks what a file claims before it allocates, and names the file, the
 * place and what was expected. (PyTorch's .pt and .bin files are pickles, programs that run when they are read: save
 * them as safetensors first.) One archive is for one thread at a time. */
#ifndef TERN_ARCHIVE_H
#define TERN_ARCHIVE_H

#include "tern/module.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_archive tern_archive;

typedef struct tern_archive_entry {
    const char *name; /* owned by the archive until it is changed */
    tern_tensor *tensor;
} tern_archive_entry;

/* An empty archive, for tern_archive_free; NULL on errors. */
TERN_API tern_archive *tern_archive_new(void);
TERN_API void tern_archive_free(tern_archive *a);
/* Keeps t under name, instead of what had that name. Errors: TERN_ERR_ARGUMENT for an empty name, TERN_ERR_MEMORY. */
TERN_API bool tern_archive_put(tern_archive *a, const char *name, tern_tensor *t);
/* The tensor of this name. Owner: a. Errors: TERN_ERR_ARGUMENT, naming it. tern_archive_find gives NULL without one. */
TERN_API tern_tensor *tern_archive_get(tern_archive *a, const char *name);
TERN_API tern_tensor *tern_archive_find(tern_archive *a, const char *name);
/* Drops the tensor of this name; false if there is none (no error). */
TERN_API bool tern_archive_remove(tern_archive *a, const char *name);
TERN_API int64_t tern_archive_count(const tern_archive *a);
/* The i-th, in the order in which they came (safetensors: by place in the file). false past the end. */
TERN_API bool tern_archive_each(const tern_archive *a, int64_t i, tern_archive_entry *out);
/* Texts beside the tensors (safetensors: __metadata__; "format" is "pt" for what transformers reads). value NULL drops
 * it. */
TERN_API bool tern_archive_set_text(tern_archive *a, const char *key, const char *value);
/* NULL where there is none (no error). Owner: a, until it is changed. */
TERN_API const char *tern_archive_text(const tern_archive *a, const char *key);

/* ---- modules ----------------------------------------------------------------------------------------------------- */

/* Puts all parameters and buffers of m in, as prefix (NULL: none) and their full names. They are shared, not copied. A
 * tied parameter comes under each of its names. */
TERN_API bool tern_archive_module(tern_archive *a, tern_module *m, const char *prefix);

typedef struct tern_archive_apply_opts {
    const char *prefix; /* what the archive's names have in front; other names are not looked at */
    bool not_strict;    /* names may be missing or unexpected on either side; what is in both is loaded */
} tern_archive_apply_opts;
/* Copies values into m by name; dtypes and devices may differ (rounded as by tern_cast). Returns how many tensors were
 * filled, -1 on errors: TERN_ERR_SHAPE, listing the missing, unexpected and mis-shaped names; nothing is changed then.
 */
TERN_API int64_t tern_archive_apply(tern_archive *a, tern_module *m, tern_archive_apply_opts opts);

/* ---- safetensors ------------------------------------------------------------------------------------------------- */

typedef struct tern_safetensors_opts {
    bool copy;           /* loading: reads into memory instead of mapping the file */
    int64_t shard_bytes; /* saving: more than this becomes several files and an index; 0: one file */
} tern_safetensors_opts;
/* path: a .safetensors file, or an index (.json) whose shards lie beside it. Tensors map the file and are read as they
 * are used; writing to them does not change it. A file that another program cuts off while it is mapped kills the
 * reader (SIGBUS): use .copy for such files. Integers of kinds that Tern has not become the next wider one (I8, I16 and
 * U16 i32; U32 i64; U64 i64 if all fit). For tern_archive_free. Errors: TERN_ERR_IO, TERN_ERR_FORMAT;
 * TERN_ERR_UNSUPPORTED for 8-bit floats and for pickles. Source: github.com/huggingface/safetensors, README. */
TERN_API tern_archive *tern_safetensors_load(const char *path, tern_safetensors_opts opts);
/* Writes all of a, in the order of dtype size and name, as a whole: on failure the previous file is intact. With
 * .shard_bytes and more data, path must end in .safetensors and the files are path-00001-of-0000N.safetensors and
 * path.safetensors.index.json, which is written last. Errors: TERN_ERR_IO, TERN_ERR_ARGUMENT. */
TERN_API bool tern_safetensors_save(const char *path, tern_archive *a, tern_safetensors_opts opts);

/* ---- NumPy ------------------------------------------------------------------------------------------------------- */

/* An array of a .npy file (format 1 to 3, C or Fortran order, either byte order). bf16 comes as NumPy has it from
 * ml_dtypes (V2) and only with such a descr. Errors: TERN_ERR_IO, TERN_ERR_FORMAT; TERN_ERR_UNSUPPORTED for strings,
 * objects, records and complex numbers, naming the descr. Owner: the caller, for tern_release. Source: NumPy's
 * numpy.lib.format. */
TERN_API tern_tensor *tern_npy_load(const char *path);
/* t in C order, little-endian, format 1.0; bf16 as f32, which NumPy has. Replaces the file as a whole. */
TERN_API bool tern_npy_save(const char *path, tern_tensor *t);
/* All arrays of a .npz file, under their names without ".npy", for tern_archive_free. At most 1,000,000 arrays, and
 * what a packed one unpacks to is bounded by what its header says. Errors as above. */
TERN_API tern_archive *tern_npz_load(const char *path);
/* compress as numpy.savez_compressed does. Replaces the file as a whole. */
TERN_API bool tern_npz_save(const char *path, tern_archive *a, bool compress);

#ifdef __cplusplus
}
#endif
#endif
