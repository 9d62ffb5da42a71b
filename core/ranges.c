/* Tensors of numbers by rule: ranges, the identity, indices of triangles. */
#include <math.h>

#include "internal.h"

/* n numbers by the arange kernel. */
static tern_tensor *ramp(const char *op, int64_t n, const terni_arange_opts *a, tern_options o) {
    const tern_shape s = TERN_SHAPE(n);
    if (!tern_ok() || !terni_shape_check(op, &s, o.dtype) || !terni_backend_of(o.device)) return NULL;
    tern_tensor *t = terni_new(s, o.dtype, o.device);
    return t && terni_run(TERNI_OP_arange, NULL, 0, &t, 1, a) ? t : NULL;
}

static tern_tensor *range(const char *op, double start, double end, double step, tern_options o) {
    if (!tern_ok()) return NULL;
    const double steps = (end - start) / step, n = ceil(steps);
    if (step == 0.0 || !isfinite(step) || !(steps >= 0 && n < 0x1p52))
        return terni_null(TERN_ERR_ARGUMENT, "%s: %g to %g by %g is no range of numbers", op, start, end, step);
    const terni_arange_opts a = {start, step, end, (int64_t)n};
    return ramp(op, (int64_t)n, &a, o);
}

tern_tensor *tern_arange(double start, double end, tern_options o) {
    TERNI_NAMED("arange");
    return range("arange", start, end, 1, o);
}
tern_tensor *tern_arange_step(double start, double end, double step, tern_options o) {
    TERNI_NAMED("arange_step");
    return range("arange_step", start, end, step, o);
}

static bool finite_ends(const char *op, double start, double end) {
    if (isfinite(end - start)) return true;
    return terni_fail(TERN_ERR_ARGUMENT, "%s: %g to %g; expected finite numbers", op, start, end);
}

static tern_tensor *spaced(const char *op, double start, double end, int64_t n, tern_options o) {
    const terni_arange_opts a = {start, n > 1 ? (end - start) / (double)(n - 1) : 0, n > 1 ? end : start, n / 2};
    return ramp(op, n, &a, o);
}

tern_tensor *tern_linspace(double start, double end, int64_t n, tern_options o) {
    TERNI_NAMED("linspace");
    return tern_ok() && finite_ends("linspace", start, end) ? spaced("linspace", start, end, n, o) : NULL;
}

tern_tensor *tern_logspace(double start, double end, int64_t n, double base, tern_options o) {
    TERNI_NAMED("logspace");
    if (!tern_ok() || !finite_ends("logspace", start, end)) return NULL;
    if (!(base > 0) || !isfinite(base))
        return terni_null(TERN_ERR_ARGUMENT, "logspace: base %g; expected a finite number above 0", base);
    tern_tensor *x = spaced("logspace", start, end, n, (tern_options){TERN_F64, o.device});
    return x ? tern_cast(tern_pow(tern_scalar(base, (tern_options){.dtype = TERN_F64}), x), o.dtype) : NULL;
}

tern_tensor *tern_eye(int64_t n, int64_t m, tern_options o) {
    TERNI_NAMED("eye");
    const tern_shape s = TERN_SHAPE(n, m);
    if (!tern_ok() || !terni_shape_check("eye", &s, o.dtype)) return NULL;
    tern_tensor *t = tern_zeros(s, o), *d = t ? tern_diagonal(t, 0, 0, 1) : NULL;
    return d && tern_fill_(d, 1) ? t : NULL;
}

/* Columns [from, to) of row i in the triangle. */
static void columns(int64_t i, int64_t m, int64_t k, bool upper, int64_t *from, int64_t *to) {
    int64_t edge = k > m ? m : k < -i - 1 ? -1 : i + k; /* the last of the lower triangle, the first of the upper */
    edge = upper ? edge : edge + 1;
    if (edge < 0) edge = 0;
    if (edge > m) edge = m;
    *from = upper ? edge : 0;
    *to = upper ? m : edge;
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi) { return v < lo ? lo : v > hi ? hi : v; }

/* How many elements of an [n, m] matrix lie on or below diagonal k, which is in [-n - 1, m]; n m fits. */
static int64_t lower_count(int64_t n, int64_t m, int64_t k) {
    const int64_t first = clamp(-k, 0, n), full = clamp(m - k - 1, first, n); /* rows that have some, and all m */
    const int64_t rows = full - first, a = first + k + 1, b = full + k;       /* the growing ones: a, a + 1, ... b */
    return (rows > 0 ? (rows % 2 ? rows * ((a + b) / 2) : rows / 2 * (a + b)) : 0) + (n - full) * m;
}

static tern_tensor *triangle(const char *op, int64_t n, int64_t m, int64_t k, bool upper, tern_device device) {
    const tern_shape whole = TERN_SHAPE(n, m);
    int64_t from, to, at = 0;
    if (!tern_ok() || !terni_shape_check(op, &whole, TERN_I64)) return NULL;
    k = clamp(k, -n, m);
    const int64_t count = n == 0 || m == 0 ? 0 : upper ? n * m - lower_count(n, m, k - 1) : lower_count(n, m, k);
    const int64_t first = upper || !count ? 0 : clamp(-k, 0, n), last = !count ? 0 : upper ? clamp(m - k, 0, n) : n;
    const tern_shape s = TERN_SHAPE(2, count);
    if (!terni_shape_check(op, &s, TERN_I64)) return NULL;
    int64_t *v = terni_malloc((size_t)count * 2 * sizeof *v + 1);
    for (int64_t i = first; v && i < last; i++) {
        columns(i, m, k, upper, &from, &to);
        for (int64_t j = from; j < to; j++, at++) {
            v[at] = i;
            v[count + at] = j;
        }
    }
    tern_tensor *t = v ? tern_from(v, s, (tern_options){TERN_I64, device}) : NULL;
    terni_mfree(v);
    return t;
}

tern_tensor *tern_tril_indices(int64_t n, int64_t m, int64_t k, tern_device device) {
    TERNI_NAMED("tril_indices");
    return triangle("tril_indices", n, m, k, false, device);
}
tern_tensor *tern_triu_indices(int64_t n, int64_t m, int64_t k, tern_device device) {
    TERNI_NAMED("triu_indices");
    return triangle("triu_indices", n, m, k, true, device);
}
