/* A library's attention as the simulation has it: naive loops over the host's memory, in double. A problem that is not
 * as library_attention.h says is an error, and so are tensors that are less aligned than it says. It has no plans for
 * odd sizes of heads, as a library has none for everything. */
#include "library_attention.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "capture_sim.h"
#include "half.h"

enum { WORKSPACE = 1000 };

static bool open_library(char *why, size_t size) {
    (void)why, (void)size;
    return true;
}

static int tensors(const terni_attention_problem *p) {
    return p->backward ? TERNI_ATTENTION_TENSORS : TERNI_ATTENTION_GY;
}

static bool sound(const terni_attention_problem *p) {
    bool ok = (p->dtype == TERN_F16 || p->dtype == TERN_BF16) && p->B > 0 && p->H > 0 && p->K > 0 && p->H % p->K == 0 &&
              p->L > 0 && p->S > 0 && p->E > 0 && p->V > 0 && (p->stats || !p->backward);
    for (int t = 0; t < tensors(p); t++) {
        int64_t shape[4];
        terni_attention_shape(p, t, shape);
        ok = ok && p->stride[t][2] >= shape[3];
        for (int i = 0; i < 3; i++) ok = ok && p->stride[t][i] > 0;
    }
    return ok;
}

static bool plan_new(const terni_attention_problem *p, size_t most, void **out, size_t *workspace) {
    *out = NULL;
    if (!sound(p)) return terni_cuda_fail(TERN_ERR_DEVICE, "simulation: attention's sizes do not fit together");
    if (p->V % 2 || most < WORKSPACE) return true;
    terni_attention_problem *made = terni_cuda_host->alloc(sizeof *made);
    if (!made) return false;
    *made = *p;
    *workspace = WORKSPACE;
    *out = made;
    return true;
}

static void plan_free(void *made) {
    if (made) terni_cuda_host->free(made, sizeof(terni_attention_problem));
}

typedef struct job {
    terni_attention_problem p;
    uint16_t *data[TERNI_ATTENTION_TENSORS];
    float *stats;
    double scale;
} job;

/* Row r of head h of tensor t; of a head of q if t has fewer heads. */
static uint16_t *row_of(const job *j, int t, int64_t b, int64_t h, int64_t r) {
    int64_t shape[4];
    terni_attention_shape(&j->p, t, shape);
    if (shape[1] != j->p.H) h /= j->p.H / shape[1];
    return j->data[t] + b * j->p.stride[t][0] + h * j->p.stride[t][1] + r * j->p.stride[t][2];
}
static double get(const job *j, uint16_t bits) {
    return (double)(j->p.dtype == TERN_F16 ? terni_f16_to(bits) : terni_bf16_to(bits));
}
static uint16_t put(const job *j, double v) { return j->p.dtype == TERN_F16 ? terni_f16_from(v) : terni_bf16_from(v); }

static double dot(const job *j, const uint16_t *a, const uint16_t *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += get(j, a[i]) * get(j, b[i]);
    return sum;
}

static void row_forward(const job *j, int64_t b, int64_t h, int64_t r, double *w) {
    const terni_attention_problem *p = &j->p;
    const int64_t keys = p->causal && r + 1 < p->S ? r + 1 : p->S;
    double top = -(double)INFINITY, sum = 0;
    for (int64_t k = 0; k < keys; k++) {
        w[k] = j->scale * dot(j, row_of(j, TERNI_ATTENTION_Q, b, h, r), row_of(j, TERNI_ATTENTION_K, b, h, k), p->E);
        top = fmax(top, w[k]);
    }
    for (int64_t k = 0; k < keys; k++) sum += w[k] = exp(w[k] - top);
    for (int64_t i = 0; i < p->V; i++) {
        double y = 0;
        for (int64_t k = 0; k < keys; k++) y += w[k] / sum * get(j, row_of(j, TERNI_ATTENTION_V, b, h, k)[i]);
        row_of(j, TERNI_ATTENTION_Y, b, h, r)[i] = put(j, y);
    }
    if (p->stats) j->stats[(b * p->H + h) * p->L + r] = (float)(top + log(sum));
}

/* The sums of one row's share. */
static void row_backward(const job *j, int64_t b, int64_t h, int64_t r, double *gq, double *gk, double *gv) {
    const terni_attention_problem *p = &j->p;
    const uint16_t *q = row_of(j, TERNI_ATTENTION_Q, b, h, r), *gy = row_of(j, TERNI_ATTENTION_GY, b, h, r);
    const double along = dot(j, gy, row_of(j, TERNI_ATTENTION_Y, b, h, r), p->V);
    const int64_t keys = p->causal && r + 1 < p->S ? r + 1 : p->S;
    for (int64_t i = 0; i < p->E; i++) gq[i] = 0;
    for (int64_t key = 0; key < keys; key++) {
        const uint16_t *k = row_of(j, TERNI_ATTENTION_K, b, h, key), *v = row_of(j, TERNI_ATTENTION_V, b, h, key);
        const double w = exp(j->scale * dot(j, q, k, p->E) - (double)j->stats[(b * p->H + h) * p->L + r]);
        const double slope = j->scale * w * (dot(j, gy, v, p->V) - along);
        for (int64_t i = 0; i < p->E; i++) gq[i] += slope * get(j, k[i]);
        for (int64_t i = 0; i < p->E; i++) gk[key * p->E + i] += slope * get(j, q[i]);
        for (int64_t i = 0; i < p->V; i++) gv[key * p->V + i] += w * get(j, gy[i]);
    }
    for (int64_t i = 0; i < p->E; i++) row_of(j, TERNI_ATTENTION_GQ, b, h, r)[i] = put(j, gq[i]);
}

static void put_keys(const job *j, int t, int64_t b, int64_t h, const double *sums, int64_t columns) {
    for (int64_t key = 0; key < j->p.S; key++)
        for (int64_t i = 0; i < columns; i++) row_of(j, t, b, h, key)[i] = put(j, sums[key * columns + i]);
}

static void compute(const void *args) {
    const job *j = args;
    const terni_attention_problem *p = &j->p;
    const int64_t group = p->H / p->K;
    double *room = malloc((size_t)(p->S + p->E + p->S * (p->E + p->V)) * sizeof(double));
    if (!room) abort();
    double *gq = room + p->S, *gk = gq + p->E, *gv = gk + p->S * p->E;
    for (int64_t b = 0; b < p->B; b++)
        for (int64_t h = 0; h < p->H; h++) {
            for (int64_t i = 0; h % group == 0 && i < p->S * (p->E + p->V); i++) gk[i] = 0;
            for (int64_t r = 0; r < p->L; r++)
                if (p->backward)
                    row_backward(j, b, h, r, gq, gk, gv);
                else
                    row_forward(j, b, h, r, room);
            if (p->backward && h % group == group - 1) {
                put_keys(j, TERNI_ATTENTION_GK, b, h, gk, p->E);
                put_keys(j, TERNI_ATTENTION_GV, b, h, gv, p->V);
            }
        }
    free(room);
}

static bool run(void *made, terni_cuda_device *d, void *const *data, void *stats, double scale, void *workspace) {
    job j = {.p = *(const terni_attention_problem *)made, .stats = stats, .scale = scale};
    for (int t = 0; t < tensors(&j.p); t++) {
        if (!data[t] || (uintptr_t)data[t] % (uintptr_t)j.p.align)
            return terni_cuda_fail(TERN_ERR_DEVICE, "simulation: a plan for other alignments");
        j.data[t] = data[t];
    }
    return TERNI_CUDA_OK(terni_cuda_driver->fill(workspace, 0xFF, WORKSPACE, d->stream)) &&
           TERNI_CUDA_OK(terni_sim_do(d->stream, compute, &j, sizeof j));
}

const terni_library_attention terni_cuda_library_attention = {"simulation", open_library, plan_new, plan_free, run};

void terni_cuda_library_attention_describe(const char *json) { (void)json; }
