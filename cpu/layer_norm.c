#include "internal.h"
#include "widen.h"

enum { GRAIN = 4096 };

#define TERNI_TEMPLATE "layer_norm.inc"
#include "each_float.h"

TERNI_FLOAT_KERNEL(layer_norm)
TERNI_FLOAT_KERNEL(layer_norm_grad)
