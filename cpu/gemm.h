/* Matrix products without a BLAS; as terni_cpu_gemm_f32 and _f64 in internal.h. */
#ifndef TERNI_CPU_GEMM_H
#define TERNI_CPU_GEMM_H

#include "internal.h"

void terni_cpu_own_gemm_f32(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                            const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
void terni_cpu_own_gemm_f64(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const double *a, int64_t lda,
                            const double *b, int64_t ldb, double beta, double *c, int64_t ldc);

#endif
