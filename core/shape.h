/* Ops that rearrange: views, joins, splits, padding. See ops.h for what holds for every op. */
#ifndef TERN_SHAPE_H
#define TERN_SHAPE_H

#include "tern/autograd.h"
#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- shape ------------------------------------------------------------------------------------------------------- *
 * These return views that share x's storage, except where a copy is said. */

/* Same elements in another shape; one size may be -1. A view if the strides allow it, else a copy. */
TERN_API tern_tensor *tern_reshape(tern_tensor *x, tern_shape shape);
/* Dimensions start .. end (both included) become one. */
TERN_API tern_tensor *tern_flatten(tern_tensor *x, int start, int end);
/* Dimension i of the result is dimension dims[i] of x; n = x's ndim. */
TERN_API tern_tensor *tern_permute(tern_tensor *x, const int *dims, int n);
TERN_API tern_tensor *tern_transpose(tern_tensor *x, int dim0, int dim1);
/* Drops dimension dim, which must have size 1; inserts one of size 1 before dim. */
TERN_API tern_tensor *tern_squeeze(tern_tensor *x, int dim);
TERN_API tern_tensor *tern_unsqueeze(tern_tensor *x, int dim);
/* Broadcasts to a larger shape with strides of 0; a size of -1 keeps x's. */
TERN_API tern_tensor *tern_expand(tern_tensor *x, tern_shape shape);
/* Indices start, start + step, ... below end of a dimension; negative ones count from the end, and both are clamped as
 * in Python. step >= 1. INT64_MAX as end is the whole rest. */
TERN_API tern_tensor *tern_slice(tern_tensor *x, int dim, int64_t start, int64_t end, int64_t step);
/* Index i of dimension dim, which goes. Errors: TERN_ERR_INDEX. */
TERN_API tern_tensor *tern_select(tern_tensor *x, int dim, int64_t i);
/* Dimension `from` moves to place `to`; the others keep their order. */
TERN_API tern_tensor *tern_movedim(tern_tensor *x, int from, int to);
/* Drops every dimension of size 1. */
TERN_API tern_tensor *tern_squeeze_all(tern_tensor *x);
/* Dimension dim becomes several of these sizes, one of which may be -1. */
TERN_API tern_tensor *tern_unflatten(tern_tensor *x, int dim, tern_shape sizes);
/* x with dimensions of size 1 added until it has 1, 2 or 3: [] to [1], [1, 1], [1, 1, 1]; [n] to [1, n], [1, n, 1];
 * [n, m] to [n, m, 1]. x itself if it has enough. */
TERN_API tern_tensor *tern_atleast_1d(tern_tensor *x);
TERN_API tern_tensor *tern_atleast_2d(tern_tensor *x);
TERN_API tern_tensor *tern_atleast_3d(tern_tensor *x);
/* Indices start .. start + length of a dimension; start may be negative. Errors: TERN_ERR_INDEX if they are not all
 * there. */
TERN_API tern_tensor *tern_narrow(tern_tensor *x, int dim, int64_t start, int64_t length);
/* Windows of `size` elements of dimension dim, `step` apart: [..., n, ...] to [..., (n - size) / step + 1, ..., size].
 * Windows overlap in memory where step < size. Errors: TERN_ERR_ARGUMENT (below 1), TERN_ERR_SHAPE (size > n). */
TERN_API tern_tensor *tern_unfold(tern_tensor *x, int dim, int64_t size, int64_t step);
/* The elements of the matrices of dimensions dim0, dim1 whose second index is the first plus offset: [..., length]. */
TERN_API tern_tensor *tern_diagonal(tern_tensor *x, int64_t offset, int dim0, int dim1);
/* A matrix's diagonal, a view; for a 1-dim x the matrix, a copy, with x as diagonal k and zeros elsewhere. */
TERN_API tern_tensor *tern_diag(tern_tensor *x, int64_t k);

/* ---- several views at once: into out[0 .. n), which are NULL after an error. Owner of each: the current scope */

/* The parts of `size` indices of dimension dim, the last of them maybe smaller; n is their number, ceil(dim's size /
 * size). Errors: TERN_ERR_ARGUMENT if n is another. */
TERN_API bool tern_split(tern_tensor *x, int64_t size, int dim, tern_tensor **out, int n);
/* Parts of these n sizes, which sum to dim's size. Errors: TERN_ERR_SHAPE. */
TERN_API bool tern_split_sizes(tern_tensor *x, const int64_t *sizes, int n, int dim, tern_tensor **out);
/* n parts of ceil(dim's size / n) indices, the last ones smaller, or empty. */
TERN_API bool tern_chunk(tern_tensor *x, int n, int dim, tern_tensor **out);
/* Every index of dimension dim, which goes; n is its size. Errors: TERN_ERR_ARGUMENT if n is another. */
TERN_API bool tern_unbind(tern_tensor *x, int dim, tern_tensor **out, int n);
/* The n tensors, each expanded to the shape in which they all meet. */
TERN_API bool tern_broadcast_tensors(tern_tensor *const *x, int n, tern_tensor **out);
/* Grids of n 1-dim tensors of sizes s0, s1, ...: out[i] [s0, s1, ...] is x[i] along dimension i ("ij" indexing). */
TERN_API bool tern_meshgrid(tern_tensor *const *x, int n, tern_tensor **out);

/* ---- copies --------------------------------------------------------------------------------------------------------
 */

/* The order of the n dimensions dims (all of them if n is 0) reversed. */
TERN_API tern_tensor *tern_flip(tern_tensor *x, const int *dims, int n);
/* Element i of dimension dims[k] goes to i + shifts[k], modulo the size. */
TERN_API tern_tensor *tern_roll(tern_tensor *x, const int64_t *shifts, const int *dims, int n);
/* Turned by k quarters from dimension dim0 towards dim1. A view where k % 4 is 0. */
TERN_API tern_tensor *tern_rot90(tern_tensor *x, int k, int dim0, int dim1);
/* x laid side by side repeats[d] times along each dimension; repeats may have more dimensions than x, which then gets
 * leading ones. Errors: TERN_ERR_ARGUMENT (negative), TERN_ERR_SHAPE. */
TERN_API tern_tensor *tern_repeat(tern_tensor *x, tern_shape repeats);
/* Every index of dimension dim `repeats` times in a row. Errors: TERN_ERR_ARGUMENT (negative). */
TERN_API tern_tensor *tern_repeat_interleave(tern_tensor *x, int64_t repeats, int dim);
/* Index i of dimension dim repeats[i] times; repeats [dim's size] i64 or i32. Waits for the device: the result's size
 * is data. Errors: TERN_ERR_SHAPE, TERN_ERR_DTYPE, TERN_ERR_ARGUMENT (negative). */
TERN_API tern_tensor *tern_repeat_interleave_by(tern_tensor *x, tern_tensor *repeats, int dim);
/* The lower (upper) triangle of x's matrices [..., n, m]: where column - row <= k (>= k); zeros elsewhere. */
TERN_API tern_tensor *tern_tril(tern_tensor *x, int64_t k);
TERN_API tern_tensor *tern_triu(tern_tensor *x, int64_t k);
/* Matrices with x [..., n] on the diagonal `offset`, as dimensions dim0, dim1 of the result, and zeros elsewhere. */
TERN_API tern_tensor *tern_diag_embed(tern_tensor *x, int64_t offset, int dim0, int dim1);

typedef enum tern_pad_mode {
    TERN_PAD_CONSTANT = 0,
    TERN_PAD_REFLECT,   /* without repeating the edge; pads < size */
    TERN_PAD_REPLICATE, /* the edge again and again */
    TERN_PAD_CIRCULAR   /* the other end; pads <= size */
} tern_pad_mode;
typedef struct tern_pad_opts {
    tern_pad_mode mode;
    double value; /* of TERN_PAD_CONSTANT */
} tern_pad_opts;
/* pads: before and after the last dimension, before and after the one before it, ..., n numbers in all. Negative ones
 * crop. Errors: TERN_ERR_ARGUMENT (n odd or above 2 ndim; a value that x's dtype does not hold), TERN_ERR_SHAPE. */
TERN_API tern_tensor *tern_pad(tern_tensor *x, const int64_t *pads, int n, tern_pad_opts opts);
/* Joins n tensors of one dtype along a dimension, or along a new one. Copies. */
TERN_API tern_tensor *tern_cat(tern_tensor *const *x, int n, int dim);
TERN_API tern_tensor *tern_stack(tern_tensor *const *x, int n, int dim);
/* x itself if it is contiguous, else a copy. */
TERN_API tern_tensor *tern_contiguous(tern_tensor *x);
/* Always a contiguous copy. */
TERN_API tern_tensor *tern_clone(tern_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
