#include "draw.h"
#include "internal.h"
#include "philox.h"

enum { CHUNK = TERNI_DRAW_CHUNK };

static void chunks(void *arg, int64_t begin, int64_t end) {
    const terni_call *c = arg;
    const terni_random_opts *o = c->opts;
    const terni_view *x = c->in[0];
    const uint32_t threshold = terni_dropout_threshold(o->a);
    const double scale = o->a < 1 ? 1 / (1 - o->a) : 0;
    const float scale32 = (float)scale;
    uint32_t w[CHUNK];
    terni_draw_buffer b;
    for (int64_t k = begin; k < end; k++) {
        const int64_t rest = terni_cpu_count(x) - k * CHUNK, n = rest < CHUNK ? rest : CHUNK;
        terni_cpu_words(o->from.seed, o->from.position, k * CHUNK, n, w);
        terni_cpu_get(x, k * CHUNK, n, &b);
        if (x->dtype == TERN_F64)
            for (int64_t i = 0; i < n; i++) b.f64[i] = w[i] >> 8 < threshold ? 0 : b.f64[i] * scale;
        else
            for (int64_t i = 0; i < n; i++) b.f32[i] = w[i] >> 8 < threshold ? 0 : b.f32[i] * scale32;
        terni_cpu_put(c->out[0], k * CHUNK, n, &b);
    }
}

bool terni_cpu_dropout(const terni_call *c) {
    terni_call copy = *c;
    terni_cpu_parallel((terni_cpu_count(c->in[0]) + CHUNK - 1) / CHUNK, 4, chunks, &copy);
    return true;
}
