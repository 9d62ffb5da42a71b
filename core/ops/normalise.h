/* What the normalisations share. Private to core/ops. */
#ifndef TERNI_NORMALISE_H
#define TERNI_NORMALISE_H

#include "internal.h"

/* The dtype of statistics and sums. */
static inline tern_dtype terni_acc_dtype(tern_dtype d) { return d == TERN_F64 ? TERN_F64 : TERN_F32; }

/* The n tensors t (NULL entries are skipped) share one dtype, x's, or f32 beside f16 and bf16; else records
 * TERN_ERR_DTYPE. */
bool terni_norm_dtypes(const char *op, const tern_tensor *x, tern_tensor *const *t, int n);

/* n_dims is in [1, x's ndim] and the n tensors t, weight and bias (NULL entries are skipped), have the shape of x's
 * last n_dims dimensions; else records TERN_ERR_SHAPE. */
bool terni_norm_last(const char *op, const tern_tensor *x, int n_dims, tern_tensor *const *t, int n);
/* The contiguous x as [R, C], the last n_dims dimensions being C; t as [C]. */
terni_view terni_norm_rows(const tern_tensor *x, int n_dims);
terni_view terni_norm_flat(const tern_tensor *t);

/* The gradients of y = (x - mean) rstd weight + bias, with mean and rstd taken over dims of x, in public ops, so that
 * they can be differentiated. weight (or NULL) broadcasts to x. Sets those of gx, gweight, gbias that are not NULL; the
 * last two get the shape and dtype given. */
typedef struct terni_norm_grads {
    tern_tensor **gx, **gweight, **gbias;
    tern_shape shape; /* weight's, as it broadcasts */
    tern_dtype dtype; /* weight's */
} terni_norm_grads;
bool terni_norm_backward(tern_tensor *gy, tern_tensor *x, tern_tensor *weight, const int *dims, int n, double eps,
                         const terni_norm_grads *g);

#endif
