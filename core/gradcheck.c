/* A function's gradients against central differences, the whole Jacobian, in f64. */
#include <math.h>
#include <string.h>

#include "internal.h"
#include "tern/functional.h"
#include "thread.h"

typedef struct check {
    const char *op;
    tern_fn f;
    tern_tensor *const *x;
    int n;
    void *user;
    double eps, atol, rtol;
} check;

static double or_default(double v, double d) { return v != 0 ? v : d; }

static bool inputs_ok(const check *c) {
    if (!terni_given(c->f ? c->op : NULL, c->op, "f") || !terni_given(c->x, c->op, "x")) return false;
    if (c->n < 1 || c->n > TERN_MAX_FN)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: %d inputs, expected 1 to %d", c->op, c->n, TERN_MAX_FN);
    int wanted = 0;
    for (int i = 0; i < c->n; i++) {
        const tern_tensor *x = c->x[i];
        if (!x || !terni_wants(x)) continue;
        if (x->node) return terni_fail(TERN_ERR_ARGUMENT, "%s: x[%d] %s is no leaf", c->op, i, terni_describe(x));
        if (terni_dtype(x) != TERN_F64)
            return terni_fail(TERN_ERR_DTYPE, "%s: x[%d] is %s, expected f64", c->op, i, terni_describe(x));
        wanted++;
    }
    return wanted || terni_fail(TERN_ERR_ARGUMENT, "%s: no input requires a gradient", c->op);
}

/* f(x)'s values, without recording, into y[count]. */
static bool values(const check *c, double *y, int64_t count) {
    const int scope = tern_scope_push();
    tern_tensor *t = c->f(c->x, c->n, c->user);
    const bool ok = t && (t->numel == count || terni_fail(TERN_ERR_AUTOGRAD, "%s: f's shape changes", c->op)) &&
                    tern_to_doubles(t, y, count);
    tern_scope_pop(scope);
    return ok;
}

/* x's values become those of v, also while an error is pending. */
static void restore(tern_tensor *x, tern_tensor *v) {
    const tern_code pending = terni_self.error;
    const bool mode = tern_grad_mode(false), muted = terni_self.muted;
    terni_self.muted = true;
    terni_self.error = TERN_OK;
    (void)tern_copy_(x, v);
    terni_self.error = pending;
    terni_self.muted = muted;
    tern_grad_mode(mode);
}

/* numeric[count]: the column of differences for element k of x[i], whose values are v. */
static bool column(const check *c, int i, double *v, int64_t k, double *numeric, double *down, int64_t count) {
    tern_tensor *x = c->x[i];
    const double was = v[k];
    bool ok = true;
    for (int side = 0; side < 3 && ok; side++) {
        v[k] = side == 0 ? was + c->eps : side == 1 ? was - c->eps : was;
        const int scope = tern_scope_push();
        const bool mode = tern_grad_mode(false);
        ok = tern_copy_(x, tern_from_doubles(v, terni_shape(x), (tern_options){TERN_F64, x->device})) != NULL;
        tern_grad_mode(mode);
        tern_scope_pop(scope);
        if (ok && side < 2) ok = values(c, side == 0 ? numeric : down, count);
    }
    for (int64_t o = 0; o < count && ok; o++) numeric[o] = (numeric[o] - down[o]) / (2 * c->eps);
    v[k] = was;
    return ok;
}

static bool compare(const check *c, int i, const double *analytic, int64_t count) {
    const int64_t numel = c->x[i]->numel;
    double *v = terni_malloc((size_t)(numel + 2 * count + 1) * sizeof *v), *saved = v;
    if (!v) return false;
    double *numeric = v + numel, *down = numeric + count;
    tern_tensor *before = tern_clone(tern_detach(c->x[i]));
    bool ok = before && tern_to_doubles(before, v, numel);
    for (int64_t k = 0; k < numel && ok; k++) {
        ok = column(c, i, v, k, numeric, down, count);
        if (!ok) restore(c->x[i], before);
        for (int64_t o = 0; o < count && ok; o++) {
            const double a = analytic[o * numel + k], b = numeric[o];
            if (!(fabs(a - b) <= c->atol + c->rtol * fabs(b))) /* NaN too: there is nothing to compare there */
                ok = terni_fail(TERN_ERR_AUTOGRAD,
                                "%s: d output[%lld] / d input %d[%lld] (value %.6g): numeric %.10g, analytic %.10g",
                                c->op, (long long)o, i, (long long)k, v[k], b, a);
        }
    }
    terni_mfree(saved);
    return ok;
}

/* Rows of d y[o] / d x[i] for all o, as doubles; zeros where y does not depend on x[i]. */
static double *jacobian_rows(tern_tensor *y, tern_tensor *x) {
    const int64_t count = y->numel, numel = x->numel;
    int64_t all;
    if (!terni_mul_i64(count, numel, &all)) return terni_null(TERN_ERR_SHAPE, "gradcheck: the Jacobian is too large");
    double *j = terni_malloc((size_t)(all + 1) * sizeof *j), *one = terni_malloc((size_t)(count + 1) * sizeof *one);
    bool ok = j && one;
    if (ok) memset(j, 0, (size_t)(all + 1) * sizeof *j);
    if (ok) memset(one, 0, (size_t)(count + 1) * sizeof *one);
    for (int64_t o = 0; o < count && ok && terni_wants(y); o++) {
        const int scope = tern_scope_push();
        one[o] = 1;
        tern_tensor *g = NULL, *seed = tern_from_doubles(one, terni_shape(y), (tern_options){TERN_F64, y->device});
        one[o] = 0;
        ok = seed && tern_grad(y, &x, 1, seed, (tern_backward_opts){.retain_graph = true, .allow_unused = true}, &g) &&
             (!g || tern_to_doubles(g, j + o * numel, numel));
        tern_scope_pop(scope);
    }
    terni_mfree(one);
    if (ok) return j;
    terni_mfree(j);
    return NULL;
}

static bool run(const check *c) {
    const int scope = tern_scope_push();
    const unsigned char was = terni_self.off;
    terni_self.off = 0; /* out of inference mode too */
    tern_tensor *y = c->f(c->x, c->n, c->user);
    bool ok = y && tern_ok();
    if (!y && tern_ok()) terni_fail(TERN_ERR_ARGUMENT, "%s: f returned NULL without an error", c->op);
    if (ok && terni_dtype(y) != TERN_F64)
        ok = terni_fail(TERN_ERR_DTYPE, "%s: f gives %s, expected f64", c->op, terni_describe(y));
    double *analytic[TERN_MAX_FN] = {NULL}; /* all of them before an input is changed */
    for (int i = 0; i < c->n && ok; i++)
        if (c->x[i] && terni_wants(c->x[i])) ok = (analytic[i] = jacobian_rows(y, c->x[i])) != NULL;
    for (int i = 0; i < c->n; i++) {
        if (ok && analytic[i]) ok = compare(c, i, analytic[i], y->numel);
        terni_mfree(analytic[i]);
    }
    terni_self.off = was;
    tern_scope_pop(scope);
    return ok;
}

bool tern_gradcheck(tern_fn f, tern_tensor *const *x, int n, void *user, tern_gradcheck_opts opts) {
    TERNI_NAMED("gradcheck");
    const check c = {"gradcheck",
                     f,
                     x,
                     n,
                     user,
                     or_default(opts.eps, 1e-6),
                     or_default(opts.atol, 1e-5),
                     or_default(opts.rtol, 1e-3)};
    return inputs_ok(&c) && run(&c);
}

/* ---- second order --------------------------------------------------------------------------------------------------
 */

typedef struct second {
    tern_fn f;
    void *user;
    int n;
    bool wanted[TERN_MAX_FN];
} second;

/* The gradients of f with output gradient x[n - 1], in a row. */
static tern_tensor *gradients(tern_tensor *const *x, int n, void *user) {
    const second *s = user;
    tern_tensor *leaf[TERN_MAX_FN], *g[TERN_MAX_FN] = {NULL};
    int m = 0;
    const bool was = tern_grad_mode(true);
    for (int i = 0; i < n - 1; i++)
        if (s->wanted[i]) leaf[m++] = x[i];
    tern_tensor *y = s->f(x, n - 1, s->user), *all = NULL;
    bool ok = y && tern_grad(y, leaf, m, x[n - 1], (tern_backward_opts){.create_graph = true, .allow_unused = true}, g);
    for (int i = 0; i < m && ok; i++) {
        if (!g[i]) g[i] = tern_zeros_like(leaf[i]);
        g[i] = g[i] ? tern_reshape(g[i], TERN_SHAPE(leaf[i]->numel)) : NULL;
        ok = g[i] != NULL;
    }
    if (ok) all = tern_cat(g, m, 0);
    tern_grad_mode(was);
    return all;
}

bool tern_gradgradcheck(tern_fn f, tern_tensor *const *x, int n, void *user, tern_gradcheck_opts opts) {
    TERNI_NAMED("gradgradcheck");
    check c = {"gradgradcheck",
               f,
               x,
               n,
               user,
               or_default(opts.eps, 1e-6),
               or_default(opts.atol, 1e-5),
               or_default(opts.rtol, 1e-3)};
    if (!inputs_ok(&c)) return false;
    if (n >= TERN_MAX_FN) return terni_fail(TERN_ERR_ARGUMENT, "gradgradcheck: %d inputs, expected fewer", n);
    const int scope = tern_scope_push();
    const unsigned char was = terni_self.off;
    terni_self.off = 0;
    second s = {.f = f, .user = user, .n = n};
    tern_tensor *all[TERN_MAX_FN];
    for (int i = 0; i < n; i++) {
        all[i] = x[i];
        s.wanted[i] = x[i] && terni_wants(x[i]);
    }
    tern_tensor *y = f(x, n, user);
    if (!y && tern_ok()) terni_fail(TERN_ERR_ARGUMENT, "gradgradcheck: f returned NULL without an error");
    /* Some numbers for the output's gradient, the same ones every time. */
    tern_tensor *v =
        y ? tern_sin(tern_add_scalar(tern_arange(0, (double)y->numel, (tern_options){TERN_F64, y->device}), 1)) : NULL;
    v = v ? tern_require_grad(tern_clone(tern_reshape(v, terni_shape(y))), true) : NULL;
    all[n] = v;
    c.f = gradients;
    c.x = all;
    c.n = n + 1;
    c.user = &s;
    const bool ok = v && run(&c);
    terni_self.off = was;
    tern_scope_pop(scope);
    return ok;
}
