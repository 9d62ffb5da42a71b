#include "internal.h"
#include "widen.h"

enum { GRAIN = 4096, ROWS = 32 }; /* ROWS: summed in x's type before they go into a double */

#define TERNI_TEMPLATE "rms_norm.inc"
#include "each_float.h"

TERNI_FLOAT_KERNEL(rms_norm)
TERNI_FLOAT_KERNEL(rms_norm_grad)
