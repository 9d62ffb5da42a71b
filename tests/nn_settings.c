/* What the bundled layers refuse, how they start, and what dropout does: the parts that reference values cannot show.
 */
#include "common.h"
#include "tern/layers.h"

#define PADS(...) \
    (const int64_t[]) { __VA_ARGS__ }

/* ---- wrong settings ---------------------------------------------------------------------------------------------- */

TERN_TEST(nn_settings, activations_refuse) {
    EXPECT_ERROR(tern_leaky_relu_new((double)NAN), TERN_ERR_ARGUMENT, "leaky_relu: slope is NaN");
    EXPECT_ERROR(tern_hardtanh_new(1, -1), TERN_ERR_ARGUMENT, "hardtanh: lo 1 is above hi -1");
    EXPECT_ERROR(tern_rrelu_new(0.5, 0.1), TERN_ERR_ARGUMENT, "rrelu: lo 0.5");
    EXPECT_ERROR(tern_celu_new(0), TERN_ERR_ARGUMENT, "celu: alpha is 0");
    EXPECT_ERROR(tern_softshrink_new(-1), TERN_ERR_ARGUMENT, "softshrink: lambda is -1");
    EXPECT_ERROR(tern_softplus_beta_new(0, 20), TERN_ERR_ARGUMENT, "beta is 0");
    EXPECT_ERROR(tern_softmax_new(9), TERN_ERR_ARGUMENT, "softmax: no tensor has a dimension 9");
    EXPECT_ERROR(tern_prelu_new(0, 0.25), TERN_ERR_ARGUMENT, "prelu: 0 slopes");
    EXPECT_ERROR(tern_prelu_new(1, (double)INFINITY), TERN_ERR_ARGUMENT, "prelu: slope");
}

TERN_TEST(nn_settings, layers_refuse) {
    EXPECT_ERROR(tern_bilinear_new(3, 0, 2, (tern_linear_opts){0}), TERN_ERR_ARGUMENT, "bilinear: 3, 0 -> 2");
    EXPECT_ERROR(tern_conv1d_new(1, 2, 0, (tern_conv1d_opts){0}), TERN_ERR_ARGUMENT, "conv1d: kernel {0}");
    EXPECT_ERROR(tern_conv3d_new(1, 0, 3, (tern_conv3d_opts){0}), TERN_ERR_ARGUMENT, "conv3d: 1 -> 0");
    EXPECT_ERROR(tern_conv3d_rect_new(1, 1, PADS(3, -1, 1), (tern_conv3d_opts){0}), TERN_ERR_ARGUMENT,
                 "kernel {3, -1, 1}");
    EXPECT_ERROR(tern_conv3d_rect_new(1, 1, NULL, (tern_conv3d_opts){0}), TERN_ERR_ARGUMENT, "kernel is NULL");
    EXPECT_ERROR(tern_conv_transpose1d_new(2, 3, 3, (tern_conv_transpose1d_opts){.output_pad = -2}), TERN_ERR_ARGUMENT,
                 "conv_transpose1d: output_pad {-2}");
    EXPECT_ERROR(tern_conv_transpose2d_new(2, 3, 3, (tern_conv_transpose2d_opts){.groups = 2}), TERN_ERR_ARGUMENT,
                 "2 groups do not divide");
    EXPECT_ERROR(tern_conv_transpose2d_rect_new(2, 3, NULL, (tern_conv_transpose2d_opts){0}), TERN_ERR_ARGUMENT,
                 "NULL");
    EXPECT_ERROR(tern_conv_transpose3d_new(0, 3, 3, (tern_conv_transpose3d_opts){0}), TERN_ERR_ARGUMENT, "0 -> 3");
    EXPECT_ERROR(tern_conv_transpose3d_rect_new(2, 3, NULL, (tern_conv_transpose3d_opts){0}), TERN_ERR_ARGUMENT,
                 "NULL");
    EXPECT_ERROR(tern_group_norm_new(3, 4, (tern_norm_opts){0}), TERN_ERR_ARGUMENT, "3 groups do not divide 4");
    EXPECT_ERROR(tern_group_norm_new(2, 4, (tern_norm_opts){.eps = -1}), TERN_ERR_ARGUMENT, "eps -1");
    EXPECT_ERROR(tern_instance_norm_new(0, (tern_norm_opts){0}), TERN_ERR_ARGUMENT, "instance_norm: 0 channels");
    EXPECT_ERROR(tern_rms_norm_new(tern_shape_scalar(), (tern_norm_opts){0}), TERN_ERR_SHAPE, "rms_norm");
    EXPECT_ERROR(tern_local_response_norm_new(0, (tern_local_response_norm_opts){0}), TERN_ERR_ARGUMENT, "size 0");
    EXPECT_ERROR(tern_embedding_new(0, 3, (tern_embedding_opts){0}), TERN_ERR_ARGUMENT, "embedding: 0 x 3");
    EXPECT_ERROR(tern_embedding_new(4, 3, (tern_embedding_opts){true, 4}), TERN_ERR_ARGUMENT, "padding 4");
    tern_tensor *w = tern_ones(TERN_SHAPE(2), (tern_options){0});
    EXPECT_ERROR(tern_embedding_bag_new(4, 3, (tern_embedding_bag_opts){.weights = w}), TERN_ERR_ARGUMENT, "weights");
    EXPECT_ERROR(tern_embedding_bag_new(4, 3, (tern_embedding_bag_opts){.mode = (tern_bag_mode)7}), TERN_ERR_ARGUMENT,
                 "mode");
    EXPECT_ERROR(tern_alpha_dropout_new(2), TERN_ERR_ARGUMENT, "alpha_dropout: p is 2");
    EXPECT_ERROR(tern_linear_new(1 << 20, (int64_t)1 << 50, (tern_linear_opts){0}), TERN_ERR_SHAPE, "");
}

TERN_TEST(nn_settings, spatial_layers_refuse) {
    EXPECT_ERROR(tern_max_pool1d_new(3, (tern_pool1d_opts){.stride = -1}), TERN_ERR_ARGUMENT, "max_pool1d: a stride");
    EXPECT_ERROR(tern_avg_pool3d_new(3, (tern_pool3d_opts){.pad = {2}}), TERN_ERR_ARGUMENT, "avg_pool3d: pad 2");
    EXPECT_ERROR(tern_max_pool2d_rect_new(NULL, (tern_pool2d_opts){0}), TERN_ERR_ARGUMENT,
                 "max_pool2d: kernel is NULL");
    EXPECT_ERROR(tern_max_pool3d_rect_new(PADS(1, -2, 1), (tern_pool3d_opts){0}), TERN_ERR_ARGUMENT, "kernel -2");
    EXPECT_ERROR(tern_lp_pool1d_new(0, 2, (tern_pool1d_opts){0}), TERN_ERR_ARGUMENT, "lp_pool1d: p is 0");
    EXPECT_ERROR(tern_adaptive_avg_pool2d_new(PADS(-2, 1)), TERN_ERR_ARGUMENT, "adaptive_avg_pool2d: size -2");
    EXPECT_ERROR(tern_adaptive_max_pool3d_new(NULL), TERN_ERR_ARGUMENT, "size is NULL");
    EXPECT_ERROR(tern_adaptive_max_pool1d_new(0), TERN_ERR_ARGUMENT, "size 0");
    EXPECT_ERROR(tern_max_unpool2d_new(2, (tern_pool2d_opts){.ceil_mode = true}), TERN_ERR_ARGUMENT, "max_unpool2d");
    EXPECT_ERROR(tern_pad_new(NULL, 2, (tern_pad_opts){0}), TERN_ERR_ARGUMENT, "pads is NULL");
    EXPECT_ERROR(tern_pad_new(PADS(1, 1, 1), 3, (tern_pad_opts){0}), TERN_ERR_ARGUMENT, "pad: 3 numbers");
    EXPECT_ERROR(tern_pad_new(PADS(1, 1), 2, (tern_pad_opts){(tern_pad_mode)9}), TERN_ERR_ARGUMENT, "mode");
    EXPECT_ERROR(tern_unfold_new(PADS(0, 1), (tern_fold_opts){0}), TERN_ERR_ARGUMENT, "unfold");
    EXPECT_ERROR(tern_fold_new(NULL, PADS(1, 1), (tern_fold_opts){0}), TERN_ERR_ARGUMENT, "size is NULL");
    EXPECT_ERROR(tern_upsample_new((tern_interpolate_opts){0}), TERN_ERR_ARGUMENT, "size or scale_factor");
    EXPECT_ERROR(tern_pixel_shuffle_new(0), TERN_ERR_ARGUMENT, "pixel_shuffle: 0");
    EXPECT_ERROR(tern_channel_shuffle_new(-1), TERN_ERR_ARGUMENT, "channel_shuffle: -1");
    EXPECT_ERROR(tern_flatten_dims_new(0, 8), TERN_ERR_ARGUMENT, "flatten");
    EXPECT_ERROR(tern_unflatten_new(1, tern_shape_scalar()), TERN_ERR_ARGUMENT, "unflatten");
}

/* ---- wrong inputs, and the wrong module ----------------------------------------------------------------------------
 */

TERN_TEST(nn_settings, wrong_inputs) {
    tern_tensor *x = tern_zeros(TERN_SHAPE(2, 4, 3), (tern_options){0});
    struct {
        tern_module *m;
        tern_code code;
        const char *text;
    } const cases[] = {
        {tern_group_norm_new(1, 3, (tern_norm_opts){.no_affine = true}), TERN_ERR_SHAPE,
         "group_norm: x [2, 4, 3] has not 3 channels"},
        {tern_instance_norm_new(3, (tern_norm_opts){0}), TERN_ERR_SHAPE,
         "instance_norm: x [2, 4, 3] has not 3 channels"},
        {tern_batch_norm_new(3, (tern_norm_opts){.no_affine = true, .no_running = true}), TERN_ERR_SHAPE,
         "batch_norm: x [2, 4, 3] has not 3 channels"},
        {tern_rms_norm_new(TERN_SHAPE(5), (tern_norm_opts){0}), TERN_ERR_SHAPE,
         "rms_norm: x [2, 4, 3] does not end in [5]"},
        {tern_conv1d_new(3, 2, 2, (tern_conv1d_opts){0}), TERN_ERR_SHAPE, "conv1d"},
        {tern_prelu_new(3, 0.25), TERN_ERR_SHAPE, "prelu"},
        {tern_embedding_new(3, 2, (tern_embedding_opts){0}), TERN_ERR_DTYPE, "embedding"},
        {tern_pixel_shuffle_new(3), TERN_ERR_SHAPE, "pixel_shuffle"},
        {tern_softmax_new(3), TERN_ERR_SHAPE, "softmax"},
        {tern_glu_new(2), TERN_ERR_SHAPE, "glu"},
        {tern_bilinear_new(3, 3, 2, (tern_linear_opts){0}), TERN_ERR_UNSUPPORTED, "bilinear has no forward"},
        {tern_max_unpool1d_new(2, (tern_pool1d_opts){0}), TERN_ERR_UNSUPPORTED, "max_unpool1d has no forward"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case("%s", cases[i].m->type);
        EXPECT_ERROR(tern_forward(cases[i].m, x), cases[i].code, cases[i].text);
        EXPECT_ERROR(tern_forward(cases[i].m, NULL), TERN_ERR_ARGUMENT, "x is NULL");
        tern_module_free(cases[i].m);
    }
}

TERN_TEST(nn_settings, forward_functions_refuse) {
    tern_tensor *x = tern_zeros(TERN_SHAPE(2, 4), (tern_options){0}), *indices = x;
    tern_module *m = tern_linear_new(4, 2, (tern_linear_opts){0});
    tern_module *b = tern_bilinear_new(4, 4, 2, (tern_linear_opts){0});
    EXPECT_ERROR(tern_bilinear_forward(m, x, x), TERN_ERR_ARGUMENT, "bilinear_forward: linear is no bilinear");
    EXPECT_ERROR(tern_bilinear_forward(b, x, NULL), TERN_ERR_ARGUMENT, "x2 is NULL");
    EXPECT_ERROR(tern_bilinear_forward(b, x, tern_zeros(TERN_SHAPE(3, 4), (tern_options){0})), TERN_ERR_SHAPE,
                 "bilinear: x1 [2, 4] and x2 [3, 4]");
    EXPECT_ERROR(tern_embedding_bag_forward(m, x, NULL, NULL), TERN_ERR_ARGUMENT, "linear is no embedding_bag");
    EXPECT_ERROR(tern_max_pool_forward(m, x, &indices), TERN_ERR_ARGUMENT, "linear is no max_pool");
    CHECK(indices == NULL);
    EXPECT_ERROR(tern_max_unpool_forward(m, x, x, NULL), TERN_ERR_ARGUMENT, "linear is no max_unpool");
    EXPECT_ERROR(tern_max_unpool_forward(NULL, x, x, NULL), TERN_ERR_ARGUMENT, "m is NULL");
    tern_module_free(m);
    tern_module_free(b);
}

/* ---- how they start ---------------------------------------------------------------------------------------------- */

/* Uniform within the bound: all of it is used, and the variance is the uniform one. */
static void check_uniform(const char *what, tern_module *m, const char *name, double bound) {
    const bool was = tern_grad_mode(false);
    tern_tensor *t = tern_module_get(m, name);
    check_case("%s %s", what, name);
    const double hi = tern_item(tern_max(tern_abs(t), NULL, 0, false));
    const double square = tern_item(tern_mean(tern_square(t), NULL, 0, false));
    CHECK(hi <= bound && hi > 0.97 * bound, "%g within %g", hi, bound);
    CHECK(fabs(square * 3 / (bound * bound) - 1) < 0.15, "variance %g of %g", square, bound * bound / 3);
    tern_grad_mode(was);
}

TERN_TEST(nn_settings, defaults_are_pytorchs) {
    tern_module *m = tern_bilinear_new(25, 10, 300, (tern_linear_opts){0});
    check_uniform("bilinear", m, "weight", 0.2);
    check_uniform("bilinear", m, "bias", 0.2);
    tern_module_free(m);
    m = tern_conv1d_new(10, 400, 5, (tern_conv1d_opts){0});
    check_uniform("conv1d", m, "weight", 1 / sqrt(50));
    check_uniform("conv1d", m, "bias", 1 / sqrt(50));
    tern_module_free(m);
    m = tern_conv3d_new(4, 200, 3, (tern_conv3d_opts){.groups = 2});
    check_uniform("conv3d", m, "weight", 1 / sqrt(2 * 27));
    tern_module_free(m);
    m = tern_conv_transpose2d_new(8, 300, 3, (tern_conv_transpose2d_opts){0}); /* PyTorch counts the outputs here */
    check_uniform("conv_transpose2d", m, "weight", 1 / sqrt(300 * 9));
    check_uniform("conv_transpose2d", m, "bias", 1 / sqrt(300 * 9));
    tern_module_free(m);
    m = tern_embedding_new(100, 50, (tern_embedding_opts){true, -2});
    const bool was = tern_grad_mode(false);
    tern_tensor *w = tern_module_get(m, "weight");
    CHECK_ITEM(tern_std(w, NULL, 0, false, 1), 1, 0.05);
    CHECK_ITEM(tern_max(tern_abs(tern_select(w, 0, 98)), NULL, 0, false), 0, 0);
    CHECK(tern_item(
              tern_min(tern_max(tern_abs(tern_narrow(w, 0, 0, 98)), (const int[]){1}, 1, false), NULL, 0, false)) > 1);
    tern_grad_mode(was);
    tern_module_free(m);
}

/* ---- dropout and rrelu in training ------------------------------------------------------------------------------- */

/* Of whole channels: all of one or none. */
TERN_TEST(nn_settings, dropout_in_training) {
    struct {
        tern_module *m;
        tern_shape shape;
        bool channels;
    } const cases[] = {
        {tern_dropout_new(0.25), TERN_SHAPE(200, 30, 2), false},
        {tern_dropout1d_new(0.25), TERN_SHAPE(200, 30, 2), true},
        {tern_dropout2d_new(0.25), TERN_SHAPE(200, 30, 2, 2), true},
        {tern_dropout3d_new(0.25), TERN_SHAPE(200, 30, 2, 1, 2), true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case("%s", cases[i].m->type);
        tern_tensor *x = tern_ones(cases[i].shape, (tern_options){0}), *y = tern_forward(cases[i].m, x);
        tern_tensor *kept = tern_cast(tern_ne(y, tern_zeros_like(y)), TERN_F32);
        CHECK_ITEM(tern_mean(kept, NULL, 0, false), 0.75, 0.03);
        CHECK_ITEM(tern_max(y, NULL, 0, false), 4.0 / 3, 1e-6);
        tern_tensor *share = tern_mean(tern_flatten(kept, 2, -1), (const int[]){2}, 1, false);
        const double mixed = tern_item(tern_mean(tern_mul(share, tern_rsub_scalar(share, 1)), NULL, 0, false));
        CHECK(cases[i].channels ? mixed < 1e-6 : mixed > 0.01, "%g", mixed);
        tern_module_free(cases[i].m);
    }
}

TERN_TEST(nn_settings, alpha_dropout_in_training) {
    for (int k = 0; k < 2; k++) {
        tern_module *m = k ? tern_feature_alpha_dropout_new(0.3) : tern_alpha_dropout_new(0.3);
        check_case("%s", m->type);
        tern_tensor *y = tern_forward(m, tern_randn(TERN_SHAPE(300, 100, 2), 0, 1, (tern_options){0}));
        CHECK_ITEM(tern_mean(y, NULL, 0, false), 0, 0.05);
        CHECK_ITEM(tern_std(y, NULL, 0, false, 1), 1, 0.05);
        tern_module_free(m);
    }
}

TERN_TEST(nn_settings, rrelu_in_training) {
    tern_module *m = tern_rrelu_new(0.1, 0.5);
    tern_tensor *x = tern_full(TERN_SHAPE(20000), -1, (tern_options){0}), *y = tern_forward(m, x);
    CHECK_ITEM(tern_mean(y, NULL, 0, false), -0.3, 0.01);
    CHECK(tern_item(tern_min(y, NULL, 0, false)) > -0.5 && tern_item(tern_max(y, NULL, 0, false)) < -0.0999);
    CHECK_ITEM(tern_max(tern_forward(m, tern_ones(TERN_SHAPE(3), (tern_options){0})), NULL, 0, false), 1, 0);
    tern_module_free(m);
}

/* ---- what the summary says of them ---------------------------------------------------------------------------------
 */

TERN_TEST(nn_settings, described) {
    tern_module *m = tern_sequential(
        tern_conv_transpose2d_rect_new(4, 2, PADS(2, 3),
                                       (tern_conv_transpose2d_opts){.pad = {-1, 1}, .output_pad = {1}}),
        tern_max_pool2d_rect_new(PADS(2, 3), (tern_pool2d_opts){.stride = {2, 1}}), tern_prelu_new(2, 0.25),
        tern_pad_new(PADS(1, 2), 2, (tern_pad_opts){TERN_PAD_REFLECT}), tern_adaptive_avg_pool2d_new(PADS(1, -1)),
        tern_upsample_new((tern_interpolate_opts){TERN_LINEAR, .scale_factor = {2}}),
        tern_unflatten_new(1, TERN_SHAPE(2, -1)), tern_group_norm_new(1, 2, (tern_norm_opts){0}),
        tern_embedding_bag_new(5, 2, (tern_embedding_bag_opts){.mode = TERN_BAG_SUM}), tern_hardtanh_new(-1, 2), NULL);
    static const char *const said[] = {"4 -> 2, kernel 2x3, pad 0x1, output pad 1x1",
                                       "kernel 2x3, stride 2x1",
                                       "{1, 2}, reflect",
                                       "size 1x0",
                                       "scale 2, linear",
                                       "dim 1 to [2, -1]",
                                       "1 groups of 2, eps 1e-05",
                                       "5 x 2, sum",
                                       "lo -1, hi 2"};
    char buf[4000];
    tern_module_summary(m, NULL, buf, sizeof buf);
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) CHECK(strstr(buf, said[i]), "\"%s\" in\n%s", said[i], buf);
    tern_module_free(m);
}
