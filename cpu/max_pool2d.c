#include <string.h>

#include "internal.h"
#include "widen.h"

enum { GRAIN = 16384 };

/* Window i of one axis: where it starts, and which of its taps are real, one at least. */
typedef struct span {
    int64_t at, first, last;
} span;

static inline span span_of(const terni_pool2d_opts *o, int d, int64_t i, int64_t size) {
    const int64_t step = o->dilation[d];
    span s = {i * o->stride[d] - o->pad[d], 0, o->kernel[d]};
    if (s.at < 0) s.first = (step - 1 - s.at) / step;
    if (s.at + (s.last - 1) * step >= size) s.last = (size - s.at + step - 1) / step;
    return s;
}

#define TERNI_TEMPLATE "max_pool2d.inc"
#include "each_float.h"

TERNI_FLOAT_KERNEL(max_pool2d)
TERNI_FLOAT_KERNEL(max_pool2d_grad)
