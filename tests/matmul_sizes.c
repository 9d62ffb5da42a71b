/* Matrix products of sizes about those at which kernels go from one tile, panel, block or path to the next, of every
 * layout. Elements are sixteenths below 1, so that sums are exact in f32, whatever their order: any difference is an
 * error. And the same bits whatever the number of threads. On TERN_TEST_DEVICE. */
#include <sys/mman.h>
#include <unistd.h>

#include "common.h"

static const tolerance exact = {0, 0}, near = {1e-5, 1e-5};

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
    const int64_t sizes[][3] = {{0, 5, 4}, {5, 0, 4}, {5, 4, 0}, {1, 40, 0}, {0, 0, 0}, {40, 1, 0}, {40, 30, 0}};
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

/* Nobody may read what lies behind a matrix: a page that cannot be read follows each of them. */
static tern_tensor *fenced(int64_t m, int64_t n, int seed, char **pages) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = (size_t)(m * n) * sizeof(float);
    *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (*pages == MAP_FAILED || bytes > page || mprotect(*pages + page, page, PROT_NONE)) abort();
    float *v = (float *)(void *)(*pages + page - bytes);
    for (int64_t i = 0; i < m * n; i++) v[i] = (float)((i * 7 + seed) % 31 - 15) / 16;
    return tern_wrap(v, TERN_SHAPE(m, n), TERN_F32, NULL, NULL);
}

TERN_TEST(matmul_sizes, nothing_behind_is_read) {
    const int64_t heights[] = {1, 4, 12, 20}, widths[] = {1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 33},
                  depths[] = {1, 5, 19};
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < 4 * 13 * 3 * 4; i++) {
        const int64_t m = heights[i % 4], n = widths[i / 4 % 13], k = depths[i / 52 % 3];
        const bool ta = i / 156 % 2, tb = i / 312;
        check_case("%" PRId64 "x%" PRId64 " * %" PRId64 "x%" PRId64 ", %d, %d", m, k, k, n, ta, tb);
        char *pages[2];
        const int scope = tern_scope_push();
        tern_tensor *a = ta ? fenced(k, m, 3, &pages[0]) : fenced(m, k, 3, &pages[0]);
        tern_tensor *b = tb ? fenced(n, k, 8, &pages[1]) : fenced(k, n, 8, &pages[1]);
        if (ta) a = tern_transpose(a, 0, 1);
        if (tb) b = tern_transpose(b, 0, 1);
        CHECK_SAME(tern_matmul(a, b), defined(a, b, NULL, (tern_options){0}), exact);
        tern_scope_pop(scope);
        for (int p = 0; p < 2; p++) munmap(pages[p], 2 * page);
    }
}

static tern_tensor *call(int which, tern_tensor *x, tern_tensor *w) {
    tern_tensor *b = tern_select(w, 0, 0);
    switch (which) {
        case 0:
            return tern_matmul(x, w);
        case 1:
            return tern_linear(x, w, b);
        case 2:
            return tern_linear_relu(x, w, b);
        default:
            return tern_linear_gelu_tanh(x, w, b);
    }
}

/* Where nothing is recorded a product is the kernel and its result: the same values as with a tape, and but one block
 * of bookkeeping, the result's head. */
TERN_TEST(matmul_sizes, unrecorded) {
    const tern_options o = {TERN_F32, test_device()};
    tern_tensor *x = matrix(20, 20, 3, PLAIN, o), *w = matrix(20, 20, 8, PLAIN, o);
    for (int which = 0; which < 4; which++) {
        check_case("%d", which);
        tern_require_grad(w, true);
        tern_tensor *recorded = call(which, x, w);
        CHECK(tern_requires_grad(recorded));
        const bool was = tern_grad_mode(false);
        CHECK(!tern_requires_grad(call(which, x, w)));
        tern_grad_mode(was);
        tern_require_grad(w, false);
        tern_select(w, 0, 0);
        const int64_t before = tern_memory_host().allocations;
        tern_select(w, 0, 0);
        const int64_t bias = tern_memory_host().allocations - before;
        tern_tensor *y = call(which, x, w);
        const int64_t made = tern_memory_host().allocations - before - 2 * bias;
        if (test_device().type == TERN_CPU) CHECK(made == 1, "%" PRId64 " blocks", made);
        CHECK(!tern_requires_grad(y) && tern_is_leaf(y));
        CHECK_SAME(y, recorded, test_device().type == TERN_CPU ? exact : near);
    }
    CHECK_OK();
}

/* Without memory for the result, or for what is packed, nothing stays behind. On the CPU. */
TERN_TEST(matmul_sizes, unrecorded_without_memory) {
    const tern_options o = {TERN_F32, tern_cpu()};
    tern_tensor *x = matrix(210, 210, 3, PLAIN, o), *w = matrix(210, 210, 8, PLAIN, o);
    tern_on_error(NULL, NULL);
    CHECK(tern_matmul(x, w)); /* what is made but once is made */
    int failed = 0;
    for (int64_t at = 1; at < 20; at++) {
        const int64_t live = tern_memory_device(tern_cpu()).live;
        tern_memory_fail_at(at);
        const bool done = tern_matmul(x, w) != NULL;
        tern_memory_fail_at(0);
        if (done) break;
        failed++;
        CHECK(tern_error_code() == TERN_ERR_MEMORY, "%s", tern_error_message());
        tern_error_clear();
        CHECK(tern_memory_device(tern_cpu()).live == live, "at %" PRId64, at);
    }
    CHECK(failed >= 2 && failed < 19, "%d", failed);
}

static tern_tensor *products(int threads, const int64_t *s, int t, tern_options o) {
    tern_seed(4);
    tern_set_threads(threads);
    tern_tensor *a = tern_randn(t & 1 ? TERN_SHAPE(s[2], s[0]) : TERN_SHAPE(s[0], s[2]), 0, 1, o);
    tern_tensor *b = tern_randn(t & 2 ? TERN_SHAPE(s[1], s[2]) : TERN_SHAPE(s[2], s[1]), 0, 1, o);
    return tern_matmul(t & 1 ? tern_transpose(a, 0, 1) : a, t & 2 ? tern_transpose(b, 0, 1) : b);
}

TERN_TEST(matmul_sizes, threads_change_no_bit) {
    const int64_t sizes[][3] = {{64, 64, 64},   {1, 515, 300}, {515, 1, 300}, {8, 300, 200},  {130, 37, 400},
                                {37, 330, 400}, {64, 784, 64}, {64, 64, 784}, {100, 70, 300}, {160, 790, 8}};
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
