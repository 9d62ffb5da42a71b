/* The seam between conv.c, which decides, and a library's convolutions: library_conv.c (cuDNN) or, in the simulation,
 * tests/cusim/library_conv_sim.c. */
#ifndef TERNI_CUDA_LIBRARY_CONV_H
#define TERNI_CUDA_LIBRARY_CONV_H

#include "internal.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum terni_conv_kind {
    TERNI_CONV_FORWARD,     /* y from x and w */
    TERNI_CONV_INPUT_GRAD,  /* x from y and w */
    TERNI_CONV_WEIGHT_GRAD, /* w from x and y */
} terni_conv_kind;

/* All that a plan depends on. Compared as bytes: fill with zeros first. Every tensor is row-major without gaps and has
 * elements; x [N, C, axes], w [O, C/groups, axes], y [N, O, axes]. */
typedef struct terni_conv_problem {
    int32_t kind, dtype, device;
    int32_t axes;       /* 2 or 3 */
    int32_t tf32;       /* f32 may be rounded to tf32 in products */
    int32_t accumulate; /* the sums begin with what stands in the result, and are rounded once */
    int32_t align_x, align_w, align_y, unused;
    int64_t x[5], w[5], y[5];
    int64_t before[3], after[3], stride[3], dilation[3]; /* padding of x, at least 0 */
    int64_t groups;
} terni_conv_problem;

typedef struct terni_library_conv {
    const char *name;
    /* False, with the reason, where the library cannot be used. */
    bool (*open)(char *why, size_t size);
    /* A plan that gives the same bits every time, with f32 sums (f64 for f64) and at most so much workspace. *plan NULL
     * if the library has none; false after an error. */
    bool (*plan_new)(const terni_conv_problem *p, size_t most, void **plan, size_t *workspace);
    void (*plan_free)(void *plan);
    bool (*run)(void *plan, terni_cuda_device *d, void *x, void *w, void *y, void *workspace);
} terni_library_conv;
extern const terni_library_conv terni_cuda_library_conv;

/* For tests: plans are made for the device that this text describes, as cuDNN writes it; such plans do not run. NULL is
 * the machine's own again. */
void terni_cuda_library_conv_describe(const char *json);

#ifdef __cplusplus
}
#endif
#endif
