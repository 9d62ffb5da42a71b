/* Elementwise ops: dtype and shape rules, the call of a row's kernel, and gradients of every order.
 *
 * Order 1 runs the row's slope kernel (g * slope). While a graph of the pass is recorded that call is itself a node,
 * whose backward runs the curvature kernel; if even that is recorded, the curvature's text is evaluated in public ops
 * (expression.c), which can be differentiated for ever. Binary rows have kernels for order 1 and the text after that.
 */
#include <math.h>
#include <string.h>

#include "casting.h"
#include "elementwise_rows.h"
#include "expression.h"
#include "tape.h"
#include "trace_fields.h"

static inline bool call_kernel(terni_kernel k, const char *name, const terni_view *const *in, int n,
                               const terni_view *out, const void *opts, tern_device d) {
    if (!k) return terni_fail(TERN_ERR_UNSUPPORTED, "%s: this backend has no such kernel", name);
    const terni_backend *b = terni_backend_of(d);
    const terni_call call = {in, &out, n, 1, opts, d.index};
    return b && terni_call_kernel(b, k, name, &call);
}

/* y = a row's value of in[n]: lists it where there is a trace. p: its numbers. Returns y. */
static tern_tensor *listed(const char *name, const char *value, const double *p, tern_tensor *const *in, int n,
                           tern_tensor *y) {
    static const terni_fields numbers = {
        NULL, {{"p", 0, 8, 'd'}, {"q", sizeof(double), 8, 'd'}, {"r", 2 * sizeof(double), 8, 'd'}}};
    if (!y || !terni_listening()) return y;
    return terni_trace_op(name, value, &numbers, p, 3 * sizeof *p, in, n, &y, 1) ? y : NULL;
}

/* The same call for what is not listed. */
static bool call_apart(terni_kernel k, const char *name, const terni_view *const *in, int n, const terni_view *out,
                       const void *opts, tern_device d) {
    if (terni_tracing() && !terni_trace_kernel(name, in, n, &out, 1)) return false;
    return call_kernel(k, name, in, n, out, opts, d);
}

/* ---- unary ------------------------------------------------------------------------------------------------------- */

typedef struct unary_opts {
    int row;
    double p[3];
} unary_opts;

/* out = arg * slope or curvature, at s; not recorded. */
static tern_tensor *unary_product(bool curvature, const unary_opts *o, tern_tensor *arg, tern_tensor *s) {
    const terni_backend *b = terni_backend_of(arg->device);
    tern_tensor *out = b ? terni_new_like(arg, terni_dtype(arg)) : NULL;
    if (!out) return NULL;
    const terni_view *const in[2] = {&arg->v, &s->v};
    const terni_kernel k = curvature ? b->unary_curv[o->row] : b->unary_grad[o->row];
    return call_apart(k, unary_rows[o->row].name, in, 2, &out->v, o->p, arg->device) ? out : NULL;
}

static tern_tensor *unary_slope(const unary_opts *o, tern_tensor *g, tern_tensor *s, const terni_edge *x);
static tern_tensor *unary(int op, tern_tensor *x, const double *p);

/* Backward of g * slope(x): inputs g and x, saved g and s. */
static bool slope_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const unary_opts *o = tern_ctx_opts(ctx);
    tern_tensor *g = tern_ctx_saved(ctx, 0), *s = tern_ctx_saved(ctx, 1);
    if (!g || !s) return false;
    if (tern_ctx_needs(ctx, 0)) gin[0] = unary_slope(o, gout[0], s, &ctx->node.edge[1]);
    if (!tern_ctx_needs(ctx, 1)) return tern_ok();
    const unary_row *row = &unary_rows[o->row];
    tern_tensor *h = tern_mul(gout[0], g);
    if (!h) return false;
    if (terni_recording()) {
        const terni_names names = {.x = row->by_y ? NULL : s, .y = s, .p = o->p[0], .q = o->p[1]};
        terni_names with_y = names;
        if (!row->by_y && terni_expression_uses(row->curvature, 'y')) with_y.y = unary(o->row, s, o->p);
        gin[1] = terni_expression_times(row->curvature, &with_y, h);
    } else {
        gin[1] = unary_product(true, o, h, s);
    }
    return gin[1] != NULL;
}

static const tern_function slope_function = {"slope", 1, sizeof(unary_opts), NULL, slope_backward, NULL};

static tern_tensor *unary_slope(const unary_opts *o, tern_tensor *g, tern_tensor *s, const terni_edge *x) {
    tern_tensor *y = unary_product(false, o, g, s);
    if (!y || !terni_recording() || (!terni_wants(g) && !x->node)) return y;
    terni_node *n = terni_node_new(&slope_function, 2, o, sizeof *o);
    if (!n) return NULL;
    terni_edge_set(n, 0, g);
    terni_edge_copy(n, 1, x);
    const bool ok = terni_node_save(n, g) && terni_node_save(n, s) && terni_node_output(n, y, 0);
    terni_node_release(n);
    return ok ? y : NULL;
}

static bool unary_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    tern_tensor *s = tern_ctx_saved(ctx, 0);
    if (s) gin[0] = unary_slope(tern_ctx_opts(ctx), gout[0], s, &ctx->node.edge[0]);
    return gin[0] != NULL;
}

/* One function a row, so that messages name the op. */
static const tern_function unary_functions[TERNI_UNARY_COUNT] = {
#define TERN_UNARY(name, ...)     {#name, 1, sizeof(unary_opts), NULL, unary_backward, NULL},
#define TERN_UNARY_Y(name, ...)   TERN_UNARY(name, )
#define TERN_UNARY_P(name, ...)   TERN_UNARY(name, )
#define TERN_UNARY_PQ(name, ...)  TERN_UNARY(name, )
#define TERN_UNARY_PQR(name, ...) TERN_UNARY(name, )
#include "elementwise.def"
};

static const double no_parameters[3];

static bool whole(const double *p) { return p[0] == floor(p[0]) && p[1] == floor(p[1]); }

/* Puts y = op(x) on the tape. Returns y. */
static tern_tensor *record_unary(int op, tern_tensor *x, tern_tensor *y, const double *p) {
    if (!terni_recording() || !terni_wants(x)) return y;
    const unary_opts o = {op, {p[0], p[1], p[2]}};
    terni_node *n = terni_node_new(&unary_functions[op], 1, &o, sizeof o);
    if (!n) return NULL;
    terni_edge_set(n, 0, x);
    const bool ok = terni_node_save(n, unary_rows[op].by_y ? y : x) && terni_node_output(n, y, 0);
    terni_node_release(n);
    return ok ? y : NULL;
}

tern_tensor *terni_unary_done(int op, tern_tensor *x, tern_tensor *y) { return record_unary(op, x, y, no_parameters); }

static tern_tensor *unary(int op, tern_tensor *x, const double *p) {
    const unary_row *row = &unary_rows[op];
    if (terni_self.autocast && row->f32) x = terni_autocast_f32(x);
    if (!terni_has(x, row->name, "x")) return NULL;
    if (!terni_is_float(terni_dtype(x)) && (!row->numbers || terni_dtype(x) == TERN_BOOL || !whole(p))) {
        x = tern_cast(x, TERN_F32);
        if (!x) return NULL;
    }
    const terni_backend *b = terni_backend_of(x->device);
    tern_tensor *y = b ? terni_new_like(x, terni_dtype(x)) : NULL;
    if (!y) return NULL;
    const terni_view *const in[1] = {&x->v};
    if (!call_kernel(b->unary[op], row->name, in, 1, &y->v, p, x->device)) return NULL;
    return listed(row->name, row->value, p, &x, 1, record_unary(op, x, y, p));
}

#define TERN_UNARY(name, ...) \
    tern_tensor *tern_##name(tern_tensor *x) { return unary(TERNI_UNARY_##name, x, no_parameters); }
#define TERN_UNARY_Y(name, ...) TERN_UNARY(name, )
#define TERN_UNARY_P(name, ...) \
    tern_tensor *tern_##name(tern_tensor *x, double p) { return unary(TERNI_UNARY_##name, x, (double[3]){p}); }
#define TERN_UNARY_PQ(name, ...)                                   \
    tern_tensor *tern_##name(tern_tensor *x, double p, double q) { \
        return unary(TERNI_UNARY_##name, x, (double[3]){p, q});    \
    }
#include "elementwise.def"

/* Integers hold neither NaN nor infinities. */
tern_tensor *tern_nan_to_num(tern_tensor *x, double nan, double posinf, double neginf) {
    if (!terni_given(x, "nan_to_num", "x") || !tern_dtype_is_float(terni_dtype(x))) return x;
    return unary(TERNI_UNARY_nan_to_num, x, (double[3]){nan, posinf, neginf});
}

static bool is_name(const char *row, const char *name, size_t length) {
    return strncmp(row, name, length) == 0 && row[length] == 0;
}

tern_tensor *terni_unary_by_name(const char *name, size_t length, tern_tensor *x, const double *p) {
    if (is_name("fabs", name, length)) name = "abs", length = 3;
    for (int i = 0; i < TERNI_UNARY_COUNT; i++)
        if (is_name(unary_rows[i].name, name, length) && unary_rows[i].parameters == (p != NULL))
            return unary(i, x, p ? p : no_parameters);
    return terni_null(TERN_ERR_INTERNAL, "elementwise: an expression calls \"%.*s\", which is no row", (int)length,
                      name);
}

/* One input, bool out. */
static tern_tensor *test_of(int op, tern_tensor *x) {
    if (!terni_given(x, test_rows[op].name, "x")) return NULL;
    const terni_backend *b = terni_backend_of(x->device);
    tern_tensor *y = b ? terni_new_like(x, TERN_BOOL) : NULL;
    const terni_view *const in[1] = {&x->v};
    if (!y || !call_kernel(b->test_of[op], test_rows[op].name, in, 1, &y->v, NULL, x->device)) return NULL;
    return listed(test_rows[op].name, test_rows[op].value, no_parameters, &x, 1, y);
}

#define TERN_TEST_OF(name, ...) \
    tern_tensor *tern_##name(tern_tensor *x) { return test_of(TERNI_TEST_OF_##name, x); }
#include "elementwise.def"

/* ---- binary ------------------------------------------------------------------------------------------------------ */

/* v stretched to shape by strides of 0. */
static terni_view stretch(const terni_view *v, const tern_shape *shape) {
    terni_view s = *v;
    s.ndim = shape->ndim;
    for (int i = 0; i < shape->ndim; i++) {
        const int j = i - (shape->ndim - v->ndim);
        s.shape[i] = shape->dim[i];
        s.strides[i] = j < 0 || v->shape[j] == 1 ? 0 : v->strides[j];
    }
    return s;
}

/* A 0-dim CPU tensor goes to the other's device; else the devices must agree. */
static bool bring_together(const char *op, tern_tensor **a, tern_tensor **b) {
    if (terni_device_same((*a)->device, (*b)->device)) return true;
    tern_tensor **s = (*a)->v.ndim == 0 && (*a)->device.type == TERN_CPU   ? a
                      : (*b)->v.ndim == 0 && (*b)->device.type == TERN_CPU ? b
                                                                           : NULL;
    if (s) {
        *s = tern_to(*s, (s == a ? *b : *a)->device);
        return *s != NULL;
    }
    tern_tensor *const pair[2] = {*a, *b};
    return terni_same_device(op, pair, 2, NULL);
}

static tern_tensor *run_binary(terni_kernel k, const char *name, tern_tensor *a, tern_tensor *b, tern_dtype dtype) {
    if (terni_same_shape(a, b)) {
        tern_tensor *y = terni_new_like(a, dtype);
        const terni_view *const in[2] = {&a->v, &b->v};
        return y && call_kernel(k, name, in, 2, &y->v, NULL, a->device) ? y : NULL;
    }
    tern_shape shape;
    if (!terni_broadcast(name, terni_shape(a), terni_shape(b), &shape) || !terni_shape_check(name, &shape, dtype))
        return NULL;
    const terni_view va = stretch(&a->v, &shape), vb = stretch(&b->v, &shape);
    tern_tensor *y = terni_new(shape, dtype, a->device);
    const terni_view *const in[2] = {&va, &vb};
    return y && call_kernel(k, name, in, 2, &y->v, NULL, a->device) ? y : NULL;
}

typedef struct binary_opts {
    int row;
} binary_opts;

/* What a partial's text is made of; read from it once a row. */
enum { USES_A = 1, USES_B = 2, IS_ONE = 4, IS_MINUS_ONE = 8, KNOWN = 16 };

static unsigned partial_kind(int op, bool second) {
    static atomic_uchar kinds[TERNI_BINARY_COUNT][2]; /* 0: not looked at; all threads find the same */
    unsigned k = atomic_load_explicit(&kinds[op][second], memory_order_relaxed);
    if (k) return k;
    const char *text = second ? binary_rows[op].db : binary_rows[op].da;
    k = KNOWN | (terni_expression_uses(text, 'a') ? USES_A : 0) | (terni_expression_uses(text, 'b') ? USES_B : 0) |
        (strcmp(text, "K(1)") == 0 ? IS_ONE : 0) | (strcmp(text, "K(-1)") == 0 ? IS_MINUS_ONE : 0);
    atomic_store_explicit(&kinds[op][second], (unsigned char)k, memory_order_relaxed);
    return k;
}

/* g * text(a, b) by the row's kernel. */
static tern_tensor *run_partial(int op, bool second, tern_tensor *g, tern_tensor *a, tern_tensor *b) {
    const terni_backend *be = terni_backend_of(g->device);
    tern_tensor *r = be ? terni_new_like(g, terni_dtype(g)) : NULL;
    if (!r) return NULL;
    /* What the text does not use still needs a view of the right shape. */
    const terni_view *in[3] = {&g->v, a ? &a->v : &g->v, b ? &b->v : &g->v};
    terni_view room[2];
    for (int i = 0; i < 2; i++) {
        const tern_tensor *t = i ? b : a;
        if (!t || terni_same_shape(t, g)) continue;
        const tern_shape shape = terni_shape(g);
        room[i] = stretch(&t->v, &shape);
        in[1 + i] = &room[i];
    }
    const terni_kernel k = second ? be->binary_db[op] : be->binary_da[op];
    return call_apart(k, binary_rows[op].name, in, 3, &r->v, NULL, g->device) ? r : NULL;
}

/* One partial: g * text(a, b), summed down to the shape of input x. a or b is NULL where the text does not use it. */
static tern_tensor *partial(int op, bool second, tern_tensor *g, tern_tensor *a, tern_tensor *b, const terni_edge *x) {
    const unsigned kind = partial_kind(op, second);
    tern_tensor *r;
    if (kind & IS_ONE) {
        r = g;
    } else if (kind & IS_MINUS_ONE) {
        r = tern_neg(g);
    } else if (terni_recording()) {
        const terni_names names = {.a = a, .b = b};
        r = terni_expression_times(second ? binary_rows[op].db : binary_rows[op].da, &names, g);
    } else {
        r = run_partial(op, second, g, a, b);
    }
    return !r || terni_has_shape(r, &x->shape) ? r : tern_sum_to(r, x->shape);
}

/* Inputs and saved: a, b (NULL where no wanted partial uses it). */
static bool binary_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const int op = ((const binary_opts *)tern_ctx_opts(ctx))->row;
    tern_tensor *a = tern_ctx_saved(ctx, 0), *b = tern_ctx_saved(ctx, 1);
    for (int i = 0; i < 2 && terni_self.error == TERN_OK; i++)
        if (tern_ctx_needs(ctx, i)) gin[i] = partial(op, i == 1, gout[0], a, b, &ctx->node.edge[i]);
    return terni_self.error == TERN_OK;
}

static const tern_function binary_functions[TERNI_BINARY_COUNT] = {
#define TERN_BINARY(name, ...) {#name, 1, sizeof(binary_opts), NULL, binary_backward, NULL},
#include "elementwise.def"
};

static bool record_binary(int op, tern_tensor *a, tern_tensor *b, tern_tensor *y) {
    const binary_opts o = {op};
    const unsigned used =
        (terni_wants(a) ? partial_kind(op, false) : 0) | (terni_wants(b) ? partial_kind(op, true) : 0);
    terni_node *n = terni_node_new(&binary_functions[op], 2, &o, sizeof o);
    if (!n) return false;
    terni_edge_set(n, 0, a);
    terni_edge_set(n, 1, b);
    const bool ok = terni_node_save(n, used & USES_A ? a : NULL) && terni_node_save(n, used & USES_B ? b : NULL) &&
                    terni_node_output(n, y, 0);
    terni_node_release(n);
    return ok;
}

/* The dtype in which a and b meet for this row. */
static tern_dtype meet(const binary_row *row, const tern_tensor *a, const tern_tensor *b) {
    const tern_dtype d = tern_dtype_promote(terni_dtype(a), terni_dtype(b));
    if (row->dtypes != 'N' && !tern_dtype_is_float(d)) return TERN_F32;
    return d == TERN_BOOL ? TERN_I64 : d; /* arithmetic on two bools counts */
}

static tern_tensor *binary(int op, tern_tensor *a, tern_tensor *b) {
    const binary_row *row = &binary_rows[op];
    if (terni_self.autocast && row->f32) a = terni_autocast_f32(a), b = terni_autocast_f32(b);
    if (!terni_has(a, row->name, "a") || !terni_has(b, row->name, "b")) return NULL;
    if (a->v.dtype != b->v.dtype || !terni_is_float(terni_dtype(a))) {
        const tern_dtype d = meet(row, a, b);
        a = tern_cast(a, d);
        b = a ? tern_cast(b, d) : NULL;
        if (!b) return NULL;
    }
    if (row->dtypes == 'W' && terni_size(a) < 4)
        return terni_null(TERN_ERR_DTYPE, "%s: %s, expected f64 or f32", row->name, terni_describe(a));
    if (!bring_together(row->name, &a, &b)) return NULL;
    const terni_backend *be = terni_backend_of(a->device);
    tern_tensor *y = be ? run_binary(be->binary[op], row->name, a, b, terni_dtype(a)) : NULL;
    if (y && terni_recording() && (terni_wants(a) || terni_wants(b)) && !record_binary(op, a, b, y)) return NULL;
    return terni_listening() ? listed(row->name, row->value, no_parameters, (tern_tensor *const[]){a, b}, 2, y) : y;
}

#define TERN_BINARY(name, ...) \
    tern_tensor *tern_##name(tern_tensor *a, tern_tensor *b) { return binary(TERNI_BINARY_##name, a, b); }
#include "elementwise.def"

int terni_binary_by_name(const char *name, size_t length) {
    for (int i = 0; i < TERNI_BINARY_COUNT; i++)
        if (is_name(binary_rows[i].name, name, length)) return i;
    return -1;
}
tern_tensor *terni_binary(int row, tern_tensor *a, tern_tensor *b) { return binary(row, a, b); }

/* ---- ternary ----------------------------------------------------------------------------------------------------- */

typedef struct ternary_opts {
    int row, n; /* n: inputs, 2 where the row has no b */
    double p;
} ternary_opts;

/* Inputs and saved: x, a, b (NULL where no wanted partial uses it). */
static bool ternary_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    const ternary_opts *o = tern_ctx_opts(ctx);
    const terni_names names = {.x = tern_ctx_saved(ctx, 0),
                               .a = tern_ctx_saved(ctx, 1),
                               .b = o->n > 2 ? tern_ctx_saved(ctx, 2) : NULL,
                               .p = o->p};
    for (int i = 0; i < o->n && tern_ok(); i++) {
        if (!tern_ctx_needs(ctx, i)) continue;
        tern_tensor *g = terni_expression_times(ternary_rows[o->row].partials[i], &names, gout[0]);
        gin[i] = g ? tern_sum_to(g, tern_ctx_shape(ctx, i)) : NULL;
    }
    return tern_ok();
}

static const tern_function ternary_functions[TERNI_TERNARY_COUNT] = {
#define TERN_TERNARY(name, ...) {#name, 1, sizeof(ternary_opts), NULL, ternary_backward, NULL},
#include "elementwise.def"
};

static bool record_ternary(const ternary_opts *o, tern_tensor *const *in, tern_tensor *y) {
    terni_node *n = terni_node_new(&ternary_functions[o->row], o->n, o, sizeof *o);
    if (!n) return false;
    bool ok = true;
    for (int i = 0; i < o->n; i++) {
        terni_edge_set(n, i, in[i]);
        bool used = false;
        for (int k = 0; k < o->n; k++)
            used = used || (terni_wants(in[k]) && terni_expression_uses(ternary_rows[o->row].partials[k], "xab"[i]));
        ok = ok && terni_node_save(n, used ? in[i] : NULL);
    }
    ok = ok && terni_node_output(n, y, 0);
    terni_node_release(n);
    return ok;
}

tern_tensor *terni_ternary(int row, tern_tensor *x, tern_tensor *a, tern_tensor *b, double p) {
    const char *name = ternary_rows[row].name;
    tern_tensor *in[3] = {x, a, b};
    const ternary_opts o = {row, b ? 3 : 2, p};
    tern_dtype d = terni_dtype(x);
    for (int i = 1; i < o.n; i++) d = tern_dtype_promote(d, terni_dtype(in[i]));
    tern_shape shape = terni_shape(x);
    for (int i = 1; i < o.n; i++)
        if (!terni_broadcast(name, shape, terni_shape(in[i]), &shape)) return NULL;
    if (!terni_shape_check(name, &shape, d)) return NULL;
    for (int i = 0; i < o.n; i++)
        if (!(in[i] = tern_cast(in[i], d))) return NULL;
    for (int i = 0; i < o.n; i++)
        if (!bring_together(name, &in[i], &in[(i + 1) % o.n])) return NULL;
    const terni_backend *be = terni_backend_of(in[0]->device);
    tern_tensor *y = be ? terni_new(shape, d, in[0]->device) : NULL;
    if (!y) return NULL;
    terni_view v[3];
    for (int i = 0; i < 3; i++) v[i] = stretch(&in[i < o.n ? i : 0]->v, &shape);
    const terni_view *const views[3] = {&v[0], &v[1], &v[2]};
    if (!call_kernel(be->ternary[row], name, views, 3, &y->v, &p, y->device)) return NULL;
    const bool record = terni_recording() && (terni_wants(in[0]) || terni_wants(in[1]) || (b && terni_wants(in[2])));
    if (record && !record_ternary(&o, in, y)) return NULL;
    return listed(name, ternary_rows[row].value, (const double[3]){p}, in, o.n, y);
}

/* Integers, or bools where the row takes them, in the dtype in which they meet. */
static tern_tensor *bits(int op, tern_tensor *a, tern_tensor *b) {
    const bits_row *row = &bits_rows[op];
    if (!terni_given(a, row->name, "a") || !terni_given(b, row->name, "b")) return NULL;
    const tern_dtype d = tern_dtype_promote(terni_dtype(a), terni_dtype(b));
    if (tern_dtype_is_float(d) || (d == TERN_BOOL && !row->bools))
        return terni_null(TERN_ERR_DTYPE, "%s: %s and %s, expected integers%s", row->name, terni_describe(a),
                          terni_describe(b), row->bools ? " or bools" : "");
    a = tern_cast(a, d);
    b = a ? tern_cast(b, d) : NULL;
    if (!b || !bring_together(row->name, &a, &b)) return NULL;
    const terni_backend *be = terni_backend_of(a->device);
    return listed(row->name, row->value, no_parameters, (tern_tensor *const[]){a, b}, 2,
                  be ? run_binary(be->bits[op], row->name, a, b, d) : NULL);
}

#define TERN_BITS(name, ...) \
    tern_tensor *tern_##name(tern_tensor *a, tern_tensor *b) { return bits(TERNI_BITS_##name, a, b); }
#include "elementwise.def"

static tern_tensor *compare(int op, tern_tensor *a, tern_tensor *b) {
    const char *name = compare_rows[op].name;
    if (!terni_given(a, name, "a") || !terni_given(b, name, "b")) return NULL;
    if (a->v.dtype != b->v.dtype) {
        const tern_dtype d = tern_dtype_promote(terni_dtype(a), terni_dtype(b));
        a = tern_cast(a, d);
        b = a ? tern_cast(b, d) : NULL;
        if (!b) return NULL;
    }
    if (!bring_together(name, &a, &b)) return NULL;
    const terni_backend *be = terni_backend_of(a->device);
    return listed(name, compare_rows[op].value, no_parameters, (tern_tensor *const[]){a, b}, 2,
                  be ? run_binary(be->compare[op], name, a, b, TERN_BOOL) : NULL);
}

#define TERN_COMPARE(name, ...) \
    tern_tensor *tern_##name(tern_tensor *a, tern_tensor *b) { return compare(TERNI_COMPARE_##name, a, b); }
#include "elementwise.def"

/* ---- in place ---------------------------------------------------------------------------------------------------- */

static tern_tensor *unary_in_place(int op, const char *name, tern_tensor *t, const double *p) {
    if (!terni_given(t, name, "t")) return NULL;
    if (!tern_dtype_is_float(terni_dtype(t)) && (!unary_rows[op].numbers || terni_dtype(t) == TERN_BOOL || !whole(p)))
        return terni_null(TERN_ERR_DTYPE, "%s: the result for %s is not an integer", name, terni_describe(t));
    const terni_in_place kind = terni_in_place_begin(name, NULL, t, NULL, 0);
    if (kind == TERNI_REFUSED) return NULL;
    if (kind == TERNI_PLAIN) {
        const terni_backend *b = terni_backend_of(t->device);
        const terni_view *const in[1] = {&t->v};
        const bool ok = b && call_apart(b->unary[op], name, in, 1, &t->v, p, t->device);
        terni_changed(t);
        return ok ? t : NULL;
    }
    const int scope = tern_scope_push();
    tern_tensor *old = terni_in_place_old(t);
    tern_tensor *r = old ? terni_in_place_end(name, t, unary(op, old, p)) : NULL;
    tern_scope_pop(scope);
    return r;
}

/* b broadcasts to t. */
static bool fits_into(const char *name, tern_tensor *t, tern_tensor *b) {
    if (terni_same_shape(t, b)) return true;
    tern_shape shape;
    if (!terni_broadcast(name, terni_shape(t), terni_shape(b), &shape)) return false;
    if (tern_shape_equal(shape, terni_shape(t))) return true;
    return terni_fail(TERN_ERR_SHAPE, "%s: %s does not broadcast to %s", name, terni_describe(b), terni_describe(t));
}

/* The kernel from t to t; inside a scope of the caller's. */
static bool change_plainly(terni_kernel k, const char *name, tern_tensor *t, tern_tensor *b) {
    tern_tensor *a = t;
    b = terni_as(b, terni_dtype(t));
    if (b && b->storage == t->storage && b != t && b->numel) b = tern_clone(tern_detach(b)); /* may overlap */
    if (!b || !bring_together(name, &a, &b) || a != t) return false;
    const tern_shape shape = terni_shape(t);
    const terni_view vb = stretch(&b->v, &shape);
    const terni_view *const in[2] = {&t->v, &vb};
    const bool ok = call_apart(k, name, in, 2, &t->v, NULL, t->device);
    terni_changed(t);
    return ok;
}

static tern_tensor *binary_in_place(int op, const char *name, tern_tensor *t, tern_tensor *b) {
    if (!terni_given(t, name, "t") || !terni_given(b, name, "b")) return NULL;
    const char dtypes = binary_rows[op].dtypes;
    if (dtypes != 'N' && !tern_dtype_is_float(terni_dtype(t)))
        return terni_null(TERN_ERR_DTYPE, "%s: the result for %s is not an integer", name, terni_describe(t));
    if (dtypes == 'W' && tern_dtype_size(terni_dtype(t)) < 4)
        return terni_null(TERN_ERR_DTYPE, "%s: %s, expected f64 or f32", name, terni_describe(t));
    const terni_in_place kind = fits_into(name, t, b) ? terni_in_place_begin(name, NULL, t, &b, 1) : TERNI_REFUSED;
    const terni_backend *be = kind == TERNI_REFUSED ? NULL : terni_backend_of(t->device);
    if (!be) return NULL;
    const int scope = tern_scope_push();
    bool ok;
    if (kind == TERNI_PLAIN) {
        ok = change_plainly(be->binary[op], name, t, b);
    } else {
        tern_tensor *old = terni_in_place_old(t);
        b = b == t ? old : tern_cast(b, terni_dtype(t));
        ok = old && b && terni_in_place_end(name, t, binary(op, old, b));
    }
    tern_scope_pop(scope);
    return ok ? t : NULL;
}

static tern_tensor *bits_in_place(int op, const char *name, tern_tensor *t, tern_tensor *b) {
    if (!terni_given(t, name, "t") || !terni_given(b, name, "b")) return NULL;
    const tern_dtype d = tern_dtype_promote(terni_dtype(t), terni_dtype(b));
    if (tern_dtype_is_float(d) || d != terni_dtype(t) || (d == TERN_BOOL && !bits_rows[op].bools))
        return terni_null(TERN_ERR_DTYPE, "%s: %s by %s, expected integers%s that fit the target", name,
                          terni_describe(t), terni_describe(b), bits_rows[op].bools ? " or bools" : "");
    if (!fits_into(name, t, b) || terni_in_place_begin(name, NULL, t, &b, 1) != TERNI_PLAIN) return NULL;
    const terni_backend *be = terni_backend_of(t->device);
    const int scope = tern_scope_push();
    const bool ok = be && change_plainly(be->bits[op], name, t, b);
    tern_scope_pop(scope);
    return ok ? t : NULL;
}

#define TERN_UNARY(name, ...)                                                   \
    tern_tensor *tern_##name##_(tern_tensor *t) {                               \
        return unary_in_place(TERNI_UNARY_##name, #name "_", t, no_parameters); \
    }
#define TERN_UNARY_Y(name, ...) TERN_UNARY(name, )
#define TERN_UNARY_P(name, ...)                                                  \
    tern_tensor *tern_##name##_(tern_tensor *t, double p) {                      \
        return unary_in_place(TERNI_UNARY_##name, #name "_", t, (double[3]){p}); \
    }
#define TERN_UNARY_PQ(name, ...)                                                    \
    tern_tensor *tern_##name##_(tern_tensor *t, double p, double q) {               \
        return unary_in_place(TERNI_UNARY_##name, #name "_", t, (double[3]){p, q}); \
    }
#define TERN_BINARY(name, ...)                                        \
    tern_tensor *tern_##name##_(tern_tensor *t, tern_tensor *b) {     \
        return binary_in_place(TERNI_BINARY_##name, #name "_", t, b); \
    }
#define TERN_BITS(name, ...)                                      \
    tern_tensor *tern_##name##_(tern_tensor *t, tern_tensor *b) { \
        return bits_in_place(TERNI_BITS_##name, #name "_", t, b); \
    }
#include "elementwise.def"
