/* The only door to a backend: one table of kernels. core fills calls with plain views; a backend never sees a tensor.
 *
 * A backend is a module (libtern-cpu*.so, libtern-cuda.so) with one exported function, terni_backend_entry, that core
 * finds by name. Not installed: the table belongs to one build of Tern, and its ABI number and size are checked at
 * loading. */
#ifndef TERNI_BACKEND_H
#define TERNI_BACKEND_H

#include "tern/base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TERNI_BACKEND_ABI   1
#define TERNI_BACKEND_ENTRY "terni_backend_entry"

/* A strided array in a device's memory. Strides count elements, are never negative, and are 0 where a dimension is
 * broadcast. */
typedef struct terni_view {
    void *data;
    int64_t shape[TERN_MAX_DIMS];
    int64_t strides[TERN_MAX_DIMS];
    int32_t ndim;
    int32_t dtype; /* tern_dtype */
} terni_view;

/* One call of a kernel. Outputs never overlap inputs, except that an output may be the very same view as an input of an
 * elementwise kernel. Optional views are NULL. Views may hold no elements. */
typedef struct terni_call {
    const terni_view *const *in;
    const terni_view *const *out;
    int n_in, n_out;
    const void *opts;
    int device; /* index */
} terni_call;

/* Returns false after host->fail. */
typedef bool (*terni_kernel)(const terni_call *call);

/* What core lends a backend. */
typedef struct terni_host {
    void *(*alloc)(size_t bytes); /* through the memory door, 64-byte aligned; NULL after recording the error */
    void (*free)(void *p, size_t bytes);
    bool (*fail)(tern_code code, const char *file, int line, const char *format, ...)
        TERN_PRINTF(4, 5); /* returns false */
} terni_host;

/* ---- ids: one enumerator a row ------------------------------------------------------------------------------- */

enum {
#define TERN_UNARY(name, ...)   TERNI_UNARY_##name,
#define TERN_UNARY_Y(name, ...) TERNI_UNARY_##name,
#define TERN_UNARY_P(name, ...) TERNI_UNARY_##name,
#include "elementwise.def"
    TERNI_UNARY_COUNT
};
enum {
#define TERN_BINARY(name, ...) TERNI_BINARY_##name,
#include "elementwise.def"
    TERNI_BINARY_COUNT
};
enum {
#define TERN_COMPARE(name, ...) TERNI_COMPARE_##name,
#include "elementwise.def"
    TERNI_COMPARE_COUNT
};
enum {
#define TERN_OP(name) TERNI_OP_##name,
#include "ops.def"
    TERNI_OP_COUNT
};

/* ---- the table ------------------------------------------------------------------------------------------------ */

typedef struct terni_backend {
    uint32_t abi;  /* TERNI_BACKEND_ABI */
    uint32_t size; /* sizeof(terni_backend) */
    const char *name;

    /* Devices that can be used; if none, why not, into reason. */
    int (*device_count)(char *reason, size_t size);
    /* A line or more for tern_info. */
    void (*info)(char *text, size_t size);
    bool (*set_threads)(int threads);
    int (*threads)(void);
    /* Device memory; bytes > 0; 64-byte aligned or better. *data NULL after host->fail. */
    bool (*alloc)(int device, size_t bytes, void **data);
    void (*free)(int device, void *data, size_t bytes);
    void (*trim)(int device);
    /* Between plain host memory and the device; both wait until done. */
    bool (*upload)(int device, void *dst, const void *src, size_t bytes);
    bool (*download)(int device, void *dst, const void *src, size_t bytes);
    bool (*sync)(int device);

    /* Elementwise. All views of a call have the same shape (broadcast inputs have strides of 0).
     *   unary        in x               out y        opts: double p (rows with a parameter; else NULL)
     *   unary_grad   in g, s            out g * slope      s is x, or y for TERN_UNARY_Y rows; opts as above
     *   unary_curv   in h, s            out h * curvature
     *   binary       in a, b            out value          a and b have out's dtype
     *   binary_da    in g, a, b         out g * d/da       binary_db likewise
     *   compare      in a, b            out bool           a and b have one dtype */
    terni_kernel unary[TERNI_UNARY_COUNT], unary_grad[TERNI_UNARY_COUNT], unary_curv[TERNI_UNARY_COUNT];
    terni_kernel binary[TERNI_BINARY_COUNT], binary_da[TERNI_BINARY_COUNT], binary_db[TERNI_BINARY_COUNT];
    terni_kernel compare[TERNI_COMPARE_COUNT];
    terni_kernel op[TERNI_OP_COUNT];
} terni_backend;

/* The exported entry. Returns NULL, with the reason in text, when the backend cannot work here. */
typedef const terni_backend *(*terni_backend_entry_fn)(const terni_host *host, char *reason, size_t size);

/* ---- structured kernels: options and contracts ------------------------------------------------------------------ *
 * "Contiguous" is row-major without gaps. The accumulation dtype A is f64 for f64, else f32. */

/* copy: in x, out y of the same shape, any strides and dtypes; converts. Float to integer truncates (out of range and
 * NaN give some value), to bool is != 0; f64 to f16 and bf16 rounds once, to nearest even. */

typedef struct terni_fill_opts {
    double value;
    int64_t integer; /* for integer dtypes */
} terni_fill_opts;
/* fill: out y, any strides. */

typedef struct terni_arange_opts {
    double start, step;
} terni_arange_opts;
/* arange: out y 1-dim. */

/* where: in cond (bool), a, b; out y. Same shape; a, b, y one dtype. */

typedef struct terni_reduce_opts {
    uint32_t dims; /* bit d is set if dimension d is reduced */
    double scale;  /* sum only: the result is multiplied, in A, before it is rounded (floats) */
} terni_reduce_opts;
/* sum: in x any strides; out y contiguous, x's ndim, reduced dimensions of size 1. Float: x's dtype (A inside, pairwise
 * or better); y may also be of dtype A. Integer and bool x: y i64. max, min: likewise, x's dtype; NaN wins; at least
 * one element is reduced. argmax: one bit in dims; y i64; the first NaN, else the first of equals. */

typedef struct terni_dim_opts {
    int32_t dim;
} terni_dim_opts;
/* index_select: in x, index (1-dim i64 or i32); out y contiguous.
 * index_add:    in index, src; out y, contiguous and already filled: y[..., index[i], ...] += src[..., i, ...].
 * gather:       in x, index (x's ndim); out y contiguous, index's shape.
 * scatter_add:  in index, src (index's shape); out y, contiguous and already filled. Added in order of the index.
 * All fail with TERN_ERR_INDEX, "index 7 at position 3 is outside dimension 1 of size 5", before writing anything. */

/* matmul: in a [B..., M, K], b [B..., K, N], bias [N] or NULL; out y [B..., M, N] contiguous. Same ndim (2 to 8), batch
 *   dimensions broadcast by strides of 0. One float dtype. Any strides: unit row or column stride without a copy. K may
 * be 0. */

typedef struct terni_conv2d_opts {
    int64_t stride[2], pad[2], dilation[2], groups; /* all resolved */
} terni_conv2d_opts;
/* conv2d:             in x [N,C,H,W], w [O,C/g,kh,kw], b [O] or NULL; out y [N,O,H',W'].
 * conv2d_input_grad:  in gy [N,O,H',W'], w; out gx [N,C,H,W] (overwritten).
 * conv2d_weight_grad: in gy, x; out gw [O,C/g,kh,kw] (overwritten).
 *   All contiguous, one float dtype. */

typedef struct terni_pool2d_opts {
    int64_t kernel[2], stride[2], pad[2], dilation[2]; /* all resolved */
    bool exclude_pad;
} terni_pool2d_opts;
/* max_pool2d:      in x [N,C,H,W]; out y [N,C,H',W'], index [N,C,H',W'] i32: position h W + w of the maximum (the
 *   first; a NaN wins).
 * max_pool2d_grad: in gy, index; out gx [N,C,H,W] (overwritten): in each plane gx[index] += gy. No options.
 * avg_pool2d:      in x; out y. The divisor is the kernel's size, cut to the padded input as PyTorch does in ceil mode,
 *   or the count of real elements with exclude_pad. avg_pool2d_grad: in gy; out gx (overwritten).
 * All contiguous, one float dtype. */

typedef struct terni_batch_norm_opts {
    double momentum, eps;
} terni_batch_norm_opts;
/* batch_norm: training mode. in x [N,C,I] contiguous, weight [C], bias [C] or NULL; out y [N,C,I], mean [C] of dtype A,
 *   rstd [C] of dtype A, running_mean [C] or NULL, running_var [C] or NULL (both updated in place). weight, bias and
 *   running ones share one dtype, which is x's or f32. N I >= 2.
 * batch_norm_grad: in gy, x, weight or NULL, mean, rstd; out gx or NULL, gweight [C] or NULL, gbias [C] or NULL. */

typedef struct terni_layer_norm_opts {
    double eps;
} terni_layer_norm_opts;
/* layer_norm: in x [R,C] contiguous, weight [C], bias [C] or NULL (x's dtype or f32); out y [R,C], mean [R], rstd [R]
 * of dtype A. layer_norm_grad: in gy, x, weight or NULL, mean, rstd; out gx or NULL, gweight or NULL, gbias or NULL. */

/* softmax, log_softmax: in x [outer,C,inner] contiguous; out y. Over the middle dimension, stable, in A.
 * softmax_grad, log_softmax_grad: in gy, y; out gx. */

typedef struct terni_cross_entropy_opts {
    int32_t reduction; /* tern_reduction */
    double label_smoothing;
    int64_t ignore_index; /* -100 is ignored besides */
} terni_cross_entropy_opts;
/* cross_entropy: in logits [N,C,I] contiguous, target [N,I] contiguous i64 or i32; out loss (0-dim, or [N,I] for NONE)
 * of logits' dtype, lse [N,I] of dtype A (log of the sum of exponentials), count 0-dim of dtype A (targets not
 * ignored). Fails with TERN_ERR_INDEX: "target 12 at position 3 is outside [0, 10)". cross_entropy_grad: in gloss
 * (loss's shape, contiguous), logits, target, lse, count; out glogits. */

typedef struct terni_random_opts {
    uint64_t seed, position; /* block index of the first draw */
    double a, b;             /* uniform: lo, hi; normal: mean, std; dropout: p in a */
    double top;              /* uniform: the largest value below hi, or lo, of y's dtype */
} terni_random_opts;
/* uniform, normal, dropout: element i in row-major order uses words of the stream as core/philox.h says.
 *   uniform, normal: out y, any strides, float.
 *   dropout: in x, out y, same shape, any strides: y = kept ? x / (1 - p) : 0. */

typedef struct terni_sgd_opts {
    int32_t n;
    double lr, momentum, dampening, weight_decay;
    bool nesterov, first;
} terni_sgd_opts;
/* sgd_update: in n gradients (NULL: skip); out n parameters, then n momenta (NULL if momentum is 0). Tensors i are
 * alike, contiguous, float. */

typedef struct terni_adam_opts {
    int32_t n;
    double lr, beta1, beta2, eps, weight_decay;
    double correction1, correction2; /* 1 - beta^step */
    bool decoupled;
} terni_adam_opts;
/* adam_update: in n gradients (NULL: skip); out n parameters, n first moments, n second moments. As sgd_update. */

/* global_norm: in n views (NULL: skip), any float dtypes, contiguous; out y 0-dim, f32 or f64. Does not overflow where
 * the result does not. */

#ifdef __cplusplus
}
#endif
#endif
