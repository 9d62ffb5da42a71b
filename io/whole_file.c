#include "whole_file.h"

#include <pthread.h>
#include <string.h>
#include <zlib.h>

#include "internal.h"
#include "replace.h"

enum { TRAILER = 24 };
static const char magic[8] = {'T', 'E', 'R', 'N', '-', 'C', 'R', 'C'};

static uint32_t checksum(uint32_t before, const void *data, size_t bytes) {
    const unsigned char *p = data;
    uLong crc = before;
    while (bytes > 0) {
        const uInt n = bytes > (1u << 30) ? 1u << 30 : (uInt)bytes;
        crc = crc32(crc, p, n);
        p += n;
        bytes -= n;
    }
    return (uint32_t)crc;
}

static void put_le(unsigned char *p, uint64_t v, int n) {
    for (int i = 0; i < n; i++) p[i] = (unsigned char)(v >> (8 * i));
}
static uint64_t get_le(const unsigned char *p, int n) {
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* Every byte is read once, into a buffer, and from there summed, in a thread of its own, and written: so the sum is
 * that of what is in the file, even if another thread changes it where it lies. */
enum { BUFFER = 1 << 18, BUFFERS = 3 }; /* within the processor's caches */

typedef struct writing {
    terni_replace *file;
    unsigned char *buffer; /* BUFFERS of them, used in turn */
    size_t filled;         /* bytes of the one that is being filled */
    uint32_t sum;          /* of the buffers summed */
    bool aside;            /* by a thread of its own: then, under the lock */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t bytes[BUFFERS];
    uint64_t given, summed; /* buffers */
    bool over;
} writing;

static unsigned char *buffer_at(const writing *w, uint64_t number) { return w->buffer + number % BUFFERS * BUFFER; }

static void *summing(void *user) {
    writing *w = user;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (w->summed == w->given && !w->over) pthread_cond_wait(&w->changed, &w->lock);
        if (w->summed == w->given) break;
        const unsigned char *data = buffer_at(w, w->summed);
        const size_t bytes = w->bytes[w->summed % BUFFERS];
        pthread_mutex_unlock(&w->lock);
        const uint32_t sum = checksum(w->sum, data, bytes);
        pthread_mutex_lock(&w->lock);
        w->sum = sum;
        w->summed++;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* The buffer that is being filled goes to the sum and to the file; the next one is free. */
static bool hand_over(writing *w) {
    const unsigned char *data = buffer_at(w, w->given);
    const size_t bytes = w->filled;
    w->filled = 0;
    if (!w->aside) {
        w->sum = checksum(w->sum, data, bytes);
        w->given = ++w->summed;
        return terni_replace_write(w->file, data, bytes);
    }
    pthread_mutex_lock(&w->lock);
    w->bytes[w->given++ % BUFFERS] = bytes;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    const bool ok = terni_replace_write(w->file, data, bytes);
    pthread_mutex_lock(&w->lock);
    while (w->given - w->summed == BUFFERS) pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
    return ok;
}

/* data, or zeros if it is NULL. */
static bool put(writing *w, const void *data, uint64_t bytes) {
    for (const char *p = data; bytes > 0;) {
        const size_t n = bytes < BUFFER - w->filled ? (size_t)bytes : BUFFER - w->filled;
        unsigned char *to = buffer_at(w, w->given) + w->filled;
        if (p)
            memcpy(to, p, n), p += n;
        else
            memset(to, 0, n);
        w->filled += n;
        bytes -= n;
        if (w->filled == BUFFER && !hand_over(w)) return false;
    }
    return true;
}

static bool put_all(writing *w, const terni_piece *pieces, size_t n, uint64_t bytes) {
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const terni_piece *p = &pieces[i];
        if (!put(w, NULL, p->at - at) || !put(w, p->data, p->bytes)) return false;
        at = p->at + p->bytes;
    }
    return put(w, NULL, bytes - at) && (w->filled == 0 || hand_over(w));
}

/* The sum costs as much as handing the bytes to the kernel does, so small contents alone do without a thread. */
static bool write_content(writing *w, const terni_piece *pieces, size_t n, uint64_t bytes) {
    if (bytes <= BUFFER) return put_all(w, pieces, n, bytes);
    if (pthread_mutex_init(&w->lock, NULL) != 0) return put_all(w, pieces, n, bytes);
    const bool condition = pthread_cond_init(&w->changed, NULL) == 0;
    w->aside = condition && pthread_create(&w->thread, NULL, summing, w) == 0;
    const bool ok = put_all(w, pieces, n, bytes);
    if (w->aside) {
        pthread_mutex_lock(&w->lock);
        w->over = true;
        pthread_cond_broadcast(&w->changed);
        pthread_mutex_unlock(&w->lock);
        (void)pthread_join(w->thread, NULL);
    }
    if (condition) pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    return ok;
}

bool terni_whole_file_write(const char *path, const terni_piece *pieces, size_t n, uint64_t bytes) {
    unsigned char trailer[TRAILER] = {0};
    terni_replace r;
    writing w = {.file = &r, .buffer = terni_malloc(bytes <= BUFFER ? BUFFER : BUFFERS * BUFFER)};
    bool ok = w.buffer && terni_replace_begin(&r, "checkpoint", path);
    if (ok) {
        ok = write_content(&w, pieces, n, bytes);
        memcpy(trailer, magic, sizeof magic);
        put_le(trailer + 8, bytes, 8);
        put_le(trailer + 16, w.sum, 4);
        ok = ok && terni_replace_write(&r, trailer, TRAILER);
        ok = terni_replace_end(&r, ok);
    }
    terni_mfree(w.buffer);
    return ok;
}

bool tern_checkpoint_try(const char *path) {
    static const char some[4096];
    terni_replace r;
    if (!terni_replace_begin(&r, "checkpoint", path)) return false;
    (void)terni_replace_write(&r, some, sizeof some);
    return terni_replace_drop(&r);
}

/* ---- reading
 * ------------------------------------------------------------------------------------------------------------------ */

static bool verify(const char *path, const unsigned char *p, size_t size) {
    static const unsigned char hdf5[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    if (size < sizeof hdf5 || memcmp(p, hdf5, sizeof hdf5) != 0)
        return !terni_file_pickle("checkpoint", path, p, size) &&
               terni_fail(TERN_ERR_FORMAT, "checkpoint: %s is no HDF5 file", path);
    const unsigned char *t = p + size - TRAILER;
    if (size < TRAILER + sizeof hdf5 || memcmp(t, magic, sizeof magic) != 0)
        return terni_fail(
            TERN_ERR_FORMAT,
            "checkpoint: %s has no checksum at its end: it is cut off, was changed by another program, or was not "
            "written by Tern",
            path);
    if (get_le(t + 8, 8) != size - TRAILER || get_le(t + 16, 4) != checksum(0, p, size - TRAILER) ||
        get_le(t + 20, 4) != 0)
        return terni_fail(TERN_ERR_FORMAT, "checkpoint: %s is damaged: its checksum does not fit its %zu bytes", path,
                          size);
    return true;
}

bool terni_whole_file_read(const char *path, void **data, size_t *bytes) {
    void *p;
    size_t size;
    if (!terni_file_read("checkpoint", path, SIZE_MAX / 2, &p, &size)) return false;
    if (!verify(path, p, size)) {
        terni_mfree(p);
        return false;
    }
    *data = p;
    *bytes = size - TRAILER;
    return true;
}
