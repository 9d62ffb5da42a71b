#include <string.h>

#include "formulas.h"
#include "internal.h"
#include "widen.h"

enum { GRAIN = 16384 };

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
