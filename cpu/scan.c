/* scan: running sum, product, maximum, minimum along the middle of [outer, n, inner]; linear_scan: y = a y' + b. One
 * thread takes whole lines; where inner is wide, the lines of a block run side by side. f16 and bf16 run in f32. */
#include <string.h>

#include "internal.h"

enum { BLOCK = 256, ROWS = 4, GRAIN_ELEMENTS = 16384 };

typedef struct job {
    const terni_view *x, *b;
    char *y;
    int64_t *index;
    int kind, dtype, out_dtype;
    bool reverse;
    int64_t n, inner, blocks; /* blocks of a line's inner */
} job;

static inline double get(int dtype, const char *p, int64_t i) {
    switch (dtype) {
        case TERN_F32:
            return (double)((const float *)(const void *)p)[i];
        case TERN_F64:
            return ((const double *)(const void *)p)[i];
        case TERN_F16:
            return (double)terni_f16_to(((const uint16_t *)(const void *)p)[i]);
        default:
            return (double)terni_bf16_to(((const uint16_t *)(const void *)p)[i]);
    }
}
static inline void set(int dtype, char *p, int64_t i, double v) {
    switch (dtype) {
        case TERN_F32:
            ((float *)(void *)p)[i] = (float)v;
            break;
        case TERN_F64:
            ((double *)(void *)p)[i] = v;
            break;
        case TERN_F16:
            ((uint16_t *)(void *)p)[i] = terni_f16_from(v);
            break;
        default:
            ((uint16_t *)(void *)p)[i] = terni_bf16_from(v);
            break;
    }
}
static inline int64_t get_int(int dtype, const char *p, int64_t i) {
    return dtype == TERN_I64   ? ((const int64_t *)(const void *)p)[i]
           : dtype == TERN_I32 ? (int64_t)((const int32_t *)(const void *)p)[i]
                               : (int64_t)((const uint8_t *)p)[i];
}
static inline void set_int(int dtype, char *p, int64_t i, int64_t v) {
    if (dtype == TERN_I64)
        ((int64_t *)(void *)p)[i] = v;
    else if (dtype == TERN_I32)
        ((int32_t *)(void *)p)[i] = (int32_t)v;
    else
        ((uint8_t *)p)[i] = (uint8_t)v;
}

#define TERNI_TEMPLATE "scan.inc"
#include "each_float.h"

/* Sums and products: floats in double, integers in i64, wrapping. */
static void scan_halves(const job *j, int64_t at, int64_t width) {
    double run[BLOCK];
    const bool sum = j->kind == TERNI_SCAN_SUM;
    for (int64_t k = 0; k < width; k++) run[k] = sum ? 0 : 1;
    for (int64_t s = 0; s < j->n; s++) {
        const int64_t i = at + (j->reverse ? j->n - 1 - s : s) * j->inner;
        for (int64_t k = 0; k < width; k++) {
            const double v = get(j->dtype, j->x->data, i + k);
            run[k] = sum ? run[k] + v : run[k] * v;
            set(j->dtype, j->y, i + k, run[k]);
        }
    }
}
static void scan_ints(const job *j, int64_t at, int64_t width) {
    uint64_t run[BLOCK];
    const bool sum = j->kind == TERNI_SCAN_SUM;
    for (int64_t k = 0; k < width; k++) run[k] = sum ? 0 : 1;
    for (int64_t s = 0; s < j->n; s++) {
        const int64_t i = at + (j->reverse ? j->n - 1 - s : s) * j->inner;
        for (int64_t k = 0; k < width; k++) {
            const uint64_t v = (uint64_t)get_int(j->dtype, j->x->data, i + k);
            run[k] = sum ? run[k] + v : run[k] * v;
            set_int(j->out_dtype, j->y, i + k, (int64_t)run[k]);
        }
    }
}

/* Maximum and minimum with where they are: the last of equals, as PyTorch has it; a NaN stays. */
static void scan_extremes(const job *j, int64_t at, int64_t width) {
    const bool max = j->kind == TERNI_SCAN_MAX, floats = j->dtype <= TERN_BF16;
    for (int64_t k = 0; k < width; k++) {
        double best = 0;
        int64_t best_int = 0, where = 0;
        for (int64_t s = 0; s < j->n; s++) {
            const int64_t i = at + s * j->inner + k;
            if (floats) {
                const double v = get(j->dtype, j->x->data, i);
                if (s == 0 || v != v || (best == best && (max ? v >= best : v <= best))) {
                    best = v;
                    where = s;
                }
                set(j->dtype, j->y, i, best);
            } else {
                const int64_t v = get_int(j->dtype, j->x->data, i);
                if (s == 0 || (max ? v >= best_int : v <= best_int)) {
                    best_int = v;
                    where = s;
                }
                set_int(j->dtype, j->y, i, best_int);
            }
            j->index[i] = where;
        }
    }
}

static void scan_linear(const job *j, int64_t at, int64_t width) {
    double run[BLOCK] = {0};
    for (int64_t s = 0; s < j->n; s++) {
        const int64_t i = at + (j->reverse ? j->n - 1 - s : s) * j->inner;
        for (int64_t k = 0; k < width; k++) {
            /* The first one has nothing before it: 0 times an infinity would be NaN. */
            run[k] = (s ? get(j->dtype, j->x->data, i + k) * run[k] : 0) + get(j->dtype, j->b->data, i + k);
            set(j->dtype, j->y, i + k, run[k]);
        }
    }
}

static void scan_blocks(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    for (int64_t b = begin; b < end; b++) {
        const int64_t first = b % j->blocks * BLOCK;
        const int64_t width = j->inner - first < BLOCK ? j->inner - first : BLOCK;
        const int64_t at = b / j->blocks * j->n * j->inner + first;
        if (j->b)
            scan_linear(j, at, width);
        else if (j->kind == TERNI_SCAN_MAX || j->kind == TERNI_SCAN_MIN)
            (j->dtype == TERN_F32 ? extremes_f32 : j->dtype == TERN_F64 ? extremes_f64 : scan_extremes)(j, at, width);
        else if (j->dtype == TERN_F32 || j->dtype == TERN_F64)
            (j->dtype == TERN_F32 ? columns_f32 : columns_f64)(j, at, width);
        else if (j->dtype <= TERN_BF16)
            scan_halves(j, at, width);
        else
            scan_ints(j, at, width);
    }
}

static void scan_groups(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const int64_t lines = j->x->shape[0];
    for (int64_t g = begin; g < end; g++) {
        const int64_t first = g * ROWS, count = lines - first < ROWS ? lines - first : ROWS;
        (j->dtype == TERN_F32 ? scan_lines_f32 : scan_lines_f64)(j, first, count);
    }
}

static bool scan(const terni_call *c, const terni_view *b) {
    const terni_scan_opts *o = c->opts;
    const terni_view *x = c->in[0];
    job j = {.x = x,
             .b = b,
             .y = c->out[0]->data,
             .kind = o->kind,
             .dtype = x->dtype,
             .out_dtype = c->out[0]->dtype,
             .reverse = o->reverse,
             .n = x->shape[1],
             .inner = x->shape[2]};
    if (c->n_out > 1 && c->out[1]) j.index = c->out[1]->data;
    if (terni_cpu_count(x) == 0) return true;
    if (j.inner == 1 && (j.dtype == TERN_F32 || j.dtype == TERN_F64)) {
        terni_cpu_parallel((x->shape[0] + ROWS - 1) / ROWS, GRAIN_ELEMENTS / (j.n * ROWS) + 1, scan_groups, &j);
        return true;
    }
    j.blocks = (j.inner + BLOCK - 1) / BLOCK;
    terni_cpu_parallel(x->shape[0] * j.blocks, GRAIN_ELEMENTS / (j.n * (j.inner < BLOCK ? j.inner : BLOCK)) + 1,
                       scan_blocks, &j);
    return true;
}

bool terni_cpu_scan(const terni_call *c) { return scan(c, NULL); }
bool terni_cpu_linear_scan(const terni_call *c) { return scan(c, c->in[1]); }

/* ---- prod ---------------------------------------------------------------------------------------------------------
 */

static void multiply_rows(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    for (int64_t r = begin; r < end; r++) {
        const int64_t at = r * j->n;
        if (j->dtype == TERN_F32) {
            ((float *)(void *)j->y)[r] = (float)product_f32((const float *)j->x->data + at, j->n);
        } else if (j->dtype == TERN_F64) {
            ((double *)(void *)j->y)[r] = product_f64((const double *)j->x->data + at, j->n);
        } else if (j->dtype <= TERN_BF16) {
            double p = 1;
            for (int64_t i = 0; i < j->n; i++) p *= get(j->dtype, j->x->data, at + i);
            set(j->dtype, j->y, r, p);
        } else {
            uint64_t p = 1;
            for (int64_t i = 0; i < j->n; i++) p *= (uint64_t)get_int(j->dtype, j->x->data, at + i);
            ((int64_t *)(void *)j->y)[r] = (int64_t)p;
        }
    }
}

bool terni_cpu_prod(const terni_call *c) {
    const terni_view *x = c->in[0];
    job j = {.x = x, .y = c->out[0]->data, .dtype = x->dtype, .n = x->shape[1]};
    terni_cpu_parallel(x->shape[0], GRAIN_ELEMENTS / (j.n + 1) + 1, multiply_rows, &j);
    return true;
}
