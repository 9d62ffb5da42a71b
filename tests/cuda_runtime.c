/* The CUDA backend's runtime (devices, streams, faults, errors, pinned memory, copies) against the driver of the
 * simulation, without core and without kernels. Each test is a process of its own, so that all begins anew. */
#include <pthread.h>
#include <stdarg.h>

#include "common.h"
#include "driver_sim.h"
#include "internal.h"

/* ---- what core would lend
 * ------------------------------------------------------------------------------------------------ */

static _Atomic long host_live, host_fail;
static void *host_get(size_t bytes) {
    if (atomic_load(&host_fail) > 0 && atomic_fetch_sub(&host_fail, 1) == 1) return NULL;
    atomic_fetch_add(&host_live, 1);
    return malloc(bytes);
}
static void host_put(void *p, size_t bytes) {
    (void)bytes;
    atomic_fetch_sub(&host_live, 1);
    free(p);
}
static _Thread_local tern_code code;
static _Thread_local char message[512];
static bool host_error(tern_code c, const char *file, int line, const char *format, ...) {
    (void)file, (void)line;
    if (code) return false;
    code = c;
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return false;
}
static void *host_get_loud(size_t bytes) {
    void *p = host_get(bytes);
    if (!p) host_error(TERN_ERR_MEMORY, __FILE__, __LINE__, "memory: of the host");
    return p;
}
static const char *nobody(void) { return NULL; }
static const terni_host host = {.alloc = host_get_loud,
                                .free = host_put,
                                .alloc_quiet = host_get,
                                .free_quiet = host_put,
                                .fail = host_error,
                                .caller = nobody};
static const terni_runtime *const rt = &terni_cuda_runtime;

static void forget(void) {
    code = TERN_OK;
    message[0] = 0;
}
/* The last call failed with this. */
#define FAILED(call, c, text)                                                                               \
    do {                                                                                                    \
        const bool did = (call);                                                                            \
        CHECK(!did && code == (c) && strstr(message, (text)), "gave %d, error %d: %s", did, code, message); \
        forget();                                                                                           \
    } while (0)
#define DONE(call) CHECK((call) && code == TERN_OK, "error %d: %s", code, message)

static void begin(const char *devices) {
    setenv("TERN_SIM_DEVICES", devices, 1);
    terni_cuda_host = &host;
}

static void *block(int device, size_t bytes) {
    void *p = NULL;
    DONE(terni_cuda_alloc(device, bytes, &p));
    return p;
}
static tern_memory_cache_stats cached(int device) {
    tern_memory_cache_stats s = {0};
    DONE(rt->cache(device, &s));
    return s;
}

/* ---- devices
 * ------------------------------------------------------------------------------------------------------------ */

TERN_TEST(cuda_runtime, devices_and_properties) {
    begin("3");
    char reason[100] = "", text[2048] = "";
    CHECK(terni_cuda_device_count(reason, sizeof reason) == 3 && !reason[0]);
    tern_device_properties p;
    DONE(rt->properties(2, &p));
    CHECK(strcmp(p.name, "simulation on the host") == 0 && p.major == 9 && p.processors == 4);
    CHECK(p.memory == (int64_t)4 << 30 && p.available == p.memory);
    void *b = block(2, 30 << 20);
    DONE(rt->properties(2, &p));
    CHECK(p.available == p.memory - (30 << 20));
    DONE(rt->properties(1, &p));
    CHECK(p.available == p.memory, "memory of cuda:2 counts for cuda:1");
    terni_cuda_info(text, sizeof text);
    CHECK(strstr(text, "cuda:0") && strstr(text, "cuda:2") && strstr(text, "capability 9.0"), "%s", text);
    terni_cuda_free(2, b, 30 << 20);
    setenv("TERN_SIM_DEVICES", "0", 1);
    CHECK(terni_cuda_device_count(reason, sizeof reason) == 0 && strstr(reason, "no GPU"), "%s", reason);
    terni_sim_fail = (terni_sim_failure){.at = 1, .error = 35};
    CHECK(terni_cuda_device_count(reason, sizeof reason) == 0 && strstr(reason, "35"), "%s", reason);
}

TERN_TEST(cuda_runtime, settings_are_looked_at) {
    begin("3");
    void *p = NULL;
    setenv("TERN_CUDA_ALLOCATOR", "cunning", 1);
    FAILED(terni_cuda_alloc(0, 100, &p), TERN_ERR_ARGUMENT, "TERN_CUDA_ALLOCATOR is \"cunning\"");
    setenv("TERN_CUDA_ALLOCATOR", "direct", 1);
    setenv("TERN_CUDA_MEMORY_LIMIT", "12 MB", 1);
    FAILED(terni_cuda_alloc(0, 100, &p), TERN_ERR_ARGUMENT, "TERN_CUDA_MEMORY_LIMIT is \"12 MB\"");
    CHECK(terni_sim_seen.streams == 0 && terni_sim_seen.host_blocks == 0, "what was begun was not undone");
    setenv("TERN_CUDA_MEMORY_LIMIT", "1000", 1);
    DONE(terni_cuda_alloc(0, 900, &p));
    void *q = NULL;
    FAILED(terni_cuda_alloc(0, 101, &q), TERN_ERR_MEMORY, "101 bytes on cuda:0 could not be had");
    terni_cuda_free(0, p, 900);
    DONE(terni_cuda_alloc(0, 1000, &q));
    terni_cuda_free(0, q, 1000);
}

TERN_TEST(cuda_runtime, each_call_makes_its_device_current) {
    begin("2");
    char bytes[64] = "what goes to one and comes back from it";
    void *a = block(0, 64), *b = block(1, 64);
    DONE(terni_cuda_upload(0, a, bytes, 64));
    CHECK(terni_sim_device() == 0);
    DONE(terni_cuda_upload(1, b, "x", 2));
    CHECK(terni_sim_device() == 1);
    DONE(terni_cuda_driver->use_device(1) == 0 && terni_cuda_download(0, bytes, a, 64)); /* somebody else changed it */
    CHECK(terni_sim_device() == 0 && strcmp(bytes, "what goes to one and comes back from it") == 0);
    DONE(rt->copy_between(1, b, 0, a, 64));
    char back[64] = "";
    DONE(terni_cuda_download(1, back, b, 64));
    CHECK(strcmp(back, bytes) == 0, "%s", back);
    terni_cuda_free(0, a, 64);
    CHECK(terni_sim_device() == 0);
    terni_cuda_free(1, b, 64);
    CHECK(cached(0).live == 0 && cached(1).live == 0 && terni_sim_seen.events == 0);
    DONE(terni_cuda_sync(0) && terni_cuda_sync(1));
}

/* ---- streams
 * ------------------------------------------------------------------------------------------------------------ */

TERN_TEST(cuda_runtime, threads_have_a_stream_each) {
    begin("1");
    terni_cuda_device *d = terni_cuda_use(0);
    const terni_stream own = d->stream;
    void *s = NULL, *t = NULL;
    DONE(rt->stream_new(0, &s) && rt->stream_new(0, &t) && rt->stream_use(0, s));
    CHECK(terni_cuda_use(0) == d && d->stream != own && d->stream == ((terni_cuda_queue *)s)->stream && s != t);
    DONE(rt->stream_use(0, NULL));
    CHECK(d->stream == own);
    rt->stream_free(0, s);
    const long streams = terni_sim_seen.streams;
    void *u = NULL;
    DONE(rt->stream_new(0, &u));
    CHECK(u == s && terni_sim_seen.streams == streams, "the spare stream was not taken");
}

typedef struct visit {
    void *stream;
    terni_stream seen;
    terni_cuda_device *view;
} visit;
static void *other_thread(void *user) {
    visit *v = user;
    if (!rt->stream_use(0, v->stream)) return NULL;
    v->view = terni_cuda_use(0);
    v->seen = v->view->stream;
    return NULL;
}

TERN_TEST(cuda_runtime, a_thread_s_choice_is_its_own) {
    begin("1");
    terni_cuda_device *d = terni_cuda_use(0);
    const terni_stream own = d->stream;
    visit v = {0}, w = {0};
    DONE(rt->stream_new(0, &v.stream));
    pthread_t t;
    REQUIRE(pthread_create(&t, NULL, other_thread, &v) == 0 && pthread_join(t, NULL) == 0);
    CHECK(v.view && v.seen == ((terni_cuda_queue *)v.stream)->stream && v.seen != own);
    CHECK(terni_cuda_use(0)->stream == own, "a thread changed another's stream");
    REQUIRE(pthread_create(&t, NULL, other_thread, &w) == 0 && pthread_join(t, NULL) == 0);
    CHECK(w.seen == own, "threads begin on the device's own stream");
}

TERN_TEST(cuda_runtime, faults_belong_to_their_stream) {
    begin("1");
    terni_cuda_device *d = terni_cuda_use(0);
    void *s = NULL;
    DONE(rt->stream_new(0, &s));
    terni_fault *f = ((terni_cuda_queue *)s)->fault;
    CHECK(f != d->fault);
    *f = (terni_fault){.kind = TERNI_FAULT_INDEX, .value = 9, .position = 4, .low = 1, .high = 5, .op = "gather"};
    DONE(rt->stream_wait(0, NULL)); /* the device's own */
    FAILED(rt->stream_wait(0, s), TERN_ERR_INDEX, "gather: index 9 at position 4 is outside dimension 1 of size 5");
    DONE(rt->stream_wait(0, s)); /* reported once */
    *f = (terni_fault){.kind = TERNI_FAULT_TARGET, .value = 9, .high = 5, .op = "nll_loss"};
    FAILED(terni_cuda_sync(0), TERN_ERR_INDEX, "nll_loss: target 9");
    *d->fault = (terni_fault){.kind = TERNI_FAULT_PROBABILITY, .op = "bernoulli"};
    char c;
    void *p = block(0, 1);
    FAILED(terni_cuda_download(0, &c, p, 1), TERN_ERR_ARGUMENT, "bernoulli");
    terni_cuda_free(0, p, 1);
}

TERN_TEST(cuda_runtime, events) {
    begin("1");
    void *e = NULL, *f = NULL, *s = NULL;
    bool done = true;
    double ms = -1;
    DONE(rt->event_new(0, &e) && rt->event_new(0, &f) && rt->stream_new(0, &s));
    terni_sim_seen.stopped = true;
    DONE(rt->event_record(0, e, s) && rt->event_done(0, e, &done));
    CHECK(!done);
    DONE(rt->stream_done(0, s, &done));
    CHECK(!done);
    DONE(rt->stream_after(0, NULL, e) && rt->event_record(0, f, NULL));
    FAILED(rt->event_elapsed(0, e, f, &ms), TERN_ERR_DEVICE, "event_elapsed");
    DONE(rt->event_wait(0, f) && rt->event_done(0, e, &done)); /* f comes after e */
    CHECK(done, "waiting for what comes after e did not wait for e");
    DONE(rt->stream_done(0, s, &done) && rt->event_elapsed(0, e, f, &ms));
    CHECK(done && ms >= 0);
    rt->event_free(0, e);
    rt->event_free(0, f);
    CHECK(terni_sim_seen.events == 0);
}

TERN_TEST(cuda_runtime, memory_used_on_another_stream) {
    begin("1");
    void *s = NULL;
    char *p = block(0, 4096);
    terni_cuda_free(0, p, 4096);
    DONE(rt->stream_new(0, &s));
    p = block(0, 4096);
    terni_sim_seen.stopped = true;
    const terni_view in = {.data = p + 100, .shape = {3}, .strides = {1}, .ndim = 1};
    const terni_view *const views[2] = {&in, NULL};
    const terni_call call = {views, views, 2, 1, NULL, 0};
    DONE(rt->enter("relu", &call)); /* on its own stream */
    rt->leave();
    terni_cuda_free(0, p, 4096);
    CHECK(block(0, 4096) == p && terni_sim_seen.events == 0, "its own stream needs no wait");
    DONE(rt->stream_use(0, s) && rt->enter("relu", &call));
    rt->leave();
    DONE(rt->stream_use(0, NULL));
    terni_cuda_free(0, p, 4096);
    CHECK(terni_sim_seen.events == 1);
    char *q = block(0, 4096);
    CHECK(q != p, "handed out while another stream works on it");
    DONE(rt->stream_wait(0, s));
    CHECK(block(0, 4096) == p);
    DONE(rt->used_on(0, q, s)); /* by a program's own kernels */
    terni_cuda_free(0, q, 4096);
    CHECK(terni_sim_seen.events == 1 && block(0, 4096) != q);
    int here;
    FAILED(rt->used_on(0, &here, s), TERN_ERR_DEVICE, "record_stream");
    DONE(terni_cuda_sync(0));
}

/* ---- pinned memory and copies
 * ---------------------------------------------------------------------------------------------- */

TERN_TEST(cuda_runtime, pinned_memory_is_kept_until_copies_are_done) {
    begin("2");
    char *d = block(1, 3000);
    void *h = NULL, *g = NULL;
    const long pieces = terni_sim_seen.host_blocks;
    DONE(rt->pinned_alloc(3000, &h));
    memset(h, 7, 3000);
    terni_sim_seen.stopped = true;
    const long waits = terni_sim_seen.waits;
    DONE(rt->upload(1, d, (char *)h + 500, 2500, h));
    CHECK(terni_sim_seen.waits == waits, "the host waited");
    rt->pinned_free(h);
    DONE(rt->pinned_alloc(3000, &g));
    CHECK(g != h, "memory that is being copied from was handed out");
    DONE(rt->download(1, g, d, 2500, g));
    CHECK(terni_sim_seen.waits == waits, "the host waited");
    rt->pinned_free(g);
    DONE(rt->stream_wait(1, NULL));
    void *x = NULL, *y = NULL;
    DONE(rt->pinned_alloc(3000, &x) && rt->pinned_alloc(3000, &y));
    CHECK((x == h && y == g) || (x == g && y == h), "done copies let the memory go");
    CHECK(((char *)g)[0] == 7 && ((char *)g)[2499] == 7, "what came back");
    CHECK(terni_sim_seen.host_blocks == pieces + 1 && terni_sim_seen.events == 0);
    /* Plain memory is done with on return. */
    char plain[10] = "plain";
    DONE(rt->upload(1, d, plain, 10, NULL) && rt->download(1, plain, d, 10, NULL));
    CHECK(terni_sim_seen.waits > waits);
}

/* An event recorded in a capture would be the graph's, and whoever asks for it gets an error. */
TERN_TEST(cuda_runtime, pinned_memory_freed_in_a_capture) {
    begin("1");
    char *d = block(0, 3000);
    void *h = NULL, *g = NULL, *again = NULL, *graph;
    DONE(rt->pinned_alloc(3000, &h));
    terni_sim_seen.stopped = true;
    DONE(rt->upload(0, d, h, 3000, h) && terni_cuda_capture_begin(0));
    rt->pinned_free(h);
    CHECK(terni_sim_seen.events == 0, "an event was recorded in the capture");
    DONE(rt->pinned_alloc(3000, &g));
    CHECK(g != h, "memory that is being copied from was handed out");
    terni_cuda_pinned_trim();
    graph = terni_cuda_capture_end(0, true);
    CHECK(graph != NULL, "error %d: %s", code, message);
    DONE(rt->pinned_alloc(3000, &again)); /* here the event is recorded */
    CHECK(again != h && again != g && terni_sim_seen.events == 1);
    DONE(rt->stream_wait(0, NULL));
    rt->pinned_free(again);
    rt->pinned_free(g);
    void *x = NULL, *y = NULL, *z = NULL;
    DONE(rt->pinned_alloc(3000, &x) && rt->pinned_alloc(3000, &y) && rt->pinned_alloc(3000, &z));
    CHECK(x == h || y == h || z == h, "the copy is done");
    CHECK(terni_sim_seen.events == 0);
    if (graph) CHECK(terni_cuda_graph_free(graph) == 0);
}

TERN_TEST(cuda_runtime, copies_between_devices_are_in_order) {
    begin("2");
    char *a = block(0, 1000), *b = block(1, 1000);
    bool done = false;
    terni_sim_seen.stopped = true;
    DONE(rt->copy_between(1, b, 0, a, 1000) && rt->stream_done(0, NULL, &done));
    CHECK(!done && terni_sim_seen.waits == 0);
    DONE(rt->stream_wait(1, NULL) && rt->stream_done(0, NULL, &done)); /* the receiver's later work comes after */
    CHECK(done, "cuda:1 did not wait for the copy on cuda:0");
}

/* ---- errors
 * ------------------------------------------------------------------------------------------------------------- */

TERN_TEST(cuda_runtime, a_lost_context_stays_lost) {
    begin("1");
    void *p = block(0, 100), *q = NULL, *e = NULL;
    char c[100] = "";
    DONE(rt->event_new(0, &e));
    terni_sim_fail = (terni_sim_failure){.at = 2, .error = 700, .sticky = true};
    FAILED(terni_cuda_upload(0, p, c, 100), TERN_ERR_DEVICE,
           "the GPU's state is lost: this process cannot use it any more");
    terni_sim_fail.lost = false; /* even if the driver answered again */
    for (int i = 0; i < 3; i++) {
        FAILED(terni_cuda_alloc(0, 100, &q), TERN_ERR_DEVICE, "the GPU's state was lost before");
        FAILED(terni_cuda_sync(0), TERN_ERR_DEVICE, "700");
        FAILED(rt->stream_new(0, &q), TERN_ERR_DEVICE, "lost before");
        FAILED(rt->event_record(0, e, NULL), TERN_ERR_DEVICE, "lost before");
        FAILED(rt->copy_between(0, p, 0, p, 1), TERN_ERR_DEVICE, "lost before");
        CHECK(terni_cuda_use(0) == NULL && code);
        forget();
    }
    terni_cuda_free(0, p, 100); /* freeing always works */
    rt->event_free(0, e);
    CHECK(code == TERN_OK && terni_sim_seen.events == 0);
}

TERN_TEST(cuda_runtime, a_loss_while_freeing_is_reported_later) {
    begin("1");
    setenv("TERN_CUDA_ALLOCATOR", "direct", 1);
    void *p = block(0, 100);
    terni_sim_fail = (terni_sim_failure){.at = 2, .error = 700}; /* use_device, device_free */
    terni_cuda_free(0, p, 100);
    CHECK(code == TERN_OK);
    FAILED(terni_cuda_sync(0), TERN_ERR_DEVICE, "700");
}

TERN_TEST(cuda_runtime, a_thousand_times_out_of_memory) {
    setenv("TERN_SIM_MEMORY", "33554432", 1);
    begin("1");
    char *held = block(0, 1 << 20);
    memset(held, 5, 1 << 20);
    for (int i = 0; i < 1000; i++) {
        void *p = NULL;
        if (terni_cuda_alloc(0, 64 << 20, &p) || p || code != TERN_ERR_MEMORY) FAIL("request %d", i);
        if (i == 0)
            CHECK(strstr(message, "67108864 bytes on cuda:0") && strstr(message, "1.0 MiB in use"), "%s", message);
        forget();
    }
    CHECK(held[0] == 5 && held[(1 << 20) - 1] == 5);
    void *p = block(0, 20 << 20);
    CHECK(p != NULL && cached(0).retries == 1000);
    DONE(terni_cuda_sync(0));
}

/* A program that uses everything; goes on after errors as a program may, and gives back what it had. */
static int program(void) {
    int errors = 0;
    void *s = NULL, *e = NULL, *h = NULL, *a = NULL, *b = NULL;
    char plain[256] = "";
    bool done = false;
    terni_cuda_alloc(0, 5000, &a);
    terni_cuda_alloc(1, 5000, &b);
    errors += !rt->stream_new(0, &s) + !rt->event_new(0, &e) + !rt->pinned_alloc(200, &h) + !a + !b;
    if (s) errors += !rt->stream_use(0, s);
    if (a && h) errors += !rt->upload(0, a, h, 200, h) + !rt->download(0, h, a, 200, h);
    if (a) errors += !terni_cuda_upload(0, a, plain, 256) + !terni_cuda_download(0, plain, a, 256);
    if (a && b) errors += !rt->copy_between(1, b, 0, a, 5000);
    if (e) errors += !rt->event_record(0, e, s) + !rt->stream_after(1, NULL, e) + !rt->event_done(0, e, &done);
    if (e) errors += !rt->event_wait(0, e);
    errors += !rt->stream_wait(0, s) + !rt->stream_use(0, NULL);
    if (h) rt->pinned_free(h);
    if (a) terni_cuda_free(0, a, 5000);
    if (b) terni_cuda_free(1, b, 5000);
    if (e) rt->event_free(0, e);
    if (s) rt->stream_free(0, s);
    errors += !terni_cuda_sync(0) + !terni_cuda_sync(1);
    terni_cuda_trim(0);
    terni_cuda_trim(1);
    return errors;
}

static void failures(bool of_host, bool stopped) {
    int seen = 0;
    for (long k = 1; k < 1000; k++) {
        check_case("%s call %ld fails%s", of_host ? "host" : "driver", k, stopped ? ", busy streams" : "");
        terni_sim_seen.stopped = stopped;
        terni_sim_fail = (terni_sim_failure){.error = k % 2 ? TERNI_DRIVER_NO_MEMORY : 999};
        if (of_host)
            host_fail = k;
        else
            terni_sim_fail.at = k;
        const int errors = program();
        const bool reached = of_host ? host_fail == 0 : terni_sim_fail.at == 0;
        host_fail = 0;
        terni_sim_fail.at = 0;
        CHECK((errors > 0) <= (code != TERN_OK), "%d calls failed without an error", errors);
        seen += errors > 0;
        forget();
        CHECK(program() == 0, "it does not work afterwards: %s", message);
        terni_sim_seen.stopped = false;
        CHECK(terni_sim_seen.events == 0, "%ld events are left", (long)terni_sim_seen.events);
        CHECK(cached(0).live == 0 && cached(1).live == 0 && cached(0).reserved == 0 && cached(1).reserved == 0);
        if (!reached || check_failures() > 10) break;
    }
    check_case("%s", "");
    CHECK(seen > (of_host ? 1 : 20), "%d failures were reported", seen);
}

TERN_TEST(cuda_runtime, every_driver_call_fails_once) {
    begin("2");
    failures(false, false);
    failures(false, true);
}
TERN_TEST(cuda_runtime, every_host_request_fails_once) {
    begin("2");
    failures(true, false);
    failures(true, true);
}

/* ---- ranges
 * ------------------------------------------------------------------------------------------------------------- */

TERN_TEST(cuda_runtime, ranges_only_when_asked_for) {
    begin("1");
    const terni_call call = {.device = 0};
    DONE(rt->enter("relu", &call));
    rt->leave();
    rt->range_push("epoch");
    rt->range_pop();
    CHECK(terni_sim_seen.ranges == 0 && terni_sim_seen.range_depth == 0);
}
TERN_TEST(cuda_runtime, a_range_for_each_kernel) {
    setenv("TERN_NVTX", "1", 1);
    begin("1");
    const terni_call call = {.device = 0};
    rt->range_push("epoch");
    DONE(rt->enter("relu", &call));
    CHECK(terni_sim_seen.range_depth == 2);
    rt->leave();
    rt->range_pop();
    CHECK(terni_sim_seen.ranges == 2 && terni_sim_seen.range_depth == 0);
}

/* ---- threads
 * ------------------------------------------------------------------------------------------------------------- */

static void *worker(void *user) {
    int *errors = user;
    for (int i = 0; i < 40; i++) *errors += program();
    return NULL;
}

TERN_TEST(cuda_runtime, several_threads) {
    begin("2");
    pthread_t t[4];
    int errors[4] = {0};
    for (int i = 0; i < 4; i++) REQUIRE(pthread_create(&t[i], NULL, worker, &errors[i]) == 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
        CHECK(errors[i] == 0, "thread %d: %d errors", i, errors[i]);
    }
    terni_cuda_trim(0); /* pinned memory too */
    CHECK(cached(0).live == 0 && cached(1).live == 0 && terni_sim_seen.events == 0, "%ld events are left",
          (long)terni_sim_seen.events);
}
