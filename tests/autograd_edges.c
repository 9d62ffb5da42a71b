/* What programs do between and around passes: leaves that are assigned or frozen, functions that fail or return what is
 * not theirs, arguments that depend on one another, inference mode, depth. */
#include "common.h"
#include "tern/functional.h"

#define F64 ((tern_options){.dtype = TERN_F64})

static tern_tensor *plain3(double a, double b, double c) { return test_values(TERN_F64, TERN_SHAPE(3), a, b, c); }
static tern_tensor *leaf3(double a, double b, double c) { return tern_require_grad(plain3(a, b, c), true); }
static tern_tensor *total(tern_tensor *t) { return tern_sum(t, NULL, 0, false); }

/* ---- leaves that change between recording and pass -----------------------------------------------------------------
 */

TERN_TEST(autograd_edges, a_saved_leaf_is_assigned) {
    tern_tensor *x = leaf3(1, 2, 3), *w = leaf3(4, 5, 6), *y = total(tern_mul(x, w));
    CHECK(tern_assign(w, plain3(7, 8, 9)));
    EXPECT_ERROR(tern_backward(y), TERN_ERR_AUTOGRAD, "mul: ");
    CHECK(tern_grad_get(x) == NULL);
    y = total(tern_mul(x, w)); /* twice, so that the new storage may lie where the old one lay */
    CHECK(tern_assign(w, plain3(1, 1, 1)) && tern_assign(w, plain3(2, 2, 2)));
    EXPECT_ERROR(tern_backward(y), TERN_ERR_AUTOGRAD, "assigned");
    CHECK(tern_backward(total(tern_mul(x, w))));
    CHECK_VALUES(tern_grad_get(x), 2, 2, 2);
}

TERN_TEST(autograd_edges, a_leaf_gets_another_dtype) {
    tern_tensor *x = leaf3(1, 2, 3), *y = total(tern_mul_scalar(x, 2));
    CHECK(tern_assign(x, tern_cast(plain3(1, 2, 3), TERN_F32)));
    EXPECT_ERROR(tern_backward(y), TERN_ERR_AUTOGRAD, "another dtype");
    CHECK(tern_grad_get(x) == NULL);
}

TERN_TEST(autograd_edges, a_leaf_is_frozen) {
    tern_tensor *x = leaf3(1, 2, 3), *w = leaf3(4, 5, 6), *y = total(tern_mul(x, w));
    CHECK(tern_require_grad(x, false));
    CHECK(tern_backward_from(y, NULL, (tern_backward_opts){.retain_graph = true}));
    CHECK(tern_grad_get(x) == NULL);
    CHECK_VALUES(tern_grad_get(w), 1, 2, 3);
    CHECK(tern_require_grad(x, true) && tern_backward(y));
    CHECK_VALUES(tern_grad_get(x), 4, 5, 6);
}

/* ---- functions of tensors ------------------------------------------------------------------------------------------
 */

static tern_tensor *product(tern_tensor *const *x, int n, void *user) {
    (void)n, (void)user;
    return total(tern_mul(x[0], tern_square(x[1])));
}

TERN_TEST(autograd_edges, partial_derivatives_of_arguments_that_depend_on_one_another) {
    for (int create = 0; create < 2; create++) {
        for (int k = 0; k < 2; k++) {
            check_case("create_graph %d, %s", create, k ? "computed from the other" : "the same twice");
            tern_tensor *t = leaf3(1, 2, 3), *x[2] = {t, k ? tern_mul_scalar(t, 1) : t}, *out[2], *g;
            REQUIRE(tern_vjp(product, x, 2, NULL, NULL, (tern_functional_opts){.create_graph = create}, out));
            CHECK_VALUES(out[0], 1, 4, 9);
            CHECK_VALUES(out[1], 2, 8, 18);
            if (!create) continue;
            CHECK(tern_grad(total(out[1]), &t, 1, NULL, (tern_backward_opts){0}, &g)); /* of 2 t^2 */
            CHECK_VALUES(g, 4, 8, 12);
        }
    }
}

TERN_TEST(autograd_edges, derivatives_in_inference_mode) {
    tern_tensor *x[2] = {leaf3(1, 2, 3), leaf3(1, 2, 3)}, *out[2];
    tern_inference_mode(true);
    CHECK(tern_vjp(product, x, 2, NULL, NULL, (tern_functional_opts){0}, out));
    CHECK_VALUES(out[1], 2, 8, 18);
    CHECK(tern_gradcheck(product, x, 2, NULL, (tern_gradcheck_opts){0}), "%s", tern_error_message());
    CHECK(tern_gradgradcheck(product, x, 2, NULL, (tern_gradcheck_opts){0}), "%s", tern_error_message());
    x[0] = plain3(1, 2, 3);
    EXPECT_ERROR(tern_vjp(product, x, 2, NULL, NULL, (tern_functional_opts){0}, out), TERN_ERR_AUTOGRAD, "inference");
    CHECK(tern_inference_mode(false));
}

/* ---- checks of gradients -------------------------------------------------------------------------------------------
 */

static tern_tensor *fails_later(tern_tensor *const *x, int n, void *user) {
    int *calls = user;
    (void)n;
    if (--*calls >= 0) return tern_square(x[0]);
    tern_error_set(TERN_ERR_ARGUMENT, "enough");
    return NULL;
}
static tern_tensor *null_fn(tern_tensor *const *x, int n, void *user) {
    (void)x, (void)n, (void)user;
    return NULL;
}
static tern_tensor *nan_fn(tern_tensor *const *x, int n, void *user) {
    (void)n, (void)user;
    return tern_mul_scalar(x[0], (double)NAN);
}

TERN_TEST(autograd_edges, gradcheck_restores_its_inputs_after_an_error) {
    for (int calls = 0; calls <= 7; calls++) { /* once for the analytic side, twice an element */
        check_case("%d calls", calls);
        int left = calls;
        tern_tensor *x = leaf3(1, 2, 3);
        const bool good = tern_gradcheck(fails_later, &x, 1, &left, (tern_gradcheck_opts){0});
        CHECK(good == (calls == 7));
        if (!good) EXPECT_PENDING(TERN_ERR_ARGUMENT, "enough");
        CHECK_CLOSE(x, ((double[]){1, 2, 3}), 3, ((tolerance){0, 0}));
    }
}

TERN_TEST(autograd_edges, gradcheck_accepts_neither_nan_nor_nothing) {
    tern_tensor *x = leaf3(1, 2, 3);
    EXPECT_ERROR(tern_gradcheck(nan_fn, &x, 1, NULL, (tern_gradcheck_opts){0}), TERN_ERR_AUTOGRAD, "analytic");
    EXPECT_ERROR(tern_gradcheck(null_fn, &x, 1, NULL, (tern_gradcheck_opts){0}), TERN_ERR_ARGUMENT, "gradcheck");
    EXPECT_ERROR(tern_gradgradcheck(null_fn, &x, 1, NULL, (tern_gradcheck_opts){0}), TERN_ERR_ARGUMENT,
                 "gradgradcheck");
}

/* ---- a forward that returns a tensor of the program's --------------------------------------------------------------
 */

static bool cached_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)in, (void)n;
    out[0] = *(tern_tensor **)tern_ctx_opts(ctx);
    return true;
}
static bool cached_backward(tern_ctx *ctx, tern_tensor *const *g, tern_tensor **gin) {
    (void)ctx;
    gin[0] = g[0];
    return true;
}
static const tern_function cached = {"cached", 1, sizeof(tern_tensor *), cached_forward, cached_backward, NULL};

TERN_TEST(autograd_edges, what_a_forward_returns_of_the_programs_stays_a_leaf) {
    tern_tensor *x = leaf3(1, 2, 3), *c = plain3(7, 8, 9), *y = NULL;
    CHECK(tern_apply(&cached, &x, 1, &c, &y));
    CHECK(tern_requires_grad(y) && !tern_requires_grad(c) && tern_is_leaf(c));
    CHECK(tern_backward(total(y)));
    CHECK_VALUES(tern_grad_get(x), 1, 1, 1);
}

/* ---- recomputation -------------------------------------------------------------------------------------------------
 */

static tern_tensor *seeds(tern_tensor *const *x, int n, void *user) {
    (void)n, (void)user;
    tern_seed(5);
    return tern_dropout(x[0], 0.5);
}

TERN_TEST(autograd_edges, a_recomputed_function_that_seeds) {
    tern_tensor *x = tern_require_grad(tern_ones(TERN_SHAPE(64), F64), true);
    tern_seed(99);
    tern_tensor *y = tern_recompute(seeds, &x, 1, NULL);
    tern_seed(1234);
    CHECK(tern_backward(total(y)));
    CHECK_SAME(y, tern_grad_get(x), ((tolerance){0, 0})); /* the same mask */
    CHECK(tern_random_get().seed == 1234);
}

/* ---- depth ---------------------------------------------------------------------------------------------------------
 */

/* x + x + ... or x * x * ..., n ops; the caller's to release. */
static tern_tensor *chain(tern_tensor *(*op)(tern_tensor *, tern_tensor *), tern_tensor *x, int n) {
    tern_tensor *y = tern_keep(x);
    for (int i = 0; i < n; i++) {
        const int scope = tern_scope_push();
        tern_tensor *z = tern_keep(op(y, x));
        tern_scope_pop(scope);
        tern_release(y);
        y = z;
    }
    return y;
}

TERN_TEST(autograd_edges, a_million_nodes_in_a_row) {
    tern_tensor *x = tern_require_grad(tern_scalar(1, F64), true), *y = chain(tern_add, x, 1000000);
    CHECK(tern_backward_from(y, NULL, (tern_backward_opts){.retain_graph = true}));
    CHECK_ITEM(tern_grad_get(x), 1000001, 0);
    tern_release(y);
}

TERN_TEST(autograd_edges, a_long_chain_twice_differentiated) {
    tern_tensor *x = tern_require_grad(tern_scalar(1, F64), true), *y = chain(tern_mul, x, 20000), *g, *gg;
    CHECK(tern_grad(y, &x, 1, NULL, (tern_backward_opts){.create_graph = true}, &g));
    CHECK_ITEM(g, 20001, 1e-9);
    CHECK(tern_grad(g, &x, 1, NULL, (tern_backward_opts){0}, &gg));
    CHECK_ITEM(gg, 20001.0 * 20000, 1e-9);
    tern_release(y);
}
