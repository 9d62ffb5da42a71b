/* The slopes of the unary rows. */
#include "elementwise_rows.h"

namespace {

template <template <class> class F>
bool run(const terni_call *c) {
    const double *o = static_cast<const double *>(c->opts), p = o ? o[0] : 0, q = o ? o[1] : 0, r = o ? o[2] : 0;
    return terni_each_float<2, true>(c, F<float>{(float)p, (float)q, (float)r}, F<double>{p, q, r});
}

}  // namespace

#define ROW(name) \
    extern "C" bool terni_cuda_##name##_grad(const terni_call *c) { return run<rows::name##_grad>(c); }
#define TERN_UNARY(name, ...)     ROW(name)
#define TERN_UNARY_Y(name, ...)   ROW(name)
#define TERN_UNARY_P(name, ...)   ROW(name)
#define TERN_UNARY_PQ(name, ...)  ROW(name)
#define TERN_UNARY_PQR(name, ...) ROW(name)
#include "elementwise.def"
