/* Matrix products of sizes about those at which kernels go from one tile, panel, block or path to the next, of every
 * layout. Elements are sixteenths below 1, so that sums are exact in f32, whatever their order: any difference is an
 * error. And the same bits whatever the number of threads. On TERN_TEST_DEVICE. */
#include "common.h"

static const tolerance exact = {0, 0};

/* How a matrix lies in memory. */
enum { PLAIN, TRANSPOSED, GAPS, TRANSPOSED_GAPS, SECONDS, LAYOUTS };

static tern_tensor *matrix(int64_t m, int64_t n, int seed, int layout, tern_options o) {
    if (layout == TRANSPOSED || layout == TRANSPOSED_GAPS)
        return tern_transpose(matrix(n, m, seed, layout == TRANSPOSED ? PLAIN : GAPS, o), 0, 1);
    const int64_t step = layout == SECONDS ? 2 : 1, gap = layout == GAPS ? 3 : 0, ld = step * n + gap;
    double *v = malloc((size_t)(m * ld + 1) * sizeof *v);
    if (!v) abort();
    for (int64_t i = 0; i < m * ld; i++) v[i] = (double)NAN; /* what is not of the matrix */
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            v[i * ld + j * step] = (double)((i * 7 + j * 13 + (i * j) % 11 + seed) % 31 - 15) / 16;
    tern_tensor *x = tern_from_doubles(v, TERN_SHAPE(m, ld), o);
    free(v);
    return layout == PLAIN ? x : tern_slice(x, 1, 0, step * n, step);
}

/* The product by its definition. bias [n] or NULL. */
static tern_tensor *defined(tern_tensor *a, tern_tensor *b, tern_tensor *bias, tern_options o) {
    const int64_t m = tern_size(a, 0), k = tern_size(a, 1), n = tern_size(b, 1);
    double *x = calloc((size_t)(m * k + k * n + m * n + n + 1), sizeof *x), *y = x + m * k, *z = y + k * n;
    if (!x) abort();
    tern_to_doubles(a, x, m * k);
    tern_to_doubles(b, y, k * n);
    if (bias) tern_to_doubles(bias, z + m * n, n);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = z[m * n + j];
            for (int64_t q = 0; q < k; q++) sum += x[i * k + q] * y[q * n + j];
            z[i * n + j] = sum;
        }
    tern_tensor *t = tern_from_doubles(z, TERN_SHAPE(m, n), o);
    free(x);
    return t;
}

static void product(int64_t m, int64_t n, int64_t k, int la, int lb, tern_dtype dtype) {
    const int scope = tern_scope_push();
    const tern_options o = {dtype, test_device()};
    check_case("%" PRId64 "x%" PRId64 " * %" PRId64 "x%" PRId64 ", layouts %d and %d, %s", m, k, k, n, la, lb,
               tern_dtype_name(dtype));
    tern_tensor *a = matrix(m, k, 3, la, o), *b = matrix(k, n, 8, lb, o);
    CHECK_SAME(tern_matmul(a, b), defined(a, b, NULL, o), exact);
    CHECK_OK();
    tern_scope_pop(scope);
}

TERN_TEST(matmul_sizes, layouts) {
    const int64_t sizes[][3] = {{1, 1, 1}, {1, 40, 70}, {3, 70, 90}, {40, 1, 70}, {20, 33, 17}, {37, 70, 90}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int la = 0; la < LAYOUTS; la++)
            for (int lb = 0; lb < LAYOUTS; lb++)
                for (int d = 0; d < 2; d++)
                    product(sizes[i][0], sizes[i][1], sizes[i][2], la, lb, d ? TERN_F64 : TERN_F32);
}

/* Every height of a tile, with widths about one, two and more vectors of every instruction set, and depths about a
 * vector and a block. */
TERN_TEST(matmul_sizes, edges) {
    const int64_t heights[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 25},
                  widths[] = {2, 3, 7, 8, 9, 15, 17, 31, 32, 33, 65, 131}, depths[] = {1, 2, 16, 31, 64, 193, 385};
    int count = 0;
    for (size_t i = 0; i < sizeof heights / sizeof *heights; i++)
        for (size_t j = 0; j < sizeof widths / sizeof *widths; j++)
            for (size_t q = 0; q < sizeof depths / sizeof *depths; q++, count++)
                for (int t = 0; t < 4; t++) { /* both dtypes take turns */
                    if (depths[q] > 100 && (count + t) % 3) continue;
                    product(heights[i], widths[j], depths[q], t & 1 ? TRANSPOSED : PLAIN, t & 2 ? TRANSPOSED : PLAIN,
                            (count + t) % 2 ? TERN_F64 : TERN_F32);
                }
}

/* Beyond a block of b, in depth and width. */
TERN_TEST(matmul_sizes, blocks) {
    for (int t = 0; t < 4; t++) {
        product(26, 700, 420, t & 1 ? TRANSPOSED : PLAIN, t & 2 ? TRANSPOSED : PLAIN, TERN_F32);
        product(26, 350, 200, t & 1 ? TRANSPOSED : PLAIN, t & 2 ? TRANSPOSED_GAPS : GAPS, TERN_F64);
        product(64, 40, 512, t & 1 ? TRANSPOSED : PLAIN, t & 2 ? TRANSPOSED : PLAIN, TERN_F32); /* rows 2 KB apart */
    }
    product(1, 900, 700, PLAIN, PLAIN, TERN_F32);
    product(900, 1, 700, PLAIN, PLAIN, TERN_F32);
}

TERN_TEST(matmul_sizes, nothing) {
    const int64_t sizes[][3] = {{0, 5, 4}, {5, 0, 4}, {5, 4, 0}, {1, 40, 0}, {0, 0, 0}, {40, 1, 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int t = 0; t < 4; t++)
            product(sizes[i][0], sizes[i][1], sizes[i][2], t & 1 ? TRANSPOSED : PLAIN, t & 2 ? TRANSPOSED : PLAIN,
                    TERN_F32);
}

/* Both operands in the same memory. */
TERN_TEST(matmul_sizes, of_itself) {
    const int64_t n[] = {1, 8, 33, 70};
    for (size_t i = 0; i < sizeof n / sizeof *n; i++) {
        const tern_options o = {TERN_F32, test_device()};
        tern_tensor *x = matrix(n[i], n[i] + 5, 1, PLAIN, o), *t = tern_transpose(x, 0, 1),
                    *s = tern_slice(x, 1, 0, n[i], 1);
        check_case("%" PRId64, n[i]);
        CHECK_SAME(tern_matmul(x, t), defined(x, t, NULL, o), exact);
        CHECK_SAME(tern_matmul(t, x), defined(t, x, NULL, o), exact);
        CHECK_SAME(tern_matmul(s, s), defined(s, s, NULL, o), exact);
    }
}

TERN_TEST(matmul_sizes, linear) {
    const int64_t sizes[][3] = {{1, 1, 1}, {1, 1, 70}, {40, 1, 70}, {1, 33, 70}, {8, 10, 64}, {20, 33, 400}, {5, 7, 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int layout = 0; layout < 4; layout++) {
            const tern_options o = {TERN_F32, test_device()};
            const int64_t m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
            check_case("%" PRId64 "x%" PRId64 " -> %" PRId64 ", layout %d", m, k, n, layout);
            tern_tensor *x = matrix(m, k, 2, layout, o), *w = matrix(n, k, 5, layout == GAPS ? GAPS : PLAIN, o);
            tern_tensor *b = tern_select(matrix(1, n, 9, layout & 1 ? SECONDS : PLAIN, o), 0, 0);
            tern_tensor *y = defined(x, tern_transpose(w, 0, 1), b, o);
            CHECK_SAME(tern_linear(x, w, b), y, exact);
            CHECK_SAME(tern_linear_relu(x, w, b), tern_relu(y), exact);
        }
}

static tern_tensor *products(int threads, const int64_t *s, int t, tern_options o) {
    tern_seed(4);
    tern_set_threads(threads);
    tern_tensor *a = tern_randn(t & 1 ? TERN_SHAPE(s[2], s[0]) : TERN_SHAPE(s[0], s[2]), 0, 1, o);
    tern_tensor *b = tern_randn(t & 2 ? TERN_SHAPE(s[1], s[2]) : TERN_SHAPE(s[2], s[1]), 0, 1, o);
    return tern_matmul(t & 1 ? tern_transpose(a, 0, 1) : a, t & 2 ? tern_transpose(b, 0, 1) : b);
}

TERN_TEST(matmul_sizes, threads_change_no_bit) {
    const int64_t sizes[][3] = {{64, 64, 64},  {1, 515, 300},  {515, 1, 300},
                                {8, 300, 200}, {130, 37, 400}, {37, 330, 400}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int t = 0; t < 4; t++) {
            const tern_options o = {TERN_F32, test_device()};
            check_case("%zu, %d", i, t);
            tern_tensor *one = products(1, sizes[i], t, o);
            for (int threads = 2; threads <= 5; threads++) CHECK_SAME(products(threads, sizes[i], t, o), one, exact);
        }
    tern_set_threads(0);
}

/* More shapes than a library's ways are kept for, each twice, so that some come back after they had to go. */
TERN_TEST(matmul_sizes, more_shapes_than_are_kept) {
    enum { MOST = 11 };
    for (int i = 0; i < 2 * MOST * MOST * MOST; i++)
        product(1 + i % MOST, 1 + i / MOST % MOST, 1 + i / (MOST * MOST) % MOST, PLAIN, PLAIN, TERN_F32);
}
