/* The keys of core/order.h, and their widths. */
#ifndef TERNI_CPU_ORDER_H
#define TERNI_CPU_ORDER_H

#include <string.h>

#include "../core/order.h"
#include "internal.h"

/* Bits that a dtype's keys have. */
static inline int terni_key_bits(int dtype) { return (int)terni_cpu_size(dtype) * 8; }
/* The largest key: NaN's, for floats. */
static inline uint64_t terni_key_top(int dtype) { return UINT64_MAX >> (64 - terni_key_bits(dtype)); }

#endif
