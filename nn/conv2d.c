#include <inttypes.h>

#include "internal.h"

typedef struct conv2d {
    tern_module m;
    int64_t in, out, kernel[2];
    tern_conv2d_opts opts; /* as tern_conv2d takes them, nothing left to default */
    tern_tensor *weight, *bias;
} conv2d;

static tern_tensor *forward(tern_module *m, tern_tensor *x) {
    const conv2d *s = (const conv2d *)m;
    return tern_conv2d(x, s->weight, s->bias, s->opts);
}

static void describe(const tern_module *m, char *buf, size_t size) {
    const conv2d *s = (const conv2d *)m;
    const tern_conv2d_opts *o = &s->opts;
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "%" PRId64 " -> %" PRId64, s->in, s->out);
    terni_text_pair(&t, ", kernel ", s->kernel);
    if (o->stride[0] != 1 || o->stride[1] != 1) terni_text_pair(&t, ", stride ", o->stride);
    const int64_t pad[2] = {o->pad[0] > 0 ? o->pad[0] : 0, o->pad[1] > 0 ? o->pad[1] : 0};
    if (pad[0] || pad[1]) terni_text_pair(&t, ", pad ", pad);
    if (o->dilation[0] != 1 || o->dilation[1] != 1) terni_text_pair(&t, ", dilation ", o->dilation);
    if (o->groups != 1) terni_text_add(&t, ", groups %" PRId64, o->groups);
    if (o->same) terni_text_add(&t, ", same");
    if (!s->bias) terni_text_add(&t, ", no bias");
}

/* {0, 0} means {zero, zero}, {h, 0} means {h, h}. */
static bool fill_in(const char *what, int64_t pair[2], int64_t zero, int64_t least) {
    for (int i = 0; i < 2; i++)
        if (pair[i] < least || pair[i] > INT32_MAX)
            return terni_fail(TERN_ERR_ARGUMENT, "conv2d: %s {%" PRId64 ", %" PRId64 "} is outside its range", what,
                              pair[0], pair[1]);
    if (pair[0] == 0) pair[0] = zero;
    if (pair[1] == 0) pair[1] = pair[0];
    return true;
}

static bool check(int64_t in, int64_t out, const int64_t kernel[2], tern_conv2d_opts *o) {
    if (in < 1 || out < 1)
        return terni_fail(TERN_ERR_ARGUMENT, "conv2d: %" PRId64 " -> %" PRId64 " channels; 1 or more expected", in,
                          out);
    for (int i = 0; i < 2; i++)
        if (kernel[i] < 1 || kernel[i] > INT32_MAX)
            return terni_fail(TERN_ERR_ARGUMENT, "conv2d: kernel {%" PRId64 ", %" PRId64 "} is outside its range",
                              kernel[0], kernel[1]);
    if (!fill_in("stride", o->stride, 1, 0) || !fill_in("dilation", o->dilation, 1, 0) ||
        !fill_in("pad", o->pad, 0, -1))
        return false;
    if (o->groups == 0) o->groups = 1;
    if (o->groups < 1 || in % o->groups || out % o->groups)
        return terni_fail(TERN_ERR_ARGUMENT,
                          "conv2d: %" PRId64 " groups do not divide %" PRId64 " -> %" PRId64 " channels", o->groups, in,
                          out);
    return true;
}

tern_module *tern_conv2d_rect_new(int64_t in, int64_t out, const int64_t kernel[2], tern_conv2d_opts opts) {
    if (!terni_given(kernel, "conv2d", "kernel") || !check(in, out, kernel, &opts)) return NULL;
    conv2d *s = TERN_MODULE_NEW(conv2d);
    if (!s) return NULL;
    s->m.forward = forward;
    s->m.describe = describe;
    s->in = in;
    s->out = out;
    for (int i = 0; i < 2; i++) s->kernel[i] = kernel[i];
    s->opts = opts;
    const int scope = tern_scope_push();
    s->weight = terni_param_new(&s->m, "weight", TERN_SHAPE(out, in / opts.groups, kernel[0], kernel[1]));
    if (!opts.no_bias) s->bias = terni_param_new(&s->m, "bias", TERN_SHAPE(out));
    (void)terni_init_affine(s->weight, s->bias);
    tern_scope_pop(scope);
    return tern_module_done(s);
}

tern_module *tern_conv2d_new(int64_t in, int64_t out, int64_t kernel, tern_conv2d_opts opts) {
    return tern_conv2d_rect_new(in, out, (const int64_t[2]){kernel, kernel}, opts);
}
