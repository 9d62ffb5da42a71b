/* Transforms of samples and of batches, beside Pillow's and NumPy's values. */
#include "common.h"
#include "tern/data.h"
#include "tern/transform.h"

enum { C = 3, H = 5, W = 7 };

static tern_tensor *image(void) {
    double v[C * H * W];
    for (int i = 0; i < C * H * W; i++) v[i] = ((i * 37 + 11) % 101) / 100.0;
    return tern_from_doubles(v, TERN_SHAPE(C, H, W), (tern_options){0}); /* on the CPU, wherever the tests run */
}

static tern_tensor *apply_free(tern_transform *t, tern_random *r, tern_tensor *x) {
    tern_tensor *y = tern_transform_apply(t, r, x);
    tern_transform_free(t);
    return y;
}

enum kind { RESIZE, NEAREST, BILINEAR, BRIGHTNESS, CONTRAST, SATURATION, HUE };

/* The transform whose one random draw gives exactly what is wanted. */
static tern_transform *exact(enum kind kind, double v, int64_t h, int64_t w, tern_random r) {
    if (kind == RESIZE) return tern_resize_new(h, w);
    const bool color = kind >= BRIGHTNESS;
    for (uint64_t n = 4; color && n > 1; n--) (void)tern_random_below(&r, n); /* the order of the four */
    const double u = 2 * tern_random_double(&r) - 1, by = (kind == HUE || !color ? v : v - 1) / u;
    if (!color) return tern_random_rotate_new(by, (tern_rotate_opts){.bilinear = kind == BILINEAR, .fill = 0.25f});
    if (by > 1) return NULL; /* factors end at 0 */
    tern_color_jitter_opts o = {0};
    *(kind == BRIGHTNESS ? &o.brightness : kind == CONTRAST ? &o.contrast : kind == HUE ? &o.hue : &o.saturation) = by;
    return tern_color_jitter_new(o);
}

static void compare(enum kind kind, double v, int64_t h, int64_t w, const double *want) {
    check_case("kind %d, %g, %d x %d", (int)kind, v, (int)h, (int)w);
    tern_random r = {3, 0};
    tern_transform *t = NULL;
    for (; !t; tern_error_clear()) { /* until the draw has the sign and size for it */
        r = (tern_random){r.seed + 1, 0};
        t = exact(kind, v, h, w, r);
    }
    tern_tensor *y = apply_free(t, &r, image());
    CHECK_SHAPE(y, C, h, w);
    CHECK_CLOSE(y, want, C * h * w, ((tolerance){0, 2e-6}));
}

TERN_TEST(io_transform, as_pillow_and_numpy) {
#define TRANSFORM(kind, v, h, w, ...) compare(kind, v, h, w, (const double[]){__VA_ARGS__});
#include "reference/transforms.def"
}

TERN_TEST(io_transform, crops) {
    tern_tensor *x = image();
    tern_random r = {1, 0};
    tern_tensor *y = apply_free(tern_center_crop_new(2, 4), &r, x); /* (5-2)/2 = 1.5 and (7-4)/2 = 1.5: both 2 */
    CHECK_SAME(y, tern_narrow(tern_narrow(x, 1, 2, 2), 2, 2, 4), ((tolerance){0, 0}));
    bool seen[4][4] = {{false}};
    tern_transform *t = tern_random_crop_new(6, 8, (tern_random_crop_opts){.pad = 2, .fill = -1});
    tern_tensor *padded = tern_pad(x, (int64_t[]){2, 2, 2, 2}, 4, (tern_pad_opts){.value = -1});
    for (int i = 0; i < 200; i++) {
        tern_random q = r;
        const int64_t top = (int64_t)tern_random_below(&q, 4), left = (int64_t)tern_random_below(&q, 4);
        y = tern_transform_apply(t, &r, x);
        CHECK_SAME(y, tern_narrow(tern_narrow(padded, 1, top, 6), 2, left, 8), ((tolerance){0, 0}));
        seen[top][left] = true;
    }
    for (int i = 0; i < 16; i++) CHECK(seen[i / 4][i % 4], "place %d, %d never came", i / 4, i % 4);
    EXPECT_ERROR(tern_transform_apply(t, &r, tern_zeros(TERN_SHAPE(1, 1, 9), (tern_options){0})), TERN_ERR_SHAPE,
                 "6 x 8 of an image of 1 x 9");
    EXPECT_ERROR(tern_transform_apply(t, &r, tern_zeros(TERN_SHAPE(9, 9), (tern_options){0})), TERN_ERR_SHAPE,
                 "[9, 9]");
    tern_transform_free(t);
    t = tern_random_crop_new(2, 2, (tern_random_crop_opts){.pad = 9});
    for (int i = 0; i < 100; i++) CHECK(tern_transform_apply(t, &r, x) != NULL); /* also where nothing of x is seen */
    tern_transform_free(t);
    t = tern_random_resized_crop_new(4, 3, (tern_random_resized_crop_opts){0});
    for (int i = 0; i < 100; i++) { /* averages stay within the image's values */
        y = tern_transform_apply(t, &r, x);
        CHECK_SHAPE(y, 3, 4, 3);
        CHECK(tern_item(tern_min(y, NULL, 0, false)) >= 0 && tern_item(tern_max(y, NULL, 0, false)) <= 1);
    }
    tern_transform_free(t);
    y = apply_free(tern_random_resized_crop_new(5, 7, (tern_random_resized_crop_opts){{1, 1}, {1.4, 1.4}}), &r, x);
    CHECK_SAME(y, x, ((tolerance){0, 1e-6})); /* the whole of it is all that fits */
    EXPECT_ERROR(tern_random_crop_new(0, 2, (tern_random_crop_opts){0}), TERN_ERR_ARGUMENT, "random_crop: 0 x 2");
    EXPECT_ERROR(tern_random_crop_new(2, 2, (tern_random_crop_opts){.pad = -1}), TERN_ERR_ARGUMENT, "pad -1");
    EXPECT_ERROR(tern_center_crop_new(2, -2), TERN_ERR_ARGUMENT, "center_crop");
    EXPECT_ERROR(tern_resize_new(2, INT64_MAX), TERN_ERR_ARGUMENT, "resize");
    EXPECT_ERROR(tern_random_resized_crop_new(2, 2, (tern_random_resized_crop_opts){{0.5, 0.1}, {0}}),
                 TERN_ERR_ARGUMENT, "scale 0.5 to 0.1");
}

TERN_TEST(io_transform, flips) {
    tern_tensor *x = image();
    tern_random r = {1, 0};
    for (int vertical = 0; vertical < 2; vertical++) {
        tern_tensor *want = tern_flip(x, (int[]){vertical ? 1 : 2}, 1);
        CHECK_SAME(apply_free(tern_random_flip_new(1, vertical), &r, x), want, ((tolerance){0, 0}));
        CHECK_SAME(apply_free(tern_random_flip_new(0, vertical), &r, x), x, ((tolerance){0, 0}));
        tern_transform *t = tern_random_flip_new(0.3, vertical);
        int flipped = 0;
        const double corner = tern_item(tern_select(tern_select(tern_select(x, 0, 0), 0, 0), 0, 0));
        for (int i = 0; i < 500; i++) {
            const float *y = tern_data(tern_transform_apply(t, &r, x));
            flipped += y && (double)y[0] != corner;
        }
        CHECK(abs(flipped - 150) < 52, "%d of 500", flipped); /* five standard deviations */
        tern_transform_free(t);
    }
    EXPECT_ERROR(tern_random_flip_new(1.5, false), TERN_ERR_ARGUMENT, "p 1.5");
    EXPECT_ERROR(tern_random_rotate_new(-1, (tern_rotate_opts){0}), TERN_ERR_ARGUMENT, "-1 degrees");
}

/* Pixels that differ from x, of one plane. */
static int changed(tern_tensor *y, tern_tensor *x, float to) {
    const float *a = tern_data(y), *b = tern_data(x);
    int n = 0;
    for (int i = 0; y && i < H * W; i++) {
        n += a[i] != b[i];
        CHECK(a[i] == b[i] || a[i] == to);
    }
    return n;
}

TERN_TEST(io_transform, erasing) {
    tern_tensor *x = image();
    tern_random r = {1, 0};
    tern_transform *t = tern_random_erase_new(1, (tern_random_erase_opts){.value = 7});
    int most = 0;
    for (int i = 0; i < 200; i++) {
        const int n = changed(tern_transform_apply(t, &r, x), x, 7);
        most = n > most ? n : most;
    }
    CHECK(most >= 9 && most <= 16, "%d pixels of 35", most); /* 0.33 of them are 11.6, before rounding to whole sides */
    tern_transform_free(t);
    t = tern_cutout_new(3);
    x = tern_add_scalar(x, 1); /* none is 0 */
    for (int i = 0; i < 200; i++) {
        tern_random q = r;
        const int64_t y = (int64_t)tern_random_below(&q, H), z = (int64_t)tern_random_below(&q, W);
        const int high = 3 - (y == 0) - (y == H - 1), wide = 3 - (z == 0) - (z == W - 1);
        CHECK(changed(tern_transform_apply(t, &r, x), x, 0) == high * wide);
    }
    tern_transform_free(t);
    CHECK_SAME(apply_free(tern_random_erase_new(0, (tern_random_erase_opts){0}), &r, x), x, ((tolerance){0, 0}));
    EXPECT_ERROR(tern_random_erase_new(2, (tern_random_erase_opts){0}), TERN_ERR_ARGUMENT, "p 2");
    EXPECT_ERROR(tern_cutout_new(0), TERN_ERR_ARGUMENT, "size 0");
}

TERN_TEST(io_transform, values_lists_and_errors) {
    tern_tensor *x = image();
    tern_random r = {1, 0};
    const double mean[3] = {0.1, 0.2, 0.3}, std[3] = {0.5, 2, 4};
    tern_tensor *want = tern_div(tern_sub(x, tern_from_doubles(mean, TERN_SHAPE(3, 1, 1), (tern_options){0})),
                                 tern_from_doubles(std, TERN_SHAPE(3, 1, 1), (tern_options){0}));
    CHECK_SAME(apply_free(tern_normalize_new(mean, std, 3), &r, x), want, ((tolerance){0, 0}));
    tern_transform *t =
        tern_transforms_new((tern_transform *[]){tern_random_flip_new(1, false), tern_center_crop_new(5, 3),
                                                 tern_normalize_new(mean, std, 3), tern_random_flip_new(1, false)},
                            4);
    CHECK_SAME(apply_free(t, &r, x), tern_narrow(want, 2, 2, 3), ((tolerance){0, 0}));
    tern_tensor *u8 = tern_full(TERN_SHAPE(1, 2, 2), 51, (tern_options){.dtype = TERN_U8});
    tern_tensor *y = apply_free(tern_center_crop_new(1, 2), &r, u8);
    CHECK_VALUES(y, 0.2, 0.2);
    t = tern_normalize_new(mean, std, 3);
    EXPECT_ERROR(tern_transform_apply(t, &r, u8), TERN_ERR_SHAPE, "expected 3 channels");
    EXPECT_ERROR(tern_transform_apply(t, &r, tern_cast(x, TERN_F64)), TERN_ERR_DTYPE, "f64");
    EXPECT_ERROR(tern_transform_apply(NULL, &r, x), TERN_ERR_ARGUMENT, "transform");
    tern_transform_free(t);
    t = tern_color_jitter_new((tern_color_jitter_opts){.hue = 0.1});
    EXPECT_ERROR(tern_transform_apply(t, &r, tern_ones(TERN_SHAPE(2, 3, 3), (tern_options){0})), TERN_ERR_SHAPE,
                 "2 channels");
    tern_transform_free(t);
    EXPECT_ERROR(tern_normalize_new(mean, (double[]){1, 0, 1}, 3), TERN_ERR_ARGUMENT, "channel 1");
    EXPECT_ERROR(tern_normalize_new(mean, std, 99), TERN_ERR_ARGUMENT, "99 channels");
    EXPECT_ERROR(tern_color_jitter_new((tern_color_jitter_opts){.hue = 0.6}), TERN_ERR_ARGUMENT, "hue 0.6");
    EXPECT_ERROR(tern_transforms_new((tern_transform *[]){tern_cutout_new(2), NULL}, 2), TERN_ERR_ARGUMENT,
                 "number 1 is NULL");
    EXPECT_ERROR(tern_transforms_new((tern_transform *[]){tern_mixup_new(1), tern_cutout_new(2)}, 2), TERN_ERR_ARGUMENT,
                 "behind one of batches");
    EXPECT_ERROR(tern_transforms_new(NULL, 2), TERN_ERR_ARGUMENT, "parts");
    EXPECT_ERROR(tern_transforms_new((tern_transform *[]){NULL}, 0), TERN_ERR_ARGUMENT, "0 of them");
    t = tern_mixup_new(1);
    EXPECT_ERROR(tern_transform_apply(t, &r, x), TERN_ERR_ARGUMENT, "of batches");
    tern_transform_free(t);
    EXPECT_ERROR(tern_mixup_new(0), TERN_ERR_ARGUMENT, "alpha 0");
}

/* On batches: the same numbers give what the samples' transforms give. */
/* Pixels that are no numbers stay; no colour is looked up for them. */
TERN_TEST(io_transform, hue_of_nan) {
    float x[6] = {NAN, INFINITY, 0.25f, 0.5f, 0.75f, 0.125f};
    tern_transform *t = tern_color_jitter_new((tern_color_jitter_opts){.hue = 0.5});
    tern_random r = {1, 0};
    tern_tensor *y = tern_transform_apply(t, &r, tern_from(x, TERN_SHAPE(3, 1, 2), (tern_options){0}));
    REQUIRE(y);
    const float *v = tern_data(y);
    CHECK(isnan(v[0]) && isinf(v[1]) && v[2] == 0.25f && v[3] == 0.5f && v[4] == 0.75f && v[5] == 0.125f);
    tern_transform_free(t);
}

TERN_TEST(io_transform, batches_are_as_samples) {
    tern_tensor *one = image(), *x = tern_stack((tern_tensor *[]){one, tern_mul_scalar(one, 2), tern_neg(one)}, 3, 0);
    tern_tensor *there = tern_to(x, test_device());
    const double mean[3] = {0.1, 0.2, 0.3}, std[3] = {0.5, 2, 4};
    const tern_random_crop_opts pad = {.pad = 2, .fill = 9};
    tern_transform *t[5] = {tern_random_flip_new(0.5, false), tern_random_flip_new(0.5, true),
                            tern_random_crop_new(6, 4, pad), tern_cutout_new(4), tern_normalize_new(mean, std, 3)};
    for (uint64_t seed = 0; seed < 20; seed++)
        for (int k = 0; k < 5; k++) {
            check_case("kind %d, seed %d", k, (int)seed);
            tern_random r = {seed, 0}, q = {seed, 0};
            tern_tensor *y = k < 2    ? tern_batch_flip(there, &r, 0.5, k == 1)
                             : k == 2 ? tern_batch_crop(there, &r, 6, 4, pad)
                             : k == 3 ? tern_batch_cutout(there, &r, 4)
                                      : tern_batch_normalize(there, mean, std, 3);
            tern_tensor *part[3];
            for (int i = 0; i < 3; i++) part[i] = tern_transform_apply(t[k], &q, tern_select(x, 0, i));
            CHECK_SAME(y, tern_stack(part, 3, 0), ((tolerance){0, 1e-7}));
            CHECK(r.position == q.position);
        }
    for (int k = 0; k < 5; k++) tern_transform_free(t[k]);
    tern_random r = {1, 0};
    EXPECT_ERROR(tern_batch_flip(one, &r, 0.5, false), TERN_ERR_SHAPE, "batch_flip");
    EXPECT_ERROR(tern_batch_flip(x, &r, -1, false), TERN_ERR_ARGUMENT, "p -1");
    EXPECT_ERROR(tern_batch_crop(x, &r, 10, 4, pad), TERN_ERR_SHAPE, "10 x 4");
    EXPECT_ERROR(tern_batch_crop(x, &r, 0, 4, pad), TERN_ERR_ARGUMENT, "0 x 4");
    EXPECT_ERROR(tern_batch_cutout(x, &r, 0), TERN_ERR_ARGUMENT, "size");
    EXPECT_ERROR(tern_batch_normalize(x, mean, std, 2), TERN_ERR_SHAPE, "2 numbers for 3");
    EXPECT_ERROR(tern_batch_cutout(tern_cast(x, TERN_I32), &r, 2), TERN_ERR_DTYPE, "i32");
}

/* Rotation and colours too, to rounding; gradients flow through them. */
TERN_TEST(io_transform, pixels_of_batches_are_as_of_samples) {
    tern_tensor *one = image(),
                *x = tern_stack((tern_tensor *[]){one, tern_flip(one, (int[]){1}, 1), tern_square(one)}, 3, 0);
    tern_tensor *grey = tern_narrow(x, 1, 0, 1);
    const tern_rotate_opts nearest = {.fill = 0.25f}, smooth = {.bilinear = true, .fill = 0.25f};
    const tern_color_jitter_opts colors[6] = {{.brightness = 0.4}, {.contrast = 0.4},    {.saturation = 0.9},
                                              {.hue = 0.5},        {0.4, 0.5, 0.6, 0.3}, {.contrast = 2, .hue = 0.1}};
    for (uint64_t seed = 0; seed < 12; seed++)
        for (int k = 0; k < 10; k++) {
            check_case("kind %d, seed %d", k, (int)seed);
            const bool turn = k < 2 || k == 8;
            const double degrees = k == 8 ? 360 : 40;
            tern_tensor *in = k == 9 ? grey : x, *there = tern_to(in, test_device());
            const tern_color_jitter_opts o = colors[k == 9 ? 4 : turn ? 0 : k - 2];
            tern_random r = {seed, 0}, q = {seed, 0};
            tern_tensor *y = turn ? tern_batch_rotate(there, &r, degrees, k == 1 ? smooth : nearest)
                                  : tern_batch_color_jitter(there, &r, o);
            tern_transform *t =
                turn ? tern_random_rotate_new(degrees, k == 1 ? smooth : nearest) : tern_color_jitter_new(o);
            tern_tensor *part[3];
            for (int i = 0; i < 3; i++) part[i] = tern_transform_apply(t, &q, tern_select(in, 0, i));
            CHECK_SAME(y, tern_stack(part, 3, 0), ((tolerance){0, 3e-6}));
            CHECK(r.position == q.position);
            tern_transform_free(t);
        }
    tern_random r = {1, 0};
    tern_tensor *leaf = tern_require_grad(tern_to(x, test_device()), true);
    CHECK(tern_backward(
        tern_sum(tern_batch_color_jitter(tern_batch_rotate(leaf, &r, 30, smooth), &r, colors[4]), NULL, 0, false)));
    CHECK(tern_grad_get(leaf) && isfinite(tern_item(tern_sum(tern_grad_get(leaf), NULL, 0, false))));
    EXPECT_ERROR(tern_batch_rotate(x, &r, 361, smooth), TERN_ERR_ARGUMENT, "361 degrees");
    EXPECT_ERROR(tern_batch_rotate(one, &r, 3, smooth), TERN_ERR_SHAPE, "batch_rotate");
    EXPECT_ERROR(tern_batch_color_jitter(x, &r, (tern_color_jitter_opts){.hue = 0.6}), TERN_ERR_ARGUMENT, "hue 0.6");
    EXPECT_ERROR(tern_batch_color_jitter(tern_narrow(x, 1, 0, 2), &r, colors[0]), TERN_ERR_SHAPE, "2 channels");
}

TERN_TEST(io_transform, mixup) {
    double sum = 0, squares = 0;
    tern_random r = {1, 0};
    for (int i = 0; i < 500; i++) {
        tern_tensor *x = tern_arange(0, 6, (tern_options){0}),
                    *y = tern_arange(0, 6, (tern_options){.dtype = TERN_I64});
        REQUIRE(tern_batch_mixup(&x, &y, &r, 0.4, 6));
        CHECK_SHAPE(y, 6, 6);
        double v[6], share[36];
        CHECK(tern_to_doubles(x, v, 6) && tern_to_doubles(y, share, 36));
        double s = 1;
        for (int k = 0; k < 6; k++) {
            double mean = 0, all = 0;
            for (int c = 0; c < 6; c++) {
                mean += c * share[6 * k + c];
                all += share[6 * k + c];
            }
            CHECK_NUMBER(all, 1, 1e-6);
            CHECK_NUMBER(mean, v[k], 1e-5); /* x and y were mixed alike */
            if (share[7 * k] < s) s = share[7 * k];
        }
        sum += s;
        squares += s * s;
    }
    /* Beta(0.4, 0.4): mean 1/2, variance 1 / (4 (2 alpha + 1)) = 0.139 (its fourth moments give 0.005 for 500 draws) */
    CHECK_NUMBER(sum / 500, 0.5, 0.085);
    CHECK_NUMBER(squares / 500 - sum / 500 * sum / 500, 0.139, 0.02);
    tern_tensor *x = tern_ones(TERN_SHAPE(3, 2), (tern_options){0}), *y = tern_arange(0, 3, (tern_options){0});
    CHECK(tern_batch_mixup(&x, &y, &r, 1, 0) && tern_ndim(y) == 1);
    y = tern_zeros(TERN_SHAPE(3), (tern_options){.dtype = TERN_I64});
    EXPECT_ERROR(tern_batch_mixup(&x, &y, &r, 1, 0), TERN_ERR_ARGUMENT, "0 classes");
    EXPECT_ERROR(tern_batch_mixup(&x, &y, &r, -1, 3), TERN_ERR_ARGUMENT, "alpha");
    y = tern_zeros(TERN_SHAPE(2), (tern_options){.dtype = TERN_I64});
    EXPECT_ERROR(tern_batch_mixup(&x, &y, &r, 1, 3), TERN_ERR_SHAPE, "3 samples, y 2");
}
