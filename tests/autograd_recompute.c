/* Functions that are run again in the backward pass instead of keeping their inner tensors. */
#include "common.h"
#include "tern/functional.h"

static tern_tensor *total(tern_tensor *t) { return tern_sum(t, NULL, 0, false); }

/* user: a parameter. */
static tern_tensor *layer(tern_tensor *const *x, int n, void *user) {
    (void)n;
    return tern_mul(tern_tanh(tern_dropout(tern_mul(x[0], user), 0.3)), x[0]);
}
static tern_tensor *twice(tern_tensor *const *x, int n, void *user) {
    tern_tensor *h = tern_recompute(layer, x, n, user);
    return tern_recompute(layer, &h, 1, user);
}
static tern_tensor *null_fn(tern_tensor *const *x, int n, void *user) {
    (void)x, (void)n, (void)user;
    return NULL;
}

static void leaves(tern_tensor **x, tern_tensor **w) {
    test_seed(1);
    *x = tern_require_grad(test_random(TERN_SHAPE(50), -1, 1, TERN_F64), true);
    *w = tern_require_grad(test_random(TERN_SHAPE(50), -1, 1, TERN_F64), true);
}

TERN_TEST(autograd_recompute, same_values_and_gradients) {
    tern_tensor *x[2], *w[2], *y[2];
    for (int i = 0; i < 2; i++) { /* plainly; nested recomputation */
        leaves(&x[i], &w[i]);
        tern_seed(7);
        y[i] =
            i == 0 ? layer((tern_tensor *[]){layer(&x[0], 1, w[0])}, 1, w[0]) : tern_recompute(twice, &x[1], 1, w[1]);
        (void)tern_rand(TERN_SHAPE(9), 0, 1, (tern_options){0});
        const tern_random before = tern_random_get();
        CHECK(tern_backward(total(y[i])), "%s", tern_error_message());
        CHECK(tern_random_get().position == before.position); /* the stream is where it was */
    }
    CHECK_SAME(y[0], y[1], ((tolerance){0, 0}));
    CHECK_SAME(tern_grad_get(x[0]), tern_grad_get(x[1]), tolerance_of(TERN_F64));
    CHECK_SAME(tern_grad_get(w[0]), tern_grad_get(w[1]), tolerance_of(TERN_F64));
}

TERN_TEST(autograd_recompute, inner_tensors_are_not_kept) {
    tern_tensor *x, *w;
    leaves(&x, &w);
    const int64_t before = tern_memory_device(tern_cpu()).live;
    tern_tensor *y = tern_recompute(twice, &x, 1, w);
    CHECK(y && tern_memory_device(tern_cpu()).live - before <= 50 * 8, "more than the result is alive");
}

TERN_TEST(autograd_recompute, refusals_and_plain_calls) {
    tern_tensor *x, *w;
    leaves(&x, &w);
    EXPECT_ERROR(tern_recompute(NULL, &x, 1, w), TERN_ERR_ARGUMENT, "recompute");
    EXPECT_ERROR(tern_recompute(layer, NULL, 1, w), TERN_ERR_ARGUMENT, "recompute");
    EXPECT_ERROR(tern_recompute(layer, &x, 0, w), TERN_ERR_ARGUMENT, "recompute");
    EXPECT_ERROR(tern_recompute(null_fn, &x, 1, w), TERN_ERR_ARGUMENT, "recompute");
    tern_tensor *d = tern_detach(x); /* only the parameter asks */
    CHECK(tern_backward(total(tern_recompute(layer, &d, 1, w))));
    CHECK(tern_grad_get(w) != NULL);
    const bool was = tern_grad_mode(false);
    CHECK(!tern_requires_grad(tern_recompute(layer, &x, 1, w)));
    tern_grad_mode(was);
}

/* ---- gradients by tern_grad, and of gradients ----------------------------------------------------------------------
 */

/* user: a leaf, and what was computed from it outside. */
static tern_tensor *uses_others(tern_tensor *const *x, int n, void *user) {
    tern_tensor **u = user;
    return tern_add(tern_mul(tern_sin(tern_mul(x[0], u[0])), x[n - 1]), tern_square(u[1]));
}
/* user: whether to recompute. */
static tern_tensor *whole(tern_tensor *const *x, int n, void *user) {
    tern_tensor *h = tern_exp(tern_mul_scalar(x[0], 0.3)), *u[2] = {x[1], tern_sin(x[1])}, *in[2] = {h, h};
    (void)n;
    if (!*(bool *)user) return uses_others(in, 2, u);
    /* u is read again in a pass: so it has to outlive this call. */
    static _Thread_local tern_tensor *kept[2];
    memcpy(kept, u, sizeof u);
    return tern_recompute(uses_others, in, 2, kept);
}

TERN_TEST(autograd_recompute, what_f_uses_besides_is_seen_by_tern_grad) {
    tern_tensor *x[2], *g[2][2], *gg[2][2];
    leaves(&x[0], &x[1]);
    for (int k = 0; k < 2; k++) {
        bool again = k;
        tern_tensor *y = total(whole(x, 2, &again));
        REQUIRE(tern_grad(y, x, 2, NULL, (tern_backward_opts){.create_graph = true}, g[k]), "%s", tern_error_message());
        tern_tensor *s = total(tern_mul(tern_square(g[k][0]), tern_square(g[k][1])));
        REQUIRE(tern_grad(s, x, 2, NULL, (tern_backward_opts){.retain_graph = true}, gg[k]), "%s",
                tern_error_message());
        CHECK(tern_grad_get(x[0]) == NULL && tern_grad_get(x[1]) == NULL);
        CHECK(tern_backward(y)); /* retained by create_graph */
        for (int i = 0; i < 2; i++) {
            CHECK_SAME(tern_grad_get(x[i]), g[0][i], tolerance_of(TERN_F64));
            CHECK_SAME(g[k][i], g[0][i], tolerance_of(TERN_F64));
            CHECK_SAME(gg[k][i], gg[0][i], tolerance_of(TERN_F64));
            tern_grad_set(x[i], NULL);
        }
        EXPECT_ERROR(tern_backward(y), TERN_ERR_AUTOGRAD, "used up");
    }
    bool again = true;
    tern_tensor *few[2] = {tern_require_grad(test_random(TERN_SHAPE(3), -1, 1, TERN_F64), true),
                           tern_require_grad(test_random(TERN_SHAPE(3), -1, 1, TERN_F64), true)};
    CHECK(tern_gradcheck(whole, few, 2, &again, (tern_gradcheck_opts){0}), "%s", tern_error_message());
    CHECK(tern_gradgradcheck(whole, few, 2, &again, (tern_gradcheck_opts){0}), "%s", tern_error_message());
}

static tern_tensor *nested(tern_tensor *const *x, int n, void *user) {
    tern_tensor *h = tern_recompute(layer, x, n, user);
    h = tern_mul(h, tern_recompute(layer, &h, 1, user));
    return tern_add(h, x[0]);
}

TERN_TEST(autograd_recompute, nested_second_derivatives) {
    tern_tensor *x[2], *w[2], *g[2][2], *gg[2][2];
    for (int k = 0; k < 2; k++) {
        leaves(&x[k], &w[k]);
        tern_seed(7);
        tern_tensor *y = k ? tern_recompute(nested, &x[k], 1, w[k]) : nested(&x[k], 1, w[k]);
        tern_tensor *in[2] = {x[k], w[k]};
        REQUIRE(tern_grad(total(y), in, 2, NULL, (tern_backward_opts){.create_graph = true}, g[k]));
        REQUIRE(tern_grad(total(tern_mul(g[k][0], g[k][1])), in, 2, NULL, (tern_backward_opts){0}, gg[k]));
    }
    for (int i = 0; i < 2; i++) {
        CHECK_SAME(g[1][i], g[0][i], tolerance_of(TERN_F64));
        CHECK_SAME(gg[1][i], gg[0][i], tolerance_of(TERN_F64));
    }
}

static bool count_calls(tern_tensor *t, void *user) {
    ++*(int *)user;
    return tern_grad_get(t) != NULL;
}
static tern_tensor *halved(tern_tensor *g, void *user) {
    ++*(int *)user;
    return tern_mul_scalar(g, 0.5);
}

TERN_TEST(autograd_recompute, hooks_run_once_with_the_whole_gradient) {
    tern_tensor *x, *w, *g[2];
    leaves(&x, &w);
    tern_seed(7);
    REQUIRE(tern_grad(total(layer((tern_tensor *[]){layer(&x, 1, w)}, 1, w)), (tern_tensor *[]){x, w}, 2, NULL,
                      (tern_backward_opts){0}, g));
    int after = 0, on_w = 0, on_h = 0;
    tern_seed(7);
    tern_tensor *h = tern_recompute(layer, &x, 1, w);
    CHECK(tern_hook_add_after(w, count_calls, &after) >= 0 && tern_hook_add(w, halved, &on_w) >= 0 &&
          tern_hook_add(h, halved, &on_h) >= 0);
    CHECK(tern_backward(total(tern_recompute(layer, &h, 1, w))));
    CHECK(after == 1 && on_w == 1 && on_h == 1, "%d, %d and %d calls", after, on_w, on_h);
    CHECK_SAME(tern_grad_get(x), tern_mul_scalar(g[0], 0.5), tolerance_of(TERN_F64));
}

static tern_tensor *same(tern_tensor *const *x, int n, void *user) {
    (void)n;
    return user ? user : x[0];
}
static tern_tensor *stops(tern_tensor *const *x, int n, void *user) {
    (void)n;
    return tern_mul(tern_detach(x[0]), tern_detach(user));
}
static tern_tensor *changes(tern_tensor *const *x, int n, void *user) {
    (void)n, (void)user;
    return tern_add_(x[0], x[0]);
}

TERN_TEST(autograd_recompute, what_f_may_return_and_change) {
    tern_tensor *x, *w;
    leaves(&x, &w);
    tern_tensor *h = tern_sin(x), *c = tern_detach(w), *y = tern_recompute(same, &h, 1, c);
    CHECK(y && tern_is_leaf(c) && !tern_requires_grad(y) && !tern_requires_grad(c));
    CHECK(!tern_requires_grad(tern_recompute(stops, &h, 1, w)));
    y = tern_recompute(same, &h, 1, NULL);
    CHECK(y != h && tern_backward_from(total(y), NULL, (tern_backward_opts){.retain_graph = true}));
    CHECK_SAME(tern_grad_get(x), tern_cos(x), tolerance_of(TERN_F64));
    CHECK(tern_backward(total(tern_recompute(same, &h, 1, w))));
    CHECK_SAME(tern_grad_get(w), tern_ones_like(w), tolerance_of(TERN_F64));
    EXPECT_ERROR(tern_recompute(changes, &h, 1, NULL), TERN_ERR_AUTOGRAD, "add_");
    EXPECT_ERROR(tern_recompute(changes, &x, 1, NULL), TERN_ERR_AUTOGRAD, "add_");
    y = total(tern_recompute(layer, &x, 1, w));
    const bool was = tern_grad_mode(false);
    CHECK(tern_add_(w, c));
    tern_grad_mode(was);
    EXPECT_ERROR(tern_backward(y), TERN_ERR_AUTOGRAD, "recompute: ");
}

TERN_TEST(autograd_recompute, only_what_f_uses_requires_a_gradient) {
    tern_tensor *x, *w, *d;
    leaves(&x, &w);
    d = tern_detach(x);
    const int64_t before = tern_memory_device(tern_cpu()).live;
    tern_tensor *y = tern_recompute(twice, &d, 1, w);
    CHECK(tern_memory_device(tern_cpu()).live - before <= 50 * 8);
    CHECK(tern_backward(total(y)) && tern_grad_get(w));
}

TERN_TEST(autograd_recompute, a_long_chain) {
    tern_tensor *x, *w, *y;
    leaves(&x, &w);
    y = x;
    for (int i = 0; i < 3000; i++) y = tern_recompute(layer, &y, 1, w);
    CHECK(tern_backward(total(tern_add(y, x))));
    CHECK_SAME(tern_grad_get(x), tern_ones_like(x), tolerance_of(TERN_F64)); /* the rest has vanished */
}

static bool everything(void) {
    const int scope = tern_scope_push();
    tern_tensor *x, *w, *g[2];
    leaves(&x, &w);
    bool good = x && w;
    tern_tensor *y = total(tern_recompute(nested, &x, 1, w));
    good = good && tern_grad(y, (tern_tensor *[]){x, w}, 2, NULL, (tern_backward_opts){.create_graph = true}, g) &&
           tern_grad(total(g[0]), &w, 1, NULL, (tern_backward_opts){0}, g);
    y = total(tern_recompute(nested, &x, 1, w));
    good = good && y && tern_backward(y);
    tern_scope_pop(scope);
    return good;
}

TERN_TEST(autograd_recompute, every_allocation_fails) {
    REQUIRE(everything(), "%s", tern_error_message());
    const int64_t device = tern_memory_device(tern_cpu()).live, host = tern_memory_host().live;
    for (int64_t n = 1;; n += n < 300 ? 1 : 3) {
        check_case("allocation %" PRId64 " fails", n);
        tern_memory_fail_at(n);
        const bool good = everything();
        const int64_t requests = tern_memory_requests();
        tern_memory_fail_at(0);
        CHECK(good == tern_ok());
        tern_error_clear();
        CHECK(tern_memory_device(tern_cpu()).live == device && tern_memory_host().live == host);
        CHECK(tern_grad_mode_get());
        if (requests < n) {
            CHECK(good);
            break;
        }
        CHECK(!good);
        if (check_failures() > 10) break;
    }
}
