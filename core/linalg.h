/* Matrix products and linear algebra. See ops.h for what holds for every op. */
#ifndef TERN_LINALG_H
#define TERN_LINALG_H

#include "tern/autograd.h"
#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- matrix products ----------------------------------------------------------------------------------------------
 */

/* a [..., M, K] x b [..., K, N] -> [..., M, N]; leading dimensions broadcast; a 1-dim a is a row, a 1-dim b a column,
 * and that dimension goes, as in NumPy. Transposed views are not copied. Float dtypes, both alike; f16 and bf16
 * accumulate in f32. */
TERN_API tern_tensor *tern_matmul(tern_tensor *a, tern_tensor *b);
/* x [..., I] w [O, I] b [O] or NULL -> x w^T + b [..., O]. Grad: x, w, b. */
TERN_API tern_tensor *tern_linear(tern_tensor *x, tern_tensor *w, tern_tensor *b);

/* linear and its activation in one kernel where the backend has one: relu(x w^T + b), and gelu_tanh of it. As the two
 * ops after one another in all else; gelu keeps its input for the gradient. Grad: x, w, b. */
TERN_API tern_tensor *tern_linear_relu(tern_tensor *x, tern_tensor *w, tern_tensor *b);
TERN_API tern_tensor *tern_linear_gelu_tanh(tern_tensor *x, tern_tensor *w, tern_tensor *b);

/* May GPUs round the inputs of f32 products and convolutions to tf32 (10 bits of mantissa instead of 23), which their
 * tensor cores multiply several times faster? For the whole process; false at first. Sums stay f32, other dtypes and
 * the CPU are not touched. Returns what it was. Thread-safe. */
TERN_API bool tern_allow_tf32(bool allow);
TERN_API bool tern_allow_tf32_get(void);

/* matmul with a fixed number of dimensions: [M, K] x [K, N]; [B, M, K] x [B, K, N]; [M, K] x [K]; [K] x [K] -> 0-dim.
 */
TERN_API tern_tensor *tern_mm(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_bmm(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_mv(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_dot(tern_tensor *a, tern_tensor *b);
/* beta c + alpha a b for mm, bmm and mv; c broadcasts to the product's shape. c is not read if beta is 0. */
TERN_API tern_tensor *tern_addmm(tern_tensor *c, tern_tensor *a, tern_tensor *b, double beta, double alpha);
TERN_API tern_tensor *tern_baddbmm(tern_tensor *c, tern_tensor *a, tern_tensor *b, double beta, double alpha);
TERN_API tern_tensor *tern_addmv(tern_tensor *c, tern_tensor *a, tern_tensor *b, double beta, double alpha);
/* a [M], b [N] -> a[i] b[j] [M, N]. Any dtypes. */
TERN_API tern_tensor *tern_outer(tern_tensor *a, tern_tensor *b);
/* Sums of a b over the last dimension of both, [..., K] and [---, K] -> [..., ---]; over dimension dim of both,
 * broadcast, with vecdot. */
TERN_API tern_tensor *tern_inner(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_vecdot(tern_tensor *a, tern_tensor *b, int dim);
/* Sums of products over n dimensions, dims_a[i] of a going with dims_b[i] of b; if both are NULL, the last n of a with
 * the first n of b. The result has the rest of a's dimensions, then b's. Float dtypes. */
TERN_API tern_tensor *tern_tensordot(tern_tensor *a, tern_tensor *b, const int *dims_a, const int *dims_b, int n);
/* Einstein's summation over n tensors, NumPy's notation: "bij,bjk->bik". Labels are letters; "..." stands for further
 * dimensions, which broadcast, as sizes of 1 do; a label that occurs twice in a term takes the diagonal; without "->"
 * the result has the labels that occur once, in alphabetical order, after those of "...". More than two tensors are
 * contracted pairwise, the pair first whose result is the smallest beside what went in. Pairs go through matmul, as
 * views where strides allow it. Float dtypes, all alike. Errors: TERN_ERR_ARGUMENT (notation), TERN_ERR_SHAPE. */
TERN_API tern_tensor *tern_einsum(const char *equation, tern_tensor *const *x, int n);
/* Kronecker's product; a and b have 4 dimensions at most, sizes multiply dimension by dimension, the last with the
 * last. Any dtypes. */
TERN_API tern_tensor *tern_kron(tern_tensor *a, tern_tensor *b);
/* Vector product along dimension dim, of size 3 in both; the others broadcast. Any dtypes but bool. */
TERN_API tern_tensor *tern_cross(tern_tensor *a, tern_tensor *b, int dim);
/* The product of n >= 1 matrices, in the order that costs the fewest operations (Cormen et al., matrix chains). The
 * first and the last may be 1-dim, as in matmul. */
TERN_API tern_tensor *tern_multi_dot(tern_tensor *const *x, int n);
/* a [..., N, N] to the n-th, by squaring; n < 0: of the inverse; n = 0: the identity. */
TERN_API tern_tensor *tern_matrix_power(tern_tensor *a, int64_t n);
/* Sum of the diagonals: x [..., M, N] -> [...]. Any dtype. */
TERN_API tern_tensor *tern_trace(tern_tensor *x);

/* ---- systems and decompositions ------------------------------------------------------------------------------------
 * * f64 and f32; f16 and bf16 are refused with TERN_ERR_DTYPE. Matrices are the last two dimensions, any others a
 * batch; in those with two operands the batches broadcast. Results may lie in memory by columns: tern_contiguous. On
 * the CPU they need the LAPACK that OpenBLAS brings: TERN_ERR_UNSUPPORTED where it is not there. A matrix that an op
 * cannot do is TERN_ERR_ARGUMENT with its number in the batch; finding out waits for the device.
 *
 * There is no eig for matrices that are not symmetric: its results are complex, and Tern has no complex dtype.
 *
 * Gradients: Giles, "Collected matrix derivative results" (2008); QR: Walter and Lehmann, arXiv 1009.6112; SVD:
 * Townsend, "Differentiating the singular value decomposition" (2016). A gradient that reaches singular vectors or
 * eigenvectors is infinite or NaN if singular values or eigenvalues are equal, and means something only where the
 * result does not depend on the vectors' signs. */

/* Lower triangular l, or upper r: a = l l^T = r^T r, for symmetric positive definite a [..., N, N], of which only that
 * triangle is read. Errors: TERN_ERR_ARGUMENT if a is not positive definite. Grad: symmetric. */
TERN_API tern_tensor *tern_cholesky(tern_tensor *a, bool upper);
/* x with a x = b from a's Cholesky factor l; b [..., N, K]. The inverse of a, from the same. */
TERN_API tern_tensor *tern_cholesky_solve(tern_tensor *b, tern_tensor *l, bool upper);
TERN_API tern_tensor *tern_cholesky_inverse(tern_tensor *l, bool upper);

typedef struct tern_triangular_solve_opts {
    bool upper;         /* a is upper triangular; the other triangle is not read */
    bool transposed;    /* solve with a^T */
    bool unitriangular; /* the diagonal is taken as ones */
    bool right;         /* x a = b, b [..., K, N] */
} tern_triangular_solve_opts;
/* x with a x = b, a [..., N, N] triangular, b [..., N, K]. Zeros on the diagonal divide. */
TERN_API tern_tensor *tern_triangular_solve(tern_tensor *a, tern_tensor *b, tern_triangular_solve_opts opts);
/* x with a x = b, a [..., N, N], b [..., N, K] or [N]. Errors: TERN_ERR_ARGUMENT if a is singular. */
TERN_API tern_tensor *tern_solve(tern_tensor *a, tern_tensor *b);
/* Errors: TERN_ERR_ARGUMENT if a [..., N, N] is singular. */
TERN_API tern_tensor *tern_inverse(tern_tensor *a);
/* Of a [..., N, N]; 0 if it is singular. The gradient, the cofactors, holds for singular matrices as well; it can be
 * differentiated again if the singular values are distinct. */
TERN_API tern_tensor *tern_det(tern_tensor *a);
/* log|det a|, -infinity for a singular a; *sign (or NULL): -1, 0 or 1. Grad: not of a singular a, TERN_ERR_AUTOGRAD. */
TERN_API tern_tensor *tern_slogdet(tern_tensor *a, tern_tensor **sign);
/* x that minimises |a x - b|, for a [..., M, N] of full rank; the shortest such x if M < N; b [..., M, K] or [M].
 * By QR. Errors: TERN_ERR_ARGUMENT if a has not full rank. */
TERN_API tern_tensor *tern_lstsq(tern_tensor *a, tern_tensor *b);

/* q [..., M, K] with orthonormal columns and *r [..., K, N] upper triangular, a = q r; K = min(M, N), or M if complete.
 * Signs are LAPACK's. Grad: a's first min(M, N) columns must be independent; not if complete and M > N. */
TERN_API tern_tensor *tern_qr(tern_tensor *a, bool complete, tern_tensor **r);
/* Singular values [..., K] of a [..., M, N], descending, K = min(M, N); *u [..., M, K] and *vh [..., K, N] with
 * a = u diag(s) vh, or [..., M, M] and [..., N, N] if full. Either or both may be NULL. Grad: not for the further
 * columns of a full u, or rows of vh: TERN_ERR_AUTOGRAD if a gradient reaches such a u or vh. */
TERN_API tern_tensor *tern_svd(tern_tensor *a, bool full, tern_tensor **u, tern_tensor **vh);
TERN_API tern_tensor *tern_svdvals(tern_tensor *a);
/* Eigenvalues [..., N] of symmetric a [..., N, N], ascending, of which one triangle is read; *v (or NULL) the
 * eigenvectors as columns. Grad: symmetric. */
TERN_API tern_tensor *tern_eigh(tern_tensor *a, bool upper, tern_tensor **v);
TERN_API tern_tensor *tern_eigvalsh(tern_tensor *a, bool upper);
/* Moore and Penrose's inverse [..., N, M] of a [..., M, N]; singular values up to rtol times the largest count as 0
 * (rtol 0: the dtype's epsilon times max(M, N)). Grad: Golub and Pereyra (1973), where the rank is constant. */
TERN_API tern_tensor *tern_pinv(tern_tensor *a, double rtol);
/* How many singular values are above max(atol, rtol times the largest); if both are 0, rtol is as for pinv. i64 [...].
 * No gradient. */
TERN_API tern_tensor *tern_matrix_rank(tern_tensor *a, double atol, double rtol);

typedef enum tern_matrix_norm_kind {
    TERN_NORM_FRO = 0,   /* root of the sum of squares; gradient 0 at 0 */
    TERN_NORM_NUC,       /* sum of the singular values */
    TERN_NORM_ONE,       /* largest sum of |x| over a column */
    TERN_NORM_INF,       /* ... over a row */
    TERN_NORM_TWO,       /* largest singular value */
    TERN_NORM_MINUS_ONE, /* the smallest in place of the largest */
    TERN_NORM_MINUS_INF,
    TERN_NORM_MINUS_TWO
} tern_matrix_norm_kind;
/* x [..., M, N] -> [...], or [..., 1, 1] if keepdim. Those by singular values take f64 and f32 only. */
TERN_API tern_tensor *tern_matrix_norm(tern_tensor *x, tern_matrix_norm_kind kind, bool keepdim);
/* norm(a) norm(a's inverse); for TERN_NORM_TWO and MINUS_TWO a [..., M, N] by its singular values, else square. */
TERN_API tern_tensor *tern_cond(tern_tensor *a, tern_matrix_norm_kind kind);
/* e^a for a [..., N, N], by Pade's approximation of order 13 with scaling and squaring (Higham 2005). */
TERN_API tern_tensor *tern_matrix_exp(tern_tensor *a);

#ifdef __cplusplus
}
#endif
#endif
