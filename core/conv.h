/* Convolution, pooling, folding. See ops.h for what holds for every op. */
#ifndef TERN_CONV_H
#define TERN_CONV_H

#include "tern/autograd.h"
#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- convolution and pooling ---------------------------------------------------------------------------------------
 * * Pairs are {height, width}; a zero in width means "as height". */

typedef struct tern_conv2d_opts {
    int64_t stride[2];   /* 1 if zero */
    int64_t pad[2];      /* zeros at each side */
    int64_t dilation[2]; /* 1 if zero */
    int64_t groups;      /* 1 if zero */
    bool no_bias;        /* the module only */
} tern_conv2d_opts;

/* 2-D convolution (cross-correlation).
 *   x [N, C, H, W]   w [O, C/groups, kh, kw]   b [O] or NULL
 *   returns [N, O, H', W'],  H' = (H + 2 pad - dilation (kh - 1) - 1) / stride + 1
 * Types: f64 f32 f16 bf16, all alike. Grad: x, w, b. Source: Dumoulin and Visin, arXiv 1603.07285.
 * pad {0, 0} is no padding; to pad the height alone is not expressible with a zero width: pad with {p, -1}, where -1 is
 * an explicit 0. */
TERN_API tern_tensor *tern_conv2d(tern_tensor *x, tern_tensor *w, tern_tensor *b, tern_conv2d_opts opts);

typedef struct tern_pool2d_opts {
    int64_t stride[2];   /* the kernel's size if zero */
    int64_t pad[2];      /* at most half the kernel; an explicit 0 width is -1 */
    int64_t dilation[2]; /* max_pool2d only; 1 if zero */
    bool ceil_mode;      /* rounds the output size up, as PyTorch does */
    bool exclude_pad;    /* avg_pool2d: divides by the real elements instead of the kernel's size */
} tern_pool2d_opts;

/* Maximum over kernel windows; padding never wins; NaN does. x [N, C, H, W] -> [N, C, H', W']. kernel {kh, kw}, kw 0
 * means kh. */
TERN_API tern_tensor *tern_max_pool2d(tern_tensor *x, const int64_t kernel[2], tern_pool2d_opts opts);
TERN_API tern_tensor *tern_avg_pool2d(tern_tensor *x, const int64_t kernel[2], tern_pool2d_opts opts);

#ifdef __cplusplus
}
#endif
#endif
