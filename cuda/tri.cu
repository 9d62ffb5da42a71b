/* tri: the lower or upper triangle of matrices; the rest is zero. */
#include "launch.h"

namespace {

template <class S>
__global__ void tri(uint32_t n, terni_walk<1> w, S *y, terni_divisor cols, terni_divisor rows, int64_t k, bool upper) {
    const uint32_t i = (uint32_t)terni_thread();
    if (i >= n) return;
    const uint32_t line = terni_divide(i, cols), col = i - line * cols.d,
                   row = line - terni_divide(line, rows) * rows.d;
    const int64_t edge = (int64_t)col - row;
    int64_t at[1];
    w.at(i, at);
    y[i] = (upper ? edge >= k : edge <= k) ? static_cast<const S *>(w.data[0])[at[0]] : S(0);
}

}  // namespace

extern "C" bool terni_cuda_tri(const terni_call *c) {
    const terni_tri_opts *o = static_cast<const terni_tri_opts *>(c->opts);
    const terni_view *x = c->in[0], *y = c->out[0];
    const int64_t n = terni_cuda_count(x), cols = n ? x->shape[x->ndim - 1] : 1, rows = n ? x->shape[x->ndim - 2] : 1;
    if (n == 0) return true;
    if (n > TERNI_WALK_MAX) return terni_cuda_fail(TERN_ERR_UNSUPPORTED, "tri: 2^31 elements or more on a GPU");
    terni_each e;
    terni_cuda_join(&e, &x, 1);
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const size_t size = terni_cuda_size(x->dtype);
    TERNI_BY_SIZE(size, return terni_walk_parts<1>(e, &size, [=](const terni_walk<1> &w, int64_t m) {
                      return TERNI_LAUNCH_EACH(d, terni_blocks(m, 256), 256, (tri<S>), (uint32_t)m, w,
                                               static_cast<S *>(y->data), terni_divisor_of(cols),
                                               terni_divisor_of(rows), o->k, o->upper);
                  }))
    return false;
}
