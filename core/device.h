/* Devices at work: what there is, streams and events, pinned memory and copies that go on while the program does.
 *
 * A GPU works through a queue, a stream, while the host goes on. Each device has a stream of its own, on which every
 * thread works unless it has chosen another; so a program that asks for no stream needs nothing of this header, and
 * threads may hand tensors to each other. These wait for the GPU: tern_item, tern_to_host and the like, tern_to,
 * tern_sync, tern_stream_wait, tern_event_wait, tern_text. What one stream writes another may read after an event
 * alone:
 *
 *     tern_stream_use(gpu, copies);
 *     tern_tensor *x = tern_to_async(batch, gpu, ready);          batch pinned; ready is recorded behind the copy
 *     tern_stream_use(gpu, NULL);
 *     tern_stream_after(gpu, NULL, ready);                        later work on the device's own stream waits for it
 *
 * Memory needs no such care: a tensor that was used on other streams than its own is given to nobody else before they
 * are done with it, whenever it is released. (The kernels' doors notice this by themselves, since a forgotten note
 * would give wrong numbers now and then; tern_record_stream is for work that the library does not see.)
 *
 * On the CPU everything is done when a call returns; streams and events exist there too, so that one program serves
 * both.
 */
#ifndef TERN_DEVICE_H
#define TERN_DEVICE_H

#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- devices ------------------------------------------------------------------------------------------------- */

typedef struct tern_device_properties {
    char name[128];
    int major, minor;  /* compute capability; 0 on the CPU */
    int processors;    /* multiprocessors; on the CPU, the threads that kernels use */
    int64_t memory;    /* bytes, all of it */
    int64_t available; /* bytes that nobody has now */
} tern_device_properties;

/* How many devices of this type can be used; 0 if none. Loads the module. Records no error. Thread-safe. */
TERN_API int tern_device_count(tern_device_type type);
/* Errors: TERN_ERR_DEVICE. Thread-safe. */
TERN_API bool tern_device_properties_get(tern_device device, tern_device_properties *properties);

/* ---- streams ------------------------------------------------------------------------------------------------- */

/* A queue of work on one device. Thread-safe, but for being freed. */
typedef struct tern_stream tern_stream;
/* A place in a stream's queue. One thread records it at a time; any may wait for it. */
typedef struct tern_event tern_event;

/* The caller frees it. Errors: TERN_ERR_DEVICE, TERN_ERR_MEMORY. Thread-safe. */
TERN_API tern_stream *tern_stream_new(tern_device device);
/* The stream's work goes on; a thread that has it current keeps it so until it changes to another. NULL does nothing.
 */
TERN_API void tern_stream_free(tern_stream *stream);
/* From now on the calling thread's work on the device goes to stream; NULL: to the device's own.
 * Errors: TERN_ERR_DEVICE if stream is another device's. */
TERN_API bool tern_stream_use(tern_device device, tern_stream *stream);
/* What the calling thread chose with tern_stream_use; NULL: the device's own. */
TERN_API tern_stream *tern_stream_current(tern_device device);
/* Waits until all that was queued is done; reports faults of its kernels. stream NULL: the calling thread's current
 * one, in all functions here. Errors: TERN_ERR_DEVICE, or what a kernel found (TERN_ERR_INDEX and the like). */
TERN_API bool tern_stream_wait(tern_device device, tern_stream *stream);
/* True if all that was queued is done. False also after an error. */
TERN_API bool tern_stream_done(tern_device device, tern_stream *stream);
/* What is queued on stream from now on comes after event, which may be of another device; the host does not wait. An
 * event that was never recorded has passed. */
TERN_API bool tern_stream_after(tern_device device, tern_stream *stream, tern_event *event);
/* *native becomes the stream as the device's own library calls it, for a program's own kernels on tern_data: on CUDA a
 * cudaStream_t, with the device made the calling thread's current one; in a captured graph such kernels are captured
 * like the library's. NULL on the CPU, where nothing is queued. It stays the stream's, and is not to be destroyed.
 * Errors: TERN_ERR_DEVICE. */
TERN_API bool tern_stream_native(tern_device device, tern_stream *stream, void **native);
/* Work that the library does not see (a program's own kernels on tern_data) uses t on stream: t's memory is not handed
 * out again before that is done. */
TERN_API bool tern_record_stream(tern_tensor *t, tern_stream *stream);

/* ---- events -------------------------------------------------------------------------------------------------- */

/* The caller frees it. Errors: TERN_ERR_DEVICE, TERN_ERR_MEMORY. Thread-safe. */
TERN_API tern_event *tern_event_new(tern_device device);
/* Who waits for it already goes on waiting. NULL does nothing. */
TERN_API void tern_event_free(tern_event *event);
/* event stands behind all that is queued on stream (NULL: the current one) now. Errors: TERN_ERR_DEVICE if stream is
 * another device's. */
TERN_API bool tern_event_record(tern_event *event, tern_stream *stream);
/* True if all before it is done, and if it was never recorded. False also after an error. */
TERN_API bool tern_event_done(tern_event *event);
/* The host waits until all before it is done. Does not look for faults of kernels; tern_stream_wait does. */
TERN_API bool tern_event_wait(tern_event *event);
/* Milliseconds from one event to another of the same device, measured there; both must be recorded and done. NaN after
 * an error: TERN_ERR_DEVICE, TERN_ERR_ARGUMENT. */
TERN_API double tern_event_elapsed(tern_event *from, tern_event *to);

/* ---- pinned memory and copies that the host does not wait for -------------------------------------------------------
 */

/* A new contiguous tensor on the CPU, not filled, in memory that GPUs copy to and from by themselves; ordinary memory
 * where no GPU can be used. Slow to get from the system and scarce, so what is released is kept for the next. Errors:
 * TERN_ERR_SHAPE, TERN_ERR_MEMORY. Owner: the current scope. */
TERN_API tern_tensor *tern_empty_pinned(tern_shape shape, tern_dtype dtype);
/* A copy of t, a CPU tensor, in pinned memory; t itself if it is there already. Grad: none. Owner: the current scope.
 */
TERN_API tern_tensor *tern_pin(tern_tensor *t);
TERN_API bool tern_is_pinned(const tern_tensor *t);
/* t on another device, like tern_to, but it returns at once: the copy is queued on the current stream of the GPU, and
 * done, if not NULL, is recorded behind it (an event of that GPU).
 *   To a GPU: later work on that stream finds the copy made. Only a contiguous pinned t is copied while the host goes
 * on; it must not be written before done has passed, but may be released at once. To the CPU: the result is pinned, and
 * holds the values only once done has passed. From one GPU to another: done is of the one copied to. t itself if it is
 * there already; done is recorded even so, unless t is on the CPU. Errors: TERN_ERR_DEVICE, TERN_ERR_MEMORY. Grad:
 * none; t is taken as a constant. Owner: the current scope. */
TERN_API tern_tensor *tern_to_async(tern_tensor *t, tern_device device, tern_event *done);
/* The same into dst, contiguous and of src's shape and dtype, on another device; nothing is allocated if src is
 * contiguous. A dst on the CPU that is not pinned is filled on return. Returns dst. Errors: TERN_ERR_SHAPE,
 * TERN_ERR_DTYPE, TERN_ERR_DEVICE, TERN_ERR_ARGUMENT, TERN_ERR_AUTOGRAD where a change in place is refused. */
TERN_API tern_tensor *tern_copy_async_(tern_tensor *dst, tern_tensor *src, tern_event *done);

/* ---- ranges -------------------------------------------------------------------------------------------------- */

/* Names what the calling thread does from here to the matching pop, for profilers (NVTX), if TERN_NVTX=1 is in the
 * environment; every kernel's call then has a range of its own as well. Does nothing where no GPU can be used. */
TERN_API void tern_range_push(const char *name);
TERN_API void tern_range_pop(void);

#ifdef __cplusplus
}
#endif
#endif
