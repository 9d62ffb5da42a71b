/* Tensors made by rule: ranges, the identity, triangles' indices, constants, doubles. */
#include "common.h"

static const tern_dtype all[] = {TERN_F64, TERN_F32, TERN_F16, TERN_BF16, TERN_I64, TERN_I32, TERN_U8, TERN_BOOL};
enum { DTYPES = sizeof all / sizeof *all };

TERN_TEST(create, ranges) {
    CHECK_VALUES(tern_arange_step(1, 2, 0.25, (tern_options){0}), 1, 1.25, 1.5, 1.75);
    CHECK_VALUES(tern_arange_step(3, -2, -2, (tern_options){.dtype = TERN_I32}), 3, 1, -1);
    CHECK_VALUES(tern_arange(2, 5, (tern_options){.dtype = TERN_I64}), 2, 3, 4);
    CHECK_SHAPE(tern_arange_step(3, 3, -2, (tern_options){0}), 0);
    EXPECT_ERROR(tern_arange_step(3, 4, -2, (tern_options){0}), TERN_ERR_ARGUMENT, "arange_step");
    EXPECT_ERROR(tern_arange_step(3, 4, 0, (tern_options){0}), TERN_ERR_ARGUMENT, "arange_step");
    EXPECT_ERROR(tern_arange_step(3, (double)INFINITY, 1, (tern_options){0}), TERN_ERR_ARGUMENT, "arange_step");
    EXPECT_ERROR(tern_arange_step(3, (double)NAN, 1, (tern_options){0}), TERN_ERR_ARGUMENT, "arange_step");
    EXPECT_ERROR(tern_arange(3, 2, (tern_options){0}), TERN_ERR_ARGUMENT, "arange");
    EXPECT_ERROR(tern_arange(0, 2, (tern_options){.dtype = (tern_dtype)99}), TERN_ERR_DTYPE, "arange");
    /* Longer than a block, by several threads. */
    enum { N = 200003 };
    static double v[N];
    REQUIRE(tern_to_doubles(tern_arange_step(-7, -7 + 3 * (double)N, 3, (tern_options){.dtype = TERN_I64}), v, N));
    for (int i = 0; i < N; i++)
        if (!CHECK(v[i] == 3 * i - 7, "%d", i)) break;
}

TERN_TEST(create, spaced) {
    CHECK_VALUES(tern_linspace(0, 1, 5, (tern_options){0}), 0, 0.25, 0.5, 0.75, 1);
    CHECK_VALUES(tern_linspace(1, -1, 3, (tern_options){.dtype = TERN_F64}), 1, 0, -1);
    CHECK_VALUES(tern_linspace(2, 3, 1, (tern_options){0}), 2);
    CHECK_SHAPE(tern_linspace(2, 3, 0, (tern_options){0}), 0);
    CHECK_VALUES(tern_linspace(0, 9, 4, (tern_options){.dtype = TERN_U8}), 0, 3, 6, 9);
    /* Both ends are exact, whatever the step's rounding. */
    static double v[1000];
    REQUIRE(tern_to_doubles(tern_linspace(0.1, 0.7, 1000, (tern_options){.dtype = TERN_F64}), v, 1000));
    CHECK(v[0] == 0.1 && v[999] == 0.7);
    for (int i = 0; i < 1000; i++) CHECK_NUMBER(v[i], 0.1 + 0.6 * i / 999, 1e-15);
    CHECK_VALUES(tern_logspace(0, 3, 4, 10, (tern_options){0}), 1, 10, 100, 1000);
    CHECK_VALUES(tern_logspace(-1, 1, 3, 2, (tern_options){.dtype = TERN_F16}), 0.5, 1, 2);
    EXPECT_ERROR(tern_linspace(0, 1, -1, (tern_options){0}), TERN_ERR_SHAPE, "linspace");
    EXPECT_ERROR(tern_linspace(0, (double)INFINITY, 3, (tern_options){0}), TERN_ERR_ARGUMENT, "linspace");
    EXPECT_ERROR(tern_logspace(0, (double)NAN, 3, 2, (tern_options){0}), TERN_ERR_ARGUMENT, "logspace");
    EXPECT_ERROR(tern_logspace(0, 1, -3, 2, (tern_options){0}), TERN_ERR_SHAPE, "logspace");
    EXPECT_ERROR(tern_logspace(0, 1, 3, -2, (tern_options){0}), TERN_ERR_ARGUMENT, "logspace");
}

TERN_TEST(create, matrices) {
    for (int i = 0; i < DTYPES; i++) {
        const tern_options o = {.dtype = all[i]};
        CHECK_VALUES(tern_eye(2, 3, o), 1, 0, 0, 0, 1, 0);
        CHECK_VALUES(tern_eye(3, 1, o), 1, 0, 0);
        CHECK(tern_dtype_of(tern_eye(1, 1, o)) == all[i]);
        CHECK_VALUES(tern_full_like(tern_eye(1, 3, o), 1), 1, 1, 1);
        CHECK(tern_dtype_of(tern_full_like(tern_eye(1, 3, o), 1)) == all[i]);
        const double v[] = {0, 1, 1, 0, 0, 1};
        tern_tensor *t = tern_from_doubles(v, TERN_SHAPE(3, 2), o);
        CHECK(tern_dtype_of(t) == all[i]);
        CHECK_SHAPE(t, 3, 2);
        CHECK_VALUES(t, 0, 1, 1, 0, 0, 1);
    }
    CHECK_SHAPE(tern_eye(0, 3, (tern_options){0}), 0, 3);
    EXPECT_ERROR(tern_eye(-1, 3, (tern_options){0}), TERN_ERR_SHAPE, "eye");
    EXPECT_ERROR(tern_from_doubles(NULL, TERN_SHAPE(3), (tern_options){0}), TERN_ERR_ARGUMENT, "from_doubles");
    EXPECT_ERROR(tern_from_doubles((double[]){1}, TERN_SHAPE(-1), (tern_options){0}), TERN_ERR_SHAPE, "from_doubles");
    CHECK_SHAPE(tern_from_doubles(NULL, TERN_SHAPE(0), (tern_options){0}), 0);
    EXPECT_ERROR(tern_full_like(tern_eye(1, 1, (tern_options){.dtype = TERN_U8}), 256), TERN_ERR_ARGUMENT, "full_like");
    EXPECT_ERROR(tern_full_like(NULL, 1), TERN_ERR_ARGUMENT, "full_like");
}

/* Against a scan of the matrix. */
TERN_TEST(create, triangles) {
    static const int64_t ks[] = {0, 1, -1, 3, -4, 100, INT64_MAX, INT64_MIN};
    for (int upper = 0; upper < 2; upper++)
        for (int64_t n = 0; n < 5; n++)
            for (int64_t m = 0; m < 5; m += 2)
                for (size_t k = 0; k < sizeof ks / sizeof *ks; k++) {
                    double want[2 * 25];
                    int64_t count = 0;
                    for (int pass = 0; pass < 2; pass++)
                        for (int64_t i = 0; i < n; i++)
                            for (int64_t j = 0; j < m; j++) {
                                const __int128 over = (__int128)j - i - ks[k];
                                if (upper ? over >= 0 : over <= 0) want[count++] = (double)(pass ? j : i);
                            }
                    tern_tensor *t =
                        upper ? tern_triu_indices(n, m, ks[k], tern_cpu()) : tern_tril_indices(n, m, ks[k], tern_cpu());
                    CHECK_SHAPE(t, 2, count / 2);
                    CHECK_CLOSE(t, want, count, ((tolerance){0, 0}));
                }
    EXPECT_ERROR(tern_tril_indices(-1, 2, 0, tern_cpu()), TERN_ERR_SHAPE, "tril_indices");
    EXPECT_ERROR(tern_triu_indices(INT64_MAX, 2, 0, tern_cpu()), TERN_ERR_SHAPE, "triu_indices");
}
