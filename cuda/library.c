/* Where NVIDIA's libraries are, and their functions. */
#include "library.h"

#include <dlfcn.h>
#include <glob.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef TERNI_CUDA_MAJOR
#define TERNI_CUDA_MAJOR 13 /* the build says which release of CUDA this module is built with */
#endif

enum { RELEASES = 2, PATH_SIZE = 1024, WHY_SIZE = 1024 };

terni_library_search terni_cuda_library_search = {"lib", ""};

/* The ABI's number with CUDA 13, and with CUDA 12. */
static const struct {
    const char *name;
    int abi[RELEASES];
} known[TERNI_LIBRARY_COUNT] = {
    [TERNI_LIBRARY_CUBLASLT] = {"cublasLt", {13, 12}},
    [TERNI_LIBRARY_CUBLAS] = {"cublas", {13, 12}},
    [TERNI_LIBRARY_CUDNN] = {"cudnn", {9, 9}},
    [TERNI_LIBRARY_CUSOLVER] = {"cusolver", {12, 11}},
};

typedef struct library {
    bool searched;
    void *handle;
    char path[PATH_SIZE];
    char why[WHY_SIZE]; /* there is no handle */
    char lacks[100];    /* a function that was asked for */
} library;
static library libraries[TERNI_LIBRARY_COUNT];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- text */

/* Appends to text as far as it fits. */
static void append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void append(char *text, size_t size, const char *format, ...) {
    const size_t at = strlen(text);
    va_list list;
    va_start(list, format);
    if (at + 1 < size) vsnprintf(text + at, size - at, format, list);
    va_end(list);
}

/* Appends a folder's name such that glob takes it literally. */
static void append_literal(char *pattern, size_t size, const char *s, size_t length) {
    for (size_t i = 0; i < length; i++) append(pattern, size, strchr("*?[]\\", s[i]) ? "\\%c" : "%c", s[i]);
}

/* ---- opening */

static bool open_file(library *l, const char *path) {
    l->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (l->handle) {
        snprintf(l->path, sizeof l->path, "%s", path);
        return true;
    }
    const char *why = dlerror();
    if (!l->why[0]) append(l->why, sizeof l->why, "%.500s", why ? why : path); /* of the first file that is there */
    return false;
}

/* By the loader's own search. */
static bool open_name(library *l, const char *name) {
    struct link_map *map = NULL;
    l->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!l->handle) return false;
    const bool known_path = dlinfo(l->handle, RTLD_DI_LINKMAP, &map) == 0 && map && map->l_name && *map->l_name;
    snprintf(l->path, sizeof l->path, "%s", known_path ? map->l_name : name);
    return true;
}

/* Every file that the pattern finds. */
static bool open_pattern(library *l, const char *pattern) {
    glob_t found;
    if (glob(pattern, 0, NULL, &found) != 0) return false;
    bool ok = false;
    for (size_t i = 0; !ok && i < found.gl_pathc; i++) ok = open_file(l, found.gl_pathv[i]);
    globfree(&found);
    return ok;
}

/* In folder, taken literally, and then in each of the places below it, up to a NULL. */
static bool open_below(library *l, const char *folder, size_t length, const char *const *places, const char *name) {
    for (; *places; places++) {
        char pattern[2 * PATH_SIZE] = "";
        append_literal(pattern, sizeof pattern, folder, length);
        append(pattern, sizeof pattern, "%s/%s", *places, name);
        if (open_pattern(l, pattern)) return true;
    }
    return false;
}

static bool open_variable(library *l, const char *variable, const char *const *places, const char *name) {
    const char *folder = getenv(variable);
    return folder && *folder && open_below(l, folder, strlen(folder), places, name);
}

/* A list of folders, with colons between them. */
static bool open_listed(library *l, const char *list, const char *name) {
    static const char *const here[] = {"", NULL};
    for (const char *end; list && *list; list = *end ? end + 1 : end) {
        end = strchr(list, ':');
        if (!end) end = list + strlen(list);
        if (end > list && open_below(l, list, (size_t)(end - list), here, name)) return true;
    }
    return false;
}

#define WHEELS(lib) lib "/python3*/site-packages/nvidia/*/lib", lib "/python3*/dist-packages/nvidia/*/lib"

static bool open_anywhere(library *l, const char *name) {
    static const char *const toolkit[] = {"/lib64", "/lib", "/targets/*/lib", NULL};
    static const char *const wheels[] = {WHEELS("/lib"), WHEELS("/lib64"), NULL};
    static const char *const home[] = {WHEELS("/.local/lib"), NULL};
    static const char *const rest[] = {"/usr/local/cuda/lib64",    "/usr/local/cuda/lib",    "/usr/local/cuda-*/lib64",
                                       "/usr/local/cuda-*/lib",    WHEELS("/usr/local/lib"), WHEELS("/usr/lib"),
                                       WHEELS("/usr/local/lib64"), WHEELS("/usr/lib64"),     NULL};
    const char *root = terni_cuda_library_search.root;
    return open_name(l, name) || open_variable(l, "CUDA_HOME", toolkit, name) ||
           open_variable(l, "CUDA_PATH", toolkit, name) || open_variable(l, "VIRTUAL_ENV", wheels, name) ||
           open_variable(l, "CONDA_PREFIX", toolkit, name) || open_variable(l, "CONDA_PREFIX", wheels, name) ||
           open_variable(l, "HOME", home, name) || open_below(l, root, strlen(root), rest, name);
}

static void search(terni_library_id id) {
    static const int order[RELEASES] = {TERNI_CUDA_MAJOR == 12 ? 1 : 0, TERNI_CUDA_MAJOR == 12 ? 0 : 1};
    library *l = &libraries[id];
    const char *listed = getenv("TERN_CUDA_LIBRARIES");
    char names[RELEASES][64];
    const int n = known[id].abi[0] == known[id].abi[1] ? 1 : RELEASES;
    for (int i = 0; i < n; i++)
        snprintf(names[i], sizeof names[i], "%s%s.so.%d", terni_cuda_library_search.prefix, known[id].name,
                 known[id].abi[order[i]]);
    l->searched = true;
    for (int i = 0; i < n; i++)
        if (open_listed(l, listed, names[i])) return;
    for (int i = 0; i < n; i++)
        if (open_anywhere(l, names[i])) return;
    if (l->why[0]) return;
    append(l->why, sizeof l->why, "%s%s%s is not found: looked in ", names[0], n > 1 ? " or " : "",
           n > 1 ? names[1] : "");
    if (listed && *listed) append(l->why, sizeof l->why, "TERN_CUDA_LIBRARIES (%.200s), ", listed);
    append(l->why, sizeof l->why, "the loader's folders, ");
    static const char *const variables[] = {"CUDA_HOME", "CUDA_PATH", "VIRTUAL_ENV", "CONDA_PREFIX"};
    for (int i = 0; i < 4; i++) {
        const char *value = getenv(variables[i]);
        if (value && *value) append(l->why, sizeof l->why, "%s (%.100s), ", variables[i], value);
    }
    append(l->why, sizeof l->why,
           "/usr/local/cuda* and the nvidia packages of Python in ~/.local, /usr/local and /usr; TERN_CUDA_LIBRARIES "
           "names further folders");
}

/* Under the lock. */
static library *opened(terni_library_id id) {
    if (!libraries[id].searched) search(id);
    return &libraries[id];
}

/* Which file is used, or why none. */
static void describe(const library *l, char *text, size_t size) {
    if (!l->handle)
        snprintf(text, size, "%s", l->why);
    else if (l->lacks[0])
        snprintf(text, size, "%s has no %s: another release is needed", l->path, l->lacks);
    else
        snprintf(text, size, "%s", l->path);
}

bool terni_cuda_library_functions(terni_library_id id, const char *const *names, int n, void *table, char *why,
                                  size_t size) {
    pthread_mutex_lock(&lock);
    library *l = opened(id);
    const char *missing = NULL;
    for (int i = 0; l->handle && !missing && i < n; i++)
        if (!dlsym(l->handle, names[i])) missing = names[i];
    if (missing) snprintf(l->lacks, sizeof l->lacks, "%s", missing);
    const bool ok = l->handle && !missing;
    for (int i = 0; ok && i < n; i++) {
        void *const p = dlsym(l->handle, names[i]);
        memcpy((char *)table + (size_t)i * sizeof p, &p, sizeof p);
    }
    if (!ok) describe(l, why, size);
    pthread_mutex_unlock(&lock);
    return ok;
}

const char *terni_cuda_library_path(terni_library_id id) {
    pthread_mutex_lock(&lock);
    const library *l = opened(id);
    pthread_mutex_unlock(&lock);
    return l->handle ? l->path : NULL;
}

/* ---- the choice */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool own, valid = true;
static char setting[64];

static void read_setting(void) {
    const char *s = getenv("TERN_CUDA_KERNELS");
    snprintf(setting, sizeof setting, "%.60s", s ? s : "");
    own = strcmp(setting, "own") == 0;
    valid = own || !*setting || strcmp(setting, "library") == 0;
}

bool terni_cuda_own_kernels(void) {
    pthread_once(&once, read_setting);
    return own;
}

bool terni_cuda_own_kernels_valid(const char **value) {
    pthread_once(&once, read_setting);
    *value = setting;
    return valid;
}

void terni_cuda_library_info(char *text, size_t size) {
    if (size) text[0] = 0;
    if (terni_cuda_own_kernels()) {
        append(text, size, "  libraries: not used (TERN_CUDA_KERNELS=own)\n");
        return;
    }
#ifdef TERNI_SIMULATED
    append(text, size, "  libraries: simulated\n");
#else
    pthread_mutex_lock(&lock);
    for (int id = 0; id < TERNI_LIBRARY_COUNT; id++) {
        char line[320];
        const library *l = opened((terni_library_id)id);
        describe(l, line, sizeof line);
        append(text, size, "  %s: %s%s\n", known[id].name, l->handle && !l->lacks[0] ? "" : "none: ", line);
    }
    pthread_mutex_unlock(&lock);
    append(text, size, "  cub: compiled in\n");
#endif
}
