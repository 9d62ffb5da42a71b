#include "conv_tile.h"

extern "C" bool terni_cuda_conv_input_grad_own(terni_cuda_device *d, const terni_conv_opts *o, const terni_view *gy,
                                               const terni_view *w, const terni_view *b, const terni_view *gx) {
    TERNI_FLOATS(gx->dtype, return (terni_conv_launch<S, true>)(d, o, gx, w, b, gy))
    return false;
}
