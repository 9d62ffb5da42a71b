/* Matrix products: matmul and linear. Their gradients are matrix products with transposed views, which the kernel takes
 * without copying. */
#include "casting.h"
#include "trace_fields.h"

static _Atomic bool tf32;

bool tern_allow_tf32(bool allow) { return atomic_exchange(&tf32, allow); }
bool tern_allow_tf32_get(void) { return atomic_load_explicit(&tf32, memory_order_relaxed); }

/* Expands both operands to their common batch, and puts that before the rows and columns in *shape. */
static bool batched(tern_tensor **in, tern_shape *shape) {
    tern_shape batch[2] = {terni_shape(in[0]), terni_shape(in[1])}, all = *shape;
    for (int i = 0; i < 2; i++) batch[i].ndim -= 2;
    if (!terni_broadcast("matmul", batch[0], batch[1], &all)) return false;
    all.ndim += 2;
    for (int d = 0; d < 2; d++) all.dim[all.ndim - 2 + d] = shape->dim[d];
    *shape = all;
    if (!terni_shape_check("matmul", shape, terni_dtype(in[0]))) return false;
    for (int i = 0; i < 2; i++) {
        for (int d = 0; d < 2; d++) all.dim[all.ndim - 2 + d] = in[i]->v.shape[batch[i].ndim + d];
        if (!terni_has_shape(in[i], &all) && !(in[i] = tern_expand(in[i], all))) return false;
    }
    return true;
}

static bool product_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    tern_tensor *a = in[0], *b = in[1];
    tern_tensor *wide[3] = {a, b, NULL};
    tern_shape shape = TERN_SHAPE(a->v.shape[a->v.ndim - 2], b->v.shape[b->v.ndim - 1]);
    if (a->v.ndim > 2 || b->v.ndim > 2 ? !batched(wide, &shape) : !terni_shape_check("matmul", &shape, terni_dtype(a)))
        return false;
    out[0] = terni_new(shape, terni_dtype(a), a->device);
    return out[0] && terni_run(TERNI_OP_matmul, wide, 3, out, 1, NULL) && tern_ctx_save(ctx, a) &&
           tern_ctx_save(ctx, b);
}

static terni_view transposed(const terni_view *v) {
    terni_view t = *v;
    for (int i = 1; i <= 2; i++) {
        t.shape[v->ndim - i] = v->shape[v->ndim - 3 + i];
        t.strides[v->ndim - i] = v->strides[v->ndim - 3 + i];
    }
    return t;
}

/* The kernel alone, without a node: a [M, K], b [K, N] on this device. */
static tern_tensor *unrecorded(tern_device device, const terni_view *a, const terni_view *b, const terni_view *bias,
                               const terni_matmul_opts *o) {
    const tern_shape shape = {.ndim = 2, .dim = {a->shape[0], b->shape[1]}};
    const tern_dtype dtype = (tern_dtype)a->dtype;
    if (!terni_shape_check("matmul", &shape, dtype)) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *y = terni_new(shape, dtype, device);
    if (!y) return NULL;
    const terni_view *const in[3] = {a, b, bias}, *const out = &y->v;
    if (terni_run_views(TERNI_OP_matmul, device, in, 3, &out, 1, o)) return y;
    tern_scope_pop(scope);
    return NULL;
}

/* Nobody is to know of an op on these: no tape, no trace, no watch. */
static bool unseen(tern_tensor *const *in, int n) {
    bool wanted = terni_listening();
    for (int i = 0; i < n && terni_recording(); i++) wanted |= in[i] && terni_wants(in[i]);
    return !wanted;
}

/* op(a) op(b), where op transposes if ta or tb: what gradients of products are. */
static tern_tensor *product_of(tern_tensor *a, bool ta, tern_tensor *b, bool tb) {
    if (terni_recording() || a->v.ndim != 2 || b->v.ndim != 2)
        return tern_matmul(ta ? tern_transpose(a, -1, -2) : a, tb ? tern_transpose(b, -1, -2) : b);
    const terni_view at = ta ? transposed(&a->v) : a->v, bt = tb ? transposed(&b->v) : b->v;
    return unrecorded(a->device, &at, &bt, NULL, NULL);
}

static bool product_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    tern_tensor *a = tern_ctx_saved(ctx, 0), *b = tern_ctx_saved(ctx, 1);
    if (!a || !b) return false;
    if (tern_ctx_needs(ctx, 0)) gin[0] = tern_sum_to(product_of(gout[0], false, b, true), terni_shape(a));
    if (tern_ctx_needs(ctx, 1)) gin[1] = tern_sum_to(product_of(a, true, gout[0], false), terni_shape(b));
    return tern_ok();
}
static const tern_function matmul_function = {"matmul", 1, 0, product_forward, product_backward, NULL};

static tern_tensor *product(tern_tensor *a, tern_tensor *b) {
    tern_tensor *const in[2] = {a, b};
    tern_tensor *y;
    if (!a || !b) return NULL;
    if (a->v.ndim == 2 && b->v.ndim == 2 && unseen(in, 2)) return unrecorded(a->device, &a->v, &b->v, NULL, NULL);
    return tern_apply(&matmul_function, in, 2, NULL, &y) ? y : NULL;
}

static bool check(tern_tensor *a, tern_tensor *b) {
    if (!terni_given(a, "matmul", "a") || !terni_given(b, "matmul", "b")) return false;
    tern_tensor *const in[2] = {a, b};
    if (a->v.ndim == 0 || b->v.ndim == 0)
        return terni_fail(TERN_ERR_SHAPE, "matmul: a %s and b %s: expected 1 dimension or more", terni_describe(a),
                          terni_describe(b));
    if (!terni_same_float("matmul", in, 2) || !terni_same_device("matmul", in, 2, NULL)) return false;
    const int64_t ka = a->v.shape[a->v.ndim - 1], kb = b->v.shape[b->v.ndim == 1 ? 0 : b->v.ndim - 2];
    if (ka != kb)
        return terni_fail(TERN_ERR_SHAPE, "matmul: a %s and b %s: inner sizes %lld and %lld differ", terni_describe(a),
                          terni_describe(b), (long long)ka, (long long)kb);
    return true;
}

/* a [..., M, K] contiguous, b [K, N]: one large product instead of a batch of small ones. */
static tern_tensor *flat_product(tern_tensor *a, tern_tensor *b) {
    tern_shape s = terni_shape(a);
    const int64_t k = s.dim[s.ndim - 1];
    tern_tensor *y = product(tern_reshape(a, TERN_SHAPE(a->numel / k, k)), b);
    s.dim[s.ndim - 1] = b->v.shape[1];
    return y ? tern_reshape(y, s) : NULL;
}

tern_tensor *tern_matmul(tern_tensor *a, tern_tensor *b) {
    TERNI_AUTOCAST(LOW, &a, &b);
    if (!check(a, b)) return NULL;
    const bool row = a->v.ndim == 1, column = b->v.ndim == 1;
    if (row) a = tern_unsqueeze(a, 0);
    if (column) b = tern_unsqueeze(b, 1);
    if (!a || !b) return NULL;
    const bool flat = a->v.ndim > 2 && b->v.ndim == 2 && a->contiguous && a->v.shape[a->v.ndim - 1] > 0;
    tern_tensor *y = flat ? flat_product(a, b) : product(a, b);
    if (y && column) y = tern_squeeze(y, -1);
    if (y && row) y = tern_squeeze(y, column ? -1 : -2);
    return y;
}

/* ---- linear: x w^T + b in one kernel, with the activation where there is one
 * ----------------------------------------------------------------------------------- */

/* With an activation, y is what the caller has allocated, and the function's output is y's input: gelu keeps it, so
 * keep_input says whether it is wanted; else a tensor that stands for it on the tape, over y's memory. Nobody reads its
 * values then: relu's gradient goes by y. */
typedef struct linear_opts {
    int activation; /* terni_activation */
    bool keep_input;
    tern_tensor *y;
} linear_opts;

static bool linear_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    const linear_opts *o = tern_ctx_opts(ctx);
    tern_tensor *x = in[0], *w = in[1];
    out[0] = o->y && !o->keep_input ? tern_detach(o->y)
                                    : terni_new(TERN_SHAPE(x->v.shape[0], w->v.shape[0]), terni_dtype(x), x->device);
    if (!out[0]) return false;
    const terni_view wt = transposed(&w->v);
    const terni_matmul_opts opts = {o->activation};
    const terni_view *const views[3] = {&x->v, &wt, in[2] ? &in[2]->v : NULL};
    const terni_view *const to[2] = {o->y ? &o->y->v : &out[0]->v, o->keep_input ? &out[0]->v : NULL};
    return terni_run_views(TERNI_OP_matmul, x->device, views, 3, to, 2, &opts) && tern_ctx_save(ctx, x) &&
           tern_ctx_save(ctx, w);
}

static bool linear_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    tern_tensor *x = tern_ctx_saved(ctx, 0), *w = tern_ctx_saved(ctx, 1);
    if (!x || !w) return false;
    if (tern_ctx_needs(ctx, 0)) gin[0] = product_of(gout[0], false, w, false);
    if (tern_ctx_needs(ctx, 1)) gin[1] = product_of(gout[0], true, x, false);
    if (tern_ctx_needs(ctx, 2)) gin[2] = tern_sum(gout[0], (const int[]){0}, 1, false);
    return tern_ok();
}
static const tern_function linear_function = {"linear", 1, sizeof(linear_opts), linear_forward, linear_backward, NULL};

/* x [rows, I]: y = activation(x w^T + b). On the tape it is linear and then the activation's row. */
static tern_tensor *apply_linear(tern_tensor *const *in, int activation) {
    linear_opts o = {activation, false, NULL};
    tern_tensor *z;
    if (unseen(in, 3)) {
        const terni_view wt = transposed(&in[1]->v);
        return unrecorded(in[0]->device, &in[0]->v, &wt, in[2] ? &in[2]->v : NULL, &(terni_matmul_opts){activation});
    }
    if (activation != TERNI_ACTIVATION_NONE) {
        o.y = terni_new(TERN_SHAPE(in[0]->v.shape[0], in[1]->v.shape[0]), terni_dtype(in[0]), in[0]->device);
        if (!o.y) return NULL;
        o.keep_input = activation == TERNI_ACTIVATION_GELU_TANH && terni_recording() &&
                       (terni_wants(in[0]) || terni_wants(in[1]) || (in[2] && terni_wants(in[2])));
    }
    if (!tern_apply(&linear_function, in, 3, &o, &z)) return NULL;
    switch (activation) {
        case TERNI_ACTIVATION_RELU:
            return terni_unary_done(TERNI_UNARY_relu, z, o.y);
        case TERNI_ACTIVATION_GELU_TANH:
            return terni_unary_done(TERNI_UNARY_gelu_tanh, z, o.y);
        default:
            return z;
    }
}

static tern_tensor *linear(const char *op, tern_tensor *x, tern_tensor *w, tern_tensor *b, int activation) {
    if (!terni_given(x, op, "x") || !terni_given(w, op, "w")) return NULL;
    tern_tensor *in[3] = {x, w, b};
    if (!terni_same_float(op, in, 3) || !terni_same_device(op, in, 3, NULL)) return NULL;
    const int n = x->v.ndim;
    if (n < 1 || w->v.ndim != 2 || x->v.shape[n - 1] != w->v.shape[1] ||
        (b && (b->v.ndim != 1 || b->v.shape[0] != w->v.shape[0])))
        return terni_null(TERN_ERR_SHAPE, "%s: x %s, w %s, b %s: expected [..., I], [O, I] and [O]", op,
                          terni_describe(x), terni_describe(w), terni_describe(b));
    tern_shape s = terni_shape(x);
    int64_t rows = 1;
    for (int i = 0; i < n - 1; i++) rows *= s.dim[i];
    if (n != 2) in[0] = tern_reshape(x, TERN_SHAPE(rows, s.dim[n - 1]));
    s.dim[n - 1] = w->v.shape[0];
    if (!in[0] || !terni_shape_check(op, &s, terni_dtype(x))) return NULL;
    const bool apart = terni_tracing() && activation != TERNI_ACTIVATION_NONE;
    tern_tensor *y = apply_linear(in, apart ? TERNI_ACTIVATION_NONE : activation);
    if (apart) y = activation == TERNI_ACTIVATION_RELU ? tern_relu(y) : tern_gelu_tanh(y);
    return n == 2 || !y ? y : tern_reshape(y, s);
}

tern_tensor *tern_linear(tern_tensor *x, tern_tensor *w, tern_tensor *b) {
    TERNI_AUTOCAST(LOW, &x, &w, &b);
    return linear("linear", x, w, b, TERNI_ACTIVATION_NONE);
}
tern_tensor *tern_linear_relu(tern_tensor *x, tern_tensor *w, tern_tensor *b) {
    TERNI_AUTOCAST(LOW, &x, &w, &b);
    return linear("linear_relu", x, w, b, TERNI_ACTIVATION_RELU);
}
tern_tensor *tern_linear_gelu_tanh(tern_tensor *x, tern_tensor *w, tern_tensor *b) {
    TERNI_AUTOCAST(LOW, &x, &w, &b);
    return linear("linear_gelu_tanh", x, w, b, TERNI_ACTIVATION_GELU_TANH);
}
