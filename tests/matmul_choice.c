/* TERN_CPU_GEMM, which the CPU backend reads when it is loaded: each of these is a process of its own. */
#include "common.h"

static tern_tensor *ones(int64_t m, int64_t n) {
    return tern_ones(TERN_SHAPE(m, n), (tern_options){.device = tern_cpu()});
}

TERN_TEST(matmul_choice, neither_is_an_error) {
    setenv("TERN_CPU_GEMM", "mkl", 1);
    CHECK(!tern_device_available(tern_cpu()));
    EXPECT_ERROR(tern_matmul(ones(40, 40), ones(40, 40)), TERN_ERR_DEVICE,
                 "TERN_CPU_GEMM is \"mkl\"; expected own or openblas");
}

static void says(const char *choice, const char *text) {
    if (choice) setenv("TERN_CPU_GEMM", choice, 1);
    CHECK_CLOSE(tern_sum(tern_matmul(ones(40, 30), ones(30, 50)), NULL, 0, false), (double[]){60000}, 1,
                (tolerance){0});
    CHECK_OK();
    char info[4000];
    CHECK(strstr(tern_info(info, sizeof info), text), "%s", info);
}
TERN_TEST(matmul_choice, openblas) { says("openblas", "matrix products: large ones by OpenBLAS"); }
TERN_TEST(matmul_choice, own) { says("own", "matrix products: Tern's own"); }
TERN_TEST(matmul_choice, default_is_own) {
    unsetenv("TERN_CPU_GEMM");
    says(NULL, "matrix products: Tern's own");
}
