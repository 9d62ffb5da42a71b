/* Products with Jacobians, Jacobians and Hessians of functions, by passes over one recording of them. */
#include "tern/functional.h"

#include "internal.h"
#include "thread.h"

typedef struct call {
    const char *op;
    tern_functional_opts opts;
    int n, scope;
    unsigned char was;
    bool open;
    tern_tensor *x[TERN_MAX_FN], *y;
} call;

static bool check(const char *op, tern_fn f, tern_tensor *const *x, int n, tern_tensor *const *v) {
    if (!terni_given(f ? op : NULL, op, "f") || !terni_given(x, op, "x")) return false;
    if (n < 1 || n > TERN_MAX_FN)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: %d inputs, expected 1 to %d", op, n, TERN_MAX_FN);
    for (int i = 0; i < n; i++) {
        if (!x[i]) return terni_fail(TERN_ERR_ARGUMENT, "%s: x[%d] is NULL", op, i);
        if (!tern_dtype_is_float(terni_dtype(x[i])))
            return terni_fail(TERN_ERR_DTYPE, "%s: x[%d] is %s, expected a float", op, i, terni_describe(x[i]));
        if (v && v[i] && (v[i]->v.dtype != x[i]->v.dtype || !tern_shape_equal(terni_shape(v[i]), terni_shape(x[i]))))
            return terni_fail(TERN_ERR_SHAPE, "%s: v[%d] is %s for x[%d] %s", op, i, terni_describe(v[i]), i,
                              terni_describe(x[i]));
    }
    return true;
}

/* An argument of its own that is x: an x given twice, or one that depends on another, still has its partial derivative.
 */
static bool argument_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)ctx, (void)n;
    out[0] = in[0];
    return true;
}
static bool argument_backward(tern_ctx *ctx, tern_tensor *const *gout, tern_tensor **gin) {
    (void)ctx;
    gin[0] = gout[0];
    return true;
}
static const tern_function argument_function = {"argument", 1, 0, argument_forward, argument_backward, NULL};

static tern_tensor *argument(const call *c, tern_tensor *x) {
    if (!c->opts.create_graph || !terni_wants(x)) return tern_require_grad(tern_detach(x), true);
    tern_tensor *y = NULL;
    return tern_apply(&argument_function, &x, 1, NULL, &y) ? y : NULL;
}

/* Opens a scope with recording on, and calls f on leaves that look at x's values; under create_graph, on tensors that
 * lead to x where it takes part in a graph. */
static bool begin(call *c, tern_fn f, tern_tensor *const *x, void *user) {
    c->scope = tern_scope_push();
    c->was = terni_self.off;
    terni_self.off = 0; /* out of inference mode too */
    c->open = true;
    for (int i = 0; i < c->n; i++) {
        c->x[i] = argument(c, x[i]);
        if (!c->x[i]) return false;
    }
    c->y = f(c->x, c->n, user);
    if (!c->y && tern_ok()) return terni_fail(TERN_ERR_ARGUMENT, "%s: f returned NULL without an error", c->op);
    if (!c->y || !tern_ok()) return false;
    return tern_dtype_is_float(terni_dtype(c->y)) ||
           terni_fail(TERN_ERR_DTYPE, "%s: f gives %s, expected a float", c->op, terni_describe(c->y));
}

/* Hands y and out[] on to the scope outside; a recorded y only under create_graph. */
static tern_tensor *end(call *c, bool ok, tern_tensor **out, int n_out) {
    tern_tensor *y = ok && !c->opts.create_graph ? tern_detach(c->y) : c->y;
    ok = ok && y && tern_ok();
    for (int i = 0; i < n_out; i++) out[i] = ok ? tern_keep(out[i]) : NULL;
    if (ok) tern_keep(y);
    terni_self.off = c->was;
    tern_scope_pop(c->scope);
    for (int i = 0; i < n_out; i++)
        if (ok && !terni_scope_add(out[i])) { /* released; what follows is still ours */
            for (int k = i + 1; k < n_out; k++) tern_release(out[k]);
            tern_release(y);
            ok = false;
        }
    for (int i = 0; i < n_out && !ok; i++) out[i] = NULL;
    return ok ? terni_scope_add(y) : NULL;
}

/* Gradients of y with seed; zeros where there is none. */
static bool grads(const call *c, tern_tensor *y, tern_tensor *seed, bool create, tern_tensor **out) {
    if (!tern_grad(y, c->x, c->n, seed,
                   (tern_backward_opts){.retain_graph = true, .create_graph = create, .allow_unused = true}, out))
        return false;
    for (int i = 0; i < c->n; i++)
        if (!out[i] && !(out[i] = tern_zeros_like(c->x[i]))) return false;
    return true;
}

static bool one_element(const call *c) {
    return c->y->numel == 1 ||
           terni_fail(TERN_ERR_SHAPE, "%s: f gives %s, expected one element", c->op, terni_describe(c->y));
}

tern_tensor *tern_vjp(tern_fn f, tern_tensor *const *x, int n, void *user, tern_tensor *v, tern_functional_opts opts,
                      tern_tensor **out) {
    TERNI_NAMED("vjp");
    if (!check("vjp", f, x, n, NULL) || !terni_given(out, "vjp", "out")) return NULL;
    for (int i = 0; i < n; i++) out[i] = NULL;
    call c = {.op = "vjp", .opts = opts, .n = n};
    return end(&c, begin(&c, f, x, user) && grads(&c, c.y, v, opts.create_graph, out), out, n);
}

tern_tensor *tern_jvp(tern_fn f, tern_tensor *const *x, int n, void *user, tern_tensor *const *v,
                      tern_functional_opts opts, tern_tensor **y) {
    TERNI_NAMED("jvp");
    if (y) *y = NULL;
    if (!check("jvp", f, x, n, v) || !terni_given(v, "jvp", "v")) return NULL;
    call c = {.op = "jvp", .opts = opts, .n = n};
    tern_tensor *g[TERN_MAX_FN] = {NULL}, *seed[TERN_MAX_FN], *dependent[TERN_MAX_FN], *out = NULL;
    bool ok = begin(&c, f, x, user);
    tern_tensor *u = ok ? tern_require_grad(tern_zeros_like(c.y), true) : NULL;
    ok = u && grads(&c, c.y, u, true, g);
    int m = 0;
    for (int i = 0; ok && i < n; i++) { /* g[i] is linear in u; its derivative times v[i] is what is wanted */
        if (!v[i] || !terni_wants(g[i])) continue;
        dependent[m] = g[i];
        seed[m++] = v[i];
    }
    if (ok && m)
        ok = tern_grads(dependent, seed, m, &u, 1,
                        (tern_backward_opts){.create_graph = opts.create_graph, .allow_unused = true}, &out);
    if (ok && !out) ok = (out = tern_zeros_like(c.y)) != NULL;
    tern_tensor *value = end(&c, ok, &out, 1);
    if (y) *y = value;
    return value ? out : NULL;
}

/* tern_stack(row, n, 0) for any n: a node has a bounded number of inputs. */
static tern_tensor *stack(tern_tensor *const *row, int64_t n) {
    enum { PART = 4096 };
    if (n <= PART) return tern_stack(row, (int)n, 0);
    if ((n - 1) / PART >= PART)
        return terni_null(TERN_ERR_SHAPE, "jacobian: %lld elements of f(x) are too many", (long long)n);
    tern_tensor *part[PART];
    int parts = 0;
    for (int64_t k = 0; k < n; k += PART)
        if (!(part[parts++] = tern_stack(row + k, n - k < PART ? (int)(n - k) : PART, 0))) return NULL;
    return tern_cat(part, parts, 0);
}

/* One derivative g [shape of y] of every element: rows of d y[k] / d x, stacked and shaped. y is differentiable. */
static bool rows(const call *c, tern_tensor *y, tern_tensor **out) {
    tern_shape shape[TERN_MAX_FN];
    for (int i = 0; i < c->n; i++) {
        shape[i] = terni_shape(y);
        if (shape[i].ndim + c->x[i]->v.ndim > TERN_MAX_DIMS)
            return terni_fail(TERN_ERR_SHAPE, "%s: %s and x[%d] %s have more than %d dimensions together", c->op,
                              terni_describe(y), i, terni_describe(c->x[i]), TERN_MAX_DIMS);
        for (int d = 0; d < c->x[i]->v.ndim; d++) shape[i].dim[shape[i].ndim++] = c->x[i]->v.shape[d];
        if (!terni_shape_check(c->op, &shape[i], terni_dtype(y))) return false;
    }
    const int64_t count = y->numel;
    tern_tensor **row = terni_calloc((size_t)(count * c->n + 1) * sizeof *row);
    bool ok = row != NULL;
    for (int64_t k = 0; k < count && ok; k++) {
        const int scope = tern_scope_push();
        tern_tensor *seed = tern_zeros(terni_shape(y), (tern_options){terni_dtype(y), y->device});
        tern_tensor *flat = seed ? tern_reshape(seed, TERN_SHAPE(count)) : NULL, *g[TERN_MAX_FN] = {NULL};
        ok = flat && tern_fill_(tern_slice(flat, 0, k, k + 1, 1), 1) && grads(c, y, seed, c->opts.create_graph, g);
        for (int i = 0; i < c->n && ok; i++) row[i * count + k] = tern_keep(g[i]);
        tern_scope_pop(scope);
    }
    for (int i = 0; i < c->n && ok; i++) {
        out[i] = count ? tern_reshape(stack(row + i * count, count), shape[i])
                       : tern_zeros(shape[i], (tern_options){terni_dtype(c->x[i]), c->x[i]->device});
        ok = out[i] != NULL;
    }
    for (int64_t k = 0; row && k < count * c->n; k++) tern_release(row[k]);
    terni_free(row, (size_t)(count * c->n + 1) * sizeof *row);
    return ok;
}

tern_tensor *tern_jacobian(tern_fn f, tern_tensor *const *x, int n, void *user, tern_functional_opts opts,
                           tern_tensor **out) {
    TERNI_NAMED("jacobian");
    if (!check("jacobian", f, x, n, NULL) || !terni_given(out, "jacobian", "out")) return NULL;
    for (int i = 0; i < n; i++) out[i] = NULL;
    call c = {.op = "jacobian", .opts = opts, .n = n};
    return end(&c, begin(&c, f, x, user) && rows(&c, c.y, out), out, n);
}

tern_tensor *tern_hessian(tern_fn f, tern_tensor *const *x, int n, void *user, tern_functional_opts opts,
                          tern_tensor **out) {
    TERNI_NAMED("hessian");
    if (!check("hessian", f, x, n, NULL) || !terni_given(out, "hessian", "out")) return NULL;
    for (int i = 0; i < n * n; i++) out[i] = NULL;
    call c = {.op = "hessian", .opts = opts, .n = n};
    tern_tensor *g[TERN_MAX_FN] = {NULL};
    bool ok = begin(&c, f, x, user) && one_element(&c) && grads(&c, c.y, NULL, true, g);
    for (int i = 0; i < n && ok; i++) ok = rows(&c, g[i], out + i * n);
    return end(&c, ok, out, n * n);
}

tern_tensor *tern_hvp(tern_fn f, tern_tensor *const *x, int n, void *user, tern_tensor *const *v,
                      tern_functional_opts opts, tern_tensor **out) {
    TERNI_NAMED("hvp");
    if (!check("hvp", f, x, n, v) || !terni_given(v, "hvp", "v") || !terni_given(out, "hvp", "out")) return NULL;
    for (int i = 0; i < n; i++) out[i] = NULL;
    call c = {.op = "hvp", .opts = opts, .n = n};
    tern_tensor *g[TERN_MAX_FN] = {NULL}, *y[TERN_MAX_FN], *seed[TERN_MAX_FN];
    bool ok = begin(&c, f, x, user) && one_element(&c) && grads(&c, c.y, NULL, true, g);
    int m = 0;
    for (int i = 0; i < n && ok; i++) { /* the Hessian is symmetric: v^T H = H v */
        if (!v[i] || !terni_wants(g[i])) continue;
        y[m] = g[i];
        seed[m++] = v[i];
    }
    if (ok && m)
        ok = tern_grads(y, seed, m, c.x, n,
                        (tern_backward_opts){.create_graph = opts.create_graph, .allow_unused = true}, out);
    for (int i = 0; i < n && ok; i++)
        if (!out[i]) ok = (out[i] = tern_zeros_like(c.x[i])) != NULL;
    return end(&c, ok, out, n);
}
