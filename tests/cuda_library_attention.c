/* cuDNN's plans for attention, made by cuda/library_attention.c for a GPU that need not be there: cuDNN recognises the
 * operations, chooses engines from a description of the device and compiles their kernels. What is not checked here is
 * their execution. Skipped, with the reason, where there is no cuDNN. */
#include "common.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "library_attention.h"

/* GPUs from their data sheets and the CUDA programming guide's table of compute capabilities: shared memory, that of
 * one block, multiprocessors, capability, memory. */
#define DEVICE(multiprocessors, shared, capability, bytes, name)                                                  \
    "{\"maxGridSize\": [2147483647, 65535, 65535], \"maxBlockSize\": [1024, 1024, 64], \"regsPerBlock\": 65536, " \
    "\"multiProcessorCount\": " multiprocessors                                                                   \
    ", \"smClockRateKHz\": 1980000, \"memClockRateKHz\": 3201000, \"l2CacheSize\": 41943040, \"warpSize\": 32, "  \
    "\"maxSharedMemoryPerBlock\": 49152, \"maxSharedMemoryPerBlockOptin\": " shared                               \
    ", \"reservedSharedMemoryPerBlock\": 1024, \"maxRegistersPerSM\": 65536, \"pciDeviceId\": 0, "                \
    "\"maxCtasPerSM\": 32, \"maxThreadsPerBlock\": 1024, \"maxThreadsPerSM\": 2048, \"isTccDriver\": 0, "         \
    "\"supportCoopLaunch\": 1, \"deviceVer\": " capability ", \"driverVer\": 13000, \"totalGlobalMem\": " bytes   \
    ", \"cudaDeviceId\": 0, \"deviceName\": \"" name "\"}"
static const char h200[] = DEVICE("132", "232448", "900", "150000000000", "NVIDIA H200");
static const char a100[] = DEVICE("108", "166912", "800", "80000000000", "NVIDIA A100");

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

/* The driver beside this program, which does nothing and so takes kernels for any GPU: opened first, cuDNN finds it by
 * its name in place of the machine's. */
static bool driver(void) {
    char path[4096];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof NO_DRIVER - 1);
    if (n <= 0) return false;
    path[n] = 0;
    strcpy(strrchr(path, '/') + 1, NO_DRIVER);
    return dlopen(path, RTLD_NOW | RTLD_GLOBAL) != NULL;
}

static bool ready(const char *device) {
    char why[1000] = NO_DRIVER " is not beside this program";
    if (TEST_ASAN) { /* what cuDNN keeps for itself counts as leaks there */
        printf("skipped: NVIDIA's libraries leak\n");
        return false;
    }
    terni_cuda_library_attention_describe(device);
    if (driver() && terni_cuda_library_attention.open(why, sizeof why)) return true;
    printf("skipped: %s\n", why);
    return false;
}

typedef struct sizes {
    const char *name;
    int64_t b, h, k, l, s, e, v;
    bool causal, turned; /* turned: [B, L, H, E] in memory */
} sizes;

static terni_attention_problem problem_of(const sizes *z, bool backward, int dtype) {
    terni_attention_problem p;
    memset(&p, 0, sizeof p);
    p.backward = backward;
    p.dtype = dtype;
    p.causal = z->causal;
    p.stats = 1;
    p.align = 16;
    p.B = z->b, p.H = z->h, p.K = z->k, p.L = z->l, p.S = z->s, p.E = z->e, p.V = z->v;
    for (int t = 0; t < TERNI_ATTENTION_TENSORS; t++) {
        int64_t shape[4];
        terni_attention_shape(&p, t, shape);
        p.stride[t][0] = shape[1] * shape[2] * shape[3];
        p.stride[t][1] = z->turned ? shape[3] : shape[2] * shape[3];
        p.stride[t][2] = z->turned ? shape[1] * shape[3] : shape[3];
    }
    return p;
}

static bool planned(const terni_attention_problem *p, size_t most, size_t *workspace) {
    void *plan = NULL;
    const int before = live;
    *workspace = 0;
    error[0] = 0;
    const bool ok = terni_cuda_library_attention.plan_new(p, most, &plan, workspace);
    CHECK(ok, "%s", error);
    CHECK(*workspace <= most);
    CHECK(live == before + (plan ? 1 : 0));
    terni_cuda_library_attention.plan_free(plan);
    CHECK(live == before);
    return plan != NULL;
}

static const size_t most = (size_t)4 << 30;

static void each(void) {
    static const sizes cases[] = {
        {"GPT-2", 8, 12, 12, 1024, 1024, 64, 64, true, true},   {"no mask", 8, 12, 12, 512, 512, 64, 64, false, false},
        {"grouped", 2, 16, 4, 256, 256, 128, 128, true, false}, {"odd lengths", 2, 4, 4, 100, 77, 64, 64, true, false},
        {"narrow", 2, 4, 2, 33, 130, 40, 24, false, true},
    };
    size_t workspace;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int backward = 0; backward < 2; backward++) {
            terni_attention_problem p = problem_of(&cases[i], backward, i % 2 ? TERN_F16 : TERN_BF16);
            CHECK(planned(&p, most, &workspace), "%s, %s", cases[i].name, backward ? "backward" : "forward");
            if (backward) { /* the scores' slopes in one place, so that sums have one order */
                const size_t slopes = (size_t)(p.B * p.H * p.L * p.S) * 2;
                CHECK(workspace >= slopes, "%s: %zu bytes", cases[i].name, workspace);
                CHECK(!planned(&p, slopes / 2, &workspace));
            } else {
                CHECK(workspace < (size_t)1 << 20, "%s: %zu bytes", cases[i].name, workspace);
                p.stats = 0;
                CHECK(i > 0 || planned(&p, most, &workspace), "%s, without statistics", cases[i].name);
            }
        }
}

TERN_TEST(cuda_library_attention, plans_for_hopper) {
    if (ready(h200)) each();
}
TERN_TEST(cuda_library_attention, plans_for_ampere) {
    if (ready(a100)) each();
}

/* What no engine takes has no plan, and is no crash. */
TERN_TEST(cuda_library_attention, refused) {
    static const sizes plain = {"plain", 2, 4, 4, 64, 64, 64, 64, false, false};
    size_t workspace;
    if (!ready(h200)) return;
    terni_attention_problem p = problem_of(&plain, false, TERN_F16);
    p.align = 8;
    CHECK(!planned(&p, most, &workspace), "alignment");
    p = problem_of(&plain, false, TERN_F16);
    p.stride[TERNI_ATTENTION_V][2] += 1;
    CHECK(!planned(&p, most, &workspace), "rows that begin anywhere");
    sizes other = plain;
    other.e = 60;
    p = problem_of(&other, false, TERN_F16);
    CHECK(!planned(&p, most, &workspace), "a width of 60");
    other = plain;
    other.v = 1024;
    p = problem_of(&other, true, TERN_F16);
    CHECK(!planned(&p, most, &workspace), "a width of 1024");
    other = plain;
    other.k = 3;
    p = problem_of(&other, false, TERN_F16);
    CHECK(!planned(&p, most, &workspace), "heads in no groups");
}
