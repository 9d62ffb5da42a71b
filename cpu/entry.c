/* The module's entry: the table of kernels, a row each, and memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blas.h"

const terni_host *terni_cpu_host;

static int device_count(char *reason, size_t size) {
    (void)reason, (void)size;
    return 1;
}

static void info(char *text, size_t size) {
    const int n = snprintf(text, size, "  instruction set %s, %d thread%s\n  ", TERNI_CPU_LEVEL, terni_cpu_threads(),
                           terni_cpu_threads() == 1 ? "" : "s");
    if (n > 0 && (size_t)n < size) terni_cpu_blas_info(text + n, size - (size_t)n);
}

/* Tensors on the CPU keep their data behind their head, so core allocates it; this is for completeness of the table. */
static bool alloc(int device, size_t bytes, void **data) {
    (void)device;
    *data = terni_cpu_host->alloc(bytes);
    return *data != NULL;
}
static void release(int device, void *data, size_t bytes) {
    (void)device;
    terni_cpu_host->free(data, bytes);
}
static void trim(int device) { (void)device; }
static bool copy_bytes(int device, void *dst, const void *src, size_t bytes) {
    (void)device;
    memcpy(dst, src, bytes);
    return true;
}
static bool sync_device(int device) {
    (void)device;
    return true;
}

static const terni_backend table = {
    .abi = TERNI_BACKEND_ABI,
    .size = sizeof(terni_backend),
    .name = "cpu",
    .device_count = device_count,
    .info = info,
    .set_threads = terni_cpu_set_threads,
    .threads = terni_cpu_threads,
    .alloc = alloc,
    .free = release,
    .trim = trim,
    .upload = copy_bytes,
    .download = copy_bytes,
    .sync = sync_device,
#define ROW(name)                                                                                             \
    .unary[TERNI_UNARY_##name] = terni_cpu_##name, .unary_grad[TERNI_UNARY_##name] = terni_cpu_##name##_grad, \
    .unary_curv[TERNI_UNARY_##name] = terni_cpu_##name##_curv,
#define TERN_UNARY(name, ...)     ROW(name)
#define TERN_UNARY_Y(name, ...)   ROW(name)
#define TERN_UNARY_P(name, ...)   ROW(name)
#define TERN_UNARY_PQ(name, ...)  ROW(name)
#define TERN_UNARY_PQR(name, ...) ROW(name)
#define TERN_BINARY(name, ...)                                                                                \
    .binary[TERNI_BINARY_##name] = terni_cpu_##name, .binary_da[TERNI_BINARY_##name] = terni_cpu_##name##_da, \
    .binary_db[TERNI_BINARY_##name] = terni_cpu_##name##_db,
#define TERN_TERNARY(name, ...) .ternary[TERNI_TERNARY_##name] = terni_cpu_##name,
#define TERN_COMPARE(name, ...) .compare[TERNI_COMPARE_##name] = terni_cpu_##name,
#define TERN_TEST_OF(name, ...) .test_of[TERNI_TEST_OF_##name] = terni_cpu_##name,
#define TERN_BITS(name, ...)    .bits[TERNI_BITS_##name] = terni_cpu_##name,
#include "elementwise.def"
#define TERN_OP(name) .op[TERNI_OP_##name] = terni_cpu_##name,
#define TERN_OP_CUDA(name)
#include "ops.def"
};

TERN_API const terni_backend *terni_backend_entry(const terni_host *host, char *reason, size_t size);
const terni_backend *terni_backend_entry(const terni_host *host, char *reason, size_t size) {
    terni_cpu_host = host;
    return terni_cpu_blas_choice(reason, size) ? &table : NULL;
}
