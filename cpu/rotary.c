/* rotary: pairs turned by their angles. */
#include <string.h>

#include "internal.h"

enum { GRAIN = 8192 };

#define TERNI_TEMPLATE "rotary.inc"
#include "each_float.h"

bool terni_cpu_rotary(const terni_call *c) { return c->in[0]->dtype == TERN_F64 ? rotary_f64(c) : rotary_f32(c); }
