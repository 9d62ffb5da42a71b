#include "internal.h"
#include "widen.h"

enum { GRAIN = 16384 };

#define TERNI_TEMPLATE "resample.inc"
#include "each_float.h"

TERNI_FLOAT_KERNEL(resample)
