/* lu_det: the diagonal's product, and the sign of the row exchanges; a warp a matrix. */
#include "linalg.h"

namespace {

struct times {
    __device__ double operator()(double a, double b) const { return a * b; }
};

template <class T>
__global__ void __launch_bounds__(32)
    determinant(int64_t n, terni_matrices lu, terni_matrices pivots, T *det, T *sign, T *logabs) {
    const uint32_t i = blockIdx.x;
    const T *a = lu.at<const T>(i);
    const int32_t *p = pivots.at<const int32_t>(i);
    double product = 1, signs = 1, logs = 0;
    for (int64_t k = threadIdx.x; k < n; k += 32) {
        const double u = (double)a[k * (n + 1)];
        if (p[k] != k + 1) product = -product, signs = -signs;
        product *= u;
        signs *= u > 0 ? 1 : u < 0 ? -1 : u; /* 0 and NaN go on */
        if (logabs) logs += log(fabs(u));
    }
    product = terni_warp_all(product, times());
    signs = terni_warp_all(signs, times());
    logs = terni_warp_all(logs, terni_plus());
    if (threadIdx.x > 0) return;
    if (det) det[i] = (T)product;
    if (sign) sign[i] = (T)signs;
    if (logabs) logabs[i] = (T)logs;
}

template <class T>
bool run(terni_cuda_device *d, const terni_call *c, uint32_t count) {
    T *out[3];
    for (int i = 0; i < 3; i++) out[i] = c->out[i] ? static_cast<T *>(c->out[i]->data) : nullptr;
    return TERNI_LAUNCH(d, count, 32, 0, (determinant<T>), c->in[0]->shape[c->in[0]->ndim - 1],
                        terni_matrices_of(c->in[0], 2), terni_matrices_of(c->in[1], 1), out[0], out[1], out[2]);
}

}  // namespace

extern "C" bool terni_cuda_lu_det(const terni_call *c) {
    uint32_t count;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d || !terni_matrix_count("lu_det", c->in[0], 2, &count)) return false;
    if (count == 0) return true;
    return c->in[0]->dtype == TERN_F64 ? run<double>(d, c, count) : run<float>(d, c, count);
}
