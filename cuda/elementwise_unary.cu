/* The values of the unary rows, and predicates, for floats; integers are in elementwise_integer.cu. */
#include "elementwise_rows.h"

namespace {

template <template <class> class F>
bool value(const terni_call *c) {
    const double *o = static_cast<const double *>(c->opts), p = o ? o[0] : 0, q = o ? o[1] : 0, r = o ? o[2] : 0;
    return terni_each_float<1, true>(c, F<float>{(float)p, (float)q, (float)r}, F<double>{p, q, r});
}

template <template <class> class F>
bool test(const terni_call *c) {
    if (c->in[0]->dtype == TERN_F64) return terni_each_typed<1, double, uint8_t>(c, F<double>());
    return terni_each_typed<1, float, uint8_t>(c, F<float>());
}

}  // namespace

#define VALUE_F(name) return terni_cuda_fail(TERN_ERR_DTYPE, "%s: not for integers", #name)
#define VALUE_N(name) return terni_cuda_##name##_integer(c)
#define ROW(name, dt)                                                                  \
    extern "C" bool terni_cuda_##name##_integer(const terni_call *c);                  \
    extern "C" bool terni_cuda_##name(const terni_call *c) {                           \
        if (terni_cuda_is_float(c->in[0]->dtype)) return value<rows::name##_value>(c); \
        VALUE_##dt(name);                                                              \
    }
#define TERN_UNARY(name, dt, ...)     ROW(name, dt)
#define TERN_UNARY_Y(name, dt, ...)   ROW(name, dt)
#define TERN_UNARY_P(name, dt, ...)   ROW(name, dt)
#define TERN_UNARY_PQ(name, dt, ...)  ROW(name, dt)
#define TERN_UNARY_PQR(name, dt, ...) ROW(name, dt)
#define TERN_TEST_OF(name, ...)                                                      \
    extern "C" bool terni_cuda_##name##_integer(const terni_call *c);                \
    extern "C" bool terni_cuda_##name(const terni_call *c) {                         \
        if (terni_cuda_is_float(c->in[0]->dtype)) return test<rows::name##_test>(c); \
        return terni_cuda_##name##_integer(c);                                       \
    }
#include "elementwise.def"
