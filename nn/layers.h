/* Layers with parameters, dropout and the initialisers; with activations.h and spatial.h, which it includes, what most
 * networks are made of. Each _new returns a module for the caller to free (or to hand to a parent),
 * NULL on errors; parameters are f32 on the CPU, initialised as PyTorch does unless said otherwise. */
#ifndef TERN_LAYERS_H
#define TERN_LAYERS_H

#include "tern/activations.h"
#include "tern/module.h"
#include "tern/spatial.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- affine ------------------------------------------------------------------------------------------------------ */

typedef struct tern_linear_opts {
    bool no_bias;
} tern_linear_opts;
/* [..., in] -> [..., out]. weight [out, in], bias [out]: uniform within 1/sqrt(in). */
TERN_API tern_module *tern_linear_new(int64_t in, int64_t out, tern_linear_opts opts);
/* [..., in1] and [..., in2], alike in front -> [..., out]: x1^T weight[o] x2 + bias[o]. weight [out, in1, in2], bias
 * [out]: uniform within 1/sqrt(in1). Its forward is tern_bilinear_forward. */
TERN_API tern_module *tern_bilinear_new(int64_t in1, int64_t in2, int64_t out, tern_linear_opts opts);
/* Grad: x1, x2, the parameters. Errors: TERN_ERR_SHAPE; TERN_ERR_ARGUMENT for another module. */
TERN_API tern_tensor *tern_bilinear_forward(tern_module *m, tern_tensor *x1, tern_tensor *x2);

/* ---- convolutions: options as the op of the same name takes them -------------------------------------------------- *
 * [N, in, ...] -> [N, out, ...], also without N. weight [out, in/groups, kernel...], of the transposed ones
 * [in, out/groups, kernel...]; bias [out]. kernel: the same on every axis; the rect forms take one for each, a 0 beyond
 * the first meaning "as the one before". Padding with other than zeros is a tern_pad_new before. */
TERN_API tern_module *tern_conv1d_new(int64_t in, int64_t out, int64_t kernel, tern_conv1d_opts opts);
TERN_API tern_module *tern_conv2d_new(int64_t in, int64_t out, int64_t kernel, tern_conv2d_opts opts);
TERN_API tern_module *tern_conv3d_new(int64_t in, int64_t out, int64_t kernel, tern_conv3d_opts opts);
TERN_API tern_module *tern_conv2d_rect_new(int64_t in, int64_t out, const int64_t kernel[2], tern_conv2d_opts opts);
TERN_API tern_module *tern_conv3d_rect_new(int64_t in, int64_t out, const int64_t kernel[3], tern_conv3d_opts opts);
TERN_API tern_module *tern_conv_transpose1d_new(int64_t in, int64_t out, int64_t kernel,
                                                tern_conv_transpose1d_opts opts);
TERN_API tern_module *tern_conv_transpose2d_new(int64_t in, int64_t out, int64_t kernel,
                                                tern_conv_transpose2d_opts opts);
TERN_API tern_module *tern_conv_transpose3d_new(int64_t in, int64_t out, int64_t kernel,
                                                tern_conv_transpose3d_opts opts);
TERN_API tern_module *tern_conv_transpose2d_rect_new(int64_t in, int64_t out, const int64_t kernel[2],
                                                     tern_conv_transpose2d_opts opts);
TERN_API tern_module *tern_conv_transpose3d_rect_new(int64_t in, int64_t out, const int64_t kernel[3],
                                                     tern_conv_transpose3d_opts opts);

/* The groups of a convolution, transposed or not; -1 where m is none. */
TERN_API int64_t tern_conv_groups(const tern_module *m);

/* ---- normalisation ----------------------------------------------------------------------------------------------- */

typedef struct tern_norm_opts {
    double eps;      /* 1e-5 if zero; rms_norm: the machine epsilon of x's dtype */
    double momentum; /* batch_norm, instance_norm: 0.1 if zero */
    bool no_affine;  /* no weight and bias */
    bool no_bias;    /* layer_norm: a weight alone */
    bool no_running; /* batch_norm: batch statistics in evaluation too */
    bool affine;     /* instance_norm: with weight and bias, which it has not else, as in PyTorch */
    bool running;    /* instance_norm: with running statistics, used in evaluation */
} tern_norm_opts;
/* [N, C, ...]. weight ones, bias zeros [C]; buffers running_mean, running_var [C], num_batches_tracked (i64). */
TERN_API tern_module *tern_batch_norm_new(int64_t channels, tern_norm_opts opts);
/* What a batch weighs in the running statistics; -1 where m is no batch_norm that keeps any. Setting it takes what is
 * within [0, 1]; errors: TERN_ERR_ARGUMENT. */
TERN_API double tern_batch_norm_momentum(const tern_module *m);
TERN_API bool tern_batch_norm_set_momentum(tern_module *m, double momentum);
/* Each channel of each sample, [N, C, one dimension or more]. Parameters and buffers as batch_norm's, if asked for. */
TERN_API tern_module *tern_instance_norm_new(int64_t channels, tern_norm_opts opts);
/* Each of `groups` groups of channels of each sample, [N, C, ...]. weight ones, bias zeros [C]. */
TERN_API tern_module *tern_group_norm_new(int64_t groups, int64_t channels, tern_norm_opts opts);
/* Over the last dimensions, of the given shape. weight ones, bias zeros. */
TERN_API tern_module *tern_layer_norm_new(tern_shape shape, tern_norm_opts opts);
/* The same without mean and bias. weight ones. */
TERN_API tern_module *tern_rms_norm_new(tern_shape shape, tern_norm_opts opts);
/* tern_local_response_norm over `size` channels. */
TERN_API tern_module *tern_local_response_norm_new(int64_t size, tern_local_response_norm_opts opts);

/* ---- embedding --------------------------------------------------------------------------------------------------- */

/* Indices [...] i64 or i32 -> [..., dims]. weight [rows, dims]: normal of variance 1, zeros in the row of padding. */
TERN_API tern_module *tern_embedding_new(int64_t rows, int64_t dims, tern_embedding_opts opts);
/* Bags of indices [B, N] -> [B, dims], each a bag. weight as above. opts.weights is not for the module: see
 * tern_embedding_bag_forward. */
TERN_API tern_module *tern_embedding_bag_new(int64_t rows, int64_t dims, tern_embedding_bag_opts opts);
/* The same with offsets, or NULL, and a factor for each index, or NULL, as tern_embedding_bag takes them. Grad: weight,
 * weights. Errors: those of tern_embedding_bag; TERN_ERR_ARGUMENT for another module. */
TERN_API tern_tensor *tern_embedding_bag_forward(tern_module *m, tern_tensor *index, tern_tensor *offsets,
                                                 tern_tensor *weights);

/* ---- dropout: in training only; passes x through in evaluation -----------------------------------------------------
 */

/* Elements; whole channels of [N, C, ...]; and the forms for SELU networks: see the ops in norm.h. 0 <= p <= 1. */
TERN_API tern_module *tern_dropout_new(double p);
TERN_API tern_module *tern_dropout1d_new(double p);
TERN_API tern_module *tern_dropout2d_new(double p);
TERN_API tern_module *tern_dropout3d_new(double p);
TERN_API tern_module *tern_alpha_dropout_new(double p);
TERN_API tern_module *tern_feature_alpha_dropout_new(double p);

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
