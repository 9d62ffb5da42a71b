/* Matrix products on one thread, by OpenBLAS. Debian 12's OpenBLAS 0.3.21 mistakes newer processors for a Prescott and
 * is then five times too slow (OpenBLAS issue 4267); it reads OPENBLAS_CORETYPE while it is loaded, so that is set,
 * from the instruction sets that the processor really has, before this file opens it. Where there is no OpenBLAS,
 * gemm.c does the work, and tern_info says so. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gemm.h"

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };
typedef void (*sgemm_fn)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *,
                         int);
typedef void (*dgemm_fn)(int, int, int, int, int, int, double, const double *, int, const double *, int, double,
                         double *, int);

static pthread_once_t once = PTHREAD_ONCE_INIT;
static sgemm_fn sgemm;
static dgemm_fn dgemm;
static char description[400];
static void *opened; /* the library */

static const char *core_type(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        return "SKYLAKEX";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "HASWELL";
#endif
    return NULL; /* its own choice */
}

static void *symbol(void *library, const char *name, void *fn, size_t size) {
    void *p = dlsym(library, name);
    memcpy(fn, &p, size);
    return p;
}

static void open_blas(void) {
    const char *user = getenv("OPENBLAS_CORETYPE"), *core = user ? NULL : core_type();
    if (core) setenv("OPENBLAS_CORETYPE", core, 1);
    /* One thread: Tern's pool splits the work. Said before loading, or it starts threads of its own. */
    const char *threads = getenv("OPENBLAS_NUM_THREADS");
    char was[32] = "";
    if (threads) snprintf(was, sizeof was, "%.31s", threads);
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    void *library = opened = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!library) library = opened = dlopen("libopenblas.so", RTLD_NOW | RTLD_LOCAL);
    if (core) unsetenv("OPENBLAS_CORETYPE");
    if (was[0])
        setenv("OPENBLAS_NUM_THREADS", was, 1);
    else
        unsetenv("OPENBLAS_NUM_THREADS");
    if (!library) {
        const char *why = dlerror();
        snprintf(description, sizeof description, "BLAS: none (%.200s); Tern's own kernels", why ? why : "not found");
        return;
    }
    void (*set_threads)(int);
    const char *(*corename)(void), *(*config)(void);
    if (symbol(library, "openblas_set_num_threads", &set_threads, sizeof set_threads)) set_threads(1);
    symbol(library, "openblas_get_corename", &corename, sizeof corename);
    symbol(library, "openblas_get_config", &config, sizeof config);
    symbol(library, "cblas_sgemm", &sgemm, sizeof sgemm);
    symbol(library, "cblas_dgemm", &dgemm, sizeof dgemm);
    if (!sgemm || !dgemm) sgemm = NULL, dgemm = NULL;
    snprintf(description, sizeof description, "BLAS: %.100s, core %s (%s)", config ? config() : "OpenBLAS",
             corename ? corename() : "?",
             user   ? "from OPENBLAS_CORETYPE"
             : core ? "chosen by Tern"
                    : "its own choice");
}

void *terni_cpu_blas_symbol(const char *name) {
    pthread_once(&once, open_blas);
    return opened ? dlsym(opened, name) : NULL;
}

void terni_cpu_blas_info(char *text, size_t size) {
    pthread_once(&once, open_blas);
    snprintf(text, size, "%s\n", description);
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static bool fits(int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc) {
    return m <= INT32_MAX && n <= INT32_MAX && k <= INT32_MAX && lda <= INT32_MAX && ldb <= INT32_MAX &&
           ldc <= INT32_MAX;
}

/* BLAS wants leading dimensions of at least the row length, and at least 1, even where there is one row. */
static int lead(int64_t ld, int64_t row) { return (int)(ld > row ? ld : row > 1 ? row : 1); }

#define GEMM(suffix, T, blas)                                                                                \
    void terni_cpu_gemm_##suffix(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const T *a, int64_t lda, \
                                 const T *b, int64_t ldb, T beta, T *c, int64_t ldc) {                       \
        if (m == 0 || n == 0) return;                                                                        \
        pthread_once(&once, open_blas);                                                                      \
        if (k == 0 || !blas || !fits(m, n, k, lda, ldb, ldc)) {                                              \
            terni_cpu_own_gemm_##suffix(ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc);                      \
            return;                                                                                          \
        }                                                                                                    \
        blas(ROW_MAJOR, ta ? TRANS : NO_TRANS, tb ? TRANS : NO_TRANS, (int)m, (int)n, (int)k, 1, a,          \
             lead(lda, ta ? m : k), b, lead(ldb, tb ? k : n), beta, c, lead(ldc, n));                        \
    }
GEMM(f32, float, sgemm)
GEMM(f64, double, dgemm)
