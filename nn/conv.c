/* Convolutions and transposed ones on one to three axes: one module, whose settings become those of its op. */
#include <inttypes.h>

#include "internal.h"

typedef struct settings {
    const char *type;
    int axes;
    bool transposed, same, no_bias;
    int64_t in, out, kernel[3], stride[3], pad[3], dilation[3], output_pad[3], groups;
} settings;

typedef struct conv {
    tern_module m;
    settings o;                 /* nothing left to default; a pad that is 0 beyond the first is -1 */
    tern_tensor *weight, *bias; /* bias may be NULL */
} conv;

/* ---- the ops ----------------------------------------------------------------------------------------------------- */

#define PAIR(v) \
    { o->v[0], o->v[1] }
#define TRIPLE(v) \
    { o->v[0], o->v[1], o->v[2] }

static tern_tensor *forward(tern_module *m, tern_tensor *x) {
    const conv *s = (const conv *)m;
    const settings *o = &s->o;
    tern_tensor *w = s->weight, *b = s->bias;
    if (!o->transposed && o->axes == 1)
        return tern_conv1d(x, w, b,
                           (tern_conv1d_opts){o->stride[0], o->pad[0], o->dilation[0], o->groups, o->same, o->no_bias});
    if (!o->transposed && o->axes == 2)
        return tern_conv2d(x, w, b,
                           (tern_conv2d_opts){PAIR(stride), PAIR(pad), PAIR(dilation), o->groups, o->no_bias, o->same});
    if (!o->transposed)
        return tern_conv3d(
            x, w, b, (tern_conv3d_opts){TRIPLE(stride), TRIPLE(pad), TRIPLE(dilation), o->groups, o->same, o->no_bias});
    if (o->axes == 1)
        return tern_conv_transpose1d(x, w, b,
                                     (tern_conv_transpose1d_opts){o->stride[0], o->pad[0], o->dilation[0], o->groups,
                                                                  o->output_pad[0], o->no_bias});
    if (o->axes == 2)
        return tern_conv_transpose2d(x, w, b,
                                     (tern_conv_transpose2d_opts){PAIR(stride), PAIR(pad), PAIR(dilation), o->groups,
                                                                  PAIR(output_pad), o->no_bias});
    return tern_conv_transpose3d(x, w, b,
                                 (tern_conv_transpose3d_opts){TRIPLE(stride), TRIPLE(pad), TRIPLE(dilation), o->groups,
                                                              TRIPLE(output_pad), o->no_bias});
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

/* Where they are not all the usual value. */
static void describe_axes(terni_text *t, const char *what, const int64_t *v, int axes, int64_t usual) {
    for (int i = 0; i < axes; i++) {
        if (v[i] == usual || (usual == 0 && v[i] < 0)) continue;
        terni_text_axes(t, what, v, axes);
        return;
    }
}

static void describe(const tern_module *m, char *buf, size_t size) {
    const conv *s = (const conv *)m;
    const settings *o = &s->o;
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "%" PRId64 " -> %" PRId64, o->in, o->out);
    describe_axes(&t, ", kernel", o->kernel, o->axes, -1);
    describe_axes(&t, ", stride", o->stride, o->axes, 1);
    describe_axes(&t, ", pad", o->pad, o->axes, 0);
    describe_axes(&t, ", dilation", o->dilation, o->axes, 1);
    describe_axes(&t, ", output pad", o->output_pad, o->axes, 0);
    if (o->groups != 1) terni_text_add(&t, ", groups %" PRId64, o->groups);
    if (o->same) terni_text_add(&t, ", same");
    if (!s->bias) terni_text_add(&t, ", no bias");
}

int64_t tern_conv_groups(const tern_module *m) {
    return m && m->describe == describe ? ((const conv *)m)->o.groups : -1;
}

/* "{3, 0}" */
static const char *axes_text(const int64_t *v, int axes, char buf[96]) {
    terni_text t = {buf, 96, 0};
    for (int i = 0; i < axes; i++) terni_text_add(&t, "%s%" PRId64, i ? ", " : "{", v[i]);
    terni_text_add(&t, "}");
    return buf;
}

/* A zero means `zero` on the first axis, "as the one before" on the others. */
static bool fill_in(const settings *o, const char *what, int64_t *v, int64_t zero, int64_t least) {
    char text[96];
    for (int i = 0; i < o->axes; i++)
        if (v[i] < least || v[i] > INT32_MAX)
            return terni_fail(TERN_ERR_ARGUMENT, "%s: %s %s is outside its range", o->type, what,
                              axes_text(v, o->axes, text));
    if (v[0] == 0) v[0] = zero;
    for (int i = 1; i < o->axes; i++)
        if (v[i] == 0) v[i] = v[i - 1];
    return true;
}

static bool check(settings *o) {
    if (!tern_ok()) return false;
    if (o->in < 1 || o->out < 1)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: %" PRId64 " -> %" PRId64 " channels; 1 or more expected", o->type,
                          o->in, o->out);
    if (!fill_in(o, "kernel", o->kernel, 0, 1) || !fill_in(o, "stride", o->stride, 1, 0) ||
        !fill_in(o, "dilation", o->dilation, 1, 0) || !fill_in(o, "pad", o->pad, 0, -1) ||
        !fill_in(o, "output_pad", o->output_pad, 0, -1))
        return false;
    if (o->groups == 0) o->groups = 1;
    if (o->groups < 1 || o->in % o->groups || o->out % o->groups)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: %" PRId64 " groups do not divide %" PRId64 " -> %" PRId64 " channels",
                          o->type, o->groups, o->in, o->out);
    return true;
}

/* Every element on one side (of a transposed one: of x) meets the kernel in each channel of its group on the other. */
static int64_t flops(const tern_module *m, const tern_shape *x, const tern_shape *y) {
    const settings *o = &((const conv *)m)->o;
    int64_t n = 2 * (o->transposed ? terni_numel(x) * o->out : terni_numel(y) * o->in) / o->groups;
    for (int i = 0; i < o->axes; i++) n *= o->kernel[i];
    return n;
}

static tern_module *conv_new(settings o) {
    if (!check(&o)) return NULL;
    conv *s = tern_module_alloc(sizeof *s, o.type);
    if (!s) return NULL;
    s->m.forward = forward;
    s->m.describe = describe;
    s->m.flops = flops;
    s->o = o;
    tern_shape w = {2 + o.axes, {o.out, o.in / o.groups}};
    if (o.transposed) {
        w.dim[0] = o.in;
        w.dim[1] = o.out / o.groups;
    }
    for (int i = 0; i < o.axes; i++) w.dim[2 + i] = o.kernel[i];
    const int scope = tern_scope_push();
    s->weight = terni_param_new(&s->m, "weight", w);
    if (!o.no_bias) s->bias = terni_param_new(&s->m, "bias", TERN_SHAPE(o.out));
    (void)terni_init_affine(s->weight, s->bias);
    tern_scope_pop(scope);
    return tern_module_done(s);
}

/* ---- the constructors -------------------------------------------------------------------------------------------- */

#define TWO(v) \
    { v[0], v[1] }
#define ALL(v) \
    { v[0], v[1], v[2] }

tern_module *tern_conv1d_new(int64_t in, int64_t out, int64_t kernel, tern_conv1d_opts o) {
    return conv_new((settings){.type = "conv1d",
                               .axes = 1,
                               .in = in,
                               .out = out,
                               .kernel = {kernel},
                               .stride = {o.stride},
                               .pad = {o.pad},
                               .dilation = {o.dilation},
                               .groups = o.groups,
                               .same = o.same,
                               .no_bias = o.no_bias});
}

tern_module *tern_conv2d_rect_new(int64_t in, int64_t out, const int64_t kernel[2], tern_conv2d_opts o) {
    if (!terni_given(kernel, "conv2d", "kernel")) return NULL;
    return conv_new((settings){.type = "conv2d",
                               .axes = 2,
                               .in = in,
                               .out = out,
                               .kernel = TWO(kernel),
                               .stride = TWO(o.stride),
                               .pad = TWO(o.pad),
                               .dilation = TWO(o.dilation),
                               .groups = o.groups,
                               .same = o.same,
                               .no_bias = o.no_bias});
}

tern_module *tern_conv3d_rect_new(int64_t in, int64_t out, const int64_t kernel[3], tern_conv3d_opts o) {
    if (!terni_given(kernel, "conv3d", "kernel")) return NULL;
    return conv_new((settings){.type = "conv3d",
                               .axes = 3,
                               .in = in,
                               .out = out,
                               .kernel = ALL(kernel),
                               .stride = ALL(o.stride),
                               .pad = ALL(o.pad),
                               .dilation = ALL(o.dilation),
                               .groups = o.groups,
                               .same = o.same,
                               .no_bias = o.no_bias});
}

tern_module *tern_conv_transpose1d_new(int64_t in, int64_t out, int64_t kernel, tern_conv_transpose1d_opts o) {
    return conv_new((settings){.type = "conv_transpose1d",
                               .axes = 1,
                               .transposed = true,
                               .in = in,
                               .out = out,
                               .kernel = {kernel},
                               .stride = {o.stride},
                               .pad = {o.pad},
                               .dilation = {o.dilation},
                               .groups = o.groups,
                               .output_pad = {o.output_pad},
                               .no_bias = o.no_bias});
}

tern_module *tern_conv_transpose2d_rect_new(int64_t in, int64_t out, const int64_t kernel[2],
                                            tern_conv_transpose2d_opts o) {
    if (!terni_given(kernel, "conv_transpose2d", "kernel")) return NULL;
    return conv_new((settings){.type = "conv_transpose2d",
                               .axes = 2,
                               .transposed = true,
                               .in = in,
                               .out = out,
                               .kernel = TWO(kernel),
                               .stride = TWO(o.stride),
                               .pad = TWO(o.pad),
                               .dilation = TWO(o.dilation),
                               .groups = o.groups,
                               .output_pad = TWO(o.output_pad),
                               .no_bias = o.no_bias});
}

tern_module *tern_conv_transpose3d_rect_new(int64_t in, int64_t out, const int64_t kernel[3],
                                            tern_conv_transpose3d_opts o) {
    if (!terni_given(kernel, "conv_transpose3d", "kernel")) return NULL;
    return conv_new((settings){.type = "conv_transpose3d",
                               .axes = 3,
                               .transposed = true,
                               .in = in,
                               .out = out,
                               .kernel = ALL(kernel),
                               .stride = ALL(o.stride),
                               .pad = ALL(o.pad),
                               .dilation = ALL(o.dilation),
                               .groups = o.groups,
                               .output_pad = ALL(o.output_pad),
                               .no_bias = o.no_bias});
}

tern_module *tern_conv2d_new(int64_t in, int64_t out, int64_t kernel, tern_conv2d_opts opts) {
    return tern_conv2d_rect_new(in, out, (const int64_t[2]){kernel, kernel}, opts);
}
tern_module *tern_conv3d_new(int64_t in, int64_t out, int64_t kernel, tern_conv3d_opts opts) {
    return tern_conv3d_rect_new(in, out, (const int64_t[3]){kernel, kernel, kernel}, opts);
}
tern_module *tern_conv_transpose2d_new(int64_t in, int64_t out, int64_t kernel, tern_conv_transpose2d_opts opts) {
    return tern_conv_transpose2d_rect_new(in, out, (const int64_t[2]){kernel, kernel}, opts);
}
tern_module *tern_conv_transpose3d_new(int64_t in, int64_t out, int64_t kernel, tern_conv_transpose3d_opts opts) {
    return tern_conv_transpose3d_rect_new(in, out, (const int64_t[3]){kernel, kernel, kernel}, opts);
}
