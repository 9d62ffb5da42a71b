/* cuDNN's plans for convolutions, made by cuda/library_conv.c for a GPU that need not be there: cuDNN chooses engines
 * and finishes plans from a description of the device. What is not checked here is their execution. Skipped, with the
 * reason, where there is no cuDNN. */
#include "common.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "library_conv.h"

/* An H200, from its data sheet and the CUDA programming guide's table for compute capability 9.0. */
static const char h200[] =
    "{\"maxGridSize\": [2147483647, 65535, 65535], \"maxBlockSize\": [1024, 1024, 64], \"regsPerBlock\": 65536, "
    "\"multiProcessorCount\": 132, \"smClockRateKHz\": 1980000, \"memClockRateKHz\": 3201000, "
    "\"l2CacheSize\": 62914560, \"warpSize\": 32, \"maxSharedMemoryPerBlock\": 49152, "
    "\"maxSharedMemoryPerBlockOptin\": 232448, \"reservedSharedMemoryPerBlock\": 1024, \"maxRegistersPerSM\": 65536, "
    "\"pciDeviceId\": 0, \"maxCtasPerSM\": 32, \"maxThreadsPerBlock\": 1024, \"maxThreadsPerSM\": 2048, "
    "\"isTccDriver\": 0, \"supportCoopLaunch\": 1, \"deviceVer\": 900, \"driverVer\": 13000, "
    "\"totalGlobalMem\": 150000000000, \"cudaDeviceId\": 0, \"deviceName\": \"NVIDIA H200\"}";

static int live;         /* plans' memory */
static char error[2000]; /* the last one */

static void *take(size_t bytes) {
    live++;
    return malloc(bytes);
}
static void put_back(void *p, size_t bytes) {
    (void)bytes;
    live--;
    free(p);
}
static bool fail(tern_code code, const char *file, int line, const char *format, ...) {
    va_list list;
    (void)code, (void)file, (void)line;
    va_start(list, format);
    vsnprintf(error, sizeof error, format, list);
    va_end(list);
    return false;
}
static const terni_host host = {.alloc = take, .free = put_back, .fail = fail};
const terni_host *terni_cuda_host = &host;

static bool ready(void) {
    char why[1000] = "";
    if (TEST_ASAN) { /* what cuDNN and cuBLASLt keep for themselves counts as leaks there */
        printf("skipped: NVIDIA's libraries leak\n");
        return false;
    }
    terni_cuda_library_conv_describe(h200);
    if (terni_cuda_library_conv.open(why, sizeof why)) return true;
    printf("skipped: %s\n", why);
    return false;
}

typedef struct shape {
    const char *name;
    int axes;
    int64_t n, c, o, groups;
    int64_t in[3], k[3], stride, dilation, before, after;
} shape;

static const shape shapes[] = {
    {"3x3", 2, 32, 64, 64, 1, {56, 56}, {3, 3}, 1, 1, 1, 1},
    {"3x3, stride 2", 2, 64, 256, 512, 1, {14, 14}, {3, 3}, 2, 1, 1, 1},
    {"7x7 of 3 channels", 2, 32, 3, 64, 1, {224, 224}, {7, 7}, 2, 1, 3, 3},
    {"1 channel", 2, 128, 1, 32, 1, {28, 28}, {3, 3}, 1, 1, 1, 1},
    {"1x1", 2, 8, 256, 64, 1, {28, 28}, {1, 1}, 1, 1, 0, 0},
    {"one axis", 2, 2, 2, 3, 1, {1, 7}, {1, 3}, 1, 1, 0, 0},
    {"dilated", 2, 8, 64, 64, 1, {28, 28}, {3, 3}, 1, 2, 2, 2},
    {"groups", 2, 8, 64, 128, 4, {28, 28}, {3, 3}, 1, 1, 1, 1},
    {"more zeros after", 2, 2, 2, 3, 1, {9, 11}, {2, 4}, 1, 1, 0, 1},
    {"three axes", 3, 2, 8, 8, 1, {6, 9, 11}, {3, 3, 3}, 1, 1, 1, 1},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static terni_conv_problem problem_of(const shape *s, int kind, int dtype) {
    terni_conv_problem p;
    memset(&p, 0, sizeof p);
    p.kind = kind;
    p.dtype = dtype;
    p.axes = s->axes;
    p.align_x = p.align_w = p.align_y = 16;
    p.x[0] = p.y[0] = s->n;
    p.x[1] = s->c;
    p.w[0] = p.y[1] = s->o;
    p.w[1] = s->c / s->groups;
    p.groups = s->groups;
    for (int a = 0; a < s->axes; a++) {
        const bool flat = s->in[a] == 1;
        p.x[2 + a] = s->in[a];
        p.w[2 + a] = s->k[a];
        p.stride[a] = s->stride;
        p.dilation[a] = s->dilation;
        p.before[a] = flat ? 0 : s->before;
        p.after[a] = flat ? 0 : s->after;
        p.y[2 + a] = (s->in[a] + p.before[a] + p.after[a] - s->dilation * (s->k[a] - 1) - 1) / s->stride + 1;
    }
    return p;
}

/* Has the problem a plan? Its workspace must stay below what is allowed. */
static bool planned(const terni_conv_problem *p, size_t most, size_t *workspace) {
    void *plan = NULL;
    const int before = live;
    *workspace = 0;
    error[0] = 0;
    const bool ok = terni_cuda_library_conv.plan_new(p, most, &plan, workspace);
    CHECK(ok, "%s", error);
    CHECK(*workspace <= most);
    CHECK(live == before + (plan ? 1 : 0));
    terni_cuda_library_conv.plan_free(plan);
    CHECK(live == before);
    return plan != NULL;
}

TERN_TEST(cuda_library_conv, every_kind_and_dtype_has_a_plan) {
    static const int dtypes[] = {TERN_F32, TERN_F16, TERN_BF16, TERN_F64};
    size_t workspace;
    if (!ready()) return;
    for (int s = 0; s < SHAPES; s++)
        for (int d = 0; d < 4; d++)
            for (int kind = 0; kind < 3; kind++)
                for (int accumulate = 0; accumulate < 2; accumulate++) {
                    terni_conv_problem p = problem_of(&shapes[s], kind, dtypes[d]);
                    p.accumulate = accumulate;
                    CHECK(planned(&p, (size_t)1 << 30, &workspace), "%s, kind %d, %s", shapes[s].name, kind,
                          tern_dtype_name((tern_dtype)dtypes[d]));
                }
}

/* Tensor cores show by their workspace: for NCHW their engines transpose into it. */
TERN_TEST(cuda_library_conv, tensor_cores_where_they_may_be) {
    size_t plain, tf32, half, unaligned;
    if (!ready()) return;
    for (int kind = 0; kind < 3; kind++) {
        const size_t most = (size_t)1 << 30, image = (size_t)32 * 64 * 56 * 56 * 2;
        terni_conv_problem p = problem_of(&shapes[0], kind, TERN_F32);
        CHECK(planned(&p, most, &plain));
        CHECK(plain < image, "f32 without tf32 takes %zu bytes", plain);
        p.tf32 = 1;
        CHECK(planned(&p, most, &tf32));
        CHECK(tf32 >= image, "tf32 takes %zu bytes", tf32);
        p = problem_of(&shapes[0], kind, TERN_BF16);
        CHECK(planned(&p, most, &half));
        CHECK(half >= image, "bf16 takes %zu bytes", half);
        p.align_x = p.align_w = p.align_y = 2;
        CHECK(planned(&p, most, &unaligned));
    }
}

TERN_TEST(cuda_library_conv, workspace_is_limited) {
    size_t workspace;
    if (!ready()) return;
    for (int kind = 0; kind < 3; kind++) {
        const terni_conv_problem p = problem_of(&shapes[0], kind, TERN_BF16);
        planned(&p, 0, &workspace); /* checks that nothing above it is taken, and that nothing leaks */
        CHECK(planned(&p, (size_t)64 << 20, &workspace));
    }
}

/* What does not fit together has no plan, and is no crash. */
TERN_TEST(cuda_library_conv, sizes_that_contradict) {
    size_t workspace;
    if (!ready()) return;
    terni_conv_problem p = problem_of(&shapes[0], TERNI_CONV_FORWARD, TERN_F32);
    p.y[2]++;
    CHECK(!planned(&p, (size_t)1 << 30, &workspace));
    p = problem_of(&shapes[0], TERNI_CONV_FORWARD, TERN_F32);
    p.w[1] = 63;
    CHECK(!planned(&p, (size_t)1 << 30, &workspace));
}
