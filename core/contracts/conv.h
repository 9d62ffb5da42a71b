/* Convolution and pooling. What each kernel takes and gives; see backend.h. */
#ifndef TERNI_CONTRACT_CONV_H
#define TERNI_CONTRACT_CONV_H

#include "tern/base.h"

typedef struct terni_conv2d_opts {
    int64_t stride[2], pad[2], dilation[2], groups; /* all resolved */
} terni_conv2d_opts;
/* conv2d:             in x [N,C,H,W], w [O,C/g,kh,kw], b [O] or NULL; out y [N,O,H',W'].
 * conv2d_input_grad:  in gy [N,O,H',W'], w; out gx [N,C,H,W] (overwritten).
 * conv2d_weight_grad: in gy, x; out gw [O,C/g,kh,kw] (overwritten).
 *   All contiguous, one float dtype. */

typedef struct terni_pool2d_opts {
    int64_t kernel[2], stride[2], pad[2], dilation[2]; /* all resolved */
    bool exclude_pad;
} terni_pool2d_opts;
/* max_pool2d:      in x [N,C,H,W]; out y [N,C,H',W'], index [N,C,H',W'] i32: position h W + w of the maximum (the
 *   first; a NaN wins).
 * max_pool2d_grad: in gy, index; out gx [N,C,H,W] (overwritten): in each plane gx[index] += gy. No options.
 * avg_pool2d:      in x; out y. The divisor is the kernel's size, cut to the padded input as PyTorch does in ceil mode,
 *   or the count of real elements with exclude_pad. avg_pool2d_grad: in gy; out gx (overwritten).
 * All contiguous, one float dtype. */

#endif
