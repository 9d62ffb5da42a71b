/* Matrix products of our own, for machines without a BLAS and for products too small for one: tiles of c in registers,
 * b by panels, which are packed where their rows are not dense. Plain C on vector types, so every instruction set gets
 * its own. */
#include "gemm.h"

#include "simd.h"

/* TILE rows by PANEL vectors of sums, and what they are made from, fill the registers: 32 with AVX-512, 16 without. */
enum { TILE = 6, PANEL = TERNI_VEC_BYTES == 64 ? 4 : 2, DEPTH = 256 };

#define SUFFIX_(a, b) a##_##b
#define SUFFIX(a, b)  SUFFIX_(a, b)
#define FN(name)      SUFFIX(name, NAME)

#define T     float
#define V     terni_vf
#define V_U   terni_vf_u
#define LANES TERNI_LANES_F32
#define NAME  f32
#include "gemm.inc"
#undef T
#undef V
#undef V_U
#undef LANES
#undef NAME
#define T     double
#define V     terni_vd
#define V_U   terni_vd_u
#define LANES TERNI_LANES_F64
#define NAME  f64
#include "gemm.inc"
