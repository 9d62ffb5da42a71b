/* Image ops. The sweep checks gradients and dtypes' agreement with f64; the values come from PyTorch
 * (tests/reference/image.py). */
#include "../sweep.h"

/* ---- sweeps
 * ---------------------------------------------------------------------------------------------------------- */

typedef struct tern_interpolate_opts resize;
#define RESIZE_TO(...) \
    .opts = &(const resize) { __VA_ARGS__ }

static tern_tensor *call_interpolate(tern_tensor *const *in, const sweep_case *c) {
    return tern_interpolate(in[0], *(const resize *)c->opts);
}

static const sweep_case interpolates[] = {
    {"nearest", {REAL(2, 1, 3, 4)}, RESIZE_TO(.size = {5, 3})},
    {"exact, factor", {REAL(1, 2, 5)}, RESIZE_TO(TERN_NEAREST_EXACT, .scale_factor = {1.5})},
    {"linear", {REAL(2, 3, 4)}, RESIZE_TO(TERN_LINEAR, .size = {7})},
    {"bilinear, factor", {REAL(1, 2, 3, 5)}, RESIZE_TO(TERN_LINEAR, .scale_factor = {2})},
    {"bilinear, corners", {REAL(1, 2, 3, 5)}, RESIZE_TO(TERN_LINEAR, .size = {4, 3}, .align_corners = true)},
    {"trilinear", {REAL(1, 1, 2, 3, 4)}, RESIZE_TO(TERN_LINEAR, .size = {3, 2, 5})},
    {"bicubic", {REAL(1, 1, 4, 5)}, RESIZE_TO(TERN_CUBIC, .size = {7, 3})},
    {"area", {REAL(1, 2, 5, 4)}, RESIZE_TO(TERN_AREA, .size = {3, 6})},
    {"antialias", {REAL(1, 1, 6, 7)}, RESIZE_TO(TERN_LINEAR, .size = {2, 3}, .antialias = true)},
    {"one element", {REAL(1, 1, 1, 1)}, RESIZE_TO(TERN_LINEAR, .size = {3, 2}, .align_corners = true)},
    {"no images", {REAL(0, 1, 2, 2)}, RESIZE_TO(TERN_LINEAR, .size = {3, 2})},
    {"empty axis", {REAL(1, 1, 0)}, RESIZE_TO(.size = {3}), .code = TERN_ERR_SHAPE},
    {"to nothing", {REAL(1, 1, 2)}, RESIZE_TO(.scale_factor = {0.3}), .code = TERN_ERR_SHAPE},
    {"negative size", {REAL(1, 1, 2)}, RESIZE_TO(.size = {-3}), .code = TERN_ERR_SHAPE},
    {"too large", {REAL(1, 1, 2)}, RESIZE_TO(.size = {INT64_MAX / 4}), .code = TERN_ERR_SHAPE},
    {"no size", {REAL(1, 1, 2)}, RESIZE_TO(TERN_LINEAR), .code = TERN_ERR_ARGUMENT},
    {"no axes", {REAL(1, 2)}, RESIZE_TO(.size = {3}), .code = TERN_ERR_SHAPE},
    {"corners of nearest", {REAL(1, 1, 2)}, RESIZE_TO(.size = {3}, .align_corners = true), .code = TERN_ERR_ARGUMENT},
    {"mode", {REAL(1, 1, 2)}, RESIZE_TO((tern_interpolation)9, .size = {3}), .code = TERN_ERR_ARGUMENT},
    {"integers", {TYPED(TERN_I32, 1, 1, 2)}, RESIZE_TO(.size = {3}), .code = TERN_ERR_DTYPE},
};
SWEEP(interpolate, interpolates, call_interpolate, NULL, 0, 8)
BENCH(interpolate, call_interpolate, "F.interpolate(a, scale_factor=2, mode='bilinear')",
      {"[8, 64, 56, 56] x 2", {REAL(8, 64, 56, 56)}, RESIZE_TO(TERN_LINEAR, .scale_factor = {2})})

/* arg: mode, padding, align_corners. */
static tern_tensor *call_grid_sample(tern_tensor *const *in, const sweep_case *c) {
    return tern_grid_sample(in[0], in[1],
                            (tern_grid_sample_opts){.mode = (tern_grid_mode)c->arg[0],
                                                    .padding = (tern_grid_padding)c->arg[1],
                                                    .align_corners = c->arg[2] != 0});
}

/* f16 and bf16 points lie where the f64 ones do, so that they see the same elements. */
static const sweep_case grid_samples[] = {
    {"linear", {REAL(2, 2, 3, 4), RANGE(-1.3, 1.3, 2, 3, 2, 2)}},
    {"linear, border, corners", {REAL(1, 2, 3, 4), RANGE(-1.3, 1.3, 1, 3, 2, 2)}, .arg = {0, 1, 1}},
    {"linear, reflection", {REAL(1, 2, 3, 4), RANGE(-3, 3, 1, 3, 2, 2)}, .arg = {0, 2, 0}},
    {"linear, reflection, corners", {REAL(1, 2, 3, 4), RANGE(-3, 3, 1, 3, 2, 2)}, .arg = {0, 2, 1}},
    {"nearest", {REAL(1, 2, 3, 4), RANGE(-1.3, 1.3, 1, 3, 2, 2)}, .arg = {1, 0, 0}},
    {"cubic", {REAL(1, 1, 4, 4), RANGE(-1.2, 1.2, 1, 3, 2, 2)}, .arg = {2, 0, 0}},
    {"cubic, reflection", {REAL(1, 1, 4, 4), RANGE(-2, 2, 1, 3, 2, 2)}, .arg = {2, 2, 1}},
    {"volumes", {REAL(1, 2, 2, 3, 2), RANGE(-1.2, 1.2, 1, 2, 1, 2, 3)}},
    {"volumes, nearest", {REAL(1, 2, 2, 3, 2), RANGE(-1.2, 1.2, 1, 2, 1, 2, 3)}, .arg = {1, 1, 0}},
    {"no points", {REAL(1, 2, 3, 4), REAL(1, 0, 2, 2)}},
    {"cubic volumes", {REAL(1, 2, 2, 3, 2), REAL(1, 2, 1, 2, 3)}, .arg = {2}, .code = TERN_ERR_ARGUMENT},
    {"grid's last size", {REAL(1, 2, 3, 4), REAL(1, 2, 2, 3)}, .code = TERN_ERR_SHAPE},
    {"batch", {REAL(2, 2, 3, 4), REAL(1, 2, 2, 2)}, .code = TERN_ERR_SHAPE},
    {"empty image", {REAL(1, 2, 0, 4), REAL(1, 2, 2, 2)}, .code = TERN_ERR_SHAPE},
    {"padding", {REAL(1, 2, 3, 4), REAL(1, 2, 2, 2)}, .arg = {0, 3}, .code = TERN_ERR_ARGUMENT},
};
SWEEP(grid_sample, grid_samples, call_grid_sample, NULL, 0, 16)
BENCH(grid_sample, call_grid_sample, "F.grid_sample(a, b, align_corners=False)",
      {"[8, 32, 64, 64]", {REAL(8, 32, 64, 64), RANGE(-1, 1, 8, 64, 64, 2)}})

static tern_tensor *call_affine_grid(tern_tensor *const *in, const sweep_case *c) {
    return tern_affine_grid(in[0], tern_shape_of((int)c->arg[0], c->arg + 1), c->number[0] > 0);
}
static const sweep_case affine_grids[] = {
    {"images", {REAL(2, 2, 3)}, .arg = {4, 2, 1, 3, 2}},
    {"images, corners", {REAL(2, 2, 3)}, .arg = {4, 2, 1, 3, 2}, .number = {1}},
    {"volumes", {REAL(1, 3, 4)}, .arg = {5, 1, 1, 2, 3, 2}},
    {"nothing", {REAL(2, 2, 3)}, .arg = {4, 2, 1, 0, 2}},
    {"negative size", {REAL(2, 2, 3)}, .arg = {4, 2, 1, -1, 2}, .code = TERN_ERR_SHAPE},
    {"batch", {REAL(2, 2, 3)}, .arg = {4, 1, 1, 3, 2}, .code = TERN_ERR_SHAPE},
    {"theta", {REAL(2, 3, 3)}, .arg = {4, 2, 1, 3, 2}, .code = TERN_ERR_SHAPE},
};
SWEEP(affine_grid, affine_grids, call_affine_grid, NULL, 0, 8)

#define MOVES(name)                                                                \
    static tern_tensor *call_##name(tern_tensor *const *in, const sweep_case *c) { \
        return tern_##name(in[0], c->arg[0]);                                      \
    }
MOVES(pixel_shuffle)
MOVES(pixel_unshuffle)
MOVES(channel_shuffle)

/* Element (c, y r + i, x r + j) of the larger image is (c r^2 + i r + j, y, x) of the smaller one. */
static void shuffle(const array *x, int64_t r, bool up, array *out) {
    const int nd = x->shape.ndim;
    tern_shape s = x->shape;
    s.dim[nd - 3] = up ? s.dim[nd - 3] / (r * r) : s.dim[nd - 3] * r * r;
    s.dim[nd - 2] = up ? s.dim[nd - 2] * r : s.dim[nd - 2] / r;
    s.dim[nd - 1] = up ? s.dim[nd - 1] * r : s.dim[nd - 1] / r;
    array_new(out, s);
    const tern_shape big = up ? s : x->shape, small = up ? x->shape : s;
    const int64_t C = big.dim[nd - 3], H = big.dim[nd - 2], W = big.dim[nd - 1];
    for (int64_t k = 0; k < x->n; k++) { /* over the large one */
        const int64_t w = k % W, h = k / W % H, c = k / (W * H) % C, b = k / (W * H * C);
        const int64_t sc = c * r * r + h % r * r + w % r;
        const int64_t at = ((b * small.dim[nd - 3] + sc) * small.dim[nd - 2] + h / r) * small.dim[nd - 1] + w / r;
        if (up)
            out->v[k] = x->v[at];
        else
            out->v[at] = x->v[k];
    }
}
static void ref_pixel_shuffle(const array *in, const sweep_case *c, array *out) {
    shuffle(&in[0], c->arg[0], true, out);
}
static void ref_pixel_unshuffle(const array *in, const sweep_case *c, array *out) {
    shuffle(&in[0], c->arg[0], false, out);
}
/* Channel g n + k goes to k groups + g, n channels a group. */
static void ref_channel_shuffle(const array *in, const sweep_case *c, array *out) {
    const array *x = &in[0];
    array_new(out, x->shape);
    int64_t inner = 1;
    for (int d = 2; d < x->shape.ndim; d++) inner *= x->shape.dim[d];
    const int64_t C = x->shape.dim[1], groups = c->arg[0], each = C / groups;
    for (int64_t i = 0; i < x->n; i++) {
        const int64_t ch = i / inner % C, to = ch % each * groups + ch / each;
        out->v[i + (to - ch) * inner] = x->v[i];
    }
}

static const sweep_case pixel_shuffles[] = {
    {"2", {REAL(1, 8, 1, 2)}, .arg = {2}},
    {"no batch, 3", {REAL(9, 2, 1)}, .arg = {3}},
    {"1", {REAL(2, 1, 3, 2, 2)}, .arg = {1}},
    {"empty", {REAL(0, 4, 2, 2)}, .arg = {2}},
    {"channels", {REAL(1, 6, 2, 2)}, .arg = {2}, .code = TERN_ERR_SHAPE},
    {"factor", {REAL(1, 4, 2, 2)}, .arg = {0}, .code = TERN_ERR_ARGUMENT},
    {"factor too large", {REAL(1, 4, 2, 2)}, .arg = {INT64_MAX / 2}, .code = TERN_ERR_SHAPE},
    {"two dimensions", {REAL(4, 2)}, .arg = {2}, .code = TERN_ERR_SHAPE},
};
SWEEP(pixel_shuffle, pixel_shuffles, call_pixel_shuffle, ref_pixel_shuffle, SWEEP_INTS | SWEEP_BOOL, 1)
static const sweep_case pixel_unshuffles[] = {
    {"2", {REAL(1, 2, 4, 2)}, .arg = {2}},
    {"no batch, 3", {REAL(2, 3, 3)}, .arg = {3}},
    {"empty", {REAL(0, 4, 2, 2)}, .arg = {2}},
    {"sizes", {REAL(1, 6, 3, 2)}, .arg = {2}, .code = TERN_ERR_SHAPE},
    {"factor", {REAL(1, 4, 2, 2)}, .arg = {-1}, .code = TERN_ERR_ARGUMENT},
};
SWEEP(pixel_unshuffle, pixel_unshuffles, call_pixel_unshuffle, ref_pixel_unshuffle, SWEEP_INTS | SWEEP_BOOL, 1)
static const sweep_case channel_shuffles[] = {
    {"3", {REAL(2, 6, 1, 2)}, .arg = {3}},
    {"no axes", {REAL(2, 4)}, .arg = {2}},
    {"empty", {REAL(0, 4, 2)}, .arg = {2}},
    {"channels", {REAL(1, 6, 2)}, .arg = {4}, .code = TERN_ERR_SHAPE},
    {"groups", {REAL(1, 6, 2)}, .arg = {0}, .code = TERN_ERR_ARGUMENT},
};
SWEEP(channel_shuffle, channel_shuffles, call_channel_shuffle, ref_channel_shuffle, SWEEP_INTS | SWEEP_BOOL, 1)

/* ---- against PyTorch
 * -------------------------------------------------------------------------------------------------- */

static tern_tensor *values(tern_shape s, double step, double scale) {
    int64_t n = 1;
    for (int d = 0; d < s.ndim; d++) n *= s.dim[d];
    double *v = malloc(((size_t)n + 1) * sizeof(double));
    for (int64_t i = 0; i < n; i++) v[i] = sin((double)i * step + 0.3) * scale;
    tern_tensor *t = tern_from_doubles(v, s, (tern_options){TERN_F64, test_device()});
    free(v);
    return t;
}

static void compare(const char *what, int row, tern_tensor *y, const double *want, int64_t n) {
    check_case("%s, row %d of image.def", what, row);
    if (!CHECK_OK() || !CHECK(tern_numel(y) == n, "%" PRId64 " elements", tern_numel(y))) return;
    double *got = calloc((size_t)n, sizeof(double));
    (void)tern_to_doubles(y, got, n);
    for (int64_t i = 0; i < n; i++)
        if (!CHECK(fabs(got[i] - want[i]) < 1e-9, "element %" PRId64 " is %.15g, in PyTorch %.15g", i, got[i], want[i]))
            break;
    free(got);
}

#define PLAIN(...)      __VA_ARGS__
#define SHAPE_FROM(...) ((tern_shape){__VA_ARGS__})
#define RESIZE(mode_, align, aa, shape, sizes, factors, count, numbers)                                    \
    {                                                                                                      \
        static const double want[] = PLAIN numbers;                                                        \
        tern_interpolate_opts o = {.mode = (tern_interpolation)mode_,                                      \
                                   .size = PLAIN sizes,                                                    \
                                   .scale_factor = PLAIN factors,                                          \
                                   .align_corners = align,                                                 \
                                   .antialias = aa};                                                       \
        compare("interpolate", ++row, tern_interpolate(values(SHAPE_FROM shape, 0.7, 1), o), want, count); \
    }
#define SAMPLE(mode_, pad, align, shape, to, count, numbers)                                                     \
    {                                                                                                            \
        static const double want[] = PLAIN numbers;                                                              \
        static const int64_t places[] = PLAIN to;                                                                \
        const tern_shape s = SHAPE_FROM shape;                                                                   \
        tern_shape g = {s.ndim, {s.dim[0]}};                                                                     \
        for (int d = 0; d < s.ndim - 2; d++) g.dim[1 + d] = places[d];                                           \
        g.dim[s.ndim - 1] = s.ndim - 2;                                                                          \
        tern_grid_sample_opts o = {                                                                              \
            .mode = (tern_grid_mode)mode_, .padding = (tern_grid_padding)pad, .align_corners = align};           \
        compare("grid_sample", ++row, tern_grid_sample(values(s, 0.7, 1), values(g, 1.3, 2.1), o), want, count); \
    }
#define AFFINE(align, shape, count, numbers)                                               \
    {                                                                                      \
        static const double want[] = PLAIN numbers;                                        \
        const tern_shape s = SHAPE_FROM shape;                                             \
        tern_tensor *theta = values(TERN_SHAPE(s.dim[0], s.ndim - 2, s.ndim - 1), 0.9, 1); \
        compare("affine_grid", ++row, tern_affine_grid(theta, s, align), want, count);     \
    }
#define MOVE(name, shape, r, count, numbers)                                                  \
    {                                                                                         \
        static const double want[] = PLAIN numbers;                                           \
        compare(#name, ++row, tern_##name(values(SHAPE_FROM shape, 0.7, 1), r), want, count); \
    }

TERN_TEST(image, as_in_pytorch) {
    int row = 0;
    const int scope = tern_scope_push();
#include "../reference/image.def"
    CHECK(row > 60, "%d rows", row);
    tern_scope_pop(scope);
}
