/* What the runtime asks of CUDA, as a table of functions, so that its logic (allocator, streams, sticky errors, graphs)
 * runs in tests on a machine without a GPU, against a driver that fails when it is told to. Private to cuda/.
 *
 * Every function returns 0 or an error's number. driver_cuda.cu is the real one; tests/cusim has the other. */
#ifndef TERNI_CUDA_DRIVER_H
#define TERNI_CUDA_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void *terni_stream;
typedef void *terni_event;

enum {
    TERNI_DRIVER_INVALID = 1,
    TERNI_DRIVER_NO_MEMORY = 2,
    TERNI_DRIVER_NOT_READY = 600
}; /* as cudaError_t has them */

typedef enum terni_copy_kind {
    TERNI_COPY_TO_DEVICE = 1,
    TERNI_COPY_TO_HOST = 2,
    TERNI_COPY_WITHIN = 3
} terni_copy_kind;

typedef struct terni_device_properties {
    char name[128];
    int major, minor; /* compute capability */
    int processors;   /* multiprocessors */
    int shared_bytes; /* a block may have, after opting in */
    size_t bytes;
    int driver, runtime; /* 13000 is 13.0 */
} terni_device_properties;

typedef struct terni_driver {
    int (*device_count)(int *n);
    int (*use_device)(int device); /* of the calling thread */
    int (*properties)(int device, terni_device_properties *p);
    int (*mem_info)(size_t *free, size_t *total);

    int (*device_alloc)(void **p, size_t bytes);
    int (*device_free)(void *p);
    int (*host_alloc)(void **p, size_t bytes); /* pinned, seen by the device at the same address */
    int (*host_free)(void *p);
    /* A copy from the host memory at p may go on after it was asked for: the device can read it by itself. */
    int (*pinned)(const void *p, bool *yes);
    int (*copy)(void *dst, const void *src, size_t bytes, terni_copy_kind kind, terni_stream s);
    int (*copy_between)(void *dst, int to, const void *src, int from, size_t bytes, terni_stream s);
    int (*fill)(void *dst, int byte, size_t bytes, terni_stream s);

    int (*stream_new)(terni_stream *s);
    int (*stream_free)(terni_stream s);
    int (*stream_wait)(terni_stream s);                /* the host waits */
    int (*stream_query)(terni_stream s);               /* 0, TERNI_DRIVER_NOT_READY or an error */
    int (*stream_captured)(terni_stream s, bool *yes); /* by any thread */
    int (*event_new)(terni_event *e, bool timed);
    int (*event_free)(terni_event e);
    int (*event_record)(terni_event e, terni_stream s);
    int (*event_query)(terni_event e); /* 0, TERNI_DRIVER_NOT_READY or an error */
    int (*event_wait)(terni_event e);  /* the host waits */
    int (*stream_after)(terni_stream s, terni_event e);
    int (*event_elapsed)(float *ms, terni_event from, terni_event to);

    int (*capture_begin)(terni_stream s);
    int (*capture_end)(terni_stream s, void **graph); /* an executable graph; NULL if the capture was spoilt */
    int (*graph_launch)(void *graph, terni_stream s);
    int (*graph_free)(void *graph);

    int (*range_push)(const char *name); /* for profilers */
    int (*range_pop)(void);

    int (*launched)(void); /* the last launch's error, which is forgotten */
    const char *(*describe)(int error);
    bool (*sticky)(int error); /* the context is lost */
} terni_driver;

/* The one this module was built with. */
extern const terni_driver terni_cuda_driver_table;

#ifdef __cplusplus
}
#endif
#endif
