/* Modules: named trees of parameters, buffers and children. A user's module is the same thing as a bundled one:
 *
 *     typedef struct { tern_module m; tern_module *a, *b; } net;             (m first)
 *     net *net_new(int64_t in, int64_t out) {
 *         net *s = TERN_MODULE_NEW(net);
 *         if (!s) return NULL;
 *         s->a = tern_module_add(&s->m, "a", tern_linear_new(in, 64, (tern_linear_opts){0}));
 *         s->b = tern_module_add(&s->m, "b", tern_linear_new(64, out, (tern_linear_opts){0}));
 *         return tern_module_done(s);                                        (NULL if any part failed; frees the rest)
 *     }
 *     tern_tensor *net_forward(net *s, tern_tensor *x) { return tern_forward(s->b, tern_relu(tern_forward(s->a, x))); }
 *
 * Every bundled layer is a tern_module *, because in C a type and an op cannot both be called tern_conv2d.
 * Names of parameters come from the tree ("a.weight"), and shapes and layouts are PyTorch's, so weights travel both
 * ways. One module is for one thread at a time. */
#ifndef TERN_MODULE_H
#define TERN_MODULE_H

#include "tern/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_module tern_module;

struct tern_module {
    const char *type; /* "linear"; static or owned by the program */
    /* One tensor in, one out, so that sequential and summary can call the module; NULL if its forward has another form.
     */
    tern_tensor *(*forward)(tern_module *m, tern_tensor *x);
    /* Frees what the module holds besides parameters, buffers and children; may be NULL. */
    void (*drop)(tern_module *m);
    /* Writes the module's settings ("3 -> 8, kernel 3x3") for the summary; may be NULL. */
    void (*describe)(const tern_module *m, char *buf, size_t size);
    /* Floating-point operations of m's own products and convolutions for an input and an output of these shapes, a
     * multiplication and an addition counting as two; for the summary; may be NULL. Children count for themselves. */
    int64_t (*flops)(const tern_module *m, const tern_shape *x, const tern_shape *y);
    /* For tern_module_clone, needed by a module with a drop: makes the copy's own of what drop frees (the struct was
     * copied as it is). Returns false after an error, having left nothing of the original in the copy. May be NULL. */
    bool (*copied)(tern_module *copy, const tern_module *from);
    bool training;                   /* set by tern_module_train */
    struct tern_module_parts *parts; /* names, parameters, buffers and children; private */
};

/* ---- making modules ---------------------------------------------------------------------------------------------- */

/* A cleared struct of type T whose first member is the tern_module; training mode. To be given back with
 * tern_module_free. NULL on errors, and while one is pending: look before writing into it. */
#define TERN_MODULE_NEW(T) ((T *)tern_module_alloc(sizeof(T), #T))
TERN_API void *tern_module_alloc(size_t size, const char *type);
/* Registers child (a tern_module * or a struct that starts with one) under name; parent owns it from now on. Returns
 * child. If parent or child is NULL, an error is pending, or the name is taken, empty or holds a '.' or '/', records an
 * error, frees child, marks parent as failed and returns NULL. (A child that has another parent already, or that parent
 * is itself part of, is an error too, but is not freed: it has its owner.) void *, so that structs of one's own need no
 * cast. */
TERN_API void *tern_module_add(tern_module *parent, const char *name, void *child);
/* Registers a parameter: t, a float leaf, is kept, named and asked for gradients. Returns t. Errors as above. The same
 * tensor may be registered in several places (tied weights): it has a name in each, is named in messages by the first,
 * is counted once and updated once. */
TERN_API tern_tensor *tern_module_param(tern_module *m, const char *name, tern_tensor *t);
/* Registers a buffer: state without gradient that is saved with the module. Returns t. Errors as above. */
TERN_API tern_tensor *tern_module_buffer(tern_module *m, const char *name, tern_tensor *t);
/* The end of every _new: returns m, or frees it all and returns NULL if a part failed or an error is pending. */
TERN_API void *tern_module_done(void *m);
/* Frees m with its children. NULL does nothing. m must be a root: freeing a part of another module is the caller's
 * mistake; it records TERN_ERR_ARGUMENT and frees nothing. */
TERN_API void tern_module_free(void *m);

/* ---- using modules ----------------------------------------------------------------------------------------------- */

/* m->forward(m, x), with m's hooks around it. Errors: TERN_ERR_UNSUPPORTED if m has none. */
TERN_API tern_tensor *tern_forward(tern_module *m, tern_tensor *x);
/* Sets training mode (dropout drops, batch_norm uses the batch) or evaluation mode in the whole tree. */
TERN_API void tern_module_train(tern_module *m, bool training);
/* Around a change of mode that is for a while: push notes the mode of each module of the tree, pop gives each its own
 * back, also where they differ (a batch_norm kept in evaluation mode amid a network in training). Nests, 63 deep. A
 * module that came in between keeps the mode that it has then. NULL does nothing. Errors of push, which notes nothing
 * then: TERN_ERR_ARGUMENT. */
TERN_API bool tern_module_mode_push(tern_module *m);
TERN_API void tern_module_mode_pop(tern_module *m);
/* Moves, or converts the float parts of, all parameters and buffers. References from tern_module_get stay valid: the
 * tensors themselves change. Gradients are dropped. On failure nothing was changed. Errors: TERN_ERR_DEVICE,
 * TERN_ERR_MEMORY, TERN_ERR_DTYPE for a dtype that is no float. */
TERN_API bool tern_module_to(tern_module *m, tern_device device);
TERN_API bool tern_module_cast(tern_module *m, tern_dtype dtype);
/* Drops the gradients of all parameters. */
TERN_API void tern_module_zero_grad(tern_module *m);
/* A parameter or buffer by its full name ("features.0.weight"). Owner: m. Errors: TERN_ERR_ARGUMENT, naming it. */
TERN_API tern_tensor *tern_module_get(tern_module *m, const char *name);
/* A descendant by name ("features.0"; "" is m). Owner: m. Errors: TERN_ERR_ARGUMENT, naming it. */
TERN_API tern_module *tern_module_child(tern_module *m, const char *name);

typedef struct tern_named {
    const char *name; /* full name; owned by the iterator's module until its tree changes */
    tern_tensor *tensor;
    bool is_param; /* else a buffer */
} tern_named;
/* The i-th parameter or buffer in the tree: each module's parameters, then its buffers, then its children's; a shared
 * tensor comes under each of its names. false past the end and while an error is pending. A call costs no more than an
 * array access unless the tree has changed. For loops:  tern_named e; for (int i = 0; tern_module_each(m, i, &e); i++)
 * ... */
TERN_API bool tern_module_each(tern_module *m, int i, tern_named *out);
/* Elements of all parameters that ask for gradients (trainable), or of all; shared ones count once. 0 on errors. */
TERN_API int64_t tern_module_count(tern_module *m, bool trainable_only);
/* Freezes the parameters whose full name matches a shell pattern ("*.bias", "layers.?.*", as in fnmatch): they ask for
 * no gradients, drop the one they have, and optimizers leave them alone; or thaws them. Returns how many matched, or
 * -1: TERN_ERR_ARGUMENT if none does. */
TERN_API int tern_module_freeze(tern_module *m, const char *pattern, bool frozen);
/* Number of m's own children, and the i-th with its name in m (name may be NULL); NULL past the end and for NULL.
 * Owner of both: m. */
TERN_API int tern_module_children(const tern_module *m);
TERN_API tern_module *tern_module_child_at(const tern_module *m, int i, const char **name);
/* A copy of the whole tree: settings, values, modes, hooks (with the same user pointers). Pointers to m's own
 * parameters, buffers and descendants that stand in the modules' structs point to the copy's in the copy; others stay.
 * What was shared within m is shared within the copy; gradients are not copied. A root of its own. void *, so that
 * structs of one's own need no cast. Owner: the caller. Errors: TERN_ERR_UNSUPPORTED for a module with a drop that has
 * no copied; TERN_ERR_MEMORY. */
TERN_API void *tern_module_clone(void *m);
/* Copies values from src into m by name; dtypes and devices may differ. Errors: TERN_ERR_SHAPE, listing the missing,
 * unexpected and mis-shaped names; nothing is changed then. */
TERN_API bool tern_module_copy(tern_module *m, tern_module *src);
/* Writes a table of the tree into buf (size bytes, cut): full names, types, settings, parameter counts, and from a dry
 * run on zeros of `input`'s shape, in evaluation mode (NULL leaves it out), the output shapes, the FLOPs of products
 * and convolutions (a multiplication and an addition are two) with those of the parts, and the tensors' memory beside
 * parameters and input: the most at once, and what a backward pass would find kept. Returns buf. Only calls through
 * tern_forward or a bundled layer's own forward function show. The dry run leaves modes, the random stream and the
 * scope as they were; hooks run. If it fails, its error is pending afterwards, and the table has the shapes as far as
 * it came. */
TERN_API const char *tern_module_summary(tern_module *m, const tern_shape *input, char *buf, size_t size);

/* ---- hooks ------------------------------------------------------------------------------------------------------- */

typedef enum tern_hook_point {
    TERN_HOOK_INPUT = 0,   /* before the forward: its (first) input */
    TERN_HOOK_OUTPUT,      /* after it: its (first) output */
    TERN_HOOK_GRAD_OUTPUT, /* in a backward pass: the gradient that reaches that output */
    TERN_HOOK_GRAD_INPUT   /* and the one that m sends on to that input, where it requires one */
} tern_hook_point;
/* Called with m and the tensor at that point; what it returns goes on in its place (the same tensor, another one, of
 * gradients one like it, or NULL after an error). It must not change t in place. */
typedef tern_tensor *(*tern_module_hook)(tern_module *m, tern_tensor *t, void *user);
/* Adds a hook to m; those of a point run in the order of adding, at every call through tern_forward or a bundled
 * layer's own forward function. A hook on gradients has to be there when the forward runs, and m when the backward pass
 * does. Returns its number, or -1 on errors. */
TERN_API int tern_module_hook_add(tern_module *m, tern_hook_point point, tern_module_hook hook, void *user);
/* Errors: TERN_ERR_ARGUMENT if m has no such hook. */
TERN_API bool tern_module_hook_remove(tern_module *m, int number);

/* ---- containers -------------------------------------------------------------------------------------------------- */

/* tern_sequential(a, b, c, NULL): runs its modules in order, named "0", "1", ...; owns them. If one is NULL (its _new
 * failed), frees the others and returns NULL. What a step made dies with it unless the tape saved it. */
TERN_API tern_module *tern_sequential(void *first, ...);
/* The same for an array; one NULL at its end is ignored. */
TERN_API tern_module *tern_sequential_of(void *const *modules, int n);
#ifndef __cplusplus
/* In C the list becomes an array. So a module that failed does not look like the list's end, and the others are freed;
 * and the modules are made, and draw their weights, from left to right, where arguments have no order. */
#define tern_sequential(...) \
    tern_sequential_of((void *[]){__VA_ARGS__}, (int)(sizeof((void *[]){__VA_ARGS__}) / sizeof(void *)))
#endif

/* Modules under "0", "1", ..., and under names of their own, for a parent that calls them itself: no forward. Own
 * them; if one is NULL (its _new failed), free the others and return NULL. More are added by tern_module_add; found by
 * tern_module_child and tern_module_child_at. */
TERN_API tern_module *tern_list_new(void *const *modules, int n);
TERN_API tern_module *tern_dict_new(const char *const *names, void *const *modules, int n);
/* x + body(x), or shortcut(x) + body(x): children "body" and, unless it is NULL, "shortcut". A NULL body (its _new
 * failed) frees the shortcut and gives NULL; a shortcut whose _new failed leaves its error pending, which does the
 * same. Source: He et al., arXiv 1512.03385. */
TERN_API tern_module *tern_residual_new(void *body, void *shortcut);

#ifdef __cplusplus
}
#endif
#endif
