/* Philox4x32-10 against the known answers of Random123, how draws come from it, and their distributions. */
#include "common.h"

/* D. E. Shaw Research, Random123 1.14, tests/kat_vectors: philox4x32 10. */
TERN_TEST(random, philox_known_answers) {
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof kat / sizeof *kat; i++) {
        uint32_t out[4];
        tern_philox4x32(kat[i].counter, kat[i].key, out);
        for (int k = 0; k < 4; k++) CHECK(out[k] == kat[i].out[k], "vector %zu, word %d: %08x", i, k, out[k]);
    }
}

static void block(uint64_t seed, uint64_t position, uint32_t out[4]) {
    const uint32_t counter[4] = {(uint32_t)position, (uint32_t)(position >> 32), 0, 0};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    tern_philox4x32(counter, key, out);
}

/* Element i of an f32 draw is word i % 4 of block i / 4: the same on every device, whatever the strides and threads. */
TERN_TEST(random, uniform_takes_the_stream_s_words) {
    enum { N = 40003 };
    const uint64_t seed = 0x123456789abcdefu;
    tern_seed(seed);
    (void)tern_rand(TERN_SHAPE(5), 0, 1, (tern_options){.device = test_device()});
    CHECK(tern_random_get().position == 2 && tern_random_get().seed == seed);
    tern_tensor *t = tern_rand(TERN_SHAPE(N), 0, 1, (tern_options){.device = test_device()});
    CHECK(tern_random_get().position == 2 + (N + 3) / 4);
    tern_tensor *d = tern_rand(TERN_SHAPE(7), 0, 1, (tern_options){TERN_F64, test_device()});
    CHECK(tern_random_get().position == 2 + (N + 3) / 4 + 4);
    static double v[N];
    uint32_t w[4];
    REQUIRE(tern_to_doubles(t, v, N));
    for (int i = 0; i < N; i++) {
        block(seed, 2 + (uint64_t)i / 4, w);
        if (!CHECK(v[i] == (double)(w[i % 4] >> 8) / 16777216, "element %d", i)) break;
    }
    REQUIRE(tern_to_doubles(d, v, 7));
    for (int i = 0; i < 7; i++) {
        block(seed, 2 + (N + 3) / 4 + (uint64_t)i / 2, w);
        const uint64_t bits = ((uint64_t)w[2 * (i % 2)] << 32 | w[2 * (i % 2) + 1]) >> 11;
        CHECK(v[i] == (double)bits * 0x1p-53, "f64 element %d", i);
    }
}

TERN_TEST(random, strided_draws_are_the_same) {
    tern_tensor *a = tern_zeros(TERN_SHAPE(3, 5), (tern_options){.device = test_device()}),
                *wide = tern_zeros(TERN_SHAPE(5, 7), (tern_options){.device = test_device()});
    tern_tensor *b = tern_transpose(tern_slice(wide, 1, 1, 7, 2), 0, 1);
    tern_seed(9);
    CHECK(tern_uniform_(a, -1, 1));
    tern_seed(9);
    CHECK(tern_uniform_(b, -1, 1));
    CHECK_SAME(b, a, ((tolerance){0, 0}));
    tern_seed(9);
    CHECK(tern_normal_(a, 0, 1));
    tern_seed(9);
    CHECK(tern_normal_(b, 0, 1));
    CHECK_SAME(b, a, ((tolerance){0, 0}));
    CHECK_ITEM(tern_sum(tern_slice(wide, 1, 0, 7, 2), NULL, 0, false), 0, 0); /* the gaps */
}

static double moments(tern_tensor *t, double about, double *variance) {
    const int64_t n = tern_numel(t);
    double *v = malloc(sizeof(double) * (size_t)n), mean = 0, var = 0;
    if (!v || !tern_to_doubles(t, v, n)) FAIL("cannot read");
    for (int64_t i = 0; v && i < n; i++) mean += v[i] / (double)n;
    for (int64_t i = 0; v && i < n; i++) var += (v[i] - about) * (v[i] - about) / (double)n;
    free(v);
    *variance = var;
    return mean;
}

TERN_TEST(random, distributions) {
    static const tern_dtype floats[] = {TERN_F64, TERN_F32, TERN_F16, TERN_BF16};
    for (int d = 0; d < 4; d++) {
        check_case("%s", tern_dtype_name(floats[d]));
        const int s = tern_scope_push();
        double var;
        tern_tensor *u = tern_rand(TERN_SHAPE(200000), -3, 5, (tern_options){floats[d], test_device()});
        CHECK_NUMBER(moments(u, 1, &var), 1, 0.03);
        CHECK_NUMBER(var, 64.0 / 12, 0.03);
        CHECK(tern_item(tern_max(u, NULL, 0, false)) < 5 && tern_item(tern_min(u, NULL, 0, false)) >= -3);
        tern_tensor *n = tern_randn(TERN_SHAPE(200001), 2, 3, (tern_options){floats[d], test_device()});
        CHECK_NUMBER(moments(n, 2, &var), 2, 0.03);
        CHECK_NUMBER(var, 9, 0.02);
        /* Within one, two and three deviations; the neighbours of Box-Muller's pairs do not go together. */
        double in[3] = {0}, together = 0, *v = malloc(sizeof(double) * 200001);
        REQUIRE(v && tern_to_doubles(n, v, 200001));
        for (int i = 0; i < 200001; i++) {
            for (int k = 0; k < 3; k++) in[k] += fabs(v[i] - 2) <= 3 * (k + 1);
            if (i) together += (v[i] - 2) * (v[i - 1] - 2) / 9 / 200000;
        }
        CHECK_NUMBER(in[0] / 200001, 0.6827, 0.01);
        CHECK_NUMBER(in[1] / 200001, 0.9545, 0.01);
        CHECK_NUMBER(in[2] / 200001, 0.9973, 0.005);
        CHECK(fabs(together) < 0.01, "%g", together);
        free(v);
        tern_scope_pop(s);
    }
}

TERN_TEST(random, seeds_and_states) {
    tern_seed(42);
    tern_tensor *a = tern_randn(TERN_SHAPE(33), 0, 1, (tern_options){.device = test_device()});
    const tern_random state = tern_random_get();
    tern_tensor *b = tern_randn(TERN_SHAPE(33), 0, 1, (tern_options){.device = test_device()});
    tern_random_set(state);
    CHECK_SAME(tern_randn(TERN_SHAPE(33), 0, 1, (tern_options){.device = test_device()}), b, ((tolerance){0, 0}));
    tern_seed(42);
    CHECK_SAME(tern_randn(TERN_SHAPE(33), 0, 1, (tern_options){.device = test_device()}), a, ((tolerance){0, 0}));
    tern_tensor *differ = tern_sum(tern_cast(tern_ne(a, b), TERN_F32), NULL, 0, false);
    CHECK(tern_item(differ) > 30);
    tern_seed(43);
    CHECK(tern_item(tern_select(tern_randn(TERN_SHAPE(33), 0, 1, (tern_options){.device = test_device()}), 0, 0)) !=
          tern_item(tern_select(a, 0, 0)));
}

TERN_TEST(random, streams_of_one_s_own) {
    tern_random r = {7, 0}, q = {7, 0};
    CHECK(tern_random_u32(&r) == tern_random_u32(&q) && r.position == 1);
    int64_t count[7] = {0};
    double sum = 0;
    for (int i = 0; i < 70000; i++) {
        const uint64_t k = tern_random_below(&r, 7);
        REQUIRE(k < 7);
        count[k]++;
        const double d = tern_random_double(&r);
        REQUIRE(d >= 0 && d < 1);
        sum += d;
    }
    for (int k = 0; k < 7; k++) CHECK(llabs(count[k] - 10000) < 400, "%d: %" PRId64, k, count[k]);
    CHECK_NUMBER(sum / 70000, 0.5, 0.005);
    CHECK(tern_random_below(&r, 1) == 0);
    const uint64_t big = (UINT64_C(1) << 63) + 1;
    for (int i = 0; i < 100; i++) CHECK(tern_random_below(&r, big) < big);
}

TERN_TEST(random, refusals) {
    tern_tensor *whole = tern_zeros(TERN_SHAPE(2), (tern_options){TERN_I32, test_device()});
    tern_tensor *t = tern_zeros(TERN_SHAPE(2), (tern_options){.device = test_device()});
    EXPECT_ERROR(tern_uniform_(whole, 0, 1), TERN_ERR_DTYPE, "uniform_");
    EXPECT_ERROR(tern_normal_(whole, 0, 1), TERN_ERR_DTYPE, "normal_");
    EXPECT_ERROR(tern_uniform_(t, 1, 0), TERN_ERR_ARGUMENT, "uniform_");
    EXPECT_ERROR(tern_normal_(t, 0, -1), TERN_ERR_ARGUMENT, "normal_");
    EXPECT_ERROR(tern_normal_(t, (double)NAN, 1), TERN_ERR_ARGUMENT, "normal_");
    EXPECT_ERROR(tern_uniform_(NULL, 0, 1), TERN_ERR_ARGUMENT, "uniform_");
    CHECK(tern_uniform_(t, 3, 3));
    CHECK_VALUES(t, 3, 3);
    EXPECT_ERROR(tern_rand(TERN_SHAPE(2), 0, 1, (tern_options){TERN_I64, test_device()}), TERN_ERR_DTYPE, "rand");
    CHECK(tern_require_grad(t, true) == t);
    EXPECT_ERROR(tern_uniform_(t, 0, 1), TERN_ERR_AUTOGRAD, "uniform_");
}

TERN_TEST(random, dropout) {
    enum { N = 100000 };
    static const tern_dtype floats[] = {TERN_F64, TERN_F32, TERN_F16, TERN_BF16};
    static double v[N], first[N];
    for (int d = 0; d < 4; d++) {
        check_case("%s", tern_dtype_name(floats[d]));
        const int s = tern_scope_push();
        tern_seed(3);
        tern_tensor *x = tern_require_grad(tern_ones(TERN_SHAPE(N), (tern_options){floats[d], test_device()}), true),
                    *g;
        tern_tensor *y = tern_dropout(x, 0.2);
        REQUIRE(tern_to_doubles(y, v, N));
        int64_t kept = 0;
        for (int i = 0; i < N; i++) {
            if (!CHECK(v[i] == 0 || fabs(v[i] - 1.25) < 1e-2, "element %d is %g", i, v[i])) break;
            kept += v[i] != 0;
            if (d == 0) first[i] = v[i];
            CHECK((first[i] == 0) == (v[i] == 0), "element %d differs from f64's", i);
        }
        CHECK_NUMBER((double)kept / N, 0.8, 0.01);
        CHECK(tern_grad(y, &x, 1, tern_ones_like(y), (tern_backward_opts){0}, &g));
        CHECK_SAME(g, y, ((tolerance){0, 0}));
        tern_scope_pop(s);
    }
    tern_tensor *x = tern_ones(TERN_SHAPE(10), (tern_options){.device = test_device()});
    CHECK(tern_dropout(x, 0) == x);
    CHECK_ITEM(tern_sum(tern_dropout(x, 1), NULL, 0, false), 0, 0);
    EXPECT_ERROR(tern_dropout(x, 1.5), TERN_ERR_ARGUMENT, "dropout");
    EXPECT_ERROR(tern_dropout(x, -0.5), TERN_ERR_ARGUMENT, "dropout");
    EXPECT_ERROR(tern_dropout(tern_zeros(TERN_SHAPE(2), (tern_options){TERN_I32, test_device()}), 0.5), TERN_ERR_DTYPE,
                 "dropout");
    tern_tensor *nan = test_values(TERN_F32, TERN_SHAPE(2), (double)NAN, (double)INFINITY);
    CHECK_VALUES(tern_dropout(nan, 1), 0, 0);
}

static tern_tensor *fixed_dropout(tern_tensor *const *x, int n, void *user) {
    (void)n;
    (void)user;
    const tern_random was = tern_random_get();
    tern_tensor *y = tern_dropout(tern_square(x[0]), 0.4);
    tern_random_set(was);
    return y;
}

TERN_TEST(random, dropout_gradients) {
    tern_tensor *x = tern_require_grad(test_random(TERN_SHAPE(5, 7), -2, 2, TERN_F64), true);
    gradcheck("dropout", fixed_dropout, &x, 1, NULL);
    gradgradcheck("dropout", fixed_dropout, &x, 1, NULL);
}

/* Bits of draws (FNV-1a): the same for every compiler, instruction set and device, so a seed's results can be
 * published. */
TERN_TEST(random, bits_of_normal_and_uniform_draws) {
    static const struct {
        tern_dtype dtype;
        uint64_t hash;
    } want[] = {{TERN_F32, 0x32725d8e1381ee8c},
                {TERN_F64, 0xb4858323a67eadc5},
                {TERN_F16, 0x874e8b0869cd3a7a},
                {TERN_BF16, 0x74665a0498f7a7d0}};
    enum { N = 4099 };
    static unsigned char bytes[N * 8];
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const int s = tern_scope_push();
        tern_seed(2024);
        uint64_t hash = 14695981039346656037u;
        for (int kind = 0; kind < 2; kind++) {
            const tern_options o = {.dtype = want[i].dtype};
            tern_tensor *t = kind ? tern_rand(TERN_SHAPE(N), -1, 3, o) : tern_randn(TERN_SHAPE(N), 0.5, 2, o);
            const size_t size = N * tern_dtype_size(want[i].dtype);
            REQUIRE(tern_to_host(t, bytes, size));
            for (size_t k = 0; k < size; k++) hash = (hash ^ bytes[k]) * 1099511628211u;
        }
        CHECK(hash == want[i].hash, "%s: 0x%016llx", tern_dtype_name(want[i].dtype), (unsigned long long)hash);
        tern_scope_pop(s);
    }
}
