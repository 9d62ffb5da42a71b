/* f16 and bf16 by way of f32, for kernels whose tensors are all contiguous. */
#ifndef TERNI_WIDEN_H
#define TERNI_WIDEN_H

#include "backend.h"

/* Calls the kernel with f32 copies of the call's f16 and bf16 views (outputs too, since some are updated in place),
 * then rounds the outputs into place. */
bool terni_cpu_widen(const terni_call *c, terni_kernel kernel);

/* Defines terni_cpu_NAME from NAME_f32 and NAME_f64; the dtype is that of in[0]. */
#define TERNI_FLOAT_KERNEL(name)                               \
    bool terni_cpu_##name(const terni_call *c) {               \
        if (c->in[0]->dtype == TERN_F32) return name##_f32(c); \
        if (c->in[0]->dtype == TERN_F64) return name##_f64(c); \
        return terni_cpu_widen(c, terni_cpu_##name);           \
    }

#endif
