/* searchsorted: where each value belongs in a sorted row. */
#include "order.h"

typedef struct job {
    const terni_view *sorted, *values;
    int64_t *out;
    bool right;
} job;

static void search(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const int dtype = j->sorted->dtype;
    const int64_t n = j->sorted->shape[1], m = j->values->shape[1];
    for (int64_t i = begin; i < end; i++) {
        const int64_t r = j->sorted->shape[0] == 1 ? 0 : i / m;
        const char *row = (const char *)j->sorted->data + (size_t)(r * n) * terni_cpu_size(dtype);
        const uint64_t key = terni_key(dtype, j->values->data, i);
        int64_t lo = 0, hi = n;
        while (lo < hi) {
            const int64_t mid = lo + (hi - lo) / 2;
            const uint64_t there = terni_key(dtype, row, mid);
            if (there < key || (j->right && there == key))
                lo = mid + 1;
            else
                hi = mid;
        }
        j->out[i] = lo;
    }
}

bool terni_cpu_searchsorted(const terni_call *c) {
    const terni_search_opts *o = c->opts;
    job j = {c->in[0], c->in[1], c->out[0]->data, o->right};
    terni_cpu_parallel(terni_cpu_count(c->in[1]), 1024, search, &j);
    return true;
}
