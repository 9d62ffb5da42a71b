#include "files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct data_file {
    const char *name; /* without ".gz" */
    tern_shape shape;
} data_file;

enum { N_FILES = 4 };
static const data_file files[N_FILES] = {
    {"train-images-idx3-ubyte", {3, {60000, 28, 28}}},
    {"train-labels-idx1-ubyte", {1, {60000}}},
    {"t10k-images-idx3-ubyte", {3, {10000, 28, 28}}},
    {"t10k-labels-idx1-ubyte", {1, {10000}}},
};

static bool join(char out[MNIST_PATH_MAX], const char *folder, const char *name, const char *end) {
    const int n = snprintf(out, MNIST_PATH_MAX, "%s/%s%s", folder, name, end);
    return n < MNIST_PATH_MAX || tern_error_set(TERN_ERR_ARGUMENT, "%s: the path is too long", folder);
}

static bool folder_of(const settings *s, char out[MNIST_PATH_MAX]) {
    const char *root = getenv("TERN_DATA");
    if (!s->data) return join(out, root && *root ? root : "data", "mnist", "");
    const size_t n = strlen(s->data);
    if (n >= MNIST_PATH_MAX) return tern_error_set(TERN_ERR_ARGUMENT, "%s: the path is too long", s->data);
    memcpy(out, s->data, n + 1);
    return true;
}

bool mnist_asked_for(const settings *s) {
    const char *root = getenv("TERN_DATA");
    return s->data || s->download || (root && *root) || access("data/mnist", F_OK) == 0;
}

static const char *url(void) {
    const char *other = getenv("TERN_MNIST_URL");
    return other && *other ? other : MNIST_URL;
}

/* The file as it stands in the folder, plain or gzip. */
static bool find(const char *folder, const data_file *f, char out[MNIST_PATH_MAX]) {
    static const char *const ends[] = {"", ".gz"};
    for (int i = 0; i < 2; i++) {
        if (!join(out, folder, f->name, ends[i])) return false;
        if (access(out, F_OK) == 0) return true;
    }
    return false;
}

static bool missing(const char *folder, const data_file *f) {
    char list[1024] = "";
    for (int i = 0; i < N_FILES; i++) {
        const size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "\n    %s/%s.gz", url(), files[i].name);
    }
    return tern_error_set(TERN_ERR_IO,
                          "%s: no file %s or %s.gz; expected MNIST's four files there, as they are at%s\n--download "
                          "fetches them, --data names another folder",
                          folder, f->name, f->name, list);
}

/* ---- downloading -------------------------------------------------------------------------------------------- */

/* mkdir -p */
static bool make_folder(const char *folder) {
    char path[MNIST_PATH_MAX];
    snprintf(path, sizeof path, "%s", folder);
    for (char *c = path + 1;; c++) {
        const char was = *c;
        if (was != '/' && was != '\0') continue;
        *c = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST) {
            return tern_error_set(TERN_ERR_IO, "%s: the folder cannot be made: %s", path, strerror(errno));
        }
        if (!was) return true;
        *c = was;
    }
}

/* Runs curl; false after an error. */
static bool fetch(const char *from, const char *to) {
    enum { NO_CURL = 127 };
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
        execlp("curl", "curl", "--fail", "--location", "--silent", "--show-error", "--connect-timeout", "20", "--retry",
               "2", "--output", to, from, (char *)NULL);
        _exit(NO_CURL);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        return tern_error_set(TERN_ERR_IO, "curl could not be started: %s", strerror(errno));
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_CURL) {
        return tern_error_set(TERN_ERR_IO, "--download needs the program curl, which is not installed here");
    }
    return tern_error_set(TERN_ERR_IO, "%s could not be downloaded: curl %s %d; is there a network?", from,
                          WIFEXITED(status) ? "ended with code" : "was stopped by signal",
                          WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

/* What came must be what was asked for, not, say, a proxy's login page. gzip's own checksum is looked at in reading. */
static bool verify(const char *path, const data_file *f) {
    char is[64], expected[64];
    tern_tensor *t = tern_idx_load(path);
    const bool fits = t && tern_dtype_of(t) == TERN_U8 && tern_shape_equal(tern_shape_get(t), f->shape);
    if (t && !fits) {
        tern_error_set(TERN_ERR_FORMAT, "%s holds %s %s; expected u8 %s", path, tern_dtype_name(tern_dtype_of(t)),
                       tern_shape_text(tern_shape_get(t), is, sizeof is),
                       tern_shape_text(f->shape, expected, sizeof expected));
    }
    tern_release(t);
    return fits;
}

/* The file comes under another name first, so that one that stands under its own name is complete. */
static bool download(const char *folder, const data_file *f) {
    char from[MNIST_PATH_MAX], part[MNIST_PATH_MAX], path[MNIST_PATH_MAX];
    const bool new_folder = access(folder, F_OK) != 0;
    if (!join(from, url(), f->name, ".gz") || !join(part, folder, f->name, ".part") ||
        !join(path, folder, f->name, ".gz") || !make_folder(folder)) {
        return false;
    }
    printf("Downloading %s\n", from);
    fflush(stdout);
    if (fetch(from, part) && verify(part, f)) {
        if (rename(part, path) == 0) return true;
        tern_error_set(TERN_ERR_IO, "%s cannot be renamed to %s: %s", part, path, strerror(errno));
    }
    remove(part);
    if (new_folder) rmdir(folder);
    return false;
}

bool mnist_files(const settings *s, bool train, char images[MNIST_PATH_MAX], char labels[MNIST_PATH_MAX]) {
    char folder[MNIST_PATH_MAX], path[MNIST_PATH_MAX];
    if (!folder_of(s, folder)) return false;
    for (int i = 0; i < N_FILES; i++) {
        if (find(folder, &files[i], path)) continue;
        if (!tern_ok()) return false;
        if (!s->download) return missing(folder, &files[i]);
        if (!download(folder, &files[i])) return false;
    }
    const data_file *f = files + (train ? 0 : 2);
    return find(folder, f, images) && find(folder, f + 1, labels);
}
