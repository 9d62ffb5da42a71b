/* Devices: made ready at their first use, with a caching allocator, a stream and a fault record each; every thread has
 * its own view of them. Errors of CUDA become Tern's; one that loses the context is remembered and answers every later
 * call. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

const terni_host *terni_cuda_host;
const terni_driver *terni_cuda_driver = &terni_cuda_driver_table;

static struct {
    terni_cuda_device device; /* as a thread sees it that has chosen no stream */
    _Atomic bool ready;
    pthread_mutex_t lock;     /* of the list */
    terni_cuda_queue *queues; /* the device's own is the last */
} devices[TERNI_CUDA_DEVICES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int lost;  /* the error that lost the context; 0: none */
static _Atomic bool many; /* there is a stream besides the devices' own */

static _Thread_local terni_cuda_device mine[TERNI_CUDA_DEVICES];

/* ---- errors
 * ----------------------------------------------------------------------------------------------------------- */

bool terni_cuda_ok(int rc, const char *what, const char *file, int line) {
    if (rc == 0) return true;
    terni_cuda_capture_failed(what);
    const bool first = !atomic_load(&lost);
    terni_cuda_note(rc);
    return terni_cuda_host->fail(TERN_ERR_DEVICE, file, line, "cuda: %s (%d) from %.80s%s",
                                 terni_cuda_driver->describe(rc), rc, what,
                                 !atomic_load(&lost) ? ""
                                 : first             ? "; the GPU's state is lost: this process cannot use it any more"
                                                     : "; the GPU's state was lost before");
}

void terni_cuda_note(int rc) {
    int none = 0;
    if (rc && terni_cuda_driver->sticky(rc)) atomic_compare_exchange_strong(&lost, &none, rc);
}

bool terni_cuda_launched(const char *kernel, const char *file, int line) {
    const int rc = terni_cuda_driver->launched();
    return rc == 0 || terni_cuda_ok(rc, kernel, file, line);
}

/* ---- devices
 * ------------------------------------------------------------------------------------------------------------ */

static terni_allocator *allocator_new(void) {
    const char *how = getenv("TERN_CUDA_ALLOCATOR"), *limit = getenv("TERN_CUDA_MEMORY_LIMIT");
    const terni_allocator_host h = {terni_cuda_host->alloc_quiet, terni_cuda_host->free_quiet};
    unsigned long long most = 0;
    if (limit && *limit) {
        char *end;
        most = strtoull(limit, &end, 10);
        if (*end || most == 0) {
            terni_cuda_fail(TERN_ERR_ARGUMENT, "cuda: TERN_CUDA_MEMORY_LIMIT is \"%.30s\"; expected a number of bytes",
                            limit);
            return NULL;
        }
    }
    if (how && *how && strcmp(how, "direct") != 0 && strcmp(how, "caching") != 0) {
        terni_cuda_fail(TERN_ERR_ARGUMENT, "cuda: TERN_CUDA_ALLOCATOR is \"%.30s\"; expected caching or direct", how);
        return NULL;
    }
    terni_allocator *a = terni_allocator_new(terni_cuda_driver, h, how && strcmp(how, "direct") == 0, (size_t)most);
    if (!a) terni_cuda_fail(TERN_ERR_MEMORY, "memory: the allocator of a GPU could not be had");
    return a;
}

static void queue_free(terni_cuda_queue *q) {
    if (q->fault) terni_cuda_note(terni_cuda_driver->host_free(q->fault));
    if (q->stream) terni_cuda_note(terni_cuda_driver->stream_free(q->stream));
    terni_cuda_host->free(q, sizeof *q);
}

/* Of the device that is current. */
static terni_cuda_queue *queue_new(void) {
    terni_cuda_queue *q = terni_cuda_host->alloc(sizeof *q);
    if (!q) return NULL;
    memset(q, 0, sizeof *q);
    void *fault = NULL;
    if (TERNI_CUDA_OK(terni_cuda_driver->stream_new(&q->stream)) &&
        TERNI_CUDA_OK(terni_cuda_driver->host_alloc(&fault, sizeof *q->fault))) {
        memset(fault, 0, sizeof *q->fault);
        q->fault = fault;
        return q;
    }
    queue_free(q);
    return NULL;
}

static void choose(terni_cuda_device *d, terni_cuda_queue *q) {
    d->queue = q;
    d->stream = q->stream;
    d->fault = q->fault;
}

static bool make_ready(int index) {
    terni_cuda_device *d = &devices[index].device;
    const char *kernels;
    if (!terni_cuda_own_kernels_valid(&kernels))
        return terni_cuda_fail(TERN_ERR_ARGUMENT, "cuda: TERN_CUDA_KERNELS is \"%s\"; expected own or library",
                               kernels);
    d->index = index;
    if (!TERNI_CUDA_OK(terni_cuda_driver->properties(index, &d->properties))) return false;
    terni_cuda_queue *q = queue_new();
    if (!q) return false;
    d->allocator = allocator_new();
    if (!d->allocator) {
        queue_free(q);
        return false;
    }
    choose(d, q);
    pthread_mutex_init(&devices[index].lock, NULL);
    devices[index].queues = q;
    atomic_store_explicit(&devices[index].ready, true, memory_order_release);
    return true;
}

terni_cuda_device *terni_cuda_use(int index) {
    const int dead = atomic_load_explicit(&lost, memory_order_relaxed);
    if (dead && !terni_cuda_ok(dead, "an earlier call", __FILE__, __LINE__)) return NULL;
    if (!terni_cuda_capture_allows(index)) return NULL;
    if (!TERNI_CUDA_OK(terni_cuda_driver->use_device(index))) return NULL;
    if (mine[index].allocator) return &mine[index];
    if (!atomic_load_explicit(&devices[index].ready, memory_order_acquire)) {
        pthread_mutex_lock(&lock);
        const bool ok = atomic_load(&devices[index].ready) || make_ready(index);
        pthread_mutex_unlock(&lock);
        if (!ok) return NULL;
    }
    mine[index] = devices[index].device;
    return &mine[index];
}

/* ---- streams
 * ------------------------------------------------------------------------------------------------------------ */

terni_cuda_queue *terni_cuda_queue_get(int device) {
    if (!terni_cuda_use(device)) return NULL;
    pthread_mutex_lock(&devices[device].lock);
    terni_cuda_queue *q = devices[device].queues;
    while (q && !q->spare) q = q->next;
    if (q)
        q->spare = false;
    else if ((q = queue_new())) {
        q->next = devices[device].queues;
        devices[device].queues = q;
        atomic_store(&many, true);
    }
    pthread_mutex_unlock(&devices[device].lock);
    return q;
}

void terni_cuda_queue_put(int device, terni_cuda_queue *q) {
    pthread_mutex_lock(&devices[device].lock);
    q->spare = true;
    pthread_mutex_unlock(&devices[device].lock);
}

bool terni_cuda_queue_use(int device, terni_cuda_queue *q) {
    terni_cuda_device *d = terni_cuda_use(device);
    if (d) choose(d, q ? q : devices[device].device.queue);
    return d != NULL;
}

bool terni_cuda_many(void) { return atomic_load_explicit(&many, memory_order_relaxed); }

terni_cuda_device *terni_cuda_seen(int device) {
    return atomic_load_explicit(&devices[device].ready, memory_order_acquire) ? &devices[device].device : NULL;
}

bool terni_cuda_touch(terni_cuda_device *d, const void *data) {
    if (!terni_cuda_many()) return true;
    const int rc = terni_allocator_used_on(d->allocator, data, d->stream, d->index);
    if (rc == 0 || rc == TERNI_DRIVER_INVALID) return true; /* views without elements point anywhere */
    return terni_cuda_fail(TERN_ERR_MEMORY, "memory: a note of %zu bytes could not be had", sizeof(void *));
}

/* ---- what there is
 * ------------------------------------------------------------------------------------------------------ */

int terni_cuda_device_count(char *reason, size_t size) {
    int n = 0;
    const int rc = terni_cuda_driver->device_count(&n);
    if (rc) {
        snprintf(reason, size, "%s (CUDA error %d)", terni_cuda_driver->describe(rc), rc);
        return 0;
    }
    if (n == 0) snprintf(reason, size, "there is no GPU");
    return n < TERNI_CUDA_DEVICES ? n : TERNI_CUDA_DEVICES;
}

void terni_cuda_info(char *text, size_t size) {
    int n = 0;
    size_t at = 0;
    if (terni_cuda_driver->device_count(&n)) n = 0;
    for (int i = 0; i < n && i < TERNI_CUDA_DEVICES && at < size; i++) {
        terni_device_properties p;
        const int rc = terni_cuda_driver->properties(i, &p);
        const int k =
            rc ? snprintf(text + at, size - at, "  cuda:%d: %s (CUDA error %d)\n", i, terni_cuda_driver->describe(rc),
                          rc)
               : snprintf(
                     text + at, size - at,
                     "  cuda:%d %s, compute capability %d.%d, %d multiprocessors, %.1f GiB; driver for CUDA %d.%d, "
                     "runtime %d.%d\n",
                     i, p.name, p.major, p.minor, p.processors, (double)p.bytes / (1 << 30), p.driver / 1000,
                     p.driver % 1000 / 10, p.runtime / 1000, p.runtime % 1000 / 10);
        at += k > 0 ? (size_t)k : 0;
    }
    if (at < size) terni_cuda_library_info(text + at, size - at);
}

/* ---- memory
 * ---------------------------------------------------------------------------------------------------------------- */

static void *device_get(terni_cuda_device *d, size_t bytes) {
    void *p = NULL;
    const int rc = terni_allocator_get(d->allocator, bytes, d->stream, &p);
    if (rc == TERNI_DRIVER_NO_MEMORY) {
        char text[256];
        terni_allocator_describe(d->allocator, text, sizeof text);
        terni_cuda_fail(TERN_ERR_MEMORY, "memory: %zu bytes on cuda:%d could not be had; %s", bytes, d->index, text);
        return NULL;
    }
    return terni_cuda_ok(rc, "the allocation of device memory", __FILE__, __LINE__) ? p : NULL;
}

bool terni_cuda_alloc(int device, size_t bytes, void **data) {
    terni_cuda_device *d = terni_cuda_use(device);
    *data = d ? device_get(d, bytes) : NULL;
    return *data != NULL;
}

/* Without an error: whoever frees can do nothing about it, and the next call that waits reports it. */
void terni_cuda_free(int device, void *data, size_t bytes) {
    (void)bytes;
    terni_cuda_note(terni_cuda_driver->use_device(device));
    if (!terni_cuda_capture_holds(device, data))
        terni_cuda_note(terni_allocator_put(devices[device].device.allocator, data));
}

void *terni_cuda_scratch(terni_cuda_device *d, size_t bytes) { return device_get(d, bytes ? bytes : 1); }
void terni_cuda_scratch_free(terni_cuda_device *d, void *p) {
    if (p && !terni_cuda_capture_holds(d->index, p)) terni_cuda_note(terni_allocator_put(d->allocator, p));
}

void terni_cuda_trim(int device) {
    if (!atomic_load(&devices[device].ready) || atomic_load(&lost)) return;
    terni_cuda_note(terni_cuda_driver->use_device(device));
    terni_cuda_note(terni_allocator_trim(devices[device].device.allocator));
    terni_cuda_pinned_trim();
}

/* ---- waiting
 * ------------------------------------------------------------------------------------------------------------------ */

terni_blame terni_cuda_blame(const terni_cuda_device *d, const char *op) {
    const char *caller = terni_cuda_host->caller();
    const terni_blame b = {d->fault, op, caller && strcmp(caller, op) != 0 ? caller : NULL};
    return b;
}

/* Takes the fault out. Work that another thread queued meanwhile may be writing one: that is left to who waits for it.
 */
static bool take_fault(terni_fault *fault, terni_fault *f) {
    if (__atomic_load_n(&fault->kind, __ATOMIC_ACQUIRE) <= 0) return false;
    pthread_mutex_lock(&lock);
    const bool taken = __atomic_load_n(&fault->kind, __ATOMIC_ACQUIRE) > 0;
    if (taken) {
        *f = *fault;
        __atomic_store_n(&fault->kind, 0, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&lock);
    return taken;
}

bool terni_cuda_report(terni_fault *fault) {
    terni_fault f;
    if (!take_fault(fault, &f)) return true;
    char op[160];
    snprintf(op, sizeof op, "%.79s%s%.75s", f.caller ? f.caller : "", f.caller ? ": " : "", f.op);
    const long long value = f.value, at = f.position, low = f.low, high = f.high;
    switch (f.kind) {
        case TERNI_FAULT_INDEX:
            return terni_cuda_fail(TERN_ERR_INDEX,
                                   "%s: index %lld at position %lld is outside dimension %lld of size %lld", op, value,
                                   at, low, high);
        case TERNI_FAULT_TARGET:
            return terni_cuda_fail(TERN_ERR_INDEX, "%s: target %lld at position %lld is outside [%lld, %lld)", op,
                                   value, at, low, high);
        case TERNI_FAULT_PROBABILITY:
            return terni_cuda_fail(TERN_ERR_ARGUMENT, "%s: an element of p is not in [0, 1]", op);
        case TERNI_FAULT_WEIGHTS:
            if (value < 0)
                return terni_cuda_fail(TERN_ERR_ARGUMENT, "%s: row %lld of p has a negative or not finite number", op,
                                       at);
            return terni_cuda_fail(TERN_ERR_ARGUMENT, "%s: %lld samples; row %lld of p has %lld numbers above 0", op,
                                   low, at, value);
        case TERNI_FAULT_LABEL:
            return terni_cuda_fail(TERN_ERR_INDEX, "%s: target %lld of sequence %lld is outside [%lld, %lld)", op,
                                   value, at, low, high);
        default:
            return terni_cuda_fail(TERN_ERR_INDEX, "%s: %s length %lld of sequence %lld, expected %lld to %lld", op,
                                   f.kind == TERNI_FAULT_INPUT_LENGTH ? "input" : "target", value, at, low, high);
    }
}

/* All streams, also after an error: what kernels found is reported for each, and the first report counts. */
bool terni_cuda_sync(int device) {
    if (!terni_cuda_not_captured(device, "tern_sync, which waits for the device,")) return false;
    if (!terni_cuda_use(device)) return false;
    bool ok = true;
    pthread_mutex_lock(&devices[device].lock);
    for (terni_cuda_queue *q = devices[device].queues; q; q = q->next)
        ok &= TERNI_CUDA_OK(terni_cuda_driver->stream_wait(q->stream)) && terni_cuda_report(q->fault);
    pthread_mutex_unlock(&devices[device].lock);
    return ok;
}

/* Plain memory is copied aside before the call returns, so src is free then; else the host waits. */
bool terni_cuda_upload(int device, void *dst, const void *src, size_t bytes) {
    if (!terni_cuda_not_captured(device, "a copy from the host")) return false;
    terni_cuda_device *d = terni_cuda_use(device);
    bool pinned = false;
    return d && terni_cuda_touch(d, dst) && TERNI_CUDA_OK(terni_cuda_driver->pinned(src, &pinned)) &&
           TERNI_CUDA_OK(terni_cuda_driver->copy(dst, src, bytes, TERNI_COPY_TO_DEVICE, d->stream)) &&
           (!pinned || TERNI_CUDA_OK(terni_cuda_driver->stream_wait(d->stream)));
}

bool terni_cuda_download(int device, void *dst, const void *src, size_t bytes) {
    if (!terni_cuda_not_captured(device, "a copy to the host, which waits for the device,")) return false;
    terni_cuda_device *d = terni_cuda_use(device);
    return d && terni_cuda_touch(d, src) &&
           TERNI_CUDA_OK(terni_cuda_driver->copy(dst, src, bytes, TERNI_COPY_TO_HOST, d->stream)) &&
           TERNI_CUDA_OK(terni_cuda_driver->stream_wait(d->stream)) && terni_cuda_report(d->fault);
}
