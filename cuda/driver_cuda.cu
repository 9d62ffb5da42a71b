/* The driver table over the CUDA runtime. */
#include <cuda_runtime.h>

#include <stdio.h>
#include <string.h>

#include "driver.h"

namespace {

cudaStream_t stream(terni_stream s) { return static_cast<cudaStream_t>(s); }
cudaEvent_t event(terni_event e) { return static_cast<cudaEvent_t>(e); }

int device_count(int *n) { return cudaGetDeviceCount(n); }
int use_device(int device) { return cudaSetDevice(device); }
int properties(int device, terni_device_properties *p) {
    cudaDeviceProp c;
    cudaError_t rc = cudaGetDeviceProperties(&c, device);
    if (rc) return rc;
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "%.127s", c.name);
    p->major = c.major;
    p->minor = c.minor;
    p->processors = c.multiProcessorCount;
    p->shared_bytes = (int)c.sharedMemPerBlockOptin;
    p->bytes = c.totalGlobalMem;
    rc = cudaDriverGetVersion(&p->driver);
    return rc ? rc : cudaRuntimeGetVersion(&p->runtime);
}
int mem_info(size_t *free, size_t *total) { return cudaMemGetInfo(free, total); }

int device_alloc(void **p, size_t bytes) { return cudaMalloc(p, bytes); }
int device_free(void *p) { return cudaFree(p); }
int host_alloc(void **p, size_t bytes) { return cudaHostAlloc(p, bytes, cudaHostAllocMapped | cudaHostAllocPortable); }
int host_free(void *p) { return cudaFreeHost(p); }
int copy(void *dst, const void *src, size_t bytes, terni_copy_kind kind, terni_stream s) {
    const cudaMemcpyKind how = kind == TERNI_COPY_TO_DEVICE ? cudaMemcpyHostToDevice
                               : kind == TERNI_COPY_TO_HOST ? cudaMemcpyDeviceToHost
                                                            : cudaMemcpyDeviceToDevice;
    return cudaMemcpyAsync(dst, src, bytes, how, stream(s));
}
int fill(void *dst, int byte, size_t bytes, terni_stream s) { return cudaMemsetAsync(dst, byte, bytes, stream(s)); }

int stream_new(terni_stream *s) {
    cudaStream_t c = nullptr;
    const cudaError_t rc = cudaStreamCreateWithFlags(&c, cudaStreamNonBlocking);
    *s = c;
    return rc;
}
int stream_free(terni_stream s) { return cudaStreamDestroy(stream(s)); }
int stream_wait(terni_stream s) { return cudaStreamSynchronize(stream(s)); }
int event_new(terni_event *e, bool timed) {
    cudaEvent_t c = nullptr;
    const cudaError_t rc = cudaEventCreateWithFlags(&c, timed ? cudaEventDefault : cudaEventDisableTiming);
    *e = c;
    return rc;
}
int event_free(terni_event e) { return cudaEventDestroy(event(e)); }
int event_record(terni_event e, terni_stream s) { return cudaEventRecord(event(e), stream(s)); }
int event_query(terni_event e) {
    const cudaError_t rc = cudaEventQuery(event(e));
    if (rc == cudaErrorNotReady) cudaGetLastError();
    return rc;
}
int event_wait(terni_event e) { return cudaEventSynchronize(event(e)); }
int stream_after(terni_stream s, terni_event e) { return cudaStreamWaitEvent(stream(s), event(e), 0); }
int event_elapsed(float *ms, terni_event from, terni_event to) {
    return cudaEventElapsedTime(ms, event(from), event(to));
}

int capture_begin(terni_stream s) { return cudaStreamBeginCapture(stream(s), cudaStreamCaptureModeThreadLocal); }
int capture_end(terni_stream s, void **graph) {
    cudaGraph_t g = nullptr;
    cudaGraphExec_t e = nullptr;
    *graph = nullptr;
    cudaError_t rc = cudaStreamEndCapture(stream(s), &g);
    if (rc || !g) return rc;
    rc = cudaGraphInstantiate(&e, g, 0);
    cudaGraphDestroy(g);
    *graph = e;
    return rc;
}
int graph_launch(void *graph, terni_stream s) {
    return cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), stream(s));
}
int graph_free(void *graph) { return cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)); }

int launched() { return cudaGetLastError(); }
const char *describe(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }

/* After these only a new process helps. */
bool sticky(int error) {
    switch (error) {
        case cudaErrorIllegalAddress:
        case cudaErrorLaunchFailure:
        case cudaErrorLaunchTimeout:
        case cudaErrorAssert:
        case cudaErrorHardwareStackError:
        case cudaErrorIllegalInstruction:
        case cudaErrorMisalignedAddress:
        case cudaErrorInvalidAddressSpace:
        case cudaErrorInvalidPc:
        case cudaErrorECCUncorrectable:
        case cudaErrorNvlinkUncorrectable:
        case cudaErrorDevicesUnavailable:
        case cudaErrorUnknown:
            return true;
        default:
            return false;
    }
}

}  // namespace

extern "C" const terni_driver terni_cuda_driver_table = {
    device_count, use_device,   properties,  mem_info,   device_alloc, device_free,   host_alloc,
    host_free,    copy,         fill,        stream_new, stream_free,  stream_wait,   event_new,
    event_free,   event_record, event_query, event_wait, stream_after, event_elapsed, capture_begin,
    capture_end,  graph_launch, graph_free,  launched,   describe,     sticky};
