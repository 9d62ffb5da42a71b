/* Windows over images, which convolution and pooling share, and views of three dimensions. Private to core/ops. */
#ifndef TERNI_GEOMETRY_H
#define TERNI_GEOMETRY_H

#include "internal.h"

/* A pair of options {height, width} with its defaults filled in: width 0 means as height, height 0 means `zero`. With
 * explicit_zero, -1 is 0. Other negative numbers record TERN_ERR_ARGUMENT, naming op and what. */
bool terni_pair(const char *op, const char *what, const int64_t given[2], int64_t zero, bool explicit_zero,
                int64_t out[2]);

typedef struct terni_window {
    int64_t kernel[2], stride[2], pad[2], dilation[2];
} terni_window;

/* Output sizes of windows over an image [.., H, W] x, the overflow-checked way; ceil rounds up as PyTorch does. Records
 * TERN_ERR_SHAPE where the kernel does not fit. */
bool terni_window_sizes(const char *op, const tern_tensor *x, const terni_window *w, bool ceil, int64_t out[2]);

/* The pools' kernel and options, resolved and checked: padding is at most half the kernel. */
bool terni_pool_window(const char *op, const int64_t kernel[2], const tern_pool2d_opts *opts, terni_window *w);
terni_pool2d_opts terni_pool_opts(const terni_window *w, bool exclude_pad);

/* A contiguous tensor's data as [a, b, c]. */
static inline terni_view terni_view3(const tern_tensor *t, int64_t a, int64_t b, int64_t c) {
    const terni_view v = {
        .data = t->v.data, .shape = {a, b, c}, .strides = {b * c, c, 1}, .ndim = 3, .dtype = t->v.dtype};
    return v;
}

/* x [N, C, H, W] with a given name; else records TERN_ERR_SHAPE. */
bool terni_is_image(const char *op, const char *what, const tern_tensor *x);

#endif
