#include <string.h>

#include "conv.h"
#include "internal.h"
#include "widen.h"

#define TERNI_TEMPLATE "conv_input_grad.inc"
#include "each_float.h"

TERNI_FLOAT_KERNEL(conv_input_grad)
