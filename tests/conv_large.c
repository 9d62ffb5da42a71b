/* Convolutions that are larger than the sweep's: on the device in question and on the CPU in float64, the results and
 * all gradients agree; twice the same is the same to the last bit; and the device keeps what it plans for more shapes
 * than it has room for, from several threads. */
#include "common.h"

#include <pthread.h>

typedef struct shape {
    const char *name;
    int64_t n, c, h, w, o, k, stride, pad, dilation, groups;
    bool transposed;
} shape;

static const shape shapes[] = {
    {"wide", 2, 20, 12, 13, 40, 3, 1, 1, 1, 1, false},
    {"stride 2", 3, 18, 15, 12, 20, 3, 2, 1, 1, 1, false},
    {"few channels", 8, 1, 14, 14, 8, 5, 1, 2, 1, 1, false},
    {"one pixel", 4, 70, 1, 1, 66, 1, 1, 0, 1, 1, false},
    {"groups", 2, 36, 9, 9, 54, 3, 1, 2, 2, 3, false},
    {"depthwise", 2, 12, 17, 11, 12, 3, 2, 1, 1, 12, false},
    {"depthwise 3x3", 3, 5, 21, 19, 5, 3, 1, 1, 1, 5, false},
    {"depthwise 3x3, narrow", 2, 7, 5, 3, 7, 3, 1, 1, 1, 7, false},
    {"depthwise 3x3, pad beyond the kernel", 2, 3, 9, 20, 3, 3, 1, 4, 1, 3, false},
    {"depthwise 3x3 without padding", 2, 3, 18, 34, 3, 3, 1, 0, 1, 3, false},
    {"depthwise 3x3, stride 2, no padding", 2, 6, 16, 33, 6, 3, 2, 0, 1, 6, false},
    {"depthwise 3x3, stride 2, pad 2", 2, 6, 12, 35, 6, 3, 2, 2, 1, 6, false},
    {"depthwise 5x5", 2, 4, 11, 23, 4, 5, 1, 2, 1, 4, false},
    {"depthwise 5x5, stride 2", 2, 4, 14, 37, 4, 5, 2, 3, 1, 4, false},
    {"one filter a group, two results", 2, 6, 13, 11, 12, 3, 1, 0, 1, 6, false},
    {"3x3", 3, 20, 13, 18, 24, 3, 1, 1, 1, 1, false},
    {"3x3 without padding", 2, 16, 19, 16, 33, 3, 1, 0, 1, 1, false},
    {"3x3, pad beyond the kernel", 2, 17, 11, 14, 12, 3, 1, 5, 1, 1, false},
    {"3x3, rows of tiles over many images", 40, 13, 5, 4, 15, 3, 1, 1, 1, 1, false},
    {"3x3, groups", 2, 39, 16, 15, 42, 3, 1, 1, 1, 3, false},
    {"3x3, many channels", 2, 264, 16, 17, 70, 3, 1, 1, 1, 1, false},
    {"3x3, many kernels", 33, 290, 2, 3, 280, 3, 1, 1, 1, 1, false},
    {"3x3, several blocks of tiles", 11, 12, 64, 63, 12, 3, 1, 1, 1, 1, false},
    {"5x5", 3, 20, 13, 12, 35, 5, 1, 2, 1, 1, false},
    {"5x5, pad beyond the kernel", 2, 18, 7, 9, 14, 5, 1, 6, 1, 1, false},
    {"3x3, a narrow image", 4, 12, 50, 2, 16, 3, 1, 1, 1, 1, false},
    {"1x1", 3, 20, 13, 18, 24, 1, 1, 0, 1, 1, false},
    {"1x1, small images", 9, 140, 3, 5, 33, 1, 1, 0, 1, 1, false},
    {"1x1, one image", 1, 300, 7, 7, 75, 1, 1, 0, 1, 1, false},
    {"1x1, whole vectors", 2, 9, 16, 12, 8, 1, 1, 0, 1, 1, false},
    {"1x1, groups", 5, 45, 5, 7, 63, 1, 1, 0, 1, 3, false},
    {"transposed 1x1", 2, 70, 6, 5, 31, 1, 1, 0, 1, 1, true},
    {"transposed 3x3", 2, 24, 17, 15, 18, 3, 1, 1, 1, 1, true},
    {"transposed", 2, 24, 7, 6, 18, 4, 2, 1, 1, 1, true},
    {"transposed, groups", 2, 8, 7, 6, 12, 3, 3, 0, 2, 2, true},
};
enum { SHAPES = sizeof shapes / sizeof *shapes, PARTS = 4, THREADS = 3 };

static tern_tensor *filled(tern_shape s, uint64_t seed, tern_dtype dtype, tern_device device, bool grad) {
    tern_seed(seed);
    tern_tensor *t = tern_cast(tern_randn(s, 0, 1, (tern_options){.dtype = TERN_F32}), TERN_F64);
    t = tern_to(tern_cast(t, dtype), device);
    return grad ? tern_require_grad(t, true) : t;
}

/* The simulation of a GPU takes a second for a million products; the CPU's ways by blocks, which want more, are not in
 * it. */
static bool too_large(const shape *s) {
    const int64_t products = s->n * s->c * s->h * s->w * s->o / s->groups * s->k * s->k / (s->stride * s->stride);
    return getenv("TERN_SIM_ORDER") && products > 4000000;
}

/* The result, then the gradients of x, w and b, of what a sum with random weights makes of it. */
static bool run(const shape *s, tern_dtype dtype, tern_device device, tern_tensor **part) {
    const int64_t per = (s->transposed ? s->o : s->c) / s->groups;
    tern_tensor *x = filled(TERN_SHAPE(s->n, s->c, s->h, s->w), 1, dtype, device, true);
    tern_tensor *w = filled(TERN_SHAPE(s->transposed ? s->c : s->o, per, s->k, s->k), 2, dtype, device, true);
    tern_tensor *b = filled(TERN_SHAPE(s->o), 3, dtype, device, true), *in[3] = {x, w, b};
    tern_tensor *y = s->transposed ? tern_conv_transpose2d(x, w, b,
                                                           (tern_conv_transpose2d_opts){.stride = {s->stride},
                                                                                        .pad = {s->pad ? s->pad : -1},
                                                                                        .dilation = {s->dilation},
                                                                                        .groups = s->groups})
                                   : tern_conv2d(x, w, b,
                                                 (tern_conv2d_opts){.stride = {s->stride},
                                                                    .pad = {s->pad ? s->pad : -1},
                                                                    .dilation = {s->dilation},
                                                                    .groups = s->groups});
    if (!y) return false;
    part[0] = y;
    return tern_grad(y, in, 3, filled(tern_shape_get(y), 4, dtype, device, false), (tern_backward_opts){0}, part + 1);
}

static double *numbers(tern_tensor *t, double *largest) {
    double *v = malloc((size_t)tern_numel(t) * sizeof *v);
    CHECK(v && tern_to_doubles(t, v, tern_numel(t)));
    *largest = 0;
    for (int64_t i = 0; i < tern_numel(t); i++) *largest = fabs(v[i]) > *largest ? fabs(v[i]) : *largest;
    return v;
}

/* allowed is relative to the largest element. */
static void compare(const shape *s, const char *dtype, int part, tern_tensor *got, tern_tensor *want, double allowed) {
    double most, ignored, worst = 0;
    REQUIRE(tern_numel(got) == tern_numel(want));
    double *a = numbers(want, &most), *b = numbers(got, &ignored);
    for (int64_t i = 0; i < tern_numel(got) && !isnan(worst); i++) {
        const double off = fabs(a[i] - b[i]);
        worst = off <= worst ? worst : off; /* a NaN too, and it stays */
    }
    CHECK(most > 0 && worst <= allowed * most, "%s, %s, part %d: off by %g of %g", s->name, dtype, part, worst, most);
    free(a);
    free(b);
}

TERN_TEST(conv_large, as_on_the_cpu) {
    static const struct {
        tern_dtype dtype;
        double allowed;
    } dtypes[] = {{TERN_F64, 1e-13}, {TERN_F32, 5e-6}, {TERN_BF16, 2e-2}};
    int tried = 0;
    for (int i = 0; i < SHAPES; i++)
        for (int d = 0; d < 3 && !too_large(&shapes[i]); d++, tried++) {
            const int scope = tern_scope_push();
            tern_tensor *want[PARTS], *got[PARTS], *again[PARTS];
            REQUIRE(run(&shapes[i], TERN_F64, (tern_device){.type = TERN_CPU}, want), "%s", tern_error_message());
            REQUIRE(run(&shapes[i], dtypes[d].dtype, test_device(), got), "%s", tern_error_message());
            REQUIRE(run(&shapes[i], dtypes[d].dtype, test_device(), again), "%s", tern_error_message());
            for (int p = 0; p < PARTS; p++) {
                compare(&shapes[i], tern_dtype_name(dtypes[d].dtype), p, got[p], want[p], dtypes[d].allowed);
                compare(&shapes[i], "twice", p, again[p], got[p], 0);
            }
            tern_scope_pop(scope);
        }
    CHECK(tried > 3 * SHAPES / 2, "%d", tried);
}

TERN_TEST(conv_large, threads_change_no_bit) {
    const tern_device cpu = {.type = TERN_CPU};
    const int threads = tern_threads();
    for (int i = 0; i < SHAPES; i++) {
        const int scope = tern_scope_push();
        tern_tensor *one[PARTS], *three[PARTS];
        tern_set_threads(1);
        REQUIRE(run(&shapes[i], TERN_F32, cpu, one), "%s", tern_error_message());
        tern_set_threads(3);
        REQUIRE(run(&shapes[i], TERN_F32, cpu, three), "%s", tern_error_message());
        for (int p = 0; p < PARTS; p++) compare(&shapes[i], "threads", p, three[p], one[p], 0);
        tern_scope_pop(scope);
    }
    tern_set_threads(threads);
}

/* More shapes than plans are kept for, each twice, so that some come back after they had to go. */
static void *many(void *arg) {
    bool *ok = arg;
    *ok = true;
    for (int64_t i = 0; i < 2 * 600 && *ok; i++) {
        const int scope = tern_scope_push();
        const int64_t size = 3 + i % 600;
        tern_tensor *x = tern_ones(TERN_SHAPE(1, 2, size), (tern_options){.device = test_device()});
        tern_tensor *w = tern_ones(TERN_SHAPE(1, 2, 3), (tern_options){.device = test_device()});
        tern_tensor *y = tern_sum(tern_conv1d(x, w, NULL, (tern_conv1d_opts){0}), NULL, 0, false);
        *ok = y && tern_item(y) == (double)(6 * (size - 2));
        tern_scope_pop(scope);
    }
    return NULL;
}

TERN_TEST(conv_large, more_shapes_than_are_kept) {
    pthread_t thread[THREADS];
    bool ok[THREADS];
    for (int i = 0; i < THREADS; i++) REQUIRE(pthread_create(&thread[i], NULL, many, &ok[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        CHECK(ok[i], "thread %d", i);
    }
}
