/* uniform and normal: chunks of draws, so that threads and strides change nothing. */
#include "draw.h"
#include "internal.h"
#include "philox.h"

typedef struct job {
    const terni_view *y;
    const terni_random_opts *o;
} job;

enum { CHUNK = TERNI_DRAW_CHUNK };

static int64_t length(const job *j, int64_t chunk) {
    const int64_t rest = terni_cpu_count(j->y) - chunk * CHUNK;
    return rest < CHUNK ? rest : CHUNK;
}

/* A chunk of an f64 view takes twice the words. */
static int64_t words(const job *j, int64_t chunk, int64_t n, uint32_t *w) {
    const int64_t per = j->y->dtype == TERN_F64 ? 2 : 1;
    terni_cpu_words(j->o->from.seed, j->o->from.position, per * chunk * CHUNK, per * n, w);
    return n;
}

static void uniform(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    uint32_t w[2 * CHUNK];
    terni_draw_buffer b;
    const float lo = (float)j->o->a, span = (float)(j->o->b - j->o->a), top = (float)j->o->top;
    for (int64_t k = begin; k < end; k++) {
        const int64_t n = words(j, k, length(j, k), w);
        if (j->y->dtype == TERN_F64)
            for (int64_t i = 0; i < n; i++)
                b.f64[i] = terni_uniform_f64(w[2 * i], w[2 * i + 1], j->o->a, j->o->b - j->o->a, j->o->top);
        else
            for (int64_t i = 0; i < n; i++) b.f32[i] = terni_uniform_f32(w[i], lo, span, top);
        terni_cpu_put(j->y, k * CHUNK, n, &b);
    }
}

static void normal(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    uint32_t w[2 * CHUNK];
    terni_draw_buffer b;
    const float mean = (float)j->o->a, std = (float)j->o->b;
    for (int64_t k = begin; k < end; k++) {
        const int64_t n = words(j, k, length(j, k), w);
        if (j->y->dtype == TERN_F64) {
            for (int64_t i = 0; i < (n + 1) / 2; i++) {
                const terni_philox_block block = {{w[4 * i], w[4 * i + 1], w[4 * i + 2], w[4 * i + 3]}};
                const terni_pair_f64 p = terni_normal_f64(block);
                b.f64[2 * i] = fma(j->o->b, p.a, j->o->a);
                b.f64[2 * i + 1] = fma(j->o->b, p.b, j->o->a);
            }
        } else {
            for (int64_t i = 0; i < (n + 1) / 2; i++) {
                const terni_pair_f32 p = terni_normal_f32(w[2 * i], w[2 * i + 1]);
                b.f32[2 * i] = fmaf(std, p.a, mean);
                b.f32[2 * i + 1] = fmaf(std, p.b, mean);
            }
        }
        terni_cpu_put(j->y, k * CHUNK, n, &b);
    }
}

static bool run(const terni_call *c, void (*fn)(void *, int64_t, int64_t)) {
    job j = {c->out[0], c->opts};
    terni_cpu_parallel((terni_cpu_count(j.y) + CHUNK - 1) / CHUNK, 4, fn, &j);
    return true;
}

bool terni_cpu_uniform(const terni_call *c) { return run(c, uniform); }
bool terni_cpu_normal(const terni_call *c) { return run(c, normal); }
