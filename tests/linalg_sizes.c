/* Factorisations of random matrices of sizes about those at which kernels go from one panel, or one group of threads,
 * to the next: products of the factors give the matrix back. On TERN_TEST_DEVICE. */
#include "common.h"

static const tolerance exact = {0, 0};
static tolerance wide(tern_options o) {
    return o.dtype == TERN_F64 ? (tolerance){1e-11, 1e-11} : (tolerance){2e-3, 2e-3};
}
static tern_tensor *flip(tern_tensor *x) { return tern_transpose(x, -1, -2); }
static tern_tensor *eye(int64_t n, tern_options o) { return tern_expand(tern_eye(n, n, o), TERN_SHAPE(2, n, n)); }
static tern_tensor *triangle(tern_tensor *x, bool upper, int64_t from) {
    return upper ? tern_triu(x, from) : tern_tril(x, -from);
}
/* Runs body for both dtypes. */
static void each_dtype(void (*body)(int64_t m, int64_t n, tern_options o), int64_t m, int64_t n) {
    const tern_dtype dtypes[] = {TERN_F32, TERN_F64};
    for (int i = 0; i < 2; i++) {
        const int scope = tern_scope_push();
        check_case("%" PRId64 " x %" PRId64 ", %s", m, n, tern_dtype_name(dtypes[i]));
        body(m, n, (tern_options){dtypes[i], test_device()});
        CHECK_OK();
        tern_scope_pop(scope);
    }
}

static void systems(int64_t n, int64_t k, tern_options o) {
    const tolerance tol = wide(o);
    tern_tensor *r = tern_div_scalar(tern_randn(TERN_SHAPE(2, n, n), 0, 1, o), sqrt((double)n));
    tern_tensor *b = tern_randn(TERN_SHAPE(2, n, k), 0, 1, o), *dominant = tern_add(r, tern_mul_scalar(eye(n, o), 3));
    tern_tensor *a = tern_roll(dominant, (int64_t[]){n / 2}, (int[]){-2}, 1); /* pivots far from the diagonal */
    CHECK_SAME(tern_matmul(a, tern_solve(a, b)), b, tol);
    CHECK_SAME(tern_matmul(flip(a), tern_solve(flip(a), b)), b, tol);
    CHECK_SAME(tern_matmul(a, tern_inverse(a)), eye(n, o), tol);
    for (int i = 0; i < 8; i++) {
        const tern_triangular_solve_opts t = {.upper = i & 1, .transposed = i & 2, .unitriangular = i & 4};
        tern_tensor *given = t.unitriangular ? r : dominant;
        tern_tensor *half =
            t.unitriangular ? tern_add(triangle(r, t.upper, 1), eye(n, o)) : triangle(given, t.upper, 0);
        CHECK_SAME(tern_matmul(t.transposed ? flip(half) : half, tern_triangular_solve(given, b, t)), b, tol);
    }
    tern_tensor *spd = tern_add(tern_matmul(r, flip(r)), eye(n, o)), *l = tern_cholesky(spd, false);
    CHECK_SAME(tern_matmul(l, flip(l)), spd, tol);
    CHECK_SAME(l, tern_tril(l, 0), exact);
    tern_tensor *logs = tern_sum(tern_log(tern_diagonal(l, 0, -2, -1)), (int[]){-1}, 1, false);
    CHECK_SAME(tern_slogdet(spd, NULL), tern_mul_scalar(logs, 2), tol);
}
TERN_TEST(linalg_sizes, systems) {
    const int64_t sizes[][2] = {{1, 1}, {7, 3}, {32, 64}, {33, 65}, {70, 3}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) each_dtype(systems, sizes[i][0], sizes[i][1]);
}

/* The first k of the minors that are not positive, in the block on the diagonal that has it. */
TERN_TEST(linalg_sizes, not_definite) {
    const int64_t at[] = {0, 32, 69};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        const tern_options o = {TERN_F64, test_device()};
        tern_tensor *place = tern_full(TERN_SHAPE(1), (double)at[i], (tern_options){TERN_I64, o.device});
        tern_tensor *row = tern_one_hot(place, 70, TERN_F64),
                    *a = tern_sub(tern_eye(70, 70, o), tern_matmul(flip(row), row));
        check_case("%" PRId64, at[i]);
        tern_tensor *const both[2] = {tern_eye(70, 70, o), a};
        EXPECT_ERROR(tern_cholesky(tern_stack(both, 2, 0), false), TERN_ERR_ARGUMENT,
                     "cholesky: matrix 1 is not positive definite");
        EXPECT_ERROR(tern_inverse(tern_stack(both, 2, 0)), TERN_ERR_ARGUMENT, "inverse: matrix 1 is singular");
        CHECK_VALUES(tern_det(tern_stack(both, 2, 0)), 1, 0);
    }
}

static void qr_of(int64_t m, int64_t n, tern_options o) {
    tern_tensor *a = tern_randn(TERN_SHAPE(2, m, n), 0, 1, o), *r;
    for (int whole = 0; whole < 2; whole++) {
        tern_tensor *q = tern_qr(a, whole, &r);
        CHECK_SAME(tern_matmul(q, r), a, wide(o));
        CHECK_SAME(tern_matmul(flip(q), q), eye(tern_size(q, -1), o), wide(o));
        CHECK_SAME(r, tern_triu(r, 0), exact);
    }
}

static void check_svd(tern_tensor *a, bool full, tern_options o) {
    const int64_t m = tern_size(a, -2), n = tern_size(a, -1);
    tern_tensor *u, *vh, *s = tern_svd(a, full, &u, &vh);
    CHECK_SAME(tern_matmul(flip(u), u), eye(tern_size(u, -1), o), wide(o));
    CHECK_SAME(tern_matmul(vh, flip(vh)), eye(tern_size(vh, -2), o), wide(o));
    tern_tensor *us = tern_mul(tern_slice(u, -1, 0, m < n ? m : n, 1), tern_unsqueeze(s, -2));
    CHECK_SAME(tern_matmul(us, tern_slice(vh, -2, 0, m < n ? m : n, 1)), a, wide(o));
    CHECK_SAME(tern_svdvals(a), s, wide(o));
    CHECK_SAME(tern_sort(s, -1, true, NULL), s, exact);
}
/* Also of low rank, with singular values that are equal, and of zeros; large and small numbers. */
static void svd_of(int64_t m, int64_t n, tern_options o) {
    tern_tensor *a = tern_randn(TERN_SHAPE(2, m, n), 0, 1, o), *q = tern_qr(a, false, NULL);
    const int64_t rank = (m < n ? m : n) / 2;
    tern_tensor *low =
        tern_mul_scalar(tern_matmul(tern_slice(q, -1, 0, rank, 1), tern_slice(tern_eye(n, n, o), 0, 0, rank, 1)), 7);
    for (int full = 0; full < 2; full++) {
        check_svd(a, full, o);
        check_svd(low, full, o);
    }
    check_svd(tern_mul_scalar(a, 0), true, o);
    const double large = o.dtype == TERN_F64 ? 1e300 : 1e36;
    CHECK_SAME(tern_div_scalar(tern_svdvals(tern_mul_scalar(a, large)), large), tern_svdvals(a), wide(o));
    CHECK_SAME(tern_mul_scalar(tern_svdvals(tern_div_scalar(a, large)), large), tern_svdvals(a), wide(o));
}
TERN_TEST(linalg_sizes, qr_and_svd) {
    const int64_t sizes[][2] = {{1, 1}, {2, 1}, {9, 5}, {33, 9}, {10, 17}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        each_dtype(qr_of, sizes[i][0], sizes[i][1]);
        each_dtype(svd_of, sizes[i][0], sizes[i][1]);
    }
}

static void check_eigh(tern_tensor *a, tern_options o) {
    tern_tensor *v, *w = tern_eigh(a, false, &v);
    CHECK_SAME(tern_matmul(flip(v), v), eye(tern_size(v, -1), o), wide(o));
    CHECK_SAME(tern_matmul(tern_mul(v, tern_unsqueeze(w, -2)), flip(v)), a, wide(o));
    CHECK_SAME(tern_eigvalsh(a, true), w, wide(o));
    CHECK_SAME(tern_sort(w, -1, false, NULL), w, exact);
}
static void eigh_of(int64_t n, int64_t rank, tern_options o) {
    tern_tensor *a = tern_randn(TERN_SHAPE(2, n, n), 0, 1, o);
    tern_tensor *some = tern_slice(a, -1, 0, rank, 1);
    check_eigh(tern_mul_scalar(tern_add(a, flip(a)), 0.5), o);
    check_eigh(tern_div_scalar(tern_matmul(some, flip(some)), (double)n), o);
    check_eigh(eye(n, o), o);
    check_eigh(tern_mul_scalar(a, 0), o);
}
TERN_TEST(linalg_sizes, eigh) {
    const int64_t sizes[][2] = {{1, 1}, {2, 1}, {5, 5}, {8, 2}, {19, 12}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) each_dtype(eigh_of, sizes[i][0], sizes[i][1]);
}
