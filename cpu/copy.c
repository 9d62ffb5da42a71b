/* copy (with conversion), fill, arange, where. */
#include <string.h>

#include "internal.h"
#include "stream.h"

enum { GRAIN = 32768, BLOCK = 512, TILE = 32 };

/* ---- conversion of a run: every pair of dtypes
 * ------------------------------------------------------------------------- */

/* Float to integer: truncates; what does not fit gives some value, without undefined behaviour. */
static inline int64_t to_i64(double v) { return v >= -0x1p63 && v < 0x1p63 ? (int64_t)v : INT64_MIN; }

#define CONVERT(name, S, D, expr)                                                    \
    static void name(int64_t n, char *const *q, const int64_t *s, const void *arg) { \
        (void)arg;                                                                   \
        D *out = (D *)(void *)q[0];                                                  \
        const S *in = (const S *)(const void *)q[1];                                 \
        if (s[0] == 1 && s[1] == 1)                                                  \
            for (int64_t k = 0; k < n; k++) {                                        \
                const S v = in[k];                                                   \
                out[k] = expr;                                                       \
            }                                                                        \
        else                                                                         \
            for (int64_t k = 0; k < n; k++) {                                        \
                const S v = in[k * s[1]];                                            \
                out[k * s[0]] = expr;                                                \
            }                                                                        \
    }

#define FROM_FLOAT(S, name)                                     \
    CONVERT(name##_f32, S, float, (float)v)                     \
    CONVERT(name##_f64, S, double, (double)v)                   \
    CONVERT(name##_i64, S, int64_t, to_i64((double)v))          \
    CONVERT(name##_i32, S, int32_t, (int32_t)to_i64((double)v)) \
    CONVERT(name##_u8, S, uint8_t, (uint8_t)to_i64((double)v))  \
    CONVERT(name##_bool, S, uint8_t, (uint8_t)(v != 0))         \
    CONVERT(name##_f16, S, uint16_t, terni_f16_from((double)v)) \
    CONVERT(name##_bf16, S, uint16_t, terni_bf16_from((double)v))
#define FROM_INT(S, name)                                       \
    CONVERT(name##_f32, S, float, (float)v)                     \
    CONVERT(name##_f64, S, double, (double)v)                   \
    CONVERT(name##_i64, S, int64_t, (int64_t)v)                 \
    CONVERT(name##_i32, S, int32_t, (int32_t)v)                 \
    CONVERT(name##_u8, S, uint8_t, (uint8_t)v)                  \
    CONVERT(name##_bool, S, uint8_t, (uint8_t)(v != 0))         \
    CONVERT(name##_f16, S, uint16_t, terni_f16_from((double)v)) \
    CONVERT(name##_bf16, S, uint16_t, terni_bf16_from((double)v))
FROM_FLOAT(float, f32)
FROM_FLOAT(double, f64)
FROM_INT(int64_t, i64)
FROM_INT(int32_t, i32)
FROM_INT(uint8_t, u8)

#define ROW(name)                                                                                             \
    {                                                                                                         \
        [TERN_F32] = name##_f32, [TERN_F64] = name##_f64, [TERN_F16] = name##_f16, [TERN_BF16] = name##_bf16, \
        [TERN_I64] = name##_i64, [TERN_I32] = name##_i32, [TERN_U8] = name##_u8, [TERN_BOOL] = name##_bool    \
    }
static const terni_run_fn convert[TERN_DTYPE_COUNT][TERN_DTYPE_COUNT] = {
    [TERN_F32] = ROW(f32), [TERN_F64] = ROW(f64), [TERN_I64] = ROW(i64),
    [TERN_I32] = ROW(i32), [TERN_U8] = ROW(u8),   [TERN_BOOL] = ROW(u8),
};

typedef struct pair {
    int from, to;
    bool stream; /* the result is too large for the caches */
} pair;

/* f16 or bf16 to anything but itself, through a block of f32. */
static void from_half(int64_t n, char *const *q, const int64_t *s, const void *arg) {
    const pair *p = arg;
    float buf[BLOCK];
    for (int64_t at = 0; at < n; at += BLOCK) {
        const int64_t m = n - at < BLOCK ? n - at : BLOCK;
        terni_cpu_from_half(p->from, (const uint16_t *)(const void *)q[1] + at * s[1], s[1], buf, m);
        char *const r[2] = {q[0] + at * s[0] * (int64_t)terni_cpu_size(p->to), (char *)buf};
        const int64_t strides[2] = {s[0], 1};
        convert[TERN_F32][p->to](m, r, strides, NULL);
    }
}

static void f32_to_half(int64_t n, char *const *q, const int64_t *s, const void *arg) {
    const pair *p = arg;
    float buf[BLOCK];
    const float *in = (const float *)(const void *)q[1];
    uint16_t *out = (uint16_t *)(void *)q[0];
    for (int64_t at = 0; at < n; at += BLOCK) {
        const int64_t m = n - at < BLOCK ? n - at : BLOCK;
        for (int64_t k = 0; k < m; k++) buf[k] = in[(at + k) * s[1]];
        terni_cpu_to_half(p->to, buf, out + at * s[0], s[0], m);
    }
}

static void move_run(size_t bytes, char *const *q, const pair *p) {
    if (!p->stream || bytes < TERNI_STREAM_RUN) {
        memcpy(q[0], q[1], bytes);
        return;
    }
    terni_stream(q[0], q[1], bytes);
    terni_stream_end();
}

#define MOVE(name, T)                                                                \
    static void name(int64_t n, char *const *q, const int64_t *s, const void *arg) { \
        T *out = (T *)(void *)q[0];                                                  \
        const T *in = (const T *)(const void *)q[1];                                 \
        if (s[0] == 1 && s[1] == 1)                                                  \
            move_run((size_t)n * sizeof(T), q, arg);                                 \
        else                                                                         \
            for (int64_t k = 0; k < n; k++) out[k * s[0]] = in[k * s[1]];            \
    }
MOVE(move8, uint8_t)
MOVE(move16, uint16_t)
MOVE(move32, uint32_t)
MOVE(move64, uint64_t)

static terni_run_fn mover(int dtype) {
    switch (terni_cpu_size(dtype)) {
        case 1:
            return move8;
        case 2:
            return move16;
        case 4:
            return move32;
        default:
            return move64;
    }
}

/* ---- transposing copies: in tiles, so that both sides are read and written by cache lines
 * ----------------------------------- */

typedef struct transpose {
    const char *in;
    char *out;
    int64_t rows, cols, in_stride; /* out [rows, cols] dense; in has unit stride along rows, in_stride along columns */
    size_t size;
} transpose;

#define TILES(T)                                                                                                     \
    for (int64_t i0 = begin; i0 < end; i0 += TILE)                                                                   \
        for (int64_t j0 = 0; j0 < t->cols; j0 += TILE) {                                                             \
            const int64_t i1 = i0 + TILE < end ? i0 + TILE : end, j1 = j0 + TILE < t->cols ? j0 + TILE : t->cols;    \
            for (int64_t i = i0; i < i1; i++)                                                                        \
                for (int64_t j = j0; j < j1; j++)                                                                    \
                    ((T *)(void *)t->out)[i * t->cols + j] = ((const T *)(const void *)t->in)[j * t->in_stride + i]; \
        }

static void transpose_rows(void *arg, int64_t begin, int64_t end) {
    const transpose *t = arg;
    switch (t->size) {
        case 1:
            TILES(uint8_t) break;
        case 2:
            TILES(uint16_t) break;
        case 4:
            TILES(uint32_t) break;
        default:
            TILES(uint64_t) break;
    }
}

/* x is a 2-dim transposed matrix, y dense, one dtype. */
static bool transposed_copy(const terni_view *x, const terni_view *y) {
    if (x->ndim != 2 || x->dtype != y->dtype || x->strides[0] != 1 || x->strides[1] < x->shape[0]) return false;
    if (y->strides[1] != 1 || y->strides[0] != y->shape[1] || x->shape[0] < 8 || x->shape[1] < 8) return false;
    transpose t = {x->data, y->data, x->shape[0], x->shape[1], x->strides[1], terni_cpu_size(x->dtype)};
    terni_cpu_parallel(t.rows, GRAIN / t.cols + 1, transpose_rows, &t);
    return true;
}

bool terni_cpu_copy(const terni_call *c) {
    const terni_view *x = c->in[0], *y = c->out[0];
    const terni_view *const v[2] = {y, x};
    if (transposed_copy(x, y)) return true;
    const bool large = terni_cpu_count(y) * (int64_t)terni_cpu_size(y->dtype) >= TERNI_STREAM_BYTES;
    const pair p = {x->dtype, y->dtype, large};
    terni_run_fn fn;
    if (p.from == p.to)
        fn = mover(p.from);
    else if (terni_cpu_is_half(p.from))
        fn = from_half;
    else if (p.from == TERN_F32 && terni_cpu_is_half(p.to))
        fn = f32_to_half;
    else
        fn = convert[p.from][p.to];
    terni_cpu_loop(v, 2, fn, &p, GRAIN);
    return true;
}

/* ---- fill, arange
 * --------------------------------------------------------------------------------------------------------------- */

#define FILL(name, T)                                                                \
    static void name(int64_t n, char *const *q, const int64_t *s, const void *arg) { \
        T v, *out = (T *)(void *)q[0];                                               \
        memcpy(&v, arg, sizeof v);                                                   \
        if (s[0] == 1)                                                               \
            for (int64_t k = 0; k < n; k++) out[k] = v;                              \
        else                                                                         \
            for (int64_t k = 0; k < n; k++) out[k * s[0]] = v;                       \
    }
FILL(fill8, uint8_t)
FILL(fill16, uint16_t)
FILL(fill32, uint32_t)
FILL(fill64, uint64_t)

size_t terni_cpu_constant(int dtype, const terni_fill_opts *o, void *element) {
    union {
        double f64;
        float f32;
        uint16_t half;
        int64_t i64;
        int32_t i32;
        uint8_t u8;
    } v = {0};
    switch (dtype) {
        case TERN_F32:
            v.f32 = (float)o->value;
            break;
        case TERN_F64:
            v.f64 = o->value;
            break;
        case TERN_F16:
            v.half = terni_f16_from(o->value);
            break;
        case TERN_BF16:
            v.half = terni_bf16_from(o->value);
            break;
        case TERN_I64:
            v.i64 = o->integer;
            break;
        case TERN_I32:
            v.i32 = (int32_t)o->integer;
            break;
        case TERN_U8:
            v.u8 = (uint8_t)o->integer;
            break;
        default:
            v.u8 = o->value != 0;
            break;
    }
    memcpy(element, &v, terni_cpu_size(dtype));
    return terni_cpu_size(dtype);
}

bool terni_cpu_fill(const terni_call *c) {
    static const terni_run_fn fns[9] = {[1] = fill8, [2] = fill16, [4] = fill32, [8] = fill64};
    const terni_view *y = c->out[0];
    uint64_t v = 0;
    terni_cpu_loop(&y, 1, fns[terni_cpu_constant(y->dtype, c->opts, &v)], &v, GRAIN);
    return true;
}

typedef struct ramp {
    const terni_view *y;
    const terni_arange_opts *o;
} ramp;

/* Blocks of doubles, converted as copies are. */
static void ramp_blocks(void *arg, int64_t begin, int64_t end) {
    const ramp *r = arg;
    const terni_view *y = r->y;
    const terni_arange_opts o = *r->o;
    const int64_t n = y->shape[0], strides[2] = {y->strides[0], 1};
    double v[BLOCK];
    for (int64_t block = begin; block < end; block++) {
        const int64_t from = block * BLOCK, m = n - from < BLOCK ? n - from : BLOCK;
        for (int64_t k = 0; k < m; k++) {
            const double up = o.step * (double)(from + k), down = o.step * (double)(n - 1 - from - k);
            v[k] = from + k < o.half ? o.start + up : o.end - down;
        }
        char *const q[2] = {(char *)y->data + from * y->strides[0] * (int64_t)terni_cpu_size(y->dtype), (char *)v};
        convert[TERN_F64][y->dtype](m, q, strides, NULL);
    }
}

bool terni_cpu_arange(const terni_call *c) {
    ramp r = {c->out[0], c->opts};
    terni_cpu_parallel((r.y->shape[0] + BLOCK - 1) / BLOCK, GRAIN / BLOCK, ramp_blocks, &r);
    return true;
}

/* ---- where
 * ------------------------------------------------------------------------------------------------------------------------
 */

/* One side is often one value: with both read before the choice, no element takes a branch. */
#define CHOOSE(A, B)                  \
    for (int64_t k = 0; k < n; k++) { \
        const T_ x = (A), y = (B);    \
        out[k] = cond[k] ? x : y;     \
    }
#define WHERE(name, T)                                                                  \
    static void name(int64_t n, char *const *q, const int64_t *s, const void *arg) {    \
        (void)arg;                                                                      \
        typedef T T_;                                                                   \
        T *out = (T *)(void *)q[0];                                                     \
        const uint8_t *cond = (const uint8_t *)q[1];                                    \
        const T *a = (const T *)(const void *)q[2], *b = (const T *)(const void *)q[3]; \
        const bool dense = s[0] == 1 && s[1] == 1;                                      \
        if (dense && s[2] == 1 && s[3] == 1)                                            \
            CHOOSE(a[k], b[k])                                                          \
        else if (dense && s[2] == 0 && s[3] == 1) {                                     \
            const T one = *a;                                                           \
            CHOOSE(one, b[k])                                                           \
        } else if (dense && s[2] == 1 && s[3] == 0) {                                   \
            const T one = *b;                                                           \
            CHOOSE(a[k], one)                                                           \
        } else                                                                          \
            for (int64_t k = 0; k < n; k++) {                                           \
                const T x = a[k * s[2]], y = b[k * s[3]];                               \
                out[k * s[0]] = cond[k * s[1]] ? x : y;                                 \
            }                                                                           \
    }
WHERE(where8, uint8_t)
WHERE(where16, uint16_t)
WHERE(where32, uint32_t)
WHERE(where64, uint64_t)

bool terni_cpu_where(const terni_call *c) {
    static const terni_run_fn fns[9] = {[1] = where8, [2] = where16, [4] = where32, [8] = where64};
    const terni_view *const v[4] = {c->out[0], c->in[0], c->in[1], c->in[2]};
    terni_cpu_loop(v, 4, fns[terni_cpu_size(c->out[0]->dtype)], NULL, GRAIN);
    return true;
}
