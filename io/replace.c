#include "replace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

/* ---- names ------------------------------------------------------------------------------------------------------- */

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

/* What a temporary file's name ends with: .tmp-PROCESS-NUMBER; removed if its process is gone. */
static void sweep_one(DIR *d, const char *name, const char *end) {
    const char *number = end + 5;
    char *after;
    const long pid = strtol(number, &after, 10);
    const bool ours =
        after > number && (*after == 0 || (*after == '-' && strspn(after + 1, "0123456789") == strlen(after + 1)));
    if (ours && pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH) (void)unlinkat(dirfd(d), name, 0);
}

/* Of files of this name; or, with any, of all whose name starts so. */
static void sweep_folder(const char *folder, const char *name, bool any) {
    const size_t n = strlen(name);
    DIR *d = opendir(folder);
    if (!d) return;
    for (struct dirent *e; (e = readdir(d));) {
        if (strncmp(e->d_name, name, n) != 0) continue;
        const char *end = any ? strstr(e->d_name + n, ".tmp-") : e->d_name + n;
        if (end && strncmp(end, ".tmp-", 5) == 0) sweep_one(d, e->d_name, end);
    }
    closedir(d);
}

void terni_replace_sweep(const char *folder, const char *start) { sweep_folder(folder, start, true); }

static bool name_it(terni_replace *r) {
    static atomic_uint count;
    struct stat st;
    const int n = snprintf(r->temporary, sizeof r->temporary, "%s.tmp-%ld-%u", r->path, (long)getpid(),
                           atomic_fetch_add(&count, 1));
    if (!*r->path || n < 0 || (size_t)n >= sizeof r->temporary)
        return terni_fail(TERN_ERR_IO, "%s: \"%.60s...\" is no usable path", r->what, r->path);
    if (r->path[strlen(r->path) - 1] == '/' || (stat(r->path, &st) == 0 && !S_ISREG(st.st_mode)))
        return terni_fail(TERN_ERR_IO, "%s: %s is not a file; expected a path to write a file to", r->what, r->path);
    return true;
}

enum { FLUSH = 1 << 23 }; /* bytes: so many at a time are worth a request to the disk */

/* ---- writing ----------------------------------------------------------------------------------------------------- */

bool terni_replace_begin(terni_replace *r, const char *what, const char *path) {
    r->what = what;
    r->path = path;
    r->written = r->flushed = 0;
    if (!terni_given(path, what, "path") || !name_it(r)) return false;
    char folder[PATH_MAX];
    const char *name = split(path, folder, sizeof folder);
    sweep_folder(folder, name, false);
    (void)unlink(r->temporary); /* of an earlier process with our number; never written through, it may be a link */
    r->fd = open(r->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (r->fd < 0) return terni_fail(TERN_ERR_IO, "%s: %s cannot be written: %s", what, path, strerror(errno));
    return true;
}

static bool write_failed(const terni_replace *r) {
    return terni_fail(TERN_ERR_IO, "%s: %s cannot be written (at byte %zu): %s", r->what, r->path, r->written,
                      strerror(errno));
}

/* A hint, whose failure does no harm: the disk begins with what is written while the rest is being handed over. fsync
 * would wait for all of it otherwise. */
static void begin_flush(terni_replace *r) {
#ifdef SYNC_FILE_RANGE_WRITE
    (void)sync_file_range(r->fd, (off_t)r->flushed, (off_t)(r->written - r->flushed), SYNC_FILE_RANGE_WRITE);
#endif
    r->flushed = r->written;
}

bool terni_replace_write(terni_replace *r, const void *data, size_t bytes) {
    const char *p = data;
    while (bytes > 0) {
        const ssize_t n = write(r->fd, p, bytes < FLUSH ? bytes : FLUSH);
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = ENOSPC;
        if (n <= 0) return write_failed(r);
        p += n;
        bytes -= (size_t)n;
        r->written += (size_t)n;
        if (r->written - r->flushed >= FLUSH) begin_flush(r);
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

/* On the disk and closed. */
static bool settle(terni_replace *r, bool ok) {
    bool done = ok && fsync(r->fd) == 0;
    int e = errno;
    if (close(r->fd) != 0 && done) {
        done = false;
        e = errno;
    }
    errno = e;
    return ok && !done ? write_failed(r) : done;
}

bool terni_replace_end(terni_replace *r, bool ok) {
    if (!settle(r, ok)) {
        (void)unlink(r->temporary);
        return false;
    }
    if (rename(r->temporary, r->path) != 0) {
        const int e = errno;
        (void)unlink(r->temporary);
        return terni_fail(TERN_ERR_IO, "%s: %s cannot be replaced: %s", r->what, r->path, strerror(e));
    }
    if (!sync_folder(r->path))
        return terni_fail(TERN_ERR_IO, "%s: the folder of %s cannot be flushed: %s", r->what, r->path, strerror(errno));
    return true;
}

bool terni_replace_drop(terni_replace *r) {
    const bool ok = settle(r, tern_ok());
    if (unlink(r->temporary) != 0 && ok)
        return terni_fail(TERN_ERR_IO, "%s: files beside %s cannot be removed: %s", r->what, r->path, strerror(errno));
    return ok;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static bool read_all(int fd, const char *what, const char *path, char *p, size_t bytes) {
    for (size_t at = 0; at < bytes;) {
        const size_t want = bytes - at < (1u << 30) ? bytes - at : 1u << 30;
        const ssize_t n = read(fd, p + at, want);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return terni_fail(TERN_ERR_IO, "%s: %s: %s", what, path, strerror(errno));
        if (n == 0) return terni_fail(TERN_ERR_FORMAT, "%s: %s ends at byte %zu of %zu", what, path, at, bytes);
        at += (size_t)n;
    }
    return true;
}

/* A bare pickle of protocol 2 or later (no opcode is 0), or a zip archive of PyTorch's: its first member is one, or
 * with TorchScript a tensor's data. */
static bool is_pickle(const unsigned char *p, size_t n) {
    static const char member[] = "/data.pkl", data[] = "/data/0";
    if (n > 2 && p[0] == 0x80 && p[1] >= 2 && p[1] <= 5 && p[2] != 0) return true;
    if (n < 30 || memcmp(p, "PK\3\4", 4) != 0) return false;
    const size_t name = p[26] | (size_t)p[27] << 8, k = sizeof member - 1, j = sizeof data - 1;
    if (30 + name > n) return false;
    const unsigned char *end = p + 30 + name;
    return (name >= k && memcmp(end - k, member, k) == 0) || (name >= j && memcmp(end - j, data, j) == 0);
}

bool terni_file_pickle(const char *what, const char *path, const void *data, size_t n) {
    unsigned char head[512];
    if (!data) {
        const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        const ssize_t got = fd < 0 ? -1 : read(fd, head, sizeof head);
        if (fd >= 0) close(fd);
        data = head;
        n = got > 0 ? (size_t)got : 0;
    }
    if (!is_pickle(data, n)) return false;
    terni_fail(TERN_ERR_UNSUPPORTED,
               "%s: %s is a PyTorch pickle (.pt, .pth, .bin), which can run code when it is read; save it from Python "
               "with safetensors.torch.save_file, and read that",
               what, path);
    return true;
}

bool terni_file_usable(const char *what, const char *path) {
    struct stat st;
    if (stat(path, &st) != 0 || access(path, R_OK) != 0)
        return terni_fail(TERN_ERR_IO, "%s: %s: %s", what, path, strerror(errno));
    return S_ISREG(st.st_mode) || terni_fail(TERN_ERR_IO, "%s: %s is not a file", what, path);
}

bool terni_file_read(const char *what, const char *path, size_t most, void **data, size_t *bytes) {
    struct stat st;
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe must not block */
    if (fd < 0 || fstat(fd, &st) != 0) {
        const int e = errno;
        if (fd >= 0) close(fd);
        return terni_fail(TERN_ERR_IO, "%s: %s: %s", what, path, strerror(e));
    }
    const size_t size = S_ISREG(st.st_mode) ? (size_t)st.st_size : 0;
    char *p = NULL;
    bool ok = false;
    if (!S_ISREG(st.st_mode))
        terni_fail(TERN_ERR_IO, "%s: %s is not a file", what, path);
    else if (size > most)
        terni_fail(TERN_ERR_FORMAT, "%s: %s has %zu bytes; expected %zu at most", what, path, size, most);
    else
        ok = (p = terni_malloc(size + 1)) && read_all(fd, what, path, p, size);
    close(fd);
    if (!ok) {
        terni_mfree(p);
        return false;
    }
    p[size] = 0;
    *data = p;
    *bytes = size;
    return true;
}
