#include "common.h"

#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

#if TEST_ASAN
#include <sanitizer/lsan_interface.h>
__attribute__((visibility("default"))) void __asan_on_error(void);
__attribute__((visibility("default"))) const char *__asan_default_options(void);
#endif

enum { SHOWN = 20 };

static int failures;
static char current_case[512], test_name[256];
static int64_t live_before, damaged_before;

/* ---- tests ------------------------------------------------------------------------------------------------------ */

static void show_case(void) {
    if (!current_case[0]) return;
    const char head[] = "crashed in case: ";
    ssize_t n = write(2, head, sizeof head - 1);
    n = write(2, current_case, strlen(current_case));
    n = write(2, "\n", 1);
    (void)n;
}

#if TEST_ASAN
void __asan_on_error(void) { show_case(); }
/* Leaks are looked for inside each test, where one can fail it; Criterion's own exit is not. */
const char *__asan_default_options(void) {
    return "detect_leaks=1:leak_check_at_exit=0:allocator_may_return_null=1:strict_string_checks=1";
}
#endif
static void on_signal(int sig) {
    const char *name = sig == SIGALRM ? "took too long, " : sig == SIGFPE ? "SIGFPE, " : "";
    if (write(2, name, strlen(name)) < 0) _exit(1);
    show_case();
    signal(sig, SIG_DFL);
    raise(sig);
}

static void catch_crashes(void) {
    const int list[] = {SIGALRM, SIGSEGV, SIGABRT, SIGFPE, SIGBUS, SIGILL};
    const size_t n = TEST_ASAN ? 1 : sizeof list / sizeof *list; /* the others are the sanitizer's */
    for (size_t i = 0; i < n; i++) signal(list[i], on_signal);
}

void check_begin(const char *suite, const char *name) {
    snprintf(test_name, sizeof test_name, "%s/%s", suite, name);
    failures = 0;
    current_case[0] = 0;
    catch_crashes();
    tern_on_error(NULL, NULL);
    (void)tern_memory_guard(); /* false in the second test of a plain main, where it is on already */
    damaged_before = tern_memory_damaged();
    tern_seed(1);
    test_seed(1);
    live_before = test_live();
}

void check_forgive_damage(void) { damaged_before = tern_memory_damaged(); }

__attribute__((noinline)) void check_run(void (*body)(void)) { body(); }

int check_end(void) {
    check_case("%s", "");
    check_ok(test_name, 0);
    tern_scope_pop(0);
    test_remove_files();
    const int64_t live = test_live();
    if (live != live_before)
        check_fail(test_name, 0, "%" PRId64 " bytes of tensors are alive at the end, %" PRId64 " at the start", live,
                   live_before);
    if (tern_memory_damaged() != damaged_before)
        check_fail(test_name, 0, "%" PRId64 " blocks of memory were written to beyond their ends",
                   tern_memory_damaged() - damaged_before);
#if TEST_ASAN
    if (__lsan_do_recoverable_leak_check()) check_fail(test_name, 0, "LeakSanitizer found leaks (above)");
#endif
    if (failures > SHOWN) fprintf(stderr, "%s: %d failures, %d shown\n", test_name, failures, SHOWN);
    return failures;
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

static bool show_failure(const char *file, int line, const char *what, const char *format, va_list args) {
    if (failures++ >= SHOWN) return false;
    char text[2048];
    vsnprintf(text, sizeof text, format, args);
    fprintf(stderr, "%s:%d: %s%s%s%s%s\n", file, line, current_case, current_case[0] ? ": " : "", what, text,
            line ? "" : " (end of test)");
    return false;
}

bool check_fail(const char *file, int line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    show_failure(file, line, "", format, args);
    va_end(args);
    return false;
}

bool check_failed(const char *file, int line, const char *what, const char *format, ...) {
    va_list args;
    va_start(args, format);
    show_failure(file, line, what, format, args);
    va_end(args);
    return false;
}

void check_case(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(current_case, sizeof current_case, format, args);
    va_end(args);
}

int check_failures(void) { return failures; }

bool check_ok(const char *file, int line) {
    if (tern_ok()) return true;
    check_fail(file, line, "unexpected %s: %s", tern_code_name(tern_error_code()), tern_error_message());
    tern_error_clear();
    return false;
}

bool check_error(const char *file, int line, const char *what, bool result, tern_code code, const char *text) {
    bool good = true;
    /* What a kernel on a device found comes with the next call that waits. */
    if (result && tern_ok() && test_device().type != TERN_CPU) result = tern_sync(test_device());
    if (result) good = check_fail(file, line, "%s succeeded; %s expected", what, tern_code_name(code));
    if (tern_ok()) {
        good = check_fail(file, line, "%s recorded no error; %s expected", what, tern_code_name(code));
    } else {
        if (tern_error_code() != code)
            good = check_fail(file, line, "%s gave %s (%s); %s expected", what, tern_code_name(tern_error_code()),
                              tern_error_message(), tern_code_name(code));
        if (!strstr(tern_error_message(), text))
            good = check_fail(file, line, "%s: message \"%s\" does not hold \"%s\"", what, tern_error_message(), text);
    }
    tern_error_clear();
    return good;
}

/* ---- closeness ------------------------------------------------------------------------------------------------------
 */

tolerance tolerance_of(tern_dtype dtype) {
    switch (dtype) {
        case TERN_F64:
            return (tolerance){1e-7, 1e-7};
        case TERN_F32:
            return (tolerance){1.3e-6, 1e-5};
        case TERN_F16:
            return (tolerance){1e-3, 1e-5};
        case TERN_BF16:
            return (tolerance){1.6e-2, 1e-5};
        default:
            return (tolerance){0, 0};
    }
}

static bool near(double got, double want, tolerance tol) {
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want);
    if (isinf(got) || isinf(want)) return isinf(got) && isinf(want) && (got > 0) == (want > 0);
    return fabs(got - want) <= tol.atol + tol.rtol * fabs(want);
}

bool check_close(const char *file, int line, const char *what, tern_tensor *t, const double *want, int64_t n,
                 tolerance tol) {
    if (!t) return check_fail(file, line, "%s is NULL: %s", what, tern_error_message());
    char shape[128];
    tern_shape_text(tern_shape_get(t), shape, sizeof shape);
    if (tern_numel(t) != n)
        return check_fail(file, line, "%s is %s, of %" PRId64 " elements; %" PRId64 " expected", what, shape,
                          tern_numel(t), n);
    double *got = malloc(sizeof(double) * (size_t)(n > 0 ? n : 1));
    bool good = got && tern_to_doubles(t, got, n);
    if (!good) check_fail(file, line, "%s cannot be read: %s", what, tern_error_message());
    for (int64_t i = 0; good && i < n; i++) {
        if (near(got[i], want[i], tol)) continue;
        int64_t wrong = 0;
        for (int64_t k = i; k < n; k++) wrong += !near(got[k], want[k], tol);
        good = check_fail(file, line,
                          "%s %s %s: element %" PRId64 " is %.17g; %.17g expected (off by %.3g, allowed %.3g); %" PRId64
                          " of %" PRId64 " elements differ",
                          what, shape, tern_dtype_name(tern_dtype_of(t)), i, got[i], want[i], fabs(got[i] - want[i]),
                          tol.atol + tol.rtol * fabs(want[i]), wrong, n);
    }
    free(got);
    return good;
}

bool check_same(const char *file, int line, const char *what, tern_tensor *t, tern_tensor *u, tolerance tol) {
    if (!t || !u) return check_fail(file, line, "%s: NULL: %s", what, tern_error_message());
    if (!check_shape(file, line, what, t, tern_shape_get(u))) return false;
    const int64_t n = tern_numel(u);
    double *want = malloc(sizeof(double) * (size_t)(n > 0 ? n : 1));
    bool good = want && tern_to_doubles(u, want, n);
    if (!good) check_fail(file, line, "%s: what it is compared with cannot be read: %s", what, tern_error_message());
    good = good && check_close(file, line, what, t, want, n, tol);
    free(want);
    return good;
}

bool check_number(const char *file, int line, const char *what, double got, double want, double tol) {
    if (near(got, want, (tolerance){tol, tol})) return true;
    return check_fail(file, line, "%s is %.17g; %.17g expected (tolerance %g)", what, got, want, tol);
}

bool check_shape(const char *file, int line, const char *what, tern_tensor *t, tern_shape want) {
    if (!t) return check_fail(file, line, "%s is NULL: %s", what, tern_error_message());
    if (tern_shape_equal(tern_shape_get(t), want)) return true;
    char a[128], b[128];
    return check_fail(file, line, "%s has shape %s; %s expected", what, tern_shape_text(tern_shape_get(t), a, sizeof a),
                      tern_shape_text(want, b, sizeof b));
}
