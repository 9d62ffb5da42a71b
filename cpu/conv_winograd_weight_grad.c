/* The gradient of 3x3 kernels by Winograd's minimal filtering: tiles of 6x6 pixels of the image and tiles of their 4x4
 * results' gradient, taken over as if it were the kernel, give the 3x3 gradient at 36 points; there the sum over tiles
 * is 36 matrix products. (For 5x5 kernels that works too, but with errors beyond those of plain sums by far.) Tiles go
 * by in blocks, whose size depends on the call's sizes alone; each block is taken over by all threads, and then each
 * thread adds to its own part of the products, so that nothing has to be merged, and threads change no bit. */
#include "conv_winograd.h"
#include "internal.h"
#include "product.h"

enum { NUMBERS = 2 << 20, WIDTH = TERNI_PANEL * TERNI_LANES_F32 }; /* in a block's tiles, about; of panels */

enum { TAPS = 3, SIZE = TERNI_EDGE + 1 - TAPS }; /* of the kernel and of a tile of results, along an edge */

typedef struct job {
    int64_t groups, c, o;      /* channels in a group */
    int64_t rows, first, last; /* rows of tiles; those of the block */
    terni_tiles tiles;         /* of the image */
    terni_strip source;        /* gy's */
    const float *x, *gy;
    float *gw, *v, *d, *s, *scratch;        /* v [g][point][tile][c], d [g][point][tile][o], s [g][point][c][o] */
    terni_panels points, kernels, gradient; /* of v, d and s */
    int64_t blocks, slots, strip;
} job;

static void take_results(const job *j, int64_t g, const terni_run *r, float *strip, float *d) {
    const int64_t plane = j->source.in[0] * j->source.in[1], row = j->source.width * TERNI_LANES_F32;
    const float *gy = j->gy + (r->image * j->groups + g) * j->o * plane;
    for (int64_t o = 0; o < j->o; o += TERNI_LANES_F32) {
        const int64_t channels = j->o - o < TERNI_LANES_F32 ? j->o - o : TERNI_LANES_F32;
        terni_strip_take(&j->source, r->first * SIZE, r->rows * SIZE, gy + o * plane, channels, strip);
        for (int64_t t = 0; t < r->rows * j->tiles.across; t++) {
            const float *from = strip + t / j->tiles.across * SIZE * row + t % j->tiles.across * SIZE * TERNI_LANES_F32;
            float *to = d + terni_panels_at(&j->kernels, r->before + t, o);
            terni_take_kernel(SIZE, (const terni_vf *)from, row / TERNI_LANES_F32, to, j->kernels.point);
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
            float *v = j->v + g * TERNI_POINTS * j->points.point, *d = j->d + g * TERNI_POINTS * j->kernels.point;
            float *strip = j->scratch + slot * j->strip;
            int64_t row = j->first + slot * rows / j->slots;
            terni_run r = {.before = (row - j->first) * j->tiles.across};
            while (terni_next_run(j->tiles.down, j->tiles.across, &row, to, &r)) {
                terni_take_tiles(&j->tiles, &r, j->x + (r.image * j->groups + g) * j->c * plane, strip, &j->points, v);
                take_results(j, g, &r, strip, d);
            }
        }
}

/* Items are (group, point, panel of the image's channels). */
static void add(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const int64_t panels = (j->c + j->points.width - 1) / j->points.width,
                  tiles = (j->last - j->first) * j->tiles.across;
    for (int64_t item = begin; item < end; item++) {
        const int64_t matrix = item / panels, c = item % panels * j->points.width, left = j->c - c;
        for (int64_t o = 0; o < j->o; o += j->kernels.width) {
            const int64_t channels = TERNI_WHOLE(j->o) - o;
            terni_product_run(
                (terni_product){.a = j->v + matrix * j->points.point + terni_panels_at(&j->points, 0, c),
                                .b = j->d + matrix * j->kernels.point + terni_panels_at(&j->kernels, 0, o),
                                .c = j->s + matrix * j->gradient.point + terni_panels_at(&j->gradient, c, o),
                                .row = 1,
                                .column = j->points.width,
                                .ldb = j->kernels.width,
                                .ldc = j->gradient.width,
                                .k = tiles,
                                .add = j->first > 0},
                left < j->points.width ? left : j->points.width,
                (channels < j->kernels.width ? channels : j->kernels.width) / TERNI_LANES_F32);
        }
    }
}

/* Items are (group, vector of the result's channels). */
static void give(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const int64_t vectors = TERNI_WHOLE(j->o) / TERNI_LANES_F32, window = TAPS * TAPS;
    for (int64_t item = begin; item < end; item++) {
        const int64_t g = item / vectors, o = item % vectors * TERNI_LANES_F32,
                      lanes = j->o - o < TERNI_LANES_F32 ? j->o - o : TERNI_LANES_F32;
        for (int64_t c = 0; c < j->c; c++) {
            float tap[TAPS * TAPS * TERNI_LANES_F32] __attribute__((aligned(64)));
            const float *s = j->s + g * TERNI_POINTS * j->gradient.point + terni_panels_at(&j->gradient, c, o);
            float *w = j->gw + ((g * j->o + o) * j->c + c) * window;
            terni_give_tile(TAPS, s, j->gradient.point, (terni_vf){0}, tap, TAPS * TERNI_LANES_F32);
            for (int64_t l = 0; l < lanes; l++, w += j->c * window)
                for (int64_t k = 0; k < window; k++) w[k] = tap[k * TERNI_LANES_F32 + l];
        }
    }
}

static job job_of(const terni_conv_sizes *z) {
    job j = {.groups = z->groups, .c = z->c, .o = z->o};
    j.tiles = (terni_tiles){.top = -z->opts->pad[1],
                            .size = SIZE,
                            .down = (z->out[1] + SIZE - 1) / SIZE,
                            .across = (z->out[2] + SIZE - 1) / SIZE,
                            .channels = j.c};
    const int64_t width = j.tiles.across * SIZE;
    j.tiles.strip = (terni_strip){{z->in[1], z->in[2]}, -z->opts->pad[2], width + TAPS - 1};
    j.source = (terni_strip){{z->out[1], z->out[2]}, 0, width};
    j.rows = z->n * j.tiles.down;
    int64_t block = NUMBERS / (TERNI_POINTS * j.groups * (j.c + j.o) * j.tiles.across);
    block = block < 1 ? 1 : block > j.rows ? j.rows : block;
    j.blocks = (j.rows + block - 1) / block;
    j.points = terni_panels_of(block * j.tiles.across, j.c, WIDTH);
    j.kernels = terni_panels_of(block * j.tiles.across, j.o, WIDTH);
    j.gradient = terni_panels_of(j.c, j.o, WIDTH);
    j.slots = terni_cpu_threads() < block ? terni_cpu_threads() : block;
    j.strip = ((block + j.slots - 1) / j.slots * SIZE + TERNI_EDGE - SIZE) * j.tiles.strip.width * TERNI_LANES_F32;
    return j;
}

static bool run(const terni_call *c, const terni_conv_sizes *z) {
    job j = job_of(z);
    j.gy = c->in[0]->data;
    j.x = c->in[1]->data;
    j.gw = c->out[0]->data;
    terni_conv_arena a = {0};
    for (int pass = 0; pass < 2; pass++) {
        j.v = terni_conv_take(&a, j.groups * TERNI_POINTS * j.points.point, sizeof(float));
        j.d = terni_conv_take(&a, j.groups * TERNI_POINTS * j.kernels.point, sizeof(float));
        j.s = terni_conv_take(&a, j.groups * TERNI_POINTS * j.gradient.point, sizeof(float));
        j.scratch = terni_conv_take(&a, j.slots * j.strip, sizeof(float));
        if (pass == 0 && !terni_conv_arena_open(&a)) return false;
    }
    const int64_t panels = (j.c + j.points.width - 1) / j.points.width;
    for (int64_t i = 0; i < j.blocks; i++) {
        j.first = i * j.rows / j.blocks;
        j.last = (i + 1) * j.rows / j.blocks;
        terni_cpu_parallel(j.slots, 1, take, &j);
        terni_cpu_parallel(j.groups * TERNI_POINTS * panels, 1, add, &j);
    }
    terni_cpu_parallel(j.groups * TERNI_WHOLE(j.o) / TERNI_LANES_F32, 1, give, &j);
    return terni_conv_arena_close(&a);
}

static bool takes(const terni_conv_sizes *z) {
    return z->kernel[2] == TAPS && terni_conv_winograd_fits(z, z->out[1], z->out[2]);
}
const terni_conv_way terni_conv_winograd_weight_grad = {takes, run};
