/* Devices: made ready at their first use, with a stream, a caching allocator and a fault record each. Errors of CUDA
 * become Tern's; one that loses the context is remembered and answers every later call. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

const terni_host *terni_cuda_host;
const terni_driver *terni_cuda_driver = &terni_cuda_driver_table;

static struct {
    terni_cuda_device device;
    _Atomic bool ready;
} devices[TERNI_CUDA_DEVICES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int lost; /* the error that lost the context; 0: none */

static _Thread_local int used = -1; /* the device that this thread has made current */

/* ---- errors
 * ----------------------------------------------------------------------------------------------------------- */

bool terni_cuda_ok(int rc, const char *what, const char *file, int line) {
    if (rc == 0) return true;
    const bool first = !atomic_load(&lost);
    if (terni_cuda_driver->sticky(rc)) atomic_store(&lost, rc);
    return terni_cuda_host->fail(TERN_ERR_DEVICE, file, line, "cuda: %s (%d) from %.80s%s",
                                 terni_cuda_driver->describe(rc), rc, what,
                                 !atomic_load(&lost) ? ""
                                 : first             ? "; the GPU's state is lost: this process cannot use it any more"
                                                     : "; the GPU's state was lost before");
}

bool terni_cuda_launched(const char *kernel, const char *file, int line) {
    const int rc = terni_cuda_driver->launched();
    return rc == 0 || terni_cuda_ok(rc, kernel, file, line);
}

/* ---- devices
 * ------------------------------------------------------------------------------------------------------------ */

static terni_allocator *allocator_new(void) {
    const char *how = getenv("TERN_CUDA_ALLOCATOR"), *limit = getenv("TERN_CUDA_MEMORY_LIMIT");
    const terni_allocator_host h = {terni_cuda_host->alloc, terni_cuda_host->free};
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
    return terni_allocator_new(terni_cuda_driver, h, how && strcmp(how, "direct") == 0, (size_t)most);
}

static bool make_ready(int index) {
    terni_cuda_device *d = &devices[index].device;
    const terni_driver *r = terni_cuda_driver;
    void *fault = NULL;
    const char *kernels;
    if (!terni_cuda_own_kernels_valid(&kernels))
        return terni_cuda_fail(TERN_ERR_ARGUMENT, "cuda: TERN_CUDA_KERNELS is \"%s\"; expected own or library",
                               kernels);
    d->index = index;
    if (!TERNI_CUDA_OK(r->properties(index, &d->properties)) || !TERNI_CUDA_OK(r->stream_new(&d->stream))) return false;
    if (!TERNI_CUDA_OK(r->host_alloc(&fault, sizeof *d->fault))) goto no_fault;
    memset(fault, 0, sizeof *d->fault);
    d->fault = fault;
    d->allocator = allocator_new();
    if (d->allocator) {
        atomic_store_explicit(&devices[index].ready, true, memory_order_release);
        return true;
    }
    r->host_free(fault);
no_fault:
    r->stream_free(d->stream);
    return false;
}

terni_cuda_device *terni_cuda_use(int index) {
    const int dead = atomic_load_explicit(&lost, memory_order_relaxed);
    if (dead) {
        terni_cuda_ok(dead, "an earlier call", __FILE__, __LINE__);
        return NULL;
    }
    if (used != index) {
        if (!TERNI_CUDA_OK(terni_cuda_driver->use_device(index))) return NULL;
        used = index;
    }
    if (!atomic_load_explicit(&devices[index].ready, memory_order_acquire)) {
        pthread_mutex_lock(&lock);
        const bool ok = atomic_load(&devices[index].ready) || make_ready(index);
        pthread_mutex_unlock(&lock);
        if (!ok) return NULL;
    }
    return &devices[index].device;
}

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
        if (terni_cuda_driver->properties(i, &p)) continue;
        const int k =
            snprintf(text + at, size - at,
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
    if (rc == 0) return p;
    if (rc == TERNI_DRIVER_NO_MEMORY) {
        char text[256];
        terni_cuda_driver->launched(); /* the driver remembers it as the last error */
        terni_allocator_describe(d->allocator, text, sizeof text);
        terni_cuda_fail(TERN_ERR_MEMORY, "memory: %zu bytes on cuda:%d could not be had; %s", bytes, d->index, text);
    } else
        terni_cuda_ok(rc, "the allocation of device memory", __FILE__, __LINE__);
    return NULL;
}

bool terni_cuda_alloc(int device, size_t bytes, void **data) {
    terni_cuda_device *d = terni_cuda_use(device);
    *data = d ? device_get(d, bytes) : NULL;
    return *data != NULL;
}

/* Without an error: whoever frees can do nothing about it, and the next call that waits reports it. */
void terni_cuda_free(int device, void *data, size_t bytes) {
    (void)bytes;
    if (used != device && terni_cuda_driver->use_device(device) == 0) used = device;
    terni_allocator_put(devices[device].device.allocator, data);
}

void *terni_cuda_scratch(terni_cuda_device *d, size_t bytes) { return device_get(d, bytes ? bytes : 1); }
void terni_cuda_scratch_free(terni_cuda_device *d, void *p) {
    if (p) terni_allocator_put(d->allocator, p);
}

void terni_cuda_trim(int device) {
    if (!atomic_load(&devices[device].ready) || atomic_load(&lost)) return;
    if (used != device && terni_cuda_driver->use_device(device) == 0) used = device;
    terni_allocator_trim(devices[device].device.allocator);
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
static bool take_fault(terni_cuda_device *d, terni_fault *f) {
    if (__atomic_load_n(&d->fault->kind, __ATOMIC_ACQUIRE) <= 0) return false;
    pthread_mutex_lock(&lock);
    const bool mine = __atomic_load_n(&d->fault->kind, __ATOMIC_ACQUIRE) > 0;
    if (mine) {
        *f = *d->fault;
        __atomic_store_n(&d->fault->kind, 0, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&lock);
    return mine;
}

static bool report(terni_cuda_device *d) {
    terni_fault f;
    if (!take_fault(d, &f)) return true;
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

bool terni_cuda_sync(int device) {
    terni_cuda_device *d = terni_cuda_use(device);
    return d && TERNI_CUDA_OK(terni_cuda_driver->stream_wait(d->stream)) && report(d);
}

/* From plain memory CUDA copies the bytes aside before it returns, so src is free then, and later work comes after. */
bool terni_cuda_upload(int device, void *dst, const void *src, size_t bytes) {
    terni_cuda_device *d = terni_cuda_use(device);
    return d && TERNI_CUDA_OK(terni_cuda_driver->copy(dst, src, bytes, TERNI_COPY_TO_DEVICE, d->stream));
}

bool terni_cuda_download(int device, void *dst, const void *src, size_t bytes) {
    terni_cuda_device *d = terni_cuda_use(device);
    return d && TERNI_CUDA_OK(terni_cuda_driver->copy(dst, src, bytes, TERNI_COPY_TO_HOST, d->stream)) &&
           TERNI_CUDA_OK(terni_cuda_driver->stream_wait(d->stream)) && report(d);
}
