#include <string.h>

#include "internal.h"
#include "widen.h"

enum { GRAIN = 16384 };

/* Window i of one axis: where it starts, and which of its taps are real, one at least. */
typedef struct span {
    int64_t at, first, last, step;
} span;

static inline span span_of(const terni_pool_opts *o, int d, int64_t i, int64_t size, int64_t windows) {
    if (o->adaptive) {
        const int64_t begin = i * size / windows, end = ((i + 1) * size - 1) / windows + 1;
        return (span){begin, 0, end - begin, 1};
    }
    const int64_t step = o->dilation[d];
    span s = {i * o->stride[d] - o->pad[d], 0, o->kernel[d], step};
    if (s.at < 0) s.first = (step - 1 - s.at) / step;
    if (s.at + (s.last - 1) * step >= size) s.last = (size - s.at + step - 1) / step;
    return s;
}

/* The windows along a row all of whose taps are real. */
static void inner_windows(const terni_pool_opts *o, int64_t size, int64_t windows, int64_t *begin, int64_t *end) {
    const int64_t room = size - 1 - (o->kernel[2] - 1) * o->dilation[2] + o->pad[2];
    *begin = *end = 0;
    if (o->adaptive || room < 0) return;
    *begin = (o->pad[2] + o->stride[2] - 1) / o->stride[2];
    *end = room / o->stride[2] + 1;
    if (*end > windows) *end = windows;
    if (*begin > *end) *begin = *end;
}

#define TERNI_TEMPLATE "max_pool.inc"
#include "each_float.h"

TERNI_FLOAT_KERNEL(max_pool)
TERNI_FLOAT_KERNEL(max_pool_grad)
