/* The gradient of 3x3 and 5x5 kernels by Winograd's minimal filtering: tiles of 6x6 pixels of the image and tiles of
 * their 4x4 (2x2) results' gradient, taken over as if it were the kernel, give the 3x3 (5x5) gradient at 36 points;
 * there the sum over tiles is 36 matrix products. Tiles go by in blocks, whose size depends on the call's sizes alone;
 * each block is taken over by all threads, and then each thread adds to its own part of the products, so that nothing
 * has to be merged, and threads change no bit. */
#include "conv_winograd.h"
#include "internal.h"
#include "product.h"

enum { NUMBERS = 2 << 20, PART = 48 }; /* in a block's tiles, about; channels of the image in an item of the products */

typedef struct job {
    int64_t size, taps, groups, c, o, cw, ow; /* channels in a group, as whole vectors */
    int64_t rows, first, last, parts;         /* rows of tiles; those of the block */
    terni_tiles tiles;                        /* of the image */
    terni_strip source;                       /* gy's */
    const float *x, *gy;
    float *gw, *v, *d, *s, *scratch; /* v [g][point][tile][cw], d [g][point][tile][ow], s [g][point][c][ow] */
    int64_t items, slots, v_point, d_point, s_point, strip;
} job;

static void take_results(const job *j, int64_t g, const terni_run *r, float *strip, float *d) {
    const int64_t plane = j->source.in[0] * j->source.in[1], row = j->source.width * TERNI_LANES_F32, size = j->size;
    const float *gy = j->gy + (r->image * j->groups + g) * j->o * plane;
    for (int64_t o = 0; o < j->o; o += TERNI_LANES_F32) {
        const int64_t channels = j->o - o < TERNI_LANES_F32 ? j->o - o : TERNI_LANES_F32;
        terni_strip_take(&j->source, r->first * size, r->rows * size, gy + o * plane, channels, strip);
        for (int64_t t = 0; t < r->rows * j->tiles.across; t++) {
            const float *from = strip + t / j->tiles.across * size * row + t % j->tiles.across * size * TERNI_LANES_F32;
            float *to = d + (r->before + t) * j->ow + o;
            if (size == 4)
                terni_take_kernel(4, (const terni_vf *)from, row / TERNI_LANES_F32, to, j->d_point);
            else
                terni_take_kernel(2, (const terni_vf *)from, row / TERNI_LANES_F32, to, j->d_point);
        }
    }
}

/* Slots divide the block's items, which are (group, row of tiles). */
static void take(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const int64_t rows = j->last - j->first, plane = j->tiles.strip.in[0] * j->tiles.strip.in[1];
    for (int64_t slot = begin; slot < end; slot++)
        for (int64_t g = 0; g < j->groups; g++) {
            const int64_t to = j->first + (slot + 1) * rows / j->slots;
            float *v = j->v + g * TERNI_POINTS * j->v_point, *d = j->d + g * TERNI_POINTS * j->d_point;
            float *strip = j->scratch + slot * j->strip;
            int64_t row = j->first + slot * rows / j->slots;
            terni_run r = {.before = (row - j->first) * j->tiles.across};
            while (terni_next_run(j->tiles.down, j->tiles.across, &row, to, &r)) {
                terni_take_tiles(&j->tiles, &r, j->x + (r.image * j->groups + g) * j->c * plane, strip, v, j->cw,
                                 j->v_point);
                take_results(j, g, &r, strip, d);
            }
        }
}

/* Items are (group, point, part of the image's channels). */
static void add(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    for (int64_t item = begin; item < end; item++) {
        const int64_t matrix = item / j->parts, part = item % j->parts;
        const int64_t c = part * j->c / j->parts, rows = (part + 1) * j->c / j->parts - c;
        terni_product_run((terni_product){.a = j->v + matrix * j->v_point + c,
                                          .b = j->d + matrix * j->d_point,
                                          .c = j->s + matrix * j->s_point + c * j->ow,
                                          .row = 1,
                                          .column = j->cw,
                                          .ldb = j->ow,
                                          .ldc = j->ow,
                                          .k = (j->last - j->first) * j->tiles.across,
                                          .add = j->first > 0},
                          rows, j->ow / TERNI_LANES_F32);
    }
}

/* Items are (group, vector of the result's channels). */
static void give(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const int64_t vectors = j->ow / TERNI_LANES_F32, window = j->taps * j->taps;
    for (int64_t item = begin; item < end; item++) {
        const int64_t g = item / vectors, o = item % vectors * TERNI_LANES_F32,
                      lanes = j->o - o < TERNI_LANES_F32 ? j->o - o : TERNI_LANES_F32;
        for (int64_t c = 0; c < j->c; c++) {
            float tap[25 * TERNI_LANES_F32] __attribute__((aligned(64)));
            const float *s = j->s + g * TERNI_POINTS * j->s_point + c * j->ow + o;
            float *w = j->gw + ((g * j->o + o) * j->c + c) * window;
            if (j->taps == 3)
                terni_give_tile(3, s, j->s_point, (terni_vf){0}, tap, 3 * TERNI_LANES_F32);
            else
                terni_give_tile(5, s, j->s_point, (terni_vf){0}, tap, 5 * TERNI_LANES_F32);
            for (int64_t l = 0; l < lanes; l++, w += j->c * window)
                for (int64_t k = 0; k < window; k++) w[k] = tap[k * TERNI_LANES_F32 + l];
        }
    }
}

static job job_of(const terni_conv_sizes *z) {
    job j = {.taps = z->kernel[2], .size = TERNI_EDGE + 1 - z->kernel[2], .groups = z->groups, .c = z->c, .o = z->o};
    j.cw = TERNI_WHOLE(j.c);
    j.ow = TERNI_WHOLE(j.o);
    j.tiles = (terni_tiles){.top = -z->opts->pad[1],
                            .size = j.size,
                            .down = (z->out[1] + j.size - 1) / j.size,
                            .across = (z->out[2] + j.size - 1) / j.size,
                            .channels = j.c};
    const int64_t width = j.tiles.across * j.size;
    j.tiles.strip = (terni_strip){{z->in[1], z->in[2]}, -z->opts->pad[2], width + j.taps - 1};
    j.source = (terni_strip){{z->out[1], z->out[2]}, 0, width};
    j.rows = z->n * j.tiles.down;
    j.parts = (j.c + PART - 1) / PART;
    int64_t block = NUMBERS / (TERNI_POINTS * j.groups * (j.cw + j.ow) * j.tiles.across);
    block = block < 1 ? 1 : block > j.rows ? j.rows : block;
    j.items = (j.rows + block - 1) / block;
    j.v_point = terni_apart(block * j.tiles.across * j.cw);
    j.d_point = terni_apart(block * j.tiles.across * j.ow);
    j.s_point = terni_apart(j.c * j.ow);
    j.slots = terni_cpu_threads() < block ? terni_cpu_threads() : block;
    j.strip = ((block + j.slots - 1) / j.slots * j.size + TERNI_EDGE - j.size) * j.tiles.strip.width * TERNI_LANES_F32;
    return j;
}

static bool run(const terni_call *c, const terni_conv_sizes *z) {
    job j = job_of(z);
    j.gy = c->in[0]->data;
    j.x = c->in[1]->data;
    j.gw = c->out[0]->data;
    terni_conv_arena a = {0};
    for (int pass = 0; pass < 2; pass++) {
        j.v = terni_conv_take(&a, j.groups * TERNI_POINTS * j.v_point, sizeof(float));
        j.d = terni_conv_take(&a, j.groups * TERNI_POINTS * j.d_point, sizeof(float));
        j.s = terni_conv_take(&a, j.groups * TERNI_POINTS * j.s_point, sizeof(float));
        j.scratch = terni_conv_take(&a, j.slots * j.strip, sizeof(float));
        if (pass == 0 && !terni_conv_arena_open(&a)) return false;
    }
    for (int64_t i = 0; i < j.items; i++) {
        j.first = i * j.rows / j.items;
        j.last = (i + 1) * j.rows / j.items;
        terni_cpu_parallel(j.slots, 1, take, &j);
        terni_cpu_parallel(j.groups * TERNI_POINTS * j.parts, 1, add, &j);
    }
    terni_cpu_parallel(j.groups * j.ow / TERNI_LANES_F32, 1, give, &j);
    return terni_conv_arena_close(&a);
}

static bool takes(const terni_conv_sizes *z) { return terni_conv_winograd_fits(z, z->out[1], z->out[2]); }
const terni_conv_way terni_conv_winograd_weight_grad = {takes, run};
