/* The CUDA backend: the kernels behind core/backend.h for NVIDIA GPUs, and the runtime under them. Sees plain views,
 * never a tensor; of core it includes backend.h, the elementwise rows, and headers of what both backends reckon alike.
 *
 * Layers: driver.h (what is asked of CUDA) < allocator.h, runtime.c (devices, streams, faults; plain C) < launch.h (one
 * macro that launches a kernel, on a device or in the simulation of tests/cusim) < the kernels, .cu files. A row's
 * kernel is terni_cuda_ROW. Kernels use the vocabulary of launch.h alone, so that the simulation can run them; what
 * cannot be simulated (tensor cores) stands in files of its own, each beside a plain kernel. NVIDIA's libraries are
 * opened at run time (library.h); the calls to one stand in library_X.c behind a table of functions in Tern's own
 * types, and the simulation has its own library_X_sim.c in its place (for recurrent layers, below it: a cuDNN).
 *
 * Kernels only queue work: what goes wrong on the device is noted in the device's fault and reported by the next call
 * that waits (sync, download). */
#ifndef TERNI_CUDA_INTERNAL_H
#define TERNI_CUDA_INTERNAL_H

#include "allocator.h"
#include "backend.h"
#include "driver.h"
#include "library.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const terni_host *terni_cuda_host;
#define terni_cuda_fail(code, ...) terni_cuda_host->fail(code, __FILE__, __LINE__, __VA_ARGS__)

/* ---- faults: what a kernel found wrong, in memory that host and device see
 * ------------------------------------------------ */

typedef enum terni_fault_kind {
    TERNI_FAULT_NONE = 0,
    TERNI_FAULT_INDEX,         /* "OP: index VALUE at position POSITION is outside dimension LOW of size HIGH" */
    TERNI_FAULT_TARGET,        /* "OP: target VALUE at position POSITION is outside [LOW, HIGH)" */
    TERNI_FAULT_PROBABILITY,   /* "OP: a probability is not in [0, 1]" */
    TERNI_FAULT_WEIGHTS,       /* "OP: row POSITION ..." of multinomial; VALUE says what */
    TERNI_FAULT_INPUT_LENGTH,  /* "OP: input length VALUE of sequence POSITION, expected LOW to HIGH" */
    TERNI_FAULT_TARGET_LENGTH, /* "OP: target length ..." */
    TERNI_FAULT_LABEL,         /* "OP: target VALUE of sequence POSITION is outside [LOW, HIGH)" */
} terni_fault_kind;

typedef struct terni_fault {
    int kind; /* set by the first thread that finds one, last written by it; -1 while it writes the rest */
    int64_t value, position, low, high;
    const char *op, *caller; /* strings of the host; caller, the public function that op is part of, or NULL */
} terni_fault;

/* What a kernel that may find a fault is given. The names come from the host, as a string in a kernel's own text lies
 * in the device's memory. */
typedef struct terni_blame {
    terni_fault *fault;
    const char *op, *caller;
} terni_blame;

/* ---- devices (runtime.c)
 * ---------------------------------------------------------------------------------------------------- */

enum { TERNI_CUDA_DEVICES = 64 };

/* A stream, and what went wrong in its kernels. Streams go back to their device, never to the driver, as blocks of
 * memory name them; a new one is the first that is spare. */
typedef struct terni_cuda_queue {
    terni_stream stream;
    terni_fault *fault;
    bool spare;
    struct terni_cuda_queue *next; /* of the device */
} terni_cuda_queue;

/* A device as one thread sees it: each has a copy of its own. What threads share stands behind the pointers. */
typedef struct terni_cuda_device {
    int index;
    terni_allocator *allocator;
    terni_cuda_queue *queue; /* the thread's current one; stream and fault are its */
    terni_stream stream;     /* the calling thread's work goes here */
    terni_fault *fault;
    terni_device_properties properties;
} terni_cuda_device;

/* The driver in use; tests put another in. */
extern const terni_driver *terni_cuda_driver;

/* For a kernel of op, in the function that is being called. */
terni_blame terni_cuda_blame(const terni_cuda_device *d, const char *op);
/* The device, made ready and made the calling thread's, in CUDA too; NULL after an error. */
terni_cuda_device *terni_cuda_use(int index);
/* What must be looked at: the compiler says where it is not. */
#define TERNI_CHECKED __attribute__((warn_unused_result))

/* True for 0; else false after an error that names what was called and where. A sticky error stays. */
TERNI_CHECKED bool terni_cuda_ok(int rc, const char *what, const char *file, int line);
#define TERNI_CUDA_OK(call) terni_cuda_ok((call), #call, __FILE__, __LINE__)
/* Takes note of an error where none can be given: one that loses the context is reported by the next call. */
void terni_cuda_note(int rc);
/* After a launch. */
TERNI_CHECKED bool terni_cuda_launched(const char *kernel, const char *file, int line);

/* Scratch memory of the device's stream. Freed in any order, also right after the launch that uses it. */
TERNI_CHECKED void *terni_cuda_scratch(terni_cuda_device *d, size_t bytes);
void terni_cuda_scratch_free(terni_cuda_device *d, void *p);

int terni_cuda_device_count(char *reason, size_t size);
void terni_cuda_info(char *text, size_t size);
bool terni_cuda_alloc(int device, size_t bytes, void **data);
void terni_cuda_free(int device, void *data, size_t bytes);
void terni_cuda_trim(int device);
bool terni_cuda_upload(int device, void *dst, const void *src, size_t bytes);
bool terni_cuda_download(int device, void *dst, const void *src, size_t bytes);
bool terni_cuda_sync(int device);
/* Errors for what kernels of a stream found wrong, once its work was waited for. */
bool terni_cuda_report(terni_fault *fault);
/* A stream of the device beside its own, for the program; it goes back as spare. */
terni_cuda_queue *terni_cuda_queue_get(int device);
void terni_cuda_queue_put(int device, terni_cuda_queue *q);
/* Makes q, or the device's own stream, the calling thread's. */
bool terni_cuda_queue_use(int device, terni_cuda_queue *q);
/* There are streams besides the devices' own. */
bool terni_cuda_many(void);
/* The device if it is ready, else NULL; no error. */
terni_cuda_device *terni_cuda_seen(int device);
/* Tells the allocator that data is used on the thread's stream, if there are many. */
TERNI_CHECKED bool terni_cuda_touch(terni_cuda_device *d, const void *data);

/* Gives pinned memory that nobody has back to the system. */
void terni_cuda_pinned_trim(void);

/* What core finds in the backend's table (stream.c). */
extern const terni_runtime terni_cuda_runtime;

/* ---- captured graphs (graph.c)
 * ---------------------------------------------------------------------------------------------------------- */

bool terni_cuda_capture_begin(int device);
void *terni_cuda_capture_end(int device, bool keep);
void terni_cuda_capture_spoil(int device, const char *what);
bool terni_cuda_graph_replay(void *graph, const terni_cell *cells, int n);
int64_t terni_cuda_graph_free(void *graph);

/* May this thread use the device now? False after an error, which spoils the capture under way, if another thread
 * captures it or this one captures another. */
bool terni_cuda_capture_allows(int device);
/* True unless this thread captures the device; else false after an error that names what was tried. */
bool terni_cuda_not_captured(int device, const char *what);
/* An error of CUDA's: spoils this thread's capture, if there is one. */
void terni_cuda_capture_failed(const char *what);
/* p is being freed: true if the capture under way holds it until its graph is freed. */
bool terni_cuda_capture_holds(int device, void *p);
/* If this thread captures: true, and give(from, what) is called when the graph is freed and has done its work. */
bool terni_cuda_capture_keeps(void (*give)(void *from, void *what), void *from, void *what);
/* Writes n cells in the stream's order (cells.cu). */
bool terni_cuda_set_cells(terni_cuda_device *d, const terni_cell *cell, int n);

/* ---- views (views.c)
 * ------------------------------------------------------------------------------------------------------------ */

size_t terni_cuda_size(int dtype);
static inline bool terni_cuda_is_float(int dtype) {
    return dtype == TERN_F32 || dtype == TERN_F64 || dtype == TERN_F16 || dtype == TERN_BF16;
}
int64_t terni_cuda_count(const terni_view *v);
bool terni_cuda_contiguous(const terni_view *v);

/* A constant as one element of dtype, in the low bytes. */
void terni_cuda_constant(int dtype, const terni_fill_opts *o, uint64_t *bits);

enum { TERNI_EACH_VIEWS = 4 };

/* Several views of one shape, without dimensions of size 1 and with neighbours joined where all views let them.
 * Dimension 0 is the innermost. */
typedef struct terni_each {
    int n_views, ndim;
    int64_t n;
    int64_t shape[TERN_MAX_DIMS];
    int64_t stride[TERNI_EACH_VIEWS][TERN_MAX_DIMS]; /* elements */
    void *data[TERNI_EACH_VIEWS];
} terni_each;
/* False if there is nothing to do. */
bool terni_cuda_join(terni_each *e, const terni_view *const *v, int n);

/* ---- kernels, one a row
 * ------------------------------------------------------------------------------------------------------------ */

/* A row without a kernel is a link error. */
#define TERN_OP(name) bool terni_cuda_##name(const terni_call *c);
#include "ops.def"
#define ROW(name)                                       \
    bool terni_cuda_##name(const terni_call *c);        \
    bool terni_cuda_##name##_grad(const terni_call *c); \
    bool terni_cuda_##name##_curv(const terni_call *c);
#define TERN_UNARY(name, ...)     ROW(name)
#define TERN_UNARY_Y(name, ...)   ROW(name)
#define TERN_UNARY_P(name, ...)   ROW(name)
#define TERN_UNARY_PQ(name, ...)  ROW(name)
#define TERN_UNARY_PQR(name, ...) ROW(name)
#define TERN_BINARY(name, ...)                        \
    bool terni_cuda_##name(const terni_call *c);      \
    bool terni_cuda_##name##_da(const terni_call *c); \
    bool terni_cuda_##name##_db(const terni_call *c);
#define TERN_COMPARE(name, ...) bool terni_cuda_##name(const terni_call *c);
#define TERN_TERNARY(name, ...) TERN_COMPARE(name, )
#define TERN_TEST_OF(name, ...) TERN_COMPARE(name, )
#define TERN_BITS(name, ...)    TERN_COMPARE(name, )
#include "elementwise.def"
#undef ROW

#ifdef __cplusplus
}
#endif
#endif
