/* Memory layouts that the sweep puts inputs in, and buffers with canaries. */
#ifndef TERN_TESTS_LAYOUT_H
#define TERN_TESTS_LAYOUT_H

#include "sweep.h"

typedef enum layout_kind {
    LAYOUT_CONTIGUOUS = 0,
    LAYOUT_REVERSED,      /* all dimensions the other way round in memory */
    LAYOUT_CHANNELS_LAST, /* dimension 1 last in memory */
    LAYOUT_STEPPED,       /* every second element of a larger array, and not from its start */
    LAYOUT_EXPANDED,      /* the first dimension above 1 has stride 0 */
    LAYOUT_EXPANDED_LAST, /* the last one has */
    LAYOUT_KINDS
} layout_kind;

/* A view of shape `shape` into a base array. */
typedef struct layout {
    layout_kind kind;
    tern_shape shape, base;
    int64_t strides[TERN_MAX_DIMS], offset; /* of the view, in elements of the base */
} layout;

/* False if the layout would be the contiguous one for this shape. */
bool layout_of(layout_kind kind, tern_shape shape, layout *out);
/* The view, made with the library's view ops (recorded), from a tensor of the base's shape. */
tern_tensor *layout_apply(const layout *l, tern_tensor *base);
const char *layout_name(layout_kind kind);

/* Host memory for one input: canaries, the base array, canaries. */
typedef struct buffer {
    char *raw, *data, *snapshot;
    size_t bytes, raw_bytes;
} buffer;

/* Fills the view's elements from `values` (row-major in the view; expanded ones take the first that falls on them) and
 * all others with canaries, then writes back into `values` what the view now reads. Wraps the base as a tensor. */
tern_tensor *buffer_open(buffer *b, const layout *l, tern_dtype dtype, double *values);
/* Canaries and content are as they were. */
bool buffer_intact(const buffer *b);
void buffer_close(buffer *b);

#endif
