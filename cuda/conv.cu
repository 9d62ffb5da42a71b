#include "conv_tile.h"

namespace {

template <class S>
__global__ void put_bias(int64_t n, int64_t plane, int64_t channels, const S *b, S *y) {
    const int64_t t = terni_thread();
    if (t >= n) return;
    y[t] = b[t / plane % channels];
}

template <class S>
__global__ void put_bias_small(uint32_t n, terni_divisor plane, terni_divisor channels, const S *b, S *y) {
    const uint32_t t = (uint32_t)terni_thread();
    if (t >= n) return;
    const uint32_t sheet = terni_divide(t, plane), c = sheet - terni_divide(sheet, channels) * channels.d;
    y[t] = b[c];
}

}  // namespace

extern "C" bool terni_cuda_conv_own(terni_cuda_device *d, const terni_conv_opts *o, const terni_view *x,
                                    const terni_view *w, const terni_view *b, const terni_view *y) {
    TERNI_FLOATS(y->dtype, return (terni_conv_launch<S, false>)(d, o, x, w, b, y))
    return false;
}

extern "C" bool terni_cuda_conv_put_bias(terni_cuda_device *d, const terni_view *y, const terni_view *b) {
    const int64_t n = terni_cuda_count(y), channels = y->shape[1], plane = n / y->shape[0] / channels;
    if (n < TERNI_WALK_MAX - 256) {
        const terni_divisor by_plane = terni_divisor_of(plane), by_channels = terni_divisor_of(channels);
        TERNI_FLOATS(y->dtype,
                     return TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (put_bias_small<S>), (uint32_t)n, by_plane,
                                              by_channels, static_cast<const S *>(b->data), static_cast<S *>(y->data)))
    }
    TERNI_FLOATS(y->dtype, return TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (put_bias<S>), n, plane, channels,
                                                    static_cast<const S *>(b->data), static_cast<S *>(y->data)))
    return false;
}
