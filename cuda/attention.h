/* Attention: attention.c decides between a library (library_attention.h) and the kernels declared here, which are
 * Tern's own and do every size, dtype, mask and dropout. */
#ifndef TERNI_CUDA_ATTENTION_H
#define TERNI_CUDA_ATTENTION_H

#include "internal.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The rows of these names. */
bool terni_cuda_attention_own(const terni_call *c);
bool terni_cuda_attention_grad_own(const terni_call *c);

#ifdef __cplusplus
}
#endif
#endif
