/* The library of matrix products over the simulation: does what a plan says, matrix by matrix in column-major order,
 * and refuses what the real one refuses, so that a plan that is wrong shows in the results or as an error. */
#include "capture_sim.h"
#include "matmul.h"
#include "numbers_sim.h"
#include "special.h"

static bool usable(void) { return true; }

static bool aligned(const void *p, int32_t bytes) { return (uintptr_t)p % (uintptr_t)bytes == 0; }

/* What the real library calls an invalid value. */
static bool valid(const terni_matmul_plan *p, const terni_matmul_data *data) {
    const bool sizes = p->m > 0 && p->n > 0 && p->k > 0 && p->m <= INT32_MAX && p->n <= INT32_MAX && p->k <= INT32_MAX;
    const bool leads = p->lda >= (p->ta ? p->k : p->m) && p->ldb >= (p->tb ? p->n : p->k) && p->ldd >= p->m;
    const bool strides = p->batch == 1 || (p->stride_a >= 0 && p->stride_b >= 0 && p->stride_d >= p->ldd * p->n);
    const bool aux = !(p->epilogue & TERNI_EPILOGUE_AUX) || (p->ldd % 8 == 0 && p->stride_d % 8 == 0 && data->aux);
    const bool bias = !(p->epilogue & TERNI_EPILOGUE_BIAS) == !data->bias;
    return sizes && leads && strides && aux && bias && p->batch > 0 && aligned(data->d, p->align_d) &&
           aligned(data->bias, p->align_bias) && aligned(data->aux, p->align_aux);
}

/* Epilogues are for f32, f16 and bf16. */
static bool choose(const terni_matmul_plan *p, const terni_matmul_data *data, size_t workspace, terni_matmul_way *way) {
    if (!valid(p, data)) return terni_cuda_fail(TERN_ERR_INTERNAL, "matmul: the library is given an invalid plan");
    way->possible = p->dtype != TERN_F64 || p->epilogue == 0;
    way->workspace = workspace < 4096 ? workspace : 4096;
    return true;
}

static void product(const terni_matmul_plan *p, const terni_matmul_data *data, int64_t a0, int64_t b0, int64_t d0) {
    for (int64_t j = 0; j < p->n; j++)
        for (int64_t i = 0; i < p->m; i++) {
            double sum = 0;
            for (int64_t l = 0; l < p->k; l++)
                sum += terni_sim_get(data->a, p->dtype, a0 + (p->ta ? l + i * p->lda : i + l * p->lda)) *
                       terni_sim_get(data->b, p->dtype, b0 + (p->tb ? j + l * p->ldb : l + j * p->ldb));
            if (p->epilogue & TERNI_EPILOGUE_BIAS) sum += terni_sim_get(data->bias, p->dtype, i);
            if (p->epilogue & TERNI_EPILOGUE_AUX) terni_sim_put(data->aux, p->dtype, d0 + i + j * p->ldd, sum);
            if (p->epilogue & TERNI_EPILOGUE_RELU && sum < 0) sum = 0;
            if (p->epilogue & TERNI_EPILOGUE_GELU) sum = terni_gelu_tanh(sum);
            terni_sim_put(data->d, p->dtype, d0 + i + j * p->ldd, sum);
        }
}

typedef struct job {
    terni_matmul_plan p;
    terni_matmul_data data;
} job;

static void compute(const void *args) {
    const job *j = args;
    const terni_matmul_plan *p = &j->p;
    for (int64_t i = 0; i < p->batch; i++) product(p, &j->data, i * p->stride_a, i * p->stride_b, i * p->stride_d);
}

static bool run(terni_cuda_device *d, const terni_matmul_plan *p, const terni_matmul_way *way,
                const terni_matmul_data *data, void *workspace) {
    if (!way->possible || !valid(p, data) || !aligned(data->a, p->align_a) || !aligned(data->b, p->align_b))
        return terni_cuda_fail(TERN_ERR_INTERNAL, "matmul: the library is run with other data than planned");
    if (way->workspace && !TERNI_CUDA_OK(terni_cuda_driver->fill(workspace, 0x7F, way->workspace, d->stream)))
        return false;
    const job j = {*p, *data};
    return TERNI_CUDA_OK(terni_sim_do(d->stream, compute, &j, sizeof j));
}

const terni_matmul_library terni_cuda_matmul_library = {usable, choose, run};
