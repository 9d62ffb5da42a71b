/* cumsum, cumprod, cummax, cummin, sort, argsort, topk, kthvalue, median, quantile. arg: the dimension, then what the
 * op takes (k; 1 for descending or smallest; 1 for keepdim). */
#include "../sweep.h"

typedef enum what { VALUES, PLACES } what;

/* Line l of x along dim, as n doubles; gives the place of its element k in x by the returned base and step. */
static int64_t line(const array *x, int64_t dim, int64_t l, int64_t *step, int64_t *n) {
    int64_t outer, inner;
    array_split(x, dim, &outer, n, &inner);
    *step = inner;
    return l / inner * *n * inner + l % inner;
}
static int64_t lines(const array *x, int64_t dim) {
    int64_t outer, n, inner;
    array_split(x, dim, &outer, &n, &inner);
    return outer * inner;
}

/* ---- scans */

static void running(const array *x, const sweep_case *c, array *out, char kind, what w) {
    array_new(out, x->shape);
    for (int64_t l = 0; l < lines(x, c->arg[0]); l++) {
        int64_t step, n, at = line(x, c->arg[0], l, &step, &n), best = 0;
        double sum = 0, product = 1;
        for (int64_t k = 0; k < n; k++) {
            const double v = x->v[at + k * step], b = x->v[at + best * step];
            sum += v;
            product *= v;
            if (kind == 'M' ? v >= b : v <= b) best = k;
            out->v[at + k * step] = kind == 's'   ? sum
                                    : kind == 'p' ? product
                                    : w == PLACES ? (double)best
                                                  : x->v[at + best * step];
        }
    }
}
static void ref_cumsum(const array *in, const sweep_case *c, array *out) { running(in, c, out, 's', VALUES); }
static void ref_cumprod(const array *in, const sweep_case *c, array *out) { running(in, c, out, 'p', VALUES); }
static void ref_cummax(const array *in, const sweep_case *c, array *out) { running(in, c, out, 'M', VALUES); }
static void ref_cummin(const array *in, const sweep_case *c, array *out) { running(in, c, out, 'm', VALUES); }
static void ref_cummax_places(const array *in, const sweep_case *c, array *out) { running(in, c, out, 'M', PLACES); }
static void ref_cummin_places(const array *in, const sweep_case *c, array *out) { running(in, c, out, 'm', PLACES); }

static tern_tensor *call_cumsum(tern_tensor *const *in, const sweep_case *c) {
    return tern_cumsum(in[0], (int)c->arg[0]);
}
static tern_tensor *call_cumprod(tern_tensor *const *in, const sweep_case *c) {
    return tern_cumprod(in[0], (int)c->arg[0]);
}
static tern_tensor *call_cummax(tern_tensor *const *in, const sweep_case *c) {
    return tern_cummax(in[0], (int)c->arg[0], NULL);
}
static tern_tensor *call_cummin(tern_tensor *const *in, const sweep_case *c) {
    return tern_cummin(in[0], (int)c->arg[0], NULL);
}
static tern_tensor *call_cummax_places(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *at;
    return tern_cummax(in[0], (int)c->arg[0], &at) ? at : NULL;
}
static tern_tensor *call_cummin_places(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *at;
    return tern_cummin(in[0], (int)c->arg[0], &at) ? at : NULL;
}

#define LINES                                                                                                      \
    {"vector", {REAL(7)}, .arg = {0}}, {"rows", {REAL(3, 5)}, .arg = {-1}}, {"columns", {REAL(5, 3)}, .arg = {0}}, \
        {"more rows", {REAL(6, 5)}, .arg = {1}}, {"middle", {REAL(2, 4, 3)}, .arg = {1}},                          \
        {"one", {REAL(3, 1)}, .arg = {1}}, {"scalar", {SCALAR}, .arg = {0}},                                       \
        {"six dimensions", {REAL(2, 1, 3, 2, 1, 2)}, .arg = {2}}, {                                                \
        "no such dimension", {REAL(2, 3)}, .arg = {2}, .code = TERN_ERR_SHAPE                                      \
    }
#define EMPTY                                     \
    {"no lines", {REAL(0, 3)}, .arg = {1}}, {     \
        "empty lines", {REAL(3, 0)}, .arg = { 1 } \
    }

static const sweep_case scans[] = {
    LINES, EMPTY, {"wide", {REAL(3, 300)}, .arg = {0}}, {"long", {REAL(2, 1100)}, .arg = {1}, .loosen = 8}};
static const sweep_case zeros[] = {
    LINES, EMPTY, {"zeros", {WHOLE(-1, 1, 3, 6)}, .arg = {1}}, {"near zero", {RANGE(-0.01, 0.01, 2, 3)}, .arg = {1}}};
static const sweep_case places[] = {LINES,
                                    EMPTY,
                                    {"equals", {WHOLE(0, 2, 4, 9)}, .arg = {1}, .flags = SWEEP_NO_GRAD},
                                    {"long", {WHOLE(0, 9, 2, 1030)}, .arg = {1}, .flags = SWEEP_NO_GRAD}};

SWEEP(cumsum, scans, call_cumsum, ref_cumsum, SWEEP_INTS | SWEEP_BOOL, 2)
SWEEP(cumprod, zeros, call_cumprod, ref_cumprod, SWEEP_INTS, 2)
SWEEP(cummax, places, call_cummax, ref_cummax, SWEEP_INTS | SWEEP_BOOL, 1)
SWEEP(cummin, places, call_cummin, ref_cummin, SWEEP_INTS | SWEEP_BOOL, 1)
SWEEP(cummax__places, places, call_cummax_places, ref_cummax_places, SWEEP_INTS | SWEEP_NO_GRAD, 1)
SWEEP(cummin__places, places, call_cummin_places, ref_cummin_places, SWEEP_INTS | SWEEP_NO_GRAD, 1)

/* ---- order: by counting how many come before */

/* Whether element a of a line comes before b: smaller, or equal and earlier; NaN is the largest. */
static bool before(const double *v, int64_t step, int64_t a, int64_t b, bool descending) {
    const double x = v[a * step], y = v[b * step];
    const bool xn = isnan(x), yn = isnan(y);
    if (xn != yn) return descending ? xn : yn;
    if (x == y || (xn && yn)) return a < b;
    return descending ? x > y : x < y;
}

static void ordered(const array *x, const sweep_case *c, array *out, int64_t k, bool descending, what w) {
    int64_t step, n, to_step = 1, to_n;
    tern_shape s = x->shape;
    const int64_t d = c->arg[0] < 0 ? c->arg[0] + s.ndim : c->arg[0];
    if (s.ndim) s.dim[d] = k;
    array_new(out, s);
    for (int64_t l = 0; l < lines(x, c->arg[0]); l++) {
        const int64_t at = line(x, c->arg[0], l, &step, &n), to = k ? line(out, c->arg[0], l, &to_step, &to_n) : 0;
        for (int64_t i = 0; i < n; i++) {
            int64_t rank = 0;
            for (int64_t j = 0; j < n; j++) rank += before(x->v + at, step, j, i, descending);
            if (rank < k) out->v[to + rank * to_step] = w == PLACES ? (double)i : x->v[at + i * step];
        }
    }
}
static int64_t line_size(const array *x, const sweep_case *c) {
    int64_t outer, n, inner;
    array_split(x, c->arg[0], &outer, &n, &inner);
    return n;
}
static void ref_sort(const array *in, const sweep_case *c, array *out) {
    ordered(in, c, out, line_size(in, c), c->arg[1] != 0, VALUES);
}
static void ref_argsort(const array *in, const sweep_case *c, array *out) {
    ordered(in, c, out, line_size(in, c), c->arg[1] != 0, PLACES);
}
static void ref_topk(const array *in, const sweep_case *c, array *out) {
    ordered(in, c, out, c->arg[2], c->arg[1] == 0, VALUES);
}
static void ref_topk_places(const array *in, const sweep_case *c, array *out) {
    ordered(in, c, out, c->arg[2], c->arg[1] == 0, PLACES);
}
static tern_tensor *call_sort(tern_tensor *const *in, const sweep_case *c) {
    return tern_sort(in[0], (int)c->arg[0], c->arg[1] != 0, NULL);
}
static tern_tensor *call_argsort(tern_tensor *const *in, const sweep_case *c) {
    return tern_argsort(in[0], (int)c->arg[0], c->arg[1] != 0);
}
static tern_tensor *call_topk(tern_tensor *const *in, const sweep_case *c) {
    return tern_topk(in[0], c->arg[2], (int)c->arg[0], c->arg[1] != 0, NULL);
}
static tern_tensor *call_topk_places(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *at;
    return tern_topk(in[0], c->arg[2], (int)c->arg[0], c->arg[1] != 0, &at) ? at : NULL;
}

static const sweep_case sorts[] = {LINES,
                                   EMPTY,
                                   {"descending", {REAL(3, 5)}, .arg = {-1, 1}},
                                   {"equals", {WHOLE(0, 3, 4, 20)}, .arg = {1}, .flags = SWEEP_NO_GRAD},
                                   {"equals, descending", {WHOLE(0, 3, 20, 4)}, .arg = {0, 1}, .flags = SWEEP_NO_GRAD},
                                   {"by digits", {RANGE(0, 200, 3, 300)}, .arg = {1}},
                                   {"by digits, descending", {RANGE(0, 200, 300, 2)}, .arg = {0, 1}}};
static const sweep_case tops[] = {{"3 of rows", {REAL(3, 5)}, .arg = {-1, 0, 3}},
                                  {"2 smallest of columns", {REAL(5, 3)}, .arg = {0, 1, 2}},
                                  {"all", {REAL(2, 4)}, .arg = {1, 0, 4}},
                                  {"none", {REAL(2, 4)}, .arg = {1, 0, 0}},
                                  {"of a scalar", {SCALAR}, .arg = {0, 0, 1}},
                                  {"no lines", {REAL(0, 4)}, .arg = {1, 0, 2}},
                                  {"many", {RANGE(0, 200, 2, 500)}, .arg = {1, 0, 100}},
                                  {"few of many", {RANGE(0, 200, 2, 500)}, .arg = {1, 0, 10}},
                                  {"equals", {WHOLE(0, 2, 3, 30)}, .arg = {1, 0, 7}, .flags = SWEEP_NO_GRAD},
                                  {"smallest equals", {WHOLE(0, 2, 3, 30)}, .arg = {1, 1, 7}, .flags = SWEEP_NO_GRAD},
                                  {"too many", {REAL(3, 5)}, .arg = {1, 0, 6}, .code = TERN_ERR_ARGUMENT},
                                  {"fewer than none", {REAL(3, 5)}, .arg = {1, 0, -1}, .code = TERN_ERR_ARGUMENT}};
SWEEP(sort, sorts, call_sort, ref_sort, SWEEP_INTS | SWEEP_BOOL, 1)
SWEEP(argsort, sorts, call_argsort, ref_argsort, SWEEP_INTS | SWEEP_BOOL | SWEEP_NO_GRAD, 1)
SWEEP(topk, tops, call_topk, ref_topk, SWEEP_INTS, 1)
SWEEP(topk__places, tops, call_topk_places, ref_topk_places, SWEEP_INTS | SWEEP_NO_GRAD, 1)

/* ---- one of a line: arg 1 is k (0: the median), arg 2 keepdim; quantile's q is number 0, its mode arg 1 */

static tern_shape without(const array *x, const sweep_case *c, bool keep) {
    tern_shape s = x->shape, r = {0};
    const int64_t d = c->arg[0] < 0 ? c->arg[0] + s.ndim : c->arg[0];
    for (int i = 0; i < s.ndim; i++)
        if (i != d || keep) r.dim[r.ndim++] = i == d ? 1 : s.dim[i];
    return r;
}
static void pick(const array *x, const sweep_case *c, array *out, double at, int mode, bool keep) {
    array sorted;
    ordered(x, c, &sorted, line_size(x, c), false, VALUES);
    array_new(out, without(x, c, keep));
    const int64_t i = (int64_t)floor(at), j = (int64_t)ceil(at);
    const double part = at - floor(at);
    for (int64_t l = 0; l < lines(x, c->arg[0]); l++) {
        int64_t step, n;
        const int64_t base = line(&sorted, c->arg[0], l, &step, &n);
        const double a = sorted.v[base + i * step], b = sorted.v[base + j * step];
        const bool up = part > 0.5 || (part == 0.5 && i % 2);
        out->v[l] = mode == 1   ? a
                    : mode == 2 ? b
                    : mode == 3 ? (a + b) / 2
                    : mode == 4 ? (up ? b : a)
                                : a * (1 - part) + b * part;
    }
    free(sorted.v);
}
static void ref_kth(const array *in, const sweep_case *c, array *out) {
    const int64_t k = c->arg[1] ? c->arg[1] - 1 : (line_size(in, c) - 1) / 2;
    pick(in, c, out, (double)k, 0, c->arg[2] != 0);
}
static void ref_quantile(const array *in, const sweep_case *c, array *out) {
    pick(in, c, out, c->number[0] * (double)(line_size(in, c) - 1), (int)c->arg[1], c->arg[2] != 0);
}
static tern_tensor *call_kthvalue(tern_tensor *const *in, const sweep_case *c) {
    return tern_kthvalue(in[0], c->arg[1], (int)c->arg[0], c->arg[2] != 0, NULL);
}
static tern_tensor *call_median(tern_tensor *const *in, const sweep_case *c) {
    return tern_median(in[0], (int)c->arg[0], c->arg[2] != 0, NULL);
}
static tern_tensor *call_quantile(tern_tensor *const *in, const sweep_case *c) {
    return tern_quantile(in[0], c->number[0], (int)c->arg[0], c->arg[2] != 0, (tern_quantile_mode)c->arg[1]);
}
/* Three of them; the middle one is looked at. */
static tern_tensor *call_quantiles(tern_tensor *const *in, const sweep_case *c) {
    const double q[3] = {0.1, c->number[0], 1};
    tern_tensor *y = tern_quantiles(in[0], q, 3, (int)c->arg[0], c->arg[2] != 0, (tern_quantile_mode)c->arg[1]);
    return y ? tern_select(y, 0, 1) : NULL;
}
#define NOTHING \
    { "nothing to choose from", {REAL(3, 0)}, .arg = {1, 1}, .code = TERN_ERR_SHAPE }
static const sweep_case kths[] = {{"2nd of rows", {REAL(3, 5)}, .arg = {1, 2}},
                                  {"last of columns", {REAL(5, 3)}, .arg = {0, 5, 1}},
                                  {"of a scalar", {SCALAR}, .arg = {0, 1}},
                                  {"no lines", {REAL(0, 3)}, .arg = {1, 1}},
                                  {"many", {RANGE(0, 200, 2, 300)}, .arg = {1, 77}},
                                  {"0th", {REAL(3, 5)}, .arg = {1, 0}, .code = TERN_ERR_ARGUMENT},
                                  {"too far", {REAL(3, 5)}, .arg = {1, 6}, .code = TERN_ERR_ARGUMENT},
                                  NOTHING};
static const sweep_case medians[] = {{"odd", {REAL(3, 5)}, .arg = {1}},       {"even", {REAL(4, 3)}, .arg = {0, 0, 1}},
                                     {"middle", {REAL(2, 4, 3)}, .arg = {1}}, {"of a scalar", {SCALAR}, .arg = {0}},
                                     {"no lines", {REAL(0, 3)}, .arg = {1}},  NOTHING};
#define QUANTILES                                                                                                   \
    {"linear", {REAL(3, 5)}, .arg = {1}, .number = {0.3}}, {"lower", {REAL(5, 3)}, .arg = {0, 1}, .number = {0.3}}, \
        {"higher", {REAL(2, 4, 3)}, .arg = {1, 2, 1}, .number = {0.3}},                                             \
        {"midpoint", {REAL(2, 4, 3)}, .arg = {0, 3}, .number = {0.6}},                                              \
        {"nearest", {REAL(3, 6)}, .arg = {-1, 4, 1}, .number = {0.5}},                                              \
        {"first", {REAL(3, 6)}, .arg = {1}, .number = {0}}, {"last", {REAL(3, 6)}, .arg = {1}, .number = {1}},      \
        {"beyond", {REAL(3, 6)}, .arg = {1}, .number = {1.5}, .code = TERN_ERR_ARGUMENT},                           \
        {"integers", {TYPED(TERN_I64, 3, 4)}, .arg = {1}, .number = {0.5}, .code = TERN_ERR_DTYPE}, NOTHING
static const sweep_case quantiles[] = {QUANTILES};
SWEEP(kthvalue, kths, call_kthvalue, ref_kth, SWEEP_INTS, 1)
SWEEP(median, medians, call_median, ref_kth, SWEEP_INTS, 1)
/* The two elements and their difference are rounded before they are put together. */
SWEEP(quantile, quantiles, call_quantile, ref_quantile, 0, 4)
SWEEP(quantiles, quantiles, call_quantiles, ref_quantile, 0, 4)

BENCH(cumsum, call_cumsum, "torch.cumsum(a, 1)", {"[1024, 1024] rows", {REAL(1024, 1024)}, .arg = {1}})
BENCH(cumsum__columns, call_cumsum, "torch.cumsum(a, 0)", {"[1024, 1024] columns", {REAL(1024, 1024)}, .arg = {0}})
BENCH(cumprod, call_cumprod, "torch.cumprod(a, 1)", {"[1024, 256]", {RANGE(0.9, 1.1, 1024, 256)}, .arg = {1}})
BENCH(cummax, call_cummax, "torch.cummax(a, 1)", {"[1024, 1024]", {REAL(1024, 1024)}, .arg = {1}})
BENCH(sort, call_sort, "torch.sort(a, 1)", {"[256, 4096]", {REAL(256, 4096)}, .arg = {1}})
BENCH(argsort, call_argsort, "torch.argsort(a, 1)", {"[256, 4096]", {REAL(256, 4096)}, .arg = {1}})
BENCH(topk, call_topk, "torch.topk(a, 10, 1)", {"[256, 32000], 10", {REAL(256, 32000)}, .arg = {1, 0, 10}})
BENCH(kthvalue, call_kthvalue, "torch.kthvalue(a, 500, 1)", {"[256, 4096]", {REAL(256, 4096)}, .arg = {1, 500}})
BENCH(median, call_median, "torch.median(a, 1)", {"[256, 4096]", {REAL(256, 4096)}, .arg = {1}})
BENCH(quantile, call_quantile, "torch.quantile(a, 0.3, 1)",
      {"[256, 4096]", {REAL(256, 4096)}, .arg = {1}, .number = {0.3}})
