/* A differentiable function of one's own: y = x + sin(a x)^2 / a, with an a that is learned for each column (the Snake
 * activation: Ziyin, Hartwig and Ueda, arXiv 2006.08195). Networks with it go on periodically beyond the data, where
 * those with tanh or relu become constant or linear. */
#ifndef SNAKE_H
#define SNAKE_H

#include <tern/tern.h>

/* x [N, C] and a [C], f32 or f64 on one device, a without zeros; returns [N, C]. Grad: x and a, any number of times.
 * Owner: the current scope. Errors: TERN_ERR_SHAPE, TERN_ERR_DTYPE, TERN_ERR_DEVICE; TERN_ERR_UNSUPPORTED for tensors
 * on a GPU in a program that was built without nvcc. */
tern_tensor *snake(tern_tensor *x, tern_tensor *a);

/* The function as a layer, with the parameter "a" [features], 1 at first. Owner: the caller, or the module it is put
 * in. */
tern_module *snake_new(int64_t features);

#endif
