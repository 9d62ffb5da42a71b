/* Index kernels. Indices are all checked before anything is written. Each kernel is one loop over the index's (or the
 * output's) shape: the indexed tensor takes part with a stride of 0 in the indexed dimension, and the run adds what the
 * index says. Adding kernels run on one thread, in the order of the index, so that repeated indices add up the same
 * way every time; f16 and bf16 add up in f32. */
#include <string.h>

#include "internal.h"

enum { GRAIN = 16384 };

typedef struct walk {
    int64_t step; /* of the indexed tensor along the indexed dimension, in elements */
    bool wide;    /* the index is i64, else i32 */
    int dtype;    /* of what is added */
} walk;

static inline int64_t index_at(const char *p, int64_t k, bool wide) {
    return wide ? ((const int64_t *)(const void *)p)[k] : (int64_t)((const int32_t *)(const void *)p)[k];
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

static bool check(const char *op, const terni_view *index, int64_t size, int dim) {
    const int64_t n = terni_cpu_count(index);
    bool dense = true;
    for (int64_t d = index->ndim - 1, s = 1; d >= 0; s *= index->shape[d--])
        dense = dense && (index->strides[d] == s || index->shape[d] == 1);
    for (int64_t k = 0; k < n; k++) {
        const int64_t i = index_at(index->data, dense ? k : locate(index, k), index->dtype == TERN_I64);
        if (i < 0 || i >= size)
            return terni_cpu_fail(TERN_ERR_INDEX,
                                  "%s: index %lld at position %lld is outside dimension %d of size %lld", op,
                                  (long long)i, (long long)k, dim, (long long)size);
    }
    return true;
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
    const int dim = ((const terni_dim_opts *)c->opts)->dim;
    const terni_view *x = c->in[0], *index = c->in[1], *y = c->out[0];
    if (!check("index_select", index, x->shape[dim], dim)) return false;
    const terni_view i = along(index, y, dim);
    return take(x, &i, y, dim);
}

bool terni_cpu_gather(const terni_call *c) {
    const int dim = ((const terni_dim_opts *)c->opts)->dim;
    const terni_view *x = c->in[0], *index = c->in[1], *y = c->out[0];
    return check("gather", index, x->shape[dim], dim) && take(x, index, y, dim);
}

/* ---- adding ---------------------------------------------------------------------------------------------------- */

/* y, index, src */
#define ADD(name, T, S, ADDED)                                                       \
    static void name(int64_t n, char *const *q, const int64_t *s, const void *arg) { \
        const walk *w = arg;                                                         \
        T *y = (T *)(void *)q[0];                                                    \
        const S *src = (const S *)(const void *)q[2];                                \
        if (s[1] == 0 && s[0] == 1 && s[2] == 1) {                                   \
            y += index_at(q[1], 0, w->wide) * w->step;                               \
            for (int64_t k = 0; k < n; k++) y[k] = ADDED(y[k], src[k]);              \
        } else {                                                                     \
            for (int64_t k = 0; k < n; k++) {                                        \
                T *to = y + index_at(q[1], k * s[1], w->wide) * w->step + k * s[0];  \
                *to = ADDED(*to, src[k * s[2]]);                                     \
            }                                                                        \
        }                                                                            \
    }
#define SUM(a, b)      ((a) + (b))
#define SUM_U8(a, b)   ((uint8_t)((a) + (b)))
#define EITHER(a, b)   ((uint8_t)((a) | (b)))
#define SUM_F16(a, b)  ((a) + terni_f16_to(b))
#define SUM_BF16(a, b) ((a) + terni_bf16_to(b))
ADD(add_f32, float, float, SUM)
ADD(add_f64, double, double, SUM)
ADD(add_f16, float, uint16_t, SUM_F16)
ADD(add_bf16, float, uint16_t, SUM_BF16)
ADD(add_i64, int64_t, int64_t, SUM)
ADD(add_i32, int32_t, int32_t, SUM)
ADD(add_u8, uint8_t, uint8_t, SUM_U8)
ADD(add_bool, uint8_t, uint8_t, EITHER)

static void add_all(const terni_view *y, const terni_view *index, const terni_view *src, int dim) {
    static const terni_run_fn fns[TERN_DTYPE_COUNT] = {
        [TERN_F32] = add_f32, [TERN_F64] = add_f64, [TERN_F16] = add_f16, [TERN_BF16] = add_bf16,
        [TERN_I64] = add_i64, [TERN_I32] = add_i32, [TERN_U8] = add_u8,   [TERN_BOOL] = add_bool};
    const walk w = {y->strides[dim], index->dtype == TERN_I64, src->dtype};
    const terni_view to = indexed(y, src, dim);
    const terni_view *const v[3] = {&to, index, src};
    terni_cpu_loop(v, 3, fns[src->dtype], &w, INT64_MAX);
}

/* y is contiguous; a half one is widened, so that many small additions to one place do not get lost. */
static bool add(const terni_view *y, const terni_view *index, const terni_view *src, int dim) {
    if (!terni_cpu_is_half(y->dtype)) {
        add_all(y, index, src, dim);
        return true;
    }
    const int64_t n = terni_cpu_count(y);
    terni_view wide = *y;
    wide.dtype = TERN_F32;
    if (n == 0) return true;
    wide.data = terni_cpu_host->alloc((size_t)n * sizeof(float));
    if (!wide.data) return false;
    terni_cpu_from_half(y->dtype, y->data, 1, wide.data, n);
    add_all(&wide, index, src, dim);
    terni_cpu_to_half(y->dtype, wide.data, y->data, 1, n);
    terni_cpu_host->free(wide.data, (size_t)n * sizeof(float));
    return true;
}

bool terni_cpu_index_add(const terni_call *c) {
    const int dim = ((const terni_dim_opts *)c->opts)->dim;
    const terni_view *index = c->in[0], *src = c->in[1], *y = c->out[0];
    if (!check("index_add", index, y->shape[dim], dim)) return false;
    const terni_view i = along(index, src, dim);
    return add(y, &i, src, dim);
}

bool terni_cpu_scatter_add(const terni_call *c) {
    const int dim = ((const terni_dim_opts *)c->opts)->dim;
    const terni_view *index = c->in[0], *src = c->in[1], *y = c->out[0];
    return check("scatter_add", index, y->shape[dim], dim) && add(y, index, src, dim);
}
