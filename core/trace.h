/* Traces: the list of the ops that a thread runs on some tensors, for tools that write a program down in another form
 * (tern_onnx_export is one).
 *
 *     tern_tracer *t = tern_tracer_begin();
 *     tern_tracer_follow(t, x);                                   (and the parameters, if they are to stay apart)
 *     tern_tensor *y = tern_forward(net, x);
 *     bool ok = tern_tracer_end(t);
 *     tern_traced op;
 *     for (int64_t i = 0; ok && tern_tracer_at(t, i, &op); i++) ... op.op, op.in, op.out, tern_traced_ints(&op,
 * "stride", ...) tern_tracer_free(t);
 *
 * Listed is what depends on a followed tensor; what is computed from others alone is a constant, whose value is there.
 * An op appears as the tape knows it: ops made of others appear as those, views as "reshape", "permute", "expand" and
 * "slice". What depends on a followed tensor in a way that the list would not show is an error, at once: a change in
 * place, a value read by the program (tern_item, tern_data, tern_to_host), random draws, an op that is not listed.
 * A thread has one trace at a time; its graph mode is its own affair. */
#ifndef TERN_TRACE_H
#define TERN_TRACE_H

#include "tern/autograd.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_tracer tern_tracer;

/* One op that ran. All of it belongs to the trace. */
typedef struct tern_traced {
    const char *op; /* "conv", "sum", "add"; a user's function by its name */
    /* An elementwise op's row in elementwise.def, as C: "K(1) / (K(1) + exp(-x))", of x, or a and b, or x, a and b, and
     * the numbers p, q and r; else NULL. */
    const char *formula;
    int n_in, n_out;
    tern_tensor *const *in; /* NULL where an input is absent */
    tern_tensor *const *out;
    const void *opts; /* for tern_traced_ints and tern_traced_number */
    const struct terni_fields *fields;
} tern_traced;

/* Starts to list what the calling thread does. For tern_tracer_free; NULL on errors: TERN_ERR_ARGUMENT if the thread
 * has a trace already, TERN_ERR_MEMORY. */
TERN_API tern_tracer *tern_tracer_begin(void);
/* From now on ops on t are listed. */
TERN_API bool tern_tracer_follow(tern_tracer *trace, tern_tensor *t);
/* Stops listing; the list stays. False if an error is pending. NULL does nothing. */
TERN_API bool tern_tracer_end(tern_tracer *trace);
/* Ends the trace if that was not done, and frees it with its list. NULL does nothing. */
TERN_API void tern_tracer_free(tern_tracer *trace);
/* The i-th op in the order of running; false past the end. Its tensors live as long as the trace. */
TERN_API bool tern_tracer_at(const tern_tracer *trace, int64_t i, tern_traced *out);
/* True if t is followed, or was computed from what is. */
TERN_API bool tern_tracer_depends(const tern_tracer *trace, const tern_tensor *t);

/* The op's setting of this name as whole numbers (false and true are 0 and 1), at most n of them into v. Returns how
 * many it has; 0 if the op has no such setting (no error). The names are those of the public functions' options, and
 *   "dims" (sum, mean, max, min, argmax, argmin: a bit each; permute: the dimensions), "keepdim", "dim", "axes" (conv,
 *   pools: how many; stride, pad, dilation and kernel are of three, the last ones count), "normalized" (layer_norm,
 *   rms_norm: how many dimensions), "mode" and "before" (remap), "kind" and "back" (recurrence). */
TERN_API int tern_traced_ints(const tern_traced *op, const char *name, int64_t *v, int n);
/* The same for a number; 0 if the op has none such. Elementwise ops have "p", "q" and "r". */
TERN_API double tern_traced_number(const tern_traced *op, const char *name);
/* True if a and b are the same op with the same settings and as many inputs and outputs. */
TERN_API bool tern_traced_alike(const tern_traced *a, const tern_traced *b);

#ifdef __cplusplus
}
#endif
#endif
