/* Derivatives of functions: products with Jacobians, Jacobians, Hessians, and checks of gradients by differences. */
#ifndef TERN_FUNCTIONAL_H
#define TERN_FUNCTIONAL_H

#include "tern/autograd.h"
#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A function of n tensors, of one output; returns NULL after an error. It is called with recording on. */
typedef tern_tensor *(*tern_fn)(tern_tensor *const *x, int n, void *user);

typedef struct tern_functional_opts {
    bool create_graph; /* the results can be differentiated further, with respect to those x that require gradients */
} tern_functional_opts;

/* What holds for all of them: x[0 .. n) are float tensors, n from 1 to TERN_MAX_FN; the derivatives are with respect to
 * all of them, whether or not they require gradients, and their own gradients are left alone. Where f does not depend
 * on an input the result is zeros. out[] is set to NULL on errors. Owner of all results: the current scope. Errors:
 * TERN_ERR_ARGUMENT, TERN_ERR_DTYPE, TERN_ERR_SHAPE, those of f and of tern_grad. */
#define TERN_MAX_FN 16

/* out[i] = v^T d f / d x[i], like x[i]; v is like f(x), NULL for ones where f(x) has one element. Returns f(x). */
TERN_API tern_tensor *tern_vjp(tern_fn f, tern_tensor *const *x, int n, void *user, tern_tensor *v,
                               tern_functional_opts opts, tern_tensor **out);
/* sum over i of (d f / d x[i]) v[i], like f(x); v[i] is like x[i], NULL for zeros. *y, if y is not NULL, is set to
 * f(x). By the derivative of v^T J with respect to v, so f's gradient has to be differentiable. */
TERN_API tern_tensor *tern_jvp(tern_fn f, tern_tensor *const *x, int n, void *user, tern_tensor *const *v,
                               tern_functional_opts opts, tern_tensor **y);
/* out[i] = d f / d x[i], of f(x)'s shape followed by x[i]'s; a pass for each element of f(x). Returns f(x). */
TERN_API tern_tensor *tern_jacobian(tern_fn f, tern_tensor *const *x, int n, void *user, tern_functional_opts opts,
                                    tern_tensor **out);
/* out[i n + j] = d^2 f / d x[i] d x[j], of x[i]'s shape followed by x[j]'s, for an f(x) of one element; a pass for each
 * element of x. Returns f(x). */
TERN_API tern_tensor *tern_hessian(tern_fn f, tern_tensor *const *x, int n, void *user, tern_functional_opts opts,
                                   tern_tensor **out);
/* out[i] = sum over j of (d^2 f / d x[i] d x[j]) v[j], like x[i], for an f(x) of one element. Returns f(x). */
TERN_API tern_tensor *tern_hvp(tern_fn f, tern_tensor *const *x, int n, void *user, tern_tensor *const *v,
                               tern_functional_opts opts, tern_tensor **out);

/* f(x), without keeping its inner tensors for the backward pass, which runs f once more instead (gradient
 * checkpointing; Chen et al., arXiv 1604.06174). Random draws are repeated, so dropout has the same mask; other effects
 * of f (running statistics) happen again. user must live until the last pass, and f must do the same each time. n is 1
 * to TERN_MAX_FN; NULL entries of x are handed on. Calls nest. Owner: the current scope. Grad: x, and whatever else f
 * uses that requires gradients; differentiable again (create_graph). While recording, f may not change x in place.
 * Errors: those of f; in a pass, TERN_ERR_AUTOGRAD if x or a leaf that f uses was changed in place since. */
TERN_API tern_tensor *tern_recompute(tern_fn f, tern_tensor *const *x, int n, void *user);

/* ---- checks of gradients ------------------------------------------------------------------------------------- */

typedef struct tern_gradcheck_opts {
    double eps;  /* half the step; 1e-6 if zero */
    double atol; /* 1e-5 if zero */
    double rtol; /* 1e-3 if zero */
} tern_gradcheck_opts;

/* Compares f's Jacobian with central differences, element by element, for every x[i] that requires gradients: f64
 * leaves with elements of their own (x[i] is changed and restored). Returns true if |analytic - numeric| <= atol + rtol
 * |numeric| everywhere; else false after recording TERN_ERR_AUTOGRAD, whose text says input, element, and both numbers.
 * Other errors: TERN_ERR_ARGUMENT (nothing to check), TERN_ERR_DTYPE, those of f. */
TERN_API bool tern_gradcheck(tern_fn f, tern_tensor *const *x, int n, void *user, tern_gradcheck_opts opts);
/* The same for f's gradients, as functions of x and of the output's gradient (numbered n in the text). */
TERN_API bool tern_gradgradcheck(tern_fn f, tern_tensor *const *x, int n, void *user, tern_gradcheck_opts opts);

#ifdef __cplusplus
}
#endif
#endif
