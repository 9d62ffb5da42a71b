/* The tape: passes, accumulation, hooks, functions of one's own, misuse. */
#include <pthread.h>

#include "common.h"

static tern_tensor *leaf(double v) {
    return tern_require_grad(tern_scalar(v, (tern_options){.dtype = TERN_F64}), true);
}

static tern_tensor *leaf3(double a, double b, double c) {
    return tern_require_grad(test_values(TERN_F64, TERN_SHAPE(3), a, b, c), true);
}

static tern_tensor *total(tern_tensor *t) { return tern_sum(t, NULL, 0, false); }

TERN_TEST(autograd, backward_accumulates) {
    tern_tensor *x = leaf3(1, 2, 3);
    CHECK(tern_requires_grad(x) && tern_is_leaf(x) && tern_grad_get(x) == NULL);
    CHECK(tern_backward(total(tern_square(x))));
    CHECK_VALUES(tern_grad_get(x), 2, 4, 6);
    CHECK(tern_backward(total(tern_mul_scalar(x, 10))));
    CHECK_VALUES(tern_grad_get(x), 12, 14, 16);
    CHECK(tern_grad_set(x, NULL));
    CHECK(tern_grad_get(x) == NULL);
    CHECK(tern_backward(total(x)));
    CHECK_VALUES(tern_grad_get(x), 1, 1, 1);
}

TERN_TEST(autograd, gradient_outlives_the_scope_of_its_step) {
    tern_tensor *x = leaf3(1, 2, 3);
    for (int i = 0; i < 3; i++) {
        const int s = tern_scope_push();
        CHECK(tern_backward(total(tern_square(x))));
        tern_scope_pop(s);
    }
    CHECK_VALUES(tern_grad_get(x), 6, 12, 18);
}

TERN_TEST(autograd, grad_set_checks_its_argument) {
    tern_tensor *x = leaf3(1, 2, 3);
    CHECK(tern_grad_set(x, test_values(TERN_F64, TERN_SHAPE(3), 7, 8, 9)));
    CHECK_VALUES(tern_grad_get(x), 7, 8, 9);
    EXPECT_ERROR(tern_grad_set(x, tern_zeros(TERN_SHAPE(2), (tern_options){.dtype = TERN_F64})), TERN_ERR_SHAPE, "[2]");
    EXPECT_ERROR(tern_grad_set(x, tern_zeros(TERN_SHAPE(3), (tern_options){0})), TERN_ERR_DTYPE, "f32");
    CHECK_VALUES(tern_grad_get(x), 7, 8, 9);
}

TERN_TEST(autograd, what_can_ask_for_gradients) {
    EXPECT_ERROR(tern_require_grad(tern_zeros(TERN_SHAPE(2), (tern_options){.dtype = TERN_I64}), true), TERN_ERR_DTYPE,
                 "i64");
    tern_tensor *x = leaf(2), *y = tern_square(x);
    CHECK(tern_requires_grad(y) && !tern_is_leaf(y));
    EXPECT_ERROR(tern_require_grad(y, true), TERN_ERR_AUTOGRAD, "leaves");
    CHECK(tern_require_grad(x, false) == x && !tern_requires_grad(x));
    CHECK(!tern_requires_grad(tern_square(x)));
    CHECK(!tern_requires_grad(tern_gt(leaf(1), leaf(2))));
}

TERN_TEST(autograd, diamonds_and_shared_parts) {
    tern_tensor *x = leaf(3), *a = tern_square(x), *b = tern_mul(a, x), *c = tern_add(a, b);
    CHECK(tern_backward(tern_mul(c, a))); /* (x^2 + x^3) x^2 = x^4 + x^5 */
    CHECK_ITEM(tern_grad_get(x), 4 * 27 + 5 * 81, 1e-9);
    tern_tensor *z = leaf(1.0001), *w = z;
    for (int i = 0; i < 40; i++) w = tern_add(w, w); /* 2^40 paths */
    CHECK(tern_backward(w));
    CHECK_ITEM(tern_grad_get(z), 0x1p40, 1e-9);
    tern_tensor *t = leaf(5);
    CHECK(tern_backward(tern_mul(t, t)));
    CHECK_ITEM(tern_grad_get(t), 10, 1e-12);
    CHECK(tern_backward(tern_sub(t, t)));
    CHECK_ITEM(tern_grad_get(t), 10, 1e-12);
}

TERN_TEST(autograd, backward_of_a_leaf) {
    tern_tensor *x = leaf(3);
    CHECK(tern_backward(x));
    CHECK_ITEM(tern_grad_get(x), 1, 0);
    tern_tensor *y = leaf3(1, 2, 3), *out = NULL;
    CHECK(tern_grad(y, &y, 1, test_values(TERN_F64, TERN_SHAPE(3), 4, 5, 6), (tern_backward_opts){0}, &out));
    CHECK_VALUES(out, 4, 5, 6);
}

TERN_TEST(autograd, broadcasting) {
    tern_tensor *a = tern_require_grad(test_values(TERN_F64, TERN_SHAPE(2, 1), 1, 2), true), *b = leaf3(3, 4, 5),
                *c = leaf(2);
    CHECK(tern_backward(total(tern_mul(tern_mul(a, b), c))));
    CHECK_SHAPE(tern_grad_get(a), 2, 1);
    CHECK_VALUES(tern_grad_get(a), 24, 24);
    CHECK_VALUES(tern_grad_get(b), 6, 6, 6);
    CHECK_VALUES(tern_grad_get(c), 36);
    CHECK(tern_ndim(tern_grad_get(c)) == 0);
}

/* ---- seeds, retain, create ------------------------------------------------------------------------------------------
 */

TERN_TEST(autograd, seeds) {
    tern_tensor *x = leaf3(1, 2, 3), *y = tern_square(x);
    EXPECT_ERROR(tern_backward(y), TERN_ERR_SHAPE, "[3]");
    EXPECT_ERROR(
        tern_backward_from(y, tern_ones(TERN_SHAPE(2), (tern_options){.dtype = TERN_F64}), (tern_backward_opts){0}),
        TERN_ERR_SHAPE, "[2]");
    EXPECT_ERROR(tern_backward_from(y, tern_ones(TERN_SHAPE(3), (tern_options){0}), (tern_backward_opts){0}),
                 TERN_ERR_SHAPE, "f32");
    CHECK(tern_grad_get(x) == NULL);
    CHECK(tern_backward_from(y, test_values(TERN_F64, TERN_SHAPE(3), 1, 0, -1), (tern_backward_opts){0}));
    CHECK_VALUES(tern_grad_get(x), 2, 0, -6);
}

TERN_TEST(autograd, a_second_pass_needs_retain_graph) {
    tern_tensor *x = leaf(3), *y = tern_square(x);
    CHECK(tern_backward_from(y, NULL, (tern_backward_opts){.retain_graph = true}));
    CHECK(tern_backward_from(y, NULL, (tern_backward_opts){.retain_graph = true}));
    CHECK_ITEM(tern_grad_get(x), 12, 1e-12);
    CHECK(tern_backward(y));
    CHECK_ITEM(tern_grad_get(x), 18, 1e-12);
    EXPECT_ERROR(tern_backward(y), TERN_ERR_AUTOGRAD, "retain_graph");
    EXPECT_ERROR(tern_backward(tern_mul_scalar(y, 2)), TERN_ERR_AUTOGRAD, "retain_graph");
    CHECK_ITEM(tern_grad_get(x), 18, 1e-12);
}

TERN_TEST(autograd, grad_leaves_leaves_alone) {
    tern_tensor *x = leaf(3), *w = leaf(5), *y = tern_mul(tern_square(x), w), *in[2] = {x, w}, *out[2];
    CHECK(tern_grad(y, in, 2, NULL, (tern_backward_opts){0}, out));
    CHECK_ITEM(out[0], 30, 1e-12);
    CHECK_ITEM(out[1], 9, 1e-12);
    CHECK(!tern_requires_grad(out[0]) && tern_grad_get(x) == NULL && tern_grad_get(w) == NULL);
}

TERN_TEST(autograd, grad_of_inner_tensors) {
    tern_tensor *x = leaf(3), *h = tern_square(x), *y = tern_exp(tern_mul_scalar(h, 0.1)), *in[3] = {h, x, h}, *out[3];
    CHECK(tern_grad(y, in, 3, NULL, (tern_backward_opts){0}, out));
    CHECK_ITEM(out[0], 0.1 * exp(0.9), 1e-12);
    CHECK_ITEM(out[1], 0.6 * exp(0.9), 1e-12);
    CHECK_ITEM(out[2], 0.1 * exp(0.9), 1e-12);
}

TERN_TEST(autograd, unused_inputs) {
    tern_tensor *x = leaf(3), *w = leaf(5), *in[2] = {x, w}, *out[2];
    EXPECT_ERROR(tern_grad(tern_square(x), in, 2, NULL, (tern_backward_opts){0}, out), TERN_ERR_AUTOGRAD, "x[1]");
    CHECK(out[0] == NULL && out[1] == NULL);
    CHECK(tern_grad(tern_square(x), in, 2, NULL, (tern_backward_opts){.allow_unused = true}, out));
    CHECK_ITEM(out[0], 6, 1e-12);
    CHECK(out[1] == NULL);
    EXPECT_ERROR(tern_backward(tern_square(tern_scalar(1, (tern_options){0}))), TERN_ERR_AUTOGRAD, "backward");
    tern_tensor *plain = tern_scalar(1, (tern_options){.dtype = TERN_F64});
    EXPECT_ERROR(tern_grad(tern_square(x), &plain, 1, NULL, (tern_backward_opts){0}, out), TERN_ERR_AUTOGRAD, "x[0]");
    /* The pass before left nothing behind. */
    CHECK(tern_grad(tern_square(x), in, 1, NULL, (tern_backward_opts){0}, out));
    CHECK_ITEM(out[0], 6, 1e-12);
}

TERN_TEST(autograd, higher_derivatives) {
    tern_tensor *x = leaf(2), *g = tern_pow_scalar(x, 5), *next;
    const double want[] = {80, 160, 240, 240, 120};
    for (int i = 0; i < 5; i++, g = next) {
        CHECK(tern_grad(g, &x, 1, NULL, (tern_backward_opts){.create_graph = true}, &next));
        CHECK_ITEM(next, want[i], 1e-8);
    }
    /* d/dx of |d/dx f|^2 through backward */
    tern_tensor *y = leaf(1.5), *d;
    CHECK(tern_grad(tern_sin(y), &y, 1, NULL, (tern_backward_opts){.create_graph = true}, &d));
    CHECK(tern_backward(tern_square(d)));
    CHECK_ITEM(tern_grad_get(y), -2 * cos(1.5) * sin(1.5), 1e-12);
}

TERN_TEST(autograd, create_graph_makes_gradients_that_can_be_differentiated) {
    tern_tensor *x = leaf3(1, 2, 3), *out;
    CHECK(tern_backward_from(total(tern_mul(tern_square(x), x)), NULL, (tern_backward_opts){.create_graph = true}));
    tern_tensor *g = tern_grad_get(x);
    CHECK(tern_requires_grad(g));
    CHECK_VALUES(g, 3, 12, 27);
    CHECK(tern_grad(total(g), &x, 1, NULL, (tern_backward_opts){0}, &out));
    CHECK_VALUES(out, 6, 12, 18);
    CHECK(tern_grad_set(x, NULL)); /* breaks the ring x -> gradient -> x */
}

/* ---- recording off -------------------------------------------------------------------------------------------------
 */

TERN_TEST(autograd, no_grad_and_detach) {
    tern_tensor *x = leaf(3);
    const bool was = tern_grad_mode(false);
    CHECK(was && !tern_grad_mode_get());
    tern_tensor *y = tern_square(x);
    CHECK(!tern_requires_grad(y) && tern_is_leaf(y));
    CHECK(tern_grad_mode(was) == false && tern_grad_mode_get());
    EXPECT_ERROR(tern_backward(y), TERN_ERR_AUTOGRAD, "backward");
    tern_tensor *d = tern_detach(tern_square(x));
    CHECK(!tern_requires_grad(d) && tern_is_leaf(d));
    CHECK(tern_backward(tern_mul(d, x)));
    CHECK_ITEM(tern_grad_get(x), 9, 1e-12);
    tern_tensor *s = tern_detach(x);
    CHECK(tern_data(s) == tern_data(x));
}

/* ---- in place -------------------------------------------------------------------------------------------------------
 */

TERN_TEST(autograd, a_saved_tensor_that_was_changed_is_named) {
    tern_tensor *x = leaf3(1, 2, 3), *scale = test_values(TERN_F64, TERN_SHAPE(3), 4, 5, 6);
    CHECK(tern_set_name(scale, "scale"));
    tern_tensor *y = total(tern_mul(x, scale));
    CHECK(tern_add_(scale, scale) == scale);
    EXPECT_ERROR(tern_backward(y), TERN_ERR_AUTOGRAD, "scale");
    CHECK(tern_grad_get(x) == NULL);
    tern_tensor *z = total(tern_mul(x, scale));
    ((double *)tern_data(scale))[0] = 1;
    tern_touch(scale);
    EXPECT_ERROR(tern_backward(z), TERN_ERR_AUTOGRAD, "scale");
    /* A change that nothing saved is none of its business. */
    tern_tensor *w = total(tern_add(x, scale));
    CHECK(tern_zero_(scale) != NULL);
    CHECK(tern_backward(w));
}

TERN_TEST(autograd, a_view_of_a_saved_tensor_counts_too) {
    tern_tensor *x = leaf3(1, 2, 3), *base = test_values(TERN_F64, TERN_SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
    tern_tensor *y = total(tern_mul(x, tern_select(base, 0, 0)));
    CHECK(tern_fill_(tern_select(base, 0, 1), 9) != NULL);
    EXPECT_ERROR(tern_backward(y), TERN_ERR_AUTOGRAD, "changed in place");
}

TERN_TEST(autograd, leaves_are_changed_in_place_only_while_not_recording) {
    tern_tensor *x = leaf3(1, 2, 3), *plain = test_values(TERN_F64, TERN_SHAPE(3), 0, 0, 0);
    EXPECT_ERROR(tern_add_(x, plain), TERN_ERR_AUTOGRAD, "add_");
    CHECK_VALUES(x, 1, 2, 3);
    const bool was = tern_grad_mode(false);
    CHECK(tern_add_(x, x) == x);
    tern_grad_mode(was);
    CHECK_VALUES(x, 2, 4, 6);
    CHECK(tern_requires_grad(x));
}

/* ---- hooks
 * ----------------------------------------------------------------------------------------------------------- */

static char trace[64];

static tern_tensor *hook_trace(tern_tensor *g, void *user) {
    strncat(trace, user, sizeof trace - strlen(trace) - 1);
    return g;
}
static tern_tensor *hook_double(tern_tensor *g, void *user) {
    (void)user;
    return tern_mul_scalar(g, 2);
}
static tern_tensor *hook_fail(tern_tensor *g, void *user) {
    (void)g;
    (void)user;
    tern_error_set(TERN_ERR_ARGUMENT, "the hook does not like it");
    return NULL;
}
static tern_tensor *hook_wrong(tern_tensor *g, void *user) {
    (void)user;
    return tern_unsqueeze(g, 0);
}

TERN_TEST(autograd, hooks_run_in_order_and_replace) {
    tern_tensor *x = leaf(3), *h = tern_square(x);
    trace[0] = 0;
    CHECK(tern_hook_add(h, hook_trace, "a") >= 0);
    const int doubled = tern_hook_add(h, hook_double, NULL);
    CHECK(tern_hook_add(h, hook_trace, "b") >= 0);
    CHECK(tern_hook_add(x, hook_trace, "x") >= 0);
    CHECK(tern_backward_from(tern_mul_scalar(h, 5), NULL, (tern_backward_opts){.retain_graph = true}));
    CHECK(!strcmp(trace, "abx"), "order is %s", trace);
    CHECK_ITEM(tern_grad_get(x), 60, 1e-12);
    CHECK(tern_hook_remove(h, doubled));
    CHECK(tern_grad_set(x, NULL));
    CHECK(tern_backward(tern_mul_scalar(h, 5)));
    CHECK_ITEM(tern_grad_get(x), 30, 1e-12);
    EXPECT_ERROR(tern_hook_remove(h, doubled), TERN_ERR_ARGUMENT, "hook");
}

typedef struct hook_self {
    tern_tensor *t;
    int number, next, calls;
} hook_self;

static tern_tensor *hook_once(tern_tensor *g, void *user) {
    hook_self *s = user;
    s->calls++;
    CHECK(tern_hook_remove(s->t, s->number));
    CHECK(tern_hook_remove(s->t, s->next));
    return g;
}

TERN_TEST(autograd, hooks_that_remove_themselves_and_others) {
    hook_self s = {.t = leaf(3)};
    s.number = tern_hook_add(s.t, hook_once, &s);
    s.next = tern_hook_add(s.t, hook_once, &s);
    CHECK(tern_hook_add(s.t, hook_double, NULL) >= 0);
    CHECK(tern_backward(tern_mul_scalar(s.t, 5)));
    CHECK(tern_backward(tern_mul_scalar(s.t, 5)));
    CHECK(s.calls == 1);
    CHECK_ITEM(tern_grad_get(s.t), 20, 1e-12);
}

TERN_TEST(autograd, gradients_of_a_recorded_pass_share_nothing) {
    tern_tensor *a = leaf3(1, 2, 3), *b = leaf3(4, 5, 6);
    tern_tensor *seed = test_values(TERN_F64, TERN_SHAPE(3), 1, 1, 1), *y = tern_add(a, b);
    CHECK(tern_backward_from(y, seed, (tern_backward_opts){.create_graph = true}));
    CHECK(tern_backward_from(y, seed, (tern_backward_opts){0}));
    CHECK_VALUES(tern_grad_get(a), 2, 2, 2);
    CHECK_VALUES(tern_grad_get(b), 2, 2, 2);
    CHECK_VALUES(seed, 1, 1, 1);
}

TERN_TEST(autograd, hooks_see_the_whole_gradient) {
    tern_tensor *x = leaf(3);
    CHECK(tern_hook_add(x, hook_double, NULL) >= 0);
    CHECK(tern_backward(tern_add(tern_square(x), tern_mul_scalar(x, 4)))); /* 2 (6 + 4), once */
    CHECK_ITEM(tern_grad_get(x), 20, 1e-12);
}

TERN_TEST(autograd, hooks_that_fail) {
    tern_tensor *x = leaf(3), *h = tern_square(x);
    CHECK(tern_hook_add(h, hook_fail, NULL) >= 0);
    EXPECT_ERROR(tern_backward(tern_mul_scalar(h, 5)), TERN_ERR_ARGUMENT, "does not like");
    CHECK(tern_grad_get(x) == NULL);
    tern_tensor *k = tern_square(x);
    CHECK(tern_hook_add(k, hook_wrong, NULL) >= 0);
    EXPECT_ERROR(tern_backward(tern_mul_scalar(k, 5)), TERN_ERR_SHAPE, "hook");
    CHECK(tern_hook_add(tern_scalar(1, (tern_options){0}), hook_trace, "") == -1);
    EXPECT_PENDING(TERN_ERR_AUTOGRAD, "hook");
}

/* ---- functions of one's own
 * ------------------------------------------------------------------------------------------ */

typedef struct cube_opts {
    double factor;
    int *dropped;
} cube_opts;

static bool cube_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    CHECK(n == 1 && tern_ctx_inputs(ctx) == 1 && !tern_grad_mode_get());
    const cube_opts *o = tern_ctx_opts(ctx);
    out[0] = tern_mul_scalar(tern_mul(tern_square(in[0]), in[0]), o->factor);
    return out[0] && tern_ctx_save(ctx, in[0]);
}
static bool cube_backward(tern_ctx *ctx, tern_tensor *const *g, tern_tensor **gin) {
    const cube_opts *o = tern_ctx_opts(ctx);
    tern_tensor *x = tern_ctx_saved(ctx, 0);
    if (!tern_ctx_needs(ctx, 0)) return true;
    gin[0] = tern_mul(g[0], tern_mul_scalar(tern_square(x), 3 * o->factor));
    return gin[0] != NULL;
}
static void cube_drop(void *opts) { (*((cube_opts *)opts)->dropped)++; }
static const tern_function cube = {"cube", 1, sizeof(cube_opts), cube_forward, cube_backward, cube_drop};

static int cube_dropped;
static tern_tensor *apply_cube(tern_tensor *const *x, int n, void *user) {
    (void)user;
    tern_tensor *y = NULL;
    return tern_apply(&cube, x, n, &(cube_opts){2, &cube_dropped}, &y) ? y : NULL;
}

TERN_TEST(autograd, own_function) {
    const int s = tern_scope_push();
    tern_tensor *x = leaf3(1, 2, -1), *y;
    cube_dropped = 0;
    y = apply_cube(&x, 1, NULL);
    CHECK_VALUES(y, 2, 16, -2);
    CHECK(tern_backward(total(y)));
    CHECK_VALUES(tern_grad_get(x), 6, 24, 6);
    gradcheck("cube", apply_cube, &x, 1, NULL);
    gradgradcheck("cube", apply_cube, &x, 1, NULL);
    tern_scope_pop(s);
    CHECK(cube_dropped > 0);
    const int before = cube_dropped;
    x = test_values(TERN_F64, TERN_SHAPE(1), 2);
    CHECK(!tern_requires_grad(apply_cube(&x, 1, NULL)));
    CHECK(cube_dropped == before + 1, "options of an unrecorded call were dropped %d times", cube_dropped - before);
}

/* Two outputs: sum and difference; saves an output. */
static bool both_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    out[0] = tern_exp(tern_add(in[0], in[1]));
    out[1] = tern_sub(in[0], in[1]);
    return out[0] && out[1] && tern_ctx_save(ctx, out[0]);
}
static bool both_backward(tern_ctx *ctx, tern_tensor *const *g, tern_tensor **gin) {
    tern_tensor *a = g[0] ? tern_mul(g[0], tern_ctx_saved(ctx, 0)) : NULL;
    gin[0] = a && g[1] ? tern_add(a, g[1]) : a ? a : g[1];
    gin[1] = a && g[1] ? tern_sub(a, g[1]) : a ? a : tern_neg(g[1]);
    return gin[0] && gin[1];
}
static const tern_function both = {"both", 2, 0, both_forward, both_backward, NULL};

static tern_tensor *apply_both(tern_tensor *const *x, int n, void *user) {
    (void)user;
    tern_tensor *y[2];
    return tern_apply(&both, x, n, NULL, y) ? tern_mul(y[0], y[1]) : NULL;
}

TERN_TEST(autograd, own_function_of_two_outputs) {
    tern_tensor *x[2] = {leaf3(0.1, 0.2, 0.3), leaf3(0.3, -0.1, 0.5)}, *y[2];
    gradcheck("both", apply_both, x, 2, NULL);
    gradgradcheck("both", apply_both, x, 2, NULL);
    CHECK(tern_apply(&both, x, 2, NULL, y));
    CHECK(tern_backward(total(y[1]))); /* the other output is unused */
    CHECK_VALUES(tern_grad_get(x[0]), 1, 1, 1);
    CHECK_VALUES(tern_grad_get(x[1]), -1, -1, -1);
    EXPECT_ERROR(tern_backward(total(y[0])), TERN_ERR_AUTOGRAD, "both");
}

static bool bad_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)ctx;
    (void)n;
    out[0] = tern_square(in[0]);
    return out[0] != NULL;
}
static bool bad_backward(tern_ctx *ctx, tern_tensor *const *g, tern_tensor **gin) {
    (void)ctx;
    gin[0] = tern_unsqueeze(g[0], 0);
    return true;
}
static bool failing_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)ctx;
    (void)in;
    (void)n;
    (void)out;
    return tern_error_set(TERN_ERR_UNSUPPORTED, "failing: not today");
}

TERN_TEST(autograd, own_functions_that_are_wrong) {
    static const tern_function no_rule = {"no_rule", 1, 0, bad_forward, NULL, NULL},
                               wrong = {"wrong", 1, 0, bad_forward, bad_backward, NULL},
                               failing = {"failing", 1, 0, failing_forward, bad_backward, NULL};
    tern_tensor *x = leaf3(1, 2, 3), *y = NULL;
    CHECK(tern_apply(&wrong, &x, 1, NULL, &y));
    CHECK(!tern_backward(total(y)));
    CHECK(strstr(tern_error_message(), "wrong") != NULL, "%s", tern_error_message());
    tern_error_clear();
    EXPECT_ERROR(tern_apply(&failing, &x, 1, NULL, &y), TERN_ERR_UNSUPPORTED, "not today");
    if (tern_apply(&no_rule, &x, 1, NULL, &y)) CHECK(!tern_requires_grad(y) || !tern_backward(total(y)));
    tern_error_clear();
}

/* ---- long chains and threads
 * ----------------------------------------------------------------------------------------- */

enum { DEEP = 100000 };

static tern_tensor *chain(tern_tensor *x, int n) {
    tern_keep(x);
    for (int i = 0; i < n; i++) {
        const int s = tern_scope_push();
        tern_tensor *y = tern_keep(tern_add_scalar(x, 1));
        tern_scope_pop(s);
        tern_release(x);
        x = y;
        if (!x) return NULL;
    }
    return tern_give(x);
}

TERN_TEST(autograd, deep_chain, .timeout = 120) {
    tern_tensor *x = leaf(1), *y = chain(x, DEEP);
    CHECK_ITEM(y, 1 + DEEP, 1e-12);
    CHECK(tern_backward(y));
    CHECK_ITEM(tern_grad_get(x), 1, 0);
    /* Freed without a pass, and after one. */
    const int s = tern_scope_push();
    (void)chain(leaf(1), DEEP);
    tern_scope_pop(s);
}

TERN_TEST(autograd, temporaries_that_nothing_saved_die_early) {
    tern_tensor *x = tern_require_grad(tern_zeros(TERN_SHAPE(1000), (tern_options){0}), true);
    const int64_t before = tern_memory_device(tern_cpu()).live;
    tern_tensor *y = chain(x, 50); /* add saves nothing, so all but the last are gone */
    const int64_t now = tern_memory_device(tern_cpu()).live;
    CHECK(y && now - before <= 2 * 4000, "%" PRId64 " bytes are alive", now - before);
}

static void *train_alone(void *user) {
    const double factor = *(double *)user;
    const int s = tern_scope_push();
    tern_tensor *x = leaf3(1, 2, 3);
    bool good = true;
    for (int i = 0; i < 200 && good; i++) {
        const int t = tern_scope_push();
        good = tern_backward(total(tern_mul_scalar(tern_square(x), factor)));
        double g[3] = {0};
        good = good && tern_to_doubles(tern_grad_get(x), g, 3) && fabs(g[2] - 6 * factor) < 1e-9;
        tern_grad_set(x, NULL);
        tern_scope_pop(t);
    }
    if (factor > 2) tern_grad_mode(false); /* per thread */
    tern_scope_pop(s);
    return good ? user : NULL;
}

TERN_TEST(autograd, threads_have_their_own_tapes) {
    pthread_t t[4];
    double factor[4] = {1, 2, 3, 4};
    for (int i = 0; i < 4; i++) REQUIRE(pthread_create(&t[i], NULL, train_alone, &factor[i]) == 0);
    for (int i = 0; i < 4; i++) {
        void *result = NULL;
        pthread_join(t[i], &result);
        CHECK(result != NULL, "thread %d", i);
    }
    CHECK(tern_grad_mode_get());
}

/* A graph that one thread made and another walks. */
static void *walk_graph(void *user) { return tern_backward(user) ? user : NULL; }

TERN_TEST(autograd, a_graph_may_move_to_another_thread) {
    tern_tensor *x = leaf(3), *y = tern_square(x);
    pthread_t t;
    void *result = NULL;
    REQUIRE(pthread_create(&t, NULL, walk_graph, y) == 0);
    pthread_join(t, &result);
    CHECK(result != NULL);
    CHECK_ITEM(tern_grad_get(x), 6, 1e-12);
}
