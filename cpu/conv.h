/* Convolution without im2col: with its image padded and laid out in rows of one pitch, the pixels that a kernel tap
 * meets are the image shifted by a constant, so a convolution is a matrix product whose right-hand rows are overlapping
 * runs of the padded image. A stride splits the image into phases, each of which is such a run again. The columns
 * between the width of the output and the pitch are computed and dropped. A volume is a pile of images, whose taps
 * reach into the images above and below; its results are computed image by image.
 *
 * Arrays of 3 are {depth, height, width}. */
#ifndef TERNI_CPU_CONV_H
#define TERNI_CPU_CONV_H

#include "backend.h"
#include "simd.h"

/* What one product writes: pixels (z, y, x), z < depth, y < height, x < width, of the result stand at first + z slab +
 * y row + x column in their plane, and their sums over taps read source[offset[k] + z sheet + y pitch + x]. */
typedef struct terni_conv_pass {
    int64_t taps;   /* channels included */
    int64_t planes; /* of the source, that the taps of one sheet read */
    int64_t *offset;
    void *weights; /* [block of rows][tap][row]; rows are the result's channels */
    int64_t depth, height, width, sheet, pitch;
    int64_t first, slab, row, column;
} terni_conv_pass;

/* A padded copy of `channels` volumes of `from` pixels: `to` pixels each, pixel i of an axis being pixel at + i step of
 * the volume, 0 outside of it. */
typedef struct terni_conv_pad {
    int64_t channels, from[3], to[3], at[3], step[3];
} terni_conv_pad;

/* Sizes of a call. */
typedef struct terni_conv_sizes {
    int64_t n, groups, c, o; /* c and o in one group */
    int64_t in[3], out[3], kernel[3];
    int64_t image, result, window; /* the products of these */
    const terni_conv_opts *opts;
} terni_conv_sizes;
/* From the views of x [N,C,D,H,W], w [O,C/g,kd,kh,kw] and y [N,O,D',H',W']. */
terni_conv_sizes terni_conv_sizes_of(const terni_view *x, const terni_view *w, const terni_view *y,
                                     const terni_conv_opts *opts);

/* A way to do one of the three (forward, the image's gradient, the weights' gradient) in f32, for what it takes. Their
 * lists stand in conv.c, conv_input_grad.c and conv_weight_grad.c: the first that takes a call does it, and the last
 * takes everything. Nothing that a way decides may depend on the number of threads, unless it leaves every result bit
 * as it is. */
typedef struct terni_conv_way {
    bool (*takes)(const terni_conv_sizes *z);
    bool (*run)(const terni_call *c, const terni_conv_sizes *z);
} terni_conv_way;
extern const terni_conv_way terni_conv_winograd, terni_conv_winograd_back, terni_conv_winograd_weight_grad;
extern const terni_conv_way terni_conv_matrix, terni_conv_matrix_back, terni_conv_matrix_weight_grad;
extern const terni_conv_way terni_conv_depthwise, terni_conv_depthwise_back, terni_conv_depthwise_weight_grad;
/* Defines terni_cpu_NAME from the list `ways`, and from NAME_f64; x, w and y are where the call has those views. */
#define TERNI_CONV_KERNEL(name, x, w, y)                                              \
    bool terni_cpu_##name(const terni_call *c) {                                      \
        if (c->in[0]->dtype == TERN_F64) return name##_f64(c);                        \
        if (c->in[0]->dtype != TERN_F32) return terni_cpu_widen(c, terni_cpu_##name); \
        const terni_conv_sizes z = terni_conv_sizes_of(x, w, y, c->opts);             \
        const terni_conv_way *const *way = ways;                                      \
        while (!(*way)->takes(&z)) way++;                                             \
        return (*way)->run(c, &z);                                                    \
    }

/* The phases of a strided image that taps meet along one axis: tap t meets phase[of[t]], shifted by shift[t]. */
typedef struct terni_conv_axis {
    int64_t phases, reach; /* reach: the largest shift */
    int64_t *of, *shift, *phase;
} terni_conv_axis;
/* The three axes of a call; storage holds terni_conv_axes_room numbers. */
typedef struct terni_conv_axes {
    terni_conv_axis axis[3];
    int64_t phases; /* of all axes together */
} terni_conv_axes;
int64_t terni_conv_axes_room(const terni_conv_sizes *z);
terni_conv_axes terni_conv_axes_of(const terni_conv_sizes *z, int64_t *storage);
/* Phase number `phase` as one of each axis. */
static inline void terni_conv_phase(const terni_conv_axes *a, int64_t phase, int64_t of[3]) {
    of[2] = phase % a->axis[2].phases;
    of[1] = phase / a->axis[2].phases % a->axis[1].phases;
    of[0] = phase / a->axis[2].phases / a->axis[1].phases;
}

/* The pixels of one axis that meet one phase of taps: pixel = (i stride + phase - pad) for begin <= i < end. */
typedef struct terni_conv_range {
    int64_t begin, end, pixel; /* pixel: the first */
} terni_conv_range;
terni_conv_range terni_conv_range_of(int64_t size, int64_t pad, int64_t phase, int64_t stride);

/* What the convolution reads of a group of the image: the first phase, and the offsets of the taps [c][kd][kh][kw] when
 * all phases follow each other. */
terni_conv_pad terni_conv_pad_of(const terni_conv_sizes *z, const terni_conv_axes *axes);
void terni_conv_offsets(const terni_conv_sizes *z, const terni_conv_pad *pad, const terni_conv_axes *axes,
                        int64_t *offset);

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
