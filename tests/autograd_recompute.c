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
    tern_tensor *x, *w, *g;
    leaves(&x, &w);
    EXPECT_ERROR(tern_recompute(NULL, &x, 1, w), TERN_ERR_ARGUMENT, "recompute");
    EXPECT_ERROR(tern_recompute(layer, NULL, 1, w), TERN_ERR_ARGUMENT, "recompute");
    EXPECT_ERROR(tern_recompute(layer, &x, 0, w), TERN_ERR_ARGUMENT, "recompute");
    EXPECT_ERROR(tern_recompute(null_fn, &x, 1, w), TERN_ERR_ARGUMENT, "recompute");
    tern_tensor *y = total(tern_recompute(layer, &x, 1, w));
    EXPECT_ERROR(tern_grad(y, &x, 1, NULL, (tern_backward_opts){.create_graph = true}, &g), TERN_ERR_AUTOGRAD,
                 "create_graph");
    tern_tensor *d = tern_detach(x); /* only the parameter asks */
    CHECK(tern_backward(total(tern_recompute(layer, &d, 1, w))));
    CHECK(tern_grad_get(w) != NULL);
    const bool was = tern_grad_mode(false);
    CHECK(!tern_requires_grad(tern_recompute(layer, &x, 1, w)));
    tern_grad_mode(was);
}
