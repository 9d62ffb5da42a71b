/* The memory door: every allocation of the library goes through it. Programs read its counters, tests make it fail. */
#ifndef TERN_MEMORY_H
#define TERN_MEMORY_H

#include "tern/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_memory_stats {
    int64_t live;        /* bytes held now */
    int64_t peak;        /* the most held since the start or tern_memory_reset_peak */
    int64_t allocations; /* successful requests since the start */
} tern_memory_stats;

typedef struct tern_memory_cache_stats {
    int64_t live, live_peak;         /* bytes handed out, rounded up, scratch memory of kernels included */
    int64_t reserved, reserved_peak; /* bytes had from the driver */
    int64_t allocations, frees;      /* blocks handed out and given back since the start */
    int64_t segments;                /* pieces had from the driver now */
    int64_t retries;                 /* how often the cache had to be emptied to serve a request */
} tern_memory_cache_stats;

/* Counters of the tensors' data on a device, summed over threads. Thread-safe. */
TERN_API tern_memory_stats tern_memory_device(tern_device device);
/* Counters of the library's own bookkeeping on the host (tensor heads, tape nodes, modules, file buffers). Thread-safe.
 */
TERN_API tern_memory_stats tern_memory_host(void);
/* Notes the tensors' data that is live on the device now, to learn later how much a part of the program needed above
 * that, whatever other marks there are and on whatever threads. Returns the mark, for one tern_memory_since; -1 after
 * an error: TERN_ERR_DEVICE, or TERN_ERR_MEMORY if 32 marks are open. Thread-safe. */
TERN_API int tern_memory_mark(tern_device device);
/* What was had since the mark, which ends: live, bytes more than then (less: negative); peak, the most that there was
 * above what was live then; allocations. All 0 if mark is none, also after a TERN_ERR_ARGUMENT. Thread-safe. */
TERN_API tern_memory_stats tern_memory_since(int mark);
/* The cache between tensors and the device's memory. On the CPU live, live_peak and allocations are the tensors',
 * reserved is live and what the cache holds, the rest is 0. Errors: TERN_ERR_DEVICE. Thread-safe. */
TERN_API bool tern_memory_cache(tern_device device, tern_memory_cache_stats *stats);
/* Writes lines that tell of the device's memory, for people, into buf, cut to size. Returns buf; "" after an error.
 * Thread-safe. */
TERN_API const char *tern_memory_summary(tern_device device, char *buf, size_t size);
/* Sets every peak to what is live now. Thread-safe. */
TERN_API void tern_memory_reset_peak(void);
/* Gives the calling thread's free lists and the devices' caches back to the system. Thread-safe. */
TERN_API void tern_memory_trim(void);
/* For tests: lets the n-th request from now on (1 is the next) fail once with TERN_ERR_MEMORY, by any thread; 0 turns
 * it off. While it is on, free lists are bypassed, so that each request counts. Thread-safe. */
TERN_API void tern_memory_fail_at(int64_t n);
/* For tests, before the library's first allocation: from now on blocks are fresh ones, filled with 0xFF (NaN, in a
 * float) when they are handed out, and have canaries before and behind, which are looked at when they are freed.
 * AddressSanitizer builds only fill, as it sees better itself. Returns false, and changes nothing, if something was
 * allocated before. Thread-safe. */
TERN_API bool tern_memory_guard(void);
/* Blocks that were freed with damaged canaries so far. Thread-safe. */
TERN_API int64_t tern_memory_damaged(void);
/* Requests since the last tern_memory_fail_at; for tests, to know when to stop. Thread-safe. */
TERN_API int64_t tern_memory_requests(void);

#ifdef __cplusplus
}
#endif
#endif
