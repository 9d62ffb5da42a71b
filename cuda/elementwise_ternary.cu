/* The values of the rows with three operands. */
#include "elementwise_rows.h"

namespace {

template <template <class> class F>
bool value(const terni_call *c) {
    const double p = *static_cast<const double *>(c->opts);
    return terni_each_float<3, true>(c, F<float>{(float)p}, F<double>{p});
}

}  // namespace

#define TERN_TERNARY(name, ...) \
    extern "C" bool terni_cuda_##name(const terni_call *c) { return value<rows::name##_value>(c); }
#include "elementwise.def"
