/* LU factors, which solve, inverse and det share. Private to core/ops. */
#ifndef TERNI_LU_H
#define TERNI_LU_H

#include "ops/matrices.h"

/* The factors of a^T (which a row-major a is in memory, as LAPACK sees it). Not recorded. */
typedef struct terni_lu {
    tern_tensor *lu, *pivots, *info;
} terni_lu;
bool terni_lu_of(const char *op, tern_tensor *a, terni_lu *f);
/* a x = b, or a^T x = b, into x [batch..., N, K] by columns; the factors' batch broadcasts. */
bool terni_lu_solve(tern_tensor *lu, tern_tensor *pivots, tern_tensor *b, bool transposed, tern_tensor *x);

#endif
