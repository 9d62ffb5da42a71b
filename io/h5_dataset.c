/* Two datasets of an HDF5 file of unknown origin. The HDF5 library crashes on some damaged files, so a process of its
 * own reads the file and sends what it found through a pipe; if it dies, that is an error like any other. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "h5.h"
#include "replace.h"
#include "tern/datasets.h"

enum { SECONDS = 600 }; /* of processor time, for the one that reads */

/* What comes through the pipe before the elements. */
typedef struct found {
    int64_t bytes; /* of elements that follow; negative: an error, in `why` */
    tern_dtype dtype;
    tern_shape shape;
    char why[300];
} found;

/* ---- the process that reads -------------------------------------------------------------------------------------- */

static bool send_all(int fd, const void *data, size_t bytes) {
    const char *p = data;
    while (bytes > 0) {
        const ssize_t n = write(fd, p, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        p += n;
        bytes -= (size_t)n;
    }
    return true;
}

static herr_t no_other_file(const char *a, const char *b, const char *c, const char *d, unsigned *flags, hid_t fapl,
                            void *data) {
    (void)a, (void)b, (void)c, (void)d, (void)flags, (void)fapl, (void)data;
    return -1;
}

/* h5py's bool: FALSE is 0, TRUE is 1. */
static bool is_bool(hid_t type) {
    unsigned char v[2] = {2, 2};
    if (H5Tget_class(type) != H5T_ENUM || H5Tget_size(type) != 1 || H5Tget_nmembers(type) != 2) return false;
    return H5Tget_member_value(type, 0, &v[0]) >= 0 && H5Tget_member_value(type, 1, &v[1]) >= 0 && v[0] < 2 && v[1] < 2;
}

/* The type that the elements get in memory, and their dtype; negative if Tern has none for them. */
static hid_t memory_type(hid_t type, tern_dtype *dtype) {
    const size_t size = H5Tget_size(type);
    const H5T_class_t class = H5Tget_class(type);
    const bool is_signed = class == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_2;
    if (class == H5T_FLOAT && (size == 2 || size == 4 || size == 8)) {
        *dtype = size == 8 ? TERN_F64 : TERN_F32;
        return *dtype == TERN_F64 ? H5T_NATIVE_DOUBLE : H5T_NATIVE_FLOAT;
    }
    if (is_bool(type)) {
        *dtype = TERN_BOOL;
        return H5T_NATIVE_UINT8;
    }
    if (class != H5T_INTEGER || size > 8) return -1;
    *dtype = size == 1 && !is_signed ? TERN_U8 : size < 4 || (size == 4 && is_signed) ? TERN_I32 : TERN_I64;
    if (size == 8 && !is_signed) return -1;
    return *dtype == TERN_U8 ? H5T_NATIVE_UINT8 : *dtype == TERN_I32 ? H5T_NATIVE_INT32 : H5T_NATIVE_INT64;
}

/* Shape and size, and that all of the elements are in the file. */
static const char *look(hid_t set, int64_t most, size_t size, found *f) {
    hsize_t dim[TERN_MAX_DIMS];
    const hid_t space = H5Dget_space(set), how = H5Dget_create_plist(set);
    const int ndim = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    if (ndim < 1 || ndim > TERN_MAX_DIMS || H5Sget_simple_extent_dims(space, dim, NULL) < 0)
        return "a dataset of 1 to 8 dimensions is expected";
    if (how < 0 || H5Pget_external_count(how) != 0 || H5Pget_layout(how) == H5D_VIRTUAL)
        return "its elements are in another file";
    f->shape.ndim = ndim;
    f->bytes = (int64_t)size;
    for (int i = 0; i < ndim; i++) {
        f->shape.dim[i] = (int64_t)dim[i];
        if (f->shape.dim[i] < 0 || __builtin_mul_overflow(f->bytes, f->shape.dim[i], &f->bytes) || f->bytes > most)
            return "it says that it is larger than a file of its size can hold";
    }
    return NULL;
}

static const char *read_set(hid_t set, int64_t most, found *f, void **data) {
    const hid_t type = H5Dget_type(set), memory = type < 0 ? -1 : memory_type(type, &f->dtype);
    if (memory < 0) return "its elements are of a type that Tern has not";
    const char *why = look(set, most, tern_dtype_size(f->dtype), f);
    if (why) return why;
    *data = mmap(NULL, (size_t)f->bytes + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (*data == MAP_FAILED) return "there is no memory for it";
    if (f->bytes > 0 && H5Dread(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, *data) < 0)
        return "its elements cannot be read: it is damaged, or packed by a filter that is not installed";
    for (int64_t i = 0; f->dtype == TERN_BOOL && i < f->bytes; i++)
        if (((unsigned char *)*data)[i] > 1) return "an element is neither false nor true";
    return NULL;
}

static bool send_set(int fd, hid_t file, const char *name, int64_t most) {
    found f;
    memset(&f, 0, sizeof f);
    void *data = NULL;
    const hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    if (access >= 0) H5Pset_elink_cb(access, no_other_file, NULL);
    const hid_t set = file < 0 || access < 0 ? -1 : H5Dopen2(file, name, access);
    const char *why = file < 0 ? "is no HDF5 file, or a damaged one" : set < 0 ? "has no dataset of this name" : NULL;
    if (!why) why = read_set(set, most, &f, &data);
    if (why) {
        f.bytes = -1;
        snprintf(f.why, sizeof f.why, "%s", why);
    }
    return send_all(fd, &f, sizeof f) && !why && send_all(fd, data, (size_t)f.bytes);
}

/* In the new process: only what is safe after a fork of a program with threads. Never comes back. */
static void serve(int fd, const char *path, const char *const name[2], int64_t most) {
    static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTERM, SIGPIPE, SIGXCPU};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) signal(signals[i], SIG_DFL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    setrlimit(RLIMIT_CPU, &(struct rlimit){SECONDS, SECONDS});
    const hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (send_set(fd, file, name[0], most)) send_set(fd, file, name[1], most);
    close(fd);
    for (;;) kill(getpid(), SIGKILL); /* nothing of the program's is to run at an end */
}

/* ---- the program's side ------------------------------------------------------------------------------------------ */

static bool receive(int fd, void *data, size_t bytes) {
    char *p = data;
    while (bytes > 0) {
        const ssize_t n = read(fd, p, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        p += n;
        bytes -= (size_t)n;
    }
    return true;
}

/* Of what came, nothing is believed: the other process may have gone wrong in any way. */
static bool plausible(found *f, int64_t most) {
    f->why[sizeof f->why - 1] = 0;
    if (f->bytes < 0) return true;
    int64_t n = (int64_t)tern_dtype_size(f->dtype);
    if (n == 0 || f->shape.ndim < 1 || f->shape.ndim > TERN_MAX_DIMS) return false;
    for (int i = 0; i < f->shape.ndim; i++)
        if (f->shape.dim[i] < 0 || __builtin_mul_overflow(n, f->shape.dim[i], &n) || n > most) return false;
    return n == f->bytes;
}

static tern_tensor *receive_set(int fd, const char *path, const char *name, int64_t most) {
    found f;
    if (!receive(fd, &f, sizeof f) || !plausible(&f, most))
        return terni_null(TERN_ERR_FORMAT, "h5: %s, %.100s: the file is damaged: reading it crashed the HDF5 library",
                          path, name);
    if (f.bytes < 0) return terni_null(TERN_ERR_FORMAT, "h5: %s, %.100s: %s", path, name, f.why);
    tern_tensor *t = tern_empty(f.shape, (tern_options){.dtype = f.dtype});
    if (t && !receive(fd, tern_data(t), (size_t)f.bytes))
        return terni_null(TERN_ERR_FORMAT, "h5: %s, %.100s: its elements stop coming", path, name);
    return t;
}

tern_dataset *tern_h5_dataset_new(const char *path, const char *x_name, const char *y_name) {
    if (!terni_given(path, "h5", "path") || !terni_given(x_name, "h5", "x") || !terni_given(y_name, "h5", "y"))
        return NULL;
    struct stat st;
    int fd[2];
    if (!terni_file_usable("h5", path)) return NULL;
    if (stat(path, &st) != 0 || pipe2(fd, O_CLOEXEC) != 0)
        return terni_null(TERN_ERR_IO, "h5: %s: %s", path, strerror(errno));
    const int64_t most = st.st_size > INT64_MAX / 2048 ? INT64_MAX : (int64_t)st.st_size * 1032; /* as deflate packs */
    terni_h5_enter(); /* so that the library is at rest when it is doubled */
    const pid_t pid = fork();
    if (pid == 0) {
        close(fd[0]);
        serve(fd[1], path, (const char *const[2]){x_name, y_name}, most);
    }
    const int e = errno;
    terni_h5_leave();
    close(fd[1]);
    tern_dataset *d = NULL;
    const int scope = tern_scope_push();
    if (pid < 0) {
        terni_fail(TERN_ERR_IO, "h5: %s: no process to read it: %s", path, strerror(e));
    } else {
        tern_tensor *x = receive_set(fd[0], path, x_name, most);
        tern_tensor *y = x ? receive_set(fd[0], path, y_name, most) : NULL;
        if (y) d = tern_dataset_tensors_new(x, y);
    }
    tern_scope_pop(scope);
    close(fd[0]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
    return d;
}
