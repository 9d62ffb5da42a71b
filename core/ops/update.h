/* What the fused parameter updates and the global norm share. Private to core/ops. */
#ifndef TERNI_UPDATE_H
#define TERNI_UPDATE_H

#include "internal.h"

/* A number on the device: t is NULL, or 0-dim, f32 or f64. */
bool terni_update_number(const char *op, const tern_tensor *t, const char *name);

#endif
