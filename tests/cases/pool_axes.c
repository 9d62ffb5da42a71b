/* Pools over any number of axes, unpooling, folding. References are written over three axes, with a leading 1 for those
 * that are missing, one window at a time. */
#include "../sweep.h"

typedef struct settings {
    int64_t kernel[3], stride[3], pad[3], dilation[3], divisor;
    bool ceil_mode, exclude_pad;
    double p; /* lp_pool */
} settings;

#define POOL(...) \
    .opts = &(settings) { __VA_ARGS__ }

/* Value d of n of an option, its default filled in; axes that are missing give `none`. */
static int64_t of(const int64_t *given, int d, int n, int64_t zero, int64_t none) {
    const int i = d - (3 - n);
    if (i < 0) return none;
    for (int k = i; k >= 0; k--) {
        if (given[k] == -1) return 0;
        if (given[k]) return given[k];
    }
    return zero;
}

typedef struct windows {
    int64_t planes, in[3], out[3], kernel[3], stride[3], pad[3], dilation[3];
    bool adaptive;
} windows;

static void make(const array *x, int n, const windows *w, array *out) {
    tern_shape s = x->shape;
    for (int i = 0; i < n; i++) s.dim[s.ndim - n + i] = w->out[3 - n + i];
    array_new(out, s);
}

static windows windows_of(const array *x, const settings *s, int n) {
    windows w = {.planes = 1};
    for (int i = 0; i < x->shape.ndim - n; i++) w.planes *= x->shape.dim[i];
    for (int d = 0; d < 3; d++) {
        w.in[d] = d < 3 - n ? 1 : x->shape.dim[x->shape.ndim - 3 + d];
        w.kernel[d] = of(s->kernel, d, n, 1, 1);
        const bool none = !s->stride[0] && !s->stride[1] && !s->stride[2];
        w.stride[d] = none ? w.kernel[d] : of(s->stride, d, n, 1, 1);
        w.pad[d] = of(s->pad, d, n, 0, 0);
        w.dilation[d] = of(s->dilation, d, n, 1, 1);
        const int64_t span = w.in[d] + 2 * w.pad[d] - w.dilation[d] * (w.kernel[d] - 1) - 1;
        w.out[d] = (span + (s->ceil_mode ? w.stride[d] - 1 : 0)) / w.stride[d] + 1;
        if (s->ceil_mode && (w.out[d] - 1) * w.stride[d] >= w.in[d] + w.pad[d]) w.out[d]--;
    }
    return w;
}

static windows adaptive_of(const array *x, const settings *s, int n) {
    windows w = {.planes = 1, .adaptive = true};
    for (int i = 0; i < x->shape.ndim - n; i++) w.planes *= x->shape.dim[i];
    for (int d = 0; d < 3; d++) {
        const int i = d - (3 - n);
        w.in[d] = i < 0 ? 1 : x->shape.dim[x->shape.ndim - n + i];
        w.out[d] = i < 0 ? 1 : s->kernel[i] == -1 ? w.in[d] : s->kernel[i] ? s->kernel[i] : w.out[d - 1];
        w.dilation[d] = 1;
    }
    return w;
}

/* Where window i of axis d starts and how many taps it has. */
static void extent(const windows *w, int d, int64_t i, int64_t *start, int64_t *taps) {
    *start =
        w->adaptive ? (int64_t)floor((double)i * (double)w->in[d] / (double)w->out[d]) : i * w->stride[d] - w->pad[d];
    *taps = w->adaptive ? (int64_t)ceil((double)(i + 1) * (double)w->in[d] / (double)w->out[d]) - *start : w->kernel[d];
}

typedef struct found {
    double max, sum;
    int64_t at, real, padded; /* padded: elements within the padding, which count in an average */
} found;

static found look(const windows *w, const double *x, int64_t place) {
    const int64_t at[3] = {place / w->out[2] / w->out[1], place / w->out[2] % w->out[1], place % w->out[2]};
    int64_t start[3], taps[3];
    found f = {.max = -(double)INFINITY};
    for (int d = 0; d < 3; d++) extent(w, d, at[d], &start[d], &taps[d]);
    for (int64_t k = 0; k < taps[0] * taps[1] * taps[2]; k++) {
        const int64_t tap[3] = {k / taps[2] / taps[1], k / taps[2] % taps[1], k % taps[2]};
        int64_t i = 0;
        bool real = true, padded = true;
        for (int d = 0; d < 3; d++) {
            const int64_t a = start[d] + tap[d] * w->dilation[d];
            real &= a >= 0 && a < w->in[d];
            padded &= a < w->in[d] + w->pad[d];
            i = i * w->in[d] + a;
        }
        f.padded += padded;
        if (!real) continue;
        f.real++;
        f.sum += x[i];
        if (x[i] > f.max) {
            f.max = x[i];
            f.at = i;
        }
    }
    return f;
}

typedef enum result { MAX, WHERE, AVG, POWER } result;

static void pool(const array *x, const settings *s, const windows *w, int n, result what, array *out) {
    make(x, n, w, out);
    const int64_t places = w->out[0] * w->out[1] * w->out[2], plane = w->in[0] * w->in[1] * w->in[2];
    double *powers = NULL;
    if (what == POWER) {
        powers = calloc((size_t)(x->n ? x->n : 1), sizeof *powers);
        for (int64_t i = 0; i < x->n; i++) powers[i] = pow(x->v[i], s->p);
    }
    for (int64_t i = 0; i < w->planes * places; i++) {
        const found f = look(w, (powers ? powers : x->v) + i / places * plane, i % places);
        const int64_t by = s->divisor ? s->divisor : s->exclude_pad || w->adaptive ? f.real : f.padded;
        const int64_t whole = w->kernel[0] * w->kernel[1] * w->kernel[2];
        out->v[i] = what == MAX     ? f.max
                    : what == WHERE ? (double)f.at
                    : what == AVG   ? f.sum / (double)by
                                    : pow(f.sum / (double)by * (double)whole, 1 / s->p);
    }
    free(powers);
}

#define REFERENCES(n)                                                                     \
    static void ref_max##n(const array *in, const sweep_case *c, array *out) {            \
        const windows w = windows_of(in, c->opts, n);                                     \
        pool(in, c->opts, &w, n, MAX, out);                                               \
    }                                                                                     \
    static void ref_where##n(const array *in, const sweep_case *c, array *out) {          \
        const windows w = windows_of(in, c->opts, n);                                     \
        pool(in, c->opts, &w, n, WHERE, out);                                             \
    }                                                                                     \
    static void ref_avg##n(const array *in, const sweep_case *c, array *out) {            \
        const windows w = windows_of(in, c->opts, n);                                     \
        pool(in, c->opts, &w, n, AVG, out);                                               \
    }                                                                                     \
    static void ref_lp##n(const array *in, const sweep_case *c, array *out) {             \
        const windows w = windows_of(in, c->opts, n);                                     \
        pool(in, c->opts, &w, n, POWER, out);                                             \
    }                                                                                     \
    static void ref_adaptive_max##n(const array *in, const sweep_case *c, array *out) {   \
        const windows w = adaptive_of(in, c->opts, n);                                    \
        pool(in, c->opts, &w, n, MAX, out);                                               \
    }                                                                                     \
    static void ref_adaptive_where##n(const array *in, const sweep_case *c, array *out) { \
        const windows w = adaptive_of(in, c->opts, n);                                    \
        pool(in, c->opts, &w, n, WHERE, out);                                             \
    }                                                                                     \
    static void ref_adaptive_avg##n(const array *in, const sweep_case *c, array *out) {   \
        const windows w = adaptive_of(in, c->opts, n);                                    \
        pool(in, c->opts, &w, n, AVG, out);                                               \
    }
REFERENCES(1)
REFERENCES(2)
REFERENCES(3)

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static tern_pool1d_opts opts1(const settings *s) {
    return (tern_pool1d_opts){.stride = s->stride[0],
                              .pad = s->pad[0],
                              .dilation = s->dilation[0],
                              .divisor = s->divisor,
                              .ceil_mode = s->ceil_mode,
                              .exclude_pad = s->exclude_pad};
}
static tern_pool2d_opts opts2(const settings *s) {
    return (tern_pool2d_opts){.stride = {s->stride[0], s->stride[1]},
                              .pad = {s->pad[0], s->pad[1]},
                              .dilation = {s->dilation[0], s->dilation[1]},
                              .divisor = s->divisor,
                              .ceil_mode = s->ceil_mode,
                              .exclude_pad = s->exclude_pad};
}
static tern_pool3d_opts opts3(const settings *s) {
    return (tern_pool3d_opts){.stride = {s->stride[0], s->stride[1], s->stride[2]},
                              .pad = {s->pad[0], s->pad[1], s->pad[2]},
                              .dilation = {s->dilation[0], s->dilation[1], s->dilation[2]},
                              .divisor = s->divisor,
                              .ceil_mode = s->ceil_mode,
                              .exclude_pad = s->exclude_pad};
}

#define CALLS(n, KERNEL)                                                                      \
    static tern_tensor *call_max##n(tern_tensor *const *in, const sweep_case *c) {            \
        const settings *s = c->opts;                                                          \
        return tern_max_pool##n##d(in[0], KERNEL, opts##n(s));                                \
    }                                                                                         \
    static tern_tensor *call_where##n(tern_tensor *const *in, const sweep_case *c) {          \
        const settings *s = c->opts;                                                          \
        tern_tensor *at = NULL;                                                               \
        tern_max_pool##n##d_with_indices(in[0], KERNEL, opts##n(s), &at);                     \
        return at;                                                                            \
    }                                                                                         \
    static tern_tensor *call_avg##n(tern_tensor *const *in, const sweep_case *c) {            \
        const settings *s = c->opts;                                                          \
        return tern_avg_pool##n##d(in[0], KERNEL, opts##n(s));                                \
    }                                                                                         \
    static tern_tensor *call_lp##n(tern_tensor *const *in, const sweep_case *c) {             \
        const settings *s = c->opts;                                                          \
        return tern_lp_pool##n##d(in[0], s->p, KERNEL, opts##n(s));                           \
    }                                                                                         \
    static tern_tensor *call_adaptive_max##n(tern_tensor *const *in, const sweep_case *c) {   \
        const settings *s = c->opts;                                                          \
        return tern_adaptive_max_pool##n##d(in[0], KERNEL, NULL);                             \
    }                                                                                         \
    static tern_tensor *call_adaptive_where##n(tern_tensor *const *in, const sweep_case *c) { \
        const settings *s = c->opts;                                                          \
        tern_tensor *at = NULL;                                                               \
        tern_adaptive_max_pool##n##d(in[0], KERNEL, &at);                                     \
        return at;                                                                            \
    }                                                                                         \
    static tern_tensor *call_adaptive_avg##n(tern_tensor *const *in, const sweep_case *c) {   \
        const settings *s = c->opts;                                                          \
        return tern_adaptive_avg_pool##n##d(in[0], KERNEL);                                   \
    }                                                                                         \
    static tern_tensor *call_unpool##n(tern_tensor *const *in, const sweep_case *c) {         \
        const settings *s = c->opts;                                                          \
        return tern_max_unpool##n##d(in[0], in[1], KERNEL);                                   \
    }
CALLS(1, s->kernel[0])
CALLS(2, s->kernel)
CALLS(3, s->kernel)

/* ---- max_pool, avg_pool -------------------------------------------------------------------------------------------
 */

#define CASES1                                                                                                  \
    {"2", {REAL(2, 2, 7)}, POOL({2})}, {"3, stride 2, pad 1", {REAL(2, 2, 8)}, POOL({3}, {2}, {1})},            \
        {"unbatched", {REAL(2, 7)}, POOL({3}, {1}, {1})},                                                       \
        {"ceil", {REAL(1, 2, 8)}, POOL({3}, {2}, .ceil_mode = true)},                                           \
        {"ceil, pad", {REAL(1, 2, 6)}, POOL({3}, {2}, {1}, .ceil_mode = true)},                                 \
        {"5, stride 1", {REAL(2, 1, 17)}, POOL({5}, {1}, {2})},                                                 \
        {"4, stride 3", {REAL(2, 1, 37)}, POOL({4}, {3}, {1})}, {"whole", {REAL(2, 2, 5)}, POOL({5})},          \
        {"stride above the kernel", {REAL(2, 1, 37)}, POOL({2}, {5})}, {"batch 0", {REAL(0, 2, 5)}, POOL({2})}, \
        {"no channels", {REAL(2, 0, 5)}, POOL({2})}, {                                                          \
        "long", {REAL(2, 3, 1001)}, POOL({3}, {2}, {1})                                                         \
    }
#define CASES3                                                                                                     \
    {"2x2x2", {REAL(1, 2, 4, 3, 2)}, POOL({2})}, {"3x2x1, stride 1", {REAL(1, 2, 3, 4, 3)}, POOL({3, 2, 1}, {1})}, \
        {"3x3x3, stride 2, pad 1", {REAL(2, 1, 4, 3, 5)}, POOL({3}, {2}, {1})},                                    \
        {"unbatched, pad 1x0x1", {REAL(2, 3, 3, 4)}, POOL({2}, {1, 2, 1}, {1, -1, 1})},                            \
        {"ceil", {REAL(1, 2, 3, 4, 5)}, POOL({2}, .ceil_mode = true)},                                             \
        {"ceil, pad", {REAL(1, 1, 4, 4, 5)}, POOL({3}, {2}, {1}, .ceil_mode = true)},                              \
        {"batch 0", {REAL(0, 2, 3, 4, 5)}, POOL({2})}, {"larger", {REAL(2, 3, 9, 11, 37)}, POOL({3}, {2}, {1})}, { \
        "larger, stride 1", {REAL(1, 3, 5, 7, 37)}, POOL({2, 3, 4}, {1}, {1})                                      \
    }
#define BAD1(op)                                                                                         \
    {"kernel 0", {REAL(1, 2, 5)}, POOL({0}), .code = TERN_ERR_ARGUMENT, .text = op},                     \
        {"negative kernel", {REAL(1, 2, 5)}, POOL({-2}), .code = TERN_ERR_ARGUMENT, .text = op},         \
        {"kernel too large", {REAL(1, 2, 5)}, POOL({6}), .code = TERN_ERR_SHAPE, .text = op},            \
        {"pad above half", {REAL(1, 2, 5)}, POOL({3}, {1}, {2}), .code = TERN_ERR_ARGUMENT, .text = op}, \
        {"x of 1 dimension", {REAL(5)}, POOL({2}), .code = TERN_ERR_SHAPE, .text = op}, {                \
        "integers", {TYPED(TERN_I32, 1, 2, 5)}, POOL({2}), .code = TERN_ERR_DTYPE, .text = op            \
    }
#define BAD3(op)                                                                                              \
    {"kernel 0", {REAL(1, 2, 3, 3, 3)}, POOL({0}), .code = TERN_ERR_ARGUMENT, .text = op},                    \
        {"kernel too deep", {REAL(1, 2, 1, 3, 3)}, POOL({2}), .code = TERN_ERR_SHAPE, .text = op},            \
        {"negative stride", {REAL(1, 2, 3, 3, 3)}, POOL({2}, {-1}), .code = TERN_ERR_ARGUMENT, .text = op}, { \
        "x of 3 dimensions", {REAL(3, 3, 3)}, POOL({2}), .code = TERN_ERR_SHAPE, .text = op                   \
    }

static const sweep_case max1[] = {CASES1,
                                  {"dilation 3", {REAL(1, 2, 11)}, POOL({3}, {1}, {1}, {3})},
                                  {"dilation 2, stride 2", {REAL(1, 2, 41)}, POOL({3}, {2}, {1}, {2})},
                                  BAD1("max_pool1d"),
                                  {"divides nothing but padding",
                                   {REAL(1, 1, 1)},
                                   POOL({2}, {1}, {1}, {2}),
                                   .code = TERN_ERR_SHAPE,
                                   .text = "max_pool1d"}};
static const sweep_case max2[] = {
    {"unbatched", {REAL(2, 5, 6)}, POOL({2})},
    {"stride 1, wide", {REAL(2, 2, 9, 37)}, POOL({3}, {1}, {1})},
    {"stride 2, wide", {REAL(2, 2, 9, 37)}, POOL({3}, {2}, {1})},
    {"stride 3, dilation 2, wide", {REAL(2, 2, 9, 41)}, POOL({3, 2}, {3}, {1}, {2})},
    {"2x2 beyond the edge", {REAL(2, 2, 9, 21)}, POOL({2}, .ceil_mode = true)},
    {"x of 2 dimensions", {REAL(5, 6)}, POOL({2}), .code = TERN_ERR_SHAPE, .text = "max_pool2d"},
};
static const sweep_case max3[] = {
    CASES3, {"dilation 2x1x2", {REAL(1, 1, 4, 3, 5)}, POOL({2}, {1}, {0}, {2, 1, 2})}, BAD3("max_pool3d")};
SWEEP(max_pool1d, max1, call_max1, ref_max1, 0, 1)
SWEEP(max_pool2d__axes, max2, call_max2, ref_max2, 0, 1)
SWEEP(max_pool3d, max3, call_max3, ref_max3, 0, 1)
SWEEP(max_pool1d_with_indices, max1, call_where1, ref_where1, SWEEP_NO_GRAD | SWEEP_F64_ONLY, 1)
SWEEP(max_pool2d_with_indices, max2, call_where2, ref_where2, SWEEP_NO_GRAD | SWEEP_F64_ONLY, 1)
SWEEP(max_pool3d_with_indices, max3, call_where3, ref_where3, SWEEP_NO_GRAD | SWEEP_F64_ONLY, 1)

#define AVG_ONLY(...)                                                                                              \
    {"exclude pad", {REAL(__VA_ARGS__)}, POOL({3}, {2}, {1}, .exclude_pad = true)},                                \
        {"exclude pad, ceil", {REAL(__VA_ARGS__)}, POOL({3}, {2}, {1}, .exclude_pad = true, .ceil_mode = true)}, { \
        "divisor 5", {REAL(__VA_ARGS__)}, POOL({3}, {2}, {1}, .divisor = 5)                                        \
    }
static const sweep_case avg1[] = {
    CASES1,
    AVG_ONLY(1, 2, 8),
    BAD1("avg_pool1d"),
    {"dilation", {REAL(1, 2, 8)}, POOL({2}, {1}, {0}, {2}), .code = TERN_ERR_ARGUMENT, .text = "avg_pool1d"}};
static const sweep_case avg2[] = {
    {"unbatched", {REAL(2, 5, 6)}, POOL({2})},
    {"stride 1, wide", {REAL(2, 2, 9, 37)}, POOL({3}, {1}, {1})},
    {"stride 2, wide", {REAL(2, 2, 9, 37)}, POOL({3}, {2}, {1})},
    {"stride 3, wide", {REAL(2, 2, 9, 37)}, POOL({3, 2}, {3}, {1})},
    AVG_ONLY(2, 1, 6, 7),
};
static const sweep_case avg3[] = {CASES3, AVG_ONLY(1, 1, 3, 4, 5), BAD3("avg_pool3d")};
SWEEP(avg_pool1d, avg1, call_avg1, ref_avg1, 0, 1)
SWEEP(avg_pool2d__axes, avg2, call_avg2, ref_avg2, 0, 1)
SWEEP(avg_pool3d, avg3, call_avg3, ref_avg3, 0, 1)

/* ---- lp_pool ------------------------------------------------------------------------------------------------------
 */

#define LP(op, ...)                                                                                       \
    {"p 2", {RANGE(0.5, 2, __VA_ARGS__)}, POOL({2}, .p = 2)},                                             \
        {"p 1", {RANGE(0.5, 2, __VA_ARGS__)}, POOL({2}, {1}, .p = 1)},                                    \
        {"p 3, stride 1", {RANGE(0.5, 2, __VA_ARGS__)}, POOL({3}, {1}, .p = 3)},                          \
        {"p -1.5, ceil", {RANGE(0.5, 2, __VA_ARGS__)}, POOL({3}, {2}, .p = -1.5, .ceil_mode = true)},     \
        {"p 2, negative", {RANGE(-2, -0.5, __VA_ARGS__)}, POOL({2, 3}, .p = 2)},                          \
        {"p 0", {REAL(__VA_ARGS__)}, POOL({2}, .p = 0), .code = TERN_ERR_ARGUMENT, .text = op},           \
        {"pad", {REAL(__VA_ARGS__)}, POOL({2}, {0}, {1}, .p = 2), .code = TERN_ERR_ARGUMENT, .text = op}, \
        {"kernel 0", {REAL(__VA_ARGS__)}, POOL({0}, .p = 2), .code = TERN_ERR_ARGUMENT, .text = op}, {    \
        "kernel too large", {REAL(__VA_ARGS__)}, POOL({9}, .p = 2), .code = TERN_ERR_SHAPE, .text = op    \
    }
static const sweep_case lp1[] = {LP("lp_pool1d", 2, 2, 6), {"batch 0", {REAL(0, 2, 6)}, POOL({2}, .p = 2)}};
static const sweep_case lp2[] = {LP("lp_pool2d", 1, 2, 4, 6), {"unbatched", {RANGE(1, 2, 2, 4, 5)}, POOL({2}, .p = 2)}};
static const sweep_case lp3[] = {LP("lp_pool3d", 1, 1, 4, 3, 4)};
SWEEP(lp_pool1d, lp1, call_lp1, ref_lp1, 0, 4)
SWEEP(lp_pool2d, lp2, call_lp2, ref_lp2, 0, 4)
SWEEP(lp_pool3d, lp3, call_lp3, ref_lp3, 0, 4)

/* ---- adaptive pools -----------------------------------------------------------------------------------------------
 */

#define ADAPTIVE(op, ...)                                                                         \
    {"1", {REAL(__VA_ARGS__)}, POOL({1})}, {"3", {REAL(__VA_ARGS__)}, POOL({3})},                 \
        {"4", {REAL(__VA_ARGS__)}, POOL({4})}, {"as x", {REAL(__VA_ARGS__)}, POOL({-1, -1, -1})}, \
        {"larger than x", {REAL(__VA_ARGS__)}, POOL({7, 5, 9})},                                  \
        {"size 0", {REAL(__VA_ARGS__)}, POOL({0}), .code = TERN_ERR_ARGUMENT, .text = op}, {      \
        "size -2", {REAL(__VA_ARGS__)}, POOL({-2}), .code = TERN_ERR_ARGUMENT, .text = op         \
    }
static const sweep_case adaptive1[] = {
    ADAPTIVE("pool1d", 2, 2, 8),
    {"unbatched", {REAL(2, 7)}, POOL({3})},
    {"batch 0", {REAL(0, 2, 7)}, POOL({3})},
    {"long", {REAL(1, 2, 301)}, POOL({7})},
    {"empty plane", {REAL(1, 2, 0)}, POOL({3}), .code = TERN_ERR_SHAPE, .text = "pool1d"},
    {"integers", {TYPED(TERN_I32, 1, 2, 5)}, POOL({2}), .code = TERN_ERR_DTYPE, .text = "pool1d"}};
static const sweep_case adaptive2[] = {ADAPTIVE("pool2d", 2, 2, 5, 4),
                                       {"3x2", {REAL(1, 2, 6, 7)}, POOL({3, 2})},
                                       {"unbatched", {REAL(2, 5, 7)}, POOL({3, -1})},
                                       {"7x7 of larger", {REAL(2, 3, 17, 23)}, POOL({7})}};
static const sweep_case adaptive3[] = {ADAPTIVE("pool3d", 1, 2, 3, 4, 4),
                                       {"2x1x3", {REAL(1, 2, 3, 4, 5)}, POOL({2, 1, 3})},
                                       {"unbatched", {REAL(2, 3, 4, 4)}, POOL({2})}};
SWEEP(adaptive_max_pool1d, adaptive1, call_adaptive_max1, ref_adaptive_max1, 0, 1)
SWEEP(adaptive_max_pool2d, adaptive2, call_adaptive_max2, ref_adaptive_max2, 0, 1)
SWEEP(adaptive_max_pool3d, adaptive3, call_adaptive_max3, ref_adaptive_max3, 0, 1)
SWEEP(adaptive_max_pool1d__indices, adaptive1, call_adaptive_where1, ref_adaptive_where1,
      SWEEP_NO_GRAD | SWEEP_F64_ONLY, 1)
SWEEP(adaptive_max_pool2d__indices, adaptive2, call_adaptive_where2, ref_adaptive_where2,
      SWEEP_NO_GRAD | SWEEP_F64_ONLY, 1)
SWEEP(adaptive_max_pool3d__indices, adaptive3, call_adaptive_where3, ref_adaptive_where3,
      SWEEP_NO_GRAD | SWEEP_F64_ONLY, 1)
SWEEP(adaptive_avg_pool1d, adaptive1, call_adaptive_avg1, ref_adaptive_avg1, 0, 4)
SWEEP(adaptive_avg_pool2d, adaptive2, call_adaptive_avg2, ref_adaptive_avg2, 0, 4)
SWEEP(adaptive_avg_pool3d, adaptive3, call_adaptive_avg3, ref_adaptive_avg3, 0, 4)

/* ---- max_unpool ---------------------------------------------------------------------------------------------------
 */

static void ref_unpool(const array *in, const sweep_case *c, array *out) {
    const settings *s = c->opts;
    const int n = (int)c->arg[0];
    tern_shape shape = in[0].shape;
    int64_t plane = 1, places = 1;
    for (int i = 0; i < n; i++) {
        int64_t *d = &shape.dim[shape.ndim - n + i];
        places *= *d;
        plane *= *d = s->kernel[i];
    }
    array_new(out, shape);
    for (int64_t i = 0; i < in[0].n; i++) out->v[i / places * plane + (int64_t)in[1].v[i]] = in[0].v[i];
}

static const sweep_case unpool1[] = {
    {"to 9", {REAL(2, 2, 4), INDEX(9, 2, 2, 4)}, POOL({9}), .arg = {1}},
    {"i32", {REAL(2, 2, 4), INDEX32(9, 2, 2, 4)}, POOL({9}), .arg = {1}},
    {"unbatched", {REAL(2, 4), INDEX(9, 2, 4)}, POOL({9}), .arg = {1}},
    {"batch 0", {REAL(0, 2, 4), INDEX(9, 0, 2, 4)}, POOL({9}), .arg = {1}},
    {"index outside", {REAL(2, 2, 4), INDEX(900, 2, 2, 4)}, POOL({3}), .code = TERN_ERR_INDEX, .text = "max_unpool1d"},
    {"shapes differ", {REAL(2, 2, 4), INDEX(9, 2, 2, 3)}, POOL({9}), .code = TERN_ERR_SHAPE, .text = "max_unpool1d"},
    {"indices are floats", {REAL(2, 4), REAL(2, 4)}, POOL({9}), .code = TERN_ERR_DTYPE, .text = "max_unpool1d"},
    {"negative size", {REAL(2, 4), INDEX(9, 2, 4)}, POOL({-2}), .code = TERN_ERR_ARGUMENT, .text = "max_unpool1d"},
};
static const sweep_case unpool2[] = {
    {"to 4x5", {REAL(2, 2, 2, 3), INDEX(20, 2, 2, 2, 3)}, POOL({4, 5}), .arg = {2}},
    {"unbatched", {REAL(2, 2, 3), INDEX(20, 2, 2, 3)}, POOL({4, 5}), .arg = {2}},
    {"index outside",
     {REAL(2, 2, 3), INDEX(900, 2, 2, 3)},
     POOL({2, 3}),
     .code = TERN_ERR_INDEX,
     .text = "max_unpool2d"},
};
static const sweep_case unpool3[] = {
    {"to 3x4x5", {REAL(1, 2, 1, 2, 3), INDEX(60, 1, 2, 1, 2, 3)}, POOL({3, 4, 5}), .arg = {3}},
    {"index outside",
     {REAL(2, 1, 2, 3), INDEX(900, 2, 1, 2, 3)},
     POOL({1, 2, 3}),
     .code = TERN_ERR_INDEX,
     .text = "max_unpool3d"},
};
SWEEP(max_unpool1d, unpool1, call_unpool1, ref_unpool, 0, 1)
SWEEP(max_unpool2d, unpool2, call_unpool2, ref_unpool, 0, 1)
SWEEP(max_unpool3d, unpool3, call_unpool3, ref_unpool, 0, 1)

/* ---- benchmarks ---------------------------------------------------------------------------------------------------
 */

BENCH(max_pool1d, call_max1, "F.max_pool1d(a, 2)", {"2", {REAL(16, 64, 8000)}, POOL({2})})
BENCH(max_pool2d__3x3, call_max2, "F.max_pool2d(a, 3, 2, 1)",
      {"3x3, stride 2, pad 1", {REAL(8, 64, 112, 112)}, POOL({3}, {2}, {1})})
BENCH(max_pool2d__5x5, call_max2, "F.max_pool2d(a, 5, 1, 2)",
      {"5x5, stride 1", {REAL(8, 256, 20, 20)}, POOL({5}, {1}, {2})})
BENCH(max_pool3d, call_max3, "F.max_pool3d(a, 2)", {"2x2x2", {REAL(4, 32, 32, 32, 32)}, POOL({2})})
BENCH(avg_pool1d, call_avg1, "F.avg_pool1d(a, 4)", {"4", {REAL(16, 64, 8000)}, POOL({4})})
BENCH(avg_pool2d__3x3, call_avg2, "F.avg_pool2d(a, 3, 1, 1)",
      {"3x3, stride 1, pad 1", {REAL(8, 192, 35, 35)}, POOL({3}, {1}, {1})})
BENCH(avg_pool3d, call_avg3, "F.avg_pool3d(a, 2)", {"2x2x2", {REAL(4, 32, 32, 32, 32)}, POOL({2})})
BENCH(adaptive_avg_pool2d, call_adaptive_avg2, "F.adaptive_avg_pool2d(a, 1)", {"1", {REAL(32, 2048, 7, 7)}, POOL({1})})
BENCH(adaptive_avg_pool2d__7, call_adaptive_avg2, "F.adaptive_avg_pool2d(a, 7)",
      {"7 of 16", {REAL(32, 512, 16, 16)}, POOL({7})})
BENCH(adaptive_max_pool2d, call_adaptive_max2, "F.adaptive_max_pool2d(a, 7)",
      {"7 of 16", {REAL(32, 512, 16, 16)}, POOL({7})})
BENCH(lp_pool2d, call_lp2, "F.lp_pool2d(a, 2, 2)", {"2x2", {RANGE(1, 2, 32, 64, 56, 56)}, POOL({2}, .p = 2)})
