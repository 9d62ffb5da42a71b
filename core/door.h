/* The memory door, errors and hashes: the part of core's inside that nn, optim and io may use as well. Private to the
 * library. */
#ifndef TERNI_DOOR_H
#define TERNI_DOOR_H

#include "tern/base.h"

/* ---- the memory door (memory.c) --------------------------------------------------------------------------------- */

/* Host memory, 64-byte aligned, not cleared; small blocks come from per-thread free lists. NULL after recording
 * TERN_ERR_MEMORY. terni_free needs the size that was asked for. */
void *terni_alloc(size_t bytes);
void *terni_calloc(size_t bytes); /* cleared */
void terni_free(void *p, size_t bytes);
/* For variable data whose size is not at hand at freeing: the size is kept in front. terni_resize keeps the content; p
 * may be NULL. */
void *terni_malloc(size_t bytes);
void *terni_resize(void *p, size_t bytes);
void terni_mfree(void *p);
char *terni_strdup(const char *s);
/* Not counted as bookkeeping and silent on failure: for tensors' data, which is accounted by device. */
void *terni_alloc_quiet(size_t bytes);
void terni_free_quiet(void *p, size_t bytes);
/* Counters and the switch, for device memory that a backend allocates: true if this request may go on. */
bool terni_memory_request(tern_device d, size_t bytes);
void terni_memory_account(tern_device d, int64_t bytes); /* negative when freed */

/* ---- errors (error.c) -------------------------------------------------------------------------------------------- */

/* TERNI_NAMED("mse_loss"); at the top of a public function that is made of others: until it returns, errors begin with
 * its name, unless a function outside of it has said so already. */
#define TERNI_NAMED(name) \
    __attribute__((cleanup(terni_named_end), unused)) const char *terni_named_was = terni_named(name)
const char *terni_named(const char *op);
const char *terni_caller(void); /* what the first TERNI_NAMED said, or NULL */
void terni_named_end(const char *const *was);

bool terni_fail_at(tern_code code, const char *file, int line, const char *format, ...) TERN_PRINTF(4, 5);
/* terni_fail(code, "matmul: ...", ...) records the error and gives false; terni_null does and gives NULL. */
#define terni_fail(code, ...) terni_fail_at(code, __FILE__, __LINE__, __VA_ARGS__)
#define terni_null(code, ...) (terni_fail_at(code, __FILE__, __LINE__, __VA_ARGS__) ? (void *)0 : (void *)0)
/* The calling thread's errors no longer reach the handler: for workers whose errors another thread reports, and for
 * attempts. Returns what was so before. */
bool terni_error_mute(bool mute);
/* True if an op may go on: no error pending, and p, the argument `what` of op, is not NULL. */
bool terni_given(const void *p, const char *op, const char *what);

/* ---- hash tables ------------------------------------------------------------------------------------------------- */

/* FNV-1a. */
static inline uint64_t terni_hash(const void *bytes, size_t n) {
    const unsigned char *b = (const unsigned char *)bytes;
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < n; i++) h = (h ^ b[i]) * 1099511628211u;
    return h;
}

#endif
