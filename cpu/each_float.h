/* Compiles TERNI_TEMPLATE, a file name, for f32 and for f64. In it, T is the type, INT an integer of its size, X(name)
 * a name of that type's own, VEC a vector of LANES T (simd.h), EXP, LOG and SQRT are T's functions, and DOWN is the
 * factor of exp_down (vmath.h). Included as
 * often as there are templates. */
#include <math.h>

#include "lanes.h"
#include "simd.h"
#include "stream.h"
#include "vmath.h"

#define T       float
#define INT     int32_t
#define VEC     terni_vf
#define VEC_U   terni_vf_u
#define LANES   TERNI_LANES_F32
#define X(name) name##_f32
#define EXP     terni_exp_f32
#define DOWN    TERNI_DOWN_F32
#define LOG     logf
#define SQRT    sqrtf
#include TERNI_TEMPLATE
#undef T
#undef INT
#undef VEC
#undef VEC_U
#undef LANES
#undef X
#undef EXP
#undef DOWN
#undef LOG
#undef SQRT

#define T       double
#define INT     int64_t
#define VEC     terni_vd
#define VEC_U   terni_vd_u
#define LANES   TERNI_LANES_F64
#define X(name) name##_f64
#define EXP     exp
#define DOWN    TERNI_DOWN_F64
#define LOG     log
#define SQRT    sqrt
#include TERNI_TEMPLATE
#undef T
#undef INT
#undef VEC
#undef VEC_U
#undef LANES
#undef X
#undef EXP
#undef DOWN
#undef LOG
#undef SQRT
#undef TERNI_TEMPLATE
