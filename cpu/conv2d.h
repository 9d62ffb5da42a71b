/* Convolution without im2col: with its image padded and laid out in rows of one pitch, the pixels that a kernel tap
 * meets are the image shifted by a constant, so a convolution is a matrix product whose right-hand rows are overlapping
 * runs of the padded image. A stride splits the image into phases, each of which is such a run again. The columns
 * between the width of the output and the pitch are computed and dropped. */
#ifndef TERNI_CONV2D_H
#define TERNI_CONV2D_H

#include "backend.h"
#include "simd.h"

/* What one product writes: pixels (y, x), y < height, x < width, of the result stand at first + y row + x column in
 * their plane, and their sums over taps read source[offset[k] + y pitch + x]. */
typedef struct terni_conv_pass {
    int64_t taps; /* channels included */
    int64_t *offset;
    void *weights; /* [block of rows][tap][row]; rows are the result's channels */
    int64_t height, width, pitch;
    int64_t first, row, column;
} terni_conv_pass;

/* A padded copy of `channels` planes: rows x cols pixels each, pixel (i, j) being (top + i down, left + j right) of the
 * h x w image, 0 outside of it. */
typedef struct terni_conv_pad {
    int64_t channels, h, w, rows, cols, top, left, down, right;
} terni_conv_pad;

/* Sizes of a call. */
typedef struct terni_conv_sizes {
    int64_t n, groups, c, o; /* c and o in one group */
    int64_t h, w, oh, ow, kh, kw;
    const terni_conv2d_opts *opts;
} terni_conv_sizes;
/* From the views of x [N,C,H,W], w [O,C/g,kh,kw] and y [N,O,H',W']. */
terni_conv_sizes terni_conv_sizes_of(const terni_view *x, const terni_view *w, const terni_view *y,
                                     const terni_conv2d_opts *opts);

/* The phases of a strided image that taps meet along one axis: tap t meets phase[of[t]], shifted by shift[t]. */
typedef struct terni_conv_axis {
    int64_t phases, reach; /* reach: the largest shift */
    int64_t *of, *shift, *phase;
} terni_conv_axis;
/* 3 x taps numbers in storage. */
terni_conv_axis terni_conv_axis_of(int64_t taps, int64_t dilation, int64_t stride, int64_t *storage);

/* The pixels of one axis that meet one phase of taps: pixel = (i stride + phase - pad) for begin <= i < end. */
typedef struct terni_conv_range {
    int64_t begin, end, pixel; /* pixel: the first */
} terni_conv_range;
terni_conv_range terni_conv_range_of(int64_t size, int64_t pad, int64_t phase, int64_t stride);

/* What the convolution reads of a group of the image: the phase (0, 0), and the offsets of the taps [c][kh][kw] when
 * all phases follow each other. */
terni_conv_pad terni_conv_pad_of(const terni_conv_sizes *z, const terni_conv_axis *down, const terni_conv_axis *right);
void terni_conv_offsets(const terni_conv_sizes *z, const terni_conv_pad *pad, const terni_conv_axis *down,
                        const terni_conv_axis *right, int64_t *offset);

/* How to divide a call: chunks of an image's rows (channels of the result, in blocks), slots for threads. */
void terni_conv_split(const terni_conv_sizes *z, int64_t rows, int64_t block, int64_t *slots, int64_t *chunks);

/* Scratch memory in one piece: take everything once to count, open, then take it again in the same order. take gives
 * NULL while counting. close is false if open failed. */
typedef struct terni_conv_arena {
    char *base;
    size_t used, bytes;
} terni_conv_arena;
void *terni_conv_take(terni_conv_arena *a, int64_t count, size_t size);
bool terni_conv_arena_open(terni_conv_arena *a);
bool terni_conv_arena_close(terni_conv_arena *a);

#endif
