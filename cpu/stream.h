/* Stores that go past the caches: a large result would be read from memory line by line before it is written, only to
 * be pushed out again before anything reads it. A kernel computes into a block that stays in the first-level cache and
 * sends that on. */
#ifndef TERNI_STREAM_H
#define TERNI_STREAM_H

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

/* Copies what lies in a cache to `to`, which is not read soon. terni_stream_end() must follow on the same thread before
 * another one reads it. */
static inline void terni_stream(void *to, const void *from, size_t bytes) {
#if defined(__x86_64__)
    enum { LINE = 64 };
    char *out = to;
    const char *in = from;
    size_t head = -(uintptr_t)out % LINE;
    if (head > bytes) head = bytes;
    memcpy(out, in, head);
    out += head, in += head, bytes -= head;
    for (; bytes >= LINE; bytes -= LINE, out += LINE, in += LINE)
        for (int i = 0; i < LINE; i += TERNI_VEC_BYTES) {
            terni_vf_u *const place = (terni_vf_u *)(void *)(out + i);
            const terni_vf v = *(const terni_vf_u *)(const void *)(in + i);
#if TERNI_VEC_BYTES == 64
            _mm512_stream_ps((float *)(void *)place, (__m512)v);
#elif TERNI_VEC_BYTES == 32
            _mm256_stream_ps((float *)(void *)place, (__m256)v);
#else
            _mm_stream_ps((float *)(void *)place, (__m128)v);
#endif
        }
    memcpy(out, in, bytes);
#else
    memcpy(to, from, bytes);
#endif
}

static inline void terni_stream_end(void) {
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

#endif
