/* Convolution with 3x3 and 5x5 kernels, forward and the gradient of the image, by Winograd's minimal filtering (Lavin
 * and Gray, arXiv 1509.09308): a tile of 6x6 pixels and a kernel are each taken to 36 numbers, in which the convolution
 * is a product, number by number, summed over channels by 36 matrix products; and back to 4x4 results (2x2 with a 5x5
 * kernel) for 36 multiplications instead of 144 (100).
 *
 * The interpolation points are 0, +-sqrt(1/2), +-sqrt(2) and infinity. With the usual 0, +-1, +-2 the error's root mean
 * square is twice as large, its worst five times (64 channels); with these it is less than twice that of plain sums.
 * f64 is left to the plain kernels. As with everything that adds before it multiplies, an infinity or a NaN spoils all
 * results of its tiles, not only those whose windows see it.
 *
 * Vectors hold channels: rows of the image are turned into [pixel][channels], so that tiles need not fill vectors.
 * Tiles go by in blocks, which may come from several images. If the kernels' points are few a thread does a block by
 * itself, in its own cache; if they are many all threads share a large block, so that kernels are read once for many
 * tiles. */
#include "conv_winograd.h"
#include "internal.h"
#include "product.h"

enum { DEPTH = 256 };                    /* channels that are summed before they are added up */
enum { LEAST = 12, FEWEST = 32 };        /* channels and tiles below which the plain kernels are ahead */
enum { BLOCK = 64 };                     /* tiles in a block, about */
enum { MANY = 80000, SHARED = 4 << 20 }; /* kernels that are many; numbers in a shared block */

typedef struct job {
    int64_t size, taps, groups; /* size, taps: of a tile's results and of the kernel, along an edge */
    int64_t cs, cd;             /* channels in a group of the source and of the result */
    int64_t out[2], rows;       /* rows: of tiles, in all images */
    terni_tiles tiles;          /* of the source */
    bool back;                  /* w is [cs][cd], turned around */
    bool shared;
    const float *x, *w, *bias;
    float *y, *u, *scratch;                /* u [group][point][cs][cd] */
    terni_panels kernels, points, results; /* u, and v [tile][cs], m [tile][cd] of a block */
    int64_t blocks, slots, strip, room;    /* blocks of a group; elements of a slot's scratch */
} job;

/* Rows [first, last) of tiles, of a group. */
typedef struct block {
    const job *j;
    int64_t g, first, last;
    float *v, *m, *strips;
} block;

/* ---- kernels -------------------------------------------------------------------------------------------------------
 */

/* Items are (group, vector of the result's channels). */
static void kernels(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const int64_t vectors = TERNI_WHOLE(j->cd) / TERNI_LANES_F32, window = j->taps * j->taps;
    for (int64_t item = begin; item < end; item++) {
        const int64_t g = item / vectors, d = item % vectors * TERNI_LANES_F32,
                      lanes = j->cd - d < TERNI_LANES_F32 ? j->cd - d : TERNI_LANES_F32;
        for (int64_t c = 0; c < j->cs; c++) {
            float tap[25 * TERNI_LANES_F32] __attribute__((aligned(64))) = {0};
            const float *w = j->w + (j->back ? ((g * j->cs + c) * j->cd + d) : ((g * j->cd + d) * j->cs + c)) * window;
            const int64_t next = j->back ? window : j->cs * window;
            for (int64_t l = 0; l < lanes; l++)
                for (int64_t k = 0; k < window; k++)
                    tap[(j->back ? window - 1 - k : k) * TERNI_LANES_F32 + l] = w[l * next + k];
            float *u = j->u + g * TERNI_POINTS * j->kernels.point + terni_panels_at(&j->kernels, c, d);
            if (j->taps == 3)
                terni_take_kernel(3, (const terni_vf *)tap, 3, u, j->kernels.point);
            else
                terni_take_kernel(5, (const terni_vf *)tap, 5, u, j->kernels.point);
        }
    }
}

/* ---- pixels --------------------------------------------------------------------------------------------------------
 */

static void give_pixels(const job *j, int64_t g, const terni_run *r, float *strip, const float *m) {
    const int64_t across = j->tiles.across, row = across * j->size * TERNI_LANES_F32, image = j->out[0] * j->out[1];
    const int64_t first = r->first * j->size, left = j->out[0] - first;
    const int64_t height = left < r->rows * j->size ? left : r->rows * j->size;
    float *y = j->y + (r->image * j->groups + g) * j->cd * image + first * j->out[1];
    for (int64_t d = 0; d < j->cd; d += TERNI_LANES_F32) {
        const int64_t channels = j->cd - d < TERNI_LANES_F32 ? j->cd - d : TERNI_LANES_F32;
        terni_vf bias = {0};
        for (int64_t l = 0; j->bias && l < channels; l++) bias[l] = j->bias[g * j->cd + d + l];
        for (int64_t t = 0; t < r->rows * across; t++) {
            const float *from = m + terni_panels_at(&j->results, r->before + t, d);
            float *to = strip + t / across * j->size * row + t % across * j->size * TERNI_LANES_F32;
            if (j->size == 4)
                terni_give_tile(4, from, j->results.point, bias, to, row);
            else
                terni_give_tile(2, from, j->results.point, bias, to, row);
        }
        for (int64_t i = 0; i < height; i++)
            terni_turn_f32(strip + i * row, TERNI_LANES_F32, j->out[1], channels, y + d * image + i * j->out[1], image);
    }
}

/* ---- blocks of tiles -----------------------------------------------------------------------------------------------
 */

/* Rows [row, last) of a block, whose tiles are taken over, or given back. */
static void take(const block *b, int64_t row, int64_t last, float *strip) {
    const job *j = b->j;
    const int64_t plane = j->tiles.strip.in[0] * j->tiles.strip.in[1], across = j->tiles.across;
    terni_run r = {.before = (row - b->first) * across};
    while (terni_next_run(j->tiles.down, across, &row, last, &r))
        terni_take_tiles(&j->tiles, &r, j->x + (r.image * j->groups + b->g) * j->cs * plane, strip, &j->points, b->v);
}

static void give(const block *b, int64_t row, int64_t last, float *strip) {
    const job *j = b->j;
    terni_run r = {.before = (row - b->first) * j->tiles.across};
    while (terni_next_run(j->tiles.down, j->tiles.across, &row, last, &r)) give_pixels(j, b->g, &r, strip, b->m);
}

/* Items are (point, panel of the result's channels). */
static int64_t products(const job *j) { return TERNI_POINTS * ((j->cd + j->kernels.width - 1) / j->kernels.width); }
static void multiply(void *arg, int64_t begin, int64_t end) {
    const block *b = arg;
    const job *j = b->j;
    const int64_t panels = products(j) / TERNI_POINTS, width = j->kernels.width;
    for (int64_t item = begin; item < end; item++) {
        const int64_t p = item / panels, d = item % panels * width, left = TERNI_WHOLE(j->cd) - d;
        const float *u = j->u + (b->g * TERNI_POINTS + p) * j->kernels.point + terni_panels_at(&j->kernels, 0, d);
        for (int64_t c = 0; c < j->cs; c += DEPTH)
            terni_product_run((terni_product){.a = b->v + p * j->points.point + c,
                                              .b = u + c * width,
                                              .c = b->m + p * j->results.point + d,
                                              .row = j->points.width,
                                              .column = 1,
                                              .ldb = width,
                                              .ldc = j->results.width,
                                              .k = j->cs - c < DEPTH ? j->cs - c : DEPTH,
                                              .add = c > 0},
                              (b->last - b->first) * j->tiles.across, (left < width ? left : width) / TERNI_LANES_F32);
    }
}

static block block_of(const job *j, int64_t item, float *scratch) {
    const int64_t g = item / j->blocks, i = item % j->blocks;
    block b = {.j = j, .g = g, .first = i * j->rows / j->blocks, .last = (i + 1) * j->rows / j->blocks, .v = scratch};
    b.m = b.v + TERNI_POINTS * j->points.point;
    b.strips = b.m + TERNI_POINTS * j->results.point;
    return b;
}

/* Slots divide the blocks. */
static void alone(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const int64_t items = j->blocks * j->groups;
    for (int64_t slot = begin; slot < end; slot++)
        for (int64_t item = slot * items / j->slots; item < (slot + 1) * items / j->slots; item++) {
            block b = block_of(j, item, j->scratch + slot * j->room);
            take(&b, b.first, b.last, b.strips);
            multiply(&b, 0, products(j));
            give(&b, b.first, b.last, b.strips);
        }
}

/* Slots divide one block. */
static void take_share(void *arg, int64_t begin, int64_t end) {
    const block *b = arg;
    const int64_t rows = b->last - b->first, slots = b->j->slots;
    for (int64_t s = begin; s < end; s++)
        take(b, b->first + s * rows / slots, b->first + (s + 1) * rows / slots, b->strips + s * b->j->strip);
}
static void give_share(void *arg, int64_t begin, int64_t end) {
    const block *b = arg;
    const int64_t rows = b->last - b->first, slots = b->j->slots;
    for (int64_t s = begin; s < end; s++)
        give(b, b->first + s * rows / slots, b->first + (s + 1) * rows / slots, b->strips + s * b->j->strip);
}
static void together(job *j) {
    for (int64_t item = 0; item < j->blocks * j->groups; item++) {
        block b = block_of(j, item, j->scratch);
        terni_cpu_parallel(j->slots, 1, take_share, &b);
        terni_cpu_parallel(products(j), 1, multiply, &b);
        terni_cpu_parallel(j->slots, 1, give_share, &b);
    }
}

/* ---- calls ---------------------------------------------------------------------------------------------------------
 */

static job job_of(const terni_conv_sizes *z, bool back) {
    job j = {.taps = z->kernel[2], .size = TERNI_EDGE + 1 - z->kernel[2], .groups = z->groups, .back = back};
    const int64_t *in = (back ? z->out : z->in) + 1, *out = (back ? z->in : z->out) + 1, *pad = z->opts->pad + 1;
    j.cs = back ? z->o : z->c;
    j.cd = back ? z->c : z->o;
    j.out[0] = out[0];
    j.out[1] = out[1];
    j.tiles = (terni_tiles){.top = back ? pad[0] + 1 - j.taps : -pad[0],
                            .size = j.size,
                            .down = (out[0] + j.size - 1) / j.size,
                            .across = (out[1] + j.size - 1) / j.size,
                            .channels = j.cs};
    j.tiles.strip = (terni_strip){.in = {in[0], in[1]},
                                  .at = back ? pad[1] + 1 - j.taps : -pad[1],
                                  .width = j.tiles.across * j.size + j.taps - 1};
    j.rows = z->n * j.tiles.down;
    return j;
}

bool terni_conv_winograd_fits(const terni_conv_sizes *z, int64_t rows, int64_t columns) {
    const terni_conv_opts *o = z->opts;
    if (z->kernel[0] != 1 || z->in[0] != 1 || z->out[0] != 1 || z->kernel[1] != z->kernel[2] ||
        (z->kernel[2] != 3 && z->kernel[2] != 5) || o->stride[1] != 1 || o->stride[2] != 1 || o->dilation[1] != 1 ||
        o->dilation[2] != 1 || z->c < LEAST || z->o < LEAST)
        return false;
    const int64_t size = TERNI_EDGE + 1 - z->kernel[2],
                  tiles = (rows + size - 1) / size * ((columns + size - 1) / size);
    return z->n * tiles >= FEWEST && 3 * TERNI_POINTS * tiles <= 2 * z->window * rows * columns;
}

/* How many blocks, and the room that they take. */
static void plan(job *j) {
    enum { WIDTH = TERNI_PANEL * TERNI_LANES_F32 };
    const int64_t threads = terni_cpu_threads(), across = j->tiles.across, tiles = j->rows * across;
    j->shared = j->cs * j->cd > MANY;
    const int64_t wanted = j->shared ? SHARED / (TERNI_POINTS * (j->cs + j->cd)) + 1 : BLOCK;
    j->blocks = (tiles + wanted - 1) / wanted;
    const int64_t even = (4 * threads + j->groups - 1) / j->groups, least = tiles / (BLOCK / 4);
    if (!j->shared && j->blocks < even && j->blocks < least) j->blocks = even < least ? even : least;
    if (j->blocks > j->rows) j->blocks = j->rows;
    const int64_t most = (j->rows + j->blocks - 1) / j->blocks, items = j->shared ? most : j->blocks * j->groups;
    j->slots = items < threads ? items : threads;
    j->kernels = terni_panels_of(j->cs, j->cd, WIDTH);
    j->points = terni_panels_of(most * across, j->cs, TERNI_WHOLE(j->cs));
    j->results = terni_panels_of(most * across, j->cd, TERNI_WHOLE(j->cd));
    const int64_t rows = j->shared ? (most + j->slots - 1) / j->slots : most;
    j->strip = (rows * j->size + j->taps - 1) * j->tiles.strip.width * TERNI_LANES_F32;
    j->room = TERNI_POINTS * (j->points.point + j->results.point) + (j->shared ? j->slots : 1) * j->strip;
}

static bool convolve(const terni_call *c, const terni_conv_sizes *z, bool back) {
    job j = job_of(z, back);
    j.x = c->in[0]->data;
    j.w = c->in[1]->data;
    j.bias = c->n_in > 2 && c->in[2] ? c->in[2]->data : NULL;
    j.y = c->out[0]->data;
    plan(&j);
    terni_conv_arena a = {0};
    for (int pass = 0; pass < 2; pass++) {
        j.u = terni_conv_take(&a, j.groups * TERNI_POINTS * j.kernels.point, sizeof(float));
        j.scratch = terni_conv_take(&a, (j.shared ? 1 : j.slots) * j.room, sizeof(float));
        if (pass == 0 && !terni_conv_arena_open(&a)) return false;
    }
    terni_cpu_parallel(j.groups * TERNI_WHOLE(j.cd) / TERNI_LANES_F32, 1, kernels, &j);
    if (j.shared)
        together(&j);
    else
        terni_cpu_parallel(j.slots, 1, alone, &j);
    return terni_conv_arena_close(&a);
}

static bool takes_forward(const terni_conv_sizes *z) { return terni_conv_winograd_fits(z, z->out[1], z->out[2]); }
static bool takes_back(const terni_conv_sizes *z) { return terni_conv_winograd_fits(z, z->in[1], z->in[2]); }
static bool forward(const terni_call *c, const terni_conv_sizes *z) { return convolve(c, z, false); }
static bool back(const terni_call *c, const terni_conv_sizes *z) { return convolve(c, z, true); }
const terni_conv_way terni_conv_winograd = {takes_forward, forward}, terni_conv_winograd_back = {takes_back, back};
