/* The driver table over the CUDA runtime. */
#include <cuda_runtime.h>
#include <nvtx3/nvToolsExt.h>

#include <stdio.h>
#include <string.h>

#include "driver.h"

namespace {

cudaStream_t stream(terni_stream s) { return static_cast<cudaStream_t>(s); }
cudaEvent_t event(terni_event e) { return static_cast<cudaEvent_t>(e); }

/* The runtime remembers an error until it is asked, and the check after the next launch would take it for the launch's.
 */
int done(cudaError_t rc) {
    if (rc) (void)cudaGetLastError();
    return rc;
}

int device_count(int *n) { return done(cudaGetDeviceCount(n)); }
/* Asked each time: the program, or a library in it, may have made another one current. */
int use_device(int device) {
    int now = -1;
    const cudaError_t rc = cudaGetDevice(&now);
    return rc == cudaSuccess && now == device ? 0 : done(cudaSetDevice(device));
}
int properties(int device, terni_device_properties *p) {
    cudaDeviceProp c;
    cudaError_t rc = cudaGetDeviceProperties(&c, device);
    if (rc) return done(rc);
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "%.127s", c.name);
    p->major = c.major;
    p->minor = c.minor;
    p->processors = c.multiProcessorCount;
    p->shared_bytes = (int)c.sharedMemPerBlockOptin;
    p->bytes = c.totalGlobalMem;
    rc = cudaDriverGetVersion(&p->driver);
    return done(rc ? rc : cudaRuntimeGetVersion(&p->runtime));
}
int mem_info(size_t *free, size_t *total) { return done(cudaMemGetInfo(free, total)); }

/* These may be called while the thread captures a graph, of which they are no part. */
struct beside_capture {
    cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    cudaError_t rc = cudaThreadExchangeStreamCaptureMode(&mode);
    ~beside_capture() {
        if (!rc) (void)cudaThreadExchangeStreamCaptureMode(&mode);
    }
};
int device_alloc(void **p, size_t bytes) {
    const beside_capture b;
    return done(b.rc ? b.rc : cudaMalloc(p, bytes));
}
int device_free(void *p) {
    const beside_capture b;
    return done(b.rc ? b.rc : cudaFree(p));
}
int host_alloc(void **p, size_t bytes) {
    const beside_capture b;
    return done(b.rc ? b.rc : cudaHostAlloc(p, bytes, cudaHostAllocMapped | cudaHostAllocPortable));
}
int host_free(void *p) {
    const beside_capture b;
    return done(b.rc ? b.rc : cudaFreeHost(p));
}
/* Plain memory is copied aside first, unless the device reads all of the host's (HMM, ATS): CUDA promises nothing then.
 */
int pinned(const void *p, bool *yes) {
    cudaPointerAttributes a;
    int device = 0, all = 0;
    cudaError_t rc = cudaPointerGetAttributes(&a, p);
    if (!rc) rc = cudaGetDevice(&device);
    if (!rc) rc = cudaDeviceGetAttribute(&all, cudaDevAttrPageableMemoryAccess, device);
    *yes = rc || all || a.type != cudaMemoryTypeUnregistered;
    return done(rc);
}
int copy(void *dst, const void *src, size_t bytes, terni_copy_kind kind, terni_stream s) {
    const cudaMemcpyKind how = kind == TERNI_COPY_TO_DEVICE ? cudaMemcpyHostToDevice
                               : kind == TERNI_COPY_TO_HOST ? cudaMemcpyDeviceToHost
                                                            : cudaMemcpyDeviceToDevice;
    return done(cudaMemcpyAsync(dst, src, bytes, how, stream(s)));
}
int copy_between(void *dst, int to, const void *src, int from, size_t bytes, terni_stream s) {
    return done(cudaMemcpyPeerAsync(dst, to, src, from, bytes, stream(s)));
}
int fill(void *dst, int byte, size_t bytes, terni_stream s) {
    return done(cudaMemsetAsync(dst, byte, bytes, stream(s)));
}

int stream_new(terni_stream *s) {
    cudaStream_t c = nullptr;
    const cudaError_t rc = cudaStreamCreateWithFlags(&c, cudaStreamNonBlocking);
    *s = c;
    return done(rc);
}
int stream_free(terni_stream s) { return done(cudaStreamDestroy(stream(s))); }
int stream_wait(terni_stream s) { return done(cudaStreamSynchronize(stream(s))); }
int stream_query(terni_stream s) { return done(cudaStreamQuery(stream(s))); }
int stream_captured(terni_stream s, bool *yes) {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    const cudaError_t rc = cudaStreamIsCapturing(stream(s), &status);
    *yes = status != cudaStreamCaptureStatusNone;
    return done(rc);
}
int event_new(terni_event *e, bool timed) {
    cudaEvent_t c = nullptr;
    const cudaError_t rc = cudaEventCreateWithFlags(&c, timed ? cudaEventDefault : cudaEventDisableTiming);
    *e = c;
    return done(rc);
}
int event_free(terni_event e) { return done(cudaEventDestroy(event(e))); }
int event_record(terni_event e, terni_stream s) { return done(cudaEventRecord(event(e), stream(s))); }
int event_query(terni_event e) {
    const beside_capture b;
    return done(b.rc ? b.rc : cudaEventQuery(event(e)));
}
int event_wait(terni_event e) { return done(cudaEventSynchronize(event(e))); }
int stream_after(terni_stream s, terni_event e) { return done(cudaStreamWaitEvent(stream(s), event(e), 0)); }
int event_elapsed(float *ms, terni_event from, terni_event to) {
    return done(cudaEventElapsedTime(ms, event(from), event(to)));
}

int capture_begin(terni_stream s) { return done(cudaStreamBeginCapture(stream(s), cudaStreamCaptureModeRelaxed)); }
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
    return done(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), stream(s)));
}
int graph_free(void *graph) { return done(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph))); }

/* These return a depth; without a profiler, a negative number that is no error. */
int range_push(const char *name) {
    (void)nvtxRangePushA(name);
    return 0;
}
int range_pop() {
    (void)nvtxRangePop();
    return 0;
}

int launched() { return cudaGetLastError(); }
const char *describe(int error) {
    static thread_local char text[96];
    int driver = 0, runtime = 0;
    if (error != cudaErrorInsufficientDriver || done(cudaDriverGetVersion(&driver)) ||
        done(cudaRuntimeGetVersion(&runtime)))
        return cudaGetErrorString(static_cast<cudaError_t>(error));
    if (driver == 0) return "no NVIDIA driver is installed";
    snprintf(text, sizeof text, "the driver is for CUDA %d.%d, too old for this build's %d.%d", driver / 1000,
             driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    return text;
}

/* After these only a new process helps, says driver_types.h. Numbers: not in every release's header. */
bool sticky(int error) {
    enum { CONTAINED = 226, TENSOR_MEMORY_LEAK = 721, MPS_CLIENT_TERMINATED = 810, EXTERNAL_DEVICE = 911 };
    switch (error) {
        case CONTAINED:
        case TENSOR_MEMORY_LEAK:
        case MPS_CLIENT_TERMINATED:
        case EXTERNAL_DEVICE:
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
    device_count,    use_device,  properties,   mem_info,     device_alloc, device_free, host_alloc,   host_free,
    pinned,          copy,        copy_between, fill,         stream_new,   stream_free, stream_wait,  stream_query,
    stream_captured, event_new,   event_free,   event_record, event_query,  event_wait,  stream_after, event_elapsed,
    capture_begin,   capture_end, graph_launch, graph_free,   range_push,   range_pop,   launched,     describe,
    sticky};
