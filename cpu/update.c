/* Updates of many tensors in one parallel region: the tensors' elements stand in one long line, which threads divide.
 */
#include "update.h"

#include <math.h>
#include <string.h>

#include "internal.h"
#include "widen.h"

#define TERNI_TEMPLATE "update.inc"
#include "each_float.h"

/* Fewer elements stay in the cache of the core that makes the gradients and takes the next step; more are divided as
 * the products that make and use them are (matmul.c). */
enum { GRAIN = 1 << 15 };

static void run(void *arg, int64_t begin, int64_t end) {
    const terni_call *c = arg;
    const terni_update_opts *o = c->opts;
    int64_t start = 0;
    for (int32_t i = 0; i < o->n && start < end; i++) {
        const int64_t size = terni_cpu_count(c->in[i]), stop = start + size;
        if (size && stop > begin)
            (c->out[i]->dtype == TERN_F64 ? piece_f64 : piece_f32)(c, i, begin > start ? begin - start : 0,
                                                                   end < stop ? end - start : size);
        start = stop;
    }
}

double terni_cpu_update_scale(const terni_call *c, int32_t n) {
    const terni_view *v = c->in[n];
    if (!v) return 1;
    return v->dtype == TERN_F64 ? *(const double *)v->data : (double)*(const float *)v->data;
}

static bool update(const terni_call *c) {
    const terni_update_opts *o = c->opts;
    if (o->skip && !isfinite(terni_cpu_update_scale(c, o->n))) return true;
    int64_t total = 0;
    for (int32_t i = 0; i < o->n; i++) total += terni_cpu_count(c->in[i]);
    terni_call call = *c;
    terni_cpu_parallel(total, GRAIN, run, &call);
    return true;
}

bool terni_cpu_update(const terni_call *c) { return terni_cpu_widen(c, update); }
