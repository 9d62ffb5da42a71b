/* Numbers of any float dtype in the host's memory, for the libraries of the simulation. */
#ifndef TERN_NUMBERS_SIM_H
#define TERN_NUMBERS_SIM_H

#include <stdint.h>

#include "half.h"
#include "internal.h"

/* Element i of p. */
static inline double terni_sim_get(const void *p, int dtype, int64_t i) {
    switch (dtype) {
        case TERN_F64:
            return ((const double *)p)[i];
        case TERN_F32:
            return (double)((const float *)p)[i];
        case TERN_F16:
            return (double)terni_f16_to(((const uint16_t *)p)[i]);
        default:
            return (double)terni_bf16_to(((const uint16_t *)p)[i]);
    }
}

static inline void terni_sim_put(void *p, int dtype, int64_t i, double v) {
    switch (dtype) {
        case TERN_F64:
            ((double *)p)[i] = v;
            break;
        case TERN_F32:
            ((float *)p)[i] = (float)v;
            break;
        case TERN_F16:
            ((uint16_t *)p)[i] = terni_f16_from(v);
            break;
        default:
            ((uint16_t *)p)[i] = terni_bf16_from(v);
    }
}

#endif
