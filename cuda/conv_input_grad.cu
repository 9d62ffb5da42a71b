#include "conv_tile.h"

extern "C" bool terni_cuda_conv_input_grad_own(terni_cuda_device *d, const terni_conv_opts *o, const terni_view *gy,
                                               const terni_view *w, const terni_view *b, const terni_view *gx) {
    const terni_conv_shape s = terni_conv_shape_of(gx, w, gy, o);
    TERNI_FLOATS(gx->dtype,
                 return (terni_conv_launch<S, true>)(d, s, w->data, gy->data, b ? b->data : nullptr, gx->data))
    return false;
}
