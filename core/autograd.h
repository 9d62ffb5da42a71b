/* Reverse-mode differentiation: a tape of reference-counted nodes, written while ops run. */
#ifndef TERN_AUTOGRAD_H
#define TERN_AUTOGRAD_H

#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Asks for gradients of a leaf (a tensor that no recorded op made). Returns t.
 * Errors: TERN_ERR_DTYPE if t is not a float, TERN_ERR_AUTOGRAD if it is no leaf. */
TERN_API tern_tensor *tern_require_grad(tern_tensor *t, bool require);
/* True if t is such a leaf, or was computed from one. */
TERN_API bool tern_requires_grad(const tern_tensor *t);
/* True if no recorded op made t. */
TERN_API bool tern_is_leaf(const tern_tensor *t);

/* The gradient that tern_backward accumulated in the leaf t; NULL if there is none (no error). Owner: t; keep it to
 * have it longer. */
TERN_API tern_tensor *tern_grad_get(tern_tensor *t);
/* Replaces it; NULL drops it. Errors: TERN_ERR_SHAPE, TERN_ERR_DTYPE, TERN_ERR_DEVICE unless g is like t. */
TERN_API bool tern_grad_set(tern_tensor *t, tern_tensor *g);

typedef struct tern_backward_opts {
    bool retain_graph; /* keep what the tape saved, for another pass */
    /* Record the pass itself, for higher derivatives; implies retain_graph. A gradient that tern_backward accumulates
     * so leads back to its leaf: unless it is dropped (tern_grad_set) the two keep one another alive. */
    bool create_graph;
    bool allow_unused; /* tern_grad: NULL for an input that the output does not depend on, instead of an error */
} tern_backward_opts;

/* Adds d loss / d leaf to the gradient of every leaf that loss depends on. loss has one element.
 * Errors: TERN_ERR_AUTOGRAD (no graph, graph used up, a saved tensor changed in place), TERN_ERR_SHAPE. */
TERN_API bool tern_backward(tern_tensor *loss);
/* The same for any shape: seed is d(something) / d y, like y; NULL means ones for a y of one element. */
TERN_API bool tern_backward_from(tern_tensor *y, tern_tensor *seed, tern_backward_opts opts);
/* out[i] = d y / d x[i], like x[i], for n inputs; the leaves' own gradients are left alone. seed as above.
 * Owner of out[i]: the current scope. Errors: as tern_backward; TERN_ERR_AUTOGRAD for an input that y does not depend
 * on. */
TERN_API bool tern_grad(tern_tensor *y, tern_tensor *const *x, int n, tern_tensor *seed, tern_backward_opts opts,
                        tern_tensor **out);
/* Both for several outputs at once, in one pass: the gradients of the sum over i of sum(seed[i] y[i]). seed may be
 * NULL, as may its entries, for y of one element. Under allow_unused a y that depends on nothing is skipped. */
TERN_API bool tern_backwards(tern_tensor *const *y, tern_tensor *const *seed, int n, tern_backward_opts opts);
TERN_API bool tern_grads(tern_tensor *const *y, tern_tensor *const *seed, int n_y, tern_tensor *const *x, int n_x,
                         tern_backward_opts opts, tern_tensor **out);
/* A pass may run inside another (from a hook or a backward rule), over the same tensors too; what it uses of the outer
 * pass's graph stays for the outer one. Passes of several threads at once are safe where they share no node: a leaf
 * that another thread's pass is using is an error (TERN_ERR_AUTOGRAD), not a wrong sum. Contributions to f16 and bf16
 * gradients that meet in a pass are summed in f32 and rounded once. */

/* Recording on or off for the calling thread. Returns what it was, for restoring:
 *     bool was = tern_grad_mode(false); ... tern_grad_mode(was); */
TERN_API bool tern_grad_mode(bool record);
TERN_API bool tern_grad_mode_get(void);
/* Inference mode on or off for the calling thread: nothing is recorded, whatever the grad mode, and changes in place of
 * the tensors made in it are not counted. Those tensors cannot be saved for a gradient later, or be changed in place
 * outside; a clone made outside can. Returns what it was. */
TERN_API bool tern_inference_mode(bool on);
TERN_API bool tern_inference_mode_get(void);
/* True if t (or what it is a view of) was made in inference mode. */
TERN_API bool tern_is_inference(const tern_tensor *t);
/* t's values as a leaf without gradient; shares storage. Owner: the current scope. */
TERN_API tern_tensor *tern_detach(tern_tensor *t);

/* Called with the gradient that reaches t during a backward pass; what it returns goes on in its place (the same
 * tensor, another one like it, or NULL after an error). It must not change grad in place: others may hold it. */
typedef tern_tensor *(*tern_grad_hook)(tern_tensor *grad, void *user);
/* Adds a hook to t, which must require gradients; hooks run in the order of adding and live as long as t's graph.
 * Returns its number, or -1 on errors. */
TERN_API int tern_hook_add(tern_tensor *t, tern_grad_hook hook, void *user);
TERN_API bool tern_hook_remove(tern_tensor *t, int number);
/* Called after a pass of tern_backward has accumulated the leaf's gradient (tern_grad_get), so that it can be used at
 * once: clipped, averaged, applied and dropped. Returns false after an error, which stops the pass. */
typedef bool (*tern_leaf_hook)(tern_tensor *leaf, void *user);
/* Adds such a hook to a leaf that requires gradients. Returns its number, for tern_hook_remove, or -1 on errors. */
TERN_API int tern_hook_add_after(tern_tensor *leaf, tern_leaf_hook hook, void *user);

/* Anomaly mode on or off for the calling thread: a backward pass stops at the first NaN with TERN_ERR_AUTOGRAD, naming
 * the op whose rule made it, the input, and that input's name if it has one. Slow. Returns what it was. */
TERN_API bool tern_anomaly_mode(bool on);
TERN_API bool tern_anomaly_mode_get(void);

typedef enum tern_watch { TERN_WATCH_OFF = 0, TERN_WATCH_NAN, TERN_WATCH_NOT_FINITE } tern_watch;
/* The NaN watch of the calling thread: from now on the first op whose result, or backward rule whose gradient, holds a
 * NaN, or (TERN_WATCH_NOT_FINITE) a NaN or an infinity, fails with TERN_ERR_ARGUMENT. The message names the op, the
 * output or the input and its name if it has one (a parameter's, by its module), the element, and after how many
 * backward passes since the watch began; or the input that held it before any op. Ops appear as the tape knows them,
 * without their parts; changes in place show at the next op. Infinities that are meant (in masks) and scaled gradients
 * that overflow (tern/scaler.h) are not told from others. Costs a reduction and a wait for the device per op and
 * gradient, so nothing can be captured meanwhile; nothing when it is off. Returns what it was. */
TERN_API tern_watch tern_nan_watch(tern_watch what);
TERN_API tern_watch tern_nan_watch_get(void);

/* ---- differentiable functions ------------------------------------------------------------------------------- *
 * The built-in structured ops are made of this, and a user's own are too. */

typedef struct tern_ctx tern_ctx;

typedef struct tern_function {
    const char *name;
    int n_out;        /* outputs of forward, 1 to TERN_MAX_OUT */
    size_t opts_size; /* bytes of the options that tern_apply copies; 0 for none */
    /* Computes out[0 .. n_out) from in[0 .. n). Runs with recording and autocast off, inside a scope of its own. What
     * backward will need is handed to tern_ctx_save here. Returns false after an error. */
    bool (*forward)(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out);
    /* grad_in[i] = sum over outputs of grad_out[o] d out[o] / d in[i], for every i that tern_ctx_needs; leaving NULL
     * means zero. grad_out[o] is NULL where nothing depends on output o. To be differentiable again, written in public
     * ops. NULL for a function without gradient. Runs inside a scope of its own. */
    bool (*backward)(tern_ctx *ctx, tern_tensor *const *grad_out, tern_tensor **grad_in);
    /* Called once when the options are dropped; may be NULL. */
    void (*drop)(void *opts);
} tern_function;

#define TERN_MAX_OUT 4

/* Runs f and records it if recording is on and an input requires gradients. Inputs may be NULL where f allows it.
 * opts is copied. Owner of out[]: the current scope. Outputs of integer or bool dtype take no gradient. */
TERN_API bool tern_apply(const tern_function *f, tern_tensor *const *in, int n, const void *opts, tern_tensor **out);

/* The copied options. In forward they may be written to (a seed, a size that backward needs). */
TERN_API void *tern_ctx_opts(tern_ctx *ctx);
/* In forward: keeps t (an input, an output or another tensor; NULL too) for backward, in order of saving. */
TERN_API bool tern_ctx_save(tern_ctx *ctx, tern_tensor *t);
/* In backward: the i-th saved tensor. NULL after an error: changed in place since, or the graph was used up. */
TERN_API tern_tensor *tern_ctx_saved(tern_ctx *ctx, int i);
/* True if input i requires a gradient. In forward: if it will. */
TERN_API bool tern_ctx_needs(tern_ctx *ctx, int i);
/* Shape and dtype of input i. */
TERN_API tern_shape tern_ctx_shape(tern_ctx *ctx, int i);
TERN_API tern_dtype tern_ctx_dtype(tern_ctx *ctx, int i);
/* Number of inputs. */
TERN_API int tern_ctx_inputs(tern_ctx *ctx);

#ifdef __cplusplus
}
#endif
#endif
