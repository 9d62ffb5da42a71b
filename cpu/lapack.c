/* LAPACK as it comes with the BLAS library (OpenBLAS holds both), found by name at its first use. */
#include "lapack.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {"potrf_", "trsm_", "getrf_", "getrs_", "geqrf_", "orgqr_", "gesdd_", "syevd_"};
enum { ROUTINES = sizeof names / sizeof *names };
_Static_assert(sizeof(terni_lapack_f32) == ROUTINES * sizeof(void *), "a name for each routine");

static pthread_once_t once = PTHREAD_ONCE_INIT;
static terni_lapack_f32 single;
static terni_lapack_f64 twice;
static char missing[16]; /* the first routine that is not there */

static void find(char prefix, void *table) {
    for (int i = 0; i < ROUTINES; i++) {
        char name[16];
        snprintf(name, sizeof name, "%c%s", prefix, names[i]);
        void *const p = terni_cpu_blas_symbol(name);
        memcpy((char *)table + (size_t)i * sizeof p, &p, sizeof p);
        if (!p && !missing[0]) memcpy(missing, name, sizeof missing);
    }
}

static void init(void) {
    find('s', &single);
    find('d', &twice);
}

static bool there(const char *op) {
    pthread_once(&once, init);
    if (!missing[0]) return true;
    char blas[300];
    terni_cpu_blas_info(blas, sizeof blas);
    blas[strcspn(blas, "\n")] = 0;
    return terni_cpu_fail(TERN_ERR_UNSUPPORTED, "%s: needs LAPACK from libopenblas.so.0, and no %s is found there (%s)",
                          op, missing, blas);
}

const terni_lapack_f32 *terni_cpu_lapack_f32(const char *op) { return there(op) ? &single : NULL; }
const terni_lapack_f64 *terni_cpu_lapack_f64(const char *op) { return there(op) ? &twice : NULL; }

bool terni_cpu_lapack_fits(const char *op, int64_t m, int64_t n) {
    if (m < INT32_MAX && n < INT32_MAX && (m == 0 || n <= INT32_MAX / m)) return true;
    return terni_cpu_fail(TERN_ERR_UNSUPPORTED, "%s: a matrix of %lld x %lld is beyond this LAPACK's 32-bit integers",
                          op, (long long)m, (long long)n);
}

/* ---- batches ----------------------------------------------------------------------------------------------------- */

typedef struct job {
    const terni_batch *b;
    char *work;
    size_t each;
    int64_t parts;
} job;

static void run_parts(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const int64_t n = j->b->n, size = n / j->parts, rest = n % j->parts;
    for (int64_t p = begin; p < end; p++) {
        const int64_t first = size * p + (p < rest ? p : rest), last = first + size + (p < rest);
        for (int64_t i = first; i < last; i++) j->b->fn(j->b->arg, i, j->work + (size_t)p * j->each);
    }
}

static const double part_flops = 1e5; /* from which a second thread pays */

bool terni_cpu_batch(const terni_batch *b) {
    if (b->n <= 0) return true;
    const double most = (double)b->n * b->flops / part_flops + 1;
    const int threads = terni_cpu_threads();
    int64_t parts = most < threads ? (int64_t)most : threads;
    if (parts > b->n) parts = b->n;
    job j = {.b = b, .parts = parts, .each = (b->work + 63) / 64 * 64};
    const size_t bytes = j.each * (size_t)parts;
    if (bytes && !(j.work = terni_cpu_host->alloc(bytes))) return false;
    terni_cpu_parallel(parts, 1, run_parts, &j);
    if (bytes) terni_cpu_host->free(j.work, bytes);
    return true;
}

int64_t terni_cpu_matrix(const terni_view *v, int matrix_dims, int64_t i) {
    int64_t at = 0;
    for (int d = v->ndim - matrix_dims - 1; d >= 0 && i > 0; d--) {
        at += i % v->shape[d] * v->strides[d];
        i /= v->shape[d];
    }
    return at;
}

bool terni_cpu_copy_matrices(const terni_view *in, const terni_view *out) {
    const terni_call copy = {&in, &out, 1, 1, NULL, 0};
    return terni_cpu_copy(&copy);
}
