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

/* A model as a module that runs its nodes. Its float initializers of one dimension or more are parameters, under their
 * names as far as a module's names allow (of "/", ":" and what is empty there is "_"; the parts between dots are
 * children); running statistics and the other numbers of floats are buffers. Inputs and outputs are the graph's, in its
 * order. All that a node needs is checked here: an op, an attribute or an opset that is not known is an error that
 * names the node, its type and the attribute. Sizes are checked against the file before anything is allocated. To be
 * freed by tern_module_free. NULL on errors: TERN_ERR_IO, TERN_ERR_FORMAT (no such model, a damaged one),
 * TERN_ERR_UNSUPPORTED (ops, attributes, dtypes, opset below 6 or above 28, control flow, functions, external data). */
TERN_API tern_module *tern_onnx_load(const char *path);
/* Runs such a module: x[0 .. n_x) as the graph's inputs (initializers among them are left out), y[0 .. n_y) as its
 * first outputs. tern_forward does it for one input and one output. Dropout and batch normalisation work as in
 * evaluation. Gradients: of all inputs and parameters, where the ops have them. False after an error, which names the
 * node. Errors: TERN_ERR_ARGUMENT for another number of inputs, or a module that is no such model; those of the ops. */
TERN_API bool tern_onnx_run(tern_module *m, tern_tensor *const *x, int n_x, tern_tensor **y, int n_y);
/* How many the graph has, and their names; 0 and NULL for what is no such module (no error). Owner of the name: m. */
TERN_API int tern_onnx_inputs(const tern_module *m);
TERN_API int tern_onnx_outputs(const tern_module *m);
TERN_API const char *tern_onnx_input_name(const tern_module *m, int i);
TERN_API const char *tern_onnx_output_name(const tern_module *m, int i);

#ifdef __cplusplus
}
#endif
#endif
