#include <string.h>

#include "internal.h"
#include "widen.h"

enum { GRAIN = 16384 };

#define TERNI_TEMPLATE "max_pool2d.inc"
#include "each_float.h"

TERNI_FLOAT_KERNEL(max_pool2d)
TERNI_FLOAT_KERNEL(max_pool2d_grad)
