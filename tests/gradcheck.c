/* Gradients against central differences of sum(v * f(x)) for random v, in f64. */
#include "common.h"

enum { MAX_INPUTS = 12 };
static const double eps = 1e-6, absolute = 1e-5, relative = 1e-3;

/* sum(v * f(x)) without keeping anything; v has f's element count. NaN after an error. */
static double weighted(gradcheck_fn f, tern_tensor *const *x, int n, void *user, const double *v, int64_t count) {
    const int scope = tern_scope_push();
    tern_tensor *y = f(x, n, user);
    double sum = (double)NAN, *values = malloc(sizeof(double) * (size_t)(count + 1));
    if (values && y && tern_numel(y) == count && tern_to_doubles(y, values, count)) {
        sum = 0;
        for (int64_t i = 0; i < count; i++) sum += v[i] * values[i];
    }
    free(values);
    tern_scope_pop(scope);
    return sum;
}

/* Compares the analytic gradient g of x[i] (NULL: zero) with differences. */
static bool compare(const char *what, gradcheck_fn f, tern_tensor *const *x, int n, int i, void *user, tern_tensor *g,
                    const double *v, int64_t count) {
    const int64_t numel = tern_numel(x[i]);
    double *analytic = calloc((size_t)numel + 1, sizeof(double)), *data = tern_data(x[i]);
    bool good = analytic != NULL;
    if (g && !tern_shape_equal(tern_shape_get(g), tern_shape_get(x[i])))
        good = FAIL("%s: the gradient of input %d is not of the input's shape", what, i);
    if (good && g && !tern_to_doubles(g, analytic, numel)) good = false;
    for (int64_t k = 0; good && k < numel; k++) {
        const double was = data[k];
        data[k] = was + eps;
        tern_touch(x[i]);
        const double up = weighted(f, x, n, user, v, count);
        data[k] = was - eps;
        tern_touch(x[i]);
        const double down = weighted(f, x, n, user, v, count);
        data[k] = was;
        tern_touch(x[i]);
        const double numeric = (up - down) / (2 * eps);
        if (!(fabs(analytic[k] - numeric) <= absolute + relative * fabs(numeric)))
            good = FAIL("%s: gradient of input %d at element %" PRId64 " (value %.6g) is %.10g; by differences %.10g",
                        what, i, k, was, analytic[k], numeric);
    }
    free(analytic);
    return good;
}

static bool check_once(const char *what, gradcheck_fn f, tern_tensor *const *x, int n, void *user) {
    tern_tensor *leaf[MAX_INPUTS], *grad[MAX_INPUTS] = {0};
    int index[MAX_INPUTS], m = 0;
    for (int i = 0; i < n; i++)
        if (x[i] && tern_requires_grad(x[i])) {
            index[m] = i;
            leaf[m++] = x[i];
        }
    tern_tensor *y = f(x, n, user);
    if (!y) {
        FAIL("%s: failed: %s", what, tern_error_message());
        tern_error_clear();
        return false;
    }
    const int64_t count = tern_numel(y);
    double *v = malloc(sizeof(double) * (size_t)(count + 1));
    if (!v) return FAIL("no memory");
    for (int64_t i = 0; i < count; i++) v[i] = test_uniform(-1, 1);
    tern_tensor *seed = test_tensor(v, tern_shape_get(y), TERN_F64);
    bool good = true;
    if (tern_dtype_of(y) != TERN_F64) good = FAIL("%s: gives %s, not f64", what, tern_dtype_name(tern_dtype_of(y)));
    if (tern_requires_grad(y) && !tern_grad(y, leaf, m, seed, (tern_backward_opts){.allow_unused = true}, grad))
        good = FAIL("%s: backward failed: %s", what, tern_error_message());
    for (int i = 0; i < m && good; i++) good = compare(what, f, x, n, index[i], user, grad[i], v, count);
    free(v);
    if (!tern_ok()) {
        good = FAIL("%s: %s", what, tern_error_message());
        tern_error_clear();
    }
    return good;
}

bool gradcheck(const char *what, gradcheck_fn f, tern_tensor *const *x, int n, void *user) {
    bool good = true;
    for (int i = 0; i < 2 && good; i++) {
        const int scope = tern_scope_push();
        good = check_once(what, f, x, n, user);
        tern_scope_pop(scope);
    }
    return good;
}

/* ---- second order
 * ------------------------------------------------------------------------------------------------------ */

typedef struct second {
    gradcheck_fn f;
    void *user;
    int n;
    tern_tensor *w[MAX_INPUTS]; /* like the inputs; NULL where none is asked for */
} second;

/* sum over i of sum(w[i] * d sum(v * f(x)) / d x[i]); x[n] is v. */
static tern_tensor *second_fn(tern_tensor *const *x, int n, void *user) {
    const second *s = user;
    tern_tensor *leaf[MAX_INPUTS], *grad[MAX_INPUTS] = {0}, *w[MAX_INPUTS], *total = NULL;
    int m = 0;
    for (int i = 0; i < s->n; i++)
        if (s->w[i]) {
            w[m] = s->w[i];
            leaf[m++] = x[i];
        }
    tern_tensor *y = s->f(x, s->n, s->user);
    if (!y || !tern_grad(y, leaf, m, x[n - 1], (tern_backward_opts){.create_graph = true, .allow_unused = true}, grad))
        return NULL;
    for (int i = 0; i < m; i++) {
        if (!grad[i]) continue;
        tern_tensor *t = tern_sum(tern_mul(grad[i], w[i]), NULL, 0, false);
        total = total ? tern_add(total, t) : t;
    }
    return total ? total : tern_scalar(0, (tern_options){.dtype = TERN_F64});
}

bool gradgradcheck(const char *what, gradcheck_fn f, tern_tensor *const *x, int n, void *user) {
    const int scope = tern_scope_push();
    second s = {.f = f, .user = user, .n = n};
    tern_tensor *all[MAX_INPUTS + 1];
    for (int i = 0; i < n; i++) {
        all[i] = x[i];
        if (x[i] && tern_requires_grad(x[i])) s.w[i] = test_random(tern_shape_get(x[i]), -1, 1, TERN_F64);
    }
    const bool was = tern_grad_mode(false);
    tern_tensor *y = f(x, n, user);
    tern_grad_mode(was);
    bool good = true;
    if (!y) good = FAIL("%s: failed: %s", what, tern_error_message());
    char text[320];
    snprintf(text, sizeof text, "%s (second order, last input is the output's gradient)", what);
    if (good) {
        all[n] = tern_require_grad(test_random(tern_shape_get(y), -1, 1, TERN_F64), true);
        good = check_once(text, second_fn, all, n + 1, &s);
    }
    tern_error_clear();
    tern_scope_pop(scope);
    return good;
}
