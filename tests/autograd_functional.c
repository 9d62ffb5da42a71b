/* Jacobians, Hessians and products with them; the public gradient checks. */
#include "common.h"
#include "tern/functional.h"

#define F64    ((tern_options){.dtype = TERN_F64})
#define NO     ((tern_functional_opts){0})
#define NORMAL ((tern_gradcheck_opts){0})

static tern_tensor *total(tern_tensor *t) { return tern_sum(t, NULL, 0, false); }

/* a^2 b elementwise; its Jacobians are diagonal. */
static tern_tensor *product(tern_tensor *const *x, int n, void *user) {
    (void)n, (void)user;
    return tern_mul(tern_square(x[0]), x[1]);
}
static tern_tensor *scalar_fn(tern_tensor *const *x, int n, void *user) { return total(product(x, n, user)); }
static tern_tensor *first_only(tern_tensor *const *x, int n, void *user) {
    (void)n, (void)user;
    return tern_mul_scalar(x[0], 3);
}
static tern_tensor *null_fn(tern_tensor *const *x, int n, void *user) {
    (void)x, (void)n, (void)user;
    return NULL;
}
static tern_tensor *shape_error(tern_tensor *const *x, int n, void *user) {
    (void)n, (void)user;
    return tern_matmul(x[0], tern_ones(TERN_SHAPE(7, 7), F64));
}

static void inputs(tern_tensor **x) {
    x[0] = test_values(TERN_F64, TERN_SHAPE(3), 1, 2, 3);
    x[1] = test_values(TERN_F64, TERN_SHAPE(3), 4, 5, 6);
}

TERN_TEST(autograd_functional, products) {
    tern_tensor *x[2], *out[2], *y;
    inputs(x);
    tern_tensor *v = test_values(TERN_F64, TERN_SHAPE(3), 1, 0, -1);
    y = tern_vjp(product, x, 2, NULL, v, NO, out);
    CHECK_VALUES(y, 4, 20, 54);
    CHECK_VALUES(out[0], 8, 0, -36);
    CHECK_VALUES(out[1], 1, 0, -9);
    CHECK(!tern_requires_grad(y) && !tern_requires_grad(out[0]) && !tern_requires_grad(x[0]));
    tern_tensor *w[2] = {v, test_values(TERN_F64, TERN_SHAPE(3), 2, 3, 4)}, *value;
    tern_tensor *j = tern_jvp(product, x, 2, NULL, w, NO, &value);
    CHECK_VALUES(j, 8 + 2, 12, -36 + 36);
    CHECK_VALUES(value, 4, 20, 54);
    w[1] = NULL;
    CHECK_VALUES(tern_jvp(product, x, 2, NULL, w, NO, NULL), 8, 0, -36);
    w[0] = NULL;
    CHECK_VALUES(tern_jvp(product, x, 2, NULL, w, NO, NULL), 0, 0, 0);
    CHECK_VALUES(tern_jvp(first_only, x, 2, NULL, (tern_tensor *[]){v, v}, NO, NULL), 3, 0, -3);
    const bool was = tern_grad_mode(false); /* they record whatever the mode */
    CHECK(tern_vjp(scalar_fn, x, 2, NULL, NULL, NO, out) != NULL);
    CHECK_VALUES(out[0], 8, 20, 36);
    CHECK(!tern_grad_mode(was));
}

TERN_TEST(autograd_functional, jacobian_and_hessian) {
    tern_tensor *x[2], *out[4];
    inputs(x);
    CHECK(tern_jacobian(product, x, 2, NULL, NO, out) != NULL);
    CHECK_SHAPE(out[0], 3, 3);
    CHECK_VALUES(out[0], 8, 0, 0, 0, 20, 0, 0, 0, 36);
    CHECK_VALUES(out[1], 1, 0, 0, 0, 4, 0, 0, 0, 9);
    CHECK(tern_jacobian(first_only, x, 2, NULL, NO, out) != NULL);
    CHECK_VALUES(out[1], 0, 0, 0, 0, 0, 0, 0, 0, 0);
    tern_tensor *y = tern_hessian(scalar_fn, x, 2, NULL, NO, out);
    CHECK_ITEM(y, 78, 1e-12);
    CHECK_VALUES(out[0], 8, 0, 0, 0, 10, 0, 0, 0, 12);
    CHECK_VALUES(out[1], 2, 0, 0, 0, 4, 0, 0, 0, 6);
    CHECK_VALUES(out[2], 2, 0, 0, 0, 4, 0, 0, 0, 6);
    CHECK_VALUES(out[3], 0, 0, 0, 0, 0, 0, 0, 0, 0);
    tern_tensor *v[2] = {test_values(TERN_F64, TERN_SHAPE(3), 1, 2, 3), test_values(TERN_F64, TERN_SHAPE(3), 1, 1, 1)};
    CHECK(tern_hvp(scalar_fn, x, 2, NULL, v, NO, out) != NULL);
    CHECK_VALUES(out[0], 10, 24, 42);
    CHECK_VALUES(out[1], 2, 8, 18);
    CHECK(tern_hvp(scalar_fn, x, 2, NULL, (tern_tensor *[]){NULL, NULL}, NO, out) != NULL);
    CHECK_VALUES(out[0], 0, 0, 0);
    tern_tensor *none = tern_zeros(TERN_SHAPE(0), F64), *two[2] = {none, none};
    CHECK(tern_jacobian(product, two, 2, NULL, NO, out) != NULL);
    CHECK_SHAPE(out[0], 0, 0);
}

TERN_TEST(autograd_functional, results_that_are_recorded) {
    tern_tensor *x[2], *out[4], *g;
    inputs(x);
    tern_require_grad(x[0], true);
    const tern_functional_opts create = {.create_graph = true};
    CHECK(tern_hessian(scalar_fn, x, 2, NULL, create, out) != NULL);
    CHECK(tern_grad(total(tern_mul(out[1], out[1])), &x[0], 1, NULL, (tern_backward_opts){0}, &g));
    CHECK_VALUES(g, 8, 16, 24); /* sum (2 a)^2 */
    tern_tensor *v = test_values(TERN_F64, TERN_SHAPE(3), 1, 1, 1);
    tern_tensor *j = tern_jvp(product, x, 2, NULL, (tern_tensor *[]){v, NULL}, create, NULL);
    CHECK(tern_grad(total(j), &x[0], 1, NULL, (tern_backward_opts){0}, &g));
    CHECK_VALUES(g, 8, 10, 12);
    CHECK(tern_grad_get(x[0]) == NULL);
}

TERN_TEST(autograd_functional, refusals) {
    tern_tensor *x[2], *out[4], *n[1] = {NULL}, *i[1] = {test_values(TERN_I64, TERN_SHAPE(1), 1)};
    inputs(x);
    tern_tensor *v[2] = {tern_zeros(TERN_SHAPE(2), F64), NULL};
    EXPECT_ERROR(tern_vjp(NULL, x, 2, NULL, NULL, NO, out), TERN_ERR_ARGUMENT, "vjp");
    EXPECT_ERROR(tern_vjp(product, x, 2, NULL, NULL, NO, NULL), TERN_ERR_ARGUMENT, "vjp");
    EXPECT_ERROR(tern_vjp(product, x, 2, NULL, NULL, NO, out), TERN_ERR_SHAPE, "vjp");
    CHECK(out[0] == NULL && out[1] == NULL);
    EXPECT_ERROR(tern_jacobian(product, n, 1, NULL, NO, out), TERN_ERR_ARGUMENT, "jacobian");
    EXPECT_ERROR(tern_jacobian(product, i, 1, NULL, NO, out), TERN_ERR_DTYPE, "jacobian");
    EXPECT_ERROR(tern_jacobian(product, x, 0, NULL, NO, out), TERN_ERR_ARGUMENT, "jacobian");
    EXPECT_ERROR(tern_hessian(product, x, 2, NULL, NO, out), TERN_ERR_SHAPE, "hessian");
    EXPECT_ERROR(tern_hvp(scalar_fn, x, 2, NULL, v, NO, out), TERN_ERR_SHAPE, "hvp");
    EXPECT_ERROR(tern_jvp(product, x, 2, NULL, v, NO, NULL), TERN_ERR_SHAPE, "jvp");
    EXPECT_ERROR(tern_jvp(null_fn, x, 2, NULL, (tern_tensor *[]){NULL, NULL}, NO, NULL), TERN_ERR_ARGUMENT, "jvp");
    EXPECT_ERROR(tern_vjp(shape_error, x, 2, NULL, NULL, NO, out), TERN_ERR_SHAPE, "vjp");
    tern_tensor *wide = tern_zeros(TERN_SHAPE(1, 1, 1, 1, 1), F64), *many[2] = {wide, wide};
    EXPECT_ERROR(tern_jacobian(product, many, 2, NULL, NO, out), TERN_ERR_SHAPE, "jacobian");
    CHECK(tern_grad_mode_get());
}

/* ---- gradcheck -----------------------------------------------------------------------------------------------------
 */

typedef struct slope {
    double factor;
} slope;
static bool wrong_forward(tern_ctx *ctx, tern_tensor *const *in, int n, tern_tensor **out) {
    (void)n;
    out[0] = tern_square(in[0]);
    return out[0] && tern_ctx_save(ctx, in[0]);
}
static bool wrong_backward(tern_ctx *ctx, tern_tensor *const *g, tern_tensor **gin) {
    tern_tensor *x = tern_ctx_saved(ctx, 0);
    gin[0] = tern_mul(g[0], tern_mul_scalar(x, ((const slope *)tern_ctx_opts(ctx))->factor));
    return gin[0] != NULL;
}
/* Right, but not differentiable again: the rule hides x. */
static bool hidden_backward(tern_ctx *ctx, tern_tensor *const *g, tern_tensor **gin) {
    gin[0] = tern_mul(g[0], tern_mul_scalar(tern_detach(tern_ctx_saved(ctx, 0)), 2));
    return gin[0] != NULL;
}
static const tern_function wrong = {"wrong", 1, sizeof(slope), wrong_forward, wrong_backward, NULL};
static const tern_function hidden = {"hidden", 1, 0, wrong_forward, hidden_backward, NULL};

static tern_tensor *apply_wrong(tern_tensor *const *x, int n, void *user) {
    tern_tensor *y = NULL;
    return tern_apply(&wrong, x, n, user, &y) ? y : NULL;
}
static tern_tensor *apply_hidden(tern_tensor *const *x, int n, void *user) {
    (void)user;
    tern_tensor *y = NULL;
    return tern_apply(&hidden, x, n, NULL, &y) ? y : NULL;
}
static tern_tensor *to_f32(tern_tensor *const *x, int n, void *user) {
    (void)n, (void)user;
    return tern_cast(x[0], TERN_F32);
}

TERN_TEST(autograd_functional, gradcheck_finds_wrong_gradients) {
    tern_tensor *x[2];
    inputs(x);
    EXPECT_ERROR(tern_gradcheck(product, x, 2, NULL, NORMAL), TERN_ERR_ARGUMENT, "gradcheck: no input requires");
    tern_require_grad(x[0], true);
    CHECK(tern_gradcheck(product, x, 2, NULL, NORMAL) && tern_gradgradcheck(product, x, 2, NULL, NORMAL));
    tern_require_grad(x[1], true);
    CHECK(tern_gradcheck(product, x, 2, NULL, NORMAL) && tern_gradgradcheck(product, x, 2, NULL, NORMAL));
    CHECK(tern_gradcheck(first_only, x, 2, NULL, NORMAL) && tern_gradgradcheck(first_only, x, 2, NULL, NORMAL));
    CHECK(tern_gradcheck(apply_wrong, x, 1, &(slope){2}, NORMAL));
    EXPECT_ERROR(tern_gradcheck(apply_wrong, x, 1, &(slope){2.01}, NORMAL), TERN_ERR_AUTOGRAD,
                 "d output[0] / d input 0[0]");
    EXPECT_ERROR(tern_gradcheck(apply_wrong, x, 1, &(slope){2.01}, NORMAL), TERN_ERR_AUTOGRAD, "analytic 2.01");
    CHECK(tern_gradcheck(apply_wrong, x, 1, &(slope){2.01}, (tern_gradcheck_opts){.rtol = 0.1}));
    CHECK(tern_gradcheck(apply_hidden, x, 1, NULL, NORMAL));
    EXPECT_ERROR(tern_gradgradcheck(apply_hidden, x, 1, NULL, NORMAL), TERN_ERR_AUTOGRAD, "gradgradcheck");
    EXPECT_ERROR(tern_gradcheck(to_f32, x, 1, NULL, NORMAL), TERN_ERR_DTYPE, "f32");
    EXPECT_ERROR(tern_gradcheck(null_fn, x, 1, NULL, NORMAL), TERN_ERR_ARGUMENT, "gradcheck");
    EXPECT_ERROR(tern_gradcheck(NULL, x, 1, NULL, NORMAL), TERN_ERR_ARGUMENT, "gradcheck");
    CHECK_VALUES(x[0], 1, 2, 3);
    tern_tensor *s[1] = {tern_require_grad(tern_zeros(TERN_SHAPE(2), (tern_options){0}), true)};
    EXPECT_ERROR(tern_gradcheck(to_f32, s, 1, NULL, NORMAL), TERN_ERR_DTYPE, "x[0]");
}

static tern_tensor *wide(tern_tensor *const *x, int n, void *user) {
    (void)n, (void)user;
    return tern_square(tern_expand(x[0], TERN_SHAPE(4500)));
}

TERN_TEST(autograd_functional, jacobian_of_many_outputs) {
    tern_tensor *x = test_values(TERN_F32, TERN_SHAPE(1), 3), *j = NULL;
    REQUIRE(tern_jacobian(wide, &x, 1, NULL, NO, &j));
    CHECK_SHAPE(j, 4500, 1);
    CHECK_SAME(j, tern_full(TERN_SHAPE(4500, 1), 6, (tern_options){0}), ((tolerance){0, 0}));
}

static bool everything(void) {
    const int scope = tern_scope_push();
    tern_tensor *x[2], *out[4];
    inputs(x);
    bool good = tern_require_grad(x[0], true) && x[1] && tern_gradcheck(product, x, 2, NULL, NORMAL) &&
                tern_gradgradcheck(product, x, 1 + 1, NULL, NORMAL) && tern_hessian(scalar_fn, x, 2, NULL, NO, out) &&
                tern_jvp(product, x, 2, NULL, (tern_tensor *[]){x[1], NULL}, NO, NULL) &&
                tern_hvp(scalar_fn, x, 2, NULL, (tern_tensor *[]){x[1], NULL}, NO, out);
    if (!good) CHECK(!tern_ok());
    tern_scope_pop(scope);
    return good;
}

TERN_TEST(autograd_functional, allocations_fail) {
    REQUIRE(everything(), "%s", tern_error_message());
    const int64_t device = tern_memory_device(tern_cpu()).live, host = tern_memory_host().live;
    for (int64_t n = 1;; n += n < 400 ? 1 : 7) {
        check_case("allocation %" PRId64 " fails", n);
        tern_memory_fail_at(n);
        const bool good = everything();
        const int64_t requests = tern_memory_requests();
        tern_memory_fail_at(0);
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
