/* The float rows of core/elementwise.def as functors: NAME_value<T>, NAME_grad<T>, NAME_curv<T> of a unary row,
 * NAME_value<T>, NAME_da<T>, NAME_db<T> of a binary one, NAME_test<T> of comparisons and predicates, in namespace rows.
 * The names of math.h mean those of T through C++'s overloads; those of elementwise_math.inc are templates here. */
#ifndef TERNI_CUDA_ELEMENTWISE_ROWS_H
#define TERNI_CUDA_ELEMENTWISE_ROWS_H

#include "elementwise.h"
#include "special.h"

namespace rows {

#define K(v)     ((T)(v))
#define FN(name) math_##name
#define MATH_FN        \
    template <class T> \
    __device__ static inline
#define exp_normal(v) exp(v)
#include "elementwise_math.inc"

#define UNARY_VALUE(name, Y)                                                                             \
    template <class T>                                                                                   \
    struct name##_value {                                                                                \
        T p, q, r;                                                                                       \
        __device__ __forceinline__ T operator()(T x) const { return (void)p, (void)q, (void)r, (T)(Y); } \
    };
#define UNARY_FROM_X(kind, name, Y, E)                            \
    template <class T>                                            \
    struct name##_##kind {                                        \
        T p, q, r;                                                \
        __device__ __forceinline__ T operator()(T g, T x) const { \
            const T y = (T)(Y);                                   \
            (void)p, (void)q, (void)r, (void)x, (void)y;          \
            return g * (T)(E);                                    \
        }                                                         \
    };
#define UNARY_FROM_Y(kind, name, E)                                \
    template <class T>                                             \
    struct name##_##kind {                                         \
        T p, q, r;                                                 \
        __device__ __forceinline__ T operator()(T g, T y) const {  \
            return (void)p, (void)q, (void)r, (void)y, g * (T)(E); \
        }                                                          \
    };
#define FROM_X(name, Y, DY, D2Y)    \
    UNARY_VALUE(name, Y)            \
    UNARY_FROM_X(grad, name, Y, DY) \
    UNARY_FROM_X(curv, name, Y, D2Y)
#define TERN_UNARY(name, dt, lo, hi, Y, DY, D2Y)            FROM_X(name, Y, DY, D2Y)
#define TERN_UNARY_P(name, dt, lo, hi, tp, Y, DY, D2Y)      FROM_X(name, Y, DY, D2Y)
#define TERN_UNARY_PQ(name, dt, lo, hi, tp, tq, Y, DY, D2Y) FROM_X(name, Y, DY, D2Y)
#define TERN_UNARY_PQR(name, dt, Y, DY, D2Y)                FROM_X(name, Y, DY, D2Y)
#define TERN_UNARY_Y(name, dt, lo, hi, Y, DY, D2Y) \
    UNARY_VALUE(name, Y)                           \
    UNARY_FROM_Y(grad, name, DY)                   \
    UNARY_FROM_Y(curv, name, D2Y)
#define PARTIAL(kind, name, E)                                                                                \
    template <class T>                                                                                        \
    struct name##_##kind {                                                                                    \
        __device__ __forceinline__ T operator()(T g, T a, T b) const { return (void)a, (void)b, g * (T)(E); } \
    };
#define TERN_BINARY(name, dt, lo, hi, V, DA, DB)                                   \
    template <class T>                                                             \
    struct name##_value {                                                          \
        __device__ __forceinline__ T operator()(T a, T b) const { return (T)(V); } \
    };                                                                             \
    PARTIAL(da, name, DA)                                                          \
    PARTIAL(db, name, DB)
#define TERN_TERNARY(name, V, DX, DA, DB)                                                                 \
    template <class T>                                                                                    \
    struct name##_value {                                                                                 \
        T p;                                                                                              \
        __device__ __forceinline__ T operator()(T x, T a, T b) const { return (void)p, (void)b, (T)(V); } \
    };
#define TERN_COMPARE(name, V)                                                                  \
    template <class T>                                                                         \
    struct name##_test {                                                                       \
        __device__ __forceinline__ uint8_t operator()(T a, T b) const { return (uint8_t)(V); } \
    };
#define TERN_TEST_OF(name, V)                                                             \
    template <class T>                                                                    \
    struct name##_test {                                                                  \
        __device__ __forceinline__ uint8_t operator()(T x) const { return (uint8_t)(V); } \
    };
#include "elementwise.def"

#undef sign
#undef is_negative
#undef square
#undef rsqrt
#undef sigmoid
#undef softplus
#undef silu
#undef mish
#undef elu
#undef celu
#undef ndtr
#undef gelu
#undef gelu_slope
#undef gelu_tanh
#undef tanhshrink
#undef erfinv
#undef lgamma
#undef digamma
#undef polygamma
#undef logaddexp
#undef xlogy
#undef maximum
#undef minimum
#undef remainder
#undef floor_divide
#undef exp_normal

}  // namespace rows

/* Whether the row takes integers: TERNI_IF_INT(dt, code) */
#define TERNI_INT_F(...)
#define TERNI_INT_W(...)
#define TERNI_INT_N(...) __VA_ARGS__

#endif
