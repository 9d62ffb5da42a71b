/* Matrix products and linear algebra. See ops.h for what holds for every op. */
#ifndef TERN_LINALG_H
#define TERN_LINALG_H

#include "tern/autograd.h"
#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- matrix products ----------------------------------------------------------------------------------------------
 */

/* a [..., M, K] x b [..., K, N] -> [..., M, N]; leading dimensions broadcast; a 1-dim a is a row, a 1-dim b a column,
 * and that dimension goes, as in NumPy. Transposed views are not copied. Float dtypes, both alike; f16 and bf16
 * accumulate in f32. */
TERN_API tern_tensor *tern_matmul(tern_tensor *a, tern_tensor *b);
/* x [..., I] w [O, I] b [O] or NULL -> x w^T + b [..., O]. Grad: x, w, b. */
TERN_API tern_tensor *tern_linear(tern_tensor *x, tern_tensor *w, tern_tensor *b);

#ifdef __cplusplus
}
#endif
#endif
