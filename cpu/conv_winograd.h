/* What Winograd's convolutions share (conv_winograd.c says how they work): the transforms of one tile, all lanes alike,
 * strips of an image as [row][column][lane], and rows of tiles that run over images. */
#ifndef TERNI_CPU_CONV_WINOGRAD_H
#define TERNI_CPU_CONV_WINOGRAD_H

#include "conv.h"
#include "turn.h"

enum { TERNI_EDGE = 6, TERNI_POINTS = TERNI_EDGE * TERNI_EDGE };
#define TERNI_INLINED  static inline __attribute__((always_inline))
#define TERNI_WHOLE(n) (((n) + TERNI_LANES_F32 - 1) / TERNI_LANES_F32 * TERNI_LANES_F32)

/* Six pixels to six points. */
TERNI_INLINED void terni_points(const terni_vf *d, int64_t step, terni_vf *to, int64_t to_step) {
    const float a = 0.70710678118654752F, b = 1.41421356237309505F;
    const terni_vf e = d[4 * step] - 2 * d[2 * step], f = a * (d[3 * step] - 2 * d[step]);
    const terni_vf g = d[4 * step] - 0.5F * d[2 * step], h = b * (d[3 * step] - 0.5F * d[step]);
    to[0] = d[0] - 2.5F * d[2 * step] + d[4 * step];
    to[to_step] = e + f;
    to[2 * to_step] = e - f;
    to[3 * to_step] = g + h;
    to[4 * to_step] = g - h;
    to[5 * to_step] = d[step] - 2.5F * d[3 * step] + d[5 * step];
}

/* A kernel's row of 2 to 5 taps to six points. */
TERNI_INLINED void terni_kernel_points(int taps, const terni_vf *g, int64_t step, terni_vf *to, int64_t to_step) {
    const float a = 0.70710678118654752F, b = 1.41421356237309505F;
    terni_vf even[2] = {g[0], g[0]}, odd[2] = {g[step], g[step]};
    if (taps > 2) even[0] += 0.5F * g[2 * step], even[1] += 2 * g[2 * step];
    if (taps > 3) odd[0] += 0.5F * g[3 * step], odd[1] += 2 * g[3 * step];
    if (taps > 4) even[0] += 0.25F * g[4 * step], even[1] += 4 * g[4 * step];
    odd[0] *= a, odd[1] *= b;
    to[0] = g[0];
    to[to_step] = (even[0] + odd[0]) * (-2.0F / 3);
    to[2 * to_step] = (even[0] - odd[0]) * (-2.0F / 3);
    to[3 * to_step] = (even[1] + odd[1]) * (1.0F / 6);
    to[4 * to_step] = (even[1] - odd[1]) * (1.0F / 6);
    to[5 * to_step] = g[(taps - 1) * step];
}

/* Six points to 2 to 5 results. */
TERNI_INLINED void terni_results(int size, const terni_vf *m, int64_t step, terni_vf *to, int64_t to_step) {
    const float a = 0.70710678118654752F, b = 1.41421356237309505F;
    const terni_vf p = m[step] + m[2 * step], q = a * (m[step] - m[2 * step]);
    const terni_vf r = m[3 * step] + m[4 * step], s = b * (m[3 * step] - m[4 * step]);
    to[0] = m[0] + p + r;
    to[to_step] = q + s;
    if (size > 2) to[2 * to_step] = 0.5F * p + 2 * r;
    if (size > 3) to[3 * to_step] = 0.5F * q + 2 * s;
    if (size > 4) to[4 * to_step] = 0.25F * p + 4 * r;
    to[(size - 1) * to_step] += m[5 * step];
}

/* taps x taps vectors, rows `row` vectors apart, to points of a matrix each. */
TERNI_INLINED void terni_take_kernel(int taps, const terni_vf *g, int64_t row, float *u, int64_t u_point) {
    terni_vf half[TERNI_EDGE * 5], full[TERNI_EDGE];
    for (int i = 0; i < taps; i++) terni_kernel_points(taps, g + i, row, half + i, taps);
    for (int i = 0; i < TERNI_EDGE; i++) {
        terni_kernel_points(taps, half + i * taps, 1, full, 1);
        for (int k = 0; k < TERNI_EDGE; k++) *(terni_vf *)(u + (i * TERNI_EDGE + k) * u_point) = full[k];
    }
}

/* 6x6 vectors, whose rows are `row` floats apart, to points of a matrix each. */
static inline void terni_take_tile(const float *pixels, int64_t row, float *v, int64_t v_point) {
    terni_vf half[TERNI_POINTS], full[TERNI_EDGE];
    for (int i = 0; i < TERNI_EDGE; i++)
        terni_points((const terni_vf *)(pixels + i * row), 1, half + i * TERNI_EDGE, 1);
    for (int k = 0; k < TERNI_EDGE; k++) {
        terni_points(half + k, TERNI_EDGE, full, 1);
        for (int i = 0; i < TERNI_EDGE; i++) *(terni_vf *)(v + (i * TERNI_EDGE + k) * v_point) = full[i];
    }
}

/* Back: size x size results, each handed to `to`, whose rows are `row` floats apart, its columns a vector. */
TERNI_INLINED void terni_give_tile(int size, const float *m, int64_t m_point, terni_vf bias, float *to, int64_t row) {
    terni_vf half[TERNI_EDGE * 5], from[TERNI_EDGE], full[5];
    for (int k = 0; k < TERNI_EDGE; k++) {
        for (int i = 0; i < TERNI_EDGE; i++) from[i] = *(const terni_vf *)(m + (i * TERNI_EDGE + k) * m_point);
        terni_results(size, from, 1, half + k, TERNI_EDGE);
    }
    for (int i = 0; i < size; i++) {
        terni_results(size, half + i * TERNI_EDGE, 1, full, 1);
        for (int k = 0; k < size; k++) *(terni_vf *)(to + i * row + k * TERNI_LANES_F32) = full[k] + bias;
    }
}

/* An image's planes, and the columns of them that strips hold: [at, at + width), 0 outside of the image. */
typedef struct terni_strip {
    int64_t in[2], at, width;
} terni_strip;

/* Rows [y, y + height) as [row][column][lane]; x is the first channel's plane. Lanes past the last channel are left as
 * they are: what they hold must reach no result. */
static inline void terni_strip_take(const terni_strip *s, int64_t y, int64_t height, const float *x, int64_t channels,
                                    float *strip) {
    int64_t begin = s->at < 0 ? -s->at : 0, end = s->in[1] - s->at;
    if (end > s->width) end = s->width;
    if (begin > end) begin = end > 0 ? end : 0;
    if (end < begin) end = begin;
    for (; height > 0; height--, y++, strip += s->width * TERNI_LANES_F32) {
        const bool inside = y >= 0 && y < s->in[0];
        memset(strip, 0, (size_t)((inside ? begin : s->width) * TERNI_LANES_F32) * sizeof(float));
        if (!inside) continue;
        terni_turn_f32(x + y * s->in[1] + s->at + begin, s->in[0] * s->in[1], channels, end - begin,
                       strip + begin * TERNI_LANES_F32, TERNI_LANES_F32);
        memset(strip + end * TERNI_LANES_F32, 0, (size_t)((s->width - end) * TERNI_LANES_F32) * sizeof(float));
    }
}

/* Rows [first, first + rows) of the tiles of one image; `before` tiles of the block come before them. */
typedef struct terni_run {
    int64_t image, first, rows, before;
} terni_run;

/* The next run of the rows [*row, last) of all images, which have `each` rows of `across` tiles; false at the end. */
static inline bool terni_next_run(int64_t each, int64_t across, int64_t *row, int64_t last, terni_run *r) {
    if (*row >= last) return false;
    r->before += r->rows * across;
    r->image = *row / each;
    r->first = *row % each;
    r->rows = each - r->first < last - *row ? each - r->first : last - *row;
    *row += r->rows;
    return true;
}

/* Tiles of 6x6 pixels, `size` apart, over images: the first one's corner is pixel (top, strip.at). */
typedef struct terni_tiles {
    terni_strip strip;
    int64_t top, size, down, across, channels;
} terni_tiles;

/* Matrices of points whose rows are tiles (or channels) and whose columns are channels: columns stand in panels of
 * `width`, each [row][width], so that what a product passes over lies together. */
typedef struct terni_panels {
    int64_t width, next, point; /* next: from one panel to the next; point: from one matrix to the next */
} terni_panels;
static inline terni_panels terni_panels_of(int64_t rows, int64_t columns, int64_t widest) {
    const int64_t width = columns < widest ? TERNI_WHOLE(columns) : widest;
    const int64_t all = (columns + width - 1) / width * width * rows;
    /* an odd number of vectors keeps the points out of each other's sets of the cache */
    return (terni_panels){width, rows * width, (all / TERNI_LANES_F32 | 1) * TERNI_LANES_F32};
}
static inline int64_t terni_panels_at(const terni_panels *p, int64_t row, int64_t column) {
    return column / p->width * p->next + row * p->width + column % p->width;
}

/* A run's tiles of one image to points: v [tile][channel]. x is the first channel's plane; strip has room for the run.
 */
static inline void terni_take_tiles(const terni_tiles *t, const terni_run *r, const float *x, float *strip,
                                    const terni_panels *p, float *v) {
    const int64_t row = t->strip.width * TERNI_LANES_F32, size = t->size, left = t->channels;
    for (int64_t c = 0; c < left; c += TERNI_LANES_F32) {
        terni_strip_take(&t->strip, t->top + r->first * size, r->rows * size + TERNI_EDGE - size,
                         x + c * t->strip.in[0] * t->strip.in[1],
                         left - c < TERNI_LANES_F32 ? left - c : TERNI_LANES_F32, strip);
        for (int64_t i = 0; i < r->rows; i++)
            for (int64_t k = 0; k < t->across; k++)
                terni_take_tile(strip + i * size * row + k * size * TERNI_LANES_F32, row,
                                v + terni_panels_at(p, r->before + i * t->across + k, c), p->point);
    }
}

/* Whether kernel, strides and dilation are what tiles can do, and save enough: results are `rows` by `columns` pixels
 * in squares of TERNI_EDGE + 1 - kernel. */
bool terni_conv_winograd_fits(const terni_conv_sizes *z, int64_t rows, int64_t columns);

#endif
