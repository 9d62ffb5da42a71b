/* Tiles of a matrix product in f32, the inner loop that convolutions share: c [rows][.] = or += a [rows][k] b [k][.],
 * for whole vectors of columns. Sums grow in the order of k, whatever the tile, so a result does not depend on how its
 * rows and columns are divided; they start at 0, and what c holds is added at the end. */
#ifndef TERNI_CPU_PRODUCT_H
#define TERNI_CPU_PRODUCT_H

#include "simd.h"

/* TERNI_TILE rows by TERNI_PANEL vectors of sums, and what they are made from, fill the registers: 32 with AVX-512, 16
 * without. */
enum { TERNI_TILE = 6, TERNI_PANEL = TERNI_VEC_BYTES == 64 ? 4 : 2 };

typedef struct terni_product {
    const float *a, *b;
    float *c;
    int64_t row, column, ldb, ldc, k; /* a's element (i, q) is a[i row + q column] */
    bool add;
} terni_product;

/* mr and nv are constants wherever this is inlined. */
static inline __attribute__((always_inline)) void terni_tile(int mr, int nv, const terni_product *p) {
    const int64_t lanes = TERNI_LANES_F32;
    terni_vf acc[TERNI_TILE][TERNI_PANEL];
    for (int i = 0; i < mr; i++)
        for (int v = 0; v < nv; v++) acc[i][v] = (terni_vf){0};
    const float *a = p->a, *b = p->b;
    const int64_t row = p->row, column = p->column, ldb = p->ldb;
    for (int64_t q = 0; q < p->k; q++, a += column, b += ldb) {
        terni_vf bv[TERNI_PANEL];
        for (int v = 0; v < nv; v++) bv[v] = *(const terni_vf_u *)(b + v * lanes);
        for (int i = 0; i < mr; i++)
            for (int v = 0; v < nv; v++) acc[i][v] += a[i * row] * bv[v];
    }
    if (p->add)
        for (int i = 0; i < mr; i++)
            for (int v = 0; v < nv; v++) acc[i][v] += *(const terni_vf_u *)(p->c + i * p->ldc + v * lanes);
    for (int i = 0; i < mr; i++)
        for (int v = 0; v < nv; v++) *(terni_vf_u *)(p->c + i * p->ldc + v * lanes) = acc[i][v];
}

#define TERNI_TILE_OF(nv)                                         \
    static void terni_tile_##nv(int mr, const terni_product *p) { \
        switch (mr) {                                             \
            case 1:                                               \
                terni_tile(1, nv, p);                             \
                break;                                            \
            case 2:                                               \
                terni_tile(2, nv, p);                             \
                break;                                            \
            case 3:                                               \
                terni_tile(3, nv, p);                             \
                break;                                            \
            case 4:                                               \
                terni_tile(4, nv, p);                             \
                break;                                            \
            case 5:                                               \
                terni_tile(5, nv, p);                             \
                break;                                            \
            default:                                              \
                terni_tile(TERNI_TILE, nv, p);                    \
                break;                                            \
        }                                                         \
    }
TERNI_TILE_OF(1)
TERNI_TILE_OF(2)
#if TERNI_VEC_BYTES == 64
TERNI_TILE_OF(3)
TERNI_TILE_OF(4)
#endif

/* The product for `rows` rows and `columns` vectors of columns; p says where the first of each is. */
static inline void terni_product_run(terni_product p, int64_t rows, int64_t vectors) {
    const int64_t parts = (rows + TERNI_TILE - 1) / TERNI_TILE;
    for (int64_t v = 0, nv; v < vectors; v += nv) {
        nv = vectors - v < TERNI_PANEL ? vectors - v : TERNI_PANEL;
        for (int64_t i = 0; i < parts; i++) {
            const int64_t first = rows * i / parts, mr = rows * (i + 1) / parts - first;
            terni_product q = p;
            q.a += first * p.row;
            q.b += v * TERNI_LANES_F32;
            q.c += first * p.ldc + v * TERNI_LANES_F32;
            if (nv == 1) terni_tile_1((int)mr, &q);
            if (nv == 2) terni_tile_2((int)mr, &q);
#if TERNI_VEC_BYTES == 64
            if (nv == 3) terni_tile_3((int)mr, &q);
            if (nv == 4) terni_tile_4((int)mr, &q);
#endif
        }
    }
}

#endif
