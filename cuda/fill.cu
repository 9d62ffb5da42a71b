/* fill: one value to all elements. */
#include "launch.h"

namespace {

template <class S>
__global__ void fill(uint32_t n, terni_walk<1> w, S v) {
    const uint32_t i = (uint32_t)terni_thread();
    if (i >= n) return;
    int64_t at[1];
    w.at(i, at);
    static_cast<S *>(w.data[0])[at[0]] = v;
}

template <class S>
bool run(terni_cuda_device *d, const terni_each &e, uint64_t bits) {
    S v;
    memcpy(&v, &bits, sizeof v);
    const size_t size = sizeof(S);
    return terni_walk_parts<1>(e, &size, [=](const terni_walk<1> &w, int64_t n) {
        return TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (fill<S>), (uint32_t)n, w, v);
    });
}

}  // namespace

extern "C" bool terni_cuda_fill(const terni_call *c) {
    const terni_fill_opts *o = static_cast<const terni_fill_opts *>(c->opts);
    const terni_view *y = c->out[0];
    terni_each e;
    if (!terni_cuda_join(&e, &y, 1)) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const size_t size = terni_cuda_size(y->dtype);
    uint64_t bits = 0;
    terni_cuda_constant(y->dtype, o, &bits);
    if (e.ndim == 1 && e.stride[0][0] == 1) {
        bool same = true; /* all bytes alike: zero, above all */
        for (size_t i = 1; i < size; i++) same &= (bits >> 8 * i & 255) == (bits & 255);
        if (same)
            return TERNI_CUDA_OK(terni_cuda_driver->fill(e.data[0], (int)(bits & 255), (size_t)e.n * size, d->stream));
    }
    TERNI_BY_SIZE(size, return run<S>(d, e, bits))
    return false;
}
