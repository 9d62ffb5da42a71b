/* What the readers and writers of archives share. Private. */
#ifndef TERNI_ARCHIVE_INTERNAL_H
#define TERNI_ARCHIVE_INTERNAL_H

#include "tern/archive.h"

/* What does not fit, as far as there is room for it. */
typedef struct terni_report {
    char text[1200]; /* "; missing a.weight; ..." */
    size_t n;
    int wrong;
} terni_report;
void terni_complain(terni_report *r, const char *what, const char *name, const char *detail);

/* The i-th text; false past the end. */
bool terni_archive_text_each(const tern_archive *a, int i, const char **key, const char **value);

/* n little-endian integers, signed ('i') or not ('u'), of 1, 2, 4 or 8 bytes, as i32 if they are of 1 or 2 bytes, else
 * as i64. False if one does not fit. */
bool terni_widen(const void *raw, char sign, size_t size, int64_t n, void *out);

/* A .npy file's text of `bytes` bytes; name is for messages ("weights.npz, array a"). In the current scope. */
tern_tensor *terni_npy_parse(const char *name, const unsigned char *p, size_t bytes);
/* The header that stands before t's elements, for terni_mfree, and its length. */
char *terni_npy_header(tern_tensor *t, size_t *length);
/* t as a .npy file holds it: on the CPU, contiguous, bf16 as f32. In the current scope. */
tern_tensor *terni_npy_form(tern_tensor *t);

#endif
