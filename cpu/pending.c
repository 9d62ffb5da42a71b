/* Kernels that are still to come: weak, so that the real one takes their place. To be removed with the last of them. */
#include "internal.h"

#define TERN_OP(name)                                                                     \
    __attribute__((weak)) bool terni_cpu_##name(const terni_call *c) {                    \
        (void)c;                                                                          \
        return terni_cpu_fail(TERN_ERR_UNSUPPORTED, #name ": the CPU kernel is missing"); \
    }
#include "ops.def"
