#include <string.h>

#include "internal.h"
#include "widen.h"

enum { GRAIN = 16384 };

/* The real elements of one axis of a window, and its share of the divisor: the window's size, cut where it leaves the
 * padded input, or the count of real elements. */
typedef struct span {
    int64_t first, last, count;
} span;

static inline span span_of(const terni_pool2d_opts *o, int d, int64_t i, int64_t size) {
    const int64_t start = i * o->stride[d] - o->pad[d], end = start + o->kernel[d];
    span s = {start < 0 ? 0 : start, end < size ? end : size, 0};
    s.count = o->exclude_pad ? s.last - s.first : (end < size + o->pad[d] ? end : size + o->pad[d]) - start;
    return s;
}

static bool is_2x2(const terni_pool2d_opts *o) {
    return o->kernel[0] == 2 && o->kernel[1] == 2 && o->stride[0] == 2 && o->stride[1] == 2 && !o->pad[0] && !o->pad[1];
}

#define TERNI_TEMPLATE "avg_pool2d.inc"
#include "each_float.h"

TERNI_FLOAT_KERNEL(avg_pool2d)
TERNI_FLOAT_KERNEL(avg_pool2d_grad)
