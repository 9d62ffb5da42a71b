/* Tern's own matrix products (gemm.c): what matmul.c, which shares them out over threads, knows of them. */
#ifndef TERNI_CPU_GEMM_H
#define TERNI_CPU_GEMM_H

#include "internal.h"

/* How a product is computed. Every element is summed in an order that depends on the whole product's path and sizes
 * alone, so parts of it, by rows or by columns, may be computed by themselves with the path of the whole. */
typedef enum terni_gemm_path {
    TERNI_GEMM_TILES, /* tiles of c in registers; b, and a where it pays, is packed by panels */
    TERNI_GEMM_ROWS,  /* few rows of c: b's rows are read once, as they lie */
    TERNI_GEMM_DOTS   /* few rows of c, b transposed: dot products of rows */
} terni_gemm_path;

/* c = op(a) op(b) + bias, or that added to c. */
typedef struct terni_gemm {
    terni_gemm_path path;
    bool ta, tb, add;
    int64_t m, n, k;
    const void *a, *b, *bias; /* bias: n elements without gaps, or NULL; not together with add */
    int64_t lda, ldb, ldc;
    void *c;
    void *room; /* terni_cpu_gemm_room bytes, 64-byte aligned, or NULL: slower where that is not 0 */
} terni_gemm;

terni_gemm_path terni_cpu_gemm_path(int dtype, const terni_gemm *g);
/* What g, or each part of it, can use; 0 where it needs none. */
size_t terni_cpu_gemm_room(int dtype, const terni_gemm *g);
void terni_cpu_gemm_run_f32(const terni_gemm *g);
void terni_cpu_gemm_run_f64(const terni_gemm *g);

#endif
