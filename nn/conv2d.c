/* The 2-D convolution layer. */
#include <math.h>
#include <stdio.h>

#include "internal.h"

typedef struct conv2d {
    tern_module m;
    tern_tensor *weight, *bias;
    tern_conv2d_opts opts;
} conv2d;

static tern_tensor *conv2d_forward(tern_module *m, tern_tensor *x) {
    const conv2d *c = (conv2d *)m;
    return tern_conv2d(x, c->weight, c->bias, c->opts);
}

static void conv2d_describe(const tern_module *m, char *buf, size_t size) {
    const conv2d *c = (const conv2d *)m;
    const int64_t groups = c->opts.groups ? c->opts.groups : 1;
    int n = snprintf(buf, size, "%lld -> %lld, kernel %lldx%lld", (long long)(tern_size(c->weight, 1) * groups),
                     (long long)tern_size(c->weight, 0), (long long)tern_size(c->weight, 2),
                     (long long)tern_size(c->weight, 3));
    const struct {
        const char *what;
        int64_t value, usual;
    } rest[] = {{"stride", c->opts.stride[0], 1},
                {"pad", c->opts.pad[0], 0},
                {"dilation", c->opts.dilation[0], 1},
                {"groups", groups, 1}};
    for (size_t i = 0; i < 4 && n > 0 && (size_t)n < size; i++)
        if (rest[i].value && rest[i].value != rest[i].usual)
            n += snprintf(buf + n, size - (size_t)n, ", %s %lld", rest[i].what, (long long)rest[i].value);
}

tern_module *tern_conv2d_rect_new(int64_t in, int64_t out, const int64_t kernel[2], tern_conv2d_opts opts) {
    if (!tern_ok() || !terni_given(kernel, "conv2d", "kernel")) return NULL;
    const int64_t groups = opts.groups ? opts.groups : 1, kh = kernel[0], kw = kernel[1] ? kernel[1] : kernel[0];
    if (in < 1 || out < 1 || kh < 1 || kw < 1 || groups < 1 || in % groups || out % groups)
        return terni_null(
            TERN_ERR_ARGUMENT,
            "conv2d: %lld -> %lld channels, kernel %lldx%lld, %lld groups; expected sizes of 1 or more and "
            "groups that divide the channels",
            (long long)in, (long long)out, (long long)kh, (long long)kw, (long long)groups);
    const int scope = tern_scope_push();
    conv2d *c = terni_layer(sizeof *c, "conv2d", conv2d_forward, conv2d_describe);
    if (c) {
        c->opts = opts;
        c->weight =
            tern_module_param(&c->m, "weight", tern_empty(TERN_SHAPE(out, in / groups, kh, kw), (tern_options){0}));
        if (c->weight) tern_init_kaiming_uniform(c->weight, sqrt(5), TERN_FAN_IN);
        if (!opts.no_bias) {
            const double bound = 1 / sqrt((double)(in / groups) * (double)kh * (double)kw);
            c->bias = tern_module_param(&c->m, "bias", tern_empty(TERN_SHAPE(out), (tern_options){0}));
            if (c->bias) tern_init_uniform(c->bias, -bound, bound);
        }
    }
    tern_scope_pop(scope);
    return tern_module_done(c);
}

tern_module *tern_conv2d_new(int64_t in, int64_t out, int64_t kernel, tern_conv2d_opts opts) {
    return tern_conv2d_rect_new(in, out, (const int64_t[]){kernel, kernel}, opts);
}
