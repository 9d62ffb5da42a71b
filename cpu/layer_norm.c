#include <string.h>

#include "internal.h"
#include "widen.h"

/* ROWS: summed in x's type before they go into a double; CHUNKS, WIDEST: at most, where rows go in chunks. */
enum { GRAIN = 4096, ROWS = 32, CHUNKS = 64, WIDEST = 16384 };

#define TERNI_TEMPLATE "layer_norm.inc"
#include "each_float.h"

TERNI_FLOAT_KERNEL(layer_norm)
TERNI_FLOAT_KERNEL(layer_norm_grad)
