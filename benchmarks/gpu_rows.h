/* What bench-gpu times, a row each; see gpu_kernels.c. */
#ifndef TERN_BENCH_GPU_ROWS_H
#define TERN_BENCH_GPU_ROWS_H

#include <stdbool.h>

#include "tern/tern.h"

enum { BENCH_INPUTS = 4, BENCH_DIMS = 4 };

typedef struct bench_input {
    int64_t dim[BENCH_DIMS]; /* none: no such input */
    int64_t below;           /* not 0: indices from 0 to below - 1, i64 */
    bool f32;                /* whatever the row's dtype */
    bool no_grad;
    double scale; /* standard deviation; 1 if zero */
} bench_input;

typedef enum bench_kind {
    BENCH_BYTES,  /* as GB/s, and as a share of what a copy reaches */
    BENCH_FLOPS,  /* as TFLOP/s */
    BENCH_SUBMIT, /* the time until the call returns, not the device's */
    BENCH_STEP,   /* seconds of one call of `step` */
    BENCH_EPOCH   /* the same, too long to be repeated within a run */
} bench_kind;

typedef struct bench_row {
    const char *name, *group;
    bench_kind kind;
    tern_dtype dtype;
    bool tf32;         /* f32 products may round their inputs to tf32, here and there */
    const char *torch; /* an expression of the inputs a, b, c, d; or what benchmarks/gpu has under this name */
    bench_input in[BENCH_INPUTS];
    tern_tensor *(*call)(tern_tensor *const *in);
    double moves, moves_both; /* how often the bytes of the first input have to cross the memory's wires at least */
    double (*flops)(int64_t dims[BENCH_INPUTS][BENCH_DIMS]);
    double flops_both; /* of forward and backward, by forward's */
    /* Instead of inputs and call: */
    void *(*open)(tern_device device, bool tiny);
    bool (*step)(void *state);
    void (*close)(void *state);
} bench_row;

const bench_row *bench_rows(int *n);

/* gpu_training.c */
void *bench_adamw_open(tern_device device, bool tiny);
bool bench_adamw_step(void *state);
void bench_adamw_close(void *state);
void *bench_mnist_open(tern_device device, bool tiny);
void *bench_mnist_graph_open(tern_device device, bool tiny); /* the step captured once, and replayed */
bool bench_mnist_step(void *state);
void bench_mnist_close(void *state);

#endif
