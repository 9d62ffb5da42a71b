/* Walks several views of one shape together, run by run. */
#include "internal.h"

typedef struct loop {
    int n_views, ndim;
    int64_t shape[TERN_MAX_DIMS];
    int64_t stride[TERNI_LOOP_VIEWS][TERN_MAX_DIMS]; /* elements */
    int64_t inner[TERNI_LOOP_VIEWS];
    int64_t size[TERNI_LOOP_VIEWS];
    char *base[TERNI_LOOP_VIEWS];
    terni_run_fn fn;
    const void *arg;
} loop;

/* Drops dimensions of size 1 and merges neighbours. False if there is nothing to do. */
static bool merge(loop *l, const terni_view *const *v, int n) {
    l->n_views = n;
    l->ndim = 0;
    for (int d = 0; d < v[0]->ndim; d++) {
        const int64_t size = v[0]->shape[d];
        if (size == 0) return false;
        if (size == 1) continue;
        bool joins = l->ndim > 0;
        for (int i = 0; joins && i < n; i++) joins = l->stride[i][l->ndim - 1] == v[i]->strides[d] * size;
        if (!joins) l->shape[l->ndim++] = 1;
        l->shape[l->ndim - 1] *= size;
        for (int i = 0; i < n; i++) l->stride[i][l->ndim - 1] = v[i]->strides[d];
    }
    if (l->ndim == 0) {
        l->ndim = 1;
        l->shape[0] = 1;
        for (int i = 0; i < n; i++) l->stride[i][0] = 1;
    }
    for (int i = 0; i < n; i++) {
        l->base[i] = v[i]->data;
        l->size[i] = (int64_t)terni_cpu_size(v[i]->dtype);
        l->inner[i] = l->stride[i][l->ndim - 1];
    }
    return true;
}

enum { UNIT = 64 };

/* A part of a single run, in units of UNIT elements: how far a run's vectors reach, and so what its last elements are
 * computed by, does not depend on the number of threads. */
static void part_of_run(void *arg, int64_t begin, int64_t end) {
    const loop *l = arg;
    begin *= UNIT;
    end = end * UNIT < l->shape[0] ? end * UNIT : l->shape[0];
    char *p[TERNI_LOOP_VIEWS];
    for (int i = 0; i < l->n_views; i++) p[i] = l->base[i] + begin * l->inner[i] * l->size[i];
    l->fn(end - begin, p, l->inner, l->arg);
}

/* Runs number begin .. end, counted in row-major order of the outer dimensions. */
static void some_runs(void *arg, int64_t begin, int64_t end) {
    const loop *l = arg;
    const int outer = l->ndim - 1;
    int64_t at[TERN_MAX_DIMS], rest = begin;
    char *p[TERNI_LOOP_VIEWS];
    for (int i = 0; i < l->n_views; i++) p[i] = l->base[i];
    for (int d = outer - 1; d >= 0; d--) {
        at[d] = rest % l->shape[d];
        rest /= l->shape[d];
        for (int i = 0; i < l->n_views; i++) p[i] += at[d] * l->stride[i][d] * l->size[i];
    }
    for (int64_t k = begin; k < end; k++) {
        l->fn(l->shape[outer], p, l->inner, l->arg);
        for (int d = outer - 1; d >= 0; d--) {
            const bool carry = ++at[d] == l->shape[d];
            for (int i = 0; i < l->n_views; i++)
                p[i] += (carry ? -(l->shape[d] - 1) : 1) * l->stride[i][d] * l->size[i];
            if (!carry) break;
            at[d] = 0;
        }
    }
}

void terni_cpu_loop(const terni_view *const *views, int n_views, terni_run_fn fn, const void *arg, int64_t grain) {
    loop l;
    if (!merge(&l, views, n_views)) return;
    l.fn = fn;
    l.arg = arg;
    if (l.ndim == 1) {
        if (l.shape[0] <= grain)
            fn(l.shape[0], l.base, l.inner, arg);
        else
            terni_cpu_parallel((l.shape[0] - 1) / UNIT + 1, grain / UNIT + 1, part_of_run, &l);
        return;
    }
    int64_t runs = 1;
    for (int d = 0; d < l.ndim - 1; d++) runs *= l.shape[d];
    const int64_t inner = l.shape[l.ndim - 1];
    terni_cpu_parallel(runs, grain / inner + 1, some_runs, &l);
}
