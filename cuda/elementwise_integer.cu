/* The rows that take integers and bool. */
#include "elementwise.h"

#pragma GCC diagnostic ignored "-Wtype-limits"
#pragma nv_diag_suppress 186 /* an unsigned number below 0 */
#pragma nv_diag_suppress 68

#define K(v) ((T)(v))
namespace i64 {
using T = int64_t;
#define LEAST INT64_MIN
#define MOST  INT64_MAX
#include "elementwise_integer_rows.inc"
#undef LEAST
#undef MOST
}  // namespace i64
namespace i32 {
using T = int32_t;
#define LEAST INT32_MIN
#define MOST  INT32_MAX
#include "elementwise_integer_rows.inc"
#undef LEAST
#undef MOST
}  // namespace i32
namespace u8 {
using T = uint8_t;
#define LEAST 0
#define MOST  UINT8_MAX
#include "elementwise_integer_rows.inc"
#undef LEAST
#undef MOST
}  // namespace u8

/* ---- kernels
 * ----------------------------------------------------------------------------------------------------------------- */

#define BY_TYPE(NI, R64, R32, R8, F, ...)                                      \
    switch (c->in[0]->dtype) {                                                 \
        case TERN_I64:                                                         \
            return terni_each_typed<NI, int64_t, R64>(c, i64::F(__VA_ARGS__)); \
        case TERN_I32:                                                         \
            return terni_each_typed<NI, int32_t, R32>(c, i32::F(__VA_ARGS__)); \
        default:                                                               \
            return terni_each_typed<NI, uint8_t, R8>(c, u8::F(__VA_ARGS__));   \
    }
#define OPTIONS static_cast<const double *>(c->opts)
#define UNARY(name)                                                    \
    extern "C" bool terni_cuda_##name##_integer(const terni_call *c);  \
    extern "C" bool terni_cuda_##name##_integer(const terni_call *c) { \
        BY_TYPE(1, int64_t, int32_t, uint8_t, name##_value, OPTIONS)   \
    }
#define IF_F(...)
#define IF_W(...)
#define IF_N(...)                    __VA_ARGS__
#define TERN_UNARY(name, dt, ...)    IF_##dt(UNARY(name))
#define TERN_UNARY_Y(name, dt, ...)  IF_##dt(UNARY(name))
#define TERN_UNARY_P(name, dt, ...)  IF_##dt(UNARY(name))
#define TERN_UNARY_PQ(name, dt, ...) IF_##dt(UNARY(name))
#define TERN_TEST_OF(name, ...)                                        \
    extern "C" bool terni_cuda_##name##_integer(const terni_call *c);  \
    extern "C" bool terni_cuda_##name##_integer(const terni_call *c) { \
        BY_TYPE(1, uint8_t, uint8_t, uint8_t, name##_test)             \
    }
#define BINARY(name)                                                   \
    extern "C" bool terni_cuda_##name##_integer(const terni_call *c);  \
    extern "C" bool terni_cuda_##name##_integer(const terni_call *c) { \
        BY_TYPE(2, int64_t, int32_t, uint8_t, name##_value)            \
    }
#define TERN_BINARY(name, dt, ...) IF_##dt(BINARY(name))
#define TERN_COMPARE(name, ...)                                        \
    extern "C" bool terni_cuda_##name##_integer(const terni_call *c);  \
    extern "C" bool terni_cuda_##name##_integer(const terni_call *c) { \
        BY_TYPE(2, uint8_t, uint8_t, uint8_t, name##_test)             \
    }
#define TERN_BITS(name, ...) \
    extern "C" bool terni_cuda_##name(const terni_call *c) { BY_TYPE(2, int64_t, int32_t, uint8_t, name##_value) }
#include "elementwise.def"
