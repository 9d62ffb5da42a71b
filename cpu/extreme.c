/* max, min, argmax, argmin, by the same walk as sums (reduce.h). */
#include <string.h>

#include "reduce.h"

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

bool terni_cpu_max(const terni_call *c) { return extreme(c, false, false); }
bool terni_cpu_min(const terni_call *c) { return extreme(c, true, false); }
bool terni_cpu_argmax(const terni_call *c) { return extreme(c, false, true); }
bool terni_cpu_argmin(const terni_call *c) { return extreme(c, true, true); }
