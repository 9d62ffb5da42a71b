/* The binary rows' values and partial derivatives, and comparisons, for floats; integers are in elementwise_integer.cu.
 */
#include "elementwise_rows.h"

namespace {

template <template <class> class F>
bool value(const terni_call *c) {
    return terni_each_float<2, true>(c, F<float>(), F<double>());
}
template <template <class> class F>
bool partial(const terni_call *c) {
    return terni_each_float<3, true>(c, F<float>(), F<double>());
}
template <template <class> class F>
bool compare(const terni_call *c) {
    if (c->in[0]->dtype == TERN_F64) return terni_each_typed<2, double, uint8_t>(c, F<double>());
    return terni_each_typed<2, float, uint8_t>(c, F<float>());
}

}  // namespace

#define VALUE_F(name) return terni_cuda_fail(TERN_ERR_DTYPE, "%s: not for integers", #name)
#define VALUE_W(name) VALUE_F(name)
#define VALUE_N(name) return terni_cuda_##name##_integer(c)
#define TERN_BINARY(name, dt, ...)                                                                      \
    extern "C" bool terni_cuda_##name##_integer(const terni_call *c);                                   \
    extern "C" bool terni_cuda_##name(const terni_call *c) {                                            \
        if (terni_cuda_is_float(c->in[0]->dtype)) return value<rows::name##_value>(c);                  \
        VALUE_##dt(name);                                                                               \
    }                                                                                                   \
    extern "C" bool terni_cuda_##name##_da(const terni_call *c) { return partial<rows::name##_da>(c); } \
    extern "C" bool terni_cuda_##name##_db(const terni_call *c) { return partial<rows::name##_db>(c); }
#define TERN_COMPARE(name, ...)                                                         \
    extern "C" bool terni_cuda_##name##_integer(const terni_call *c);                   \
    extern "C" bool terni_cuda_##name(const terni_call *c) {                            \
        if (terni_cuda_is_float(c->in[0]->dtype)) return compare<rows::name##_test>(c); \
        return terni_cuda_##name##_integer(c);                                          \
    }
#include "elementwise.def"
