/* Samplers: what an epoch holds, and that it follows from seed and number alone. */
#include "common.h"
#include "tern/data.h"

enum { N = 60 };

static int64_t a[4 * N], b[4 * N];

/* Epochs repeat, and differ from each other and with the seed, unless the order is fixed. */
static void check_epochs(tern_sampler *s, bool fixed) {
    const size_t bytes = (size_t)s->length * sizeof *a;
    REQUIRE(s->length <= 4 * N);
    CHECK(tern_sampler_order(s, 5, 2, a) && tern_sampler_order(s, 5, 2, b) && memcmp(a, b, bytes) == 0, "not the same");
    CHECK(tern_sampler_order(s, 5, 3, b) && (memcmp(a, b, bytes) == 0) == fixed, "another epoch");
    CHECK(tern_sampler_order(s, 6, 2, b) && (memcmp(a, b, bytes) == 0) == fixed, "another seed");
    for (int64_t i = 0; i < s->length; i++) CHECK(a[i] >= 0 && a[i] < s->over);
}

static int most_often(const int64_t *v, int64_t n) {
    int count[N] = {0}, most = 0;
    for (int64_t i = 0; i < n; i++)
        if (++count[v[i]] > most) most = count[v[i]];
    return most;
}

TERN_TEST(io_sampler, sequential_and_random) {
    tern_sampler *s = tern_sampler_sequential_new(N);
    REQUIRE(s);
    check_epochs(s, true);
    for (int i = 0; i < N; i++) CHECK(a[i] == i);
    tern_sampler_free(s);
    s = tern_sampler_random_new(N, (tern_sampler_opts){0});
    check_epochs(s, false);
    CHECK(most_often(a, N) == 1);
    tern_sampler_free(s);
    s = tern_sampler_random_new(N, (tern_sampler_opts){.samples = 2 * N + 7});
    check_epochs(s, false);
    CHECK(s->length == 2 * N + 7 && most_often(a, N) == 1 && most_often(a + N, N) == 1 &&
          most_often(a + 2 * N, 7) == 1);
    tern_sampler_free(s);
    s = tern_sampler_random_new(N, (tern_sampler_opts){.samples = 3 * N, .replacement = true});
    check_epochs(s, false);
    CHECK(most_often(a, N) > 1);
    tern_sampler_free(s);
    EXPECT_ERROR(tern_sampler_random_new(0, (tern_sampler_opts){0}), TERN_ERR_ARGUMENT, "0 samples");
    EXPECT_ERROR(tern_sampler_random_new(3, (tern_sampler_opts){.samples = -1}), TERN_ERR_ARGUMENT, "-1 of 3");
    EXPECT_ERROR(tern_sampler_sequential_new(-1), TERN_ERR_ARGUMENT, "sampler_sequential");
    tern_sampler_free(NULL);
}

TERN_TEST(io_sampler, weights_are_shares) {
    const double w[4] = {1, 0, 3, 4};
    tern_sampler *s = tern_sampler_weighted_new(w, 4, (tern_sampler_opts){.samples = N, .replacement = true});
    REQUIRE(s);
    check_epochs(s, false);
    int count[4] = {0};
    for (int e = 0; e < 400; e++) {
        CHECK(tern_sampler_order(s, 1, e, a));
        for (int i = 0; i < N; i++) count[a[i]]++;
    }
    for (int i = 0; i < 4; i++) /* 24,000 draws: five standard deviations are 390 at most */
        CHECK(fabs(count[i] - w[i] / 8 * 24000) < 390, "number %d came %d times", i, count[i]);
    CHECK(count[1] == 0);
    tern_sampler_free(s);
    s = tern_sampler_weighted_new(w, 4, (tern_sampler_opts){0});
    REQUIRE(s && s->length == 3);
    int first = 0;
    for (int e = 0; e < 4000; e++) {
        CHECK(tern_sampler_order(s, 1, e, a) && most_often(a, 3) == 1 && a[0] != 1 && a[1] != 1 && a[2] != 1);
        first += a[0] == 3;
    }
    CHECK(abs(first - 2000) < 160, "the half of all weight came first %d times of 4000", first);
    tern_sampler_free(s);
    EXPECT_ERROR(tern_sampler_weighted_new(w, 4, (tern_sampler_opts){.samples = 4}), TERN_ERR_ARGUMENT, "out of 3");
    EXPECT_ERROR(tern_sampler_weighted_new((double[]){1, -1}, 2, (tern_sampler_opts){0}), TERN_ERR_ARGUMENT,
                 "weight 1");
    EXPECT_ERROR(tern_sampler_weighted_new((double[]){0, (double)NAN}, 2, (tern_sampler_opts){0}), TERN_ERR_ARGUMENT,
                 "weight 1");
    EXPECT_ERROR(tern_sampler_weighted_new((double[]){0, 0}, 2, (tern_sampler_opts){.replacement = true}),
                 TERN_ERR_ARGUMENT, "out of 0");
    EXPECT_ERROR(tern_sampler_weighted_new(NULL, 2, (tern_sampler_opts){0}), TERN_ERR_ARGUMENT, "weight");
}

TERN_TEST(io_sampler, strata_keep_their_shares_in_every_batch) {
    int64_t label[N];
    for (int i = 0; i < N; i++) label[i] = i < 6 ? 7 : i < 24 ? 0 : 3; /* 6, 18 and 36 of 60 */
    tern_sampler *s = tern_sampler_stratified_new(label, N);
    REQUIRE(s);
    check_epochs(s, false);
    for (int e = 0; e < 50; e++) {
        REQUIRE(tern_sampler_order(s, 9, e, a) && most_often(a, N) == 1);
        for (int at = 0; at < N; at += 20) { /* shares of 20: 2, 6, 12 */
            int count[8] = {0};
            for (int i = at; i < at + 20; i++) count[label[a[i]]]++;
            CHECK(abs(count[7] - 2) <= 1 && abs(count[0] - 6) <= 1 && abs(count[3] - 12) <= 2, "%d, %d, %d", count[7],
                  count[0], count[3]);
        }
    }
    tern_sampler_free(s);
    label[4] = -1;
    EXPECT_ERROR(tern_sampler_stratified_new(label, N), TERN_ERR_ARGUMENT, "label -1 of sample 4");
    EXPECT_ERROR(tern_sampler_stratified_new(NULL, N), TERN_ERR_ARGUMENT, "label");
}

static void share(int64_t n, int world, int rank, bool drop, const int64_t *want, size_t count) {
    check_case("%lld samples, rank %d of %d%s", (long long)n, rank, world, drop ? ", dropping" : "");
    tern_sampler *all = tern_sampler_sequential_new(n), *s = tern_sampler_distributed_new(all, rank, world, drop);
    REQUIRE(s && s->length == (int64_t)count && s->over == n);
    CHECK(tern_sampler_order(s, 0, 0, a) && memcmp(a, want, count * sizeof *want) == 0);
    tern_sampler_free(s);
    tern_sampler_free(all);
}

TERN_TEST(io_sampler, shares_of_processes_are_torch_s) {
#define SHARE(n, world, rank, drop, ...) \
    share(n, world, rank, drop, (const int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t));
#include "reference/transforms.def"
    tern_sampler *all = tern_sampler_random_new(10, (tern_sampler_opts){0});
    tern_sampler *s = tern_sampler_distributed_new(all, 1, 2, false);
    check_epochs(s, false);
    tern_sampler_free(s);
    EXPECT_ERROR(tern_sampler_distributed_new(all, 2, 2, false), TERN_ERR_ARGUMENT, "rank 2 of 2");
    EXPECT_ERROR(tern_sampler_distributed_new(all, 0, 11, true), TERN_ERR_ARGUMENT, "none for each");
    EXPECT_ERROR(tern_sampler_distributed_new(NULL, 0, 1, true), TERN_ERR_ARGUMENT, "sampler");
    tern_sampler_free(all);
}

static bool wild(tern_sampler *s, uint64_t seed, int64_t epoch, int64_t *out) {
    (void)seed;
    for (int64_t i = 0; i < s->length; i++) out[i] = epoch == 2 && i == 1 ? 99 : i;
    return epoch != 1;
}

TERN_TEST(io_sampler, a_program_s_own) {
    tern_sampler s = {.length = 3, .over = 3, .order = wild};
    CHECK(tern_sampler_order(&s, 0, 0, a) && a[2] == 2);
    EXPECT_ERROR(tern_sampler_order(&s, 0, 1, a), TERN_ERR_ARGUMENT, "no reason");
    EXPECT_ERROR(tern_sampler_order(&s, 0, 2, a), TERN_ERR_INDEX, "number 99 at place 1");
    EXPECT_ERROR(tern_sampler_order(NULL, 0, 2, a), TERN_ERR_ARGUMENT, "sampler");
}
