/* What the ops on matrices share. Private to core/ops. */
#ifndef TERNI_MATRICES_H
#define TERNI_MATRICES_H

#include "internal.h"

/* a and b are there, float of one dtype, on one device; else records the error for op. */
bool terni_factors(const char *op, tern_tensor *a, tern_tensor *b);
/* t, the argument `what` of op, is f64 or f32 [..., M, N], and M = N if square. */
bool terni_matrix(const char *op, const char *what, tern_tensor *t, bool square);
/* The same for a (square or not) and b, which go together: one dtype, one device. */
bool terni_system(const char *op, tern_tensor *a, bool square, tern_tensor *b);

static inline int64_t terni_rows(const tern_tensor *t) { return t->v.shape[t->v.ndim - 2]; }
static inline int64_t terni_cols(const tern_tensor *t) { return t->v.shape[t->v.ndim - 1]; }
/* t's shape without its last n dimensions. */
static inline tern_shape terni_batch(const tern_tensor *t, int n) {
    tern_shape s = terni_shape(t);
    s.ndim -= n;
    return s;
}
/* batch with matrices of m x n, or vectors of n, behind. */
tern_shape terni_batch_of(tern_shape batch, int64_t m, int64_t n);
tern_shape terni_batch_of1(tern_shape batch, int64_t n);

/* New tensors for a forward: matrices by rows (terni_new), or by columns: a transposed view. NULL after an error; op is
 * named if the shape is too large. */
tern_tensor *terni_by_rows(const char *op, tern_shape batch, int64_t m, int64_t n, const tern_tensor *like);
tern_tensor *terni_by_columns(const char *op, tern_shape batch, int64_t m, int64_t n, const tern_tensor *like);
/* t's view with its last two dimensions exchanged; not recorded. */
tern_tensor *terni_flipped(tern_tensor *t);
/* t's view with other batch dimensions, broadcast; n dimensions are not of the batch. Not recorded. */
tern_tensor *terni_spread(tern_tensor *t, tern_shape batch, int n);

/* False, after recording TERN_ERR_ARGUMENT "op: matrix 3 TEXT", if an entry of info [batch] is not 0. An entry of -1 is
 * said to be a matrix with values that are not finite. Waits for the device. */
bool terni_info(const char *op, tern_tensor *info, const char *text);

/* Public ops in short, for formulas. */
static inline tern_tensor *terni_t(tern_tensor *x) { return tern_transpose(x, -1, -2); }
static inline tern_tensor *terni_diag(tern_tensor *x) { return tern_diagonal(x, 0, -2, -1); }
static inline tern_tensor *terni_diag_of(tern_tensor *x) { return tern_diag_embed(x, 0, -2, -1); }
/* The identity beside t. */
tern_tensor *terni_eye(int64_t n, const tern_tensor *t);
/* a + b, where either may be NULL for nothing. */
static inline tern_tensor *terni_plus(tern_tensor *a, tern_tensor *b) { return !a ? b : !b ? a : tern_add(a, b); }

#endif
