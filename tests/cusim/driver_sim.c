/* The driver table of the simulated devices: host memory, work that is done when it is asked for. TERN_SIM_MEMORY=BYTES
 * is a device's memory (default 4 GiB); TERN_SIM_DEVICES, how many there are (default 1); TERN_SIM_CUDA, the driver's
 * version (default 13000). Tests that link this file set terni_sim_fail to make the k-th call fail. */
#include "driver_sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "capture_sim.h"

enum { DEVICES = 16, BAD_DEVICE = 101, BAD_HANDLE = 400 };

terni_sim_failure terni_sim_fail;
terni_sim_counts terni_sim_seen;
static _Atomic size_t held[DEVICES];
static _Thread_local int current;

int terni_sim_device(void) { return current; }

static size_t setting(const char *name, size_t otherwise) {
    const char *s = getenv(name);
    return s && *s ? (size_t)strtoull(s, NULL, 10) : otherwise;
}
static size_t memory(void) { return setting("TERN_SIM_MEMORY", (size_t)4 << 30); }
static int devices(void) {
    const size_t n = setting("TERN_SIM_DEVICES", 1);
    return n < DEVICES ? (int)n : DEVICES;
}

/* The error to give for this call, or 0. */
static int fails(void) {
    atomic_fetch_add(&terni_sim_seen.calls, 1);
    if (atomic_load(&terni_sim_fail.lost)) return terni_sim_fail.error;
    if (atomic_load(&terni_sim_fail.at) <= 0 || atomic_fetch_sub(&terni_sim_fail.at, 1) != 1) return 0;
    atomic_store(&terni_sim_fail.lost, terni_sim_fail.sticky);
    return terni_sim_fail.error;
}

static int device_count(int *n) {
    const int rc = fails();
    *n = rc ? 0 : devices();
    return rc;
}
static int use_device(int device) {
    const int rc = fails();
    if (rc) return rc;
    if (device < 0 || device >= devices()) return BAD_DEVICE;
    current = device;
    return 0;
}
static int properties(int device, terni_device_properties *p) {
    const int rc = fails();
    if (rc) return rc;
    if (device < 0 || device >= devices()) return BAD_DEVICE;
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "simulation on the host");
    p->major = 9;
    p->processors = 4;
    p->shared_bytes = 227 << 10;
    p->bytes = memory();
    p->driver = p->runtime = (int)setting("TERN_SIM_CUDA", 13000);
    return 0;
}
static int mem_info(size_t *free, size_t *total) {
    *total = memory();
    *free = *total - held[current];
    return fails();
}

/* What is known of a block stands in the 256 bytes before it, so that AddressSanitizer has its zone right behind it. */
enum { HEAD = 256 };
typedef struct block_head {
    size_t bytes;
    int device;
} block_head;

static int device_alloc(void **p, size_t bytes) {
    const int rc = fails();
    *p = NULL;
    if (rc) return rc;
    if (bytes > memory() - held[current]) return TERNI_DRIVER_NO_MEMORY;
    void *head = NULL;
    if (posix_memalign(&head, HEAD, bytes + HEAD)) return TERNI_DRIVER_NO_MEMORY;
    const block_head h = {bytes, current};
    memcpy(head, &h, sizeof h);
    *p = (char *)head + HEAD;
    memset(*p, 0xFF, bytes); /* NaN: what is read before it is written shows */
    terni_sim_capture_alloc(*p, bytes);
    atomic_fetch_add(&held[current], bytes);
    atomic_fetch_add(&terni_sim_seen.blocks, 1);
    return 0;
}
static int device_free(void *p) {
    const int rc = fails();
    block_head h;
    memcpy(&h, (char *)p - HEAD, sizeof h);
    terni_sim_capture_release(p);
    atomic_fetch_sub(&held[h.device], h.bytes);
    atomic_fetch_sub(&terni_sim_seen.blocks, 1);
    free((char *)p - HEAD);
    return rc;
}

static int host_alloc(void **p, size_t bytes) {
    const int rc = fails();
    *p = NULL;
    if (rc) return rc;
    void *head = NULL;
    if (posix_memalign(&head, HEAD, bytes + HEAD)) return TERNI_DRIVER_NO_MEMORY;
    *p = (char *)head + HEAD;
    memset(*p, 0xFF, bytes);
    atomic_fetch_add(&terni_sim_seen.host_blocks, 1);
    return 0;
}
static int host_free(void *p) {
    free((char *)p - HEAD);
    atomic_fetch_sub(&terni_sim_seen.host_blocks, 1);
    return fails();
}
/* Where a block begins is not known here: nothing is pinned, and copies are done at once anyway. */
static int pinned(const void *p, bool *yes) {
    (void)p;
    *yes = false;
    return fails();
}

/* ---- streams: what was submitted while terni_sim_seen.stopped is done when it is waited for -----------------------
 */

typedef struct stream {
    int device;
    _Atomic bool captured;
    _Atomic uint64_t submitted, done;
    struct stream *after; /* whose work up to `at` comes first */
    uint64_t at;
} stream;
typedef struct event {
    int device;
    bool timed, captured; /* captured: it is a graph's, and nobody can ask for it */
    stream *of;           /* NULL: not recorded */
    uint64_t at;
    struct timespec time;
} event;

static void submit(stream *s) {
    const uint64_t n = atomic_fetch_add(&s->submitted, 1) + 1;
    if (!terni_sim_seen.stopped) atomic_store(&s->done, n);
}
static void finish(stream *s, uint64_t at) {
    stream *first = s->after;
    s->after = NULL;
    if (first) finish(first, s->at);
    uint64_t done = atomic_load(&s->done);
    while (done < at && !atomic_compare_exchange_weak(&s->done, &done, at)) {
    }
}

/* A copy or a fill: now, or when the graph is launched. */
typedef struct transfer {
    void *dst;
    const void *src; /* NULL: a fill */
    int byte;
    size_t bytes;
} transfer;
static void transfer_run(const void *args) {
    const transfer *t = args;
    if (t->src)
        memmove(t->dst, t->src, t->bytes);
    else
        memset(t->dst, t->byte, t->bytes);
}
static int copy(void *dst, const void *src, size_t bytes, terni_copy_kind kind, terni_stream s) {
    int rc = fails();
    if (!rc && kind != TERNI_COPY_WITHIN) rc = terni_sim_refuses(s);
    if (rc) return rc;
    if (((stream *)s)->device != current) return BAD_HANDLE;
    const transfer t = {dst, src, 0, bytes};
    rc = terni_sim_do(s, transfer_run, &t, sizeof t);
    if (rc) return rc;
    atomic_fetch_add(&terni_sim_seen.copies, 1);
    submit(s);
    return 0;
}
static int copy_between(void *dst, int to, const void *src, int from, size_t bytes, terni_stream s) {
    if (to < 0 || to >= devices() || from < 0 || from >= devices()) return BAD_DEVICE;
    return copy(dst, src, bytes, TERNI_COPY_WITHIN, s);
}
static int fill(void *dst, int byte, size_t bytes, terni_stream s) {
    const int rc = fails();
    if (rc) return rc;
    if (((stream *)s)->device != current) return BAD_HANDLE;
    const transfer t = {dst, NULL, byte, bytes};
    submit(s);
    return terni_sim_do(s, transfer_run, &t, sizeof t);
}

static int stream_new(terni_stream *s) {
    const int rc = fails();
    *s = NULL;
    if (rc) return rc;
    stream *n = calloc(1, sizeof *n);
    if (!n) return TERNI_DRIVER_NO_MEMORY;
    n->device = current;
    *s = n;
    atomic_fetch_add(&terni_sim_seen.streams, 1);
    return 0;
}
static int stream_free(terni_stream s) {
    free(s);
    atomic_fetch_sub(&terni_sim_seen.streams, 1);
    return fails();
}
static int stream_wait(terni_stream s) {
    atomic_fetch_add(&terni_sim_seen.waits, 1);
    int rc = fails();
    if (!rc) rc = terni_sim_refuses(s);
    if (!rc) finish(s, ((stream *)s)->submitted);
    return rc;
}
static int stream_query(terni_stream s) {
    const int rc = fails();
    return rc ? rc : ((stream *)s)->done < ((stream *)s)->submitted ? TERNI_DRIVER_NOT_READY : 0;
}
static int stream_captured(terni_stream s, bool *yes) {
    *yes = ((stream *)s)->captured;
    return fails();
}
static int event_new(terni_event *e, bool timed) {
    const int rc = fails();
    *e = NULL;
    if (rc) return rc;
    event *n = calloc(1, sizeof *n);
    if (!n) return TERNI_DRIVER_NO_MEMORY;
    n->device = current;
    n->timed = timed;
    *e = n;
    atomic_fetch_add(&terni_sim_seen.events, 1);
    return 0;
}
static int event_free(terni_event e) {
    free(e);
    atomic_fetch_sub(&terni_sim_seen.events, 1);
    return fails();
}
static int event_record(terni_event e, terni_stream s) {
    const int rc = fails();
    if (rc) return rc;
    event *v = e;
    if (((stream *)s)->device != v->device) return BAD_HANDLE;
    submit(s); /* kernels do not pass here, so the stream may have been at work */
    v->of = s;
    v->captured = v->of->captured;
    v->at = ((stream *)s)->submitted;
    (void)clock_gettime(CLOCK_MONOTONIC, &v->time);
    return 0;
}
static bool passed(const event *v) { return !v->of || v->at <= v->of->done; }
static int event_query(terni_event e) {
    const int rc = fails();
    if (!rc && ((event *)e)->captured) return TERNI_SIM_CAPTURED_EVENT;
    return rc ? rc : passed(e) ? 0 : TERNI_DRIVER_NOT_READY;
}
static int event_wait(terni_event e) {
    const event *v = e;
    atomic_fetch_add(&terni_sim_seen.waits, 1);
    const int rc = fails();
    if (!rc && v->captured) return TERNI_SIM_CAPTURED_EVENT;
    if (!rc && v->of) finish(v->of, v->at);
    return rc;
}
static int stream_after(terni_stream s, terni_event e) {
    const event *v = e;
    stream *t = s;
    const int rc = fails();
    if (rc || passed(v)) return rc;
    submit(t);
    t->after = v->of;
    t->at = v->at;
    return 0;
}
static int event_elapsed(float *ms, terni_event from, terni_event to) {
    const event *a = from, *b = to;
    const int rc = fails();
    if (rc) return rc;
    if (!a->timed || !b->timed || !a->of || !b->of) return BAD_HANDLE;
    if (!passed(a) || !passed(b)) return TERNI_DRIVER_NOT_READY;
    *ms = (float)((double)(b->time.tv_sec - a->time.tv_sec) * 1e3 + (double)(b->time.tv_nsec - a->time.tv_nsec) * 1e-6);
    return 0;
}

/* Captures end whatever fails. */
static int capture_begin(terni_stream s) {
    int rc = fails();
    if (!rc) rc = terni_sim_capture_begin(s);
    if (!rc) ((stream *)s)->captured = true;
    return rc;
}
static int capture_end(terni_stream s, void **graph) {
    const int rc = fails(), ended = terni_sim_capture_end(s, graph);
    ((stream *)s)->captured = false;
    if (rc && *graph) {
        terni_sim_graph_free(*graph);
        *graph = NULL;
    }
    return rc ? rc : ended;
}
static int graph_launch(void *graph, terni_stream s) {
    int rc = fails();
    if (!rc) rc = terni_sim_refuses(s);
    if (rc) return rc;
    submit(s);
    return terni_sim_graph_launch(graph);
}
static int graph_free(void *graph) {
    terni_sim_graph_free(graph);
    return fails();
}

static int range_push(const char *name) {
    atomic_fetch_add(&terni_sim_seen.range_depth, name[0] != 0);
    atomic_fetch_add(&terni_sim_seen.ranges, 1);
    return 0;
}
static int range_pop(void) {
    atomic_fetch_sub(&terni_sim_seen.range_depth, 1);
    return 0;
}

static int launched(void) { return fails(); }
static const char *describe(int error) {
    return error == TERNI_DRIVER_NO_MEMORY   ? "out of memory"
           : error == TERNI_SIM_NOT_CAPTURED ? "operation not permitted when stream is capturing"
           : error == TERNI_SIM_SPOILT       ? "operation failed due to a previous error during capture"
                                             : "a simulated error";
}
static bool sticky(int error) { return error == 700; }

const terni_driver terni_cuda_driver_table = {
    .device_count = device_count,
    .use_device = use_device,
    .properties = properties,
    .mem_info = mem_info,
    .device_alloc = device_alloc,
    .device_free = device_free,
    .host_alloc = host_alloc,
    .host_free = host_free,
    .pinned = pinned,
    .copy = copy,
    .copy_between = copy_between,
    .fill = fill,
    .stream_new = stream_new,
    .stream_free = stream_free,
    .stream_wait = stream_wait,
    .stream_query = stream_query,
    .stream_captured = stream_captured,
    .event_new = event_new,
    .event_free = event_free,
    .event_record = event_record,
    .event_query = event_query,
    .event_wait = event_wait,
    .stream_after = stream_after,
    .event_elapsed = event_elapsed,
    .capture_begin = capture_begin,
    .capture_end = capture_end,
    .graph_launch = graph_launch,
    .graph_free = graph_free,
    .range_push = range_push,
    .range_pop = range_pop,
    .launched = launched,
    .describe = describe,
    .sticky = sticky,
};
