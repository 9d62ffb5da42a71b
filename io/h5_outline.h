/* An HDF5 file without its elements. The library writes its own part (superblock, headers, indexes) into pages in
 * memory through a driver that stands here; elements are never handed to it. A contiguous dataset gets its place in the
 * file when it is made (H5Dget_offset), and who writes the file puts the elements there, straight from where they are:
 * a checkpoint costs no second copy in memory. Nothing here fails because of a disk: HDF5 tells of a full one late or
 * never, and crashes at exit after one. Private.
 *
 *     terni_outline o = {0};
 *     const hid_t access = terni_outline_access(&o);      for H5Fcreate, then H5Pclose
 *     ... make the file, close it ...
 *     terni_outline_pieces(&o, elements, n, &count)       all of the file
 *     terni_outline_drop(&o);                             after H5Fclose and H5Pclose; with the library taken */
#ifndef TERNI_H5_OUTLINE_H
#define TERNI_H5_OUTLINE_H

#include "h5.h"
#include "whole_file.h"

typedef struct terni_outline_page terni_outline_page;

typedef struct terni_outline {
    terni_outline_page *pages; /* by place */
    size_t n_pages, cap_pages;
    uint64_t end;  /* of the file */
    bool failed;   /* a page had no memory */
    hid_t drivers; /* of the library, to be given back; 0: none */
} terni_outline;

/* For files of the latest format whose outline is o. Negative on errors, which are HDF5's own. */
hid_t terni_outline_access(terni_outline *o);
/* All of the file, by place, for terni_mfree: the n elements (sorted by this call) and what the library wrote; gaps are
 * zeros. It points into both. Errors: TERN_ERR_MEMORY, TERN_ERR_INTERNAL if elements lie over one another. */
terni_piece *terni_outline_pieces(const terni_outline *o, terni_piece *elements, size_t n, size_t *count);
void terni_outline_drop(terni_outline *o);

#endif
