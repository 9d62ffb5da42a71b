/* The state machine of captured graphs (cuda/graph.c) with the runtime and the allocator under it, against a driver
 * that fails at any one call. */
#include <pthread.h>
#include <stdarg.h>

#include "common.h"
#include "cusim/driver_sim.h"
#include "internal.h"

/* ---- what core and the kernels would be
 * --------------------------------------------------------------------------------------- */

static struct {
    int count;
    tern_code code;
    char message[512];
} failed;

static long blocks;

static void *host_alloc(size_t bytes) {
    blocks++;
    return malloc(bytes);
}
static void host_free(void *p, size_t bytes) {
    (void)bytes;
    blocks--;
    free(p);
}
static bool host_fail(tern_code code, const char *file, int line, const char *format, ...) {
    (void)file, (void)line;
    va_list a;
    va_start(a, format);
    if (failed.count++ == 0) {
        failed.code = code;
        vsnprintf(failed.message, sizeof failed.message, format, a);
    }
    va_end(a);
    return false;
}
static const terni_host host = {
    .alloc = host_alloc, .free = host_free, .alloc_quiet = host_alloc, .free_quiet = host_free, .fail = host_fail};

/* ---- a session: eager work, a capture with work of all kinds, replays
 * --------------------------------------------------------- */

static bool expect(const char *says, tern_code code) {
    const bool ok = failed.count > 0 && failed.code == code && strstr(failed.message, says);
    if (!ok)
        FAIL("%d errors, the first %s: \"%s\"; expected \"%s\"", failed.count, tern_code_name(failed.code),
             failed.message, says);
    memset(&failed, 0, sizeof failed);
    return ok;
}

static bool fill(void *p, int byte, size_t bytes) {
    terni_cuda_device *d = terni_cuda_use(0);
    return d && TERNI_CUDA_OK(terni_cuda_driver->fill(p, byte, bytes, d->stream));
}

enum { BYTES = 1000 };

/* p: two blocks from before the capture, the second freed inside of it; q made inside. */
static void *capture(char **p, char **q) {
    if (!terni_cuda_capture_begin(0)) return NULL;
    void *made = NULL, *spare = NULL;
    bool ok = terni_cuda_alloc(0, BYTES, &made) && terni_cuda_alloc(0, 3 << 20, &spare);
    ok = ok && fill(p[0], 5, BYTES) && fill(made, 6, BYTES) && fill(p[1], 7, BYTES);
    terni_cuda_free(0, p[1], BYTES);
    p[1] = NULL;
    if (spare) terni_cuda_free(0, spare, 3 << 20);
    *q = made;
    return terni_cuda_capture_end(0, ok);
}

static bool two_blocks(char **p) {
    void *a = NULL, *b = NULL;
    const bool ok = terni_cuda_alloc(0, BYTES, &a) && terni_cuda_alloc(0, BYTES, &b);
    p[0] = a;
    p[1] = b;
    return ok && fill(a, 1, BYTES) && fill(b, 2, BYTES);
}

static void give(char **p) {
    for (int i = 0; i < 2; i++)
        if (p[i]) terni_cuda_free(0, p[i], BYTES);
    p[0] = p[1] = NULL;
}

static terni_allocator_stats stats(void) {
    terni_allocator_stats s;
    terni_allocator_read(terni_cuda_use(0)->allocator, &s);
    return s;
}

static void start(void) {
    terni_cuda_host = &host;
    REQUIRE(terni_cuda_use(0) != NULL, "%s", failed.message);
}

TERN_TEST(cuda_graph, captured_and_replayed) {
    start();
    char *p[2], *q;
    REQUIRE(two_blocks(p));
    char *const second = p[1];
    void *g = capture(p, &q);
    REQUIRE(g != NULL, "%s", failed.message);
    CHECK(p[0][0] == 1 && second[0] == 2 && q[0] == (char)0xFF); /* nothing has run */
    void *fresh = NULL;
    CHECK(terni_cuda_alloc(0, BYTES, &fresh));
    CHECK(fresh != second && fresh != q); /* the one is held, the other is the pool's */
    uint64_t word = 0;
    const terni_cell cell = {&word, 3};
    CHECK(terni_cuda_graph_replay(g, &cell, 1));
    CHECK(word == 3);
    CHECK(p[0][0] == 5 && second[BYTES - 1] == 7 && q[BYTES - 1] == 6);
    terni_cuda_free(0, q, BYTES);
    void *again = NULL;
    CHECK(terni_cuda_alloc(0, BYTES, &again) && again != q); /* the pool's until the graph is freed */
    CHECK(terni_cuda_graph_free(g) == 0);
    terni_cuda_free(0, fresh, BYTES);
    terni_cuda_free(0, again, BYTES);
    give(p);
    CHECK(stats().live == 0);
    terni_cuda_trim(0);
    CHECK(stats().reserved == 0); /* the pool's segments too */
    CHECK(failed.count == 0, "%s", failed.message);
}

TERN_TEST(cuda_graph, blocks_that_live_on) {
    start();
    char *p[2], *q;
    REQUIRE(two_blocks(p));
    void *g = capture(p, &q);
    REQUIRE(g != NULL, "%s", failed.message);
    CHECK(terni_cuda_graph_free(g) == 1);
    terni_cuda_free(0, q, BYTES);
    give(p);
    terni_cuda_trim(0);
    CHECK(stats().live == 0 && stats().reserved == 0);
}

static void *other_thread(void *user) {
    void *p = NULL;
    (void)user;
    return terni_cuda_alloc(0, BYTES, &p) ? p : NULL;
}

TERN_TEST(cuda_graph, what_spoils_it) {
    start();
    char byte = 0;
    char *p[2], *q;
    pthread_t thread;
    void *got = NULL;
    REQUIRE(two_blocks(p));
    for (int k = 0; k < 8; k++) {
        check_case("%d", k);
        REQUIRE(terni_cuda_capture_begin(0), "%s", failed.message);
        switch (k) {
            case 0:
                CHECK(!terni_cuda_sync(0) && expect("tern_sync", TERN_ERR_UNSUPPORTED));
                break;
            case 1:
                CHECK(!terni_cuda_upload(0, p[0], &byte, 1) && expect("a copy from the host", TERN_ERR_UNSUPPORTED));
                break;
            case 2:
                CHECK(!terni_cuda_download(0, &byte, p[0], 1) && expect("a copy to the host", TERN_ERR_UNSUPPORTED));
                break;
            case 3:
                CHECK(!terni_cuda_capture_begin(0) && expect("a second capture", TERN_ERR_UNSUPPORTED));
                break;
            case 4: /* a driver's error, which the program may have cleared */
                terni_sim_fail = (terni_sim_failure){.at = 1, .error = 719};
                CHECK(!fill(p[0], 1, 1) && expect("(719)", TERN_ERR_DEVICE));
                break;
            case 5:
                terni_cuda_capture_spoil(0, "this");
                terni_cuda_capture_spoil(0, "that"); /* the first counts */
                break;
            case 6:
                CHECK(!terni_cuda_use(1) && expect("work on cuda:1 while cuda:0 is captured", TERN_ERR_UNSUPPORTED));
                break;
            default:
                REQUIRE(pthread_create(&thread, NULL, other_thread, NULL) == 0);
                pthread_join(thread, &got);
                CHECK(!got && expect("cuda:0 is captured by another thread", TERN_ERR_UNSUPPORTED));
        }
        CHECK(!terni_cuda_capture_end(0, true));
        static const char *const says[] = {"spoilt by tern_sync",
                                           "spoilt by a copy from",
                                           "spoilt by a copy to",
                                           "spoilt by a second capture",
                                           "spoilt by",
                                           "spoilt by this",
                                           "spoilt by work on cuda:1",
                                           "spoilt by work of another thread"};
        expect(says[k], TERN_ERR_UNSUPPORTED);
        CHECK(terni_cuda_sync(0) && fill(p[0], 1, 1)); /* all is as before */
    }
    void *g = capture(p, &q);
    CHECK(g != NULL, "%s", failed.message);
    terni_cuda_free(0, q, BYTES);
    CHECK(terni_cuda_graph_free(g) == 0);
    give(p);
}

static void *free_in_thread(void *p) {
    terni_cuda_free(0, p, BYTES);
    return NULL;
}

TERN_TEST(cuda_graph, memory_that_another_thread_frees_is_held) {
    start();
    char *p[2];
    pthread_t thread;
    REQUIRE(two_blocks(p));
    char *const used = p[1];
    REQUIRE(terni_cuda_capture_begin(0));
    CHECK(fill(used, 7, BYTES));
    REQUIRE(pthread_create(&thread, NULL, free_in_thread, used) == 0);
    pthread_join(thread, NULL);
    p[1] = NULL;
    void *g = terni_cuda_capture_end(0, true), *fresh = NULL;
    REQUIRE(g != NULL, "%s", failed.message);
    CHECK(terni_cuda_alloc(0, BYTES, &fresh) && fresh != used, "the graph still writes to it");
    CHECK(terni_cuda_graph_replay(g, NULL, 0) && used[0] == 7);
    terni_cuda_free(0, fresh, BYTES);
    CHECK(terni_cuda_graph_free(g) == 0);
    give(p);
    CHECK(stats().live == 0 && failed.count == 0, "%s", failed.message);
}

/* The cells and the memory of a graph are one for all its replays. */
TERN_TEST(cuda_graph, replays_on_another_stream_are_in_order) {
    start();
    const terni_runtime *rt = &terni_cuda_runtime;
    char *p[2], *q;
    void *s = NULL, *e = NULL;
    bool done = true;
    REQUIRE(two_blocks(p));
    void *g = capture(p, &q);
    REQUIRE(g != NULL && rt->stream_new(0, &s) && rt->event_new(0, &e), "%s", failed.message);
    terni_sim_seen.stopped = true;
    uint64_t word = 0;
    const terni_cell cell = {&word, 3};
    CHECK(terni_cuda_graph_replay(g, &cell, 1) && terni_sim_seen.events == 1, "an event where one stream is enough");
    CHECK(rt->event_record(0, e, NULL) && rt->stream_use(0, s) && terni_cuda_graph_replay(g, &cell, 1));
    CHECK(rt->stream_wait(0, s) && rt->event_done(0, e, &done));
    CHECK(done, "the replay does not wait for the one before it, on the other stream");
    CHECK(rt->event_record(0, e, s) && rt->event_done(0, e, &done) && !done);
    CHECK(terni_cuda_graph_replay(g, &cell, 1) && rt->stream_use(0, NULL));
    CHECK(rt->stream_wait(0, NULL) && rt->event_done(0, e, &done));
    CHECK(done, "the graph's stream, and its memory, go on before the replay on the other one is done");
    rt->event_free(0, e);
    CHECK(terni_sim_seen.events == 0, "%ld events are left", (long)terni_sim_seen.events);
    terni_sim_seen.stopped = false;
    CHECK(rt->stream_use(0, NULL) && terni_cuda_sync(0));
    terni_cuda_free(0, q, BYTES);
    CHECK(terni_cuda_graph_free(g) == 0);
    give(p);
    CHECK(failed.count == 0, "%s", failed.message);
}

TERN_TEST(cuda_graph, given_up) {
    start();
    char *p[2];
    REQUIRE(two_blocks(p));
    REQUIRE(terni_cuda_capture_begin(0));
    terni_cuda_free(0, p[1], BYTES);
    p[1] = NULL;
    CHECK(!terni_cuda_capture_end(0, false));
    CHECK(failed.count == 0); /* whoever gives it up has an error of his own */
    give(p);
    CHECK(stats().live == 0);
}

/* Every driver call of a session fails once: the session ends with an error or well, and the next one is good. */
TERN_TEST(cuda_graph, kth_call_fails) {
    start();
    char *p[2], *q = NULL;
    long at_start = 0;
    int k = 0, bad = 0; /* 0: none fails; what is made once is made then */
    for (bool more = true; more; k++) {
        check_case("call %d", k);
        terni_cuda_trim(0); /* so that each session asks the driver for memory */
        terni_sim_fail = (terni_sim_failure){.at = k, .error = 719};
        bool ok = two_blocks(p);
        void *g = ok ? capture(p, &q) : NULL;
        terni_cell cell = {p[0], 0};
        ok = g && terni_cuda_graph_replay(g, &cell, 1) && terni_cuda_sync(0);
        more = k == 0 || terni_sim_fail.at == 0;
        terni_sim_fail.at = 0;
        CHECK(ok == (failed.count == 0), "%s", failed.message);
        bad += !ok;
        memset(&failed, 0, sizeof failed);
        if (q) terni_cuda_free(0, q, BYTES);
        q = NULL;
        if (g) CHECK(terni_cuda_graph_free(g) == 0);
        give(p);
        CHECK(terni_cuda_capture_begin(0) && !terni_cuda_capture_end(0, false)); /* nothing is left behind */
        CHECK(failed.count == 0, "%s", failed.message);
        CHECK(stats().live == 0);
        terni_cuda_trim(0);
        if (k == 0) at_start = blocks;
        CHECK(blocks == at_start, "%ld blocks of host memory", blocks - at_start);
    }
    CHECK(k > 10 && bad > 8, "%d calls, %d sessions failed", k, bad);
}
