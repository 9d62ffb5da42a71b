/* The sweep's program: the elementwise rows, which come by themselves from core/elementwise.def, and the sum of all
 * cases. The structured ops are in tests/cases. A row is checked against the function of its name in references.h; a
 * new row without one is still checked: gradients by differences, lower dtypes against f64. */
#include <criterion/hooks.h>
#include <unistd.h>

#include "references.h"
#include "sweep.h"

/* ---- the total
 * ------------------------------------------------------------------------------------------------------- */

static char count_path[64];

ReportHook(PRE_ALL)(struct criterion_test_set *tests) {
    (void)tests;
    snprintf(count_path, sizeof count_path, "/tmp/tern-sweep-%ld", (long)getpid());
    setenv("TERN_SWEEP_COUNT", count_path, 1);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats) {
    (void)stats;
    int64_t n = 0, total = 0;
    FILE *f = fopen(count_path, "r");
    while (f && fscanf(f, "%" SCNd64, &n) == 1) total += n;
    if (f) fclose(f);
    remove(count_path);
    fprintf(stderr, "sweep: %" PRId64 " cases\n", total);
}

/* ---- the rows
 * --------------------------------------------------------------------------------------------------------- */

typedef struct row {
    const char *name;
    char dtypes; /* 'F', 'N', 'W'; 'C' for comparisons and tests */
    double lo, hi, p, q;
    tern_tensor *(*one)(tern_tensor *);
    tern_tensor *(*with)(tern_tensor *, double);
    tern_tensor *(*with_two)(tern_tensor *, double, double);
    tern_tensor *(*two)(tern_tensor *, tern_tensor *);
    tern_tensor *(*in_place)(tern_tensor *);
    tern_tensor *(*in_place_p)(tern_tensor *, double);
    tern_tensor *(*in_place_pq)(tern_tensor *, double, double);
    tern_tensor *(*in_place_two)(tern_tensor *, tern_tensor *);
} row;

#define UNARY_ROW(n, dt, low, high) {#n, #dt[0], (low), (high), .one = tern_##n, .in_place = tern_##n##_},
static const row rows[] = {
#define TERN_UNARY(n, dt, low, high, ...)   UNARY_ROW(n, dt, low, high)
#define TERN_UNARY_Y(n, dt, low, high, ...) UNARY_ROW(n, dt, low, high)
#define TERN_UNARY_P(n, dt, low, high, p1, ...) \
    {#n, #dt[0], (low), (high), (p1), .with = tern_##n, .in_place_p = tern_##n##_},
#define TERN_UNARY_PQ(n, dt, low, high, p1, p2, ...) \
    {#n, #dt[0], (low), (high), (p1), (p2), .with_two = tern_##n, .in_place_pq = tern_##n##_},
#define TERN_BINARY(n, dt, low, high, ...) {#n, #dt[0], (low), (high), .two = tern_##n, .in_place_two = tern_##n##_},
#define TERN_COMPARE(n, ...)               {#n, 'C', -3, 3, .two = tern_##n},
#define TERN_TEST_OF(n, ...)               {#n, 'C', -3, 3, .one = tern_##n},
#include "../core/elementwise.def"
};
enum { ROWS = sizeof rows / sizeof *rows };

static tern_tensor *call_row(const row *r, tern_tensor *a, tern_tensor *b) {
    return r->one ? r->one(a) : r->with ? r->with(a, r->p) : r->with_two ? r->with_two(a, r->p, r->q) : r->two(a, b);
}

static const function *reference_of(const row *r) {
    static const function *last; /* as it is asked for every element */
    if (last && !strcmp(last->name, r->name)) return last;
    for (size_t i = 0; i < sizeof references / sizeof *references; i++)
        if (!strcmp(references[i].name, r->name)) return last = &references[i];
    return NULL;
}

static real value_of(const row *r, real a, real b) {
    const function *f = reference_of(r);
    return f->one ? f->one(a) : f->with ? f->with(a, (real)r->p, (real)r->q) : f->two(a, b);
}

static tern_tensor *call(tern_tensor *const *in, const sweep_case *c) { return call_row(c->opts, in[0], in[1]); }

static void reference(const array *in, const sweep_case *c, array *out) {
    const row *r = c->opts;
    array_new(out, r->two ? array_broadcast(in[0].shape, in[1].shape) : in[0].shape);
    for (int64_t i = 0; i < out->n; i++) {
        const double a = array_at(&in[0], out->shape, i), b = r->two ? array_at(&in[1], out->shape, i) : 0;
        out->v[i] = (double)value_of(r, (real)a, (real)b);
    }
}

#define S(...) SHAPE_OF(__VA_ARGS__)
static const struct {
    const char *what;
    tern_shape a, b;
} shapes[] = {
    {"alike", S(97), S(97)},
    {"3-dim", S(3, 5, 7), S(3, 5, 7)},
    {"0-dim", {0}, {0}},
    {"empty", S(0), S(0)},
    {"empty 3-dim", S(2, 0, 3), S(2, 1, 3)},
    {"one element", S(1), S(1, 1)},
    {"column and row", S(5, 1), S(1, 7)},
    {"row", S(4, 3), S(3)},
    {"column", S(4, 3), S(4, 1)},
    {"channel", S(2, 3, 2, 2), S(3, 1, 1)},
    {"0-dim and matrix", {0}, S(3, 4)},
    {"matrix and 0-dim", S(3, 4), {0}},
    {"8-dim", S(2, 1, 2, 3, 1, 2, 1, 2), S(1, 2, 2, 1, 2, 1, 2, 1)},
    {"vector ends", S(33, 65), S(33, 65)},
    {"several blocks", S(3, 16411), S(3, 16411)},
    {"several blocks, row", S(5, 9001), S(9001)},
    {"several parts of one run", S(20011), S(20011)}, /* stepped, a run that threads share out */
};

static void sweep_row(const row *r) {
    const sweep_op op = {.name = r->name,
                         .call = call,
                         .reference = reference_of(r) ? reference : NULL,
                         .flags = r->dtypes == 'F'   ? 0
                                  : r->dtypes == 'W' ? SWEEP_F64_ONLY
                                  : r->dtypes == 'N' ? SWEEP_INTS | SWEEP_WRAPS
                                                     : SWEEP_INTS | SWEEP_BOOL | SWEEP_NO_GRAD};
    if (!op.reference)
        fprintf(stderr, "%s: no reference in tests/sweep.c; its values are compared with f64 alone\n", r->name);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        sweep_case c = {.what = shapes[i].what, .opts = r};
        const input x = {.kind = r->dtypes == 'C' ? IN_WHOLE : IN_REAL, .lo = r->lo, .hi = r->hi};
        c.in[0] = x;
        c.in[0].shape = shapes[i].a;
        if (r->two) {
            c.in[1] = x;
            c.in[1].shape = shapes[i].b;
        }
        sweep_run(&op, &c, 1);
    }
    if (!r->two) return;
    const sweep_case bad = {.what = "shapes that do not broadcast",
                            .in = {REAL(2, 3), REAL(2)},
                            .opts = r,
                            .code = TERN_ERR_SHAPE,
                            .text = r->name};
    sweep_run(&op, &bad, 1);
}

/* In four parts, so that a crash leaves the other rows' results. */
static void sweep_rows(int part) {
    for (int i = 0; i < ROWS; i++)
        if (i % 4 == part) sweep_row(&rows[i]);
}
TERN_TEST(sweep, elementwise_0) { sweep_rows(0); }
TERN_TEST(sweep, elementwise_1) { sweep_rows(1); }
TERN_TEST(sweep, elementwise_2) { sweep_rows(2); }
TERN_TEST(sweep, elementwise_3) { sweep_rows(3); }

/* Lower dtypes of rows without a reference, too: the row in f64 is the reference. */
TERN_TEST(sweep, elementwise_dtypes_agree) {
    static const tern_dtype low[] = {TERN_F32, TERN_F16, TERN_BF16};
    for (int i = 0; i < ROWS; i++) {
        if (rows[i].dtypes == 'C' || rows[i].dtypes == 'W') continue;
        for (size_t d = 0; d < 3; d++) {
            check_case("%s %s against f64", rows[i].name, tern_dtype_name(low[d]));
            const int scope = tern_scope_push();
            double a[501], b[501], y[501];
            for (int k = 0; k < 501; k++) {
                a[k] = round_to(test_uniform(rows[i].lo, rows[i].hi), low[d]);
                b[k] = round_to(test_uniform(rows[i].lo, rows[i].hi), low[d]);
            }
            const tern_shape s = TERN_SHAPE(501);
            tern_tensor *wide = call_row(&rows[i], test_tensor(a, s, TERN_F64), test_tensor(b, s, TERN_F64));
            tern_tensor *got = call_row(&rows[i], test_tensor(a, s, low[d]), test_tensor(b, s, low[d]));
            if (tern_to_doubles(wide, y, 501)) CHECK_CLOSE(got, y, 501, tolerance_of(low[d]));
            CHECK(tern_dtype_of(got) == low[d]);
            CHECK_OK();
            tern_scope_pop(scope);
            sweep_count(1);
        }
    }
}

/* Float rows turn integers and bools into f32. */
TERN_TEST(sweep, elementwise_integers_become_f32) {
    static const tern_dtype whole[] = {TERN_I64, TERN_I32, TERN_U8, TERN_BOOL};
    for (int i = 0; i < ROWS; i++) {
        if (rows[i].dtypes != 'F' || !reference_of(&rows[i])) continue;
        for (size_t d = 0; d < 4; d++) {
            check_case("%s %s", rows[i].name, tern_dtype_name(whole[d]));
            const int scope = tern_scope_push();
            const double a[3] = {1, whole[d] == TERN_BOOL ? 1 : 2, 1}, b[3] = {1, 1, whole[d] == TERN_BOOL ? 1 : 3};
            double want[3];
            for (int k = 0; k < 3; k++) want[k] = (double)value_of(&rows[i], (real)a[k], (real)b[k]);
            tern_tensor *y =
                call_row(&rows[i], test_tensor(a, TERN_SHAPE(3), whole[d]), test_tensor(b, TERN_SHAPE(3), whole[d]));
            CHECK(tern_dtype_of(y) == TERN_F32);
            CHECK_CLOSE(y, want, 3, tolerance_of(TERN_F32));
            CHECK_OK();
            tern_scope_pop(scope);
            sweep_count(1);
        }
    }
}

static const double specials[] = {0.0,
                                  -0.0,
                                  1,
                                  -1,
                                  (double)INFINITY,
                                  -(double)INFINITY,
                                  (double)NAN,
                                  1e-30,
                                  -1e-30,
                                  700,
                                  -700,
                                  80,
                                  -80,
                                  1e4,
                                  -1e4,
                                  0.5,
                                  -0.5,
                                  1e-7,
                                  20,
                                  -20,
                                  3,
                                  -3,
                                  88.5,
                                  -104};
enum { SPECIALS = sizeof specials / sizeof *specials };

/* Where infinity meets a sigmoid that underflows depends on the dtype. */
static bool skips(const row *r, double a, double b) {
    return strstr("mul_sigmoid swiglu", r->name) && (isinf(a) || isinf(b));
}

/* Infinities, NaN, zeros, and where exp overflows. */
TERN_TEST(sweep, elementwise_special_values) {
    static const tern_dtype floats[] = {TERN_F64, TERN_F32, TERN_F16, TERN_BF16};
    for (int i = 0; i < ROWS; i++) {
        if (!reference_of(&rows[i]) || rows[i].dtypes == 'W') continue;
        for (size_t d = 0; d < 4; d++) {
            check_case("%s %s, special values", rows[i].name, tern_dtype_name(floats[d]));
            const int scope = tern_scope_push();
            const int n = rows[i].two ? SPECIALS * SPECIALS : SPECIALS;
            double a[SPECIALS * SPECIALS], b[SPECIALS * SPECIALS], want[SPECIALS * SPECIALS];
            for (int k = 0; k < n; k++) {
                a[k] = round_to(specials[k % SPECIALS], floats[d]);
                b[k] = round_to(specials[k / SPECIALS], floats[d]);
                if (skips(&rows[i], a[k], b[k])) a[k] = b[k] = 1;
                want[k] = (double)value_of(&rows[i], (real)a[k], (real)b[k]);
                if (rows[i].dtypes != 'C') want[k] = round_to(want[k], floats[d]);
            }
            tern_tensor *y =
                call_row(&rows[i], test_tensor(a, TERN_SHAPE(n), floats[d]), test_tensor(b, TERN_SHAPE(n), floats[d]));
            CHECK_CLOSE(y, want, n, tolerance_of(floats[d]));
            CHECK_OK();
            tern_scope_pop(scope);
            sweep_count(1);
        }
    }
}

/* ---- units in the last place ------------------------------------------------------------------------------------ */

/* The most that a row's value may be off by over the whole domain, in units of the result's last place; 4 where nothing
 * stands here. 0: not measured. */
static const struct {
    const char *name, *why;
    double f32, f64;
} ulp_limits[] = {
    {"ndtr", "f64: x / sqrt(2) is rounded, which e^(-x^2 / 2) multiplies by x^2 in the tail", 4, 2500},
    {"gelu", "f64: as ndtr", 4, 2500},
    {"gelu_tanh", "f64: the exponent is rounded, up to 700 units", 4, 3000},
    {"mish", "f64: several steps after an exponential of 3 units (libmvec)", 4, 6},
    {"silu", "f64: as mish", 4, 6},
    {"logsigmoid", "f64: as mish", 4, 6},
    {"softplus", "f64: as mish", 4, 6},
    {"softplus_beta", "f64: as mish", 4, 6},
    {"tanhshrink", "f64: x - tanh(x) cancels beyond the series", 4, 400},
    {"logaddexp", "f64: cancels where the result is near 0", 4, 0},
    {"erfinv", "f64: AS 241 promises 16 digits", 4, 8},
    {"mul_sigmoid", "a sigmoid that underflows, times a huge number", 0, 0},
    {"swiglu", "as mul_sigmoid", 0, 0},
    {"digamma", "f64: relative to 0 at its roots", 4, 0},
    {"polygamma", "f64: relative to 0 at its roots; the sum has up to ten terms", 4, 0},
};

static double ulp_limit(const char *name, bool f64) {
    for (size_t i = 0; i < sizeof ulp_limits / sizeof *ulp_limits; i++)
        if (!strcmp(ulp_limits[i].name, name)) return f64 ? ulp_limits[i].f64 : ulp_limits[i].f32;
    return 4;
}

/* How far got is from want; beyond the largest number both count as the power of two that would follow. */
static double ulps(double got, real want, bool f64) {
    const int digits = f64 ? 53 : 24, least = f64 ? -1021 : -125, most = f64 ? 1024 : 128;
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want) ? 0 : (double)INFINITY;
    if (got == (double)want) return 0;
    const real top = ldexpl(1, most), g = fmaxl(-top, fminl(top, (real)got)), w = fmaxl(-top, fminl(top, want));
    int exponent;
    frexpl(w, &exponent);
    if (exponent > most) exponent = most;
    return (double)(fabsl(g - w) / ldexpl(1, (exponent < least ? least : exponent) - digits));
}

static uint64_t test_bits(void) {
    const uint64_t high = (uint64_t)test_uniform(0, 0x1p32);
    return high << 32 | (uint64_t)test_uniform(0, 0x1p32);
}

/* Point k of n: every third in a moderate interval, the others any bit pattern, evenly over the exponents. */
static double point(int64_t k, int64_t n, bool f64) {
    if (k < SPECIALS) return round_to(specials[k], f64 ? TERN_F64 : TERN_F32);
    if (k % 3 == 0) return round_to(test_uniform(-20, 20), f64 ? TERN_F64 : TERN_F32);
    const uint64_t step = UINT64_MAX / (uint64_t)n, bits = (uint64_t)k * step + test_bits() % step;
    double d;
    float f;
    const uint32_t narrow = (uint32_t)(bits >> 32);
    memcpy(&d, &bits, sizeof d);
    memcpy(&f, &narrow, sizeof f);
    return f64 ? d : (double)f;
}

static void check_ulps(const row *r, bool f64, int64_t n) {
    const double limit = ulp_limit(r->name, f64);
    const tern_dtype dtype = f64 ? TERN_F64 : TERN_F32;
    if (!reference_of(r) || r->dtypes == 'C' || limit == 0) return;
    check_case("%s %s, units in the last place", r->name, tern_dtype_name(dtype));
    const int scope = tern_scope_push();
    double *a = malloc((size_t)n * sizeof *a), *b = malloc((size_t)n * sizeof *b), *y = malloc((size_t)n * sizeof *y);
    if (!a || !b || !y) abort();
    for (int64_t k = 0; k < n; k++) {
        a[k] = point(k, n, f64);
        b[k] = k < SPECIALS * SPECIALS ? round_to(specials[k / SPECIALS], dtype)
                                       : point((int64_t)(test_bits() % (uint64_t)n), n, f64);
        if (k < SPECIALS * SPECIALS && r->two) a[k] = round_to(specials[k % SPECIALS], dtype);
        if (skips(r, a[k], b[k])) a[k] = b[k] = 1;
    }
    const tern_shape s = TERN_SHAPE(n);
    double worst = 0;
    int64_t at = 0;
    if (CHECK(tern_to_doubles(call_row(r, test_tensor(a, s, dtype), test_tensor(b, s, dtype)), y, n)))
        for (int64_t k = 0; k < n; k++) {
            const double off = ulps(y[k], value_of(r, (real)a[k], (real)b[k]), f64);
            if (off > worst) worst = off, at = k;
        }
    CHECK(worst <= limit, "%.3g units at %.17g, %.17g: %.17g, expected %.17Lg (limit %g)", worst, a[at], b[at], y[at],
          value_of(r, (real)a[at], (real)b[at]), limit);
    if (getenv("TERN_SWEEP_ULP"))
        fprintf(stderr, "%-18s %s %10.4g  at %.9g, %.9g\n", r->name, tern_dtype_name(dtype), worst, a[at], b[at]);
    free(a);
    free(b);
    free(y);
    CHECK_OK();
    tern_scope_pop(scope);
    sweep_count(1);
}

TERN_TEST(sweep, elementwise_ulp_f32) {
    for (int i = 0; i < ROWS; i++) check_ulps(&rows[i], false, 200003);
}
/* Where long double has more digits. */
TERN_TEST(sweep, elementwise_ulp_f64) {
    for (int i = 0; i < ROWS && LDBL_MANT_DIG > 60; i++) check_ulps(&rows[i], true, 50021);
}

static tern_tensor *call_in_place(const row *r, tern_tensor *t, tern_tensor *b) {
    return r->in_place       ? r->in_place(t)
           : r->in_place_p   ? r->in_place_p(t, r->p)
           : r->in_place_pq  ? r->in_place_pq(t, r->p, r->q)
           : r->in_place_two ? r->in_place_two(t, b)
                             : NULL;
}

/* In place: the same values, in strided memory too; a version more; the same gradients where it is recorded. */
TERN_TEST(sweep, elementwise_in_place) {
    static const tern_dtype dtypes[] = {TERN_F32, TERN_F64, TERN_F16, TERN_BF16, TERN_I64, TERN_I32, TERN_U8};
    for (int i = 0; i < ROWS; i++) {
        const row *r = &rows[i];
        if (r->dtypes == 'C') continue;
        for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
            const bool is_float = tern_dtype_is_float(dtypes[d]);
            if (r->dtypes == 'W' && tern_dtype_size(dtypes[d]) < 4) continue;
            check_case("%s_ %s", r->name, tern_dtype_name(dtypes[d]));
            const int scope = tern_scope_push();
            const tern_shape s = TERN_SHAPE(6, 10);
            const double lo = dtypes[d] == TERN_U8 && r->lo < 0 ? 0 : r->lo;
            tern_tensor *base = test_random(s, lo, r->hi + !is_float, dtypes[d]);
            tern_tensor *b = test_random(TERN_SHAPE(5), is_float ? lo : 1, r->hi + !is_float, dtypes[d]);
            tern_tensor *t = tern_slice(base, 1, 1, 10, 2), *rest = tern_clone(tern_slice(base, 1, 0, 10, 2));
            tern_tensor *before = tern_clone(t);
            if (!is_float && r->dtypes != 'N') {
                EXPECT_ERROR(call_in_place(r, t, b), TERN_ERR_DTYPE, r->name);
                CHECK_SAME(t, before, ((tolerance){0, 0}));
            } else if (!is_float && (r->p != floor(r->p) || r->q != floor(r->q))) {
                EXPECT_ERROR(call_in_place(r, t, b), TERN_ERR_DTYPE, r->name);
            } else {
                tern_tensor *want = call_row(r, t, b);
                CHECK(call_in_place(r, t, b) == t);
                CHECK_SAME(t, want, ((tolerance){0, 0}));
                CHECK_SAME(tern_slice(base, 1, 0, 10, 2), rest, ((tolerance){0, 0}));
            }
            if (is_float) {
                tern_tensor *x = tern_require_grad(tern_clone(before), true), *g[2] = {0};
                tern_grad(call_row(r, tern_mul_scalar(x, 1), b), &x, 1, tern_ones_like(x),
                          (tern_backward_opts){.allow_unused = true}, &g[0]);
                tern_tensor *y = tern_mul_scalar(x, 1);
                tern_grad(call_in_place(r, y, b), &x, 1, tern_ones_like(x), (tern_backward_opts){.allow_unused = true},
                          &g[1]);
                if (CHECK(g[0] && g[1], "no gradient")) CHECK_SAME(g[0], g[1], ((tolerance){0, 0}));
                EXPECT_ERROR(call_in_place(r, x, b), TERN_ERR_AUTOGRAD, r->name);
            }
            CHECK_OK();
            tern_scope_pop(scope);
            sweep_count(1);
        }
    }
}

/* d^2y/dx^2 of each point of x, recorded or not. */
static tern_tensor *second_derivative(const row *r, tern_tensor *x, bool record) {
    tern_tensor *g = NULL, *h = NULL, *y = call_row(r, x, x);
    const tern_backward_opts again = {.create_graph = true, .allow_unused = true};
    if (!tern_grad(y, &x, 1, tern_ones_like(y), again, &g) || !g || !tern_requires_grad(g)) return NULL;
    if (!tern_grad(g, &x, 1, tern_ones_like(g), (tern_backward_opts){.create_graph = record, .allow_unused = true}, &h))
        return NULL;
    return h;
}

/* Third derivatives come from the rows' texts. */
TERN_TEST(sweep, elementwise_third_derivatives) {
    const double eps = 1e-5;
    for (int i = 0; i < ROWS; i++) {
        if (rows[i].dtypes == 'C' || rows[i].two) continue;
        check_case("%s, third derivative", rows[i].name);
        const int scope = tern_scope_push();
        double up[25], down[25], v[25], want[25];
        for (int k = 0; k < 25; k++) v[k] = test_uniform(rows[i].lo, rows[i].hi);
        tern_tensor *x = tern_require_grad(test_tensor(v, TERN_SHAPE(25), TERN_F64), true), *g = NULL;
        tern_tensor *h = second_derivative(&rows[i], x, true);
        if (CHECK_OK() && h && tern_requires_grad(h)) {
            CHECK(tern_grad(h, &x, 1, tern_ones_like(h), (tern_backward_opts){.allow_unused = true}, &g));
            for (int side = 0; side < 2; side++) {
                double w[25];
                for (int k = 0; k < 25; k++) w[k] = v[k] + (side ? -eps : eps);
                tern_tensor *z = tern_require_grad(test_tensor(w, TERN_SHAPE(25), TERN_F64), true);
                tern_to_doubles(second_derivative(&rows[i], z, false), side ? down : up, 25);
            }
            for (int k = 0; k < 25; k++) want[k] = (up[k] - down[k]) / (2 * eps);
            if (g) CHECK_CLOSE(g, want, 25, ((tolerance){1e-3, 1e-4}));
            sweep_count(1);
        }
        CHECK_OK();
        tern_scope_pop(scope);
    }
}
