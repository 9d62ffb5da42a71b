/* im2col and col2im. arg: kernel, stride, pad, dilation (2 each, resolved). */
#include "../sweep.h"

typedef struct settings {
    int64_t size[2], kernel[2];
    tern_fold_opts opts;
} settings;

static tern_tensor *call_im2col(tern_tensor *const *in, const sweep_case *c) {
    const settings *s = c->opts;
    return tern_im2col(in[0], s->kernel, s->opts);
}
static tern_tensor *call_col2im(tern_tensor *const *in, const sweep_case *c) {
    const settings *s = c->opts;
    return tern_col2im(in[0], s->size, s->kernel, s->opts);
}

/* Walks every tap of every window of planes [h, w]: columns[...] = image[...], or image += columns. */
static void walk(const sweep_case *c, int64_t planes, int64_t h, int64_t w, double *image, double *columns, bool back) {
    const int64_t *r = c->arg;
    const int64_t oh = (h + 2 * r[4] - r[6] * (r[0] - 1) - 1) / r[2] + 1,
                  ow = (w + 2 * r[5] - r[7] * (r[1] - 1) - 1) / r[3] + 1;
    for (int64_t i = 0; i < planes * r[0] * r[1] * oh * ow; i++) {
        const int64_t l = i % (oh * ow), tap = i / (oh * ow) % (r[0] * r[1]), plane = i / (oh * ow) / (r[0] * r[1]);
        const int64_t y = l / ow * r[2] - r[4] + tap / r[1] * r[6], x = l % ow * r[3] - r[5] + tap % r[1] * r[7];
        if (y < 0 || y >= h || x < 0 || x >= w) continue;
        double *pixel = &image[(plane * h + y) * w + x];
        if (back)
            *pixel += columns[i];
        else
            columns[i] = *pixel;
    }
}

static void ref_im2col(const array *in, const sweep_case *c, array *out) {
    const int64_t *r = c->arg;
    tern_shape s = in->shape;
    const int lead = s.ndim - 2;
    const int64_t h = s.dim[lead], w = s.dim[lead + 1], planes = (lead == 2 ? s.dim[0] : 1) * s.dim[lead - 1];
    s.ndim--;
    s.dim[lead - 1] *= r[0] * r[1];
    s.dim[lead] =
        ((h + 2 * r[4] - r[6] * (r[0] - 1) - 1) / r[2] + 1) * ((w + 2 * r[5] - r[7] * (r[1] - 1) - 1) / r[3] + 1);
    array_new(out, s);
    walk(c, planes, h, w, in->v, out->v, false);
}

static void ref_col2im(const array *in, const sweep_case *c, array *out) {
    const settings *o = c->opts;
    tern_shape s = in->shape;
    const int lead = s.ndim - 1;
    s.ndim++;
    s.dim[lead - 1] /= c->arg[0] * c->arg[1];
    s.dim[lead] = o->size[0];
    s.dim[lead + 1] = o->size[1] ? o->size[1] : o->size[0];
    array_new(out, s);
    walk(c, (lead == 2 ? s.dim[0] : 1) * s.dim[lead - 1], s.dim[lead], s.dim[lead + 1], out->v, in->v, true);
}

#define FOLD(...) \
    .opts = &(settings) { __VA_ARGS__ }

static const sweep_case im2col[] = {
    {"2x2", {REAL(2, 2, 3, 4)}, FOLD({0}, {2}, {{0}}), .arg = {2, 2, 1, 1, 0, 0, 1, 1}},
    {"3x2, stride 2x1, pad 1",
     {REAL(1, 2, 5, 4)},
     FOLD({0}, {3, 2}, {.stride = {2, 1}, .pad = {1}}),
     .arg = {3, 2, 2, 1, 1, 1, 1, 1}},
    {"dilation 2x1, pad 2x0",
     {REAL(1, 1, 5, 4)},
     FOLD({0}, {2}, {.dilation = {2, 1}, .pad = {2, -1}}),
     .arg = {2, 2, 1, 1, 2, 0, 2, 1}},
    {"stride 3, pad beyond the kernel",
     {REAL(1, 2, 4, 5)},
     FOLD({0}, {2}, {.stride = {3}, .pad = {3}}),
     .arg = {2, 2, 3, 3, 3, 3, 1, 1}},
    {"unbatched", {REAL(2, 3, 4)}, FOLD({0}, {2}, {{0}}), .arg = {2, 2, 1, 1, 0, 0, 1, 1}},
    {"batch 0", {REAL(0, 2, 3, 4)}, FOLD({0}, {2}, {{0}}), .arg = {2, 2, 1, 1, 0, 0, 1, 1}},
    {"empty plane, padded", {REAL(2, 2, 0, 4)}, FOLD({0}, {2}, {.pad = {1}}), .arg = {2, 2, 1, 1, 1, 1, 1, 1}},
    {"kernel too large", {REAL(1, 2, 3, 4)}, FOLD({0}, {4}, {{0}}), .code = TERN_ERR_SHAPE, .text = "im2col"},
    {"kernel 0", {REAL(1, 2, 3, 4)}, FOLD({0}, {0}, {{0}}), .code = TERN_ERR_ARGUMENT, .text = "im2col"},
    {"x of 2 dimensions", {REAL(3, 4)}, FOLD({0}, {2}, {{0}}), .code = TERN_ERR_SHAPE, .text = "im2col"},
    {"integers", {TYPED(TERN_I32, 1, 2, 3, 4)}, FOLD({0}, {2}, {{0}}), .code = TERN_ERR_DTYPE, .text = "im2col"},
};
static const sweep_case col2im[] = {
    {"2x2", {REAL(2, 8, 6)}, FOLD({3, 4}, {2}, {{0}}), .arg = {2, 2, 1, 1, 0, 0, 1, 1}},
    {"3x2, stride 2x1, pad 1",
     {REAL(1, 6, 15)},
     FOLD({5, 4}, {3, 2}, {.stride = {2, 1}, .pad = {1}}),
     .arg = {3, 2, 2, 1, 1, 1, 1, 1}},
    {"dilation 2, square", {REAL(1, 4, 9)}, FOLD({5}, {2}, {.dilation = {2}}), .arg = {2, 2, 1, 1, 0, 0, 2, 2}},
    {"stride above the kernel", {REAL(2, 4, 4)}, FOLD({6}, {2}, {.stride = {4}}), .arg = {2, 2, 4, 4, 0, 0, 1, 1}},
    {"unbatched", {REAL(8, 6)}, FOLD({3, 4}, {2}, {{0}}), .arg = {2, 2, 1, 1, 0, 0, 1, 1}},
    {"batch 0", {REAL(0, 8, 6)}, FOLD({3, 4}, {2}, {{0}}), .arg = {2, 2, 1, 1, 0, 0, 1, 1}},
    {"columns", {REAL(2, 8, 7)}, FOLD({3, 4}, {2}, {{0}}), .code = TERN_ERR_SHAPE, .text = "col2im: x [2, 8, 7]"},
    {"rows", {REAL(2, 9, 6)}, FOLD({3, 4}, {2}, {{0}}), .code = TERN_ERR_SHAPE, .text = "col2im: x [2, 9, 6]"},
    {"size too small", {REAL(2, 8, 6)}, FOLD({1, 4}, {2}, {{0}}), .code = TERN_ERR_SHAPE, .text = "col2im"},
    {"x of 4 dimensions", {REAL(1, 2, 8, 6)}, FOLD({3, 4}, {2}, {{0}}), .code = TERN_ERR_SHAPE, .text = "col2im"},
};
SWEEP(im2col, im2col, call_im2col, ref_im2col, 0, 1)
SWEEP(col2im, col2im, call_col2im, ref_col2im, 0, 1)

BENCH(im2col, call_im2col, "F.unfold(a, 3, 1, 1)", {"3x3", {REAL(8, 64, 56, 56)}, FOLD({0}, {3}, {.pad = {1}})})
BENCH(col2im, call_col2im, "F.fold(a, 56, 3, 1, 1)", {"3x3", {REAL(8, 576, 3136)}, FOLD({56}, {3}, {.pad = {1}})})
