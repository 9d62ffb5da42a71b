/* The bundled layers and the initialisers. Each _new returns a module for the caller to free (or to hand to a parent),
 * NULL on errors; parameters are f32 on the CPU, initialised as PyTorch does unless said otherwise. */
#ifndef TERN_LAYERS_H
#define TERN_LAYERS_H

#include "tern/module.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_linear_opts {
    bool no_bias;
} tern_linear_opts;
/* [..., in] -> [..., out]. weight [out, in], bias [out]: uniform within 1/sqrt(in). */
TERN_API tern_module *tern_linear_new(int64_t in, int64_t out, tern_linear_opts opts);
/* [N, in, H, W] -> [N, out, H', W']; square kernel; see tern_conv2d for the options. weight [out, in/groups, k, k],
 * bias [out]. */
TERN_API tern_module *tern_conv2d_new(int64_t in, int64_t out, int64_t kernel, tern_conv2d_opts opts);
/* The same with kernel {height, width}. */
TERN_API tern_module *tern_conv2d_rect_new(int64_t in, int64_t out, const int64_t kernel[2], tern_conv2d_opts opts);
TERN_API tern_module *tern_max_pool2d_new(int64_t kernel, tern_pool2d_opts opts);
TERN_API tern_module *tern_avg_pool2d_new(int64_t kernel, tern_pool2d_opts opts);

typedef struct tern_norm_opts {
    double eps;      /* 1e-5 if zero */
    double momentum; /* batch_norm: 0.1 if zero */
    bool no_affine;  /* no weight and bias */
    bool no_running; /* batch_norm: batch statistics in evaluation too */
} tern_norm_opts;
/* [N, C, ...]. weight ones, bias zeros [C]; buffers running_mean, running_var [C], num_batches_tracked (i64). */
TERN_API tern_module *tern_batch_norm_new(int64_t channels, tern_norm_opts opts);
/* Over the last dimensions, of the given shape. weight ones, bias zeros. */
TERN_API tern_module *tern_layer_norm_new(tern_shape shape, tern_norm_opts opts);
/* Drops with probability p in training mode; passes x through in evaluation mode. */
TERN_API tern_module *tern_dropout_new(double p);
/* [N, ...] -> [N, everything else]. */
TERN_API tern_module *tern_flatten_new(void);

/* Activations: the op of the same name in ops.h as a module, without parameters. */
TERN_API tern_module *tern_relu_new(void);
TERN_API tern_module *tern_leaky_relu_new(double slope);
TERN_API tern_module *tern_gelu_new(bool tanh_form);
TERN_API tern_module *tern_silu_new(void);
TERN_API tern_module *tern_sigmoid_new(void);
TERN_API tern_module *tern_tanh_new(void);
TERN_API tern_module *tern_softplus_new(void);
TERN_API tern_module *tern_softmax_new(int dim);
/* Any op of one tensor as a module: tern_op_new(tern_exp, "exp"). */
TERN_API tern_module *tern_op_new(tern_tensor *(*op)(tern_tensor *), const char *type);

/* ---- initialisers ------------------------------------------------------------------------------------------------ */
/* In place, outside of autograd, drawn from the program's random stream; false on errors. fan_in and fan_out are those
 * of a weight [out, in, kernel...]; what uses them needs 2 or more dimensions. */

typedef enum tern_fan { TERN_FAN_IN = 0, TERN_FAN_OUT } tern_fan;

/* Every element 0, 1 or value; uniform in [lo, hi); normal. Any shape. */
TERN_API bool tern_init_zeros(tern_tensor *t);
TERN_API bool tern_init_ones(tern_tensor *t);
TERN_API bool tern_init_constant(tern_tensor *t, double value);
TERN_API bool tern_init_uniform(tern_tensor *t, double lo, double hi);
TERN_API bool tern_init_normal(tern_tensor *t, double mean, double std);
/* Source: Glorot and Bengio, AISTATS 2010. */
TERN_API bool tern_init_xavier_uniform(tern_tensor *t, double gain);
TERN_API bool tern_init_xavier_normal(tern_tensor *t, double gain);
/* For leaky_relu of the given negative slope (0 for relu). Source: He et al., arXiv 1502.01852. */
TERN_API bool tern_init_kaiming_uniform(tern_tensor *t, double slope, tern_fan fan);
TERN_API bool tern_init_kaiming_normal(tern_tensor *t, double slope, tern_fan fan);

#ifdef __cplusplus
}
#endif
#endif
