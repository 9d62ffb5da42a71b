/* where: one of two, element by element. */
#include "launch.h"

namespace {

template <class S>
__global__ void where(uint32_t n, terni_walk<4> w) {
    const uint32_t i = (uint32_t)terni_thread();
    if (i >= n) return;
    int64_t at[4];
    w.at(i, at);
    const S a = static_cast<const S *>(w.data[2])[at[2]], b = static_cast<const S *>(w.data[3])[at[3]];
    static_cast<S *>(w.data[0])[at[0]] = static_cast<const uint8_t *>(w.data[1])[at[1]] ? a : b;
}

template <class S>
bool run(terni_cuda_device *d, const terni_each &e) {
    const size_t sizes[4] = {sizeof(S), 1, sizeof(S), sizeof(S)};
    return terni_walk_parts<4>(e, sizes, [=](const terni_walk<4> &w, int64_t n) {
        return TERNI_LAUNCH_EACH(d, terni_blocks(n, 256), 256, (where<S>), (uint32_t)n, w);
    });
}

}  // namespace

extern "C" bool terni_cuda_where(const terni_call *c) {
    const terni_view *v[4] = {c->out[0], c->in[0], c->in[1], c->in[2]};
    terni_each e;
    if (!terni_cuda_join(&e, v, 4)) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_BY_SIZE(terni_cuda_size(v[0]->dtype), return run<S>(d, e))
    return false;
}
