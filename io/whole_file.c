#include "whole_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "internal.h"

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

/* Threads write one at a time, so that the process's number makes temporary names unique. */
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;

/* ---- names
 * ---------------------------------------------------------------------------------------------------------------- */

/* path's folder ("." if it names none), and where its last part starts. */
static const char *split(const char *path, char *folder, size_t size) {
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(folder, size, ".");
    else if (slash == path)
        snprintf(folder, size, "/");
    else
        snprintf(folder, size, "%.*s", (int)(slash - path), path);
    return slash ? slash + 1 : path;
}

/* Removes temporary files of this name whose process is gone. */
static void sweep(const char *path) {
    char folder[PATH_MAX];
    const char *name = split(path, folder, sizeof folder);
    const size_t n = strlen(name);
    DIR *d = opendir(folder);
    if (!d) return;
    for (struct dirent *e; (e = readdir(d));) {
        if (strncmp(e->d_name, name, n) != 0 || strncmp(e->d_name + n, ".tmp-", 5) != 0) continue;
        char *end;
        const long pid = strtol(e->d_name + n + 5, &end, 10);
        if (*end == 0 && end > e->d_name + n + 5 && pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH)
            (void)unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
}

/* ---- writing
 * ---------------------------------------------------------------------------------------------------------------- */

static bool write_all(int fd, const void *data, size_t bytes) {
    const char *p = data;
    while (bytes > 0) {
        const ssize_t n = write(fd, p, bytes < (1u << 30) ? bytes : 1u << 30);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        if (n == 0) {
            errno = ENOSPC;
            return false;
        }
        p += n;
        bytes -= (size_t)n;
    }
    return true;
}

static bool sync_folder(const char *path) {
    char folder[PATH_MAX];
    split(path, folder, sizeof folder);
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    /* Some file systems have no fsync for folders: EINVAL. */
    const bool ok = fsync(fd) == 0 || errno == EINVAL;
    const int e = errno;
    close(fd);
    errno = e;
    return ok;
}

/* Makes the temporary file, complete and on the disk. false with errno. */
static bool write_temporary(const char *temporary, const void *data, size_t bytes) {
    unsigned char trailer[TRAILER] = {0};
    memcpy(trailer, magic, sizeof magic);
    put_le(trailer + 8, bytes, 8);
    put_le(trailer + 16, checksum(data, bytes), 4);
    (void)unlink(temporary); /* of an earlier process with our number; never written through, it may be a link */
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return false;
    bool ok = write_all(fd, data, bytes) && write_all(fd, trailer, TRAILER) && fsync(fd) == 0;
    int e = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        e = errno;
    }
    if (!ok) (void)unlink(temporary);
    errno = e;
    return ok;
}

static bool temporary_name(const char *path, char *buf, size_t size) {
    struct stat st;
    const int n = snprintf(buf, size, "%s.tmp-%ld", path, (long)getpid());
    if (!*path || n < 0 || (size_t)n >= size)
        return terni_fail(TERN_ERR_IO, "checkpoint: \"%.60s...\" is no usable path", path);
    if (path[strlen(path) - 1] == '/' || (stat(path, &st) == 0 && !S_ISREG(st.st_mode)))
        return terni_fail(TERN_ERR_IO, "checkpoint: %s is not a file; expected a path to write a file to", path);
    return true;
}

static bool write_whole(const char *path, const void *data, size_t bytes) {
    char temporary[PATH_MAX];
    if (!temporary_name(path, temporary, sizeof temporary)) return false;
    sweep(path);
    if (!write_temporary(temporary, data, bytes))
        return terni_fail(TERN_ERR_IO, "checkpoint: %s cannot be written (%zu bytes): %s", path, bytes + TRAILER,
                          strerror(errno));
    if (rename(temporary, path) != 0) {
        const int e = errno;
        (void)unlink(temporary);
        return terni_fail(TERN_ERR_IO, "checkpoint: %s cannot be replaced: %s", path, strerror(e));
    }
    if (!sync_folder(path))
        return terni_fail(TERN_ERR_IO, "checkpoint: the folder of %s cannot be flushed: %s", path, strerror(errno));
    return true;
}

bool terni_whole_file_write(const char *path, const void *data, size_t bytes) {
    pthread_mutex_lock(&writing);
    const bool ok = write_whole(path, data, bytes);
    pthread_mutex_unlock(&writing);
    return ok;
}

static bool try_path(const char *path) {
    char temporary[PATH_MAX];
    if (!temporary_name(path, temporary, sizeof temporary)) return false;
    static const char some[4096];
    if (!write_temporary(temporary, some, sizeof some))
        return terni_fail(TERN_ERR_IO, "checkpoint: %s cannot be written: %s", path, strerror(errno));
    if (unlink(temporary) != 0)
        return terni_fail(TERN_ERR_IO, "checkpoint: files beside %s cannot be removed: %s", path, strerror(errno));
    return true;
}

bool tern_checkpoint_try(const char *path) {
    if (!terni_given(path, "checkpoint", "path")) return false;
    pthread_mutex_lock(&writing);
    const bool ok = try_path(path);
    pthread_mutex_unlock(&writing);
    return ok;
}

/* ---- reading
 * ------------------------------------------------------------------------------------------------------------------ */

static bool read_all(int fd, const char *path, char *p, size_t bytes) {
    for (size_t at = 0; at < bytes;) {
        const size_t want = bytes - at < (1u << 30) ? bytes - at : 1u << 30;
        const ssize_t n = read(fd, p + at, want);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return terni_fail(TERN_ERR_IO, "checkpoint: %s: %s", path, strerror(errno));
        if (n == 0) return terni_fail(TERN_ERR_FORMAT, "checkpoint: %s ends at byte %zu of %zu", path, at, bytes);
        at += (size_t)n;
    }
    return true;
}

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
    struct stat st;
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe must not block */
    if (fd < 0 || fstat(fd, &st) != 0) {
        const int e = errno;
        if (fd >= 0) close(fd);
        return terni_fail(TERN_ERR_IO, "checkpoint: %s: %s", path, strerror(e));
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return terni_fail(TERN_ERR_IO, "checkpoint: %s is not a file", path);
    }
    const size_t size = (size_t)st.st_size;
    char *p = terni_malloc(size + 1);
    const bool ok = p && read_all(fd, path, p, size) && verify(path, (unsigned char *)p, size);
    close(fd);
    if (!ok) {
        terni_mfree(p);
        return false;
    }
    *data = p;
    *bytes = size - TRAILER;
    return true;
}
