/* Adaptive softmax, losses with settings and fractional pools as modules: what they refuse, and what no gradient goes
 * through. The values are in nn_table.c. */
#include "common.h"
#include "tern/criteria.h"
#include "tern/layers.h"

static tern_module *adaptive(void) {
    tern_module *m =
        tern_adaptive_log_softmax_new(6, 10, (const int64_t[]){2, 5}, 2, (tern_adaptive_log_softmax_opts){2, true});
    CHECK(m && tern_module_cast(m, TERN_F64) && tern_module_to(m, test_device()), "%s", tern_error_message());
    return m;
}

/* The most probable class, wherever it is, also for rows that are all the head's or all the clusters'. */
TERN_TEST(nn_adaptive, predicts) {
    tern_module *m = adaptive(), *copy = tern_module_clone(m);
    tern_tensor *x = test_random(TERN_SHAPE(40, 6), -4, 4, TERN_F64), *all = tern_forward(m, x);
    tern_tensor *want = tern_argmax(all, 1, false), *got = tern_adaptive_log_softmax_predict(m, x);
    CHECK_SAME(got, want, ((tolerance){0, 0}));
    CHECK(got && !tern_requires_grad(got) && tern_dtype_of(got) == TERN_I64);
    const double far = tern_item(tern_sum(tern_ge(want, tern_scalar(2, (tern_options){TERN_I64})), NULL, 0, false));
    CHECK(far > 0 && far < 40, "%g of 40 are in clusters", far);
    for (int64_t i = 0; i < 40; i++) {
        tern_tensor *row = tern_select(x, 0, i);
        CHECK_ITEM(tern_adaptive_log_softmax_predict(m, row), tern_item(tern_select(want, 0, i)), 0);
        CHECK_SAME(tern_forward(m, row), tern_select(all, 0, i), ((tolerance){1e-12, 1e-12}));
    }
    CHECK_SAME(tern_sum(tern_exp(all), (const int[]){1}, 1, false),
               tern_ones(TERN_SHAPE(40), (tern_options){TERN_F64, test_device()}), ((tolerance){1e-12, 1e-12}));
    /* Each class as target; i32; of a copy after the original went. */
    tern_tensor *target = tern_arange(0, 10, (tern_options){TERN_I32, test_device()}), *loss = NULL;
    tern_tensor *rows = tern_narrow(x, 0, 0, 10),
                *own = tern_gather(tern_narrow(all, 0, 0, 10), 1, tern_unsqueeze(tern_cast(target, TERN_I64), 1));
    tern_module_free(m);
    tern_tensor *y = tern_adaptive_log_softmax_forward(copy, rows, target, &loss);
    CHECK_SAME(y, tern_squeeze(own, 1), ((tolerance){1e-12, 1e-12}));
    CHECK_ITEM(loss, -tern_item(tern_mean(own, NULL, 0, false)), 1e-12);
    CHECK(tern_adaptive_log_softmax_forward(copy, rows, target, NULL) != NULL);
    tern_module_free(copy);
}

TERN_TEST(nn_adaptive, refuses) {
    const tern_adaptive_log_softmax_opts none = {0};
    const int64_t falls[] = {5, 2}, far[] = {10}, good[] = {2};
    EXPECT_ERROR(tern_adaptive_log_softmax_new(6, 10, falls, 2, none), TERN_ERR_ARGUMENT, "cutoff 2");
    EXPECT_ERROR(tern_adaptive_log_softmax_new(6, 10, far, 1, none), TERN_ERR_ARGUMENT, "cutoff 10");
    EXPECT_ERROR(tern_adaptive_log_softmax_new(6, 10, good, 0, none), TERN_ERR_ARGUMENT, "0 cutoffs");
    EXPECT_ERROR(tern_adaptive_log_softmax_new(6, 10, NULL, 1, none), TERN_ERR_ARGUMENT, "cutoffs is NULL");
    EXPECT_ERROR(tern_adaptive_log_softmax_new(3, 10, good, 1, none), TERN_ERR_ARGUMENT, "linear: 3 -> 0");
    EXPECT_ERROR(tern_adaptive_log_softmax_new(6, 10, good, 1, (tern_adaptive_log_softmax_opts){-1, false}),
                 TERN_ERR_ARGUMENT, "div_value is -1");
    tern_module *m = adaptive(), *other = tern_relu_new();
    tern_tensor *x = test_random(TERN_SHAPE(2, 6), -1, 1, TERN_F64), *loss = x;
    const tern_shape two = TERN_SHAPE(2);
    tern_tensor *target = test_values(TERN_I64, two, 1, 9), *beyond = test_values(TERN_I64, two, 1, 10),
                *below = test_values(TERN_I64, two, -1, 2);
    EXPECT_ERROR(tern_adaptive_log_softmax_forward(other, x, target, NULL), TERN_ERR_ARGUMENT, "relu is no");
    EXPECT_ERROR(tern_adaptive_log_softmax_forward(m, x, NULL, &loss), TERN_ERR_ARGUMENT, "target is NULL");
    CHECK(!loss);
    EXPECT_ERROR(tern_adaptive_log_softmax_forward(m, tern_narrow(x, 1, 0, 5), target, NULL), TERN_ERR_SHAPE,
                 "x [2, 5]");
    EXPECT_ERROR(tern_adaptive_log_softmax_forward(m, tern_narrow(x, 0, 0, 1), target, NULL), TERN_ERR_SHAPE,
                 "2 targets");
    EXPECT_ERROR(tern_adaptive_log_softmax_forward(m, x, x, NULL), TERN_ERR_SHAPE, "targets of 2 dimensions");
    EXPECT_ERROR(tern_adaptive_log_softmax_forward(m, x, tern_cast(target, TERN_F64), NULL), TERN_ERR_DTYPE,
                 "target is f64");
    EXPECT_ERROR(tern_adaptive_log_softmax_predict(m, target), TERN_ERR_SHAPE, "x [2]");
    EXPECT_ERROR(tern_adaptive_log_softmax_predict(NULL, x), TERN_ERR_ARGUMENT, "m is NULL");
    if (test_device().type == TERN_CPU) { /* a device tells of it later */
        EXPECT_ERROR(tern_adaptive_log_softmax_forward(m, x, beyond, &loss), TERN_ERR_INDEX, "gather");
        EXPECT_ERROR(tern_adaptive_log_softmax_forward(m, x, below, &loss), TERN_ERR_INDEX, "gather");
    }
    CHECK(tern_adaptive_log_softmax_forward(m, x, target, &loss) && loss);
    tern_module_free(m);
    tern_module_free(other);
}

TERN_TEST(nn_adaptive, fractional_pools) {
    const int64_t k[3] = {2, 2, 2}, zero[3] = {0};
    tern_tensor *x = test_random(TERN_SHAPE(1, 2, 6, 6), -1, 1, TERN_F32), *at = NULL;
    EXPECT_ERROR(tern_fractional_max_pool2d_new(k, (tern_fractional_pool_opts){0}), TERN_ERR_ARGUMENT, "ratios within");
    EXPECT_ERROR(tern_fractional_max_pool2d_new(k, (tern_fractional_pool_opts){.ratio = {1.5}}), TERN_ERR_ARGUMENT,
                 "ratios");
    EXPECT_ERROR(tern_fractional_max_pool2d_new(k, (tern_fractional_pool_opts){.size = {3, -1}}), TERN_ERR_ARGUMENT,
                 "sizes");
    EXPECT_ERROR(tern_fractional_max_pool3d_new(k, (tern_fractional_pool_opts){.size = {3}, .ratio = {0.5}}),
                 TERN_ERR_ARGUMENT, "sizes");
    EXPECT_ERROR(tern_fractional_max_pool3d_new(zero, (tern_fractional_pool_opts){.size = {3}}), TERN_ERR_ARGUMENT,
                 "kernel 0");
    EXPECT_ERROR(tern_fractional_max_pool2d_new(k, (tern_fractional_pool_opts){.size = {3}, .samples = x}),
                 TERN_ERR_ARGUMENT, "samples");
    tern_module *m = tern_fractional_max_pool2d_new(k, (tern_fractional_pool_opts){.ratio = {0.5, 0.7}}),
                *other = tern_relu_new();
    tern_tensor *y = tern_fractional_max_pool_forward(m, x, NULL, &at);
    CHECK(y && at && tern_shape_equal(tern_shape_get(y), TERN_SHAPE(1, 2, 3, 4)));
    CHECK_SAME(tern_gather(tern_flatten(x, 2, 3), 2, tern_flatten(at, 2, 3)), tern_flatten(y, 2, 3),
               ((tolerance){0, 0}));
    CHECK(tern_forward(m, x) != NULL);
    EXPECT_ERROR(tern_fractional_max_pool_forward(m, x, x, NULL), TERN_ERR_SHAPE, "samples");
    EXPECT_ERROR(tern_fractional_max_pool_forward(other, x, NULL, &at), TERN_ERR_ARGUMENT, "relu is no");
    CHECK(!at);
    EXPECT_ERROR(tern_fractional_max_pool_forward(m, NULL, NULL, NULL), TERN_ERR_ARGUMENT, "x is NULL");
    tern_module_free(m);
    tern_module_free(other);
}

TERN_TEST(nn_adaptive, losses_with_settings) {
    tern_tensor *x = test_values(TERN_F32, TERN_SHAPE(3), 0.25, 0.5, 2),
                *y = test_values(TERN_F32, TERN_SHAPE(3), 1, -1, -1);
    tern_module *hinge =
        tern_loss_of_number_new(tern_hinge_embedding_loss, "hinge_embedding_loss", 0.75, TERN_REDUCE_SUM);
    CHECK_ITEM(tern_loss_forward(hinge, x, y), 0.25 + 0.25, 1e-6);
    tern_module *bad = tern_loss_of_number_new(tern_huber_loss, "huber_loss", -1, TERN_REDUCE_MEAN);
    EXPECT_ERROR(tern_loss_forward(bad, x, y), TERN_ERR_ARGUMENT, "huber_loss");
    EXPECT_ERROR(tern_loss_of_number_new(NULL, "none", 1, TERN_REDUCE_MEAN), TERN_ERR_ARGUMENT, "loss is NULL");
    EXPECT_ERROR(tern_loss_of_number_new(tern_huber_loss, NULL, 1, TERN_REDUCE_MEAN), TERN_ERR_ARGUMENT,
                 "type is NULL");
    EXPECT_ERROR(tern_kl_div_new(true, (tern_reduction)7), TERN_ERR_ARGUMENT, "no such reduction");
    tern_module_free(hinge);
    tern_module_free(bad);
}
