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

/* Counters of the tensors' data on a device, summed over threads. Thread-safe. */
TERN_API tern_memory_stats tern_memory_device(tern_device device);
/* Counters of the library's own bookkeeping on the host (tensor heads, tape nodes, modules, file buffers). Thread-safe.
 */
TERN_API tern_memory_stats tern_memory_host(void);
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
