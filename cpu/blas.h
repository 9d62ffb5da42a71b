/* OpenBLAS for matrix products (blas.c), where the environment's TERN_CPU_GEMM asks for it. */
#ifndef TERNI_CPU_BLAS_H
#define TERNI_CPU_BLAS_H

#include "gemm.h"

/* Once, when the module is loaded: false, with the reason, if TERN_CPU_GEMM says neither "own" nor "openblas", or if it
 * says "openblas" and there is none. */
bool terni_cpu_blas_choice(char *reason, size_t size);
/* Whether it says "openblas". */
bool terni_cpu_blas_multiplies(void);
/* The product on the calling thread. m, n and k are at least 1, and they and the distances of rows fit an int. */
void terni_cpu_blas_multiply(int dtype, const terni_gemm *g);

#endif
