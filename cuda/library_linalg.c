/* cuSOLVER and cuBLAS for linear algebra: a handle of each for every device, one call at a time. The routines that
 * exist in one form for all types (X...) are called so; the others by type. */
#include "library_linalg.h"

#include <cublas_v2.h>
#include <cusolverDn.h>
#include <pthread.h>
#include <stdio.h>

#include "library.h"

#define SOLVER(F)                  \
    F(cusolverDnCreate)            \
    F(cusolverDnSetStream)         \
    F(cusolverDnCreateParams)      \
    F(cusolverDnXpotrf_bufferSize) \
    F(cusolverDnXpotrf)            \
    F(cusolverDnXgeqrf_bufferSize) \
    F(cusolverDnXgeqrf)            \
    F(cusolverDnXsyevd_bufferSize) \
    F(cusolverDnXsyevd)            \
    F(cusolverDnXgesvd_bufferSize) \
    F(cusolverDnXgesvd)            \
    F(cusolverDnSgetrf_bufferSize) \
    F(cusolverDnDgetrf_bufferSize) \
    F(cusolverDnSgetrf)            \
    F(cusolverDnDgetrf)            \
    F(cusolverDnSgetrs)            \
    F(cusolverDnDgetrs)            \
    F(cusolverDnSorgqr_bufferSize) \
    F(cusolverDnDorgqr_bufferSize) \
    F(cusolverDnSorgqr)            \
    F(cusolverDnDorgqr)
#define BLAS(F) F(cublasCreate_v2) F(cublasSetStream_v2) F(cublasStrsm_v2) F(cublasDtrsm_v2)

static struct { SOLVER(TERNI_LIBRARY_FIELD) } solver;
static struct { BLAS(TERNI_LIBRARY_FIELD) } blas;

typedef struct handles {
    bool tried;
    int status; /* of making them */
    cusolverDnHandle_t solver;
    cusolverDnParams_t params;
    cublasHandle_t blas;
} handles;

enum { BLAS_STATUS = 1000 }; /* added to those of cuBLAS */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static handles made[TERNI_CUDA_DEVICES];
static bool tried, found;
static char reason[512];

static int of_blas(cublasStatus_t s) { return s == CUBLAS_STATUS_SUCCESS ? 0 : BLAS_STATUS + (int)s; }

static void open_libraries(void) {
    static const char *const solver_names[] = {SOLVER(TERNI_LIBRARY_NAME)}, *const blas_names[] = {
                                                                                BLAS(TERNI_LIBRARY_NAME)};
    tried = true;
    found = terni_cuda_library_functions(TERNI_LIBRARY_CUBLAS, blas_names, sizeof blas / sizeof(void (*)(void)), &blas,
                                         reason, sizeof reason) &&
            terni_cuda_library_functions(TERNI_LIBRARY_CUSOLVER, solver_names, sizeof solver / sizeof(void (*)(void)),
                                         &solver, reason, sizeof reason);
}

static int make(handles *h) {
    int status = (int)solver.cusolverDnCreate(&h->solver);
    if (!status) status = (int)solver.cusolverDnCreateParams(&h->params);
    return status ? status : of_blas(blas.cublasCreate_v2(&h->blas));
}

static bool ready(int device, char *why, size_t size) {
    pthread_mutex_lock(&lock);
    if (!tried) open_libraries();
    handles *h = &made[device];
    if (found && !h->tried) {
        h->tried = true;
        h->status = make(h);
    }
    const bool ok = found && h->status == 0;
    if (!found)
        snprintf(why, size, "%s", reason);
    else if (!ok)
        snprintf(why, size, "cuSOLVER or cuBLAS gives status %d at its start", h->status);
    pthread_mutex_unlock(&lock);
    return ok;
}

/* ---- sizes of workspaces */

static cudaDataType type_of(const terni_solver_job *j) { return j->dtype == TERN_F64 ? CUDA_R_64F : CUDA_R_32F; }
static cusolverEigMode_t vectors_of(const terni_solver_job *j) {
    return j->vectors ? CUSOLVER_EIG_MODE_VECTOR : CUSOLVER_EIG_MODE_NOVECTOR;
}
static signed char svd_mode(const terni_solver_job *j) { return !j->vectors ? 'N' : j->whole ? 'A' : 'S'; }
static cublasFillMode_t half_of(const terni_solver_job *j) {
    return j->upper ? CUBLAS_FILL_MODE_UPPER : CUBLAS_FILL_MODE_LOWER;
}

/* The routines that count in elements, and with int. */
static int count_elements(const handles *h, const terni_solver_job *j, int *n) {
    const int rows = (int)j->m, cols = (int)j->n, lead = (int)j->lda, wide = j->dtype == TERN_F64;
    if (j->routine == TERNI_SOLVER_GETRF)
        return (int)(wide ? solver.cusolverDnDgetrf_bufferSize(h->solver, rows, cols, j->a, lead, n)
                          : solver.cusolverDnSgetrf_bufferSize(h->solver, rows, cols, j->a, lead, n));
    return (int)(wide ? solver.cusolverDnDorgqr_bufferSize(h->solver, rows, (int)j->k, cols, j->a, lead, j->w, n)
                      : solver.cusolverDnSorgqr_bufferSize(h->solver, rows, (int)j->k, cols, j->a, lead, j->w, n));
}

static int room_of(const handles *h, const terni_solver_job *j, size_t *on_device, size_t *on_host) {
    const cudaDataType t = type_of(j);
    int n = 0, status = 0;
    switch (j->routine) {
        case TERNI_SOLVER_POTRF:
            return (int)solver.cusolverDnXpotrf_bufferSize(h->solver, h->params, half_of(j), j->n, t, j->a, j->lda, t,
                                                           on_device, on_host);
        case TERNI_SOLVER_GEQRF:
            return (int)solver.cusolverDnXgeqrf_bufferSize(h->solver, h->params, j->m, j->n, t, j->a, j->lda, t, j->w,
                                                           t, on_device, on_host);
        case TERNI_SOLVER_SYEVD:
            return (int)solver.cusolverDnXsyevd_bufferSize(h->solver, h->params, vectors_of(j), half_of(j), j->n, t,
                                                           j->a, j->lda, t, j->w, t, on_device, on_host);
        case TERNI_SOLVER_GESVD:
            return (int)solver.cusolverDnXgesvd_bufferSize(h->solver, h->params, svd_mode(j), svd_mode(j), j->m, j->n,
                                                           t, j->a, j->lda, t, j->w, t, j->b, j->m, t, j->c, j->n, t,
                                                           on_device, on_host);
        case TERNI_SOLVER_GETRF:
        case TERNI_SOLVER_ORGQR:
            status = count_elements(h, j, &n);
            *on_device = (size_t)n * (t == CUDA_R_64F ? sizeof(double) : sizeof(float));
            return status;
        case TERNI_SOLVER_GETRS:
        case TERNI_SOLVER_TRSM:
            break;
    }
    return 0;
}

static int room(int device, terni_stream s, const terni_solver_job *j, size_t *on_device, size_t *on_host) {
    const handles *h = &made[device];
    *on_device = *on_host = 0;
    pthread_mutex_lock(&lock);
    int status = (int)solver.cusolverDnSetStream(h->solver, s);
    if (!status) status = room_of(h, j, on_device, on_host);
    pthread_mutex_unlock(&lock);
    return status;
}

/* ---- calls */

static int run_f64(const handles *h, const terni_solver_job *j, void *work, int lwork) {
    const int m = (int)j->m, n = (int)j->n, k = (int)j->k, lda = (int)j->lda, ldb = (int)j->ldb;
    const cublasOperation_t turn = j->transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const double one = 1;
    if (j->routine == TERNI_SOLVER_GETRF)
        return (int)solver.cusolverDnDgetrf(h->solver, m, n, j->a, lda, work, j->pivots, j->info);
    if (j->routine == TERNI_SOLVER_GETRS)
        return (int)solver.cusolverDnDgetrs(h->solver, turn, n, k, j->a, lda, j->pivots, j->b, ldb, j->info);
    if (j->routine == TERNI_SOLVER_ORGQR)
        return (int)solver.cusolverDnDorgqr(h->solver, m, k, n, j->a, lda, j->w, work, lwork, j->info);
    return of_blas(blas.cublasDtrsm_v2(h->blas, CUBLAS_SIDE_RIGHT, half_of(j), turn,
                                       j->unit ? CUBLAS_DIAG_UNIT : CUBLAS_DIAG_NON_UNIT, m, n, &one, j->a, lda, j->b,
                                       ldb));
}

static int run_f32(const handles *h, const terni_solver_job *j, void *work, int lwork) {
    const int m = (int)j->m, n = (int)j->n, k = (int)j->k, lda = (int)j->lda, ldb = (int)j->ldb;
    const cublasOperation_t turn = j->transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const float one = 1;
    if (j->routine == TERNI_SOLVER_GETRF)
        return (int)solver.cusolverDnSgetrf(h->solver, m, n, j->a, lda, work, j->pivots, j->info);
    if (j->routine == TERNI_SOLVER_GETRS)
        return (int)solver.cusolverDnSgetrs(h->solver, turn, n, k, j->a, lda, j->pivots, j->b, ldb, j->info);
    if (j->routine == TERNI_SOLVER_ORGQR)
        return (int)solver.cusolverDnSorgqr(h->solver, m, k, n, j->a, lda, j->w, work, lwork, j->info);
    return of_blas(blas.cublasStrsm_v2(h->blas, CUBLAS_SIDE_RIGHT, half_of(j), turn,
                                       j->unit ? CUBLAS_DIAG_UNIT : CUBLAS_DIAG_NON_UNIT, m, n, &one, j->a, lda, j->b,
                                       ldb));
}

static int run_job(const handles *h, const terni_solver_job *j, void *work, size_t bytes, void *host,
                   size_t host_bytes) {
    const cudaDataType t = type_of(j);
    switch (j->routine) {
        case TERNI_SOLVER_POTRF:
            return (int)solver.cusolverDnXpotrf(h->solver, h->params, half_of(j), j->n, t, j->a, j->lda, t, work, bytes,
                                                host, host_bytes, j->info);
        case TERNI_SOLVER_GEQRF:
            return (int)solver.cusolverDnXgeqrf(h->solver, h->params, j->m, j->n, t, j->a, j->lda, t, j->w, t, work,
                                                bytes, host, host_bytes, j->info);
        case TERNI_SOLVER_SYEVD:
            return (int)solver.cusolverDnXsyevd(h->solver, h->params, vectors_of(j), half_of(j), j->n, t, j->a, j->lda,
                                                t, j->w, t, work, bytes, host, host_bytes, j->info);
        case TERNI_SOLVER_GESVD:
            return (int)solver.cusolverDnXgesvd(h->solver, h->params, svd_mode(j), svd_mode(j), j->m, j->n, t, j->a,
                                                j->lda, t, j->w, t, j->b, j->m, t, j->c, j->n, t, work, bytes, host,
                                                host_bytes, j->info);
        default:
            return t == CUDA_R_64F ? run_f64(h, j, work, (int)(bytes / sizeof(double)))
                                   : run_f32(h, j, work, (int)(bytes / sizeof(float)));
    }
}

static int run(int device, terni_stream s, const terni_solver_job *j, void *device_room, size_t on_device,
               void *host_room, size_t on_host) {
    const handles *h = &made[device];
    pthread_mutex_lock(&lock);
    int status = (int)solver.cusolverDnSetStream(h->solver, s);
    if (!status) status = of_blas(blas.cublasSetStream_v2(h->blas, s));
    if (!status) status = run_job(h, j, device_room, on_device, host_room, on_host);
    pthread_mutex_unlock(&lock);
    return status;
}

const terni_solver terni_cuda_solver = {.always = false, .ready = ready, .room = room, .run = run};
