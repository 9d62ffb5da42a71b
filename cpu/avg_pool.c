#include <string.h>

#include "internal.h"
#include "widen.h"

enum { GRAIN = 16384 };

/* The real elements of one axis of a window, and its share of the divisor: the window's size, cut where it leaves the
 * padded input, or the count of real elements. */
typedef struct span {
    int64_t first, last, count;
} span;

static inline span span_of(const terni_pool_opts *o, int d, int64_t i, int64_t size, int64_t windows) {
    if (o->adaptive) {
        const int64_t begin = i * size / windows, stop = ((i + 1) * size - 1) / windows + 1;
        return (span){begin, stop, stop - begin};
    }
    const int64_t start = i * o->stride[d] - o->pad[d], end = start + o->kernel[d];
    span s = {start < 0 ? 0 : start, end < size ? end : size, 0};
    s.count = o->exclude_pad ? s.last - s.first : (end < size + o->pad[d] ? end : size + o->pad[d]) - start;
    return s;
}

/* The windows along a row all of whose taps are real. */
static void inner_windows(const terni_pool_opts *o, int64_t size, int64_t windows, int64_t *begin, int64_t *end) {
    const int64_t room = size - o->kernel[2] + o->pad[2];
    *begin = *end = 0;
    if (o->adaptive || room < 0) return;
    *begin = (o->pad[2] + o->stride[2] - 1) / o->stride[2];
    *end = room / o->stride[2] + 1;
    if (*end > windows) *end = windows;
    if (*begin > *end) *begin = *end;
}

#define TERNI_TEMPLATE "avg_pool.inc"
#include "each_float.h"

TERNI_FLOAT_KERNEL(avg_pool)
TERNI_FLOAT_KERNEL(avg_pool_grad)
