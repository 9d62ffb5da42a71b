/* resample: sums of weighted rows, by tables. */
#include "launch.h"

namespace {

template <class S>
__global__ void resample(int64_t count, int64_t size, int64_t n, int64_t inner, const S *x, const int64_t *start,
                         const int64_t *index, const terni_sum_t<S> *weight, S *y) {
    const int64_t t = terni_thread();
    if (t >= count) return;
    const int64_t k = t % inner, i = t / inner % n, o = t / inner / n;
    terni_sum_t<S> sum = 0;
    for (int64_t j = start[i]; j < start[i + 1]; j++)
        sum += weight[j] * (terni_sum_t<S>)terni_load<S>(x[(o * size + index[j]) * inner + k]);
    y[t] = terni_store<S>((terni_math_t<S>)sum);
}

}  // namespace

extern "C" bool terni_cuda_resample(const terni_call *c) {
    const terni_view *x = c->in[0], *y = c->out[0];
    const int64_t n = terni_cuda_count(y);
    if (n == 0) return true;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    TERNI_FLOATS(x->dtype, return TERNI_LAUNCH_EACH(
                               d, terni_blocks(n, 256), 256, (resample<S>), n, x->shape[1], y->shape[1], x->shape[2],
                               static_cast<const S *>(x->data), static_cast<const int64_t *>(c->in[1]->data),
                               static_cast<const int64_t *>(c->in[2]->data),
                               static_cast<const terni_sum_t<S> *>(c->in[3]->data), static_cast<S *>(y->data)))
    return false;
}
