/* How the CUDA backend turns views into plans for the library of matrix products: without copies where a stride is 1,
 * the batch as few dimensions as can be; and for how long it keeps what the library chose for a plan. Whether the plans
 * give the right products, the sweep over the simulation tells.
 */
#include "common.h"

#include "matmul.h"

static bool tf32;
static bool allow_tf32(void) { return tf32; }
static const terni_host host = {.allow_tf32 = allow_tf32};
const terni_host *terni_cuda_host = &host;

static terni_view view(int ndim, const int64_t *shape, const int64_t *strides) {
    terni_view v = {.data = (void *)(uintptr_t)0x10000, .ndim = ndim, .dtype = TERN_F32};
    int64_t n = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        v.shape[i] = shape[i];
        v.strides[i] = strides ? strides[i] : n;
        n *= shape[i];
    }
    return v;
}
#define LIST(...)   ((const int64_t[]){__VA_ARGS__})
#define COUNT(list) (int)(sizeof(list) / sizeof(int64_t))
/* A view of this shape with these strides; without strides, contiguous. */
#define VIEW(shape, strides) view(COUNT(shape), shape, strides)

static terni_matmul_job job;
static bool plan(terni_view a, terni_view b) {
    terni_view y = a;
    y.shape[y.ndim - 1] = b.shape[b.ndim - 1];
    for (int i = 0; i < y.ndim - 2; i++) y.shape[i] = a.shape[i] > b.shape[i] ? a.shape[i] : b.shape[i];
    y = view(y.ndim, y.shape, NULL);
    const terni_view *const in[3] = {&a, &b, NULL}, *const out = &y;
    const terni_call c = {in, &out, 3, 1, NULL, 0};
    return terni_cuda_matmul_plan(&c, &job);
}
/* m, n, k, leading dimensions and transposes as the library has them; the batch. */
static void expect(const char *what, const int64_t *want) {
    const terni_matmul_plan *p = &job.plan;
    const int64_t got[] = {p->m,  p->n,     p->k,        p->lda,      p->ldb,      p->ta,
                           p->tb, p->batch, p->stride_a, p->stride_b, p->stride_d, job.calls};
    for (int i = 0; i < 12; i++)
        CHECK(got[i] == want[i], "%s: number %d is %lld, not %lld", what, i, (long long)got[i], (long long)want[i]);
}

TERN_TEST(cuda_matmul_plan, layouts) {
    CHECK(plan(VIEW(LIST(3, 4), NULL), VIEW(LIST(4, 5), NULL)));
    expect("as they are", LIST(5, 3, 4, 5, 4, 0, 0, 1, 0, 0, 0, 1));
    CHECK(plan(VIEW(LIST(3, 4), LIST(1, 3)), VIEW(LIST(4, 5), LIST(1, 4))));
    expect("transposed", LIST(5, 3, 4, 4, 3, 1, 1, 1, 0, 0, 0, 1));
    CHECK(plan(VIEW(LIST(3, 4), LIST(9, 1)), VIEW(LIST(4, 5), LIST(1, 7))));
    expect("parts of larger ones", LIST(5, 3, 4, 7, 9, 1, 0, 1, 0, 0, 0, 1));
    CHECK(plan(VIEW(LIST(1, 4), LIST(0, 3)), VIEW(LIST(4, 1), LIST(2, 0))));
    expect("a row and a column with gaps", LIST(1, 1, 4, 2, 3, 0, 1, 1, 0, 0, 0, 1));
    CHECK(!job.a.copied && !job.b.copied);
    CHECK(plan(VIEW(LIST(3, 4), LIST(8, 2)), VIEW(LIST(4, 5), LIST(0, 1))));
    expect("copies", LIST(5, 3, 4, 5, 4, 0, 0, 1, 0, 0, 0, 1));
    CHECK(job.a.copied && job.b.copied);
    CHECK(plan(VIEW(LIST(3, 4), LIST(1, 1)), VIEW(LIST(4, 5), NULL)) && job.a.copied && !job.b.copied);
}

TERN_TEST(cuda_matmul_plan, batches) {
    CHECK(plan(VIEW(LIST(2, 6, 3, 4), NULL), VIEW(LIST(2, 6, 4, 5), NULL)));
    expect("one batch", LIST(5, 3, 4, 5, 4, 0, 0, 12, 20, 12, 15, 1));
    CHECK(plan(VIEW(LIST(2, 6, 3, 4), NULL), VIEW(LIST(2, 6, 4, 5), LIST(0, 0, 5, 1))));
    expect("more rows", LIST(5, 36, 4, 5, 4, 0, 0, 1, 0, 0, 0, 1));
    CHECK(plan(VIEW(LIST(7, 1, 4), NULL), VIEW(LIST(7, 4, 5), LIST(0, 5, 1))));
    expect("rows", LIST(5, 7, 4, 5, 4, 0, 0, 1, 0, 0, 0, 1));
    CHECK(plan(VIEW(LIST(6, 3, 4), LIST(0, 4, 1)), VIEW(LIST(6, 4, 5), NULL)));
    expect("one a for all", LIST(5, 3, 4, 5, 4, 0, 0, 6, 20, 0, 15, 1));
    /* heads of attention: [B, T, H, D] as [B, H, T, D] */
    CHECK(plan(VIEW(LIST(2, 6, 3, 4), LIST(72, 4, 24, 1)), VIEW(LIST(2, 6, 4, 3), LIST(72, 4, 1, 24))));
    expect("heads", LIST(3, 3, 4, 24, 24, 1, 0, 6, 4, 4, 9, 2));
    CHECK(job.outer_ndim == 1 && job.outer[0] == 2 && job.outer_a[0] == 72 && job.outer_d[0] == 54);
    CHECK(plan(VIEW(LIST(2, 3, 4), LIST(0, 8, 2)), VIEW(LIST(2, 4, 5), NULL)) && job.a.copied);
    expect("one copy for all", LIST(5, 3, 4, 5, 4, 0, 0, 2, 20, 0, 15, 1));
}

TERN_TEST(cuda_matmul_plan, not_for_the_library) {
    CHECK(!plan(VIEW(LIST(3, 0), NULL), VIEW(LIST(0, 5), NULL)), "nothing to sum");
    CHECK(!plan(VIEW(LIST((int64_t)1 << 31, 1), NULL), VIEW(LIST(1, 1), NULL)), "rows beyond int32");
    CHECK(!plan(VIEW(LIST(1, (int64_t)1 << 31), NULL), VIEW(LIST((int64_t)1 << 31, 1), NULL)), "inner beyond int32");
    CHECK(!plan(VIEW(LIST(2, 1), LIST((int64_t)1 << 31, 1)), VIEW(LIST(1, 1), NULL)),
          "a leading dimension beyond int32");
    CHECK(plan(VIEW(LIST((int64_t)1 << 30, 1), NULL), VIEW(LIST(1, 1), NULL)), "below");
    CHECK(!plan(VIEW(LIST(64, 64, 2, 2), LIST(2, 256, 128, 1)), VIEW(LIST(64, 64, 2, 2), NULL)), "many small ones");
}

TERN_TEST(cuda_matmul_plan, alignment_and_tf32) {
    terni_view a = VIEW(LIST(4, 6, 8), NULL), b = VIEW(LIST(4, 8, 5), NULL);
    a.data = (void *)(uintptr_t)0x10010;
    CHECK(plan(a, b) && job.plan.align_b == 16 && job.plan.align_a == 32 && job.plan.align_d == 8 && !job.plan.tf32);
    tf32 = true;
    CHECK(plan(a, b) && job.plan.tf32);
    tf32 = false;
}

/* The setting that the plan reads is the program's. */
TERN_TEST(cuda_matmul_plan, setting) {
    CHECK(!tern_allow_tf32_get() && !tern_allow_tf32(true) && tern_allow_tf32_get());
    CHECK(tern_allow_tf32(false) && !tern_allow_tf32_get());
}

/* ---- the ways that are kept (matmul_library.c), with a library that marks each with its plan ------------------------
 */

static int chosen, run_wrongly, ran;

static bool usable(void) { return true; }
static bool choose(const terni_matmul_plan *p, const terni_matmul_data *data, size_t workspace, terni_matmul_way *way) {
    (void)data, (void)workspace;
    way->algorithm[0] = (uint64_t)p->m;
    way->algorithm[1] = (uint64_t)p->n;
    way->algorithm[2] = (uint64_t)p->k;
    way->possible = true;
    chosen++;
    return true;
}
static bool run(terni_cuda_device *d, const terni_matmul_plan *p, const terni_matmul_way *way,
                const terni_matmul_data *data, void *workspace) {
    (void)d, (void)data, (void)workspace;
    ran++;
    run_wrongly += way->algorithm[0] != (uint64_t)p->m || way->algorithm[1] != (uint64_t)p->n ||
                   way->algorithm[2] != (uint64_t)p->k || !way->possible;
    return true;
}
const terni_matmul_library terni_cuda_matmul_library = {usable, choose, run};

/* What these products have no use for. */
bool terni_cuda_own_kernels(void) { return false; }
void *terni_cuda_scratch(terni_cuda_device *d, size_t bytes) { return (void)d, (void)bytes, NULL; }
void terni_cuda_scratch_free(terni_cuda_device *d, void *p) { (void)d, (void)p; }
bool terni_cuda_copy(const terni_call *c) { return (void)c, false; }
bool terni_cuda_add(const terni_call *c) { return (void)c, false; }
bool terni_cuda_relu(const terni_call *c) { return (void)c, false; }
bool terni_cuda_gelu_tanh(const terni_call *c) { return (void)c, false; }

static void multiply(int64_t m, int64_t n, int64_t k) {
    const terni_view a = VIEW(LIST(m, k), NULL), b = VIEW(LIST(k, n), NULL), y = VIEW(LIST(m, n), NULL);
    const terni_view *const in[3] = {&a, &b, NULL}, *const out = &y;
    const terni_call c = {in, &out, 3, 1, NULL, 0};
    terni_cuda_device d;
    memset(&d, 0, sizeof d);
    CHECK(terni_cuda_matmul_by_library(&d, &c) == TERNI_MATMUL_DONE);
}

TERN_TEST(cuda_matmul_plan, ways_are_kept_and_made_again) {
    enum { KEPT = 1024, SHAPES = 3000 };
    for (int i = 0; i < SHAPES; i++) {
        multiply(2 + i % 50, 3 + i / 50, 5);
        multiply(2 + i % 50, 3 + i / 50, 5);
        multiply(1, 1, 1); /* in use all the time */
    }
    CHECK(chosen == SHAPES + 1, "%d ways were chosen for %d shapes", chosen, SHAPES + 1);
    for (int i = SHAPES - 1; i >= SHAPES - 8; i--) multiply(2 + i % 50, 3 + i / 50, 5);
    CHECK(chosen == SHAPES + 1, "the newest were chosen again");
    const int before = chosen;
    for (int i = 0; i < SHAPES; i++) multiply(2 + i % 50, 3 + i / 50, 5);
    CHECK(chosen - before >= SHAPES - KEPT, "%d of %d were chosen again", chosen - before, SHAPES);
    CHECK(run_wrongly == 0 && ran == 4 * SHAPES + 8, "%d of %d runs had another plan's way", run_wrongly, ran);
}
