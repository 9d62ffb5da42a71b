/* The function's kernel on a GPU: kernel.cu, or no_kernel.c where the build has no nvcc. */
#ifndef KERNEL_H
#define KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Arrays of doubles if wide, else of floats, contiguous, on one device: x, y, dy, dx and da [rows, columns], a
 * [columns]. */
typedef struct snake_arrays {
    const void *x, *a;
    const void *dy; /* NULL: y is computed; else dx and da, which is still to be summed over the rows */
    void *y, *dx, *da;
    int64_t rows, columns;
    bool wide;
} snake_arrays;

/* Queues the kernel on a stream that tern_stream_native gave. NULL, or what went wrong. */
const char *snake_run_cuda(const snake_arrays *s, void *stream);

#ifdef __cplusplus
}
#endif
#endif
