/* Whole files: written so that at every moment a complete one stands under the name, and read only if every byte is as
 * it was written. Private.
 *
 * A file is its content and then 24 bytes: "TERN-CRC", the content's length (u64) and its CRC-32 (u32) with four bytes
 * of zero, little-endian. HDF5 ignores what stands behind its own end, so h5py and h5dump read such a file. The sum is
 * there because the HDF5 library cannot be trusted with damaged files: it crashes on some. */
#ifndef TERNI_WHOLE_FILE_H
#define TERNI_WHOLE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A part of a file's content, from byte `at` on. */
typedef struct terni_piece {
    uint64_t at;
    const void *data;
    size_t bytes;
} terni_piece;

/* Writes a content of so many bytes to a temporary file beside path, with the sum; fsync; rename; fsync of the folder.
 * Pieces rise and do not overlap; between them are zeros. A second thread makes the sum meanwhile, of the bytes that
 * are written: the file is whole even if its pieces change under the hand. On failure the old file is intact and the
 * temporary one is gone. */
bool terni_whole_file_write(const char *path, const terni_piece *pieces, size_t n, uint64_t bytes);
/* Reads path and checks the sum. *data (for terni_mfree) and *bytes are the content without it. */
bool terni_whole_file_read(const char *path, void **data, size_t *bytes);

#endif
