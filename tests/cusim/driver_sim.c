/* The driver table of the simulated device: host memory, work that is done when it is asked for. TERN_SIM_MEMORY=BYTES
 * is the device's memory (default 4 GiB); TERN_SIM_DEVICES, how many there are (default 1). Tests that link this file
 * set terni_sim_fail to make the k-th call fail. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver_sim.h"

terni_sim_failure terni_sim_fail;
terni_sim_counts terni_sim_seen;
static _Atomic size_t held;

static size_t setting(const char *name, size_t otherwise) {
    const char *s = getenv(name);
    return s && *s ? (size_t)strtoull(s, NULL, 10) : otherwise;
}

/* The error to give for this call, or 0. */
static int fails(void) {
    terni_sim_seen.calls++;
    if (terni_sim_fail.lost) return terni_sim_fail.error;
    if (terni_sim_fail.at == 0 || --terni_sim_fail.at > 0) return 0;
    terni_sim_fail.lost = terni_sim_fail.sticky;
    return terni_sim_fail.error;
}

static int device_count(int *n) {
    *n = (int)setting("TERN_SIM_DEVICES", 1);
    return fails();
}
static int use_device(int device) {
    (void)device;
    return fails();
}
static int properties(int device, terni_device_properties *p) {
    (void)device;
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "simulation on the host");
    p->major = 9;
    p->processors = 4;
    p->shared_bytes = 227 << 10;
    p->bytes = setting("TERN_SIM_MEMORY", (size_t)4 << 30);
    return fails();
}
static int mem_info(size_t *free, size_t *total) {
    *total = setting("TERN_SIM_MEMORY", (size_t)4 << 30);
    *free = *total - held;
    return fails();
}

/* The size stands in the 256 bytes before the block, so that AddressSanitizer has its zone right behind it. */
enum { HEAD = 256 };
static int device_alloc(void **p, size_t bytes) {
    const int rc = fails();
    *p = NULL;
    if (rc) return rc;
    if (bytes > setting("TERN_SIM_MEMORY", (size_t)4 << 30) - held) return TERNI_DRIVER_NO_MEMORY;
    void *head = NULL;
    if (posix_memalign(&head, HEAD, bytes + HEAD)) return TERNI_DRIVER_NO_MEMORY;
    memcpy(head, &bytes, sizeof bytes);
    *p = (char *)head + HEAD;
    memset(*p, 0xFF, bytes); /* NaN: what is read before it is written shows */
    held += bytes;
    terni_sim_seen.blocks++;
    return 0;
}
static int device_free(void *p) {
    const int rc = fails();
    size_t bytes;
    memcpy(&bytes, (char *)p - HEAD, sizeof bytes);
    held -= bytes;
    terni_sim_seen.blocks--;
    free((char *)p - HEAD);
    return rc;
}
static int host_alloc(void **p, size_t bytes) {
    const int rc = fails();
    *p = rc ? NULL : malloc(bytes);
    return rc ? rc : *p ? 0 : TERNI_DRIVER_NO_MEMORY;
}
static int host_free(void *p) {
    free(p);
    return fails();
}
static int copy(void *dst, const void *src, size_t bytes, terni_copy_kind kind, terni_stream s) {
    (void)kind, (void)s;
    const int rc = fails();
    if (!rc) memmove(dst, src, bytes);
    return rc;
}
static int fill(void *dst, int byte, size_t bytes, terni_stream s) {
    (void)s;
    const int rc = fails();
    if (!rc) memset(dst, byte, bytes);
    return rc;
}

/* Streams and events are numbers. An event is over as soon as terni_sim_seen.clock has passed its time; tests stop the
 * clock. */
typedef struct event {
    uint64_t time;
} event;
static int stream_new(terni_stream *s) {
    static _Atomic uintptr_t n;
    *s = (terni_stream)(atomic_fetch_add(&n, 1) + 1); /* NOLINT: a number */
    return fails();
}
static int stream_free(terni_stream s) {
    (void)s;
    return fails();
}
static int stream_wait(terni_stream s) {
    (void)s;
    terni_sim_seen.waits++;
    return fails();
}
static int event_new(terni_event *e, bool timed) {
    (void)timed;
    const int rc = fails();
    *e = rc ? NULL : calloc(1, sizeof(event));
    if (*e) terni_sim_seen.events++;
    return rc ? rc : *e ? 0 : TERNI_DRIVER_NO_MEMORY;
}
static int event_free(terni_event e) {
    free(e);
    terni_sim_seen.events--;
    return fails();
}
static int event_record(terni_event e, terni_stream s) {
    (void)s;
    ((event *)e)->time = terni_sim_seen.clock + (terni_sim_seen.stopped ? 1 : 0);
    return fails();
}
static int event_query(terni_event e) {
    const int rc = fails();
    return rc ? rc : ((event *)e)->time <= terni_sim_seen.clock ? 0 : TERNI_DRIVER_NOT_READY;
}
static int event_wait(terni_event e) {
    if (terni_sim_seen.clock < ((event *)e)->time) terni_sim_seen.clock = ((event *)e)->time;
    terni_sim_seen.waits++;
    return fails();
}
static int stream_after(terni_stream s, terni_event e) {
    (void)s, (void)e;
    return fails();
}
static int event_elapsed(float *ms, terni_event from, terni_event to) {
    *ms = (float)(((event *)to)->time - ((event *)from)->time);
    return fails();
}

/* Work is done at once, so there is nothing to capture. */
enum { NOT_SUPPORTED = 801 };
static int capture_begin(terni_stream s) {
    (void)s;
    return NOT_SUPPORTED;
}
static int capture_end(terni_stream s, void **graph) {
    (void)s;
    *graph = NULL;
    return NOT_SUPPORTED;
}
static int graph_launch(void *graph, terni_stream s) {
    (void)graph, (void)s;
    return NOT_SUPPORTED;
}
static int graph_free(void *graph) {
    (void)graph;
    return NOT_SUPPORTED;
}

static int launched(void) { return fails(); }
static const char *describe(int error) {
    return error == TERNI_DRIVER_NO_MEMORY ? "out of memory"
           : error == NOT_SUPPORTED        ? "not supported by the simulation"
                                           : "a simulated error";
}
static bool sticky(int error) { return error == 700; }

const terni_driver terni_cuda_driver_table = {
    device_count, use_device,   properties,  mem_info,   device_alloc, device_free,   host_alloc,
    host_free,    copy,         fill,        stream_new, stream_free,  stream_wait,   event_new,
    event_free,   event_record, event_query, event_wait, stream_after, event_elapsed, capture_begin,
    capture_end,  graph_launch, graph_free,  launched,   describe,     sticky};
