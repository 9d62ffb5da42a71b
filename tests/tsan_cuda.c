/* Threads that share GPUs, each with a stream of its own or on the devices': the CUDA backend's runtime against the
 * driver of the simulation, for ThreadSanitizer. A plain main; exit code 0 if all is well. */
#include <pthread.h>

#include "common.h"
#include "driver_sim.h"
#include "internal.h"

static void *get(size_t bytes) { return malloc(bytes); }
static void put(void *p, size_t bytes) {
    (void)bytes;
    free(p);
}
static _Atomic long errors;
static bool fail(tern_code c, const char *file, int line, const char *format, ...) {
    (void)c, (void)file, (void)line, (void)format;
    atomic_fetch_add(&errors, 1);
    return false;
}
static const char *nobody(void) { return NULL; }
static const terni_host host = {
    .alloc = get, .free = put, .alloc_quiet = get, .free_quiet = put, .fail = fail, .caller = nobody};
static const terni_runtime *const rt = &terni_cuda_runtime;

/* Handed from thread to thread. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *shared[2];

static void *hand_over(int device, void *p) {
    pthread_mutex_lock(&lock);
    void *was = shared[device];
    shared[device] = p;
    pthread_mutex_unlock(&lock);
    return was;
}

static bool round_of(int device, void *stream, int i) {
    void *p = NULL, *h = NULL, *e = NULL, *q = NULL;
    bool done, ok = terni_cuda_alloc(device, (size_t)(i % 9 + 1) * 700, &p) && rt->pinned_alloc(600, &h) &&
                    rt->event_new(device, &e) && rt->upload(device, p, h, 600, h);
    const terni_view v = {.data = p, .shape = {100}, .strides = {1}, .ndim = 1};
    const terni_view *const views[1] = {&v};
    const terni_call call = {views, views, 1, 0, NULL, device};
    ok = ok && rt->enter("relu", &call);
    if (ok) rt->leave();
    ok = ok && rt->event_record(device, e, NULL) && rt->event_done(device, e, &done) && rt->event_wait(device, e) &&
         rt->stream_wait(device, stream) && terni_cuda_alloc(1 - device, 8000, &q) &&
         rt->copy_between(1 - device, q, device, p, 600);
    rt->pinned_free(h);
    rt->event_free(device, e);
    terni_cuda_free(1 - device, q, 8000);
    p = hand_over(device, p);
    if (p) terni_cuda_free(device, p, 700);
    if (i % 16 == 0) terni_cuda_trim(device);
    return ok;
}

static void *work(void *user) {
    const int id = *(int *)user, device = id % 2;
    void *s = NULL;
    bool ok = true;
    if (id > 1) ok = rt->stream_new(device, &s) && rt->stream_use(device, s);
    for (int i = 0; i < 100 && ok; i++) ok = round_of(device, s, i);
    ok = ok && rt->stream_use(device, NULL);
    if (s) rt->stream_free(device, s);
    if (!ok) FAIL("thread %d", id);
    return NULL;
}

static void body(void) {
    setenv("TERN_SIM_DEVICES", "2", 1);
    terni_cuda_host = &host;
    pthread_t t[6];
    int id[6];
    for (int i = 0; i < 6; i++) {
        id[i] = i;
        REQUIRE(pthread_create(&t[i], NULL, work, &id[i]) == 0);
    }
    for (int i = 0; i < 6; i++) pthread_join(t[i], NULL);
    for (int i = 0; i < 2; i++) {
        tern_memory_cache_stats s;
        terni_cuda_free(i, hand_over(i, NULL), 700);
        CHECK(terni_cuda_sync(i) && rt->cache(i, &s) && s.live == 0);
        terni_cuda_trim(i);
    }
    CHECK(errors == 0 && terni_sim_seen.events == 0, "%ld errors, %ld events", (long)errors,
          (long)terni_sim_seen.events);
}

int main(void) {
    check_begin("tsan", "cuda");
    check_run(body);
    return check_end() ? 1 : 0;
}
