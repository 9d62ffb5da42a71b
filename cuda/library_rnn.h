/* The seam between rnn_layer.c, which decides and packs the weights, and a library's recurrent layers: library_rnn.c
 * (cuDNN). The simulation has library_rnn.c too, over a cuDNN of its own, tests/cusim/library_rnn_sim.c. */
#ifndef TERNI_CUDA_LIBRARY_RNN_H
#define TERNI_CUDA_LIBRARY_RNN_H

#include "internal.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All that a plan depends on. Compared as bytes: fill with zeros first. One layer in dirs directions; no size is 0. */
typedef struct terni_rnn_problem {
    int32_t kind, dirs; /* as in terni_rnn_layer_opts */
    int32_t dtype, device;
    int32_t keep;   /* backward may follow */
    int32_t tf32;   /* products of f32 may round to tf32 */
    int32_t biases; /* there are some */
    int32_t unused;
    int64_t T, N, I, H;
} terni_rnn_problem;

/* Rows of one weight, and where the library wants them among its weights: [rows, columns] without gaps. */
typedef struct terni_rnn_piece {
    int weight; /* of the row rnn_layer's, from 0 */
    int64_t row, rows, columns;
    size_t at; /* bytes */
} terni_rnn_piece;

/* A weight and a bias for each gate, of the input and of the state, in two directions. */
enum { TERNI_RNN_PIECES = 2 * 2 * 2 * 4 };

/* What is known of a plan; the library's own follows. */
typedef struct terni_rnn_plan {
    size_t weights, reserve; /* bytes */
    int n;
    terni_rnn_piece piece[TERNI_RNN_PIECES];
} terni_rnn_plan;

/* Device memory: x [T,N,I], h0, c0, hn, cn [D,N,H], y [T,N,D H], gradients alike. States and their gradients may be
 * NULL: zeros, or not wanted. */
typedef struct terni_rnn_data {
    const void *x, *h0, *c0, *weights;
    void *y, *hn, *cn, *reserve, *workspace;
    const void *gy, *ghn, *gcn;      /* backward alone, gy never NULL */
    void *gx, *gh0, *gc0, *gweights; /* gx never NULL; gweights holds zeros before, or is NULL */
} terni_rnn_data;

typedef struct terni_library_rnn {
    const char *name;
    /* False, with the reason, where the library cannot be used. */
    bool (*open)(char *why, size_t size);
    /* A plan with sums in f32 (f64 for f64) and at most so much workspace. *plan NULL if the library has none; false
     * after an error. */
    bool (*plan_new)(const terni_rnn_problem *p, size_t most, terni_rnn_plan **plan, size_t *workspace);
    void (*plan_free)(terni_rnn_plan *plan);
    bool (*forward)(terni_rnn_plan *plan, terni_cuda_device *d, const terni_rnn_data *data);
    /* Overwrites the reserve. */
    bool (*backward)(terni_rnn_plan *plan, terni_cuda_device *d, const terni_rnn_data *data);
} terni_library_rnn;
extern const terni_library_rnn terni_cuda_library_rnn;

#ifdef __cplusplus
}
#endif
#endif
