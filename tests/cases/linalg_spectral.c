/* lstsq, pinv, qr, svd, eigh, matrix_rank, matrix_norm, cond, matrix_exp. */
#include "linalg.h"

/* ---- lstsq (a, b), pinv ------------------------------------------------------------------------------------------ */

/* Of full rank: (a^T a)^-1 a^T b, or a^T (a a^T)^-1 b. */
static void least_squares(const double *a, const double *b, double *x, int64_t m, int64_t n, int64_t k) {
    double t[MOST], gram[MOST], y[MOST];
    flip(a, t, m, n);
    if (m >= n) {
        multiply(t, a, gram, n, m, n);
        multiply(t, b, x, n, m, k);
        (void)eliminate(gram, x, n, k);
    } else {
        multiply(a, t, gram, m, n, m);
        memcpy(y, b, (size_t)(m * k) * sizeof *b);
        (void)eliminate(gram, y, m, k);
        multiply(t, y, x, n, m, k);
    }
}
static tern_tensor *call_lstsq(tern_tensor *const *in, const sweep_case *c) {
    return tern_lstsq(c->code ? in[0] : spread(in[0]), in[1]);
}
static void ref_lstsq(const array *in, const sweep_case *c, array *out) {
    (void)c;
    array b = in[1];
    const bool vector = b.shape.ndim == 1;
    if (vector) b.shape.dim[b.shape.ndim++] = 1;
    const int64_t m = rows_of(&in[0]), n = cols_of(&in[0]), k = cols_of(&b);
    const tern_shape batch = array_broadcast(batch_of(&in[0], 2), batch_of(&b, 2));
    array_new(out, with(batch, n, k));
    for (int64_t i = 0; n * k > 0 && i < out->n / (n * k); i++)
        least_squares(matrix_at(&in[0], batch, i), matrix_at(&b, batch, i), out->v + i * n * k, m, n, k);
    if (vector) out->shape.ndim--;
}
static const sweep_case lstsqs[] = {
    {"tall", {UNIT(5, 2), UNIT(5, 2)}},
    {"wide", {UNIT(2, 5), UNIT(2, 2)}},
    {"square", {UNIT(3, 3), UNIT(3, 2)}},
    {"vector", {UNIT(5, 2), UNIT(5)}},
    {"batched", {UNIT(2, 5, 2), UNIT(2, 5, 1)}},
    {"one a", {UNIT(5, 2), UNIT(2, 5, 1)}},
    {"one b", {UNIT(2, 5, 2), UNIT(5, 1)}},
    {"no columns", {UNIT(5, 0), UNIT(5, 2)}},
    {"sizes", {UNIT(5, 2), UNIT(2, 5)}, .code = TERN_ERR_SHAPE, .text = "lstsq: "},
    {"rank", {RANGE(1, 1, 3, 2), UNIT(3, 1)}, .code = TERN_ERR_ARGUMENT, .text = "lstsq: matrix 0 has not full rank"},
    {"f16", {TYPED(TERN_F16, 3, 2), TYPED(TERN_F16, 3, 2)}, .code = TERN_ERR_DTYPE, .text = "lstsq: "},
};
ON_SPREAD(ref_lstsq)
SWEEP(lstsq, lstsqs, call_lstsq, ref_lstsq_spread, SWEEP_NO_HALF, 40)

static tern_tensor *call_pinv(tern_tensor *const *in, const sweep_case *c) {
    return tern_pinv(c->code ? in[0] : spread(in[0]), c->number[0]);
}
static void ref_pinv(const array *in, const sweep_case *c, array *out) {
    (void)c;
    const int64_t m = rows_of(&in[0]), n = cols_of(&in[0]);
    double eye[MOST];
    for (int64_t i = 0; i < m * m; i++) eye[i] = i / m == i % m;
    array_new(out, with(batch_of(&in[0], 2), n, m));
    for (int64_t i = 0; i < out->n; i += m * n) least_squares(in[0].v + i, eye, out->v + i, m, n, m);
}
static const sweep_case pinvs[] = {
    {"tall", {UNIT(5, 2)}},
    {"wide", {UNIT(2, 4)}},
    {"batched", {UNIT(2, 4, 2)}},
    {"one", {UNIT(1, 1)}},
    {"empty", {UNIT(3, 0)}},
    {"1-dim", {UNIT(3)}, .code = TERN_ERR_SHAPE, .text = "pinv: "},
    {"rtol", {UNIT(3, 3)}, .number = {-1}, .code = TERN_ERR_ARGUMENT, .text = "pinv: "},
};
ON_SPREAD(ref_pinv)
SWEEP(pinv, pinvs, call_pinv, ref_pinv_spread, SWEEP_NO_HALF, 40)

/* ---- qr; signs are taken such that r's diagonal is positive. arg[0]: 0 q, 1 r, 2 q diag(1 .. K) r ---------------- */

static tern_tensor *call_qr(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *r, *q = tern_qr(c->code ? in[0] : spread(in[0]), false, &r);
    if (!q || c->arg[0] == 9) return q; /* timed */
    tern_tensor *sign = tern_sign(tern_diagonal(tern_detach(r), 0, -2, -1));
    if (c->arg[0] == 0) return tern_mul(q, tern_unsqueeze(sign, -2));
    if (c->arg[0] == 1) return tern_mul(r, tern_unsqueeze(sign, -1));
    const tern_options o = {tern_dtype_of(q), test_device()};
    return tern_matmul(tern_mul(q, tern_arange(1, (double)tern_size(q, -1) + 1, o)), r);
}
static void ref_qr(const array *in, const sweep_case *c, array *out) {
    const int64_t m = rows_of(&in[0]), n = cols_of(&in[0]), k = m < n ? m : n;
    double q[MOST], r[MOST];
    array_new(out, with(batch_of(&in[0], 2), c->arg[0] == 1 ? k : m, c->arg[0] == 0 ? k : n));
    for (int64_t i = 0; i < in[0].n; i += m * n) {
        const double *a = in[0].v + i;
        for (int64_t j = 0; j < k; j++) {
            for (int64_t e = 0; e < m; e++) q[e * k + j] = a[e * n + j];
            for (int pass = 0; pass < 2; pass++)
                for (int64_t l = 0; l < j; l++) {
                    double dot = 0;
                    for (int64_t e = 0; e < m; e++) dot += q[e * k + l] * q[e * k + j];
                    for (int64_t e = 0; e < m; e++) q[e * k + j] -= dot * q[e * k + l];
                }
            double norm = 0;
            for (int64_t e = 0; e < m; e++) norm += q[e * k + j] * q[e * k + j];
            for (int64_t e = 0; e < m; e++) q[e * k + j] /= sqrt(norm);
        }
        for (int64_t e = 0; e < k * n; e++) {
            r[e] = 0;
            for (int64_t l = 0; l < m && e / n <= e % n; l++) r[e] += q[l * k + e / n] * a[l * n + e % n];
        }
        double *y = out->v + i / (m * n) * (out->n / (in[0].n / (m * n)));
        if (c->arg[0] == 0) memcpy(y, q, (size_t)(m * k) * sizeof *q);
        if (c->arg[0] == 1) memcpy(y, r, (size_t)(k * n) * sizeof *r);
        for (int64_t e = 0; e < m * k; e++) q[e] *= (double)(e % k + 1);
        if (c->arg[0] == 2) multiply(q, r, y, m, k, n);
    }
}
static const sweep_case qrs[] = {
    {"q", {UNIT(4, 3)}},
    {"r", {UNIT(4, 3)}, .arg = {1}},
    {"both", {UNIT(4, 3)}, .arg = {2}},
    {"square, both", {UNIT(3, 3)}, .arg = {2}},
    {"wide, q", {UNIT(2, 4)}},
    {"wide, r", {UNIT(2, 4)}, .arg = {1}},
    {"wide, both", {UNIT(2, 4)}, .arg = {2}},
    {"batched", {UNIT(2, 2, 3, 2)}, .arg = {2}},
    {"batched, q", {UNIT(2, 3, 2)}},
    {"1x1", {UNIT(1, 1)}, .arg = {1}},
    {"no columns", {UNIT(3, 0)}, .arg = {2}},
    {"no rows", {UNIT(0, 3)}, .arg = {2}},
    {"batch 0", {UNIT(0, 3, 2)}, .arg = {2}},
    {"odd", {UNIT(37, 11)}, .arg = {2}, .loosen = 4},
    {"1-dim", {UNIT(3)}, .code = TERN_ERR_SHAPE, .text = "qr: "},
    {"f16", {TYPED(TERN_F16, 3, 2)}, .code = TERN_ERR_DTYPE, .text = "qr: "},
};
ON_SPREAD(ref_qr)
SWEEP(qr, qrs, call_qr, ref_qr_spread, SWEEP_NO_HALF, 60)
BENCH(qr, call_qr, "torch.linalg.qr(a)[0]", {"512", {UNIT(512, 512)}, .arg = {9}})

/* ---- svd; arg[0]: 0 singular values, 1 u diag(1 .. K) vh, 2 u diag(s^2) u^T, 3 full --------------------------------
 */

static tern_tensor *call_svd(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *u, *vh, *s = tern_svd(c->code ? in[0] : spread(in[0]), c->arg[0] == 3, &u, &vh);
    if (!s || c->arg[0] == 0) return s;
    if (c->arg[0] == 9) return u; /* timed */
    if (c->arg[0] == 3) {         /* with vectors that nothing comes from */
        tern_tensor *trace = tern_trace(tern_matmul(mt(tern_detach(u)), tern_detach(u)));
        return tern_add(s, tern_mul_scalar(tern_unsqueeze(trace, -1), 0));
    }
    const tern_options o = {tern_dtype_of(u), test_device()};
    if (c->arg[0] == 2) return tern_matmul(tern_mul(u, tern_unsqueeze(tern_square(s), -2)), mt(u));
    return tern_matmul(tern_mul(u, tern_arange(1, (double)tern_size(u, -1) + 1, o)), vh);
}
static tern_tensor *call_svdvals(tern_tensor *const *in, const sweep_case *c) {
    return tern_svdvals(c->code ? in[0] : spread(in[0]));
}
static void ref_svdvals(const array *in, const sweep_case *c, array *out) {
    (void)c;
    const int64_t m = rows_of(&in[0]), n = cols_of(&in[0]), k = m < n ? m : n;
    tern_shape s = batch_of(&in[0], 2);
    s.dim[s.ndim++] = k;
    array_new(out, s);
    for (int64_t i = 0; k > 0 && i < out->n / k; i++) singular(in[0].v + i * m * n, out->v + i * k, m, n);
}
static void ref_svd(const array *in, const sweep_case *c, array *out) {
    const int64_t m = rows_of(&in[0]), n = cols_of(&in[0]), k = m < n ? m : n, longer = m < n ? n : m;
    double a[MOST], s[MOST], v[MOST], t[MOST];
    if (c->arg[0] == 0 || c->arg[0] == 3) {
        ref_svdvals(in, c, out);
        return;
    }
    array_new(out, with(batch_of(&in[0], 2), m, c->arg[0] == 2 ? m : n));
    for (int64_t i = 0; i < in[0].n; i += m * n) {
        double *y = out->v + i / (m * n) * (c->arg[0] == 2 ? m * m : m * n);
        flip(in[0].v + i, t, m, n);
        if (c->arg[0] == 2) {
            multiply(in[0].v + i, t, y, m, n, m);
            continue;
        }
        memcpy(a, m < n ? t : in[0].v + i, sizeof *a * (size_t)(m * n));
        jacobi(a, s, v, longer, k); /* a = u s, of the matrix or of its transpose */
        for (int64_t e = 0; e < longer * k; e++) {
            double sum = 0;
            for (int64_t l = 0; l < k; l++) sum += a[e / k * k + l] / s[l] * (double)(l + 1) * v[e % k * k + l];
            y[m < n ? e % k * n + e / k : e] = sum;
        }
    }
}
static const sweep_case svds[] = {
    {"values", {UNIT(4, 3)}},
    {"both", {UNIT(4, 3)}, .arg = {1}},
    {"wide, both", {UNIT(2, 4)}, .arg = {1}},
    {"square, both", {UNIT(3, 3)}, .arg = {1}},
    {"u", {UNIT(4, 2)}, .arg = {2}},
    {"wide, u", {UNIT(2, 3)}, .arg = {2}},
    {"batched", {UNIT(2, 3, 2)}, .arg = {1}},
    {"full", {UNIT(2, 4, 2)}, .arg = {3}},
    {"full, wide", {UNIT(2, 4)}, .arg = {3}},
    {"1x1", {UNIT(3, 1, 1)}, .arg = {0}},
    {"empty", {UNIT(0, 3)}},
    {"empty, full", {UNIT(2, 3, 0)}, .arg = {3}, .flags = SWEEP_NO_GRAD},
    {"odd", {UNIT(23, 9)}, .arg = {0}, .loosen = 4},
    {"1-dim", {UNIT(3)}, .code = TERN_ERR_SHAPE, .text = "svd: "},
    {"bf16", {TYPED(TERN_BF16, 3, 2)}, .code = TERN_ERR_DTYPE, .text = "svd: "},
};
ON_SPREAD(ref_svd)
SWEEP(svd, svds, call_svd, ref_svd_spread, SWEEP_NO_HALF, 60)
static const sweep_case svdvals_cases[] = {
    {"tall", {UNIT(4, 3)}},
    {"wide, batched", {UNIT(2, 2, 4)}},
    {"empty", {UNIT(2, 0, 3)}},
    {"1-dim", {UNIT(3)}, .code = TERN_ERR_SHAPE, .text = "svdvals: "},
};
ON_SPREAD(ref_svdvals)
SWEEP(svdvals, svdvals_cases, call_svdvals, ref_svdvals_spread, SWEEP_NO_HALF, 40)
BENCH(svd, call_svd, "torch.linalg.svd(a, full_matrices=False)[0]", {"256", {UNIT(256, 256)}, .arg = {9}})
BENCH(svdvals, call_svdvals, "torch.linalg.svdvals(a)", {"[2000, 8, 8]", {UNIT(2000, 8, 8)}})

/* ---- eigh; arg: 0 eigenvalues, 1 v diag(1 .. N) v^T; upper; not made symmetric ------------------------------------
 */

static tern_tensor *call_eigh(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *v, *w = tern_eigh(c->code     ? in[0]
                                   : c->arg[2] ? spread(in[0])
                                               : symmetric(spread(in[0])),
                                   c->arg[1] != 0, &v);
    if (!w || c->arg[0] == 0) return w;
    if (c->arg[0] == 9) return v; /* timed */
    const tern_options o = {tern_dtype_of(v), test_device()};
    return tern_matmul(tern_mul(v, tern_arange(1, (double)tern_size(v, -1) + 1, o)), mt(v));
}
static tern_tensor *call_eigvalsh(tern_tensor *const *in, const sweep_case *c) {
    return tern_eigvalsh(c->code ? in[0] : symmetric(spread(in[0])), c->arg[1] != 0);
}
/* Through the singular values of a + shift I, which is positive definite: they ascend by the shift's eigenvalues. */
static void ref_eigh(const array *in, const sweep_case *c, array *out) {
    const int64_t n = cols_of(&in[0]);
    double a[MOST], s[MOST], v[MOST];
    tern_shape shape = batch_of(&in[0], 2);
    shape.dim[shape.ndim++] = n;
    if (c->arg[0]) shape.dim[shape.ndim++] = n;
    array_new(out, shape);
    for (int64_t i = 0; i < in[0].n; i += n * n) {
        double shift = 1;
        for (int64_t e = 0; e < n * n; e++) {
            const double x = in[0].v[i + e], y = in[0].v[i + e % n * n + e / n];
            a[e] = !c->arg[2] ? (x + y) / 2 : (e / n > e % n) != (c->arg[1] != 0) ? x : y;
            if (e / n == e % n) a[e] = x;
            shift += fabs(a[e]);
        }
        for (int64_t e = 0; e < n; e++) a[e * n + e] += shift;
        jacobi(a, s, v, n, n);
        for (int64_t e = 0; e < n && !c->arg[0]; e++) out->v[i / n + e] = s[n - 1 - e] - shift;
        for (int64_t e = 0; e < n * n && c->arg[0]; e++)
            for (int64_t l = 0; l < n; l++) out->v[i + e] += v[e / n * n + l] * (double)(n - l) * v[e % n * n + l];
    }
}
static const sweep_case eighs[] = {
    {"values", {UNIT(3, 3)}},
    {"vectors", {UNIT(3, 3)}, .arg = {1}},
    {"batched", {UNIT(2, 2, 3, 3)}, .arg = {1}},
    {"upper", {UNIT(3, 3)}, .arg = {1, 1}},
    {"lower triangle alone", {UNIT(3, 3)}, .arg = {0, 0, 1}, .flags = SWEEP_NO_GRAD}, /* grad is the symmetric part */
    {"upper triangle alone", {UNIT(3, 3)}, .arg = {1, 1, 1}, .flags = SWEEP_NO_GRAD},
    {"1x1", {UNIT(2, 1, 1)}, .arg = {0}},
    {"0x0", {UNIT(2, 0, 0)}, .arg = {1}},
    {"odd", {UNIT(11, 11)}, .arg = {0}, .loosen = 4},
    {"wide", {UNIT(2, 3)}, .code = TERN_ERR_SHAPE, .text = "eigh: "},
    {"f16", {TYPED(TERN_F16, 3, 3)}, .code = TERN_ERR_DTYPE, .text = "eigh: "},
};
ON_SPREAD(ref_eigh)
SWEEP(eigh, eighs, call_eigh, ref_eigh_spread, SWEEP_NO_HALF, 60)
static const sweep_case eigvalshs[] = {
    {"2-dim", {UNIT(3, 3)}},
    {"batched, upper", {UNIT(2, 3, 3)}, .arg = {0, 1}},
    {"wide", {UNIT(2, 3)}, .code = TERN_ERR_SHAPE, .text = "eigvalsh: "},
};
SWEEP(eigvalsh, eigvalshs, call_eigvalsh, ref_eigh_spread, SWEEP_NO_HALF, 40)
BENCH(eigh, call_eigh, "torch.linalg.eigh((a + a.mT) * 0.5)[1]", {"256", {UNIT(256, 256)}, .arg = {9}})

/* ---- matrix_rank (x, y): of x y; matrix_norm, cond; matrix_exp ----------------------------------------------------
 */

static tern_tensor *call_matrix_rank(tern_tensor *const *in, const sweep_case *c) {
    return tern_matrix_rank(c->code ? in[0] : tern_matmul(in[0], in[1]), c->number[0], c->number[1]);
}
static void ref_matrix_rank(const array *in, const sweep_case *c, array *out) {
    array_new(out, batch_of(&in[0], 2));
    for (int64_t i = 0; i < out->n; i++) out->v[i] = (double)c->arg[0];
}
static const sweep_case matrix_ranks[] = {
    {"2 of 4", {UNIT(4, 2), UNIT(2, 5)}, .arg = {2}},
    {"1 of 3, batched", {UNIT(2, 3, 1), UNIT(2, 1, 3)}, .arg = {1}},
    {"full", {UNIT(2, 3), UNIT(3, 5)}, .arg = {2}},
    {"0", {UNIT(3, 0), UNIT(0, 3)}, .arg = {0}},
    {"empty", {UNIT(3, 2), UNIT(2, 0)}, .arg = {0}},
    {"below atol", {UNIT(2, 2), UNIT(2, 2)}, .arg = {0}, .number = {100}},
    {"below rtol", {UNIT(2, 2), UNIT(2, 2)}, .arg = {0}, .number = {0, 1}},
    {"atol", {UNIT(2, 2), NONE}, .number = {-1}, .code = TERN_ERR_ARGUMENT, .text = "matrix_rank: "},
    {"1-dim", {UNIT(2), NONE}, .code = TERN_ERR_SHAPE, .text = "matrix_rank: "},
};
SWEEP(matrix_rank, matrix_ranks, call_matrix_rank, ref_matrix_rank, SWEEP_NO_HALF | SWEEP_NO_GRAD | SWEEP_NO_LAYOUTS, 1)

static double norm_of(const double *x, int64_t m, int64_t n, int64_t kind) {
    double y = 0, s[MOST];
    const int64_t k = m < n ? m : n;
    if (kind == TERN_NORM_FRO) {
        for (int64_t i = 0; i < m * n; i++) y += x[i] * x[i];
        return sqrt(y);
    }
    if (kind == TERN_NORM_NUC || kind == TERN_NORM_TWO || kind == TERN_NORM_MINUS_TWO) {
        if (k == 0) return 0;
        singular(x, s, m, n);
        for (int64_t i = 0; i < k; i++) y += s[i];
        return kind == TERN_NORM_NUC ? y : kind == TERN_NORM_TWO ? s[0] : s[k - 1];
    }
    const bool columns = kind == TERN_NORM_ONE || kind == TERN_NORM_MINUS_ONE;
    const bool largest = kind == TERN_NORM_ONE || kind == TERN_NORM_INF;
    for (int64_t i = 0; i < (columns ? n : m); i++) {
        double sum = 0;
        for (int64_t j = 0; j < (columns ? m : n); j++) sum += fabs(columns ? x[j * n + i] : x[i * n + j]);
        y = i == 0 ? sum : largest ? fmax(y, sum) : fmin(y, sum);
    }
    return y;
}
static tern_tensor *call_matrix_norm(tern_tensor *const *in, const sweep_case *c) {
    return tern_matrix_norm(in[0], (tern_matrix_norm_kind)c->arg[0], c->arg[1] != 0);
}
static void ref_matrix_norm(const array *in, const sweep_case *c, array *out) {
    const int64_t m = rows_of(&in[0]), n = cols_of(&in[0]);
    array_new(out, c->arg[1] ? with(batch_of(&in[0], 2), 1, 1) : batch_of(&in[0], 2));
    for (int64_t i = 0; i < out->n; i++) out->v[i] = norm_of(in[0].v + i * m * n, m, n, c->arg[0]);
}
static const sweep_case matrix_norms[] = {
    {"fro", {UNIT(2, 3, 4)}, .arg = {TERN_NORM_FRO}},
    {"fro, kept", {UNIT(3, 4)}, .arg = {TERN_NORM_FRO, 1}},
    {"fro of nothing", {UNIT(2, 0, 3)}, .arg = {TERN_NORM_FRO}},
    {"one", {UNIT(2, 3, 4)}, .arg = {TERN_NORM_ONE}},
    {"inf", {UNIT(3, 4)}, .arg = {TERN_NORM_INF}},
    {"minus one", {UNIT(2, 3, 4)}, .arg = {TERN_NORM_MINUS_ONE, 1}},
    {"minus inf", {UNIT(3, 4)}, .arg = {TERN_NORM_MINUS_INF}},
    {"one of nothing", {UNIT(0, 3)}, .arg = {TERN_NORM_ONE}, .code = TERN_ERR_SHAPE, .text = "matrix_norm: "},
    {"1-dim", {UNIT(3)}, .arg = {TERN_NORM_FRO}, .code = TERN_ERR_SHAPE, .text = "matrix_norm: "},
    {"kind", {UNIT(3, 3)}, .arg = {8}, .code = TERN_ERR_ARGUMENT, .text = "matrix_norm: 8"},
    {"two of f16", {TYPED(TERN_F16, 3, 3)}, .arg = {TERN_NORM_TWO}, .code = TERN_ERR_DTYPE, .text = "matrix_norm: "},
    {"integers", {TYPED(TERN_I32, 3, 3)}, .arg = {TERN_NORM_FRO}, .code = TERN_ERR_DTYPE, .text = "matrix_norm: "},
};
SWEEP(matrix_norm, matrix_norms, call_matrix_norm, ref_matrix_norm, 0, 8)
static tern_tensor *call_matrix_norm_values(tern_tensor *const *in, const sweep_case *c) {
    return tern_matrix_norm(spread(in[0]), (tern_matrix_norm_kind)c->arg[0], c->arg[1] != 0);
}
static const sweep_case matrix_norms_by_values[] = {
    {"nuc", {UNIT(2, 3, 4)}, .arg = {TERN_NORM_NUC}},
    {"nuc of nothing", {UNIT(3, 0)}, .arg = {TERN_NORM_NUC}},
    {"two", {UNIT(3, 4)}, .arg = {TERN_NORM_TWO, 1}},
    {"minus two", {UNIT(2, 4, 3)}, .arg = {TERN_NORM_MINUS_TWO}},
    {"two of nothing", {UNIT(3, 0)}, .arg = {TERN_NORM_TWO}, .code = TERN_ERR_SHAPE, .text = "matrix_norm: "},
};
ON_SPREAD(ref_matrix_norm)
SWEEP(matrix_norm__values, matrix_norms_by_values, call_matrix_norm_values, ref_matrix_norm_spread, SWEEP_NO_HALF, 40)

static tern_tensor *call_cond(tern_tensor *const *in, const sweep_case *c) {
    return tern_cond(c->code ? in[0] : spread(in[0]), (tern_matrix_norm_kind)c->arg[0]);
}
static void ref_cond(const array *in, const sweep_case *c, array *out) {
    const int64_t m = rows_of(&in[0]), n = cols_of(&in[0]);
    double a[MOST], work[MOST], x[MOST];
    array_new(out, batch_of(&in[0], 2));
    for (int64_t i = 0; i < out->n; i++) {
        const double *from = in[0].v + i * m * n;
        memcpy(a, from, (size_t)(m * n) * sizeof *a);
        if (c->arg[0] == TERN_NORM_TWO || c->arg[0] == TERN_NORM_MINUS_TWO) {
            const double large = norm_of(a, m, n, TERN_NORM_TWO), small = norm_of(a, m, n, TERN_NORM_MINUS_TWO);
            out->v[i] = c->arg[0] == TERN_NORM_TWO ? large / small : small / large;
            continue;
        }
        memcpy(work, a, sizeof work);
        for (int64_t e = 0; e < n * n; e++) x[e] = e / n == e % n;
        (void)eliminate(work, x, n, n);
        out->v[i] = norm_of(a, n, n, c->arg[0]) * norm_of(x, n, n, c->arg[0]);
    }
}
static const sweep_case conds[] = {
    {"two", {UNIT(2, 3, 3)}, .arg = {TERN_NORM_TWO}},
    {"two, tall", {UNIT(4, 2)}, .arg = {TERN_NORM_TWO}},
    {"minus two", {UNIT(3, 3)}, .arg = {TERN_NORM_MINUS_TWO}},
    {"fro", {UNIT(3, 3)}, .arg = {TERN_NORM_FRO}},
    {"one", {UNIT(2, 3, 3)}, .arg = {TERN_NORM_ONE}},
    {"nuc", {UNIT(3, 3)}, .arg = {TERN_NORM_NUC}},
    {"wide", {UNIT(2, 3)}, .arg = {TERN_NORM_FRO}, .code = TERN_ERR_SHAPE, .text = "cond: "},
    {"empty", {UNIT(0, 0)}, .arg = {TERN_NORM_TWO}, .code = TERN_ERR_SHAPE, .text = "cond: "},
    {"kind", {UNIT(2, 2)}, .arg = {-1}, .code = TERN_ERR_ARGUMENT, .text = "cond: "},
};
ON_SPREAD(ref_cond)
SWEEP(cond, conds, call_cond, ref_cond_spread, SWEEP_NO_HALF, 60)

static tern_tensor *call_matrix_exp(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_matrix_exp(in[0]);
}
/* Taylor's series of a / 1024, squared ten times. */
static void ref_matrix_exp(const array *in, const sweep_case *c, array *out) {
    (void)c;
    const int64_t n = cols_of(&in[0]), each = n * n;
    double a[MOST], power[MOST], t[MOST];
    array_new(out, in[0].shape);
    for (int64_t i = 0; i < out->n; i += each) {
        double *y = out->v + i;
        for (int64_t e = 0; e < each; e++) {
            a[e] = in[0].v[i + e] / 1024;
            power[e] = y[e] = e / n == e % n;
        }
        for (int k = 1; k < 20; k++) {
            multiply(power, a, t, n, n, n);
            for (int64_t e = 0; e < each; e++) y[e] += power[e] = t[e] / k;
        }
        for (int k = 0; k < 10; k++) {
            multiply(y, y, t, n, n, n);
            memcpy(y, t, (size_t)each * sizeof *t);
        }
    }
}
static const sweep_case matrix_exps[] = {
    {"small", {UNIT(3, 3)}},
    {"batched", {UNIT(2, 3, 3)}},
    {"squared", {RANGE(-3, 3, 3, 3)}, .loosen = 10},
    {"1x1", {UNIT(2, 1, 1)}},
    {"empty", {UNIT(2, 0, 0)}},
    {"wide", {UNIT(2, 3)}, .code = TERN_ERR_SHAPE, .text = "matrix_exp: "},
    {"f16", {TYPED(TERN_F16, 3, 3)}, .code = TERN_ERR_DTYPE, .text = "matrix_exp: "},
};
SWEEP(matrix_exp, matrix_exps, call_matrix_exp, ref_matrix_exp, SWEEP_NO_HALF, 20)
