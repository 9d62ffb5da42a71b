/* The ops. Unless its comment says otherwise, every op here
 *   - takes tensors of any strides, all on one device (a 0-dim CPU tensor may join tensors of another device),
 *   - returns a new tensor that belongs to the current scope, or NULL: an input was NULL, an error was pending, or the
 *     op failed and recorded TERN_ERR_SHAPE, TERN_ERR_DTYPE, TERN_ERR_DEVICE, TERN_ERR_MEMORY or what is named,
 *   - has a gradient for every float input, which can itself be differentiated,
 *   - is safe to call from several threads on different tensors.
 * Dimensions may be negative: -1 is the last. */
#ifndef TERN_OPS_H
#define TERN_OPS_H

#include "tern/autograd.h"
#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- elementwise, one input: rows of core/elementwise.def ------------------------------------------------------ *
 * Float dtypes; f16 and bf16 compute in f32; integer and bool input becomes f32 first. neg, abs, square and relu keep
 * integers. */

TERN_API tern_tensor *tern_neg(tern_tensor *x);        /* -x */
TERN_API tern_tensor *tern_abs(tern_tensor *x);        /* |x|; gradient 0 at 0 */
TERN_API tern_tensor *tern_sign(tern_tensor *x);       /* -1, 0 or 1; gradient 0 */
TERN_API tern_tensor *tern_sqrt(tern_tensor *x);       /* square root; NaN below 0 */
TERN_API tern_tensor *tern_rsqrt(tern_tensor *x);      /* 1 / sqrt(x) */
TERN_API tern_tensor *tern_square(tern_tensor *x);     /* x^2 */
TERN_API tern_tensor *tern_reciprocal(tern_tensor *x); /* 1 / x */
TERN_API tern_tensor *tern_exp(tern_tensor *x);        /* e^x */
TERN_API tern_tensor *tern_expm1(tern_tensor *x);      /* e^x - 1, exact near 0 */
TERN_API tern_tensor *tern_log(tern_tensor *x);        /* natural logarithm */
TERN_API tern_tensor *tern_log1p(tern_tensor *x);      /* log(1 + x), exact near 0 */
TERN_API tern_tensor *tern_sin(tern_tensor *x);        /* x in radians */
TERN_API tern_tensor *tern_cos(tern_tensor *x);        /* x in radians */
TERN_API tern_tensor *tern_tanh(tern_tensor *x);       /* hyperbolic tangent */
TERN_API tern_tensor *tern_sigmoid(tern_tensor *x);    /* 1 / (1 + e^-x) */
TERN_API tern_tensor *tern_relu(tern_tensor *x);       /* max(x, 0); gradient 0 at 0; NaN stays NaN */
TERN_API tern_tensor *tern_gelu(tern_tensor *x);       /* x Phi(x), by erf. Source: arXiv 1606.08415 */
TERN_API tern_tensor *tern_gelu_tanh(tern_tensor *x);  /* its tanh approximation, same source */
TERN_API tern_tensor *tern_silu(tern_tensor *x);       /* x sigmoid(x) */
TERN_API tern_tensor *tern_softplus(tern_tensor *x);   /* log(1 + e^x) */
TERN_API tern_tensor *tern_erf(tern_tensor *x);        /* error function */
/* x above 0, slope x else (0.01 is usual). */
TERN_API tern_tensor *tern_leaky_relu(tern_tensor *x, double slope);

/* ---- elementwise, two inputs, broadcast as in NumPy ------------------------------------------------------------ *
 * The result has the promoted dtype; arithmetic on two bools gives i64. */

TERN_API tern_tensor *tern_add(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_sub(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_mul(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_div(tern_tensor *a, tern_tensor *b);     /* true division: integers become f32 */
TERN_API tern_tensor *tern_pow(tern_tensor *a, tern_tensor *b);     /* a^b; integers become f32 */
TERN_API tern_tensor *tern_maximum(tern_tensor *a, tern_tensor *b); /* NaN wins; equal values share the gradient */
TERN_API tern_tensor *tern_minimum(tern_tensor *a, tern_tensor *b); /* NaN wins; equal values share the gradient */
/* Comparisons: bool, no gradient. */
TERN_API tern_tensor *tern_eq(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_ne(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_lt(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_le(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_gt(tern_tensor *a, tern_tensor *b);
TERN_API tern_tensor *tern_ge(tern_tensor *a, tern_tensor *b);
/* With a number, which takes x's dtype (f32 if x is an integer and the number is not). */
TERN_API tern_tensor *tern_add_scalar(tern_tensor *x, double s);
TERN_API tern_tensor *tern_sub_scalar(tern_tensor *x, double s);  /* x - s */
TERN_API tern_tensor *tern_rsub_scalar(tern_tensor *x, double s); /* s - x */
TERN_API tern_tensor *tern_mul_scalar(tern_tensor *x, double s);
TERN_API tern_tensor *tern_div_scalar(tern_tensor *x, double s);  /* x / s */
TERN_API tern_tensor *tern_rdiv_scalar(tern_tensor *x, double s); /* s / x */
TERN_API tern_tensor *tern_pow_scalar(tern_tensor *x, double s);  /* x^s */
/* min(max(x, lo), hi); gradient where lo <= x <= hi. */
TERN_API tern_tensor *tern_clamp(tern_tensor *x, double lo, double hi);

/* cond ? a : b, all three broadcast; cond is bool. Grad: a, b. */
TERN_API tern_tensor *tern_where(tern_tensor *cond, tern_tensor *a, tern_tensor *b);

/* ---- in place ---------------------------------------------------------------------------------------------------- *
 * The target keeps its shape and dtype, its version goes up, and t is returned (no new reference). While recording is
 * on, neither the target nor the operand may require gradients: TERN_ERR_AUTOGRAD. */

TERN_API tern_tensor *tern_add_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_sub_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_mul_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_div_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_mul_scalar_(tern_tensor *t, double s);
/* t += s b. b is broadcast to t. */
TERN_API tern_tensor *tern_add_scaled_(tern_tensor *t, double s, tern_tensor *b);
/* Copies b, broadcast and cast to t, into t; devices may differ. */
TERN_API tern_tensor *tern_copy_(tern_tensor *t, tern_tensor *b);
TERN_API tern_tensor *tern_fill_(tern_tensor *t, double value);
TERN_API tern_tensor *tern_zero_(tern_tensor *t);

/* ---- shape ------------------------------------------------------------------------------------------------------- *
 * These return views that share x's storage, except where a copy is said. */

/* Same elements in another shape; one size may be -1. A view if the strides allow it, else a copy. */
TERN_API tern_tensor *tern_reshape(tern_tensor *x, tern_shape shape);
/* Dimensions start .. end (both included) become one. */
TERN_API tern_tensor *tern_flatten(tern_tensor *x, int start, int end);
/* Dimension i of the result is dimension dims[i] of x; n = x's ndim. */
TERN_API tern_tensor *tern_permute(tern_tensor *x, const int *dims, int n);
TERN_API tern_tensor *tern_transpose(tern_tensor *x, int dim0, int dim1);
/* Drops dimension dim, which must have size 1; inserts one of size 1 before dim. */
TERN_API tern_tensor *tern_squeeze(tern_tensor *x, int dim);
TERN_API tern_tensor *tern_unsqueeze(tern_tensor *x, int dim);
/* Broadcasts to a larger shape with strides of 0; a size of -1 keeps x's. */
TERN_API tern_tensor *tern_expand(tern_tensor *x, tern_shape shape);
/* Indices start, start + step, ... below end of a dimension; negative ones count from the end, and both are clamped as
 * in Python. step >= 1. INT64_MAX as end is the whole rest. */
TERN_API tern_tensor *tern_slice(tern_tensor *x, int dim, int64_t start, int64_t end, int64_t step);
/* Index i of dimension dim, which goes. Errors: TERN_ERR_INDEX. */
TERN_API tern_tensor *tern_select(tern_tensor *x, int dim, int64_t i);
/* Joins n tensors of one dtype along a dimension, or along a new one. Copies. */
TERN_API tern_tensor *tern_cat(tern_tensor *const *x, int n, int dim);
TERN_API tern_tensor *tern_stack(tern_tensor *const *x, int n, int dim);
/* x itself if it is contiguous, else a copy. */
TERN_API tern_tensor *tern_contiguous(tern_tensor *x);
/* Always a contiguous copy. */
TERN_API tern_tensor *tern_clone(tern_tensor *x);

/* ---- index ------------------------------------------------------------------------------------------------------- *
 * Indices are i64 or i32 and lie in [0, size): TERN_ERR_INDEX names the first that does not. On the GPU an index
 * outside is reported by the next synchronising call. */

/* Rows of dimension dim: out[..., i, ...] = x[..., index[i], ...]. index is 1-dim. */
TERN_API tern_tensor *tern_index_select(tern_tensor *x, int dim, tern_tensor *index);
/* A copy of x with src[..., i, ...] added at [..., index[i], ...]; repeated indices add up. Grad: x, src. */
TERN_API tern_tensor *tern_index_add(tern_tensor *x, int dim, tern_tensor *index, tern_tensor *src);
/* out[i][j][k] = x[i][index[i][j][k]][k] for dim = 1, and so on; index has x's ndim and is no larger than x in the
 * other dimensions. */
TERN_API tern_tensor *tern_gather(tern_tensor *x, int dim, tern_tensor *index);
/* A copy of x with src added where gather would have read. Grad: x, src. */
TERN_API tern_tensor *tern_scatter_add(tern_tensor *x, int dim, tern_tensor *index, tern_tensor *src);

/* ---- reductions --------------------------------------------------------------------------------------------------- *
 * Over n dimensions dims; n = 0 means all of them. f16 and bf16 accumulate in f32; sums are pairwise or better. */

/* Integers and bools sum in i64. An empty sum is 0. */
TERN_API tern_tensor *tern_sum(tern_tensor *x, const int *dims, int n, bool keepdim);
/* Floats only. An empty mean is NaN. */
TERN_API tern_tensor *tern_mean(tern_tensor *x, const int *dims, int n, bool keepdim);
/* NaN wins; equal values share the gradient. Errors: TERN_ERR_SHAPE over no elements. */
TERN_API tern_tensor *tern_max(tern_tensor *x, const int *dims, int n, bool keepdim);
TERN_API tern_tensor *tern_min(tern_tensor *x, const int *dims, int n, bool keepdim);
/* i64 index of the largest (the first NaN, else the first of equals) along dim. No gradient. */
TERN_API tern_tensor *tern_argmax(tern_tensor *x, int dim, bool keepdim);
/* Sums x down to a shape that broadcasts to x's: the adjoint of expand. */
TERN_API tern_tensor *tern_sum_to(tern_tensor *x, tern_shape shape);

/* ---- matrix products ----------------------------------------------------------------------------------------------
 */

/* a [..., M, K] x b [..., K, N] -> [..., M, N]; leading dimensions broadcast; a 1-dim a is a row, a 1-dim b a column,
 * and that dimension goes, as in NumPy. Transposed views are not copied. Float dtypes, both alike; f16 and bf16
 * accumulate in f32. */
TERN_API tern_tensor *tern_matmul(tern_tensor *a, tern_tensor *b);
/* x [..., I] w [O, I] b [O] or NULL -> x w^T + b [..., O]. Grad: x, w, b. */
TERN_API tern_tensor *tern_linear(tern_tensor *x, tern_tensor *w, tern_tensor *b);

/* ---- convolution and pooling ---------------------------------------------------------------------------------------
 * * Pairs are {height, width}; a zero in width means "as height". */

typedef struct tern_conv2d_opts {
    int64_t stride[2];   /* 1 if zero */
    int64_t pad[2];      /* zeros at each side */
    int64_t dilation[2]; /* 1 if zero */
    int64_t groups;      /* 1 if zero */
    bool no_bias;        /* the module only */
} tern_conv2d_opts;

/* 2-D convolution (cross-correlation).
 *   x [N, C, H, W]   w [O, C/groups, kh, kw]   b [O] or NULL
 *   returns [N, O, H', W'],  H' = (H + 2 pad - dilation (kh - 1) - 1) / stride + 1
 * Types: f64 f32 f16 bf16, all alike. Grad: x, w, b. Source: Dumoulin and Visin, arXiv 1603.07285.
 * pad {0, 0} is no padding; to pad the height alone is not expressible with a zero width: pad with {p, -1}, where -1 is
 * an explicit 0. */
TERN_API tern_tensor *tern_conv2d(tern_tensor *x, tern_tensor *w, tern_tensor *b, tern_conv2d_opts opts);

typedef struct tern_pool2d_opts {
    int64_t stride[2];   /* the kernel's size if zero */
    int64_t pad[2];      /* at most half the kernel; an explicit 0 width is -1 */
    int64_t dilation[2]; /* max_pool2d only; 1 if zero */
    bool ceil_mode;      /* rounds the output size up, as PyTorch does */
    bool exclude_pad;    /* avg_pool2d: divides by the real elements instead of the kernel's size */
} tern_pool2d_opts;

/* Maximum over kernel windows; padding never wins; NaN does. x [N, C, H, W] -> [N, C, H', W']. kernel {kh, kw}, kw 0
 * means kh. */
TERN_API tern_tensor *tern_max_pool2d(tern_tensor *x, const int64_t kernel[2], tern_pool2d_opts opts);
TERN_API tern_tensor *tern_avg_pool2d(tern_tensor *x, const int64_t kernel[2], tern_pool2d_opts opts);

/* ---- normalisation
 * --------------------------------------------------------------------------------------------------- */

typedef struct tern_batch_norm_opts {
    double momentum; /* 0.1 if zero; running = (1 - momentum) running + momentum batch */
    double eps;      /* 1e-5 if zero */
    bool training;   /* batch statistics, and the running ones are updated; else the running ones are used */
} tern_batch_norm_opts;

/* Normalises each channel: x [N, C, ...], weight and bias [C] or NULL; running_mean and running_var [C], both or
 * neither (training only, then). The running variance takes the unbiased one. f16 and bf16 x may come with f32 weights
 * and statistics. Grad: x, weight, bias. Source: Ioffe and Szegedy, arXiv 1502.03167. */
TERN_API tern_tensor *tern_batch_norm(tern_tensor *x, tern_tensor *weight, tern_tensor *bias, tern_tensor *running_mean,
                                      tern_tensor *running_var, tern_batch_norm_opts opts);
/* Normalises over the last n_dims dimensions (biased variance); weight and bias have their shape, or are NULL. eps 0
 * means 1e-5. Grad: x, weight, bias. Source: Ba, Kiros and Hinton, arXiv 1607.06450. */
TERN_API tern_tensor *tern_layer_norm(tern_tensor *x, int n_dims, tern_tensor *weight, tern_tensor *bias, double eps);

/* ---- softmax, losses, dropout
 * ------------------------------------------------------------------------------------------ */

/* exp(x) / sum(exp(x)) over dim, and its logarithm; stable. Floats; x's shape and dtype. Grad: x. */
TERN_API tern_tensor *tern_softmax(tern_tensor *x, int dim);
TERN_API tern_tensor *tern_log_softmax(tern_tensor *x, int dim);

typedef enum tern_reduction { TERN_REDUCE_MEAN = 0, TERN_REDUCE_SUM, TERN_REDUCE_NONE } tern_reduction;

typedef struct tern_cross_entropy_opts {
    tern_reduction reduction;
    double label_smoothing; /* in [0, 1] */
    bool has_ignore_index;
    int64_t ignore_index; /* such targets count for nothing; -100 always does */
} tern_cross_entropy_opts;

/* Cross entropy of class scores: logits [N, C, ...] float, target [N, ...] i64 or i32 in [0, C) -> 0-dim, or target's
 * shape with TERN_REDUCE_NONE. The mean is over the targets that are not ignored (NaN if all are). Errors:
 * TERN_ERR_INDEX for a target outside. Grad: logits. */
TERN_API tern_tensor *tern_cross_entropy(tern_tensor *logits, tern_tensor *target, tern_cross_entropy_opts opts);
/* (a - b)^2, reduced. a and b broadcast. */
TERN_API tern_tensor *tern_mse_loss(tern_tensor *a, tern_tensor *b, tern_reduction reduction);
/* Zeroes each element with probability p, scales the others by 1 / (1 - p); draws from the program's stream. x itself
 * if p is 0. Whether to call it at all (training or not) is the caller's. Errors: TERN_ERR_ARGUMENT unless 0 <= p <= 1.
 */
TERN_API tern_tensor *tern_dropout(tern_tensor *x, double p);

/* ---- fused parameter updates, for optimizers
 * ------------------------------------------------------------------------------ * Each updates n tensors in one call,
 * in place, outside of autograd. grad[i] may be NULL: that tensor is left alone. All arrays hold tensors like param[i];
 * the step's factors are computed in double. */

typedef struct tern_sgd_update_opts {
    double lr, momentum, dampening, weight_decay;
    bool nesterov;
    bool first; /* no momentum buffer yet: it starts as the gradient */
} tern_sgd_update_opts;
/* momentum[i] may be NULL if opts.momentum is 0. Source: Sutskever et al., ICML 2013, in PyTorch's form. */
TERN_API bool tern_sgd_update(tern_tensor *const *param, tern_tensor *const *grad, tern_tensor *const *momentum, int n,
                              tern_sgd_update_opts opts);

typedef struct tern_adam_update_opts {
    double lr, beta1, beta2, eps, weight_decay;
    bool decoupled; /* AdamW: decay the parameter, not through the gradient */
    int64_t step;   /* 1 at the first update */
} tern_adam_update_opts;
/* Source: Kingma and Ba, arXiv 1412.6980; decoupled: Loshchilov and Hutter, arXiv 1711.05101. */
TERN_API bool tern_adam_update(tern_tensor *const *param, tern_tensor *const *grad, tern_tensor *const *m,
                               tern_tensor *const *v, int n, tern_adam_update_opts opts);
/* Euclidean norm of all elements of n tensors together (NULL entries are skipped), 0-dim, f32 (f64 if one is). No
 * gradient. */
TERN_API tern_tensor *tern_global_norm(tern_tensor *const *x, int n);

#ifdef __cplusplus
}
#endif
#endif
