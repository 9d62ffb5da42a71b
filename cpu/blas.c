/* OpenBLAS, on one thread: for its LAPACK (lapack.c), and for the larger products of matmul.c where the environment's
 * TERN_CPU_GEMM is "openblas"; "own", gemm.c, is the default. Debian 12's OpenBLAS
 * 0.3.21 mistakes newer processors for a Prescott and is then five times too slow (OpenBLAS issue 4267); it reads
 * OPENBLAS_CORETYPE while it is loaded, so that is set, from the instruction sets that the processor really has, before
 * this file opens it. Where there is none, tern_info says so. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blas.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
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
        snprintf(description, sizeof description, "LAPACK: none (%.200s)", why ? why : "not found");
        return;
    }
    void (*set_threads)(int);
    const char *(*corename)(void), *(*config)(void);
    if (symbol(library, "openblas_set_num_threads", &set_threads, sizeof set_threads)) set_threads(1);
    symbol(library, "openblas_get_corename", &corename, sizeof corename);
    symbol(library, "openblas_get_config", &config, sizeof config);
    snprintf(description, sizeof description, "LAPACK: %.100s, core %s (%s)", config ? config() : "OpenBLAS",
             corename ? corename() : "?",
             user   ? "from OPENBLAS_CORETYPE"
             : core ? "chosen by Tern"
                    : "its own choice");
}

/* ---- matrix products
 * -------------------------------------------------------------------------------------------------------------- */

enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 }; /* of CBLAS */

static bool multiplies;
static void (*sgemm)(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
                     const float *b, int ldb, float beta, float *c, int ldc);
static void (*dgemm)(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda,
                     const double *b, int ldb, double beta, double *c, int ldc);

bool terni_cpu_blas_choice(char *reason, size_t size) {
    const char *want = getenv("TERN_CPU_GEMM");
    if (!want || !*want || strcmp(want, "own") == 0) return true;
    if (strcmp(want, "openblas") != 0) {
        snprintf(reason, size, "TERN_CPU_GEMM is \"%.20s\"; expected own or openblas", want);
        return false;
    }
    pthread_once(&once, open_blas);
    multiplies = opened && symbol(opened, "cblas_sgemm", &sgemm, sizeof sgemm) &&
                 symbol(opened, "cblas_dgemm", &dgemm, sizeof dgemm);
    if (!multiplies)
        snprintf(reason, size, "TERN_CPU_GEMM is openblas, and no cblas_sgemm is found in libopenblas.so.0 (%s)",
                 description);
    return multiplies;
}

bool terni_cpu_blas_multiplies(void) { return multiplies; }

/* The bias goes into c first, and the product is added to it. */
#define MULTIPLY(T, gemm)                                                                                             \
    for (int64_t i = 0; g->bias && i < g->m; i++) memcpy((T *)g->c + i * g->ldc, g->bias, (size_t)g->n * sizeof(T));  \
    gemm(ROW_MAJOR, g->ta ? TRANSPOSED : PLAIN, g->tb ? TRANSPOSED : PLAIN, (int)g->m, (int)g->n, (int)g->k, 1, g->a, \
         (int)g->lda, g->b, (int)g->ldb, (T)(g->bias || g->add), g->c, (int)g->ldc)

void terni_cpu_blas_multiply(int dtype, const terni_gemm *g) {
    if (dtype == TERN_F64) {
        MULTIPLY(double, dgemm);
    } else {
        MULTIPLY(float, sgemm);
    }
}

void *terni_cpu_blas_symbol(const char *name) {
    pthread_once(&once, open_blas);
    return opened ? dlsym(opened, name) : NULL;
}

void terni_cpu_blas_info(char *text, size_t size) {
    pthread_once(&once, open_blas);
    snprintf(text, size, "%s\n  matrix products: %s\n", description,
             multiplies ? "large ones by OpenBLAS (TERN_CPU_GEMM)" : "Tern's own");
}
