#include <string.h>

#include "conv2d.h"
#include "internal.h"
#include "widen.h"

#define TERNI_TEMPLATE "conv2d_input_grad.inc"
#include "each_float.h"

TERNI_FLOAT_KERNEL(conv2d_input_grad)
