/* Stores that go past the caches: a large result would be read from memory line by line before it is written, only to
 * be pushed out again before anything reads it. A kernel computes into a block that stays in the first-level cache and
 * sends that on. */
#ifndef TERNI_STREAM_H
#define TERNI_STREAM_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    TERNI_STREAM_BYTES =
        16 << 20,           /* a result from which on a cache of 32 MB does not hold it and what it is made from */
    TERNI_STREAM_RUN = 2048 /* bytes: in shorter pieces the waiting at their ends costs more than it saves */
};

enum { TERNI_LINE = 64 };

/* A vector's bytes, to an address that is a multiple of their number. */
static inline void terni_stream_vector(void *to, terni_vf v) {
#if TERNI_VEC_BYTES == 64
    _mm512_stream_ps(to, (__m512)v);
#elif TERNI_VEC_BYTES == 32
    _mm256_stream_ps(to, (__m256)v);
#elif defined(__SSE2__)
    _mm_stream_ps(to, (__m128)v);
#else
    memcpy(to, &v, sizeof v);
#endif
}

/* One line, to where one begins. */
static inline void terni_stream_line(void *to, const void *from) {
    for (int i = 0; i < TERNI_LINE; i += TERNI_VEC_BYTES)
        terni_stream_vector((char *)to + i, *(const terni_vf_u *)(const void *)((const char *)from + i));
}

/* Copies what lies in a cache to `to`, which is not read soon. terni_stream_end() must follow on the same thread before
 * another one reads it. */
static inline void terni_stream(void *to, const void *from, size_t bytes) {
    char *out = to;
    const char *in = from;
    size_t head = -(uintptr_t)out % TERNI_LINE;
    if (head > bytes) head = bytes;
    memcpy(out, in, head);
    out += head, in += head, bytes -= head;
    for (; bytes >= TERNI_LINE; bytes -= TERNI_LINE, out += TERNI_LINE, in += TERNI_LINE) terni_stream_line(out, in);
    memcpy(out, in, bytes);
}

static inline void terni_stream_end(void) {
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

/* A result's rows, one after the other, go past the caches line by line; what begins a line that the next row ends
 * waits for it (X(rows_past) of rows.inc). */
typedef struct terni_rows {
    char *to;          /* where a line begins */
    size_t kept, skip; /* bytes of it that are computed; of these, what lies before the first row */
    alignas(64) char line[TERNI_LINE];
} terni_rows;

static inline void terni_rows_begin(terni_rows *s, void *first) {
    s->kept = s->skip = (uintptr_t)first % TERNI_LINE;
    s->to = (char *)first - s->kept;
}

/* The line is full. */
static inline void terni_rows_line(terni_rows *s) {
    if (s->skip)
        memcpy(s->to + s->skip, s->line + s->skip, TERNI_LINE - s->skip);
    else
        terni_stream_line(s->to, s->line);
    s->to += TERNI_LINE;
    s->kept = s->skip = 0;
}

static inline void terni_rows_end(terni_rows *s) {
    memcpy(s->to + s->skip, s->line + s->skip, s->kept - s->skip);
    terni_stream_end();
}

#endif
