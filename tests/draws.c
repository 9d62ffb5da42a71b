/* Draws of integers, permutations and choices, and their distributions, with fixed seeds: chi-square and
 * Kolmogorov-Smirnov at a level of about 1 in 2000. */
#include "common.h"

static const tern_dtype all[] = {TERN_F64, TERN_F32, TERN_F16, TERN_BF16, TERN_I64, TERN_I32, TERN_U8, TERN_BOOL};
enum { DTYPES = sizeof all / sizeof *all, FLOATS = 4 };

static double *values_of(tern_tensor *t) {
    double *v = malloc(sizeof *v * (size_t)(tern_numel(t) + 1));
    if (!v || !tern_to_doubles(t, v, tern_numel(t))) FAIL("cannot read");
    return v;
}

/* Chi-square of counts against expected ones, as a normal deviate (Wilson and Hilferty). */
static double chi_square(const double *count, const double *expected, int k) {
    double x = 0;
    for (int i = 0; i < k; i++) x += (count[i] - expected[i]) * (count[i] - expected[i]) / expected[i];
    const double d = k - 1, s = 2 / (9 * d);
    return (cbrt(x / d) - (1 - s)) / sqrt(s);
}
#define CHECK_COUNTS(count, expected, k)                          \
    do {                                                          \
        const double z_ = chi_square((count), (expected), (k));   \
        CHECK(fabs(z_) < 3.5, "chi-square is %g deviations", z_); \
    } while (0)

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* sqrt(n) times the largest distance from the distribution function. */
static double kolmogorov(tern_tensor *t, double (*cdf)(double)) {
    const int64_t n = tern_numel(t);
    double *v = values_of(t), d = 0;
    qsort(v, (size_t)n, sizeof *v, ascending);
    for (int64_t i = 0; i < n; i++) {
        const double f = cdf(v[i]);
        d = fmax(d, fmax(f - (double)i / (double)n, (double)(i + 1) / (double)n - f));
    }
    free(v);
    return d * sqrt((double)n);
}

static double uniform_cdf(double x) { return (x + 3) / 8; }
static double normal_cdf(double x) { return 0.5 * erfc((1 - x) / 2 / sqrt(2.0)); }
static double exponential_cdf(double x) { return -expm1(-2.5 * x); }

static double truncated_cdf(double x) {
    const double a = erf(-1.5 / sqrt(2.0)), b = erf(0.5 / sqrt(2.0));
    return (erf((x - 1) / 2 / sqrt(2.0)) - a) / (b - a);
}

TERN_TEST(draws, truncated) {
    for (int d = 0; d < FLOATS; d++) {
        check_case("%s", tern_dtype_name(all[d]));
        tern_tensor *x = tern_trunc_normal(TERN_SHAPE(200, 200), 1, 2, -2, 2, (tern_options){all[d], test_device()});
        CHECK(tern_dtype_of(x) == all[d]);
        CHECK_SHAPE(x, 200, 200);
        CHECK(tern_item(tern_min(x, NULL, 0, false)) >= -2 && tern_item(tern_max(x, NULL, 0, false)) <= 2);
        if (d < 2) CHECK(kolmogorov(x, truncated_cdf) < 1.95);
    }
    check_case("%s", "");
    CHECK(tern_item(tern_min(tern_trunc_normal(TERN_SHAPE(1000), 0, 1, 4, 5, (tern_options){.device = test_device()}),
                             NULL, 0, false)) >= 4);
    EXPECT_ERROR(tern_trunc_normal(TERN_SHAPE(2), 0, 0, -1, 1, (tern_options){.device = test_device()}),
                 TERN_ERR_ARGUMENT, "trunc_normal");
    EXPECT_ERROR(tern_trunc_normal(TERN_SHAPE(2), 0, 1, 1, 1, (tern_options){.device = test_device()}),
                 TERN_ERR_ARGUMENT, "trunc_normal");
    EXPECT_ERROR(tern_trunc_normal(TERN_SHAPE(2), 0, 1, 9, 10, (tern_options){.device = test_device()}),
                 TERN_ERR_ARGUMENT, "trunc_normal");
    EXPECT_ERROR(tern_trunc_normal(TERN_SHAPE(2), (double)NAN, 1, 0, 1, (tern_options){.device = test_device()}),
                 TERN_ERR_ARGUMENT, "trunc_normal");
    EXPECT_ERROR(tern_trunc_normal(TERN_SHAPE(2), 0, 1, 0, 1, (tern_options){TERN_I32, test_device()}), TERN_ERR_DTYPE,
                 "trunc_normal");
    EXPECT_ERROR(tern_trunc_normal(TERN_SHAPE(-2), 0, 1, 0, 1, (tern_options){.device = test_device()}), TERN_ERR_SHAPE,
                 "trunc_normal");
}

TERN_TEST(draws, continuous) {
    enum { N = 50000 };
    for (int d = 0; d < 2; d++) {
        const tern_options o = {.dtype = all[d]};
        tern_tensor *like = tern_empty(TERN_SHAPE(N), o);
        CHECK(kolmogorov(tern_rand_like(like, -3, 5), uniform_cdf) < 1.95);
        CHECK(kolmogorov(tern_randn_like(like, 1, 2), normal_cdf) < 1.95);
        CHECK(kolmogorov(tern_exponential(TERN_SHAPE(N), 2.5, o), exponential_cdf) < 1.95);
        tern_tensor *mean = tern_full(TERN_SHAPE(N / 2, 1), 1, o), *std = tern_full(TERN_SHAPE(2), 2, o);
        tern_tensor *x = tern_normal(mean, std);
        CHECK_SHAPE(x, N / 2, 2);
        CHECK(kolmogorov(x, normal_cdf) < 1.95);
    }
    for (int d = 0; d < FLOATS; d++) {
        tern_tensor *x = tern_exponential(TERN_SHAPE(20000), 0.5, (tern_options){all[d], test_device()});
        CHECK(tern_dtype_of(x) == all[d]);
        CHECK_ITEM(tern_mean(tern_cast(x, TERN_F64), NULL, 0, false), 2, 0.05);
        CHECK(tern_item(tern_min(x, NULL, 0, false)) >= 0 && tern_item(tern_max(x, NULL, 0, false)) < 40);
        tern_tensor *like = tern_empty(TERN_SHAPE(2, 3), (tern_options){all[d], test_device()});
        CHECK(tern_dtype_of(tern_rand_like(like, 0, 1)) == all[d]);
        CHECK_SHAPE(tern_randn_like(like, 0, 1), 2, 3);
    }
    EXPECT_ERROR(tern_exponential(TERN_SHAPE(2), 0, (tern_options){.device = test_device()}), TERN_ERR_ARGUMENT,
                 "exponential");
    EXPECT_ERROR(tern_exponential(TERN_SHAPE(2), 1, (tern_options){TERN_I32, tern_cpu()}), TERN_ERR_DTYPE,
                 "exponential");
    EXPECT_ERROR(tern_exponential(TERN_SHAPE(-2), 1, (tern_options){.device = test_device()}), TERN_ERR_SHAPE,
                 "exponential");
    tern_tensor *f = tern_ones(TERN_SHAPE(3), (tern_options){.device = test_device()}),
                *g = tern_ones(TERN_SHAPE(2), (tern_options){.device = test_device()});
    EXPECT_ERROR(tern_normal(f, g), TERN_ERR_SHAPE, "normal");
    EXPECT_ERROR(tern_normal(f, tern_cast(f, TERN_F64)), TERN_ERR_DTYPE, "normal");
    EXPECT_ERROR(tern_rand_like(tern_cast(f, TERN_I32), 0, 1), TERN_ERR_DTYPE, "rand_like");
    EXPECT_ERROR(tern_randn_like(f, 0, -1), TERN_ERR_ARGUMENT, "randn_like");
}

/* The gradients of a normal draw are 1 and z. */
TERN_TEST(draws, normal_gradients) {
    const tern_options o = {.dtype = TERN_F64};
    tern_tensor *x[2] = {tern_require_grad(tern_full(TERN_SHAPE(5), 2, o), true),
                         tern_require_grad(tern_full(TERN_SHAPE(5), 3, o), true)};
    tern_tensor *y = tern_normal(x[0], x[1]), *g[2];
    CHECK(tern_grad(y, x, 2, tern_ones_like(y), (tern_backward_opts){0}, g));
    CHECK_VALUES(g[0], 1, 1, 1, 1, 1);
    CHECK_SAME(tern_add(x[0], tern_mul(x[1], g[1])), y, ((tolerance){1e-12, 0}));
}

TERN_TEST(draws, integers) {
    enum { N = 70000, K = 7 };
    for (int d = 0; d < DTYPES - 1; d++) {
        check_case("%s", tern_dtype_name(all[d]));
        const int64_t lo = all[d] == TERN_U8 ? 3 : -3;
        tern_tensor *t = tern_randint(TERN_SHAPE(N / 7, 7), lo, lo + K, (tern_options){all[d], test_device()});
        CHECK_SHAPE(t, N / 7, 7);
        CHECK(tern_dtype_of(t) == all[d]);
        double *v = values_of(t), count[K] = {0}, expected[K];
        for (int i = 0; i < K; i++) expected[i] = (double)N / K;
        for (int i = 0; i < N; i++) {
            const int64_t k = (int64_t)v[i] - lo;
            if (!CHECK(v[i] == floor(v[i]) && k >= 0 && k < K, "%g", v[i])) break;
            count[k]++;
        }
        CHECK_COUNTS(count, expected, K);
        free(v);
    }
    check_case("%s", "");
    tern_tensor *coin = tern_randint(TERN_SHAPE(10000), 0, 2, (tern_options){TERN_BOOL, test_device()});
    CHECK_NUMBER(tern_item(tern_sum(coin, NULL, 0, false)), 5000, 0.04);
    CHECK_VALUES(tern_randint(TERN_SHAPE(3), 5, 6, (tern_options){TERN_I64, test_device()}), 5, 5, 5);
    CHECK_SHAPE(tern_randint(TERN_SHAPE(0), 5, 6, (tern_options){.device = test_device()}), 0);
    /* The whole of i64: top and bottom halves alike. */
    tern_tensor *wide = tern_randint(TERN_SHAPE(10000), INT64_MIN, INT64_MAX, (tern_options){TERN_I64, test_device()});
    tern_tensor *up = tern_gt(wide, tern_scalar(0, (tern_options){TERN_I64, test_device()}));
    CHECK_NUMBER(tern_item(tern_sum(up, NULL, 0, false)), 5000, 0.04);
    EXPECT_ERROR(tern_randint(TERN_SHAPE(3), 5, 5, (tern_options){.device = test_device()}), TERN_ERR_ARGUMENT,
                 "randint");
    EXPECT_ERROR(tern_randint(TERN_SHAPE(3), 0, 257, (tern_options){TERN_U8, test_device()}), TERN_ERR_ARGUMENT,
                 "randint");
    EXPECT_ERROR(tern_randint(TERN_SHAPE(3), -1, 2, (tern_options){TERN_BOOL, test_device()}), TERN_ERR_ARGUMENT,
                 "randint");
    EXPECT_ERROR(tern_randint(TERN_SHAPE(3), 0, 1 << 20, (tern_options){TERN_F16, test_device()}), TERN_ERR_ARGUMENT,
                 "randint");
    EXPECT_ERROR(tern_randint(TERN_SHAPE(-3), 0, 2, (tern_options){.device = test_device()}), TERN_ERR_SHAPE,
                 "randint");
}

/* Element i is the high half of a product with the stream's words, by arithmetic on digits. */
TERN_TEST(draws, integers_take_the_stream_s_words) {
    const uint64_t range = 0xfedcba9876543210u;
    tern_seed(77);
    tern_tensor *t = tern_randint(TERN_SHAPE(9), INT64_MIN, (int64_t)(range - ((uint64_t)1 << 63)),
                                  (tern_options){TERN_I64, test_device()});
    CHECK(tern_random_get().position == 5);
    int64_t v[9];
    REQUIRE(tern_to_host(t, v, sizeof v));
    for (int i = 0; i < 9; i++) {
        const uint32_t counter[4] = {(uint32_t)i / 2, 0, 0, 0}, key[2] = {77, 0};
        uint32_t w[4];
        tern_philox4x32(counter, key, w);
        uint64_t acc = 0, digit[4] = {w[2 * (i % 2) + 1] & 0xffff, w[2 * (i % 2) + 1] >> 16, w[2 * (i % 2)] & 0xffff,
                                      w[2 * (i % 2)] >> 16};
        uint64_t low[8] = {0};
        for (int a = 0; a < 4; a++)
            for (int b = 0; b < 4; b++) low[a + b] += (digit[a] * (range >> 16 * b & 0xffff)) & 0xffff;
        for (int a = 0; a < 4; a++)
            for (int b = 0; b < 4; b++) low[a + b + 1] += (digit[a] * (range >> 16 * b & 0xffff)) >> 16;
        for (int k = 0; k < 7; k++) {
            low[k + 1] += low[k] >> 16;
            low[k] &= 0xffff;
        }
        for (int k = 7; k >= 4; k--) acc = acc << 16 | low[k];
        CHECK(v[i] == (int64_t)(acc - ((uint64_t)1 << 63)), "element %d", i);
    }
}

TERN_TEST(draws, permutations) {
    static const int64_t sizes[] = {0, 1, 2, 5, 100, 4097, 300000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int64_t n = sizes[s];
        const int scope = tern_scope_push();
        tern_seed(5);
        tern_tensor *p = tern_randperm(n, tern_cpu());
        CHECK_SHAPE(p, n);
        CHECK(tern_dtype_of(p) == TERN_I64);
        double *v = values_of(p);
        char *seen = calloc((size_t)n + 1, 1);
        int64_t fixed = 0;
        for (int64_t i = 0; i < n; i++) {
            if (!CHECK(v[i] >= 0 && v[i] < (double)n && !seen[(int64_t)v[i]], "element %" PRId64, i)) break;
            seen[(int64_t)v[i]] = 1;
            fixed += (int64_t)v[i] == i;
        }
        if (n > 50) CHECK(fixed < 8, "%" PRId64 " stay where they are", fixed);
        free(seen);
        free(v);
        tern_scope_pop(scope);
    }
    /* All 24 orders of 4, alike. */
    double count[24] = {0}, expected[24];
    enum { N = 24000 };
    for (int i = 0; i < 24; i++) expected[i] = N / 24.0;
    for (int i = 0; i < N; i++) {
        const int scope = tern_scope_push();
        int64_t v[4];
        REQUIRE(tern_to_host(tern_randperm(4, tern_cpu()), v, sizeof v));
        int rank = 0;
        for (int a = 0; a < 4; a++) {
            int smaller = 0;
            for (int b = a + 1; b < 4; b++) smaller += v[b] < v[a];
            rank = rank * (4 - a) + smaller;
        }
        count[rank]++;
        tern_scope_pop(scope);
    }
    CHECK_COUNTS(count, expected, 24);
    EXPECT_ERROR(tern_randperm(-1, tern_cpu()), TERN_ERR_SHAPE, "randperm");
}

TERN_TEST(draws, bernoulli) {
    enum { N = 60000 };
    for (int d = 0; d < FLOATS; d++) {
        check_case("%s", tern_dtype_name(all[d]));
        const int scope = tern_scope_push();
        tern_tensor *p = tern_expand(test_values(all[d], TERN_SHAPE(4, 1), 0, 0.25, 0.75, 1), TERN_SHAPE(4, N));
        tern_tensor *y = tern_bernoulli(p);
        CHECK(tern_dtype_of(y) == all[d]);
        double *v = values_of(y), count[4] = {0};
        for (int i = 0; i < 4 * N; i++) {
            if (!CHECK(v[i] == 0 || v[i] == 1, "%g", v[i])) break;
            count[i / N] += v[i];
        }
        CHECK(count[0] == 0 && count[3] == N);
        const double sigma = sqrt(N * 0.25 * 0.75);
        CHECK(fabs(count[1] - 0.25 * N) < 3.5 * sigma && fabs(count[2] - 0.75 * N) < 3.5 * sigma);
        free(v);
        tern_scope_pop(scope);
    }
    for (int d = 0; d < DTYPES; d++) {
        tern_tensor *wide = tern_zeros(TERN_SHAPE(300, 400), (tern_options){all[d], test_device()});
        tern_tensor *t = tern_transpose(tern_slice(wide, 1, 1, 400, 2), 0, 1);
        const uint32_t version = tern_storage_version(wide);
        tern_seed(3);
        CHECK(tern_bernoulli_(t, 0.3));
        CHECK(tern_storage_version(wide) == version + 1);
        CHECK_NUMBER(tern_item(tern_sum(tern_cast(t, TERN_F64), NULL, 0, false)), 18000, 0.02);
        CHECK_ITEM(tern_sum(tern_cast(tern_slice(wide, 1, 0, 400, 2), TERN_F64), NULL, 0, false), 0, 0); /* the gaps */
        tern_tensor *dense = tern_zeros(TERN_SHAPE(200, 300), (tern_options){all[d], test_device()});
        tern_seed(3);
        CHECK(tern_bernoulli_(dense, 0.3));
        CHECK_SAME(dense, t, ((tolerance){0, 0}));
        CHECK(tern_bernoulli_(dense, 1) && tern_item(tern_min(tern_cast(dense, TERN_F32), NULL, 0, false)) == 1);
        CHECK(tern_bernoulli_(dense, 0) && tern_item(tern_max(tern_cast(dense, TERN_F32), NULL, 0, false)) == 0);
    }
    check_case("%s", "");
    tern_tensor *t = tern_ones(TERN_SHAPE(3), (tern_options){.device = test_device()});
    EXPECT_ERROR(tern_bernoulli_(t, 1.5), TERN_ERR_ARGUMENT, "bernoulli_");
    EXPECT_ERROR(tern_bernoulli_(t, (double)NAN), TERN_ERR_ARGUMENT, "bernoulli_");
    EXPECT_ERROR(tern_bernoulli(test_values(TERN_F32, TERN_SHAPE(2), 0, 1.25)), TERN_ERR_ARGUMENT, "bernoulli");
    EXPECT_ERROR(tern_bernoulli(test_values(TERN_F64, TERN_SHAPE(2), 0, -1)), TERN_ERR_ARGUMENT, "bernoulli");
    EXPECT_ERROR(tern_bernoulli(test_values(TERN_F16, TERN_SHAPE(2), 0, (double)NAN)), TERN_ERR_ARGUMENT, "bernoulli");
    EXPECT_ERROR(tern_bernoulli(tern_cast(t, TERN_I32)), TERN_ERR_DTYPE, "bernoulli");
    CHECK_SHAPE(tern_bernoulli(tern_zeros(TERN_SHAPE(0, 2), (tern_options){.device = test_device()})), 0, 2);
}

TERN_TEST(draws, multinomial) {
    enum { N = 40000, K = 5 };
    static const double p[K] = {1, 0, 4, 2, 3};
    for (int d = 0; d < FLOATS; d++) {
        check_case("%s", tern_dtype_name(all[d]));
        const int scope = tern_scope_push();
        tern_tensor *row = test_tensor(p, TERN_SHAPE(K), all[d]), *two = tern_stack((tern_tensor *[]){row, row}, 2, 1);
        double *v = values_of(tern_multinomial(row, N, true)), count[K] = {0}, expected[K];
        for (int i = 0; i < N; i++) count[(int)v[i]]++;
        for (int i = 0; i < K; i++) expected[i] = N * p[i] / 10;
        CHECK(count[1] == 0);
        expected[1] = count[1] = 1; /* not counted */
        CHECK_COUNTS(count, expected, K);
        free(v);
        tern_tensor *y = tern_multinomial(tern_transpose(two, 0, 1), 3, true);
        CHECK_SHAPE(y, 2, 3);
        CHECK(tern_dtype_of(y) == TERN_I64);
        tern_scope_pop(scope);
    }
    check_case("%s", "");
    /* Without replacement: the first two of the four that are above 0, by their probabilities. */
    tern_tensor *many = tern_contiguous(tern_expand(test_tensor(p, TERN_SHAPE(K), TERN_F32), TERN_SHAPE(N, K)));
    double *v = values_of(tern_multinomial(many, 2, false)), count[K * K] = {0}, expected[K * K];
    int kinds = 0;
    for (int i = 0; i < N; i++) count[(int)v[2 * i] * K + (int)v[2 * i + 1]]++;
    for (int a = 0; a < K; a++)
        for (int b = 0; b < K; b++) {
            const double e = a == b ? 0 : N * p[a] / 10 * p[b] / (10 - p[a]);
            if (e == 0)
                CHECK(count[a * K + b] == 0, "%d then %d", a, b);
            else
                count[kinds] = count[a * K + b], expected[kinds++] = e;
        }
    CHECK_COUNTS(count, expected, kinds);
    free(v);
    /* All of a row: each comes once. */
    tern_tensor *whole =
        tern_multinomial(tern_rand(TERN_SHAPE(20, 33), 0.1, 1, (tern_options){.device = test_device()}), 33, false);
    v = values_of(whole);
    for (int r = 0; r < 20; r++) {
        double sum = 0;
        for (int i = 0; i < 33; i++) sum += ldexp(1, (int)v[33 * r + i]);
        CHECK(sum == ldexp(1, 33) - 1, "row %d", r);
    }
    free(v);
    tern_tensor *row = test_tensor(p, TERN_SHAPE(K), TERN_F32);
    EXPECT_ERROR(tern_multinomial(row, 0, true), TERN_ERR_ARGUMENT, "multinomial");
    EXPECT_ERROR(tern_multinomial(row, 6, false), TERN_ERR_ARGUMENT, "multinomial");
    EXPECT_ERROR(tern_multinomial(row, 5, false), TERN_ERR_ARGUMENT, "multinomial");
    EXPECT_ERROR(tern_multinomial(tern_neg(row), 1, true), TERN_ERR_ARGUMENT, "multinomial");
    EXPECT_ERROR(tern_multinomial(tern_zeros_like(row), 1, true), TERN_ERR_ARGUMENT, "multinomial");
    EXPECT_ERROR(tern_multinomial(tern_full_like(row, (double)INFINITY), 1, true), TERN_ERR_ARGUMENT, "multinomial");
    EXPECT_ERROR(tern_multinomial(tern_full_like(row, (double)NAN), 1, true), TERN_ERR_ARGUMENT, "multinomial");
    EXPECT_ERROR(tern_multinomial(tern_cast(row, TERN_I32), 1, true), TERN_ERR_DTYPE, "multinomial");
    EXPECT_ERROR(tern_multinomial(tern_zeros(TERN_SHAPE(1, 2, 3), (tern_options){.device = test_device()}), 1, true),
                 TERN_ERR_SHAPE, "multinomial");
    EXPECT_ERROR(tern_multinomial(tern_zeros(TERN_SHAPE(0), (tern_options){.device = test_device()}), 1, true),
                 TERN_ERR_SHAPE, "multinomial");
    CHECK_SHAPE(tern_multinomial(tern_zeros(TERN_SHAPE(0, 3), (tern_options){.device = test_device()}), 2, true), 0, 2);
}

/* The same bits on one thread and on four. */
TERN_TEST(draws, threads_change_nothing) {
    enum { KINDS = 6 };
    tern_tensor *first[KINDS] = {NULL};
    tern_tensor *p = tern_rand(TERN_SHAPE(300, 701), 0.1, 1, (tern_options){.device = test_device()});
    for (int threads = 1; threads <= 4; threads += 3) {
        CHECK(tern_set_threads(threads));
        tern_seed(11);
        tern_tensor *now[KINDS] = {
            tern_randint(TERN_SHAPE(100003), -9, 1000, (tern_options){TERN_I32, test_device()}),
            tern_randperm(100003, tern_cpu()),
            tern_bernoulli(p),
            tern_multinomial(p, 50, true),
            tern_multinomial(p, 50, false),
            tern_exponential(TERN_SHAPE(100003), 1, (tern_options){.device = test_device()}),
        };
        for (int i = 0; i < KINDS; i++) {
            if (threads > 1)
                CHECK_SAME(now[i], first[i], ((tolerance){0, 0}));
            else
                first[i] = now[i];
        }
    }
    CHECK(tern_set_threads(0));
}
