#include "internal.h"
#include "widen.h"

enum { GRAIN = 4096 };

#define TERNI_TEMPLATE "batch_norm.inc"
#include "each_float.h"

TERNI_FLOAT_KERNEL(batch_norm)
TERNI_FLOAT_KERNEL(batch_norm_grad)
