/* The memory door. Host blocks of up to 1 KB come from per-thread free lists; larger ones from a shared cache in size
 * classes, because giving pages back to the system between training steps costs more than most kernels; what neither
 * has comes from the system. AddressSanitizer builds skip both, so that it sees every block. */
#include "tern/memory.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tern/device.h"
#include "thread.h"

#if defined(__SANITIZE_ADDRESS__)
#define DIRECT 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DIRECT 1
#endif
#endif
#ifndef DIRECT
#define DIRECT 0
#endif

typedef struct counters {
    _Atomic int64_t live, peak, allocations;
} counters;

enum { DEVICES = 64, MARKS = 32 };

static counters host_counters, cpu_counters, cuda_counters[DEVICES];

static counters *counters_of(tern_device d) {
    if (d.type == TERN_CPU) return d.index == 0 ? &cpu_counters : NULL;
    return d.type == TERN_CUDA && d.index >= 0 && d.index < DEVICES ? &cuda_counters[d.index] : NULL;
}

/* Open marks: each keeps the peak of its own time. */
typedef struct mark {
    atomic_bool taken;
    _Atomic(counters *) of; /* NULL: not open */
    int64_t live, allocations;
    _Atomic int64_t peak;
} mark;
static mark marks[MARKS];
static atomic_int open_marks;

static _Atomic int64_t fail_at, requests; /* fail_at 0: off */
static _Atomic bool guarding;
static _Atomic bool watched; /* either is on: no short cuts, which look at this alone */

static void watch(void) { atomic_store(&watched, atomic_load(&fail_at) != 0 || atomic_load(&guarding)); }

static bool request_denied(void) {
    if (atomic_load_explicit(&fail_at, memory_order_relaxed) == 0) return false;
    return atomic_fetch_add(&requests, 1) + 1 == atomic_load(&fail_at);
}

void tern_memory_fail_at(int64_t n) {
    atomic_store(&requests, 0);
    atomic_store(&fail_at, n);
    watch();
}

int64_t tern_memory_requests(void) { return atomic_load(&requests); }

static void raise_to(_Atomic int64_t *peak, int64_t live) {
    int64_t p = atomic_load_explicit(peak, memory_order_relaxed);
    while (live > p &&
           !atomic_compare_exchange_weak_explicit(peak, &p, live, memory_order_relaxed, memory_order_relaxed)) {
    }
}

static inline void count(counters *c, int64_t bytes) {
    const int64_t live = atomic_fetch_add_explicit(&c->live, bytes, memory_order_relaxed) + bytes;
    if (bytes <= 0) return;
    raise_to(&c->peak, live);
    if (atomic_load_explicit(&open_marks, memory_order_relaxed) == 0) return;
    for (int i = 0; i < MARKS; i++)
        if (atomic_load_explicit(&marks[i].of, memory_order_acquire) == c) raise_to(&marks[i].peak, live);
}

/* Outside the counters and the switch: texts of errors, also of those about memory. */
void *terni_words_alloc(size_t bytes) { return calloc(1, bytes); }
void terni_words_free(void *p) { free(p); }

/* ---- the shared cache of larger blocks: four classes to a power of two ------------------------------------------- */

enum { BIG_CLASSES = 4 * 40 };
static const size_t cache_limit = (size_t)1 << 30;

static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    void *head[BIG_CLASSES];
    size_t bytes;
} cache;

/* The class of a size above 1 KB, and the size that blocks of the class have. */
static int big_class(size_t bytes, size_t *size) {
    int e = 63 - __builtin_clzll((unsigned long long)(bytes - 1)); /* 2^e < bytes <= 2^(e+1) */
    const size_t quarter = (size_t)1 << (e - 2);
    const size_t k = (bytes - 1 - ((size_t)1 << e)) / quarter; /* 0 .. 3 */
    *size = ((size_t)1 << e) + (k + 1) * quarter;
    return 4 * (e - 9) + (int)k;
}

/* Large blocks ask for huge pages, which spare a pass over several of them most of its address translations; what that
 * can add to the process is less than one such page a block. */
static void *system_alloc(size_t size) {
    enum { HUGE = 2 << 20, LARGE = 16 << 20 };
    const bool large = size >= LARGE;
    void *p;
    if (posix_memalign(&p, large ? HUGE : 64, size)) return NULL;
#if defined(MADV_HUGEPAGE)
    if (large) madvise(p, size / HUGE * HUGE, MADV_HUGEPAGE); /* advice: without it all is right, too */
#endif
    return p;
}

static void *big_alloc(size_t bytes) {
    size_t size;
    const int c = big_class(bytes, &size);
    if (c >= BIG_CLASSES) return system_alloc(bytes);
    pthread_mutex_lock(&cache_lock);
    void *p = cache.head[c];
    if (p) {
        memcpy(&cache.head[c], p, sizeof(void *));
        cache.bytes -= size;
    }
    pthread_mutex_unlock(&cache_lock);
    return p ? p : system_alloc(size);
}

static void big_free(void *p, size_t bytes) {
    size_t size;
    const int c = big_class(bytes, &size);
    if (c < BIG_CLASSES) {
        pthread_mutex_lock(&cache_lock);
        const bool room = cache.bytes + size <= cache_limit;
        if (room) {
            memcpy(p, &cache.head[c], sizeof(void *));
            cache.head[c] = p;
            cache.bytes += size;
        }
        pthread_mutex_unlock(&cache_lock);
        if (room) return;
    }
    free(p);
}

static void cache_trim(void) {
    pthread_mutex_lock(&cache_lock);
    for (int c = 0; c < BIG_CLASSES; c++) {
        for (void *p = cache.head[c], *next; p; p = next) {
            memcpy(&next, p, sizeof next);
            free(p);
        }
        cache.head[c] = NULL;
    }
    cache.bytes = 0;
    pthread_mutex_unlock(&cache_lock);
}

/* ---- guarded blocks, for tests
 * ----------------------------------------------------------------------------------------- */

enum { ZONE = DIRECT ? 0 : 64, CANARY = 0xA5, FRESH = 0xFF };
static _Atomic int64_t damaged;

bool tern_memory_guard(void) {
    if (atomic_load(&host_counters.allocations)) return false;
    if (atomic_load(&cpu_counters.allocations)) return false;
    for (int i = 0; i < DEVICES; i++)
        if (atomic_load(&cuda_counters[i].allocations)) return false;
    atomic_store(&guarding, true);
    watch();
    return true;
}

int64_t tern_memory_damaged(void) { return atomic_load(&damaged); }

static void *guarded_alloc(size_t bytes) {
    char *p = system_alloc(bytes + 2 * ZONE);
    if (!p) return NULL;
    memset(p, CANARY, ZONE);
    memset(p + ZONE, FRESH, bytes);
    memset(p + ZONE + bytes, CANARY, ZONE);
    return p + ZONE;
}

static void guarded_free(void *block, size_t bytes) {
    unsigned char *p = (unsigned char *)block - ZONE;
    bool good = true;
    for (int i = 0; i < ZONE; i++) good &= p[i] == CANARY && p[ZONE + bytes + (size_t)i] == CANARY;
    if (!good) atomic_fetch_add(&damaged, 1);
    free(p);
}

/* ---- the door -------------------------------------------------------------------------------------------------------
 */

enum { SMALL_KEEP = 4096 }; /* blocks of one size that a thread holds on to */

/* The thread's lists, for 1 to TERNI_CLASSES * TERNI_CLASS_BYTES bytes. */
static inline void *list_take(size_t bytes) {
    const size_t c = (bytes - 1) / TERNI_CLASS_BYTES;
    void *p = terni_self.free_list[c];
    if (!p) return NULL;
    memcpy(&terni_self.free_list[c], p, sizeof p);
    terni_self.free_n[c]--;
    return p;
}

static inline bool list_give(void *p, size_t bytes) {
    const size_t c = (bytes - 1) / TERNI_CLASS_BYTES;
    if (terni_self.free_n[c] >= SMALL_KEEP) return false;
    memcpy(p, &terni_self.free_list[c], sizeof p);
    terni_self.free_list[c] = p;
    terni_self.free_n[c]++;
    return true;
}

static void *block_get(size_t bytes) {
    if (atomic_load_explicit(&guarding, memory_order_relaxed)) return guarded_alloc(bytes);
    if (DIRECT) return system_alloc(bytes);
    if (bytes > (size_t)TERNI_CLASSES * TERNI_CLASS_BYTES) {
        void *p = big_alloc(bytes);
        if (!p) { /* the cache may be what fills the memory */
            tern_memory_trim();
            p = system_alloc(bytes);
        }
        return p;
    }
    void *p = list_take(bytes);
    return p ? p : system_alloc(((bytes - 1) / TERNI_CLASS_BYTES + 1) * TERNI_CLASS_BYTES);
}

static void block_put(void *p, size_t bytes) {
    if (atomic_load_explicit(&guarding, memory_order_relaxed)) {
        guarded_free(p, bytes);
        return;
    }
    if (DIRECT) {
        free(p);
        return;
    }
    if (bytes > (size_t)TERNI_CLASSES * TERNI_CLASS_BYTES) {
        big_free(p, bytes);
        return;
    }
    terni_thread_ready();
    if (!list_give(p, bytes)) free(p);
}

/* Blocks that a list serves, with nobody watching. */
static inline bool is_short(size_t bytes) {
    return !DIRECT && bytes - 1 < (size_t)TERNI_CLASSES * TERNI_CLASS_BYTES &&
           !atomic_load_explicit(&watched, memory_order_relaxed);
}

static void *alloc_anyhow(size_t bytes) {
    if (bytes == 0) bytes = 1;
    if (bytes > (size_t)INT64_MAX / 2 || request_denied()) return NULL;
    return block_get(bytes);
}

static inline void *alloc_block(size_t bytes) {
    void *p = is_short(bytes) ? list_take(bytes) : NULL;
    return p ? p : alloc_anyhow(bytes);
}

static inline void free_block(void *p, size_t bytes) {
    if (!is_short(bytes) || !terni_self.ready || !list_give(p, bytes)) block_put(p, bytes ? bytes : 1);
}

void *terni_alloc_quiet(size_t bytes) { return alloc_block(bytes); }

void *terni_alloc(size_t bytes) {
    void *p = alloc_block(bytes);
    if (!p) return terni_null(TERN_ERR_MEMORY, "memory: %zu bytes of host memory could not be had", bytes);
    count(&host_counters, (int64_t)bytes);
    atomic_fetch_add_explicit(&host_counters.allocations, 1, memory_order_relaxed);
    return p;
}

void *terni_calloc(size_t bytes) {
    void *p = terni_alloc(bytes);
    return p ? memset(p, 0, bytes) : NULL;
}

void terni_free(void *p, size_t bytes) {
    if (!p) return;
    count(&host_counters, -(int64_t)bytes);
    free_block(p, bytes);
}

void terni_free_quiet(void *p, size_t bytes) { free_block(p, bytes); }

/* The size stands in the 64 bytes before what the caller sees, so that alignment stays. */
void *terni_malloc(size_t bytes) {
    if (bytes > SIZE_MAX - 64) return terni_null(TERN_ERR_MEMORY, "memory: %zu bytes could not be had", bytes);
    char *p = terni_alloc(bytes + 64);
    if (!p) return NULL;
    const size_t total = bytes + 64;
    memcpy(p, &total, sizeof total);
    return p + 64;
}

void terni_mfree(void *p) {
    if (!p) return;
    size_t total;
    memcpy(&total, (char *)p - 64, sizeof total);
    terni_free((char *)p - 64, total);
}

void *terni_resize(void *p, size_t bytes) {
    void *q = terni_malloc(bytes);
    if (!q || !p) return q;
    size_t total;
    memcpy(&total, (char *)p - 64, sizeof total);
    memcpy(q, p, total - 64 < bytes ? total - 64 : bytes);
    terni_mfree(p);
    return q;
}

char *terni_strdup(const char *s) {
    const size_t n = strlen(s) + 1;
    char *p = terni_malloc(n);
    return p ? memcpy(p, s, n) : NULL;
}

bool terni_memory_request(tern_device d, size_t bytes) {
    char name[32];
    if (request_denied())
        return terni_fail(TERN_ERR_MEMORY, "memory: %zu bytes on %s could not be had", bytes,
                          tern_device_name(d, name, sizeof name));
    return true;
}

void terni_memory_account(tern_device d, int64_t bytes) {
    counters *c = counters_of(d); /* storage is made for devices that are there */
    count(c, bytes);
    if (bytes > 0) atomic_fetch_add_explicit(&c->allocations, 1, memory_order_relaxed);
}

/* ---- for programs
 * ------------------------------------------------------------------------------------------------------ */

static tern_memory_stats stats(counters *c) {
    return (tern_memory_stats){atomic_load(&c->live), atomic_load(&c->peak), atomic_load(&c->allocations)};
}

tern_memory_stats tern_memory_device(tern_device device) {
    counters *c = counters_of(device);
    return c ? stats(c) : (tern_memory_stats){0};
}

tern_memory_stats tern_memory_host(void) { return stats(&host_counters); }

static void reset(counters *c) { atomic_store(&c->peak, atomic_load(&c->live)); }

void tern_memory_reset_peak(void) {
    reset(&host_counters);
    reset(&cpu_counters);
    for (int i = 0; i < DEVICES; i++) reset(&cuda_counters[i]);
    terni_backends_reset_peak();
}

int tern_memory_mark(tern_device device) {
    if (!tern_ok()) return -1;
    counters *c = terni_backend_of(device) ? counters_of(device) : NULL;
    if (!c) return -1;
    for (int i = 0; i < MARKS; i++) {
        mark *m = &marks[i];
        bool taken = false;
        if (!atomic_compare_exchange_strong(&m->taken, &taken, true)) continue;
        m->live = atomic_load(&c->live);
        m->allocations = atomic_load(&c->allocations);
        atomic_store(&m->peak, m->live);
        atomic_fetch_add(&open_marks, 1);
        atomic_store_explicit(&m->of, c, memory_order_release);
        return i;
    }
    terni_fail(TERN_ERR_MEMORY, "memory_mark: %d marks are open; tern_memory_since ends one", MARKS);
    return -1;
}

tern_memory_stats tern_memory_since(int mark_number) {
    mark *m = mark_number >= 0 && mark_number < MARKS ? &marks[mark_number] : NULL;
    counters *c = m ? atomic_exchange(&m->of, NULL) : NULL;
    if (!c) {
        if (tern_ok()) terni_fail(TERN_ERR_ARGUMENT, "memory_since: %d is no open mark", mark_number);
        return (tern_memory_stats){0};
    }
    atomic_fetch_sub(&open_marks, 1);
    const tern_memory_stats s = {atomic_load(&c->live) - m->live, atomic_load(&m->peak) - m->live,
                                 atomic_load(&c->allocations) - m->allocations};
    atomic_store(&m->taken, false);
    return s;
}

bool tern_memory_cache(tern_device device, tern_memory_cache_stats *out) {
    if (!terni_given(out, "memory_cache", "stats")) return false;
    *out = (tern_memory_cache_stats){0};
    const terni_backend *b = terni_backend_of(device);
    if (!b) return false;
    if (b->runtime) return b->runtime->cache(device.index, out);
    const tern_memory_stats s = stats(counters_of(device));
    pthread_mutex_lock(&cache_lock);
    *out = (tern_memory_cache_stats){
        .live = s.live, .live_peak = s.peak, .reserved = s.live + (int64_t)cache.bytes, .allocations = s.allocations};
    pthread_mutex_unlock(&cache_lock);
    return true;
}

const char *tern_memory_summary(tern_device device, char *buf, size_t size) {
    char name[32];
    tern_memory_cache_stats c;
    tern_device_properties p;
    if (size) buf[0] = 0;
    if (!tern_memory_cache(device, &c) || !tern_device_properties_get(device, &p)) return buf;
    const tern_memory_stats t = tern_memory_device(device);
    const double mib = 1.0 / (1 << 20);
    snprintf(buf, size,
             "%s (%s): %.1f of %.1f MiB available\n"
             "  tensors   %10.1f MiB live, %.1f at most, %lld allocations\n"
             "  blocks    %10.1f MiB live, %.1f at most, %lld handed out, %lld given back\n"
             "  reserved  %10.1f MiB, %.1f at most, in %lld segments; emptied %lld times to serve a request\n",
             tern_device_name(device, name, sizeof name), p.name, (double)p.available * mib, (double)p.memory * mib,
             (double)t.live * mib, (double)t.peak * mib, (long long)t.allocations, (double)c.live * mib,
             (double)c.live_peak * mib, (long long)c.allocations, (long long)c.frees, (double)c.reserved * mib,
             (double)c.reserved_peak * mib, (long long)c.segments, (long long)c.retries);
    return buf;
}

void terni_memory_thread_exit(void) {
    for (int c = 0; c < TERNI_CLASSES; c++) {
        for (void *p = terni_self.free_list[c], *next; p; p = next) {
            memcpy(&next, p, sizeof next);
            free(p);
        }
        terni_self.free_list[c] = NULL;
        terni_self.free_n[c] = 0;
    }
}

void tern_memory_trim(void) {
    terni_memory_thread_exit();
    cache_trim();
    terni_backends_trim();
}
