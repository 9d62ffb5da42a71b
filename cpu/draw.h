/* Draws in chunks: words of the stream in order, and elements of strided views in row-major order. */
#ifndef TERNI_DRAW_H
#define TERNI_DRAW_H

#include "backend.h"

enum { TERNI_DRAW_CHUNK = 1024 }; /* elements; a whole number of blocks */

/* Words [first, first + n) of the stream that starts at a block position; first is a multiple of 4, n of any size. out
 * has room for n rounded up to a multiple of 4. */
void terni_cpu_words(uint64_t seed, uint64_t position, int64_t first, int64_t n, uint32_t *out);

typedef union terni_draw_buffer {
    double f64[TERNI_DRAW_CHUNK]; /* of an f64 view */
    float f32[TERNI_DRAW_CHUNK];  /* of the others */
} terni_draw_buffer;
/* Elements [first, first + n), n <= TERNI_DRAW_CHUNK, of a float view to or from a buffer. */
void terni_cpu_get(const terni_view *v, int64_t first, int64_t n, terni_draw_buffer *b);
void terni_cpu_put(const terni_view *v, int64_t first, int64_t n, const terni_draw_buffer *b);

#endif
