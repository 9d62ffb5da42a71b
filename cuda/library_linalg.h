/* What linear algebra asks of cuSOLVER and cuBLAS: LAPACK's routines on one matrix in device memory, by columns, as a
 * job. library_linalg.c calls the libraries; tests/cusim has loops on the host in its place. solver.cu makes the jobs.
 * Private to cuda/. */
#ifndef TERNI_CUDA_LIBRARY_LINALG_H
#define TERNI_CUDA_LIBRARY_LINALG_H

#include "internal.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum terni_solver_routine {
    TERNI_SOLVER_POTRF, /* a [n, n] upper */
    TERNI_SOLVER_GETRF, /* a [n, n], pivots [n] from 1 */
    TERNI_SOLVER_GETRS, /* a, pivots as getrf leaves them, b [n, k]; transposed */
    TERNI_SOLVER_GEQRF, /* a [m, n], m >= n, w: tau [n] */
    TERNI_SOLVER_ORGQR, /* a [m, k] with n reflections in its first columns, w: tau [n]; m >= k >= n */
    TERNI_SOLVER_SYEVD, /* a [n, n] lower becomes the vectors, if vectors; w [n] ascending */
    TERNI_SOLVER_GESVD, /* a [m, n], m >= n, is lost; w [n] descending; if vectors, b: u [m, n], or [m, m] if whole, and
                           c: v^T [n, n] */
    TERNI_SOLVER_TRSM   /* x a = b, or x a^T = b if transposed, in place of b [m, n]; a [n, n]; upper, unit */
} terni_solver_routine;

typedef struct terni_solver_job {
    terni_solver_routine routine;
    int dtype; /* TERN_F32 or TERN_F64 */
    int64_t m, n, k, lda, ldb;
    void *a, *b, *c, *w;
    int32_t *pivots;
    int32_t *info; /* as LAPACK's; not of trsm */
    bool upper, transposed, unit, vectors, whole;
} terni_solver_job;

typedef struct terni_solver {
    bool always; /* whatever the size: for tests */
    /* Opens the libraries; false with the reason. The device is the thread's current one. */
    bool (*ready)(int device, char *why, size_t size);
    /* Both return 0 or a status. The memory that run wants: the host's need not outlive the call. */
    int (*room)(int device, terni_stream s, const terni_solver_job *j, size_t *on_device, size_t *on_host);
    int (*run)(int device, terni_stream s, const terni_solver_job *j, void *device_room, size_t on_device,
               void *host_room, size_t on_host);
} terni_solver;

extern const terni_solver terni_cuda_solver;

#ifdef __cplusplus
}
#endif
#endif
