/* What update.c and global_norm.c share. */
#ifndef TERNI_UPDATE_H
#define TERNI_UPDATE_H

#include "backend.h"

/* What the n gradients are multiplied by: the call's scale, or 1. */
double terni_cpu_update_scale(const terni_call *c, int32_t n);

#endif
