/* Weights of Keras: the files of Keras 3 (model.save_weights("x.weights.h5")) and the older ones ("x.h5", as weights or
 * as a whole model), read into a module and written from one.
 *
 *     tern_keras_load("x.weights.h5", net, (tern_keras_opts){0});
 *
 * Only weights travel. The module is the program's, with the same layers in the same order, and so are its settings:
 * Keras's BatchNormalization and LayerNormalization have an eps of 1e-3 where Tern has 1e-5, its padding "same" differs
 * for strides above 1, and its LSTM and GRU take [N, T, ...] (.batch_first).
 *
 *     linear                        Dense                               [in, out]
 *     conv1d, conv2d, conv3d        Conv1D, Conv2D, Conv3D              [kernel..., in / groups, out]
 *       of as many groups as inputs   DepthwiseConv1D, DepthwiseConv2D  [kernel..., in, out / in]; or ConvND
 *     conv_transpose1d, 2d, 3d      Conv1DTranspose, ...                [kernel..., out, in]; no groups
 *     sequential of two convolutions  SeparableConv1D, SeparableConv2D  one of each input channel, without a bias, then
 *                                                                       one with kernel 1; saved so if .names says it
 *     batch_norm                    BatchNormalization                  of scale and center one alone: .norms
 *     layer_norm, rms_norm          LayerNormalization, RMSNormalization
 *     group_norm, instance_norm     GroupNormalization                  the latter without running statistics
 *     embedding                     Embedding
 *     prelu                         PReLU                               a slope for each channel; written as [channels]
 *     rnn, lstm, gru; their cells   SimpleRNN, LSTM, GRU (reset_after)  a layer of Keras's for each of Tern's layers
 *       bidirectional                 Bidirectional
 *     multihead_attention           MultiHeadAttention                  heads that fill dims; no kv_heads
 *
 * A GRU with reset_after=False computes something else than Tern's gru: it is refused where it has a bias, and cannot
 * be told from the other where it has none. An lstm's or rnn's two biases become their sum; loading puts it into
 * bias_ih and zeros into bias_hh. Buffers that Keras has not (num_batches_tracked) are left as they are. What has
 * parameters and is none of these is an error, on either side, and so is a mismatch: nothing is left out. Of files, an
 * optimizer's state and the state of random generators are not read.
 *
 * Which layer is which. The older files have an order: it is compared with the order of the module's tree. The new ones
 * have names only, by kind ("layers/dense", "layers/dense_1"), in Keras's order of layers: the tree is walked, and the
 * second linear is dense_1. A child whose name is that of a group (an attribute of a subclassed keras.Model) is that
 * group. A sequential within is a group "sequential" if the file has one; other containers' layers, and those of a
 * sequential for which there is none, belong to what they stand in. Keras counts a sequential without weights too.
 * Where that does not suit, .names says which is which; so it must where of two equal pairs of convolutions Keras has
 * one as a SeparableConv2D and the other as two layers, and in the older files for the layers within such a pair
 * ("1.0"). Same shapes in another order cannot be noticed: compare outputs once.
 *
 * Keras flattens [H, W, C], Tern [C, H, W]. A linear behind a flatten (or a reshape in front of a convolution) has its
 * weights in another order, which .orders tells; where it looks like one and nothing is told, that is an error.
 *
 * Files are of unknown origin: a process of its own reads them. Source: keras.io, saving_lib.py and legacy_h5_format.py
 * of Keras 3. */
#ifndef TERN_KERAS_H
#define TERN_KERAS_H

#include "tern/module.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tern_keras_format {
    TERN_KERAS_AUTO = 0, /* loading: what the file is; saving: by the path, as Keras does it: .weights.h5 is the new */
    TERN_KERAS_3,
    TERN_KERAS_LEGACY
} tern_keras_format;

typedef struct tern_keras_name {
    const char *module; /* full name in the tree: "features.3"; a container too, in new files */
    const char *layer;  /* new files: the group ("layers/conv2d_1"); older ones: the layer ("conv2d_1"), or for one
                           within another the front of its weights' names ("model/conv2d_1") */
} tern_keras_name;

typedef struct tern_keras_order {
    const char *module; /* full name of a linear, norm or prelu that works on flattened positions */
    int64_t in, out;    /* channels of what was flattened in front of it; of what its output is reshaped to. 0: nothing
                           of the kind; 1: it is, but has the same order on both sides. Of a norm or prelu: either */
} tern_keras_order;

typedef struct tern_keras_norm {
    const char *module; /* full name of a batch_norm, layer_norm, group_norm or instance_norm */
    bool no_scale;      /* Keras's has scale=False: loading makes the weight ones, saving refuses another */
    bool no_center;     /* Keras's has center=False: likewise the bias, of zeros. (Both: .no_affine of the layer's own
                           settings.) */
} tern_keras_norm;

typedef struct tern_keras_opts {
    tern_keras_format format;
    const tern_keras_name *names;
    int n_names;
    const tern_keras_order *orders;
    int n_orders;
    const tern_keras_norm *norms;
    int n_norms;
    bool channels_first; /* the model of Keras's has data_format="channels_first": .orders need not be told */
    bool flat;           /* saving: a sequential within is no group of its own */
    bool not_strict;     /* loading: layers may be missing or unexpected; what is in both is loaded */
    int seconds;         /* loading: without a word from the process that reads; 600 if zero */
} tern_keras_opts;
/* Reads path into m. All is read and compared first: on failure nothing was changed, but where memory runs out while
 * the values go in some have. dtypes and devices may differ (rounded as by tern_cast). Errors: TERN_ERR_IO;
 * TERN_ERR_FORMAT for what is no such file or a damaged one; TERN_ERR_SHAPE, listing the missing, unexpected and
 * mis-shaped layers with both names; TERN_ERR_UNSUPPORTED for modules that Keras has no layer for; TERN_ERR_ARGUMENT
 * for names that m has not, and for an order that is to be told.
 */
TERN_API bool tern_keras_load(const char *path, tern_module *m, tern_keras_opts opts);
/* Writes m's weights as f32 (f64 as f64), for load_weights of a model with the same layers. Replaces the file as a
 * whole; costs twice its size in memory. Errors: TERN_ERR_IO, TERN_ERR_UNSUPPORTED, TERN_ERR_ARGUMENT. */
TERN_API bool tern_keras_save(const char *path, tern_module *m, tern_keras_opts opts);

#ifdef __cplusplus
}
#endif
#endif
