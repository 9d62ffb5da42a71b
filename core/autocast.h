/* Mixed precision: inside of autocast, ops take their inputs in the dtype that suits them, whatever the tensors have.
 * What an op takes stands with the op: products, convolutions, attention and recurrent layers compute in the low dtype;
 * exponentials, logarithms, powers, softmax, norms, losses, sums and products of many elements in f32; ops that join
 * tensors (concatenation, scattering, dot) in the widest dtype among them; all others in what they are given, as
 * without. Rules and results are those of torch.autocast("cuda"), and the same on every device. Only f16, bf16 and f32
 * tensors are cast, and never what is changed in place.
 *
 *     const int cast = tern_autocast_push(TERN_CUDA, TERN_BF16);
 *     tern_tensor *loss = tern_cross_entropy(tern_forward(net, b.x), b.y, (tern_cross_entropy_opts){0});
 *     tern_autocast_pop(cast);
 *     tern_backward(loss);
 *
 * Casts are recorded, so f32 parameters receive f32 gradients. Backward passes, the forward of a tern_function and
 * optimizers run without autocast; a function that is recomputed runs with what it had at first. f16 needs its
 * gradients scaled: tern/scaler.h. */
#ifndef TERN_AUTOCAST_H
#define TERN_AUTOCAST_H

#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* From now on the calling thread's ops on devices of this type compute what can be in dtype: TERN_F16 or TERN_BF16;
 * TERN_F32 stands for no autocast there. Other types keep what they have. Nests; returns what tern_autocast_pop takes:
 * a height, so that an early return is repaired by the outer pop.
 * Errors: TERN_ERR_DTYPE, TERN_ERR_DEVICE, TERN_ERR_MEMORY; nothing is pushed then, and the pop does nothing.
 *
 * The low form of an f32 leaf that requires a gradient (a parameter) is made once and kept until the outermost pop, or
 * until the leaf is changed in place or assigned, a graph is replayed by any thread, or was first used without
 * recording. What a program writes through tern_data is not seen before the pop. */
TERN_API int tern_autocast_push(tern_device_type type, tern_dtype dtype);
/* No autocast on any device until the pop. */
TERN_API int tern_autocast_suspend(void);
TERN_API void tern_autocast_pop(int height);
/* The low dtype in force for devices of this type; TERN_F32 if there is none. */
TERN_API tern_dtype tern_autocast_get(tern_device_type type);

/* What an op's inputs become. */
typedef enum tern_autocast_rule { TERN_AUTOCAST_LOW, TERN_AUTOCAST_F32, TERN_AUTOCAST_WIDEST } tern_autocast_rule;
/* For a program's own ops, before tern_apply: replaces t[0 .. n) (NULL entries stay) by what rule makes of them now;
 * without autocast it changes nothing. False after an error. Owner: the current scope. */
TERN_API bool tern_autocast(tern_autocast_rule rule, tern_tensor **t, int n);

#ifdef __cplusplus
}
#endif
#endif
