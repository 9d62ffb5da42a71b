/* nonzero: the indices of true elements. Chunks count first, so that threads know where theirs go. */
#include <string.h>

#include "internal.h"

enum { CHUNK = 16384 };

typedef struct job {
    const terni_view *x;
    int64_t *y, *start; /* start[c]: true elements before chunk c */
    int64_t n;
} job;

static void count(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const uint8_t *x = j->x->data;
    for (int64_t c = begin; c < end; c++) {
        const int64_t to = (c + 1) * CHUNK < j->n ? (c + 1) * CHUNK : j->n;
        int64_t sum = 0;
        for (int64_t i = c * CHUNK; i < to; i++) sum += x[i];
        j->start[c] = sum;
    }
}

static void write(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const uint8_t *x = j->x->data;
    const int ndim = j->x->ndim;
    const int64_t *const shape = j->x->shape;
    for (int64_t c = begin; c < end; c++) {
        const int64_t to = (c + 1) * CHUNK < j->n ? (c + 1) * CHUNK : j->n;
        int64_t *y = j->y + j->start[c] * ndim;
        if (ndim == 1) {
            for (int64_t i = c * CHUNK; i < to; i++)
                if (x[i]) *y++ = i;
            continue;
        }
        for (int64_t i = c * CHUNK; i < to; i++) {
            if (!x[i]) continue;
            int64_t rest = i;
            for (int d = ndim - 1; d >= 0; d--) {
                y[d] = rest % shape[d];
                rest /= shape[d];
            }
            y += ndim;
        }
    }
}

bool terni_cpu_nonzero(const terni_call *c) {
    job j = {c->in[0], c->out[0]->data, NULL, terni_cpu_count(c->in[0])};
    const int64_t chunks = (j.n + CHUNK - 1) / CHUNK;
    if (terni_cpu_count(c->out[0]) == 0) return true;
    const size_t bytes = (size_t)chunks * sizeof *j.start;
    j.start = terni_cpu_host->alloc(bytes);
    if (!j.start) return false;
    terni_cpu_parallel(chunks, 4, count, &j);
    int64_t total = 0;
    for (int64_t k = 0; k < chunks; k++) {
        const int64_t here = j.start[k];
        j.start[k] = total;
        total += here;
    }
    terni_cpu_parallel(chunks, 2, write, &j);
    terni_cpu_host->free(j.start, bytes);
    return true;
}
