/* The loader: order, workers, position, errors. */
#include "common.h"
#include "tern/data.h"

#include <stdatomic.h>

enum { N = 103, BATCH = 8 };

typedef struct numbers { /* sample i is the number i, three times */
    tern_dataset d;
    int64_t bad; /* this sample fails; -1 none */
} numbers;

static bool numbers_get(tern_dataset *d, int64_t i, void *x, void *y) {
    if (i == ((numbers *)d)->bad) return tern_error_set(TERN_ERR_FORMAT, "picture %d.png is torn", (int)i);
    for (int k = 0; k < 3; k++) ((float *)x)[k] = (float)i;
    *(int64_t *)y = i;
    return true;
}

static numbers make(void) {
    return (numbers){{.length = N, .x_shape = TERN_SHAPE(3), .y_dtype = TERN_I64, .get = numbers_get}, -1};
}

/* The order of one epoch into out[N]; returns the count. */
static int run_epoch(tern_loader *l, int64_t *out) {
    int n = 0;
    tern_batch b;
    const int scope = tern_scope_push();
    while (tern_loader_next(l, &b)) {
        const float *x = tern_data(b.x);
        const int64_t *y = tern_data(b.y);
        for (int64_t i = 0; i < b.n && n < N; i++) {
            CHECK(x[3 * i] == (float)y[i] && x[3 * i + 2] == (float)y[i]);
            out[n++] = y[i];
        }
        tern_scope_pop(scope);
    }
    CHECK_OK();
    return n;
}

TERN_TEST(io_loader, order_depends_on_seed_and_epoch_alone) {
    numbers d = make();
    int64_t first[3][N], order[N];
    for (int workers = 0; workers <= 4; workers++) {
        check_case("%d workers", workers);
        tern_loader *l =
            tern_loader_new(&d.d, (tern_loader_opts){.batch = BATCH, .shuffle = true, .seed = 7, .workers = workers});
        REQUIRE(l);
        CHECK(tern_loader_batches(l) == 13);
        for (int e = 0; e < 3; e++) {
            REQUIRE(run_epoch(l, order) == N);
            if (workers == 0) memcpy(first[e], order, sizeof order);
            CHECK(memcmp(first[e], order, sizeof order) == 0, "epoch %d differs", e);
        }
        tern_loader_free(l);
    }
    CHECK(memcmp(first[0], first[1], sizeof order) != 0, "two epochs in the same order");
    bool seen[N] = {false};
    for (int i = 0; i < N; i++) seen[first[0][i]] = true;
    for (int i = 0; i < N; i++) CHECK(seen[i], "sample %d never came", i);
    tern_loader *l = tern_loader_new(&d.d, (tern_loader_opts){.batch = BATCH, .shuffle = true, .seed = 8});
    CHECK(run_epoch(l, order) == N && memcmp(first[0], order, sizeof order) != 0, "another seed, the same order");
    tern_loader_free(l);
}

TERN_TEST(io_loader, goes_on_from_a_position) {
    numbers d = make();
    for (int workers = 0; workers <= 2; workers++)
        for (int at = 0; at <= 13; at++) {
            check_case("%d workers, batch %d", workers, at);
            const tern_loader_opts o = {.batch = BATCH, .shuffle = true, .seed = 3, .workers = workers, .prefetch = 3};
            tern_loader *a = tern_loader_new(&d.d, o), *b = tern_loader_new(&d.d, o);
            int64_t rest[N], again[N];
            tern_batch batch;
            REQUIRE(a && b && run_epoch(a, rest) == N);
            for (int i = 0; i < at; i++) CHECK(tern_loader_next(a, &batch) && batch.index == i);
            const tern_loader_state s = tern_loader_tell(a);
            CHECK(s.epoch == 1 && s.batch == at && s.seed == 3);
            CHECK(tern_loader_seek(b, s));
            const int n = run_epoch(a, rest), m = run_epoch(b, again);
            CHECK(n == m && n == N - (at * BATCH < N ? at * BATCH : N));
            CHECK(memcmp(rest, again, (size_t)n * sizeof *rest) == 0);
            CHECK(run_epoch(a, rest) == N && run_epoch(b, again) == N && memcmp(rest, again, sizeof rest) == 0);
            tern_loader_free(a);
            tern_loader_free(b);
        }
}

TERN_TEST(io_loader, sizes_and_dropping_the_last) {
    numbers d = make();
    tern_loader *l = tern_loader_new(&d.d, (tern_loader_opts){.batch = BATCH, .drop_last = true});
    int64_t order[N];
    CHECK(tern_loader_batches(l) == 12 && run_epoch(l, order) == 96 && order[95] == 95);
    tern_loader_free(l);
    l = tern_loader_new(&d.d, (tern_loader_opts){.batch = 1000, .workers = 1});
    CHECK(tern_loader_batches(l) == 1 && run_epoch(l, order) == N);
    tern_loader_free(l);
    EXPECT_ERROR(tern_loader_new(&d.d, (tern_loader_opts){.batch = 1000, .drop_last = true}), TERN_ERR_ARGUMENT, "103");
    EXPECT_ERROR(tern_loader_new(&d.d, (tern_loader_opts){.batch = -1}), TERN_ERR_ARGUMENT, "batch");
    EXPECT_ERROR(tern_loader_new(&d.d, (tern_loader_opts){.workers = -1}), TERN_ERR_ARGUMENT, "workers");
    EXPECT_ERROR(tern_loader_new(NULL, (tern_loader_opts){0}), TERN_ERR_ARGUMENT, "dataset");
    d.d.length = 0;
    EXPECT_ERROR(tern_loader_new(&d.d, (tern_loader_opts){0}), TERN_ERR_ARGUMENT, "0 samples");
}

TERN_TEST(io_loader, a_sample_s_error_reaches_the_caller) {
    numbers d = make();
    d.bad = 42;
    for (int workers = 0; workers <= 3; workers++) {
        check_case("%d workers", workers);
        tern_loader *l = tern_loader_new(&d.d, (tern_loader_opts){.batch = BATCH, .workers = workers});
        REQUIRE(l);
        tern_batch b;
        int n = 0;
        while (tern_loader_next(l, &b)) n++;
        CHECK(n == 5, "%d batches before the bad one", n);
        EXPECT_PENDING(TERN_ERR_FORMAT, "sample 42: picture 42.png is torn");
        tern_loader_free(l); /* with batches made ahead */
    }
    EXPECT_ERROR(tern_loader_seek(NULL, (tern_loader_state){0}), TERN_ERR_ARGUMENT, "loader");
}

static void count_errors(tern_code code, const char *text, void *user) {
    (void)code;
    if (strstr(text, "sample 42")) ++*(int *)user;
    ++((int *)user)[1];
}

typedef struct line { /* as numbers, one after another */
    numbers n;
    int64_t at;
} line;
static bool line_next(tern_dataset *d, void *x, void *y, bool *end) {
    line *s = (line *)d;
    *end = s->at == N;
    return *end || numbers_get(d, s->at++, x, y);
}
static bool line_restart(tern_dataset *d, uint64_t seed, int64_t epoch) {
    (void)seed, (void)epoch;
    ((line *)d)->at = 0;
    return true;
}

/* The handler, which prints by default, hears of it once, with the sample's number. */
TERN_TEST(io_loader, an_error_is_told_of_once) {
    line d = {.n = make()};
    d.n.bad = 42;
    for (int k = 0; k < 8; k++) {
        const int workers = k % 4;
        int heard[2] = {0};
        check_case("%d workers, %s", workers, k < 4 ? "by number" : "one after another");
        d.n.d.next = k < 4 ? NULL : line_next;
        d.n.d.restart = line_restart;
        tern_loader *l = tern_loader_new(&d.n.d, (tern_loader_opts){.batch = BATCH, .workers = workers});
        tern_batch b;
        tern_on_error(count_errors, heard);
        while (tern_loader_next(l, &b)) continue;
        CHECK(heard[0] == 1 && heard[1] == 1, "heard of %d times, %d of them with the number", heard[1], heard[0]);
        EXPECT_PENDING(TERN_ERR_FORMAT, "sample 42: picture 42.png is torn");
        heard[0] = heard[1] = 0;
        if (k >= 4) CHECK(!tern_loader_seek(l, (tern_loader_state){.batch = 6}) && heard[0] == 1 && heard[1] == 1);
        tern_on_error(NULL, NULL);
        tern_error_clear();
        tern_loader_free(l);
    }
}

typedef struct flaky { /* each sample number that is a multiple of 40 fails once */
    tern_dataset d;
    atomic_int seen[N];
} flaky;

static bool flaky_get(tern_dataset *d, int64_t i, void *x, void *y) {
    if (i % 40 == 0 && atomic_fetch_add(&((flaky *)d)->seen[i], 1) == 0)
        return tern_error_set(TERN_ERR_IO, "the disk is away");
    ((float *)x)[0] = 1;
    *(int64_t *)y = i;
    return true;
}

/* After an error that was cleared the next call makes that batch anew, whoever made it before. */
TERN_TEST(io_loader, a_fault_that_passes) {
    for (int workers = 0; workers <= 3; workers++) {
        check_case("%d workers", workers);
        flaky d = {.d = {.length = N, .y_dtype = TERN_I64, .get = flaky_get}};
        tern_loader *l = tern_loader_new(&d.d, (tern_loader_opts){.batch = BATCH, .workers = workers});
        REQUIRE(l);
        tern_batch b;
        int64_t want = 0;
        int faults = 0;
        for (int i = 0; i < 50 && want < N; i++) {
            if (tern_loader_next(l, &b)) {
                for (int64_t k = 0; k < b.n; k++) CHECK(((int64_t *)tern_data(b.y))[k] == want++);
            } else {
                faults++;
                EXPECT_PENDING(TERN_ERR_IO, "the disk is away");
            }
        }
        CHECK(want == N && faults >= 1 && faults <= 3, "%d faults", faults);
        tern_loader_free(l);
    }
}

TERN_TEST(io_loader, freed_early) {
    numbers d = make();
    for (int i = 0; i < 30; i++) {
        tern_loader *l = tern_loader_new(&d.d, (tern_loader_opts){.batch = 1, .workers = 3, .prefetch = 4});
        tern_batch b;
        for (int k = 0; k < i % 5; k++) CHECK(tern_loader_next(l, &b));
        tern_loader_free(l);
    }
    tern_loader_free(NULL);
}
