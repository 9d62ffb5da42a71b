/* What the ops that write by index share. Private. */
#ifndef TERNI_SCATTER_H
#define TERNI_SCATTER_H

#include "internal.h"

/* index is there and i64 or i32. */
bool terni_index_given(const char *op, tern_tensor *index);
/* The 1-dim index as gather takes it for a tensor of this shape: repeated along all dimensions but dim. */
tern_tensor *terni_index_wide(tern_tensor *index, tern_shape shape, int dim);
/* index has x's ndim and is no larger in the dimensions other than dim. */
bool terni_gather_fits(const char *op, const tern_tensor *x, const tern_tensor *index, int dim);
/* What ops with x, index and src ask of them, src standing for rows of x, or for elements that gather would read; dim
 * becomes positive. */
bool terni_rows_fit(const char *op, tern_tensor *x, int *dim, tern_tensor *index, tern_tensor *src);
bool terni_places_fit(const char *op, tern_tensor *x, int *dim, tern_tensor *index, tern_tensor *src);
/* Runs a kernel that writes src at index into t, in place. Returns t; NULL after an error. */
tern_tensor *terni_write_into(tern_tensor *t, int kernel, tern_tensor *index, tern_tensor *src, const void *opts);
/* tern_gather without its checks, for any op. */
tern_tensor *terni_gather(const char *op, tern_tensor *x, int dim, tern_tensor *index);
/* tern_scatter_add without its checks, for any op. */
tern_tensor *terni_scatter_add(const char *op, tern_tensor *x, int dim, tern_tensor *index, tern_tensor *src);
/* A constant at the places of a wide index; recorded. */
tern_tensor *terni_scatter_fill(const char *op, tern_tensor *x, int dim, tern_tensor *index, const terni_fill_opts *o);
/* tern_index_copy for any op; unique says that no index comes twice. */
tern_tensor *terni_index_copy(const char *op, tern_tensor *x, int dim, tern_tensor *index, tern_tensor *src,
                              bool unique);

#endif
