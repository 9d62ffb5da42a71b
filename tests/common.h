/* What every test file shares: tests that also fail on leaks, pending errors and tensors left alive; checks that count
 * instead of stopping; closeness with messages that say where; expected errors.
 *
 *     TERN_TEST(softmax, rows_sum_to_one) {
 *         tern_tensor *y = tern_softmax(tern_randn(TERN_SHAPE(3, 4), 0, 1, (tern_options){0}), -1);
 *         CHECK_ITEM(tern_sum(y, NULL, 0, false), 3.0, 1e-6);
 *         EXPECT_ERROR(tern_softmax(y, 5), TERN_ERR_SHAPE, "softmax");
 *     }
 *
 * A file tests/NAME.c that holds TERN_TEST becomes the program test-NAME; files without one are shared by all; files
 * tests/tsan_*.c are plain mains. Nothing here needs Criterion except TERN_TEST itself. */
#ifndef TERN_TESTS_COMMON_H
#define TERN_TESTS_COMMON_H

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tern/autograd.h"
#include "tern/memory.h"
#include "tern/ops.h"
#include "tern/random.h"
#include "tern/tensor.h"

#if defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#ifndef TEST_ASAN
#define TEST_ASAN 0
#endif

/* ---- tests ------------------------------------------------------------------------------------------------------ */

/* Installs the quiet error handler, seeds the program's stream with 1, notes what is alive. */
void check_begin(const char *suite, const char *name);
/* Pops every scope, then records a failure for each of: a pending error, tensor bytes still alive (on the CPU), a leak
 * that LeakSanitizer sees (in ASan builds). Returns the number of failures. */
int check_end(void);

#ifndef TERN_TEST_PLAIN
#include <criterion/criterion.h>
#define TERN_TEST(suite, name, ...)                                                     \
    static void body_##suite##_##name(void);                                            \
    Test(suite, name, ##__VA_ARGS__) {                                                  \
        check_begin(#suite, #name);                                                     \
        check_run(body_##suite##_##name);                                               \
        const int check_failures = check_end();                                         \
        cr_assert(check_failures == 0, "%d checks failed (see above)", check_failures); \
    }                                                                                   \
    static void body_##suite##_##name(void)
#endif
/* For tests that damage a block on purpose: what was damaged so far is no failure. */
void check_forgive_damage(void);
/* Calls body; not inlined, so that its stack is gone when leaks are looked for. */
void check_run(void (*body)(void));

/* ---- checks: a failure is printed (the first 20 of a test) and counted; the test goes on
 * ----------------------------- */

/* Records a failure. Returns false. */
bool check_fail(const char *file, int line, const char *format, ...) TERN_PRINTF(3, 4);
/* Where a loop is, shown with every failure and when the process crashes ("conv2d stride 2, f32, transposed"). "" for
 * none. */
void check_case(const char *format, ...) TERN_PRINTF(1, 2);
int check_failures(void);

#define FAIL(...) check_fail(__FILE__, __LINE__, __VA_ARGS__)
/* CHECK(cond) or CHECK(cond, "format", ...): gives the condition. */
#define CHECK(cond, ...) ((cond) ? true : check_failed(__FILE__, __LINE__, #cond, " " __VA_ARGS__))
bool check_failed(const char *file, int line, const char *what, const char *format, ...) TERN_PRINTF(4, 5);
/* Leaves the function (which returns void) if cond does not hold. */
#define REQUIRE(cond, ...)                     \
    do {                                       \
        if (!CHECK(cond, __VA_ARGS__)) return; \
    } while (0)
/* No error is pending; else shows and clears it. */
#define CHECK_OK() check_ok(__FILE__, __LINE__)
bool check_ok(const char *file, int line);

/* Evaluates expr (a tensor, a pointer or a bool) and checks that it is NULL or false, that the pending error has this
 * code and that its message holds text; then clears it. */
#define EXPECT_ERROR(expr, code, text) check_error(__FILE__, __LINE__, #expr, (expr) ? true : false, (code), (text))
bool check_error(const char *file, int line, const char *what, bool result, tern_code code, const char *text);
/* The same for a value that is left to the caller: EXPECT_PENDING(TERN_ERR_SHAPE, "matmul"). */
#define EXPECT_PENDING(code, text) check_error(__FILE__, __LINE__, "the call before", false, (code), (text))

/* ---- closeness: |got - want| <= atol + rtol |want|; NaN equals NaN
 * ------------------------------------------------------ */

typedef struct tolerance {
    double rtol, atol;
} tolerance;
/* The usual one of a dtype: f64 1e-7/1e-7, f32 1.3e-6/1e-5, f16 1e-3/1e-5, bf16 1.6e-2/1e-5 (rtol/atol), others exact.
 */
tolerance tolerance_of(tern_dtype dtype);

/* t's values against n doubles; the message names `what`, the index, both values, t's dtype and the current case. */
#define CHECK_CLOSE(t, want, n, tol) check_close(__FILE__, __LINE__, #t, (t), (want), (n), (tol))
bool check_close(const char *file, int line, const char *what, tern_tensor *t, const double *want, int64_t n,
                 tolerance tol);
/* Two tensors, in shape and values (a dtype may differ). */
#define CHECK_SAME(t, u, tol) check_same(__FILE__, __LINE__, #t, (t), (u), (tol))
bool check_same(const char *file, int line, const char *what, tern_tensor *t, tern_tensor *u, tolerance tol);
/* t has these values, in t's dtype's usual tolerance: CHECK_VALUES(y, 1, 2, 3). */
#define CHECK_VALUES(t, ...)                                          \
    check_close(__FILE__, __LINE__, #t, (t), (double[]){__VA_ARGS__}, \
                (int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)), tolerance_of(tern_dtype_of(t)))
#define CHECK_ITEM(t, want, tol) \
    check_close(__FILE__, __LINE__, #t, (t), (double[]){(want)}, 1, (tolerance){(tol), (tol)})
#define CHECK_NUMBER(got, want, tol) check_number(__FILE__, __LINE__, #got, (got), (want), (tol))
bool check_number(const char *file, int line, const char *what, double got, double want, double tol);
#define CHECK_SHAPE(t, ...) check_shape(__FILE__, __LINE__, #t, (t), TERN_SHAPE(__VA_ARGS__))
bool check_shape(const char *file, int line, const char *what, tern_tensor *t, tern_shape want);

/* ---- data ----------------------------------------------------------------------------------------------------------
 */

/* A number in [lo, hi) from a stream of the tests' own (SplitMix64), which check_begin starts anew. */
double test_uniform(double lo, double hi);
void test_seed(uint64_t seed);
/* Where the sweep's tensors live: TERN_TEST_DEVICE (cuda, say), or the CPU. */
tern_device test_device(void);
/* Bytes of tensors on the CPU and on the test's device. */
int64_t test_live(void);
/* A tensor of these doubles on the test's device, row-major, converted to dtype here (not by the library). */
tern_tensor *test_tensor(const double *v, tern_shape shape, tern_dtype dtype);
/* Uniform in [lo, hi). */
tern_tensor *test_random(tern_shape shape, double lo, double hi, tern_dtype dtype);
/* test_values(TERN_F32, TERN_SHAPE(2, 2), 1, 2, 3, 4) */
#define test_values(dtype, shape, ...) test_tensor((double[]){__VA_ARGS__}, (shape), (dtype))
/* v as dtype holds it; conversions are written independently of the library's. */
double round_to(double v, tern_dtype dtype);
void store_element(void *p, tern_dtype dtype, double v);
double load_element(const void *p, tern_dtype dtype);
int64_t shape_numel(tern_shape s);
/* The folder of real data, or NULL after saying that the test is skipped. */
const char *test_data_dir(void);
/* A path in a temporary folder of the test: ".../NAME". Static storage, overwritten by the fourth call from now. The
 * folder goes with all that is in it at the end of the test. */
const char *test_path(const char *name);
void test_remove_files(void);
/* What has no permission is to fail for root too: without powers the process is nobody's, with them root's again. Other
 * users stay who they are. */
void test_powers(bool on);

/* ---- gradcheck
 * ------------------------------------------------------------------------------------------------------- */

/* A function of n tensors, of one output. */
typedef tern_tensor *(*gradcheck_fn)(tern_tensor *const *x, int n, void *user);
/* Compares the gradients of sum(v * f(x)), for a random v, with central differences, for every x[i] that requires
 * gradients (contiguous f64 leaves): eps 1e-6, atol 1e-5, rtol 1e-3. Two random v. Failures name `what`. */
bool gradcheck(const char *what, gradcheck_fn f, tern_tensor *const *x, int n, void *user);
/* The same for f's gradients as functions of x and of v. */
bool gradgradcheck(const char *what, gradcheck_fn f, tern_tensor *const *x, int n, void *user);

#endif
