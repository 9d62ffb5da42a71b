/* Convolution, pooling and folding. What each kernel takes and gives; see backend.h. */
#ifndef TERNI_CONTRACT_CONV_H
#define TERNI_CONTRACT_CONV_H

#include "tern/base.h"

/* Arrays of 3 are {depth, height, width}. In one and two dimensions the leading sizes are 1, with kernel, stride and
 * dilation 1 and no padding. */

typedef struct terni_conv_opts {
    int64_t stride[3], pad[3], dilation[3], groups; /* all resolved */
} terni_conv_opts;
/* conv:             in x [N,C,D,H,W], w [O,C/g,kd,kh,kw], b [O] or NULL; out y [N,O,D',H',W'].
 *   y[n][o][i] = b[o] + sum over c, k of w[o][c][k] x[n][group's c][i stride - pad + k dilation], 0 outside of x. pad
 * is what lies before; how much lies after follows from the sizes, so that it can differ. conv_input_grad:  in gy
 * [N,O,D',H',W'], w, b [C] or NULL (transposed convolution has one); out gx [N,C,D,H,W] (overwritten): the adjoint with
 * respect to x, plus b. Elements that no tap meets are b or 0. conv_weight_grad: in gy, x; out gw [O,C/g,kd,kh,kw]
 * (overwritten): the adjoint with respect to w. All contiguous, one float dtype. */

typedef struct terni_pool_opts {
    int64_t kernel[3], stride[3], pad[3], dilation[3]; /* all resolved; unused if adaptive */
    int64_t divisor;                                   /* avg_pool: divides every sum by this if it is not 0 */
    bool exclude_pad;
    bool adaptive; /* window i of n over s elements is [floor(i s / n), ceil((i + 1) s / n)) */
} terni_pool_opts;
/* max_pool:      in x [N,C,D,H,W]; out y [N,C,D',H',W'], index [N,C,D',H',W'] i32: position (d H + h) W + w of the
 *   maximum (the first; a NaN wins). Every window holds a real element.
 * max_pool_grad: in gy, index; out gx [N,C,D,H,W] (overwritten): in each plane gx[index] += gy. No options.
 * avg_pool:      in x; out y. The divisor is the kernel's size, cut to the padded input as PyTorch does in ceil mode,
 *   or the count of real elements with exclude_pad or adaptive, or divisor. No dilation.
 * avg_pool_grad: in gy; out gx (overwritten). The adjoint.
 *   All contiguous, one float dtype. */

typedef struct terni_fold_opts {
    int64_t kernel[2], stride[2], pad[2], dilation[2]; /* all resolved */
    int64_t size[2];                                   /* windows down and right */
} terni_fold_opts;
/* im2col: in x [N,C,H,W]; out y [N,C,kh,kw,size0,size1]: y[n][c][p][q][i][j] = x[n][c][i stride - pad + p
 * dilation][...], 0 outside of x. col2im: in y; out x (overwritten). The adjoint: what falls on one element adds up.
 *   All contiguous, one float dtype. */

#endif
