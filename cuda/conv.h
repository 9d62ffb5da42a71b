/* Convolutions: conv.c decides between a library (library_conv.h) and the kernels declared here, which are Tern's own
 * and do every size, dtype, padding and number of groups. Each writes the whole of its result; all sums have a fixed
 * order. */
#ifndef TERNI_CUDA_CONV_H
#define TERNI_CUDA_CONV_H

#include "internal.h"

#ifdef __cplusplus
extern "C" {
#endif

/* b may be NULL. */
bool terni_cuda_conv_own(terni_cuda_device *d, const terni_conv_opts *o, const terni_view *x, const terni_view *w,
                         const terni_view *b, const terni_view *y);
bool terni_cuda_conv_input_grad_own(terni_cuda_device *d, const terni_conv_opts *o, const terni_view *gy,
                                    const terni_view *w, const terni_view *b, const terni_view *gx);
bool terni_cuda_conv_weight_grad_own(terni_cuda_device *d, const terni_conv_opts *o, const terni_view *gy,
                                     const terni_view *x, const terni_view *gw);
/* y[n][c][...] = b[c]; y is contiguous and has elements. */
bool terni_cuda_conv_put_bias(terni_cuda_device *d, const terni_view *y, const terni_view *b);

#ifdef __cplusplus
}
#endif
#endif
