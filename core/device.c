/* Streams, events, pinned memory and asynchronous copies, over a backend's runtime. A backend that has none, the CPU's,
 * is done with everything when a call returns. */
#include "tern/device.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "thread.h"

struct tern_stream {
    atomic_int refs; /* the program's, and one for each thread that has it current */
    tern_device device;
    void *queue; /* the backend's; NULL where there is no runtime */
};

struct tern_event {
    tern_device device;
    void *place;   /* the backend's; NULL where there is no runtime */
    bool recorded; /* the rest is for those that have none */
    struct timespec time;
};

/* ---- devices
 * ------------------------------------------------------------------------------------------------------------ */

static int64_t system_bytes(int pages) {
    const long n = sysconf(pages), size = sysconf(_SC_PAGESIZE);
    return n > 0 && size > 0 ? (int64_t)n * (int64_t)size : 0;
}

/* "model name : ..." of the first processor; "cpu" where the system does not tell. */
static void cpu_name(char *name, size_t size) {
    snprintf(name, size, "cpu");
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[256];
    while (f && fgets(line, sizeof line, f)) {
        const char *at = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
        if (!at) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(name, size, "%.*s", (int)size - 1, at + 1 + (at[1] == ' '));
        break;
    }
    if (f) fclose(f);
}

bool tern_device_properties_get(tern_device device, tern_device_properties *properties) {
    TERNI_NAMED("device_properties_get");
    if (!terni_given(properties, "device_properties_get", "properties")) return false;
    const terni_backend *b = terni_backend_of(device);
    if (!b) return false;
    memset(properties, 0, sizeof *properties);
    if (b->runtime) return b->runtime->properties(device.index, properties);
    cpu_name(properties->name, sizeof properties->name);
    properties->processors = b->threads();
    properties->memory = system_bytes(_SC_PHYS_PAGES);
    properties->available = system_bytes(_SC_AVPHYS_PAGES);
    return true;
}

/* ---- streams
 * ------------------------------------------------------------------------------------------------------------ */

enum { DEVICES = 64 }; /* more than a backend says that it has */
typedef struct choices {
    tern_stream *of[TERN_DEVICE_TYPE_COUNT][DEVICES];
} choices;
static _Thread_local choices *chosen; /* NULL until the thread takes a stream: thread-local memory is scarce */

/* *r is the runtime of device's backend, or NULL. False after an error, or if one is pending. */
static bool runtime_of(tern_device device, const terni_runtime **r) {
    const terni_backend *b = tern_ok() ? terni_backend_of(device) : NULL;
    *r = b ? b->runtime : NULL;
    return b != NULL;
}

static bool same(const char *op, tern_device a, tern_device b) {
    char x[32], y[32];
    if (tern_device_equal(a, b)) return true;
    return terni_fail(TERN_ERR_DEVICE, "%s: the stream or event is of %s; expected %s", op,
                      tern_device_name(a, x, sizeof x), tern_device_name(b, y, sizeof y));
}

tern_stream *tern_stream_new(tern_device device) {
    TERNI_NAMED("stream_new");
    const terni_runtime *r;
    if (!runtime_of(device, &r)) return NULL;
    tern_stream *s = terni_calloc(sizeof *s);
    if (!s) return NULL;
    atomic_init(&s->refs, 1);
    s->device = device;
    if (r && !r->stream_new(device.index, &s->queue)) {
        terni_free(s, sizeof *s);
        return NULL;
    }
    return s;
}

void tern_stream_free(tern_stream *s) {
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1) return;
    if (s->queue) terni_backend_of(s->device)->runtime->stream_free(s->device.index, s->queue);
    terni_free(s, sizeof *s);
}

bool tern_stream_use(tern_device device, tern_stream *s) {
    TERNI_NAMED("stream_use");
    const terni_backend *b = terni_backend_of(device); /* also while an error is pending, so that one gets back */
    const terni_runtime *r = b ? b->runtime : NULL;
    if (!b || (s && !same("stream_use", s->device, device))) return false;
    if (s && !chosen) {
        terni_thread_ready();
        chosen = terni_calloc(sizeof *chosen);
        if (!chosen) return false;
    }
    if (r && !r->stream_use(device.index, s ? s->queue : NULL)) return false;
    if (!chosen) return true;
    if (s) atomic_fetch_add(&s->refs, 1);
    tern_stream *was = chosen->of[device.type][device.index];
    chosen->of[device.type][device.index] = s;
    tern_stream_free(was);
    return true;
}

void terni_device_thread_exit(void) {
    if (!chosen) return;
    for (int t = 0; t < TERN_DEVICE_TYPE_COUNT; t++)
        for (int i = 0; i < DEVICES; i++) tern_stream_free(chosen->of[t][i]);
    terni_free(chosen, sizeof *chosen);
    chosen = NULL;
}

tern_stream *tern_stream_current(tern_device d) {
    const bool known = d.type >= 0 && d.type < TERN_DEVICE_TYPE_COUNT && d.index >= 0 && d.index < DEVICES;
    return known && chosen ? chosen->of[d.type][d.index] : NULL;
}

bool tern_stream_wait(tern_device device, tern_stream *s) {
    TERNI_NAMED("stream_wait");
    const terni_runtime *r;
    if (!runtime_of(device, &r) || (s && !same("stream_wait", s->device, device))) return false;
    return !r || r->stream_wait(device.index, s ? s->queue : NULL);
}

bool tern_stream_done(tern_device device, tern_stream *s) {
    TERNI_NAMED("stream_done");
    const terni_runtime *r;
    bool done = true;
    if (!runtime_of(device, &r) || (s && !same("stream_done", s->device, device))) return false;
    return !r || (r->stream_done(device.index, s ? s->queue : NULL, &done) && done);
}

bool tern_stream_native(tern_device device, tern_stream *s, void **native) {
    TERNI_NAMED("stream_native");
    const terni_runtime *r;
    if (!terni_given(native, "stream_native", "native")) return false;
    *native = NULL;
    if (!runtime_of(device, &r) || (s && !same("stream_native", s->device, device))) return false;
    return !r || r->stream_native(device.index, s ? s->queue : NULL, native);
}

bool tern_stream_after(tern_device device, tern_stream *s, tern_event *e) {
    TERNI_NAMED("stream_after");
    const terni_runtime *r;
    if (!terni_given(e, "stream_after", "event") || !runtime_of(device, &r)) return false;
    if (s && !same("stream_after", s->device, device)) return false;
    if (!e->place) return true; /* has passed */
    if (!r) return tern_event_wait(e);
    return r->stream_after(device.index, s ? s->queue : NULL, e->place);
}

bool tern_record_stream(tern_tensor *t, tern_stream *s) {
    TERNI_NAMED("record_stream");
    const terni_runtime *r;
    if (!terni_given(t, "record_stream", "t") || !terni_given(s, "record_stream", "stream")) return false;
    if (!runtime_of(t->device, &r) || !same("record_stream", s->device, t->device)) return false;
    return !r || !t->storage->data || r->used_on(t->device.index, t->storage->data, s->queue);
}

/* ---- events
 * -------------------------------------------------------------------------------------------------------------- */

tern_event *tern_event_new(tern_device device) {
    TERNI_NAMED("event_new");
    const terni_runtime *r;
    if (!runtime_of(device, &r)) return NULL;
    tern_event *e = terni_calloc(sizeof *e);
    if (!e) return NULL;
    e->device = device;
    if (r && !r->event_new(device.index, &e->place)) {
        terni_free(e, sizeof *e);
        return NULL;
    }
    return e;
}

void tern_event_free(tern_event *e) {
    if (!e) return;
    if (e->place) terni_backend_of(e->device)->runtime->event_free(e->device.index, e->place);
    terni_free(e, sizeof *e);
}

/* The event's runtime, for op. */
static bool event_runtime(const char *op, const tern_event *e, const terni_runtime **r) {
    return terni_given(e, op, "event") && runtime_of(e->device, r);
}

bool tern_event_record(tern_event *e, tern_stream *s) {
    TERNI_NAMED("event_record");
    const terni_runtime *r;
    if (!event_runtime("event_record", e, &r) || (s && !same("event_record", s->device, e->device))) return false;
    if (r && !r->event_record(e->device.index, e->place, s ? s->queue : NULL)) return false;
    e->recorded = true;
    return r || clock_gettime(CLOCK_MONOTONIC, &e->time) == 0 ||
           terni_fail(TERN_ERR_INTERNAL, "event_record: the system has no clock");
}

bool tern_event_done(tern_event *e) {
    TERNI_NAMED("event_done");
    const terni_runtime *r;
    bool done = true;
    if (!event_runtime("event_done", e, &r)) return false;
    return !r || !e->recorded || (r->event_done(e->device.index, e->place, &done) && done);
}

bool tern_event_wait(tern_event *e) {
    TERNI_NAMED("event_wait");
    const terni_runtime *r;
    if (!event_runtime("event_wait", e, &r)) return false;
    return !r || !e->recorded || r->event_wait(e->device.index, e->place);
}

double tern_event_elapsed(tern_event *from, tern_event *to) {
    TERNI_NAMED("event_elapsed");
    const terni_runtime *r;
    double ms = 0;
    bool done;
    if (!event_runtime("event_elapsed", from, &r) || !terni_given(to, "event_elapsed", "to") ||
        !same("event_elapsed", to->device, from->device))
        return (double)NAN;
    if (!from->recorded || !to->recorded) {
        terni_fail(TERN_ERR_ARGUMENT, "event_elapsed: an event was not recorded");
        return (double)NAN;
    }
    if (!r)
        return (double)(to->time.tv_sec - from->time.tv_sec) * 1e3 +
               (double)(to->time.tv_nsec - from->time.tv_nsec) * 1e-6;
    for (int i = 0; i < 2; i++) {
        if (!r->event_done(from->device.index, i ? to->place : from->place, &done)) return (double)NAN;
        if (done) continue;
        terni_fail(TERN_ERR_ARGUMENT, "event_elapsed: an event has not passed yet; tern_event_wait waits");
        return (double)NAN;
    }
    return r->event_elapsed(from->device.index, from->place, to->place, &ms) ? ms : (double)NAN;
}

/* ---- pinned memory
 * ------------------------------------------------------------------------------------------------------- */

tern_tensor *tern_empty_pinned(tern_shape shape, tern_dtype dtype) {
    TERNI_NAMED("empty_pinned");
    if (!tern_ok() || !terni_shape_check("empty_pinned", &shape, dtype)) return NULL;
    return terni_new_pinned(shape, dtype);
}

bool tern_is_pinned(const tern_tensor *t) { return t && t->storage->pinned; }

tern_tensor *tern_pin(tern_tensor *t) {
    TERNI_NAMED("pin");
    if (!terni_given(t, "pin", "t")) return NULL;
    char name[32];
    if (t->device.type != TERN_CPU)
        return terni_null(TERN_ERR_DEVICE, "pin: t is on %s; only the host's memory is pinned",
                          tern_device_name(t->device, name, sizeof name));
    if (t->storage->pinned) return t;
    tern_tensor *y = terni_new_pinned(terni_shape(t), terni_dtype(t));
    return y && terni_run(TERNI_OP_copy, &t, 1, &y, 1, NULL) ? y : NULL;
}

/* ---- copies
 * -------------------------------------------------------------------------------------------------------------- */

/* y = x, both contiguous and of one shape and dtype, on different devices; queued. done is recorded behind it. */
static bool queue_copy(const char *op, tern_tensor *y, tern_tensor *x, tern_event *done) {
    const tern_device gpu = y->device.type != TERN_CPU ? y->device : x->device;
    const terni_runtime *r = NULL;
    if (!runtime_of(gpu, &r) || (done && !same(op, done->device, gpu))) return false;
    const size_t bytes = (size_t)x->numel * tern_dtype_size(terni_dtype(x));
    bool ok = true;
    if (bytes && x->device.type == TERN_CPU)
        ok = r->upload(gpu.index, y->v.data, x->v.data, bytes, x->storage->pinned ? x->storage->data : NULL);
    else if (bytes && y->device.type == TERN_CPU)
        ok = r->download(gpu.index, y->v.data, x->v.data, bytes, y->storage->pinned ? y->storage->data : NULL);
    else if (bytes)
        ok = r->copy_between(gpu.index, y->v.data, x->device.index, x->v.data, bytes);
    return ok && (!done || tern_event_record(done, NULL));
}

tern_tensor *tern_to_async(tern_tensor *t, tern_device device, tern_event *done) {
    TERNI_NAMED("to_async");
    if (!terni_given(t, "to_async", "t") || !terni_backend_of(device)) return NULL;
    if (tern_device_equal(t->device, device)) {
        if (done && device.type == TERN_CPU) return t;
        return !done || (same("to_async", done->device, device) && tern_event_record(done, NULL)) ? t : NULL;
    }
    const int scope = tern_scope_push();
    tern_tensor *x = terni_dense(t), *y = NULL;
    if (x && device.type == TERN_CPU)
        y = terni_new_pinned(terni_shape(x), terni_dtype(x));
    else if (x)
        y = terni_new(terni_shape(x), terni_dtype(x), device);
    if (y && !queue_copy("to_async", y, x, done)) y = NULL;
    return tern_scope_return(scope, y);
}

tern_tensor *tern_copy_async_(tern_tensor *dst, tern_tensor *src, tern_event *done) {
    TERNI_NAMED("copy_async_");
    if (!terni_given(dst, "copy_async_", "dst") || !terni_given(src, "copy_async_", "src")) return NULL;
    if (!tern_shape_equal(terni_shape(dst), terni_shape(src)))
        return terni_null(TERN_ERR_SHAPE, "copy_async_: dst %s and src %s have different shapes", terni_describe(dst),
                          terni_describe(src));
    if (dst->v.dtype != src->v.dtype)
        return terni_null(TERN_ERR_DTYPE, "copy_async_: dst %s and src %s have different dtypes", terni_describe(dst),
                          terni_describe(src));
    if (tern_device_equal(dst->device, src->device))
        return terni_null(TERN_ERR_DEVICE, "copy_async_: dst and src are on one device; tern_copy_ copies there");
    if (!dst->contiguous)
        return terni_null(TERN_ERR_ARGUMENT, "copy_async_: dst %s is not contiguous", terni_describe(dst));
    if (!terni_in_place_ok("copy_async_", dst, src)) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *x = terni_dense(src);
    const bool ok = x && queue_copy("copy_async_", dst, x, done);
    if (ok) terni_changed(dst);
    tern_scope_pop(scope);
    return ok ? dst : NULL;
}

/* ---- ranges
 * -------------------------------------------------------------------------------------------------------------- */

static const terni_runtime *ranges(void) {
    const bool there = tern_device_available(tern_cuda(0));
    const terni_backend *b = there ? terni_backend_of(tern_cuda(0)) : NULL;
    return b ? b->runtime : NULL;
}

void tern_range_push(const char *name) {
    const terni_runtime *r = ranges();
    if (r) r->range_push(name ? name : "");
}

void tern_range_pop(void) {
    const terni_runtime *r = ranges();
    if (r) r->range_pop();
}
