#include "internal.h"
#include "widen.h"

enum { GRAIN = 4096 }; /* elements that make a task worth a thread */

#define TERNI_TEMPLATE "softmax.inc"
#include "each_float.h"

TERNI_FLOAT_KERNEL(softmax)
TERNI_FLOAT_KERNEL(softmax_grad)
TERNI_FLOAT_KERNEL(log_softmax)
TERNI_FLOAT_KERNEL(log_softmax_grad)
