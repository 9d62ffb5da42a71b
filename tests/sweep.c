/* The sweep's program: the elementwise rows, which come by themselves from core/elementwise.def, and the sum of all
 * cases. The structured ops are in tests/cases. A row is checked against the function of its name in `references`,
 * written here without the row's text; a new row without one is still checked: gradients by differences, lower dtypes
 * against f64. */
#include <criterion/hooks.h>
#include <unistd.h>

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

/* ---- references
 * ------------------------------------------------------------------------------------------------------ */

static double ref_neg(double x) { return 0 - x; }
static double ref_sign(double x) { return isnan(x) ? x : (x > 0) - (x < 0); }
static double ref_rsqrt(double x) { return 1 / sqrt(x); }
static double ref_square(double x) { return pow(x, 2); }
static double ref_reciprocal(double x) { return pow(x, -1); }
static double ref_sigmoid(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }
static double ref_relu(double x) { return isnan(x) ? x : fmax(x, 0); }
static double ref_gelu(double x) { return 0.5 * x * erfc(-x / sqrt(2)); }
static double ref_gelu_tanh(double x) {
    return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * pow(x, 3))));
}
static double ref_silu(double x) { return x == -(double)INFINITY ? (double)NAN : x * ref_sigmoid(x); }
static double ref_softplus(double x) { return isnan(x) ? x : fmax(x, 0) + log1p(exp(-fabs(x))); }
static double ref_leaky_relu(double x, double p) { return x > 0 ? x : p * x; }
static double ref_add(double a, double b) { return a + b; }
static double ref_sub(double a, double b) { return a - b; }
static double ref_mul(double a, double b) { return a * b; }
static double ref_div(double a, double b) { return a / b; }
static double ref_maximum(double a, double b) { return isnan(a) || isnan(b) ? (double)NAN : fmax(a, b); }
static double ref_minimum(double a, double b) { return isnan(a) || isnan(b) ? (double)NAN : fmin(a, b); }
static double ref_eq(double a, double b) { return !(a < b || a > b) && !isnan(a) && !isnan(b); }
static double ref_ne(double a, double b) { return ref_eq(a, b) == 0; }
static double ref_lt(double a, double b) { return isless(a, b); }
static double ref_le(double a, double b) { return islessequal(a, b); }
static double ref_gt(double a, double b) { return isgreater(a, b); }
static double ref_ge(double a, double b) { return isgreaterequal(a, b); }

static const struct {
    const char *name;
    double (*one)(double);
    double (*two)(double, double);
} references[] = {
    {"neg", ref_neg, NULL},
    {"abs", fabs, NULL},
    {"sign", ref_sign, NULL},
    {"sqrt", sqrt, NULL},
    {"rsqrt", ref_rsqrt, NULL},
    {"square", ref_square, NULL},
    {"reciprocal", ref_reciprocal, NULL},
    {"exp", exp, NULL},
    {"expm1", expm1, NULL},
    {"log", log, NULL},
    {"log1p", log1p, NULL},
    {"sin", sin, NULL},
    {"cos", cos, NULL},
    {"tanh", tanh, NULL},
    {"sigmoid", ref_sigmoid, NULL},
    {"relu", ref_relu, NULL},
    {"gelu", ref_gelu, NULL},
    {"gelu_tanh", ref_gelu_tanh, NULL},
    {"silu", ref_silu, NULL},
    {"softplus", ref_softplus, NULL},
    {"erf", erf, NULL},
    {"leaky_relu", NULL, ref_leaky_relu},
    {"add", NULL, ref_add},
    {"sub", NULL, ref_sub},
    {"mul", NULL, ref_mul},
    {"div", NULL, ref_div},
    {"pow", NULL, pow},
    {"maximum", NULL, ref_maximum},
    {"minimum", NULL, ref_minimum},
    {"eq", NULL, ref_eq},
    {"ne", NULL, ref_ne},
    {"lt", NULL, ref_lt},
    {"le", NULL, ref_le},
    {"gt", NULL, ref_gt},
    {"ge", NULL, ref_ge},
};

/* ---- the rows
 * --------------------------------------------------------------------------------------------------------- */

typedef struct row {
    const char *name;
    char dtypes; /* 'F', 'N', 'C' for comparisons */
    double lo, hi, p;
    tern_tensor *(*one)(tern_tensor *);
    tern_tensor *(*with)(tern_tensor *, double);
    tern_tensor *(*two)(tern_tensor *, tern_tensor *);
} row;

static const row rows[] = {
#define TERN_UNARY(n, dt, low, high, ...)              {#n, #dt[0], (low), (high), 0, tern_##n, NULL, NULL},
#define TERN_UNARY_Y(n, dt, low, high, ...)            {#n, #dt[0], (low), (high), 0, tern_##n, NULL, NULL},
#define TERN_UNARY_P(n, dt, low, high, parameter, ...) {#n, #dt[0], (low), (high), (parameter), NULL, tern_##n, NULL},
#define TERN_BINARY(n, dt, low, high, ...)             {#n, #dt[0], (low), (high), 0, NULL, NULL, tern_##n},
#define TERN_COMPARE(n, ...)                           {#n, 'C', -3, 3, 0, NULL, NULL, tern_##n},
#include "../core/elementwise.def"
};
enum { ROWS = sizeof rows / sizeof *rows };

static tern_tensor *call_row(const row *r, tern_tensor *a, tern_tensor *b) {
    return r->one ? r->one(a) : r->with ? r->with(a, r->p) : r->two(a, b);
}

static bool reference_of(const row *r, double (**one)(double), double (**two)(double, double)) {
    for (size_t i = 0; i < sizeof references / sizeof *references; i++)
        if (!strcmp(references[i].name, r->name)) {
            *one = references[i].one;
            *two = references[i].two;
            return true;
        }
    return false;
}

static tern_tensor *call(tern_tensor *const *in, const sweep_case *c) { return call_row(c->opts, in[0], in[1]); }

static void reference(const array *in, const sweep_case *c, array *out) {
    const row *r = c->opts;
    double (*one)(double) = NULL, (*two)(double, double) = NULL;
    reference_of(r, &one, &two);
    array_new(out, r->two ? array_broadcast(in[0].shape, in[1].shape) : in[0].shape);
    for (int64_t i = 0; i < out->n; i++) {
        const double a = array_at(&in[0], out->shape, i);
        out->v[i] = r->one ? one(a) : two(a, r->two ? array_at(&in[1], out->shape, i) : r->p);
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
};

static void sweep_row(const row *r) {
    double (*one)(double) = NULL, (*two)(double, double) = NULL;
    const sweep_op op = {.name = r->name,
                         .call = call,
                         .reference = reference_of(r, &one, &two) ? reference : NULL,
                         .flags = r->dtypes == 'F'   ? 0
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
        if (rows[i].dtypes == 'C') continue;
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
        double (*one)(double) = NULL, (*two)(double, double) = NULL;
        if (rows[i].dtypes != 'F' || !reference_of(&rows[i], &one, &two)) continue;
        for (size_t d = 0; d < 4; d++) {
            check_case("%s %s", rows[i].name, tern_dtype_name(whole[d]));
            const int scope = tern_scope_push();
            const double a[3] = {1, whole[d] == TERN_BOOL ? 1 : 2, 1}, b[3] = {1, 1, whole[d] == TERN_BOOL ? 1 : 3};
            double want[3];
            for (int k = 0; k < 3; k++) want[k] = rows[i].one ? one(a[k]) : two(a[k], rows[i].two ? b[k] : rows[i].p);
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

/* Infinities, NaN, zeros, and where exp overflows. */
TERN_TEST(sweep, elementwise_special_values) {
    static const tern_dtype floats[] = {TERN_F64, TERN_F32, TERN_F16, TERN_BF16};
    for (int i = 0; i < ROWS; i++) {
        double (*one)(double) = NULL, (*two)(double, double) = NULL;
        if (!reference_of(&rows[i], &one, &two)) continue;
        for (size_t d = 0; d < 4; d++) {
            check_case("%s %s, special values", rows[i].name, tern_dtype_name(floats[d]));
            const int scope = tern_scope_push();
            const int n = rows[i].two ? SPECIALS * SPECIALS : SPECIALS;
            double a[SPECIALS * SPECIALS], b[SPECIALS * SPECIALS], want[SPECIALS * SPECIALS];
            for (int k = 0; k < n; k++) {
                a[k] = round_to(specials[k % SPECIALS], floats[d]);
                b[k] = round_to(specials[k / SPECIALS], floats[d]);
                want[k] = rows[i].one ? one(a[k]) : two(a[k], rows[i].two ? b[k] : rows[i].p);
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
