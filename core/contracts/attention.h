/* What attention needs besides products and softmax. What each kernel takes and gives; see backend.h. */
#ifndef TERNI_CONTRACT_ATTENTION_H
#define TERNI_CONTRACT_ATTENTION_H

#include "tern/base.h"

/* rotary: in x [.., E] contiguous, cos, sin [.., R] with x's leading dimensions (strides of 0 where broadcast) and one
 * layout, their last dimension dense; out y like x. One dtype, f32 or f64. 2 R <= E. Pairs (a, b) of x's first 2 R
 * elements become (a cos - b sin, b cos + a sin); a and b are R apart, or neighbours. What is behind is copied. */
typedef struct terni_rotary_opts {
    bool interleaved;
    bool inverse; /* -sin for sin */
} terni_rotary_opts;

#endif
