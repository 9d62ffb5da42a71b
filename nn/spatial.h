/* Layers over positions: pools, padding, folding, resizing, reshaping. Each _new returns a module for the caller to
 * free (or to hand to a parent), NULL on errors (TERN_ERR_ARGUMENT for settings outside their range). No parameters.
 * Options are those of the op of the same name in conv.h, shape.h or image.h. */
#ifndef TERN_SPATIAL_H
#define TERN_SPATIAL_H

#include "tern/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- pools: [N, C, ...] -> [N, C, ...], also without N ----------------------------------------------------------- */

/* kernel: the same on every axis; the rect forms take one for each. */
TERN_API tern_module *tern_max_pool1d_new(int64_t kernel, tern_pool1d_opts opts);
TERN_API tern_module *tern_max_pool2d_new(int64_t kernel, tern_pool2d_opts opts);
TERN_API tern_module *tern_max_pool3d_new(int64_t kernel, tern_pool3d_opts opts);
TERN_API tern_module *tern_max_pool2d_rect_new(const int64_t kernel[2], tern_pool2d_opts opts);
TERN_API tern_module *tern_max_pool3d_rect_new(const int64_t kernel[3], tern_pool3d_opts opts);
TERN_API tern_module *tern_avg_pool1d_new(int64_t kernel, tern_pool1d_opts opts);
TERN_API tern_module *tern_avg_pool2d_new(int64_t kernel, tern_pool2d_opts opts);
TERN_API tern_module *tern_avg_pool3d_new(int64_t kernel, tern_pool3d_opts opts);
TERN_API tern_module *tern_avg_pool2d_rect_new(const int64_t kernel[2], tern_pool2d_opts opts);
TERN_API tern_module *tern_avg_pool3d_rect_new(const int64_t kernel[3], tern_pool3d_opts opts);
/* Of order p, not 0. Only stride and ceil_mode. */
TERN_API tern_module *tern_lp_pool1d_new(double p, int64_t kernel, tern_pool1d_opts opts);
TERN_API tern_module *tern_lp_pool2d_new(double p, int64_t kernel, tern_pool2d_opts opts);
TERN_API tern_module *tern_lp_pool3d_new(double p, int64_t kernel, tern_pool3d_opts opts);
/* To a fixed size: -1 keeps x's, 0 beyond the first means "as the one before". */
TERN_API tern_module *tern_adaptive_avg_pool1d_new(int64_t size);
TERN_API tern_module *tern_adaptive_avg_pool2d_new(const int64_t size[2]);
TERN_API tern_module *tern_adaptive_avg_pool3d_new(const int64_t size[3]);
TERN_API tern_module *tern_adaptive_max_pool1d_new(int64_t size);
TERN_API tern_module *tern_adaptive_max_pool2d_new(const int64_t size[2]);
TERN_API tern_module *tern_adaptive_max_pool3d_new(const int64_t size[3]);
/* Windows at distances that are drawn anew at every call, in evaluation too. opts: size or ratio of the result;
 * opts.samples is for tern_fractional_max_pool_forward. */
TERN_API tern_module *tern_fractional_max_pool2d_new(const int64_t kernel[2], tern_fractional_pool_opts opts);
TERN_API tern_module *tern_fractional_max_pool3d_new(const int64_t kernel[3], tern_fractional_pool_opts opts);
/* The same with given samples [N, C, axes] (NULL: drawn) and, unless indices is NULL, where the maxima stand. Errors:
 * TERN_ERR_ARGUMENT for another module. */
TERN_API tern_tensor *tern_fractional_max_pool_forward(tern_module *m, tern_tensor *x, tern_tensor *samples,
                                                       tern_tensor **indices);
/* The forward of a max_pool or adaptive_max_pool that also gives where the maxima stand, i64, for max_unpool. indices
 * may be NULL. Owner of both: the current scope. Errors: TERN_ERR_ARGUMENT for another module. */
TERN_API tern_tensor *tern_max_pool_forward(tern_module *m, tern_tensor *x, tern_tensor **indices);

/* The inverse of a max_pool of these settings (kernel, stride, pad): puts values back to where indices say. */
TERN_API tern_module *tern_max_unpool1d_new(int64_t kernel, tern_pool1d_opts opts);
TERN_API tern_module *tern_max_unpool2d_new(int64_t kernel, tern_pool2d_opts opts);
TERN_API tern_module *tern_max_unpool3d_new(int64_t kernel, tern_pool3d_opts opts);
/* size: of the result, one number an axis; NULL: (size of x - 1) stride - 2 pad + kernel. Grad: x. Errors: those of
 * tern_max_unpool2d; TERN_ERR_ARGUMENT for another module. */
TERN_API tern_tensor *tern_max_unpool_forward(tern_module *m, tern_tensor *x, tern_tensor *indices,
                                              const int64_t *size);

/* ---- padding, folding, resizing ---------------------------------------------------------------------------------- */

/* n pads: before and after the last dimension, before and after the one before it, ... (at most 2 TERN_MAX_DIMS). mode
 * makes it PyTorch's ConstantPad (ZeroPad), ReflectionPad, ReplicationPad or CircularPad of 1, 2 or 3 dimensions. */
TERN_API tern_module *tern_pad_new(const int64_t *pads, int n, tern_pad_opts opts);
/* [N, C, H, W] -> [N, C kh kw, L], and back to images of this size: tern_im2col and tern_col2im. */
TERN_API tern_module *tern_unfold_new(const int64_t kernel[2], tern_fold_opts opts);
TERN_API tern_module *tern_fold_new(const int64_t size[2], const int64_t kernel[2], tern_fold_opts opts);
/* tern_interpolate. */
TERN_API tern_module *tern_upsample_new(tern_interpolate_opts opts);
TERN_API tern_module *tern_pixel_shuffle_new(int64_t r);
TERN_API tern_module *tern_pixel_unshuffle_new(int64_t r);
TERN_API tern_module *tern_channel_shuffle_new(int64_t groups);

/* ---- reshaping --------------------------------------------------------------------------------------------------- */

/* [N, ...] -> [N, everything else]. */
TERN_API tern_module *tern_flatten_new(void);
/* Dimensions start .. end (both included) become one. */
TERN_API tern_module *tern_flatten_dims_new(int start, int end);
/* Dimension dim becomes several of these sizes, one of which may be -1. */
TERN_API tern_module *tern_unflatten_new(int dim, tern_shape sizes);

#ifdef __cplusplus
}
#endif
#endif
