/* The module's entry: the table of kernels, a row each. */
#include "internal.h"

/* Threads are the CPU backend's. */
static bool set_threads(int threads) {
    (void)threads;
    return true;
}
static int threads(void) { return 1; }

static const terni_backend table = {
    .abi = TERNI_BACKEND_ABI,
    .size = sizeof(terni_backend),
    .name = "cuda",
    .device_count = terni_cuda_device_count,
    .info = terni_cuda_info,
    .set_threads = set_threads,
    .threads = threads,
    .alloc = terni_cuda_alloc,
    .free = terni_cuda_free,
    .trim = terni_cuda_trim,
    .upload = terni_cuda_upload,
    .download = terni_cuda_download,
    .sync = terni_cuda_sync,
    .runtime = &terni_cuda_runtime,
    .capture_begin = terni_cuda_capture_begin,
    .capture_end = terni_cuda_capture_end,
    .capture_spoil = terni_cuda_capture_spoil,
    .graph_replay = terni_cuda_graph_replay,
    .graph_free = terni_cuda_graph_free,
#define ROW(name)                                                                                               \
    .unary[TERNI_UNARY_##name] = terni_cuda_##name, .unary_grad[TERNI_UNARY_##name] = terni_cuda_##name##_grad, \
    .unary_curv[TERNI_UNARY_##name] = terni_cuda_##name##_curv,
#define TERN_UNARY(name, ...)     ROW(name)
#define TERN_UNARY_Y(name, ...)   ROW(name)
#define TERN_UNARY_P(name, ...)   ROW(name)
#define TERN_UNARY_PQ(name, ...)  ROW(name)
#define TERN_UNARY_PQR(name, ...) ROW(name)
#define TERN_BINARY(name, ...)                                                                                  \
    .binary[TERNI_BINARY_##name] = terni_cuda_##name, .binary_da[TERNI_BINARY_##name] = terni_cuda_##name##_da, \
    .binary_db[TERNI_BINARY_##name] = terni_cuda_##name##_db,
#define TERN_TERNARY(name, ...) .ternary[TERNI_TERNARY_##name] = terni_cuda_##name,
#define TERN_COMPARE(name, ...) .compare[TERNI_COMPARE_##name] = terni_cuda_##name,
#define TERN_TEST_OF(name, ...) .test_of[TERNI_TEST_OF_##name] = terni_cuda_##name,
#define TERN_BITS(name, ...)    .bits[TERNI_BITS_##name] = terni_cuda_##name,
#include "elementwise.def"
#define TERN_OP(name) .op[TERNI_OP_##name] = terni_cuda_##name,
#include "ops.def"
};

TERN_API const terni_backend *terni_backend_entry(const terni_host *host, char *reason, size_t size);
const terni_backend *terni_backend_entry(const terni_host *host, char *reason, size_t size) {
    (void)reason, (void)size;
    terni_cuda_host = host;
    return &table;
}
