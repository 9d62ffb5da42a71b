#include <math.h>
#include <string.h>

#include "internal.h"
#include "update.h"
#include "widen.h"

#define TERNI_TEMPLATE "sgd_update.inc"
#include "each_float.h"

static void piece(const terni_call *c, int32_t t, int64_t begin, int64_t end) {
    (c->in[t]->dtype == TERN_F64 ? piece_f64 : piece_f32)(c, t, begin, end);
}

static bool update(const terni_call *c) {
    const terni_sgd_opts *o = c->opts;
    if (o->skip && !isfinite(terni_cpu_update_scale(c, o->n))) return true;
    terni_cpu_update(c, o->n, piece);
    return true;
}

bool terni_cpu_sgd_update(const terni_call *c) { return terni_cpu_widen(c, update); }
