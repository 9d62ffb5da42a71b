/* Single layers beyond the table of nn_table.c, and the initialisers. */
#include "common.h"
#include "tern/layers.h"

/* ---- single layers ----------------------------------------------------------------------------------------------- */

TERN_TEST(nn_layers, batch_norm_counts_batches) {
    tern_module *m = tern_batch_norm_new(2, (tern_norm_opts){0});
    tern_tensor *x = tern_randn(TERN_SHAPE(8, 2), 3, 2, (tern_options){0});
    tern_tensor *count = tern_module_get(m, "num_batches_tracked");
    CHECK(tern_dtype_of(count) == TERN_I64);
    for (int i = 0; i < 3; i++) tern_forward(m, x);
    CHECK(tern_item_i64(count) == 3);
    tern_module_train(m, false);
    tern_forward(m, x);
    CHECK(tern_item_i64(count) == 3);
    CHECK(!tern_requires_grad(tern_module_get(m, "running_mean")));
    tern_module_free(m);
}

TERN_TEST(nn_layers, dropout) {
    tern_module *m = tern_dropout_new(0.25);
    tern_tensor *x = tern_ones(TERN_SHAPE(100000), (tern_options){0});
    tern_tensor *y = tern_forward(m, x);
    const double mean = tern_item(tern_mean(y, NULL, 0, false));
    CHECK(fabs(mean - 1) < 0.01, "mean %g", mean);
    CHECK_ITEM(tern_max(y, NULL, 0, false), 4.0 / 3, 1e-6);
    CHECK_ITEM(tern_min(y, NULL, 0, false), 0, 0);
    tern_module_train(m, false);
    const tern_random before = tern_random_get();
    CHECK(tern_forward(m, x) == x);
    CHECK(tern_random_get().position == before.position);
    tern_module_free(m);
    EXPECT_ERROR(tern_dropout_new(-0.1), TERN_ERR_ARGUMENT, "dropout");
    EXPECT_ERROR(tern_dropout_new(1.5), TERN_ERR_ARGUMENT, "dropout");
    EXPECT_ERROR(tern_dropout_new((double)NAN), TERN_ERR_ARGUMENT, "dropout");
}

TERN_TEST(nn_layers, op_as_module) {
    tern_module *m = tern_op_new(tern_exp, "exp");
    CHECK_VALUES(tern_forward(m, test_values(TERN_F32, TERN_SHAPE(2), 0, 1)), 1, 2.718281828459045);
    tern_module_free(m);
    EXPECT_ERROR(tern_op_new(NULL, "nothing"), TERN_ERR_ARGUMENT, "op");
}

TERN_TEST(nn_layers, wrong_settings) {
    EXPECT_ERROR(tern_linear_new(0, 3, (tern_linear_opts){0}), TERN_ERR_ARGUMENT, "linear: 0 -> 3");
    EXPECT_ERROR(tern_linear_new(3, -1, (tern_linear_opts){0}), TERN_ERR_ARGUMENT, "linear");
    EXPECT_ERROR(tern_linear_new(INT64_MAX, INT64_MAX, (tern_linear_opts){0}), TERN_ERR_SHAPE, "");
    EXPECT_ERROR(tern_conv2d_new(1, 0, 3, (tern_conv2d_opts){0}), TERN_ERR_ARGUMENT, "conv2d: 1 -> 0");
    EXPECT_ERROR(tern_conv2d_new(1, 2, 0, (tern_conv2d_opts){0}), TERN_ERR_ARGUMENT, "kernel {0, 0}");
    EXPECT_ERROR(tern_conv2d_new(4, 6, 3, (tern_conv2d_opts){.groups = 3}), TERN_ERR_ARGUMENT, "3 groups");
    EXPECT_ERROR(tern_conv2d_new(4, 6, 3, (tern_conv2d_opts){.groups = -1}), TERN_ERR_ARGUMENT, "groups");
    EXPECT_ERROR(tern_conv2d_new(4, 6, 3, (tern_conv2d_opts){.stride = {-1}}), TERN_ERR_ARGUMENT, "stride {-1, 0}");
    EXPECT_ERROR(tern_conv2d_new(4, 6, 3, (tern_conv2d_opts){.pad = {-2}}), TERN_ERR_ARGUMENT, "pad {-2, 0}");
    EXPECT_ERROR(tern_conv2d_new(4, 6, 3, (tern_conv2d_opts){.dilation = {1, -1}}), TERN_ERR_ARGUMENT, "dilation");
    EXPECT_ERROR(tern_conv2d_rect_new(4, 6, NULL, (tern_conv2d_opts){0}), TERN_ERR_ARGUMENT, "kernel");
    EXPECT_ERROR(tern_max_pool2d_new(0, (tern_pool2d_opts){0}), TERN_ERR_ARGUMENT, "max_pool2d: kernel 0");
    EXPECT_ERROR(tern_avg_pool2d_new(3, (tern_pool2d_opts){.pad = {2}}), TERN_ERR_ARGUMENT, "avg_pool2d: pad 2");
    EXPECT_ERROR(tern_batch_norm_new(0, (tern_norm_opts){0}), TERN_ERR_ARGUMENT, "batch_norm: 0 channels");
    EXPECT_ERROR(tern_batch_norm_new(2, (tern_norm_opts){.momentum = 2}), TERN_ERR_ARGUMENT, "momentum 2");
    EXPECT_ERROR(tern_layer_norm_new(tern_shape_scalar(), (tern_norm_opts){0}), TERN_ERR_SHAPE, "layer_norm");
    EXPECT_ERROR(tern_layer_norm_new(TERN_SHAPE(3), (tern_norm_opts){.eps = -1}), TERN_ERR_ARGUMENT, "eps -1");
}

TERN_TEST(nn_layers, wrong_inputs) {
    tern_module *m = tern_linear_new(3, 2, (tern_linear_opts){0});
    EXPECT_ERROR(tern_forward(m, tern_zeros(TERN_SHAPE(2, 4), (tern_options){0})), TERN_ERR_SHAPE, "linear");
    EXPECT_ERROR(tern_forward(m, NULL), TERN_ERR_ARGUMENT, "forward: x is NULL");
    EXPECT_ERROR(tern_forward(NULL, NULL), TERN_ERR_ARGUMENT, "forward: m is NULL");
    tern_module_free(m);
    m = tern_layer_norm_new(TERN_SHAPE(3), (tern_norm_opts){.no_affine = true});
    EXPECT_ERROR(tern_forward(m, tern_zeros(TERN_SHAPE(2, 4), (tern_options){0})), TERN_ERR_SHAPE,
                 "layer_norm: x [2, 4] does not end in [3]");
    tern_module_free(m);
}

/* ---- initialisers ------------------------------------------------------------------------------------------------ */

typedef struct moments {
    double mean, std, low, high;
} moments;

static moments moments_of(tern_tensor *t) {
    const bool was = tern_grad_mode(false);
    const double mean = tern_item(tern_mean(t, NULL, 0, false));
    const double square = tern_item(tern_mean(tern_square(t), NULL, 0, false));
    const moments r = {mean, sqrt(square - mean * mean), tern_item(tern_min(t, NULL, 0, false)),
                       tern_item(tern_max(t, NULL, 0, false))};
    tern_grad_mode(was);
    return r;
}

static void check_uniform(const char *what, tern_tensor *t, double bound) {
    const moments m = moments_of(t);
    check_case("%s", what);
    CHECK(m.low >= -bound && m.high <= bound, "[%g, %g] in +-%g", m.low, m.high, bound);
    CHECK(m.low < -0.99 * bound && m.high > 0.99 * bound, "[%g, %g] fills +-%g", m.low, m.high, bound);
    CHECK(fabs(m.mean) < 0.03 * bound, "mean %g", m.mean);
    CHECK(fabs(m.std * sqrt(3) / bound - 1) < 0.02, "std %g", m.std);
    check_case("%s", "");
}

static void check_normal(const char *what, tern_tensor *t, double std) {
    const moments m = moments_of(t);
    check_case("%s", what);
    CHECK(fabs(m.mean) < 0.03 * std, "mean %g", m.mean);
    CHECK(fabs(m.std / std - 1) < 0.02, "std %g, %g expected", m.std, std);
    CHECK(m.high > 3 * std && m.low < -3 * std);
    check_case("%s", "");
}

TERN_TEST(nn_layers, initialisers) {
    tern_tensor *w = tern_require_grad(tern_empty(TERN_SHAPE(40, 20, 5, 5), (tern_options){0}), true);
    const double in = 20 * 25, out = 40 * 25;
    CHECK(tern_init_kaiming_uniform(w, 0, TERN_FAN_IN));
    check_uniform("kaiming_uniform", w, sqrt(6 / in));
    CHECK(tern_init_kaiming_uniform(w, 0.5, TERN_FAN_OUT));
    check_uniform("kaiming_uniform, fan out, slope", w, sqrt(6 / (1.25 * out)));
    CHECK(tern_init_kaiming_normal(w, 0, TERN_FAN_OUT));
    check_normal("kaiming_normal", w, sqrt(2 / out));
    CHECK(tern_init_xavier_uniform(w, 1));
    check_uniform("xavier_uniform", w, sqrt(6 / (in + out)));
    CHECK(tern_init_xavier_normal(w, 2));
    check_normal("xavier_normal", w, 2 * sqrt(2 / (in + out)));
    CHECK(tern_init_uniform(w, -2, 2));
    check_uniform("uniform", w, 2);
    CHECK(tern_init_normal(w, 0, 3));
    check_normal("normal", w, 3);
    CHECK(tern_init_constant(w, 0.25));
    CHECK_ITEM(tern_min(w, NULL, 0, false), 0.25, 0);
    CHECK(tern_init_ones(w));
    CHECK_ITEM(tern_max(w, NULL, 0, false), 1, 0);
    CHECK(tern_init_zeros(w));
    CHECK_ITEM(tern_max(tern_abs(w), NULL, 0, false), 0, 0);
    CHECK(tern_is_leaf(w) && tern_requires_grad(w) && tern_grad_mode_get());
}

TERN_TEST(nn_layers, defaults_are_pytorchs) {
    tern_module *m = tern_linear_new(400, 300, (tern_linear_opts){0});
    check_uniform("linear weight", tern_module_get(m, "weight"), 1 / sqrt(400));
    const moments b = moments_of(tern_module_get(m, "bias"));
    CHECK(b.low >= -1 / sqrt(400) && b.high <= 1 / sqrt(400) && b.high > 0.9 / sqrt(400));
    tern_module_free(m);
    m = tern_conv2d_new(16, 64, 5, (tern_conv2d_opts){.groups = 2});
    check_uniform("conv2d weight", tern_module_get(m, "weight"), 1 / sqrt(8 * 25));
    tern_module_free(m);
}

TERN_TEST(nn_layers, initialisers_refuse) {
    tern_tensor *v = tern_zeros(TERN_SHAPE(3), (tern_options){0}), *w = tern_zeros(TERN_SHAPE(3, 3), (tern_options){0});
    EXPECT_ERROR(tern_init_xavier_uniform(v, 1), TERN_ERR_SHAPE, "init_xavier_uniform: t [3]");
    EXPECT_ERROR(tern_init_kaiming_normal(v, 0, TERN_FAN_IN), TERN_ERR_SHAPE, "init_kaiming_normal");
    EXPECT_ERROR(tern_init_xavier_normal(w, -1), TERN_ERR_ARGUMENT, "gain is -1");
    EXPECT_ERROR(tern_init_kaiming_uniform(w, (double)NAN, TERN_FAN_IN), TERN_ERR_ARGUMENT, "slope");
    EXPECT_ERROR(tern_init_kaiming_uniform(NULL, 0, TERN_FAN_IN), TERN_ERR_ARGUMENT, "t is NULL");
    EXPECT_ERROR(tern_init_uniform(w, 1, 0), TERN_ERR_ARGUMENT, "uniform_");
    EXPECT_ERROR(tern_init_normal(w, 0, -1), TERN_ERR_ARGUMENT, "normal_");
    EXPECT_ERROR(tern_init_zeros(NULL), TERN_ERR_ARGUMENT, "NULL");
    tern_tensor *whole = tern_zeros(TERN_SHAPE(3, 3), (tern_options){.dtype = TERN_I64});
    EXPECT_ERROR(tern_init_xavier_uniform(whole, 1), TERN_ERR_DTYPE, "uniform_");
    CHECK(tern_init_kaiming_uniform(tern_zeros(TERN_SHAPE(0, 3), (tern_options){0}), 0, TERN_FAN_OUT));
    CHECK(tern_grad_mode_get());
}
