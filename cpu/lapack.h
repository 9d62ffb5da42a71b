/* What the matrix decompositions share: LAPACK's routines, and the way through a batch. */
#ifndef TERNI_CPU_LAPACK_H
#define TERNI_CPU_LAPACK_H

#include "internal.h"

/* ---- routines ---------------------------------------------------------------------------------------------------- *
 * Fortran's: everything by address; the lengths of texts come last and by value. Integers are 32 bits wide. */

#define TERNI_LAPACK(T)                                                                                               \
    void (*potrf)(const char *uplo, const int *n, T *a, const int *lda, int *info, size_t);                           \
    void (*trsm)(const char *side, const char *uplo, const char *trans, const char *diag, const int *m, const int *n, \
                 const T *alpha, const T *a, const int *lda, T *b, const int *ldb, size_t, size_t, size_t, size_t);   \
    void (*getrf)(const int *m, const int *n, T *a, const int *lda, int *pivots, int *info);                          \
    void (*getrs)(const char *trans, const int *n, const int *nrhs, const T *a, const int *lda, const int *pivots,    \
                  T *b, const int *ldb, int *info, size_t);                                                           \
    void (*geqrf)(const int *m, const int *n, T *a, const int *lda, T *tau, T *work, const int *lwork, int *info);    \
    void (*orgqr)(const int *m, const int *n, const int *k, T *a, const int *lda, const T *tau, T *work,              \
                  const int *lwork, int *info);                                                                       \
    void (*gesdd)(const char *job, const int *m, const int *n, T *a, const int *lda, T *s, T *u, const int *ldu,      \
                  T *vt, const int *ldvt, T *work, const int *lwork, int *iwork, int *info, size_t);                  \
    void (*syevd)(const char *job, const char *uplo, const int *n, T *a, const int *lda, T *w, T *work,               \
                  const int *lwork, int *iwork, const int *liwork, int *info, size_t, size_t);

typedef struct terni_lapack_f32 {
    TERNI_LAPACK(float)
} terni_lapack_f32;
typedef struct terni_lapack_f64 {
    TERNI_LAPACK(double)
} terni_lapack_f64;

/* NULL after recording TERN_ERR_UNSUPPORTED for op, with what is missing. */
const terni_lapack_f32 *terni_cpu_lapack_f32(const char *op);
const terni_lapack_f64 *terni_cpu_lapack_f64(const char *op);

/* Matrices up to this size are factored, and solved with, without LAPACK's help: a call of it costs about 1 us. */
enum { TERNI_LU_SMALL = 12 };

/* ---- batches ----------------------------------------------------------------------------------------------------- */

/* A job over n matrices; fn does one of them, with `work` bytes of scratch memory of its thread's own. */
typedef struct terni_batch {
    void (*fn)(const void *arg, int64_t i, void *work);
    const void *arg;
    int64_t n;
    double flops; /* of one matrix, about */
    size_t work;
} terni_batch;
/* On several threads where that pays. False after recording that there is no memory. */
bool terni_cpu_batch(const terni_batch *b);

/* Matrices of a view [batch..., M, N]. */
static inline int64_t terni_cpu_matrices(const terni_view *v, int matrix_dims) {
    int64_t n = 1;
    for (int d = 0; d < v->ndim - matrix_dims; d++) n *= v->shape[d];
    return n;
}
/* Where matrix i of the batch begins, in elements. */
int64_t terni_cpu_matrix(const terni_view *v, int matrix_dims, int64_t i);
/* Sizes fit LAPACK's integers; else records TERN_ERR_UNSUPPORTED. */
bool terni_cpu_lapack_fits(const char *op, int64_t m, int64_t n);
/* Copies in to out, any strides, one shape. */
bool terni_cpu_copy_matrices(const terni_view *in, const terni_view *out);

static inline int terni_cpu_lead(int64_t n) { return n > 1 ? (int)n : 1; }

#endif
