/* A library's sorting as the simulation has it: an insertion sort of keys and numbers. The result is in the second
 * buffers for an odd number of bits and in the first for an even one, and the others hold nonsense. */
#include "library_sort.h"

#include <stdint.h>
#include <string.h>

#include "capture_sim.h"

enum { SCRATCH = 100 };

static bool room(int n, int bits, size_t *bytes) {
    if (n < 1 || bits < 1 || bits > 64)
        return terni_cuda_fail(TERN_ERR_DEVICE, "simulation: %d keys of %d bits", n, bits);
    *bytes = SCRATCH;
    return true;
}

static uint64_t told(uint64_t key, int bits) { return key & UINT64_MAX >> (64 - bits); }

static void compute(const void *args) {
    const terni_sort_job *j = args;
    uint64_t *key = j->key[0];
    uint32_t *from = j->from[0];
    for (int i = 1; i < j->n; i++) {
        const uint64_t k = key[i];
        const uint32_t f = from[i];
        int at = i;
        for (; at > 0 && told(key[at - 1], j->bits) > told(k, j->bits); at--) {
            key[at] = key[at - 1];
            from[at] = from[at - 1];
        }
        key[at] = k;
        from[at] = f;
    }
    const int in = j->bits % 2;
    if (in) {
        memcpy(j->key[1], key, (size_t)j->n * sizeof *key);
        memcpy(j->from[1], from, (size_t)j->n * sizeof *from);
    }
    memset(j->key[1 - in], 0xA5, (size_t)j->n * sizeof *key);
    memset(j->from[1 - in], 0xA5, (size_t)j->n * sizeof *from);
}

static bool run(terni_cuda_device *d, const terni_sort_job *job, void *scratch, size_t bytes, int *in) {
    *in = job->bits % 2;
    return TERNI_CUDA_OK(terni_cuda_driver->fill(scratch, 0xFF, bytes, d->stream)) &&
           TERNI_CUDA_OK(terni_sim_do(d->stream, compute, job, sizeof *job));
}

const terni_library_sort terni_cuda_library_sort = {"simulation", 3, 5, room, run};
