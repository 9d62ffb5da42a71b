#include "update.h"

#include "internal.h"

enum { GRAIN = 32768 };

typedef struct job {
    const terni_call *c;
    terni_update_piece piece;
    int32_t n;
} job;

static void run(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    int64_t start = 0;
    for (int32_t i = 0; i < j->n && start < end; i++) {
        const int64_t size = j->c->in[i] ? terni_cpu_count(j->c->in[i]) : 0, stop = start + size;
        if (size && stop > begin) j->piece(j->c, i, begin > start ? begin - start : 0, end < stop ? end - start : size);
        start = stop;
    }
}

double terni_cpu_update_scale(const terni_call *c, int32_t n) {
    const terni_view *v = c->in[n];
    if (!v) return 1;
    return v->dtype == TERN_F64 ? *(const double *)v->data : (double)*(const float *)v->data;
}

void terni_cpu_update(const terni_call *c, int32_t n, terni_update_piece piece) {
    job j = {c, piece, n};
    int64_t total = 0;
    for (int32_t i = 0; i < n; i++) total += c->in[i] ? terni_cpu_count(c->in[i]) : 0;
    terni_cpu_parallel(total, GRAIN, run, &j);
}
