/* Fractional max pooling, with given samples. Their numbers are chosen so that f32 finds the same windows as f64. */
#include "../sweep.h"

typedef struct settings {
    int64_t kernel[3], size[3];
    double ratio[3];
    bool draws;
} settings;
#define POOL(...) \
    .opts = &(settings) { __VA_ARGS__ }

static tern_fractional_pool_opts options(tern_tensor *const *in, const settings *s) {
    return (tern_fractional_pool_opts){
        {s->size[0], s->size[1], s->size[2]}, {s->ratio[0], s->ratio[1], s->ratio[2]}, s->draws ? NULL : in[1]};
}
static tern_tensor *call2(tern_tensor *const *in, const sweep_case *c) {
    const settings *s = c->opts;
    return tern_fractional_max_pool2d(in[0], s->kernel, options(in, s), NULL);
}
static tern_tensor *call3(tern_tensor *const *in, const sweep_case *c) {
    const settings *s = c->opts;
    return tern_fractional_max_pool3d(in[0], s->kernel, options(in, s), NULL);
}
static tern_tensor *call_indices(tern_tensor *const *in, const sweep_case *c) {
    const settings *s = c->opts;
    tern_tensor *indices = NULL;
    return tern_fractional_max_pool2d(in[0], s->kernel, options(in, s), &indices) ? indices : NULL;
}

static int64_t begin(double u, int64_t i, int64_t in, int64_t out, int64_t k) {
    if (i == out - 1) return in - k;
    const double alpha = (double)(in - k) / (double)(out - 1);
    return (int64_t)((double)(i + 0) * alpha + u * alpha) - (int64_t)(u * alpha);
}

/* Over three axes, a leading one of 1 where there are two. */
static void find(const array *in, const settings *s, int n, bool indices, array *out) {
    const array *x = &in[0];
    tern_shape shape = x->shape;
    int64_t planes = 1, size[3], kernel[3], from[3], windows = 1;
    for (int i = 0; i < shape.ndim - n; i++) planes *= shape.dim[i];
    for (int d = 0; d < 3; d++) {
        const int i = d - (3 - n);
        from[d] = i < 0 ? 1 : x->shape.dim[shape.ndim - n + i];
        kernel[d] = i < 0 ? 1 : s->kernel[i] ? s->kernel[i] : kernel[d - 1];
        size[d] = i < 0         ? 1
                  : !s->size[0] ? (int64_t)((double)from[d] * (s->ratio[i] > 0 ? s->ratio[i] : s->ratio[0]))
                  : s->size[i]  ? s->size[i]
                                : size[d - 1];
        windows *= size[d];
        if (i >= 0) shape.dim[shape.ndim - n + i] = size[d];
    }
    array_new(out, shape);
    for (int64_t at = 0; at < planes * windows; at++) {
        const int64_t p = at / windows,
                      w[3] = {at % windows / (size[1] * size[2]), at / size[2] % size[1], at % size[2]};
        int64_t first[3], best = -1;
        for (int d = 0; d < 3; d++) {
            const int64_t which = n == 3 ? d : 2 - d;
            first[d] = d < 3 - n ? 0 : begin(in[1].v[p * n + which], w[d], from[d], size[d], kernel[d]);
        }
        const double *plane = x->v + p * from[0] * from[1] * from[2];
        for (int64_t k = 0; k < kernel[0] * kernel[1] * kernel[2]; k++) {
            const int64_t z = first[0] + k / (kernel[1] * kernel[2]), y = first[1] + k / kernel[2] % kernel[1];
            const int64_t here = (z * from[1] + y) * from[2] + first[2] + k % kernel[2];
            if (best < 0 || plane[here] > plane[best]) best = here;
        }
        out->v[at] = indices ? (double)best : plane[best];
    }
}
static void ref2(const array *in, const sweep_case *c, array *out) { find(in, c->opts, 2, false, out); }
static void ref3(const array *in, const sweep_case *c, array *out) { find(in, c->opts, 3, false, out); }
static void ref_indices(const array *in, const sweep_case *c, array *out) { find(in, c->opts, 2, true, out); }

static const sweep_case two[] = {
    {"5x3", {REAL(2, 3, 9, 8), FIXED(0, 0.99, 2, 3, 2)}, POOL({2, 3}, {5, 3})},
    {"one size, unbatched", {REAL(2, 10, 10), FIXED(0, 0.99, 1, 2, 2)}, POOL({3}, {5})},
    {"a ratio", {REAL(1, 2, 8, 10), FIXED(0, 0.99, 1, 2, 2)}, POOL({2}, {0}, {0.625, 0.5})},
    {"one window", {REAL(1, 2, 4, 5), FIXED(0, 0.99, 1, 2, 2)}, POOL({2}, {1})},
    {"all of them", {REAL(1, 1, 4, 4), FIXED(0, 0.99, 1, 1, 2)}, POOL({2}, {3})},
    {"batch 0", {REAL(0, 2, 5, 5), FIXED(0, 0.99, 0, 2, 2)}, POOL({2}, {3})},
    {"too many",
     {REAL(1, 1, 4, 4), FIXED(0, 0.99, 1, 1, 2)},
     POOL({2}, {4}),
     .code = TERN_ERR_SHAPE,
     .text = "4 windows of 2"},
    {"too large",
     {REAL(1, 1, 4, 4), FIXED(0, 0.99, 1, 1, 2)},
     POOL({5}, {1}),
     .code = TERN_ERR_SHAPE,
     .text = "do not fit"},
    {"no size",
     {REAL(1, 1, 4, 4), FIXED(0, 0.99, 1, 1, 2)},
     POOL({2}),
     .code = TERN_ERR_ARGUMENT,
     .text = "neither a size"},
    {"ratio 1",
     {REAL(1, 1, 4, 4), FIXED(0, 0.99, 1, 1, 2)},
     POOL({2}, {0}, {1}),
     .code = TERN_ERR_ARGUMENT,
     .text = "(0, 1)"},
    {"kernel 0",
     {REAL(1, 1, 4, 4), FIXED(0, 0.99, 1, 1, 2)},
     POOL({0}, {2}),
     .code = TERN_ERR_ARGUMENT,
     .text = "kernel 0"},
    {"samples", {REAL(1, 1, 4, 4), FIXED(0, 0.99, 1, 1, 3)}, POOL({2}, {2}), .code = TERN_ERR_SHAPE, .text = "samples"},
    {"dimensions",
     {REAL(4, 4), FIXED(0, 0.99, 1, 1, 2)},
     POOL({2}, {2}),
     .code = TERN_ERR_SHAPE,
     .text = "4 dimensions"},
};
static const sweep_case three[] = {
    {"3x5x2", {REAL(1, 2, 5, 9, 4), FIXED(0, 0.99, 1, 2, 3)}, POOL({2, 1, 3}, {3, 5, 2})},
    {"unbatched", {REAL(2, 4, 5, 6), FIXED(0, 0.99, 1, 2, 3)}, POOL({2}, {0}, {0.5, 0.4, 0.5})},
    {"too many",
     {REAL(1, 1, 4, 4, 4), FIXED(0, 0.99, 1, 1, 3)},
     POOL({2}, {3, 3, 4}),
     .code = TERN_ERR_SHAPE,
     .text = "4 windows of 2"},
};
static const sweep_case where[] = {
    {"5x3", {REAL(2, 3, 9, 8), FIXED(0, 0.99, 2, 3, 2)}, POOL({2, 3}, {5, 3})},
    {"unbatched", {REAL(2, 10, 10), FIXED(0, 0.99, 1, 2, 2)}, POOL({3}, {5})},
};
SWEEP(fractional_max_pool2d, two, call2, ref2, 0, 1)
SWEEP(fractional_max_pool2d__indices, where, call_indices, ref_indices, SWEEP_NO_GRAD, 1)
SWEEP(fractional_max_pool3d, three, call3, ref3, 0, 1)

/* Samples that are drawn: other windows at every call, within the plane; the same after the same seed. */
TERN_TEST(fractional_max_pool, draws) {
    tern_tensor *x = test_random(TERN_SHAPE(4, 8, 16, 16), -1, 1, TERN_F32), *first = NULL;
    double distinct = 0;
    for (int i = 0; i < 4; i++) {
        tern_tensor *at = NULL;
        tern_seed(i == 3 ? 0 : (uint64_t)i);
        tern_tensor *y =
            tern_fractional_max_pool2d(x, (const int64_t[]){2, 2}, (tern_fractional_pool_opts){.size = {9}}, &at);
        CHECK_SAME(tern_gather(tern_flatten(x, 2, 3), 2, tern_flatten(at, 2, 3)), tern_flatten(y, 2, 3),
                   ((tolerance){0, 0}));
        if (i == 3) CHECK_SAME(at, first, ((tolerance){0, 0}));
        if (i == 1) distinct = tern_item(tern_sum(tern_ne(at, first), NULL, 0, false));
        if (i == 0) first = at;
    }
    CHECK(distinct > 100, "%g of them are others", distinct);
}

BENCH(fractional_max_pool2d, call2, "F.fractional_max_pool2d(a, 2, (28, 28), _random_samples=b)",
      {"2x2", {REAL(32, 64, 56, 56), FIXED(0, 0.99, 32, 64, 2)}, POOL({2}, {28, 28})})
