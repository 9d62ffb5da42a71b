/* max_pool2d, avg_pool2d. arg: kernel, stride, pad, dilation (2 each, resolved), ceil_mode, exclude_pad. */
#include "../sweep.h"

/* Output size as PyTorch has it: in ceil mode the last window must start inside the input or the left padding. */
static int64_t out_size(int64_t n, int64_t k, int64_t s, int64_t p, int64_t d, bool ceil_mode) {
    const int64_t span = n + 2 * p - d * (k - 1) - 1;
    int64_t o = (span + (ceil_mode ? s - 1 : 0)) / s + 1;
    if (ceil_mode && (o - 1) * s >= n + p) o--;
    return o;
}

static void pool(const array *x, const sweep_case *c, bool max, array *out) {
    const int64_t *r = c->arg, h = x->shape.dim[2], w = x->shape.dim[3], planes = x->shape.dim[0] * x->shape.dim[1];
    const int64_t oh = out_size(h, r[0], r[2], r[4], r[6], r[8] != 0),
                  ow = out_size(w, r[1], r[3], r[5], r[7], r[8] != 0);
    array_make(out, x->shape.dim[0], x->shape.dim[1], oh, ow);
    for (int64_t i = 0; i < planes * oh * ow; i++) {
        const int64_t xo = i % ow * r[3] - r[5], yo = i / ow % oh * r[2] - r[4], plane = i / (ow * oh);
        double best = -(double)INFINITY, sum = 0;
        int64_t real = 0;
        for (int64_t p = 0; p < r[0]; p++)
            for (int64_t q = 0; q < r[1]; q++) {
                const int64_t yi = yo + p * r[6], xi = xo + q * r[7];
                if (yi < 0 || yi >= h || xi < 0 || xi >= w) continue;
                const double v = x->v[(plane * h + yi) * w + xi];
                best = fmax(best, v);
                sum += v;
                real++;
            }
        const int64_t y1 = yo + r[0] < h + r[4] ? yo + r[0] : h + r[4],
                      x1 = xo + r[1] < w + r[5] ? xo + r[1] : w + r[5];
        out->v[i] = max ? best : sum / (double)(r[9] ? real : (y1 - yo) * (x1 - xo));
    }
}

static void ref_max_pool2d(const array *in, const sweep_case *c, array *out) { pool(in, c, true, out); }
static void ref_avg_pool2d(const array *in, const sweep_case *c, array *out) { pool(in, c, false, out); }

typedef struct settings {
    int64_t kernel[2];
    tern_pool2d_opts opts;
} settings;

static tern_tensor *call_max_pool2d(tern_tensor *const *in, const sweep_case *c) {
    const settings *s = c->opts;
    return tern_max_pool2d(in[0], s->kernel, s->opts);
}
static tern_tensor *call_avg_pool2d(tern_tensor *const *in, const sweep_case *c) {
    const settings *s = c->opts;
    return tern_avg_pool2d(in[0], s->kernel, s->opts);
}

#define POOL(...) \
    .opts = &(settings) { __VA_ARGS__ }

#define SHARED_CASES                                                                                           \
    {"2x2", {REAL(2, 2, 4, 6)}, POOL({2}, {0}), .arg = {2, 2, 2, 2, 0, 0, 1, 1}},                              \
        {"odd size", {REAL(1, 2, 5, 7)}, POOL({2}, {0}), .arg = {2, 2, 2, 2, 0, 0, 1, 1}},                     \
        {"3x2, stride 1", {REAL(1, 2, 5, 4)}, POOL({3, 2}, {.stride = {1}}), .arg = {3, 2, 1, 1, 0, 0, 1, 1}}, \
        {"3x3, stride 2, pad 1",                                                                               \
         {REAL(2, 2, 5, 6)},                                                                                   \
         POOL({3}, {.stride = {2}, .pad = {1}}),                                                               \
         .arg = {3, 3, 2, 2, 1, 1, 1, 1}},                                                                     \
        {"pad height only", {REAL(1, 1, 5, 6)}, POOL({2}, {.pad = {1, -1}}), .arg = {2, 2, 2, 2, 1, 0, 1, 1}}, \
        {"ceil", {REAL(1, 2, 5, 6)}, POOL({2}, {.ceil_mode = true}), .arg = {2, 2, 2, 2, 0, 0, 1, 1, 1}},      \
        {"ceil, pad",                                                                                          \
         {REAL(1, 2, 6, 6)},                                                                                   \
         POOL({3}, {.stride = {2}, .pad = {1}, .ceil_mode = true}),                                            \
         .arg = {3, 3, 2, 2, 1, 1, 1, 1, 1}},                                                                  \
        {"whole input", {REAL(2, 3, 3, 4)}, POOL({3, 4}, {0}), .arg = {3, 4, 3, 4, 0, 0, 1, 1}},               \
        {"batch 0", {REAL(0, 3, 4, 4)}, POOL({2}, {0}), .arg = {2, 2, 2, 2, 0, 0, 1, 1}},                      \
        {"larger", {REAL(3, 9, 28, 27)}, POOL({2}, {0}), .arg = {2, 2, 2, 2, 0, 0, 1, 1}},                     \
        {"kernel 0", {REAL(1, 1, 4, 4)}, POOL({0}, {0}), .code = TERN_ERR_ARGUMENT},                           \
        {"kernel too large", {REAL(1, 1, 2, 4)}, POOL({3}, {0}), .code = TERN_ERR_SHAPE},                      \
        {"pad above half", {REAL(1, 1, 4, 4)}, POOL({2}, {.pad = {2}}), .code = TERN_ERR_ARGUMENT},            \
        {"negative stride", {REAL(1, 1, 4, 4)}, POOL({2}, {.stride = {-1}}), .code = TERN_ERR_ARGUMENT},       \
        {"x of 2 dimensions", {REAL(4, 4)}, POOL({2}, {0}), .code = TERN_ERR_SHAPE}, {                         \
        "integers", {TYPED(TERN_I32, 1, 1, 4, 4)}, POOL({2}, {0}), .code = TERN_ERR_DTYPE                      \
    }

static const sweep_case max_pools[] = {
    SHARED_CASES,
    {"dilation 2", {REAL(1, 2, 6, 7)}, POOL({2}, {.stride = {1}, .dilation = {2}}), .arg = {2, 2, 1, 1, 0, 0, 2, 2}},
    {"ties", {WHOLE(0, 2, 1, 2, 6, 6)}, POOL({2}, {0}), .arg = {2, 2, 2, 2, 0, 0, 1, 1}, .flags = SWEEP_NO_GRAD},
};
static const sweep_case avg_pools[] = {
    SHARED_CASES,
    {"exclude pad",
     {REAL(1, 2, 5, 6)},
     POOL({3}, {.stride = {2}, .pad = {1}, .exclude_pad = true}),
     .arg = {3, 3, 2, 2, 1, 1, 1, 1, 0, 1}},
    {"exclude pad, ceil",
     {REAL(1, 2, 6, 6)},
     POOL({3}, {.stride = {2}, .pad = {1}, .exclude_pad = true, .ceil_mode = true}),
     .arg = {3, 3, 2, 2, 1, 1, 1, 1, 1, 1}},
};
SWEEP(max_pool2d, max_pools, call_max_pool2d, ref_max_pool2d, 0, 1)
SWEEP(avg_pool2d, avg_pools, call_avg_pool2d, ref_avg_pool2d, 0, 1)
BENCH(max_pool2d, call_max_pool2d, "F.max_pool2d(a, 2)",
      {"[32, 64, 56, 56], 2x2", {REAL(32, 64, 56, 56)}, POOL({2}, {0})})
BENCH(avg_pool2d, call_avg_pool2d, "F.avg_pool2d(a, 2)",
      {"[32, 64, 56, 56], 2x2", {REAL(32, 64, 56, 56)}, POOL({2}, {0})})
