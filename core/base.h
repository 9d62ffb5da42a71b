/* Tern's ground: version, dtypes, devices, shapes and errors. Included by every other public header. */
#ifndef TERN_BASE_H
#define TERN_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TERN_API               __attribute__((visibility("default")))
#define TERN_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define TERN_API
#define TERN_PRINTF(fmt, args)
#endif

#define TERN_VERSION_MAJOR 0
#define TERN_VERSION_MINOR 1
#define TERN_VERSION_PATCH 0

#define TERN_MAX_DIMS 8 /* the most dimensions that a tensor can have */

/* ---- dtypes ------------------------------------------------------------------------------------------------- */

typedef enum tern_dtype {
    TERN_F32 = 0, /* the default of every creation function */
    TERN_F64,
    TERN_F16,
    TERN_BF16,
    TERN_I64,
    TERN_I32,
    TERN_U8,
    TERN_BOOL,
    TERN_DTYPE_COUNT
} tern_dtype;

/* Bytes of one element. 0 for a value that is no dtype. Thread-safe. */
TERN_API size_t tern_dtype_size(tern_dtype dtype);
/* "f32", "i64", ... ; "?" for a value that is no dtype. Static storage. Thread-safe. */
TERN_API const char *tern_dtype_name(tern_dtype dtype);
/* True for f64 f32 f16 bf16. Thread-safe. */
TERN_API bool tern_dtype_is_float(tern_dtype dtype);
/* The dtype in which a and b meet, as the Python array API standard's promotion table has it; where the standard
 * leaves a pair open (integer with float, bool with any), the float, or the other, wins. Thread-safe. */
TERN_API tern_dtype tern_dtype_promote(tern_dtype a, tern_dtype b);

/* ---- devices ------------------------------------------------------------------------------------------------ */

typedef enum tern_device_type { TERN_CPU = 0, TERN_CUDA = 1, TERN_DEVICE_TYPE_COUNT } tern_device_type;

typedef struct tern_device {
    int16_t type; /* tern_device_type */
    int16_t index;
} tern_device;

/* The CPU. Thread-safe. */
TERN_API tern_device tern_cpu(void);
/* GPU number index, whether or not it is there: the first use tells. Thread-safe. */
TERN_API tern_device tern_cuda(int index);
/* The first GPU that can be used, else the CPU. Loads the CUDA module when it is there. Thread-safe. */
TERN_API tern_device tern_device_default(void);
/* True if the device can be used now. Records no error; tern_info says why not. Thread-safe. */
TERN_API bool tern_device_available(tern_device device);
/* "cpu", "cuda", "cuda:1" or "auto" (tern_device_default) to a device.
 * Errors: TERN_ERR_ARGUMENT for another text. Thread-safe. */
TERN_API bool tern_device_parse(const char *text, tern_device *device);
/* Writes "cpu" or "cuda:0" into buf, cut to size. Returns buf. Thread-safe. */
TERN_API const char *tern_device_name(tern_device device, char *buf, size_t size);
TERN_API bool tern_device_equal(tern_device a, tern_device b);

/* ---- errors ------------------------------------------------------------------------------------------------- *
 * A function that fails returns NULL or false and records the first error of the calling thread. While an error is
 * pending, every op returns NULL and changes nothing, so a program checks once per step:
 *
 *     if (!tern_ok()) { fprintf(stderr, "%s\n", tern_error_message()); tern_error_clear(); }
 *
 * An op that is given NULL returns NULL as well. Freeing functions always work. */

typedef enum tern_code {
    TERN_OK = 0,
    TERN_ERR_ARGUMENT, /* a value outside its range, NULL where something is needed */
    TERN_ERR_SHAPE,    /* shapes that do not fit together */
    TERN_ERR_DTYPE,    /* a dtype that the op does not take */
    TERN_ERR_DEVICE,   /* devices that differ, or one that cannot be used */
    TERN_ERR_INDEX,    /* an index outside its dimension */
    TERN_ERR_MEMORY,   /* no memory left */
    TERN_ERR_AUTOGRAD, /* a gradient that cannot be had */
    TERN_ERR_IO,       /* a file that cannot be read or written */
    TERN_ERR_FORMAT,   /* a file whose content is not what it should be */
    TERN_ERR_UNSUPPORTED,
    TERN_ERR_INTERNAL
} tern_code;

/* True if the calling thread has no pending error. */
TERN_API bool tern_ok(void);
/* The pending error's code, TERN_OK if there is none. */
TERN_API tern_code tern_error_code(void);
/* The pending error's text ("matmul: ... (core/ops/matmul.c:41)"), "" if there is none. Valid until the thread's error
 * is cleared. */
TERN_API const char *tern_error_message(void);
/* Forgets the calling thread's error; ops work again. */
TERN_API void tern_error_clear(void);
/* Records an error for the calling thread, unless one is pending; for programs and extensions that join in. Always
 * returns false. */
TERN_API bool tern_error_set(tern_code code, const char *format, ...) TERN_PRINTF(2, 3);
/* "TERN_ERR_SHAPE" and the like. Static storage. Thread-safe. */
TERN_API const char *tern_code_name(tern_code code);

typedef void (*tern_error_handler)(tern_code code, const char *message, void *user);
/* Calls handler(code, message, user) on the thread that records a first error, for all threads. The default handler
 * prints the message to stderr; NULL installs one that does nothing. Thread-safe. */
TERN_API void tern_on_error(tern_error_handler handler, void *user);

/* ---- shapes ------------------------------------------------------------------------------------------------- */

typedef struct tern_shape {
    int ndim;
    int64_t dim[TERN_MAX_DIMS];
} tern_shape;

/* TERN_SHAPE(2, 3, 4): a tern_shape. A scalar's is tern_shape_scalar(). C only; C++ has tern_shape_of. */
#define TERN_SHAPE(...) \
    tern_shape_of((int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})
/* Copies ndim sizes. ndim above TERN_MAX_DIMS gives a shape that every function refuses. Thread-safe. */
TERN_API tern_shape tern_shape_of(int ndim, const int64_t *dim);
TERN_API tern_shape tern_shape_scalar(void);
TERN_API bool tern_shape_equal(tern_shape a, tern_shape b);
/* Writes "[2, 3]" into buf, cut to size. Returns buf. Thread-safe. */
TERN_API const char *tern_shape_text(tern_shape shape, char *buf, size_t size);

/* ---- library ------------------------------------------------------------------------------------------------ */

/* "0.1.0". Static storage. Thread-safe. */
TERN_API const char *tern_version(void);
/* What this build and machine offer: version, modules found and why others cannot be used, the CPU's instruction set,
 * BLAS library, core type and threads. Writes text into buf, cut to size. Returns buf. Loads the modules. Thread-safe.
 */
TERN_API const char *tern_info(char *buf, size_t size);
/* Threads that CPU kernels may use, 1 or more. 0 means as many as the process may run on (the default; TERN_THREADS
 * in the environment changes it). Errors: TERN_ERR_ARGUMENT for a negative number. Not while another thread computes.
 */
TERN_API bool tern_set_threads(int threads);
TERN_API int tern_threads(void);
/* May nothing be used whose results differ from run to run on one device? For the whole process; false at first. It
 * concerns rnn, gru and lstm on a GPU, all else being so in any case: NVIDIA's library repeats itself only where the
 * environment's CUBLAS_WORKSPACE_CONFIG names one size of buffers (":4096:2", before the program starts); without it
 * Tern's own kernels take its place. Returns what it was. Thread-safe.
 * Source: NVIDIA, cuBLAS, results reproducibility. */
TERN_API bool tern_deterministic(bool on);
TERN_API bool tern_deterministic_get(void);

#ifdef __cplusplus
}
#endif
#endif
