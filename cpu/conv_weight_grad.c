#include <string.h>

#include "conv.h"
#include "internal.h"
#include "widen.h"

enum { IMAGE_GROUPS = 16, SUMS_LIMIT = 4 << 20 }; /* at most; elements */

#define TERNI_TEMPLATE "conv_weight_grad.inc"
#include "each_float.h"

TERNI_FLOAT_KERNEL(conv_weight_grad)
