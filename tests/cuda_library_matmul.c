/* The descriptors that cuda/library_matmul.c makes for cuBLASLt, read back from the library itself: that needs no GPU.
 * Choosing an algorithm and running it do, and are not checked here. Skipped, with the reason, where there is no
 * cuBLASLt. */
#include "common.h"

#include <stdarg.h>

#include "library_matmul.c"

static char error[1000];
static bool fail(tern_code code, const char *file, int line, const char *format, ...) {
    va_list list;
    (void)code, (void)file, (void)line;
    va_start(list, format);
    vsnprintf(error, sizeof error, format, list);
    va_end(list);
    return false;
}
static const terni_host host = {.fail = fail};
const terni_host *terni_cuda_host = &host;

#define READ_FUNCTIONS(F) F(cublasLtMatmulDescGetAttribute) F(cublasLtMatrixLayoutGetAttribute)
static struct { READ_FUNCTIONS(TERNI_LIBRARY_FIELD) } reading;
static const char *const read_names[] = {READ_FUNCTIONS(TERNI_LIBRARY_NAME)};

static bool ready(void) {
    char why[1000];
    if (terni_cuda_library_functions(TERNI_LIBRARY_CUBLASLT, read_names, 2, &reading, why, sizeof why)) return usable();
    printf("skipped: %s\n", why);
    return false;
}

static int64_t attribute(description *s, cublasLtMatmulDescAttributes_t what, size_t size) {
    int64_t v = 0;
    size_t written = 0;
    CHECK(reading.cublasLtMatmulDescGetAttribute(s->product, what, &v, size, &written) == CUBLAS_STATUS_SUCCESS &&
              written == size,
          "attribute %d", (int)what);
    return v;
}
static int64_t of_layout(cublasLtMatrixLayout_t l, cublasLtMatrixLayoutAttribute_t what, size_t size) {
    int64_t v = 0;
    size_t written = 0;
    CHECK(reading.cublasLtMatrixLayoutGetAttribute(l, what, &v, size, &written) == CUBLAS_STATUS_SUCCESS &&
              written == size,
          "attribute %d", (int)what);
    return v;
}
static void check_layout(const char *name, cublasLtMatrixLayout_t l, const int64_t *want) {
    const int64_t got[] = {of_layout(l, CUBLASLT_MATRIX_LAYOUT_TYPE, 4),
                           of_layout(l, CUBLASLT_MATRIX_LAYOUT_ROWS, 8),
                           of_layout(l, CUBLASLT_MATRIX_LAYOUT_COLS, 8),
                           of_layout(l, CUBLASLT_MATRIX_LAYOUT_LD, 8),
                           of_layout(l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, 4),
                           of_layout(l, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, 8)};
    for (int i = 0; i < 6; i++)
        CHECK(got[i] == want[i], "%s: number %d is %lld, not %lld", name, i, (long long)got[i], (long long)want[i]);
    CHECK(of_layout(l, CUBLASLT_MATRIX_LAYOUT_ORDER, 4) == CUBLASLT_ORDER_COL);
}

static char memory[4096];
static const terni_matmul_data data = {memory, memory + 256, memory + 512, memory + 1024, memory + 2048};

TERN_TEST(cuda_library_matmul, batch_with_epilogue) {
    if (!ready()) return;
    const terni_matmul_plan p = {.m = 8,
                                 .n = 6,
                                 .k = 5,
                                 .lda = 9,
                                 .ldb = 7,
                                 .ldd = 8,
                                 .stride_a = 90,
                                 .stride_b = 70,
                                 .stride_d = 48,
                                 .batch = 3,
                                 .dtype = TERN_BF16,
                                 .tb = 1,
                                 .epilogue = TERNI_EPILOGUE_BIAS | TERNI_EPILOGUE_GELU | TERNI_EPILOGUE_AUX};
    description s;
    REQUIRE(describe(&s, &p, &data), "%s", error);
    check_layout("A", s.a, (const int64_t[]){CUDA_R_16BF, 8, 5, 9, 3, 90});
    check_layout("B", s.b, (const int64_t[]){CUDA_R_16BF, 6, 5, 7, 3, 70});
    check_layout("D", s.d, (const int64_t[]){CUDA_R_16BF, 8, 6, 8, 3, 48});
    CHECK(attribute(&s, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, 4) == CUBLAS_COMPUTE_32F);
    CHECK(attribute(&s, CUBLASLT_MATMUL_DESC_SCALE_TYPE, 4) == CUDA_R_32F);
    CHECK(attribute(&s, CUBLASLT_MATMUL_DESC_TRANSA, 4) == CUBLAS_OP_N);
    CHECK(attribute(&s, CUBLASLT_MATMUL_DESC_TRANSB, 4) == CUBLAS_OP_T);
    CHECK(attribute(&s, CUBLASLT_MATMUL_DESC_EPILOGUE, 4) == CUBLASLT_EPILOGUE_GELU_AUX_BIAS);
    CHECK(attribute(&s, CUBLASLT_MATMUL_DESC_BIAS_POINTER, 8) == (intptr_t)data.bias);
    CHECK(attribute(&s, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, 8) == (intptr_t)data.aux);
    CHECK(attribute(&s, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, 8) == 8);
    CHECK(attribute(&s, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, 8) == 48);
    drop(&s);
}

TERN_TEST(cuda_library_matmul, types) {
    if (!ready()) return;
    static const struct {
        int dtype, tf32, compute, scale, type;
    } want[] = {{TERN_F64, 0, CUBLAS_COMPUTE_64F, CUDA_R_64F, CUDA_R_64F},
                {TERN_F32, 0, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F},
                {TERN_F32, 1, CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F, CUDA_R_32F},
                {TERN_F16, 0, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16F}};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        const terni_matmul_plan p = {.m = 4,
                                     .n = 3,
                                     .k = 5,
                                     .lda = 5,
                                     .ldb = 5,
                                     .ldd = 4,
                                     .batch = 1,
                                     .ta = 1,
                                     .dtype = want[i].dtype,
                                     .tf32 = want[i].tf32};
        description s;
        check_case("number %d", (int)i);
        REQUIRE(describe(&s, &p, &data), "%s", error);
        CHECK(attribute(&s, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, 4) == want[i].compute);
        CHECK(attribute(&s, CUBLASLT_MATMUL_DESC_SCALE_TYPE, 4) == want[i].scale);
        CHECK(attribute(&s, CUBLASLT_MATMUL_DESC_EPILOGUE, 4) == CUBLASLT_EPILOGUE_DEFAULT);
        check_layout("A", s.a, (const int64_t[]){want[i].type, 5, 4, 5, 1, 0});
        check_layout("B", s.b, (const int64_t[]){want[i].type, 5, 3, 5, 1, 0});
        drop(&s);
    }
}

TERN_TEST(cuda_library_matmul, epilogues_and_preference) {
    if (!ready()) return;
    CHECK(epilogue_of(TERNI_EPILOGUE_BIAS) == CUBLASLT_EPILOGUE_BIAS);
    CHECK(epilogue_of(TERNI_EPILOGUE_RELU) == CUBLASLT_EPILOGUE_RELU);
    CHECK(epilogue_of(TERNI_EPILOGUE_RELU | TERNI_EPILOGUE_BIAS) == CUBLASLT_EPILOGUE_RELU_BIAS);
    CHECK(epilogue_of(TERNI_EPILOGUE_GELU | TERNI_EPILOGUE_BIAS) == CUBLASLT_EPILOGUE_GELU_BIAS);
    CHECK(epilogue_of(TERNI_EPILOGUE_GELU | TERNI_EPILOGUE_AUX) == CUBLASLT_EPILOGUE_GELU_AUX);
    const terni_matmul_plan p = {.align_a = 16, .align_b = 8, .align_d = 256};
    cublasLtMatmulPreference_t f = NULL;
    REQUIRE(LT(MatmulPreferenceCreate, &f), "%s", error);
    CHECK(prefer(f, &p, (uint64_t)32 << 20), "%s", error); /* the library checks the sizes of what it is given */
    lt.cublasLtMatmulPreferenceDestroy(f);
}
