#include "whole_file.h"

#include <string.h>
#include <zlib.h>

#include "internal.h"
#include "replace.h"

enum { TRAILER = 24 };
static const char magic[8] = {'T', 'E', 'R', 'N', '-', 'C', 'R', 'C'};

static uint32_t checksum(const void *data, size_t bytes) {
    const unsigned char *p = data;
    uLong crc = crc32(0, NULL, 0);
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

bool terni_whole_file_write(const char *path, const void *data, size_t bytes) {
    unsigned char trailer[TRAILER] = {0};
    memcpy(trailer, magic, sizeof magic);
    put_le(trailer + 8, bytes, 8);
    put_le(trailer + 16, checksum(data, bytes), 4);
    terni_replace r;
    return terni_replace_begin(&r, "checkpoint", path) &&
           terni_replace_end(&r, terni_replace_write(&r, data, bytes) && terni_replace_write(&r, trailer, TRAILER));
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
        return terni_fail(TERN_ERR_FORMAT, "checkpoint: %s is no HDF5 file", path);
    const unsigned char *t = p + size - TRAILER;
    if (size < TRAILER + sizeof hdf5 || memcmp(t, magic, sizeof magic) != 0)
        return terni_fail(
            TERN_ERR_FORMAT,
            "checkpoint: %s has no checksum at its end: it is cut off, was changed by another program, or was not "
            "written by Tern",
            path);
    if (get_le(t + 8, 8) != size - TRAILER || get_le(t + 16, 4) != checksum(p, size - TRAILER) ||
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
