/* im2col and col2im, a channel's tap at a time. */
#include <string.h>

#include "internal.h"
#include "widen.h"

enum { GRAIN = 16384 };

/* The windows [first, last) of n along one axis whose tap, `at` elements after their start, is real. */
typedef struct reach {
    int64_t first, last;
} reach;

static inline reach reach_of(int64_t at, int64_t stride, int64_t size, int64_t n) {
    reach r = {at < 0 ? (stride - 1 - at) / stride : 0, size > at ? (size - at + stride - 1) / stride : 0};
    if (r.last > n) r.last = n;
    if (r.first > r.last) r.first = r.last;
    return r;
}

#define TERNI_TEMPLATE "im2col.inc"
#include "each_float.h"

TERNI_FLOAT_KERNEL(im2col)
TERNI_FLOAT_KERNEL(col2im)
