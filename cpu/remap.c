/* remap and its adjoint: flips, rolls, repetitions and paddings, by one table of source positions a dimension. Trailing
 * dimensions that both sides walk alike are one block; the dimension before it, the line, is cut into runs of blocks
 * that copy forwards, backwards, repeat or fill. */
#include <string.h>

#include "formulas.h"
#include "internal.h"

enum { GRAIN = 32768, SHORT_RUN = 4 };

/* Indices [at, at + n) of the line, n to go on with from offset `from` in x: forwards (step 1, in blocks), backwards
 * (step -1, blocks of one element), or filled (from is -1). */
typedef struct run {
    int64_t at, n, from, step;
} run;

typedef struct plan {
    char *x, *y;
    const int64_t *table[TERN_MAX_DIMS]; /* offset in x, in elements; -1: filled */
    int64_t shape[TERN_MAX_DIMS];        /* y's */
    int line;                            /* the dimension that is cut into runs; those after it are the block */
    int64_t block, step;                 /* elements of a block; offset in x from one index of the line to the next */
    run *run;
    int64_t runs;          /* of a line */
    int64_t pieces, piece; /* that a line is cut into for threads; indices of each */
    size_t size;           /* of an element */
    uint64_t fill;
    int dtype;
} plan;

static bool same(const terni_remap_opts *o, const terni_view *x, const terni_view *y, int d) {
    return x->shape[d] == y->shape[d] && o->before[d] == 0 && (o->mode[d] != TERNI_REMAP_REVERSE || x->shape[d] <= 1);
}

/* Cuts the line into the longest runs. */
static int64_t find_runs(plan *p) {
    const int64_t n = p->shape[p->line], *const line = p->table[p->line];
    int64_t count = 0;
    for (int64_t i = 0; i < n; count++) {
        run r = {i, 1, line[i], 1};
        const int64_t next = i + 1 < n ? line[i + 1] : -1;
        if (p->block == 1 && p->step == 1 && r.from > 0 && next == r.from - 1) r.step = -1;
        const int64_t step = r.from < 0 ? 0 : r.step * p->step;
        const bool joins = r.from < 0 || p->step == p->block;
        while (joins && i + r.n < n && line[i + r.n] >= (r.from < 0 ? -1 : 0) &&
               line[i + r.n] == line[i + r.n - 1] + step)
            r.n++;
        p->run[count] = r;
        i += r.n;
    }
    return count;
}

/* Tables of y's dimensions, in memory that the caller frees: *bytes of it. NULL after an error. */
static void *plan_new(const terni_remap_opts *o, const terni_view *x, const terni_view *y, plan *p, size_t *bytes) {
    int64_t entries = 0;
    p->line = y->ndim - 1;
    p->block = 1;
    while (p->line > 0 && same(o, x, y, p->line) && (x->strides[p->line] == p->block || x->shape[p->line] == 1))
        p->block *= y->shape[p->line--];
    for (int d = 0; d <= p->line; d++) entries += y->shape[d];
    *bytes = (size_t)entries * sizeof(int64_t) + (size_t)y->shape[p->line] * sizeof(run);
    int64_t *const memory = terni_cpu_host->alloc(*bytes), *t = memory;
    if (!memory) return NULL;
    for (int d = 0; d <= p->line; d++) {
        p->table[d] = t;
        p->shape[d] = y->shape[d];
        for (int64_t i = 0; i < y->shape[d]; i++) {
            const int64_t k = terni_remap_source(o->mode[d], i - o->before[d], x->shape[d]);
            *t++ = k < 0 ? -1 : k * x->strides[d];
        }
    }
    p->x = x->data;
    p->y = y->data;
    p->size = terni_cpu_size(y->dtype);
    p->dtype = y->dtype;
    p->step = x->strides[p->line];
    p->run = (run *)(void *)t;
    p->runs = find_runs(p);
    return memory;
}

/* Offset in x of line number r; -1 if all of it is filled. */
static int64_t line_of(const plan *p, int64_t r) {
    int64_t at = 0;
    for (int d = p->line - 1; d >= 0; d--) {
        const int64_t k = p->table[d][r % p->shape[d]];
        if (k < 0) return -1;
        at += k;
        r /= p->shape[d];
    }
    return at;
}

static void fill_run(char *y, int64_t n, size_t size, uint64_t fill) {
    if (fill == 0 || size == 1) {
        memset(y, (int)(fill & 255), (size_t)n * size);
        return;
    }
    switch (size) {
        case 2:
            for (int64_t i = 0; i < n; i++) ((uint16_t *)(void *)y)[i] = (uint16_t)fill;
            break;
        case 4:
            for (int64_t i = 0; i < n; i++) ((uint32_t *)(void *)y)[i] = (uint32_t)fill;
            break;
        default:
            for (int64_t i = 0; i < n; i++) ((uint64_t *)(void *)y)[i] = fill;
    }
}

/* A line of blocks of one element, each looked up. */
#define LOOK_UP(T)                      \
    for (int64_t i = from; i < to; i++) \
        ((T *)(void *)y)[i] = line[i] < 0 ? (T)p->fill : ((const T *)(const void *)x)[line[i]];

static void look_up(const plan *p, const char *x, char *y, int64_t from, int64_t to) {
    const int64_t *const line = p->table[p->line];
    switch (p->size) {
        case 1:
            LOOK_UP(uint8_t) break;
        case 2:
            LOOK_UP(uint16_t) break;
        case 4:
            LOOK_UP(uint32_t) break;
        default:
            LOOK_UP(uint64_t) break;
    }
}

#define BACKWARDS(T) \
    for (int64_t i = 0; i < n; i++) ((T *)(void *)y)[i] = ((const T *)(const void *)x)[-i];

static void copy_backwards(const char *x, char *y, int64_t n, size_t size) {
    switch (size) {
        case 1:
            BACKWARDS(uint8_t) break;
        case 2:
            BACKWARDS(uint16_t) break;
        case 4:
            BACKWARDS(uint32_t) break;
        default:
            BACKWARDS(uint64_t) break;
    }
}

/* The parts of runs that lie in [begin, end). */
static void copy_runs(const plan *p, const char *x, char *y, int64_t begin, int64_t end) {
    const size_t bytes = p->size * (size_t)p->block;
    int64_t lo = 0, hi = p->runs - 1; /* the run that begin is in */
    while (lo < hi) {
        const int64_t middle = hi - (hi - lo) / 2;
        if (p->run[middle].at <= begin)
            lo = middle;
        else
            hi = middle - 1;
    }
    for (const run *r = &p->run[lo]; r < p->run + p->runs && r->at < end; r++) {
        const int64_t from = r->at > begin ? r->at : begin, to = r->at + r->n < end ? r->at + r->n : end;
        const int64_t first = r->from + r->step * p->step * (from - r->at);
        if (r->from < 0)
            fill_run(y + (size_t)from * bytes, (to - from) * p->block, p->size, p->fill);
        else if (r->step < 0)
            copy_backwards(x + first * (int64_t)p->size, y + (size_t)from * bytes, to - from, p->size);
        else
            memcpy(y + (size_t)from * bytes, x + first * (int64_t)p->size, (size_t)(to - from) * bytes);
    }
}

static void remap_pieces(void *arg, int64_t begin, int64_t end) {
    const plan *p = arg;
    const int64_t n = p->shape[p->line];
    const bool singly = p->block == 1 && (p->step != 1 || p->runs * SHORT_RUN > n);
    for (int64_t r = begin; r < end; r++) {
        const int64_t from = r % p->pieces * p->piece, to = from + p->piece < n ? from + p->piece : n;
        const int64_t at = line_of(p, r / p->pieces);
        char *const y = p->y + (size_t)(r / p->pieces * n * p->block) * p->size;
        if (at < 0)
            fill_run(y + (size_t)(from * p->block) * p->size, (to - from) * p->block, p->size, p->fill);
        else if (singly)
            look_up(p, p->x + (size_t)at * p->size, y, from, to);
        else
            copy_runs(p, p->x + (size_t)at * p->size, y, from, to);
    }
}

static int64_t lines_of(const plan *p) {
    int64_t lines = 1;
    for (int d = 0; d < p->line; d++) lines *= p->shape[d];
    return lines;
}

bool terni_cpu_remap(const terni_call *c) {
    const terni_remap_opts *o = c->opts;
    const terni_view *x = c->in[0], *y = c->out[0];
    plan p = {0};
    size_t bytes;
    if (terni_cpu_count(y) == 0) return true;
    void *const memory = plan_new(o, x, y, &p, &bytes);
    if (!memory) return false;
    terni_cpu_constant(y->dtype, &o->fill, &p.fill);
    const int64_t n = p.shape[p.line];
    p.piece = GRAIN / p.block + 1 < n ? GRAIN / p.block + 1 : n;
    p.pieces = (n - 1) / p.piece + 1;
    terni_cpu_parallel(lines_of(&p) * p.pieces, GRAIN / (p.piece * p.block) + 1, remap_pieces, &p);
    terni_cpu_host->free(memory, bytes);
    return true;
}

/* ---- the adjoint: x is added to, y (the gradient) is read ---------------------------------------------------------
 */

#define ADD(name, T, S, ADDED)                                                                   \
    static void name(const plan *p, int64_t at, int64_t first) {                                 \
        const int64_t n = p->shape[p->line], *const line = p->table[p->line];                    \
        T *const x = (T *)(void *)p->x + at;                                                     \
        const S *g = (const S *)(const void *)p->y + first;                                      \
        if (p->block == 1) {                                                                     \
            for (int64_t i = 0; i < n; i++)                                                      \
                if (line[i] >= 0) x[line[i]] = ADDED(x[line[i]], g[i]);                          \
            return;                                                                              \
        }                                                                                        \
        for (int64_t i = 0; i < n; i++, g += p->block) {                                         \
            if (line[i] < 0) continue;                                                           \
            for (int64_t k = 0; k < p->block; k++) x[line[i] + k] = ADDED(x[line[i] + k], g[k]); \
        }                                                                                        \
    }
#define SUM(a, b)      ((a) + (b))
#define SUM_I64(a, b)  ((int64_t)((uint64_t)(a) + (uint64_t)(b)))
#define SUM_I32(a, b)  ((int32_t)((uint32_t)(a) + (uint32_t)(b)))
#define SUM_U8(a, b)   ((uint8_t)((a) + (b)))
#define EITHER(a, b)   ((uint8_t)((a) | (b)))
#define SUM_F16(a, b)  ((a) + terni_f16_to(b))
#define SUM_BF16(a, b) ((a) + terni_bf16_to(b))
ADD(add_f32, float, float, SUM)
ADD(add_f64, double, double, SUM)
ADD(add_f16, float, uint16_t, SUM_F16)
ADD(add_bf16, float, uint16_t, SUM_BF16)
ADD(add_i64, int64_t, int64_t, SUM_I64)
ADD(add_i32, int32_t, int32_t, SUM_I32)
ADD(add_u8, uint8_t, uint8_t, SUM_U8)
ADD(add_bool, uint8_t, uint8_t, EITHER)

typedef struct add_job {
    const plan *p;
    int64_t lines; /* of one part: lines of different parts add to different places */
} add_job;

static void add_parts(void *arg, int64_t begin, int64_t end) {
    static void (*const fns[TERN_DTYPE_COUNT])(const plan *, int64_t, int64_t) = {
        [TERN_F32] = add_f32, [TERN_F64] = add_f64, [TERN_F16] = add_f16, [TERN_BF16] = add_bf16,
        [TERN_I64] = add_i64, [TERN_I32] = add_i32, [TERN_U8] = add_u8,   [TERN_BOOL] = add_bool};
    const add_job *j = arg;
    const plan *p = j->p;
    for (int64_t r = begin * j->lines; r < end * j->lines; r++) {
        const int64_t at = line_of(p, r);
        if (at >= 0) fns[p->dtype](p, at, r * p->shape[p->line] * p->block);
    }
}

bool terni_cpu_remap_add(const terni_call *c) {
    const terni_remap_opts *o = c->opts;
    const terni_view *g = c->in[0], *y = c->out[0];
    const int64_t n = terni_cpu_count(y);
    plan p = {0};
    size_t bytes;
    if (terni_cpu_count(g) == 0 || n == 0) return true;
    void *const memory = plan_new(o, y, g, &p, &bytes);
    if (!memory) return false;
    const bool half = terni_cpu_is_half(y->dtype);
    float *const wide = half ? terni_cpu_host->alloc((size_t)n * sizeof *wide) : NULL;
    if (!half || wide) {
        if (half) terni_cpu_from_half(y->dtype, y->data, 1, wide, n);
        if (half) p.x = (char *)wide;
        int64_t parts = 1;
        for (int d = 0; d < p.line && same(o, y, g, d); d++) parts *= p.shape[d];
        add_job j = {&p, lines_of(&p) / parts};
        terni_cpu_parallel(parts, GRAIN / (j.lines * p.shape[p.line] * p.block) + 1, add_parts, &j);
        if (half) terni_cpu_to_half(y->dtype, wide, y->data, 1, n);
        if (half) terni_cpu_host->free(wide, (size_t)n * sizeof *wide);
    }
    terni_cpu_host->free(memory, bytes);
    return !half || wide;
}
