/* The caching allocator: device memory comes from the driver in segments, is cut into blocks, and goes back to the
 * cache at once when it is freed, since work on one stream runs in order: the next user of the block on that stream
 * comes after the last. Blocks of one stream are not handed out on another; one that other streams used as well is
 * handed out again only after these have passed the point at which it was freed. Private to cuda/.
 *
 * Sizes are rounded to 512 bytes. Requests up to 1 MiB are cut from segments of 2 MiB, those up to 10 MiB from segments
 * of 20 MiB, larger ones have segments of their own in multiples of 2 MiB; neighbours that are free are joined. When
 * the driver has no more, the cache is emptied and it is asked again. TERN_CUDA_ALLOCATOR=direct goes to the driver for
 * every block, so that compute-sanitizer and AddressSanitizer see each. One allocator serves one device; its functions
 * lock it. */
#ifndef TERNI_CUDA_ALLOCATOR_H
#define TERNI_CUDA_ALLOCATOR_H

#include "driver.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct terni_allocator terni_allocator;

typedef struct terni_allocator_stats {
    size_t live, live_peak;         /* handed out, rounded */
    size_t reserved, reserved_peak; /* had from the driver */
    int64_t allocations, frees, segments, retries;
} terni_allocator_stats;

typedef struct terni_allocator_host {
    void *(*alloc)(size_t bytes); /* the allocator's own bookkeeping; NULL records no error */
    void (*free)(void *p, size_t bytes);
} terni_allocator_host;

/* limit: bytes to have from the driver at most; 0: no limit. NULL if host has no memory. */
terni_allocator *terni_allocator_new(const terni_driver *driver, terni_allocator_host host, bool direct, size_t limit);
/* Gives every segment back, also those with live blocks. */
void terni_allocator_free(terni_allocator *a);

/* 0, or the driver's error; TERNI_DRIVER_NO_MEMORY where nothing helps. bytes > 0. */
int terni_allocator_get(terni_allocator *a, size_t bytes, terni_stream stream, void **p);
/* p came from get. An error does not mean that p is not given back, unless it is TERNI_DRIVER_INVALID. */
int terni_allocator_put(terni_allocator *a, void *p);
/* Work on stream, of the driver's device `device`, uses the block that p points into besides the stream that it was had
 * for: when it is freed it is not handed out before that is done. TERNI_DRIVER_INVALID if p is in no live block. */
int terni_allocator_used_on(terni_allocator *a, const void *p, terni_stream stream, int device);
/* Gives whole free segments back to the driver. */
int terni_allocator_trim(terni_allocator *a);

/* While a graph is captured, blocks come from a pool that only this graph uses; id > 0. The pool's memory stays
 * reserved until it is dropped, as each replay writes to the same addresses. */
void terni_allocator_pool_begin(terni_allocator *a, terni_stream stream, int id);
void terni_allocator_pool_end(terni_allocator *a);
/* Returns how many of its blocks are live: they become ordinary ones. */
int64_t terni_allocator_pool_drop(terni_allocator *a, int id);
/* The pool that a live block is from; 0: none. */
int terni_allocator_pool_of(terni_allocator *a, const void *p);
bool terni_allocator_direct(const terni_allocator *a);

void terni_allocator_read(terni_allocator *a, terni_allocator_stats *stats);
void terni_allocator_reset_peak(terni_allocator *a);
/* Lines that tell what is held, for errors and tern_info. */
void terni_allocator_describe(terni_allocator *a, char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
