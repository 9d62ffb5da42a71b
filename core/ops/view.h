/* What ops that return views share. Private. */
#ifndef TERNI_VIEW_H
#define TERNI_VIEW_H

#include "trace_fields.h"

typedef struct terni_view_opts {
    tern_shape shape; /* of the view */
    int64_t strides[TERN_MAX_DIMS];
    int64_t offset;
    int dims[TERN_MAX_DIMS]; /* permute */
    int dim;                 /* slice */
    int64_t start, step;
} terni_view_opts;

/* The forward of every view. */
bool terni_alias_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out);
/* Makes the view that o describes; recorded as f when x's gradient is wanted. */
tern_tensor *terni_view_apply(const tern_function *f, tern_tensor *x, const terni_view_opts *o);
/* Indices start, start + step, ...: count of them, all inside dimension d of x. */
tern_tensor *terni_slice(tern_tensor *x, int d, int64_t start, int64_t count, int64_t step);

#endif
