/* Parameter updates. What each kernel takes and gives; see backend.h. */
#ifndef TERNI_CONTRACT_UPDATE_H
#define TERNI_CONTRACT_UPDATE_H

#include "tern/base.h"

#ifdef __CUDACC__
#define TERNI_UPDATE_FN __host__ __device__ static inline
#else
#define TERNI_UPDATE_FN static inline
#endif

/* The rules of update.def: terni_update_NAME, how many numbers each has, and their names for its text. */
#define TERNI_1(a)                         TERNI_NUMBER(0, a)
#define TERNI_3(a, b, c)                   TERNI_1(a) TERNI_NUMBER(1, b) TERNI_NUMBER(2, c)
#define TERNI_4(a, b, c, d)                TERNI_3(a, b, c) TERNI_NUMBER(3, d)
#define TERNI_5(a, b, c, d, e)             TERNI_4(a, b, c, d) TERNI_NUMBER(4, e)
#define TERNI_6(a, b, c, d, e, f)          TERNI_5(a, b, c, d, e) TERNI_NUMBER(5, f)
#define TERNI_7(a, b, c, d, e, f, g)       TERNI_6(a, b, c, d, e, f) TERNI_NUMBER(6, g)
#define TERNI_8(a, b, c, d, e, f, g, h)    TERNI_7(a, b, c, d, e, f, g) TERNI_NUMBER(7, h)
#define TERNI_9(a, b, c, d, e, f, g, h, i) TERNI_8(a, b, c, d, e, f, g, h) TERNI_NUMBER(8, i)
enum { TERNI_UPDATE_STATES = 3, TERNI_UPDATE_NUMBERS = 9 };

#define TERN_UPDATE(name, ...) TERNI_UPDATE_##name,
typedef enum terni_update_rule {
#include "update.def"
    TERNI_UPDATE_COUNT
} terni_update_rule;

typedef struct terni_update_opts {
    int32_t n, rule;
    uint32_t states; /* bit k: state k is there */
    bool skip, low;
    double sign; /* multiplies the gradients, besides scale; then they are cut to +-clip, which may be infinite */
    double clip;
    double number[TERNI_UPDATE_NUMBERS];
} terni_update_opts;
/* update: in n gradients, then scale, 0-dim, f32 or f64, which multiplies all gradients as they are read (NULL: 1),
 * then numbers, f64, contiguous, in place of those in the options (NULL: these hold); out n parameters, then n of each
 * state that is there, then, with low, n views of the gradients' dtype that take the new parameters, which are f32. All
 * are contiguous and float; the tensors i are alike, but that with low parameters and states are f32, gradients f16 or
 * bf16. With skip, nothing changes where scale is not finite: the device looks, the host does not wait. */

typedef struct terni_norm_opts {
    int32_t n;
    double max_norm; /* for the factor; 0: no limit */
} terni_norm_opts;
/* global_norm: in n views (NULL: skip), any float dtypes, contiguous, then unscale, 0-dim, f32 or f64 (NULL: 1); out y,
 * 0-dim, f32 or f64: the norm of all elements times unscale, then factor, of y's dtype, or NULL: terni_clip_factor. y
 * does not overflow where the result does not. */

/* What clips a gradient whose norm, times unscale, is `norm`; NaN if that is not finite. Source: Pascanu et al., arXiv
 * 1211.5063, with PyTorch's 1e-6. */
TERNI_UPDATE_FN double terni_clip_factor(double norm, double unscale, double max_norm) {
    const double none = norm - norm; /* 0 or NaN */
    const bool clips = max_norm > 0 && max_norm < norm + 1e-6;
    return none + (clips ? unscale * (max_norm / (norm + 1e-6)) : unscale);
}

#endif
