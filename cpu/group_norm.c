#include "internal.h"
#include "widen.h"

enum { GRAIN = 4096 };

#define TERNI_TEMPLATE "group_norm.inc"
#include "each_float.h"

TERNI_FLOAT_KERNEL(group_norm)
TERNI_FLOAT_KERNEL(group_norm_grad)
