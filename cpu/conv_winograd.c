/* Convolution with 3x3 and 5x5 kernels, forward and the gradient of the image, by Winograd's minimal filtering (Lavin
 * and Gray, arXiv 1509.09308): a tile of 6x6 pixels and a kernel are each taken to 36 numbers, in which the convolution
 * is a product, number by number, summed over channels by 36 matrix products; and back to 4x4 results (2x2 with a 5x5
 * kernel) for 36 multiplications instead of 144 (100).
 *
 * The interpolation points are 0, +-sqrt(1/2), +-sqrt(2) and infinity. With the usual 0, +-1, +-2 the error is four
 * times as large; with these it is less than twice that of plain sums in f32. f64 is left to the plain kernels. As with
 * everything that adds before it multiplies, an infinity or a NaN spoils all results of its tiles, not only those whose
 * windows see it.
 *
 * Vectors hold channels: rows of the image are turned into [pixel][channels], so that tiles need not fill vectors. A
 * thread works on one block of tiles at a time, which may come from several images. */
#include "conv.h"
#include "internal.h"
#include "product.h"
#include "turn.h"

enum { EDGE = 6, POINTS = EDGE * EDGE, LANES = TERNI_LANES_F32, DEPTH = 256 };
enum { BLOCK = 64, FEWEST = 32 }; /* tiles in a block, about; tiles below which kernels are not worth taking over */
static const float A = 0.70710678118654752F, B = 1.41421356237309505F;

typedef struct job {
    int64_t size, taps;               /* of a tile's results and of the kernel, along an edge */
    int64_t groups, cs, cd, csw, cdw; /* channels in a group of the source and of the result; as whole vectors */
    int64_t in[2], out[2], at[2];     /* at: the source's pixel at the first tile's corner */
    int64_t tiles[2], rows;           /* rows of tiles, in all images */
    bool back;                        /* w is [cs][cd], turned around */
    const float *x, *w, *bias;
    float *y, *u, *scratch;                                              /* u [group][point][cs][cdw] */
    int64_t items, slots, block, u_point, v_point, m_point, strip, room; /* block: rows of tiles in an item, at most */
} job;

/* Rows [first, first + rows) of the tiles of one image, tiles of the block before them. */
typedef struct run {
    int64_t image, first, rows, before;
} run;

#define WHOLE(n) (((n) + LANES - 1) / LANES * LANES)

/* ---- transforms of one tile, all lanes alike -----------------------------------------------------------------------
 */

/* Six pixels to six points. */
static inline __attribute__((always_inline)) void points(const terni_vf *d, int64_t step, terni_vf *to,
                                                         int64_t to_step) {
    const terni_vf e = d[4 * step] - 2 * d[2 * step], f = A * (d[3 * step] - 2 * d[step]);
    const terni_vf g = d[4 * step] - 0.5F * d[2 * step], h = B * (d[3 * step] - 0.5F * d[step]);
    to[0] = d[0] - 2.5F * d[2 * step] + d[4 * step];
    to[to_step] = e + f;
    to[2 * to_step] = e - f;
    to[3 * to_step] = g + h;
    to[4 * to_step] = g - h;
    to[5 * to_step] = d[step] - 2.5F * d[3 * step] + d[5 * step];
}

/* Six points to four results, or to two. */
static inline __attribute__((always_inline)) void results(int size, const terni_vf *m, int64_t step, terni_vf *to,
                                                          int64_t to_step) {
    const terni_vf p = m[step] + m[2 * step], q = A * (m[step] - m[2 * step]);
    const terni_vf r = m[3 * step] + m[4 * step], s = B * (m[3 * step] - m[4 * step]);
    to[0] = m[0] + p + r;
    if (size == 2) {
        to[to_step] = q + s + m[5 * step];
        return;
    }
    to[to_step] = q + s;
    to[2 * to_step] = 0.5F * p + 2 * r;
    to[3 * to_step] = 0.5F * q + 2 * s + m[5 * step];
}

/* A kernel's row of three or five taps to six points. */
static inline __attribute__((always_inline)) void kernel_points(int taps, const terni_vf *g, int64_t step, terni_vf *to,
                                                                int64_t to_step) {
    terni_vf even[2] = {g[0] + 0.5F * g[2 * step], g[0] + 2 * g[2 * step]}, odd[2] = {g[step], g[step]};
    if (taps == 5) {
        even[0] += 0.25F * g[4 * step], even[1] += 4 * g[4 * step];
        odd[0] += 0.5F * g[3 * step], odd[1] += 2 * g[3 * step];
    }
    odd[0] *= A, odd[1] *= B;
    to[0] = g[0];
    to[to_step] = (even[0] + odd[0]) * (-2.0F / 3);
    to[2 * to_step] = (even[0] - odd[0]) * (-2.0F / 3);
    to[3 * to_step] = (even[1] + odd[1]) * (1.0F / 6);
    to[4 * to_step] = (even[1] - odd[1]) * (1.0F / 6);
    to[5 * to_step] = g[(taps - 1) * step];
}

/* ---- kernels -------------------------------------------------------------------------------------------------------
 */

static inline __attribute__((always_inline)) void take_kernel(int taps, const terni_vf *g, float *u, int64_t u_point) {
    terni_vf half[EDGE * 5], full[EDGE];
    for (int i = 0; i < taps; i++) kernel_points(taps, g + i, taps, half + i, taps);
    for (int i = 0; i < EDGE; i++) {
        kernel_points(taps, half + i * taps, 1, full, 1);
        for (int k = 0; k < EDGE; k++) *(terni_vf *)(u + (i * EDGE + k) * u_point) = full[k];
    }
}

/* Items are (group, vector of the result's channels). */
static void kernels(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const int64_t vectors = j->cdw / LANES, window = j->taps * j->taps;
    for (int64_t item = begin; item < end; item++) {
        const int64_t g = item / vectors, d = item % vectors * LANES, lanes = j->cd - d < LANES ? j->cd - d : LANES;
        for (int64_t c = 0; c < j->cs; c++) {
            float tap[25 * LANES] __attribute__((aligned(64))) = {0};
            const float *w = j->w + (j->back ? ((g * j->cs + c) * j->cd + d) : ((g * j->cd + d) * j->cs + c)) * window;
            const int64_t next = j->back ? window : j->cs * window;
            for (int64_t l = 0; l < lanes; l++)
                for (int64_t k = 0; k < window; k++) tap[(j->back ? window - 1 - k : k) * LANES + l] = w[l * next + k];
            float *u = j->u + g * POINTS * j->u_point + c * j->cdw + d;
            if (j->taps == 3)
                take_kernel(3, (const terni_vf *)tap, u, j->u_point);
            else
                take_kernel(5, (const terni_vf *)tap, u, j->u_point);
        }
    }
}

/* ---- pixels --------------------------------------------------------------------------------------------------------
 */

/* The source's pixels under a run of tiles, [row][column][lane], 0 outside of the image; x is the first channel's
 * plane. Lanes past the last channel are left as they are: the products do not read them. */
static void take_strip(const job *j, const run *r, const float *x, int64_t channels, float *strip) {
    const int64_t width = j->tiles[1] * j->size + j->taps - 1, height = r->rows * j->size + j->taps - 1;
    int64_t begin = j->at[1] < 0 ? -j->at[1] : 0, end = j->in[1] - j->at[1];
    if (end > width) end = width;
    if (begin > end) begin = end > 0 ? end : 0;
    if (end < begin) end = begin;
    for (int64_t i = 0; i < height; i++, strip += width * LANES) {
        const int64_t y = j->at[0] + r->first * j->size + i;
        const bool inside = y >= 0 && y < j->in[0];
        memset(strip, 0, (size_t)((inside ? begin : width) * LANES) * sizeof(float));
        if (!inside) continue;
        terni_turn(x + y * j->in[1] + j->at[1] + begin, j->in[0] * j->in[1], channels, end - begin,
                   strip + begin * LANES, LANES);
        memset(strip + end * LANES, 0, (size_t)((width - end) * LANES) * sizeof(float));
    }
}

static void take_tile(const float *pixels, int64_t row, float *v, int64_t v_point) {
    terni_vf half[POINTS], full[EDGE];
    for (int i = 0; i < EDGE; i++) points((const terni_vf *)(pixels + i * row), 1, half + i * EDGE, 1);
    for (int k = 0; k < EDGE; k++) {
        points(half + k, EDGE, full, 1);
        for (int i = 0; i < EDGE; i++) *(terni_vf *)(v + (i * EDGE + k) * v_point) = full[i];
    }
}

static void take_pixels(const job *j, int64_t g, const run *r, float *strip, float *v) {
    const int64_t row = (j->tiles[1] * j->size + j->taps - 1) * LANES, image = j->in[0] * j->in[1];
    const float *x = j->x + (r->image * j->groups + g) * j->cs * image;
    for (int64_t c = 0; c < j->cs; c += LANES) {
        take_strip(j, r, x + c * image, j->cs - c < LANES ? j->cs - c : LANES, strip);
        for (int64_t t = 0; t < r->rows * j->tiles[1]; t++)
            take_tile(strip + t / j->tiles[1] * j->size * row + t % j->tiles[1] * j->size * LANES, row,
                      v + (r->before + t) * j->csw + c, j->v_point);
    }
}

static inline __attribute__((always_inline)) void give_tile(int size, const float *m, int64_t m_point, terni_vf bias,
                                                            float *pixels, int64_t row) {
    terni_vf half[EDGE * 4], from[EDGE], full[4];
    for (int k = 0; k < EDGE; k++) {
        for (int i = 0; i < EDGE; i++) from[i] = *(const terni_vf *)(m + (i * EDGE + k) * m_point);
        results(size, from, 1, half + k, EDGE);
    }
    for (int i = 0; i < size; i++) {
        results(size, half + i * EDGE, 1, full, 1);
        for (int k = 0; k < size; k++) *(terni_vf *)(pixels + i * row + k * LANES) = full[k] + bias;
    }
}

static void give_pixels(const job *j, int64_t g, const run *r, float *strip, const float *m) {
    const int64_t width = j->tiles[1] * j->size, row = width * LANES, image = j->out[0] * j->out[1];
    const int64_t first = r->first * j->size, left = j->out[0] - first;
    const int64_t height = left < r->rows * j->size ? left : r->rows * j->size;
    float *y = j->y + (r->image * j->groups + g) * j->cd * image + first * j->out[1];
    for (int64_t d = 0; d < j->cd; d += LANES) {
        const int64_t channels = j->cd - d < LANES ? j->cd - d : LANES;
        terni_vf bias = {0};
        for (int64_t l = 0; j->bias && l < channels; l++) bias[l] = j->bias[g * j->cd + d + l];
        for (int64_t t = 0; t < r->rows * j->tiles[1]; t++) {
            const float *from = m + (r->before + t) * j->cdw + d;
            float *to = strip + t / j->tiles[1] * j->size * row + t % j->tiles[1] * j->size * LANES;
            if (j->size == 4)
                give_tile(4, from, j->m_point, bias, to, row);
            else
                give_tile(2, from, j->m_point, bias, to, row);
        }
        for (int64_t i = 0; i < height; i++)
            terni_turn(strip + i * row, LANES, j->out[1], channels, y + d * image + i * j->out[1], image);
    }
}

/* ---- blocks of tiles -----------------------------------------------------------------------------------------------
 */

/* The runs of rows [row, last) start here; false at the end. */
static bool next_run(const job *j, int64_t *row, int64_t last, run *r) {
    if (*row >= last) return false;
    r->image = *row / j->tiles[0];
    r->first = *row % j->tiles[0];
    r->rows = j->tiles[0] - r->first < last - *row ? j->tiles[0] - r->first : last - *row;
    *row += r->rows;
    return true;
}

static void block(const job *j, int64_t item, float *scratch) {
    const int64_t g = item / j->items, i = item % j->items;
    const int64_t first = i * j->rows / j->items, last = (i + 1) * j->rows / j->items;
    float *v = scratch, *m = v + POINTS * j->v_point, *strip = m + POINTS * j->m_point;
    run r = {.before = 0};
    for (int64_t row = first; next_run(j, &row, last, &r); r.before += r.rows * j->tiles[1])
        take_pixels(j, g, &r, strip, v);
    const int64_t tiles = (last - first) * j->tiles[1];
    for (int64_t p = 0; p < POINTS; p++)
        for (int64_t c = 0; c < j->cs; c += DEPTH)
            terni_product_run((terni_product){.a = v + p * j->v_point + c,
                                              .b = j->u + (g * POINTS + p) * j->u_point + c * j->cdw,
                                              .c = m + p * j->m_point,
                                              .lda = j->csw,
                                              .ldb = j->cdw,
                                              .ldc = j->cdw,
                                              .k = j->cs - c < DEPTH ? j->cs - c : DEPTH,
                                              .add = c > 0},
                              tiles, j->cdw / LANES);
    r.before = 0;
    for (int64_t row = first; next_run(j, &row, last, &r); r.before += r.rows * j->tiles[1])
        give_pixels(j, g, &r, strip, m);
}

static void slots(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const int64_t items = j->items * j->groups;
    for (int64_t slot = begin; slot < end; slot++)
        for (int64_t item = slot * items / j->slots; item < (slot + 1) * items / j->slots; item++)
            block(j, item, j->scratch + slot * j->room);
}

/* ---- calls ---------------------------------------------------------------------------------------------------------
 */

static job job_of(const terni_conv_sizes *z, bool back) {
    job j = {.taps = z->kernel[2], .size = EDGE + 1 - z->kernel[2], .groups = z->groups, .back = back};
    j.cs = back ? z->o : z->c;
    j.cd = back ? z->c : z->o;
    j.csw = WHOLE(j.cs);
    j.cdw = WHOLE(j.cd);
    for (int d = 0; d < 2; d++) {
        const int64_t pad = z->opts->pad[1 + d];
        j.in[d] = (back ? z->out : z->in)[1 + d];
        j.out[d] = (back ? z->in : z->out)[1 + d];
        j.at[d] = back ? pad + 1 - j.taps : -pad;
        j.tiles[d] = (j.out[d] + j.size - 1) / j.size;
    }
    j.rows = z->n * j.tiles[0];
    return j;
}

/* Whether the 36 products of a tile are well below the plain kernels' work, and done for enough tiles and channels. */
static bool takes(const terni_conv_sizes *z, bool back) {
    const terni_conv_opts *o = z->opts;
    if (z->kernel[0] != 1 || z->in[0] != 1 || z->out[0] != 1 || z->kernel[1] != z->kernel[2] ||
        (z->kernel[2] != 3 && z->kernel[2] != 5) || o->stride[1] != 1 || o->stride[2] != 1 || o->dilation[1] != 1 ||
        o->dilation[2] != 1 || z->c < 12 || z->o < 12)
        return false;
    const job j = job_of(z, back);
    const int64_t tiles = j.tiles[0] * j.tiles[1];
    return j.rows * j.tiles[1] >= FEWEST && 3 * POINTS * tiles <= 2 * z->window * j.out[0] * j.out[1];
}

/* Odd numbers of vectors from one point to the next, which keeps them out of each other's sets of the cache. */
static int64_t apart(int64_t n) { return (n / LANES | 1) * LANES; }

static void plan(job *j) {
    const int64_t threads = terni_cpu_threads(), tiles = j->rows * j->tiles[1];
    j->items = (tiles + BLOCK - 1) / BLOCK;
    const int64_t even = (4 * threads + j->groups - 1) / j->groups, least = tiles / (BLOCK / 4);
    if (j->items < even && j->items < least) j->items = even < least ? even : least;
    if (j->items > j->rows) j->items = j->rows;
    if (j->items < 1) j->items = 1;
    j->slots = j->items * j->groups < threads ? j->items * j->groups : threads;
    j->block = (j->rows + j->items - 1) / j->items;
    j->u_point = apart(j->cs * j->cdw);
    j->v_point = apart(j->block * j->tiles[1] * j->csw);
    j->m_point = apart(j->block * j->tiles[1] * j->cdw);
    j->strip = (j->block * j->size + j->taps - 1) * (j->tiles[1] * j->size + j->taps - 1) * LANES;
    j->room = POINTS * (j->v_point + j->m_point) + j->strip;
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
        j.u = terni_conv_take(&a, j.groups * POINTS * j.u_point, sizeof(float));
        j.scratch = terni_conv_take(&a, j.slots * j.room, sizeof(float));
        if (pass == 0 && !terni_conv_arena_open(&a)) return false;
    }
    terni_cpu_parallel(j.groups * j.cdw / LANES, 1, kernels, &j);
    terni_cpu_parallel(j.slots, 1, slots, &j);
    return terni_conv_arena_close(&a);
}

static bool takes_forward(const terni_conv_sizes *z) { return takes(z, false); }
static bool takes_back(const terni_conv_sizes *z) { return takes(z, true); }
static bool forward(const terni_call *c, const terni_conv_sizes *z) { return convolve(c, z, false); }
static bool back(const terni_call *c, const terni_conv_sizes *z) { return convolve(c, z, true); }
const terni_conv_way terni_conv_winograd = {takes_forward, forward}, terni_conv_winograd_back = {takes_back, back};
