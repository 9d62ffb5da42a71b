/* Stands for libcuda.so.1: what cuDNN loads its compiled kernels with succeeds and does nothing, so
 * that plans are finished; there are no devices. For tests/cuda_library_attention.c. */
enum { NO_DEVICE = 100, NOT_FOUND = 500 };

static int thing;

#define TAKES(name) \
    int name(void); \
    int name(void) { return 0; }
#define GIVES(name)        \
    int name(void **out);  \
    int name(void **out) { \
        *out = &thing;     \
        return 0;          \
    }
#define REFUSES(name, code) \
    int name(void);         \
    int name(void) { return code; }

GIVES(cuLibraryLoadData)
GIVES(cuLibraryGetKernel)
TAKES(cuLibraryUnload)
TAKES(cuKernelSetAttribute)
TAKES(cuFuncSetAttribute)
REFUSES(cuInit, NO_DEVICE)
REFUSES(cuGetExportTable, NOT_FOUND)

int cuKernelGetAttribute(int *value);
int cuKernelGetAttribute(int *value) {
    *value = 0;
    return 0;
}
int cuDriverGetVersion(int *version);
int cuDriverGetVersion(int *version) {
    *version = 13000;
    return 0;
}
int cuGetErrorString(int code, const char **text);
int cuGetErrorString(int code, const char **text) {
    (void)code;
    *text = "no driver";
    return 0;
}
int cuGetErrorName(int code, const char **text);
int cuGetErrorName(int code, const char **text) { return cuGetErrorString(code, text); }

/* Looked for, and not called. */
#define ABSENT(name) REFUSES(name, NO_DEVICE)
ABSENT(cuCtxGetCurrent)
ABSENT(cuCtxGetDevice)
ABSENT(cuCtxGetLimit)
ABSENT(cuCtxPopCurrent)
ABSENT(cuCtxPushCurrent)
ABSENT(cuDeviceGet)
ABSENT(cuDeviceGetAttribute)
ABSENT(cuDeviceGetCount)
ABSENT(cuDevicePrimaryCtxRelease)
ABSENT(cuDevicePrimaryCtxReset)
ABSENT(cuDevicePrimaryCtxRetain)
ABSENT(cuFuncGetAttribute)
ABSENT(cuLaunchCooperativeKernel)
ABSENT(cuLaunchKernel)
ABSENT(cuLaunchKernelEx)
ABSENT(cuLibraryLoadFromFile)
ABSENT(cuLinkAddData)
ABSENT(cuLinkAddData_v2)
ABSENT(cuLinkAddFile_v2)
ABSENT(cuLinkComplete)
ABSENT(cuLinkCreate)
ABSENT(cuLinkCreate_v2)
ABSENT(cuLinkDestroy)
ABSENT(cuMemcpyDtoH_v2)
ABSENT(cuModuleGetFunction)
ABSENT(cuModuleGetGlobal_v2)
ABSENT(cuModuleLoadData)
ABSENT(cuModuleLoadDataEx)
ABSENT(cuModuleLoadFatBinary)
ABSENT(cuModuleUnload)
ABSENT(cuOccupancyMaxActiveBlocksPerMultiprocessor)
ABSENT(cuOccupancyMaxPotentialClusterSize)
ABSENT(cuStreamGetCtx)
ABSENT(cuStreamSynchronize)
ABSENT(cuTensorMapEncodeTiled)
