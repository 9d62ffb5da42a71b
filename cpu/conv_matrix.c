/* Convolution with a kernel of one pixel, stride 1 and no padding is a matrix product of the weights and the image's
 * pixels, and so are both gradients. Columns go by in panels as wide as a tile of the product, packed so that they lie
 * together in the cache while all rows pass over them. The pixels of small images are one row of columns over all
 * images, so that they fill their vectors. */
#include "conv.h"
#include "internal.h"
#include "product.h"
#include "turn.h"

enum { LANES = TERNI_LANES_F32, WIDTH = TERNI_PANEL * LANES, DEPTH = 128 };
enum { LEAST = 8, SMALL = 128 }; /* channels that a product is worth while for; pixels of a small image */

typedef struct job {
    int64_t n, groups, cs, cd, pixels; /* channels of the source and of the result in a group; pixels of an image */
    int64_t sheets, columns;           /* columns of one product: the pixels of an image, or of all */
    int64_t panels, parts, slots;      /* panels of columns and parts of rows are divided over slots */
    const float *a, *x, *bias;         /* a [group][cd][cs], in the weights' gradient gy */
    float *y, *scratch;
    int64_t room;
} job;

/* Columns from `column` on that are of one image, up to `end`. */
static int64_t piece(const job *j, int64_t column, int64_t end) {
    const int64_t left = j->pixels - column % j->pixels;
    return left < end - column ? left : end - column;
}

/* Where column `column` of a sheet's first row of `channels` is. */
static int64_t place_of(const job *j, int64_t sheet, int64_t g, int64_t channels, int64_t column) {
    return ((sheet + column / j->pixels) * j->groups + g) * channels * j->pixels + column % j->pixels;
}

/* Rows [row, row + depth) and columns [first, end) of the source as [row][WIDTH], 0 up to whole vectors. */
static void pack(const job *j, int64_t sheet, int64_t g, int64_t row, int64_t depth, int64_t first, int64_t end,
                 float *to) {
    const int64_t whole = (end - first + LANES - 1) / LANES * LANES - (end - first);
    for (int64_t column = first, n; column < end; column += n) {
        n = piece(j, column, end);
        const float *from = j->x + place_of(j, sheet, g, j->cs, column) + row * j->pixels;
        for (int64_t q = 0; q < depth; q++)
            for (int64_t i = 0; i < n; i++) to[q * WIDTH + column - first + i] = from[q * j->pixels + i];
    }
    for (int64_t q = 0; q < depth; q++)
        for (int64_t i = 0; i < whole; i++) to[q * WIDTH + end - first + i] = 0;
}

/* Rows of sums [row][WIDTH] to columns [first, end) of the result's rows from `row` on. */
static void place(const job *j, int64_t sheet, int64_t g, int64_t row, int64_t rows, int64_t first, int64_t end,
                  const float *sums) {
    for (int64_t column = first, n; column < end; column += n) {
        n = piece(j, column, end);
        float *to = j->y + place_of(j, sheet, g, j->cd, column) + row * j->pixels;
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < n; i++) to[r * j->pixels + i] = sums[r * WIDTH + column - first + i];
    }
}

/* Rows [row, row + rows) of one panel. Sums go straight to the result if their vectors are whole and of one image. */
static void panel(const job *j, int64_t sheet, int64_t g, int64_t row, int64_t rows, int64_t first, int64_t end,
                  float *scratch) {
    const int64_t width = end - first, vectors = (width + LANES - 1) / LANES;
    const bool direct = width % LANES == 0 && piece(j, first, end) == width;
    float *packed = scratch, *sums = scratch + DEPTH * WIDTH;
    float *to = direct ? j->y + place_of(j, sheet, g, j->cd, first) + row * j->pixels : sums;
    const int64_t ld = direct ? j->pixels : WIDTH;
    for (int64_t r = 0; j->bias && r < rows; r++)
        for (int64_t i = 0; i < vectors * LANES; i++) to[r * ld + i] = j->bias[g * j->cd + row + r];
    for (int64_t k = 0; k < j->cs; k += DEPTH) {
        const int64_t depth = j->cs - k < DEPTH ? j->cs - k : DEPTH;
        pack(j, sheet, g, k, depth, first, end, packed);
        terni_product_run((terni_product){.a = j->a + (g * j->cd + row) * j->cs + k,
                                          .b = packed,
                                          .c = to,
                                          .row = j->cs,
                                          .column = 1,
                                          .ldb = WIDTH,
                                          .ldc = ld,
                                          .k = depth,
                                          .add = k > 0 || j->bias},
                          rows, vectors);
    }
    if (!direct) place(j, sheet, g, row, rows, first, end, sums);
}

/* Items are (sheet, group, panel, part of the rows). */
static void slots(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const int64_t items = j->sheets * j->groups * j->panels * j->parts;
    const int64_t vectors = (j->columns + LANES - 1) / LANES;
    for (int64_t slot = begin; slot < end; slot++)
        for (int64_t item = slot * items / j->slots; item < (slot + 1) * items / j->slots; item++) {
            const int64_t part = item % j->parts, p = item / j->parts % j->panels;
            const int64_t g = item / j->parts / j->panels % j->groups, sheet = item / j->parts / j->panels / j->groups;
            const int64_t row = part * j->cd / j->parts, last = (p + 1) * vectors / j->panels * LANES;
            panel(j, sheet, g, row, (part + 1) * j->cd / j->parts - row, p * vectors / j->panels * LANES,
                  last < j->columns ? last : j->columns, j->scratch + slot * j->room);
        }
}

/* Items are (group, 16 rows of the turned weights). */
enum { TURNED = 16 };
typedef struct turning {
    int64_t rows, columns; /* of what is turned */
    const float *from;
    float *to;
} turning;

static void turn(void *arg, int64_t begin, int64_t end) {
    const turning *t = arg;
    const int64_t parts = (t->columns + TURNED - 1) / TURNED;
    for (int64_t item = begin; item < end; item++) {
        const int64_t c = item % parts * TURNED, n = t->columns - c < TURNED ? t->columns - c : TURNED;
        const int64_t at = item / parts * t->rows * t->columns;
        terni_turn_f32(t->from + at + c, t->columns, t->rows, n, t->to + at + c * t->rows, t->rows);
    }
}

static job job_of(const terni_conv_sizes *z, bool back) {
    job j = {.n = z->n, .groups = z->groups, .cs = back ? z->o : z->c, .cd = back ? z->c : z->o, .pixels = z->image};
    return j;
}

/* Rows are divided where there are too few panels for the threads. */
static void divide(job *j, int64_t panels, int64_t rows, int64_t each) {
    const int64_t threads = terni_cpu_threads(), wanted = each * threads,
                  most = (rows + 2 * TERNI_TILE - 1) / (2 * TERNI_TILE);
    j->parts = panels < wanted ? (wanted + panels - 1) / panels : 1;
    if (j->parts > most) j->parts = most;
    j->slots = panels * j->parts < threads ? panels * j->parts : threads;
    if ((double)j->n * (double)j->groups * (double)j->cs * (double)j->cd * (double)j->pixels < 200000) j->slots = 1;
}

static bool convolve(const terni_call *c, const terni_conv_sizes *z, bool back) {
    job j = job_of(z, back);
    const bool fuse = j.pixels < SMALL && j.pixels % LANES;
    j.sheets = fuse ? 1 : j.n;
    j.columns = fuse ? j.n * j.pixels : j.pixels;
    j.panels = ((j.columns + LANES - 1) / LANES + TERNI_PANEL - 1) / TERNI_PANEL;
    j.x = c->in[0]->data;
    j.a = c->in[1]->data;
    j.bias = c->n_in > 2 && c->in[2] ? c->in[2]->data : NULL;
    j.y = c->out[0]->data;
    divide(&j, j.sheets * j.groups * j.panels, j.cd, 4);
    j.room = (DEPTH + (j.cd + j.parts - 1) / j.parts) * WIDTH;
    terni_conv_arena a = {0};
    turning t = {.rows = j.cs, .columns = j.cd, .from = j.a};
    for (int pass = 0; pass < 2; pass++) {
        t.to = terni_conv_take(&a, back ? j.groups * j.cs * j.cd : 0, sizeof(float));
        j.scratch = terni_conv_take(&a, j.slots * j.room, sizeof(float));
        if (pass == 0 && !terni_conv_arena_open(&a)) return false;
    }
    if (back) {
        terni_cpu_parallel(j.groups * ((j.cd + TURNED - 1) / TURNED), 1 + 65536 / (TURNED * j.cs), turn, &t);
        j.a = t.to;
    }
    terni_cpu_parallel(j.slots, 1, slots, &j);
    return terni_conv_arena_close(&a);
}

/* ---- the weights' gradient: rows are channels of the result, columns those of the image, sums go over pixels
 * --------- */

/* Rows [row, row + rows) and columns [first, end) of a group. */
static void weights(const job *j, int64_t g, int64_t row, int64_t rows, int64_t first, int64_t end, float *scratch) {
    const int64_t width = end - first, vectors = (width + LANES - 1) / LANES;
    float *packed = scratch, *sums = scratch + DEPTH * WIDTH;
    for (int64_t i = 0; i < j->n * j->pixels; i += DEPTH) {
        const int64_t stop = i + DEPTH < j->n * j->pixels ? i + DEPTH : j->n * j->pixels;
        for (int64_t at = i, n; at < stop; at += n) {
            n = piece(j, at, stop);
            terni_turn_f32(j->x + place_of(j, 0, g, j->cs, at) + first * j->pixels, j->pixels, width, n, packed, WIDTH);
            terni_product_run((terni_product){.a = j->a + place_of(j, 0, g, j->cd, at) + row * j->pixels,
                                              .b = packed,
                                              .c = sums,
                                              .row = j->pixels,
                                              .column = 1,
                                              .ldb = WIDTH,
                                              .ldc = WIDTH,
                                              .k = n,
                                              .add = at > 0},
                              rows, vectors);
        }
    }
    float *to = j->y + (g * j->cd + row) * j->cs + first;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < width; i++) to[r * j->cs + i] = sums[r * WIDTH + i];
}

/* Items are (group, panel of the image's channels, part of the result's). */
static void weight_slots(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const int64_t items = j->groups * j->panels * j->parts;
    for (int64_t slot = begin; slot < end; slot++) {
        float *scratch = j->scratch + slot * j->room;
        for (int64_t item = slot * items / j->slots; item < (slot + 1) * items / j->slots; item++) {
            const int64_t part = item % j->parts, p = item / j->parts % j->panels, g = item / j->parts / j->panels;
            const int64_t row = part * j->cd / j->parts, last = (p + 1) * WIDTH;
            weights(j, g, row, (part + 1) * j->cd / j->parts - row, p * WIDTH, last < j->cs ? last : j->cs, scratch);
        }
    }
}

static bool weight_grad(const terni_call *c, const terni_conv_sizes *z) {
    job j = job_of(z, false);
    j.a = c->in[0]->data;
    j.x = c->in[1]->data;
    j.y = c->out[0]->data;
    j.panels = (j.cs + WIDTH - 1) / WIDTH;
    divide(&j, j.groups * j.panels, j.cd, 1);
    j.room = (DEPTH + (j.cd + j.parts - 1) / j.parts) * WIDTH;
    terni_conv_arena a = {0};
    for (int pass = 0; pass < 2; pass++) {
        j.scratch = terni_conv_take(&a, j.slots * j.room, sizeof(float));
        if (pass == 0 && !terni_conv_arena_open(&a)) return false;
    }
    memset(j.scratch, 0, (size_t)(j.slots * j.room) * sizeof(float)); /* lanes past the last channel reach no result */
    terni_cpu_parallel(j.slots, 1, weight_slots, &j);
    return terni_conv_arena_close(&a);
}

static bool takes(const terni_conv_sizes *z) {
    const terni_conv_opts *o = z->opts;
    for (int d = 0; d < 3; d++)
        if (o->stride[d] != 1 || o->pad[d] != 0) return false;
    return z->window == 1 && z->n > 0 && z->image > 0 && z->c >= LEAST && z->o >= LEAST;
}
static bool forward(const terni_call *c, const terni_conv_sizes *z) { return convolve(c, z, false); }
static bool back(const terni_call *c, const terni_conv_sizes *z) { return convolve(c, z, true); }
const terni_conv_way terni_conv_matrix = {takes, forward}, terni_conv_matrix_back = {takes, back};
const terni_conv_way terni_conv_matrix_weight_grad = {takes, weight_grad};
