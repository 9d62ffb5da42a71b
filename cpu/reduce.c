/* Sums. Where the innermost reduced dimension is the one that
 * lies densest in memory, each output is a sum of runs (pairwise inside, compensated across); where a kept dimension
 * does, whole rows are added up in blocks. Blocks do not depend on the number of threads, so neither do results. */
#include <math.h>
#include <string.h>

#include "reduce.h"
#include "simd.h"

enum { GRAIN = 32768, BASE = 1024, HALF_BLOCK = 1024, ROWS = 64, SPLIT = 1 << 16 };

static void add_dim(int *n, int64_t *size, int64_t *stride, int64_t d, int64_t s) {
    if (d == 1) return;
    if (*n > 0 && stride[*n - 1] == s * d) {
        size[*n - 1] *= d;
        stride[*n - 1] = s;
        return;
    }
    size[*n] = d;
    stride[(*n)++] = s;
}

terni_reduction terni_cpu_reduction(const terni_call *c) {
    const terni_reduce_opts *o = c->opts;
    terni_reduction p = {.x = c->in[0], .y = c->out[0], .outputs = 1, .inputs = 1, .scale = o->scale};
    for (int d = 0; d < p.x->ndim; d++) {
        const int64_t size = p.x->shape[d], stride = p.x->strides[d];
        if (o->dims >> d & 1) {
            p.inputs *= size;
            add_dim(&p.n_red, p.red, p.red_stride, size, stride);
        } else {
            p.outputs *= size;
            add_dim(&p.n_kept, p.kept, p.kept_stride, size, stride);
        }
    }
    if (p.n_red == 0) p.red[p.n_red] = 1, p.red_stride[p.n_red++] = 1;
    if (p.n_kept == 0) p.kept[p.n_kept] = 1, p.kept_stride[p.n_kept++] = 1;
    return p;
}

typedef struct columns_job {
    const terni_reduction *p;
    terni_columns_fn fn;
    int64_t per_row; /* blocks */
} columns_job;

static void some_columns(void *arg, int64_t begin, int64_t end) {
    const columns_job *job = arg;
    const terni_reduction *p = job->p;
    const int last = p->n_kept - 1;
    const int64_t width = p->kept[last];
    for (int64_t i = begin; i < end; i++) {
        const int64_t row = i / job->per_row, j = i % job->per_row * TERNI_COLUMNS;
        const int64_t base = terni_cpu_offset(row, last, p->kept, p->kept_stride) + j;
        job->fn(p, base, row * width + j, width - j < TERNI_COLUMNS ? width - j : TERNI_COLUMNS);
    }
}

void terni_cpu_columns(const terni_reduction *p, terni_columns_fn fn, int64_t grain) {
    const int64_t width = p->kept[p->n_kept - 1];
    columns_job job = {p, fn, (width + TERNI_COLUMNS - 1) / TERNI_COLUMNS};
    terni_cpu_parallel(p->outputs / width * job.per_row, grain / TERNI_COLUMNS + 1, some_columns, &job);
}

/* Neumaier's compensated sum. */
typedef struct total {
    double s, c;
} total;
static inline void total_add(total *t, double v) {
    const double u = t->s + v;
    if (isfinite(u)) t->c += fabs(t->s) >= fabs(v) ? (t->s - u) + v : (v - u) + t->s;
    t->s = u;
}
static inline double total_get(const total *t) { return t->s + t->c; }

/* ---- sums of runs
 * -------------------------------------------------------------------------------------------------------- */

#define PAIRWISE(name, T, V, VU, LANES, FOLD)                          \
    static double name(const T *x, int64_t n, int64_t s) {             \
        if (n > BASE) {                                                \
            const int64_t half = (n / 2 + BASE - 1) / BASE * BASE;     \
            return name(x, half, s) + name(x + half * s, n - half, s); \
        }                                                              \
        double r = 0;                                                  \
        int64_t i = 0;                                                 \
        if (s == 1 && n >= 4 * LANES) {                                \
            V a = {0}, b = {0}, c = {0}, d = {0};                      \
            for (; i + 4 * LANES <= n; i += 4 * LANES) {               \
                a += *(const VU *)(const void *)(x + i);               \
                b += *(const VU *)(const void *)(x + i + LANES);       \
                c += *(const VU *)(const void *)(x + i + 2 * LANES);   \
                d += *(const VU *)(const void *)(x + i + 3 * LANES);   \
            }                                                          \
            r = FOLD((a + b) + (c + d));                               \
        }                                                              \
        for (; i < n; i++) r += (double)x[i * s];                      \
        return r;                                                      \
    }
PAIRWISE(pairwise_f32, float, terni_vf, terni_vf_u, TERNI_LANES_F32, terni_fold_f32)
PAIRWISE(pairwise_f64, double, terni_vd, terni_vd_u, TERNI_LANES_F64, terni_fold_f64)

static void sum_run(total *t, const terni_view *x, int64_t at, int64_t n, int64_t s) {
    if (s == 0 && n > 1) { /* rounding errors of equal terms do not cancel */
        total one = {0, 0};
        sum_run(&one, x, at, 1, 1);
        total_add(t, one.s * (double)n);
    } else if (x->dtype == TERN_F32) {
        total_add(t, pairwise_f32((const float *)x->data + at, n, s));
    } else if (x->dtype == TERN_F64) {
        total_add(t, pairwise_f64((const double *)x->data + at, n, s));
    } else {
        float buf[HALF_BLOCK];
        for (int64_t i = 0; i < n; i += HALF_BLOCK) {
            const int64_t m = n - i < HALF_BLOCK ? n - i : HALF_BLOCK;
            terni_cpu_from_half(x->dtype, (const uint16_t *)x->data + at + i * s, s, buf, m);
            total_add(t, pairwise_f32(buf, m, 1));
        }
    }
}

static void store(const terni_view *y, int64_t i, double v) {
    switch (y->dtype) {
        case TERN_F32:
            ((float *)y->data)[i] = (float)v;
            break;
        case TERN_F64:
            ((double *)y->data)[i] = v;
            break;
        case TERN_F16:
            ((uint16_t *)y->data)[i] = terni_f16_from(v);
            break;
        default:
            ((uint16_t *)y->data)[i] = terni_bf16_from(v);
            break;
    }
}

static void sum_by_output(void *arg, int64_t begin, int64_t end) {
    const terni_reduction *p = arg;
    const int last = p->n_red - 1;
    const int64_t runs = p->red[last] ? p->inputs / p->red[last] : 0;
    for (int64_t i = begin; i < end; i++) {
        const int64_t base = terni_cpu_offset(i, p->n_kept, p->kept, p->kept_stride);
        total t = {0, 0};
        for (int64_t r = 0; r < runs; r++)
            sum_run(&t, p->x, base + terni_cpu_offset(r, last, p->red, p->red_stride), p->red[last],
                    p->red_stride[last]);
        store(p->y, i, total_get(&t) * p->scale);
    }
}

/* Short dense rows, an output each: what sum_by_output costs beyond the additions would be most of the time. The rest
 * of a row is read as the end of a whole vector, with what was added before masked away. */
#define SHORT_ROWS(name, T, INT, V, VU, LANES, FOLD)                                                      \
    static void name(void *arg, int64_t begin, int64_t end) {                                             \
        const terni_reduction *p = arg;                                                                   \
        const int64_t n = p->inputs, rest = n % LANES;                                                    \
        typedef INT lanes __attribute__((vector_size(TERNI_VEC_BYTES)));                                  \
        lanes mask;                                                                                       \
        for (int l = 0; l < LANES; l++) mask[l] = l < LANES - rest ? 0 : -1;                              \
        for (int64_t r = begin; r < end; r++) {                                                           \
            const T *x = (const T *)p->x->data + terni_cpu_offset(r, p->n_kept, p->kept, p->kept_stride); \
            double sum = 0;                                                                               \
            if (n < LANES) {                                                                              \
                for (int64_t i = 0; i < n; i++) sum += (double)x[i];                                      \
            } else {                                                                                      \
                V a = {0}, b = {0};                                                                       \
                int64_t i = 0;                                                                            \
                for (; n - i >= 2 * LANES; i += 2 * LANES) {                                              \
                    a += *(const VU *)(const void *)(x + i);                                              \
                    b += *(const VU *)(const void *)(x + i + LANES);                                      \
                }                                                                                         \
                if (n - i >= LANES) a += *(const VU *)(const void *)(x + i);                              \
                if (rest) b += (V)((lanes) * (const VU *)(const void *)(x + n - LANES) & mask);           \
                sum = FOLD(a + b);                                                                        \
            }                                                                                             \
            ((T *)p->y->data)[r] = (T)(sum * p->scale);                                                   \
        }                                                                                                 \
    }
SHORT_ROWS(short_rows_f32, float, int32_t, terni_vf, terni_vf_u, TERNI_LANES_F32, terni_fold_f32)
SHORT_ROWS(short_rows_f64, double, int64_t, terni_vd, terni_vd_u, TERNI_LANES_F64, terni_fold_f64)

/* One output from one run: blocks in parallel, then their sums in order. */
static void sum_block(void *arg, int64_t begin, int64_t end) {
    const terni_reduction *p = arg;
    for (int64_t b = begin; b < end; b++) {
        const int64_t at = b * SPLIT, n = p->red[0] - at < SPLIT ? p->red[0] - at : SPLIT;
        total t = {0, 0};
        sum_run(&t, p->x, at * p->red_stride[0], n, p->red_stride[0]);
        p->partial[b] = total_get(&t);
    }
}

static bool sum_all(terni_reduction *p) {
    const int64_t blocks = (p->red[0] + SPLIT - 1) / SPLIT;
    p->partial = terni_cpu_host->alloc((size_t)blocks * sizeof(double));
    if (!p->partial) return false;
    terni_cpu_parallel(blocks, 1, sum_block, p);
    total t = {0, 0};
    for (int64_t b = 0; b < blocks; b++) total_add(&t, p->partial[b]);
    store(p->y, 0, total_get(&t) * p->scale);
    terni_cpu_host->free(p->partial, (size_t)blocks * sizeof(double));
    return true;
}

/* ---- sums of rows: the innermost kept dimension is dense
 * --------------------------------------------------------------------- */

#define ADD_ROWS(T)                                              \
    {                                                            \
        const T *x = (const T *)p->x->data + at;                 \
        for (int64_t j = 0; j < m; j++) part[j] += (double)x[j]; \
    }

/* Columns [j, j + m) of one row of outputs. f32 rows are added in f32 within a block of ROWS, blocks in f64. */
static void sum_columns(const terni_reduction *p, int64_t base, int64_t y0, int64_t m) {
    double sum[TERNI_COLUMNS] = {0}, part[TERNI_COLUMNS];
    float part32[TERNI_COLUMNS];
    for (int64_t r = 0; r < p->inputs; r += ROWS) {
        const int64_t end = r + ROWS < p->inputs ? r + ROWS : p->inputs;
        memset(part, 0, sizeof part);
        memset(part32, 0, sizeof part32);
        for (int64_t k = r; k < end; k++) {
            const int64_t at = base + terni_cpu_offset(k, p->n_red, p->red, p->red_stride);
            if (p->x->dtype == TERN_F64) {
                ADD_ROWS(double)
            } else if (p->x->dtype == TERN_F32) {
                const float *x = (const float *)p->x->data + at;
                for (int64_t j = 0; j < m; j++) part32[j] += x[j];
            } else {
                float buf[TERNI_COLUMNS];
                terni_cpu_from_half(p->x->dtype, (const uint16_t *)p->x->data + at, 1, buf, m);
                for (int64_t j = 0; j < m; j++) part32[j] += buf[j];
            }
        }
        for (int64_t j = 0; j < m; j++) sum[j] += part[j] + (double)part32[j];
    }
    for (int64_t j = 0; j < m; j++) store(p->y, y0 + j, sum[j] * p->scale);
}

/* ---- integers
 * ------------------------------------------------------------------------------------------------------------------ */

#define SUM_INT(name, T)                                                          \
    static uint64_t name(const terni_view *x, int64_t at, int64_t n, int64_t s) { \
        const T *v = (const T *)x->data + at;                                     \
        uint64_t sum = 0; /* wraps */                                             \
        if (s == 1)                                                               \
            for (int64_t k = 0; k < n; k++) sum += (uint64_t)v[k];                \
        else                                                                      \
            for (int64_t k = 0; k < n; k++) sum += (uint64_t)v[k * s];            \
        return sum;                                                               \
    }
SUM_INT(sum_i64, int64_t)
SUM_INT(sum_i32, int32_t)
SUM_INT(sum_u8, uint8_t)

static void sum_int(void *arg, int64_t begin, int64_t end) {
    const terni_reduction *p = arg;
    const int last = p->n_red - 1, dtype = p->x->dtype;
    const int64_t n = p->red[last], s = p->red_stride[last], runs = n ? p->inputs / n : 0;
    for (int64_t i = begin; i < end; i++) {
        const int64_t base = terni_cpu_offset(i, p->n_kept, p->kept, p->kept_stride);
        uint64_t sum = 0;
        for (int64_t r = 0; r < runs; r++) {
            const int64_t at = base + terni_cpu_offset(r, last, p->red, p->red_stride);
            sum += dtype == TERN_I64   ? sum_i64(p->x, at, n, s)
                   : dtype == TERN_I32 ? sum_i32(p->x, at, n, s)
                                       : sum_u8(p->x, at, n, s);
        }
        ((int64_t *)p->y->data)[i] = (int64_t)sum;
    }
}

bool terni_cpu_sum(const terni_call *c) {
    terni_reduction p = terni_cpu_reduction(c);
    if (p.outputs == 0) return true;
    const int64_t grain = GRAIN / (p.inputs + 1) + 1;
    if (p.y->dtype == TERN_I64) {
        terni_cpu_parallel(p.outputs, grain, sum_int, &p);
        return true;
    }
    if (p.outputs == 1 && p.n_red == 1 && p.inputs > SPLIT) return sum_all(&p);
    const bool run = p.n_red == 1 && p.red_stride[0] == 1 && p.x->dtype == p.y->dtype;
    if (terni_cpu_by_columns(&p))
        terni_cpu_columns(&p, sum_columns, grain);
    else if (run && p.inputs <= BASE && (p.y->dtype == TERN_F32 || p.y->dtype == TERN_F64))
        terni_cpu_parallel(p.outputs, grain, p.y->dtype == TERN_F64 ? short_rows_f64 : short_rows_f32, &p);
    else
        terni_cpu_parallel(p.outputs, grain, sum_by_output, &p);
    return true;
}
