/* What the sweep's table cannot say about normalisation, pooling and losses: state, special values, mixed dtypes. */
#include "common.h"

#define F32 ((tern_options){.device = test_device()})

TERN_TEST(norm, running_statistics) {
    tern_tensor *x = test_values(TERN_F32, TERN_SHAPE(4, 2), 1, 10, 2, 20, 3, 30, 6, 40);
    tern_tensor *mean = tern_zeros(TERN_SHAPE(2), F32), *var = tern_ones(TERN_SHAPE(2), F32);
    const uint32_t version = tern_storage_version(mean);
    tern_tensor *y = tern_batch_norm(x, NULL, NULL, mean, var, (tern_batch_norm_opts){.training = true});
    CHECK(y != NULL && tern_storage_version(mean) > version);
    CHECK_VALUES(mean, 0.1 * 3, 0.1 * 25);
    CHECK_VALUES(var, 0.9 + 0.1 * 14.0 / 3, 0.9 + 0.1 * 500 / 3); /* the unbiased variance */
    CHECK(tern_batch_norm(x, NULL, NULL, mean, var, (tern_batch_norm_opts){.training = true, .momentum = 0.5}) != NULL);
    CHECK_VALUES(mean, 0.15 + 1.5, 1.25 + 12.5);
    tern_tensor *frozen = tern_clone(mean);
    y = tern_batch_norm(x, NULL, NULL, mean, var, (tern_batch_norm_opts){0});
    CHECK_SAME(mean, frozen, ((tolerance){0, 0}));
    double v[8], m[2], s[2];
    CHECK(tern_to_doubles(y, v, 8) && tern_to_doubles(mean, m, 2) && tern_to_doubles(var, s, 2));
    CHECK_NUMBER(v[0], (1 - m[0]) / sqrt(s[0] + 1e-5), 1e-5);
    CHECK_NUMBER(v[7], (40 - m[1]) / sqrt(s[1] + 1e-5), 1e-5);
}

TERN_TEST(norm, statistics_are_not_changed_by_a_failing_call) {
    tern_tensor *mean = tern_zeros(TERN_SHAPE(2), F32), *var = tern_ones(TERN_SHAPE(2), F32);
    tern_tensor *x = tern_ones(TERN_SHAPE(3, 2), F32);
    EXPECT_ERROR(tern_batch_norm(x, NULL, NULL, mean, NULL, (tern_batch_norm_opts){.training = true}),
                 TERN_ERR_ARGUMENT, "batch_norm");
    EXPECT_ERROR(
        tern_batch_norm(x, tern_ones(TERN_SHAPE(3), F32), NULL, mean, var, (tern_batch_norm_opts){.training = true}),
        TERN_ERR_SHAPE, "batch_norm");
    CHECK_VALUES(mean, 0, 0);
    CHECK_VALUES(var, 1, 1);
}

TERN_TEST(norm, half_inputs_with_f32_weights) {
    static const tern_dtype half[] = {TERN_F16, TERN_BF16};
    for (int d = 0; d < 2; d++) {
        tern_tensor *x = test_random(TERN_SHAPE(8, 3, 5), -2, 2, half[d]), *wide = tern_cast(x, TERN_F64);
        tern_tensor *w = test_values(TERN_F32, TERN_SHAPE(3), 1, 2, 3),
                    *b = test_values(TERN_F32, TERN_SHAPE(3), 0, -1, 1);
        tern_tensor *w5 = test_random(TERN_SHAPE(5), 1, 2, TERN_F32);
        const tern_batch_norm_opts o = {.training = true};
        const tolerance tol = {tolerance_of(half[d]).rtol, 4e-3 + (d ? 2e-2 : 0)};
        tern_tensor *y = tern_batch_norm(x, w, b, NULL, NULL, o);
        CHECK(tern_dtype_of(y) == half[d]);
        CHECK_SAME(y, tern_batch_norm(wide, tern_cast(w, TERN_F64), tern_cast(b, TERN_F64), NULL, NULL, o), tol);
        y = tern_layer_norm(x, 1, w5, NULL, 0);
        CHECK(tern_dtype_of(y) == half[d]);
        CHECK_SAME(y, tern_layer_norm(wide, 1, tern_cast(w5, TERN_F64), NULL, 0), tol);
        CHECK_OK();
    }
}

/* A mean far from zero must not cancel the variance away. */
TERN_TEST(norm, far_from_zero) {
    double v[64];
    for (int i = 0; i < 64; i++) v[i] = 10000 + i % 8;
    tern_tensor *x = test_tensor(v, TERN_SHAPE(8, 8), TERN_F32);
    tern_tensor *y = tern_layer_norm(x, 1, NULL, NULL, 0);
    double got[64];
    REQUIRE(tern_to_doubles(y, got, 64));
    for (int i = 0; i < 64; i++) CHECK_NUMBER(got[i], (i % 8 - 3.5) / sqrt(5.25 + 1e-5), 1e-3);
    y = tern_batch_norm(tern_transpose(x, 0, 1), NULL, NULL, NULL, NULL, (tern_batch_norm_opts){.training = true});
    REQUIRE(tern_to_doubles(y, got, 64));
    for (int i = 0; i < 64; i++) CHECK_NUMBER(got[i], (i / 8 - 3.5) / sqrt(5.25 + 1e-5), 1e-3);
}

/* ---- reductions and pools on special values
 * --------------------------------------------------------------------------- */

TERN_TEST(reduce, nan_and_ties) {
    const double nan = (double)NAN, inf = (double)INFINITY;
    static const tern_dtype floats[] = {TERN_F64, TERN_F32, TERN_F16, TERN_BF16};
    for (int d = 0; d < 4; d++) {
        check_case("%s", tern_dtype_name(floats[d]));
        tern_tensor *x = test_values(floats[d], TERN_SHAPE(3, 4), 1, nan, 3, 2, -inf, -inf, -inf, -inf, 5, 5, 5, inf);
        const int last = 1;
        CHECK_VALUES(tern_max(x, &last, 1, false), nan, -inf, inf);
        CHECK_VALUES(tern_min(x, &last, 1, false), nan, -inf, 5);
        CHECK_VALUES(tern_argmax(x, 1, false), 1, 0, 3);
        CHECK_VALUES(tern_sum(x, &last, 1, false), nan, -inf, inf);
        tern_tensor *t = tern_require_grad(test_values(floats[d], TERN_SHAPE(2, 4), 1, 3, 3, 2, 7, 7, 7, 7), true), *g;
        CHECK(tern_grad(tern_sum(tern_max(t, &last, 1, false), NULL, 0, false), &t, 1, NULL, (tern_backward_opts){0},
                        &g));
        CHECK_VALUES(g, 0, 0.5, 0.5, 0, 0.25, 0.25, 0.25, 0.25);
        /* A long row, whose NaN and maximum lie in odd places. */
        double v[1037];
        for (int i = 0; i < 1037; i++) v[i] = -i % 97;
        v[1031] = 5;
        CHECK_ITEM(tern_argmax(test_tensor(v, TERN_SHAPE(1037), floats[d]), 0, false), 1031, 0);
        v[517] = nan;
        CHECK_ITEM(tern_argmax(test_tensor(v, TERN_SHAPE(1037), floats[d]), 0, false), 517, 0);
        CHECK_ITEM(tern_max(test_tensor(v, TERN_SHAPE(1037), floats[d]), NULL, 0, false), nan, 0);
    }
    tern_tensor *a = tern_require_grad(test_values(TERN_F64, TERN_SHAPE(2), 3, 1), true),
                *b = test_values(TERN_F64, TERN_SHAPE(2), 3, 2), *g;
    CHECK(tern_grad(tern_sum(tern_maximum(a, b), NULL, 0, false), &a, 1, NULL, (tern_backward_opts){0}, &g));
    CHECK_VALUES(g, 0.5, 0);
}

TERN_TEST(reduce, nan_and_ties_by_columns) {
    static const tern_dtype floats[] = {TERN_F64, TERN_F32, TERN_F16, TERN_BF16};
    const double nan = (double)NAN;
    const int last = 1;
    for (int d = 0; d < 4; d++) {
        check_case("%s", tern_dtype_name(floats[d]));
        /* By columns: the maximum, a tie and a NaN in each place of a wide row, at different heights. */
        enum { H = 41, W = 77 };
        double m[H * W], top[W], low[W], where[W];
        for (int i = 0; i < H * W; i++) m[i] = -(i * 7 % 61);
        for (int k = 0; k < W; k++) {
            const int at = k * 5 % (H - 1);
            m[at * W + k] = m[(at + 1) * W + k] = k % 3 == 0 ? nan : 9;
            where[k] = at;
            top[k] = k % 3 == 0 ? nan : 9;
            low[k] = 9;
            for (int i = 0; i < H; i++) low[k] = isnan(low[k]) || m[i * W + k] >= low[k] ? low[k] : m[i * W + k];
            if (k % 3 == 0) low[k] = nan;
        }
        const int first = 0;
        tern_tensor *wide = test_tensor(m, TERN_SHAPE(H, W), floats[d]);
        CHECK_CLOSE(tern_argmax(wide, 0, false), where, W, ((tolerance){0, 0}));
        CHECK_CLOSE(tern_max(wide, &first, 1, false), top, W, ((tolerance){0, 0}));
        CHECK_CLOSE(tern_min(wide, &first, 1, false), low, W, ((tolerance){0, 0}));
        tern_tensor *tall = tern_contiguous(tern_transpose(wide, 0, 1));
        CHECK_CLOSE(tern_argmax(tall, 1, false), where, W, ((tolerance){0, 0}));
        CHECK_CLOSE(tern_max(tall, &last, 1, false), top, W, ((tolerance){0, 0}));
        CHECK_CLOSE(tern_min(tall, &last, 1, false), low, W, ((tolerance){0, 0}));
    }
}

TERN_TEST(reduce, sums_are_accurate) {
    enum { N = 10000019 };
    tern_tensor *t = tern_full(TERN_SHAPE(N), 0.1, F32);
    CHECK_ITEM(tern_sum(t, NULL, 0, false), N * (double)0.1f, 1e-6);
    CHECK_ITEM(tern_mean(t, NULL, 0, false), (double)0.1f, 1e-6);
    tern_tensor *wide = tern_reshape(tern_slice(t, 0, 0, 9999990, 1), TERN_SHAPE(333333, 30));
    const int first = 0;
    CHECK_ITEM(tern_max(tern_sum(wide, &first, 1, false), NULL, 0, false), 333333 * (double)0.1f, 1e-6);
    tern_tensor *half = tern_full(TERN_SHAPE(100000), 0.25, (tern_options){TERN_F16, test_device()});
    CHECK_ITEM(tern_sum(half, NULL, 0, false), 25000, 1e-3);
    CHECK_ITEM(tern_mean(half, NULL, 0, false), 0.25, 1e-3);
    CHECK_ITEM(tern_global_norm(&t, 1), sqrt(N * (double)0.1f * (double)0.1f), 1e-5);
}

TERN_TEST(reduce, integers_sum_in_i64) {
    tern_tensor *t = tern_full(TERN_SHAPE(300), 200, (tern_options){TERN_U8, test_device()}),
                *s = tern_sum(t, NULL, 0, false);
    CHECK(tern_dtype_of(s) == TERN_I64 && tern_item_i64(s) == 60000);
    s = tern_sum(tern_full(TERN_SHAPE(5), 2e9, (tern_options){TERN_I32, test_device()}), NULL, 0, false);
    CHECK(tern_dtype_of(s) == TERN_I64 && tern_item_i64(s) == INT64_C(10000000000));
    s = tern_sum(tern_ones(TERN_SHAPE(70), (tern_options){TERN_BOOL, test_device()}), NULL, 0, false);
    CHECK(tern_dtype_of(s) == TERN_I64 && tern_item_i64(s) == 70);
    CHECK(tern_dtype_of(tern_max(t, NULL, 0, false)) == TERN_U8);
    CHECK_ITEM(tern_mean(tern_zeros(TERN_SHAPE(0), F32), NULL, 0, false), (double)NAN, 0);
}

TERN_TEST(pool, special_values) {
    const double nan = (double)NAN, inf = (double)INFINITY;
    tern_tensor *x =
        test_values(TERN_F32, TERN_SHAPE(1, 1, 2, 6), -inf, -inf, 1, nan, -5, -6, -inf, -inf, 2, 3, -7, -8);
    CHECK_VALUES(tern_max_pool2d(x, (int64_t[]){2, 2}, (tern_pool2d_opts){0}), -inf, nan, -5);
    /* Padding never wins. */
    tern_tensor *y = tern_full(TERN_SHAPE(1, 1, 2, 2), -3, F32);
    CHECK_VALUES(tern_max_pool2d(y, (int64_t[]){2, 2}, (tern_pool2d_opts){.pad = {1}}), -3, -3, -3, -3);
    CHECK_VALUES(tern_avg_pool2d(y, (int64_t[]){2, 2}, (tern_pool2d_opts){.pad = {1}}), -0.75, -0.75, -0.75, -0.75);
    /* The first of equals takes the gradient. */
    tern_tensor *t = tern_require_grad(tern_ones(TERN_SHAPE(1, 1, 2, 4), F32), true), *g;
    CHECK(tern_grad(tern_sum(tern_max_pool2d(t, (int64_t[]){2, 0}, (tern_pool2d_opts){0}), NULL, 0, false), &t, 1, NULL,
                    (tern_backward_opts){0}, &g));
    CHECK_VALUES(g, 1, 0, 1, 0, 0, 0, 0, 0);
}

TERN_TEST(loss, all_ignored) {
    tern_tensor *x = tern_require_grad(test_random(TERN_SHAPE(2, 3), -1, 1, TERN_F32), true);
    tern_tensor *t = test_values(TERN_I64, TERN_SHAPE(2), -100, -100);
    CHECK_ITEM(tern_cross_entropy(x, t, (tern_cross_entropy_opts){0}), (double)NAN, 0);
    tern_tensor *sum = tern_cross_entropy(x, t, (tern_cross_entropy_opts){.reduction = TERN_REDUCE_SUM});
    CHECK_ITEM(sum, 0, 0);
    CHECK(tern_backward(sum));
    CHECK_VALUES(tern_grad_get(x), 0, 0, 0, 0, 0, 0);
    /* -100 counts for nothing whatever the other ignored index is. */
    t = test_values(TERN_I64, TERN_SHAPE(2), -100, 1);
    tern_tensor *row = tern_slice(x, 0, 1, 2, 1);
    CHECK_SAME(tern_cross_entropy(x, t, (tern_cross_entropy_opts){.has_ignore_index = true, .ignore_index = 0}),
               tern_cross_entropy(row, tern_slice(t, 0, 1, 2, 1), (tern_cross_entropy_opts){0}),
               ((tolerance){1e-6, 1e-6}));
}

TERN_TEST(loss, infinities) {
    const double inf = (double)INFINITY;
    tern_tensor *x = test_values(TERN_F32, TERN_SHAPE(1, 3), 0, -inf, 0), *t = test_values(TERN_I64, TERN_SHAPE(1), 0);
    CHECK_ITEM(tern_cross_entropy(x, t, (tern_cross_entropy_opts){0}), log(2), 1e-6);
    CHECK_VALUES(tern_softmax(x, 1), 0.5, 0, 0.5);
    CHECK_VALUES(tern_log_softmax(x, 1), -log(2), -inf, -log(2));
    tern_tensor *big = test_values(TERN_F32, TERN_SHAPE(1, 2), 3e38, -3e38);
    CHECK_VALUES(tern_softmax(big, 1), 1, 0);
}

TERN_TEST(norm, instance_norm_running_statistics) {
    tern_tensor *x = test_values(TERN_F32, TERN_SHAPE(2, 1, 2), 1, 3, 10, 20);
    tern_tensor *mean = tern_zeros(TERN_SHAPE(1), F32), *var = tern_ones(TERN_SHAPE(1), F32);
    CHECK(tern_instance_norm(x, NULL, NULL, mean, var, (tern_instance_norm_opts){0}) != NULL);
    CHECK_VALUES(mean, 0.1 * (2 + 15) / 2);
    CHECK_VALUES(var, 0.9 + 0.1 * (2 + 50) / 2); /* the mean of the unbiased variances */
    tern_tensor *frozen = tern_clone(mean);
    CHECK(tern_instance_norm(x, NULL, NULL, mean, var, (tern_instance_norm_opts){.use_running = true}) != NULL);
    CHECK_SAME(mean, frozen, ((tolerance){0, 0}));
}

TERN_TEST(norm, gumbel_softmax_draws_by_the_probabilities) {
    const double p[3] = {0.2, 0.3, 0.5};
    tern_seed(3);
    tern_tensor *logits = tern_expand(tern_log(tern_from_doubles(p, TERN_SHAPE(3), F32)), TERN_SHAPE(20000, 3));
    tern_tensor *y = tern_gumbel_softmax(logits, -1, 0.5, true);
    double share[3];
    CHECK(tern_to_doubles(tern_mean(y, (const int[]){0}, 1, false), share, 3));
    for (int i = 0; i < 3; i++) CHECK_NUMBER(share[i], p[i], 0.015);
    CHECK(tern_item(tern_max(tern_abs(tern_sub(tern_sum(y, (const int[]){1}, 1, false), tern_ones(TERN_SHAPE(1), F32))),
                             NULL, 0, false)) < 1e-6);
    tern_tensor *few = tern_require_grad(tern_clone(tern_slice(logits, 0, 0, 4, 1)), true);
    tern_tensor *one = tern_gumbel_softmax(few, -1, 1, true);
    CHECK(tern_backward(tern_sum(tern_mul(one, tern_arange(0, 3, F32)), NULL, 0, false)));
    CHECK(tern_item(tern_sum(tern_abs(tern_grad_get(few)), NULL, 0, false)) > 0.1); /* the soft sample's gradient */
}

TERN_TEST(norm, channel_and_alpha_dropout_statistics) {
    tern_seed(3);
    tern_tensor *y = tern_dropout2d(tern_ones(TERN_SHAPE(200, 50, 2, 2), F32), 0.25);
    tern_tensor *channel = tern_mean(y, (const int[]){2, 3}, 2, false);
    CHECK_NUMBER(tern_item(tern_mean(y, NULL, 0, false)), 1, 0.03);
    CHECK_NUMBER(tern_item(tern_mean(tern_square(channel), NULL, 0, false)), 4.0 / 3, 0.04); /* all or nothing */
    tern_tensor *x = tern_randn(TERN_SHAPE(400, 500), 0, 1, F32);
    tern_tensor *a = tern_alpha_dropout(x, 0.3);
    CHECK_NUMBER(tern_item(tern_mean(a, NULL, 0, false)), 0, 0.02);
    CHECK_NUMBER(tern_item(tern_mean(tern_square(a), NULL, 0, false)), 1, 0.02);
    tern_tensor *f = tern_feature_alpha_dropout(tern_ones(TERN_SHAPE(2, 3, 4), F32), 0.5);
    CHECK_NUMBER(tern_item(tern_sum(tern_abs(tern_sub(tern_select(f, 2, 0), tern_select(f, 2, 3))), NULL, 0, false)), 0,
                 1e-6);
    CHECK_OK();
}

/* dropout1d drops rows [L], dropout3d volumes [D, H, W]: each is all zero or all scaled, and some are either. */
TERN_TEST(norm, dropout_of_rows_and_volumes) {
    for (int k = 0; k < 2; k++) {
        check_case("dropout%dd", k ? 3 : 1);
        tern_tensor *x = tern_ones(k ? TERN_SHAPE(20, 30, 2, 3, 2) : TERN_SHAPE(20, 30, 12), F32);
        tern_tensor *y = k ? tern_dropout3d(x, 0.25) : tern_dropout1d(x, 0.25);
        double v[7200];
        REQUIRE(tern_to_doubles(y, v, 7200));
        int dropped = 0;
        for (int c = 0; c < 600; c++) {
            const double first = v[12 * c];
            dropped += first == 0;
            CHECK(first == 0 || fabs(first - 4.0 / 3) < 1e-6, "%g", first);
            for (int i = 1; i < 12; i++) CHECK(v[12 * c + i] == first, "channel %d is torn", c);
        }
        CHECK(dropped > 100 && dropped < 200, "%d of 600", dropped);
    }
    EXPECT_ERROR(tern_dropout1d(tern_ones(TERN_SHAPE(3), F32), 0.5), TERN_ERR_SHAPE, "dropout1d");
    EXPECT_ERROR(tern_dropout3d(tern_ones(TERN_SHAPE(3, 4), F32), 0.5), TERN_ERR_SHAPE, "dropout3d");
}
