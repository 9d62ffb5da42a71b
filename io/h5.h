/* The HDF5 library, as checkpoints use it: one thread at a time, silent, on images in memory. Private. */
#ifndef TERNI_H5_H
#define TERNI_H5_H

#include <hdf5.h>

#include "internal.h"

enum { TERNI_H5_TEXT = (1 << 20) - 1 }; /* bytes of a text that is read */

/* Takes the library for this thread and silences its own printing; gives it back. */
void terni_h5_enter(void);
void terni_h5_leave(void);
/* Records "checkpoint: PATH: WHAT: HDF5's own words"; returns false. */
bool terni_h5_fail(tern_code code, const char *path, const char *what);

/* Opens the HDF5 file that these bytes are, to be read; they are not copied. For H5Fclose; negative on errors. */
hid_t terni_h5_open_image(void *data, size_t bytes);

/* The type of a dtype in files and memory; for H5Tclose. Negative on errors. */
hid_t terni_h5_type(tern_dtype dtype);
/* The dtype of a dataset; false if it is none of Tern's. */
bool terni_h5_dtype(hid_t dataset, tern_dtype *out);

/* Attributes of an object. Putting returns false, getting too if there is none of that name and kind. */
bool terni_h5_put_text(hid_t at, const char *name, const char *text);
bool terni_h5_put_i64(hid_t at, const char *name, int64_t v);
bool terni_h5_put_u64(hid_t at, const char *name, uint64_t v);
bool terni_h5_put_f64(hid_t at, const char *name, double v);
bool terni_h5_get_i64(hid_t at, const char *name, int64_t *v);
bool terni_h5_get_u64(hid_t at, const char *name, uint64_t *v);
bool terni_h5_get_f64(hid_t at, const char *name, double *v);
/* For terni_mfree; NULL if there is none. */
char *terni_h5_get_text(hid_t at, const char *name);

/* A new group, for H5Gclose. Nothing here keeps the time of its making, so that equal states make equal files. */
hid_t terni_h5_group(hid_t at, const char *name);
/* Makes a contiguous dataset for t, whose elements do not get there: from byte *place of the file on is room for them
 * (left alone if there are none). Groups in the name are made. */
bool terni_h5_put_tensor(hid_t at, const char *name, tern_tensor *t, const char *kind, uint64_t *place);
/* Where a dataset's so many bytes stand in the file as they are; false if they do not stand in one piece of it. */
bool terni_h5_place(hid_t dataset, size_t bytes, uint64_t *place);
/* Shape and dtype of a dataset. */
bool terni_h5_look(hid_t dataset, tern_shape *shape, tern_dtype *dtype);

#endif
