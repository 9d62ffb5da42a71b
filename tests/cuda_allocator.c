/* The CUDA backend's caching allocator against the driver of the simulation, which fails when it is told to. The
 * sources of both are compiled into this program; no CUDA is needed. */
#include "allocator.h"

#include <pthread.h>

#include "common.h"
#include "driver_sim.h"

enum { KIB = 1 << 10, MIB = 1 << 20 };

static const terni_driver *const driver = &terni_cuda_driver_table;
static terni_stream one, two;

/* The allocator's own memory: counted, and failing at the host_fail-th request. */
static _Atomic long host_live, host_fail;
static void *host_get(size_t bytes) {
    if (atomic_load(&host_fail) > 0 && atomic_fetch_sub(&host_fail, 1) == 1) return NULL;
    atomic_fetch_add(&host_live, 1);
    return malloc(bytes);
}
static void host_put(void *p, size_t bytes) {
    memset(p, 0xEE, bytes);
    atomic_fetch_sub(&host_live, 1);
    free(p);
}
static const terni_allocator_host host = {host_get, host_put};

static terni_allocator *start(bool direct, size_t limit) {
    driver->use_device(0);
    driver->stream_new(&one);
    driver->stream_new(&two);
    return terni_allocator_new(driver, host, direct, limit);
}

/* Everything is given back. */
static void stop(terni_allocator *a) {
    terni_sim_fail.at = 0;
    terni_sim_fail.lost = false;
    host_fail = 0;
    if (a) terni_allocator_free(a);
    driver->stream_free(one);
    driver->stream_free(two);
    CHECK(terni_sim_seen.blocks == 0, "%ld blocks of the driver are left", (long)terni_sim_seen.blocks);
    CHECK(terni_sim_seen.events == 0, "%ld events are left", (long)terni_sim_seen.events);
    CHECK(host_live == 0, "%ld blocks of the host are left", (long)host_live);
}

static char *get(terni_allocator *a, size_t bytes, terni_stream s) {
    void *p = NULL;
    const int rc = terni_allocator_get(a, bytes, s, &p);
    if (rc) check_fail(__FILE__, __LINE__, "%zu bytes gave error %d", bytes, rc);
    return p;
}
static void put(terni_allocator *a, void *p) { CHECK(terni_allocator_put(a, p) == 0); }
static terni_allocator_stats stats(terni_allocator *a) {
    terni_allocator_stats s;
    terni_allocator_read(a, &s);
    return s;
}

/* ---- where blocks lie
 * ------------------------------------------------------------------------------------------------ */

TERN_TEST(cuda_allocator, splits_and_joins) {
    terni_allocator *a = start(false, 0);
    char *x = get(a, 1000, one), *y = get(a, 512, one), *z = get(a, 513, one);
    REQUIRE(x && y && z);
    CHECK(y == x + 1024 && z == y + 512, "at %td and %td", y - x, z - x);
    CHECK(stats(a).segments == 1 && stats(a).reserved == 2 * MIB && stats(a).live == 1024 + 512 + 1024);
    put(a, x);
    put(a, z); /* joins the rest of the segment */
    CHECK(get(a, 1025, one) == z, "no room was made behind y");
    CHECK(get(a, 1024, one) == x, "the gap before y is the best fit");
    put(a, x);
    put(a, y); /* joins x */
    CHECK(get(a, 1536, one) == x, "x and y did not join");
    put(a, x);
    put(a, z);
    char *const all = get(a, MIB, one), *const half = get(a, MIB, one);
    CHECK(all == x && half == x + MIB, "the whole segment is one block again");
    CHECK(stats(a).segments == 1);
    CHECK(get(a, 3 * MIB, one) && get(a, 512, one) && stats(a).segments == 3, "a small request cut up a large segment");
    stop(a);
}

TERN_TEST(cuda_allocator, size_classes) {
    static const struct {
        size_t bytes, segment;
    } rows[] = {{1, 2 * MIB},
                {MIB, 2 * MIB},
                {MIB + 1, 20 * MIB},
                {10 * MIB, 20 * MIB},
                {10 * MIB + 1, 12 * MIB},
                {12 * MIB, 12 * MIB},
                {12 * MIB + 1, 14 * MIB},
                {100 * MIB, 100 * MIB}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check_case("%zu bytes", rows[i].bytes);
        terni_allocator *a = start(false, 0);
        get(a, rows[i].bytes, one);
        CHECK(stats(a).reserved == rows[i].segment, "%zu reserved, %zu expected", stats(a).reserved, rows[i].segment);
        CHECK(stats(a).live == (rows[i].bytes + 511) / 512 * 512);
        stop(a);
    }
    check_case("%s", "");
    terni_allocator *a = start(false, 0);
    void *p = NULL;
    CHECK(terni_allocator_get(a, SIZE_MAX - 5, one, &p) == TERNI_DRIVER_NO_MEMORY && !p, "sizes wrapped round");
    /* What is left of a large block is cut off only if it is worth it. */
    char *x = get(a, 31 * MIB + 1, one); /* a segment of 32 MiB */
    CHECK(stats(a).live == 32 * MIB, "%zu live", stats(a).live);
    put(a, x);
    CHECK(get(a, 11 * MIB, one) == x && get(a, 11 * MIB, one) == x + 11 * MIB);
    stop(a);
}

TERN_TEST(cuda_allocator, the_best_fit_is_taken) {
    terni_allocator *a = start(false, 0);
    char *p[9];
    for (int i = 0; i < 9; i++) p[i] = get(a, i % 2 ? 512 : (size_t)(10 - i) * 512, one);
    for (int i = 0; i < 9; i += 2) put(a, p[i]); /* gaps of 10, 8, 6, 4 and what is behind */
    CHECK(get(a, 4 * 512, one) == p[6] && get(a, 5 * 512, one) == p[4] && get(a, 8 * 512, one) == p[2]);
    stop(a);
}

/* ---- streams
 * ------------------------------------------------------------------------------------------------------------ */

TERN_TEST(cuda_allocator, streams_have_blocks_of_their_own) {
    terni_allocator *a = start(false, 0);
    char *x = get(a, 4 * KIB, one);
    put(a, x);
    char *y = get(a, 4 * KIB, two);
    CHECK(y != x, "a block went to another stream");
    CHECK(get(a, 4 * KIB, one) == x, "work in order needs no wait");
    CHECK(terni_sim_seen.waits == 0);
    stop(a);
}

TERN_TEST(cuda_allocator, a_block_that_others_use_waits_for_them) {
    terni_allocator *a = start(false, 0);
    char *x = get(a, 4 * KIB, one), *inner = x + 1000;
    terni_sim_seen.stopped = true;
    CHECK(terni_allocator_used_on(a, inner, two, 0) == 0);
    CHECK(terni_allocator_used_on(a, x, two, 0) == 0, "twice is once");
    CHECK(terni_allocator_used_on(a, x, one, 0) == 0, "its own stream counts for nothing");
    put(a, x);
    CHECK(terni_sim_seen.events == 1, "%ld events", (long)terni_sim_seen.events);
    CHECK(stats(a).live == 0, "a block that waits is no longer the program's");
    char *y = get(a, 4 * KIB, one);
    CHECK(y != x, "x was handed out while stream two worked on it");
    CHECK(terni_allocator_used_on(a, x, two, 0) == TERNI_DRIVER_INVALID, "x is nobody's");
    CHECK(terni_allocator_put(a, x) == TERNI_DRIVER_INVALID, "x was freed twice");
    CHECK(driver->stream_wait(two) == 0);
    CHECK(get(a, 4 * KIB, one) == x, "the events have passed");
    CHECK(terni_sim_seen.events == 0);
    /* Trimming waits for them. */
    CHECK(terni_allocator_used_on(a, x, two, 0) == 0 && terni_allocator_used_on(a, y, two, 0) == 0);
    put(a, x);
    put(a, y);
    CHECK(terni_sim_seen.events == 2 && terni_allocator_trim(a) == 0);
    CHECK(stats(a).reserved == 0 && terni_sim_seen.events == 0 && terni_sim_seen.blocks == 0);
    terni_sim_seen.stopped = false;
    stop(a);
}

TERN_TEST(cuda_allocator, addresses_find_their_blocks) {
    terni_allocator *a = start(false, 0);
    char *p[200];
    for (int i = 0; i < 200; i++) p[i] = get(a, i % 7 == 0 ? 11 * MIB : (size_t)(i + 1) * 700, one);
    terni_sim_seen.stopped = true;
    for (int i = 0; i < 200; i += 3) CHECK(terni_allocator_used_on(a, p[i] + 699, two, 0) == 0);
    for (int i = 0; i < 200; i++) put(a, p[i]);
    CHECK(terni_sim_seen.events == 67, "%ld blocks wait", (long)terni_sim_seen.events);
    int here;
    CHECK(terni_allocator_used_on(a, &here, two, 0) == TERNI_DRIVER_INVALID);
    CHECK(terni_allocator_used_on(a, NULL, two, 0) == TERNI_DRIVER_INVALID);
    terni_sim_seen.stopped = false;
    stop(a); /* waits for what is left */
}

/* ---- when memory is short
 * ------------------------------------------------------------------------------------------------ */

TERN_TEST(cuda_allocator, the_cache_is_emptied_for_a_request) {
    setenv("TERN_SIM_MEMORY", "67108864", 1); /* 64 MiB */
    terni_allocator *a = start(false, 0);
    char *x = get(a, 30 * MIB, one), *y = get(a, 30 * MIB, two);
    put(a, y);
    void *p = NULL;
    CHECK(terni_allocator_get(a, 60 * MIB, one, &p) == TERNI_DRIVER_NO_MEMORY && !p);
    CHECK(stats(a).retries == 1 && stats(a).segments == 1, "the cache was not emptied");
    put(a, x);
    CHECK(get(a, 60 * MIB, one) != NULL && stats(a).retries == 2 && stats(a).reserved == 60 * MIB);
    CHECK(get(a, 4 * MIB - 2 * KIB, one) != NULL, "a segment of 20 MiB does not fit; one of the request's size does");
    CHECK(stats(a).reserved == 64 * MIB - 2 * KIB);
    stop(a);
}

TERN_TEST(cuda_allocator, the_limit_holds) {
    terni_allocator *a = start(false, 32 * MIB);
    void *p = NULL;
    CHECK(terni_allocator_get(a, 33 * MIB, one, &p) == TERNI_DRIVER_NO_MEMORY);
    char *x = get(a, 20 * MIB, one);
    CHECK(terni_allocator_get(a, 14 * MIB, one, &p) == TERNI_DRIVER_NO_MEMORY && !p);
    CHECK(get(a, 12 * MIB, one) != NULL && stats(a).reserved == 32 * MIB);
    put(a, x);
    CHECK(get(a, 1, two) != NULL, "the cache gives way");
    CHECK(stats(a).reserved_peak == 32 * MIB, "at most %zu", stats(a).reserved_peak);
    stop(a);
}

TERN_TEST(cuda_allocator, a_thousand_failures_then_success) {
    setenv("TERN_SIM_MEMORY", "16777216", 1);
    terni_allocator *a = start(false, 0);
    char *x = get(a, 4 * MIB, one);
    for (int i = 0; i < 1000; i++) {
        void *p = NULL;
        if (terni_allocator_get(a, 100 * MIB, one, &p) != TERNI_DRIVER_NO_MEMORY || p) FAIL("request %d", i);
    }
    put(a, x);
    CHECK(get(a, 4 * MIB, one) != NULL && stats(a).retries == 1001);
    stop(a);
}

TERN_TEST(cuda_allocator, direct_goes_to_the_driver) {
    terni_allocator *a = start(true, 0);
    char *x = get(a, 100, one), *y = get(a, 100, one);
    CHECK(terni_sim_seen.blocks == 2 && stats(a).reserved == 200);
    put(a, x);
    CHECK(terni_sim_seen.blocks == 1 && stats(a).reserved == 100 && stats(a).live == 100);
    terni_sim_seen.stopped = true;
    CHECK(terni_allocator_used_on(a, y, two, 0) == 0);
    put(a, y);
    CHECK(terni_sim_seen.blocks == 1, "y was given back while stream two worked on it");
    driver->stream_wait(two);
    put(a, get(a, 1, one));
    CHECK(terni_sim_seen.blocks == 0 && stats(a).reserved == 0, "y was kept");
    terni_sim_seen.stopped = false;
    stop(a);
}

TERN_TEST(cuda_allocator, statistics) {
    terni_allocator *a = start(false, 0);
    char *x = get(a, 1000, one), *y = get(a, 3 * MIB, one);
    put(a, x);
    terni_allocator_stats s = stats(a);
    CHECK(s.live == 3 * MIB && s.live_peak == 3 * MIB + 1024 && s.allocations == 2 && s.frees == 1);
    CHECK(s.reserved == 22 * MIB && s.reserved_peak == 22 * MIB && s.segments == 2);
    CHECK(terni_allocator_trim(a) == 0);
    CHECK(stats(a).reserved == 20 * MIB && stats(a).reserved_peak == 22 * MIB);
    terni_allocator_reset_peak(a);
    s = stats(a);
    CHECK(s.live_peak == 3 * MIB && s.reserved_peak == 20 * MIB);
    char text[256], few[20];
    terni_allocator_describe(a, text, sizeof text);
    CHECK(
        strstr(text, "3.0 MiB in use") && strstr(text, "20.0 MiB reserved in 1 segments") && strstr(text, "4096.0 MiB"),
        "%s", text);
    terni_allocator_describe(a, few, sizeof few);
    CHECK(strlen(few) == sizeof few - 1);
    put(a, y);
    stop(a);
}

/* ---- pools of graphs
 * ---------------------------------------------------------------------------------------------------- */

TERN_TEST(cuda_allocator, a_pool_is_a_graph_s_alone) {
    terni_allocator *a = start(false, 0);
    char *before = get(a, 4 * KIB, one);
    put(a, before);
    terni_allocator_pool_begin(a, one, 7);
    char *x = get(a, 4 * KIB, one), *other = get(a, 4 * KIB, two);
    CHECK(x != before, "the pool shares a block with the program");
    put(a, x);
    CHECK(get(a, 4 * KIB, one) == x, "within the capture blocks are used again");
    terni_allocator_pool_end(a);
    CHECK(get(a, 4 * KIB, one) == before, "after it the program has its own again");
    put(a, x); /* an output of the graph, freed later */
    CHECK(get(a, 4 * KIB, one) != x && get(a, 4 * KIB, two) != x, "the graph's memory was handed out");
    CHECK(terni_allocator_trim(a) == 0);
    terni_allocator_pool_begin(a, one, 7);
    char *again = get(a, 4 * KIB, one);
    CHECK(again == x, "the pool's memory was given back to the driver");
    terni_allocator_pool_end(a);
    /* Dropped while blocks live, rest, and wait for another stream. */
    terni_sim_seen.stopped = true;
    CHECK(terni_allocator_used_on(a, again, two, 0) == 0);
    put(a, again);
    terni_allocator_pool_drop(a, 7);
    put(a, other);
    driver->stream_wait(two);
    terni_sim_seen.stopped = false;
    char *last = get(a, MIB, one);
    CHECK(last == x || last == before || last != NULL);
    put(a, last);
    CHECK(terni_allocator_trim(a) == 0);
    stop(a);
}

/* ---- failures of the driver and the host
 * ---------------------------------------------------------------------------------- */

/* What an allocator goes through; errors are counted, and what was not had is not given back. */
static int scenario(terni_allocator *a) {
    static const size_t sizes[] = {700, 512, 3 * MIB, 11 * MIB, 40 * KIB, 13 * MIB, 600 * KIB, 900 * KIB};
    char *p[8] = {NULL};
    int errors = 0;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 8; i++) {
            void *q = NULL;
            const int rc = terni_allocator_get(a, sizes[i], i % 3 ? one : two, &q);
            CHECK((rc == 0) == (q != NULL), "error %d and block %p", rc, q);
            p[i] = q;
            errors += rc != 0;
            if (p[i]) memset(p[i], i, sizes[i]);
            if (p[i] && i % 2) errors += terni_allocator_used_on(a, p[i] + 5, i % 3 ? two : one, 0) != 0;
        }
        for (int i = 0; i < 8; i++) {
            if (!p[i]) continue;
            CHECK(p[i][sizes[i] - 1] == i && p[i][0] == i, "block %d was overwritten", i);
            errors += terni_allocator_put(a, p[i]) != 0;
        }
        errors += terni_allocator_trim(a) != 0;
    }
    return errors;
}

static void every_failure(bool of_host, bool direct, bool stopped, bool sticky) {
    int seen = 0;
    for (long k = 1;; k++) {
        check_case("%s call %ld fails, %s%s%s", of_host ? "host" : "driver", k, direct ? "direct" : "caching",
                   stopped ? ", busy streams" : "", sticky ? ", for good" : "");
        terni_allocator *a = start(direct, 0);
        terni_sim_seen.stopped = stopped;
        terni_sim_fail = (terni_sim_failure){.error = sticky  ? 700
                                                      : k % 2 ? TERNI_DRIVER_NO_MEMORY
                                                              : 999,
                                             .sticky = sticky};
        if (of_host)
            host_fail = k;
        else
            terni_sim_fail.at = k;
        const int errors = scenario(a);
        const bool reached = of_host ? host_fail == 0 : terni_sim_fail.at == 0 || terni_sim_fail.lost;
        seen += errors > 0;
        CHECK(stats(a).live == 0, "%zu bytes live", stats(a).live);
        host_fail = 0;
        terni_sim_fail.at = 0;
        terni_sim_fail.lost = false;
        if (reached) CHECK(scenario(a) == 0, "it does not work afterwards");
        terni_sim_seen.stopped = false;
        stop(a);
        if (!reached || check_failures() > 10) break;
        REQUIRE(k < 10000);
    }
    check_case("%s", "");
    CHECK(of_host || seen > 8, "%d failures were reported", seen);
}

TERN_TEST(cuda_allocator, every_driver_call_fails_once) {
    for (int i = 0; i < 8; i++) every_failure(false, i & 1, i & 2, i & 4);
}
TERN_TEST(cuda_allocator, every_host_request_fails_once) {
    for (int i = 0; i < 4; i++) every_failure(true, i & 1, i & 2, false);
}

/* ---- random use against a model
 * ------------------------------------------------------------------------------------------- */

typedef struct held {
    char *p;
    size_t bytes;
    unsigned char value;
} held;

/* Live blocks never overlap (each is filled with a value of its own, looked at when it is freed) and lie whole within
 * memory of the driver (AddressSanitizer would see). */
static void stress(terni_allocator *a, int steps, uint64_t seed, terni_stream *streams, int n_streams) {
    enum { MOST = 60 };
    held h[MOST];
    int n = 0;
    for (int i = 0; i < steps; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const unsigned r = (unsigned)(seed >> 33);
        if (n < MOST && (n == 0 || r % 5 < 3)) {
            const size_t limits[] = {600, 5 * KIB, 200 * KIB, 2 * MIB};
            const size_t bytes = 1 + (size_t)(r >> 4) % limits[r / 5 % 8 > 3 ? r / 5 % 4 : r / 5 % 2];
            void *p = NULL;
            if (terni_allocator_get(a, bytes, streams[r / 7 % (unsigned)n_streams], &p)) FAIL("step %d", i);
            if (!p) continue;
            h[n] = (held){p, bytes, (unsigned char)(r >> 9)};
            memset(p, h[n].value, bytes);
            n++;
        } else {
            const held x = h[r / 11 % (unsigned)n];
            for (size_t k = 0; k < x.bytes; k += 1 + x.bytes / 64)
                if ((unsigned char)x.p[k] != x.value) FAIL("step %d: byte %zu of %zu was overwritten", i, k, x.bytes);
            if (r / 13 % 4 == 0)
                CHECK(terni_allocator_used_on(a, x.p + x.bytes - 1, streams[r / 17 % (unsigned)n_streams], 0) == 0);
            CHECK(terni_allocator_put(a, x.p) == 0);
            h[r / 11 % (unsigned)n] = h[n - 1];
            n--;
        }
        if (r / 19 % 500 == 0) CHECK(terni_allocator_trim(a) == 0);
    }
    while (n) CHECK(terni_allocator_put(a, h[--n].p) == 0);
}

TERN_TEST(cuda_allocator, random_use) {
    for (uint64_t seed = 1; seed <= 6; seed++) {
        check_case("seed %d", (int)seed);
        terni_allocator *a = start(seed == 6, 0);
        terni_sim_seen.stopped = seed % 2;
        terni_stream s[2] = {one, two};
        stress(a, TEST_ASAN ? 2000 : 20000, seed, s, 2);
        CHECK(stats(a).live == 0 && stats(a).allocations == stats(a).frees);
        CHECK(terni_allocator_trim(a) == 0 && stats(a).reserved == 0, "%zu bytes stay reserved", stats(a).reserved);
        terni_sim_seen.stopped = false;
        stop(a);
    }
}

typedef struct worker {
    terni_allocator *a;
    uint64_t seed;
} worker;
static void *work(void *user) {
    const worker *w = user;
    terni_stream s[2] = {one, two};
    driver->use_device(0);
    stress(w->a, TEST_ASAN ? 1000 : 5000, w->seed, s, 2);
    return NULL;
}

TERN_TEST(cuda_allocator, several_threads) {
    terni_allocator *a = start(false, 0);
    pthread_t t[4];
    worker w[4];
    for (int i = 0; i < 4; i++) {
        w[i] = (worker){a, (uint64_t)i + 100};
        REQUIRE(pthread_create(&t[i], NULL, work, &w[i]) == 0);
    }
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    CHECK(stats(a).live == 0 && terni_allocator_trim(a) == 0 && stats(a).reserved == 0);
    stop(a);
}
