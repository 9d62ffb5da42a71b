/* Linear algebra beyond what the sweep's tables say: singular matrices, what has no gradient, both results of an op,
 * values that are not finite, a batch's number in messages. */
#include "common.h"

#define ON_DEVICE ((tern_options){TERN_F32, test_device()})

static tern_tensor *matrix(const double *v, int64_t m, int64_t n) {
    return tern_require_grad(tern_from(v, TERN_SHAPE(m, n), (tern_options){TERN_F64, test_device()}), true);
}

/* The gradient of det is the matrix of cofactors, whatever the rank. */
TERN_TEST(linalg, det_of_singular) {
    const double two[9] = {1, 2, 3, 2, 4, 6, 1, 0, 1}, one[9] = {1, 2, 3, 2, 4, 6, -1, -2, -3}, none[9] = {0};
    tern_tensor *a = matrix(two, 3, 3), *g;
    tern_tensor *det = tern_det(a);
    CHECK_ITEM(det, 0, 1e-12);
    REQUIRE(tern_grad(det, &a, 1, NULL, (tern_backward_opts){0}, &g));
    CHECK_VALUES(g, 4, 4, -4, -2, -2, 2, 0, 0, 0);
    a = matrix(one, 3, 3);
    REQUIRE(tern_grad(tern_det(a), &a, 1, NULL, (tern_backward_opts){0}, &g));
    CHECK_VALUES(g, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    a = matrix(none, 3, 3);
    REQUIRE(tern_grad(tern_det(a), &a, 1, NULL, (tern_backward_opts){0}, &g));
    CHECK_VALUES(g, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    a = matrix(none, 1, 1);
    REQUIRE(tern_grad(tern_det(a), &a, 1, NULL, (tern_backward_opts){0}, &g));
    CHECK_VALUES(g, 1);
}

static tern_tensor *call_det(tern_tensor *const *x, int n, void *user) {
    (void)n, (void)user;
    return tern_det(x[0]);
}
TERN_TEST(linalg, det_of_singular_twice) {
    const double two[9] = {1, 2, 3, 2, 4, 6, 1, 0, 1};
    tern_tensor *a = matrix(two, 3, 3);
    CHECK(gradcheck("det of a singular matrix", call_det, &a, 1, NULL));
    CHECK(gradgradcheck("det of a singular matrix", call_det, &a, 1, NULL));
}

TERN_TEST(linalg, slogdet_of_singular) {
    const double ones[4] = {1, 1, 1, 1}, turn[4] = {0, -2, 3, 0}, mirror[4] = {0, 2, 3, 0};
    tern_tensor *a = matrix(ones, 2, 2), *sign, *g, *y = tern_slogdet(a, &sign);
    CHECK_NUMBER(tern_item(sign), 0, 0);
    CHECK(tern_item(y) < 0 && isinf(tern_item(y)));
    EXPECT_ERROR(tern_grad(y, &a, 1, NULL, (tern_backward_opts){0}, &g), TERN_ERR_AUTOGRAD, "slogdet: ");
    CHECK_ITEM(tern_slogdet(matrix(turn, 2, 2), &sign), log(6), 1e-12);
    CHECK_ITEM(sign, 1, 0);
    CHECK_ITEM(tern_slogdet(matrix(mirror, 2, 2), &sign), log(6), 1e-12);
    CHECK_ITEM(sign, -1, 0);
}

/* q r = a, q^T q = 1; u s vh = a, with whole u and vh. */
TERN_TEST(linalg, complete_and_full) {
    static const int64_t sizes[4][2] = {{5, 3}, {3, 5}, {4, 4}, {3, 0}};
    for (int i = 0; i < 4; i++) {
        const int64_t m = sizes[i][0], n = sizes[i][1], k = m < n ? m : n;
        const tolerance tol = {1e-12, 1e-12};
        const tern_options o = {TERN_F64, test_device()};
        tern_tensor *a = tern_randn(TERN_SHAPE(2, m, n), 0, 1, o), *r, *u, *vh;
        tern_tensor *q = tern_qr(a, true, &r), *s = tern_svd(a, true, &u, &vh);
        REQUIRE(q && s);
        CHECK(tern_shape_equal(tern_shape_get(q), TERN_SHAPE(2, m, m)));
        CHECK(tern_shape_equal(tern_shape_get(r), TERN_SHAPE(2, m, n)));
        CHECK_SAME(tern_matmul(q, r), a, tol);
        CHECK_SAME(r, tern_triu(r, 0), ((tolerance){0, 0}));
        tern_tensor *eye_m = tern_expand(tern_eye(m, m, o), TERN_SHAPE(2, m, m));
        tern_tensor *eye_n = tern_expand(tern_eye(n, n, o), TERN_SHAPE(2, n, n));
        CHECK_SAME(tern_matmul(tern_transpose(q, -1, -2), q), eye_m, tol);
        CHECK_SAME(tern_matmul(tern_transpose(u, -1, -2), u), eye_m, tol);
        CHECK_SAME(tern_matmul(vh, tern_transpose(vh, -1, -2)), eye_n, tol);
        tern_tensor *us = tern_mul(tern_slice(u, -1, 0, k, 1), tern_unsqueeze(s, -2));
        CHECK_SAME(tern_matmul(us, tern_slice(vh, -2, 0, k, 1)), a, tol);
        CHECK_OK();
    }
}

TERN_TEST(linalg, what_has_no_gradient) {
    tern_tensor *a = tern_require_grad(tern_randn(TERN_SHAPE(4, 2), 0, 1, ON_DEVICE), true);
    tern_tensor *u, *vh, *r, *g, *q = tern_qr(a, true, &r);
    tern_tensor *y = tern_sum(q, NULL, 0, false);
    EXPECT_ERROR(tern_grad(y, &a, 1, NULL, (tern_backward_opts){0}, &g), TERN_ERR_AUTOGRAD, "qr: ");
    (void)tern_svd(a, true, &u, &vh);
    y = tern_sum(u, NULL, 0, false);
    EXPECT_ERROR(tern_grad(y, &a, 1, NULL, (tern_backward_opts){0}, &g), TERN_ERR_AUTOGRAD, "svd: ");
}

/* The message has the matrix's number; out pointers are NULL after a failure. */
TERN_TEST(linalg, one_bad_matrix) {
    const double v[12] = {2, 0, 0, 2, 1, 1, 1, 1, 3, 0, 0, 3};
    tern_tensor *a = tern_from(v, TERN_SHAPE(3, 2, 2), (tern_options){TERN_F64, test_device()});
    EXPECT_ERROR(tern_inverse(a), TERN_ERR_ARGUMENT, "inverse: matrix 1 is singular");
    EXPECT_ERROR(tern_solve(a, a), TERN_ERR_ARGUMENT, "solve: matrix 1 is singular");
    EXPECT_ERROR(tern_cholesky(a, true), TERN_ERR_ARGUMENT, "cholesky: matrix 1 is not positive definite");
    EXPECT_ERROR(tern_lstsq(a, a), TERN_ERR_ARGUMENT, "lstsq: matrix 1 has not full rank");
    tern_tensor *bad = tern_div(a, tern_sub_scalar(a, 3)), *u = a, *w = a; /* the last holds infinities */
    EXPECT_ERROR(tern_svd(bad, false, &u, NULL), TERN_ERR_ARGUMENT, "svd: matrix 2 holds values that are not finite");
    EXPECT_ERROR(tern_eigh(bad, false, &w), TERN_ERR_ARGUMENT, "eigh: matrix 2 holds values that are not finite");
    CHECK(u == NULL && w == NULL);
    EXPECT_ERROR(tern_matrix_exp(bad), TERN_ERR_ARGUMENT, "matrix_exp: ");
    EXPECT_ERROR(tern_matrix_power(a, -1), TERN_ERR_ARGUMENT, "inverse: matrix 1 is singular");
}

TERN_TEST(linalg, negative_power) {
    const double v[4] = {2, 1, 0, 4};
    CHECK_VALUES(tern_matrix_power(matrix(v, 2, 2), -2), 0.25, -0.09375, 0, 0.0625);
}

/* The results are right where a matrix is not of full rank, too. */
TERN_TEST(linalg, pinv_of_low_rank) {
    const double v[6] = {1, 2, 2, 4, 3, 6};
    CHECK_VALUES(tern_pinv(matrix(v, 3, 2), 0), 1.0 / 70, 2.0 / 70, 3.0 / 70, 2.0 / 70, 4.0 / 70, 6.0 / 70);
    CHECK_ITEM(tern_matrix_rank(matrix(v, 3, 2), 0, 0), 1, 0);
    const double zero[4] = {0};
    tern_tensor *a = matrix(zero, 2, 2), *g;
    REQUIRE(tern_grad(tern_matrix_norm(a, TERN_NORM_FRO, false), &a, 1, NULL, (tern_backward_opts){0}, &g));
    CHECK_VALUES(g, 0, 0, 0, 0);
}

/* The same bits at any number of threads. */
TERN_TEST(linalg, threads_do_not_matter) {
    const int before = tern_threads();
    tern_tensor *a = tern_randn(TERN_SHAPE(301, 9, 9), 0, 1, ON_DEVICE), *y[2], *s[2];
    for (int i = 0; i < 2; i++) {
        CHECK(tern_set_threads(i ? 4 : 1));
        y[i] = tern_inverse(a);
        s[i] = tern_svdvals(a);
    }
    CHECK(tern_set_threads(before));
    CHECK_SAME(y[0], y[1], ((tolerance){0, 0}));
    CHECK_SAME(s[0], s[1], ((tolerance){0, 0}));
}

static tern_tensor *use_all(tern_tensor *a) {
    tern_tensor *r, *v, *u, *sign;
    tern_tensor *b = tern_add(tern_matmul(a, tern_transpose(a, -1, -2)), tern_eye(3, 3, ON_DEVICE));
    tern_tensor *y = tern_add(tern_solve(b, a), tern_cholesky(b, false));
    y = tern_add(y, tern_add(tern_qr(a, false, &r), tern_inverse(b)));
    y = tern_add(y, tern_unsqueeze(tern_add(tern_svd(a, false, &u, NULL), tern_eigh(b, false, &v)), -1));
    y = tern_add(y, tern_unsqueeze(tern_add(tern_svdvals(a), tern_eigvalsh(b, true)), -1));
    y = tern_add(y, tern_unsqueeze(tern_unsqueeze(tern_slogdet(b, &sign), -1), -1));
    tern_tensor *const three[3] = {a, b, y};
    return tern_einsum("bij,bjk,bkl->bil", three, 3);
}
/* Every allocation fails once. */
TERN_TEST(linalg, without_memory) {
    tern_tensor *a = tern_randn(TERN_SHAPE(2, 3, 3), 0, 1, ON_DEVICE);
    int64_t n = 1;
    for (bool done = false; !done && n < 400; n++) {
        const int scope = tern_scope_push();
        tern_memory_fail_at(n);
        tern_tensor *y = use_all(a);
        const bool failed = tern_error_code() == TERN_ERR_MEMORY;
        CHECK((y == NULL) == failed && tern_ok() != failed, "%" PRId64 ": %s", n, tern_error_message());
        tern_error_clear();
        done = tern_memory_requests() < n; /* a cache that could not grow is no failure */
        tern_memory_fail_at(0);
        tern_scope_pop(scope);
    }
    CHECK(n > 30 && n < 400, "%" PRId64 " allocations", n);
}

/* ---- values and gradients of PyTorch ----------------------------------------------------------------------------- */

static tern_tensor *apply(const char *name, tern_tensor *a) {
    tern_tensor *out = NULL;
    static const struct {
        const char *name;
        tern_matrix_norm_kind kind;
    } norms[] = {{"norm_fro", TERN_NORM_FRO}, {"norm_nuc", TERN_NORM_NUC}, {"norm_two", TERN_NORM_TWO},
                 {"norm_one", TERN_NORM_ONE}, {"norm_inf", TERN_NORM_INF}, {"norm_minus_two", TERN_NORM_MINUS_TWO}};
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++)
        if (!strcmp(name, norms[i].name)) return tern_matrix_norm(a, norms[i].kind, false);
    if (!strcmp(name, "inverse")) return tern_inverse(a);
    if (!strcmp(name, "det")) return tern_det(a);
    if (!strcmp(name, "logabsdet")) return tern_slogdet(a, NULL);
    if (!strcmp(name, "cholesky")) return tern_cholesky(a, false);
    if (!strcmp(name, "pinv")) return tern_pinv(a, 0);
    if (!strcmp(name, "svdvals")) return tern_svdvals(a);
    if (!strcmp(name, "eigvalsh")) return tern_eigvalsh(a, false);
    if (!strcmp(name, "qr_q")) return tern_qr(a, false, &out);
    if (!strcmp(name, "matrix_exp")) return tern_matrix_exp(a);
    if (!strcmp(name, "matrix_power")) return tern_matrix_power(a, -3);
    if (!strcmp(name, "cond")) return tern_cond(a, TERN_NORM_TWO);
    if (!strcmp(name, "kron")) return tern_kron(a, tern_transpose(a, 0, 1));
    if (!strcmp(name, "lstsq"))
        return tern_lstsq(a, tern_unsqueeze(tern_arange(0, 4, (tern_options){TERN_F64, test_device()}), 1));
    return tern_qr(a, false, &out) ? out : NULL; /* qr_r, wide_qr_r */
}

static void compare(const char *name, tern_tensor *a, tern_shape shape, const double *y, const double *grad) {
    const tolerance tol = {1e-9, 1e-9};
    tern_tensor *got = apply(name, a), *g;
    check_case("%s", name);
    REQUIRE(got && tern_shape_equal(tern_shape_get(got), shape));
    CHECK_CLOSE(got, y, tern_numel(got), tol);
    tern_tensor *seed = tern_arange(1, (double)tern_numel(got) + 1, (tern_options){TERN_F64, test_device()});
    REQUIRE(tern_grad(got, &a, 1, tern_reshape(seed, shape), (tern_backward_opts){0}, &g));
    CHECK_CLOSE(g, grad, tern_numel(g), tol);
}

TERN_TEST(linalg, as_pytorch) {
#define LINALG(name, rows, cols, a, shape, y, grad) compare(#name, matrix(a, rows, cols), shape, y, grad);
#include "reference/linalg.def"
#undef LINALG
}
