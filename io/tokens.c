/* Texts as token numbers: a file of integers, mapped; samples are blocks of it, targets the same one token later. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"
#include "tern/datasets.h"

typedef struct tokens {
    tern_dataset d;
    tern_tokens_opts o;
    char *path;
    unsigned char *map;
    size_t size;
} tokens;

static int64_t token(const unsigned char *p, int bytes) {
    return bytes == 1   ? p[0]
           : bytes == 2 ? p[0] | p[1] << 8
                        : (int64_t)p[0] | (int64_t)p[1] << 8 | (int64_t)p[2] << 16 | (int64_t)p[3] << 24;
}

static bool tokens_get(tern_dataset *d, int64_t i, void *x, void *y) {
    const tokens *s = (tokens *)d;
    const int64_t from = s->o.offset + i * s->o.stride * s->o.bytes;
    int64_t *in = x, *out = y;
    for (int64_t k = 0; k <= s->o.block; k++) {
        const int64_t v = token(s->map + from + k * s->o.bytes, s->o.bytes);
        if (s->o.vocab && v >= s->o.vocab)
            return terni_fail(TERN_ERR_FORMAT, "tokens: %s, byte %lld: token %lld; expected one below %lld", s->path,
                              (long long)(from + k * s->o.bytes), (long long)v, (long long)s->o.vocab);
        if (k < s->o.block) in[k] = v;
        if (k > 0) out[k - 1] = v;
    }
    return true;
}

static void tokens_name(tern_dataset *d, int64_t i, char *buf, size_t size) {
    const tokens *s = (tokens *)d;
    snprintf(buf, size, "%s, tokens from %lld", s->path, (long long)(i * s->o.stride));
}

static void tokens_drop(tern_dataset *d) {
    tokens *s = (tokens *)d;
    if (s->map) munmap(s->map, s->size);
    terni_mfree(s->path);
    terni_free(s, sizeof *s);
}

static bool map_file(tokens *s, const char *path) {
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe must not block */
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        const int e = errno;
        if (fd >= 0) close(fd);
        return terni_fail(TERN_ERR_IO, "tokens: %s: %s", path, strerror(e));
    }
    bool ok = S_ISREG(st.st_mode) || terni_fail(TERN_ERR_IO, "tokens: %s is not a file", path);
    const int64_t bytes = s->o.bytes, rest = ok ? (int64_t)st.st_size - s->o.offset : 0;
    if (ok && (rest < 0 || rest % bytes != 0 || rest / bytes <= s->o.block))
        ok = terni_fail(TERN_ERR_FORMAT,
                        "tokens: %s has %lld bytes; expected %lld and then a multiple of %lld, for %lld tokens or more",
                        path, (long long)st.st_size, (long long)s->o.offset, (long long)bytes,
                        (long long)s->o.block + 1);
    if (ok) {
        void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        ok = map != MAP_FAILED || terni_fail(TERN_ERR_IO, "tokens: %s: %s", path, strerror(errno));
        s->map = ok ? map : NULL;
        s->size = (size_t)st.st_size;
    }
    close(fd);
    if (ok) s->d.length = (rest / bytes - 1 - s->o.block) / s->o.stride + 1;
    return ok;
}

tern_dataset *tern_tokens_dataset_new(const char *path, tern_tokens_opts o) {
    if (!terni_given(path, "tokens", "path")) return NULL;
    if (o.bytes == 0) o.bytes = 1;
    if (o.block == 0) o.block = 128;
    if (o.stride == 0) o.stride = o.block;
    if ((o.bytes != 1 && o.bytes != 2 && o.bytes != 4) || o.block < 1 || o.block > INT32_MAX || o.stride < 1 ||
        o.stride > INT64_MAX / 16 || o.offset < 0 || o.vocab < 0)
        return terni_null(TERN_ERR_ARGUMENT,
                          "tokens: %d bytes, block %lld, stride %lld, offset %lld, vocab %lld; expected 1, 2 or 4, and "
                          "nothing negative",
                          o.bytes, (long long)o.block, (long long)o.stride, (long long)o.offset, (long long)o.vocab);
    tokens *s = terni_calloc(sizeof *s);
    if (!s) return NULL;
    s->o = o;
    s->d = (tern_dataset){.x_shape = TERN_SHAPE(o.block),
                          .x_dtype = TERN_I64,
                          .y_shape = TERN_SHAPE(o.block),
                          .y_dtype = TERN_I64,
                          .get = tokens_get,
                          .name = tokens_name,
                          .drop = tokens_drop};
    s->path = terni_strdup(path);
    if (s->path && map_file(s, path)) return &s->d;
    tokens_drop(&s->d);
    return NULL;
}
