/* A library's convolutions as the simulation has them: naive loops over the host's memory, in double. A problem that is
 * not as library_conv.h says is an error, and so are tensors that are less aligned than it says. It has no plans for
 * float64 over three axes, as a library has none for everything. */
#include <stdint.h>
#include <stdlib.h>

#include "capture_sim.h"
#include "library_conv.h"
#include "numbers_sim.h"

enum { WORKSPACE = 1000 };

typedef struct plan {
    terni_conv_problem p;
    int64_t x[3], w[3], y[3], before[3], stride[3], dilation[3]; /* of three axes */
} plan;

static bool open_library(char *why, size_t size) {
    (void)why, (void)size;
    return true;
}

static bool sound(const terni_conv_problem *p) {
    bool ok = p->axes >= 2 && p->axes <= 3 && p->kind >= 0 && p->kind <= 2 && p->x[0] == p->y[0] &&
              p->w[0] == p->y[1] && p->w[1] * p->groups == p->x[1] && p->groups > 0 && p->w[0] % p->groups == 0 &&
              p->x[0] > 0 && p->x[1] > 0 && p->y[1] > 0 && (p->dtype == TERN_F32 || !p->tf32);
    for (int i = 0; i < p->axes; i++) {
        const int64_t room = p->x[2 + i] + p->before[i] + p->after[i] - p->dilation[i] * (p->w[2 + i] - 1) - 1;
        ok = ok && p->before[i] >= 0 && p->after[i] >= 0 && p->x[2 + i] > 0 && room >= 0 &&
             room / p->stride[i] + 1 == p->y[2 + i];
    }
    return ok;
}

static bool plan_new(const terni_conv_problem *p, size_t most, void **out, size_t *workspace) {
    *out = NULL;
    if (!sound(p)) return terni_cuda_fail(TERN_ERR_DEVICE, "simulation: a convolution's sizes do not fit together");
    if ((p->axes == 3 && p->dtype == TERN_F64) || most < WORKSPACE) return true;
    plan *made = terni_cuda_host->alloc(sizeof *made);
    if (!made) return false;
    made->p = *p;
    for (int i = 0; i < 3; i++) {
        const int from = i - (3 - p->axes);
        made->x[i] = from < 0 ? 1 : p->x[2 + from];
        made->w[i] = from < 0 ? 1 : p->w[2 + from];
        made->y[i] = from < 0 ? 1 : p->y[2 + from];
        made->before[i] = from < 0 ? 0 : p->before[from];
        made->stride[i] = from < 0 ? 1 : p->stride[from];
        made->dilation[i] = from < 0 ? 1 : p->dilation[from];
    }
    *workspace = WORKSPACE;
    *out = made;
    return true;
}

static void plan_free(void *made) {
    if (made) terni_cuda_host->free(made, sizeof(plan));
}

/* The position in a space of three axes that this index has. */
static void position(const int64_t size[3], int64_t i, int64_t at[3]) {
    at[2] = i % size[2];
    at[1] = i / size[2] % size[1];
    at[0] = i / size[2] / size[1];
}

static int64_t count(const int64_t size[3]) { return size[0] * size[1] * size[2]; }

/* For each pixel of the result and each tap, one product more in sums, which has the shape of what is wanted. */
static void products(const plan *k, const void *x, const void *w, const void *y, double *sums, int64_t n, int64_t o) {
    const terni_conv_problem *p = &k->p;
    const int64_t first = o / (p->y[1] / p->groups) * p->w[1];
    for (int64_t q = 0; q < count(k->y); q++)
        for (int64_t c = 0; c < p->w[1]; c++)
            for (int64_t t = 0; t < count(k->w); t++) {
                int64_t at[3], tap[3], i = 0;
                position(k->y, q, at);
                position(k->w, t, tap);
                bool inside = true;
                for (int a = 0; a < 3; a++) {
                    const int64_t from = at[a] * k->stride[a] - k->before[a] + tap[a] * k->dilation[a];
                    inside = inside && from >= 0 && from < k->x[a];
                    i = i * k->x[a] + from;
                }
                if (!inside) continue;
                const int64_t ix = (n * p->x[1] + first + c) * count(k->x) + i,
                              iw = (o * p->w[1] + c) * count(k->w) + t;
                const int64_t iy = (n * p->y[1] + o) * count(k->y) + q;
                if (p->kind == TERNI_CONV_FORWARD)
                    sums[iy] += terni_sim_get(x, p->dtype, ix) * terni_sim_get(w, p->dtype, iw);
                else if (p->kind == TERNI_CONV_INPUT_GRAD)
                    sums[ix] += terni_sim_get(y, p->dtype, iy) * terni_sim_get(w, p->dtype, iw);
                else
                    sums[iw] += terni_sim_get(y, p->dtype, iy) * terni_sim_get(x, p->dtype, ix);
            }
}

typedef struct job {
    plan k;
    void *x, *w, *y;
} job;

static int64_t results(const plan *k) {
    const terni_conv_problem *p = &k->p;
    return p->kind == TERNI_CONV_FORWARD      ? p->y[0] * p->y[1] * count(k->y)
           : p->kind == TERNI_CONV_INPUT_GRAD ? p->x[0] * p->x[1] * count(k->x)
                                              : p->w[0] * p->w[1] * count(k->w);
}

static void compute(const void *args) {
    const job *j = args;
    const plan *k = &j->k;
    const terni_conv_problem *p = &k->p;
    const int64_t n_results = results(k);
    double *sums = malloc((size_t)n_results * sizeof(double));
    if (!sums) abort();
    void *const to = p->kind == TERNI_CONV_FORWARD ? j->y : p->kind == TERNI_CONV_INPUT_GRAD ? j->x : j->w;
    for (int64_t i = 0; i < n_results; i++) sums[i] = p->accumulate ? terni_sim_get(to, p->dtype, i) : 0;
    for (int64_t n = 0; n < p->y[0]; n++)
        for (int64_t o = 0; o < p->y[1]; o++) products(k, j->x, j->w, j->y, sums, n, o);
    for (int64_t i = 0; i < n_results; i++) terni_sim_put(to, p->dtype, i, sums[i]);
    free(sums);
}

static bool run(void *made, terni_cuda_device *d, void *x, void *w, void *y, void *workspace) {
    const plan *k = made;
    const terni_conv_problem *p = &k->p;
    if ((uintptr_t)x % (uintptr_t)p->align_x || (uintptr_t)w % (uintptr_t)p->align_w ||
        (uintptr_t)y % (uintptr_t)p->align_y)
        return terni_cuda_fail(TERN_ERR_DEVICE, "simulation: a plan for other alignments");
    const job j = {*k, x, w, y};
    return TERNI_CUDA_OK(terni_cuda_driver->fill(workspace, 0xFF, WORKSPACE, d->stream)) &&
           TERNI_CUDA_OK(terni_sim_do(d->stream, compute, &j, sizeof j));
}

const terni_library_conv terni_cuda_library_conv = {"simulation", open_library, plan_new, plan_free, run};

void terni_cuda_library_conv_describe(const char *json) { (void)json; }
