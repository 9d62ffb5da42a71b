/* conv2d. arg: what the options resolve to: stride, pad, dilation (2 each), groups. */
#include "../sweep.h"

static tern_tensor *call(tern_tensor *const *in, const sweep_case *c) {
    const tern_conv2d_opts *o = c->opts;
    return tern_conv2d(in[0], in[1], in[2], o ? *o : (tern_conv2d_opts){0});
}

static void reference(const array *in, const sweep_case *c, array *out) {
    const array *x = &in[0], *w = &in[1], *b = &in[2];
    const int64_t one[7] = {1, 1, 0, 0, 1, 1, 1}, *r = c->opts ? c->arg : one;
    const int64_t n = x->shape.dim[0], ci = x->shape.dim[1], h = x->shape.dim[2], wd = x->shape.dim[3];
    const int64_t co = w->shape.dim[0], cg = w->shape.dim[1], kh = w->shape.dim[2], kw = w->shape.dim[3];
    const int64_t oh = (h + 2 * r[2] - r[4] * (kh - 1) - 1) / r[0] + 1,
                  ow = (wd + 2 * r[3] - r[5] * (kw - 1) - 1) / r[1] + 1;
    const int64_t og = co / r[6];
    array_make(out, n, co, oh, ow);
    for (int64_t i = 0; i < out->n; i++) {
        const int64_t xo = i % ow, yo = i / ow % oh, o = i / (ow * oh) % co, s = i / (ow * oh * co);
        double sum = b->v ? b->v[o] : 0;
        for (int64_t k = 0; k < cg; k++)
            for (int64_t p = 0; p < kh; p++)
                for (int64_t q = 0; q < kw; q++) {
                    const int64_t yi = yo * r[0] - r[2] + p * r[4], xi = xo * r[1] - r[3] + q * r[5];
                    if (yi < 0 || yi >= h || xi < 0 || xi >= wd) continue;
                    sum +=
                        x->v[((s * ci + o / og * cg + k) * h + yi) * wd + xi] * w->v[((o * cg + k) * kh + p) * kw + q];
                }
        out->v[i] = sum;
    }
}

#define OPTS(...) \
    .opts = &(tern_conv2d_opts) { __VA_ARGS__ }

static const sweep_case cases[] = {
    {"3x3", {REAL(1, 2, 5, 4), REAL(3, 2, 3, 3), REAL(3)}},
    {"no bias", {REAL(2, 1, 4, 4), REAL(2, 1, 3, 3), NONE}},
    {"1x1", {REAL(2, 3, 3, 3), REAL(4, 3, 1, 1), REAL(4)}},
    {"whole input", {REAL(2, 2, 3, 4), REAL(2, 2, 3, 4), REAL(2)}},
    {"pad 1", {REAL(2, 2, 4, 3), REAL(2, 2, 3, 3), REAL(2)}, OPTS(.pad = {1}), .arg = {1, 1, 1, 1, 1, 1, 1}},
    {"pad height only",
     {REAL(1, 2, 4, 4), REAL(2, 2, 3, 3), REAL(2)},
     OPTS(.pad = {1, -1}),
     .arg = {1, 1, 1, 0, 1, 1, 1}},
    {"pad beyond the kernel",
     {REAL(1, 1, 2, 2), REAL(1, 1, 2, 2), NONE},
     OPTS(.pad = {3}),
     .arg = {1, 1, 3, 3, 1, 1, 1}},
    {"stride 2", {REAL(2, 2, 6, 7), REAL(2, 2, 3, 3), REAL(2)}, OPTS(.stride = {2}), .arg = {2, 2, 0, 0, 1, 1, 1}},
    {"stride 2x3, pad 1x2",
     {REAL(1, 2, 5, 8), REAL(2, 2, 3, 2), REAL(2)},
     OPTS(.stride = {2, 3}, .pad = {1, 2}),
     .arg = {2, 3, 1, 2, 1, 1, 1}},
    {"stride above the kernel",
     {REAL(1, 2, 7, 7), REAL(2, 2, 2, 2), NONE},
     OPTS(.stride = {3}),
     .arg = {3, 3, 0, 0, 1, 1, 1}},
    {"dilation 2", {REAL(1, 2, 6, 6), REAL(2, 2, 3, 2), REAL(2)}, OPTS(.dilation = {2}), .arg = {1, 1, 0, 0, 2, 2, 1}},
    {"dilation 1x3, pad 2, stride 2",
     {REAL(1, 1, 5, 8), REAL(2, 1, 2, 3), NONE},
     OPTS(.dilation = {1, 3}, .pad = {2}, .stride = {2}),
     .arg = {2, 2, 2, 2, 1, 3, 1}},
    {"groups 2", {REAL(1, 4, 4, 4), REAL(4, 2, 3, 3), REAL(4)}, OPTS(.groups = 2), .arg = {1, 1, 0, 0, 1, 1, 2}},
    {"depthwise",
     {REAL(2, 3, 4, 4), REAL(6, 1, 3, 3), REAL(6)},
     OPTS(.groups = 3, .pad = {1}),
     .arg = {1, 1, 1, 1, 1, 1, 3}},
    {"batch 0", {REAL(0, 2, 4, 4), REAL(3, 2, 3, 3), REAL(3)}},
    {"image",
     {REAL(3, 1, 28, 28), REAL(8, 1, 3, 3), REAL(8)},
     OPTS(.pad = {1}),
     .arg = {1, 1, 1, 1, 1, 1, 1},
     .loosen = 4},
    {"channels",
     {REAL(2, 19, 13, 11), REAL(35, 19, 3, 3), REAL(35)},
     OPTS(.pad = {1}),
     .arg = {1, 1, 1, 1, 1, 1, 1},
     .loosen = 8},
    {"channels, stride 2, groups",
     {REAL(2, 16, 15, 17), REAL(32, 4, 5, 3), REAL(32)},
     OPTS(.pad = {2, 1}, .stride = {2}, .groups = 4),
     .arg = {2, 2, 2, 1, 1, 1, 4},
     .loosen = 8},
    {"channels differ", {REAL(1, 2, 5, 5), REAL(3, 3, 3, 3), REAL(3)}, .code = TERN_ERR_SHAPE},
    {"kernel too large", {REAL(1, 2, 2, 5), REAL(3, 2, 3, 3), REAL(3)}, .code = TERN_ERR_SHAPE},
    {"x of 2 dimensions", {REAL(5, 5), REAL(3, 2, 3, 3), REAL(3)}, .code = TERN_ERR_SHAPE, .text = "conv2d"},
    {"w of 2 dimensions", {REAL(1, 2, 5, 5), REAL(3, 2), REAL(3)}, .code = TERN_ERR_SHAPE},
    {"bias", {REAL(1, 2, 5, 5), REAL(3, 2, 3, 3), REAL(2)}, .code = TERN_ERR_SHAPE},
    {"groups do not divide", {REAL(1, 3, 5, 5), REAL(4, 1, 3, 3), NONE}, OPTS(.groups = 2), .code = TERN_ERR_SHAPE},
    {"negative stride", {REAL(1, 2, 5, 5), REAL(3, 2, 3, 3), NONE}, OPTS(.stride = {-1}), .code = TERN_ERR_ARGUMENT},
    {"negative pad", {REAL(1, 2, 5, 5), REAL(3, 2, 3, 3), NONE}, OPTS(.pad = {-2}), .code = TERN_ERR_ARGUMENT},
    {"dtypes", {REAL(1, 2, 5, 5), TYPED(TERN_F64, 3, 2, 3, 3), NONE}, .code = TERN_ERR_DTYPE},
    {"integers", {TYPED(TERN_I32, 1, 2, 5, 5), TYPED(TERN_I32, 3, 2, 3, 3), NONE}, .code = TERN_ERR_DTYPE},
};
SWEEP(conv2d, cases, call, reference, 0, 4)
