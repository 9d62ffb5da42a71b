/* Matrix products through a library: a call's views become a plan, and a way to do it is chosen once a plan. Everything
 * here is plain C that the simulation compiles too; what calls cuBLASLt stands behind the table, in library_matmul.c.
 * Private to cuda/. */
#ifndef TERNI_CUDA_MATMUL_H
#define TERNI_CUDA_MATMUL_H

#include "internal.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What happens to the product before it is stored, in this order. */
enum {
    TERNI_EPILOGUE_BIAS = 1, /* bias [m], added to each column of D */
    TERNI_EPILOGUE_RELU = 2,
    TERNI_EPILOGUE_GELU = 4, /* by tanh */
    TERNI_EPILOGUE_AUX = 8,  /* gelu's input is stored too, laid out as D */
};

/* D [m, n] = op(A) [m, k] op(B) [k, n], all by columns: element (i, j) lies at i + j ld. op transposes where ta, tb say
 * so. Without padding, as it is compared byte by byte. */
typedef struct terni_matmul_plan {
    int64_t m, n, k, lda, ldb, ldd;
    int64_t stride_a, stride_b, stride_d; /* between the matrices of the batch; 0: all use one */
    int32_t batch, device, dtype, epilogue;
    int32_t ta, tb, tf32;
    int32_t align_a, align_b, align_d, align_bias, align_aux; /* bytes, powers of 2 up to 256 */
} terni_matmul_plan;

typedef struct terni_matmul_data {
    const void *a, *b, *bias;
    void *d, *aux;
} terni_matmul_data;

/* How the library does a plan: its own business but for these. */
typedef struct terni_matmul_way {
    uint64_t algorithm[8];
    uint64_t workspace; /* bytes */
    bool possible;
} terni_matmul_way;

typedef struct terni_matmul_library {
    bool (*usable)(void);
    /* False after an error; a plan that the library does not do is no error, but not possible. */
    bool (*choose)(const terni_matmul_plan *plan, const terni_matmul_data *data, size_t workspace,
                   terni_matmul_way *way);
    /* Queued on d's stream. False after an error. */
    bool (*run)(terni_cuda_device *d, const terni_matmul_plan *plan, const terni_matmul_way *way,
                const terni_matmul_data *data, void *workspace);
} terni_matmul_library;
extern const terni_matmul_library terni_cuda_matmul_library;

/* One operand of a call: a matrix for each place in y's batch, in y's order of dimensions. */
typedef struct terni_matmul_operand {
    const void *data;
    int64_t ld, stride[TERN_MAX_DIMS];
    bool transposed; /* as stored by rows */
    bool copied;     /* data is not there yet: a copy without gaps, with the batch's strides of 0 kept */
} terni_matmul_operand;

/* A plan, and the calls of the library that a product takes: one for each place in the outer dimensions. */
typedef struct terni_matmul_job {
    terni_matmul_plan plan;
    terni_matmul_data data;
    terni_matmul_operand a, b;
    int outer_ndim;
    int64_t outer[TERN_MAX_DIMS], outer_a[TERN_MAX_DIMS], outer_b[TERN_MAX_DIMS], outer_d[TERN_MAX_DIMS]; /* elements */
    int64_t calls;
} terni_matmul_job;

/* Plans a call without its epilogue. False if the library is not the one to do it: sizes beyond int32, nothing to sum,
 * or very many small products that do not lie at equal distances. */
bool terni_cuda_matmul_plan(const terni_call *c, terni_matmul_job *job);

typedef enum terni_matmul_result { TERNI_MATMUL_FAILED, TERNI_MATMUL_DONE, TERNI_MATMUL_DECLINED } terni_matmul_result;
terni_matmul_result terni_cuda_matmul_by_library(terni_cuda_device *d, const terni_call *c);
/* Adds the bias (if it is not in yet) and applies the activation to the product in z, or in y if there is no z. */
bool terni_cuda_matmul_finish(const terni_call *c, bool bias);

#ifdef __cplusplus
}
#endif
#endif
