/* Formulas of structured kernels that every backend uses, C and CUDA alike: where an index of a padded array comes
 * from, what a pooling window covers, the lattice of ctc_loss, pair_loss and the cells of recurrent layers at one
 * element. The last are macros, for numbers of any type, as each backend has exponentials of its own. Private. */
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

/* ---- pair_loss: values, and slopes by x ---------------------------------------------------------------------------
 * e is x - t; fall is exp(-|x|), tail log(1 + fall); Huber's m is the lesser of |e| and its parameter p. */

#define TERNI_SIGMA(x, fall)           (((x) < 0 ? (fall) : 1) / (1 + (fall)))
#define TERNI_SQUARE_VALUE(e)          ((e) * (e))
#define TERNI_SQUARE_SLOPE(e)          (2 * (e))
#define TERNI_ABS_VALUE(e)             ((e) < 0 ? -(e) : (e))
#define TERNI_ABS_SLOPE(e)             ((e) > 0 ? 1 : ((e) < 0 ? -1 : (e)))
#define TERNI_HUBER_VALUE(size, m)     ((m) * ((size) - (m) / 2))
#define TERNI_HUBER_SLOPE(e, p)        ((e) > (p) ? (p) : ((e) < -(p) ? -(p) : (e)))
#define TERNI_LOGITS_VALUE(x, t, tail) ((((x) > 0 ? (x) : 0) - (x) * (t)) + (tail))
#define TERNI_LOGITS_SLOPE(x, t, fall) (TERNI_SIGMA(x, fall) - (t))

/* ---- recurrent cells -----------------------------------------------------------------------------------------------
 * The gates of an LSTM are i, f, u, o (u by tanh), those of a GRU r, z, u; g is the gradient of the new h. */

#define TERNI_LSTM_STATE(i, f, u, c0) ((f) * (c0) + (i) * (u))
#define TERNI_GRU_INNER(a, r, b)      ((a) + (r) * (b))
#define TERNI_GRU_OUTPUT(z, u, h0)    ((u) + (z) * ((h0) - (u)))
/* The gradient behind a sigmoid, or a tanh, of this value. */
#define TERNI_SIGMA_BACK(g, s) ((g) * (s) * (1 - (s)))
#define TERNI_TANH_BACK(g, t)  ((g) * (1 - (t) * (t)))
/* gc: of the new state, whose tanh is t; to the gates before their functions, and to the old state. */
#define TERNI_LSTM_BACK(T, g, gc, i, f, u, o, t, c0, gi, gf, gu, go, gc0) \
    do {                                                                  \
        const T state_ = (gc) + TERNI_TANH_BACK((g) * (o), t);            \
        gi = TERNI_SIGMA_BACK(state_ * (u), i);                           \
        gf = TERNI_SIGMA_BACK(state_ * (c0), f);                          \
        gu = TERNI_TANH_BACK(state_ * (i), u);                            \
        go = TERNI_SIGMA_BACK((g) * (t), o);                              \
        gc0 = state_ * (f);                                               \
    } while (0)
/* b: the state's part of u's input, whose gradient is gb; gr, gz, gu to the gates before their functions. */
#define TERNI_GRU_BACK(T, g, r, z, u, b, h0, gr, gz, gu, gb, gh0) \
    do {                                                          \
        const T new_ = TERNI_TANH_BACK((g) * (1 - (z)), u);       \
        gr = TERNI_SIGMA_BACK(new_ * (b), r);                     \
        gz = TERNI_SIGMA_BACK((g) * ((h0) - (u)), z);             \
        gu = new_;                                                \
        gb = new_ * (r);                                          \
        gh0 = (g) * (z);                                          \
    } while (0)

#endif
