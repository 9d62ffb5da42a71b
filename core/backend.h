/* The only door to a backend: one table of kernels. core fills calls with plain views; a backend never sees a tensor.
 *
 * A backend is a module (libtern-cpu*.so, libtern-cuda.so) with one exported function, terni_backend_entry, that core
 * finds by name. Not installed: the table belongs to one build of Tern, and its ABI number and size are checked at
 * loading. */
#ifndef TERNI_BACKEND_H
#define TERNI_BACKEND_H

#include "tern/base.h"
#include "tern/device.h"
#include "tern/memory.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TERNI_BACKEND_ABI   2
#define TERNI_BACKEND_ENTRY "terni_backend_entry"

/* A strided array in a device's memory. Strides count elements, are never negative, and are 0 where a dimension is
 * broadcast. */
typedef struct terni_view {
    void *data;
    int64_t shape[TERN_MAX_DIMS];
    int64_t strides[TERN_MAX_DIMS];
    int32_t ndim;
    int32_t dtype; /* tern_dtype */
} terni_view;

/* One call of a kernel. Outputs never overlap inputs, except that an output may be the very same view as an input of an
 * elementwise kernel. Optional views are NULL. Views may hold no elements. */
typedef struct terni_call {
    const terni_view *const *in;
    const terni_view *const *out;
    int n_in, n_out;
    const void *opts;
    int device; /* index */
} terni_call;

/* Returns false after host->fail. */
typedef bool (*terni_kernel)(const terni_call *call);

/* What core lends a backend. */
typedef struct terni_host {
    void *(*alloc)(size_t bytes); /* through the memory door, 64-byte aligned; NULL after recording the error */
    void (*free)(void *p, size_t bytes);
    void *(*alloc_quiet)(size_t bytes); /* the same, but NULL records no error */
    void (*free_quiet)(void *p, size_t bytes);
    bool (*fail)(tern_code code, const char *file, int line, const char *format, ...)
        TERN_PRINTF(4, 5); /* returns false */
    /* The public function that the kernel's op is part of, a string that stays; NULL if it is the op itself. fail says
     * it by itself; what fails later must be told. */
    const char *(*caller)(void);
    bool (*allow_tf32)(void); /* tern_allow_tf32: products and convolutions of f32 may round their inputs to tf32 */
} terni_host;

/* ---- ids: one enumerator a row ------------------------------------------------------------------------------- */

enum {
#define TERN_UNARY(name, ...)     TERNI_UNARY_##name,
#define TERN_UNARY_Y(name, ...)   TERNI_UNARY_##name,
#define TERN_UNARY_P(name, ...)   TERNI_UNARY_##name,
#define TERN_UNARY_PQ(name, ...)  TERNI_UNARY_##name,
#define TERN_UNARY_PQR(name, ...) TERNI_UNARY_##name,
#include "elementwise.def"
    TERNI_UNARY_COUNT
};
enum {
#define TERN_BINARY(name, ...) TERNI_BINARY_##name,
#include "elementwise.def"
    TERNI_BINARY_COUNT
};
enum {
#define TERN_TERNARY(name, ...) TERNI_TERNARY_##name,
#include "elementwise.def"
    TERNI_TERNARY_COUNT
};
enum {
#define TERN_COMPARE(name, ...) TERNI_COMPARE_##name,
#include "elementwise.def"
    TERNI_COMPARE_COUNT
};
enum {
#define TERN_TEST_OF(name, ...) TERNI_TEST_OF_##name,
#include "elementwise.def"
    TERNI_TEST_OF_COUNT
};
enum {
#define TERN_BITS(name, ...) TERNI_BITS_##name,
#include "elementwise.def"
    TERNI_BITS_COUNT
};
enum {
#define TERN_OP(name) TERNI_OP_##name,
#include "ops.def"
    TERNI_OP_COUNT
};

/* ---- devices that work while the host goes on ------------------------------------------------------------------ *
 * Every thread has a current stream on each device, at first the device's own, which all threads share; what a thread
 * asks for is queued there. Streams and events are the backend's objects; NULL for a stream is the thread's current
 * one. Functions return false after host->fail, unless they are void. */
typedef struct terni_runtime {
    bool (*properties)(int device, tern_device_properties *p);
    bool (*cache)(int device, tern_memory_cache_stats *stats);
    void (*reset_peak)(int device);

    bool (*stream_new)(int device, void **stream);
    void (*stream_free)(int device, void *stream); /* no thread has it current; its work may go on */
    bool (*stream_use)(int device, void *stream);  /* by the calling thread; NULL: the device's own */
    bool (*stream_wait)(int device, void *stream);
    bool (*stream_done)(int device, void *stream, bool *done);
    bool (*stream_native)(int device, void *stream, void **native); /* as the device's driver calls it */
    bool (*stream_after)(int device, void *stream, void *event);
    bool (*event_new)(int device, void **event);
    void (*event_free)(int device, void *event);
    bool (*event_record)(int device, void *event, void *stream);
    bool (*event_done)(int device, void *event, bool *done);
    bool (*event_wait)(int device, void *event);
    bool (*event_elapsed)(int device, void *from, void *to, double *ms);

    /* Host memory that devices copy to and from by themselves; 64-byte aligned or better. */
    bool (*pinned_alloc)(size_t bytes, void **data);
    void (*pinned_free)(void *data); /* queued copies may still use it */
    /* Queued on the current stream. host, if not NULL, is the pinned memory that src (dst) lies in; plain memory is
     * done with on return. */
    bool (*upload)(int device, void *dst, const void *src, size_t bytes, void *host);
    bool (*download)(int device, void *dst, const void *src, size_t bytes, void *host);
    /* From one device of this kind to another: after what both current streams hold, before what comes there later. */
    bool (*copy_between)(int to, void *dst, int from, const void *src, size_t bytes);
    /* The memory that data points into is used on stream besides its own. */
    bool (*used_on)(int device, const void *data, void *stream);

    /* Around every kernel; leave follows where enter gave true. */
    bool (*enter)(const char *name, const terni_call *call);
    void (*leave)(void);
    void (*range_push)(const char *name);
    void (*range_pop)(void);
} terni_runtime;

/* ---- the table ------------------------------------------------------------------------------------------------ */

/* Eight bytes of device memory, and what they become. */
typedef struct terni_cell {
    void *at;
    uint64_t bits;
} terni_cell;

typedef struct terni_backend {
    uint32_t abi;  /* TERNI_BACKEND_ABI */
    uint32_t size; /* sizeof(terni_backend) */
    const char *name;

    /* Devices that can be used; if none, why not, into reason. */
    int (*device_count)(char *reason, size_t size);
    /* A line or more for tern_info. */
    void (*info)(char *text, size_t size);
    bool (*set_threads)(int threads);
    int (*threads)(void);
    /* Device memory; bytes > 0; 64-byte aligned or better. *data NULL after host->fail. */
    bool (*alloc)(int device, size_t bytes, void **data);
    void (*free)(int device, void *data, size_t bytes);
    void (*trim)(int device);
    /* Between host memory and the device; both return when the host's memory is done with. */
    bool (*upload)(int device, void *dst, const void *src, size_t bytes);
    bool (*download)(int device, void *dst, const void *src, size_t bytes);
    bool (*sync)(int device);
    const terni_runtime *runtime; /* NULL: everything is done when a call returns */

    /* Captured graphs (core/graph.h); NULL in a backend without. Between begin and end the calling thread's work on the
     * device is recorded instead of done, and its allocations come from a pool of the graph; end gives the graph, or
     * NULL, after host->fail where keep is true. Both leave the device usable whatever happens. replay writes the cells
     * in the stream's order, then queues the work. free returns how many blocks of the pool are still allocated: these
     * become ordinary ones. spoil: the capture under way comes to nothing, because of what, a phrase. */
    bool (*capture_begin)(int device);
    void *(*capture_end)(int device, bool keep);
    void (*capture_spoil)(int device, const char *what);
    bool (*graph_replay)(void *graph, const terni_cell *cells, int n);
    int64_t (*graph_free)(void *graph);

    /* Elementwise. All views of a call have the same shape (broadcast inputs have strides of 0).
     *   unary        in x               out y        opts: double[3], p, q and r, for rows with parameters
     *   unary_grad   in g, s            out g * slope      s is x, or y for TERN_UNARY_Y rows; opts as above
     *   unary_curv   in h, s            out h * curvature
     *   binary       in a, b            out value          a and b have out's dtype
     *   binary_da    in g, a, b         out g * d/da       binary_db likewise
     *   ternary      in x, a, b         out value          opts: double, p; b may be any view if the row has no b
     *   compare      in a, b            out bool           a and b have one dtype
     *   test_of      in x               out bool
     *   bits         in a, b            out value          integers, or bool; a and b have out's dtype */
    terni_kernel unary[TERNI_UNARY_COUNT], unary_grad[TERNI_UNARY_COUNT], unary_curv[TERNI_UNARY_COUNT];
    terni_kernel binary[TERNI_BINARY_COUNT], binary_da[TERNI_BINARY_COUNT], binary_db[TERNI_BINARY_COUNT];
    terni_kernel ternary[TERNI_TERNARY_COUNT];
    terni_kernel compare[TERNI_COMPARE_COUNT], test_of[TERNI_TEST_OF_COUNT], bits[TERNI_BITS_COUNT];
    terni_kernel op[TERNI_OP_COUNT];
} terni_backend;

/* The exported entry. Returns NULL, with the reason in text, when the backend cannot work here. */
typedef const terni_backend *(*terni_backend_entry_fn)(const terni_host *host, char *reason, size_t size);

/* ---- structured kernels: options and contracts, by family -------------------------------------------------------- *
 * "Contiguous" is row-major without gaps. The accumulation dtype A is f64 for f64, else f32. */

#include "contracts/attention.h"
#include "contracts/conv.h"
#include "contracts/image.h"
#include "contracts/index.h"
#include "contracts/linalg.h"
#include "contracts/loss.h"
#include "contracts/norm.h"
#include "contracts/random.h"
#include "contracts/recurrent.h"
#include "contracts/reduce.h"
#include "contracts/shape.h"
#include "contracts/update.h"

#ifdef __cplusplus
}
#endif
#endif
