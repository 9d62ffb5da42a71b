/* Planes [channel][pixel] turned into [pixel][vector of channels] and back, four by four. */
#ifndef TERNI_CPU_TURN_H
#define TERNI_CPU_TURN_H

#include <stdint.h>

#define T       float
#define X(name) name##_f32
#include "turn.inc"
#undef T
#undef X
#define T       double
#define X(name) name##_f64
#include "turn.inc"
#undef T
#undef X

#endif
