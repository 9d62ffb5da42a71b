/* max, min, argmax, argmin, by the same walk as sums (reduce.h). */
#include <string.h>

#include "reduce.h"
#include "simd.h"

enum { GRAIN = 32768, LANES = 64, BLOCK = 1024 };

typedef struct job {
    const terni_reduction *p;
    bool min, index;
} job;

#define SUFFIX_(a, b) a##_##b
#define SUFFIX(a, b)  SUFFIX_(a, b)
#define FN(name)      SUFFIX(name, NAME)

/* Elements of x from `at` on, as T: x's own, but for f16 and bf16, which come as f32 in blocks. */
#define OWN(name, T)                                                                             \
    static const T *name(const terni_view *x, int64_t at, int64_t n, int64_t *stride, T *room) { \
        (void)n, (void)stride, (void)room;                                                       \
        return (const T *)x->data + at;                                                          \
    }
OWN(load_f32, float)
OWN(load_f64, double)
OWN(load_i64, int64_t)
OWN(load_i32, int32_t)
OWN(load_u8, uint8_t)
static const float *load_half(const terni_view *x, int64_t at, int64_t n, int64_t *stride, float *room) {
    terni_cpu_from_half(x->dtype, (const uint16_t *)x->data + at, *stride, room, n);
    *stride = 1;
    return room;
}

/* Short dense rows without indices, an output each: what the walk costs beyond the comparisons would be most of the
 * time. The rest of a row is read as the end of a whole vector: what is seen twice does no harm. NaN wins. */
#define SHORT_ROWS(name, T, INT, V, VU, LANES)                                                                        \
    static inline __attribute__((always_inline)) V name##_of(V v, V m, const bool min) {                              \
        typedef INT lanes __attribute__((vector_size(TERNI_VEC_BYTES)));                                              \
        const lanes yes = (lanes)(min ? v < m : v > m) | (lanes)(v != v);                                             \
        return (V)((yes & (lanes)v) | (~yes & (lanes)m));                                                             \
    }                                                                                                                 \
    static inline __attribute__((always_inline)) void name##_in(const terni_reduction *p, int64_t begin, int64_t end, \
                                                                const bool min) {                                     \
        const int64_t n = p->inputs;                                                                                  \
        for (int64_t r = begin; r < end; r++) {                                                                       \
            const T *x = (const T *)p->x->data + terni_cpu_offset(r, p->n_kept, p->kept, p->kept_stride);             \
            V m = *(const VU *)(const void *)x;                                                                       \
            T lane[LANES];                                                                                            \
            for (int64_t i = LANES; i + LANES <= n; i += LANES)                                                       \
                m = name##_of(*(const VU *)(const void *)(x + i), m, min);                                            \
            if (n % LANES) m = name##_of(*(const VU *)(const void *)(x + n - LANES), m, min);                         \
            memcpy(lane, &m, sizeof lane);                                                                            \
            for (int w = LANES / 2; w > 0; w /= 2)                                                                    \
                for (int j = 0; j < w; j++) {                                                                         \
                    const T v = lane[j + w];                                                                          \
                    lane[j] = (bool)((min ? v < lane[j] : v > lane[j]) | (v != v)) ? v : lane[j];                     \
                }                                                                                                     \
            ((T *)p->y->data)[r] = lane[0];                                                                           \
        }                                                                                                             \
    }                                                                                                                 \
    static void name(void *arg, int64_t begin, int64_t end) {                                                         \
        const job *t = arg;                                                                                           \
        if (t->min)                                                                                                   \
            name##_in(t->p, begin, end, true);                                                                        \
        else                                                                                                          \
            name##_in(t->p, begin, end, false);                                                                       \
    }
SHORT_ROWS(short_rows_f32, float, int32_t, terni_vf, terni_vf_u, TERNI_LANES_F32)
SHORT_ROWS(short_rows_f64, double, int64_t, terni_vd, terni_vd_u, TERNI_LANES_F64)

/* Does it where that is the case. */
static bool short_rows(const terni_call *c, bool min) {
    const terni_reduction p = terni_cpu_reduction(c);
    const bool f32 = p.x->dtype == TERN_F32;
    job t = {&p, min, false};
    if ((!f32 && p.x->dtype != TERN_F64) || p.n_red != 1 || p.red_stride[0] != 1 || p.inputs > BLOCK ||
        p.inputs < (f32 ? TERNI_LANES_F32 : TERNI_LANES_F64))
        return false;
    terni_cpu_parallel(p.outputs, GRAIN / (p.inputs + 1) + 1, f32 ? short_rows_f32 : short_rows_f64, &t);
    return true;
}

#define IS_NAN(v) ((v) != (v))
#define STEP      INT64_MAX
#define T         float
#define NAME      f32
#include "extreme.inc"
#undef T
#undef NAME
#define T    double
#define NAME f64
#include "extreme.inc"
#undef T
#undef NAME
#undef STEP
#define STEP BLOCK
#define T    float
#define NAME half
#include "extreme.inc"
#undef T
#undef NAME
#undef STEP
#undef IS_NAN

#define IS_NAN(v) ((void)(v), false)
#define STEP      INT64_MAX
#define T         int64_t
#define NAME      i64
#include "extreme.inc"
#undef T
#undef NAME
#define T    int32_t
#define NAME i32
#include "extreme.inc"
#undef T
#undef NAME
#define T    uint8_t
#define NAME u8
#include "extreme.inc"
#undef T
#undef NAME

static bool extreme(const terni_call *c, bool min, bool index) {
    switch (c->in[0]->dtype) {
        case TERN_F32:
            extreme_f32(c, min, index);
            break;
        case TERN_F64:
            extreme_f64(c, min, index);
            break;
        case TERN_F16:
        case TERN_BF16:
            extreme_half(c, min, index);
            break;
        case TERN_I64:
            extreme_i64(c, min, index);
            break;
        case TERN_I32:
            extreme_i32(c, min, index);
            break;
        default: /* u8, bool */
            extreme_u8(c, min, index);
            break;
    }
    return true;
}

bool terni_cpu_max(const terni_call *c) { return short_rows(c, false) || extreme(c, false, false); }
bool terni_cpu_min(const terni_call *c) { return short_rows(c, true) || extreme(c, true, false); }
bool terni_cpu_argmax(const terni_call *c) { return extreme(c, false, true); }
bool terni_cpu_argmin(const terni_call *c) { return extreme(c, true, true); }
