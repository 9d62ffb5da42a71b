/* The seam between attention.c, which decides, and a library's attention: library_attention.c (cuDNN) or, in the
 * simulation, tests/cusim/library_attention_sim.c. */
#ifndef TERNI_CUDA_LIBRARY_ATTENTION_H
#define TERNI_CUDA_LIBRARY_ATTENTION_H

#include "internal.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum terni_attention_tensor {
    TERNI_ATTENTION_Q,
    TERNI_ATTENTION_K,
    TERNI_ATTENTION_V,
    TERNI_ATTENTION_Y,
    TERNI_ATTENTION_GY, /* this and what follows: backward alone */
    TERNI_ATTENTION_GQ,
    TERNI_ATTENTION_GK,
    TERNI_ATTENTION_GV,
    TERNI_ATTENTION_TENSORS
} terni_attention_tensor;

/* All that a plan depends on. Compared as bytes: fill with zeros first. q [B, H, L, E], k [B, K, S, E], v [B, K, S, V],
 * y [B, H, L, V], gradients alike; f16 or bf16; no size is 0, H is a multiple of K. Strides are positive, those of the
 * columns 1. No mask but causal (row i takes keys 0 to i), no dropout. */
typedef struct terni_attention_problem {
    int32_t backward, dtype, device;
    int32_t causal;
    int32_t stats; /* forward: the rows' logsumexp (natural) is wanted, f32 [B, H, L] without gaps; backward takes it */
    int32_t align; /* bytes, of every tensor */
    int64_t B, H, K, L, S, E, V;
    int64_t stride[TERNI_ATTENTION_TENSORS][3]; /* of a batch, a head, a row */
} terni_attention_problem;

/* The shape of a terni_attention_tensor. */
static inline void terni_attention_shape(const terni_attention_problem *p, int t, int64_t shape[4]) {
    const bool keys =
        t == TERNI_ATTENTION_K || t == TERNI_ATTENTION_V || t == TERNI_ATTENTION_GK || t == TERNI_ATTENTION_GV;
    const bool inner =
        t == TERNI_ATTENTION_Q || t == TERNI_ATTENTION_K || t == TERNI_ATTENTION_GQ || t == TERNI_ATTENTION_GK;
    shape[0] = p->B;
    shape[1] = keys ? p->K : p->H;
    shape[2] = keys ? p->S : p->L;
    shape[3] = inner ? p->E : p->V;
}

typedef struct terni_library_attention {
    const char *name;
    /* False, with the reason, where the library cannot be used. */
    bool (*open)(char *why, size_t size);
    /* A plan that gives the same bits every time, with f32 sums and at most so much workspace. *plan NULL if the
     * library has none; false after an error. */
    bool (*plan_new)(const terni_attention_problem *p, size_t most, void **plan, size_t *workspace);
    void (*plan_free)(void *plan);
    /* data: of each terni_attention_tensor that the problem has; stats may be NULL if they are not wanted. */
    bool (*run)(void *plan, terni_cuda_device *d, void *const *data, void *stats, double scale, void *workspace);
} terni_library_attention;
extern const terni_library_attention terni_cuda_library_attention;

/* For tests: plans are made for the device that this text describes, as cuDNN writes it; such plans do not run. NULL is
 * the machine's own again. */
void terni_cuda_library_attention_describe(const char *json);

#ifdef __cplusplus
}
#endif
#endif
