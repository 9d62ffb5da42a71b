/* Windows over sequences, images and volumes, which convolution and pooling share, and views of three dimensions.
 * Private to core/ops.
 *
 * Inside, everything has three axes {depth, height, width}; with n < 3 of them the first 3 - n are of size 1. */
#ifndef TERNI_GEOMETRY_H
#define TERNI_GEOMETRY_H

#include "internal.h"

/* An option of n axes with its defaults filled in: zero means as the axis before it, the first one `zero`. With
 * explicit_zero, -1 is 0. Other negative numbers record TERN_ERR_ARGUMENT, naming op and what. The first 3 - n of out
 * are `unused`. */
typedef struct terni_axes_rule {
    int64_t zero, unused;
    bool explicit_zero;
} terni_axes_rule;
bool terni_axes(const char *op, const char *what, const int64_t *given, int n, terni_axes_rule rule, int64_t out[3]);

typedef struct terni_window {
    int n;
    int64_t kernel[3], stride[3], pad[3], dilation[3];
} terni_window;

/* Output sizes of windows over the last n axes of x, the overflow-checked way; ceil rounds up as PyTorch does. `more`,
 * unless NULL, is padding after the elements beyond pad. Records TERN_ERR_SHAPE where the kernel does not fit. */
bool terni_window_sizes(const char *op, const tern_tensor *x, const terni_window *w, bool ceil, const int64_t *more,
                        int64_t out[3]);

/* What a pool was called with, whatever its number of axes. */
typedef struct terni_pool_given {
    const char *op;
    int n;
    const int64_t *kernel, *stride, *pad, *dilation;
    int64_t divisor;
    bool ceil_mode, exclude_pad;
} terni_pool_given;
terni_pool_given terni_pool1(const char *op, const int64_t *kernel, const tern_pool1d_opts *o);
terni_pool_given terni_pool2(const char *op, const int64_t *kernel, const tern_pool2d_opts *o);
terni_pool_given terni_pool3(const char *op, const int64_t *kernel, const tern_pool3d_opts *o);
/* Kernel and options resolved and checked: padding is at most half the kernel. */
bool terni_pool_window(const terni_pool_given *g, terni_window *w);

/* Options of the pools' functions. */
typedef struct terni_pool {
    terni_pool_opts k; /* first: what the kernels take */
    int n;
    int64_t size[3]; /* of the output */
} terni_pool;
/* Those of windows w, and those of adaptive windows that give size[n]. The second records errors. */
terni_pool terni_pool_of(const terni_window *w, const int64_t size[3]);
bool terni_pool_adaptive(const char *op, tern_tensor *x, int n, const int64_t *size, terni_pool *p);
/* The same options for a map back to a tensor of this shape. */
terni_pool terni_pool_back(const terni_pool *p, tern_shape shape);
/* x's leading dimensions, then the last n of size. */
tern_shape terni_pool_shape(const tern_tensor *x, int n, const int64_t size[3]);

/* A contiguous tensor's data as [a, b, c]. */
static inline terni_view terni_view3(const tern_tensor *t, int64_t a, int64_t b, int64_t c) {
    const terni_view v = {
        .data = t->v.data, .shape = {a, b, c}, .strides = {b * c, c, 1}, .ndim = 3, .dtype = t->v.dtype};
    return v;
}

/* A contiguous tensor [N, C, n axes], or [C, n axes], as [N, C, D, H, W]. */
terni_view terni_view5(const tern_tensor *t, int n);

/* x is [N, C, n axes], or [C, n axes] with unbatched; else records TERN_ERR_SHAPE. */
bool terni_has_axes(const char *op, const char *what, const tern_tensor *x, int n, bool unbatched);

#endif
