/* Tensors shared in memory, without copies, with whatever else speaks DLPack: PyTorch, NumPy, CuPy, JAX, TVM, ONNX
 * Runtime. The structs are those of the standard's dlpack.h (1.x, and the older form without a version), which a
 * program includes itself if it looks into them. Source: dmlc.github.io/dlpack. */
#ifndef TERN_DLPACK_H
#define TERN_DLPACK_H

#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

struct DLManagedTensorVersioned;
struct DLManagedTensor;

/* t's memory for others: shape, strides and device as they are. The memory lives until the result's deleter was called,
 * which is the taker's to do, once, on any thread. What t's device was asked for may still be under way: tern_sync, or
 * an event, comes first. Writing to it is not seen by autograd (tern_touch tells). Errors: TERN_ERR_MEMORY,
 * TERN_ERR_AUTOGRAD if t has a history or requires gradients (tern_detach it). */
TERN_API struct DLManagedTensorVersioned *tern_dlpack_export(tern_tensor *t);
TERN_API struct DLManagedTensor *tern_dlpack_export_unversioned(tern_tensor *t);

/* The memory that m tells of as a tensor, on the CPU or a GPU; the work that fills it must be done, or queued on the
 * current stream. On success m is taken over: its deleter is called when no tensor uses the memory any more. On errors
 * m stays the caller's: TERN_ERR_DTYPE for elements that Tern has not, TERN_ERR_DEVICE, TERN_ERR_SHAPE for too many
 * dimensions or negative strides, TERN_ERR_UNSUPPORTED for memory that is read-only (copy takes a copy and calls the
 * deleter at once) or of a version 2 or newer. Owner: the current scope. */
TERN_API tern_tensor *tern_dlpack_import(struct DLManagedTensorVersioned *m, bool copy);
TERN_API tern_tensor *tern_dlpack_import_unversioned(struct DLManagedTensor *m, bool copy);

#ifdef __cplusplus
}
#endif
#endif
