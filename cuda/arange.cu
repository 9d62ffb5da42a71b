/* arange and linspace. */
#include "launch.h"

namespace {

template <class S>
__global__ void arange(int64_t n, S *y, terni_arange_opts o) {
    const int64_t i = terni_thread();
    if (i >= n) return;
    /* Not to be contracted into one rounding: the CPU has two. */
    const double v = i < o.half ? terni_plain_sum(o.start, terni_plain_product(o.step, (double)i))
                                : terni_plain_sum(o.end, -terni_plain_product(o.step, (double)(n - 1 - i)));
    if constexpr (std::is_integral<S>::value)
        y[i] = (S)(int64_t)v;
    else
        y[i] = terni_from_double<S>(v);
}

}  // namespace

extern "C" bool terni_cuda_arange(const terni_call *c) {
    const terni_arange_opts o = *static_cast<const terni_arange_opts *>(c->opts);
    const terni_view *y = c->out[0];
    const int64_t n = y->shape[0];
    if (n == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_ALL(y->dtype,
              return TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (arange<S>), n, static_cast<S *>(y->data), o))
    return false;
}
