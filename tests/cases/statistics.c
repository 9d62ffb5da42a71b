/* nansum, nanmean, cov, corrcoef, unique_consecutive. */
#include "../sweep.h"

/* ---- nansum, nanmean: arg = number of dims, keepdim, the dims. NaN is put in where the second input is true: at every
 * fourth element, since where all are NaN there is no gradient; everywhere if arg[9]. */

static tern_tensor *holed(tern_tensor *const *in, const sweep_case *c) {
    if (!in[0] || !in[1]) return in[0];
    tern_tensor *mask = in[1];
    if (!c->arg[9]) {
        const tern_options i64 = {TERN_I64, tern_device_of(mask)};
        tern_tensor *number = tern_arange(0, (double)tern_numel(mask), i64);
        tern_tensor *fourth = tern_eq(tern_remainder(number, tern_scalar(4, i64)), tern_scalar(1, i64));
        mask = tern_logical_and(mask, tern_reshape(fourth, tern_shape_get(mask)));
    }
    return tern_dtype_is_float(tern_dtype_of(in[0])) ? tern_masked_fill(in[0], mask, (double)NAN) : in[0];
}

static tern_tensor *call_nan(tern_tensor *const *in, const sweep_case *c, bool mean) {
    int dims[TERN_MAX_DIMS];
    for (int i = 0; i < c->arg[0]; i++) dims[i] = (int)c->arg[2 + i];
    return (mean ? tern_nanmean : tern_nansum)(holed(in, c), dims, (int)c->arg[0], c->arg[1] != 0);
}
static tern_tensor *call_nansum(tern_tensor *const *in, const sweep_case *c) { return call_nan(in, c, false); }
static tern_tensor *call_nanmean(tern_tensor *const *in, const sweep_case *c) { return call_nan(in, c, true); }

static void ref_nan(const array *in, const sweep_case *c, bool mean, array *out) {
    const array *x = &in[0];
    bool gone[TERN_MAX_DIMS] = {0};
    for (int i = 0; i < c->arg[0]; i++) gone[c->arg[2 + i] < 0 ? c->arg[2 + i] + x->shape.ndim : c->arg[2 + i]] = true;
    tern_shape kept = x->shape, shape = {0};
    for (int d = 0; d < kept.ndim; d++) {
        if (c->arg[0] == 0 || gone[d]) kept.dim[d] = 1;
        if (kept.dim[d] != 1 || (c->arg[0] != 0 && !gone[d]) || c->arg[1]) shape.dim[shape.ndim++] = kept.dim[d];
    }
    array_new(out, shape);
    int64_t strides[TERN_MAX_DIMS], index[TERN_MAX_DIMS], *count = calloc((size_t)out->n + 1, sizeof *count);
    array_strides(kept, strides);
    for (int64_t i = 0; i < x->n && count; i++) {
        int64_t at = 0;
        array_index(x->shape, i, index);
        for (int d = 0; d < kept.ndim; d++) at += kept.dim[d] == 1 ? 0 : index[d] * strides[d];
        if (in[1].n && in[1].v[i] != 0 && (c->arg[9] || i % 4 == 1)) continue;
        out->v[at] += x->v[i];
        count[at]++;
    }
    for (int64_t i = 0; mean && i < out->n && count; i++) out->v[i] /= (double)count[i];
    free(count);
}
static void ref_nansum(const array *in, const sweep_case *c, array *out) { ref_nan(in, c, false, out); }
static void ref_nanmean(const array *in, const sweep_case *c, array *out) { ref_nan(in, c, true, out); }

#define NAN_CASES                                                                                                    \
    {"all NaN",                                                                                                      \
     {REAL(3, 2), {.kind = IN_BOOL, .lo = 1, .hi = 1, .shape = SHAPE_OF(3, 2)}},                                     \
     .arg = {1, 0, 1, [9] = 1},                                                                                      \
     .flags = SWEEP_NO_GRAD},                                                                                        \
        {"all", {REAL(3, 5), BOOLS(3, 5)}, .arg = {0, 0}},                                                           \
        {"last", {REAL(3, 5, 7), BOOLS(3, 5, 7)}, .arg = {1, 0, -1}},                                                \
        {"middle, keepdim", {REAL(3, 5, 7), BOOLS(3, 5, 7)}, .arg = {1, 1, 1}},                                      \
        {"two", {REAL(3, 5, 2, 3), BOOLS(3, 5, 2, 3)}, .arg = {2, 0, 0, -1}},                                        \
        {"odd", {REAL(17, 33), BOOLS(17, 33)}, .arg = {1, 0, 0}, .flags = SWEEP_NO_SECOND},                          \
        {"empty beside", {REAL(0, 3), BOOLS(0, 3)}, .arg = {1, 0, 1}},                                               \
        {"large rank", {REAL(2, 1, 2, 2, 1, 2), BOOLS(2, 1, 2, 2, 1, 2)}, .arg = {2, 1, 0, 3}}, {                    \
        "dimension out of range", {REAL(2, 3), BOOLS(2, 3)}, .arg = {1, 0, 2}, .code = TERN_ERR_SHAPE, .text = "nan" \
    }

static const sweep_case nansums[] = {
    NAN_CASES,
    {"nothing", {REAL(0), BOOLS(0)}, .arg = {0, 0}},
    {"0-dim", {SCALAR, {.kind = IN_BOOL, .lo = 0, .hi = 1}}, .arg = {0, 0}},
    {"NULL", {NONE, BOOLS(2)}, .code = TERN_ERR_ARGUMENT, .text = "nansum"},
};
static const sweep_case nanmeans[] = {
    NAN_CASES,
    {"an integer", {TYPED(TERN_I32, 3), BOOLS(3)}, .code = TERN_ERR_DTYPE, .text = "nanmean"},
};
/* Integers have no NaN: the sweep's references would differ there, and sum is swept. */
SWEEP(nansum, nansums, call_nansum, ref_nansum, 0, 1)
SWEEP(nanmean, nanmeans, call_nanmean, ref_nanmean, 0, 1)
BENCH(nansum, call_nansum, "a.nansum(1)", {"[2048, 2048]", {REAL(2048, 2048), NONE}, .arg = {1, 0, 1}})

/* ---- cov, corrcoef: number = correction ------------------------------------------------------------------------- */

static tern_tensor *call_cov(tern_tensor *const *in, const sweep_case *c) { return tern_cov(in[0], c->number[0]); }
static tern_tensor *call_corrcoef(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_corrcoef(in[0]);
}

static double covariance(const array *x, int64_t i, int64_t j, int64_t n, double correction) {
    double a = 0, b = 0, s = 0;
    for (int64_t k = 0; k < n; k++) {
        a += x->v[i * n + k] / (double)n;
        b += x->v[j * n + k] / (double)n;
    }
    for (int64_t k = 0; k < n; k++) s += (x->v[i * n + k] - a) * (x->v[j * n + k] - b);
    return s / fmax((double)n - correction, 0);
}

static void ref_matrix(const array *x, double correction, bool normal, array *out) {
    const int64_t v = x->shape.ndim == 2 ? x->shape.dim[0] : 1, n = x->shape.ndim ? x->shape.dim[x->shape.ndim - 1] : 1;
    array_new(out, v == 1 ? tern_shape_scalar() : TERN_SHAPE(v, v));
    for (int64_t i = 0; i < v; i++)
        for (int64_t j = 0; j < v; j++) {
            double c = covariance(x, i, j, n, correction);
            if (normal) c /= sqrt(covariance(x, i, i, n, 1) * covariance(x, j, j, n, 1));
            out->v[i * v + j] = c;
        }
}
static void ref_cov(const array *in, const sweep_case *c, array *out) { ref_matrix(in, c->number[0], false, out); }
static void ref_corrcoef(const array *in, const sweep_case *c, array *out) {
    (void)c;
    ref_matrix(in, 1, true, out);
}

#define COV_CASES                                                                                 \
    {"three variables", {REAL(3, 7)}, .number = {1}}, {"one variable", {REAL(9)}, .number = {1}}, \
        {"a row", {REAL(1, 9)}, .number = {1}}, {"odd", {REAL(5, 17)}, .number = {1}},            \
        {"no variables", {REAL(0, 3)}, .number = {1}},                                            \
        {"too many dimensions", {REAL(2, 3, 4)}, .code = TERN_ERR_SHAPE, .text = "[2, 3, 4]"},    \
        {"an integer", {TYPED(TERN_I64, 2, 3)}, .code = TERN_ERR_DTYPE, .text = "not a float"}, { \
        "NULL", {NONE}, .code = TERN_ERR_ARGUMENT                                                 \
    }
static const sweep_case covs[] = {
    COV_CASES,
    {"maximum likelihood", {REAL(3, 7)}, .number = {0}},
    {"correction 2", {REAL(2, 6)}, .number = {2}},
    {"one observation", {SCALAR}, .number = {0}},
};
static const sweep_case corrcoefs[] = {COV_CASES};
SWEEP(cov, covs, call_cov, ref_cov, 0, 4)
/* Contiguous only: expanded layouts make variables that do not vary. cov runs the same ops in all layouts. */
SWEEP(corrcoef, corrcoefs, call_corrcoef, ref_corrcoef, SWEEP_NO_LAYOUTS, 8)
BENCH(cov, call_cov, "torch.cov(a)", {"[256, 4096]", {REAL(256, 4096)}, .number = {1}})

/* ---- unique_consecutive: arg = which result: values, inverse, counts -------------------------------------------- */

static tern_tensor *call_unique_consecutive(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *inverse, *counts, *y = tern_unique_consecutive(in[0], &inverse, &counts);
    return c->arg[0] == 0 ? tern_unique_consecutive(in[0], NULL, NULL) : !y ? NULL : c->arg[0] == 1 ? inverse : counts;
}

static void ref_unique_consecutive(const array *in, const sweep_case *c, array *out) {
    int64_t runs = 0, run = -1;
    for (int64_t i = 0; i < in->n; i++) runs += i == 0 || in->v[i] != in->v[i - 1];
    array_new(out, c->arg[0] == 1 ? in->shape : TERN_SHAPE(runs));
    for (int64_t i = 0; i < in->n; i++) {
        run += i == 0 || in->v[i] != in->v[i - 1];
        if (c->arg[0] == 0) out->v[run] = in->v[i];
        if (c->arg[0] == 1) out->v[i] = (double)run;
        if (c->arg[0] == 2) out->v[run]++;
    }
}

static const sweep_case unique_consecutives[] = {
    {"values", {WHOLE(0, 1, 40)}, .arg = {0}},
    {"inverse", {WHOLE(0, 1, 5, 7)}, .arg = {1}},
    {"counts", {WHOLE(0, 2, 5, 7)}, .arg = {2}},
    {"one run", {WHOLE(1, 1, 9)}, .arg = {2}},
    {"one element", {WHOLE(0, 3, 1)}, .arg = {1}},
    {"0-dim", {SCALAR}, .arg = {1}},
    {"nothing", {WHOLE(0, 1, 0, 3)}, .arg = {0}},
    {"nothing, inverse", {WHOLE(0, 1, 0, 3)}, .arg = {1}},
    {"nothing, counts", {WHOLE(0, 1, 0, 3)}, .arg = {2}},
    {"long", {WHOLE(0, 1, 20011)}, .arg = {1}},
    {"NULL", {NONE}, .code = TERN_ERR_ARGUMENT, .text = "unique_consecutive"},
};
/* No gradient: which elements stay is decided by comparing. */
SWEEP(unique_consecutive, unique_consecutives, call_unique_consecutive, ref_unique_consecutive,
      SWEEP_INTS | SWEEP_BOOL | SWEEP_NO_GRAD, 1)
BENCH(unique_consecutive, call_unique_consecutive, "torch.unique_consecutive(a)", {"[65536]", {WHOLE(0, 1, 65536)}})
