/* nonzero: the indices of true elements. Chunks count first, so that threads know where theirs go. */
#include <string.h>

#include "internal.h"

enum { CHUNK = 16384 };

typedef struct job {
    const terni_view *x;
    int64_t *y, *start; /* start[c]: true elements before chunk c; then all */
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

/* Every element is written, and stays if it is true: no branch to guess wrong. Stops when all are found, so that
 * nothing is written behind the chunk's part. */
static void write_line(const uint8_t *x, int64_t from, int64_t to, int64_t count, int64_t *y) {
    for (int64_t i = from, found = 0; i < to && found < count; i++) {
        y[found] = i;
        found += x[i];
    }
}

static void write_rows(const terni_view *v, int64_t from, int64_t to, int64_t count, int64_t *y) {
    const uint8_t *x = v->data;
    const int ndim = v->ndim, last = ndim - 1;
    int64_t at[TERN_MAX_DIMS], rest = from;
    for (int d = last; d >= 0; d--) {
        at[d] = rest % v->shape[d];
        rest /= v->shape[d];
    }
    for (int64_t i = from, found = 0; i < to && found < count; i++) {
        for (int d = 0; d < ndim; d++) y[d] = at[d];
        y += x[i] * ndim;
        found += x[i];
        for (int d = last; d >= 0 && ++at[d] == v->shape[d]; d--) at[d] = 0;
    }
}

static void write(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    for (int64_t c = begin; c < end; c++) {
        const int64_t from = c * CHUNK, to = from + CHUNK < j->n ? from + CHUNK : j->n;
        const int64_t count = j->start[c + 1] - j->start[c];
        int64_t *const y = j->y + j->start[c] * j->x->ndim;
        if (j->x->ndim == 1)
            write_line(j->x->data, from, to, count, y);
        else
            write_rows(j->x, from, to, count, y);
    }
}

bool terni_cpu_nonzero(const terni_call *c) {
    job j = {c->in[0], c->out[0]->data, NULL, terni_cpu_count(c->in[0])};
    const int64_t chunks = (j.n + CHUNK - 1) / CHUNK;
    if (terni_cpu_count(c->out[0]) == 0) return true;
    const size_t bytes = (size_t)(chunks + 1) * sizeof *j.start;
    j.start = terni_cpu_host->alloc(bytes);
    if (!j.start) return false;
    terni_cpu_parallel(chunks, 4, count, &j);
    int64_t total = 0;
    for (int64_t k = 0; k < chunks; k++) {
        const int64_t here = j.start[k];
        j.start[k] = total;
        total += here;
    }
    j.start[chunks] = total;
    terni_cpu_parallel(chunks, 2, write, &j);
    terni_cpu_host->free(j.start, bytes);
    return true;
}
