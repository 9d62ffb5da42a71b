/* Formulas of structured kernels that every backend uses, C and CUDA alike: where an index of a padded array comes
 * from, what a pooling window covers, the lattice of ctc_loss. Private. */
#ifndef TERNI_FORMULAS_H
#define TERNI_FORMULAS_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend.h"

#ifdef __CUDACC__
#define TERNI_FORMULA __host__ __device__ static inline
#else
#define TERNI_FORMULA static inline
#endif

/* ---- remap ---------------------------------------------------------------------------------------------------------
 */

/* The index in x's dimension of size n for k, as terni_remap_mode says; -1 for none. */
TERNI_FORMULA int64_t terni_remap_source(int32_t mode, int64_t k, int64_t n) {
    switch (mode) {
        case TERNI_REMAP_REVERSE:
            return n - 1 - k;
        case TERNI_REMAP_WRAP:
            k %= n;
            return k < 0 ? k + n : k;
        case TERNI_REMAP_REFLECT:
            k = k < 0 ? -k : k;
            return k < n ? k : 2 * (n - 1) - k;
        case TERNI_REMAP_REPLICATE:
            return k < 0 ? 0 : k < n ? k : n - 1;
        default:
            return k >= 0 && k < n ? k : -1;
    }
}

/* ---- pools ---------------------------------------------------------------------------------------------------------
 */

/* The real elements of one axis of a window, and its share of the divisor: the window's size, cut where it leaves the
 * padded input, or the count of real elements. */
typedef struct terni_span {
    int64_t first, last, count;
} terni_span;

/* Window i of `windows` along axis d, which has `size` elements. */
TERNI_FORMULA terni_span terni_span_of(const terni_pool_opts *o, int d, int64_t i, int64_t size, int64_t windows) {
    terni_span s;
    if (o->adaptive) {
        s.first = i * size / windows;
        s.last = ((i + 1) * size - 1) / windows + 1;
        s.count = s.last - s.first;
        return s;
    }
    const int64_t start = i * o->stride[d] - o->pad[d], end = start + o->kernel[d];
    s.first = start < 0 ? 0 : start;
    s.last = end < size ? end : size;
    s.count = o->exclude_pad ? s.last - s.first : (end < size + o->pad[d] ? end : size + o->pad[d]) - start;
    return s;
}

/* Window i of one axis of max_pool: where it starts, and which of its taps, `step` apart, are real: [first, last). */
typedef struct terni_taps {
    int64_t at, first, last, step;
} terni_taps;
TERNI_FORMULA terni_taps terni_taps_of(const terni_pool_opts *o, int d, int64_t i, int64_t size, int64_t windows) {
    terni_taps s;
    s.first = 0;
    if (o->adaptive) {
        s.at = i * size / windows;
        s.last = ((i + 1) * size - 1) / windows + 1 - s.at;
        s.step = 1;
        return s;
    }
    s.at = i * o->stride[d] - o->pad[d];
    s.last = o->kernel[d];
    s.step = o->dilation[d];
    if (s.at < 0) s.first = (s.step - 1 - s.at) / s.step;
    if (s.at + (s.last - 1) * s.step >= size) s.last = (size - s.at + s.step - 1) / s.step;
    return s;
}

/* ---- ctc_loss: blank, label, blank, label, ..., blank
 * ---------------------------------------------------------------- */

/* log(e^a + e^b). */
TERNI_FORMULA double terni_add_logs(double a, double b) {
    const double m = a > b ? a : b;
    return m == -(double)INFINITY ? m : m + log1p(exp((a > b ? b : a) - m));
}
/* The class at place s. */
TERNI_FORMULA int64_t terni_ctc_class(const int64_t *target, int64_t blank, int64_t s) {
    return s % 2 ? target[s / 2] : blank;
}
/* Whether a step from s - 2 to s is allowed: between labels that differ. */
TERNI_FORMULA bool terni_ctc_skips(const int64_t *target, int64_t blank, int64_t s) {
    return s > 1 && s % 2 && target[s / 2] != target[s / 2 - 1] && target[s / 2] != blank;
}

#endif
