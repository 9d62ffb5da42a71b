/* Index kernels. Indices are all checked before anything is written. Each kernel is one loop over the index's (or the
 * output's) shape: the indexed tensor takes part with a stride of 0 in the indexed dimension, and the run adds what the
 * index says. Writing kernels cut another dimension for threads and go in the order of the index, so that repeated
 * indices give the same every time; f16 and bf16 are combined in f32. */
#include <string.h>

#include "internal.h"

enum { GRAIN = 16384, RUN = 16 };

typedef struct walk {
    int64_t step; /* of the indexed tensor along the indexed dimension, in elements */
    bool wide;    /* the index is i64, else i32 */
    int dtype;    /* of what is added */
} walk;

static inline int64_t index_at(const char *p, int64_t k, bool wide) {
    return wide ? ((const int64_t *)(const void *)p)[k] : (int64_t)((const int32_t *)(const void *)p)[k];
}

typedef struct range_job {
    int64_t lo, hi;
    bool wide, found;
} range_job;

static void look(int64_t n, char *const *q, const int64_t *s, const void *arg) {
    range_job *const j = *(range_job *const *)arg;
    bool good = true;
    if (j->wide)
        for (int64_t k = 0; k < n; k++) {
            const int64_t i = ((const int64_t *)(const void *)q[0])[k * s[0]];
            good = good & (i >= j->lo) & (i < j->hi);
        }
    else
        for (int64_t k = 0; k < n; k++) {
            const int32_t i = ((const int32_t *)(const void *)q[0])[k * s[0]];
            good = good & (i >= j->lo) & (i < j->hi);
        }
    if (!good) j->found = true;
}

/* Where element k of v, in row-major order, is. */
static int64_t locate(const terni_view *v, int64_t k) {
    int64_t o = 0;
    for (int d = v->ndim - 1; d >= 0; d--) {
        o += k % v->shape[d] * v->strides[d];
        k /= v->shape[d];
    }
    return o;
}

/* Every index is in [lo, hi); else the error names the first that is not. Dimensions along which the index repeats are
 * looked at once. */
static bool check_range(const char *op, const terni_view *index, int64_t lo, int64_t hi, int dim) {
    range_job j = {lo, hi, index->dtype == TERN_I64, false}, *const p = &j;
    const int64_t n = terni_cpu_count(index);
    terni_view once = *index;
    for (int d = 0; d < once.ndim && n; d++)
        if (once.strides[d] == 0) once.shape[d] = 1;
    const terni_view *const v = &once;
    terni_cpu_loop(&v, 1, look, &p, INT64_MAX);
    for (int64_t k = 0; j.found && k < n; k++) {
        const int64_t i = index_at(index->data, locate(index, k), j.wide);
        if (i < lo || i >= hi)
            return terni_cpu_fail(TERN_ERR_INDEX,
                                  "%s: index %lld at position %lld is outside dimension %d of size %lld", op,
                                  (long long)i, (long long)k, dim, (long long)hi);
    }
    return true;
}

static bool check(const char *op, const terni_view *index, int64_t size, int dim) {
    return check_range(op, index, 0, size, dim);
}

/* v as it takes part in a loop over shape: it stays where it is along dim. */
static terni_view indexed(const terni_view *v, const terni_view *like, int dim) {
    terni_view r = *v;
    memcpy(r.shape, like->shape, sizeof r.shape);
    r.strides[dim] = 0;
    return r;
}

/* A 1-dim index along dim of a loop over shape. */
static terni_view along(const terni_view *index, const terni_view *like, int dim) {
    terni_view r = *like;
    r.data = index->data;
    r.dtype = index->dtype;
    for (int d = 0; d < r.ndim; d++) r.strides[d] = d == dim ? index->strides[0] : 0;
    return r;
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

/* out, index, x. A run that does not move along the index is a plain copy. */
#define READ(name, T)                                                                                                  \
    static void name(int64_t n, char *const *q, const int64_t *s, const void *arg) {                                   \
        const walk *w = arg;                                                                                           \
        T *out = (T *)(void *)q[0];                                                                                    \
        const T *x = (const T *)(const void *)q[2];                                                                    \
        if (s[1] == 0 && s[0] == 1 && s[2] == 1)                                                                       \
            memcpy(out, x + index_at(q[1], 0, w->wide) * w->step, (size_t)n * sizeof(T));                              \
        else                                                                                                           \
            for (int64_t k = 0; k < n; k++) out[k * s[0]] = x[index_at(q[1], k * s[1], w->wide) * w->step + k * s[2]]; \
    }
READ(read8, uint8_t)
READ(read16, uint16_t)
READ(read32, uint32_t)
READ(read64, uint64_t)

static bool take(const terni_view *x, const terni_view *index, const terni_view *y, int dim) {
    static const terni_run_fn fns[9] = {[1] = read8, [2] = read16, [4] = read32, [8] = read64};
    const walk w = {x->strides[dim], index->dtype == TERN_I64, x->dtype};
    const terni_view from = indexed(x, y, dim);
    const terni_view *const v[3] = {y, index, &from};
    terni_cpu_loop(v, 3, fns[terni_cpu_size(x->dtype)], &w, GRAIN);
    return true;
}

bool terni_cpu_index_select(const terni_call *c) {
    const terni_dim_opts *o = c->opts;
    const int dim = o->dim;
    const terni_view *x = c->in[0], *index = c->in[1], *y = c->out[0];
    if (!check(o->op, index, x->shape[dim], dim)) return false;
    const terni_view i = along(index, y, dim);
    return take(x, &i, y, dim);
}

bool terni_cpu_gather(const terni_call *c) {
    const terni_dim_opts *o = c->opts;
    const int dim = o->dim;
    const terni_view *x = c->in[0], *index = c->in[1], *y = c->out[0];
    return check(o->op, index, x->shape[dim], dim) && take(x, index, y, dim);
}

/* ---- writing: adding, or setting and the like -----------------------------------------------------------------------
 */

/* y, index, src */
#define COMBINE(name, T, S, OP)                                                      \
    static void name(int64_t n, char *const *q, const int64_t *s, const void *arg) { \
        const walk *w = arg;                                                         \
        T *y = (T *)(void *)q[0];                                                    \
        const S *src = (const S *)(const void *)q[2];                                \
        if (s[1] == 0 && s[0] == 1 && s[2] == 1) {                                   \
            y += index_at(q[1], 0, w->wide) * w->step;                               \
            for (int64_t k = 0; k < n; k++) y[k] = OP(y[k], src[k]);                 \
        } else {                                                                     \
            for (int64_t k = 0; k < n; k++) {                                        \
                T *to = y + index_at(q[1], k * s[1], w->wide) * w->step + k * s[0];  \
                *to = OP(*to, src[k * s[2]]);                                        \
            }                                                                        \
        }                                                                            \
    }
#define SUM(a, b)       ((a) + (b))
#define SUM_I64(a, b)   ((int64_t)((uint64_t)(a) + (uint64_t)(b)))
#define SUM_I32(a, b)   ((int32_t)((uint32_t)(a) + (uint32_t)(b)))
#define SUM_U8(a, b)    ((uint8_t)((a) + (b)))
#define PROD(a, b)      ((a) * (b))
#define PROD_I64(a, b)  ((int64_t)((uint64_t)(a) * (uint64_t)(b)))
#define PROD_I32(a, b)  ((int32_t)((uint32_t)(a) * (uint32_t)(b)))
#define PROD_U8(a, b)   ((uint8_t)((a) * (b)))
#define EITHER(a, b)    ((uint8_t)((a) | (b)))
#define BOTH(a, b)      ((uint8_t)((a) & (b)))
#define MORE(a, b)      ((b) > (a) || (b) != (b) ? (b) : (a)) /* NaN wins */
#define LESS(a, b)      ((b) < (a) || (b) != (b) ? (b) : (a))
#define LAST(a, b)      (b)
#define F16(OP, a, b)   OP(a, terni_f16_to(b))
#define BF16(OP, a, b)  OP(a, terni_bf16_to(b))
#define SUM_F16(a, b)   F16(SUM, a, b)
#define SUM_BF16(a, b)  BF16(SUM, a, b)
#define PROD_F16(a, b)  F16(PROD, a, b)
#define PROD_BF16(a, b) BF16(PROD, a, b)
#define MORE_F16(a, b)  F16(MORE, a, b)
#define MORE_BF16(a, b) BF16(MORE, a, b)
#define LESS_F16(a, b)  F16(LESS, a, b)
#define LESS_BF16(a, b) BF16(LESS, a, b)

/* The functions of one operation, by the dtype of what is combined; those of halves work on f32. */
#define FAMILY(name, F, H, BH, L, I, U, B)                                                                    \
    COMBINE(name##_f32, float, float, F)                                                                      \
    COMBINE(name##_f64, double, double, F)                                                                    \
    COMBINE(name##_f16, float, uint16_t, H)                                                                   \
    COMBINE(name##_bf16, float, uint16_t, BH)                                                                 \
    COMBINE(name##_i64, int64_t, int64_t, L)                                                                  \
    COMBINE(name##_i32, int32_t, int32_t, I)                                                                  \
    COMBINE(name##_u8, uint8_t, uint8_t, U)                                                                   \
    COMBINE(name##_bool, uint8_t, uint8_t, B)                                                                 \
    static const terni_run_fn name[TERN_DTYPE_COUNT] = {                                                      \
        [TERN_F32] = name##_f32, [TERN_F64] = name##_f64, [TERN_F16] = name##_f16, [TERN_BF16] = name##_bf16, \
        [TERN_I64] = name##_i64, [TERN_I32] = name##_i32, [TERN_U8] = name##_u8,   [TERN_BOOL] = name##_bool};
FAMILY(sum, SUM, SUM_F16, SUM_BF16, SUM_I64, SUM_I32, SUM_U8, EITHER)
FAMILY(prod, PROD, PROD_F16, PROD_BF16, PROD_I64, PROD_I32, PROD_U8, BOTH)
FAMILY(more, MORE, MORE_F16, MORE_BF16, MORE, MORE, MORE, MORE)
FAMILY(less, LESS, LESS_F16, LESS_BF16, LESS, LESS, LESS, LESS)
COMBINE(set8, uint8_t, uint8_t, LAST)
COMBINE(set16, uint16_t, uint16_t, LAST)
COMBINE(set32, uint32_t, uint32_t, LAST)
COMBINE(set64, uint64_t, uint64_t, LAST)

typedef struct write_job {
    terni_view y, index, src; /* of one shape */
    int split;                /* the dimension that is cut for threads; not the indexed one */
    terni_run_fn fn;
    walk w;
} write_job;

/* Indices [begin, end) of the cut dimension: what different threads write to is apart, and each place is written to in
 * the order of the index, however many threads there are. */
static void write_part(void *arg, int64_t begin, int64_t end) {
    write_job j = *(const write_job *)arg;
    terni_view *const all[3] = {&j.y, &j.index, &j.src};
    for (int i = 0; i < 3; i++) {
        all[i]->shape[j.split] = end - begin;
        all[i]->data = (char *)all[i]->data + begin * all[i]->strides[j.split] * (int64_t)terni_cpu_size(all[i]->dtype);
    }
    const terni_view *const v[3] = {&j.y, &j.index, &j.src};
    terni_cpu_loop(v, 3, j.fn, &j.w, INT64_MAX);
}

static void write_all(const terni_view *y, const terni_view *index, const terni_view *src, int dim, terni_run_fn fn) {
    const int64_t n = terni_cpu_count(src);
    write_job j = {indexed(y, src, dim),    *index, *src,
                   dim ? 0 : src->ndim - 1, fn,     {y->strides[dim], index->dtype == TERN_I64, src->dtype}};
    if (n == 0) return;
    for (int d = 0; d < src->ndim; d++)
        if (d != dim && (j.split == dim || src->shape[d] > src->shape[j.split])) j.split = d;
    if (j.split == dim) { /* 1-dim */
        const terni_view *const v[3] = {&j.y, &j.index, &j.src};
        terni_cpu_loop(v, 3, fn, &j.w, INT64_MAX);
        return;
    }
    const int64_t each = n / src->shape[j.split], grain = GRAIN / each + 1;
    terni_cpu_parallel(src->shape[j.split], grain < RUN ? RUN : grain, write_part, &j);
}

/* Halves are combined in f32, so that many small additions to one place do not get lost; y is contiguous then. */
static bool combine(const terni_view *y, const terni_view *index, const terni_view *src, int dim,
                    const terni_run_fn *fns) {
    if (!terni_cpu_is_half(y->dtype)) {
        write_all(y, index, src, dim, fns[y->dtype]);
        return true;
    }
    const int64_t n = terni_cpu_count(y);
    terni_view wide = *y;
    wide.dtype = TERN_F32;
    if (n == 0) return true;
    wide.data = terni_cpu_host->alloc((size_t)n * sizeof(float));
    if (!wide.data) return false;
    terni_cpu_from_half(y->dtype, y->data, 1, wide.data, n);
    write_all(&wide, index, src, dim, fns[y->dtype]);
    terni_cpu_to_half(y->dtype, wide.data, y->data, 1, n);
    terni_cpu_host->free(wide.data, (size_t)n * sizeof(float));
    return true;
}

bool terni_cpu_index_add(const terni_call *c) {
    const terni_dim_opts *o = c->opts;
    const int dim = o->dim;
    const terni_view *index = c->in[0], *src = c->in[1], *y = c->out[0];
    if (!check(o->op, index, y->shape[dim], dim)) return false;
    const terni_view i = along(index, src, dim);
    return combine(y, &i, src, dim, sum);
}

bool terni_cpu_scatter_add(const terni_call *c) {
    const terni_dim_opts *o = c->opts;
    const int dim = o->dim;
    const terni_view *index = c->in[0], *src = c->in[1], *y = c->out[0];
    return check(o->op, index, y->shape[dim], dim) && combine(y, index, src, dim, sum);
}

bool terni_cpu_scatter(const terni_call *c) {
    static const terni_run_fn set[9] = {[1] = set8, [2] = set16, [4] = set32, [8] = set64};
    static const terni_run_fn *const fns[] = {
        [TERNI_SCATTER_PROD] = prod, [TERNI_SCATTER_MAX] = more, [TERNI_SCATTER_MIN] = less};
    const terni_scatter_opts *o = c->opts;
    const terni_view *index = c->in[0], *src = c->in[1], *y = c->out[0];
    if (!check(o->op, index, y->shape[o->dim], o->dim)) return false;
    if (o->how != TERNI_SCATTER_SET) return combine(y, index, src, o->dim, fns[o->how]);
    write_all(y, index, src, o->dim, set[terni_cpu_size(y->dtype)]);
    return true;
}

/* ---- several indices as one -----------------------------------------------------------------------------------------
 */

typedef struct digit {
    int64_t size;
    bool wide;
} digit;

static void add_digit(int64_t n, char *const *q, const int64_t *s, const void *arg) {
    const digit *g = arg;
    int64_t *y = (int64_t *)(void *)q[0];
    for (int64_t k = 0; k < n; k++) {
        const int64_t i = index_at(q[1], k * s[1], g->wide);
        y[k * s[0]] = y[k * s[0]] * g->size + (i < 0 ? i + g->size : i);
    }
}

bool terni_cpu_linear_index(const terni_call *c) {
    const terni_linear_opts *o = c->opts;
    const digit g = {o->size, c->in[0]->dtype == TERN_I64};
    const terni_view *const v[2] = {c->out[0], c->in[0]};
    if (!check_range(o->op, c->in[0], -o->size, o->size, o->dim)) return false;
    terni_cpu_loop(v, 2, add_digit, &g, GRAIN);
    return true;
}
