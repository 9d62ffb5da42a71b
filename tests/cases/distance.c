/* Distances. number[0]: p (99 is infinity), number[1]: eps. */
#include "../sweep.h"

static double p_of(const sweep_case *c) { return c->number[0] == 99 ? (double)INFINITY : c->number[0]; }

/* The p norm of the n differences. */
static double norm(const double *d, int64_t n, double p) {
    double s = 0;
    for (int64_t i = 0; i < n; i++)
        s = isinf(p) ? fmax(s, fabs(d[i])) : p == 0 ? s + (d[i] != 0) : s + pow(fabs(d[i]), p);
    return p == 0 || isinf(p) ? s : pow(s, 1 / p);
}

static tern_tensor *call_cosine_similarity(tern_tensor *const *in, const sweep_case *c) {
    return tern_cosine_similarity(in[0], in[1], (int)c->arg[0], c->number[1] == 0 ? 1e-8 : c->number[1]);
}

static void ref_cosine_similarity(const array *in, const sweep_case *c, array *out) {
    array all;
    int64_t outer, size, inner;
    array_new(&all, array_broadcast(in[0].shape, in[1].shape));
    const int dim = (int)(c->arg[0] < 0 ? c->arg[0] + all.shape.ndim : c->arg[0]);
    array_split(&all, dim, &outer, &size, &inner);
    tern_shape s = all.shape;
    for (int d = dim; d < s.ndim - 1; d++) s.dim[d] = s.dim[d + 1];
    s.ndim--;
    array_new(out, s);
    const double eps = c->number[1] == 0 ? 1e-8 : c->number[1];
    for (int64_t i = 0; i < out->n; i++) {
        double ab = 0, aa = 0, bb = 0;
        for (int64_t k = 0; k < size; k++) {
            const int64_t at = i / inner * size * inner + k * inner + i % inner;
            const double a = array_at(&in[0], all.shape, at), b = array_at(&in[1], all.shape, at);
            ab += a * b;
            aa += a * a;
            bb += b * b;
        }
        out->v[i] = ab / (fmax(sqrt(aa), eps) * fmax(sqrt(bb), eps));
    }
    free(all.v);
}

static const sweep_case cosine_similarities[] = {
    {"rows", {REAL(4, 3), REAL(4, 3)}, .arg = {1}},
    {"columns", {REAL(4, 3), REAL(4, 3)}, .arg = {0}},
    {"broadcast", {REAL(2, 1, 3), REAL(4, 3)}, .arg = {-1}},
    {"large eps", {REAL(4, 3), REAL(4, 3)}, .arg = {-1}, .number = {0, 2}},
    {"zeros", {RANGE(0, 0, 4, 3), REAL(4, 3)}, .arg = {-1}, .flags = SWEEP_NO_GRAD},
    {"one dimension", {REAL(7), REAL(7)}, .arg = {0}},
    {"empty", {REAL(0, 3), REAL(0, 3)}, .arg = {1}},
    {"no such dimension", {REAL(4, 3), REAL(4, 3)}, .arg = {2}, .code = TERN_ERR_SHAPE},
    {"0-dim", {SCALAR, SCALAR}, .arg = {0}, .code = TERN_ERR_SHAPE},
    {"shapes", {REAL(4, 3), REAL(4, 2)}, .arg = {1}, .code = TERN_ERR_SHAPE},
};
SWEEP(cosine_similarity, cosine_similarities, call_cosine_similarity, ref_cosine_similarity, 0, 8)
BENCH(cosine_similarity, call_cosine_similarity, "F.cosine_similarity(a, b, -1)",
      {"[4096, 256]", {REAL(4096, 256), REAL(4096, 256)}, .arg = {-1}})

static tern_tensor *call_pairwise_distance(tern_tensor *const *in, const sweep_case *c) {
    return tern_pairwise_distance(in[0], in[1], p_of(c), c->number[1], c->arg[0] != 0);
}

static void ref_pairwise_distance(const array *in, const sweep_case *c, array *out) {
    tern_shape s = array_broadcast(in[0].shape, in[1].shape), rows = s;
    const int64_t size = s.dim[s.ndim - 1];
    if (c->arg[0])
        rows.dim[s.ndim - 1] = 1;
    else
        rows.ndim--;
    array_new(out, rows);
    for (int64_t i = 0; i < out->n; i++) {
        double d[64];
        for (int64_t k = 0; k < size; k++)
            d[k] = array_at(&in[0], s, i * size + k) - array_at(&in[1], s, i * size + k) + c->number[1];
        out->v[i] = norm(d, size, p_of(c));
    }
}

static const sweep_case pairwise_distances[] = {
    {"2", {REAL(4, 3), REAL(4, 3)}, .number = {2, 1e-6}},
    {"1, keepdim", {REAL(4, 3), REAL(4, 3)}, .arg = {1}, .number = {1, 1e-6}},
    {"3", {REAL(4, 3), REAL(4, 3)}, .number = {3, 0}},
    {"infinity", {REAL(4, 3), REAL(4, 3)}, .number = {99, 0}},
    {"0", {REAL(4, 3), REAL(4, 3)}, .number = {0, 0}},
    {"broadcast", {REAL(2, 4, 3), REAL(3)}, .number = {2, 0.01}},
    {"a row", {REAL(5), REAL(5)}, .number = {2, 0}},
    {"empty", {REAL(0, 3), REAL(0, 3)}, .number = {2, 0}},
    {"0-dim", {SCALAR, SCALAR}, .number = {2, 0}, .code = TERN_ERR_SHAPE},
    {"p below 0", {REAL(4, 3), REAL(4, 3)}, .number = {-2, 0}, .code = TERN_ERR_ARGUMENT},
    {"shapes", {REAL(4, 3), REAL(4, 2)}, .number = {2, 0}, .code = TERN_ERR_SHAPE},
};
SWEEP(pairwise_distance, pairwise_distances, call_pairwise_distance, ref_pairwise_distance, 0, 8)
BENCH(pairwise_distance, call_pairwise_distance, "F.pairwise_distance(a, b)",
      {"[4096, 256]", {REAL(4096, 256), REAL(4096, 256)}, .number = {2, 1e-6}})

static tern_tensor *call_cdist(tern_tensor *const *in, const sweep_case *c) {
    return tern_cdist(in[0], in[1], p_of(c));
}

static void ref_cdist(const array *in, const sweep_case *c, array *out) {
    const tern_shape a = in[0].shape, b = in[1].shape;
    const int64_t n = a.dim[a.ndim - 2], m = b.dim[b.ndim - 2], size = a.dim[a.ndim - 1];
    tern_shape sa = a, sb = b;
    sa.ndim -= 2;
    sb.ndim -= 2;
    tern_shape s = array_broadcast(sa, sb), wide_a = s, wide_b = s;
    const int k = s.ndim;
    wide_a.ndim = wide_b.ndim = s.ndim = k + 2;
    wide_a.dim[k] = s.dim[k] = n;
    wide_b.dim[k] = s.dim[k + 1] = m;
    wide_a.dim[k + 1] = wide_b.dim[k + 1] = size;
    array_new(out, s);
    for (int64_t i = 0; i < out->n; i++) {
        const int64_t batch = i / (n * m), row = i / m % n, column = i % m;
        double d[64];
        for (int64_t q = 0; q < size; q++)
            d[q] = array_at(&in[0], wide_a, (batch * n + row) * size + q) -
                   array_at(&in[1], wide_b, (batch * m + column) * size + q);
        out->v[i] = norm(d, size, p_of(c));
    }
}

static const sweep_case cdists[] = {
    {"2", {REAL(4, 3), REAL(5, 3)}, .number = {2}},
    {"1", {REAL(4, 3), REAL(5, 3)}, .number = {1}},
    {"1.5", {REAL(4, 3), REAL(5, 3)}, .number = {1.5}},
    {"infinity", {REAL(4, 3), REAL(5, 3)}, .number = {99}},
    {"0", {REAL(4, 3), REAL(5, 3)}, .number = {0}},
    {"batches", {REAL(2, 1, 3, 2), REAL(3, 4, 2)}, .number = {2}},
    {"by a product", {REAL(27, 2), REAL(3, 2)}, .number = {2}, .loosen = 8},
    {"by a product, batches", {REAL(2, 3, 2), REAL(2, 26, 2)}, .number = {2}, .loosen = 8},
    {"no rows", {REAL(0, 3), REAL(5, 3)}, .number = {2}},
    {"no rows of many", {REAL(30, 3), REAL(0, 3)}, .number = {2}},
    {"no features", {REAL(2, 0), REAL(3, 0)}, .number = {2}},
    {"features", {REAL(4, 3), REAL(5, 2)}, .number = {2}, .code = TERN_ERR_SHAPE},
    {"one dimension", {REAL(3), REAL(5, 3)}, .number = {2}, .code = TERN_ERR_SHAPE},
    {"p below 0", {REAL(4, 3), REAL(5, 3)}, .number = {-1}, .code = TERN_ERR_ARGUMENT},
};
SWEEP(cdist, cdists, call_cdist, ref_cdist, 0, 8)
BENCH(cdist, call_cdist, "torch.cdist(a, b)",
      {"[1024, 64] x [1024, 64]", {REAL(1024, 64), REAL(1024, 64)}, .number = {2}})

static tern_tensor *call_pdist(tern_tensor *const *in, const sweep_case *c) { return tern_pdist(in[0], p_of(c)); }

static void ref_pdist(const array *in, const sweep_case *c, array *out) {
    const int64_t n = in[0].shape.dim[0], size = in[0].shape.dim[1], count = n * (n - 1) / 2;
    array_new(out, tern_shape_of(1, &count));
    double *y = out->v;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++) {
            double d[64];
            for (int64_t q = 0; q < size; q++) d[q] = in[0].v[i * size + q] - in[0].v[j * size + q];
            *y++ = norm(d, size, p_of(c));
        }
}

static const sweep_case pdists[] = {
    {"2", {REAL(5, 3)}, .number = {2}},
    {"1", {REAL(5, 3)}, .number = {1}},
    {"one row", {REAL(1, 3)}, .number = {2}},
    {"no rows", {REAL(0, 3)}, .number = {2}},
    {"three dimensions", {REAL(2, 5, 3)}, .number = {2}, .code = TERN_ERR_SHAPE},
};
SWEEP(pdist, pdists, call_pdist, ref_pdist, 0, 8)

/* The gradient of a distance of 0 is 0, whatever p. */
TERN_TEST(distance, gradient_at_zero) {
    static const double ps[] = {0.5, 1, 2, 3, (double)INFINITY};
    const tern_options on = {.device = test_device()};
    for (size_t i = 0; i < sizeof ps / sizeof *ps; i++) {
        const int scope = tern_scope_push();
        tern_tensor *x = tern_require_grad(tern_ones(TERN_SHAPE(3, 2), on), true);
        tern_tensor *y = tern_sum(tern_cdist(x, tern_ones(TERN_SHAPE(2, 2), on), ps[i]), NULL, 0, false);
        double g[6] = {1, 1, 1, 1, 1, 1};
        CHECK(tern_backward(y) && tern_to_doubles(tern_grad_get(x), g, 6), "%s", tern_error_message());
        for (int k = 0; k < 6; k++) CHECK(g[k] == 0, "p %g: gradient %g", ps[i], g[k]);
        tern_scope_pop(scope);
    }
}
