/* Matrix products and linear algebra. What each kernel takes and gives; see backend.h. */
#ifndef TERNI_CONTRACT_LINALG_H
#define TERNI_CONTRACT_LINALG_H

#include "tern/base.h"

/* matmul: in a [B..., M, K], b [B..., K, N], bias [N] or NULL; out y [B..., M, N] contiguous. Same ndim (2 to 8), batch
 *   dimensions broadcast by strides of 0. One float dtype. Any strides: unit row or column stride without a copy. K may
 * be 0. */

#endif
