#include "library_cudnn.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { OLDEST = 90800, CANDIDATES = 24 }; /* 9.8 makes plans from a device's description */

struct terni_cudnn_table terni_cudnn;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    bool tried, works;
    char why[512];
} library;
static struct {
    pthread_mutex_t lock;
    cudnnHandle_t handle;
} devices[TERNI_CUDA_DEVICES];

static void open_library(void) {
    static const char *const names[] = {TERNI_CUDNN_FUNCTIONS(TERNI_LIBRARY_NAME)};
    library.tried = true;
    for (int i = 0; i < TERNI_CUDA_DEVICES; i++) pthread_mutex_init(&devices[i].lock, NULL);
    if (!terni_cuda_library_functions(TERNI_LIBRARY_CUDNN, names, (int)(sizeof names / sizeof *names), &terni_cudnn,
                                      library.why, sizeof library.why))
        return;
    const size_t version = terni_cudnn.cudnnGetVersion();
    library.works = version >= OLDEST;
    if (!library.works)
        snprintf(library.why, sizeof library.why, "cuDNN %zu.%zu is too old; 9.8 or newer is used", version / 10000,
                 version / 100 % 100);
}

bool terni_cudnn_open(char *why, size_t size) {
    pthread_mutex_lock(&lock);
    if (!library.tried) open_library();
    const bool works = library.works;
    pthread_mutex_unlock(&lock);
    if (!works && why) snprintf(why, size, "%s", library.why);
    return works;
}

bool terni_cudnn_functions(const char *const *names, int n, void *table, char *why, size_t size) {
    return terni_cudnn_open(why, size) && terni_cuda_library_functions(TERNI_LIBRARY_CUDNN, names, n, table, why, size);
}

bool terni_cudnn_ok(cudnnStatus_t rc, const char *what) {
    if (rc == CUDNN_STATUS_SUCCESS) return true;
    char detail[400] = "";
    terni_cudnn.cudnnGetLastErrorString(detail, sizeof detail);
    return terni_cuda_fail(TERN_ERR_DEVICE, "cuda: cuDNN answered %s (%d) to %s: %s",
                           terni_cudnn.cudnnGetErrorString(rc), (int)rc, what, detail);
}

cudnnHandle_t terni_cudnn_take(terni_cuda_device *d) {
    pthread_mutex_lock(&devices[d->index].lock);
    cudnnHandle_t *h = &devices[d->index].handle;
    if ((*h || terni_cudnn_ok(terni_cudnn.cudnnCreate(h), "cudnnCreate")) &&
        terni_cudnn_ok(terni_cudnn.cudnnSetStream(*h, (cudaStream_t)d->stream), "cudnnSetStream"))
        return *h;
    pthread_mutex_unlock(&devices[d->index].lock);
    return NULL;
}
void terni_cudnn_give(terni_cuda_device *d) { pthread_mutex_unlock(&devices[d->index].lock); }

/* ---- descriptors
 * ------------------------------------------------------------------------------------------------------------ */

cudnnBackendDescriptor_t terni_cudnn_new(terni_cudnn_graph *g, cudnnBackendDescriptorType_t type) {
    cudnnBackendDescriptor_t d = NULL;
    if (g->rc) return NULL;
    if (g->n == TERNI_CUDNN_MADE)
        g->rc = CUDNN_STATUS_INTERNAL_ERROR;
    else
        g->rc = terni_cudnn.cudnnBackendCreateDescriptor(type, &d);
    if (g->rc) return NULL;
    return g->made[g->n++] = d;
}

void terni_cudnn_set(terni_cudnn_graph *g, cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name,
                     cudnnBackendAttributeType_t type, int64_t n, const void *values) {
    if (!g->rc) g->rc = terni_cudnn.cudnnBackendSetAttribute(to, name, type, n, values);
}

void terni_cudnn_refer(terni_cudnn_graph *g, cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name,
                       cudnnBackendDescriptor_t value) {
    terni_cudnn_set(g, to, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

void terni_cudnn_finish(terni_cudnn_graph *g, cudnnBackendDescriptor_t d) {
    if (!g->rc) g->rc = terni_cudnn.cudnnBackendFinalize(d);
}

void terni_cudnn_cut(terni_cudnn_graph *g, int n) {
    while (g->n > n) terni_cudnn.cudnnBackendDestroyDescriptor(g->made[--g->n]);
}

cudnnDataType_t terni_cudnn_type(int dtype) {
    return dtype == TERN_F64    ? CUDNN_DATA_DOUBLE
           : dtype == TERN_F16  ? CUDNN_DATA_HALF
           : dtype == TERN_BF16 ? CUDNN_DATA_BFLOAT16
                                : CUDNN_DATA_FLOAT;
}

cudnnBackendDescriptor_t terni_cudnn_strided(terni_cudnn_graph *g, int64_t id, cudnnDataType_t type, int n,
                                             const int64_t *shape, const int64_t *strides, int64_t alignment,
                                             terni_cudnn_place place) {
    const bool yes = true;
    cudnnBackendDescriptor_t d = terni_cudnn_new(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    terni_cudnn_set(g, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    terni_cudnn_set(g, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, n, shape);
    terni_cudnn_set(g, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, n, strides);
    terni_cudnn_set(g, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
    terni_cudnn_set(g, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    if (place == TERNI_CUDNN_BETWEEN) terni_cudnn_set(g, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &yes);
    if (place == TERNI_CUDNN_NUMBER) terni_cudnn_set(g, d, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &yes);
    terni_cudnn_finish(g, d);
    return d;
}

cudnnBackendDescriptor_t terni_cudnn_tensor(terni_cudnn_graph *g, int64_t id, int dtype, int n, const int64_t *shape,
                                            int64_t alignment) {
    int64_t strides[TERN_MAX_DIMS], size = 1;
    for (int i = n - 1; i >= 0; i--) {
        strides[i] = size;
        size *= shape[i];
    }
    return terni_cudnn_strided(g, id, terni_cudnn_type(dtype), n, shape, strides, alignment, TERNI_CUDNN_MEMORY);
}

cudnnBackendDescriptor_t terni_cudnn_device(terni_cudnn_graph *g, int index, const char *json) {
    const int32_t id = index;
    cudnnBackendDescriptor_t d = terni_cudnn_new(g, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    if (json)
        terni_cudnn_set(g, d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(json), json);
    else
        terni_cudnn_set(g, d, CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, 1, &id);
    terni_cudnn_finish(g, d);
    return d;
}

/* ---- plans
 * ------------------------------------------------------------------------------------------------------------------ */

/* The numerical notes of a configuration's engine, as bits; all of them if cuDNN does not tell. */
static unsigned notes(cudnnBackendDescriptor_t config) {
    cudnnBackendNumericalNote_t list[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    cudnnBackendDescriptor_t engine = NULL;
    int64_t n = 0;
    unsigned bits = 0;
    if (terni_cudnn.cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine)) return ~0u;
    if (terni_cudnn.cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n,
                                             &engine) ||
        terni_cudnn.cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                             CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &n, list))
        bits = ~0u;
    for (int64_t i = 0; i < n && bits != ~0u; i++) bits |= 1u << list[i];
    terni_cudnn.cudnnBackendDestroyDescriptor(engine);
    return bits;
}

/* The plan of a configuration, or NULL. What it made stays in g only if there is one. */
static cudnnBackendDescriptor_t plan_of(terni_cudnn_graph *g, cudnnBackendDescriptor_t config,
                                        cudnnBackendDescriptor_t device, size_t most, size_t *workspace) {
    const int before = g->n;
    int64_t bytes = 0, n = 0;
    cudnnBackendDescriptor_t plan = terni_cudnn_new(g, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    terni_cudnn_refer(g, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
    terni_cudnn_refer(g, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device);
    terni_cudnn_finish(g, plan);
    if (!g->rc)
        g->rc = terni_cudnn.cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64,
                                                     1, &n, &bytes);
    if (!g->rc && bytes >= 0 && (uint64_t)bytes <= most) {
        *workspace = (size_t)bytes;
        return plan;
    }
    g->rc = CUDNN_STATUS_SUCCESS; /* this engine does not do it; another may */
    terni_cudnn_cut(g, before);
    return NULL;
}

static cudnnBackendDescriptor_t plan_in(terni_cudnn_graph *g, cudnnBackendHeurMode_t mode,
                                        cudnnBackendDescriptor_t graph, cudnnBackendDescriptor_t device,
                                        unsigned refused, size_t most, size_t *workspace) {
    const int before = g->n;
    cudnnBackendDescriptor_t config[CANDIDATES], plan = NULL;
    int64_t found = 0;
    cudnnBackendDescriptor_t search = terni_cudnn_new(g, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    terni_cudnn_refer(g, search, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    terni_cudnn_set(g, search, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    terni_cudnn_refer(g, search, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device);
    terni_cudnn_finish(g, search);
    for (int i = 0; i < CANDIDATES; i++) config[i] = terni_cudnn_new(g, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    if (!g->rc)
        g->rc = terni_cudnn.cudnnBackendGetAttribute(search, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                                     CUDNN_TYPE_BACKEND_DESCRIPTOR, CANDIDATES, &found, config);
    if (g->rc) found = 0;
    g->rc = CUDNN_STATUS_SUCCESS;
    for (int64_t i = 0; i < found && i < CANDIDATES && !plan; i++)
        if (!(notes(config[i]) & refused)) plan = plan_of(g, config[i], device, most, workspace);
    if (!plan) terni_cudnn_cut(g, before);
    return plan;
}

cudnnBackendDescriptor_t terni_cudnn_plan(terni_cudnn_graph *g, const cudnnBackendDescriptor_t *operations, int n,
                                          cudnnBackendDescriptor_t device, unsigned refused, size_t most,
                                          size_t *workspace) {
    cudnnBackendDescriptor_t graph = terni_cudnn_new(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    terni_cudnn_set(g, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n, operations);
    terni_cudnn_finish(g, graph);
    if (g->rc) return NULL;
    refused |= 1u << CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
    cudnnBackendDescriptor_t plan = plan_in(g, CUDNN_HEUR_MODE_A, graph, device, refused, most, workspace);
    return plan ? plan : plan_in(g, CUDNN_HEUR_MODE_FALLBACK, graph, device, refused, most, workspace);
}

void *terni_cudnn_plan_alloc(size_t bytes, int index, const char *json, cudnnBackendDescriptor_t *device) {
    terni_cudnn_made_plan *made = terni_cuda_host->alloc(bytes);
    if (!made) return NULL;
    memset(made, 0, bytes);
    *device = terni_cudnn_device(&made->g, index, json);
    if (terni_cudnn_ok(made->g.rc, "the description of the device")) return made;
    terni_cudnn_plan_free(made, bytes);
    return NULL;
}

void terni_cudnn_plan_free(void *v, size_t bytes) {
    terni_cudnn_made_plan *made = v;
    if (!made) return;
    terni_cudnn_cut(&made->g, 0);
    terni_cuda_host->free(made, bytes);
}

bool terni_cudnn_run(const terni_cudnn_made_plan *made, terni_cuda_device *d, int64_t n, const int64_t *ids,
                     void *const *data, void *workspace, const char *what) {
    terni_cudnn_graph g = {0};
    cudnnBackendDescriptor_t pack = terni_cudnn_new(&g, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    terni_cudnn_set(&g, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, ids);
    terni_cudnn_set(&g, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, data);
    terni_cudnn_set(&g, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    terni_cudnn_finish(&g, pack);
    bool ok = terni_cudnn_ok(g.rc, what);
    cudnnHandle_t h = ok ? terni_cudnn_take(d) : NULL;
    if (h) {
        ok = terni_cudnn_ok(terni_cudnn.cudnnBackendExecute(h, made->plan, pack), what);
        terni_cudnn_give(d);
    }
    terni_cudnn_cut(&g, 0);
    return ok && h;
}
