#include "model.h"

#include <string.h>

const double cifar_mean[CIFAR_CHANNELS] = {0.4914, 0.4822, 0.4465},
             cifar_std[CIFAR_CHANNELS] = {0.2470, 0.2435, 0.2616};

/* Without a bias, as batch_norm has one. */
static tern_module *conv(int64_t in, int64_t out, int64_t kernel, int64_t stride) {
    return tern_conv2d_new(
        in, out, kernel,
        (tern_conv2d_opts){.stride = {stride, stride}, .pad = {kernel / 2, kernel / 2}, .no_bias = true});
}

static tern_module *norm(int64_t channels) { return tern_batch_norm_new(channels, (tern_norm_opts){0}); }

static tern_module *block(int64_t in, int64_t out) {
    return tern_sequential(conv(in, out, 3, 1), norm(out), tern_relu_new(), NULL);
}

static tern_module *halved(int64_t in, int64_t out) {
    const tern_pool2d_opts all = {0};
    return tern_sequential(conv(in, out, 3, 1), norm(out), tern_relu_new(), tern_max_pool2d_new(2, all), NULL);
}

/* Twice the same beside a path that changes nothing. */
static tern_module *residual(int64_t channels) {
    tern_module *body = tern_sequential(block(channels, channels), block(channels, channels), NULL);
    return tern_residual_new(body, NULL);
}

static tern_module *resnet9(int64_t classes, int64_t w) {
    static const int64_t one[2] = {1, 1};
    return tern_sequential(block(3, w), halved(w, 2 * w), residual(2 * w), halved(2 * w, 4 * w), halved(4 * w, 8 * w),
                           residual(8 * w), tern_adaptive_max_pool2d_new(one), tern_flatten_new(),
                           tern_linear_new(8 * w, classes, (tern_linear_opts){0}), NULL);
}

/* Two 3 x 3 convolutions beside a path that changes nothing, or only what it must. */
static tern_module *basic(int64_t in, int64_t out, int64_t stride) {
    tern_module *shortcut =
        in == out && stride == 1 ? NULL : tern_sequential(conv(in, out, 1, stride), norm(out), NULL);
    tern_module *body =
        tern_sequential(conv(in, out, 3, stride), norm(out), tern_relu_new(), conv(out, out, 3, 1), norm(out), NULL);
    return tern_sequential(tern_residual_new(body, shortcut), tern_relu_new(), NULL);
}

static tern_module *stage(int64_t in, int64_t out, int64_t stride) {
    return tern_sequential(basic(in, out, stride), basic(out, out, 1), NULL);
}

static tern_module *resnet18(int64_t classes, int64_t w) {
    static const int64_t one[2] = {1, 1};
    return tern_sequential(block(3, w), stage(w, w, 1), stage(w, 2 * w, 2), stage(2 * w, 4 * w, 2),
                           stage(4 * w, 8 * w, 2), tern_adaptive_avg_pool2d_new(one), tern_flatten_new(),
                           tern_linear_new(8 * w, classes, (tern_linear_opts){0}), NULL);
}

tern_module *cifar_net_new(const char *model, int64_t classes, int64_t width) {
    return strcmp(model, "resnet18") == 0 ? resnet18(classes, width) : resnet9(classes, width);
}
