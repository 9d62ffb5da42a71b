/* Changes in place that are recorded, those that are refused, and inference mode. */
#include <pthread.h>

#include "common.h"

#define F64 ((tern_options){.dtype = TERN_F64})

static tern_tensor *leaf3(double a, double b, double c) {
    return tern_require_grad(test_values(TERN_F64, TERN_SHAPE(3), a, b, c), true);
}
static tern_tensor *plain3(double a, double b, double c) { return test_values(TERN_F64, TERN_SHAPE(3), a, b, c); }
static tern_tensor *total(tern_tensor *t) { return tern_sum(t, NULL, 0, false); }

/* Each takes x[0] and x[1] and changes intermediate tensors. */
static tern_tensor *arithmetic(tern_tensor *const *x, int n, void *user) {
    (void)n, (void)user;
    tern_tensor *h = tern_square(x[0]);
    if (!tern_add_(h, x[1]) || !tern_mul_(h, x[1]) || !tern_sub_(h, x[0]) || !tern_div_(h, x[1])) return NULL;
    return h;
}
static tern_tensor *scaled(tern_tensor *const *x, int n, void *user) {
    (void)n, (void)user;
    tern_tensor *h = tern_sin(x[0]);
    return tern_mul_scalar_(h, 3) && tern_add_scaled_(h, -2, x[1]) && tern_mul_(h, h) ? h : NULL;
}
/* A plain target that takes part from the change on; an operand that broadcasts. */
static tern_tensor *plain_target(tern_tensor *const *x, int n, void *user) {
    (void)n, (void)user;
    tern_tensor *t = tern_ones(TERN_SHAPE(2, 3), F64);
    return tern_add_(t, x[0]) && tern_mul_(t, tern_exp(x[1])) ? t : NULL;
}
static tern_tensor *copied(tern_tensor *const *x, int n, void *user) {
    (void)n, (void)user;
    tern_tensor *t = tern_expand(tern_square(x[0]), TERN_SHAPE(2, 3)), *u = tern_mul_scalar(t, 2);
    return tern_copy_(u, tern_mul(x[0], x[1])) && tern_mul_(u, x[0]) ? u : NULL;
}
static tern_tensor *filled(tern_tensor *const *x, int n, void *user) {
    (void)n, (void)user;
    tern_tensor *t = tern_square(x[0]), *u = tern_exp(x[1]);
    return tern_fill_(t, 2) && tern_mul_(t, x[0]) && tern_zero_(u) && tern_add_(u, x[1]) ? tern_mul(t, u) : NULL;
}
/* exp saves its result, mul its operands: what they saved outlives the change of the target. */
static tern_tensor *after_being_saved(tern_tensor *const *x, int n, void *user) {
    (void)n, (void)user;
    tern_tensor *e = tern_exp(x[0]);
    return tern_add_scaled_(e, 2, x[1]) && tern_mul_(e, x[1]) ? e : NULL;
}

TERN_TEST(autograd_inplace, recorded_changes_have_right_gradients) {
    static const struct {
        const char *name;
        gradcheck_fn fn;
    } all[] = {{"arithmetic", arithmetic}, {"scaled", scaled}, {"plain target", plain_target},
               {"copied", copied},         {"filled", filled}, {"after being saved", after_being_saved}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tern_tensor *x[2] = {leaf3(0.5, -1.5, 2), leaf3(1.5, 0.7, -1.2)};
        gradcheck(all[i].name, all[i].fn, x, 2, NULL);
        gradgradcheck(all[i].name, all[i].fn, x, 2, NULL);
    }
}

TERN_TEST(autograd_inplace, the_target_takes_part_from_then_on) {
    tern_tensor *x = leaf3(1, 2, 3), *t = plain3(1, 1, 1), *y = tern_square(x);
    CHECK(tern_is_leaf(t) && !tern_requires_grad(t));
    const uint32_t version = tern_storage_version(t);
    CHECK(tern_add_(t, x) == t);
    CHECK(!tern_is_leaf(t) && tern_requires_grad(t) && tern_storage_version(t) > version);
    CHECK_VALUES(t, 2, 3, 4);
    CHECK(tern_mul_(y, t) == y);
    CHECK_VALUES(y, 2, 12, 36);
    CHECK(tern_backward(total(y)));
    CHECK_VALUES(tern_grad_get(x), 5, 16, 33); /* x^3 + x^2 */
    tern_tensor *z = tern_square(x), *g;
    CHECK(tern_fill_(z, 3) == z);
    CHECK(tern_requires_grad(z));
    CHECK(tern_grad(total(z), &x, 1, NULL, (tern_backward_opts){0}, &g));
    CHECK_VALUES(g, 0, 0, 0);
    tern_tensor *w = tern_square(x);
    CHECK(tern_uniform_(w, 0, 1) && tern_normal_(w, 0, 1));
    CHECK(tern_grad(total(w), &x, 1, NULL, (tern_backward_opts){0}, &g));
    CHECK_VALUES(g, 0, 0, 0);
}

TERN_TEST(autograd_inplace, gradients_with_respect_to_values_before_and_after) {
    tern_tensor *x = leaf3(1, 2, 3), *h = tern_mul_scalar(x, 2), *g;
    tern_tensor *before = tern_exp(tern_mul_scalar(h, 0.1)); /* from the old value */
    CHECK(tern_mul_(h, h) == h);
    tern_tensor *y = total(tern_add(h, before));
    CHECK(tern_grad(y, &h, 1, NULL, (tern_backward_opts){.retain_graph = true}, &g));
    CHECK_VALUES(g, 1, 1, 1); /* h is the new value */
    CHECK(tern_grad(y, &x, 1, NULL, (tern_backward_opts){0}, &g));
    CHECK_VALUES(g, 8 + 0.2 * exp(0.2), 16 + 0.2 * exp(0.4), 24 + 0.2 * exp(0.6));
}

TERN_TEST(autograd_inplace, saved_by_others_is_noticed) {
    tern_tensor *x = leaf3(1, 2, 3), *w = leaf3(4, 5, 6), *h = tern_square(x);
    tern_tensor *y = tern_mul(h, w); /* saves h */
    CHECK(tern_add_(h, w) == h);
    EXPECT_ERROR(tern_backward(total(y)), TERN_ERR_AUTOGRAD, "mul: ");
    tern_tensor *k = tern_square(x), *z = tern_mul(k, w);
    CHECK(tern_add_(k, w) == k && tern_add_(k, w) == k && tern_mul_scalar_(k, 2) == k);
    EXPECT_ERROR(tern_backward(total(z)), TERN_ERR_AUTOGRAD, "changed in place");
    CHECK(tern_grad_get(x) == NULL);
}

TERN_TEST(autograd_inplace, a_changed_result_of_exp_goes_on) {
    tern_tensor *x = leaf3(0, 1, 2), *y = tern_exp(x);
    CHECK(tern_mul_scalar_(y, 2) == y); /* exp saved its own result: it stays */
    CHECK(tern_backward(total(y)));
    CHECK_VALUES(tern_grad_get(x), 2, 2 * exp(1), 2 * exp(2));
}

TERN_TEST(autograd_inplace, refusals_change_nothing) {
    tern_tensor *x = leaf3(1, 2, 3), *p = plain3(1, 1, 1), *h = tern_square(x);
    EXPECT_ERROR(tern_add_(x, p), TERN_ERR_AUTOGRAD, "leaf that requires a gradient");
    EXPECT_ERROR(tern_add_(x, p), TERN_ERR_AUTOGRAD, "use tern_add, ");
    EXPECT_ERROR(tern_fill_(x, 1), TERN_ERR_AUTOGRAD, "use tern_full_like");
    EXPECT_ERROR(tern_uniform_(x, 0, 1), TERN_ERR_AUTOGRAD, "tern_rand");
    EXPECT_ERROR(tern_copy_(x, p), TERN_ERR_AUTOGRAD, "copy_");
    tern_tensor *v = tern_reshape(h, TERN_SHAPE(3, 1)), *pv = tern_slice(p, 0, 0, 2, 1);
    EXPECT_ERROR(tern_mul_scalar_(h, 2), TERN_ERR_AUTOGRAD, "shares its storage");
    EXPECT_ERROR(tern_mul_scalar_(v, 2), TERN_ERR_AUTOGRAD, "mul_scalar_: ");
    EXPECT_ERROR(tern_copy_(pv, tern_slice(x, 0, 0, 2, 1)), TERN_ERR_AUTOGRAD, "shares its storage");
    EXPECT_ERROR(tern_add_(tern_square(x), tern_ones(TERN_SHAPE(4), F64)), TERN_ERR_SHAPE, "add_");
    EXPECT_ERROR(tern_add_(tern_square(x), tern_ones(TERN_SHAPE(2, 3), F64)), TERN_ERR_SHAPE, "add_");
    EXPECT_ERROR(tern_copy_(tern_square(x), tern_ones(TERN_SHAPE(2), F64)), TERN_ERR_SHAPE, "copy_");
    EXPECT_ERROR(tern_add_(test_values(TERN_I64, TERN_SHAPE(3), 1, 2, 3), x), TERN_ERR_AUTOGRAD, "takes no gradient");
    double own[3] = {1, 2, 3};
    tern_tensor *wrapped = tern_wrap(own, TERN_SHAPE(3), TERN_F64, NULL, NULL);
    EXPECT_ERROR(tern_add_(wrapped, x), TERN_ERR_AUTOGRAD, "own memory");
    CHECK_VALUES(x, 1, 2, 3);
    CHECK_VALUES(p, 1, 1, 1);
    CHECK_VALUES(h, 1, 4, 9);
    CHECK(own[0] == 1 && own[2] == 3);
    CHECK(tern_backward(total(h)));
    CHECK_VALUES(tern_grad_get(x), 2, 4, 6);
}

TERN_TEST(autograd_inplace, dtypes) {
    tern_tensor *x = leaf3(1, 2, 3), *t = test_values(TERN_F32, TERN_SHAPE(3), 1, 1, 1);
    CHECK(tern_add_(t, x) == t && tern_dtype_of(t) == TERN_F32);
    CHECK(tern_copy_(t, tern_mul(x, x)) == t && tern_dtype_of(t) == TERN_F32);
    CHECK(tern_backward(total(t)));
    CHECK(tern_dtype_of(tern_grad_get(x)) == TERN_F64);
    CHECK_VALUES(tern_grad_get(x), 2, 4, 6);
}

/* The product has saved h, which then leads to the product. The test's end looks for what is still alive. */
TERN_TEST(autograd_inplace, a_target_saved_by_its_operand) {
    tern_tensor *x = leaf3(1, 2, 3), *gate = leaf3(4, 5, 6), *h = tern_square(x), *t = plain3(1, 1, 1);
    CHECK(tern_add_(h, tern_mul(h, gate)) == h);
    CHECK_VALUES(h, 5, 24, 63);
    for (int i = 0; i < 3; i++) CHECK(tern_add_(t, tern_sin(tern_mul(t, gate))) == t);
    tern_tensor *p = tern_mul(t, gate), *far = tern_exp(p);
    CHECK(tern_add_(t, gate) == t && tern_mul_(t, far) == t); /* saved twice over, and changed in between */
    EXPECT_ERROR(tern_backward(total(h)), TERN_ERR_AUTOGRAD, "mul: ");
    EXPECT_ERROR(tern_backward(total(t)), TERN_ERR_AUTOGRAD, "changed in place");
    CHECK(tern_grad_get(x) == NULL);
}

static tern_tensor *count_call(tern_tensor *g, void *user) {
    ++*(int *)user;
    return g;
}

TERN_TEST(autograd_inplace, hooks_before_and_after_have_their_own_numbers) {
    tern_tensor *x = leaf3(1, 2, 3), *h = tern_square(x);
    int before = 0, after = 0;
    const int first = tern_hook_add(h, count_call, &before);
    CHECK(tern_add_(h, x) == h);
    const int second = tern_hook_add(h, count_call, &after);
    CHECK(first >= 0 && second >= 0 && first != second);
    EXPECT_ERROR(tern_hook_remove(h, first), TERN_ERR_ARGUMENT, "no hook"); /* it is the old value's */
    CHECK(tern_backward_from(total(h), NULL, (tern_backward_opts){.retain_graph = true}));
    CHECK(before == 1 && after == 1);
    CHECK(tern_hook_remove(h, second) && tern_backward(total(h)));
    CHECK(before == 2 && after == 1);
}

static bool some_changes(void) {
    const int scope = tern_scope_push();
    tern_tensor *x = leaf3(1, 2, 3), *h = tern_exp(x), *u = plain3(1, 2, 3), *t = plain3(1, 2, 3);
    bool good = h && tern_add_(t, tern_mul(t, x)) && tern_mul_(h, x) && tern_add_scaled_(h, 2, x) && tern_copy_(u, h) &&
                tern_mul_(u, u) && tern_zero_(h) && tern_backward(total(tern_add(h, u)));
    tern_scope_pop(scope);
    return good;
}

TERN_TEST(autograd_inplace, every_allocation_fails) {
    REQUIRE(some_changes());
    const int64_t device = tern_memory_device(tern_cpu()).live, host = tern_memory_host().live;
    for (int64_t n = 1;; n++) {
        check_case("allocation %" PRId64 " fails", n);
        tern_memory_fail_at(n);
        const bool good = some_changes();
        const int64_t requests = tern_memory_requests();
        tern_memory_fail_at(0);
        tern_error_clear();
        CHECK(tern_memory_device(tern_cpu()).live == device && tern_memory_host().live == host);
        if (requests < n) {
            CHECK(good);
            break;
        }
        CHECK(!good);
    }
}

/* ---- inference mode ------------------------------------------------------------------------------------------------
 */

TERN_TEST(autograd_inplace, inference_mode) {
    tern_tensor *x = leaf3(1, 2, 3), *p = plain3(1, 1, 1);
    CHECK(!tern_inference_mode(true) && tern_inference_mode_get() && !tern_grad_mode_get());
    tern_tensor *y = tern_square(x), *v = tern_reshape(y, TERN_SHAPE(3, 1)),
                *w = tern_wrap(tern_data(p), TERN_SHAPE(3), TERN_F64, NULL, NULL);
    CHECK(!tern_requires_grad(y) && tern_is_inference(y) && tern_is_inference(v) && tern_is_inference(w));
    const uint32_t version = tern_storage_version(y);
    CHECK(tern_add_(y, p) == y && tern_fill_(v, 2) == v && tern_storage_version(y) == version);
    const uint32_t plain = tern_storage_version(p);
    CHECK(tern_add_(p, p) == p && tern_storage_version(p) == plain + 1); /* others are counted */
    const bool was = tern_grad_mode(true);                               /* changes nothing inside */
    CHECK(was && !tern_requires_grad(tern_square(x)));
    CHECK(tern_inference_mode(false) && tern_grad_mode_get());
    EXPECT_ERROR(tern_mul(x, y), TERN_ERR_AUTOGRAD, "inference mode");
    EXPECT_ERROR(tern_add_(y, p), TERN_ERR_AUTOGRAD, "add_");
    EXPECT_ERROR(tern_require_grad(y, true), TERN_ERR_AUTOGRAD, "require_grad");
    CHECK_VALUES(y, 2, 2, 2);
    CHECK(tern_requires_grad(tern_add(x, y))); /* nothing is saved */
    CHECK(!tern_is_inference(tern_add(x, y)) && !tern_is_inference(x));
    CHECK(tern_backward(total(tern_mul(x, tern_clone(y)))));
    CHECK_VALUES(tern_grad_get(x), 2, 2, 2);
}

static void *other_thread(void *user) {
    const bool clean = !tern_inference_mode_get() && tern_grad_mode_get();
    tern_inference_mode(true);
    return clean ? user : NULL;
}

TERN_TEST(autograd_inplace, inference_mode_is_per_thread) {
    pthread_t t;
    int dummy;
    void *result = NULL;
    tern_inference_mode(true);
    REQUIRE(pthread_create(&t, NULL, other_thread, &dummy) == 0);
    pthread_join(t, &result);
    CHECK(result == &dummy);
    tern_inference_mode(false);
    CHECK(tern_grad_mode_get());
}
