/* Sums of squares in double, chunk by chunk, so that the result does not depend on the threads. Only f64 can leave the
 * range of its own squares; it is then scaled by its largest element. */
#include <math.h>

#include "internal.h"
#include "update.h"

enum { CHUNK = 8192, LANES = 32 };

typedef struct job {
    const terni_call *c;
    int n;           /* of in, that are measured */
    double *partial; /* one a chunk */
    double scale;
} job;

static double value(const terni_view *v, int64_t i) {
    switch (v->dtype) {
        case TERN_F64:
            return ((const double *)v->data)[i];
        case TERN_F16:
            return (double)terni_f16_to(((const uint16_t *)v->data)[i]);
        case TERN_BF16:
            return (double)terni_bf16_to(((const uint16_t *)v->data)[i]);
        default:
            return (double)((const float *)v->data)[i];
    }
}

/* f32 squares fit a double whatever they are, so their scale comes last. */
static double chunk_sum(const terni_view *v, int64_t begin, int64_t end, double scale) {
    double lane[LANES] = {0}, s = 0;
    int64_t i = begin;
    if (v->dtype == TERN_F32) {
        const float *x = v->data;
        for (; end - i >= LANES; i += LANES)
            for (int l = 0; l < LANES; l++) lane[l] += (double)x[i + l] * (double)x[i + l];
        for (int l = 0; l < LANES; l++) s += lane[l];
        for (; i < end; i++) s += (double)x[i] * (double)x[i];
        return s * scale * scale;
    }
    for (; end - i >= LANES; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += (value(v, i + l) * scale) * (value(v, i + l) * scale);
    for (int l = 0; l < LANES; l++) s += lane[l];
    for (; i < end; i++) s += (value(v, i) * scale) * (value(v, i) * scale);
    return s;
}

static int64_t count(const terni_view *v) { return v ? terni_cpu_count(v) : 0; }
static int64_t chunks_of(const terni_view *v) { return (count(v) + CHUNK - 1) / CHUNK; }

static void sums(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    int64_t first = 0;
    for (int t = 0; t < j->n && first < end; t++) {
        const terni_view *v = j->c->in[t];
        const int64_t n = count(v), stop = first + chunks_of(v);
        for (int64_t k = begin > first ? begin : first; k < (end < stop ? end : stop); k++) {
            const int64_t at = (k - first) * CHUNK;
            j->partial[k] = chunk_sum(v, at, n - at < CHUNK ? n : at + CHUNK, j->scale);
        }
        first = stop;
    }
}

static double total(job *j, int64_t chunks) {
    terni_cpu_parallel(chunks, 4, sums, j);
    double s = 0;
    for (int64_t k = 0; k < chunks; k++) s += j->partial[k];
    return s;
}

/* The largest magnitude; NaN if there is one. */
static double largest(const terni_call *c, int n_in) {
    double m = 0;
    for (int t = 0; t < n_in; t++)
        for (int64_t i = 0, n = count(c->in[t]); i < n; i++) {
            const double a = fabs(value(c->in[t], i));
            if (!(a <= m)) m = a;
            if (m != m) return m;
        }
    return m;
}

static void put(const terni_view *y, double v) {
    if (y->dtype == TERN_F64)
        *(double *)y->data = v;
    else
        *(float *)y->data = (float)v;
}

bool terni_cpu_global_norm(const terni_call *c) {
    const terni_norm_opts *o = c->opts;
    int64_t chunks = 0;
    for (int t = 0; t < o->n; t++) chunks += chunks_of(c->in[t]);
    const size_t bytes = (size_t)(chunks + 1) * sizeof(double);
    job j = {.c = c, .n = o->n, .partial = terni_cpu_host->alloc(bytes), .scale = 1};
    if (!j.partial) return false;
    double s = total(&j, chunks), unit = 1;
    if (s < 1e-250 || isinf(s)) {
        const double m = largest(c, o->n);
        if (m > 0 && isfinite(m)) {
            unit = m > 0x1p-1000 ? m : 0x1p-1000;
            j.scale = 1 / unit;
            s = total(&j, chunks);
        }
    }
    terni_cpu_host->free(j.partial, bytes);
    const double unscale = terni_cpu_update_scale(c, o->n), norm = unit * sqrt(s) * unscale;
    put(c->out[0], norm);
    if (c->out[1]) put(c->out[1], terni_clip_factor(norm, unscale, o->max_norm));
    return true;
}
