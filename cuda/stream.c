/* Streams, events, pinned memory and copies that the host does not wait for: core's terni_runtime. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* ---- devices
 * ------------------------------------------------------------------------------------------------------------ */

static bool properties(int device, tern_device_properties *p) {
    terni_cuda_device *d = terni_cuda_use(device);
    size_t free = 0, total = 0;
    if (!d || !TERNI_CUDA_OK(terni_cuda_driver->mem_info(&free, &total))) return false;
    snprintf(p->name, sizeof p->name, "%s", d->properties.name);
    p->major = d->properties.major;
    p->minor = d->properties.minor;
    p->processors = d->properties.processors;
    p->memory = (int64_t)total;
    p->available = (int64_t)free;
    return true;
}

static bool cache(int device, tern_memory_cache_stats *stats) {
    terni_cuda_device *d = terni_cuda_use(device);
    if (!d) return false;
    terni_allocator_stats s;
    terni_allocator_read(d->allocator, &s);
    *stats = (tern_memory_cache_stats){(int64_t)s.live,     (int64_t)s.live_peak,
                                       (int64_t)s.reserved, (int64_t)s.reserved_peak,
                                       s.allocations,       s.frees,
                                       s.segments,          s.retries};
    return true;
}

static void reset_peak(int device) {
    terni_cuda_device *d = terni_cuda_seen(device);
    if (d) terni_allocator_reset_peak(d->allocator);
}

/* ---- streams and events
 * ------------------------------------------------------------------------------------------------- */

static bool stream_new(int device, void **stream) { return (*stream = terni_cuda_queue_get(device)) != NULL; }
static void stream_free(int device, void *stream) { terni_cuda_queue_put(device, stream); }
static bool stream_use(int device, void *stream) {
    return terni_cuda_not_captured(device, "another stream") && terni_cuda_queue_use(device, stream);
}

/* stream, or the calling thread's; NULL after an error. */
static terni_cuda_queue *queue_of(int device, void *stream) {
    if (!terni_cuda_not_captured(device, "a stream or an event")) return NULL;
    terni_cuda_device *d = terni_cuda_use(device);
    return !d || stream ? (d ? stream : NULL) : d->queue;
}

static bool stream_wait(int device, void *stream) {
    terni_cuda_queue *q = queue_of(device, stream);
    return q && TERNI_CUDA_OK(terni_cuda_driver->stream_wait(q->stream)) && terni_cuda_report(q->fault);
}

/* rc of a query; *done says which of its two good answers it was. */
static bool answer(int rc, bool *done, int line) {
    *done = rc == 0;
    return rc == TERNI_DRIVER_NOT_READY || terni_cuda_ok(rc, "a query", __FILE__, line);
}

static bool stream_done(int device, void *stream, bool *done) {
    terni_cuda_queue *q = queue_of(device, stream);
    return q && answer(terni_cuda_driver->stream_query(q->stream), done, __LINE__);
}

/* In a capture too: what is launched there by others is captured like the rest. */
static bool stream_native(int device, void *stream, void **native) {
    const terni_cuda_device *d = terni_cuda_use(device);
    if (d) *native = stream ? ((terni_cuda_queue *)stream)->stream : d->stream;
    return d != NULL;
}

static bool stream_after(int device, void *stream, void *event) {
    terni_cuda_queue *q = queue_of(device, stream);
    return q && TERNI_CUDA_OK(terni_cuda_driver->stream_after(q->stream, event));
}

static bool event_new(int device, void **event) {
    return terni_cuda_use(device) && TERNI_CUDA_OK(terni_cuda_driver->event_new(event, true));
}

static void event_free(int device, void *event) {
    terni_cuda_note(terni_cuda_driver->use_device(device));
    terni_cuda_note(terni_cuda_driver->event_free(event));
}

static bool event_record(int device, void *event, void *stream) {
    terni_cuda_queue *q = queue_of(device, stream);
    return q && TERNI_CUDA_OK(terni_cuda_driver->event_record(event, q->stream));
}

static bool event_done(int device, void *event, bool *done) {
    return terni_cuda_not_captured(device, "an event") && terni_cuda_use(device) &&
           answer(terni_cuda_driver->event_query(event), done, __LINE__);
}

static bool event_wait(int device, void *event) {
    return terni_cuda_not_captured(device, "an event") && terni_cuda_use(device) &&
           TERNI_CUDA_OK(terni_cuda_driver->event_wait(event));
}

static bool event_elapsed(int device, void *from, void *to, double *ms) {
    float f = 0;
    if (!terni_cuda_use(device) || !TERNI_CUDA_OK(terni_cuda_driver->event_elapsed(&f, from, to))) return false;
    *ms = (double)f;
    return true;
}

/* ---- pinned memory: the same allocator over the host's. Its blocks belong to no stream; those that copies used wait
 * for these when they are freed. */

static terni_allocator *pinned;
static terni_driver pinned_driver;
static pthread_mutex_t pinned_lock = PTHREAD_MUTEX_INITIALIZER;

static terni_allocator *pinned_allocator(void) {
    pthread_mutex_lock(&pinned_lock);
    if (!pinned) {
        pinned_driver = *terni_cuda_driver;
        pinned_driver.device_alloc = terni_cuda_driver->host_alloc;
        pinned_driver.device_free = terni_cuda_driver->host_free;
        const terni_allocator_host h = {terni_cuda_host->alloc_quiet, terni_cuda_host->free_quiet};
        pinned = terni_allocator_new(&pinned_driver, h, false, 0);
    }
    terni_allocator *a = pinned;
    pthread_mutex_unlock(&pinned_lock);
    return a;
}

static bool pinned_alloc(size_t bytes, void **data) {
    terni_allocator *a = pinned_allocator();
    const int rc = a ? terni_allocator_get(a, bytes, NULL, data) : TERNI_DRIVER_NO_MEMORY;
    if (rc == TERNI_DRIVER_NO_MEMORY)
        return terni_cuda_fail(TERN_ERR_MEMORY, "memory: %zu bytes of pinned memory could not be had", bytes);
    return terni_cuda_ok(rc, "the allocation of pinned memory", __FILE__, __LINE__);
}

static void pinned_free(void *data) { terni_cuda_note(terni_allocator_put(pinned, data)); }

void terni_cuda_pinned_trim(void) {
    pthread_mutex_lock(&pinned_lock);
    terni_allocator *a = pinned;
    pthread_mutex_unlock(&pinned_lock);
    if (a) terni_cuda_note(terni_allocator_trim(a));
}

static bool pinned_used(terni_cuda_device *d, const void *host) {
    const int rc = terni_allocator_used_on(pinned, host, d->stream, d->index);
    return rc != TERNI_DRIVER_NO_MEMORY
               ? terni_cuda_ok(rc, "pinned memory", __FILE__, __LINE__)
               : terni_cuda_fail(TERN_ERR_MEMORY, "memory: a note on pinned memory could not be had");
}

/* ---- copies
 * -------------------------------------------------------------------------------------------------------------- */

static bool upload(int device, void *dst, const void *src, size_t bytes, void *host) {
    if (!host) return terni_cuda_upload(device, dst, src, bytes);
    if (!terni_cuda_not_captured(device, "a copy from the host")) return false;
    terni_cuda_device *d = terni_cuda_use(device);
    return d && terni_cuda_touch(d, dst) && pinned_used(d, host) &&
           TERNI_CUDA_OK(terni_cuda_driver->copy(dst, src, bytes, TERNI_COPY_TO_DEVICE, d->stream));
}

static bool download(int device, void *dst, const void *src, size_t bytes, void *host) {
    if (!host) return terni_cuda_download(device, dst, src, bytes);
    if (!terni_cuda_not_captured(device, "a copy to the host")) return false;
    terni_cuda_device *d = terni_cuda_use(device);
    return d && terni_cuda_touch(d, src) && pinned_used(d, host) &&
           TERNI_CUDA_OK(terni_cuda_driver->copy(dst, src, bytes, TERNI_COPY_TO_HOST, d->stream));
}

/* Later work of the stream of `behind` comes after what that of `ahead` holds now. */
static bool order(int behind, int ahead) {
    terni_cuda_device *a = terni_cuda_use(ahead);
    terni_event e = NULL;
    if (!a || !TERNI_CUDA_OK(terni_cuda_driver->event_new(&e, false))) return false;
    bool ok = TERNI_CUDA_OK(terni_cuda_driver->event_record(e, a->stream));
    const terni_cuda_device *b = ok ? terni_cuda_use(behind) : NULL;
    ok = b && TERNI_CUDA_OK(terni_cuda_driver->stream_after(b->stream, e));
    terni_cuda_note(terni_cuda_driver->event_free(e)); /* CUDA keeps it until it has passed */
    return ok;
}

/* On the stream that src is written on: dst is ready before, and read after. */
static bool copy_between(int to, void *dst, int from, const void *src, size_t bytes) {
    const terni_driver *r = terni_cuda_driver;
    terni_cuda_device *t = terni_cuda_use(to), *f = t && order(from, to) ? terni_cuda_use(from) : NULL;
    if (!f || !terni_cuda_touch(t, dst) || !terni_cuda_touch(f, src)) return false;
    if (!TERNI_CUDA_OK(r->copy_between(dst, to, src, from, bytes, f->stream))) return false;
    if (order(to, from)) return true;
    terni_cuda_note(r->stream_wait(f->stream)); /* dst is given up, and must not be written to later */
    return false;
}

static bool used_on(int device, const void *data, void *stream) {
    terni_cuda_queue *q = queue_of(device, stream);
    if (!q) return false;
    const int rc = terni_allocator_used_on(terni_cuda_use(device)->allocator, data, q->stream, device);
    return rc != TERNI_DRIVER_NO_MEMORY
               ? terni_cuda_ok(rc, "record_stream", __FILE__, __LINE__)
               : terni_cuda_fail(TERN_ERR_MEMORY, "memory: a note on a tensor's use could not be had");
}

/* ---- around kernels
 * ------------------------------------------------------------------------------------------------------ */

/* TERN_NVTX=1 asks for ranges; looked up once. */
static bool ranges(void) {
    static _Atomic int asked = -1;
    int a = atomic_load_explicit(&asked, memory_order_relaxed);
    if (a < 0) {
        const char *s = getenv("TERN_NVTX");
        a = s && strcmp(s, "1") == 0;
        atomic_store_explicit(&asked, a, memory_order_relaxed);
    }
    return a;
}

static void range_push(const char *name) {
    if (ranges()) terni_cuda_note(terni_cuda_driver->range_push(name));
}
static void range_pop(void) {
    if (ranges()) terni_cuda_note(terni_cuda_driver->range_pop());
}

static bool enter(const char *name, const terni_call *c) {
    bool ok = true;
    if (terni_cuda_many()) {
        terni_cuda_device *d = terni_cuda_use(c->device);
        ok = d != NULL;
        for (int i = 0; ok && i < c->n_in; i++) ok = !c->in[i] || terni_cuda_touch(d, c->in[i]->data);
        for (int i = 0; ok && i < c->n_out; i++) ok = !c->out[i] || terni_cuda_touch(d, c->out[i]->data);
    }
    if (ok) range_push(name);
    return ok;
}

const terni_runtime terni_cuda_runtime = {
    .properties = properties,
    .cache = cache,
    .reset_peak = reset_peak,
    .stream_new = stream_new,
    .stream_free = stream_free,
    .stream_use = stream_use,
    .stream_native = stream_native,
    .stream_wait = stream_wait,
    .stream_done = stream_done,
    .stream_after = stream_after,
    .event_new = event_new,
    .event_free = event_free,
    .event_record = event_record,
    .event_done = event_done,
    .event_wait = event_wait,
    .event_elapsed = event_elapsed,
    .pinned_alloc = pinned_alloc,
    .pinned_free = pinned_free,
    .upload = upload,
    .download = download,
    .copy_between = copy_between,
    .used_on = used_on,
    .enter = enter,
    .leave = range_pop,
    .range_push = range_push,
    .range_pop = range_pop,
};
