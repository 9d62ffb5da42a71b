/* ONNX (Open Neural Network Exchange): models to and from other frameworks.
 *
 *     tern_onnx_export("net.onnx", net, &x, 1, (tern_onnx_opts){.dynamic_batch = true});
 *     tern_module *m = tern_onnx_load("other.onnx");
 *
 * Source: github.com/onnx/onnx, docs/IR.md, docs/Operators.md and onnx/onnx.proto. */
#ifndef TERN_ONNX_H
#define TERN_ONNX_H

#include "tern/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A module's forward with any number of inputs and outputs: writes y[0 .. n_y); false after an error. */
typedef bool (*tern_onnx_forward)(tern_module *m, tern_tensor *const *x, int n_x, tern_tensor **y, int n_y, void *user);

typedef struct tern_onnx_opts {
    /* The first dimension of every input and output may be any size, instead of the examples'. The module is run a
     * second time, with one row more, to see where the size goes. */
    bool dynamic_batch;
    tern_onnx_forward forward; /* NULL: the module's own, one input and one output */
    void *user;                /* for forward */
    int outputs;               /* that forward has; 0: one */
    const char *const *input_names, *const
                                        *output_names; /* NULL: "input", or "input_0", "input_1"; "output" likewise */
} tern_onnx_opts;

/* Writes what m computes in evaluation mode (m's mode is left as it was) as a model of opset 18: m is run on the
 * examples x[0 .. n), without autocast and under a trace (tern/trace.h), so that branches in it are those that the
 * examples take. Parameters and buffers are initializers under their full names. Sizes other than the batch's are the
 * examples'. Replaces the file as a whole. Errors: TERN_ERR_UNSUPPORTED for an op that has no form in ONNX, naming it,
 * for what a trace cannot see, for a batch size that the model does not follow, and for more than 2 GB; what the
 * module's forward records; TERN_ERR_IO. */
TERN_API bool tern_onnx_export(const char *path, tern_module *m, tern_tensor *const *x, int n, tern_onnx_opts opts);

#ifdef __cplusplus
}
#endif
#endif
