/* Matrix products and linear algebra. What each kernel takes and gives; see backend.h. */
#ifndef TERNI_CONTRACT_LINALG_H
#define TERNI_CONTRACT_LINALG_H

#include "tern/base.h"

typedef enum terni_activation {
    TERNI_ACTIVATION_NONE,
    TERNI_ACTIVATION_RELU,
    TERNI_ACTIVATION_GELU_TANH
} terni_activation;
typedef struct terni_matmul_opts {
    int activation; /* terni_activation */
} terni_matmul_opts;
/* matmul: in a [B..., M, K], b [B..., K, N], bias [N] or NULL; out y [B..., M, N] contiguous, and z, like y, or NULL,
 * or no second output. opts may be NULL. y = activation(a b + bias), and z what the activation is applied to; z only
 * with gelu. Same ndim (2 to 8), batch dimensions broadcast by strides of 0. One float dtype. Any strides: unit row or
 *   column stride without a copy. K may be 0. */

/* ---- decompositions ------------------------------------------------------------------------------------------------
 * * f32 or f64, one dtype in a call but for i32 outputs. A matrix view is [batch..., M, N]; inputs have any strides.
 * Outputs have their batch dimensions row-major without gaps; each matrix is "by rows" (contiguous) or "by columns"
 * (stride 1 from row to row, M from column to column), as said. M, N and the batch may be 0. info i32 [batch...],
 * contiguous: 0 where the matrix went well, -1 where it holds a value that is not finite (svd, eigh), else what LAPACK
 * says; the kernel does not fail for it, and what such a matrix's other outputs hold is left open. What LAPACK or
 * cuSOLVER call the routine stands behind the name.
 *
 * cholesky (potrf): in a [.., N, N], read on and below the diagonal; out l by rows, 0 above the diagonal, a = l l^T;
 * info k > 0: the leading minor of order k is not positive definite. triangular_solve (trsm): in a [.., N, N], b [..,
 * N, K]; a's batch strides may be 0, and it is not copied if a row or column has unit stride; out x [.., N, K] by rows,
 * a x = b; opts terni_triangular_opts. Zeros on the diagonal divide. lu_factor (getrf): in a [.., N, N]; out lu by
 * columns, pivots i32 [.., N] from 1, info; k > 0: u[k][k] is 0, and the factors are there all the same. lu_solve
 * (getrs): in lu, pivots as from lu_factor, their batch strides may be 0, b [.., N, K]; out x by columns; opts
 *   terni_lu_opts.
 * lu_det: in lu, pivots as from lu_factor; out det, sign, logabs, each contiguous [batch...] or NULL: the product of
 * the diagonal with the sign of the exchanges; its sign (0 if it is 0); the sum of log|diagonal|. det and logabs
 * accumulate in f64. qr (geqrf, orgqr): in a [.., M, N], M >= N; out q [.., M, C] by columns, r [.., C, N] by columns,
 * 0 below the diagonal; C is N or M. svd (gesdd): in a [.., M, N]; K = min(M, N); out u [.., M, C] by rows, s [.., K]
 * contiguous and descending, vh
 *   [.., D, N] by rows, info; u and vh both NULL, or C = D = K, or C = M and D = N.
 * eigh (syevd): in a [.., N, N], read on and below the diagonal; out w [.., N] contiguous and ascending, v [.., N, N]
 * by columns, an eigenvector each, or NULL; info. */

typedef struct terni_triangular_opts {
    bool upper; /* read on and above the diagonal */
    bool unit;  /* the diagonal is taken as ones and not read */
} terni_triangular_opts;
typedef struct terni_lu_opts {
    bool transposed; /* a^T x = b */
} terni_lu_opts;

#endif
