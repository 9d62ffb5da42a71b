/* Softmax, norms and cross entropy over rows of many lengths, in f32 and bf16, against f64 on the CPU: kernels spread
 * rows over vectors, threads and blocks by their length and by where they lie, which the sweep's small cases do not
 * reach. */
#include "common.h"

typedef tern_tensor *(*op)(tern_tensor *const *x);

static tern_tensor *softmax(tern_tensor *const *x) { return tern_softmax(x[0], -1); }
static tern_tensor *log_softmax(tern_tensor *const *x) { return tern_log_softmax(x[0], -1); }
static tern_tensor *layer_norm(tern_tensor *const *x) { return tern_layer_norm(x[0], 1, x[1], x[2], 0); }
static tern_tensor *rms_norm(tern_tensor *const *x) { return tern_rms_norm(x[0], 1, x[1], 0); }
static tern_tensor *cross_entropy(tern_tensor *const *x) {
    return tern_cross_entropy(x[0], x[3], (tern_cross_entropy_opts){.label_smoothing = 0.1});
}

static const struct {
    const char *name;
    op f;
    int inputs; /* of x, weight, bias that take part */
} ops[] = {{"softmax", softmax, 1},
           {"log_softmax", log_softmax, 1},
           {"layer_norm", layer_norm, 3},
           {"rms_norm", rms_norm, 2},
           {"cross_entropy", cross_entropy, 1}};

/* x[0 .. n) as leaves of dtype on the device; target as it is. */
static void leaves(tern_tensor *const *from, int n, tern_dtype dtype, tern_device device, tern_tensor **to) {
    for (int i = 0; i < n; i++)
        to[i] = tern_require_grad(tern_to(tern_cast(tern_detach(from[i]), dtype), device), true);
    to[3] = tern_to(from[3], device);
}

static void compare(int which, tern_tensor *const *from, tern_tensor *v, tern_dtype dtype) {
    const int n = ops[which].inputs;
    tern_tensor *x[4] = {0}, *wide[4] = {0}, *g[3], *want[3];
    leaves(from, n, dtype, test_device(), x);
    leaves(from, n, TERN_F64, tern_cpu(), wide);
    const tolerance tol = dtype == TERN_BF16 ? (tolerance){2e-2, 2e-2} : (tolerance){2e-5, 2e-5};
    tern_tensor *y = ops[which].f(x), *ref = ops[which].f(wide);
    CHECK_SAME(tern_to(y, tern_cpu()), ref, tol);
    tern_tensor *seed = y && tern_ndim(y) ? tern_to(tern_cast(v, dtype), test_device()) : NULL;
    tern_tensor *seed64 = seed ? tern_cast(tern_to(seed, tern_cpu()), TERN_F64) : NULL;
    CHECK(tern_grad(y, x, n, seed, (tern_backward_opts){0}, g) &&
          tern_grad(ref, wide, n, seed64, (tern_backward_opts){0}, want));
    for (int i = 0; i < n && tern_ok(); i++) CHECK_SAME(tern_to(g[i], tern_cpu()), want[i], tol);
    CHECK_OK();
}

static void lengths(tern_dtype dtype, int64_t from, int64_t to) {
    static const int64_t each[] = {1, 2, 7, 31, 32, 33, 127, 128, 129, 500, 513, 1000, 1024, 2051, 4096, 9001, 40000};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        const int64_t C = each[i], R = C > 2000 ? 2 : 5;
        if (C < from || C >= to) continue;
        for (int which = 0; which < (int)(sizeof ops / sizeof *ops); which++) {
            if (C == 1 && which == 2) continue; /* all differences are 0 */
            check_case("%s, rows of %d, %s", ops[which].name, (int)C, tern_dtype_name(dtype));
            const int s = tern_scope_push();
            tern_tensor *const in[4] = {
                tern_rand(TERN_SHAPE(R, C), -3, 3, (tern_options){dtype, tern_cpu()}),
                tern_rand(TERN_SHAPE(C), 0.5, 2, (tern_options){dtype, tern_cpu()}),
                tern_rand(TERN_SHAPE(C), -1, 1, (tern_options){dtype, tern_cpu()}),
                tern_randint(TERN_SHAPE(R), 0, C, (tern_options){TERN_I64, tern_cpu()}),
            };
            compare(which, in, tern_rand(TERN_SHAPE(R, C), -1, 1, (tern_options){dtype, tern_cpu()}), dtype);
            tern_scope_pop(s);
        }
    }
}

TERN_TEST(rows, f32) { lengths(TERN_F32, 0, 3000); }
TERN_TEST(rows, f32_long) { lengths(TERN_F32, 3000, 100000); }
TERN_TEST(rows, bf16) { lengths(TERN_BF16, 0, 3000); }
TERN_TEST(rows, bf16_long) { lengths(TERN_BF16, 3000, 100000); }

/* Eight halves become 32 bytes, which need not begin at a multiple of 32. */
TERN_TEST(rows, halves_widen_in_place) {
    static const tern_dtype halves[] = {TERN_F16, TERN_BF16};
    const tolerance exact = {0, 0};
    for (int i = 0; i < 2; i++) {
        tern_tensor *x = tern_cast(tern_rand(TERN_SHAPE(32), -3, 3, (tern_options){TERN_F32, tern_cpu()}), halves[i]);
        tern_tensor *all = tern_zeros(TERN_SHAPE(40), (tern_options){TERN_F32, test_device()});
        tern_tensor *middle = tern_narrow(all, 0, 4, 32);
        CHECK(tern_copy_(middle, tern_to(x, test_device())) != NULL);
        CHECK_SAME(tern_to(middle, tern_cpu()), tern_cast(x, TERN_F32), exact);
    }
    CHECK_OK();
}
