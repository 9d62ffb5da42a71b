/* What tells a model where in the sequence an element stands. */
#include <inttypes.h>

#include "internal.h"
#include "tern/transformer.h"

typedef struct positions {
    tern_module m;
    int64_t dims, length;     /* length: learned */
    tern_positions_opts opts; /* base is not 0 */
    tern_tensor *(*place)(const struct positions *s, tern_tensor *x, int64_t first);
    tern_tensor *weight; /* learned */
} positions;

static int64_t length_of(const positions *s, const tern_tensor *x) {
    return tern_size(x, tern_ndim(x) == 3 && s->opts.batch_first ? 1 : 0);
}

/* table [L, dims] added to each sample of x. */
static tern_tensor *add_table(const positions *s, tern_tensor *x, tern_tensor *table) {
    return tern_add(x, tern_ndim(x) == 3 && !s->opts.batch_first ? tern_unsqueeze(table, 1) : table);
}

/* Cosines and sines [n, dims / 2] of positions first, ... */
static tern_tensor *angles(const positions *s, tern_tensor *x, int64_t first, int64_t n, tern_tensor **sin) {
    tern_tensor *at = tern_arange((double)first, (double)(first + n), (tern_options){TERN_I64, tern_device_of(x)});
    return tern_rotary_tables(at, s->dims, s->opts.base, tern_dtype_of(x), sin);
}

static tern_tensor *sinusoidal(const positions *s, tern_tensor *x, int64_t first) {
    tern_tensor *pair[2];
    pair[1] = angles(s, x, first, length_of(s, x), &pair[0]);
    return pair[1] ? add_table(s, x, tern_flatten(tern_stack(pair, 2, -1), -2, -1)) : NULL;
}

static tern_tensor *learned(const positions *s, tern_tensor *x, int64_t first) {
    const int64_t n = length_of(s, x);
    if (first > s->length - n)
        return terni_null(TERN_ERR_SHAPE,
                          "learned_positions: %" PRId64 " positions from %" PRId64 "; there are %" PRId64, n, first,
                          s->length);
    return add_table(s, x, tern_narrow(s->weight, 0, first, n));
}

static tern_tensor *rotary(const positions *s, tern_tensor *x, int64_t first) {
    tern_tensor *sin = NULL, *cos = angles(s, x, first, tern_size(x, -2), &sin);
    return tern_rotary(x, cos, sin, (tern_rotary_opts){s->opts.interleaved});
}

static tern_tensor *placed(const positions *s, tern_tensor *x, int64_t first) {
    const int n = tern_ndim(x);
    if (n < 2 || (s->place != rotary && n > 3) || tern_size(x, -1) != s->dims) {
        char shape[128];
        return terni_null(TERN_ERR_SHAPE, "%s: x %s; sequences of %" PRId64 " dimensions expected", s->m.type,
                          tern_shape_text(tern_shape_get(x), shape, sizeof shape), s->dims);
    }
    const int scope = tern_scope_push();
    return tern_scope_return(scope, s->place(s, x, first));
}

static tern_tensor *forward(tern_module *m, tern_tensor *x) { return placed((const positions *)m, x, 0); }

tern_tensor *tern_positions_forward(tern_module *m, tern_tensor *x, int64_t first) {
    static const char op[] = "positions_forward";
    if (!terni_given(m, op, "m") || !terni_given(x, op, "x")) return NULL;
    if (m->forward != forward) return terni_null(TERN_ERR_ARGUMENT, "%s: %s has no positions", op, m->type);
    if (first < 0 || first > INT64_MAX / 2)
        return terni_null(TERN_ERR_ARGUMENT, "%s: first is %" PRId64 "; 0 or more expected", op, first);
    x = terni_forward_begin(m, x);
    return terni_forward_end(m, x, x ? placed((const positions *)m, x, first) : NULL);
}

static void describe(const tern_module *m, char *buf, size_t size) {
    const positions *s = (const positions *)m;
    terni_text t = {buf, size, 0};
    if (s->length) terni_text_add(&t, "%" PRId64 " x ", s->length);
    terni_text_add(&t, "%" PRId64, s->dims);
    if (!s->length) terni_text_add(&t, ", base %g", s->opts.base);
}

static positions *begin(const char *type, int64_t dims, tern_positions_opts o, bool even,
                        tern_tensor *(*place)(const positions *, tern_tensor *, int64_t)) {
    if (!tern_ok()) return NULL;
    if (dims < 1 || (even && dims % 2))
        return terni_null(TERN_ERR_ARGUMENT, "%s: %" PRId64 " dimensions; %s expected", type, dims,
                          even ? "an even number above 0" : "1 or more");
    if (o.base == 0) o.base = 10000;
    if (!(o.base > 0)) return terni_null(TERN_ERR_ARGUMENT, "%s: base is %g; above 0 expected", type, o.base);
    positions *s = tern_module_alloc(sizeof *s, type);
    if (!s) return NULL;
    s->m.forward = forward;
    s->m.describe = describe;
    s->dims = dims;
    s->opts = o;
    s->place = place;
    return s;
}

tern_module *tern_sinusoidal_positions_new(int64_t dims, tern_positions_opts opts) {
    return tern_module_done(begin("sinusoidal_positions", dims, opts, true, sinusoidal));
}
tern_module *tern_rotary_positions_new(int64_t dims, tern_positions_opts opts) {
    return tern_module_done(begin("rotary_positions", dims, opts, true, rotary));
}
tern_module *tern_learned_positions_new(int64_t length, int64_t dims, tern_positions_opts opts) {
    if (tern_ok() && length < 1)
        return terni_null(TERN_ERR_ARGUMENT, "learned_positions: length %" PRId64 "; 1 or more expected", length);
    positions *s = begin("learned_positions", dims, opts, false, learned);
    if (!s) return NULL;
    s->length = length;
    const int scope = tern_scope_push();
    s->weight = terni_param_new(&s->m, "weight", TERN_SHAPE(length, dims));
    if (s->weight) (void)tern_init_normal(s->weight, 0, 1);
    tern_scope_pop(scope);
    return tern_module_done(s);
}
