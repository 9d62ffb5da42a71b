/* Convolution and transposed convolution over any number of axes. The reference is written over three axes, with a
 * leading 1 for those that are missing; the sums of the transposed one run over inputs, not results. */
#include "../sweep.h"

typedef struct settings {
    int64_t stride[3], pad[3], dilation[3], groups, output_pad[3]; /* as the op takes them */
    bool same;
} settings;

#define OPTS(...) \
    .opts = &(settings) { __VA_ARGS__ }

/* Value d of n of an option, its default filled in; axes that are missing give `none`. */
static int64_t of(const int64_t *given, int d, int n, int64_t zero, int64_t none) {
    const int i = d - (3 - n);
    if (i < 0) return none;
    for (int k = i; k >= 0; k--) {
        if (given[k] == -1) return 0;
        if (given[k]) return given[k];
    }
    return zero;
}

typedef struct geometry {
    int64_t n, c, o, in[3], w[3], out[3], stride[3], pad[3], dilation[3], groups;
} geometry;

static geometry geometry_of(const array *x, const array *w, const sweep_case *c, bool transposed) {
    static const settings plain = {.groups = 1};
    const settings *s = c->opts ? c->opts : &plain;
    const int n = w->shape.ndim - 2, lead = x->shape.ndim - n;
    geometry g = {
        .n = lead == 2 ? x->shape.dim[0] : 1, .c = x->shape.dim[lead - 1], .groups = s->groups ? s->groups : 1};
    g.o = transposed ? w->shape.dim[1] * g.groups : w->shape.dim[0];
    for (int d = 0; d < 3; d++) {
        const bool none = d < 3 - n;
        g.in[d] = none ? 1 : x->shape.dim[lead + d - (3 - n)];
        g.w[d] = none ? 1 : w->shape.dim[2 + d - (3 - n)];
        g.stride[d] = of(s->stride, d, n, 1, 1);
        g.pad[d] = of(s->pad, d, n, 0, 0);
        g.dilation[d] = of(s->dilation, d, n, 1, 1);
        const int64_t reach = g.dilation[d] * (g.w[d] - 1);
        if (s->same) g.pad[d] = reach / 2;
        g.out[d] = s->same      ? g.in[d]
                   : transposed ? (g.in[d] - 1) * g.stride[d] - 2 * g.pad[d] + reach + 1 + of(s->output_pad, d, n, 0, 0)
                                : (g.in[d] + 2 * g.pad[d] - reach - 1) / g.stride[d] + 1;
    }
    return g;
}

static void make(const geometry *g, const array *x, int n, array *out) {
    tern_shape s = x->shape;
    const int lead = s.ndim - n;
    s.dim[lead - 1] = g->o;
    for (int i = 0; i < n; i++) s.dim[lead + i] = g->out[3 - n + i];
    array_new(out, s);
}

/* For every pixel a of the image side and b of the result side of a convolution that tap k joins, adds. */
static void join(const geometry *g, const int64_t *image, const int64_t *result, const double *x, const double *w,
                 double *y, bool transposed) {
    for (int64_t b = 0; b < result[0] * result[1] * result[2]; b++)
        for (int64_t k = 0; k < g->w[0] * g->w[1] * g->w[2]; k++) {
            const int64_t bi[3] = {b / result[2] / result[1], b / result[2] % result[1], b % result[2]};
            const int64_t ki[3] = {k / g->w[2] / g->w[1], k / g->w[2] % g->w[1], k % g->w[2]};
            int64_t a = 0;
            bool real = true;
            for (int d = 0; d < 3; d++) {
                const int64_t at = bi[d] * g->stride[d] - g->pad[d] + ki[d] * g->dilation[d];
                real &= at >= 0 && at < image[d];
                a = a * image[d] + at;
            }
            if (real) y[transposed ? a : b] += w[k] * x[transposed ? b : a];
        }
}

static void reference(const array *in, const sweep_case *c, array *out, bool transposed) {
    const array *x = &in[0], *w = &in[1], *bias = &in[2];
    const geometry g = geometry_of(x, w, c, transposed);
    make(&g, x, w->shape.ndim - 2, out);
    const int64_t from = g.in[0] * g.in[1] * g.in[2], to = g.out[0] * g.out[1] * g.out[2];
    const int64_t taps = g.w[0] * g.w[1] * g.w[2], cg = g.c / g.groups, og = g.o / g.groups;
    for (int64_t i = 0; i < out->n; i++) out->v[i] = bias->v ? bias->v[i / to % g.o] : 0;
    for (int64_t s = 0; s < g.n; s++)
        for (int64_t o = 0; o < g.o; o++)
            for (int64_t k = 0; k < cg; k++) {
                const int64_t channel = o / og * cg + k;
                const double *kernel = w->v + (transposed ? channel * og + o % og : o * cg + k) * taps;
                join(&g, transposed ? g.out : g.in, transposed ? g.in : g.out, x->v + (s * g.c + channel) * from,
                     kernel, out->v + (s * g.o + o) * to, transposed);
            }
}

static void ref_conv(const array *in, const sweep_case *c, array *out) { reference(in, c, out, false); }
static void ref_transpose(const array *in, const sweep_case *c, array *out) { reference(in, c, out, true); }

static settings given(const sweep_case *c) { return c->opts ? *(const settings *)c->opts : (settings){.groups = 0}; }

static tern_tensor *call_conv1d(tern_tensor *const *in, const sweep_case *c) {
    const settings s = given(c);
    return tern_conv1d(
        in[0], in[1], in[2],
        (tern_conv1d_opts){
            .stride = s.stride[0], .pad = s.pad[0], .dilation = s.dilation[0], .groups = s.groups, .same = s.same});
}
static tern_tensor *call_conv2d(tern_tensor *const *in, const sweep_case *c) {
    const settings s = given(c);
    return tern_conv2d(in[0], in[1], in[2],
                       (tern_conv2d_opts){.stride = {s.stride[0], s.stride[1]},
                                          .pad = {s.pad[0], s.pad[1]},
                                          .dilation = {s.dilation[0], s.dilation[1]},
                                          .groups = s.groups,
                                          .same = s.same});
}
static tern_tensor *call_conv3d(tern_tensor *const *in, const sweep_case *c) {
    const settings s = given(c);
    return tern_conv3d(in[0], in[1], in[2],
                       (tern_conv3d_opts){.stride = {s.stride[0], s.stride[1], s.stride[2]},
                                          .pad = {s.pad[0], s.pad[1], s.pad[2]},
                                          .dilation = {s.dilation[0], s.dilation[1], s.dilation[2]},
                                          .groups = s.groups,
                                          .same = s.same});
}
static tern_tensor *call_transpose1d(tern_tensor *const *in, const sweep_case *c) {
    const settings s = given(c);
    return tern_conv_transpose1d(in[0], in[1], in[2],
                                 (tern_conv_transpose1d_opts){.stride = s.stride[0],
                                                              .pad = s.pad[0],
                                                              .dilation = s.dilation[0],
                                                              .groups = s.groups,
                                                              .output_pad = s.output_pad[0]});
}
static tern_tensor *call_transpose2d(tern_tensor *const *in, const sweep_case *c) {
    const settings s = given(c);
    return tern_conv_transpose2d(in[0], in[1], in[2],
                                 (tern_conv_transpose2d_opts){.stride = {s.stride[0], s.stride[1]},
                                                              .pad = {s.pad[0], s.pad[1]},
                                                              .dilation = {s.dilation[0], s.dilation[1]},
                                                              .groups = s.groups,
                                                              .output_pad = {s.output_pad[0], s.output_pad[1]}});
}
static tern_tensor *call_transpose3d(tern_tensor *const *in, const sweep_case *c) {
    const settings s = given(c);
    return tern_conv_transpose3d(
        in[0], in[1], in[2],
        (tern_conv_transpose3d_opts){.stride = {s.stride[0], s.stride[1], s.stride[2]},
                                     .pad = {s.pad[0], s.pad[1], s.pad[2]},
                                     .dilation = {s.dilation[0], s.dilation[1], s.dilation[2]},
                                     .groups = s.groups,
                                     .output_pad = {s.output_pad[0], s.output_pad[1], s.output_pad[2]}});
}

static const sweep_case conv1d[] = {
    {"3 taps", {REAL(2, 2, 7), REAL(3, 2, 3), REAL(3)}},
    {"no bias", {REAL(1, 2, 5), REAL(3, 2, 2), NONE}},
    {"unbatched", {REAL(2, 6), REAL(3, 2, 3), REAL(3)}, OPTS(.pad = {1})},
    {"stride 3, pad 2", {REAL(2, 2, 10), REAL(2, 2, 4), REAL(2)}, OPTS(.stride = {3}, .pad = {2})},
    {"dilation 3", {REAL(1, 2, 11), REAL(2, 2, 3), REAL(2)}, OPTS(.dilation = {3}, .pad = {1})},
    {"groups 2", {REAL(2, 4, 6), REAL(6, 2, 3), REAL(6)}, OPTS(.groups = 2)},
    {"depthwise", {REAL(2, 3, 8), REAL(3, 1, 3), REAL(3)}, OPTS(.groups = 3, .pad = {1}, .stride = {2})},
    {"same", {REAL(2, 2, 7), REAL(3, 2, 3), REAL(3)}, OPTS(.same = true)},
    {"same, even kernel", {REAL(1, 2, 7), REAL(2, 2, 4), REAL(2)}, OPTS(.same = true, .dilation = {3})},
    {"batch 0", {REAL(0, 2, 5), REAL(3, 2, 3), REAL(3)}},
    {"no input channels", {REAL(2, 0, 5), REAL(3, 0, 3), REAL(3)}},
    {"no output channels", {REAL(2, 2, 5), REAL(0, 2, 3), REAL(0)}},
    {"no elements, padded", {REAL(2, 2, 0), REAL(3, 2, 3), REAL(3)}, OPTS(.pad = {2})},
    {"long", {REAL(1, 3, 3001), REAL(5, 3, 7), REAL(5)}, OPTS(.pad = {3}), .loosen = 2},
    {"wide", {REAL(1, 40, 1500), REAL(9, 40, 3), NONE}, OPTS(.pad = {1}), .loosen = 8},
    {"same with stride",
     {REAL(1, 2, 7), REAL(3, 2, 3), NONE},
     OPTS(.same = true, .stride = {2}),
     .code = TERN_ERR_ARGUMENT,
     .text = "conv1d"},
    {"channels differ", {REAL(1, 3, 7), REAL(3, 2, 3), NONE}, .code = TERN_ERR_SHAPE, .text = "conv1d: x [1, 3, 7]"},
    {"kernel too large", {REAL(1, 2, 4), REAL(3, 2, 5), NONE}, .code = TERN_ERR_SHAPE, .text = "conv1d"},
    {"x of 4 dimensions", {REAL(1, 1, 2, 4), REAL(3, 2, 5), NONE}, .code = TERN_ERR_SHAPE, .text = "conv1d"},
    {"no kernel", {REAL(1, 2, 4), REAL(3, 2, 0), NONE}, .code = TERN_ERR_SHAPE, .text = "conv1d"},
    {"integers", {TYPED(TERN_I32, 1, 2, 5), TYPED(TERN_I32, 3, 2, 3), NONE}, .code = TERN_ERR_DTYPE, .text = "conv1d"},
    {"pad beyond its range",
     {REAL(1, 2, 5), REAL(3, 2, 3), NONE},
     OPTS(.pad = {INT64_MAX}),
     .code = TERN_ERR_ARGUMENT,
     .text = "conv1d"},
    {"groups below 0",
     {REAL(1, 2, 5), REAL(3, 2, 3), NONE},
     OPTS(.groups = -1),
     .code = TERN_ERR_ARGUMENT,
     .text = "conv1d"},
};
static const sweep_case conv2d[] = {
    {"unbatched", {REAL(2, 4, 5), REAL(3, 2, 3, 2), REAL(3)}, OPTS(.pad = {1})},
    {"same", {REAL(2, 2, 4, 5), REAL(3, 2, 3, 3), REAL(3)}, OPTS(.same = true)},
    {"same, even and dilated",
     {REAL(1, 2, 5, 4), REAL(2, 2, 2, 4), REAL(2)},
     OPTS(.same = true, .dilation = {1, 2}, .groups = 1)},
    {"depthwise, stride 2",
     {REAL(2, 3, 7, 8), REAL(3, 1, 3, 3), REAL(3)},
     OPTS(.groups = 3, .pad = {1}, .stride = {2})},
    {"depthwise, dilation 2",
     {REAL(1, 2, 7, 9), REAL(4, 1, 3, 2), NONE},
     OPTS(.groups = 2, .pad = {2}, .dilation = {2, 1})},
    {"depthwise, wide", {REAL(2, 5, 19, 37), REAL(5, 1, 5, 5), REAL(5)}, OPTS(.groups = 5, .pad = {2}), .loosen = 4},
    {"depthwise, wide, stride 2",
     {REAL(2, 5, 19, 37), REAL(10, 1, 3, 3), REAL(10)},
     OPTS(.groups = 5, .pad = {1}, .stride = {2}),
     .loosen = 4},
    {"large image", {REAL(1, 9, 70, 90), REAL(10, 9, 3, 3), REAL(10)}, OPTS(.pad = {1}), .loosen = 8},
    {"same with pad",
     {REAL(1, 2, 7, 7), REAL(3, 2, 3, 3), NONE},
     OPTS(.same = true, .pad = {1}),
     .code = TERN_ERR_ARGUMENT,
     .text = "conv2d"},
};
static const sweep_case conv3d[] = {
    {"2x2x2", {REAL(2, 2, 3, 3, 2), REAL(2, 2, 2, 2, 2), REAL(2)}},
    {"unbatched", {REAL(2, 3, 3, 2), REAL(2, 2, 3, 1, 2), REAL(2)}, OPTS(.pad = {1})},
    {"stride 2, pad 1", {REAL(1, 2, 4, 5, 3), REAL(2, 2, 3, 3, 3), REAL(2)}, OPTS(.stride = {2}, .pad = {1})},
    {"stride 1x2x3, pad 2x0x1",
     {REAL(1, 1, 3, 5, 6), REAL(2, 1, 2, 3, 3), NONE},
     OPTS(.stride = {1, 2, 3}, .pad = {2, -1, 1})},
    {"dilation 2x1x3", {REAL(1, 1, 4, 4, 5), REAL(2, 1, 2, 2, 2), NONE}, OPTS(.dilation = {2, 1, 3}, .pad = {1})},
    {"groups 2", {REAL(1, 4, 3, 3, 3), REAL(4, 2, 2, 2, 2), REAL(4)}, OPTS(.groups = 2)},
    {"depthwise", {REAL(2, 2, 3, 3, 4), REAL(2, 1, 2, 3, 3), REAL(2)}, OPTS(.groups = 2, .pad = {1})},
    {"same, even", {REAL(1, 2, 3, 2, 4), REAL(2, 2, 2, 3, 4), REAL(2)}, OPTS(.same = true)},
    {"1x1x1", {REAL(2, 3, 2, 2, 2), REAL(2, 3, 1, 1, 1), REAL(2)}},
    {"batch 0", {REAL(0, 2, 3, 3, 3), REAL(2, 2, 2, 2, 2), REAL(2)}},
    {"larger", {REAL(2, 5, 6, 9, 11), REAL(18, 5, 3, 3, 3), REAL(18)}, OPTS(.pad = {1}), .loosen = 8},
    {"larger, stride 2",
     {REAL(2, 5, 6, 9, 11), REAL(8, 5, 3, 3, 3), REAL(8)},
     OPTS(.pad = {1}, .stride = {2}),
     .loosen = 8},
    {"x of 3 dimensions", {REAL(2, 3, 3), REAL(2, 2, 2, 2, 2), NONE}, .code = TERN_ERR_SHAPE, .text = "conv3d"},
    {"kernel too deep", {REAL(1, 2, 1, 3, 3), REAL(2, 2, 2, 2, 2), NONE}, .code = TERN_ERR_SHAPE, .text = "conv3d"},
    {"bias", {REAL(1, 2, 3, 3, 3), REAL(2, 2, 2, 2, 2), REAL(3)}, .code = TERN_ERR_SHAPE, .text = "conv3d: b [3]"},
};
SWEEP(conv1d, conv1d, call_conv1d, ref_conv, 0, 4)
SWEEP(conv2d__axes, conv2d, call_conv2d, ref_conv, 0, 4)
SWEEP(conv3d, conv3d, call_conv3d, ref_conv, 0, 4)

static const sweep_case transpose1d[] = {
    {"3 taps", {REAL(2, 2, 4), REAL(2, 3, 3), REAL(3)}},
    {"no bias", {REAL(1, 2, 4), REAL(2, 3, 3), NONE}},
    {"unbatched", {REAL(2, 4), REAL(2, 3, 3), REAL(3)}, OPTS(.stride = {2})},
    {"stride 3, pad 1, output pad 2",
     {REAL(2, 2, 4), REAL(2, 2, 4), REAL(2)},
     OPTS(.stride = {3}, .pad = {1}, .output_pad = {2})},
    {"stride above the kernel", {REAL(2, 2, 3), REAL(2, 2, 2), REAL(2)}, OPTS(.stride = {4}, .output_pad = {3})},
    {"dilation 3, output pad 2",
     {REAL(1, 2, 4), REAL(2, 2, 3), REAL(2)},
     OPTS(.dilation = {3}, .stride = {2}, .output_pad = {2})},
    {"groups 2", {REAL(1, 4, 4), REAL(4, 3, 3), REAL(6)}, OPTS(.groups = 2)},
    {"depthwise", {REAL(2, 3, 5), REAL(3, 1, 4), REAL(3)}, OPTS(.groups = 3, .stride = {2}, .pad = {1})},
    {"batch 0", {REAL(0, 2, 4), REAL(2, 3, 3), REAL(3)}},
    {"no input channels", {REAL(2, 0, 4), REAL(0, 3, 3), REAL(3)}},
    {"long", {REAL(1, 3, 1501), REAL(3, 5, 8), REAL(5)}, OPTS(.pad = {3}, .stride = {4}), .loosen = 4},
    {"output pad too large",
     {REAL(1, 2, 4), REAL(2, 2, 3), NONE},
     OPTS(.stride = {2}, .output_pad = {2}),
     .code = TERN_ERR_ARGUMENT,
     .text = "conv_transpose1d"},
    {"no result",
     {REAL(1, 2, 1), REAL(2, 2, 2), NONE},
     OPTS(.pad = {1}),
     .code = TERN_ERR_SHAPE,
     .text = "conv_transpose1d"},
    {"channels differ", {REAL(1, 3, 4), REAL(2, 2, 2), NONE}, .code = TERN_ERR_SHAPE, .text = "conv_transpose1d"},
    {"groups do not divide",
     {REAL(1, 3, 4), REAL(3, 2, 2), NONE},
     OPTS(.groups = 2),
     .code = TERN_ERR_SHAPE,
     .text = "conv_transpose1d"},
    {"dtypes", {REAL(1, 2, 4), TYPED(TERN_I32, 2, 2, 2), NONE}, .code = TERN_ERR_DTYPE, .text = "conv_transpose1d"},
    {"bias", {REAL(1, 2, 4), REAL(2, 2, 2), REAL(3)}, .code = TERN_ERR_SHAPE, .text = "conv_transpose1d"},
};
static const sweep_case transpose2d[] = {
    {"3x2", {REAL(2, 2, 3, 2), REAL(2, 2, 3, 2), REAL(2)}},
    {"stride 2, pad 1, output pad 1",
     {REAL(1, 2, 3, 3), REAL(2, 2, 3, 3), REAL(2)},
     OPTS(.stride = {2}, .pad = {1}, .output_pad = {1})},
    {"stride 2x3, output pad width only",
     {REAL(1, 2, 3, 2), REAL(2, 2, 2, 2), NONE},
     OPTS(.stride = {2, 3}, .output_pad = {-1, 2})},
    {"dilation 2x1", {REAL(1, 2, 3, 3), REAL(2, 2, 2, 3), REAL(2)}, OPTS(.dilation = {2, 1}, .pad = {1})},
    {"groups 2", {REAL(2, 4, 2, 3), REAL(4, 1, 2, 2), REAL(2)}, OPTS(.groups = 2)},
    {"depthwise", {REAL(1, 3, 4, 4), REAL(3, 1, 4, 4), REAL(3)}, OPTS(.groups = 3, .stride = {2}, .pad = {1})},
    {"unbatched", {REAL(2, 3, 2), REAL(2, 2, 3, 2), REAL(2)}},
    {"batch 0", {REAL(0, 2, 3, 2), REAL(2, 2, 3, 2), REAL(2)}},
    {"larger", {REAL(2, 17, 9, 7), REAL(17, 11, 4, 4), REAL(11)}, OPTS(.stride = {2}, .pad = {1}), .loosen = 8},
    {"empty plane", {REAL(1, 2, 0, 3), REAL(2, 2, 3, 3), NONE}, .code = TERN_ERR_SHAPE, .text = "conv_transpose2d"},
    {"negative output pad",
     {REAL(1, 2, 3, 3), REAL(2, 2, 3, 3), NONE},
     OPTS(.output_pad = {-2}),
     .code = TERN_ERR_ARGUMENT,
     .text = "conv_transpose2d"},
};
static const sweep_case transpose3d[] = {
    {"2x2x2", {REAL(2, 2, 2, 2, 2), REAL(2, 2, 2, 2, 2), REAL(2)}},
    {"stride 2, pad 1, output pad 1",
     {REAL(1, 2, 2, 3, 2), REAL(2, 1, 3, 3, 3), REAL(1)},
     OPTS(.stride = {2}, .pad = {1}, .output_pad = {1})},
    {"stride 1x2x3, dilation 2x1x1",
     {REAL(1, 1, 2, 2, 3), REAL(1, 2, 2, 3, 2), NONE},
     OPTS(.stride = {1, 2, 3}, .dilation = {2, 1, 1})},
    {"groups 2", {REAL(1, 4, 2, 2, 2), REAL(4, 1, 2, 2, 2), REAL(2)}, OPTS(.groups = 2)},
    {"unbatched", {REAL(2, 2, 2, 2), REAL(2, 2, 2, 2, 2), REAL(2)}},
    {"batch 0", {REAL(0, 2, 2, 2, 2), REAL(2, 2, 2, 2, 2), REAL(2)}},
    {"x of 3 dimensions",
     {REAL(2, 3, 3), REAL(2, 2, 2, 2, 2), NONE},
     .code = TERN_ERR_SHAPE,
     .text = "conv_transpose3d"},
};
SWEEP(conv_transpose1d, transpose1d, call_transpose1d, ref_transpose, 0, 4)
SWEEP(conv_transpose2d, transpose2d, call_transpose2d, ref_transpose, 0, 4)
SWEEP(conv_transpose3d, transpose3d, call_transpose3d, ref_transpose, 0, 4)

/* ---- benchmarks -------------------------------------------------------------------------------------------------- */

BENCH(conv2d__resnet64, call_conv2d, "F.conv2d(a, b, None, 1, 1)",
      {"64 -> 64, 56 x 56", {REAL(8, 64, 56, 56), REAL(64, 64, 3, 3), NONE}, OPTS(.pad = {1})})
BENCH(conv2d__resnet256, call_conv2d, "F.conv2d(a, b, None, 1, 1)",
      {"256 -> 256, 14 x 14", {REAL(8, 256, 14, 14), REAL(256, 256, 3, 3), NONE}, OPTS(.pad = {1})})
BENCH(conv2d__stem, call_conv2d, "F.conv2d(a, b, None, 2, 3)",
      {"7x7, stride 2, 3 -> 64", {REAL(4, 3, 224, 224), REAL(64, 3, 7, 7), NONE}, OPTS(.pad = {3}, .stride = {2})})
BENCH(conv2d__pointwise, call_conv2d, "F.conv2d(a, b)",
      {"1x1, 256 -> 64, 56 x 56", {REAL(8, 256, 56, 56), REAL(64, 256, 1, 1), NONE}})
BENCH(conv2d__down, call_conv2d, "F.conv2d(a, b, None, 2, 1)",
      {"stride 2, 128 -> 128", {REAL(8, 128, 56, 56), REAL(128, 128, 3, 3), NONE}, OPTS(.pad = {1}, .stride = {2})})
BENCH(conv2d__depthwise, call_conv2d, "F.conv2d(a, b, None, 1, 1, 1, 144)",
      {"3x3 over 144", {REAL(8, 144, 56, 56), REAL(144, 1, 3, 3), NONE}, OPTS(.pad = {1}, .groups = 144)})
BENCH(conv2d__depthwise_stride2, call_conv2d, "F.conv2d(a, b, None, 2, 2, 1, 144)",
      {"5x5 over 144",
       {REAL(8, 144, 56, 56), REAL(144, 1, 5, 5), NONE},
       OPTS(.pad = {2}, .stride = {2}, .groups = 144)})
BENCH(conv1d, call_conv1d, "F.conv1d(a, b, None, 1, 1)",
      {"80 -> 384, 3 taps", {REAL(2, 80, 3000), REAL(384, 80, 3), NONE}, OPTS(.pad = {1})})
BENCH(conv1d__dilated, call_conv1d, "F.conv1d(a, b, None, 1, 8, 8)",
      {"64 -> 64, dilation 8", {REAL(2, 64, 16000), REAL(64, 64, 3), NONE}, OPTS(.pad = {8}, .dilation = {8})})
BENCH(conv3d, call_conv3d, "F.conv3d(a, b, None, 1, 1)",
      {"32 -> 32, 16^3", {REAL(4, 32, 16, 16, 16), REAL(32, 32, 3, 3, 3), NONE}, OPTS(.pad = {1})})
BENCH(conv_transpose1d, call_transpose1d, "F.conv_transpose1d(a, b, None, 4, 2)",
      {"128 -> 64, stride 4", {REAL(2, 128, 1000), REAL(128, 64, 8), NONE}, OPTS(.stride = {4}, .pad = {2})})
BENCH(conv_transpose2d, call_transpose2d, "F.conv_transpose2d(a, b, None, 2, 1)",
      {"128 -> 64, stride 2", {REAL(8, 128, 28, 28), REAL(128, 64, 4, 4), NONE}, OPTS(.stride = {2}, .pad = {1})})
BENCH(conv_transpose3d, call_transpose3d, "F.conv_transpose3d(a, b, None, 2)",
      {"32 -> 16, stride 2", {REAL(2, 32, 8, 8, 8), REAL(32, 16, 2, 2, 2), NONE}, OPTS(.stride = {2})})
