/* argmin, max_dim, min_dim, unique, searchsorted, bucketize, bincount, histogram, histc. arg: see each. */
#include "../sweep.h"

/* ---- argmin, max_dim, min_dim: dim, keepdim */

static void extreme(const array *x, const sweep_case *c, bool min, bool place, array *out) {
    int64_t outer, n, inner, k = 0;
    array_split(x, c->arg[0], &outer, &n, &inner);
    tern_shape s = {0};
    const int64_t d = c->arg[0] < 0 ? c->arg[0] + x->shape.ndim : c->arg[0];
    for (int i = 0; i < x->shape.ndim; i++)
        if (i != d || c->arg[1]) s.dim[s.ndim++] = i == d ? 1 : x->shape.dim[i];
    array_new(out, s);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++, k++) {
            int64_t best = 0;
            const double *v = x->v + o * n * inner + i;
            for (int64_t j = 1; j < n; j++)
                if (min ? v[j * inner] < v[best * inner] : v[j * inner] > v[best * inner]) best = j;
            out->v[k] = place ? (double)best : v[best * inner];
        }
}
static void ref_argmin(const array *in, const sweep_case *c, array *out) { extreme(in, c, true, true, out); }
static void ref_max_dim(const array *in, const sweep_case *c, array *out) { extreme(in, c, false, false, out); }
static void ref_min_dim(const array *in, const sweep_case *c, array *out) { extreme(in, c, true, false, out); }
static void ref_max_dim_place(const array *in, const sweep_case *c, array *out) { extreme(in, c, false, true, out); }
static tern_tensor *call_argmin(tern_tensor *const *in, const sweep_case *c) {
    return tern_argmin(in[0], (int)c->arg[0], c->arg[1] != 0);
}
static tern_tensor *call_max_dim(tern_tensor *const *in, const sweep_case *c) {
    return tern_max_dim(in[0], (int)c->arg[0], c->arg[1] != 0, NULL);
}
static tern_tensor *call_min_dim(tern_tensor *const *in, const sweep_case *c) {
    return tern_min_dim(in[0], (int)c->arg[0], c->arg[1] != 0, NULL);
}
static tern_tensor *call_max_dim_place(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *at;
    return tern_max_dim(in[0], (int)c->arg[0], c->arg[1] != 0, &at) ? at : NULL;
}
#define EXTREMES                                                                                                   \
    {"rows", {REAL(3, 5)}, .arg = {-1}}, {"columns, keepdim", {REAL(5, 3)}, .arg = {0, 1}},                        \
        {"middle", {REAL(2, 4, 3)}, .arg = {1}}, {"wide", {REAL(3, 70)}, .arg = {0}},                              \
        {"long", {REAL(2, 150)}, .arg = {1}}, {"equals", {WHOLE(0, 2, 4, 9)}, .arg = {1}, .flags = SWEEP_NO_GRAD}, \
        {"scalar", {SCALAR}, .arg = {0}}, {"no lines", {REAL(0, 3)}, .arg = {1}},                                  \
        {"of none", {REAL(3, 0)}, .arg = {1}, .code = TERN_ERR_SHAPE}, {                                           \
        "no such dimension", {REAL(3, 2)}, .arg = {2}, .code = TERN_ERR_SHAPE                                      \
    }
static const sweep_case extremes[] = {EXTREMES};
SWEEP(argmin, extremes, call_argmin, ref_argmin, SWEEP_INTS | SWEEP_BOOL | SWEEP_NO_GRAD, 1)
SWEEP(max_dim, extremes, call_max_dim, ref_max_dim, SWEEP_INTS | SWEEP_BOOL, 1)
SWEEP(min_dim, extremes, call_min_dim, ref_min_dim, SWEEP_INTS | SWEEP_BOOL, 1)
SWEEP(max_dim__place, extremes, call_max_dim_place, ref_max_dim_place, SWEEP_INTS | SWEEP_NO_GRAD, 1)

/* ---- unique: arg 0 says which result */

static void ref_unique(const array *in, const sweep_case *c, array *out) {
    const array *x = &in[0];
    double *v = calloc((size_t)x->n + 1, sizeof *v);
    int64_t n = 0;
    for (int64_t i = 0; v && i < x->n; i++) { /* insertion, each once */
        int64_t at = 0;
        while (at < n && v[at] < x->v[i]) at++;
        if (at < n && !(v[at] > x->v[i])) continue;
        memmove(v + at + 1, v + at, (size_t)(n - at) * sizeof *v);
        v[at] = x->v[i];
        n++;
    }
    array_new(out, c->arg[0] == 1 ? x->shape : TERN_SHAPE(n));
    for (int64_t k = 0; k < n; k++) {
        if (c->arg[0] == 0) out->v[k] = v[k];
        for (int64_t i = 0; i < x->n; i++)
            if (!(x->v[i] < v[k]) && !(x->v[i] > v[k])) {
                if (c->arg[0] == 1) out->v[i] = (double)k;
                if (c->arg[0] == 2) out->v[k]++;
            }
    }
    free(v);
}
static tern_tensor *call_unique(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *inverse, *counts, *y = tern_unique(in[0], &inverse, &counts);
    return !y ? NULL : c->arg[0] == 0 ? y : c->arg[0] == 1 ? inverse : counts;
}
#define UNIQUE(which)                                                                             \
    {"few", {WHOLE(0, 3, 20)}, .arg = {which}}, {"matrix", {WHOLE(-5, 5, 4, 6)}, .arg = {which}}, \
        {"all differ", {REAL(9)}, .arg = {which}}, {"none", {REAL(0, 3)}, .arg = {which}}, {      \
        "scalar", {SCALAR}, .arg = { which }                                                      \
    }
static const sweep_case uniques[] = {UNIQUE(0), UNIQUE(1), UNIQUE(2)};
SWEEP(unique, uniques, call_unique, ref_unique, SWEEP_INTS | SWEEP_BOOL | SWEEP_NO_GRAD, 1)

/* ---- searchsorted, bucketize: the first input is sorted along its last dimension before the call; arg 0: right */

static tern_tensor *call_searchsorted(tern_tensor *const *in, const sweep_case *c) {
    return tern_searchsorted(in[0] ? tern_sort(in[0], -1, false, NULL) : NULL, in[1], c->arg[0] != 0);
}
static tern_tensor *call_bucketize(tern_tensor *const *in, const sweep_case *c) {
    return tern_bucketize(in[0], in[1] && tern_ndim(in[1]) == 1 ? tern_sort(in[1], -1, false, NULL) : in[1],
                          c->arg[0] != 0);
}
static void search(const array *sorted, const array *v, const sweep_case *c, array *out) {
    const int64_t n = sorted->shape.dim[sorted->shape.ndim - 1], rows = n ? sorted->n / n : 1;
    array_new(out, v->shape);
    for (int64_t i = 0; i < v->n; i++) {
        const double *s = sorted->v + (rows == 1 ? 0 : i / (v->n / rows)) * n;
        for (int64_t k = 0; k < n; k++) out->v[i] += c->arg[0] ? s[k] <= v->v[i] : s[k] < v->v[i];
    }
}
static void ref_searchsorted(const array *in, const sweep_case *c, array *out) { search(&in[0], &in[1], c, out); }
static void ref_bucketize(const array *in, const sweep_case *c, array *out) { search(&in[1], &in[0], c, out); }
static const sweep_case searches[] = {
    {"one row", {REAL(9), REAL(3, 4)}},
    {"equals, left", {WHOLE(0, 4, 12), WHOLE(-1, 5, 30)}},
    {"equals, right", {WHOLE(0, 4, 12), WHOLE(-1, 5, 30)}, .arg = {1}},
    {"row by row", {REAL(3, 7), REAL(3, 4)}, .arg = {1}},
    {"batches", {REAL(2, 3, 5), REAL(2, 3, 2)}},
    {"a scalar", {REAL(5), SCALAR}},
    {"nothing to search in", {REAL(0), REAL(4)}},
    {"nothing to search for", {REAL(5), REAL(0, 2)}},
    {"rows differ", {REAL(2, 5), REAL(3, 4)}, .code = TERN_ERR_SHAPE},
};
static const sweep_case buckets[] = {
    {"values", {REAL(3, 4), REAL(9)}},
    {"equals, right", {WHOLE(-1, 5, 30), WHOLE(0, 4, 12)}, .arg = {1}},
    {"no boundaries", {REAL(4), REAL(0)}},
    {"boundaries of two dimensions", {REAL(4), REAL(2, 2)}, .code = TERN_ERR_SHAPE},
};
SWEEP(searchsorted, searches, call_searchsorted, ref_searchsorted, SWEEP_INTS | SWEEP_NO_GRAD, 1)
SWEEP(bucketize, buckets, call_bucketize, ref_bucketize, SWEEP_INTS | SWEEP_NO_GRAD, 1)

/* ---- bincount: arg 0 the least length */

static tern_tensor *call_bincount(tern_tensor *const *in, const sweep_case *c) {
    return tern_bincount(in[0], in[1], c->arg[0]);
}
static void ref_bincount(const array *in, const sweep_case *c, array *out) {
    int64_t n = c->arg[0];
    for (int64_t i = 0; i < in[0].n; i++)
        if ((int64_t)in[0].v[i] >= n) n = (int64_t)in[0].v[i] + 1;
    array_make(out, n);
    for (int64_t i = 0; i < in[0].n; i++) out->v[(int64_t)in[0].v[i]] += in[1].v ? in[1].v[i] : 1;
}
static const sweep_case bins[] = {
    {"counts", {INDEX(7, 40), NONE}},
    {"least length", {INDEX(4, 10), NONE}, .arg = {9}},
    {"i32", {INDEX32(5, 20), NONE}},
    {"weights", {INDEX(6, 30), REAL(30)}, .loosen = 8},
    {"none", {INDEX(6, 0), NONE}, .arg = {3}},
    {"none at all", {INDEX(6, 0), NONE}},
    {"negative",
     {{.kind = IN_WHOLE, .lo = -3, .hi = -1, .shape = {1, {4}}, .dtype = TERN_I64 + 1}, NONE},
     .code = TERN_ERR_ARGUMENT},
    {"floats", {REAL(4), NONE}, .code = TERN_ERR_DTYPE},
    {"two dimensions", {INDEX(4, 2, 2), NONE}, .code = TERN_ERR_SHAPE},
    {"weights of another shape", {INDEX(4, 5), REAL(4)}, .code = TERN_ERR_SHAPE},
    {"negative length", {INDEX(4, 5), NONE}, .arg = {-1}, .code = TERN_ERR_ARGUMENT},
};
SWEEP(bincount, bins, call_bincount, ref_bincount, 0, 1)

/* ---- histogram: of 6 edges from -2 to 2 (arg 0: of 1 edge); histc: arg bins, number lo, hi */

static tern_tensor *call_histogram(tern_tensor *const *in, const sweep_case *c) {
    const double edges[6] = {-2, -1, -0.5, 0, 1, 2};
    if (!in[0]) return tern_histogram(NULL, NULL, NULL);
    return tern_histogram(in[0], test_tensor(edges, c->arg[0] ? TERN_SHAPE(1) : TERN_SHAPE(6), TERN_F64), in[1]);
}
static void ref_histogram(const array *in, const sweep_case *c, array *out) {
    const double edges[6] = {-2, -1, -0.5, 0, 1, 2};
    (void)c;
    array_make(out, 5);
    for (int64_t i = 0; i < in[0].n; i++)
        for (int k = 0; k < 5; k++)
            if (in[0].v[i] >= edges[k] && (in[0].v[i] < edges[k + 1] || (k == 4 && in[0].v[i] <= 2)))
                out->v[k] += in[1].v ? in[1].v[i] : 1;
}
static tern_tensor *call_histc(tern_tensor *const *in, const sweep_case *c) {
    return tern_histc(in[0], c->arg[0], c->number[0], c->number[1]);
}
static void ref_histc(const array *in, const sweep_case *c, array *out) {
    const double lo = c->number[0], hi = c->number[1];
    array_make(out, c->arg[0]);
    for (int64_t i = 0; i < in[0].n; i++) {
        if (!(in[0].v[i] >= lo && in[0].v[i] <= hi)) continue;
        int64_t k = 0;
        while (k + 1 < c->arg[0] && in[0].v[i] >= lo + (double)(k + 1) * (hi - lo) / (double)c->arg[0]) k++;
        out->v[k]++;
    }
}
static const sweep_case histograms[] = {
    {"values", {FIXED(-3, 3, 40), NONE}, .flags = SWEEP_NO_GRAD},
    {"at the edges", {WHOLE(-3, 3, 5, 8), NONE}, .flags = SWEEP_NO_GRAD},
    {"weights", {FIXED(-3, 3, 20), REAL(20)}, .loosen = 8},
    {"none", {REAL(0), NONE}, .flags = SWEEP_NO_GRAD},
    {"one edge", {REAL(5), NONE}, .arg = {1}, .code = TERN_ERR_SHAPE},
    {"weights of another shape", {REAL(5), REAL(4)}, .code = TERN_ERR_SHAPE},
};
static const sweep_case histcs[] = {
    {"5 bins", {REAL(40)}, .arg = {5}, .number = {-1.5, 1.5}},
    {"edges", {WHOLE(-3, 3, 30)}, .arg = {4}, .number = {-2, 2}},
    {"none", {REAL(0, 2)}, .arg = {3}, .number = {0, 1}},
    {"no bins", {REAL(5)}, .arg = {0}, .number = {0, 1}, .code = TERN_ERR_ARGUMENT},
    {"no range", {REAL(5)}, .arg = {3}, .number = {1, 1}, .code = TERN_ERR_ARGUMENT},
};
SWEEP(histogram, histograms, call_histogram, ref_histogram, 0, 1)
SWEEP(histc, histcs, call_histc, ref_histc, SWEEP_INTS | SWEEP_NO_GRAD, 1)

BENCH(argmin, call_argmin, "torch.argmin(a, 1)", {"[1024, 1024]", {REAL(1024, 1024)}, .arg = {1}})
BENCH(max_dim, call_max_dim, "torch.max(a, 1)", {"[1024, 1024]", {REAL(1024, 1024)}, .arg = {1}})
BENCH(unique, call_unique, "torch.unique(a)", {"100,000 of 1,000", {WHOLE(0, 1000, 100000)}})
BENCH(searchsorted, call_searchsorted, "torch.searchsorted(torch.sort(a)[0], b)",
      {"1,000 and 100,000", {REAL(1000), REAL(100000)}})
BENCH(bincount, call_bincount, "torch.bincount(a)", {"100,000 of 1,000", {INDEX(1000, 100000), NONE}})
BENCH(histc, call_histc, "torch.histc(a, 100, -2, 2)",
      {"100,000, 100 bins", {REAL(100000)}, .arg = {100}, .number = {-2, 2}})
