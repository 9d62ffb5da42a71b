/* The CPU backend: the kernels behind core/backend.h for host memory. Sees plain views, never a tensor; includes
 * nothing of core but backend.h, half.h and philox.h. The folder is compiled once for each instruction set into a
 * module of its own (libtern-cpu-base, -v3, -v4), so plain C and GCC vector types become AVX2 or AVX-512 without
 * run-time switches.
 *
 * A kernel is terni_cpu_ROW. What several kernels share stands here. */
#ifndef TERNI_CPU_INTERNAL_H
#define TERNI_CPU_INTERNAL_H

#include "backend.h"
#include "half.h"

extern const terni_host *terni_cpu_host;
#define terni_cpu_fail(code, ...) terni_cpu_host->fail(code, __FILE__, __LINE__, __VA_ARGS__)

/* ---- threads (pool.c) -------------------------------------------------------------------------------------------- */

/* Calls fn(arg, begin, end) for parts of [0, n), one a thread, each of at least grain; on the calling thread alone if n
 * is small, when called from inside such a call, or while another thread has the pool. The parts depend on the number
 * of threads, so a kernel whose result must not depend on it reduces over blocks of its own choice. */
void terni_cpu_parallel(int64_t n, int64_t grain, void (*fn)(void *arg, int64_t begin, int64_t end), void *arg);
bool terni_cpu_set_threads(int threads);
int terni_cpu_threads(void);

/* ---- matrix products on one thread (gemm.c) ---------------------------------------------------------------------- */

/* c = op(a) op(b) + beta c, row-major; op transposes if ta or tb; ld is the distance between rows as stored. beta is 0
 * (c may hold anything) or 1. */
void terni_cpu_gemm_f32(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b,
                        int64_t ldb, float beta, float *c, int64_t ldc);
void terni_cpu_gemm_f64(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const double *a, int64_t lda,
                        const double *b, int64_t ldb, double beta, double *c, int64_t ldc);

/* ---- OpenBLAS (blas.c) ------------------------------------------------------------------------------------------- */

/* Function of the library by its name there; NULL if it has none, or if there is no library. */
void *terni_cpu_blas_symbol(const char *name);
/* Which library does it, for tern_info. */
void terni_cpu_blas_info(char *text, size_t size);

/* ---- f16, bf16 in bulk (half.c)
 * --------------------------------------------------------------------------------------- */

/* n elements, source stride in elements. dtype is TERN_F16 or TERN_BF16. */
void terni_cpu_from_half(int dtype, const uint16_t *x, int64_t stride, float *y, int64_t n);
void terni_cpu_to_half(int dtype, const float *x, uint16_t *y, int64_t stride, int64_t n);

/* ---- loops over views of one shape (loop.c)
 * ------------------------------------------------------------------------------ */

enum { TERNI_LOOP_VIEWS = 4 };

/* One run along the innermost dimension: n elements, p[i] the first of view i, s[i] its stride in elements. */
typedef void (*terni_run_fn)(int64_t n, char *const *p, const int64_t *s, const void *arg);

/* Merges dimensions that lie without gaps in all views, then calls fn for every run; splits large work over threads. */
void terni_cpu_loop(const terni_view *const *views, int n_views, terni_run_fn fn, const void *arg, int64_t grain);

static inline size_t terni_cpu_size(int dtype) {
    static const unsigned char size[TERN_DTYPE_COUNT] = {
        [TERN_F32] = 4, [TERN_F64] = 8, [TERN_F16] = 2, [TERN_BF16] = 2,
        [TERN_I64] = 8, [TERN_I32] = 4, [TERN_U8] = 1,  [TERN_BOOL] = 1};
    return size[dtype];
}

/* Writes a constant as one element of dtype; returns its bytes. */
size_t terni_cpu_constant(int dtype, const terni_fill_opts *o, void *element);

static inline int64_t terni_cpu_count(const terni_view *v) {
    int64_t n = 1;
    for (int i = 0; i < v->ndim; i++) n *= v->shape[i];
    return n;
}

static inline bool terni_cpu_is_half(int dtype) { return dtype == TERN_F16 || dtype == TERN_BF16; }

/* ---- the kernels
 * ---------------------------------------------------------------------------------------------------------- */

#define TERN_OP(name) bool terni_cpu_##name(const terni_call *c);
#define TERN_OP_CUDA(name)
#include "ops.def"
#define ROW(name)                                      \
    bool terni_cpu_##name(const terni_call *c);        \
    bool terni_cpu_##name##_grad(const terni_call *c); \
    bool terni_cpu_##name##_curv(const terni_call *c);
#define TERN_UNARY(name, ...)     ROW(name)
#define TERN_UNARY_Y(name, ...)   ROW(name)
#define TERN_UNARY_P(name, ...)   ROW(name)
#define TERN_UNARY_PQ(name, ...)  ROW(name)
#define TERN_UNARY_PQR(name, ...) ROW(name)
#define TERN_BINARY(name, ...)                       \
    bool terni_cpu_##name(const terni_call *c);      \
    bool terni_cpu_##name##_da(const terni_call *c); \
    bool terni_cpu_##name##_db(const terni_call *c);
#define TERN_COMPARE(name, ...) bool terni_cpu_##name(const terni_call *c);
#define TERN_TEST_OF(name, ...) TERN_COMPARE(name, )
#define TERN_TERNARY(name, ...) TERN_COMPARE(name, )
#define TERN_BITS(name, ...)    TERN_COMPARE(name, )
#include "elementwise.def"
#undef ROW

#endif
