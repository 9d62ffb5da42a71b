/* Without LAPACK: a library of OpenBLAS's name that holds nothing is there first, so that Tern's own search finds it.
 * Matrix products go on, and what needs LAPACK says which op it was and what is missing. */
#include "common.h"

#include <dlfcn.h>
#include <unistd.h>

static tern_tensor *matrix(void) { return test_values(TERN_F64, TERN_SHAPE(2, 2), 4, 1, 1, 3); }

TERN_TEST(no_lapack, errors_name_the_op_and_the_library) {
    char empty[1024]; /* lies beside this program */
    const ssize_t n = readlink("/proc/self/exe", empty, sizeof empty - sizeof EMPTY_BLAS - 1);
    REQUIRE(n > 0);
    empty[n] = 0;
    strcpy(strrchr(empty, '/') + 1, EMPTY_BLAS);
    REQUIRE(dlopen(empty, RTLD_NOW | RTLD_LOCAL), "%s", dlerror());
    CHECK_VALUES(tern_matmul(matrix(), matrix()), 17, 7, 7, 10);
    CHECK_OK();
    tern_tensor *a = test_random(TERN_SHAPE(40, 40), -1, 1, TERN_F64), *more; /* small ones need no LAPACK */
    const tern_code code = TERN_ERR_UNSUPPORTED;
    static const char why[] = "needs LAPACK from libopenblas.so.0, and no spotrf_ is found there";
#define CHECK_MISSING(call, name)                                                      \
    do {                                                                               \
        CHECK((call) == NULL);                                                         \
        const char *text = tern_error_message();                                       \
        CHECK(strncmp(text, name ": ", sizeof name + 1) == 0, "the text is %s", text); \
        EXPECT_PENDING(code, why);                                                     \
    } while (0)
    CHECK_MISSING(tern_cholesky(a, false), "cholesky");
    CHECK_MISSING(tern_cholesky_solve(a, a, false), "cholesky_solve");
    CHECK_MISSING(tern_cholesky_inverse(a, false), "cholesky_inverse");
    CHECK_MISSING(tern_solve(a, a), "solve");
    CHECK_MISSING(tern_triangular_solve(a, a, (tern_triangular_solve_opts){0}), "triangular_solve");
    CHECK_MISSING(tern_inverse(a), "inverse");
    CHECK_MISSING(tern_matrix_power(a, -2), "matrix_power");
    CHECK_MISSING(tern_det(a), "det");
    CHECK_MISSING(tern_slogdet(a, &more), "slogdet");
    CHECK_MISSING(tern_qr(a, false, &more), "qr");
    CHECK_MISSING(tern_lstsq(a, a), "lstsq");
    CHECK_MISSING(tern_svd(a, false, &more, NULL), "svd");
    CHECK_MISSING(tern_svdvals(a), "svdvals");
    CHECK_MISSING(tern_pinv(a, 0), "pinv");
    CHECK_MISSING(tern_eigh(a, false, &more), "eigh");
    CHECK_MISSING(tern_eigvalsh(a, false), "eigvalsh");
    CHECK_MISSING(tern_matrix_exp(a), "matrix_exp");
}
