/* HDF5 files of unknown origin. The HDF5 library crashes on some damaged files, and takes its time over others, so a
 * process of its own (h5_process.h) reads the file and sends what it found through a pipe; if it dies or falls silent,
 * that is an error like any other. Private. */
#ifndef TERNI_H5_CHILD_H
#define TERNI_H5_CHILD_H

#include "tern/archive.h"

typedef struct terni_h5_request {
    const char *what, *path;  /* for messages: "keras"; the file */
    const char *const *names; /* datasets of at least one dimension; NULL: all that the file has */
    int n_names;
    /* Of all that the file has: groups and datasets (by full name, without a '/' in front) that are left out; or NULL.
     * Called in the other process. */
    bool (*skip)(const char *name);
    /* Attributes of groups that hold several texts, closed by a NULL: the archive's text "GROUP@NAME" has them, each
     * with a newline behind it. Such a list may be cut into NAME0, NAME1, ...; or NULL. */
    const char *const *lists;
    int seconds; /* without a word from the other process, and of processor time for it; 600 if zero */
} terni_h5_request;
/* The datasets by name, for tern_archive_free; NULL after an error. All of the file's elements must stand in the file
 * itself, and be no more than a file of its size can hold; the other process gets twice that and 256 MB. Errors:
 * TERN_ERR_IO, TERN_ERR_FORMAT; TERN_ERR_MEMORY, also if the other process was killed. */
tern_archive *terni_h5_read(const terni_h5_request *r);

/* A process of its own opens the HDF5 file that these bytes are and reads all of it but the elements that stand in one
 * piece, which the program takes from the bytes themselves: false after an error if it crashed or will not do. For
 * bytes that the program is to give to HDF5: it does so only if that goes well. They are shared with that process, not
 * copied. Errors: TERN_ERR_FORMAT; TERN_ERR_MEMORY if there is no such process to be had, or it was killed or too slow
 * (60 s and 1 s for every 20 MB), which says nothing about the file. In a build with sanitizers it does nothing: their
 * malloc does not survive a fork among threads. */
bool terni_h5_rehearse(const char *what, const char *path, void *image, size_t bytes);

#endif
