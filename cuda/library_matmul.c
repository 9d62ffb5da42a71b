/* Matrix products by cuBLASLt. Sums are in f32 for f32, f16 and bf16 (of inputs rounded to tf32 where the program
 * allows that for f32), in f64 for f64; what was summed in parts is added up in that type too, in a fixed order, so
 * that results repeat bit by bit. Source: cublasLt.h and the cuBLAS documentation, of CUDA 12 and 13. */
#include <cublasLt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "matmul.h"

#define FUNCTIONS(F)                        \
    F(cublasLtCreate)                       \
    F(cublasLtGetStatusName)                \
    F(cublasLtMatmul)                       \
    F(cublasLtMatmulAlgoGetHeuristic)       \
    F(cublasLtMatmulDescCreate)             \
    F(cublasLtMatmulDescDestroy)            \
    F(cublasLtMatmulDescSetAttribute)       \
    F(cublasLtMatmulPreferenceCreate)       \
    F(cublasLtMatmulPreferenceDestroy)      \
    F(cublasLtMatmulPreferenceSetAttribute) \
    F(cublasLtMatrixLayoutCreate)           \
    F(cublasLtMatrixLayoutDestroy)          \
    F(cublasLtMatrixLayoutSetAttribute)
static struct { FUNCTIONS(TERNI_LIBRARY_FIELD) } lt;
static const char *const names[] = {FUNCTIONS(TERNI_LIBRARY_NAME)};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool there;
static _Atomic(cublasLtHandle_t) handles[TERNI_CUDA_DEVICES]; /* one a device, never freed */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void open_library(void) {
    char why[1024];
    there = terni_cuda_library_functions(TERNI_LIBRARY_CUBLASLT, names, (int)(sizeof names / sizeof names[0]), &lt, why,
                                         sizeof why);
}

static bool usable(void) {
    pthread_once(&once, open_library);
    return there;
}

static bool lt_ok(cublasStatus_t rc, const char *what) {
    if (rc == CUBLAS_STATUS_SUCCESS) return true;
    if (rc == CUBLAS_STATUS_ALLOC_FAILED)
        return terni_cuda_fail(TERN_ERR_MEMORY, "matmul: cuBLASLt has no memory for %s", what);
    return terni_cuda_fail(TERN_ERR_DEVICE, "matmul: %s (%d) from cuBLASLt's %s", lt.cublasLtGetStatusName(rc), (int)rc,
                           what);
}
#define LT(function, ...) lt_ok(lt.cublasLt##function(__VA_ARGS__), #function)

/* The device is the calling thread's. */
static cublasLtHandle_t handle_of(int device) {
    cublasLtHandle_t h = atomic_load_explicit(&handles[device], memory_order_acquire);
    if (h) return h;
    pthread_mutex_lock(&lock);
    h = atomic_load(&handles[device]);
    if (!h && LT(Create, &h))
        atomic_store_explicit(&handles[device], h, memory_order_release);
    else if (!h)
        h = NULL;
    pthread_mutex_unlock(&lock);
    return h;
}

/* ---- descriptors: made anew for each call, as pointers are among their attributes */

typedef struct description {
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t a, b, d;
} description;

static cudaDataType_t type_of(int dtype) {
    switch (dtype) {
        case TERN_F64:
            return CUDA_R_64F;
        case TERN_F16:
            return CUDA_R_16F;
        case TERN_BF16:
            return CUDA_R_16BF;
        default:
            return CUDA_R_32F;
    }
}

static bool set(description *s, cublasLtMatmulDescAttributes_t what, const void *value, size_t size) {
    return LT(MatmulDescSetAttribute, s->product, what, value, size);
}

static bool layout(cublasLtMatrixLayout_t *to, const terni_matmul_plan *p, int64_t rows, int64_t cols, int64_t ld,
                   int64_t stride) {
    if (!LT(MatrixLayoutCreate, to, type_of(p->dtype), (uint64_t)rows, (uint64_t)cols, ld)) return false;
    return p->batch == 1 ||
           (LT(MatrixLayoutSetAttribute, *to, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &p->batch, sizeof p->batch) &&
            LT(MatrixLayoutSetAttribute, *to, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride));
}

static uint32_t epilogue_of(int32_t bits) {
    const bool bias = bits & TERNI_EPILOGUE_BIAS;
    if (bits & TERNI_EPILOGUE_RELU) return bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    if (bits & TERNI_EPILOGUE_AUX) return bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
    if (bits & TERNI_EPILOGUE_GELU) return bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    return bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

static bool describe_epilogue(description *s, const terni_matmul_plan *p, const terni_matmul_data *data) {
    const uint32_t epilogue = epilogue_of(p->epilogue);
    if (p->epilogue == 0) return true; /* the default */
    if (!set(s, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue)) return false;
    if (p->epilogue & TERNI_EPILOGUE_BIAS && !set(s, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &data->bias, sizeof data->bias))
        return false;
    return !(p->epilogue & TERNI_EPILOGUE_AUX) ||
           (set(s, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &data->aux, sizeof data->aux) &&
            set(s, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &p->ldd, sizeof p->ldd) &&
            (p->batch == 1 ||
             set(s, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, &p->stride_d, sizeof p->stride_d)));
}

static void drop(description *s) {
    if (s->d) lt.cublasLtMatrixLayoutDestroy(s->d);
    if (s->b) lt.cublasLtMatrixLayoutDestroy(s->b);
    if (s->a) lt.cublasLtMatrixLayoutDestroy(s->a);
    if (s->product) lt.cublasLtMatmulDescDestroy(s->product);
}

/* False after an error, with nothing left to drop. */
static bool describe(description *s, const terni_matmul_plan *p, const terni_matmul_data *data) {
    const cublasComputeType_t compute = p->dtype == TERN_F64 ? CUBLAS_COMPUTE_64F
                                        : p->tf32            ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                             : CUBLAS_COMPUTE_32F;
    const cudaDataType_t scale = p->dtype == TERN_F64 ? CUDA_R_64F : CUDA_R_32F;
    const int32_t ta = p->ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb = p->tb ? CUBLAS_OP_T : CUBLAS_OP_N;
    memset(s, 0, sizeof *s);
    const bool ok = LT(MatmulDescCreate, &s->product, compute, scale) &&
                    set(s, CUBLASLT_MATMUL_DESC_TRANSA, &ta, sizeof ta) &&
                    set(s, CUBLASLT_MATMUL_DESC_TRANSB, &tb, sizeof tb) && describe_epilogue(s, p, data) &&
                    layout(&s->a, p, p->ta ? p->k : p->m, p->ta ? p->m : p->k, p->lda, p->stride_a) &&
                    layout(&s->b, p, p->tb ? p->n : p->k, p->tb ? p->k : p->n, p->ldb, p->stride_b) &&
                    layout(&s->d, p, p->m, p->n, p->ldd, p->stride_d);
    if (!ok) drop(s);
    return ok;
}

/* Which algorithms may be used: results do not depend on the order in which blocks finish, and are not summed in f16.
 */
static bool prefer(cublasLtMatmulPreference_t f, const terni_matmul_plan *p, uint64_t workspace) {
    const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const uint32_t a = (uint32_t)p->align_a, b = (uint32_t)p->align_b, d = (uint32_t)p->align_d;
#define PREFER(what, value) LT(MatmulPreferenceSetAttribute, f, CUBLASLT_MATMUL_PREF_##what, &(value), sizeof(value))
    return PREFER(MAX_WORKSPACE_BYTES, workspace) && PREFER(REDUCTION_SCHEME_MASK, reduction) &&
           PREFER(MIN_ALIGNMENT_A_BYTES, a) && PREFER(MIN_ALIGNMENT_B_BYTES, b) && PREFER(MIN_ALIGNMENT_C_BYTES, d) &&
           PREFER(MIN_ALIGNMENT_D_BYTES, d);
#undef PREFER
}

/* ---- the table */

static bool choose(const terni_matmul_plan *p, const terni_matmul_data *data, size_t workspace, terni_matmul_way *way) {
    _Static_assert(sizeof(cublasLtMatmulAlgo_t) == sizeof way->algorithm, "the algorithm fits");
    const cublasLtHandle_t handle = handle_of(p->device);
    description s;
    if (!handle || !describe(&s, p, data)) return false;
    cublasLtMatmulPreference_t f = NULL;
    bool ok = LT(MatmulPreferenceCreate, &f) && prefer(f, p, workspace);
    if (ok) {
        cublasLtMatmulHeuristicResult_t best;
        int n = 0;
        memset(&best, 0, sizeof best);
        const cublasStatus_t rc =
            lt.cublasLtMatmulAlgoGetHeuristic(handle, s.product, s.a, s.b, s.d, s.d, f, 1, &best, &n);
        /* some releases call an epilogue that a type does not have an invalid value */
        if (rc != CUBLAS_STATUS_NOT_SUPPORTED && (rc != CUBLAS_STATUS_INVALID_VALUE || p->epilogue == 0))
            ok = lt_ok(rc, "MatmulAlgoGetHeuristic");
        if (ok && rc == CUBLAS_STATUS_SUCCESS && n > 0 && best.state == CUBLAS_STATUS_SUCCESS) {
            memcpy(way->algorithm, &best.algo, sizeof best.algo);
            way->workspace = best.workspaceSize;
            way->possible = true;
        }
    }
    if (f) lt.cublasLtMatmulPreferenceDestroy(f);
    drop(&s);
    return ok;
}

static bool run(terni_cuda_device *d, const terni_matmul_plan *p, const terni_matmul_way *way,
                const terni_matmul_data *data, void *workspace) {
    static const double one = 1, zero = 0;
    static const float one_f = 1, zero_f = 0;
    const bool wide = p->dtype == TERN_F64;
    const cublasLtHandle_t handle = handle_of(p->device);
    cublasLtMatmulAlgo_t algorithm;
    description s;
    if (!handle || !describe(&s, p, data)) return false;
    memcpy(&algorithm, way->algorithm, sizeof algorithm);
    const bool ok = LT(Matmul, handle, s.product, wide ? (const void *)&one : &one_f, data->a, s.a, data->b, s.b,
                       wide ? (const void *)&zero : &zero_f, data->d, s.d, data->d, s.d, &algorithm, workspace,
                       way->workspace, (cudaStream_t)d->stream);
    drop(&s);
    return ok;
}

const terni_matmul_library terni_cuda_matmul_library = {usable, choose, run};
