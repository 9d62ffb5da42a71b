/* Sorting by CUB's radix sort over the whole device: a pass over memory for each 8 bits of the keys, against one for
 * each doubling of a run in sort.cu. Its order does not depend on the order of work. The one file that includes CUB,
 * which takes long to compile. The rows' least sizes come from counting passes; they have not been measured. */
#include "library_sort.h"

#include <cub/device/device_radix_sort.cuh>

namespace {

cudaError_t sort(void *scratch, size_t *bytes, terni_sort_job j, cudaStream_t stream, int *in) {
    cub::DoubleBuffer<uint64_t> key(j.key[0], j.key[1]);
    cub::DoubleBuffer<uint32_t> from(j.from[0], j.from[1]);
    const cudaError_t rc = cub::DeviceRadixSort::SortPairs(scratch, *bytes, key, from, j.n, 0, j.bits, stream);
    *in = key.selector;
    return rc;
}

bool room(int n, int bits, size_t *bytes) {
    terni_sort_job j = {{nullptr, nullptr}, {nullptr, nullptr}, n, bits};
    int in;
    *bytes = 0;
    return TERNI_CUDA_OK(sort(nullptr, bytes, j, nullptr, &in));
}

bool run(terni_cuda_device *d, const terni_sort_job *job, void *scratch, size_t bytes, int *in) {
    return TERNI_CUDA_OK(sort(scratch, &bytes, *job, static_cast<cudaStream_t>(d->stream), in));
}

}  // namespace

extern "C" const terni_library_sort terni_cuda_library_sort = {"CUB", 1024, 65536, room, run};
