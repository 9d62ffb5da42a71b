/* Convolution, pooling, folding. See ops.h for what holds for every op. */
#ifndef TERN_CONV_H
#define TERN_CONV_H

#include "tern/autograd.h"
#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- convolution and pooling ---------------------------------------------------------------------------------------
 * * Types: f64 f32 f16 bf16; f16 and bf16 accumulate in f32. Options of several axes are {height, width} and {depth,
 * height, width}; a zero beyond the first means "as the one before"; where 0 is a value of its own, -1 is an explicit 0
 * (pad {1, -1} pads the height alone). x may come without its N: [C, ...] gives [O, ...]. N may be 0. */

typedef struct tern_conv1d_opts {
    int64_t stride;   /* 1 if zero */
    int64_t pad;      /* zeros at each side */
    int64_t dilation; /* 1 if zero */
    int64_t groups;   /* 1 if zero */
    bool same;        /* pads so that sizes stay; stride 1 and no pad. See tern_conv2d. */
    bool no_bias;     /* the module only */
} tern_conv1d_opts;
typedef struct tern_conv2d_opts {
    int64_t stride[2];   /* 1 if zero */
    int64_t pad[2];      /* zeros at each side */
    int64_t dilation[2]; /* 1 if zero */
    int64_t groups;      /* 1 if zero */
    bool no_bias;        /* the module only */
    bool same;           /* pads so that sizes stay; stride 1 and no pad. See tern_conv2d. */
} tern_conv2d_opts;
typedef struct tern_conv3d_opts {
    int64_t stride[3];   /* 1 if zero */
    int64_t pad[3];      /* zeros at each side */
    int64_t dilation[3]; /* 1 if zero */
    int64_t groups;      /* 1 if zero */
    bool same;           /* pads so that sizes stay; stride 1 and no pad. See tern_conv2d. */
    bool no_bias;        /* the module only */
} tern_conv3d_opts;

/* Convolution (cross-correlation).
 *   x [N, C, H, W]   w [O, C/groups, kh, kw]   b [O] or NULL
 *   returns [N, O, H', W'],  H' = (H + 2 pad - dilation (kh - 1) - 1) / stride + 1
 * and the same with [.., L] and [.., D, H, W]. With same, dilation (kh - 1) zeros in all, the odd one after the last
 * element, as PyTorch has it; what else is not symmetric is padded by an op of its own before.
 * Errors: TERN_ERR_SHAPE, TERN_ERR_DTYPE, TERN_ERR_ARGUMENT. Grad: x, w, b.
 * Source: Dumoulin and Visin, arXiv 1603.07285. */
TERN_API tern_tensor *tern_conv1d(tern_tensor *x, tern_tensor *w, tern_tensor *b, tern_conv1d_opts opts);
TERN_API tern_tensor *tern_conv2d(tern_tensor *x, tern_tensor *w, tern_tensor *b, tern_conv2d_opts opts);
TERN_API tern_tensor *tern_conv3d(tern_tensor *x, tern_tensor *w, tern_tensor *b, tern_conv3d_opts opts);

typedef struct tern_conv_transpose1d_opts {
    int64_t stride, pad, dilation, groups;
    int64_t output_pad; /* more elements at the end; below stride or dilation */
    bool no_bias;       /* the module only */
} tern_conv_transpose1d_opts;
typedef struct tern_conv_transpose2d_opts {
    int64_t stride[2], pad[2], dilation[2], groups;
    int64_t output_pad[2]; /* more elements at the end; below stride or dilation */
    bool no_bias;          /* the module only */
} tern_conv_transpose2d_opts;
typedef struct tern_conv_transpose3d_opts {
    int64_t stride[3], pad[3], dilation[3], groups;
    int64_t output_pad[3]; /* more elements at the end; below stride or dilation */
    bool no_bias;          /* the module only */
} tern_conv_transpose3d_opts;

/* Transposed convolution: the gradient of a convolution of these options with respect to its input, plus b.
 *   x [N, I, H, W]   w [I, O/groups, kh, kw]   b [O] or NULL
 *   returns [N, O, H', W'],  H' = (H - 1) stride - 2 pad + dilation (kh - 1) + output_pad + 1
 * and the same with [.., L] and [.., D, H, W]. Errors and source as above. Grad: x, w, b. */
TERN_API tern_tensor *tern_conv_transpose1d(tern_tensor *x, tern_tensor *w, tern_tensor *b,
                                            tern_conv_transpose1d_opts opts);
TERN_API tern_tensor *tern_conv_transpose2d(tern_tensor *x, tern_tensor *w, tern_tensor *b,
                                            tern_conv_transpose2d_opts opts);
TERN_API tern_tensor *tern_conv_transpose3d(tern_tensor *x, tern_tensor *w, tern_tensor *b,
                                            tern_conv_transpose3d_opts opts);

typedef struct tern_pool1d_opts {
    int64_t stride;   /* the kernel's size if zero */
    int64_t pad;      /* at most half the kernel */
    int64_t dilation; /* max_pool only; 1 if zero */
    int64_t divisor;  /* avg_pool: divides by this number if it is not zero */
    bool ceil_mode;   /* rounds the output size up, as PyTorch does */
    bool exclude_pad; /* avg_pool: divides by the real elements instead of the kernel's size */
} tern_pool1d_opts;
typedef struct tern_pool2d_opts {
    int64_t stride[2];   /* the kernel's size if zero */
    int64_t pad[2];      /* at most half the kernel; an explicit 0 width is -1 */
    int64_t dilation[2]; /* max_pool only; 1 if zero */
    bool ceil_mode;      /* rounds the output size up, as PyTorch does */
    bool exclude_pad;    /* avg_pool: divides by the real elements instead of the kernel's size */
    int64_t divisor;     /* avg_pool: divides by this number if it is not zero */
} tern_pool2d_opts;
typedef struct tern_pool3d_opts {
    int64_t stride[3];   /* the kernel's size if zero */
    int64_t pad[3];      /* at most half the kernel */
    int64_t dilation[3]; /* max_pool only; 1 if zero */
    int64_t divisor;     /* avg_pool: divides by this number if it is not zero */
    bool ceil_mode;      /* rounds the output size up, as PyTorch does */
    bool exclude_pad;    /* avg_pool: divides by the real elements instead of the kernel's size */
} tern_pool3d_opts;

/* Maximum over windows; padding never wins; NaN does. x [N, C, H, W] -> [N, C, H', W'], H' = (H + 2 pad - dilation
 * (kernel - 1) - 1) / stride + 1. kernel {kh, kw}, kw 0 means kh. Errors: TERN_ERR_SHAPE, also for a window that lies
 * in the padding alone. Grad: x. */
TERN_API tern_tensor *tern_max_pool1d(tern_tensor *x, int64_t kernel, tern_pool1d_opts opts);
TERN_API tern_tensor *tern_max_pool2d(tern_tensor *x, const int64_t kernel[2], tern_pool2d_opts opts);
TERN_API tern_tensor *tern_max_pool3d(tern_tensor *x, const int64_t kernel[3], tern_pool3d_opts opts);
/* With where the maxima stand, like the result, i64: positions h W + w (or l; or (d H + h) W + w) in their plane; of
 * equals the first. indices may be NULL. Owner: the current scope. */
TERN_API tern_tensor *tern_max_pool1d_with_indices(tern_tensor *x, int64_t kernel, tern_pool1d_opts opts,
                                                   tern_tensor **indices);
TERN_API tern_tensor *tern_max_pool2d_with_indices(tern_tensor *x, const int64_t kernel[2], tern_pool2d_opts opts,
                                                   tern_tensor **indices);
TERN_API tern_tensor *tern_max_pool3d_with_indices(tern_tensor *x, const int64_t kernel[3], tern_pool3d_opts opts,
                                                   tern_tensor **indices);
/* The mean over windows, padding counting as zeros; in ceil mode what lies beyond the padding does not count. Grad: x.
 */
TERN_API tern_tensor *tern_avg_pool1d(tern_tensor *x, int64_t kernel, tern_pool1d_opts opts);
TERN_API tern_tensor *tern_avg_pool2d(tern_tensor *x, const int64_t kernel[2], tern_pool2d_opts opts);
TERN_API tern_tensor *tern_avg_pool3d(tern_tensor *x, const int64_t kernel[3], tern_pool3d_opts opts);
/* (sum of x^p)^(1/p) over windows: in ceil mode, as PyTorch has it, a window that leaves x counts as if its mean went
 * on outside. Options: stride and ceil_mode; others are TERN_ERR_ARGUMENT. As pow, x^p is NaN for a negative x and a p
 * that is not whole, and the gradient where the sum is 0 is not finite for p > 1. p is not 0. */
TERN_API tern_tensor *tern_lp_pool1d(tern_tensor *x, double p, int64_t kernel, tern_pool1d_opts opts);
TERN_API tern_tensor *tern_lp_pool2d(tern_tensor *x, double p, const int64_t kernel[2], tern_pool2d_opts opts);
TERN_API tern_tensor *tern_lp_pool3d(tern_tensor *x, double p, const int64_t kernel[3], tern_pool3d_opts opts);

/* Pools whose result has this size, whatever x's: window i of n over s elements is [floor(i s / n), ceil((i + 1) s /
 * n)). size {height, width}: -1 keeps x's size, 0 beyond the first means "as the one before". Errors: TERN_ERR_SHAPE if
 * x has an empty plane. Grad: x. */
TERN_API tern_tensor *tern_adaptive_avg_pool1d(tern_tensor *x, int64_t size);
TERN_API tern_tensor *tern_adaptive_avg_pool2d(tern_tensor *x, const int64_t size[2]);
TERN_API tern_tensor *tern_adaptive_avg_pool3d(tern_tensor *x, const int64_t size[3]);
/* indices as tern_max_pool2d_with_indices gives them, or NULL. */
TERN_API tern_tensor *tern_adaptive_max_pool1d(tern_tensor *x, int64_t size, tern_tensor **indices);
TERN_API tern_tensor *tern_adaptive_max_pool2d(tern_tensor *x, const int64_t size[2], tern_tensor **indices);
TERN_API tern_tensor *tern_adaptive_max_pool3d(tern_tensor *x, const int64_t size[3], tern_tensor **indices);

typedef struct tern_fractional_pool_opts {
    int64_t size[3]; /* of the result; 0 beyond the first means "as the one before"; or else */
    double ratio[3]; /* of the result's size to x's, within (0, 1), rounded down; 0 beyond the first: as the first */
    tern_tensor *samples; /* [N, C, axes] within [0, 1); NULL: they are drawn */
} tern_fractional_pool_opts;
/* Maximum over windows whose distances are drawn for each plane, so that any size can come out: x [N, C, H, W], or
 * without N -> [N, C, size]. kernel {kh, kw}, kw 0 means kh. A plane's samples are those of its width and height, or of
 * its depth, height and width. indices as tern_max_pool2d_with_indices gives them, or NULL. Errors: TERN_ERR_ARGUMENT,
 * TERN_ERR_SHAPE where the windows do not fit. Grad: x. Source: Graham, arXiv 1412.6071. */
TERN_API tern_tensor *tern_fractional_max_pool2d(tern_tensor *x, const int64_t kernel[2],
                                                 tern_fractional_pool_opts opts, tern_tensor **indices);
TERN_API tern_tensor *tern_fractional_max_pool3d(tern_tensor *x, const int64_t kernel[3],
                                                 tern_fractional_pool_opts opts, tern_tensor **indices);

/* Puts x [N, C, H, W] back to where indices, like x, i64 or i32, say in planes of this size, zeros elsewhere. Of
 * equal indices the last one stays, and it alone passes a gradient. Errors: TERN_ERR_INDEX outside the plane. Grad: x.
 */
TERN_API tern_tensor *tern_max_unpool1d(tern_tensor *x, tern_tensor *indices, int64_t size);
TERN_API tern_tensor *tern_max_unpool2d(tern_tensor *x, tern_tensor *indices, const int64_t size[2]);
TERN_API tern_tensor *tern_max_unpool3d(tern_tensor *x, tern_tensor *indices, const int64_t size[3]);

/* ---- folding -------------------------------------------------------------------------------------------------------
 * Windows of images as columns, and back: PyTorch's functional.unfold and fold. tern_unfold is another op, of windows
 * along one dimension. */

typedef struct tern_fold_opts {
    int64_t stride[2];   /* 1 if zero */
    int64_t pad[2];      /* zeros at each side */
    int64_t dilation[2]; /* 1 if zero */
} tern_fold_opts;
/* x [N, C, H, W] -> [N, C kh kw, L]: column l holds window l, windows counted row by row, L = H' W' as in tern_conv2d.
 * [C, H, W] -> [C kh kw, L]. Grad: x. */
TERN_API tern_tensor *tern_im2col(tern_tensor *x, const int64_t kernel[2], tern_fold_opts opts);
/* x [N, C kh kw, L], or without N -> [N, C, H, W], size {H, W}: the adjoint of im2col; what falls on one element adds
 * up. Errors: TERN_ERR_SHAPE if x is not what im2col makes of such an image. Grad: x. */
TERN_API tern_tensor *tern_col2im(tern_tensor *x, const int64_t size[2], const int64_t kernel[2], tern_fold_opts opts);

#ifdef __cplusplus
}
#endif
#endif
