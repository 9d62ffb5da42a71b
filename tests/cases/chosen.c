/* nanmedian, nanquantile, nanquantiles, mode, isin. arg 0 is the dimension, arg 1 the quantile's mode, arg 2 keepdim,
 * arg 3 which elements are turned into NaN: 1 every third, 2 all. */
#include "../sweep.h"

static tern_tensor *holed(tern_tensor *x, const sweep_case *c) {
    if (!x || !c->arg[3]) return x;
    const tern_options whole = {TERN_I64, tern_device_of(x)};
    tern_tensor *i = tern_arange(0, (double)tern_numel(x), whole);
    tern_tensor *hole = tern_eq(tern_remainder(i, tern_scalar(3, whole)), tern_scalar(1, whole));
    if (c->arg[3] == 2) hole = tern_ge(i, tern_scalar(0, whole));
    return tern_masked_fill(x, tern_reshape(hole, tern_shape_get(x)), (double)NAN);
}
/* Whether element i of an input is one. */
static bool is_hole(const sweep_case *c, int64_t i) { return c->arg[3] == 2 || (c->arg[3] == 1 && i % 3 == 1); }

/* The shape without the dimension, or with a 1 in its place. */
static tern_shape rest(const array *x, const sweep_case *c) {
    tern_shape s = {0};
    const int64_t d = c->arg[0] < 0 ? c->arg[0] + x->shape.ndim : c->arg[0];
    for (int i = 0; i < x->shape.ndim; i++)
        if (i != d || c->arg[2]) s.dim[s.ndim++] = i == d ? 1 : x->shape.dim[i];
    return s;
}

/* ---- of what is not NaN ------------------------------------------------------------------------------------------ */

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts those of the n elements that are not NaN into v; returns how many there are. */
static int64_t gather_line(const array *x, const sweep_case *c, int64_t base, int64_t n, int64_t step, double *v) {
    int64_t k = 0;
    for (int64_t i = 0; i < n; i++)
        if (!is_hole(c, base + i * step)) v[k++] = x->v[base + i * step];
    qsort(v, (size_t)k, sizeof *v, ascending);
    return k;
}

/* The value at fraction q; q < 0: the lower median. */
static double between(const double *v, int64_t k, double q, int mode) {
    if (k == 0) return (double)NAN;
    const double at = q < 0 ? (double)((k - 1) / 2) : q * (double)(k - 1), part = at - floor(at);
    const double a = v[(int64_t)floor(at)], b = v[(int64_t)ceil(at)];
    if (mode == TERN_QUANTILE_LOWER) return a;
    if (mode == TERN_QUANTILE_HIGHER) return b;
    if (mode == TERN_QUANTILE_MIDPOINT) return (a + b) / 2;
    if (mode == TERN_QUANTILE_NEAREST) return part > 0.5 || (part == 0.5 && (int64_t)at % 2) ? b : a;
    return a * (1 - part) + b * part;
}

static void ref_values(const array *in, const sweep_case *c, double q, bool place, array *out) {
    int64_t outer, n, inner, at = 0;
    array_split(in, c->arg[0], &outer, &n, &inner);
    array_new(out, rest(in, c));
    double *v = calloc((size_t)n + 1, sizeof *v);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++, at++) {
            const int64_t base = o * n * inner + i, k = gather_line(in, c, base, n, inner, v);
            out->v[at] = between(v, k, q, (int)c->arg[1]);
            for (int64_t j = n - 1; place && j >= 0; j--) /* the first that has it; of no numbers, the first NaN */
                if (k == 0 || (!is_hole(c, base + j * inner) && in->v[base + j * inner] == v[(k - 1) / 2]))
                    out->v[at] = (double)j;
        }
    free(v);
}
static void ref_nanmedian(const array *in, const sweep_case *c, array *out) { ref_values(in, c, -1, false, out); }
static void ref_nanmedian_place(const array *in, const sweep_case *c, array *out) { ref_values(in, c, -1, true, out); }
static void ref_nanquantile(const array *in, const sweep_case *c, array *out) {
    ref_values(in, c, c->number[0], false, out);
}
static tern_tensor *call_nanmedian(tern_tensor *const *in, const sweep_case *c) {
    return tern_nanmedian(holed(in[0], c), (int)c->arg[0], c->arg[2] != 0, NULL);
}
static tern_tensor *call_nanmedian_place(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *at;
    return tern_nanmedian(holed(in[0], c), (int)c->arg[0], c->arg[2] != 0, &at) ? at : NULL;
}
static tern_tensor *call_nanquantile(tern_tensor *const *in, const sweep_case *c) {
    return tern_nanquantile(holed(in[0], c), c->number[0], (int)c->arg[0], c->arg[2] != 0,
                            (tern_quantile_mode)c->arg[1]);
}
/* Three of them; the middle one is looked at. */
static tern_tensor *call_nanquantiles(tern_tensor *const *in, const sweep_case *c) {
    const double q[3] = {0.1, c->number[0], 1};
    tern_tensor *y =
        tern_nanquantiles(holed(in[0], c), q, 3, (int)c->arg[0], c->arg[2] != 0, (tern_quantile_mode)c->arg[1]);
    return y ? tern_select(y, 0, 1) : NULL;
}

#define MEDIANS                                                                                            \
    {"no NaN", {REAL(3, 6)}, .arg = {1}}, {"columns, keepdim", {REAL(8, 3)}, .arg = {0, 0, 1}},            \
        {"middle", {REAL(2, 9, 3)}, .arg = {-2}}, {"long", {REAL(2, 301)}, .arg = {1}},                    \
        {"of a scalar", {SCALAR}, .arg = {0}}, {"no lines", {REAL(0, 3)}, .arg = {1}},                     \
        {"equals", {WHOLE(0, 3, 4, 9)}, .arg = {1}, .flags = SWEEP_NO_GRAD},                               \
        {"nothing to choose from", {REAL(3, 0)}, .arg = {1}, .code = TERN_ERR_SHAPE, .text = "nanmedian"}, \
        {"no such dimension", {REAL(3, 2)}, .arg = {2}, .code = TERN_ERR_SHAPE, .text = "nanmedian"}, {    \
        "NULL", {NONE}, .code = TERN_ERR_ARGUMENT, .text = "nanmedian"                                     \
    }
#define HOLED_MEDIANS                                                                                     \
    {"rows", {REAL(3, 7)}, .arg = {1, 0, 0, 1}}, {"columns, keepdim", {REAL(8, 4)}, .arg = {0, 0, 1, 1}}, \
        {"middle", {REAL(2, 9, 4)}, .arg = {-2, 0, 0, 1}}, {"odd", {REAL(2, 301)}, .arg = {1, 0, 0, 1}},  \
        {"a column of NaN", {REAL(4, 3)}, .arg = {0, 0, 0, 1}, .flags = SWEEP_NO_GRAD},                   \
        {"all NaN", {REAL(2, 3)}, .arg = {1, 0, 0, 2}, .flags = SWEEP_NO_GRAD},                           \
        {"equals", {WHOLE(0, 3, 4, 10)}, .arg = {1, 0, 0, 1}, .flags = SWEEP_NO_GRAD}, {                  \
        "large rank", {REAL(1, 2, 1, 5, 1, 2)}, .arg = { 3, 0, 1, 1 }                                     \
    }
static const sweep_case medians[] = {MEDIANS}, holed_medians[] = {HOLED_MEDIANS};
SWEEP(nanmedian, medians, call_nanmedian, ref_nanmedian, SWEEP_INTS | SWEEP_BOOL, 1)
SWEEP(nanmedian__holed, holed_medians, call_nanmedian, ref_nanmedian, 0, 1)
SWEEP(nanmedian__place, medians, call_nanmedian_place, ref_nanmedian_place, SWEEP_INTS | SWEEP_BOOL | SWEEP_NO_GRAD, 1)
SWEEP(nanmedian__place_holed, holed_medians, call_nanmedian_place, ref_nanmedian_place, SWEEP_NO_GRAD, 1)
BENCH(nanmedian, call_nanmedian, "torch.nanmedian(a, 1)", {"[256, 4096]", {REAL(256, 4096)}, .arg = {1}})

#define Q(q) .number = {q}
#define QUANTILES(name)                                                                                        \
    {"linear", {REAL(3, 8)}, .arg = {1, 0, 0, 1}, Q(0.3)},                                                     \
        {"lower", {REAL(8, 4)}, .arg = {0, TERN_QUANTILE_LOWER, 0, 1}, Q(0.3)},                                \
        {"higher", {REAL(2, 7, 4)}, .arg = {1, TERN_QUANTILE_HIGHER, 1, 1}, Q(0.3)},                           \
        {"midpoint", {REAL(7, 4, 4)}, .arg = {0, TERN_QUANTILE_MIDPOINT, 0, 1}, Q(0.6)},                       \
        {"nearest", {REAL(3, 9)}, .arg = {-1, TERN_QUANTILE_NEAREST, 1, 1}, Q(0.5)},                           \
        {"no NaN", {REAL(3, 6)}, .arg = {1}, Q(0.7)},                                                          \
        {"no NaN, midpoint", {REAL(3, 5)}, .arg = {1, TERN_QUANTILE_MIDPOINT}, Q(0.5)},                        \
        {"first", {REAL(3, 6)}, .arg = {1, 0, 0, 1}, Q(0)}, {"last", {REAL(3, 6)}, .arg = {1, 0, 0, 1}, Q(1)}, \
        {"odd", {REAL(3, 131)}, .arg = {1, 0, 0, 1}, Q(0.9)},                                                  \
        {"large rank", {REAL(1, 2, 1, 5, 1, 2)}, .arg = {3, 0, 1, 1}, Q(0.5)},                                 \
        {"all NaN", {REAL(2, 3)}, .arg = {1, 0, 0, 2}, Q(0.5), .flags = SWEEP_NO_GRAD},                        \
        {"all NaN, highest", {REAL(2, 3)}, .arg = {1, 2, 0, 2}, Q(1), .flags = SWEEP_NO_GRAD},                 \
        {"of a scalar", {SCALAR}, .arg = {0}, Q(0.5)}, {"no lines", {REAL(0, 3)}, .arg = {1}, Q(0.5)},         \
        {"beyond", {REAL(3, 6)}, .arg = {1}, Q(1.5), .code = TERN_ERR_ARGUMENT, .text = name},                 \
        {"no mode", {REAL(3, 6)}, .arg = {1, 5}, Q(0.5), .code = TERN_ERR_ARGUMENT, .text = name},             \
        {"integers", {TYPED(TERN_I64, 3, 4)}, .arg = {1}, Q(0.5), .code = TERN_ERR_DTYPE, .text = name},       \
        {"nothing to choose from", {REAL(3, 0)}, .arg = {1}, Q(1), .code = TERN_ERR_SHAPE, .text = name}, {    \
        "NULL", {NONE}, .code = TERN_ERR_ARGUMENT, .text = name                                                \
    }
static const sweep_case ones[] = {QUANTILES("nanquantile")}, threes[] = {QUANTILES("nanquantiles")};
/* The two elements and their difference are rounded before they are put together. */
SWEEP(nanquantile, ones, call_nanquantile, ref_nanquantile, 0, 4)
SWEEP(nanquantiles, threes, call_nanquantiles, ref_nanquantile, 0, 4)
BENCH(nanquantile, call_nanquantile, "torch.nanquantile(a, 0.3, 1)",
      {"[256, 4096]", {REAL(256, 4096)}, .arg = {1}, .number = {0.3}})

/* ---- mode -------------------------------------------------------------------------------------------------------- */

static void ref_most(const array *in, const sweep_case *c, bool place, array *out) {
    int64_t outer, n, inner, at = 0;
    array_split(in, c->arg[0], &outer, &n, &inner);
    array_new(out, rest(in, c));
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++, at++) {
            const int64_t base = o * n * inner + i;
            const double *v = in->v + base;
            int64_t best = 0, most = 0;
            for (int64_t j = 0; j < n; j++) {
                int64_t count = 0;
                if (is_hole(c, base + j * inner)) continue;
                for (int64_t k = 0; k < n; k++) count += v[k * inner] == v[j * inner] && !is_hole(c, base + k * inner);
                if (count > most || (count == most && v[j * inner] <= v[best * inner])) { /* <=: its last place */
                    best = j;
                    most = count;
                }
            }
            out->v[at] = place ? (double)best : most ? v[best * inner] : (double)NAN;
        }
}
static void ref_mode(const array *in, const sweep_case *c, array *out) { ref_most(in, c, false, out); }
static void ref_mode_place(const array *in, const sweep_case *c, array *out) { ref_most(in, c, true, out); }
static tern_tensor *call_mode(tern_tensor *const *in, const sweep_case *c) {
    return tern_mode(holed(in[0], c), (int)c->arg[0], c->arg[2] != 0, NULL);
}
static tern_tensor *call_mode_place(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *at;
    return tern_mode(holed(in[0], c), (int)c->arg[0], c->arg[2] != 0, &at) ? at : NULL;
}
/* Where values come twice, a difference quotient, which moves one of them, says nothing about the gradient. */
static const sweep_case modes[] = {
    {"rows", {WHOLE(0, 3, 4, 9)}, .arg = {1}, .flags = SWEEP_NO_GRAD},
    {"columns, keepdim", {WHOLE(-2, 2, 11, 3)}, .arg = {0, 0, 1}, .flags = SWEEP_NO_GRAD},
    {"middle", {WHOLE(0, 4, 2, 13, 3)}, .arg = {-2}, .flags = SWEEP_NO_GRAD},
    {"long", {WHOLE(0, 99, 2, 1001)}, .arg = {1}, .flags = SWEEP_NO_GRAD},
    {"large rank", {WHOLE(0, 2, 1, 2, 1, 7, 1, 2)}, .arg = {3, 0, 1}, .flags = SWEEP_NO_GRAD},
    {"one value", {WHOLE(2, 2, 3, 5)}, .arg = {1}, .flags = SWEEP_NO_GRAD},
    {"all differ", {REAL(3, 5)}, .arg = {1}},
    {"one element", {REAL(3, 1)}, .arg = {1}},
    {"of a scalar", {SCALAR}, .arg = {-1}},
    {"no lines", {REAL(0, 3)}, .arg = {1}},
    {"nothing to choose from", {REAL(3, 0)}, .arg = {1}, .code = TERN_ERR_SHAPE, .text = "mode"},
    {"no such dimension", {REAL(3, 2)}, .arg = {2}, .code = TERN_ERR_SHAPE, .text = "mode"},
    {"NULL", {NONE}, .code = TERN_ERR_ARGUMENT, .text = "mode"},
};
static const sweep_case holed_modes[] = {
    {"rows", {WHOLE(0, 4, 3, 17)}, .arg = {1, 0, 0, 1}, .flags = SWEEP_NO_GRAD},
    {"all differ", {REAL(7, 4)}, .arg = {0, 0, 1, 1}},
};
SWEEP(mode, modes, call_mode, ref_mode, SWEEP_INTS | SWEEP_BOOL, 1)
SWEEP(mode__place, modes, call_mode_place, ref_mode_place, SWEEP_INTS | SWEEP_BOOL | SWEEP_NO_GRAD, 1)
SWEEP(mode__holed, holed_modes, call_mode, ref_mode, SWEEP_NO_LAYOUTS, 1)
SWEEP(mode__place_holed, holed_modes, call_mode_place, ref_mode_place, SWEEP_NO_GRAD, 1)
BENCH(mode, call_mode, "torch.mode(a, 1)", {"[256, 4096]", {WHOLE(0, 100, 256, 4096)}, .arg = {1}})

TERN_TEST(mode, gradient_goes_to_the_last_place_and_nan_comes_last) {
    tern_tensor *x = tern_require_grad(test_values(TERN_F64, TERN_SHAPE(6), 3, 1, 3, 2, 1, 3), true), *at;
    tern_tensor *y = tern_mode(x, 0, false, &at);
    CHECK_ITEM(y, 3, 0);
    CHECK_ITEM(at, 5, 0);
    CHECK(tern_backward(y));
    CHECK_VALUES(tern_grad_get(x), 0, 0, 0, 0, 0, 1);
    const double nan = (double)NAN;
    tern_tensor *none = test_values(TERN_F32, TERN_SHAPE(3), nan, nan, nan);
    CHECK(isnan(tern_item(tern_mode(none, 0, false, NULL))));
    CHECK_ITEM(tern_mode(test_values(TERN_F32, TERN_SHAPE(5), nan, nan, nan, 7, 4), 0, false, &at), 4, 0);
    CHECK_ITEM(at, 4, 0);
}

/* ---- isin: if arg 3 is set, both inputs are holed ---------------------------------------------------------------- */

static tern_tensor *call_isin(tern_tensor *const *in, const sweep_case *c) {
    return tern_isin(holed(in[0], c), holed(in[1], c));
}
static void ref_isin(const array *in, const sweep_case *c, array *out) {
    array_new(out, in[0].shape);
    for (int64_t i = 0; i < out->n; i++)
        for (int64_t k = 0; k < in[1].n; k++)
            if (in[0].v[i] == in[1].v[k] && !is_hole(c, i) && !is_hole(c, k)) out->v[i] = 1;
}
static const sweep_case isins[] = {
    {"matrix", {WHOLE(0, 9, 4, 7), WHOLE(0, 9, 5)}},
    {"values of two dimensions", {WHOLE(0, 9, 31), WHOLE(0, 9, 2, 3)}},
    {"one value", {WHOLE(0, 2, 3, 5), WHOLE(0, 2, 1)}},
    {"a scalar among values", {{.kind = IN_WHOLE, .lo = 0, .hi = 3}, WHOLE(0, 3, 5)}},
    {"values a scalar", {WHOLE(0, 2, 3, 5), {.kind = IN_WHOLE, .lo = 0, .hi = 2}}},
    {"NaN", {WHOLE(0, 5, 40), WHOLE(0, 5, 9)}, .arg = {[3] = 1}, .flags = SWEEP_F64_ONLY},
    {"all differ", {REAL(3, 5), REAL(4)}},
    {"many", {WHOLE(0, 99, 1003), WHOLE(0, 99, 33)}},
    {"dtypes", {WHOLE(0, 9, 20), {.kind = IN_WHOLE, .lo = 0, .hi = 9, .shape = SHAPE_OF(4), .dtype = TERN_I64 + 1}}},
    {"no values", {REAL(3, 2), REAL(0)}},
    {"nothing", {REAL(0, 2), REAL(3)}},
    {"large rank", {WHOLE(0, 5, 1, 2, 1, 3, 1, 2), WHOLE(0, 5, 2)}},
    {"NULL", {NONE, REAL(2)}, .code = TERN_ERR_ARGUMENT, .text = "isin"},
    {"NULL values", {REAL(2), NONE}, .code = TERN_ERR_ARGUMENT, .text = "isin"},
};
SWEEP(isin, isins, call_isin, ref_isin, SWEEP_INTS | SWEEP_BOOL | SWEEP_NO_GRAD, 1)
BENCH(isin, call_isin, "torch.isin(a, b)", {"100,000 among 100", {WHOLE(0, 1000, 100000), WHOLE(0, 1000, 100)}})
