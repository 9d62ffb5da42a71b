/* Files that are replaced as a whole: written under a temporary name beside the old one, flushed to the disk, then
 * renamed over it, so that at every moment a complete file stands under the name. Private.
 *
 *     terni_replace r;
 *     if (!terni_replace_begin(&r, "npy", path)) return false;
 *     const bool ok = terni_replace_write(&r, data, bytes) && ...;
 *     return terni_replace_end(&r, ok);                            (always, after a begin that gave true)
 *
 * Thread-safe. Of two writers of one path the last wins. */
#ifndef TERNI_REPLACE_H
#define TERNI_REPLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct terni_replace {
    const char *what; /* for messages: "checkpoint" */
    const char *path; /* the caller's */
    int fd;
    size_t written, flushed; /* bytes; the first so many are on their way to the disk */
    char temporary[PATH_MAX];
} terni_replace;

/* Makes the temporary file, empty and open. Also removes what processes that no longer live left of this path. */
bool terni_replace_begin(terni_replace *r, const char *what, const char *path);
bool terni_replace_write(terni_replace *r, const void *data, size_t bytes);
/* If ok: flush, rename, flush of the folder. Else, and on failure, the old file is intact and the temporary one gone.
 */
bool terni_replace_end(terni_replace *r, bool ok);
/* Removes the temporary file without a word: for trying whether a path can be written. */
bool terni_replace_drop(terni_replace *r);

/* Removes temporary files in folder that processes which no longer live left of files whose name starts so. */
void terni_replace_sweep(const char *folder, const char *start);

/* Records that path is one of PyTorch's pickles (.pt, .pth, .bin), which no reader takes, if its first n bytes say so;
 * they are read from there if data is NULL. False without an error if it is none. For readers that found it is not
 * theirs. */
bool terni_file_pickle(const char *what, const char *path, const void *data, size_t n);
/* path is a regular file that can be read; else records why not. */
bool terni_file_usable(const char *what, const char *path);
/* All of a regular file, for terni_mfree; at most `most` bytes, and one byte of 0 behind them. */
bool terni_file_read(const char *what, const char *path, size_t most, void **data, size_t *bytes);

#endif
