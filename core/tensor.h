/* Tensors: creation, inspection, data in and out, ownership by scopes. */
#ifndef TERN_TENSOR_H
#define TERN_TENSOR_H

#include "tern/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Opaque and reference counted. The count is atomic; everything else about one tensor is for one thread at a time. */
typedef struct tern_tensor tern_tensor;

/* ---- scopes ------------------------------------------------------------------------------------------------- *
 * Whatever a function here or in ops.h returns belongs to the calling thread's current scope, and dies when that scope
 * is popped. A scope is a height in a per-thread stack, so an early return inside one is repaired by the outer pop.
 * Outside of any scope tensors live until tern_scope_pop(0) or the thread's end. */

/* Opens a scope; returns the height to pop to. Never fails. */
TERN_API int tern_scope_push(void);
/* Releases every tensor that was made since the push that returned height. Works while an error is pending. */
TERN_API void tern_scope_pop(int height);
/* Pops, but hands t on to the scope outside. Returns t; NULL if t is NULL or an error is pending. */
TERN_API tern_tensor *tern_scope_return(int height, tern_tensor *t);
/* Takes one more reference, for the caller to give back with tern_release. Returns t. NULL is passed through.
 * Thread-safe. */
TERN_API tern_tensor *tern_keep(tern_tensor *t);
/* Gives back a reference that tern_keep, or a function named _new, _load or _open, handed out. NULL does nothing.
 * Thread-safe. */
TERN_API void tern_release(tern_tensor *t);
/* Hands a kept reference over to the calling thread's current scope, which gives it back. Returns t. NULL is passed
 * through. */
TERN_API tern_tensor *tern_give(tern_tensor *t);

/* ---- creation ----------------------------------------------------------------------------------------------- */

typedef struct tern_options {
    tern_dtype dtype;   /* TERN_F32 if zero */
    tern_device device; /* the CPU if zero */
} tern_options;

/* New contiguous tensors, without gradient. Errors: TERN_ERR_SHAPE (negative or overflowing sizes), TERN_ERR_MEMORY,
 * TERN_ERR_DEVICE. Owner: the current scope. */
TERN_API tern_tensor *tern_empty(tern_shape shape, tern_options options);
TERN_API tern_tensor *tern_zeros(tern_shape shape, tern_options options);
TERN_API tern_tensor *tern_ones(tern_shape shape, tern_options options);
TERN_API tern_tensor *tern_full(tern_shape shape, double value, tern_options options);
/* 0-dim. */
TERN_API tern_tensor *tern_scalar(double value, tern_options options);
/* start, start + 1, ... below end; 1-dim. Errors: TERN_ERR_ARGUMENT if end < start. */
TERN_API tern_tensor *tern_arange(double start, double end, tern_options options);
/* start, start + step, ... before end; step may be negative. Errors: TERN_ERR_ARGUMENT if step is 0 or leads away. */
TERN_API tern_tensor *tern_arange_step(double start, double end, double step, tern_options options);
/* n numbers, evenly spaced from start to end, both included; 1-dim. Errors: TERN_ERR_ARGUMENT (not finite),
 * TERN_ERR_SHAPE (n < 0). */
TERN_API tern_tensor *tern_linspace(double start, double end, int64_t n, tern_options options);
/* base to the power of each of tern_linspace's numbers, computed in f64. Errors: the same; TERN_ERR_ARGUMENT unless
 * base > 0. */
TERN_API tern_tensor *tern_logspace(double start, double end, int64_t n, double base, tern_options options);
/* [n, m], ones on the diagonal and zeros elsewhere. */
TERN_API tern_tensor *tern_eye(int64_t n, int64_t m, tern_options options);
/* The rows and columns, [2, count] i64, of the elements of an [n, m] matrix that tern_tril (tern_triu) keeps, in
 * row-major order. */
TERN_API tern_tensor *tern_tril_indices(int64_t n, int64_t m, int64_t k, tern_device device);
TERN_API tern_tensor *tern_triu_indices(int64_t n, int64_t m, int64_t k, tern_device device);
/* Shape, dtype and device of t. */
TERN_API tern_tensor *tern_empty_like(tern_tensor *t);
TERN_API tern_tensor *tern_zeros_like(tern_tensor *t);
TERN_API tern_tensor *tern_ones_like(tern_tensor *t);
TERN_API tern_tensor *tern_full_like(tern_tensor *t, double value);
/* Copies row-major host data of the options' dtype (f16 and bf16 as their 16 bits, bool as bytes 0 and 1). */
TERN_API tern_tensor *tern_from(const void *data, tern_shape shape, tern_options options);
/* Copies row-major doubles, converted to the options' dtype as tern_cast does. */
TERN_API tern_tensor *tern_from_doubles(const double *data, tern_shape shape, tern_options options);
/* Uses host memory that the caller owns, without a copy, on the CPU; drop(user) is called once when no tensor uses it
 * any more (drop may be NULL; on failure it is not called). */
TERN_API tern_tensor *tern_wrap(void *data, tern_shape shape, tern_dtype dtype, void (*drop)(void *user), void *user);

/* ---- inspection (NULL gives 0, false, "" or the scalar shape; never an error) --------------------------------- */

TERN_API tern_shape tern_shape_get(const tern_tensor *t);
TERN_API int tern_ndim(const tern_tensor *t);
/* Size of dimension d; negative d counts from the end; 0 where there is none. */
TERN_API int64_t tern_size(const tern_tensor *t, int d);
/* Elements from one index of dimension d to the next. */
TERN_API int64_t tern_stride(const tern_tensor *t, int d);
TERN_API int64_t tern_numel(const tern_tensor *t);
TERN_API tern_dtype tern_dtype_of(const tern_tensor *t);
TERN_API tern_device tern_device_of(const tern_tensor *t);
TERN_API bool tern_is_contiguous(const tern_tensor *t);
/* Address of the first element, in the device's memory. Writing through it is not seen by autograd (tern_touch tells).
 */
TERN_API void *tern_data(tern_tensor *t);
/* Bytes of the storage that t shares. */
TERN_API size_t tern_storage_bytes(const tern_tensor *t);
/* How often the storage was changed in place. */
TERN_API uint32_t tern_storage_version(const tern_tensor *t);
/* Says that the storage was written through tern_data. */
TERN_API void tern_touch(tern_tensor *t);
/* The leaf t becomes what src is: shares its storage and takes its dtype and device; the shapes must agree. t's
 * gradient is dropped; whoever holds t sees the change. Errors: TERN_ERR_SHAPE, TERN_ERR_AUTOGRAD if t is no leaf. */
TERN_API bool tern_assign(tern_tensor *t, tern_tensor *src);
/* A name for messages, copied; modules name their parameters. */
TERN_API bool tern_set_name(tern_tensor *t, const char *name);
TERN_API const char *tern_name(const tern_tensor *t);

/* ---- data out, and between devices (these wait for the device) ------------------------------------------------ */

/* The value of a tensor of one element. Errors: TERN_ERR_SHAPE for another count; the result is then NaN. */
TERN_API double tern_item(tern_tensor *t);
/* The same without rounding i64 through a double; the result is 0 on errors. */
TERN_API int64_t tern_item_i64(tern_tensor *t);
/* Copies all elements, row-major, in t's dtype, into host memory of `bytes` bytes, which must be numel x element size.
 * Errors: TERN_ERR_ARGUMENT. */
TERN_API bool tern_to_host(tern_tensor *t, void *data, size_t bytes);
/* The same, converted to double, for `count` elements, which must be numel. */
TERN_API bool tern_to_doubles(tern_tensor *t, double *data, int64_t count);
/* t on another device; t itself if it is there already. Grad: t. Owner: the current scope. */
TERN_API tern_tensor *tern_to(tern_tensor *t, tern_device device);
/* t in another dtype; t itself if it has it already. Float to integer truncates. Grad: t, between float dtypes.
 * Owner: the current scope. */
TERN_API tern_tensor *tern_cast(tern_tensor *t, tern_dtype dtype);
/* Waits until everything submitted to the device is done; reports device faults. */
TERN_API bool tern_sync(tern_device device);
/* Writes a readable form into buf, like NumPy's, long dimensions abridged, cut to size. Returns buf. */
TERN_API const char *tern_text(tern_tensor *t, char *buf, size_t size);

#ifdef __cplusplus
}
#endif
#endif
