/* What the calls to cuDNN share: its functions, a handle for each device, and its graph API with less to write.
 * Included by cuda/library_X.c alone. */
#ifndef TERNI_CUDA_LIBRARY_CUDNN_H
#define TERNI_CUDA_LIBRARY_CUDNN_H

#include <cudnn_graph.h>

#include "internal.h"

#define TERNI_CUDNN_FUNCTIONS(F)     \
    F(cudnnBackendCreateDescriptor)  \
    F(cudnnBackendDestroyDescriptor) \
    F(cudnnBackendExecute)           \
    F(cudnnBackendFinalize)          \
    F(cudnnBackendGetAttribute)      \
    F(cudnnBackendSetAttribute)      \
    F(cudnnCreate)                   \
    F(cudnnGetErrorString)           \
    F(cudnnGetLastErrorString)       \
    F(cudnnGetVersion)               \
    F(cudnnSetStream)
extern struct terni_cudnn_table { TERNI_CUDNN_FUNCTIONS(TERNI_LIBRARY_FIELD) } terni_cudnn;

/* Opens cuDNN 9.8 or newer, once; false with the reason in why, which may be NULL. Thread-safe. */
bool terni_cudnn_open(char *why, size_t size);
/* Opens it, and finds further functions of it, as terni_cuda_library_functions does. */
bool terni_cudnn_functions(const char *const *names, int n, void *table, char *why, size_t size);
/* The handle of d, on d's stream, for the calling thread alone until it is given back. NULL after an error. */
cudnnHandle_t terni_cudnn_take(terni_cuda_device *d);
void terni_cudnn_give(terni_cuda_device *d);
/* False after an error that says what cuDNN answered to `what`. */
bool terni_cudnn_ok(cudnnStatus_t rc, const char *what);

/* ---- graphs
 * ---------------------------------------------------------------------------------------------------------------- */

/* Descriptors that are made together and end together. After the first call that fails the others do nothing. */
enum { TERNI_CUDNN_MADE = 192 };
typedef struct terni_cudnn_graph {
    cudnnStatus_t rc;
    int n;
    cudnnBackendDescriptor_t made[TERNI_CUDNN_MADE];
} terni_cudnn_graph;

/* NULL if it fails, and the following three take a NULL then. */
cudnnBackendDescriptor_t terni_cudnn_new(terni_cudnn_graph *g, cudnnBackendDescriptorType_t type);
void terni_cudnn_set(terni_cudnn_graph *g, cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name,
                     cudnnBackendAttributeType_t type, int64_t n, const void *values);
void terni_cudnn_refer(terni_cudnn_graph *g, cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name,
                       cudnnBackendDescriptor_t value);
void terni_cudnn_finish(terni_cudnn_graph *g, cudnnBackendDescriptor_t d);
/* Destroys all that was made since the graph had n. */
void terni_cudnn_cut(terni_cudnn_graph *g, int n);

/* A tensor of n dimensions, row-major without gaps, under this number. */
cudnnBackendDescriptor_t terni_cudnn_tensor(terni_cudnn_graph *g, int64_t id, int dtype, int n, const int64_t *shape,
                                            int64_t alignment);
/* The same with strides of its own. It is in memory, or only between operations, or one number that the host gives. */
typedef enum terni_cudnn_place { TERNI_CUDNN_MEMORY, TERNI_CUDNN_BETWEEN, TERNI_CUDNN_NUMBER } terni_cudnn_place;
cudnnBackendDescriptor_t terni_cudnn_strided(terni_cudnn_graph *g, int64_t id, cudnnDataType_t type, int n,
                                             const int64_t *shape, const int64_t *strides, int64_t alignment,
                                             terni_cudnn_place place);
cudnnDataType_t terni_cudnn_type(int dtype);
/* The device as plans are made for it, from the machine's device of this index or, if it is not NULL, from the text
 * that cuDNN writes for one, so that plans can be made on a machine without it. */
cudnnBackendDescriptor_t terni_cudnn_device(terni_cudnn_graph *g, int index, const char *json);

/* The first plan for the n operations that finalizes, is deterministic, and needs at most so much workspace; NULL,
 * without an error, if there is none. refused: numerical notes, as bits, of engines that are not taken. */
cudnnBackendDescriptor_t terni_cudnn_plan(terni_cudnn_graph *g, const cudnnBackendDescriptor_t *operations, int n,
                                          cudnnBackendDescriptor_t device, unsigned refused, size_t most,
                                          size_t *workspace);

/* The graph of a plan that terni_cudnn_plan made, which lives as long as the plan. */
typedef struct terni_cudnn_made_plan {
    terni_cudnn_graph g;
    cudnnBackendDescriptor_t plan;
} terni_cudnn_made_plan;
/* A cleared struct of `bytes`, which begins with a terni_cudnn_made_plan, and the description of its device, as
 * terni_cudnn_device makes it. NULL after an error. Freed by terni_cudnn_plan_free, with the same size. */
void *terni_cudnn_plan_alloc(size_t bytes, int index, const char *json, cudnnBackendDescriptor_t *device);
void terni_cudnn_plan_free(void *made, size_t bytes);
/* Runs it on d's stream over the n tensors of these numbers. False after an error that names `what`. */
bool terni_cudnn_run(const terni_cudnn_made_plan *made, terni_cuda_device *d, int64_t n, const int64_t *ids,
                     void *const *data, void *workspace, const char *what);
#endif
