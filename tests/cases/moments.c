/* prod, any, all, count_nonzero, norm, var, std, logsumexp. arg: number of dims, keepdim, the dims; number 0: norm's p,
 * the correction. */
#include "../sweep.h"

/* f(values of one result, how many, number) for every result. */
static void reduce(const array *x, const sweep_case *c, double (*f)(const double *, int64_t, double), array *out) {
    bool gone[TERN_MAX_DIMS] = {0};
    for (int i = 0; i < c->arg[0]; i++) gone[c->arg[2 + i] < 0 ? c->arg[2 + i] + x->shape.ndim : c->arg[2 + i]] = true;
    tern_shape kept = x->shape, shape = {0};
    for (int d = 0; d < kept.ndim; d++) {
        if (c->arg[0] == 0) gone[d] = true;
        if (gone[d]) kept.dim[d] = 1;
        if (!gone[d] || c->arg[1]) shape.dim[shape.ndim++] = kept.dim[d];
    }
    array_new(out, shape);
    int64_t strides[TERN_MAX_DIMS], index[TERN_MAX_DIMS];
    array_strides(kept, strides);
    double *mine = calloc((size_t)x->n + 1, sizeof *mine);
    for (int64_t o = 0; mine && o < out->n; o++) {
        int64_t n = 0;
        for (int64_t i = 0; i < x->n; i++) {
            int64_t at = 0;
            array_index(x->shape, i, index);
            for (int d = 0; d < kept.ndim; d++) at += gone[d] ? 0 : index[d] * strides[d];
            if (at == o) mine[n++] = x->v[i];
        }
        out->v[o] = f(mine, n, c->number[0]);
    }
    free(mine);
}

static double f_prod(const double *v, int64_t n, double p) {
    (void)p;
    double r = 1;
    for (int64_t i = 0; i < n; i++) r *= v[i];
    return r;
}
static double f_count_nonzero(const double *v, int64_t n, double p) {
    (void)p;
    double r = 0;
    for (int64_t i = 0; i < n; i++) r += v[i] < 0 || v[i] > 0;
    return r;
}
static double f_any(const double *v, int64_t n, double p) { return f_count_nonzero(v, n, p) > 0; }
static double f_all(const double *v, int64_t n, double p) { return f_count_nonzero(v, n, p) >= (double)n; }
static double f_norm(const double *v, int64_t n, double p) {
    if (p == 0) return f_count_nonzero(v, n, p);
    double r = isinf(p) && p < 0 ? (double)INFINITY : 0;
    for (int64_t i = 0; i < n; i++)
        r = !isinf(p) ? r + pow(fabs(v[i]), p) : p > 0 ? fmax(r, fabs(v[i])) : fmin(r, fabs(v[i]));
    return isinf(p) ? r : pow(r, 1 / p);
}
static double f_var(const double *v, int64_t n, double correction) {
    double mean = 0, r = 0;
    for (int64_t i = 0; i < n; i++) mean += v[i] / (double)n;
    for (int64_t i = 0; i < n; i++) r += (v[i] - mean) * (v[i] - mean);
    return r / fmax((double)n - correction, 0);
}
static double f_std(const double *v, int64_t n, double correction) { return sqrt(f_var(v, n, correction)); }
static double f_logsumexp(const double *v, int64_t n, double p) {
    (void)p;
    double r = 0;
    for (int64_t i = 0; i < n; i++) r += exp(v[i]);
    return log(r);
}

#define DIMS                          \
    int dims[TERN_MAX_DIMS];          \
    const int n = (int)c->arg[0];     \
    const bool keep = c->arg[1] != 0; \
    for (int i = 0; i < n; i++) dims[i] = (int)c->arg[2 + i];
#define REFERENCE(name) \
    static void ref_##name(const array *in, const sweep_case *c, array *out) { reduce(&in[0], c, f_##name, out); }
#define PLAIN(name)                                                                \
    static tern_tensor *call_##name(tern_tensor *const *in, const sweep_case *c) { \
        DIMS return tern_##name(in[0], dims, n, keep);                             \
    }                                                                              \
    REFERENCE(name)
PLAIN(prod)
PLAIN(any)
PLAIN(all)
PLAIN(count_nonzero)
PLAIN(logsumexp)
static tern_tensor *call_norm(tern_tensor *const *in, const sweep_case *c) {
    DIMS return tern_norm(in[0], c->number[0], dims, n, keep);
}
static tern_tensor *call_var(tern_tensor *const *in, const sweep_case *c) {
    DIMS return tern_var(in[0], dims, n, c->number[0], keep);
}
static tern_tensor *call_std(tern_tensor *const *in, const sweep_case *c) {
    DIMS return tern_std(in[0], dims, n, c->number[0], keep);
}
REFERENCE(norm)
REFERENCE(var)
REFERENCE(std)

#define SHAPES                                                                                                   \
    {"all", {REAL(3, 5)}, .arg = {0, 0}}, {"all, keepdim", {REAL(2, 3, 2)}, .arg = {0, 1}},                      \
        {"last", {REAL(3, 5)}, .arg = {1, 0, -1}}, {"first", {REAL(3, 5)}, .arg = {1, 0, 0}},                    \
        {"middle, keepdim", {REAL(2, 5, 3)}, .arg = {1, 1, 1}}, {"ends", {REAL(2, 3, 4)}, .arg = {2, 0, 0, -1}}, \
        {"six dimensions", {REAL(2, 1, 3, 2, 1, 2)}, .arg = {3, 0, 0, 2, 5}},                                    \
        {"empty beside", {REAL(0, 3)}, .arg = {1, 0, 1}},                                                        \
        {"dimension out of range", {REAL(2, 3)}, .arg = {1, 0, 2}, .code = TERN_ERR_SHAPE}, {                    \
        "dimension twice", {REAL(2, 3)}, .arg = {2, 0, 1, -1}, .code = TERN_ERR_ARGUMENT                         \
    }
#define INTEGERS \
    { "integers", {TYPED(TERN_I64, 3, 4)}, .arg = {1, 0, 1}, .code = TERN_ERR_DTYPE }
#define NUMBER(name, x)                                       \
    {                                                         \
        name, {REAL(3, 5)}, .arg = {1, 0, 1}, .number = { x } \
    }

static const sweep_case prods[] = {SHAPES,
                                   {"scalar", {SCALAR}, .arg = {0, 0}},
                                   {"of none", {REAL(3, 0)}, .arg = {1, 0, 1}},
                                   {"zeros", {WHOLE(-1, 1, 4, 5)}, .arg = {1, 0, 1}},
                                   {"one zero", {RANGE(-0.001, 0.001, 3, 4)}, .arg = {1, 0, 1}}};
static const sweep_case logics[] = {SHAPES,
                                    {"scalar", {SCALAR}, .arg = {0, 0}},
                                    {"of none", {REAL(3, 0)}, .arg = {1, 0, 1}},
                                    {"zeros", {WHOLE(0, 1, 9, 3)}, .arg = {1, 0, 1}},
                                    {"zeros, first", {WHOLE(0, 1, 3, 9)}, .arg = {1, 1, 0}}};
static const sweep_case norms[] = {
    NUMBER("p 2", 2),
    NUMBER("p 1", 1),
    NUMBER("p 3", 3),
    NUMBER("p 1.5", 1.5),
    NUMBER("p 0.5", 0.5),
    NUMBER("p -1", -1),
    {"p 0", {WHOLE(-1, 1, 3, 5)}, .arg = {1, 0, 1}, .flags = SWEEP_NO_GRAD},
    NUMBER("infinity", (double)INFINITY),
    NUMBER("minus infinity", -(double)INFINITY),
    {"p 2, all", {REAL(2, 3, 2)}, .arg = {0, 1}, .number = {2}},
    {"p 2, ends", {REAL(2, 3, 4)}, .arg = {2, 0, 0, -1}, .number = {2}},
    {"p 3, scalar", {{.kind = IN_REAL, .lo = 0.5, .hi = 2}}, .arg = {0, 0}, .number = {3}},
    {"p 2 of none", {REAL(3, 0)}, .arg = {1, 0, 1}, .number = {2}},
    {"empty beside", {REAL(0, 3)}, .arg = {1, 0, 1}, .number = {2}},
    {"p NaN", {REAL(3, 4)}, .arg = {1, 0, 1}, .number = {(double)NAN}, .code = TERN_ERR_ARGUMENT},
    {"p 2, dimension out of range", {REAL(2, 3)}, .arg = {1, 0, 2}, .number = {2}, .code = TERN_ERR_SHAPE},
    INTEGERS};
static const sweep_case variances[] = {
    SHAPES,
    NUMBER("unbiased", 1),
    NUMBER("correction 0.5", 0.5),
    INTEGERS,
    {"far from 0", {RANGE(1, 1.5, 4, 9)}, .arg = {1, 0, 1}, .number = {1}, .loosen = 4}};
static const sweep_case exps[] = {
    SHAPES, {"scalar", {SCALAR}, .arg = {0, 0}}, INTEGERS, {"large", {RANGE(80, 90, 3, 4)}, .arg = {1, 0, 1}}};

SWEEP(prod, prods, call_prod, ref_prod, SWEEP_INTS | SWEEP_BOOL, 2)
SWEEP(any, logics, call_any, ref_any, SWEEP_INTS | SWEEP_BOOL | SWEEP_NO_GRAD, 1)
SWEEP(all, logics, call_all, ref_all, SWEEP_INTS | SWEEP_BOOL | SWEEP_NO_GRAD, 1)
SWEEP(count_nonzero, logics, call_count_nonzero, ref_count_nonzero, SWEEP_INTS | SWEEP_BOOL | SWEEP_NO_GRAD, 1)
SWEEP(norm, norms, call_norm, ref_norm, 0, 4)
SWEEP(var, variances, call_var, ref_var, 0, 2)
/* Expanded values are all alike: their deviation is rounding alone, and its slope means nothing. */
SWEEP(std, variances, call_std, ref_std, SWEEP_NO_LAYOUTS, 2)
SWEEP(logsumexp, exps, call_logsumexp, ref_logsumexp, 0, 2)

BENCH(prod, call_prod, "torch.prod(a, 1)", {"[1024, 1024]", {RANGE(0.9, 1.1, 1024, 1024)}, .arg = {1, 0, 1}})
BENCH(any, call_any, "torch.any(a, 1)", {"[1024, 1024]", {REAL(1024, 1024)}, .arg = {1, 0, 1}})
BENCH(all, call_all, "torch.all(a, 1)", {"[1024, 1024]", {REAL(1024, 1024)}, .arg = {1, 0, 1}})
BENCH(count_nonzero, call_count_nonzero, "torch.count_nonzero(a, 1)",
      {"[1024, 1024]", {REAL(1024, 1024)}, .arg = {1, 0, 1}})
BENCH(norm, call_norm, "torch.linalg.vector_norm(a, 2, 1)",
      {"[1024, 1024]", {REAL(1024, 1024)}, .arg = {1, 0, 1}, .number = {2}})
BENCH(var, call_var, "torch.var(a, 1)", {"[1024, 1024]", {REAL(1024, 1024)}, .arg = {1, 0, 1}, .number = {1}})
BENCH(std, call_std, "torch.std(a, 1)", {"[1024, 1024]", {REAL(1024, 1024)}, .arg = {1, 0, 1}, .number = {1}})
BENCH(logsumexp, call_logsumexp, "torch.logsumexp(a, 1)", {"[1024, 1024]", {REAL(1024, 1024)}, .arg = {1, 0, 1}})
